"""Judge of graceful restart (FLV-07, RFC 4724): forwarding goes on, what is stale is kept, confirmed or purged."""

from __future__ import annotations

from peerlab.bgp.wire import Notification, Open, Update
from peerlab.evidence.events import ProcessExited, StreamMeasured
from peerlab.evidence.story_restart import RestartStimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Trial, answered, events
from peerlab.verify.subject import family_of
from peerlab.verify.wire import announcements, decoded, hex_of, silence_is_seen

EARLY, LATE = 0.5, 1.0
"""Seconds before and after the restart time in which stale routes may be purged: clocks and a busy machine."""
SIGKILL = 9


def judge_graceful_restart(evidence: Evidence) -> Judgement:
    docket = Docket()
    back: set[str] = set()
    purged: list[float] = []
    said = ("down", "established", "held_while_down", "held_after", "peer_kernel_while_down", "peer_kernel_after")
    for trial in answered(evidence, docket, RestartStimulus.GRACEFUL_RESTART, *said):
        before = docket.faults
        _came_back(evidence, docket, trial)
        if docket.faults == before:
            back.add(trial.session)
    for trial in answered(evidence, docket, RestartStimulus.RESTART_EXPIRED, "down", "held_while_down", "gone"):
        seconds = _stayed_away(evidence, docket, trial)
        if seconds is not None:
            purged.append(seconds)
    return docket.close(
        f"{len(back)} sessions: the router was killed, its kernel forwarded on, no packet was lost, stale routes went "
        f"with End-of-RIB; without its return after {max(purged, default=0):.1f} s"
    )


def _was_killed(evidence: Evidence, docket: Docket, trial: Trial) -> int | None:
    """When the router was killed without a word, having agreed on graceful restart before; None otherwise."""
    peer, helper = trial.did.text("peer"), trial.applied.node
    family = family_of(trial.did.text("kept") or "0.0.0.0")
    for node in (peer, helper):
        opens = [said for _, said in decoded(evidence, Open, trial.session, node, 0, trial.at)]
        if not opens or family not in opens[-1].restarting_families:
            docket.lacks(f"{trial.where}: no OPEN of {node} announces graceful restart for {family.value}")
            return None
    exits = [e for e in events(evidence, ProcessExited, trial.at, trial.until) if e.node == peer]
    if not exits or exits[0].signal != SIGKILL or trial.saw.flag("down") is not True:
        docket.lacks(f"{trial.where}: the log does not show that {peer} was killed and the session went down")
        return None
    if not silence_is_seen(evidence, trial.session, trial.at, trial.until):
        docket.lacks(f"{trial.where}: the capture has a gap")
        return None
    if any(True for _ in decoded(evidence, Notification, trial.session, None, trial.at, trial.until)):
        docket.lacks(f"{trial.where}: a NOTIFICATION ended the session, which is no graceful restart")
        return None
    return exits[0].at


def _came_back(evidence: Evidence, docket: Docket, trial: Trial) -> None:
    killed = _was_killed(evidence, docket, trial)
    if killed is None:
        return
    peer, kept, withdrawn = trial.did.text("peer"), trial.did.text("kept"), trial.did.text("withdrawn")
    opens = list(decoded(evidence, Open, trial.session, peer, killed, trial.until))
    if not opens or trial.saw.flag("established") is not True:
        docket.breaks(trial.until, trial.where, f"{peer} did not come back")
        return
    message, opened = opens[0]
    if not opened.has_restarted:
        docket.breaks(message.at, trial.where, "the OPEN after the restart has no R bit", hex_of(message))
    if not opened.restarting_families.get(family_of(kept)):
        docket.breaks(message.at, trial.where, "the OPEN after the restart has no F bit", hex_of(message))
    _kept_forwarding(docket, trial, kept, withdrawn)
    ends = [
        m for m, said in decoded(evidence, Update, trial.session, peer, message.at, trial.until) if said.end_of_rib
    ]
    if not ends:
        docket.breaks(trial.until, trial.where, f"{peer} sent no End-of-RIB after its restart")
        return
    told = {r.prefix for r in announcements(evidence, trial.session, peer, message.at, ends[0].at)}
    if kept not in told:
        docket.breaks(ends[0].at, trial.where, f"{kept} was not announced again before End-of-RIB", hex_of(ends[0]))
    if withdrawn in told:
        docket.lacks(f"{trial.where}: {withdrawn} was announced again, so nothing had to be purged")
    _purged(docket, trial, kept, withdrawn)
    _no_loss(evidence, docket, trial, killed, ends[0].at)
    docket.proves(message.at, trial.where, "OPEN with R and F bit", hex_of(message))
    docket.proves(ends[0].at, trial.where, "End-of-RIB", hex_of(ends[0]))


