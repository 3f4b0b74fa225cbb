"""The commands that make a running bgpd of one configuration into another, without a reset of what stays.

New lists and maps come first, then sessions and networks, and what nobody asks any more goes last: a map that is
applied must exist, and must be whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.bgp.attributes import Family
from peerlab.daemons.frr import Configuration, Neighbour

_FAMILIES = {Family.IPV4: "ipv4 unicast", Family.IPV6: "ipv6 unicast"}
SHUT = "shutdown"
_WHOLE = ("route-map", "timers", "maximum-prefix", "local-role", "password", "shutdown", "description")
"""Settings of which a new value replaces the old one; of any other line the old one is negated."""


def commands(before: Configuration, after: Configuration) -> list[str]:
    """What bgpd is told after ``configure terminal``, in order; nothing when both are the same."""
    lines = [
        line for name, one in after.definitions.items() if name not in before.definitions for line in one.lines
    ]
    inside = _inside(before, after)
    if inside:
        lines += [f"router bgp {after.asn}", *inside, "exit"]
    gone = [one for name, one in before.definitions.items() if name not in after.definitions]
    # Maps before the lists that they ask.
    return lines + [one.removal for one in sorted(gone, key=lambda one: not one.removal.startswith("no route-map"))]


def _inside(before: Configuration, after: Configuration) -> list[str]:
    lines = _changed(before.lines, after.lines, "")
    lines += [f"no neighbor {address}" for address in before.neighbours if address not in after.neighbours]
    for address, wanted in after.neighbours.items():
        was = before.neighbours.get(address)
        if was is None:
            # bgpd would begin with the first line: it is held back until it knows all, its role and key among it.
            begin, *rest = wanted.lines
            lines += [f"neighbor {address} {line}" for line in (begin, SHUT, *rest) if line]
        else:
            lines += _changed(was.lines, wanted.lines, f"neighbor {address} ")
    for family, name in _FAMILIES.items():
        within = _changed(before.networks[family], after.networks[family], "")
        for address, wanted in after.neighbours.items():
            if wanted.family is family:
                within += _changed(_family_lines(before.neighbours.get(address)), wanted.family_lines,
                                   f"neighbor {address} ")  # fmt: skip
        if within:
            lines += [f"address-family {name}", *within, "exit-address-family"]
    return lines + [
        f"no neighbor {address} {SHUT}"
        for address, wanted in after.neighbours.items()
        if address not in before.neighbours and SHUT not in wanted.lines
    ]


def _family_lines(neighbour: Neighbour | None) -> tuple[str, ...]:
    return () if neighbour is None else neighbour.family_lines


def _changed(before: Iterable[str], after: Iterable[str], begin: str) -> list[str]:
    """Lines that are gone, negated unless another value takes their place, then lines that are new."""
    was, wanted = list(before), list(after)
    added = [line for line in wanted if line not in was]
    replaced = {_place(line) for line in added}
    gone = [line for line in was if line not in wanted and _place(line) not in replaced]
    return [_negated(begin, line) for line in gone] + [begin + line for line in added]


def _place(line: str) -> str:
    """What a line sets: two lines of one place cannot both be."""
    words = line.split()
    if words[0] == "route-map":
        return f"route-map {words[-1]}"
    if words[0] == "network":
        return " ".join(words[:2])
    return words[0] if words[0] in _WHOLE and words[:2] != ["timers", "connect"] else line


def _negated(begin: str, line: str) -> str:
    return line.removeprefix("no ") if line.startswith("no ") and not begin else f"no {begin}{line}"
