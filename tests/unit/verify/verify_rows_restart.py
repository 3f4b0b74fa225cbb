"""The restart scene: route servers that are killed while packets run."""

from __future__ import annotations

import msgspec
from verify_model import FAMILIES, M4, M6, P4, P6, session_id
from verify_packets import CUSTOMER_HOST, SERVICE, stream, walk
from verify_row import Change, Row
from verify_scenario import Scenario, ns

from peerlab.bgp.attributes import Family
from peerlab.bgp.capability import graceful_restart
from peerlab.bgp.update import end_of_rib
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import PathTraced, ProcessExited, SessionStateChanged, StimulusObserved, StreamMeasured
from peerlab.evidence.story import Moment
from peerlab.evidence.story_restart import RestartStimulus

LOST = RestartStimulus.ROUTE_SERVER_LOST


def _second_server(s: Scenario) -> None:
    """rs2 beside rs1, with sessions c5-4 and c5-6 of the same connection."""
    model = s.model
    rs2 = msgspec.structs.replace(model.node("rs1"), name="rs2")
    twins = []
    for family in FAMILIES:
        session = model.session(session_id("c4", family))
        left = msgspec.structs.replace(session.left, node="rs2")
        twins.append(msgspec.structs.replace(session, id=session_id("c5", family), left=left))
    s.model = msgspec.structs.replace(model, nodes=(*model.nodes, rs2), sessions=(*model.sessions, *twins))


def servers_lost(s: Scenario) -> None:
    """rs1 is killed at 500, rs2 at 510: the member's prefix goes to rs2, the customer's to isp1."""
    _second_server(s)
    for number, (at, server, was, now) in enumerate(
        ((500.0, "rs1", "c4", "c5"), (510.0, "rs2", "c5", "c1")), start=1
    ):
        name = f"{LOST}-{number}"
        best = {p: session_id(was, f) for p, f in ((M4, Family.IPV4), (M6, Family.IPV6))}
        after = {p: session_id(now, f) for p, f in ((M4, Family.IPV4), (M6, Family.IPV6))}
        dead = ["rs1", "rs2"][:number]
        did: dict[str, object] = {"servers": dead, "edge": "ams2", "best": best, "stream": name}
        s.trial(LOST, server, "", did, {"down": True, "best": after}, at=at, until=at + 1)
        s.tell(ProcessExited(at=ns(at + 0.1), node=server, process="router", signal=9))
        for family in FAMILIES:
            mine = session_id("c4" if server == "rs1" else "c5", family)
            s.tell(SessionStateChanged(at=ns(at + 0.2), node="ams2", session=mine, before="Established", after="Idle"))
            for pair in ((SERVICE, CUSTOMER_HOST), (CUSTOMER_HOST, SERVICE)):
                path = walk(s, Moment.ACTIVATED, *pair, family)
                s.tell(msgspec.structs.replace(path, at=ns(at + 0.5), name=name))
        stream(s, name, 0 if number == 1 else 30, at + 5)


def _losing(number: int, lost: int) -> object:
    name = f"{LOST}-{number}:{SERVICE}>{CUSTOMER_HOST}:ipv4"
    return lambda s: s.amend(StreamMeasured, {"name": name}, received=10_000 - lost)


def _dying(s: Scenario) -> None:
    s.amend(StreamMeasured, {"name": f"{LOST}-2:{SERVICE}>{CUSTOMER_HOST}:ipv6"}, last=ns(513.0))


def _after(server: str, session: str) -> object:
    """Once the server was lost the member's prefix goes by this session, '' for none."""

    def change(s: Scenario) -> None:
        for i, event in enumerate(s.events):
            if isinstance(event, StimulusObserved) and (event.stimulus, event.node) == (LOST, server):
                saw = {**event.detail, "best": {M4: session}}
                s.events[i] = msgspec.structs.replace(event, detail=saw)
                return
        raise AssertionError(server)

    return change


def _one_only(s: Scenario) -> None:
    kept = [e for e in s.events if not (getattr(e, "stimulus", None) == LOST and getattr(e, "node", "") == "rs2")]
    assert len(kept) < len(s.events)
    s.events = kept


