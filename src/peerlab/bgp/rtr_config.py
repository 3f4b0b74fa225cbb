"""What is told about RPKI caches: to a router which ones to ask, to a cache how to serve."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.bgp.rtr_pdu import PORT, Intervals


class RtrServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cache that a router asks. ``addresses`` are tried one after the other; ``sources`` are the router's own.

    A lower ``preference`` is preferred (RFC 8210 section 10): data of the most preferred caches that have any are used,
    those of caches with the same preference together.
    """

    name: str
    addresses: tuple[Address, ...]
    port: int = PORT
    preference: int = 1
    sources: tuple[Address, ...] = ()


class CacheConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a cache process is told at birth (``cache.json`` in its directory, beside ``vrps.json``)."""

    node: str
    directory: str
    port: int = PORT
    intervals: Intervals = Intervals()
