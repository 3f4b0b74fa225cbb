"""A route as a daemon shows all of it, whichever of its tables it lies in."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes, Prefix


class ShownRoute(msgspec.Struct, frozen=True, kw_only=True):
    """``peer`` is the neighbour's address, None for an own route. ``age`` is seconds since it came.

    ``discarded``: policy has packets to the prefix dropped. ``med_is_set``: the MED is this router's own.
    """

    prefix: Prefix
    peer: Address | None
    attributes: PathAttributes
    best: bool = False
    age: int = 0
    discarded: bool = False
    med_is_set: bool = False
