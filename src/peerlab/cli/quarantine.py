"""quarantine: what a router sends on a port, and which rules of an exchange it breaks."""

from __future__ import annotations

import asyncio
import re
import signal
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from peerlab.cli.output import json_option, print_json, print_table, run
from peerlab.cli.routing import attached, lab_option
from peerlab.controller.lab import Lab
from peerlab.errors import InputError, Problem, RefusedError
from peerlab.evidence import pcapng
from peerlab.report.exit_code import FAILED, PASSED, UNDECIDED
from peerlab.topology.mistake import no_such
from peerlab.topology.model import Link
from peerlab.verify.sighting import Sighting, sightings

MONITOR = "peerlab.runtime.monitor:monitor"
SECONDS = 10.0
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was watched, for how long, and what was seen; ``lost`` frames came and could not be kept."""

    port: str
    watched_at: str
    seconds: float
    frames: int
    lost: int
    seen: tuple[Sighting, ...]


@click.command()
@click.argument("node", required=False)
@click.argument("interface", required=False)
@click.option("--seconds", type=click.FloatRange(min=0.1), default=SECONDS, show_default=True, help="Watch so long.")
@click.option("--pcap", type=click.Path(path_type=Path), help="Judge this pcap or pcapng file instead of a lab's port.")
@click.option("--mac", help="The registered MAC; the model's, or that of a file's first frame, if left out.")
@click.option("--allow-mld", is_flag=True, help="Let MLD pass, as some exchanges do.")
@lab_option
@json_option
def quarantine(
    node: str | None,
    interface: str | None,
    seconds: float,
    pcap: Path | None,
    mac: str | None,
    allow_mld: bool,
    lab: str | None,
    as_json: bool,
) -> None:
    """What a node sends on a port, and the exchange rules it breaks.

    Watches at the other end of the wire, as an exchange's port does, and sends nothing itself; the rehearsal's
    quarantine (`rehearse --conformance`) provokes besides. Exit code: 0 clean, 1 a rule is broken, 2 nothing was seen
    or frames were lost.

    \b
    Example:  peerlab quarantine northwind-1 to-tulip-lan --seconds 5
              peerlab quarantine --pcap port.pcap --mac 02:00:00:00:00:01
    """
    registered = (mac or "").lower().replace("-", ":")
    if registered and not MAC.fullmatch(registered):
        raise InputError([Problem("--mac", f"{mac} is no MAC", "write it like 02:00:00:00:00:01")])
    if pcap is not None:
        if node is not None:
            raise InputError([Problem("--pcap", "a file has no node", "leave NODE and INTERFACE out")])
        report = _of_file(pcap, registered, allow_mld)
    elif node is None or interface is None:
        raise InputError([Problem("NODE INTERFACE", "are needed", "or give --pcap FILE; `peerlab inspect` has names")])
    else:
        report = run(_of_port(node, interface, seconds, registered, allow_mld, lab))
    if as_json:
        print_json(report)
    else:
        _print(report)
    if any(one.breaks for one in report.seen):
        raise click.exceptions.Exit(FAILED)
    raise click.exceptions.Exit(UNDECIDED if report.lost or not report.frames else PASSED)


def _of_file(path: Path, mac: str, allow_mld: bool) -> Report:
    try:
        records = pcapng.read(path.read_bytes())
    except OSError as failure:
        raise InputError([Problem(str(path), f"cannot be read ({failure.strerror})", "name a capture")]) from failure
    except pcapng.CaptureError as failure:
        raise InputError([Problem(str(path), f"is no capture: {failure}", "name a pcap or pcapng file")]) from failure
    frames = [record for record in records if isinstance(record, pcapng.Frame)]
    foreign = {frame.interface.linktype for frame in frames} - {pcapng.LINKTYPE_ETHERNET}
    if foreign:
        what = f"has frames of link type {min(foreign)}, which are not Ethernet"
        raise InputError([Problem(str(path), what, "capture on the Ethernet interface itself")])
    lost = sum(record.frames for record in records if isinstance(record, pcapng.Loss))
    times = [frame.at for frame in frames]
    return Report(
        port=str(path),
        watched_at="",
        seconds=(max(times) - min(times)) / 1e9 if times else 0.0,
        frames=len(frames),
        lost=lost,
        seen=sightings(((frame.at, 1, frame.octets) for frame in frames), mac, allow_mld),
    )


async def _of_port(
    node: str, interface: str, seconds: float, mac: str, allow_mld: bool, lab: str | None
) -> Report:
    held = await attached(lab)
    try:
        far, far_interface = _other_end(held, node, interface)
        watcher = await held.runtime.task(far, MONITOR, {"interface": far_interface, "seconds": seconds})
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, watcher.ask_to_stop)
        try:
            told = [record async for record in watcher if "hex" in record]
            result = await watcher.result()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            watcher.close()
        registered = mac or held.model.node(node).interface(interface).mac
        seen = ((record["at_ns"], record["count"], bytes.fromhex(record["hex"])) for record in told)
        return Report(
            port=f"{node} {interface}",
            watched_at=f"{far} {far_interface}",
            seconds=(result["ended_ns"] - result["started_ns"]) / 1e9,
            frames=result["frames"],
            lost=result["missed"] + result["untold"],
            seen=sightings(seen, registered, allow_mld),
        )
    finally:
        await held.close()


def _other_end(lab: Lab, node: str, interface: str) -> tuple[str, str]:
    """The other end of a port's wire. Raises RefusedError for a name that the lab does not have."""
    if node not in {one.name for one in lab.model.nodes}:
        raise no_such("node", node, [one.name for one in lab.model.nodes])
    names = [one.name for one in lab.model.node(node).interfaces]
    if interface not in names:
        raise no_such("interface", interface, names)
    link: Link | None = next(
        (one for one in lab.model.links if any((e.node, e.interface) == (node, interface) for e in one.ends)), None
    )
    if link is None:
        raise RefusedError("NoWire", f"{interface} of {node} has no wire at which it could be watched")
    (far,) = [end for end in link.ends if (end.node, end.interface) != (node, interface)]
    return far.node, far.interface


def _print(report: Report) -> None:
    where = f", watched at {report.watched_at}" if report.watched_at else ""
    click.echo(f"{report.port}{where}: {report.frames} frames in {report.seconds:.1f} s")
    if report.lost:
        click.echo(f"{report.lost} frames were lost to the watcher: what was not seen may have been among them")
    if not report.frames:
        click.echo("nothing came out of it, which proves nothing: send some traffic, or watch longer")
        return
    click.echo()
    print_table(("FRAMES", "WHAT", "FROM", "FIRST (UTC)", "RULE"), (_row(one) for one in report.seen))
    broken = sorted({rule.check for one in report.seen for rule in one.breaks})
    click.echo()
    click.echo(f"breaks {', '.join(broken)}" if broken else "clean: every frame is one that an exchange allows")


def _row(one: Sighting) -> tuple[object, ...]:
    at = datetime.fromtimestamp(one.first_at / 1e9, UTC)
    tag = f" in VLAN {one.vlan}" if one.vlan is not None else ""
    rules = "; ".join(f"{rule.check} {rule.text}" for rule in one.breaks)
    return (
        one.frames,
        f"{one.kind}{tag}",
        one.source_mac,
        f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}",
        click.style(f"✗ {rules}", fg="red") if rules else "✓",
    )


COMMANDS = (quarantine,)