def _brief(s: Scenario) -> None:
    for family in FAMILIES:
        name = f"{LOST}-1:{SERVICE}>{CUSTOMER_HOST}:{family.value}"
        s.amend(StreamMeasured, {"name": name}, ended=ns(500.2), last=ns(500.2))


def _never_by_a_server(s: Scenario) -> None:
    s.redo(LOST, best={P4: "c1-4", P6: "c1-6"})


GRACEFUL, EXPIRED = RestartStimulus.GRACEFUL_RESTART, RestartStimulus.RESTART_EXPIRED
KEPT = {Family.IPV4: "198.19.128.0/24", Family.IPV6: "2001:db8:f000::/48"}
WITHDRAWN = {Family.IPV4: "198.19.129.0/24", Family.IPV6: "2001:db8:f001::/48"}
BACK = 520.5


def _session(family: Family) -> str:
    return f"x-restart-{'4' if family is Family.IPV4 else '6'}"


def _opens(s: Scenario, family: Family, at: float, seconds: int, *, restarted: bool, kept: bool | None = None) -> None:
    """OPENs of examiner and edge with graceful restart, and what follows to Established."""
    session = _session(family)
    own = graceful_restart(
        {family: restarted if kept is None else kept}, seconds=seconds, restarted=restarted
    )
    s.open(session, "exam", 64511, at, 3, family, (own,), receiver="ams1")
    s.open(session, "ams1", 8075, at, 3, family, (graceful_restart({family: False}, seconds=20),), receiver="exam")


def restarts(s: Scenario, *, r_bit: bool = True, f_bit: bool = True, end: bool = True, again: bool = True) -> None:
    """exam is killed at 520.1 and is back at 520.5; it is killed for good at 525."""
    for family in FAMILIES:
        session, kept, withdrawn = _session(family), KEPT[family], WITHDRAWN[family]
        both = [kept, withdrawn]
        _opens(s, family, 515.0, 20, restarted=False)
        s.announce(session, "exam", both, 515.2, receiver="ams1")
        _opens(s, family, BACK, 2, restarted=r_bit, kept=f_bit)
        if again:
            s.announce(session, "exam", [kept], BACK + 0.1, receiver="ams1")
        if end:
            s.say(session, "exam", end_of_rib(family), BACK + 0.2, "ams1")
        did: dict[str, object] = {"peer": "exam", "kept": kept, "withdrawn": withdrawn}
        first = {**did, "trial": f"{GRACEFUL} {family.value}", "restart_time": 20, "stream": GRACEFUL.value}
        saw: dict[str, object] = {
            "trial": f"{GRACEFUL} {family.value}",
            "session": session,
            "down": True,
            "established": True,
            "held_while_down": both,
            "helper_kernel_while_down": both,
            "peer_kernel_while_down": both,
            "held_after": [kept],
            "peer_kernel_after": [kept],
        }
        s.trial(GRACEFUL, "ams1", session, first, saw, at=520.0, until=521.0)
        second = {**did, "trial": f"{EXPIRED} {family.value}", "restart_time": 2}
        gone: dict[str, object] = {
            "trial": f"{EXPIRED} {family.value}",
            "session": session,
            "down": True,
            "held_while_down": [kept],
            "gone": True,
            "seconds": 2.0,
            "helper_kernel_after": [],
        }
        s.trial(EXPIRED, "ams1", session, second, gone, at=525.0, until=528.0)
    for at in (520.1, 525.1):
        s.tell(ProcessExited(at=ns(at), node="exam", process="router", signal=9))
    stream(s, GRACEFUL.value, 0, 522.0)


def _otherwise(**changed: bool) -> Change:
    """The restart as it should not be."""

    def change(s: Scenario) -> None:
        fresh = Scenario()
        restarts(fresh, **changed)
        s.messages = [m for m in s.messages if not m.session.startswith("x-restart")] + fresh.messages

    return change


