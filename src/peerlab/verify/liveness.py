"""SES-12 and FLV-06: what BFD demands before a route is exchanged, how it speaks, and what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from peerlab.bgp.bfd_packet import HOP_LIMIT, PORT, SOURCE_PORTS, BfdState
from peerlab.bgp.wire import Notification, Open
from peerlab.evidence.events import BfdStateChanged, SessionStateChanged
from peerlab.evidence.story import Moment
from peerlab.evidence.story_liveness import LivenessStimulus
from peerlab.verify.bfd_frame import BfdFrame, bfd_frames
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, Trial, answered, events, session_at, snapshot
from peerlab.verify.wire import DOWN, announcements, decoded, hex_of, silence_is_seen

SLOW_MS = 1000
"""Milliseconds: the least interval of a session that is not Up (RFC 5880 section 6.8.3)."""
JITTERED = 0.75
"""The least part of an interval that jitter may leave of it (section 6.8.7)."""
EARLY_MS = 5
"""Milliseconds that the clocks of timer and capture may differ by."""
LATE_MS = 100
"""Milliseconds that a loaded machine may add to half of the packets of a session."""
NOTICED_WITHIN = 1.0
"""Seconds beyond the detection time in which both ends have to have taken their session down."""
_MS = 1_000_000
_DIRECTIONS = ("both", "to-edge", "from-edge")


# -- SES-12 ----------------------------------------------------------------------------------------------------------


def judge_gate(evidence: Evidence) -> Judgement:
    """No route before BFD is Up, intervals as agreed, AdminDown harmless."""
    docket = Docket()
    families = set()
    said = ("established", "held_received", "held_advertised", "bfd_up", "frames")
    for trial in answered(evidence, docket, LivenessStimulus.BFD_GATE, *said):
        if _gate(evidence, docket, trial):
            families.add(trial.session)
    for trial in answered(evidence, docket, LivenessStimulus.BFD_ADMIN_DOWN, "state", "uptime_kept", "frames"):
        _administration(evidence, docket, trial)
    _demanded(evidence, docket)
    return docket.close(
        f"{len(families)} sessions exchanged no route before BFD was Up; packets as RFC 5880 and 5881 say, "
        "intervals as agreed; AdminDown left BGP alone"
    )


def _gate(evidence: Evidence, docket: Docket, trial: Trial) -> bool:
    before, edge, peer = docket.faults, trial.applied.node, trial.did.text("peer")
    held = (trial.saw.count("held_received") or 0, trial.saw.count("held_advertised") or 0)
    if trial.saw.flag("established") is not True:
        docket.lacks(f"{trial.where}: BGP was not Established while BFD was down, so nothing had to be held back")
        return False
    if any(held):
        what = f"took {held[0]} and told {held[1]} routes while BFD was not Up"
        docket.breaks(trial.until, trial.where, what)
    heard = bfd_frames(trial.saw.items("frames"))
    ours, _ = _by_end(trial, heard)
    up = next((f for f in ours if f.packet is not None and f.packet.state is BfdState.UP), None)
    if trial.saw.flag("bfd_up") is not True or up is None:
        docket.lacks(f"{trial.where}: BFD was not seen Up, so nobody knows whether the gate opens")
        return False
    if not silence_is_seen(evidence, trial.session, trial.at, trial.until):
        docket.lacks(f"{trial.where}: the capture does not cover the trial")
        return False
    told = list(announcements(evidence, trial.session, edge, trial.at, trial.until))
    offered = list(announcements(evidence, trial.session, peer, trial.at, up.at))
    early = next((route for route in told if route.at < up.at), None)
    if early is not None:
        docket.breaks(early.at, trial.where, f"announces {early.prefix} before its BFD is Up", early.message)
    if not offered:
        docket.lacks(f"{trial.where}: the peer announced nothing before BFD was Up, so nothing had to wait")
    if not told or not trial.saw.count("received"):
        docket.lacks(f"{trial.where}: no route passed when BFD was Up either, so the silence before proves nothing")
    _packets(docket, trial, heard)
    if docket.faults > before:
        return False
    waited = (told[0].at - offered[0].at) / SECOND
    docket.proves(up.at, trial.where, f"BFD Up on the wire; the first route follows, after {waited:.2f} s of waiting")
    docket.proves(told[0].at, trial.where, f"announces {told[0].prefix} once BFD is Up", told[0].message)
    return True


def _by_end(trial: Trial, heard: tuple[BfdFrame, ...]) -> tuple[list[BfdFrame], list[BfdFrame]]:
    """Frames of the examined router and of the examiner."""
    edge, peer = (*(trial.did.texts("addresses") or ()), "", "")[:2]
    return [f for f in heard if f.source == edge], [f for f in heard if f.source == peer]


def _packets(docket: Docket, trial: Trial, heard: tuple[BfdFrame, ...]) -> None:
    """RFC 5881 of every packet, the agreed figures and the rhythm of each end."""
    interval, mult = trial.did.count("interval_ms"), trial.did.count("multiplier")
    if not interval or not mult:
        docket.lacks(f"{trial.where}: the agreed interval and multiplier are not logged")
        return
    for frame in heard:
        wrong = _malformed(frame)
        if wrong:
            docket.breaks(frame.at, trial.where, f"{frame.source} sends BFD {wrong}", frame.octets)
    for frames in _by_end(trial, heard):
        up = [f for f in frames if f.packet is not None and f.packet.state is BfdState.UP]
        if len(up) < 3:
            docket.lacks(f"{trial.where}: fewer than three packets of an end in state Up, so its rhythm is not seen")
            continue
        for frame in up:
            packet = frame.packet
            asked = packet and (packet.desired_min_tx // 1000, packet.required_min_rx // 1000, packet.detect_mult)
            if asked != (interval, interval, mult):
                what = f"{frame.source} offers {asked}, agreed were {(interval, interval, mult)} (ms, ms, times)"
                docket.breaks(frame.at, trial.where, what, frame.octets)
                break
        _rhythm(docket, trial, frames, interval, mult)


def _malformed(frame: BfdFrame) -> str:
    if frame.packet is None:
        return "that is no control packet"
    if frame.hop_limit != HOP_LIMIT:
        return f"with TTL {frame.hop_limit}, not {HOP_LIMIT} (RFC 5881 section 5)"
    if frame.destination_port != PORT or frame.source_port not in SOURCE_PORTS:
        return f"from port {frame.source_port} to {frame.destination_port} (RFC 5881 section 4)"
    return ""


def _rhythm(docket: Docket, trial: Trial, frames: list[BfdFrame], interval: int, mult: int) -> None:
    """Periodic packets of one end: never sooner than jitter allows, and while Up as often as agreed.

    A packet that tells of a change or answers a Poll comes when it comes (RFC 5880 section 6.8.7).
    """
    gaps: list[float] = []
    for frame, gap, state in _periodic(frames):
        least = JITTERED * (interval if state is BfdState.UP else max(interval, SLOW_MS)) - EARLY_MS
        if gap < least:
            what = f"{frame.source} sends again after {gap:.0f} ms in {state.words()}, the least is {least:.0f} ms"
            docket.breaks(frame.at, trial.where, what, frame.octets)
        if state is BfdState.UP:
            gaps.append(gap)
            if gap > interval * mult:
                what = f"{frame.source} is silent for {gap:.0f} ms while Up, longer than the detection time"
                docket.breaks(frame.at, trial.where, what, frame.octets)
    if not gaps:
        docket.lacks(f"{trial.where}: no two periodic packets of an end in state Up")
    elif median(gaps) > interval + LATE_MS:
        what = f"{frames[0].source} sends every {median(gaps):.0f} ms while Up, agreed were {interval} ms"
        docket.breaks(frames[-1].at, trial.where, what, frames[-1].octets)
    else:
        what = f"{frames[0].source}: {len(gaps) + 1} packets while Up, every {median(gaps):.0f} ms (agreed {interval})"
        docket.proves(frames[-1].at, trial.where, what, frames[-1].octets)


def _periodic(frames: list[BfdFrame]) -> Iterator[tuple[BfdFrame, float, BfdState]]:
    """Pairs of packets that say the same, with the milliseconds between them."""
    spoken = [f for f in frames if f.packet is not None and not f.packet.final]
    for one, other in pairwise(spoken):
        said, again = one.packet, other.packet
        if said is not None and again is not None and (said.state, said.diagnostic) == (again.state, again.diagnostic):
            yield other, (other.at - one.at) / _MS, said.state


def _administration(evidence: Evidence, docket: Docket, trial: Trial) -> None:
    edge, peer = _by_end(trial, bfd_frames(trial.saw.items("frames")))
    said = next((f for f in peer if f.packet is not None and f.packet.state is BfdState.ADMIN_DOWN), None)
    interval, mult = trial.did.count("interval_ms") or 0, trial.did.count("multiplier") or 0
    if said is None or not edge:
        docket.lacks(f"{trial.where}: AdminDown of the peer was not seen on the wire")
        return
    if (trial.until - said.at) / _MS < interval * mult:
        docket.lacks(f"{trial.where}: BGP was watched for less than the detection time after AdminDown")
        return
    if not silence_is_seen(evidence, trial.session, trial.at, trial.until):
        docket.lacks(f"{trial.where}: the capture does not cover the trial")
        return
    ends = [m for m, _ in decoded(evidence, Notification, trial.session, since=trial.at, until=trial.until)]
    ends += [m for m, _ in decoded(evidence, Open, trial.session, since=trial.at, until=trial.until)]
    if ends:
        docket.breaks(ends[0].at, trial.where, "AdminDown of the peer's BFD ended BGP", hex_of(ends[0]))
    elif trial.saw.flag("uptime_kept") is not True:
        docket.breaks(trial.until, trial.where, "BGP did not stay up through AdminDown of the peer's BFD")
    elif trial.saw.text("state") != "Down":
        state = trial.saw.text("state") or "unknown"
        docket.lacks(f"{trial.where}: BFD is {state}, not Down, after the peer's AdminDown")
    else:
        docket.proves(said.at, trial.where, "AdminDown of the peer: BFD is Down, BGP stays up", said.octets)


def _demanded(evidence: Evidence, docket: Docket) -> None:
    """Sessions of the lab's own that may exchange no route without BFD: it is Up at both ends while they do."""
    strict = [s for s in evidence.model.sessions if s.bfd is not None and s.bfd.strict]
    taken = snapshot(evidence, docket, Moment.ALLOWED) if strict else None
    for session in strict:
        for end in (session.left, session.right):
            fact = session_at(taken, docket, end.node, session.id) if taken is not None else None
            if fact is None or taken is None or fact.state != "Established":
                continue
            where = f"{end.node} {session.id}"
            if fact.bfd is None or fact.bfd.state != "Up":
                told = "none" if fact.bfd is None else fact.bfd.state
                docket.breaks(taken.at, where, f"BFD is demanded and is {told}, while {fact.received} routes are held")
            else:
                docket.proves(taken.at, where, f"BFD Up, detection time {fact.bfd.detection_ms} ms")


