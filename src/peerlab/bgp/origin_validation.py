"""Route origin validation against validated ROA payloads (RFC 6811)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix, SegmentType
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes

VALID = "valid"
INVALID = "invalid"
NOT_FOUND = "not-found"


class Vrp(msgspec.Struct, frozen=True, omit_defaults=True):
    """A validated ROA payload: this AS may originate the prefix, down to ``max_length`` (None = the prefix's own)."""

    prefix: Prefix
    asn: int
    max_length: int | None = None


class OriginValidator:
    """The state of any route under a set of VRPs; without VRPs everything is ``not-found``."""

    def __init__(self, vrps: Iterable[Vrp] = ()) -> None:
        self.vrps: frozenset[Vrp] = frozenset()
        self._vrps: dict[Family, dict[bytes, list[tuple[int, int]]]] = {}
        self.replace(vrps)

    def replace(self, vrps: Iterable[Vrp]) -> frozenset[Prefix]:
        """Validate against these from now on. Answers with the prefixes of all that came or went: states of routes for
        these and for what is more specific may be others now, and no others are."""
        before, self.vrps = self.vrps, frozenset(vrps)
        self._vrps = {Family.IPV4: {}, Family.IPV6: {}}
        for vrp in self.vrps:
            raw = nlri_bytes(vrp.prefix)
            longest = raw[0] if vrp.max_length is None else vrp.max_length
            self._vrps[family_of_prefix(vrp.prefix)].setdefault(raw, []).append((vrp.asn, longest))
        return frozenset(vrp.prefix for vrp in before ^ self.vrps)

    def state(self, raw: bytes, family: Family, origin_as: int | None) -> str:
        """``valid``, ``invalid`` or ``not-found``. ``origin_as`` None (a set at the path's end) matches no VRP."""
        table = self._vrps[family]
        if not table:
            return NOT_FOUND
        covered = False
        for length in range(raw[0], -1, -1):
            for asn, longest in table.get(_cut(raw, length), ()):
                covered = True
                if asn == origin_as and asn != 0 and raw[0] <= longest:
                    return VALID
        return INVALID if covered else NOT_FOUND


def route_origin(attributes: PathAttributes, own_as: int) -> int | None:
    """The AS that a route is validated with (RFC 6811 section 2): the last of the path; the speaker's own AS when the
    path is empty or ends inside its confederation; None, which matches no VRP, when it ends in a set."""
    if not attributes.as_path or attributes.as_path[-1].kind in _CONFEDERATION:
        return own_as
    return attributes.origin_as()


_CONFEDERATION = (SegmentType.AS_CONFED_SEQUENCE, SegmentType.AS_CONFED_SET)


def digest(vrps: Iterable[Vrp]) -> str:
    """A short text that two sets of payloads have in common only when they are equal."""
    lines = sorted({f"{vrp.prefix} {vrp.asn} {vrp.max_length or vrp.prefix.rpartition('/')[2]}" for vrp in vrps})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _cut(raw: bytes, length: int) -> bytes:
    """The raw prefix of ``length`` bits that covers ``raw``."""
    whole, rest = divmod(length, 8)
    cut = bytes([length]) + raw[1 : 1 + whole]
    if rest:
        cut += bytes([raw[1 + whole] & (0xFF00 >> rest) & 0xFF])
    return cut
