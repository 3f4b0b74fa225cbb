"""TEL-02 to TEL-05 and TEL-07: what Microsoft tells of routes and latencies, beside the wire and the routers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from verify_model import CUSTOMER, ISP, M4, P4, P6
from verify_row import Row
from verify_scenario import Scenario, ns, path

from peerlab.evidence.events import PrefixEventRaised, StimulusObserved
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.topology.model import RegistryEntry
from peerlab.verify.telemetry_events import LEVEL

HIJACKER = 64511
SAYINGS: tuple[tuple[str, str, str, int, tuple[str, ...], str], ...] = (
    # session, sender, change, origin, types of the events that follow, alarm
    ("c1-4", "isp1", "withdraw", CUSTOMER, ("PrefixWithdrawalEvent", "PrefixActivePath"), "withdrawal"),
    ("c1-4", "isp1", "announce", CUSTOMER, ("PrefixAnnouncementEvent", "PrefixActivePath"), ""),
    ("c1-4", "isp1", "announce", HIJACKER, ("PrefixOriginAsChangeEvent",), "hijack"),
    ("c3-4", "isp2", "withdraw", CUSTOMER, ("PrefixBackupRouteWithdrawalEvent", "PrefixBackupPath"), "withdrawal"),
    ("c3-4", "isp2", "announce", CUSTOMER, ("PrefixBackupRouteAnnouncementEvent",), ""),
    ("c3-4", "isp2", "announce", HIJACKER, ("PrefixBackupRouteOriginAsChangeEvent",), "hijack"),
    ("tr-4", "transit", "announce", CUSTOMER, ("PrefixAnnouncementEvent",), "leak"),
)
BEGIN, EVERY, SOON = 400.0, 10.0, 0.05
EDGE = {"c1-4": "ams1", "c3-4": "lon1", "tr-4": "lon1"}


def told(s: Scenario) -> None:
    """Every saying on the wire, and its events a moment later."""
    for number, (session, sender, change, origin, kinds, alarm) in enumerate(SAYINGS):
        at = BEGIN + EVERY * number
        about = {"trial": str(number), "name": "service/cust-v4", "prefix": P4, "change": change, "origin": origin}
        s.trial(
            TelemetryStimulus.PREFIX_CHANGED,
            sender,
            session,
            did={**about, "expected": list(kinds), "alarm": alarm},
            saw={"trial": str(number), "session": session, "raised": list(kinds)},
            at=at,
        )
        if change == "withdraw":
            s.withdraw(session, sender, [P4], at + 0.01)
        else:
            s.announce(session, sender, [P4], at + 0.01, as_path=path(ISP, origin))
        for kind in kinds:
            raised(s, at + SOON, kind, session, origin, alarm if "Path" not in kind else "")


def raised(s: Scenario, at: float, kind: str, session: str, origin: int, alarm: str, level: str = "") -> None:
    s.tell(
        PrefixEventRaised(
            at=ns(at),
            name="service/cust-v4",
            prefix=P4,
            kind=kind,
            level=level or LEVEL[kind],
            summary="",
            node=EDGE[session],
            session=session,
            origin=origin,
            alarm=alarm,
            caused_at=ns(at - SOON + 0.02),
        )
    )


def _hijack(**more: Any) -> dict[str, Any]:
    return {"kind": "PrefixOriginAsChangeEvent", **more}


def _late(s: Scenario, kind: str) -> None:
    (event,) = [e for e in s.events if isinstance(e, PrefixEventRaised) and e.kind == kind]
    s.amend(PrefixEventRaised, {"kind": kind}, at=event.at + 3 * 10**9)


def listed(s: Scenario) -> None:
    """The routes of isp-ams, listed whole and by two filters; one of each RPKI state stands among them."""
    s.model = msgspec.structs.replace(
        s.model,
        registry=(
            RegistryEntry(prefix=P4, origin_asn=CUSTOMER, max_length=24),
            RegistryEntry(prefix=M4, origin_asn=64505, max_length=24),
        ),
    )
    s.announce("c1-4", "isp1", [M4, UNKNOWN], 34.0, as_path=path(ISP))
    rows = []
    for name in ("c1", "c2"):
        for family, prefix in (("4", P4), ("6", P6)):
            hop = s.model.session(f"{name}-{family}").end("isp1").address
            state = "Valid" if family == "4" else "Unknown"
            rows.append(row(f"{name}-{family}", prefix, hop, f"{ISP} {CUSTOMER}", state))
    rows.append(row("c1-4", M4, "192.0.2.2", str(ISP), "Invalid"))
    rows.append(row("c1-4", UNKNOWN, "192.0.2.2", str(ISP), "Unknown"))
    sessions = ["c1-4", "c1-6", "c2-4", "c2-6"]
    for number, (filters, wanted) in enumerate(
        (
            ({}, rows),
            ({"rpkiValidationState": "invalid"}, rows[4:5]),
            ({"asPath": f"{ISP} {CUSTOMER}", "prefix": P4}, [r for r in rows[:4] if r["prefix"] == P4]),
        )
    ):
        trial = str(number)
        s.trial(
            TelemetryStimulus.RECEIVED_ROUTES,
            "",
            did={"trial": trial, "peering": "isp-ams", "sessions": sessions, "filters": filters},
            saw={"trial": trial, "rows": wanted},
            at=36.0 + number / 10,
            until=36.05 + number / 10,
        )


UNKNOWN = "192.88.99.0/24"


def row(session: str, prefix: str, hop: str, asns: str, state: str) -> dict[str, object]:
    return {"session": session, "prefix": prefix, "next_hop": hop, "as_path": asns, "origin": state, "rpki": state}


def _listings(s: Scenario) -> Iterator[list[dict[str, object]]]:
    """The rows of every listing, to be changed."""
    for event in s.events:
        if isinstance(event, StimulusObserved) and event.stimulus == TelemetryStimulus.RECEIVED_ROUTES:
            yield event.detail["rows"]  # type: ignore[misc]


def _change_rows(s: Scenario, **fields: object) -> None:
    """Change the first row of every listing."""
    for rows in _listings(s):
        rows[0] = {**rows[0], **fields}


def _add_row(s: Scenario) -> None:
    for rows in _listings(s):
        rows.append(row("c1-4", "203.0.113.128/25", "192.0.2.2", "1", "Unknown"))


def _no_invalid(s: Scenario) -> None:
    s.messages = [m for m in s.messages if m.at != ns(34.0)]
    for rows in _listings(s):
        rows[:] = [r for r in rows if r["as_path"] != str(ISP)]


PLACES = (("EdgeSite", "Amsterdam"), ("AzureRegion", "westeurope"))
ROUTE = {"prefix": P4, "as_path": f"{ISP} {CUSTOMER}", "next_hop": "192.0.2.2"}
OUTPUT = {
    "Ping": "ams1> ping 203.0.113.10\n5 packets sent, 5 received, 0% loss",
    "Traceroute": "ams1> traceroute 203.0.113.10\n  1  192.0.2.2  0.2 ms\n  2  *\n  3  203.0.113.10  0.3 ms\nreached",
    "BgpRoute": (
        f"ams1> show bgp 203.0.113.10\nBGP routing table entry for {P4}, 2 path(s)\n"
        f"*> {ISP} {CUSTOMER}, next hop 192.0.2.2, local preference 300\n"
        f"*  {ISP} {CUSTOMER}, next hop 10.255.0.2 (igp metric)"
    ),
}
OWN: dict[str, dict[str, object]] = {
    "Ping": {"received": 3, "sent": 3},
    "Traceroute": {"hops": ["192.0.2.2", "", "203.0.113.10"]},
    "BgpRoute": {"best": ROUTE},
}


def asked(s: Scenario) -> None:
    """Every command from an edge site and from a region."""
    for source, location in PLACES:
        for command, output in OUTPUT.items():
            trial = f"{command} {source}"
            did: dict[str, object] = {"trial": trial, "command": command, "source": source, "location": location}
            saw: dict[str, object] = {"trial": trial, "output": output, **OWN[command]}
            s.trial(
                TelemetryStimulus.LOOKING_GLASS, "ams1", did={**did, "destination": "203.0.113.10"}, saw=saw, at=400.0
            )


def _say(s: Scenario, command: str, **fields: object) -> None:
    """Change the answers to one command."""
    hit = False
    for event in s.events:
        detail = getattr(event, "detail", {})
        if "output" in detail and str(detail["trial"]).startswith(command):
            detail.update(fields)
            hit = True
    assert hit


def delayed(s: Scenario) -> None:
    """40 ms more, in the window of 6 h; that of 30 d remembers both."""
    s.trial(
        TelemetryStimulus.DELAYED,
        "ams1",
        did={"trial": "1", "prefix": P4, "delay_ms": 40.0},
        saw={"trial": "1", "window": "6h", "before": report(0.1, 6, 0.1, 6), "after": report(40.6, 6, 20.3, 14)},
        at=400.0,
    )


def report(short: float, few: int, long: float, many: int) -> dict[str, object]:
    return {
        "6h": {"median_ms": short, "measurements": few},
        "30d": {"median_ms": long, "measurements": many},
    }


MONITORING_ROWS = (
    Row(
        "TEL-02",
        told,
        breaks={
            "a withdrawal is not told": lambda s: s.forget(PrefixEventRaised, kind="PrefixWithdrawalEvent"),
            "told three seconds late": lambda s: _late(s, "PrefixOriginAsChangeEvent"),
            "a hijack is only a warning": lambda s: s.amend(PrefixEventRaised, _hijack(), level="Warning"),
            "of the active route instead of the backup's": lambda s: s.amend(
                PrefixEventRaised, {"kind": "PrefixBackupRouteOriginAsChangeEvent"}, kind="PrefixOriginAsChangeEvent"
            ),
            "the new path is not told": lambda s: s.forget(PrefixEventRaised, kind="PrefixBackupPath"),
            "an event is invented": lambda s: raised(s, 900.0, "PrefixAnnouncementEvent", "c1-4", CUSTOMER, ""),
            "a withdrawal is invented": lambda s: raised(s, 900.0, "PrefixWithdrawalEvent", "c1-4", CUSTOMER, ""),
            "with an origin that nobody announced": lambda s: s.amend(PrefixEventRaised, _hijack(), origin=64510),
        },
        lacks={
            "nothing was tried": lambda s: s.untry(TelemetryStimulus.PREFIX_CHANGED),
            "the UPDATE is not on the trace": lambda s: s.silence("tr-4"),
            "no trial led to a type": lambda s: s.redo(TelemetryStimulus.PREFIX_CHANGED, expected=[]),
        },
    ),
    Row(
        "TEL-03",
        told,
        breaks={
            "a hijack raises no alarm": lambda s: s.amend(PrefixEventRaised, _hijack(), alarm=""),
            "a leak raises no alarm": lambda s: s.amend(PrefixEventRaised, {"alarm": "leak"}, alarm=""),
            "a withdrawal is told three seconds late": lambda s: _late(s, "PrefixWithdrawalEvent"),
            "with another session": lambda s: s.amend(PrefixEventRaised, _hijack(), session="c2-4"),
            "with another origin": lambda s: s.amend(PrefixEventRaised, _hijack(), origin=CUSTOMER),
            "of another prefix": lambda s: s.amend(PrefixEventRaised, _hijack(), prefix=M4),
        },
        lacks={
            "nothing was tried": lambda s: s.untry(TelemetryStimulus.PREFIX_CHANGED),
            "no leak was on the wire": lambda s: s.silence("tr-4"),
        },
    ),
    Row(
        "TEL-04",
        delayed,
        breaks={
            "6 % too little": lambda s: s.resee(TelemetryStimulus.DELAYED, after=report(37.7, 6, 20.3, 14)),
            "6 % too much": lambda s: s.resee(TelemetryStimulus.DELAYED, after=report(42.5, 6, 20.3, 14)),
            "the delay is not seen": lambda s: s.resee(TelemetryStimulus.DELAYED, after=report(0.1, 6, 0.1, 14)),
            "nothing is forgotten": lambda s: s.resee(TelemetryStimulus.DELAYED, after=report(40.6, 14, 40.6, 14)),
        },
        lacks={
            "this machine has no delay": lambda s: s.resee(TelemetryStimulus.DELAYED, unsupported="no netem"),
            "nothing was measured": lambda s: s.resee(TelemetryStimulus.DELAYED, after={}),
            "not tried": lambda s: s.untry(TelemetryStimulus.DELAYED),
        },
    ),
    Row(
        "TEL-05",
        listed,
        breaks={
            "a route is left out": lambda s: s.announce("c2-4", "isp1", ["192.0.0.0/24"], 35.0, as_path=path(ISP)),
            "a route is made up": _add_row,
            "a withdrawn route is listed": lambda s: s.withdraw("c1-4", "isp1", [P4], 35.0),
            "another path": lambda s: _change_rows(s, as_path=str(ISP)),
            "another next hop": lambda s: _change_rows(s, next_hop="192.0.2.99"),
            "another RPKI state": lambda s: _change_rows(s, rpki="Unknown"),
            "another origin state": lambda s: _change_rows(s, origin="Invalid"),
            "a filter picks what it should not": lambda s: s.redo(
                TelemetryStimulus.RECEIVED_ROUTES, filters={"prefix": "10.0.0.0/8"}
            ),
        },
        lacks={
            "the trace has a gap": lambda s: s.lose("c2-6"),
            "the peer tells something meanwhile": lambda s: s.announce(
                "c1-4", "isp1", ["192.0.0.0/24"], 36.02, as_path=path(ISP)
            ),
            "no route was invalid": _no_invalid,
            "nothing was listed": lambda s: s.untry(TelemetryStimulus.RECEIVED_ROUTES),
        },
    ),
    Row(
        "TEL-07",
        asked,
        breaks={
            "a router of another place answers": lambda s: _say(
                s, "Ping", output=OUTPUT["Ping"].replace("ams1", "lon1")
            ),
            "it says that nothing answers": lambda s: _say(
                s, "Ping", output="ams1> ping 203.0.113.10\n5 packets sent, 0 received, 100% loss"
            ),
            "another hop": lambda s: _say(s, "Traceroute", hops=["192.0.2.4", "", "203.0.113.10"]),
            "a hop less": lambda s: _say(s, "Traceroute", hops=["192.0.2.2", "203.0.113.10"]),
            "another path": lambda s: _say(s, "BgpRoute", best={**ROUTE, "as_path": str(ISP)}),
            "another next hop": lambda s: _say(s, "BgpRoute", best={**ROUTE, "next_hop": "192.0.2.4"}),
            "another prefix": lambda s: _say(s, "BgpRoute", best={**ROUTE, "prefix": M4}),
            "the router has no route": lambda s: _say(s, "BgpRoute", best={}),
            "it shows no route": lambda s: _say(s, "BgpRoute", output="ams1> show bgp 203.0.113.10\nno route"),
        },
        lacks={
            "not asked": lambda s: s.untry(TelemetryStimulus.LOOKING_GLASS),
            "the router was not asked": lambda s: _say(s, "Traceroute", hops=None),
            "no region was asked": lambda s: s.redo(
                TelemetryStimulus.LOOKING_GLASS, source="EdgeSite", location="Amsterdam"
            ),
        },
    ),
)
