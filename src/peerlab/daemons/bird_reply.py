"""What BIRD answers on its control socket, as facts. Pure: lines in, values out.

A reply is lines of ``NNNN-text`` (more follow), ``NNNN text`` (the last), and `` text`` (the code of the line before).
Codes: 0xxx done, 1xxx and 2xxx tables, 8xxx run-time errors, 9xxx syntax errors (BIRD's doc/reply_codes). Formats as of
BIRD 2.0.12, with ``timeformat`` of seconds and microseconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from peerlab.bgp.attributes import (
    Address,
    Aggregator,
    Origin,
    PathAttributes,
    Prefix,
    RawAttribute,
    Segment,
    SegmentType,
)
from peerlab.daemons.bird_filter import SOURCE, STATEMENT


class Line(msgspec.Struct, frozen=True):
    """One line of a reply under its code."""

    code: int
    text: str


class BirdRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One route as BIRD shows it. ``protocol`` is BIRD's name of where it came from, ``kind`` BGP, static…

    ``statement`` and ``source`` are the custom attributes that the rendered filters set.
    """

    prefix: Prefix
    protocol: str
    kind: str
    best: bool
    reachable: bool
    learned_at: int
    attributes: PathAttributes
    statement: int | None = None
    source: int | None = None


class BirdSession(msgspec.Struct, frozen=True, kw_only=True):
    """A BGP protocol as ``show protocols all`` shows it. ``state`` is BIRD's own name of it."""

    name: str
    state: str
    neighbour_id: Address | None = None
    hold_time: int = 0
    keepalive: int = 0
    local_capabilities: tuple[str, ...] = ()
    neighbour_capabilities: tuple[str, ...] = ()
    neighbour_role: str | None = None
    imported: int = 0
    filtered: int = 0
    exported: int = 0
    last_error: str = ""
    counters: tuple[str, ...] = ()


_LINE = re.compile(r"(\d{4})([- ])(.*)", re.DOTALL)


def is_last(raw: str) -> bool:
    """Whether this line ends a reply."""
    match = _LINE.fullmatch(raw)
    return match is not None and match[2] == " "


def lines_of(raw: Iterable[str]) -> tuple[Line, ...]:
    """Every line with the code it stands under."""
    code = 0
    found = []
    for text in raw:
        match = _LINE.fullmatch(text)
        if match:
            code = int(match[1])
            found.append(Line(code, match[3]))
        else:
            found.append(Line(code, text[1:] if text.startswith((" ", "+")) else text))
    return tuple(found)


_ROUTE = re.compile(
    r"(?P<prefix>[0-9a-fA-F.:]+/\d+)?\s+(?P<way>[a-z]+) "
    r"\[(?P<protocol>\S+) (?P<seconds>\d+)\.(?P<micros>\d+)(?: from (?P<source>\S+))?\](?P<rest>.*)"
)
_ATTRIBUTE = re.compile(r"\t(?P<name>[A-Za-z_][\w.]*(?: \[[^\]]*\])?): ?(?P<value>.*)")
_TYPE = re.compile(r"\tType: (.+) univ")


def routes(lines: Iterable[Line]) -> Iterator[BirdRoute]:
    """Every route of a ``show route all``, in BIRD's order. Raises ValueError for a line that is none of its kind."""
    prefix = ""
    head: re.Match[str] | None = None
    kind = ""
    found: dict[str, str] = {}

    def finished() -> Iterator[BirdRoute]:
        if head is not None:
            yield _route(prefix, head, kind, found)

    for line in lines:
        text = line.text
        if not text.startswith("\t"):
            match = _ROUTE.match(text)
            if match is None:
                if not text.strip() or text.startswith("Table ") or line.code in (0, 1, 13, 14):
                    continue
                raise ValueError(f"BIRD answered {text!r}, which is no route")
            yield from finished()
            prefix = match["prefix"] or prefix
            head, kind, found = match, "", {}
            continue
        typed = _TYPE.fullmatch(text)
        if typed:
            kind = typed[1]
            continue
        attribute = _ATTRIBUTE.fullmatch(text)
        if attribute:
            found[attribute["name"]] = attribute["value"]
    yield from finished()


def _route(prefix: str, head: re.Match[str], kind: str, found: dict[str, str]) -> BirdRoute:
    return BirdRoute(
        prefix=Prefix(prefix),
        protocol=head["protocol"],
        kind=kind.split(" ")[0],
        best=" * " in f"{head['rest']} ",
        reachable=head["way"] != "unreachable",
        learned_at=int(head["seconds"]) * 1_000_000_000 + int(head["micros"].ljust(9, "0")),
        attributes=attributes_of(found),
        statement=_number(found.get(STATEMENT)),
        source=_number(found.get(SOURCE)),
    )


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


