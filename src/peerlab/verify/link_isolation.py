"""Checks that nothing of the link test gets out and nothing gets in: the judges of LNK-04, LNK-05 and LNK-06."""

from __future__ import annotations

from peerlab.evidence.story import Moment, Phase, Stimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import answered, fact_of, node_at, phase_window, snapshot
from peerlab.verify.stimulated import stimulated_routes
from peerlab.verify.subject import (
    LINK_LOCAL,
    Connection,
    is_link_local,
    link_of,
    routers,
    tested_connections,
    within,
)
from peerlab.verify.wire import announcements, messages, watched

CONNECTED = 2
"""Kernel protocol number of routes that come with an address (RTPROT_KERNEL)."""


def _inside(prefix: str) -> bool:
    return "." in prefix and within(prefix, LINK_LOCAL)


def judge_never_forwarded(evidence: Evidence) -> Judgement:
    docket = Docket()
    covered: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.LINK_LOCAL_INJECTED, "delivered", "leaked"):
        frames = trial.did.count("frames")
        delivered, leaked = trial.saw.count("delivered"), trial.saw.items("leaked")
        where = f"{trial.applied.node} {trial.did.text('entered')}".strip()
        if leaked:
            docket.breaks(trial.until, where, f"a 169.254/16 frame was forwarded: {leaked[0]}")
        elif leaked is None or not frames:
            docket.lacks(f"{where}: no link-local frame was injected")
        elif not trial.did.texts("sources") or not trial.did.texts("destinations"):
            docket.lacks(f"{where}: frames with a link-local source and with a link-local destination are both needed")
        elif not delivered:
            docket.lacks(f"{where}: no forwardable test frame came through, so silence proves nothing")
        else:
            covered.add(trial.applied.node)
            docket.proves(trial.until, where, f"{frames} link-local frames dropped, {delivered} test frames passed")
    for connection in tested_connections(evidence.model):
        if connection.request.edge not in covered:
            docket.lacks(f"{connection.request.edge}: nobody tried to have it forward 169.254/16")
    return docket.close(f"{', '.join(sorted(covered))} forward nothing from or to 169.254/16")


def judge_never_routed(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.LINK_TEST)
    if taken is not None and not any(
        is_link_local(text) for node in taken.nodes.values() for texts in node.addresses.values() for text in texts
    ):
        docket.lacks("no router held a link-local address when 'link-test' was read, so nothing could have leaked")
    deliberate = stimulated_routes(evidence)
    for label, shot in evidence.snapshots.items():
        for node in routers(evidence.model):
            at_node = shot.nodes.get(node.name)
            if at_node is None:
                docket.lacks(f"snapshot '{label}' has no node {node.name}")
                continue
            ribs = [("Loc-RIB", route) for route in at_node.loc_rib]
            ribs += [("Adj-RIB-In", r) for rib in at_node.adj_rib_in_post.values() for r in rib if r.accepted]
            ribs += [
                ("Adj-RIB-Out", r)
                for session, rib in at_node.adj_rib_out.items()
                for r in rib
                if (node.name, session, r.prefix) not in deliberate
            ]
            for rib_name, route in ribs:
                if _inside(route.prefix):
                    docket.breaks(shot.at, f"{node.name} ({label})", f"{route.prefix} is in the {rib_name}")
            for kernel in at_node.kernel:
                if _inside(kernel.prefix) and kernel.protocol != CONNECTED:
                    what = f"the kernel has a routed {kernel.prefix} (protocol {kernel.protocol})"
                    docket.breaks(shot.at, f"{node.name} ({label})", what)
        docket.proves(shot.at, label, f"no route inside {LINK_LOCAL} at {len(shot.nodes)} nodes")
    for session in evidence.model.sessions:
        if not any(True for _ in messages(evidence, session.id)) and not _was_up(evidence, session.id):
            continue
        watched(evidence, docket, session.id)
        for seen in announcements(evidence, session.id):
            if _inside(seen.prefix) and (seen.sender, session.id, seen.prefix) not in deliberate:
                where = f"{session.id} from {seen.sender}"
                docket.breaks(seen.at, where, f"announces {seen.prefix}", seen.message)
    return docket.close(f"nothing inside {LINK_LOCAL} in {len(evidence.snapshots)} snapshots or in any UPDATE")


def _was_up(evidence: Evidence, session: str) -> bool:
    """Whether any snapshot shows the session Established: then it must be on the trace."""
    nodes = (node for taken in evidence.snapshots.values() for node in taken.nodes.values())
    return any(fact.session == session and fact.state == "Established" for node in nodes for fact in node.sessions)


def judge_no_customer_traffic(evidence: Evidence) -> Judgement:
    docket = Docket()
    window = phase_window(evidence, Phase.LINK_TEST)
    if window is None:
        docket.lacks("the link test phase is not in the log")
    seen: set[str] = set()
    for trial in answered(evidence, docket, Stimulus.EARLY_TRAFFIC, "crossed", "control"):
        link = trial.did.text("link")
        if window is None or not window[0] <= trial.at <= window[1]:
            continue
        sent, crossed, control = trial.did.count("sent"), trial.saw.count("crossed"), trial.saw.count("control")
        if crossed:
            docket.breaks(trial.until, link, f"{crossed} customer packets crossed the link during the link test")
        elif not sent or crossed is None:
            docket.lacks(f"{link}: no customer packet was offered")
        elif not control:
            docket.lacks(f"{link}: the counter did not even see the link test's own frames")
        else:
            seen.add(link)
            docket.proves(trial.until, link, f"0 of {sent} customer packets crossed, {control} test frames did")
    taken = snapshot(evidence, docket, Moment.LINK_TEST)
    for connection in tested_connections(evidence.model):
        if connection.request.link not in seen:
            docket.lacks(f"{connection.key}: no customer traffic was offered during the link test")
        if taken is not None:
            _no_route_over(evidence, docket, connection)
    return docket.close(f"no customer packet and no route over {len(seen)} links during the link test")


def _no_route_over(evidence: Evidence, docket: Docket, connection: Connection) -> None:
    taken = evidence.snapshots[Moment.LINK_TEST.value]
    link = link_of(evidence.model, connection.request.link or "")
    if link is None:
        docket.lacks(f"{connection.key}: the model has no link {connection.request.link}")
        return
    for end in link.ends:
        at_node = node_at(taken, docket, end.node)
        if at_node is None:
            continue
        over = [r for r in at_node.kernel if r.interface == end.interface and r.protocol != CONNECTED]
        if over:
            what = f"the kernel routes {over[0].prefix} over {end.interface} during the link test"
            docket.breaks(taken.at, end.node, what)
        for session in connection.sessions(evidence.model):
            fact = fact_of(at_node, session.id)
            if fact is not None and fact.state == "Established":
                docket.breaks(taken.at, end.node, f"session {session.id} is Established during the link test")
