"""Records captures/turn-up.pcapng and its event log: ``python tests/replay/record_turn_up.py`` (needs BIRD 2).

Two BIRD routers in a user namespace, ``left`` (an ISP, AS 64500) and ``middle`` (Microsoft's edge, AS 8075), a session
per family, captured by the lab's own tap. The story: under DENY ALL the edge announces and accepts nothing while the
ISP announces two prefixes; then ALLOW; then the ISP withdraws one; then the edge shuts both sessions down with a
reason. Moments are events.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "src"), str(HERE.parent / "live")]

from tap_cell import Cell, RunningTap  # noqa: E402

from peerlab.evidence.events import PhaseStarted, SessionStateChanged, SnapshotTaken  # noqa: E402
from peerlab.evidence.log import EventLog  # noqa: E402

SETTLE = 1.5
"""Seconds given to BIRD after each change; a recording needs no more precision."""

ISP = """
router id 10.0.0.1;
protocol device {{ }}
protocol static s4 {{ ipv4; route 203.0.113.0/24 blackhole; {more4} }}
protocol static s6 {{ ipv6; route 2001:db8:a::/48 blackhole; {more6} }}
template bgp edge {{ local as 64500; hold time 9; connect delay time 1; }}
protocol bgp edge4 from edge {{ local 192.0.2.1; neighbor 192.0.2.2 as 8075; ipv4 {{ import all; export all; }}; }}
protocol bgp edge6 from edge {{
  local 2001:db8:1::1; neighbor 2001:db8:1::2 as 8075; ipv6 {{ import all; export all; }};
}}
"""
EDGE = """
router id 10.0.0.2;
protocol device {{ }}
protocol static s4 {{ ipv4; route 198.18.0.0/24 blackhole; }}
protocol static s6 {{ ipv6; route 2001:db8:f::/48 blackhole; }}
filter to_isp {{ if source != RTS_STATIC then reject; bgp_community.add((8075, 8007)); accept; }}
template bgp isp {{ local as 8075; hold time 9; connect delay time 1; }}
protocol bgp isp4 from isp {{ local 192.0.2.2; neighbor 192.0.2.1 as 64500; ipv4 {{ import {i}; export {e}; }}; }}
protocol bgp isp6 from isp {{
  local 2001:db8:1::2; neighbor 2001:db8:1::1 as 64500; ipv6 {{ import {i}; export {e}; }};
}}
"""


class Bird:
    def __init__(self, cell: Cell, node: str, directory: Path, text: str) -> None:
        self.config, self.socket = directory / f"{node}.conf", directory / f"{node}.ctl"
        self.config.write_text(text)
        argv = ["bird", "-f", "-c", str(self.config), "-s", str(self.socket), "-P", str(directory / f"{node}.pid")]
        self.process = cell.inside(node, lambda: subprocess.Popen(argv, stderr=subprocess.DEVNULL))

    def ask(self, *words: str) -> None:
        subprocess.run(["birdc", "-s", str(self.socket), *words], check=True, stdout=subprocess.DEVNULL)

    def configure(self, text: str) -> None:
        self.config.write_text(text)
        self.ask("configure")


def settle() -> None:
    select.select([], [], [], SETTLE)


def record(directory: Path) -> None:
    captures = HERE / "captures"
    for name in ("turn-up.pcapng", "turn-up.jsonl"):
        (captures / name).unlink(missing_ok=True)
    cell = Cell()
    log = EventLog(captures / "turn-up.jsonl")
    tap = RunningTap(cell, directory, cell.paths("left", "middle"))
    more4, more6 = "route 203.0.113.128/25 blackhole;", "route 2001:db8:a:1::/64 blackhole;"
    log.append(PhaseStarted(at=time.time_ns(), phase="deny"))
    edge = Bird(cell, "middle", directory, EDGE.format(i="none", e="none"))
    isp = Bird(cell, "left", directory, ISP.format(more4=more4, more6=more6))
    settle()
    settle()
    log.append(SnapshotTaken(at=time.time_ns(), label="under-deny"))
    log.append(PhaseStarted(at=time.time_ns(), phase="allow"))
    edge.configure(EDGE.format(i="all", e="filter to_isp"))
    settle()
    log.append(SnapshotTaken(at=time.time_ns(), label="allowed"))
    isp.configure(ISP.format(more4="", more6=""))
    settle()
    log.append(SnapshotTaken(at=time.time_ns(), label="withdrawn"))
    for name in ("isp4", "isp6"):
        at = time.time_ns()
        edge.ask("disable", name, '"maintenance at 02:00 UTC"')
        session = {"isp4": "isp-edge-v4", "isp6": "isp-edge-v6"}[name]
        log.append(SessionStateChanged(at=at, node="middle", session=session, before="Established", after="Idle"))
    settle()
    log.append(SnapshotTaken(at=time.time_ns(), label="deprovisioned"))
    tap.ask("flush")
    tap.stop()
    for bird in (isp, edge):
        bird.process.send_signal(signal.SIGTERM)
        bird.process.wait()
    octets = tap.output.read_bytes()
    (captures / "turn-up.pcapng").write_bytes(octets)
    print(f"{len(octets)} octets")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        record(Path(scratch))
    os._exit(0)
