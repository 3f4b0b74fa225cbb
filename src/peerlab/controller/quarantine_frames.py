"""The test frames of quarantine, port by port: which questions are asked, which packets lead astray, what enters
elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from peerlab.runtime.probe_frame import ECHO_REPLY, ECHO_REQUEST, echo, question
from peerlab.topology.model import LabModel
from peerlab.verify.port import Port, foreign_addresses, subnet_of, unused_addresses
from peerlab.verify.subject import link_of

LINK_LOCAL = "169.254.77.1"
NOWHERE = {4: "192.0.2.77", 6: "2001:db8:ffff::77"}
"""Addresses of documentation ranges that no shipped lab uses (RFC 5737, RFC 3849)."""
ASKED_EACH = 2
"""Unused addresses of each half of a LAN and family that are asked for."""


@dataclass(frozen=True)
class Entry:
    """Where packets enter a port's router that are for the LAN behind the port."""

    node: str
    interface: str
    entered: str
    broadcast: str
    control: str
    frames: tuple[str, ...]


@dataclass(frozen=True)
class PortFrames:
    """What a port's monitor sends, and why. ``asked`` is by reason, as the story has it."""

    asked: dict[str, tuple[str, ...]]
    questions: tuple[str, ...]
    third_hosts: tuple[str, ...]
    strays: tuple[str, ...]
    sources: tuple[str, ...]
    echoes: tuple[str, ...]
    entry: Entry | None

    def all(self) -> list[str]:
        """Every frame of the monitor, in the order in which it sends them."""
        return [*self.questions, *self.strays, *self.echoes]


def frames_for(model: LabModel, port: Port) -> PortFrames:
    """The test frames of one port."""
    mac, theirs = port.watcher_interface.mac, port.interface.mac
    asked: dict[str, list[str]] = {why: [] for why in ("own", "unused", "monitor", "off-lan", "link-local")}
    questions: list[str] = []
    strays: list[str] = []
    third: list[str] = []
    sources: list[str] = []
    echoes: list[str] = []
    control = ""
    foreign = foreign_addresses(model, port)
    for text, far in ((port.interface.v4, port.far_interface.v4), (port.interface.v6, port.far_interface.v6)):
        if text is None or far is None:
            continue
        version = 6 if ":" in text else 4
        own, other = text.split("/")[0], far.split("/")[0]
        lower, upper = unused_addresses(model, subnet_of(text), ASKED_EACH + 2)
        # On a wire of two the monitor is the other end; on a LAN it is somebody nobody has heard of.
        monitor = upper.pop() if len(upper) > ASKED_EACH else other
        halves = [half.pop() for half in (lower, upper) if len(half) > ASKED_EACH - 1] if upper else []
        control = lower.pop() if version == 4 and len(lower) > 1 else control
        asks = {
            "own": [own],
            "unused": [*lower, *upper],
            "monitor": [monitor],
            "off-lan": [NOWHERE[version], *(a for a in foreign if (":" in a) == (version == 6))],
            "link-local": [LINK_LOCAL] if version == 4 else [],
        }
        for why, addresses in asks.items():
            asked[why] += addresses
            # Who asks for its own address announces itself; so somebody else asks for the monitor's.
            asker = NOWHERE[version] if why == "monitor" else monitor
            questions += [question(mac, asker, address) for address in addresses]
        strays.append(echo(ECHO_REPLY, mac, theirs, monitor, other))
        third.append(other)
        sources += halves
        echoes += [echo(ECHO_REQUEST, mac, theirs, source, own) for source in halves]
    return PortFrames(
        asked={why: tuple(addresses) for why, addresses in asked.items()},
        questions=tuple(questions),
        third_hosts=tuple(third),
        strays=tuple(strays),
        sources=tuple(sources),
        echoes=tuple(echoes),
        entry=_entry(model, port, control),
    )


def _entry(model: LabModel, port: Port, control: str) -> Entry | None:
    """A neighbour of the port's router on another wire; None without one, and on a subnet without a broadcast
    address."""
    if not control:
        return None
    broadcast = str(ip_network(subnet_of(port.interface.v4)).broadcast_address)
    for interface in model.node(port.node).interfaces:
        wire = link_of(model, interface.link)
        if interface.name == port.interface.name or wire is None or interface.v4 is None:
            continue
        for end in wire.ends:
            far = model.node(end.node).interface(end.interface) if end.node != port.node else None
            if far is None or far.v4 is None:
                continue
            source = far.v4.split("/")[0]
            frames = tuple(echo(ECHO_REPLY, far.mac, interface.mac, source, to) for to in (broadcast, control))
            return Entry(end.node, far.name, interface.name, broadcast, control, frames)
    return None
