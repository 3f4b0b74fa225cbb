"""FLV: links cut and mended in the plain story, and the trials that follow it."""

from __future__ import annotations

import msgspec
from verify_model import CLOUD_ROUTERS, CUSTOMER, ISP, P4, P6, session_id
from verify_packets import CUSTOMER_HOST, stream
from verify_row import Row, nothing
from verify_scenario import MAPS, Scenario, ns, path, route

from peerlab.bgp.attributes import Family
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import (
    FaultCleared,
    FaultInjected,
    PathTraced,
    SessionStateChanged,
    StimulusObserved,
    StreamMeasured,
)
from peerlab.evidence.story import Moment, Stimulus

GSHUT = "65535:0"


def backup_none(s: Scenario) -> None:
    service = msgspec.structs.replace(s.model.services[0], backup_metro=None)
    s.model = msgspec.structs.replace(s.model, services=(service,))


def silent(s: Scenario) -> None:
    for family in Family:
        session = session_id("c1", family)
        did: dict[str, object] = {"session": session, "hold_time": 9}
        saw: dict[str, object] = {"session": session, "down": True, "seconds": 8.7}
        s.trial(Stimulus.SILENT_FAILURE, "ams1", session, did, saw, at=222.0, until=231.0)
    stream(s, "silent-failure", 8700, 235.0)


def maintenance(s: Scenario) -> None:
    """isp1 marks what it announces on c1 at 223, and shuts the sessions at 226."""
    for family, prefix in ((Family.IPV4, P4), (Family.IPV6, P6)):
        session = session_id("c1", family)
        saw: dict[str, object] = {"session": session, "moved": True, "stream": "graceful-shutdown"}
        s.trial(Stimulus.GRACEFUL_SHUTDOWN, "isp1", session, {"session": session}, None, at=222.0)
        s.tell(StimulusObserved(at=ns(225.0), stimulus=Stimulus.GRACEFUL_SHUTDOWN, node="ams1", detail=saw))
        s.announce(session, "isp1", [prefix], 223.0, as_path=path(ISP, CUSTOMER), communities=(MAPS, GSHUT), otc=ISP)
        s.notify(session, "isp1", 6, 2, 226.0)
    stream(s, "graceful-shutdown", 0, 230.0)


def withdrawn(s: Scenario) -> None:
    for v, prefix in (("4", P4), ("6", P6)):
        s.trial(
            Stimulus.WITHDRAWAL,
            "cust",
            "",
            {"prefix": prefix},
            {"prefix": prefix, "left_at": []},
            at=238.0,
            until=241.0,
        )
        for name in ("u1", "u2"):
            s.withdraw(f"{name}-{v}", "cust", [prefix], 238.5)


def isolated(s: Scenario) -> None:
    s.trial(Stimulus.ISOLATION, "exam", "x-iso", {}, {"others_down": []}, at=300.0, until=303.0)
    s.notify("x-iso", "ams1", 3, 1, 301.0, receiver="exam")


def loaded(s: Scenario) -> None:
    """8 Mbit/s run on w1; from 155 on, when it is lost, on w2."""
    did: dict[str, object] = {
        "trial": "local-link-lost",
        "offered_mbps": 8.0,
        "scale": 1000,
        "bandwidth_mbps": {"w1": 10_000, "w2": 10_000, "w3": 10_000},
        "carried_mbps": {"w1": 8.1, "w2": 0.0, "w3": 0.0},
    }
    saw: dict[str, object] = {"trial": "local-link-lost", "carried_mbps": {"w1": 0.0, "w2": 8.1, "w3": 0.0}}
    s.trial(Stimulus.SURVIVOR_LOAD, "host-svc", "", did, saw, at=154.0, until=162.0)


def _traced(moment: str, source: str, *nodes: str) -> object:
    hops = tuple(f"192.0.2.{100 + i}" for i in range(len(nodes)))
    return lambda s: s.amend(PathTraced, {"name": moment, "source": source, "family": "ipv4"}, nodes=nodes, hops=hops)


def _like(moment: Moment, other: Moment) -> object:
    """The routers of the cloud are at one moment as they were at another."""

    def change(s: Scenario) -> None:
        for name in CLOUD_ROUTERS:
            s.snapshots[moment][name] = s.snapshots[other][name]

    return change


def _losing(name: str, lost: int) -> object:
    def change(s: Scenario) -> None:
        stream_name = f"{name}:host-svc>{CUSTOMER_HOST}:ipv4"
        s.amend(StreamMeasured, {"name": stream_name}, received=10_000 - lost)

    return change


def _dying(name: str, before: float) -> object:
    """The streams of a name receive nothing in so many seconds before their end; what was lost fits any budget."""

    def change(s: Scenario) -> None:
        hit = [e for e in s.events if isinstance(e, StreamMeasured) and e.name.startswith(f"{name}:")]
        assert hit
        for event in hit:
            s.amend(StreamMeasured, {"name": event.name}, last=event.ended - round(before * 1e9))

    return change


