"""DEP: isp-lon/c3 is drained, closed, gone, and comes back."""

from __future__ import annotations

import msgspec
from verify_model import P4, session_id
from verify_removal import REASON
from verify_row import Row, nothing
from verify_rows_failover import _losing, _without
from verify_scenario import Scenario, ns, route

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import ConnectionStateChanged, ResourceChanged, TransitionRefused, ValidationJudged
from peerlab.evidence.message import ConnectionStep
from peerlab.evidence.reassembly import Step
from peerlab.evidence.snapshot import KernelRoute
from peerlab.evidence.story import Moment, Stimulus


def registered(s: Scenario) -> None:
    """A prefix is registered under isp-lon and deleted with it."""
    body: dict[str, object] = {"prefix": "203.0.113.64/26", "prefix_key": "key-9"}
    s.tell(ResourceChanged(at=ns(86.0), kind="registeredPrefixes", name="isp-lon/x", change="created", body=body))
    s.tell(ResourceChanged(at=ns(252.0), kind="registeredPrefixes", name="isp-lon/x", change="deleted"))


def _closed(s: Scenario, code: int, subcode: int, text: str) -> None:
    for family in Family:
        session = session_id("c3", family)
        s.silence(session, MessageType.NOTIFICATION)
        s.notify(session, "lon1", code, subcode, 250.0, bytes([len(text)]) + text.encode() if text else b"")


def _storm(s: Scenario) -> None:
    for attempt in range(40):
        s.steps.append(
            ConnectionStep(
                at=ns(251.0 + attempt / 10),
                session="c3-4",
                connection=100 + attempt,
                step=Step.ASKED,
                source="isp2",
                destination="lon1",
            )
        )


def _still_in_kernel(s: Scenario) -> None:
    kernel = s.node(Moment.DEPROVISIONED, "lon1").kernel
    peer = s.model.session("c3-4").other("lon1").address
    stale = KernelRoute(prefix=Prefix(P4), gateway=Address(peer), protocol=186)
    s.change(Moment.DEPROVISIONED, "lon1", kernel=(*kernel, stale))


def _still_configured(s: Scenario) -> None:
    fact = next(f for f in s.node(Moment.RESTORED, "lon1").sessions if f.session == "c3-4")
    known = s.node(Moment.DEPROVISIONED, "lon1").sessions
    s.change(Moment.DEPROVISIONED, "lon1", sessions=(*known, msgspec.structs.replace(fact, state="Idle")))


def _address_left(s: Scenario) -> None:
    held = dict(s.node(Moment.DEPROVISIONED, "lon1").addresses)
    s.change(Moment.DEPROVISIONED, "lon1", addresses={**held, "e3": (*held["e3"], "192.0.2.99/31")})


def _carried_nothing(s: Scenario) -> None:
    for moment in (Moment.ALLOWED, Moment.ACTIVATED, Moment.RESTORED):
        for node in ("lon1", "isp2"):
            ribs = dict(s.node(moment, node).adj_rib_in_pre)
            s.change(moment, node, adj_rib_in_pre={**ribs, "c3-4": (), "c3-6": ()})


def _never(s: Scenario) -> None:
    s.forget(ConnectionStateChanged, after="PendingRemove")


DEPROVISION_ROWS = (
    Row(
        "DEP-01",
        nothing,
        breaks={
            "deleted while ProvisioningStarted": lambda s: s.tell(
                ConnectionStateChanged(
                    at=ns(3.3),
                    peering="ix",
                    connection="c4",
                    before="ProvisioningStarted",
                    after="removed",
                    trigger="delete",
                    actor="peer",
                )
            ),
        },
        lacks={
            "not tried while ProvisioningStarted": lambda s: s.forget(
                TransitionRefused, request="DeletePeering", at=ns(3.2)
            ),
            "not tried while ProvisioningCompleted": lambda s: s.forget(
                TransitionRefused, request="DeletePeering", at=ns(29.3)
            ),
            "never deprovisioned": _never,
        },
    ),
    Row(
        "DEP-02",
        nothing,
        breaks={
            "packets still cross": lambda s: s.resee(Stimulus.DRAIN, packets_after=7),
            "closed before it was drained": lambda s: s.notify("c3-4", "lon1", 6, 3, 247.0),
            "a packet is lost": _losing("drain", 1),  # type: ignore[dict-item]
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.DRAIN),
            "the close is not on the wire": lambda s: s.silence("c3-6", MessageType.NOTIFICATION),
            "no stream": _without("drain"),  # type: ignore[dict-item]
            "the trace has a gap": lambda s: s.lose("c3-4"),
        },
    ),
    Row(
        "DEP-03",
        nothing,
        breaks={
            "no NOTIFICATION": lambda s: s.silence("c3-4", MessageType.NOTIFICATION),
            "another one": lambda s: _closed(s, 6, 4, REASON),
            "no word why": lambda s: _closed(s, 6, 2, ""),
            "the peer storms": _storm,
        },
        lacks={
            "never deprovisioned": _never,
            "the trace has a gap": lambda s: s.lose("c3-4"),
            "not read": lambda s: s.snapshots.pop(Moment.DEPROVISIONED),
        },
    ),
    Row(
        "DEP-04",
        nothing,
        breaks={
            "a route is left in an Adj-RIB-In": lambda s: s.hold(
                Moment.DEPROVISIONED, "lon1", "adj_rib_in_pre", "c3-4", route(P4, "c3-4", 64500)
            ),
            "a route is left in a Loc-RIB": lambda s: s.elect(Moment.DEPROVISIONED, "lon1", route(P4, "c3-4", 64500)),
            "the kernel still sends there": _still_in_kernel,
        },
        lacks={
            "never deprovisioned": _never,
            "it carried nothing before": _carried_nothing,
            "not read": lambda s: s.snapshots.pop(Moment.DEPROVISIONED),
        },
    ),
    Row(
        "DEP-05",
        registered,
        breaks={
            "a neighbour is left": _still_configured,
            "an address is left": _address_left,
            "a key is left": lambda s: s.forget(ResourceChanged, name="isp-lon/x", change="deleted"),
        },
        lacks={
            "never deprovisioned": _never,
            "no baseline": lambda s: s.snapshots.pop(Moment.BASELINE),
        },
    ),
    Row(
        "DEP-06",
        nothing,
        breaks={
            "another session was reset": lambda s: s.fact(Moment.DEPROVISIONED, "ams1", "c1-4", since=ns(251.0)),
            "another session is down": lambda s: s.fact(Moment.DEPROVISIONED, "ams1", "c1-4", state="Idle"),
            "a rule comes out otherwise": lambda s: s.amend(
                ValidationJudged, {"subject": "isp-lon/c3", "rule": "POL-12", "at": ns(269.0)}, passed=False
            ),
            "a route is missing the second time": lambda s: s.drop(
                Moment.REPROVISIONED, "lon1", "adj_rib_in_post", "c3-4", P4
            ),
        },
        lacks={
            "never deprovisioned": _never,
            "never turned up again": lambda s: s.snapshots.pop(Moment.REPROVISIONED),
            "never Active again": lambda s: s.forget(ConnectionStateChanged, connection="c3", at=ns(271.0)),
        },
    ),
)
