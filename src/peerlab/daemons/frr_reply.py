"""What bgpd answers to ``show … json``, as facts. Pure: text in, values out. Formats as of FRR 8.4.4."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from peerlab.bgp.attributes import (
    Address,
    Aggregator,
    Origin,
    PathAttributes,
    Prefix,
    Segment,
    SegmentType,
)
from peerlab.daemons.frr_pattern import NAMES


class FrrRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One path of bgpd's table. ``peer`` is None for one of its own; ``best_by`` is why the best of them is."""

    prefix: Prefix
    peer: Address | None
    best: bool
    best_by: str
    reachable: bool
    learned_at: int
    attributes: PathAttributes
    tag: int = 0


class FrrSession(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbour as ``show bgp neighbors json`` shows it. ``state`` is FRR's own name of it; times are seconds."""

    address: Address
    state: str
    hold_time: int = 0
    keepalive: int = 0
    capabilities_sent: tuple[str, ...] = ()
    capabilities_received: tuple[str, ...] = ()
    remote_role: str | None = None
    accepted: int = 0
    advertised: int = 0
    last_reset: str = ""
    local_id: Address | None = None
    remote_id: Address | None = None
    next_hop: Address | None = None
    refreshes_heard: int = 0
    counters: tuple[int, ...] = ()


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """A route as ``received-routes`` and ``advertised-routes`` show it: without communities.

    ``as_path`` is text; ``next_hop`` is None for the own address.
    """

    prefix: Prefix
    as_path: str
    next_hop: Address | None
    med: int | None
    local_pref: int | None
    origin: Origin


_VALUES = {name: value for value, name in NAMES.items()} | {
    "noExport": "65535:65281",
    "noAdvertise": "65535:65282",
    "localAs": "65535:65283",
    "gracefulShutdown": "65535:0",
    "acceptOwn": "65535:1",
    "noPeer": "65535:65284",
}
_ORIGINS = {"IGP": Origin.IGP, "EGP": Origin.EGP, "incomplete": Origin.INCOMPLETE,
            "i": Origin.IGP, "e": Origin.EGP, "?": Origin.INCOMPLETE}  # fmt: skip
_SEGMENTS = {
    "as-sequence": SegmentType.AS_SEQUENCE,
    "as-set": SegmentType.AS_SET,
    "as-confed-sequence": SegmentType.AS_CONFED_SEQUENCE,
    "as-confed-set": SegmentType.AS_CONFED_SET,
}
_ANY_ADDRESS = ("0.0.0.0", "::")
_CAPABILITIES = {
    "4byteAs": "four octet as",
    "extendedMessage": "extended message",
    "routeRefresh": "route refresh",
    "enhancedRouteRefresh": "enhanced route refresh",
    "longLivedGracefulRestart": "long lived graceful restart",
    "gracefulRestart": "graceful restart",
    "addPath": "add path",
    "multiprotocolExtensions": "multiprotocol",
    "extendedNexthop": "extended next hop",
    "role": "bgp role",
}


def read(text: str) -> Any:
    """JSON of bgpd. Raises ValueError with the beginning of what it said instead."""
    try:
        return msgspec.json.decode(text.encode() or b"{}")
    except msgspec.DecodeError as error:
        raise ValueError(f"FRR answered {text[:80]!r}, which is no JSON") from error


def routes(text: str) -> list[FrrRoute]:
    """Every path of ``show bgp FAMILY unicast json detail``, or of one prefix's ``show bgp … PREFIX json``."""
    said = read(text)
    if "paths" in said:
        return _of_prefix(said["prefix"], said["paths"])
    found = []
    for prefix, parts in said.get("routes", {}).items():
        found += _of_prefix(prefix, [part for part in parts if "aspath" in part])
    return found


def _of_prefix(prefix: str, paths: list[dict[str, Any]]) -> list[FrrRoute]:
    best_by = next((one["bestpath"].get("selectionReason", "") for one in paths if _is_best(one)), "")
    return [
        FrrRoute(
            prefix=Prefix(prefix),
            peer=_peer(one),
            best=_is_best(one),
            best_by=best_by,
            reachable=bool(one.get("valid")),
            learned_at=int(one.get("lastUpdate", {}).get("epoch", 0)) * 1_000_000_000,
            attributes=attributes_of(one),
            tag=one.get("tag", 0),
        )
        for one in paths
        if not one.get("removed")
    ]


def _peer(path: dict[str, Any]) -> Address | None:
    peer = path["peer"]["peerId"]
    return None if path.get("sourced") or peer in _ANY_ADDRESS else Address(peer)


def _is_best(path: dict[str, Any]) -> bool:
    return bool(path.get("bestpath", {}).get("overall"))


def attributes_of(path: dict[str, Any]) -> PathAttributes:
    """Path attributes from bgpd's words. Extended communities and unknown attributes are not among them.

    Raises ValueError for words that cannot be read.
    """
    try:
        hops = [hop for hop in path.get("nexthops", []) if hop.get("ip") not in _ANY_ADDRESS]
        known = [hop["ip"] for hop in hops if hop.get("scope") != "link-local"]
        local = [hop["ip"] for hop in hops if hop.get("scope") == "link-local"]
        return PathAttributes(
            origin=_ORIGINS[path["origin"]],
            as_path=tuple(
                Segment(_SEGMENTS[one["type"]], tuple(one["list"])) for one in path["aspath"].get("segments", [])
            ),
            next_hop=Address(known[0]) if known else None,
            link_local_next_hop=Address(local[0]) if local else None,
            med=path.get("metric", path.get("med")),
            local_pref=path.get("locPrf"),
            atomic_aggregate=bool(path.get("atomicAggregate")),
            aggregator=Aggregator(path["aggregatorAs"], Address(path["aggregatorId"]))
            if path.get("aggregatorAs") else None,
            communities=_communities(path.get("community", {})),
            large_communities=tuple(sorted(path.get("largeCommunity", {}).get("list", ()))),
            originator_id=Address(path["originatorId"]) if "originatorId" in path else None,
            cluster_list=tuple(Address(one) for one in path.get("clusterList", {}).get("list", ())),
            otc=path.get("otc"),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"FRR shows a route in words that cannot be read ({error!r}): {path}") from error


def _communities(said: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(_VALUES.get(one, one) for one in said.get("string", "").split()))


def briefs(text: str) -> list[Brief]:
    """Every route of ``received-routes json`` or ``advertised-routes json``; none for a session that is down."""
    said = read(text)
    found = said.get("receivedRoutes", said.get("advertisedRoutes", {}))
    return [
        Brief(
            prefix=Prefix(prefix),
            as_path=one.get("path", ""),
            next_hop=_hop(one),
            med=one.get("metric", one.get("med")),
            local_pref=one.get("locPrf"),
            origin=_ORIGINS[one["bgpOriginCode"]],
        )
        for prefix, one in found.items()
    ]


def _hop(one: dict[str, Any]) -> Address | None:
    text = one.get("nextHopGlobal", one.get("nextHop", ""))
    return None if text in ("", *_ANY_ADDRESS) else Address(text)


def attributes_of_brief(brief: Brief) -> PathAttributes:
    """What a brief shows of a route's attributes. Raises ValueError for a path that cannot be read."""
    return PathAttributes(
        origin=brief.origin,
        as_path=path_of(brief.as_path),
        next_hop=brief.next_hop,
        med=brief.med,
        local_pref=brief.local_pref,
    )


_PARTS = (
    (re.compile(r"\{([\d,]+)\}"), SegmentType.AS_SET),
    (re.compile(r"\(([\d ]+)\)"), SegmentType.AS_CONFED_SEQUENCE),
    (re.compile(r"\[([\d,]+)\]"), SegmentType.AS_CONFED_SET),
    (re.compile(r"([\d ]+)"), SegmentType.AS_SEQUENCE),
)


def path_of(text: str) -> tuple[Segment, ...]:
    """``64500 64501 {64502,64503}`` as segments. Raises ValueError."""
    path, rest = [], text.strip()
    while rest:
        for pattern, kind in _PARTS:
            if match := pattern.match(rest):
                path.append(Segment(kind, tuple(map(int, re.findall(r"\d+", match[1])))))
                rest = rest[match.end() :].strip()
                break
        else:
            raise ValueError(f"FRR shows the AS path {text!r}, which cannot be read at {rest!r}")
    return tuple(path)


def path_text(attributes: PathAttributes) -> str:
    """A path as bgpd writes it."""
    marks = {
        SegmentType.AS_SEQUENCE: ("", " ", ""),
        SegmentType.AS_SET: ("{", ",", "}"),
        SegmentType.AS_CONFED_SEQUENCE: ("(", " ", ")"),
        SegmentType.AS_CONFED_SET: ("[", ",", "]"),
    }
    parts = []
    for segment in attributes.as_path:
        begin, between, end = marks[segment.kind]
        members = segment.asns if between == " " else tuple(sorted(segment.asns))
        parts.append(begin + between.join(map(str, members)) + end)
    return " ".join(parts)


def sessions(text: str) -> list[FrrSession]:
    """Every neighbour of ``show bgp neighbors json``."""
    told = {address: one for address, one in read(text).items() if isinstance(one, dict) and "bgpState" in one}
    return [_session(Address(address), one) for address, one in told.items()]


def _session(address: Address, one: dict[str, Any]) -> FrrSession:
    sent, received = [], []
    for word, name in _CAPABILITIES.items():
        told = _flat(one.get("neighborCapabilities", {}).get(word))
        if "advertised" in told:
            sent.append(name)
        if "received" in told:
            received.append(name)
    families = list(one.get("addressFamilyInfo", {}).values())
    stats = one.get("messageStats", {})
    role = one.get("remoteRole", "undefined")
    return FrrSession(
        address=address,
        state=one["bgpState"],
        hold_time=one.get("bgpTimerHoldTimeMsecs", 0) // 1000,
        keepalive=one.get("bgpTimerKeepAliveIntervalMsecs", 0) // 1000,
        capabilities_sent=tuple(sent),
        capabilities_received=tuple(received),
        remote_role=None if role == "undefined" else {"rs-server": "rs"}.get(role, role),
        accepted=sum(each.get("acceptedPrefixCounter", 0) for each in families),
        advertised=sum(each.get("sentPrefixCounter", 0) for each in families),
        last_reset=one.get("lastResetDueTo", ""),
        local_id=Address(one["localRouterId"]) if "localRouterId" in one else None,
        remote_id=Address(one["remoteRouterId"]) if "remoteRouterId" in one else None,
        refreshes_heard=stats.get("routeRefreshRecv", 0),
        counters=tuple(stats.get(word, 0) for word in _COUNTED)
        + tuple(each.get("sentPrefixCounter", 0) for each in families),
    )


_COUNTED = ("depthInq", "depthOutq", "opensSent", "opensRecv", "notificationsSent", "notificationsRecv", "updatesSent",
            "updatesRecv", "routeRefreshSent", "routeRefreshRecv")  # fmt: skip


def _flat(told: Any) -> str:
    """All words of a capability, lower case: bgpd nests what was advertised and received in several ways."""
    if isinstance(told, dict):
        return " ".join(f"{key if value is True else ''} {_flat(value)}" for key, value in told.items()).lower()
    return str(told).lower() if isinstance(told, str) else ""


def received_count(text: str) -> int:
    """How many routes a peer has announced, from ``show bgp … neighbors … prefix-counts json``."""
    return int(read(text).get("ribTableWalkCounters", {}).get("Adj-in", 0))
