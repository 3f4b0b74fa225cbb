"""Checks of what comes out of a port, as an exchange's quarantine has them (catalogue PHY-07 to PHY-15)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.frame_rule import Kind, broken_rules, kind_of
from peerlab.verify.port import Port, subnet_of
from peerlab.verify.reading import answered
from peerlab.verify.watch import Specimen, Watch, claimed_mac, port_trials, watches

GROUP_BUDGET = 50
"""ARP requests and neighbour solicitations to groups in any minute (LONAP's and INEX's order of magnitude)."""
SHOWN_OCTETS = 32
"""Octets of a forbidden frame that a verdict shows; the event log has the rest."""


def _shown(specimen: Specimen) -> str:
    octets = specimen.hex[: 2 * SHOWN_OCTETS]
    return f"{octets}{'…' if len(specimen.hex) > len(octets) else ''}"


def _enter_breaches(docket: Docket, watch: Watch, check: str) -> None:
    """Every frame of a window that breaks a rule of this check."""
    for specimen in watch.specimens:
        for rule in broken_rules(specimen.frame, watch.port.interface.mac):
            if rule.check == check:
                count = f"{specimen.count} × " if specimen.count > 1 else ""
                what = f"{count}{kind_of(specimen.frame)} from {specimen.frame.source_mac} ({rule.text})"
                docket.breaks(specimen.at, watch.port.key, f"{what}: {_shown(specimen)}")


def _looked(found: list[Watch]) -> str:
    """How much was looked at, for a summary."""
    frames = sum(watch.frames for watch in found)
    shortest = min((watch.seconds for watch in found), default=0.0)
    return f"{frames} frames of {len(found)} ports in {shortest:.1f} s"


def none_of(check: str, what: str) -> Callable[[Evidence], Judgement]:
    """A check that no frame of any port breaks a rule of this check. ``what`` is not there, in words."""

    def judge(evidence: Evidence) -> Judgement:
        docket = Docket()
        found = []
        for watch in watches(evidence, docket):
            found.append(watch)
            before = docket.faults
            _enter_breaches(docket, watch, check)
            if docket.faults == before:
                seen = f"{what} among {watch.frames} frames in {watch.seconds:.1f} s"
                docket.proves(watch.trial.until, watch.port.key, seen)
        return docket.close(f"{what} among {_looked(found)}")

    return judge


def judge_one_mac(evidence: Evidence) -> Judgement:
    """PHY-07: the MACs that frames come from, against the one that the model registers."""
    docket = Docket()
    found = []
    for watch in watches(evidence, docket):
        found.append(watch)
        others: dict[str, Specimen] = {}
        for specimen in watch.specimens:
            if specimen.frame.source_mac != watch.port.interface.mac:
                others.setdefault(specimen.frame.source_mac, specimen)
        for mac, specimen in others.items():
            what = f"frames from {mac}, registered is {watch.port.interface.mac}: {kind_of(specimen.frame)}"
            docket.breaks(specimen.at, watch.port.key, f"{what}: {_shown(specimen)}")
        if not others:
            what = f"{watch.frames} frames in {watch.seconds:.1f} s, all from {watch.port.interface.mac}"
            docket.proves(watch.trial.until, watch.port.key, what)
    return docket.close(f"one MAC per port: {_looked(found)}")


def judge_no_proxy(evidence: Evidence) -> Judgement:
    """PHY-13: a port answers for its own addresses, with its own MAC, and for no other that it was asked for."""
    docket = Docket()
    seen = {watch.port.key: watch for watch in watches(evidence, docket)}
    silent = 0
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.ADDRESSES_ASKED, "sent"):
        watch = seen.get(port.key)
        asked = trial.did.table("asked")
        if watch is None or asked is None or not trial.saw.count("sent"):
            docket.lacks(f"{port.key}: what was asked of it was not logged or not sent")
            continue
        before, others = docket.faults, 0
        for why, addresses in asked.items():
            for address in addresses if isinstance(addresses, list | tuple) else ():
                if why == "own":
                    _judge_own(docket, watch, str(address))
                    continue
                for answer in watch.answers(str(address))[:1]:
                    what = f"answers for {address} ({why}) with {claimed_mac(answer.frame)}"
                    docket.breaks(answer.at, port.key, f"{what}: {_shown(answer)}")
                others += 1
        silent += others
        if docket.faults == before:
            what = f"no answer in {watch.seconds:.1f} s for {others} addresses that are not its own"
            docket.proves(watch.trial.until, port.key, what)
        missing = {"own", "off-lan", "monitor"} - {why for why, addresses in asked.items() if addresses}
        if missing:
            docket.lacks(f"{port.key}: no address was asked for that is {', '.join(sorted(missing))}")
    return docket.close(f"{silent} addresses of others were asked for, no answer; own addresses answer")


def _judge_own(docket: Docket, watch: Watch, address: str) -> None:
    answers = watch.answers(address)
    wrong = [answer for answer in answers if claimed_mac(answer.frame) != watch.port.interface.mac]
    if wrong:
        docket.breaks(wrong[0].at, watch.port.key, f"answers for {address} with {claimed_mac(wrong[0].frame)}")
    elif answers:
        docket.proves(answers[0].at, watch.port.key, f"answers for its own {address}")
    else:
        docket.breaks(watch.trial.until, watch.port.key, f"does not answer for its own {address}")


def judge_no_redirect(evidence: Evidence) -> Judgement:
    """PHY-14: packets for somebody else were sent to the port, and no redirect came."""
    docket = Docket()
    seen = {watch.port.key: watch for watch in watches(evidence, docket)}
    for watch in seen.values():
        _enter_breaches(docket, watch, "PHY-14")
    provoked = 0
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.THIRD_HOST, "sent"):
        heard = seen.get(port.key)
        sent = trial.saw.count("sent") or 0
        if not sent:
            docket.lacks(f"{port.key}: no packet for a third host was sent to it")
        elif heard is not None and not any(heard.alive(address) for address in port.own):
            docket.lacks(f"{port.key}: it answers nothing, so the packets may not have come to it")
        elif heard is not None:
            provoked += sent
            to = ", ".join(trial.did.texts("destinations") or ())
            docket.proves(trial.until, port.key, f"{sent} packets for {to}: no redirect in {heard.seconds:.1f} s")
    return docket.close(f"{provoked} packets for third hosts provoked no redirect, and no router discovery was seen")


def judge_discipline(evidence: Evidence) -> Judgement:
    """PHY-15: groups hear ARP requests and neighbour solicitations only, few of them, and no directed broadcast."""
    docket = Docket()
    found = []
    for watch in watches(evidence, docket):
        found.append(watch)
        before = docket.faults
        _enter_breaches(docket, watch, "PHY-15")
        spoken = sum(s.count for s in watch.specimens if s.frame.is_group and kind_of(s.frame) in _GROUPS)
        budget = GROUP_BUDGET * max(1.0, watch.seconds / 60)
        if spoken > budget:
            what = f"{spoken} ARP requests and solicitations to groups in {watch.seconds:.1f} s, over {budget:.0f}"
            docket.breaks(watch.trial.until, watch.port.key, what)
        if docket.faults == before:
            what = f"{spoken} ARP requests and solicitations to groups in {watch.seconds:.1f} s, nothing else"
            docket.proves(watch.trial.until, watch.port.key, what)
    _judge_directed_broadcast(evidence, docket, {watch.port.key: watch for watch in found})
    return docket.close(f"broadcast only ARP, multicast only neighbour discovery: {_looked(found)}")


_GROUPS = (Kind.ARP_REQUEST, Kind.ND_SOLICITATION)


def _judge_directed_broadcast(evidence: Evidence, docket: Docket, seen: dict[str, Watch]) -> None:
    tried = set()
    stimulus = QuarantineStimulus.DIRECTED_BROADCAST
    wanted = {key for key, watch in seen.items() if _can_forward(evidence, watch.port)}
    trials = answered(evidence, docket, stimulus, "sent") if wanted else ()
    for key, trial in {trial.did.text("trial"): trial for trial in trials}.items():
        watch = seen.get(key)
        if watch is None:
            continue
        tried.add(watch.port.key)
        target, control = trial.did.text("destination"), trial.did.text("control")
        leaked = [s for s in watch.specimens if s.frame.destination == target]
        if leaked:
            what = f"forwards a packet to {target}, the LAN's broadcast address: {_shown(leaked[0])}"
            docket.breaks(leaked[0].at, watch.port.key, what)
        elif not trial.saw.count("sent") or not watch.asks(control):
            docket.lacks(f"{watch.port.key}: it was not seen to forward from {trial.did.text('entered')} to the LAN")
        else:
            what = f"a packet to {target} from {trial.did.text('entered')} stays, one to {control} would be forwarded"
            docket.proves(trial.until, watch.port.key, what)
    for key in sorted(wanted - tried):
        docket.lacks(f"{key}: directed broadcast was not tried")


def _can_forward(evidence: Evidence, port: Port) -> bool:
    """Whether packets can come to a LAN through this port from elsewhere."""
    if port.lan is None or port.interface.v4 is None or ip_network(subnet_of(port.interface.v4)).num_addresses <= 2:
        return False
    others = evidence.model.node(port.node).interfaces
    return any(one.v4 is not None for one in others if one.name != port.interface.name)
