"""What came of two OPENs, as the speaker must know it."""

from __future__ import annotations

from peerlab.bgp.config import PeerConfig
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.open import negotiate
from peerlab.router.engine import Opens
from peerlab.router.graceful_restart import kept_forwarding


def negotiated(opens: Opens, config: PeerConfig) -> Negotiated:
    """What the speaker must know of the two OPENs."""
    sent, received = opens.sent, opens.received
    context = negotiate(sent, received)
    return Negotiated(
        peer_router_id=received.router_id,
        asn4=context.asn4,
        extended_message=context.extended_message,
        route_refresh=sent.has_route_refresh() and received.has_route_refresh(),
        enhanced_route_refresh=sent.has_enhanced_route_refresh() and received.has_enhanced_route_refresh(),
        families=context.families,
        extended_next_hop=context.extended_next_hop,
        peer_role=received.role,
        hold_time=opens.hold_time,
        kept_forwarding=kept_forwarding(received, config),
    )
