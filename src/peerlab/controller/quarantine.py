"""Quarantine: every port of a connection or an exchange is watched and tried before BGP may speak on it.

As an exchange does with a new port: listen to all that comes out of it, with real traffic on it, ask it for what it
must not answer, and compare counters before and after. Nothing here judges; the checks PHY-01 to PHY-17 do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from peerlab.controller import probing
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.quarantine_frames import PortFrames, frames_for
from peerlab.controller.quarantine_rate import measure_rates, try_bundle
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.runtime.base import InterfaceObservation, RuntimeState, Task
from peerlab.verify.port import Port, ports

MONITOR = "peerlab.runtime.monitor:monitor"
KNOCK = "peerlab.runtime.knock:knock"
RAW_SEND = "peerlab.runtime.frames:raw_send"

SOAK_SECONDS = 2.5
"""How long each port is watched and soaked. An exchange takes 300 s and more; every verdict says how long it was."""

SOAK_RATE_HZ = 500.0
"""Datagrams a second of each family, 1 kHz together."""

SOAK_PORT = 41000
MTU_PROBES = 3
MTU_WAIT = 0.5
"""Seconds that an echo request of the MTU's length, or over it, is waited for."""

ANSWERED_WITHIN = 20.0
"""Seconds after the soak in which every probe has to have ended, on a busy machine."""


async def quarantine(rehearsal: Rehearsal, seconds: float = SOAK_SECONDS) -> None:
    """Watch and try every port at once for ``seconds``, then measure rates and try an LACP bundle."""
    lab = rehearsal.lab
    found = ports(rehearsal.model)
    if not found:
        return
    watchers: dict[str, Task] = {}
    frames = {port.key: frames_for(rehearsal.model, port) for port in found}
    try:
        for port in found:
            _apply_watch(lab, port, frames[port.key], seconds)
            watchers[port.key] = await lab.runtime.task(
                port.watcher,
                MONITOR,
                {"interface": port.watcher_interface.name, "frames": frames[port.key].all()},
            )
        await asyncio.gather(*(probing.listening(task) for task in watchers.values()))
        await asyncio.gather(
            _soak(rehearsal, found, seconds),
            *(_broadcast(lab, port, frames[port.key]) for port in found),
            *(_probe_mtu(lab, port) for port in found),
            *(_knock(lab, port) for port in found),
            *(_read_addresses(lab, port) for port in found),
        )
        for port in found:
            # On a wire of two, both ends watch each other: the other monitor's frames are ours, not the router's.
            ours = {frame for other in found if other.watcher == port.node and other.link == port.link
                    for frame in frames[other.key].all()}  # fmt: skip
            await _observe_watch(lab, port, frames[port.key], watchers[port.key], ours)
    finally:
        for task in watchers.values():
            task.close()
    await measure_rates(rehearsal)
    await try_bundle(rehearsal)


def _applied(lab: Lab, port: Port, stimulus: QuarantineStimulus, **detail: object) -> None:
    lab.record(
        StimulusApplied(at=now_ns(), stimulus=stimulus, node=port.node, detail={"trial": port.key, **detail})
    )


def _observed(lab: Lab, port: Port, stimulus: QuarantineStimulus, **detail: object) -> None:
    lab.record(
        StimulusObserved(at=now_ns(), stimulus=stimulus, node=port.node, detail={"trial": port.key, **detail})
    )


def _apply_watch(lab: Lab, port: Port, frames: PortFrames, seconds: float) -> None:
    """Say what is about to be done to a port: its monitor sends the frames as soon as it listens."""
    words = QuarantineStimulus
    at = f"{port.watcher} {port.watcher_interface.name}"
    _applied(lab, port, words.PORT_WATCHED, mac=port.interface.mac, watched_at=at, window_seconds=seconds)
    _applied(lab, port, words.ADDRESSES_ASKED, asked={why: list(asked) for why, asked in frames.asked.items()})
    _applied(lab, port, words.ADDRESS_PLAN_READ, sources=list(frames.sources))
    _applied(lab, port, words.THIRD_HOST, destinations=list(frames.third_hosts))


async def _observe_watch(lab: Lab, port: Port, frames: PortFrames, watcher: Task, ours: set[str]) -> None:
    watcher.ask_to_stop()
    seen = [record async for record in watcher if "hex" in record]
    specimens = [record for record in seen if record["hex"] not in ours]
    result = await watcher.result()
    sent_all = result["sent"] == len(frames.all())
    _observed(lab, port, QuarantineStimulus.ADDRESSES_ASKED, sent=len(frames.questions) if sent_all else 0)
    _observed(lab, port, QuarantineStimulus.THIRD_HOST, sent=len(frames.strays) if sent_all else 0)
    _observed(
        lab,
        port,
        QuarantineStimulus.PORT_WATCHED,
        seconds=round((result["ended_ns"] - result["started_ns"]) / 1e9, 3),
        frames=result["frames"] - sum(record["count"] for record in seen if record["hex"] in ours),
        missed=result["missed"],
        untold=result["untold"],
        specimens=specimens,
    )