def _kept_forwarding(docket: Docket, trial: Trial, kept: str, withdrawn: str) -> None:
    """While nobody spoke BGP for it, the peer's kernel and the helper used both routes."""
    peer = trial.did.text("peer")
    for key, where in (
        ("held_while_down", trial.where),
        ("helper_kernel_while_down", f"kernel of {trial.applied.node}"),
        ("peer_kernel_while_down", f"kernel of {peer}"),
    ):
        lost = sorted({kept, withdrawn} - set(trial.saw.texts(key) or ()))
        if lost:
            docket.breaks(trial.until, where, f"{', '.join(lost)} went while {peer} was restarting")
        else:
            docket.proves(trial.until, where, f"{kept} and {withdrawn} stay while {peer} is restarting")


def _purged(docket: Docket, trial: Trial, kept: str, withdrawn: str) -> None:
    """Afterwards the route that is still there is in use, and the one that is gone is nowhere."""
    for key, where in (("held_after", trial.where), ("peer_kernel_after", f"kernel of {trial.did.text('peer')}")):
        held = set(trial.saw.texts(key) or ())
        if withdrawn in held:
            docket.breaks(trial.until, where, f"{withdrawn} is stale and still used after End-of-RIB")
        if kept not in held:
            docket.breaks(trial.until, where, f"{kept} is gone after the restart")
        if held == {kept}:
            docket.proves(trial.until, where, f"{kept} in use, {withdrawn} purged")


def _no_loss(evidence: Evidence, docket: Docket, trial: Trial, killed: int, back: int) -> None:
    name, family = trial.did.text("stream"), family_of(trial.did.text("kept")).value
    found = [
        s for s in events(evidence, StreamMeasured) if s.name.split(":")[0] == name and s.family == family
    ]
    if not found:
        docket.lacks(f"{trial.where}: no {family} stream ran through the restart")
    for stream in found:
        where = f"stream {stream.source} > {stream.destination} {family}"
        lost = stream.sent - stream.received
        if not stream.sent or stream.started > killed or stream.ended < back:
            docket.lacks(f"{where}: it did not run from before the kill until after End-of-RIB")
        elif lost > 0:
            docket.breaks(stream.at, where, f"{lost} of {stream.sent} packets lost while the router restarted")
        else:
            docket.proves(stream.at, where, f"{stream.sent} packets through the restart, none lost")


def _stayed_away(evidence: Evidence, docket: Docket, trial: Trial) -> float | None:
    """Seconds until the stale route was purged; None when the trial is a breach or proves nothing."""
    if _was_killed(evidence, docket, trial) is None:
        return None
    peer, kept, seconds = trial.did.text("peer"), trial.did.text("kept"), trial.saw.number("seconds")
    opens = [said for _, said in decoded(evidence, Open, trial.session, peer, 0, trial.at)]
    asked = opens[-1].restart_time
    if asked is None or seconds is None or asked != trial.did.count("restart_time"):
        docket.lacks(f"{trial.where}: the restart time of the OPEN, or the time until the purge, is not known")
    elif kept not in (trial.saw.texts("held_while_down") or ()):
        docket.breaks(trial.until, trial.where, f"{kept} went with the session, before the restart time of {asked} s")
    elif trial.saw.flag("gone") is not True or kept in (trial.saw.texts("helper_kernel_after") or ()):
        docket.breaks(trial.until, trial.where, f"{kept} is stale and used {seconds:.1f} s after the end of {peer}")
    elif not asked - EARLY <= seconds <= asked + LATE:
        docket.breaks(trial.until, trial.where, f"{kept} purged after {seconds:.1f} s, the restart time is {asked} s")
    else:
        docket.proves(trial.until, trial.where, f"{kept} purged after {seconds:.1f} s (restart time {asked} s)")
        return seconds
    return None
