"""A recorded turn-up between two BIRD routers: the verdicts that each statement about it must get, pass or fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.evidence.events import PhaseStarted, ProcessExited, SnapshotTaken
from peerlab.evidence.log import EventLog
from peerlab.evidence.pcapng import Frame, read, write
from peerlab.evidence.story import TAP_PROCESS, Moment, Phase
from peerlab.evidence.trace import Trace
from peerlab.report.ladder import render, rows
from peerlab.topology.model import LabModel, Node, NodeKind, Session, SessionEnd
from peerlab.verify.evidence import Evidence
from peerlab.verify.temporal import Judgement, Statement, after, always, eventually, never, route, until, when

CAPTURES = Path(__file__).parent / "captures"
FOUR, SIX = Prefix("203.0.113.0/24"), Prefix("2001:db8:a::/48")
LEAVING = Prefix("203.0.113.128/25")
MICROSOFT_4, MICROSOFT_6 = Prefix("198.18.0.0/24"), Prefix("2001:db8:f::/48")


def _end(node: str, asn: int, address: str) -> SessionEnd:
    return SessionEnd(node=node, asn=asn, address=Address(address))


MODEL = LabModel(
    name="turn-up",
    nodes=tuple(Node(name=name, kind=NodeKind.BIRD, asn=asn) for name, asn in (("left", 64500), ("middle", 8075))),
    sessions=(
        Session(
            id="isp-edge-v4",
            family=Family.IPV4,
            left=_end("left", 64500, "192.0.2.1"),
            right=_end("middle", 8075, "192.0.2.2"),
        ),
        Session(
            id="isp-edge-v6",
            family=Family.IPV6,
            left=_end("left", 64500, "2001:db8:1::1"),
            right=_end("middle", 8075, "2001:db8:1::2"),
        ),
    ),
)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    trace = Trace.from_pcapng((CAPTURES / "turn-up.pcapng").read_bytes(), MODEL)
    return Evidence(model=MODEL, events=EventLog(CAPTURES / "turn-up.jsonl").read(), trace=trace)


FROM_EDGE = route().sent_by("middle")
TAGGED, MISTAGGED = (route(prefix=MICROSOFT_6, communities=(one,)).sent_to("left") for one in ("8075:8007", "8075:1"))

VERDICTS: list[tuple[Statement, bool | None]] = [
    # Under DENY ALL the edge says nothing, in neither family, while the peer does announce.
    (until(Moment.UNDER_DENY, never(FROM_EDGE)), True),
    (until(Phase.ALLOW, never(FROM_EDGE)), True),
    (until(Phase.ALLOW, never(route().sent_by("left"))), False),
    # Over the whole recording that does not hold: ALLOW came.
    (never(FROM_EDGE), False),
    (never(route(prefix=MICROSOFT_4).sent_to("left")), False),
    # After ALLOW the edge announces, in both families, quickly, with its community and its own AS only.
    (eventually(route(prefix=MICROSOFT_4).sent_to("left"), within=1, after=Phase.ALLOW), True),
    (eventually(route(prefix=MICROSOFT_6).sent_to("left"), within=1, after=Phase.ALLOW), True),
    (eventually(TAGGED, within=1, after=Phase.ALLOW), True),
    (eventually(MISTAGGED, within=1, after=Phase.ALLOW), False),
    (eventually(route(prefix=MICROSOFT_4).sent_to("left"), within=0.001, after=Phase.ALLOW), False),
    (never(route(contains_as=64500).sent_by("middle")), True),
    (never(route(contains_as=8075).sent_by("middle")), False),
    (never(route(as_path="8075", next_hop="192.0.2.2").sent_to("left")), False),
    # What stays announced stays; re-announcing it after a route refresh is no interruption.
    (after(Moment.UNDER_DENY, until(Moment.WITHDRAWN, always(route(prefix=FOUR).sent_to("middle")))), True),
    (after(Moment.UNDER_DENY, until(Moment.WITHDRAWN, always(route(prefix=SIX).sent_to("middle")))), True),
    (always(route(prefix=FOUR).sent_to("middle")), False),  # not yet at the start
    (until(Moment.WITHDRAWN, always(route(prefix=FOUR).sent_to("middle"), from_first=True)), True),
    (always(route(prefix=FOUR).sent_to("middle"), from_first=True), False),  # the session was shut down
    # One prefix is withdrawn.
    (after(Moment.ALLOWED, until(Moment.WITHDRAWN, always(route(prefix=LEAVING).sent_to("middle")))), False),
    (after(Moment.WITHDRAWN, never(route(prefix=LEAVING).sent_to("middle"))), True),
    (after(Moment.ALLOWED, never(route(prefix=LEAVING).sent_to("middle"))), False),  # it stood when the span began
    # After the shutdown nothing stands.
    (after(Moment.DEPROVISIONED, never(route().sent_by("left"))), None),  # the capture ends before that moment
    # What nobody can tell.
    (until("lunch", never(FROM_EDGE)), None),  # no such moment
    (never(route().sent_to("nobody")), None),  # no such session
    (eventually(route(prefix=Prefix("192.88.99.0/24")).sent_to("left"), within=60, after=Phase.ALLOW), None),  # ended
    # Adj-RIB-In before policy is what the peer told.
    (eventually(route(prefix=FOUR).at("middle").pre_policy, within=5, after=Phase.DENY), True),
    (never(route(prefix=MICROSOFT_4).at("middle").pre_policy), True),
    # Without a snapshot nobody knows what policy let through, except that nothing told is nothing accepted.
    (never(route(prefix=FOUR).at("middle").post_policy), None),
    (never(route(prefix=Prefix("192.88.99.0/24")).at("middle").best), True),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), VERDICTS, ids=lambda value: str(value))
def test_verdict(evidence: Evidence, statement: Statement, expected: bool | None) -> None:
    judgement = statement.judge(evidence)
    assert judgement.holds is expected, judgement.why
    assert judgement.why
    if statement.quantifier == "never" and expected is False:
        assert judgement.witness is not None and judgement.witness.message, "a violation shows the message"


def test_the_witness_is_the_update_itself(evidence: Evidence) -> None:
    judgement: Judgement = never(route(prefix=MICROSOFT_4).sent_to("left")).judge(evidence)
    assert judgement.witness is not None
    assert "isp-edge-v4 middle → left" in judgement.witness.where
    (message,) = [m for m in evidence.trace if m.octets.hex() == judgement.witness.message]
    assert message.at == judgement.witness.at
    allow = next(e.at for e in evidence.events if isinstance(e, PhaseStarted) and e.phase == "allow")
    assert message.at > allow


def test_a_moment_may_be_any_event(evidence: Evidence) -> None:
    assert until(when(SnapshotTaken, label="under-deny"), never(FROM_EDGE)).judge(evidence).holds is True
    assert until(when(SnapshotTaken, label="never taken"), never(FROM_EDGE)).judge(evidence).holds is None


def test_a_tap_that_died_leaves_the_rest_untold(evidence: Evidence) -> None:
    deny = next(e.at for e in evidence.events if isinstance(e, SnapshotTaken) and e.label == "under-deny")
    exit_of_tap = ProcessExited(at=deny - 1, node="middle", process=TAP_PROCESS, signal=9)
    blind = Evidence(model=MODEL, events=(*evidence.events, exit_of_tap), trace=evidence.trace)
    assert until(Moment.UNDER_DENY, never(FROM_EDGE)).judge(blind).holds is None
    assert until(deny - 2, never(FROM_EDGE)).judge(blind).holds is True


def test_a_capture_with_a_frame_taken_out_is_not_trusted(evidence: Evidence) -> None:
    """The UPDATE that announces Microsoft's prefix is lost, its acknowledgement is not: nobody can tell any more."""
    records = read((CAPTURES / "turn-up.pcapng").read_bytes())
    wanted = never(route(prefix=MICROSOFT_4).sent_to("left"))
    witness = wanted.judge(evidence).witness
    assert witness is not None
    kept = [record for record in records if not (isinstance(record, Frame) and record.at == witness.at)]
    assert len(kept) == len(records) - 1
    trace = Trace.from_pcapng(b"".join(write(kept)), MODEL)
    judgement = wanted.judge(Evidence(model=MODEL, events=evidence.events, trace=trace))
    assert judgement.holds is None and "lost" in judgement.why
    six = never(route(prefix=MICROSOFT_6).sent_to("left")).judge(Evidence(model=MODEL, events=(), trace=trace))
    assert six.holds is False, "the other session is as it was"


def test_the_ladder_of_one_prefix(evidence: Evidence) -> None:
    text = render(rows(evidence.trace, session="isp-edge-v4", prefix=LEAVING))
    assert [line[17:] for line in text.splitlines()] == [
        "left → middle  UPDATE announce 203.0.113.128/25, 203.0.113.0/24 path 64500 via",
        "                 192.0.2.1",
        "left → middle  UPDATE announce 203.0.113.128/25, 203.0.113.0/24 path 64500 via",
        "                 192.0.2.1",
        "left → middle  UPDATE withdraw 203.0.113.128/25",
    ]
