"""Checks of wires: carrier, counters, bundle, redundancy, bandwidth, MTU (catalogue PHY-01 to PHY-06)."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.topology.model import LabModel, PeeringKind
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.ethernet import ARP, IPV4, IPV6
from peerlab.verify.evidence import Evidence
from peerlab.verify.port import Port, wired_connections
from peerlab.verify.reading import Detail, Trial, answered, node_at, snapshot
from peerlab.verify.subject import Connection
from peerlab.verify.watch import port_trials, watches

COUNTERS = ("rx_crc_errors", "rx_dropped", "tx_dropped", "rx_over_errors", "rx_length_errors", "rx_errors", "tx_errors")
"""CRC, drops, overruns, giants and runts, and all errors together, of both ends."""
SOAK = 300.0
"""Seconds that the catalogue asks for; every verdict says what it was instead."""
RATE_TOLERANCE = 0.1
OFFERED_MARGIN = 1.05
"""What has to be offered of a wire's capacity, so that the wire and not the sender is the limit."""


def no_own_wires(model: LabModel) -> str | None:
    """Why there is no Direct connection to compare."""
    if _direct(model):
        return None
    return "no Direct peering of this lab has a wire of its own"


def _direct(model: LabModel) -> tuple[Connection, ...]:
    return tuple(c for c in wired_connections(model) if c.peering.kind is PeeringKind.DIRECT)


def _ends(docket: Docket, port: Port, trial: Trial) -> list[tuple[str, Detail, Detail]]:
    """Both ends of a wire: name, facts before, facts after. A gap when one is missing."""
    found = []
    for item in trial.saw.items("ends") or ():
        end = Detail(item if isinstance(item, dict) else {})
        before, after = end.table("before"), end.table("after")
        if before is not None and after is not None:
            found.append((end.text("end"), Detail(before), Detail(after)))
    if len(found) != 2:
        docket.lacks(f"{port.key}: {len(found)} of 2 ends of its wire were read")
    return found


def judge_carrier(evidence: Evidence) -> Judgement:
    docket = Docket()
    shortest = SOAK
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.PORT_SOAKED, "ends"):
        seconds = (trial.until - trial.at) / 1e9
        shortest = min(shortest, seconds)
        for name, before, after in _ends(docket, port, trial):
            changes = before.count("carrier_changes"), after.count("carrier_changes")
            if before.flag("carrier") is None or after.flag("carrier") is None or None in changes:
                docket.lacks(f"{name}: its carrier was not read")
            elif not before.flag("carrier") or not after.flag("carrier"):
                docket.breaks(trial.until, name, "has no carrier")
            elif changes[0] != changes[1]:
                docket.breaks(trial.until, name, f"its carrier changed {(changes[1] or 0) - (changes[0] or 0)} times")
            else:
                docket.proves(trial.until, name, f"carrier up and unchanged for {seconds:.1f} s")
    return docket.close(f"carrier up and stable on every wire for {shortest:.1f} s (an exchange takes {SOAK:g} s)")


def judge_counters(evidence: Evidence) -> Judgement:
    docket = Docket()
    datagrams = 0
    foreign = _foreign_frames(evidence)
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.PORT_SOAKED, "sent", "received", "ends"):
        sent, received = trial.saw.table("sent") or {}, trial.saw.table("received") or {}
        for family in ("ipv4", "ipv6"):
            if not has_family(port, family):
                continue
            out, come = Detail(sent).count(family), Detail(received).count(family)
            if not out or come is None:
                docket.lacks(f"{port.key}: no {family} datagrams were sent through it")
            elif trial.saw.count("overflowed"):
                docket.lacks(f"{port.key}: datagrams were lost in the receiver's own socket")
            elif come < out:
                docket.breaks(trial.until, port.key, f"{out - come} of {out} {family} datagrams were lost")
            else:
                datagrams += come
        for name, before, after in _ends(docket, port, trial):
            pairs = {counter: (before.count(counter), after.count(counter)) for counter in COUNTERS}
            grown = {c: (new or 0) - (old or 0) for c, (old, new) in pairs.items() if new != old}
            if any(None in pair for pair in pairs.values()):
                docket.lacks(f"{name}: its counters were not read")
            elif set(grown) == {"rx_dropped"} and grown["rx_dropped"] <= foreign.get(name, 0):
                what = f"no counter grew but for {grown['rx_dropped']} frames that no stack knows (PHY-08 to PHY-10)"
                docket.proves(trial.until, name, what)
            elif grown:
                told = ", ".join(f"{counter} by {by}" for counter, by in grown.items())
                docket.breaks(trial.until, name, f"counters grew: {told}")
            else:
                docket.proves(trial.until, name, f"no counter grew in {(trial.until - trial.at) / 1e9:.1f} s")
    return docket.close(f"no counter grew and none of {datagrams} datagrams was lost")