async def _soak(rehearsal: Rehearsal, found: Sequence[Port], seconds: float) -> None:
    """1 kHz out of every port for the length of the window, between two readings of the counters of its wire."""
    lab = rehearsal.lab
    for port in found:
        _applied(lab, port, QuarantineStimulus.PORT_SOAKED, rate_hz=2 * SOAK_RATE_HZ, seconds=seconds)
    before = await lab.runtime.observe()
    flows = [(port, address) for port in found for address in _far_addresses(port)]
    receivers: list[Task] = []
    senders: list[Task] = []
    try:
        for number, (port, address) in enumerate(flows):
            arguments = {"port": SOAK_PORT + number, "address": address}
            receivers.append(await lab.runtime.task(port.far, probing.STREAM_RECEIVE, arguments))
        await asyncio.gather(*(probing.listening(task) for task in receivers))
        for number, (port, address) in enumerate(flows):
            arguments = {
                "destination": address,
                "port": SOAK_PORT + number,
                "rate_hz": SOAK_RATE_HZ,
                "count": round(SOAK_RATE_HZ * seconds),
            }
            senders.append(await lab.runtime.task(port.node, probing.STREAM_SEND, arguments))
        async with asyncio.timeout(seconds + ANSWERED_WITHIN):
            sent = [await task.result() for task in senders]
            got = await asyncio.gather(*(task.stop() for task in receivers))
    finally:
        for task in (*senders, *receivers):
            task.close()
    after = await lab.runtime.observe()
    for port in found:
        mine = [number for number, (other, _) in enumerate(flows) if other.key == port.key]
        _observed(
            lab,
            port,
            QuarantineStimulus.PORT_SOAKED,
            sent={_family(flows[n][1]): sent[n]["sent"] for n in mine},
            received={_family(flows[n][1]): got[n]["received"] for n in mine},
            overflowed=sum(got[n]["overflowed"] for n in mine),
            ends=_ends(port, before, after),
        )


def _far_addresses(port: Port) -> tuple[str, ...]:
    """The far router's addresses of the families that the port has too."""
    mine, far = port.interface, port.far_interface
    pairs = ((mine.v4, far.v4), (mine.v6, far.v6))
    return tuple(theirs.split("/")[0] for ours, theirs in pairs if ours and theirs)


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


COUNTERS = (
    "rx_dropped",
    "tx_dropped",
    "rx_errors",
    "tx_errors",
    "rx_length_errors",
    "rx_over_errors",
    "rx_crc_errors",
    "carrier_changes",
)
"""Counters that must not grow (PHY-01, PHY-02)."""


def _ends(port: Port, before: RuntimeState, after: RuntimeState) -> list[dict[str, object]]:
    """Both ends of a port's wire, as the kernel told of them before and after."""
    ends: list[dict[str, object]] = []
    for which in ("a", "b"):
        pair: list[InterfaceObservation] = [
            getattr(link, which) for state in (before, after) for link in state.links if link.id == port.link
        ]
        if len(pair) == 2:
            ends.append({"end": f"{pair[0].node} {pair[0].name}", "before": _facts(pair[0]), "after": _facts(pair[1])})
    return ends


def _facts(seen: InterfaceObservation) -> dict[str, object]:
    return {"carrier": seen.carrier, "rx_packets": seen.rx_packets, **{c: getattr(seen, c) for c in COUNTERS}}


async def _broadcast(lab: Lab, port: Port, frames: PortFrames) -> None:
    """Packets to the LAN's broadcast address come in at another interface of the port's router."""
    entry = frames.entry
    if entry is None:
        return
    _applied(
        lab,
        port,
        QuarantineStimulus.DIRECTED_BROADCAST,
        destination=entry.broadcast,
        control=entry.control,
        entered=entry.entered,
    )
    task = await lab.runtime.task(entry.node, RAW_SEND, {"interface": entry.interface, "frames": list(entry.frames)})
    sent = await asyncio.wait_for(task.result(), ANSWERED_WITHIN)
    _observed(lab, port, QuarantineStimulus.DIRECTED_BROADCAST, sent=sent["sent"])


async def _probe_mtu(lab: Lab, port: Port) -> None:
    mtu = port.interface.mtu
    targets = _far_addresses(port)
    _applied(lab, port, QuarantineStimulus.MTU_PROBED, mtu=mtu, destinations=list(targets))

    async def probe(address: str, length: int) -> int:
        headers = 48 if ":" in address else 28
        arguments = {
            "destination": address,
            "count": MTU_PROBES,
            "size": length - headers,
            "df": True,
            "wait": MTU_WAIT,
        }
        task = await lab.runtime.task(port.node, probing.PING, arguments)
        return int((await asyncio.wait_for(task.result(), ANSWERED_WITHIN))["received"])

    results: dict[str, Any] = {}
    for address in targets:
        # One after the other: an answer to the shorter says that the silence on the longer is the MTU's.
        results[address] = {"at_mtu": await probe(address, mtu), "over": await probe(address, mtu + 1)}
    _observed(lab, port, QuarantineStimulus.MTU_PROBED, results=results, probes=MTU_PROBES)


async def _knock(lab: Lab, port: Port) -> None:
    _applied(lab, port, QuarantineStimulus.SERVICES_KNOCKED, addresses=list(port.own))
    task = await lab.runtime.task(port.far, KNOCK, {"destinations": list(port.own)})
    answers = (await asyncio.wait_for(task.result(), ANSWERED_WITHIN))["answers"]
    _observed(lab, port, QuarantineStimulus.SERVICES_KNOCKED, answers=answers)


async def _read_addresses(lab: Lab, port: Port) -> None:
    held = [a.address for a in await lab.runtime.addresses(port.node) if a.interface == port.interface.name]
    _observed(lab, port, QuarantineStimulus.ADDRESS_PLAN_READ, addresses=held)
