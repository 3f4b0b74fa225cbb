"""The restart scene: route servers that are killed while packets run."""

from __future__ import annotations

import msgspec
from verify_model import FAMILIES, M4, M6, P4, P6, session_id
from verify_packets import CUSTOMER_HOST, SERVICE, stream, walk
from verify_row import Row
from verify_scenario import Scenario, ns

from peerlab.bgp.attributes import Family
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


RESTART_ROWS = (
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
