"""What ``bgpctl -j`` says, read strictly: a word that cannot be read is an error, never a guess. Measured on 7.7.

It writes MED 0 for a route without MED, and LOCAL_PREF 100 for one without LOCAL_PREF. Extended communities and
unknown attributes are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from peerlab.bgp.attributes import Address, Aggregator, Origin, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.communities import WELL_KNOWN
from peerlab.daemons.openbgpd_filter import DISCARDED, MARK, MED_SET
from peerlab.daemons.shown_route import ShownRoute

DEFAULT_LOCAL_PREF = 100

_NAMES = WELL_KNOWN | {"NO_PEER": WELL_KNOWN["NOPEER"]}
_ORIGINS = {"IGP": Origin.IGP, "EGP": Origin.EGP, "incomplete": Origin.INCOMPLETE}
_NOBODY = "???"
_PATH = re.compile(r"(?P<open>[{(\[])|(?P<close>[})\]])|(?P<asn>\d+)")
_SETS = {"{": SegmentType.AS_SET, "(": SegmentType.AS_CONFED_SEQUENCE, "[": SegmentType.AS_CONFED_SET}
_CAPABILITIES = {
    "as4byte": "four octet as",
    "refresh": "route refresh",
    "enhanced_refresh": "enhanced route refresh",
    "multiprotocol": "multiprotocol",
    "graceful_restart": "graceful restart",
    "open_policy_role": "bgp role",
    "add-path": "add path",
}


class OpenBgpdSession(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbour as bgpctl shows it. ``counters`` are another value when messages or routes have passed since."""

    address: Address
    state: str
    hold_time: int = 0
    keepalive: int = 0
    capabilities_sent: tuple[str, ...] = ()
    capabilities_received: tuple[str, ...] = ()
    remote_role: str | None = None
    received: int = 0
    advertised: int = 0
    end_of_rib: bool = False
    last_error: str = ""
    counters: tuple[int, ...] = ()


def read(text: str) -> dict[str, Any]:
    """JSON of bgpctl; nothing for a table without routes. Raises ValueError with the beginning of what it said."""
    # Some commands say a line in words before.
    start = text.find("{")
    try:
        said = msgspec.json.decode(text[start:].encode()) if start >= 0 else None
    except msgspec.DecodeError:
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"OpenBGPD answered {text[:80]!r}, which is no JSON")
    return said


def refusal(said: Mapping[str, Any]) -> str | None:
    """OpenBGPD's words when it refused a command."""
    return str(said.get("error", "refused")) if said.get("status", "OK") != "OK" else None


def routes(said: Mapping[str, Any]) -> list[ShownRoute]:
    """Every route of ``show rib detail``. Raises ValueError."""
    return [_route(one) for one in said.get("rib", ())]


def _route(one: Mapping[str, Any]) -> ShownRoute:
    try:
        address = one["neighbor"]["remote_addr"]
        marks = one.get("large_communities", ())
        return ShownRoute(
            prefix=Prefix(one["prefix"]),
            peer=None if address == _NOBODY else Address(address),
            attributes=attributes_of(one),
            best=one.get("best", False),
            age=one["last_update_sec"],
            discarded=DISCARDED in marks,
            med_is_set=MED_SET in marks,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"OpenBGPD shows a route in words that cannot be read ({error!r}): {one}") from error


def attributes_of(one: Mapping[str, Any]) -> PathAttributes:
    """Path attributes as shown, without the marks of this laboratory's rules. Raises KeyError, ValueError."""
    more = {part["type"]: part for part in one.get("attributes", ())}
    hop = one["exit_nexthop"]
    aggregator = more.get("Aggregator")
    return PathAttributes(
        origin=_ORIGINS[one["origin"]],
        as_path=path_of(one["aspath"]),
        next_hop=None if hop in ("0.0.0.0", "::") else Address(hop),
        med=one["metric"] or None,
        local_pref=one["localpref"],
        atomic_aggregate="Atomic Aggregate" in more,
        aggregator=None if aggregator is None else Aggregator(aggregator["AS"], Address(aggregator["router_id"])),
        communities=tuple(sorted(_NAMES.get(text, text) for text in one.get("communities", ()))),
        large_communities=tuple(
            sorted(text for text in one.get("large_communities", ()) if not text.startswith(f"{MARK}:"))
        ),
        originator_id=Address(more["Originator Id"]["originator"]) if "Originator Id" in more else None,
        cluster_list=tuple(Address(text) for text in more.get("Cluster Id List", {}).get("cluster_list", ())),
        otc=more["OTC"]["as"] if "OTC" in more else None,
    )


def path_of(text: str) -> tuple[Segment, ...]:
    """``64500 64501 { 64502 64503 }`` as segments. Raises ValueError."""
    path: list[Segment] = []
    kind, asns = SegmentType.AS_SEQUENCE, []
    for word in text.split():
        for match in _words(word, text):
            if match["asn"]:
                asns.append(int(match["asn"]))
                continue
            if asns:
                path.append(Segment(kind, tuple(asns)))
            kind, asns = _SETS.get(match["open"] or "", SegmentType.AS_SEQUENCE), []
    if asns:
        path.append(Segment(kind, tuple(asns)))
    return tuple(path)


def _words(word: str, text: str) -> list[re.Match[str]]:
    found = list(_PATH.finditer(word))
    if "".join(match[0] for match in found) != word:
        raise ValueError(f"OpenBGPD shows the AS path {text!r}, which cannot be read at {word!r}")
    return found


def sessions(said: Mapping[str, Any]) -> list[OpenBgpdSession]:
    """Every neighbour of ``show neighbor``. Raises ValueError."""
    try:
        return [_session(one) for one in said.get("neighbors", ())]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"OpenBGPD shows a neighbour in words that cannot be read ({error!r})") from error


def _session(one: Mapping[str, Any]) -> OpenBgpdSession:
    stats, session = one["stats"], one.get("session", {})
    remote = session.get("remote", {}).get("capabilities", {})
    update, message, refresh = stats["update"], stats["message"], stats["route-refresh"]
    return OpenBgpdSession(
        address=Address(one["remote_addr"]),
        state=one["state"],
        hold_time=session.get("holdtime", 0),
        keepalive=session.get("keepalive", 0),
        capabilities_sent=_capabilities(session.get("local", {}).get("capabilities", {})),
        capabilities_received=_capabilities(remote),
        remote_role=remote.get("open_policy_role"),
        received=stats["prefixes"]["received"],
        advertised=stats["prefixes"]["sent"],
        end_of_rib=update["received"]["eor"] > 0,
        last_error=one.get("last_error_received", one.get("last_error_sent", "")),
        counters=(
            *(message[way][what] for way in ("sent", "received") for what in ("open", "notifications", "updates")),
            *(update[way][what] for way in ("sent", "received") for what in ("updates", "withdraws", "eor")),
            *update["pending"].values(),
            *refresh["sent"].values(),
            *refresh["received"].values(),
            *stats["prefixes"].values(),
        ),
    )


def _capabilities(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for word, name in _CAPABILITIES.items() if said.get(word))
