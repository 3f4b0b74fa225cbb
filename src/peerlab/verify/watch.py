"""What quarantine saw of each port, read back from the event log: frames, and what was asked of it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.verify.docket import Docket
from peerlab.verify.ethernet import ADVERTISEMENT, REPLY, REQUEST, SOLICITATION, EthernetFrame, dissect
from peerlab.verify.evidence import Evidence
from peerlab.verify.port import Port, ports
from peerlab.verify.reading import Detail, Trial, answered

SHORTEST = 1.0
"""Seconds of a window below which seeing nothing says nothing. Proxy ARP of Linux alone may wait 0.8 s."""


class Specimen(msgspec.Struct, frozen=True):
    """A frame that came out of a port, and how many like it."""

    at: int
    count: int
    hex: str
    frame: EthernetFrame


class Watch(msgspec.Struct, frozen=True):
    """A port's window: its frames, and the time it took."""

    port: Port
    trial: Trial
    seconds: float
    frames: int
    specimens: tuple[Specimen, ...]

    def answers(self, address: str) -> tuple[Specimen, ...]:
        """Frames that say where an address is: ARP replies and neighbour advertisements."""
        return tuple(s for s in self.specimens if _claims(s.frame) == address)

    def asks(self, address: str) -> bool:
        """Whether the port asked who has this address."""
        return any(_asks(s.frame) == address for s in self.specimens)

    def alive(self, address: str) -> bool:
        """Whether the port answered for this address of its own."""
        return bool(self.answers(address))


def _claims(frame: EthernetFrame) -> str:
    if frame.arp is not None:
        return frame.arp.sender if frame.arp.operation == REPLY else ""
    return frame.target if frame.icmp_type == ADVERTISEMENT else ""


def _asks(frame: EthernetFrame) -> str:
    if frame.arp is not None:
        return frame.arp.target if frame.arp.operation == REQUEST else ""
    return frame.target if frame.icmp_type == SOLICITATION else ""


def claimed_mac(frame: EthernetFrame) -> str:
    """The MAC that an answer names: ARP's sender, and that of the frame itself for neighbour discovery."""
    return frame.arp.sender_mac if frame.arp is not None else frame.source_mac


def port_trials(
    evidence: Evidence, docket: Docket, stimulus: StrEnum, *keys: str
) -> Iterator[tuple[Port, Trial]]:
    """The trial of every port, in the model's order; a gap for each port that has none."""
    by_port = {trial.did.text("trial"): trial for trial in answered(evidence, docket, stimulus, *keys)}
    for port in ports(evidence.model):
        trial = by_port.get(port.key)
        if trial is None:
            docket.lacks(f"{port.key}: no {stimulus.value} was logged")
        else:
            yield port, trial


def watches(evidence: Evidence, docket: Docket) -> Iterator[Watch]:
    """Every port's window, from which something may be concluded. A gap for each port whose window proves nothing."""
    keys = ("seconds", "frames", "missed", "untold", "specimens")
    for port, trial in port_trials(evidence, docket, QuarantineStimulus.PORT_WATCHED, *keys):
        watch = _read(port, trial)
        lost = (trial.saw.count("missed") or 0) + (trial.saw.count("untold") or 0)
        if watch is None:
            docket.lacks(f"{port.key}: the frames that were watched cannot be read")
            continue
        if lost:
            docket.lacks(f"{port.key}: {lost} frames were not kept: what was not seen may have been among them")
        elif watch.seconds < SHORTEST:
            docket.lacks(f"{port.key}: watched for {watch.seconds:g} s only, {SHORTEST:g} s are the least")
        elif not any(s.frame.source_mac == port.interface.mac for s in watch.specimens):
            docket.lacks(f"{port.key}: nothing at all came from its registered MAC {port.interface.mac}")
        yield watch


def _read(port: Port, trial: Trial) -> Watch | None:
    seconds, frames = trial.saw.number("seconds"), trial.saw.count("frames")
    specimens = []
    for item in trial.saw.items("specimens") or ():
        if not isinstance(item, dict):
            return None
        told = Detail(item)
        at, count, text = told.count("at_ns"), told.count("count"), told.text("hex")
        if at is None or count is None:
            return None
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            return None
        specimens.append(Specimen(at, count, text, dissect(octets)))
    if seconds is None or frames is None:
        return None
    return Watch(port, trial, seconds, frames, tuple(specimens))
