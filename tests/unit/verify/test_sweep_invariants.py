"""The invariants of a sweep: each passes in a world that is right, and fails when the world is wrong in its way."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.verify.sweep_world import LINK, MODEL, look, node, run

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.bgp.route_fact import RouteFact
from peerlab.evidence.events import PathTraced
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, Snapshot
from peerlab.topology.load import load, load_text
from peerlab.verify.catalogue import CATALOGUE
from peerlab.verify.finding import Finding, Outcome
from peerlab.verify.likeness import in_flight
from peerlab.verify.outage import Case
from peerlab.verify.sweep import SWEPT, Run, judge_run, swept, worst

OWN = ("SWP-01", "SWP-02", "SWP-03", "SWP-04", "SWP-05", "SWP-06")


def verdicts(played: Run) -> dict[str, Finding]:
    return {f.check: f for f in judge_run(played) if f.check in OWN}


def failing(played: Run) -> set[str]:
    return {check for check, finding in verdicts(played).items() if finding.outcome is Outcome.FAIL}


def with_session(seen: NodeSnapshot, **fields: object) -> NodeSnapshot:
    first, *others = seen.sessions
    return msgspec.structs.replace(seen, sessions=(msgspec.structs.replace(first, **fields), *others))


def without_route(seen: NodeSnapshot, prefix: str) -> NodeSnapshot:
    return msgspec.structs.replace(seen, kernel=tuple(r for r in seen.kernel if r.prefix != prefix))


@pytest.mark.parametrize("case", ["", f"link:{LINK}", "router:r2", f"session:{MODEL.sessions[0].id}", f"up:{LINK}"])
def test_a_world_that_is_right_passes_every_invariant(case: str) -> None:
    played = run(case)
    if case.startswith("router"):
        gone = NodeSnapshot(node="r2", dead="it is out")
        played = msgspec.structs.replace(played, settled=look("settled", 200, joined=False, r2=gone))
    if case.startswith("session"):
        ended = {n: without_own(with_session(node(n, True), state="Idle"), n) for n in ("r1", "r2")}
        played = msgspec.structs.replace(played, settled=look("settled", 200, **ended))
    assert {c: (f.outcome, f.summary) for c, f in verdicts(played).items() if f.outcome is not Outcome.PASS} == {}


def without_own(seen: NodeSnapshot, name: str) -> NodeSnapshot:
    """Without the route of the family whose session is shut."""
    return without_route(seen, "198.18.33.0/24" if name == "r1" else "198.18.32.0/24")


def test_a_session_that_outlives_its_ground_fails() -> None:
    stubborn = look("settled", 200, joined=False, r1=with_session(node("r1", False), state="Established"))
    assert failing(run(f"link:{LINK}", settled=stubborn)) == {"SWP-01"}


@pytest.mark.parametrize("changed", [{"state": "Active"}, {"since": 199}])
def test_a_session_that_has_nothing_to_do_with_it_and_flaps_fails(changed: dict[str, object]) -> None:
    access = next(link.id for link in MODEL.links if "h1" in link.id)
    hit = look("settled", 200, r1=with_session(node("r1", True), **changed))
    assert "SWP-01" in failing(run(f"link:{access}", settled=hit))


def test_what_is_late_fails() -> None:
    assert failing(run(f"link:{LINK}", late=("quiet at r1 did not happen within 20 s",))) == {"SWP-01"}


def test_a_loop_fails() -> None:
    """r2 sends what is for h2 back to r1."""
    back = KernelRoute(
        prefix=Prefix("198.18.33.0/30"),
        gateway=Address(str(MODEL.sessions[0].end("r1").address)),
        interface="to-r1",
    )
    seen = without_route(node("r2", True), "198.18.33.0/30")
    looped = msgspec.structs.replace(seen, kernel=(*seen.kernel, back))
    found = verdicts(run("", settled=look("settled", 200, r2=looped)))
    assert found["SWP-02"].outcome is Outcome.FAIL
    assert "r1 > r2 > r1" in found["SWP-02"].summary


def test_a_packet_that_visits_a_hop_twice_fails() -> None:
    path = PathTraced(
        at=250, name="allowed", source="h1", destination="h2", hops=("192.0.2.1", "192.0.2.2", "192.0.2.1"),
        nodes=("r1", "r2", "r1"), reached=False, family="ipv4",
    )  # fmt: skip
    assert "SWP-02" in failing(run("", paths=(path,)))


@pytest.mark.parametrize(
    ("where", "end"), [("r1", "no route at r1"), ("r2", "black hole at r2")], ids=["no route", "black hole"]
)
def test_what_relations_join_has_to_be_delivered(where: str, end: str) -> None:
    lost = "198.18.33.0/24" if where == "r1" else "198.18.33.0/30"
    found = verdicts(run("", settled=look("settled", 200, **{where: without_route(node(where, True), lost)})))
    assert found["SWP-03"].outcome is Outcome.FAIL
    assert end in found["SWP-03"].summary


def test_a_route_over_a_dead_wire_is_a_black_hole() -> None:
    """The kernel of r1 has not noticed: nothing joins the hosts, but neither may this pass for delivery."""
    assert "SWP-03" not in failing(run(f"link:{LINK}", settled=look("settled", 200, joined=True)))
    assert "SWP-04" not in failing(run(f"link:{LINK}", settled=look("settled", 200, joined=True)))


def test_a_way_that_no_relation_gives_fails() -> None:
    """The sessions are out and the wire is not: whoever is delivered has a route that nobody may have told."""
    both = ",".join(f"session:{session.id}" for session in MODEL.sessions)
    assert "SWP-04" in failing(run(both, settled=look("settled", 200, joined=True)))


def test_packets_that_do_not_arrive_fail_and_packets_that_were_not_sent_prove_nothing() -> None:
    played = run("")
    dead = tuple(msgspec.structs.replace(path, reached=False) for path in played.paths)
    assert failing(run("", paths=dead)) == {"SWP-05"}
    assert verdicts(run("", paths=played.paths[1:]))["SWP-05"].outcome is Outcome.INCONCLUSIVE


def test_a_lab_that_does_not_come_back_as_it_was_fails_and_says_how() -> None:
    changed = look("restored", 300, r1=without_route(node("r1", True), "198.18.33.0/24"))
    found = verdicts(run(f"link:{LINK}", restored=changed))["SWP-06"]
    assert found.outcome is Outcome.FAIL
    assert "r1 kernel 198.18.33.0/24" in found.summary
    assert verdicts(run(f"link:{LINK}", restored=None))["SWP-06"].outcome is Outcome.INCONCLUSIVE


def test_times_and_flaps_are_no_difference() -> None:
    later = look("restored", 300, r1=with_session(node("r1", True), since=290, flaps=3, last_error="Cease 6/2"))
    assert verdicts(run(f"link:{LINK}", restored=later))["SWP-06"].outcome is Outcome.PASS


def test_a_check_of_the_catalogue_that_cannot_be_told_decides_nothing_but_a_failed_one_does() -> None:
    own = verdicts(run(""))["SWP-01"]
    told = msgspec.structs.replace(own, check="VAL-15", phase="validation", outcome=Outcome.INCONCLUSIVE)
    assert worst((own, told)) is Outcome.PASS
    assert worst((own, msgspec.structs.replace(told, outcome=Outcome.FAIL))) is Outcome.FAIL
    assert worst((msgspec.structs.replace(own, outcome=Outcome.INCONCLUSIVE),)) is Outcome.INCONCLUSIVE
    assert worst(()) is Outcome.INCONCLUSIVE


def test_the_swept_checks_are_the_catalogues_and_need_no_stimulus() -> None:
    by_id = {check.id: check for check in CATALOGUE}
    for check in SWEPT:
        assert not [text for text in by_id[check].consumes if text.startswith(("trial", "LinkTested", "Stream"))]


@pytest.mark.parametrize("dead", [False, True], ids=["running", "out"])
def test_the_settled_lab_is_shown_to_the_catalogue_without_the_routers_that_are_out(dead: bool) -> None:
    """VAL-15 sees a BGP route in a kernel that no Loc-RIB has; a dead router's kernel is nobody's claim."""
    model = load(Path(__file__).parents[3] / "topologies" / "direct.yaml")
    stale = KernelRoute(prefix=Prefix("203.0.113.0/24"), gateway=Address("192.0.2.1"), interface="e0", protocol=186)
    nodes = {n.name: NodeSnapshot(node=n.name) for n in model.nodes}
    nodes["fab-ams-1"] = NodeSnapshot(node="fab-ams-1", kernel=(stale,))
    settled = Snapshot(label="settled", at=200, nodes=nodes)
    played = run("router:fab-ams-1" if dead else "", model=model, settled=settled, before=settled, restored=settled)
    found = {f.check: f for f in judge_run(played)}
    assert set(SWEPT) <= set(found)
    assert (found["VAL-15"].outcome is Outcome.FAIL) is not dead, found["VAL-15"]


def test_what_is_not_there_is_no_subject_and_no_proof() -> None:
    gone = {name: NodeSnapshot(node=name, dead="it is out") for name in ("r1", "r2")}
    found = verdicts(run("router:r1,router:r2", settled=look("settled", 200, **gone)))
    assert found["SWP-01"].outcome is Outcome.NOT_APPLICABLE
    lonely = load_text("name: x\nases:\n  one: {asn: 64500, role: isp, routers: {r1: }}\n", "x.yaml")
    alone = Snapshot(label="x", at=1, nodes={"r1": NodeSnapshot(node="r1")})
    played = run("", model=lonely, settled=alone, before=alone, baseline=alone, restored=alone)
    assert {c: f.outcome for c, f in verdicts(played).items()} == {
        **dict.fromkeys(OWN, Outcome.NOT_APPLICABLE), "SWP-06": Outcome.PASS,
    }  # fmt: skip


def test_what_one_end_told_and_the_other_has_not_heard_is_in_flight() -> None:
    session = MODEL.sessions[0].id
    told = RouteFact(prefix=Prefix("198.18.32.0/24"), session=session, attributes=PathAttributes())
    sender = msgspec.structs.replace(node("r1", True), adj_rib_out={session: (told,)})
    hearer = msgspec.structs.replace(node("r2", True), adj_rib_in_pre={session: (told,)})
    assert list(in_flight(MODEL, look("x", 1, r1=sender))) == [f"r1 > r2 {session}"]
    assert list(in_flight(MODEL, look("x", 1, r2=hearer))) == [f"r1 > r2 {session}"], "a withdrawal that is on its way"
    assert list(in_flight(MODEL, look("x", 1, r1=sender, r2=hearer))) == []
    down = msgspec.structs.replace(node("r2", False))
    assert list(in_flight(MODEL, look("x", 1, r1=sender, r2=down))) == [], "nothing is on its way to who is not there"


def test_the_ladder_is_not_judged_where_activation_moves_it() -> None:
    reference = load(Path(__file__).parents[3] / "topologies" / "peering-service.yaml")
    assert set(swept(reference)) == set(SWEPT) - {"RTG-03"}
    assert swept(MODEL) == SWEPT


def test_families_are_judged_apart() -> None:
    six = look("settled", 200, r1=without_route(node("r1", True), "2001:db8:2001::/48"))
    found = verdicts(run("", settled=six))["SWP-03"]
    assert found.outcome is Outcome.FAIL
    assert Family.IPV6.value in found.summary
    assert str(Case(())) == ""
