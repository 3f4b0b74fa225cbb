"""Checks of routing (catalogue RTG): how the best route is chosen, where packets leave, and who hears of what."""

from __future__ import annotations

from peerlab.evidence.story import Stimulus
from peerlab.topology.model import LabModel
from peerlab.verify.check import CRITICAL, MAJOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_cases import REJECT, Need, insist, proven_cases
from peerlab.verify.reading import answered, fact_of
from peerlab.verify.remote_ingress import judge_remote_ingress, one_entrance
from peerlab.verify.routing_ladder import judge_ladder, no_ladder
from peerlab.verify.routing_potato import (
    judge_carriage,
    judge_cold_potato,
    judge_hot_potato,
    judge_med,
    one_metro,
    several_by_one_peer,
)
from peerlab.verify.routing_reach import (
    judge_export_set,
    judge_loop_free,
    judge_no_readvertisement,
    judge_unannounced,
    judge_valley_free,
    nothing_protected,
)
from peerlab.verify.session import no_connection
from peerlab.verify.subject import cloud_routers
from peerlab.verify.validation_routes import no_service

PHASE = "routing"
TIE_BREAKS = {
    "lower LOCAL_PREF": "9.1.1: highest degree of preference",
    "longer AS_PATH": "a: fewest AS",
    "higher ORIGIN": "b: lowest ORIGIN",
    "higher MED": "c: lowest MED of the same neighbour AS",
    "iBGP after eBGP": "d: eBGP before iBGP",
    "farther next hop": "e: lowest interior cost",
    "higher router id": "f: lowest BGP identifier",
    "higher peer address": "g: lowest peer address",
    "missing MED": "c: a missing MED is the lowest",
}
"""Trials of RFC 4271 section 9.1.2.2 by the step that eliminates the loser, as routers name it."""
INSIDE_AN_AS = ("iBGP after eBGP", "farther next hop")
"""Steps that take a second router of the same AS to show."""


def no_router(model: LabModel) -> str | None:
    """Why nobody decides anything."""
    return None if model.sessions else "this lab has no BGP session"


def judge_decision(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.TIE_BREAK, "best", "reason"):
        step, expected = trial.did.text("step"), trial.did.text("expected")
        best, reason = trial.saw.text("best"), trial.saw.text("reason")
        where = f"{trial.applied.node} ({step})"
        named = "higher MED" if step == "missing MED" else step
        if step not in TIE_BREAKS or not expected:
            docket.lacks(f"{where}: no step of RFC 4271 section 9.1.2.2 is named")
        elif best != expected:
            docket.breaks(trial.until, where, f"chooses {best or 'nothing'}, the RFC {expected}")
        elif reason != named:
            docket.breaks(trial.until, where, f"chooses {best} by '{reason}', the RFC by '{named}'")
        else:
            shown.add(step)
            docket.proves(trial.until, where, f"chooses {best}: the other has {reason}")
    needed = {step for step in TIE_BREAKS if len(cloud_routers(evidence.model)) > 1 or step not in INSIDE_AN_AS}
    for step in TIE_BREAKS:
        if step in needed - shown:
            docket.lacks(f"step {TIE_BREAKS[step]} was not shown")
    return docket.close(f"{len(shown)} tie-breaks give the RFC's winner, each by its own step")


def judge_resolvability(evidence: Evidence) -> Judgement:
    docket = Docket()
    for trial in answered(evidence, docket, Stimulus.NEXT_HOP_LOST, "best_before", "best_without", "best_again"):
        if trial.saw.flag("best_before") is not True:
            docket.lacks(f"{trial.where}: the route was not best before its next hop was lost")
        elif trial.saw.flag("best_without") is not False:
            docket.breaks(trial.until, trial.where, "the route stays best without a way to its next hop")
        elif trial.saw.flag("best_again") is not True:
            docket.breaks(trial.until, trial.where, "the route does not return with its next hop")
        else:
            docket.proves(trial.until, trial.where, "best, gone without its next hop, best again")
    cases = proven_cases(evidence, docket, "RTG-02")
    loop = Need("a path with the edge's own AS", lambda case: case.expected == REJECT and _has_own_as(case))
    insist(evidence, docket, cases, (loop,))
    return docket.close("routes without a next hop and looped routes are excluded, and recover")


def _has_own_as(case: object) -> bool:
    fact = fact_of(case.receiver, case.trial.session)  # type: ignore[attr-defined]
    return fact is not None and fact.local_as in case.asns  # type: ignore[attr-defined]