# -- FLV-06 ----------------------------------------------------------------------------------------------------------


def judge_one_way(evidence: Evidence) -> Judgement:
    """Loss in one direction ends the session at both ends as fast as loss in both, and takes the routes along."""
    docket = Docket()
    times: dict[str, list[float]] = {}
    said = ("down_at_edge", "down_at_peer", "routes_left", "kernel_left", "frames")
    for trial in answered(evidence, docket, LivenessStimulus.PATH_LOST, *said):
        seconds = _lost(evidence, docket, trial)
        if seconds is not None:
            times.setdefault(trial.did.text("direction"), []).append(seconds)
    missing = [direction for direction in _DIRECTIONS if direction not in times]
    if missing:
        docket.lacks(f"no loss {', '.join(missing)} was judged: one way cannot be held against a full failure")
    for trial in answered(evidence, docket, LivenessStimulus.PATH_MENDED, "established", "bfd_up", "received"):
        if not (trial.saw.flag("established") and trial.saw.flag("bfd_up") and trial.saw.count("received")):
            what = f"did not come back after loss {trial.did.text('direction')}: BGP, BFD or routes are missing"
            docket.breaks(trial.until, trial.where, what)
        else:
            docket.proves(trial.until, trial.where, f"back after loss {trial.did.text('direction')}, routes too")
    figures = ", ".join(f"{direction} {max(found):.2f} s" for direction, found in times.items())
    return docket.close(f"every loss was found at both ends and cleared: {figures}")


