"""How an edge's import policy judged the routes that were announced to it on purpose: one engine for many checks.

A case counts only when the wire shows the route as the stimulus describes it, the edge's RIB shows the verdict, and the
same session accepts something else: a session that refuses everything would pass every refusal.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.evidence.events import RouterNotice
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, Snapshot
from peerlab.evidence.story import Moment, Stimulus
from peerlab.verify.docket import Docket
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Trial, events, judged, node_at, snapshot, trials
from peerlab.verify.stimulated import prefixes_of
from peerlab.verify.subject import connection_sessions, families_of, family_of
from peerlab.verify.wire import WireRoute, routes, watched

ACCEPT, REJECT = "accept", "reject"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One announced prefix with its fate: the trial, what stood on the wire, and what the edge made of it.

    ``fate`` is None when the route never entered the edge's RIB (treat-as-withdraw) and a notice says so.
    """

    trial: Trial
    prefix: str
    wire: WireRoute
    fate: RouteFact | None
    receiver: NodeSnapshot

    @property
    def expected(self) -> str:
        return self.trial.did.text("expected")

    @property
    def asns(self) -> tuple[int, ...]:
        """Every AS number of the announced path, from the description that the wire confirmed."""
        words = self.trial.did.text("as_path").replace("{", " ").replace("}", " ").replace(",", " ").split()
        return tuple(int(word) for word in words if word.isdigit())


class Need(msgspec.Struct, frozen=True):
    """A kind of case without which a check proves nothing. ``family`` None means: in every family of the lab."""

    what: str
    holds: Callable[[Case], bool]
    family: Family | None = None


def proven_cases(evidence: Evidence, docket: Docket, check: str) -> list[Case]:
    """Cases of a check whose fate was the expected one. Everything else is entered as breach or gap."""
    taken = snapshot(evidence, docket, Moment.STIMULATED)
    mine = [t for t in trials(evidence, Stimulus.ANNOUNCED) if t.did.text("check") == check]
    if not mine:
        docket.lacks(f"nothing was announced to put {check} to the test")
    if taken is None:
        return []
    found = []
    for trial in mine:
        if not watched(evidence, docket, trial.session, trial.at, taken.at):
            continue
        for prefix in prefixes_of(trial):
            case = _case(evidence, docket, taken, trial, prefix)
            if case is not None and _fate_is_right(evidence, docket, taken, case):
                found.append(case)
    for case in found:
        accepted = [r for r in case.receiver.adj_rib_in_post.get(case.trial.session, ()) if r.accepted]
        if not accepted:
            docket.lacks(f"{case.trial.session} accepts nothing at all, so a refusal there proves nothing")
    return found


def _case(evidence: Evidence, docket: Docket, taken: Snapshot, trial: Trial, prefix: str) -> Case | None:
    name = f"{trial.did.text('case')} {prefix}"
    on_wire = [r for r in routes(evidence, trial.session, trial.applied.node, trial.at, taken.at) if r.prefix == prefix]
    if not on_wire:
        docket.lacks(f"{trial.where}: {name} is not on the wire")
        return None
    wire = on_wire[-1]
    wanted = trial.did.text("as_path")
    if wire.attributes is not None and wanted and wire.attributes.path_text() != wanted:
        docket.lacks(f"{trial.where}: {name} went out with path '{wire.attributes.path_text()}', not '{wanted}'")
        return None
    receiver = node_at(taken, docket, wire.receiver)
    if receiver is None:
        return None
    return Case(
        trial=trial, prefix=prefix, wire=wire, fate=judged(receiver, trial.session).get(prefix), receiver=receiver
    )


def _fate_is_right(evidence: Evidence, docket: Docket, taken: Snapshot, case: Case) -> bool:
    session, wire, fate = case.trial.session, case.wire, case.fate
    where = f"{case.receiver.node} {session}"
    name = f"{case.prefix} ({case.trial.did.text('case') or case.expected})"
    used = [r for r in case.receiver.loc_rib if r.prefix == case.prefix and r.session == session]
    if case.expected == ACCEPT:
        if fate is None:
            docket.lacks(f"{where}: {name} is not in the Adj-RIB-In")
        elif not fate.accepted:
            docket.breaks(wire.at, where, f"{name} should be accepted, rejected by '{fate.reason}'", wire.message)
        else:
            docket.proves(wire.at, where, f"{name} accepted", wire.message)
            return True
    elif case.expected != REJECT:
        docket.lacks(f"{case.trial.where}: {name} does not say what is expected")
    elif used or (fate is not None and fate.accepted):
        docket.breaks(wire.at, where, f"{name} should be rejected and is accepted", wire.message)
    elif fate is not None and not fate.reason:
        docket.breaks(wire.at, where, f"{name} is rejected without a reason", wire.message)
    elif fate is not None:
        docket.proves(wire.at, where, f"{name} rejected by '{fate.reason}'", wire.message)
        return True
    else:
        notice = _notice(evidence, case, taken)
        if notice is None:
            docket.lacks(f"{where}: {name} is neither in the Adj-RIB-In nor in a notice of the router")
        else:
            docket.proves(notice.at, where, f"{name} kept out: {notice.text}", wire.message)
            return True
    return False


def _notice(evidence: Evidence, case: Case, taken: Snapshot) -> RouterNotice | None:
    """The router's notice that it treated this very message as a withdrawal (RFC 7606)."""
    for notice in events(evidence, RouterNotice, case.wire.at, taken.at):
        same = notice.node == case.receiver.node and notice.session == case.trial.session
        if same and notice.message and notice.message.lower() in case.wire.message:
            return notice
    return None


def insist(evidence: Evidence, docket: Docket, cases: list[Case], needs: tuple[Need, ...]) -> None:
    """Enter a gap for every need that no proven case fills, in each family it stands for."""
    families = families_of(connection_sessions(evidence.model))
    for need in needs:
        for family in families if need.family is None else (need.family,):
            if not any(family_of(case.prefix) is family and need.holds(case) for case in cases):
                docket.lacks(f"{need.what} ({family.value}) was not shown")
