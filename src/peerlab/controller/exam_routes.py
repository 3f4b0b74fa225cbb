"""Pairs of routes that are equal up to one step of the decision process, and a next hop that comes and goes.

RFC 4271 section 9.1.2.2: in every pair the route that has to win would lose each later step, so that the winner shows
which step decided.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from peerlab.bgp.attributes import Address, Family, Origin, Prefix
from peerlab.bgp.decision import Step
from peerlab.bgp.policy import CommunityIn, Policy, SetLocalPref, Statement
from peerlab.controller import fault
from peerlab.controller.exam import ACCEPT_ALL, ANSWERED_WITHIN, EXAM_ACCEPT, Exam
from peerlab.evidence.story import Stimulus
from peerlab.topology.model import Node

FIRST, FIRST_AGAIN, SECOND = "first", "again", "second"
"""eBGP: two wires of a router with the lower router id, and one of a router with the higher."""
INSIDE, INSIDE_TOO = "inside", "inside-too"
"""iBGP, at the same two routers."""
HOP = "hop"
"""A wire without a session: the network on which a next hop stands."""
CASES = (FIRST, FIRST_AGAIN, SECOND, INSIDE, INSIDE_TOO, HOP)

MISSING_MED = "missing MED"
"""A route without MED counts as one with the lowest (RFC 4271 section 9.1.2.2 c)."""

PREFERRED = "64999:200"
"""What a route carries that the examined router is to prefer by LOCAL_PREF."""

PREFERRING = Policy(
    name="examiner-preferring",
    statements=(
        Statement(name="preferred", match=(CommunityIn((PREFERRED,)),), actions=(SetLocalPref(200),)),
        *EXAM_ACCEPT.statements,
    ),
)


@dataclass(frozen=True)
class Side:
    """One route of a pair: the case whose session it comes on, and what it carries besides the defaults."""

    case: str
    path: tuple[int, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A step, the route that wins by it, and the one that loses. ``name`` is what the log calls it if not the step."""

    step: Step
    winner: Side
    loser: Side
    name: str = ""


def pairs(far: dict[Family, Address], family: Family) -> tuple[Pair, ...]:
    """Every pair of a family. ``far`` is a next hop inside the cloud; the step of the IGP needs one."""
    longer = (64999, 64998)
    found = [
        Pair(Step.LOCAL_PREF, Side(SECOND, longer, {"communities": (PREFERRED,)}), Side(FIRST)),
        Pair(Step.AS_PATH, Side(SECOND, (), {"origin": Origin.INCOMPLETE}), Side(FIRST, longer)),
        Pair(Step.ORIGIN, Side(SECOND, (), {"med": 20}), Side(FIRST, (), {"origin": Origin.EGP, "med": 10})),
        Pair(Step.MED, Side(SECOND, (), {"med": 10}), Side(FIRST, (), {"med": 20})),
        Pair(Step.MED, Side(SECOND), Side(FIRST, (), {"med": 10}), name=MISSING_MED),
        Pair(Step.EBGP, Side(SECOND, (64999,)), Side(INSIDE, (64999, 64998))),
        Pair(Step.ROUTER_ID, Side(FIRST_AGAIN), Side(SECOND)),
        Pair(Step.PEER_ADDRESS, Side(FIRST), Side(FIRST_AGAIN)),
    ]
    if family in far:
        away = Side(INSIDE, longer, {"next_hop": far[family]})
        found.append(Pair(Step.IGP_METRIC, Side(INSIDE_TOO, longer), away))
    return tuple(found)


def prepare(exam: Exam) -> None:
    """Want the sessions of these cases."""
    for case in (FIRST, FIRST_AGAIN, SECOND):
        exam.want(case, takes=PREFERRING)
    for case in (INSIDE, INSIDE_TOO):
        exam.want(case, takes=ACCEPT_ALL)