def _lost(evidence: Evidence, docket: Docket, trial: Trial) -> float | None:
    """Seconds until both ends were down; None when the trial is a breach or proves nothing."""
    interval, mult = trial.did.count("interval_ms"), trial.did.count("multiplier")
    hold, direction, peer = trial.did.number("hold_time"), trial.did.text("direction"), trial.did.text("peer")
    if not interval or not mult or hold is None or direction not in _DIRECTIONS:
        docket.lacks(f"{trial.where}: what was agreed, or which direction was lost, is not logged")
        return None
    limit = interval * mult / 1000 + NOTICED_WITHIN
    if hold <= limit:
        docket.lacks(f"{trial.where}: a hold time of {hold:g} s would have found the loss as soon as BFD")
        return None
    if not _really_lost(docket, trial, direction):
        return None
    took: list[float] = []
    for node in (trial.applied.node, peer):
        where = f"{node} {trial.session}"
        down = _went_down(evidence, node, trial)
        failed = next((e for e in _bfd_events(evidence, node, trial) if e.path_failed), None)
        if down is None:
            docket.breaks(trial.until, where, f"is not down although the path lost {direction}")
            return None
        seconds = (down.at - trial.at) / SECOND
        if seconds > limit:
            what = f"was down after {seconds:.2f} s of loss {direction}, the limit is {limit:.2f} s"
            docket.breaks(down.at, where, what)
            return None
        if failed is None:
            docket.lacks(f"{where}: went down, but BFD of that end did not say that the path failed")
            return None
        took.append(seconds)
    left = (trial.saw.count("routes_left") or 0) + (trial.saw.count("kernel_left") or 0)
    if left:
        docket.breaks(trial.until, trial.where, f"{left} routes of the lost path stayed in RIB or kernel ({direction})")
        return None
    what = f"loss {direction}: both ends down after {took[0]:.2f} and {took[1]:.2f} s, no route left (hold {hold:g} s)"
    docket.proves(trial.until, trial.where, what)
    return max(took)


