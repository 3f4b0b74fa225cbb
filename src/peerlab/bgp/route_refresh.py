"""The ROUTE-REFRESH message (RFC 2918, RFC 7313)."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.bgp.nlri import AFI, SAFI_UNICAST, family_of
from peerlab.errors import WireError


class RefreshSubtype(IntEnum):
    """Message subtypes (RFC 7313 section 3.2): a request, and the brackets around its answer."""

    REQUEST = 0
    BEGIN = 1
    END = 2


class RouteRefresh(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ROUTE-REFRESH. ``family`` is None when AFI and SAFI name none that peerlab carries.

    ``subtype`` is 0 for a request, 1 for BoRR, 2 for EoRR; any other must be ignored (RFC 7313 section 5).
    """

    family: Family | None
    subtype: int = RefreshSubtype.REQUEST
    afi: int = 0
    safi: int = 0


def decode_route_refresh(body: bytes) -> RouteRefresh:
    """Decode a body. Raises WireError 7/1 when a BoRR or EoRR is not 4 octets, 1/2 when anything is shorter."""
    if len(body) < 4:
        raise WireError(1, 2, (len(body) + 19).to_bytes(2, "big"), "a ROUTE-REFRESH has at least 23 octets")
    afi, subtype, safi = body[0] << 8 | body[1], body[2], body[3]
    if subtype in (RefreshSubtype.BEGIN, RefreshSubtype.END) and len(body) != 4:
        raise WireError(7, 1, body, f"a bracket of a route refresh with {len(body)} octets instead of 4")
    return RouteRefresh(family=family_of(afi, safi), subtype=subtype, afi=afi, safi=safi)


def encode_route_refresh(message: RouteRefresh) -> bytes:
    """The body of a ROUTE-REFRESH; AFI and SAFI come from ``family`` when that is given."""
    afi, safi = message.afi, message.safi
    if message.family is not None:
        afi, safi = AFI[message.family], SAFI_UNICAST
    return afi.to_bytes(2, "big") + bytes([message.subtype, safi])
