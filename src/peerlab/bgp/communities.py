"""Communities between octets, text and names, and patterns over them (RFC 1997, RFC 8092, RFC 4360)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

WELL_KNOWN = {
    "GRACEFUL_SHUTDOWN": "65535:0",
    "ACCEPT_OWN": "65535:1",
    "LLGR_STALE": "65535:6",
    "NO_LLGR": "65535:7",
    "BLACKHOLE": "65535:666",
    "NO_EXPORT": "65535:65281",
    "NO_ADVERTISE": "65535:65282",
    "NO_EXPORT_SUBCONFED": "65535:65283",
    "NOPEER": "65535:65284",
}
"""Names of IANA's registry of well-known communities and their values in text."""

GRACEFUL_SHUTDOWN = WELL_KNOWN["GRACEFUL_SHUTDOWN"]
BLACKHOLE = WELL_KNOWN["BLACKHOLE"]
NO_EXPORT = WELL_KNOWN["NO_EXPORT"]
NO_ADVERTISE = WELL_KNOWN["NO_ADVERTISE"]
NO_EXPORT_SUBCONFED = WELL_KNOWN["NO_EXPORT_SUBCONFED"]

_NAMES = {value: name for name, value in WELL_KNOWN.items()}
_COMMUNITY = re.compile(r"[0-9]{1,10}(:[0-9]{1,10}){1,2}")
_PATTERN = re.compile(r"(\*|[0-9]{1,10})(:(\*|[0-9]{1,10})){1,2}")


def parse_community(text: str) -> str:
    """Canonical text of a standard (``a:b``) or large (``a:b:c``) community; a well-known name becomes its value.

    Raises ValueError, saying what would be right, for anything else.
    """
    if text in WELL_KNOWN:
        return WELL_KNOWN[text]
    if not _COMMUNITY.fullmatch(text):
        raise ValueError(f"{text!r} is no community: write 8075:8007, 8075:1:2 or one of {', '.join(WELL_KNOWN)}")
    fields = [int(field) for field in text.split(":")]
    limit, what = (0xFFFF, "a standard") if len(fields) == 2 else (0xFFFFFFFF, "a large")
    if any(field > limit for field in fields):
        raise ValueError(f"{text!r} is no community: a field of {what} community is at most {limit}")
    return ":".join(map(str, fields))


def community_name(community: str) -> str | None:
    """The name of a well-known community, None for any other."""
    return _NAMES.get(community)


def community_bytes(community: str) -> bytes:
    """4 octets of a standard community in text. Raises ValueError when it is none."""
    high, _, low = community.partition(":")
    try:
        return int(high).to_bytes(2, "big") + int(low).to_bytes(2, "big")
    except (ValueError, OverflowError):
        raise ValueError(f"{community!r} is no standard community") from None


def large_community_bytes(community: str) -> bytes:
    """12 octets of a large community in text. Raises ValueError when it is none."""
    fields = community.split(":")
    try:
        if len(fields) != 3:
            raise ValueError
        return b"".join(int(field).to_bytes(4, "big") for field in fields)
    except (ValueError, OverflowError):
        raise ValueError(f"{community!r} is no large community") from None


@lru_cache(maxsize=8192)
def communities_text(octets: bytes) -> tuple[str, ...]:
    """Every community of a COMMUNITIES value, sorted and unique. ``octets`` is a multiple of 4 long."""
    return tuple(
        sorted(
            {
                f"{octets[at] << 8 | octets[at + 1]}:{octets[at + 2] << 8 | octets[at + 3]}"
                for at in range(0, len(octets), 4)
            }
        )
    )


@lru_cache(maxsize=8192)
def large_communities_text(octets: bytes) -> tuple[str, ...]:
    """Every community of a LARGE_COMMUNITY value, sorted and unique. ``octets`` is a multiple of 12 long."""
    words = [int.from_bytes(octets[at : at + 4], "big") for at in range(0, len(octets), 4)]
    return tuple(sorted({f"{words[i]}:{words[i + 1]}:{words[i + 2]}" for i in range(0, len(words), 3)}))


def is_transitive_extended(octets: bytes) -> bool:
    """Whether an extended community may cross into another AS (RFC 4360 section 2: the T bit is clear)."""
    return not octets[0] & 0x40


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(f"{pattern!r} is no community pattern: write 8075:8007, 8075:* or 8075:1:*")
    return re.compile(":".join("[0-9]+" if field == "*" else field for field in pattern.split(":")))


def matches(pattern: str, community: str) -> bool:
    """Whether a community matches: field by field, ``*`` stands for any one field, so ``8075:*`` is no large one.

    Raises ValueError when ``pattern`` is none.
    """
    return _compiled(pattern).fullmatch(community) is not None


def any_matches(patterns: Iterable[str], communities: Iterable[str]) -> bool:
    """Whether any of the communities matches any of the patterns."""
    communities = tuple(communities)
    return any(_compiled(pattern).fullmatch(community) for pattern in patterns for community in communities)
