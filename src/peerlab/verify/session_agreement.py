"""Judges of what two ends agreed on: timers, capabilities, 4-octet AS numbers (SES-05, SES-08, SES-09)."""

from __future__ import annotations

from itertools import pairwise

from peerlab.bgp.attributes import Family
from peerlab.bgp.capability import CapabilityCode
from peerlab.bgp.wire import Keepalive, Open, RouteRefresh
from peerlab.evidence.events import FaultInjected
from peerlab.evidence.story import Moment, Stimulus
from peerlab.topology.model import Session
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import FOREVER, SECOND, answered, events, node_at, session_at, snapshot
from peerlab.verify.subject import FAMILIES, connection_sessions, family_of, routers
from peerlab.verify.wire import announcements, decoded, established_at, hex_of, watched

AS_TRANS = 23456
CLOCK_TOLERANCE = 50_000_000
"""Nanoseconds by which two KEEPALIVEs may be closer than their timer says: scheduling, not the timer."""
AT_LEAST_WATCHED = 1.5
"""Seconds for which a session must have been watched before its KEEPALIVE spacing says anything."""


def judge_timers(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    for session in connection_sessions(evidence.model):
        if not watched(evidence, docket, session.id):
            continue
        offered: dict[str, int] = {}
        for end in (session.left, session.right):
            opens = list(decoded(evidence, Open, session.id, end.node, until=taken.at if taken else FOREVER))
            if not opens:
                docket.lacks(f"the trace has no OPEN of {end.node} in {session.id}")
            else:
                offered[end.node] = opens[-1][1].hold_time
        if taken is None or len(offered) < 2:
            continue
        hold = min(offered.values())
        keepalive = max(1, hold // 3) if hold else 0
        for end in (session.left, session.right):
            fact = session_at(taken, docket, end.node, session.id)
            if fact is None:
                continue
            where = f"{end.node} {session.id}"
            if fact.hold_time != hold:
                docket.breaks(taken.at, where, f"hold time {fact.hold_time} s; the OPENs' least is {hold} s")
            elif fact.keepalive != keepalive:
                docket.breaks(taken.at, where, f"keepalive {fact.keepalive} s; a third of {hold} s is {keepalive} s")
            else:
                _spacing(evidence, docket, session, end.node, f"hold {hold} s, keepalive {keepalive} s")
    return docket.close(
        "hold time is the least of both offers, keepalive a third of it, never faster than one a second"
    )


def _spacing(evidence: Evidence, docket: Docket, session: Session, node: str, timers: str) -> None:
    """No two KEEPALIVEs of a node closer than a second; the one that answers the OPEN does not count.

    Nor do those between a fault on purpose and the session's next OPEN: what TCP could not deliver it sends again in
    one go when the wire carries once more.
    """
    up = established_at(evidence, session.id)
    where = f"{node} {session.id}"
    beats = list(decoded(evidence, Keepalive, session.id, node, since=(up or 0) + 1))
    everything = [m.at for m, _ in decoded(evidence, Keepalive, session.id, since=(up or 0) + 1)]
    if up is None or not everything or (everything[-1] - up) / SECOND < AT_LEAST_WATCHED:
        docket.lacks(f"{where}: the trace does not last long enough to tell the spacing of KEEPALIVEs")
        return
    opens = [m.at for m, _ in decoded(evidence, Open, session.id, node)]
    faults = [e.at for e in events(evidence, FaultInjected)]
    outages = [(at, min(one for one in opens if one > at)) for at in faults if any(one > at for one in opens)]
    for (before, _), (after, _) in pairwise(beats):
        if any(begin <= after.at <= end for begin, end in outages):
            continue
        if any(before.at < at <= after.at for at in opens) or any(0 <= before.at - at < SECOND for at in opens):
            continue
        if after.at - before.at < SECOND - CLOCK_TOLERANCE:
            gap = (after.at - before.at) / SECOND
            docket.breaks(after.at, where, f"two KEEPALIVEs {gap:.3f} s apart", hex_of(after))
            return
    docket.proves(everything[-1], where, f"{timers}; {len(beats)} KEEPALIVEs in {(everything[-1] - up) / SECOND:.1f} s")


def judge_capabilities(evidence: Evidence) -> Judgement:
    docket = Docket()
    for session in connection_sessions(evidence.model):
        if not watched(evidence, docket, session.id):
            continue
        agreed = set(FAMILIES)
        refresh = True
        for end in (session.left, session.right):
            where = f"{end.node} {session.id}"
            opens = list(decoded(evidence, Open, session.id, end.node))
            if not opens:
                docket.lacks(f"the trace has no OPEN of {end.node} in {session.id}")
                agreed = set()
                continue
            message, said = opens[-1]
            missing = _not_offered(said, session.family)
            if missing:
                docket.breaks(message.at, where, f"does not offer {', '.join(missing)}", hex_of(message))
            else:
                docket.proves(message.at, where, f"offers {session.family.value}, 4-octet AS, refresh", hex_of(message))
            agreed &= set(said.families())
            refresh = refresh and said.has_route_refresh()
        for route in announcements(evidence, session.id):
            if agreed and family_of(route.prefix) not in agreed:
                what = f"sends {route.prefix}, of a family that was not agreed on"
                docket.breaks(route.at, f"{route.sender} {session.id}", what, route.message)
        for message, _ in decoded(evidence, RouteRefresh, session.id):
            if not refresh:
                where = f"{message.source} {session.id}"
                docket.breaks(message.at, where, "sends ROUTE-REFRESH without the capability", hex_of(message))
    return docket.close("address family, 4-octet AS and route refresh offered by both ends; nothing else was used")


def _not_offered(said: Open, family: Family) -> list[str]:
    missing = []
    if not said.has(CapabilityCode.MULTIPROTOCOL) or family not in said.families():
        missing.append(f"multiprotocol {family.value}")
    if said.four_octet_as is None:
        missing.append("4-octet AS")
    if not said.has_route_refresh():
        missing.append("route refresh")
    return missing


def judge_four_octet_as(evidence: Evidence) -> Judgement:
    docket = Docket()
    model = evidence.model
    opened = 0
    large = {known.asn for known in model.ases if known.asn > 0xFFFF}
    for trial in answered(evidence, docket, Stimulus.OLD_SPEAKER, "path_at_third"):
        path = trial.saw.text("path_at_third")
        asns = {int(word) for word in path.replace("{", " ").replace("}", " ").replace(",", " ").split()}
        if AS_TRANS in asns:
            docket.breaks(trial.until, trial.where, f"AS_TRANS is left in the path '{path}' behind an OLD speaker")
        elif not any(asn > 0xFFFF for asn in asns):
            docket.lacks(f"{trial.where}: the path '{path}' holds no 4-octet AS number, so nothing was put to the test")
        else:
            docket.proves(trial.until, trial.where, f"path behind an OLD speaker is '{path}'")
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    for node in routers(model) if taken is not None else ():
        at_node = node_at(taken, docket, node.name) if taken is not None else None
        for route in at_node.loc_rib if at_node is not None else ():
            if AS_TRANS in route.attributes.asns():
                path = route.attributes.path_text()
                docket.breaks(taken.at if taken else 0, node.name, f"{route.prefix} has AS_TRANS in its path '{path}'")
    for session in model.sessions:
        for end in (session.left, session.right):
            if end.asn not in large or session.is_internal:
                continue
            for message, said in list(decoded(evidence, Open, session.id, end.node))[:1]:
                opened += 1
                where = f"{end.node} {session.id}"
                if said.asn != end.asn or said.two_octet_as != AS_TRANS:
                    what = f"OPEN says AS {said.asn} with {said.two_octet_as} in the old field, not {end.asn}"
                    docket.breaks(message.at, where, what, hex_of(message))
                else:
                    docket.proves(message.at, where, f"OPEN says AS {end.asn}, 23456 in the old field", hex_of(message))
    if not opened:
        docket.lacks("the trace has no OPEN of any AS over 65535")
    return docket.close("4-octet AS numbers survive NEW and OLD speakers; no AS_TRANS is left in any path")