def _elsewhere(s: Scenario) -> None:
    """The streams ran to hosts of another prefix than the one whose backup is the internet."""
    for family in Family:
        name = f"private-lost:host-svc>{CUSTOMER_HOST}:{family.value}"
        s.amend(StreamMeasured, {"name": name}, family="ipv6")


def _without(name: str) -> object:
    def change(s: Scenario) -> None:
        kept = [e for e in s.events if not (isinstance(e, StreamMeasured) and e.name.startswith(f"{name}:"))]
        assert len(kept) < len(s.events)
        s.events = kept

    return change


def _flapping(s: Scenario) -> None:
    session = next(x.id for x in s.model.sessions if x.is_internal and "ams1" in (x.left.node, x.right.node))
    s.withdraw(session, "ams1", [P4], 212.0)
    s.announce(session, "ams1", [P4], 213.0, as_path=path(ISP, CUSTOMER), local_pref=300)


def _no_return_on_the_wire(s: Scenario) -> None:
    for session in s.model.sessions:
        if session.is_internal:
            s.silence(session.id, MessageType.UPDATE)


def _zombie(moment: Moment, node: str) -> object:
    return lambda s: s.elect(moment, node, route(P4, "tr-4", 64502, ISP, CUSTOMER))


def _one_session_up(s: Scenario) -> None:
    fact = next(f for f in s.node(Moment.RESTORED, "lon1").sessions if f.session == "c3-4")
    s.change(Moment.PRIVATE_LOST, "lon1", sessions=(*s.node(Moment.PRIVATE_LOST, "lon1").sessions, fact))


def _unknown_before(s: Scenario) -> None:
    for name, node in s.snapshots[Moment.ALLOWED].items():
        empty = dict.fromkeys(node.adj_rib_in_pre, ())
        s.change(Moment.ALLOWED, name, adj_rib_in_pre=empty, adj_rib_out={}, loc_rib=(), kernel=())


LOCATION_ROWS = (
    Row(
        "FLV-01",
        nothing,
        breaks={
            "traffic leaves the metro": _like(Moment.LOCAL_LINK_LOST, Moment.PRIMARY_LOST),  # type: ignore[dict-item]
            "a packet leaves the metro": _traced("local-link-lost", "sin1", "lon1", "isp2", "cust", "host-cust"),  # type: ignore[dict-item]
            "too much is lost": _losing("local-link-lost", 1500),  # type: ignore[dict-item]
            "nothing arrives": _losing("local-link-lost", 10_000),  # type: ignore[dict-item]
            "a stream dies": _dying("local-link-lost", 0.6),  # type: ignore[dict-item]
        },
        lacks={
            "no link was down": lambda s: s.forget(FaultInjected, at=ns(155.0)),
            "no stream": _without("local-link-lost"),  # type: ignore[dict-item]
            "not traced": lambda s: s.forget(PathTraced, name="local-link-lost"),
            "not read": lambda s: s.snapshots.pop(Moment.LOCAL_LINK_LOST),
        },
    ),
    Row(
        "FLV-02",
        nothing,
        breaks={
            "the internet takes over instead": _like(Moment.PRIMARY_LOST, Moment.PRIVATE_LOST),  # type: ignore[dict-item]
            "too much is lost": _losing("primary-lost", 2500),  # type: ignore[dict-item]
            "a path ends early": lambda s: s.amend(
                PathTraced, {"name": "primary-lost", "source": "host-svc", "family": "ipv4"}, reached=False
            ),
        },
        lacks={
            "one link was still up": lambda s: s.forget(FaultInjected, at=ns(175.0), target="w2"),
            "no stream": _without("primary-lost"),  # type: ignore[dict-item]
            "not read": lambda s: s.snapshots.pop(Moment.PRIMARY_LOST),
        },
    ),
    Row(
        "FLV-03",
        backup_none,
        breaks={
            "a router has no route left": lambda s: s.change(Moment.PRIVATE_LOST, "sin1", loc_rib=()),
            "not over the internet": lambda s: s.elect(
                Moment.PRIVATE_LOST, "sin1", route(P4, "i-lon1-sin1-4", ISP, CUSTOMER)
            ),
            "the packet does not go through the transit": _traced(
                "private-lost", "sin1", "lon1", "isp2", "cust", "host-cust"
            ),  # type: ignore[dict-item]
            "does not come back": _like(Moment.RESTORED, Moment.PRIVATE_LOST),  # type: ignore[dict-item]
            "too much is lost": _losing("private-lost", 3500),  # type: ignore[dict-item]
            "a stream dies within its budget": _dying("private-lost", 0.9),  # type: ignore[dict-item]
        },
        lacks={
            "one session was still up": _one_session_up,
            "not read": lambda s: s.snapshots.pop(Moment.PRIVATE_LOST),
            "the return was not read": lambda s: s.snapshots.pop(Moment.RESTORED),
            "no stream to its prefix": _elsewhere,
            "nobody wrote down when the last packet came": lambda s: [
                s.amend(StreamMeasured, {"name": f"private-lost:host-svc>{CUSTOMER_HOST}:{f.value}"}, last=0)
                for f in Family
            ],
        },
    ),
    Row(
        "FLV-04",
        nothing,
        breaks={
            "stays at the backup location": _like(Moment.RESTORED, Moment.PRIMARY_LOST),  # type: ignore[dict-item]
            "flaps": _flapping,
            "too much is lost": _losing("restored-mended", 1500),  # type: ignore[dict-item]
        },
        lacks={
            "the links were not mended": lambda s: [
                s.forget(FaultCleared, target=link, at=ns(210.0)) for link in ("w1", "w2", "w3")
            ],
            "the return is not on the wire": _no_return_on_the_wire,
            "no stream": _without("restored-mended"),  # type: ignore[dict-item]
        },
    ),
)

