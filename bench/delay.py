"""Delay on a wire: what was asked, what was measured, and what such a wire still carries.

    python bench/delay.py [MS ...]        (default 0 1 10 50 200)

Two hosts at one wire, the delay in one direction. Round trips by ping; TCP, one connection, until it has flowed for a
while; UDP datagrams at rising rates until some are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peerlab.runtime.base import Impairment, InterfaceSpec, LinkSpec, NodeSpec
from peerlab.runtime.namespaces import NamespaceRuntime, start_cell

HERE, THERE, PORT = "192.0.2.1", "192.0.2.2", 5000
NODES = (
    NodeSpec("here", sysctls={"ipv4/tcp_wmem": "4096 16384 67108864"}),
    NodeSpec("there", sysctls={"ipv4/tcp_rmem": "4096 131072 67108864"}),
)
LINK = LinkSpec(
    "wire",
    InterfaceSpec("here", "e0", addresses=(f"{HERE}/24",)),
    InterfaceSpec("there", "e0", addresses=(f"{THERE}/24",)),
)
SWALLOW, POUR = "swallow", "pour"
WITHIN = 30.0
PINGS = 200
RAMP_SECONDS, FLOW_SECONDS = 1.0, 3.0
RATES = (10_000, 20_000, 40_000, 60_000)
DATAGRAMS_SECONDS = 2.0
ECHO, SEND, RECEIVE = (
    f"peerlab.runtime.{entry}" for entry in ("probe:ping", "stream:udp_stream_send", "stream:udp_stream_receive")
)


def swallow() -> None:
    """In a node: accepts one connection and prints how many bits a second it brought once it had ramped up."""
    with socket.create_server((THERE, PORT)) as listener:
        connection, _ = listener.accept()
    buffer = bytearray(1 << 20)
    began, counted, since = time.monotonic(), 0, 0.0
    while read := connection.recv_into(buffer):
        now = time.monotonic()
        if now < began + RAMP_SECONDS:
            continue
        since = since or now
        counted += read
        if now > since + FLOW_SECONDS:
            break
    print(8 * counted / (time.monotonic() - since))


def pour() -> None:
    """In a node: sends until the other end has had enough."""
    block = bytes(1 << 18)
    with _connected() as connection, contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(block)


def _connected() -> socket.socket:
    while True:
        try:
            return socket.create_connection((THERE, PORT))
        except ConnectionRefusedError:
            time.sleep(0.01)  # the other process is still starting


async def ask(runtime: NamespaceRuntime, node: str, entry: str, **arguments: Any) -> dict[str, Any]:
    """The result of a probe."""
    return await (await runtime.task(node, entry, arguments)).result()


async def tcp(runtime: NamespaceRuntime) -> float:
    """Bits a second of one TCP connection."""
    ends = (("there", SWALLOW), ("here", POUR))
    received, _ = await asyncio.gather(
        *(runtime.run(node, [sys.executable, str(Path(__file__).resolve()), word], WITHIN) for node, word in ends)
    )
    if received.code:
        raise RuntimeError(received.stderr.decode())
    return float(received.stdout)


async def udp(runtime: NamespaceRuntime, rate: int) -> tuple[float, float]:
    """Datagrams a second that were sent, and percent of them that are missing."""
    receiver = await runtime.task("there", RECEIVE, {"port": PORT})
    await anext(aiter(receiver))
    count = round(rate * DATAGRAMS_SECONDS)
    sent = await ask(runtime, "here", SEND, destination=THERE, port=PORT, rate_hz=float(rate), count=count)
    await ask(runtime, "here", ECHO, destination=THERE, count=1)  # comes after the last datagram
    heard = await receiver.stop()
    seconds = (sent["ended_ns"] - sent["started_ns"]) / 1e9
    return sent["sent"] / seconds, 100 * (1 - heard["received"] / sent["sent"])


async def measure(delays: list[float]) -> None:
    """One cell for all rows."""
    with tempfile.TemporaryDirectory() as state:
        runtime = await start_cell(f"bench-delay-{os.getpid()}", Path(state))
        try:
            await runtime.create(NODES, (LINK,))
            await ask(runtime, "here", ECHO, destination=THERE)
            for delay in delays:
                done = await runtime.impair(Impairment("here", "e0", "out", delay_ms=delay))
                echo = await ask(runtime, "here", ECHO, destination=THERE, count=PINGS, interval=0.005)
                gigabits = await tcp(runtime) / 1e9
                carried = [await udp(runtime, rate) for rate in RATES]
                seen = [one.dropped for one in (await runtime.observe()).impairments]
                trips = (f"{echo[f'rtt_{which}_ms']:8.2f}" for which in ("min", "median", "max"))
                rates = ", ".join(f"{sent / 1000:.0f} k: {missing:.2f} %" for sent, missing in carried)
                print(
                    f"{delay:>6g} {' '.join(trips)} {gigabits:>7.2f}   {rates:<56} {sum(seen):>7}  {done.means or '-'}",
                    flush=True,
                )
        finally:
            await runtime.shutdown()


def main(delays: list[float]) -> None:
    """Print the table."""
    print(f"load {os.getloadavg()[0]:.1f}, {time.strftime('%F %T')}")
    head = f"{'asked':>6} {'rtt min':>8} {'median':>8} {'max':>8} {'Gbit/s':>7}   "
    print(head + f"{'datagrams a second: missing':<56} dropped  means")
    asyncio.run(measure(delays))


if __name__ == "__main__":
    if sys.argv[1:] == [SWALLOW]:
        swallow()
    elif sys.argv[1:] == [POUR]:
        pour()
    else:
        main([float(word) for word in sys.argv[1:]] or [0, 1, 10, 50, 200])
