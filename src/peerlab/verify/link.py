"""Checks of the link test in 169.254.0.0/16 (catalogue LNK)."""

from __future__ import annotations

from collections import defaultdict

from peerlab.evidence.events import AddressesChanged, ConnectionStateChanged, LinkTested
from peerlab.evidence.story import Moment, Stimulus
from peerlab.topology.model import LabModel, PeeringKind
from peerlab.verify.check import CRITICAL, MAJOR, MINOR, Check
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.link_isolation import judge_never_forwarded, judge_never_routed, judge_no_customer_traffic
from peerlab.verify.reading import answered, events, node_at, snapshot
from peerlab.verify.subject import (
    Connection,
    connections,
    is_link_local,
    link_of,
    tested_connections,
    within,
)
from peerlab.verify.wire import messages

PHASE = "link test"
PROBES = 100
"""Probes each way of a link test (catalogue LNK-02)."""
RTT_MARGIN_MS = 50.0
"""What the average round trip may take beyond twice the emulated delay of the link."""
LOAD_SHARE = 0.9
LOAD_LOSS = 0.001
LOAD_JITTER_MS = 10.0
"""Budget of the link-test load: share of the capacity offered, share lost, jitter."""
RESERVED = ("169.254.0.0/24", "169.254.255.0/24")
"""First and last /24 of the link-local range, reserved (RFC 3927 section 2.1)."""


def no_link_test(model: LabModel) -> str | None:
    """Why there is no link to test."""
    if tested_connections(model):
        return None
    return "no peering of this lab asks for a link test on a wire of its own"


def _tests(evidence: Evidence, docket: Docket, connection: Connection) -> tuple[LinkTested, ...]:
    link = connection.request.link
    found = tuple(test for test in events(evidence, LinkTested) if test.link == link)
    if not found:
        docket.lacks(f"no link test of {connection.key} on {link} was logged")
    return found


def judge_addressing(evidence: Evidence) -> Judgement:
    docket = Docket()
    owners: dict[str, set[str]] = defaultdict(set)
    taken = snapshot(evidence, docket, Moment.LINK_TEST)
    for connection in tested_connections(evidence.model):
        for test in _tests(evidence, docket, connection):
            owners[test.source].add(test.link)
            owners[test.destination].add(test.link)
            where = f"{test.link} {test.source_node} > {test.destination_node}"
            if test.source == test.destination:
                docket.breaks(test.at, where, f"both ends use {test.source}")
                continue
            wrong = [a for a in (test.source, test.destination) if not _is_usable(a)]
            if wrong:
                docket.breaks(test.at, where, f"{wrong[0]} is outside 169.254.1.0-169.254.254.255")
                continue
            if taken is None:
                continue
            for node, address in ((test.source_node, test.source), (test.destination_node, test.destination)):
                at_node = node_at(taken, docket, node)
                if at_node is None:
                    continue
                held = [text for texts in at_node.addresses.values() for text in texts]
                if any(text.split("/")[0] == address for text in held):
                    docket.proves(taken.at, node, f"kernel holds {address} on {test.link}")
                else:
                    docket.lacks(f"{node}: the kernel did not hold {address} when '{taken.label}' was read")
    for address, links in sorted(owners.items()):
        if len(links) > 1:
            docket.breaks(0, ", ".join(sorted(links)), f"{address} was used on more than one link")
    return docket.close(f"{len(owners)} distinct link-local addresses on {len(_links(evidence))} links")


def _is_usable(address: str) -> bool:
    return is_link_local(address) and not any(within(address, reserved) for reserved in RESERVED)


def _links(evidence: Evidence) -> set[str]:
    return {c.request.link for c in tested_connections(evidence.model) if c.request.link is not None}


