"""Judges of attacks on an edge's strength: floods, enormous attributes, families nobody asked for (SEC-02, 07, 08)."""

from __future__ import annotations

from itertools import pairwise

from peerlab.bgp.capability import CapabilityCode
from peerlab.bgp.wire import Keepalive, MessageType, Notification, Open, Update
from peerlab.evidence.events import PhaseStarted
from peerlab.evidence.story import Phase
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import SECOND, Trial, answered, events
from peerlab.verify.session_hostile import answers_to, hostile_trials, notification_in
from peerlab.verify.subject import FAMILIES, connection_sessions
from peerlab.verify.wire import announcements, decoded, hex_of, messages, watched

FLOOD_KINDS = ("segment", "echo", "keepalive")
MOST_GROWTH = 64 << 10
"""KiB by which a router may have grown after the attack: routes that are gone may have left some of their memory."""
LONG_PATH, MANY_COMMUNITIES, LARGE, EXTENDED = 255, 1000, 3900, 4096
STORM_UPDATES = 400
UNICAST = {(1, 1), (2, 1)}
"""AFI and SAFI of IPv4 and IPv6 unicast: all that a peering carries."""


def judge_flood(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[str] = set()
    for trial in answered(evidence, docket, HostileStimulus.FLOOD, "seconds", "sent", "received", "others_down"):
        where, hold = f"{trial.did.text('edge')} {trial.session}", trial.did.number("hold_time") or 0.0
        seconds, sent = trial.saw.number("seconds") or 0.0, trial.saw.table("sent") or {}
        received, others = trial.saw.count("received") or 0, trial.saw.items("others_down") or ()
        counts = {kind: count for kind, count in sent.items() if isinstance(count, int)}
        if not hold or seconds <= hold:
            docket.lacks(f"{where}: the flood of {seconds:.1f} s did not outlast the hold time of {hold:g} s")
        elif absent := [kind for kind in FLOOD_KINDS if not counts.get(kind)]:
            docket.lacks(f"{where}: the flood had no {absent[0]}")
        elif received < counts["echo"] / 2:
            docket.lacks(f"{where}: only {received} of {sum(counts.values())} packets reached the edge")
        elif others:
            docket.breaks(trial.until, where, f"session {others[0]} did not stay up in the flood")
        else:
            for session in (trial.session, trial.did.text("flooded")):
                if watched(evidence, docket, session, trial.at, trial.until):
                    _survives(evidence, docket, trial, session, hold)
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            if docket.is_clean:
                shown.add(trial.session)
                docket.proves(trial.until, where, f"stayed Established, hold {hold:g} s, in {seconds:.1f} s of {told}")
    if docket.is_clean and len(shown) < len(FAMILIES):
        docket.lacks("no session of each family was shown to stay in a flood")
    return docket.close("no Established session was lost in a flood of SYN, ICMP and BGP longer than the hold time")


def _survives(evidence: Evidence, docket: Docket, trial: Trial, session: str, hold: float) -> None:
    """Between its first and last KEEPALIVE the edge never paused for the hold time, and ended nothing."""
    attacker = trial.applied.node
    window = list(messages(evidence, session, since=trial.at, until=trial.until))
    edge = next((m.source for m in window if m.source != attacker), "")
    ended = next((m for m in window if m.kind == MessageType.NOTIFICATION), None)
    beats = [m.at for m, _ in decoded(evidence, Keepalive, session, edge, trial.at, trial.until)]
    if ended is not None:
        docket.breaks(ended.at, f"{ended.source} {session}", "the session was ended in the flood", hex_of(ended))
    elif len(beats) < 2 or (beats[-1] - beats[0]) / SECOND < hold:
        docket.lacks(f"{session}: the trace does not show the edge's KEEPALIVEs through the flood")
    else:
        longest = max(later - earlier for earlier, later in pairwise(beats)) / SECOND
        if longest >= hold:
            docket.breaks(beats[-1], f"{edge} {session}", f"the edge fell silent for {longest:.1f} s in the flood")


def judge_resources(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown: set[str] = set()
    growth: list[int] = []
    keys = ("rss_before", "rss_after", "same_process", "updates")
    for trial in answered(evidence, docket, HostileStimulus.RESOURCE_ATTACK, *keys):
        where = f"{trial.applied.node} {trial.session}"
        before, after = trial.saw.count("rss_before"), trial.saw.count("rss_after")
        witness, sentinel = trial.did.text("witness"), trial.did.text("sentinel")
        watching = [watched(evidence, docket, one, trial.at, trial.until) for one in (trial.session, witness)]
        if not all(watching):
            continue
        sent = list(decoded(evidence, Update, trial.session, trial.applied.node, trial.at, trial.until))
        if not before or not after:
            docket.lacks(f"{where}: the memory of the router is not known")
        elif not sent:
            docket.lacks(f"{where}: nothing of the attack is on the wire")
        elif missing := _pieces_missing(evidence, trial, len(sent)):
            docket.lacks(f"{where}: the attack had {missing}")
        elif refusal := notification_in(answers_to(evidence, sent[0][0], trial.until)):
            what = f"the session was reset with NOTIFICATION {refusal[1].code}/{refusal[1].subcode}"
            docket.breaks(refusal[0].at, where, what, hex_of(refusal[0]))
        elif trial.saw.flag("same_process") is not True:
            docket.breaks(trial.until, where, "the router process is not the one that it was")
        elif after - before > MOST_GROWTH:
            what = f"the router grew by {(after - before) >> 10} MiB; {MOST_GROWTH >> 10} MiB are the bound"
            docket.breaks(trial.until, where, what)
        else:
            edge = sent[0][0].destination
            last = next(
                (r for r in announcements(evidence, witness, edge, trial.at, trial.until) if r.prefix == sentinel), None
            )
            if last is None:
                docket.breaks(trial.until, where, f"the good route behind it, {sentinel}, was never passed on")
            else:
                shown.add(trial.session)
                growth.append(after - before)
                what = f"{len(sent)} UPDATEs, then {sentinel} passed on; {before >> 10} MiB before, {after >> 10} after"
                docket.proves(last.at, where, what, last.message)
    if docket.is_clean and len(shown) < len(FAMILIES):
        docket.lacks("no attack was shown on a session of each family")
    most = max(growth, default=0) / 1024
    return docket.close(f"enormous attributes, a storm, flaps: no reset, the same process, {most:+.1f} MiB of memory")


def _pieces_missing(evidence: Evidence, trial: Trial, updates: int) -> str:
    """What the attack should have had and the wire does not show, '' for nothing."""
    prefixes = set((trial.did.table("pieces") or {}).values())
    found = set()
    for route in announcements(evidence, trial.session, trial.applied.node, trial.at, trial.until):
        if route.prefix not in prefixes or route.attributes is None:
            continue
        octets = len(route.message) // 2
        if len(route.attributes.asns()) >= LONG_PATH:
            found.add("long path")
        if len(route.attributes.communities) + len(route.attributes.large_communities) >= MANY_COMMUNITIES:
            found.add("many communities")
        if LARGE <= octets <= EXTENDED:
            found.add("message of almost 4096 octets")
        if octets > EXTENDED:
            found.add("extended message")
    wanted = ("long path", "many communities", "message of almost 4096 octets", "extended message")
    absent = [name for name in wanted if name not in found]
    if absent:
        return f"no {absent[0]}"
    return "" if updates >= STORM_UPDATES else f"{updates} UPDATEs only"


def judge_families(evidence: Evidence) -> Judgement:
    docket = Docket()
    opens = 0
    for session in connection_sessions(evidence.model):
        if not watched(evidence, docket, session.id):
            continue
        for end in (session.left, session.right):
            said = list(decoded(evidence, Open, session.id, end.node))
            if not said:
                docket.lacks(f"the trace has no OPEN of {end.node} in {session.id}")
            for message, opening in said:
                opens += 1
                foreign = foreign_families(opening)
                if foreign:
                    what = f"the OPEN offers {', '.join(foreign)}"
                    docket.breaks(message.at, f"{end.node} {session.id}", what, hex_of(message))
            if said and docket.is_clean:
                docket.proves(said[-1][0].at, f"{end.node} {session.id}", "unicast only", hex_of(said[-1][0]))
    offered = 0
    attacked = any(event.phase == Phase.HOSTILE for event in events(evidence, PhaseStarted))
    trials = hostile_trials(evidence, docket, HostileStimulus.FAMILIES_OFFERED, "answered")
    for trial, sent in trials if attacked else ():
        where = f"{sent.destination} {trial.session}"
        answers = list(decoded(evidence, Open, trial.session, sent.destination, trial.at, trial.until))
        mine = [(m, o) for m, o in answers if m.connection == sent.connection]
        said_no = [m for m, _ in decoded(evidence, Notification, trial.session, sent.destination, sent.at, trial.until)]
        if not mine:
            docket.lacks(f"{where}: the trace has no OPEN that answers the one with families offered")
            continue
        foreign = foreign_families(mine[-1][1])
        if foreign:
            docket.breaks(mine[-1][0].at, where, f"answered with {', '.join(foreign)} too", hex_of(mine[-1][0]))
        elif refused := next((m for m in said_no if m.connection == sent.connection), None):
            docket.breaks(refused.at, where, "refused the OPEN instead of passing over the families", hex_of(refused))
        else:
            offered += 1
            what = f"offered {', '.join(trial.did.texts('families') or ())}, answered with unicast only"
            docket.proves(mine[-1][0].at, where, what, hex_of(mine[-1][0]))
    if attacked and docket.is_clean and offered < len(FAMILIES):
        docket.lacks("no OPEN with other families was shown to be answered in each family")
    tail = f"; {offered} OPENs that offered others were answered without them" if offered else ""
    return docket.close(f"{opens} OPENs offer unicast only{tail}")


def foreign_families(said: Open) -> list[str]:
    """Families of an OPEN that no peering carries, AFI/SAFI in figures."""
    values = said.values(CapabilityCode.MULTIPROTOCOL)
    pairs = [(value[0] << 8 | value[1], value[3]) for value in values if len(value) == 4]
    return [f"{afi}/{safi}" for afi, safi in pairs if (afi, safi) not in UNICAST]
