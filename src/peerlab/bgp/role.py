"""BGP roles and the Only to Customer attribute: route leaks stopped by the protocol (RFC 9234 section 5).

Roles are the local speaker's on the session. Everything here holds for eBGP sessions with a configured role only.
"""

from __future__ import annotations

from peerlab.bgp.attributes import BgpRole, PathAttributes

_RECEIVES_FROM_BELOW = frozenset({BgpRole.PROVIDER, BgpRole.RS})
"""Local roles whose peer is a Customer or RS-Client: it may not pass on what is only for customers."""

_RECEIVES_FROM_ABOVE = frozenset({BgpRole.CUSTOMER, BgpRole.PEER, BgpRole.RS_CLIENT})
"""Local roles whose peer is a Provider, a Peer or an RS: what comes from it is only for customers."""

_SENDS_DOWN = frozenset({BgpRole.PROVIDER, BgpRole.PEER, BgpRole.RS})
"""Local roles whose peer is a Customer, a Peer or an RS-Client: what it gets is only for its customers."""

_SENDS_UP = frozenset({BgpRole.CUSTOMER, BgpRole.PEER, BgpRole.RS_CLIENT})
"""Local roles whose peer is a Provider, a Peer or an RS: it must not get what is only for customers."""


def leak_on_ingress(role: BgpRole, attributes: PathAttributes, peer_as: int) -> str | None:
    """Why a received route is a leak and not eligible; None when it is none (ingress rules 1 and 2)."""
    if attributes.otc is None:
        return None
    if role in _RECEIVES_FROM_BELOW:
        return f"route leak: OTC {attributes.otc} from a {'customer' if role is BgpRole.PROVIDER else 'client'}"
    if role is BgpRole.PEER and attributes.otc != peer_as:
        return f"route leak: OTC {attributes.otc} from peer AS{peer_as}"
    return None


def otc_on_ingress(role: BgpRole, attributes: PathAttributes, peer_as: int) -> int | None:
    """The OTC that an eligible route has from here on (ingress rule 3): once set it is never changed."""
    if attributes.otc is None and role in _RECEIVES_FROM_ABOVE:
        return peer_as
    return attributes.otc


def leak_on_egress(role: BgpRole, attributes: PathAttributes) -> str | None:
    """Why a route must not be sent to this peer; None when it may (egress rule 2)."""
    if attributes.otc is not None and role in _SENDS_UP:
        return f"route leak: OTC {attributes.otc} is only for customers"
    return None


def otc_on_egress(role: BgpRole, attributes: PathAttributes, local_as: int) -> int | None:
    """The OTC that is sent with a route (egress rule 1)."""
    if attributes.otc is None and role in _SENDS_DOWN:
        return local_as
    return attributes.otc
