"""Checks of what lives at a port's addresses: the address plan and exposed services (catalogue PHY-16, PHY-17)."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.port import Port, wired_connections
from peerlab.verify.reading import Trial
from peerlab.verify.subject import Connection
from peerlab.verify.watch import Watch, claimed_mac, port_trials, watches

SERVICES = ("dns/tcp", "dns/udp", "http/tcp", "ntp/udp", "snmp/udp", "ssh/tcp")
_EUI64_MIDDLE = b"\xff\xfe"


def judge_services(evidence: Evidence) -> Judgement:
    docket = Docket()
    seen = {watch.port.key: watch for watch in watches(evidence, docket)}
    doors = 0
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.SERVICES_KNOCKED, "answers"):
        answers = trial.saw.table("answers") or {}
        for address in port.own:
            told = answers.get(address)
            found = told if isinstance(told, dict) else {}
            missing = [service for service in SERVICES if service not in found]
            watch = seen.get(port.key)
            if missing:
                docket.lacks(f"{port.key}: {', '.join(missing)} of {address} was not tried")
                continue
            opened = [service for service in SERVICES if found[service] == "open"]
            odd = [service for service in SERVICES if found[service] not in ("open", "closed", "silent")]
            closed = [service for service in SERVICES if found[service] == "closed"]
            for service in opened:
                docket.breaks(trial.until, port.key, f"{service} answers at {address}")
            if odd:
                docket.lacks(f"{port.key}: {odd[0]} of {address}: {found[odd[0]]}")
            elif not closed and not opened and (watch is None or not watch.alive(address)):
                docket.lacks(f"{port.key}: nothing at all came back from {address}, silence proves nothing")
            elif not opened:
                doors += len(SERVICES)
                what = f"{len(closed)} refused, {len(SERVICES) - len(closed)} silent at {address}"
                docket.proves(trial.until, port.key, what)
    return docket.close(f"{doors} doors are closed")


def judge_address_plan(evidence: Evidence) -> Judgement:
    docket = Docket()
    seen = {watch.port.key: watch for watch in watches(evidence, docket)}
    by_wire = {c.request.link: c for c in wired_connections(evidence.model)}
    for connection in by_wire.values():
        _judge_roles(docket, connection)
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.ADDRESS_PLAN_READ, "addresses"):
        before = docket.faults
        _judge_kernel(docket, port, trial)
        watch = seen.get(port.key)
        if watch is None:
            continue
        for address in port.own:
            _judge_wire(docket, watch, address)
        _judge_netmask(docket, watch, trial)
        if docket.faults == before:
            docket.proves(trial.until, port.key, f"kernel and wire have {', '.join(port.own)}")
    return docket.close(f"kernels, wires and requests agree on the addresses of {len(seen)} ports")


def _judge_roles(docket: Docket, connection: Connection) -> None:
    """The peer has the first address of the session prefix, Microsoft the second (spec M5)."""
    request = connection.request
    for prefix, peer, microsoft in (
        (request.session_prefix_v4, request.peer_v4, request.microsoft_v4),
        (request.session_prefix_v6, request.peer_v6, request.microsoft_v6),
    ):
        if prefix is None or peer is None or microsoft is None:
            continue
        network = ip_network(prefix)
        # A /31 and a /127 have two addresses and both are hosts; a /30 and a /126 begin with the network's own.
        first = network[0] if network.num_addresses == 2 else network[1]
        if (ip_address(peer), ip_address(microsoft)) != (first, first + 1):
            what = f"the peer has {peer}, the edge {microsoft}: not first and second of {prefix}"
            docket.breaks(0, connection.key, what)


def _judge_kernel(docket: Docket, port: Port, trial: Trial) -> None:
    held = trial.saw.texts("addresses")
    if held is None:
        docket.lacks(f"{port.key}: its kernel's addresses were not read")
        return
    wanted = {str(ip_interface(text)) for text in (port.interface.v4, port.interface.v6) if text is not None}
    have = {str(ip_interface(text)) for text in held if not ip_interface(text).is_link_local or "." in text}
    for text in sorted(wanted - have):
        what = f"its kernel does not have {text}, but {', '.join(sorted(have)) or 'none'}"
        docket.breaks(trial.until, port.key, what)
    for text in sorted(have - wanted):
        automatic = " (made from a MAC, not by hand)" if _is_automatic(text) else ""
        docket.breaks(trial.until, port.key, f"its kernel has {text} besides{automatic}")


def _is_automatic(text: str) -> bool:
    address = ip_interface(text).ip
    return isinstance(address, IPv6Address) and address.packed[11:13] == _EUI64_MIDDLE


def _judge_wire(docket: Docket, watch: Watch, address: str) -> None:
    answers = watch.answers(address)
    if not answers:
        docket.breaks(watch.trial.until, watch.port.key, f"nobody answers for {address} on the wire")
    elif any(claimed_mac(answer.frame) != watch.port.interface.mac for answer in answers):
        docket.breaks(answers[0].at, watch.port.key, f"{address} is at {claimed_mac(answers[0].frame)} on the wire")


def _judge_netmask(docket: Docket, watch: Watch, trial: Trial) -> None:
    """Who has the whole netmask asks on the LAN itself for a source of either half."""
    sources = trial.did.texts("sources")
    if sources is None:
        docket.lacks(f"{watch.port.key}: the log does not say which sources were tried")
        return
    if watch.port.lan is not None and not sources:
        docket.lacks(f"{watch.port.key}: no address of either half of the LAN was tried")
    for source in sources:
        if not watch.asks(source):
            what = f"does not look for {source} on the LAN: its netmask does not cover it"
            docket.breaks(watch.trial.until, watch.port.key, what)