def _foreign_frames(evidence: Evidence) -> dict[str, int]:
    """Frames of protocols that no IP stack takes, by the end that received them. Linux counts those as dropped; they
    say nothing of the wire and are judged by what they are."""
    return {
        f"{watch.port.watcher} {watch.port.watcher_interface.name}": sum(
            specimen.count for specimen in watch.specimens if specimen.frame.ether_type not in (ARP, IPV4, IPV6)
        )
        for watch in watches(evidence, Docket())
    }


def has_family(port: Port, family: str) -> bool:
    """Whether a port and the router beyond both have addresses of a family."""
    ends = (port.interface, port.far_interface)
    return all(end.v4 if family == "ipv4" else end.v6 for end in ends)


def judge_bundle(evidence: Evidence) -> Judgement:
    docket = Docket()
    keys = ("members", "members_up", "members_wanted", "speed_mbps", "expected_mbps", "survived")
    for trial in answered(evidence, docket, QuarantineStimulus.BUNDLE_FORMED, *keys):
        wanted, up = trial.saw.count("members_wanted"), trial.saw.count("members_up")
        speed, expected = trial.saw.count("speed_mbps"), trial.saw.count("expected_mbps")
        if not wanted or up is None or not speed or not expected:
            docket.lacks(f"{trial.where}: the bundle's state was not read")
        elif up < wanted:
            docket.breaks(trial.until, trial.where, f"{up} of {wanted} members are up")
        elif speed != expected:
            docket.breaks(trial.until, trial.where, f"the bundle has {speed} Mbit/s, {expected} are expected")
        elif not trial.saw.flag("survived"):
            docket.breaks(trial.until, trial.where, "the bundle went down with one member")
        else:
            docket.proves(trial.until, trial.where, f"{up} members up, {speed} Mbit/s; it survives the loss of one")
    return docket.close("the bundle forms and survives the loss of a member")


def judge_two_links(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.BASELINE)
    if taken is None:
        return docket.close("")
    peerings: dict[str, list[Connection]] = defaultdict(list)
    for connection in _direct(evidence.model):
        peerings[connection.peering.name].append(connection)
    for name, held in peerings.items():
        edges = {c.request.edge for c in held if _is_wired(evidence, docket, taken, c)}
        wires = {c.request.link for c in held}
        elsewhere = [e for e in edges if evidence.model.node(e).metro != held[0].peering.metro]
        if len({c.request.edge for c in held}) < 2 or len(wires) < 2:
            routers = ", ".join(sorted({c.request.edge for c in held}))
            docket.breaks(taken.at, name, f"{len(wires)} wire(s), all to {routers}: two routers are asked for")
        elif elsewhere:
            docket.breaks(taken.at, name, f"{elsewhere[0]} is not in {held[0].peering.metro}")
        elif len(edges) >= 2:
            docket.proves(taken.at, name, f"{len(wires)} wires with carrier and address at {', '.join(sorted(edges))}")
    return docket.close(f"{len(peerings)} direct peerings have two wires to two routers of their location")


def _is_wired(evidence: Evidence, docket: Docket, taken: Snapshot, connection: Connection) -> bool:
    """Whether the edge's kernel showed the connection's address and carrier at the beginning."""
    request = connection.request
    at_node = node_at(taken, docket, request.edge)
    if at_node is None:
        return False
    for interface in evidence.model.node(request.edge).interfaces:
        if interface.link != request.link:
            continue
        held = {text.split("/")[0] for text in at_node.addresses.get(interface.name, ())}
        wanted = {text for text in (request.microsoft_v4, request.microsoft_v6) if text is not None}
        if wanted <= held and at_node.carrier.get(interface.name):
            return True
    docket.lacks(f"{connection.key}: {request.edge} did not show its addresses with carrier at the beginning")
    return False