def judge_ping(evidence: Evidence) -> Judgement:
    docket = Docket()
    for connection in tested_connections(evidence.model):
        tests = _tests(evidence, docket, connection)
        link = link_of(evidence.model, connection.request.link or "")
        budget = 2 * ((link.delay_ms if link else None) or 0.0) + RTT_MARGIN_MS
        ends = {connection.request.edge, connection.request.peer}
        for node in sorted(ends - {test.source_node for test in tests}):
            if tests:
                docket.lacks(f"{connection.key}: no probes from {node} were logged")
        for test in tests:
            where = f"{test.link} {test.source_node} > {test.destination_node}"
            if test.received < test.sent:
                docket.breaks(test.at, where, f"{test.sent - test.received} of {test.sent} probes were lost")
            elif test.sent < PROBES:
                docket.lacks(f"{where}: only {test.sent} probes were sent, {PROBES} are needed")
            elif test.received > test.sent:
                docket.lacks(f"{where}: {test.received} answers to {test.sent} probes: the count contradicts itself")
            elif test.rtt_avg_ms is None:
                docket.lacks(f"{where}: no round trip time was measured")
            elif test.rtt_avg_ms > budget:
                docket.breaks(test.at, where, f"round trip {test.rtt_avg_ms:.2f} ms, over the budget of {budget:g} ms")
            else:
                what = f"{test.received}/{test.sent} answered, round trip {test.rtt_avg_ms:.2f} ms on average"
                docket.proves(test.at, where, what)
    return docket.close(f"no loss both ways on {len(_links(evidence))} links, round trips within budget")


def judge_load(evidence: Evidence) -> Judgement:
    docket = Docket()
    directions: set[tuple[str, str]] = set()
    keys = ("sent", "received", "offered_mbps", "capacity_mbps", "jitter_ms")
    for trial in answered(evidence, docket, Stimulus.LINK_LOAD, *keys):
        link = trial.did.text("link")
        where = f"{link} {trial.applied.node} > {trial.did.text('destination_node')}"
        sent, got = trial.saw.count("sent"), trial.saw.count("received")
        offered, capacity = trial.saw.number("offered_mbps"), trial.saw.number("capacity_mbps")
        jitter = trial.saw.number("jitter_ms")
        if not sent or got is None or offered is None or not capacity or jitter is None:
            docket.lacks(f"{where}: the load was not measured")
            continue
        directions.add((link, trial.applied.node))
        loss = (sent - got) / sent
        if offered < LOAD_SHARE * capacity:
            docket.lacks(f"{where}: {offered:g} Mbit/s offered, {LOAD_SHARE:.0%} of {capacity:g} are needed")
        elif loss > LOAD_LOSS:
            docket.breaks(trial.until, where, f"{loss:.2%} lost at {offered:g} Mbit/s")
        elif jitter > LOAD_JITTER_MS:
            docket.breaks(trial.until, where, f"jitter {jitter:g} ms at {offered:g} Mbit/s")
        else:
            what = f"{offered:g} of {capacity:g} Mbit/s, {loss:.3%} lost, jitter {jitter:g} ms"
            docket.proves(trial.until, where, what)
    for connection in tested_connections(evidence.model):
        for node in (connection.request.edge, connection.request.peer):
            if (connection.request.link or "", node) not in directions:
                docket.lacks(f"{connection.key}: no load was measured from {node}")
    return docket.close(f"load carried both ways on {len(_links(evidence))} links")


def judge_cleanup(evidence: Evidence) -> Judgement:
    docket = Docket()
    changes = events(evidence, AddressesChanged)
    for connection in tested_connections(evidence.model):
        tests = _tests(evidence, docket, connection)
        starts = [m.at for s in connection.sessions(evidence.model) for m in messages(evidence, s.id)]
        if not starts:
            docket.lacks(f"{connection.key}: the trace shows no BGP message, so nothing tells when BGP started")
            continue
        ends = {(t.source_node, t.source) for t in tests} | {(t.destination_node, t.destination) for t in tests}
        for node, address in sorted(ends):
            gone = [c.at for c in changes if c.node == node and any(r.split("/")[0] == address for r in c.removed)]
            if not gone:
                docket.lacks(f"{node}: the log does not show {address} being removed")
            elif min(starts) < gone[0]:
                docket.breaks(min(starts), connection.key, f"BGP started while {node} still had {address}")
            else:
                lead = (min(starts) - gone[0]) / 1e6
                docket.proves(gone[0], node, f"{address} removed {lead:.0f} ms before BGP started")
    for label in (Moment.UNDER_DENY, Moment.ALLOWED):
        taken = snapshot(evidence, docket, label)
        for name, at_node in taken.nodes.items() if taken is not None else ():
            left = [text for texts in at_node.addresses.values() for text in texts if is_link_local(text)]
            if left:
                docket.breaks(taken.at if taken else 0, name, f"still has {left[0]} in snapshot '{label.value}'")
    _skip_path(evidence, docket)
    return docket.close("every test address was gone before BGP started, and a turn-up without the link test worked")


