"""Quarantine's rate test of every wire, and its try at an LACP bundle.

A namespace's wire has no speed of its own. So each connection's bandwidth is emulated at a thousandth (10 Gbit/s as
10 Mbit/s), more than that is offered, and what arrives is counted: a wire that is slower than its neighbours shows.
"""

from __future__ import annotations

import asyncio

import msgspec

from peerlab.controller import probing
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.errors import Unsupported
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.runtime.base import Impairment, RuntimeState, Task
from peerlab.verify.port import Port, ports, wired_connections
from peerlab.verify.subject import Connection

SCALE = 1000
"""Mbit/s of a connection become kbit/s of its emulation."""
DATAGRAM_SIZE = 1150
FRAME_OVERHEAD = 42
"""Octets of Ethernet, IPv4 and UDP headers around a datagram."""
RATE_SECONDS = 0.5
OVERLOAD = 1.3
RATE_PORT = 42000
ANSWERED_WITHIN = 20.0
BUNDLE = "LACP"
NO_BUNDLE = (
    "this lab has no bundle: every interconnect of a lab is one wire, and peerlab cannot make an LACP bundle of wires"
)
NO_BONDING = "this kernel has no bonding driver (`ip link add type bond` is refused), so no LACP bundle can be made"


async def measure_rates(rehearsal: Rehearsal) -> None:
    """Measure every connection's wire both ways, all at once, with its bandwidth emulated."""
    lab = rehearsal.lab
    standing = await lab.runtime.observe()
    by_link = {c.request.link: c for c in wired_connections(rehearsal.model)}
    ends = [(port, by_link[port.link]) for port in ports(rehearsal.model) if port.lan is None and port.link in by_link]
    shaped: list[tuple[Port, Impairment | None]] = []
    try:
        for number, (port, connection) in enumerate(ends):
            _apply(lab, port, connection)
            slowed = _impairment(standing, port)
            if slowed is not None and slowed.rate_kbit:
                continue  # somebody has given this wire a rate: it is what it is
            wanted = slowed or Impairment(node=port.node, interface=port.interface.name, direction="out")
            try:
                rate = connection.request.bandwidth_mbps * 1000 // SCALE
                await lab.runtime.impair(msgspec.structs.replace(wanted, rate_kbit=rate, means=""))
            except Unsupported as reason:
                for left, _ in ends[number + 1 :]:
                    _apply(lab, left, by_link[left.link])
                for left, _ in ends:
                    _observe(lab, left, unsupported=str(reason))
                return
            shaped.append((port, slowed))
        await _measure(lab, ends)
    finally:
        for port, before in shaped:
            await lab.runtime.clear(port.node, port.interface.name, "out")
            if before is not None:
                await lab.runtime.impair(msgspec.structs.replace(before, means=""))


def _impairment(state: RuntimeState, port: Port) -> Impairment | None:
    """What is wrong already with what a port sends, told from either end of its wire."""
    for one in state.impairments:
        if (one.node, one.interface, one.direction) in (
            (port.node, port.interface.name, "out"),
            (port.watcher, port.watcher_interface.name, "in"),
        ):
            return one
    return None


def _trial(port: Port) -> dict[str, object]:
    return {"trial": f"{port.link} {port.node}"}


def _apply(lab: Lab, port: Port, connection: Connection) -> None:
    configured = connection.request.bandwidth_mbps
    detail = {
        **_trial(port),
        "link": port.link,
        "connection": connection.key,
        "configured_mbps": configured,
        "capacity_mbps": configured / SCALE,
    }
    stimulus = QuarantineStimulus.RATE_MEASURED
    lab.record(StimulusApplied(at=now_ns(), stimulus=stimulus, node=port.node, detail=detail))


def _observe(lab: Lab, port: Port, **saw: object) -> None:
    stimulus = QuarantineStimulus.RATE_MEASURED
    lab.record(StimulusObserved(at=now_ns(), stimulus=stimulus, node=port.node, detail={**_trial(port), **saw}))


async def _measure(lab: Lab, ends: list[tuple[Port, Connection]]) -> None:
    """Offer more than every wire carries and count what comes out at its other end."""
    receivers: list[Task] = []
    senders: list[Task] = []
    octets = DATAGRAM_SIZE + FRAME_OVERHEAD
    try:
        for number in range(len(ends)):
            port = ends[number][0]
            receivers.append(await lab.runtime.task(port.far, probing.STREAM_RECEIVE, {"port": RATE_PORT + number}))
        await asyncio.gather(*(probing.listening(task) for task in receivers))
        for number, (port, connection) in enumerate(ends):
            capacity = connection.request.bandwidth_mbps * 1e6 / SCALE
            rate_hz = OVERLOAD * capacity / 8 / octets
            arguments = {
                "destination": _target(port),
                "port": RATE_PORT + number,
                "rate_hz": rate_hz,
                "size": DATAGRAM_SIZE,
                "count": round(rate_hz * RATE_SECONDS),
            }
            senders.append(await lab.runtime.task(port.node, probing.STREAM_SEND, arguments))
        async with asyncio.timeout(RATE_SECONDS + ANSWERED_WITHIN):
            sent = await asyncio.gather(*(task.result() for task in senders))
            got = await asyncio.gather(*(task.stop() for task in receivers))
    finally:
        for task in (*senders, *receivers):
            task.close()
    for (port, _), tx, rx in zip(ends, sent, got, strict=True):
        offered = tx["sent"] * octets * 8 / max(1, tx["ended_ns"] - tx["started_ns"]) * 1e3
        span = rx["last_ns"] - rx["first_ns"]
        measured = (rx["received"] - 1) * octets * 8 / span * 1e3 if span > 0 else 0.0
        _observe(lab, port, offered_mbps=round(offered, 3), measured_mbps=round(measured, 3))


def _target(port: Port) -> str:
    """The far end's address of the family that both have; IPv4 where there is a choice, a wire has one rate."""
    text = port.far_interface.v4 or port.far_interface.v6 or ""
    return text.split("/")[0]


async def try_bundle(rehearsal: Rehearsal) -> None:
    """Say why no bundle is formed: the kernel cannot, or the lab has none."""
    lab = rehearsal.lab
    node = ports(rehearsal.model)[0].node
    lab.record(
        StimulusApplied(
            at=now_ns(), stimulus=QuarantineStimulus.BUNDLE_FORMED, node=node, detail={"trial": BUNDLE}
        )
    )
    able = await lab.runtime.task(node, "peerlab.runtime.bonding:can_bond", {})
    possible = bool((await asyncio.wait_for(able.result(), ANSWERED_WITHIN))["value"])
    lab.record(
        StimulusObserved(
            at=now_ns(),
            stimulus=QuarantineStimulus.BUNDLE_FORMED,
            node=node,
            detail={"trial": BUNDLE, "unsupported": NO_BUNDLE if possible else NO_BONDING},
        )
    )