def judge_bandwidth(evidence: Evidence) -> Judgement:
    docket = Docket()
    rates: dict[str, list[tuple[float, Trial]]] = defaultdict(list)
    configured: dict[str, dict[int, str]] = defaultdict(dict)
    keys = ("offered_mbps", "measured_mbps")
    by_end = {
        (trial.did.text("link"), trial.applied.node): trial
        for trial in answered(evidence, docket, QuarantineStimulus.RATE_MEASURED, *keys)
    }
    for connection in _direct(evidence.model):
        peer = connection.peering.peer_as
        configured[peer][connection.request.bandwidth_mbps] = connection.key
        for node in (connection.request.edge, connection.request.peer):
            trial = by_end.get((connection.request.link or "", node))
            capacity = trial.did.number("capacity_mbps") if trial is not None else None
            offered = trial.saw.number("offered_mbps") if trial is not None else None
            measured = trial.saw.number("measured_mbps") if trial is not None else None
            if trial is None or not capacity or not measured or offered is None:
                docket.lacks(f"{connection.key}: no rate was measured from {node}")
            elif offered < OFFERED_MARGIN * capacity:
                docket.lacks(f"{connection.key}: {node} offered {offered:g} Mbit/s only, less than fills {capacity:g}")
            else:
                rates[peer].append((measured, trial))
                _judge_rate(docket, connection, node, capacity, measured, trial)
    for peer, speeds in configured.items():
        if len(speeds) > 1:
            told = ", ".join(f"{key} {speed} Mbit/s" for speed, key in sorted(speeds.items()))
            docket.breaks(0, peer, f"connections are configured unequal: {told}")
    for peer, measured_all in rates.items():
        middle = median(rate for rate, _ in measured_all)
        for rate, trial in measured_all:
            if abs(rate - middle) > RATE_TOLERANCE * middle:
                where = f"{trial.did.text('connection')} from {trial.applied.node}"
                docket.breaks(trial.until, where, f"{rate:g} Mbit/s measured, the others of {peer} have {middle:g}")
    measured_ends = sum(len(one) for one in rates.values())
    return docket.close(f"equal bandwidth, configured and measured (at a thousandth), from {measured_ends} ends")


def _judge_rate(
    docket: Docket, connection: Connection, node: str, capacity: float, measured: float, trial: Trial
) -> None:
    where = f"{connection.key} from {node}"
    if abs(measured - capacity) > RATE_TOLERANCE * capacity:
        docket.breaks(trial.until, where, f"{measured:g} Mbit/s measured, {capacity:g} emulated")
    else:
        docket.proves(trial.until, where, f"{measured:g} of {capacity:g} Mbit/s emulated")


def judge_mtu(evidence: Evidence) -> Judgement:
    docket = Docket()
    ways = 0
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.MTU_PROBED, "results", "probes"):
        results, probes = trial.saw.table("results") or {}, trial.saw.count("probes") or 0
        mtu = port.interface.mtu
        if trial.did.count("mtu") != mtu:
            docket.lacks(f"{port.key}: probed for another MTU than the agreed {mtu}")
            continue
        for family, text in (("ipv4", port.far_interface.v4), ("ipv6", port.far_interface.v6)):
            if not has_family(port, family) or text is None:
                continue
            address = text.split("/")[0]
            told = results.get(address)
            passed = Detail(told if isinstance(told, dict) else {})
            at_mtu, over = passed.count("at_mtu"), passed.count("over")
            where = f"{port.key} > {address}"
            if at_mtu is None or over is None or not probes:
                docket.lacks(f"{where}: the MTU was not probed")
            elif at_mtu < probes:
                docket.breaks(trial.until, where, f"{probes - at_mtu} of {probes} echo requests of {mtu} octets failed")
            elif over:
                docket.breaks(trial.until, where, f"{over} echo requests of {mtu + 1} octets were answered")
            else:
                ways += 1
                docket.proves(trial.until, where, f"{mtu} octets pass, {mtu + 1} do not")
    return docket.close(f"the agreed MTU and no more, {ways} ways")