_KNOWN = {
    "BGP.origin",
    "BGP.as_path",
    "BGP.next_hop",
    "BGP.med",
    "BGP.local_pref",
    "BGP.atomic_aggr",
    "BGP.aggregator",
    "BGP.community",
    "BGP.large_community",
    "BGP.ext_community",
    "BGP.originator_id",
    "BGP.cluster_list",
    "BGP.otc",
}
_UNKNOWN = re.compile(r"BGP\.([0-9a-f]{2})(?: \[([^\]]*)\])?")


def attributes_of(found: dict[str, str]) -> PathAttributes:
    """Path attributes from BIRD's words for them. Raises ValueError for one that this parser cannot read."""
    hops = found.get("BGP.next_hop", "").split()
    aggregator = found.get("BGP.aggregator", "").split()
    unknown = []
    for name, value in found.items():
        if name.startswith("BGP.") and name not in _KNOWN:
            unknown.append(_unknown(name, value))
    return PathAttributes(
        origin=Origin[found.get("BGP.origin", "IGP").upper()],
        as_path=as_path(found.get("BGP.as_path", "")),
        next_hop=Address(hops[0]) if hops else None,
        link_local_next_hop=Address(hops[1]) if len(hops) > 1 else None,
        med=_number(found.get("BGP.med")),
        local_pref=_number(found.get("BGP.local_pref")),
        atomic_aggregate="BGP.atomic_aggr" in found,
        aggregator=Aggregator(int(aggregator[1].removeprefix("AS")), Address(aggregator[0])) if aggregator else None,
        communities=_communities(found.get("BGP.community", "")),
        large_communities=_communities(found.get("BGP.large_community", "")),
        extended_communities=_extended(found.get("BGP.ext_community", "")),
        originator_id=Address(found["BGP.originator_id"]) if "BGP.originator_id" in found else None,
        cluster_list=tuple(Address(one) for one in found.get("BGP.cluster_list", "").split()),
        otc=_number(found.get("BGP.otc")),
        unknown=tuple(unknown),
    )


_SEGMENTS = (
    (re.compile(r"\(\{([\d ]*)\}\)"), SegmentType.AS_CONFED_SET),
    (re.compile(r"\(([\d ]*)\)"), SegmentType.AS_CONFED_SEQUENCE),
    (re.compile(r"\{([\d ]*)\}"), SegmentType.AS_SET),
    (re.compile(r"([\d ]+)"), SegmentType.AS_SEQUENCE),
)


def as_path(text: str) -> tuple[Segment, ...]:
    """``64500 64501 {64502 64503}`` as segments. Raises ValueError."""
    path = []
    rest = text.strip()
    while rest:
        for pattern, kind in _SEGMENTS:
            match = pattern.match(rest)
            if match:
                path.append(Segment(kind, tuple(map(int, match[1].split()))))
                rest = rest[match.end() :].strip()
                break
        else:
            raise ValueError(f"BIRD shows the AS path {text!r}, which cannot be read at {rest!r}")
    return tuple(path)


def _communities(text: str) -> tuple[str, ...]:
    found = re.findall(r"\(([\d, ]+)\)", text)
    return tuple(sorted({":".join(part.strip() for part in one.split(",")) for one in found}))


def _extended(text: str) -> tuple[bytes, ...]:
    """Extended communities as octets (RFC 4360): rt, ro and generic ones. Raises ValueError for others."""
    found = []
    for name, first, second in re.findall(r"\(([^,()]+), *([^,()]+), *([^,()]+)\)", text):
        high, low = (int(part, 0) for part in (first, second)) if "." not in first else (0, int(second, 0))
        if name == "generic":
            found.append(high.to_bytes(4, "big") + low.to_bytes(4, "big"))
            continue
        subtype = {"rt": 2, "ro": 3}.get(name)
        if subtype is None:
            raise ValueError(f"BIRD shows the extended community ({name}, {first}, {second}), which cannot be read")
        if "." in first:
            octets = bytes(map(int, first.split("."))) + low.to_bytes(2, "big")
            found.append(bytes([1, subtype]) + octets)
        elif high > 0xFFFF:
            found.append(bytes([2, subtype]) + high.to_bytes(4, "big") + low.to_bytes(2, "big"))
        else:
            found.append(bytes([0, subtype]) + high.to_bytes(2, "big") + low.to_bytes(4, "big"))
    return tuple(found)


