"""What is asked of AS paths and communities, as regular expressions over FRR's text of them.

FRR writes a path as ``64500 64501 {64502,64503}`` and communities as ``64500:1 no-export``, with names for the
well-known ones; its lists match POSIX extended expressions (glibc's, with back references). No expression here holds
a ``|`` before a blank: a command line of FRR ends there. Measured on 8.4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from peerlab.bgp.communities import parse_community
from peerlab.bgp.policy import AsnRange

NAMES = {
    "0:0": "internet",
    "65535:0": "graceful-shutdown",
    "65535:1": "accept-own",
    "65535:2": "route-filter-translated-v4",
    "65535:3": "route-filter-v4",
    "65535:4": "route-filter-translated-v6",
    "65535:5": "route-filter-v6",
    "65535:6": "llgr-stale",
    "65535:7": "no-llgr",
    "65535:8": "accept-own-nexthop",
    "65535:666": "blackhole",
    "65535:65281": "no-export",
    "65535:65282": "no-advertise",
    "65535:65283": "local-AS",
    "65535:65284": "no-peer",
}
"""Standard communities that FRR 8.4.4 shows, and matches, by name."""

HAS_SET = "[{(]"
PREPENDED = r"( |^)([0-9]+) \2( |$)"
"""The members of a set are parted by commas, so two numbers parted by a blank stand in a sequence."""

_LARGEST_ASN = 4294967295


def longer_than(limit: int) -> str:
    """A path of more than ``limit`` places, of which a set takes one."""
    return f"^([^ ]+ ){{{limit}}}[^ ]+"


def first_is(asn: int) -> str:
    """A path whose leftmost AS this is."""
    return f"^{asn}( |$)"


def contains(ranges: Iterable[AsnRange]) -> list[str]:
    """Paths that hold an AS of the ranges anywhere: one of the expressions matches."""
    return [f"_{one}_" for one in _numbers(ranges)]


def ends_in(ranges: Iterable[AsnRange]) -> list[str]:
    """Paths whose origin is in the ranges; one that ends in a set has none."""
    return [f"( |^){one}$" for one in _numbers(ranges)]


def _numbers(ranges: Iterable[AsnRange]) -> list[str]:
    found: list[str] = []
    for one in ranges:
        if one.low <= 0 and one.high >= _LARGEST_ASN:
            return ["[0-9]+"]
        texts = list(numbers_between(one.low, one.high))
        # A few alternatives to an expression: long ones are slow to compile, many lines are slow to walk.
        found += [_any_of(texts[start : start + 8]) for start in range(0, len(texts), 8)]
    return found


def _any_of(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({'|'.join(texts)})"


def numbers_between(low: int, high: int) -> Iterator[str]:
    """Expressions that together match the decimal numbers from ``low`` to ``high``, both included, and no other.

    Raises ValueError when there is none.
    """
    if low > high:
        raise ValueError(f"there is no AS number from {low} to {high}")
    while low <= high:
        # The largest block from ``low`` whose last digits are all free: 64500..64599 is 645[0-9][0-9].
        free = 1
        while low % (free * 10) == 0 and low + free * 10 - 1 <= high and low > 0:
            free *= 10
        # and as many neighbours of it as share all digits before.
        block = low // free
        last = min(block + 9 - block % 10, (high + 1) // free - 1)
        digits = str(block)
        step = digits if last == block else f"{digits[:-1]}[{digits[-1]}-{last % 10}]"
        yield step + "[0-9]" * (len(str(free)) - 1)
        low = (last + 1) * free


def standard(pattern: str) -> list[str]:
    """Expressions of a pattern of standard communities: over the number, and over the names that it means."""
    fields = _fields(pattern)
    body = ":".join("[0-9]+" if field == "*" else field for field in fields)
    named = [name for value, name in NAMES.items() if _agrees(fields, value.split(":"))]
    return [f"( |^){body}( |$)", *(f"( |^){name}( |$)" for name in named)]


def large(pattern: str) -> list[str]:
    """The expression of a pattern of large communities."""
    body = ":".join("[0-9]+" if field == "*" else field for field in _fields(pattern))
    return [f"( |^){body}( |$)"]


def is_large(pattern: str) -> bool:
    """Whether a pattern is about large communities."""
    return len(_fields(pattern)) == 3


def _fields(pattern: str) -> list[str]:
    """Raises ValueError for what is no community and no pattern."""
    text = pattern if "*" in pattern else parse_community(pattern)
    return text.split(":")


def _agrees(fields: list[str], values: list[str]) -> bool:
    return len(fields) == len(values) and all(
        field in ("*", value) for field, value in zip(fields, values, strict=True)
    )