TRIAL_ROWS = (
    Row(
        "FLV-05",
        silent,
        breaks={
            "found too late": lambda s: s.resee(Stimulus.SILENT_FAILURE, seconds=10.5),
            "never found": lambda s: s.resee(Stimulus.SILENT_FAILURE, down=False),
            "nothing took over": _losing("silent-failure", 10_000),  # type: ignore[dict-item]
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.SILENT_FAILURE),
            "the hold time is not logged": lambda s: s.redo(Stimulus.SILENT_FAILURE, hold_time=None),
            "no stream": _without("silent-failure"),  # type: ignore[dict-item]
        },
    ),
    Row(
        "FLV-09",
        maintenance,
        breaks={
            "a packet is lost": _losing("graceful-shutdown", 1),  # type: ignore[dict-item]
            "best routes stay": lambda s: s.resee(Stimulus.GRACEFUL_SHUTDOWN, moved=False),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.GRACEFUL_SHUTDOWN),
            "nothing was marked": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
            "nothing was shut": lambda s: s.silence("c1-6", MessageType.NOTIFICATION),
            "no stream": _without("graceful-shutdown"),  # type: ignore[dict-item]
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
    Row(
        "FLV-10",
        withdrawn,
        breaks={
            "a zombie in a Loc-RIB": _zombie(Moment.WITHDRAWN, "observer"),  # type: ignore[dict-item]
            "a zombie in an Adj-RIB-In": lambda s: s.hold(
                Moment.WITHDRAWN, "transit", "adj_rib_in_pre", "ti-4", route(P4, "ti-4", ISP, CUSTOMER)
            ),
            "the log says so": lambda s: s.resee(Stimulus.WITHDRAWAL, left_at=["sin1"]),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.WITHDRAWAL),
            "not on the wire": lambda s: [s.silence(f"u{n}-4", MessageType.UPDATE) for n in (1, 2)],
            "nobody held it before": _unknown_before,
            "not read": lambda s: s.snapshots.pop(Moment.WITHDRAWN),
        },
    ),
    Row(
        "FLV-12",
        isolated,
        breaks={
            "another one fell": lambda s: s.resee(Stimulus.ISOLATION, others_down=["c1-4"]),
            "the log shows another one falling": lambda s: s.tell(
                SessionStateChanged(at=ns(301.5), node="ams1", session="c1-6", before="Established", after="Idle")
            ),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.ISOLATION),
            "nothing broke": lambda s: (
                s.silence("x-iso", MessageType.NOTIFICATION) or s.keepalive("x-iso", "ams1", 300.5, receiver="exam")
            ),
            "the trace has a gap": lambda s: s.lose("x-iso"),
        },
    ),
)

CAPACITY_ROWS = (
    Row(
        "FLV-13",
        loaded,
        breaks={
            "a survivor is slower": lambda s: s.redo(
                Stimulus.SURVIVOR_LOAD, bandwidth_mbps={"w1": 20_000, "w2": 8_000, "w3": 8_000}
            ),
            "the load goes elsewhere": lambda s: s.resee(
                Stimulus.SURVIVOR_LOAD, carried_mbps={"w1": 0.0, "w2": 1.0, "w3": 0.0}
            ),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.SURVIVOR_LOAD),
            "no link was lost": lambda s: s.forget(FaultInjected, at=ns(155.0)),
            "no load on the counters": lambda s: s.redo(
                Stimulus.SURVIVOR_LOAD, carried_mbps={"w1": 0.1, "w2": 0.1, "w3": 0.0}
            ),
            "the lost link carried nothing": lambda s: s.redo(
                Stimulus.SURVIVOR_LOAD, carried_mbps={"w1": 0.1, "w2": 8.1, "w3": 0.0}
            ),
            "a connection was not counted": lambda s: s.resee(Stimulus.SURVIVOR_LOAD, carried_mbps={"w2": 8.1}),
        },
    ),
)

FAILOVER_ROWS = (*LOCATION_ROWS, *TRIAL_ROWS, *CAPACITY_ROWS)
