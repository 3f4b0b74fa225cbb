"""What was seen of a port, kind by kind and MAC by MAC, with the rules it breaks: for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.verify.ethernet import dissect
from peerlab.verify.frame_rule import Rule, broken_rules, kind_of


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one kind from one MAC under one tag: how many, when the first came (ns), its octets in hex, and the
    rules that each of them breaks."""

    kind: str
    source_mac: str
    vlan: int | None
    frames: int
    first_at: int
    first_hex: str
    breaks: tuple[Rule, ...]


def sightings(
    frames: Iterable[tuple[int, int, bytes]], registered_mac: str = "", mld_allowed: bool = False
) -> tuple[Sighting, ...]:
    """Sort frames, given as (ns, how many alike, octets), by what they are. Offenders come first.

    Without ``registered_mac`` the MAC of the first frame counts as the port's own: more than one is a breach then too.
    """
    found: dict[tuple[str, str, int | None], Sighting] = {}
    for at, count, octets in frames:
        frame = dissect(octets)
        registered_mac = registered_mac or frame.source_mac
        key = kind_of(frame).value, frame.source_mac, frame.vlan
        known = found.get(key)
        if known is not None:
            found[key] = msgspec.structs.replace(known, frames=known.frames + count)
            continue
        found[key] = Sighting(
            kind=key[0],
            source_mac=frame.source_mac,
            vlan=frame.vlan,
            frames=count,
            first_at=at,
            first_hex=octets.hex(),
            breaks=broken_rules(frame, registered_mac, mld_allowed),
        )
    return tuple(sorted(found.values(), key=lambda one: (not one.breaks, one.first_at)))