def _seen(stimulus: RestartStimulus, key: str, *prefixes: dict[Family, str]) -> Change:
    """What one list of a family's trial says instead."""

    def change(s: Scenario) -> None:
        for i, event in enumerate(s.events):
            if isinstance(event, StimulusObserved) and event.stimulus == stimulus:
                family = Family.IPV4 if event.detail["session"] == _session(Family.IPV4) else Family.IPV6
                saw = {**event.detail, key: [p[family] for p in prefixes]}
                s.events[i] = msgspec.structs.replace(event, detail=saw)

    return change


RESTART_ROWS = (
    Row(
        "FLV-07",
        restarts,
        breaks={
            "no R bit": _otherwise(r_bit=False),
            "no F bit": _otherwise(f_bit=False),
            "no End-of-RIB": _otherwise(end=False),
            "not announced again": _otherwise(again=False),
            "does not come back": lambda s: s.resee(GRACEFUL, established=False),
            "its routes go with the session": _seen(GRACEFUL, "held_while_down"),
            "the helper's kernel forgets": _seen(GRACEFUL, "helper_kernel_while_down", KEPT),
            "its own kernel forgets": _seen(GRACEFUL, "peer_kernel_while_down"),
            "stale after End-of-RIB": _seen(GRACEFUL, "held_after", KEPT, WITHDRAWN),
            "stale in its own kernel": _seen(GRACEFUL, "peer_kernel_after", KEPT, WITHDRAWN),
            "a packet is lost": lambda s: s.amend(
                StreamMeasured, {"name": f"{GRACEFUL}:{SERVICE}>{CUSTOMER_HOST}:ipv6"}, received=9_999
            ),
            "stale for ever": lambda s: s.resee(EXPIRED, gone=False),
            "purged too early": lambda s: s.resee(EXPIRED, seconds=0.3),
            "purged too late": lambda s: s.resee(EXPIRED, seconds=4.0),
            "stays in the helper's kernel": _seen(EXPIRED, "helper_kernel_after", KEPT),
            "nothing is kept at all": _seen(EXPIRED, "held_while_down"),
        },
        lacks={
            "never tried": lambda s: s.untry(GRACEFUL),
            "the expiry was never tried": lambda s: s.untry(EXPIRED),
            "nobody was killed": lambda s: s.forget(ProcessExited, node="exam"),
            "graceful restart was not agreed on": lambda s: s.silence("x-restart-4", MessageType.OPEN, "ams1"),
            "a NOTIFICATION ended it": lambda s: s.notify("x-restart-6", "exam", 6, 4, 520.05, receiver="ams1"),
            "the capture has a gap": lambda s: s.lose("x-restart-4"),
            "no stream": lambda s: [
                s.forget(StreamMeasured, name=f"{GRACEFUL}:{SERVICE}>{CUSTOMER_HOST}:{f.value}") for f in FAMILIES
            ],
            "the stream ended before": lambda s: s.amend(
                StreamMeasured, {"name": f"{GRACEFUL}:{SERVICE}>{CUSTOMER_HOST}:ipv4"}, ended=ns(520.3)
            ),
            "another restart time than the OPEN's": lambda s: s.redo(EXPIRED, restart_time=9),
        },
    ),
    Row(
        "FLV-11",
        servers_lost,
        breaks={
            "a packet is lost with one gone": _losing(1, 1),  # type: ignore[dict-item]
            "too much is lost with all gone": _losing(2, 4000),  # type: ignore[dict-item]
            "nothing takes over": _dying,
            "a route stays by the dead server": _after("rs1", "c4-4"),  # type: ignore[dict-item]
            "no route is left although a server lives": _after("rs1", ""),  # type: ignore[dict-item]
            "a path ends early": lambda s: s.amend(
                PathTraced, {"name": f"{LOST}-2", "source": SERVICE, "family": "ipv4"}, reached=False
            ),
        },
        lacks={
            "never tried": lambda s: s.untry(LOST),
            "only one was lost": _one_only,
            "the process did not end": lambda s: s.forget(ProcessExited, node="rs1"),
            "its client did not notice": lambda s: s.forget(SessionStateChanged, session="c4-4", before="Established"),
            "nobody went by a route server before": _never_by_a_server,
            "not traced": lambda s: s.forget(PathTraced, name=f"{LOST}-1"),
            "watched for a moment only": _brief,
        },
    ),
)