def _unknown(name: str, value: str) -> RawAttribute:
    match = _UNKNOWN.fullmatch(name)
    if match is None:
        raise ValueError(f"BIRD shows the attribute {name}, which cannot be read")
    flags = 0x80 | (0x40 if "t" in (match[2] or "") else 0)
    return RawAttribute(flags, int(match[1], 16), bytes.fromhex(value.replace(" ", "")))


_BFD = re.compile(
    r"(?P<address>[0-9a-fA-F.:]+)\s+\S+\s+(?P<state>\w+)\s+\S+\s+(?P<interval>[\d.]+)\s+(?P<timeout>[\d.]+)"
)


class BirdLiveness(msgspec.Struct, frozen=True):
    """A line of ``show bfd sessions``: state, and in milliseconds the sending interval and the detection time."""

    state: str
    interval_ms: int
    detection_ms: int


def liveness(lines: Iterable[Line]) -> dict[Address, BirdLiveness]:
    """BFD sessions by the neighbour's address."""
    found = {}
    for line in lines:
        match = _BFD.match(line.text)
        if match:
            interval, timeout = (round(float(match[name]) * 1000) for name in ("interval", "timeout"))
            found[Address(match["address"])] = BirdLiveness(match["state"], interval, timeout)
    return found


_CAPABILITIES = {
    "Multiprotocol": "multiprotocol",
    "Route refresh": "route refresh",
    "Extended next hop": "extended next hop",
    "Extended message": "extended message",
    "Graceful restart": "graceful restart",
    "4-octet AS numbers": "four octet as",
    "ADD-PATH": "add path",
    "Enhanced refresh": "enhanced route refresh",
    "Long-lived graceful restart": "long lived graceful restart",
    "Role": "bgp role",
}
"""BIRD's words for capabilities, and those of this laboratory."""

_LABEL = re.compile(r"\s*([A-Z][\w /-]*?):\s+(.*)")


def sessions(lines: Iterable[Line]) -> Iterator[BirdSession]:
    """Every BGP protocol of a ``show protocols all``."""
    name = ""
    gathered: list[str] = []
    state = ""
    for line in lines:
        if line.code == 1002 and line.text and not line.text.startswith((" ", "\t")):
            if name:
                yield _session(name, state, gathered)
            words = line.text.split(None, 6)
            name = words[0] if len(words) > 1 and words[1] == "BGP" else ""
            state = _state(words)
            gathered = []
        elif name:
            gathered.append(line.text)
    if name:
        yield _session(name, state, gathered)


def _state(words: list[str]) -> str:
    """The info column's first word; without one, the protocol's own state (``down`` when it is disabled)."""
    return words[5] if len(words) > 5 else words[3]


def _session(name: str, state: str, lines: list[str]) -> BirdSession:
    facts: dict[str, str] = {}
    capabilities: dict[str, list[str]] = {"Local": [], "Neighbor": []}
    roles: dict[str, str] = {}
    counters = []
    side = ""
    for text in lines:
        stripped = text.strip()
        if stripped in ("Local capabilities", "Neighbor capabilities"):
            side = stripped.partition(" ")[0]
            continue
        word, _, value = stripped.partition(":")
        if side and text.startswith("      ") and word in _CAPABILITIES:
            capabilities[side].append(_CAPABILITIES[word])
            if word == "Role":
                roles[side] = value.strip().replace("_", "-")
            continue
        match = _LABEL.fullmatch(text)
        if match:
            facts[match[1]] = match[2].strip()
        if stripped.startswith(("Import ", "Export ")):
            counters.append(stripped)
    told = re.findall(r"(\d+) (imported|filtered|exported)", facts.get("Routes", ""))
    numbers = {word: int(count) for count, word in told}
    hold, keep = (facts.get(f"{timer} timer", "0/0").rpartition("/")[2] for timer in ("Hold", "Keepalive"))
    return BirdSession(
        name=name,
        state=facts.get("BGP state", state),
        neighbour_id=Address(facts["Neighbor ID"]) if "Neighbor ID" in facts else None,
        hold_time=int(hold),
        keepalive=int(keep),
        local_capabilities=tuple(capabilities["Local"]),
        neighbour_capabilities=tuple(capabilities["Neighbor"]),
        neighbour_role=roles.get("Neighbor"),
        imported=numbers.get("imported", 0),
        filtered=numbers.get("filtered", 0),
        exported=numbers.get("exported", 0),
        last_error=facts.get("Last error", facts.get("Message", "")),
        counters=tuple(counters),
    )
