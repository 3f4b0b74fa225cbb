"""bundle, replay: all evidence of a rehearsal in one file, and its verdicts judged again from that file alone."""

from __future__ import annotations

from pathlib import Path

import click

from peerlab import __version__
from peerlab.cli.documents import Documents, document_options
from peerlab.cli.labs import chosen_lab
from peerlab.cli.output import check_writable, columns, json_option, run, save, wants_colour
from peerlab.controller.configuration import keep_configurations
from peerlab.controller.lab import Lab, now_ns
from peerlab.errors import BundleDamaged, BundleTooNew, InputError, Problem, RefusedError
from peerlab.evidence.store import LabStore
from peerlab.evidence.trace import Trace
from peerlab.evidence.versions import Versions
from peerlab.report import bundle as bundles
from peerlab.report.archive import MOST_FILES, MOST_OCTETS, pack, unpack
from peerlab.report.bundle import MANIFEST, TOPOLOGY, Content
from peerlab.report.exit_code import exit_code
from peerlab.report.html import page
from peerlab.report.json import findings_json
from peerlab.report.replay import Difference, Kind, Replay
from peerlab.report.replay import replay as replay_files
from peerlab.report.text import verdict_table
from peerlab.runtime import machine
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.load import load, load_text
from peerlab.topology.model import LabModel
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

DISAGREES = 5
"""Exit code of a replay whose verdicts are not those that are stored."""


async def flush(name: str) -> None:
    """Everything that was captured so far is in the file. Raises RefusedError when the lab does not run."""
    held = await Lab.attach(name)
    try:
        await held.tap.flush()
    finally:
        await held.close()


def kept_evidence(store: LabStore, until: int | None) -> Evidence:
    """What a lab has shown, as it stands in its directory; the capture is complete up to ``until``, when known."""
    captured = store.trace_path.read_bytes() if store.trace_path.exists() else b""
    return _evidence(store, captured, until)


def _evidence(store: LabStore, captured: bytes, until: int | None) -> Evidence:
    trace = Trace.from_pcapng(captured, store.widest(), until) if captured else Trace()
    model = load(store.path / "topology.yaml")
    return Evidence(model=model, events=store.log().read(), trace=trace, snapshots=store.snapshots())


def content_of_lab(lab: Lab, configurations: dict[str, bytes]) -> Content:
    """What a bundle of a rehearsal that has just ended holds beside its evidence."""
    return _content(lab.store, lab.captured, configurations, lab.model)


def _content(store: LabStore, capture: bytes, configurations: dict[str, bytes], model: LabModel) -> Content:
    return Content(
        lab=store.name,
        topology=store.topology_text(),
        widest=store.widest(),
        capture=capture,
        versions=store.versions() or _versions_now(model),
        configurations=configurations,
    )


def _versions_now(model: LabModel) -> Versions:
    now = machine.versions(node.kind.value for node in model.nodes if node.is_router)
    return Versions(
        peerlab=now.peerlab, python=now.python, kernel=now.kernel, daemons=now.daemons, taken="when it was bundled"
    )


def write_bundle(path: Path, content: Content, evidence: Evidence, findings: tuple[Finding, ...]) -> None:
    """Write a bundle and say what it is known by.

    Raises InputError when the file cannot be written, RefusedError when there is more than a bundle holds.
    """
    files = bundles.compose(content, evidence, findings, page(content, evidence, findings))
    size = sum(map(len, files.values()))
    if size > MOST_OCTETS or len(files) > MOST_FILES:
        raise RefusedError(
            "BundleTooLarge",
            f"the evidence is {len(files)} files of {size} octets, a bundle holds {MOST_FILES} of {MOST_OCTETS}: "
            f"it is not written; what lies in {LabStore.where(content.lab)} is the same, if the lab was kept",
        )
    octets = pack(files)
    save(path, octets)
    click.echo(f"{path} is written: {len(files)} files, {len(octets)} octets")
    click.echo(f"SHA-256 of its manifest: {bundles.digest(files[MANIFEST])}")


