"""What the speaker must know of an Established session beyond its configuration."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family


class Negotiated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of the two OPENs, from the local end's side (RFC 4271 section 4.2, RFC 5492).

    ``peer_router_id`` is the BGP Identifier that the decision process compares. A flag is True only when both ends
    announced the capability. ``hold_time`` in seconds, 0 = off. ``peer_role`` None: the peer announced none.
    ``kept_forwarding``: families for which the peer has kept its forwarding state over a restart (RFC 4724 section 3).
    """

    peer_router_id: Address
    asn4: bool = True
    extended_message: bool = False
    route_refresh: bool = True
    enhanced_route_refresh: bool = False
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    extended_next_hop: tuple[Family, ...] = ()
    peer_role: BgpRole | None = None
    hold_time: int = 0
    kept_forwarding: tuple[Family, ...] = ()
