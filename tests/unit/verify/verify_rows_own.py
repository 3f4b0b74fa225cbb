"""BYO: isp1 runs a configuration of its own on isp-ams/c1 and isp-ams/c2; isp2 does not."""

from __future__ import annotations

import msgspec
from verify_model import CLOUD, CUSTOMER, ISP, P4
from verify_row import Row
from verify_scenario import MAPS, Scenario, path

from peerlab.bgp.config import OwnConfiguration
from peerlab.evidence.story import Moment
from peerlab.evidence.story_own import Misbehaviour, OwnStimulus
from peerlab.topology.model import SessionEnd

SESSIONS = ("c1-4", "c1-6", "c2-4", "c2-6")
WRONG = {
    "4": {
        Misbehaviour.DEFAULT: ["0.0.0.0/0"],
        Misbehaviour.BOGON: ["10.0.0.0/24", "192.168.0.0/24"],
        Misbehaviour.LONG: ["20.1.4.0/25"],
    },
    "6": {
        Misbehaviour.DEFAULT: ["::/0"],
        Misbehaviour.BOGON: ["fc00::/48"],
        Misbehaviour.LONG: ["2a01:111:4::/49"],
    },
}


def own(s: Scenario, limit: int | None = 400) -> None:
    """isp1 runs its own file, which limits what it takes."""
    nodes = [
        msgspec.structs.replace(node, own=OwnConfiguration(file="isp1.conf", text="router id 1.1.1.1;"))
        if node.name == "isp1"
        else node
        for node in s.model.nodes
    ]

    def limited(end: SessionEnd) -> SessionEnd:
        return msgspec.structs.replace(end, max_prefix=limit) if end.node == "isp1" else end

    sessions = [
        msgspec.structs.replace(session, left=limited(session.left), right=limited(session.right))
        for session in s.model.sessions
    ]
    s.model = msgspec.structs.replace(s.model, nodes=tuple(nodes), sessions=tuple(sessions))


def misbehaving(s: Scenario) -> None:
    """Everything that an edge should not announce, on the wire and refused."""
    own(s)
    for session in SESSIONS:
        edge = "ams1" if session.startswith("c1") else "ams2"
        for number, (case, prefixes) in enumerate(WRONG[session[-1]].items()):
            did = {"session": session, "trial": case.value, "case": case.value, "router": "isp1", "prefixes": prefixes}
            saw = {"session": session, "trial": case.value, "accepted": []}
            s.trial(OwnStimulus.EDGE_MISBEHAVES, edge, session, dict(did), dict(saw), at=50.0 + number)
            s.announce(session, edge, prefixes, 50.5 + number, as_path=path(CLOUD))


def _fact(s: Scenario, **changed: object) -> None:
    node = s.node(Moment.ALLOWED, "isp1")
    facts = [msgspec.structs.replace(f, **changed) if f.session == "c1-4" else f for f in node.sessions]
    s.change(Moment.ALLOWED, "isp1", sessions=tuple(facts))


def _deaf(s: Scenario) -> None:
    s.messages = [m for m in s.messages if not (m.session in SESSIONS and m.source == "isp1")]


def _never_sent(s: Scenario) -> None:
    s.messages = [m for m in s.messages if not (m.session in SESSIONS and m.source in ("ams1", "ams2"))]


OWN_ROWS: tuple[Row, ...] = (
    Row(
        check="BYO-01",
        given=own,
        breaks={
            "a default route": lambda s: s.announce("c1-4", "isp1", ["0.0.0.0/0"], 41.0, as_path=path(ISP)),
            "a transit's prefix": lambda s: s.announce(
                "c2-4", "isp1", ["198.51.100.0/24"], 41.0, as_path=path(ISP, 64502)
            ),
        },
        lacks={"it said nothing": _deaf},
    ),
    Row(
        check="BYO-02",
        given=own,
        breaks={
            "a bogon": lambda s: s.announce("c1-4", "isp1", ["10.1.0.0/24"], 41.0, as_path=path(ISP, CUSTOMER)),
            "too long": lambda s: s.announce("c1-4", "isp1", ["203.0.113.0/25"], 41.0, as_path=path(ISP, CUSTOMER)),
        },
        lacks={"it said nothing": _deaf},
    ),
    Row(
        check="BYO-03",
        given=misbehaving,
        breaks={"it takes a default route": lambda s: s.resee(OwnStimulus.EDGE_MISBEHAVES, accepted=["0.0.0.0/0"])},
        lacks={
            "never tried": lambda s: s.untry(OwnStimulus.EDGE_MISBEHAVES),
            "not on the wire": _never_sent,
            "no answer": lambda s: s.resee(OwnStimulus.EDGE_MISBEHAVES, accepted=None),
        },
    ),
    Row(
        check="BYO-04",
        given=own,
        breaks={
            "no limit": lambda s: own(s, None),
            "below what is received": lambda s: own(s, 0),
        },
        lacks={"not established": lambda s: _fact(s, state="Active")},
    ),
    Row(
        check="BYO-05",
        given=own,
        breaks={
            "8075:8007 is missing": lambda s: s.announce("c1-4", "isp1", [P4], 41.0, as_path=path(ISP, CUSTOMER)),
            "prepended": lambda s: s.announce(
                "c1-4", "isp1", [P4], 41.0, as_path=path(ISP, ISP, CUSTOMER), communities=(MAPS,)
            ),
        },
        lacks={"it said nothing": _deaf},
    ),
)