def _skip_path(evidence: Evidence, docket: Docket) -> None:
    """A direct connection that became Active with no link test between its approval and then."""
    changes = events(evidence, ConnectionStateChanged)
    for connection in connections(evidence.model):
        if connection.peering.kind is not PeeringKind.DIRECT or connection.request.link is None:
            continue
        mine = [c for c in changes if f"{c.peering}/{c.connection}" == connection.key]
        for active in (c for c in mine if c.after == "Active"):
            began = max((c.at for c in mine if c.at < active.at and c.after == "ProvisioningStarted"), default=None)
            if began is None:
                continue
            tests = events(evidence, LinkTested, began, active.at)
            if not any(test.link == connection.request.link for test in tests):
                docket.proves(active.at, connection.key, "became Active without a link test")
                return
    docket.lacks("no connection was turned up without the optional link test")


CHECKS: tuple[Check, ...] = (
    Check(
        "LNK-01", "Link-test addressing", PHASE, MAJOR,
        "Both ends use distinct addresses in 169.254.1.0-169.254.254.255, unique per link.",
        "S3; RFC 3927 2.1", "link test results and the kernels' addresses", no_link_test, judge_addressing,
        ("LinkTested both ways per tested link", "snapshot link-test: addresses"),
    ),
    Check(
        "LNK-02", "Bidirectional ping", PHASE, CRITICAL,
        f"{PROBES} probes each way, no loss, average round trip within twice the link's delay + {RTT_MARGIN_MS:g} ms.",
        "S3; Namex twin", "link test results", no_link_test, judge_ping,
        ("LinkTested both ways per tested link: sent, received, rtt_avg_ms",),
    ),
    Check(
        "LNK-03", "Link-test load", PHASE, MINOR,
        "At 90 % of the emulated capacity loss and jitter stay within budget, both ways.",
        "lab; MS upgrade rule 50 %", "a UDP load per direction", no_link_test, judge_load,
        ("trial link-load per tested link and direction (node = sender)",),
    ),
    Check(
        "LNK-04", "Never forwarded", PHASE, CRITICAL,
        "A packet with a 169.254/16 source or destination that enters an edge leaves through no other interface.",
        "RFC 3927 2.6.2, 2.7; RFC 6890", "frames injected, every wire sniffed", no_link_test, judge_never_forwarded,
        ("trial link-local-injected: each edge of a tested link, frames, sources, destinations; delivered, leaked",),
    ),
    Check(
        "LNK-05", "Never in routing", PHASE, CRITICAL,
        "No router has a BGP, IGP or redistributed route inside 169.254/16, and none is ever announced.",
        "RFC 3927 2.7; RFC 7454 6.1.1", "every RIB, kernel and UPDATE", no_link_test, judge_never_routed,
        ("every snapshot, all routers; link-test with the addresses on", "trace: UPDATE of every session"),
    ),
    Check(
        "LNK-06", "No customer traffic yet", PHASE, CRITICAL,
        "During the link test no customer or service packet crosses the new link and nothing is routed over it.",
        "S3 (traffic allowed after Active)", "customer probes, a tap on the link, the kernels", no_link_test,
        judge_no_customer_traffic,
        ("PhaseStarted/PhaseEnded link-test",
         "trial early-traffic within that phase per tested link: sent, crossed, control",
         "snapshot link-test: kernel, sessions"),
    ),
    Check(
        "LNK-07", "Cleanup and skip path", PHASE, MAJOR,
        "Test addresses are gone before BGP starts; turn-up without the optional link test works too.",
        "S3 (optional)", "address changes against the first BGP message", no_link_test, judge_cleanup,
        ("LinkTested", "AddressesChanged removed", "trace: first message of each connection session",
         "snapshots under-deny, allowed: addresses",
         "ConnectionStateChanged ProvisioningStarted → Active of a direct connection with no LinkTested between"),
    ),
)  # fmt: skip
