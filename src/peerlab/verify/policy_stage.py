"""Judges of the policy's stages: nothing under DENY ALL, one gated step to ALLOW (POL-01, 02, 03, 04, 23)."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.bgp.wire import Notification, Open, RouteRefresh
from peerlab.evidence.events import ConnectionStateChanged, ValidationJudged
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment, Stimulus
from peerlab.topology.model import Session
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import (
    FOREVER,
    Trial,
    answered,
    events,
    node_at,
    opening,
    session_at,
    snapshot,
    trials,
)
from peerlab.verify.session_trials import seen_trials
from peerlab.verify.subject import (
    Connection,
    connection_sessions,
    connections,
    edge_end,
    families_of,
    family_of,
    session_or_none,
)
from peerlab.verify.wire import announcements, decoded, hex_of, standing, watched


def judge_no_policy(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown = set()
    for trial in seen_trials(evidence, docket, Stimulus.NO_POLICY, "established", "accepted", "advertised"):
        peer = trial.applied.node
        offered = list(announcements(evidence, trial.session, peer, trial.at, trial.until))
        answer = [r for r in announcements(evidence, trial.session, None, trial.at, trial.until) if r.sender != peer]
        if answer:
            what = f"{answer[0].sender} announces {answer[0].prefix} without an export policy"
            docket.breaks(answer[0].at, trial.where, what, answer[0].message)
        elif trial.saw.count("accepted") or trial.saw.count("advertised"):
            what = (
                f"{trial.saw.count('accepted')} accepted, {trial.saw.count('advertised')} advertised without a policy"
            )
            docket.breaks(trial.until, trial.where, what)
        elif trial.saw.flag("established") is not True:
            docket.lacks(f"{trial.where}: the session without a policy did not come up")
        elif not offered:
            docket.lacks(f"{trial.where}: the peer offered nothing, so nothing was left unused")
        else:
            shown.add(family_of(offered[0].prefix))
            what = f"{len(offered)} routes offered, none used and none sent"
            docket.proves(offered[0].at, trial.where, what, offered[0].message)
    for family in families_of(connection_sessions(evidence.model)):
        if family not in shown:
            docket.lacks(f"no {family.value} session without a policy was tried")
    return docket.close("an eBGP session without a policy uses and sends nothing, per address family")


def _silent_until_open(evidence: Evidence, docket: Docket, session: Session, edge: str) -> bool:
    """Whether the edge announced nothing in the session before its policy was opened. Breaches and gaps are entered."""
    opened = opening(evidence, session.id)
    until = opened.at if opened is not None else FOREVER
    if not watched(evidence, docket, session.id, until=until):
        return False
    for route in announcements(evidence, session.id, edge, until=until):
        what = f"the edge announces {route.prefix} before its policy is opened"
        docket.breaks(route.at, f"{edge} {session.id}", what, route.message)
        return False
    return True


def _denied(docket: Docket, taken: Snapshot, session: Session, edge: str, peer: str) -> bool:
    """Whether a snapshot shows the session up with nothing accepted and nothing sent by the edge."""
    where = f"{edge} {session.id} ({taken.label})"
    at_edge, at_peer = session_at(taken, docket, edge, session.id), session_at(taken, docket, peer, session.id)
    node = node_at(taken, docket, edge)
    if at_edge is None or at_peer is None or node is None:
        return False
    used = [route for route in node.loc_rib if route.session == session.id]
    kept = [route for route in node.adj_rib_in_post.get(session.id, ()) if route.accepted]
    for fact in (at_edge, at_peer):
        if fact.state != "Established":
            docket.breaks(taken.at, f"{fact.node} {session.id} ({taken.label})", f"is {fact.state}, not Established")
            return False
    if at_edge.accepted or at_edge.advertised or at_peer.accepted:
        what = f"edge accepted {at_edge.accepted}, advertised {at_edge.advertised}; peer accepted {at_peer.accepted}"
        docket.breaks(taken.at, where, what)
        return False
    if used or kept or node.adj_rib_out.get(session.id):
        example = (*used, *kept, *node.adj_rib_out.get(session.id, ()))[0]
        docket.breaks(taken.at, where, f"the counters say none, yet {example.prefix} stands in a RIB of the edge")
        return False
    return True


def judge_deny_all(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.UNDER_DENY)
    subjects = connection_sessions(evidence.model)
    for session in subjects:
        edge = edge_end(evidence.model, session)
        if edge is None or taken is None:
            docket.lacks(f"{session.id} has no end in the cloud") if edge is None else None
            continue
        peer = session.other(edge.node).node
        offered = standing(evidence, session.id, peer, taken.at)
        denied = _denied(docket, taken, session, edge.node, peer)
        silent = _silent_until_open(evidence, docket, session, edge.node)
        if not offered:
            docket.lacks(f"{session.id}: {peer} had announced nothing, so nothing was refused")
        elif denied and silent:
            example = next(iter(offered.values()))
            what = f"{len(offered)} routes offered by {peer}, 0 accepted; 0 announced by {edge.node}"
            docket.proves(example.at, f"{edge.node} {session.id}", what, example.message)
    return docket.close(f"{len(subjects)} sessions Established under DENY ALL: nothing accepted, nothing announced")


_STICKY = (Stimulus.NEW_ANNOUNCEMENT, Stimulus.ROUTE_REFRESH, Stimulus.BOUNCE)


def judge_sticky(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.UNDER_DENY_STIMULATED)
    subjects = connection_sessions(evidence.model)
    shown: set[tuple[Stimulus, str]] = set()
    for stimulus in (*_STICKY, Stimulus.ROUTER_RESTARTED):
        for trial in trials(evidence, stimulus):
            session = session_or_none(evidence.model, trial.session)
            if session not in subjects and stimulus is Stimulus.NEW_ANNOUNCEMENT:
                shown |= {(stimulus, family) for family in _came_through(evidence, docket, subjects, trial)}
            if session is None or session not in subjects or not _under_deny(evidence, trial):
                continue
            if _took_place(evidence, docket, stimulus, trial):
                shown.add((stimulus, session.family.value))
    for session in subjects:
        edge = edge_end(evidence.model, session)
        if edge is None or taken is None:
            continue
        denied = _denied(docket, taken, session, edge.node, session.other(edge.node).node)
        if _silent_until_open(evidence, docket, session, edge.node) and denied:
            docket.proves(taken.at, f"{edge.node} {session.id}", "nothing accepted or announced until ALLOW")
    for stimulus in _STICKY:
        for family in families_of(subjects):
            if (stimulus, family.value) not in shown:
                docket.lacks(f"{stimulus.value} was not tried under DENY on any {family.value} session")
    tried = sorted({stimulus.value for stimulus, _ in shown})
    return docket.close(f"DENY ALL held on {len(subjects)} sessions through {', '.join(tried)}")


def _came_through(evidence: Evidence, docket: Docket, subjects: tuple[Session, ...], trial: Trial) -> Iterator[str]:
    """Families in which a prefix announced elsewhere, say to a route server, reached an edge that was under DENY."""
    for session in subjects:
        opened, edge = opening(evidence, session.id), edge_end(evidence.model, session)
        peer = session.other(edge.node).node if edge is not None else None
        until = opened.at if opened is not None else FOREVER
        for route in announcements(evidence, session.id, peer, trial.at, until):
            if route.prefix == trial.did.text("prefix"):
                docket.proves(route.at, f"{peer} {session.id}", f"{route.prefix} is new under DENY", route.message)
                yield session.family.value


def _under_deny(evidence: Evidence, trial: Trial) -> bool:
    opened = opening(evidence, trial.session)
    return opened is None or trial.at < opened.at


def _took_place(evidence: Evidence, docket: Docket, stimulus: Stimulus, trial: Trial) -> bool:
    """Whether the wire shows what the stimulus says it did."""
    opened = opening(evidence, trial.session)
    until = opened.at if opened is not None else FOREVER
    if stimulus is Stimulus.NEW_ANNOUNCEMENT:
        prefix = trial.did.text("prefix")
        sent = announcements(evidence, trial.session, trial.applied.node, trial.at, until)
        proof = next(((r.at, r.message) for r in sent if r.prefix == prefix), None)
    elif stimulus is Stimulus.ROUTE_REFRESH:
        asked = decoded(evidence, RouteRefresh, trial.session, None, trial.at, until)
        proof = next(((m.at, hex_of(m)) for m, _ in asked), None)
    else:
        if trial.saw.flag("established") is not True:
            docket.lacks(f"{stimulus.value} at {trial.where}: the session is not known to have come back")
            return False
        reopened = decoded(evidence, Open, trial.session, None, trial.at, until)
        proof = next(((m.at, hex_of(m)) for m, _ in reopened), None)
    if proof is None:
        docket.lacks(f"{stimulus.value} at {trial.where}: the trace does not show it")
        return False
    docket.proves(proof[0], trial.where, f"{stimulus.value} took place under DENY", proof[1])
    return True


def judge_gated_allow(evidence: Evidence) -> Judgement:
    docket = Docket()
    judged = 0
    for connection in connections(evidence.model):
        sessions = connection.sessions(evidence.model)
        openings = {session.id: opening(evidence, session.id) for session in sessions}
        closed = [session for session, event in openings.items() if event is None]
        if closed or not sessions:
            docket.lacks(f"{connection.key}: the log does not show ALLOW for {', '.join(closed) or 'any session'}")
            continue
        judged += 1
        first = min((event for event in openings.values() if event is not None), key=lambda event: event.at)
        if any(event is None or event.at != first.at for event in openings.values()):
            late = next(s for s, event in openings.items() if event is None or event.at != first.at)
            docket.breaks(first.at, connection.key, f"not one step: {late} was opened apart from {first.sessions[0]}")
            continue
        asked = first.at
        _validated_before(evidence, docket, connection, asked)
        active = [
            c.at
            for c in events(evidence, ConnectionStateChanged)
            if f"{c.peering}/{c.connection}" == connection.key and c.after == "Active"
        ]
        if not active or asked < active[0]:
            docket.breaks(asked, connection.key, "its policy was opened although it was not Active")
        _no_packet_before(evidence, docket, connection, asked)
        for session in sessions:
            edge = edge_end(evidence.model, session)
            if edge is not None and _silent_until_open(evidence, docket, session, edge.node):
                docket.proves(asked, f"{edge.node} {session.id}", "no route announced before this moment")
    return docket.close(f"{judged} connections opened in one step each, after the last validation, nothing before")


def _validated_before(evidence: Evidence, docket: Docket, connection: Connection, asked: int) -> None:
    verdicts: dict[str, ValidationJudged] = {}
    for event in events(evidence, ValidationJudged, until=asked):
        if event.subject == connection.key:
            verdicts[event.rule] = event
    failed = [event for event in verdicts.values() if not event.passed]
    if failed:
        what = f"was opened although '{failed[0].rule}' had failed: {failed[0].message}"
        docket.breaks(asked, connection.key, what)
    elif not verdicts:
        after = [e for e in events(evidence, ValidationJudged, since=asked) if e.subject == connection.key]
        if after:
            docket.breaks(asked, connection.key, f"was opened before '{after[0].rule}' was judged")
        else:
            docket.lacks(f"{connection.key}: no validation was logged")
    else:
        last = max(event.at for event in verdicts.values())
        docket.proves(
            last, connection.key, f"{len(verdicts)} rules passed, the last {(asked - last) / 1e6:.0f} ms before ALLOW"
        )


def _no_packet_before(evidence: Evidence, docket: Docket, connection: Connection, asked: int) -> None:
    early = [
        trial
        for trial in trials(evidence, Stimulus.EARLY_TRAFFIC)
        if trial.did.text("connection") == connection.key and trial.at < asked
    ]
    useful = [t for t in early if t.did.count("sent") and t.saw.count("control") and t.until <= asked]
    for trial in early:
        if trial.saw.count("crossed"):
            what = f"{trial.saw.count('crossed')} packets crossed before the policy was opened"
            docket.breaks(trial.until, connection.key, what)
            return
    counted = [t for t in useful if t.saw.count("crossed") == 0]
    if counted:
        docket.proves(
            counted[0].until, connection.key, f"0 of {counted[0].did.count('sent')} packets crossed before ALLOW"
        )
    else:
        docket.lacks(f"{connection.key}: no traffic was offered before its policy was opened")


def judge_policy_change(evidence: Evidence) -> Judgement:
    docket = Docket()
    keys = ("accepted_before", "accepted_between", "accepted_after", "flaps")
    ways = ("advertised_before", "advertised_between", "advertised_after")
    for trial in answered(evidence, docket, Stimulus.POLICY_CHANGED, *keys, *ways):
        counts = [trial.saw.count(key) for key in (*keys, *ways)]
        if None in counts:
            docket.lacks(f"{trial.where}: the counts of routes are not logged")
            continue
        before, between, after, flaps, out_before, out_between, out_after = (count or 0 for count in counts)
        if not watched(evidence, docket, trial.session, trial.at, trial.until):
            continue
        resets = list(decoded(evidence, Open, trial.session, None, trial.at, trial.until))
        resets_heard = list(decoded(evidence, Notification, trial.session, None, trial.at, trial.until))
        if flaps or resets or resets_heard:
            docket.breaks(trial.until, trial.where, "the session was reset by a policy edit")
        elif not before or not out_before:
            docket.lacks(f"{trial.where}: there was no route to re-evaluate both ways")
        elif between == before or out_between == out_before:
            way = "accepted" if between == before else "announced"
            docket.breaks(
                trial.until, trial.where, f"after the edit still {before if way == 'accepted' else out_before} {way}"
            )
        elif (after, out_after) != (before, out_before):
            what = f"undoing the edit gives {after} accepted and {out_after} announced, not {before} and {out_before}"
            docket.breaks(trial.until, trial.where, what)
        else:
            what = f"accepted {before} → {between} → {after}, announced {out_before} → {out_between} → {out_after}"
            docket.proves(trial.until, trial.where, f"{what}, no reset")
    return docket.close("policy edits re-evaluate existing routes both ways, without a reset")