def _really_lost(docket: Docket, trial: Trial, direction: str) -> bool:
    """The wire itself: packets of a lost direction do not arrive (or leave), those of the other still do."""
    heard = [f for f in bfd_frames(trial.saw.items("frames")) if f.at > trial.at + LATE_MS * _MS]
    came, left = ([f for f in heard if f.direction == way] for way in ("in", "out"))
    if came and direction != "from-edge":
        docket.lacks(f"{trial.where}: packets of the peer still arrive, so nothing was lost {direction}")
    elif direction == "from-edge" and not came:
        docket.lacks(f"{trial.where}: no packet of the peer arrives, so more was lost than {direction}")
    elif direction == "to-edge" and not left:
        docket.lacks(f"{trial.where}: the router's own packets are not seen, so more was lost than {direction}")
    else:
        return True
    return False


def _went_down(evidence: Evidence, node: str, trial: Trial) -> SessionStateChanged | None:
    return next(
        (
            e
            for e in events(evidence, SessionStateChanged, trial.at, trial.until)
            if (e.node, e.session) == (node, trial.session) and e.before == "Established" and e.after in DOWN
        ),
        None,
    )


def _bfd_events(evidence: Evidence, node: str, trial: Trial) -> Iterator[BfdStateChanged]:
    found = events(evidence, BfdStateChanged, trial.at, trial.until)
    return (e for e in found if (e.node, e.session) == (node, trial.session))