async def break_ties(exam: Exam) -> None:
    """Announce every pair and see which route is best, and by which step the other one lost (RTG-01)."""
    cases = (FIRST, FIRST_AGAIN, SECOND, INSIDE, INSIDE_TOO)
    await asyncio.gather(*(exam.is_up(exam[case], family) for case in cases for family in Family))
    await asyncio.gather(*(exam.is_open(exam[case], family) for case in cases for family in Family))
    far = _far_next_hops(exam, exam[FIRST].at)
    todo = [(pair, family) for family in Family for pair in pairs(far, family)]
    await asyncio.gather(*(_break_tie(exam, pair, family) for pair, family in todo))


def _far_next_hops(exam: Exam, at: str) -> dict[Family, Address]:
    """Loopbacks of another router of the same AS, which only its interior protocol reaches."""
    model = exam.rehearsal.model
    own = model.node(at)

    def is_other(node: Node) -> bool:
        return node.is_router and node.asn == own.asn and node.name != at

    other = next((node for node in model.nodes if is_other(node)), None)
    if other is None:
        return {}
    loopbacks = {Family.IPV4: other.loopback_v4, Family.IPV6: other.loopback_v6}
    return {family: address for family, address in loopbacks.items() if address is not None}


async def _break_tie(exam: Exam, pair: Pair, family: Family) -> None:
    step = pair.name or str(pair.step)
    trial = f"{step} {family.value}"
    prefix = exam.prefix(family, f"tie {step}")
    winner, loser = exam[pair.winner.case], exam[pair.loser.case]
    expected = winner.sessions[family]
    exam.applied(Stimulus.TIE_BREAK, winner.at, expected, trial=trial, step=step, prefix=prefix, expected=expected)
    # The loser is announced first: the winner has to replace it, not merely to be there before.
    for side, examiner in ((pair.loser, loser), (pair.winner, winner)):
        await exam.announce(examiner, family, (prefix,), side.path, **side.attributes)
        await exam.are_known(examiner, family, (prefix,))
    best = await exam.best(winner.at, prefix)
    explanation = await (await exam.router(winner.at)).explain(prefix)
    lost = [c.eliminated_by for c in explanation.candidates if c.session == loser.sessions[family]]
    exam.observed(
        Stimulus.TIE_BREAK,
        winner.at,
        expected,
        trial=trial,
        prefix=prefix,
        best=best.session if best is not None else "",
        reason=lost[0] if lost else "",
    )


async def lose_next_hop(exam: Exam) -> None:
    """The network on which an iBGP route's next hop stands goes and comes back, the session unharmed (RTG-02)."""
    lab, inside, hop = exam.rehearsal.lab, exam[INSIDE], exam[HOP]
    router = await exam.router(inside.at)
    prefixes: dict[Family, Prefix] = {}
    before: dict[Family, bool] = {}
    for family, session in inside.sessions.items():
        await exam.is_up(inside, family)
        await exam.is_open(inside, family)
        prefixes[family] = exam.prefix(family, HOP)
        await exam.announce(inside, family, (prefixes[family],), (64999,), next_hop=hop.addresses[family])
        before[family] = await router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefixes[family])
    link = fault.find_link(lab, hop.link)
    for family, session in inside.sessions.items():
        next_hop = hop.addresses[family]
        exam.applied(Stimulus.NEXT_HOP_LOST, inside.at, session, prefix=prefixes[family], next_hop=next_hop)
    await fault.set_link(lab, link, up=False)
    without = {
        family: not await router.wait("no-best", ANSWERED_WITHIN, prefix=prefix) for family, prefix in prefixes.items()
    }
    await fault.set_link(lab, link, up=True)
    for family, session in inside.sessions.items():
        again = await router.wait("best", ANSWERED_WITHIN, session=session, prefix=prefixes[family])
        exam.observed(
            Stimulus.NEXT_HOP_LOST,
            inside.at,
            session,
            prefix=prefixes[family],
            best_before=before[family],
            best_without=without[family],
            best_again=again,
        )