CHECKS: tuple[Check, ...] = (
    Check(
        "RTG-01", "Decision order", PHASE, MAJOR,
        "Each tie-break of RFC 4271 section 9.1.2.2 gives the RFC's winner, by that very step.",
        "RFC 4271 9.1.2.2", "best route and the step that eliminated the other", no_router, judge_decision,
        ("trial tie-break per step (names: routing.TIE_BREAKS): step, expected; best, reason",),
    ),
    Check(
        "RTG-02", "Resolvability and loops", PHASE, MAJOR,
        "A route without a reachable next hop is excluded and recovers; a path with the own AS is excluded.",
        "RFC 4271 9.1.2", "the trial; a looped path announced", no_connection, judge_resolvability,
        ("trial next-hop-lost: best_before, best_without, best_again",
         "trial announced check=RTG-02: as_path with the edge's own AS (reject), per family",
         "snapshot stimulated: Adj-RIB-In post-policy, sessions of the edge"),
    ),
    Check(
        "RTG-03", "Preference ladder", PHASE, MAJOR,
        "Private peering > exchange > route server > transit by LOCAL_PREF on every edge.",
        "Edge Fabric; lab policy", "LOCAL_PREF after import policy", no_ladder, judge_ladder,
        ("snapshot allowed: Adj-RIB-In post-policy of every edge",),
    ),
    Check(
        "RTG-04", "Cold-potato egress", PHASE, CRITICAL,
        "CP-share over discriminating routers is at least 0.99 and all routers agree on one exit.",
        "S0; Azure routing preference; section B", "best routes of every cloud router", one_metro, judge_cold_potato,
        ("snapshot activated: Loc-RIB of every cloud router",
         "snapshot hot-potato: Adj-RIB-In post-policy of the edges (where a hot potato would leave)"),
    ),
    Check(
        "RTG-05", "WAN carriage", PHASE, CRITICAL,
        "Packets leave at the designated location and the WAN carries them as far as the model says, within 5 %.",
        "section B", "traced paths against emulated delays", no_service, judge_carriage,
        ("PathTraced name=activated from every service host to a host of the customer",
         "snapshot hot-potato: Adj-RIB-In post-policy of the edges (where a hot potato would leave)"),
    ),
    Check(
        "RTG-06", "Hot-potato control", PHASE, MAJOR,
        "Without the location preference CP-share falls and routers no longer agree on one exit.",
        "Azure routing preference; section B", "best routes of every cloud router", one_metro, judge_hot_potato,
        ("snapshots activated, hot-potato: Loc-RIB of every cloud router, Adj-RIB-In post-policy of the edges",),
    ),
    Check(
        "RTG-07", "Remote ingress", PHASE, MAJOR,
        "Users' packets enter the cloud at the location nearest to them, by a way at most 5 ms over the shortest.",
        "Azure routing preference; section B", "traced paths from every user to every service", one_entrance,
        judge_remote_ingress,
        ("PathTraced name=activated from every host outside the cloud to a service host",
         "snapshot activated: Adj-RIB-Out of the edges (who announces what to whom)"),
    ),
    Check(
        "RTG-08", "MED immunity", PHASE, MAJOR,
        "A peer's MED, different between its connections, moves no best route (Microsoft profile).",
        "policy.md; RFC 4271 9.1.2.2 c", "MEDs on the wire, best routes before and after", several_by_one_peer,
        judge_med,
        ("snapshots activated, med-swapped: Loc-RIB of every cloud router",
         "trace: UPDATE of the peers between them, with different MEDs for one prefix"),
    ),
    Check(
        "RTG-09", "No re-advertisement", PHASE, CRITICAL,
        "No service prefix or more-specific is announced on any eBGP session of the cloud, at any time.",
        "S0 FAQ; RFC 7908; RFC 9234", "every UPDATE of the cloud; an observer's RIB", nothing_protected,
        judge_no_readvertisement,
        ("trace: UPDATE of every eBGP session of the cloud", "snapshot activated: Adj-RIB-Out of the edges",
         "snapshot activated: Adj-RIB-In of every observer, which must know the prefix another way"),
    ),
    Check(
        "RTG-10", "Valley-free everywhere", PHASE, CRITICAL,
        "No route learnt from a peer, provider or route server is told to one; OTC is set and honoured.",
        "RFC 9234 5; RFC 7908 types 1-4", "every announcement of the lab", no_router, judge_valley_free,
        ("trace: UPDATE of every eBGP session of the model",),
    ),
    Check(
        "RTG-11", "Export set", PHASE, MAJOR,
        "Every peer is told exactly the cloud's prefixes, aggregated.",
        "policy.md", "announcements against the model", no_connection, judge_export_set,
        ("snapshot allowed (its time)", "trace: UPDATE of the edges on connection sessions", "model: node.originates"),
    ),
    Check(
        "RTG-12", "Only announced destinations", PHASE, CRITICAL,
        "Packets to a destination that is not announced on a session do not cross it.",
        "policy.md M12", "packets counted on the link", no_connection, judge_unannounced,
        ("trial unannounced-destination: link, sent; crossed, control",),
    ),
    Check(
        "RTG-13", "Loop-free and quiet", PHASE, MAJOR,
        "Every traced path ends where the routes say and visits no hop twice; a converged lab sends no UPDATE.",
        "lab; RFC 4271", "every traced path; the wire after ALLOW has settled", no_connection, judge_loop_free,
        ("PathTraced, all", "snapshot allowed (its time), PhaseEnded allow", "trace: no UPDATE between the two"),
    ),
)  # fmt: skip