@click.command("bundle")
@click.argument("lab")
@click.argument("file", type=click.Path(path_type=Path))
def bundle_command(lab: str, file: Path) -> None:
    """Put all evidence of a lab into one zip, with verdicts.

    Of a lab that runs or has left its evidence: topology, the routers' files, versions, event log, capture, snapshots,
    verdicts, report. The same evidence gives the same file. Exit codes as of `rehearse`.

    \b
    Example:  peerlab bundle peering-service evidence.zip
    """
    check_writable(file)
    name = lab if LabStore.exists(lab) else chosen_lab(lab)
    store = LabStore.open(name)
    until = None
    if name in list_labs():
        until = now_ns()
        run(_keep(name))
    captured = store.trace_path.read_bytes() if store.trace_path.exists() else b""
    evidence = _evidence(store, captured, until)
    findings = judge_all(evidence)
    content = _content(store, captured, store.configurations(), evidence.model)
    write_bundle(file, content, evidence, findings)
    raise click.exceptions.Exit(exit_code(findings))


async def _keep(name: str) -> None:
    held = await Lab.attach(name)
    try:
        await keep_configurations(held)
        await held.tap.flush()
    finally:
        await held.close()


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@document_options
@click.option("--verbose", "-v", is_flag=True, help="Show all evidence: of passed checks too, and without cuts.")
@json_option
def replay(file: Path, documents: Documents, verbose: bool, as_json: bool) -> None:
    """Judge a bundle again, without a lab, and compare.

    Verifies every file of the bundle against its manifest, judges the evidence by the checks of this peerlab, and says
    where its verdicts differ from those in the bundle.

    Exit code: as of `rehearse` when they agree, 5 when they differ, 6 when the bundle was changed, lacks a file or is
    none, 7 when its format is of a later peerlab.

    \b
    Example:  peerlab replay evidence.zip --html report.html
    """
    documents.check()
    try:
        files = unpack(_read(file))
        again = replay_files(files)
        differences = (*_of_topology(again), *again.differences)
    except BundleDamaged as damaged:
        raise BundleDamaged([f"{file}: {problem}" for problem in damaged.problems]) from damaged
    except BundleTooNew as later:
        raise BundleTooNew(f"{file}: {later}") from later
    if as_json:
        click.echo(findings_json(again.findings, again.manifest.lab))
    else:
        click.echo(verdict_table(again.findings, width=columns(), colour=wants_colour(), verbose=verbose))
        click.echo()
    documents.write(again.content, again.evidence, again.findings, TOPOLOGY)
    agrees = again.agrees and not any(one.kind is Kind.TOPOLOGY for one in differences)
    _tell(again, differences, agrees, bundles.digest(files[MANIFEST]), err=as_json)
    raise click.exceptions.Exit(exit_code(again.findings) if agrees else DISAGREES)


def _tell(again: Replay, differences: tuple[Difference, ...], agrees: bool, digest: str, err: bool) -> None:
    manifest = again.manifest
    for remark in manifest.remarks:
        click.echo(f"the bundle says: {remark}", err=err)
    for one in differences:
        click.echo(f"{one.check}: {one.what}", err=err or not agrees)
    version = "" if again.same_version else f"; it was made by peerlab {manifest.peerlab}, this is {__version__}"
    counted = f"{len(manifest.files)} files are as the manifest says (its SHA-256: {digest})"
    if agrees:
        click.echo(f"{counted}; {len(again.stored)} stored verdicts stand{version}", err=err)
    else:
        click.echo(f"{counted}, but its verdicts do not stand: {len(differences)} differ{version}", err=True)


def _of_topology(again: Replay) -> tuple[Difference, ...]:
    """The text that a person reads has to be the lab that was judged."""
    try:
        model = load_text(again.content.topology, TOPOLOGY)
    except InputError as refused:
        what = f"{TOPOLOGY} is no topology that this peerlab reads: {refused.problems[0]}"
        return (Difference(kind=Kind.TOPOLOGY, check=TOPOLOGY, what=what),)
    if model != again.evidence.model:
        what = "does not describe the lab that was judged (model.json)"
        return (Difference(kind=Kind.TOPOLOGY, check=TOPOLOGY, what=what),)
    return ()


def _read(file: Path) -> bytes:
    def refuse(what: str, remedy: str) -> InputError:
        return InputError([Problem(str(file), what, remedy)])

    try:
        with file.open("rb") as stream:
            octets = stream.read(MOST_OCTETS + 1)
    except FileNotFoundError:
        raise refuse("no such file", "name a bundle; `peerlab rehearse TOPOLOGY --bundle FILE` makes one") from None
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror})", "name a bundle's file") from None
    if len(octets) > MOST_OCTETS:
        raise BundleDamaged([f"is larger than {MOST_OCTETS} octets, which no bundle is"])
    return octets


COMMANDS = (bundle_command, replay)
