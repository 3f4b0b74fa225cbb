"""trace, capture: what was on the wires."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import click

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.wire import MessageType
from peerlab.cli.labs import chosen_lab, lab_argument
from peerlab.cli.output import check_writable, columns, json_option, print_json, run, save
from peerlab.cli.routing import attached, canonical_prefix, lab_option
from peerlab.controller.lab import Lab, now_ns
from peerlab.errors import InputError, Problem
from peerlab.evidence.events import Event, SessionStateChanged
from peerlab.evidence.mrt import bgp4mp, table_dump
from peerlab.evidence.pcapng import Interface, frame_block, interface_block, section_header
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.store import LabStore
from peerlab.evidence.trace import Trace
from peerlab.report.ladder import Row, render, rows
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.mistake import no_such
from peerlab.topology.model import LabModel

KINDS = {kind.name.lower().replace("_", "-"): kind for kind in MessageType}
COLOURS = {"OPEN": "cyan", "NOTIFICATION": "red", "GAP": "red", "GARBLED": "red", "TCP": "bright_black"}
"""Colour of a ladder's line by its kind; the others are plain."""

SNIFF = "peerlab.runtime.frames:sniff"


def _save(path: Path, octets: bytes) -> None:
    save(path, octets)
    click.echo(f"{path}: {len(octets)} octets")


async def _flushed(name: str) -> Snapshot:
    """Everything captured is in the file; and the lab as it is now."""
    held = await Lab.attach(name)
    try:
        await held.tap.flush()
        return await held.look()
    finally:
        await held.close()


@click.command()
@lab_argument
@click.option("--node", help="Only what this node sends or receives.")
@click.option("--session", help="Only this session.")
@click.option("--prefix", help="Only UPDATEs about this prefix, a covering or a covered one.")
@click.option("--kind", type=click.Choice(sorted(KINDS)), help="Only messages of this type.")
@click.option("--keepalives/--no-keepalives", default=False, help="Show KEEPALIVEs too.")
@click.option("--pcapng", type=click.Path(path_type=Path), help="Write the whole capture to this file (tcpdump -r).")
@click.option("--mrt", type=click.Path(path_type=Path), help="Write the chosen messages as MRT BGP4MP_ET (RFC 6396).")
@click.option("--table-dump", "dump", type=click.Path(path_type=Path), help="Write --node's RIB as MRT TABLE_DUMP_V2.")
@json_option
def trace(
    lab: str | None,
    node: str | None,
    session: str | None,
    prefix: str | None,
    kind: str | None,
    keepalives: bool,
    pcapng: Path | None,
    mrt: Path | None,
    dump: Path | None,
    as_json: bool,
) -> None:
    """Every BGP message of every session: who said what to whom.

    Works on a running lab and on what a lab has left. With a file to write, nothing is printed but its size.

    \b
    Example:  peerlab trace peering-service --node ams-edge-1 --kind update
              peerlab trace peering-service --prefix 198.18.33.0/24
              peerlab trace peering-service --mrt updates.mrt --pcapng wires.pcapng
    """
    name = lab if lab and LabStore.exists(lab) else chosen_lab(lab)
    store = LabStore.open(name)
    model = store.widest()
    now = run(_flushed(name)) if name in list_labs() else None
    _check_words(model, node, session)
    captured = Trace.from_pcapng(store.trace_path.read_bytes(), model) if store.trace_path.exists() else Trace()
    wanted = KINDS[kind] if kind else None
    about = Prefix(canonical_prefix(prefix)) if prefix else None
    if pcapng is not None:
        _save(pcapng, store.trace_path.read_bytes())
    if mrt is not None:
        _save(mrt, _mrt_of(captured, model, store.log().read(), node, session, wanted, about))
    if dump is not None:
        _save(dump, _table_of(now, node, model))
    if pcapng is not None or mrt is not None or dump is not None:
        return
    ladder = rows(captured, node=node, session=session, prefix=about, kind=wanted, keepalives=keepalives)
    if as_json:
        print_json(ladder)
    elif ladder:
        day = datetime.fromtimestamp(ladder[0].at // 10**9, UTC)
        click.echo(click.style(f"{name}, {day:%Y-%m-%d}, times in UTC", dim=True))
        click.echo(render(ladder, columns(), paint=_paint))
    else:
        click.echo("nothing of this was on any wire")


def _paint(row: Row, text: str) -> str:
    return click.style(text, fg=COLOURS[row.kind]) if row.kind in COLOURS else text


def _check_words(model: LabModel, node: str | None, session: str | None) -> None:
    if node is not None and node not in {n.name for n in model.nodes}:
        raise no_such("node", node, [n.name for n in model.nodes])
    if session is not None and session not in {s.id for s in model.sessions}:
        raise no_such("session", session, [s.id for s in model.sessions])


def _mrt_of(
    captured: Trace,
    model: LabModel,
    events: tuple[Event, ...],
    node: str | None,
    session: str | None,
    kind: MessageType | None,
    prefix: Prefix | None,
) -> bytes:
    messages = captured.select(node=node, session=session, kind=kind, prefix=prefix, covering=True)
    changes = [
        event
        for event in events
        if isinstance(event, SessionStateChanged)
        and node in (None, event.node)
        and session in (None, event.session)
        and kind is None
        and prefix is None
    ]
    return b"".join(bgp4mp(messages, model, changes))


def _table_of(now: Snapshot | None, node: str | None, model: LabModel) -> bytes:
    if node is None or now is None:
        raise InputError(
            [Problem("--table-dump", "needs a router of a running lab", "give --node and start the lab first")]
        )
    return b"".join(table_dump(now, node, model))


@click.command()
@click.argument("node")
@click.argument("interface")
@click.option("--write", "-w", "path", type=click.Path(path_type=Path), required=True, help="The pcapng file.")
@click.option("--seconds", type=click.FloatRange(min=0), default=0.0, help="Stop after so many; until Ctrl-C if 0.")
@lab_option
def capture(node: str, interface: str, path: Path, seconds: float, lab: str | None) -> None:
    """Capture every frame of one interface into a pcapng file.

    `peerlab inspect --node NODE` names the interfaces.

    \b
    Example:  peerlab capture ams-edge-1 to-fab-ams-1 -w wire.pcapng --seconds 10
    """

    async def work() -> int:
        held = await attached(lab)
        try:
            _check_words(held.model, node, None)
            interfaces = [one.name for one in held.model.node(node).interfaces]
            if interface not in interfaces:
                raise no_such("interface", interface, interfaces)
            check_writable(path)
            return await _capture(held, node, interface, path, seconds)
        finally:
            await held.close()

    click.echo(f"{path}: {run(work())} frames")


async def _capture(lab: Lab, node: str, interface: str, path: Path, seconds: float) -> int:
    watcher = await lab.runtime.task(node, SNIFF, {"interface": interface, "seconds": seconds})
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, watcher.ask_to_stop)
    frames = 0
    try:
        with path.open("wb") as file:
            file.write(section_header())
            file.write(interface_block(Interface(name=f"{node}:{interface}", since=now_ns())))
            async for record in watcher:
                if "hex" in record:
                    file.write(frame_block(0, record["at_ns"], bytes.fromhex(record["hex"])))
                    frames += 1
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be written ({error.strerror})", "name another file")]) from error
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        watcher.close()
    return frames


COMMANDS = (trace, capture)
