"""An evidence bundle: everything by which a rehearsal's verdicts can be checked again, and its manifest.

Pure: files in, files out. ``archive`` makes them one zip, the command line reads and writes it, ``replay`` judges it
again. The manifest names every other file with its size and SHA-256. It proves that a bundle is as it was written, not
who wrote it: whoever can change a file can write a new manifest. Keep the digest of the manifest where the bundle is
not (the commands print it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from peerlab import __version__
from peerlab.errors import BundleDamaged, BundleTooNew
from peerlab.evidence.events import Event, SessionStateChanged
from peerlab.evidence.mrt import bgp4mp
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.trace import Trace
from peerlab.evidence.versions import Versions
from peerlab.report.archive import is_safe
from peerlab.report.json import VerdictDocument, findings_json
from peerlab.report.junit import junit_xml
from peerlab.topology.model import LabModel
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

FORMAT = 1
"""Of the bundle: another number means that an older peerlab cannot replay it."""

MANIFEST, TOPOLOGY, MODEL, WIDEST = "manifest.json", "topology.yaml", "model.json", "widest.json"
EVENTS, CAPTURE, MESSAGES = "events.jsonl", "trace.pcapng", "trace.mrt"
FINDINGS, JUNIT, REPORT, VERSIONS = "findings.json", "junit.xml", "report.html", "versions.json"
SNAPSHOTS, CONFIGURATIONS = "snapshots/", "configurations/"
NEEDED = (TOPOLOGY, MODEL, WIDEST, EVENTS, FINDINGS, VERSIONS)
"""Without one of these there is nothing to replay."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle: its size in octets and its SHA-256 in hex."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds. ``trace_until`` is the time (ns) up to which the capture is complete; ``remarks`` say what
    is not in it that a reader would look for."""

    format: int
    peerlab: str
    lab: str
    trace_until: int
    files: dict[str, Entry]
    remarks: tuple[str, ...] = ()


class _Format(msgspec.Struct, frozen=True):
    format: int


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a bundle, before it is files.

    ``widest`` names every wire that the lab ever had, ``capture`` is the pcapng that the evidence's trace was read
    from, ``configurations`` are the routers' own files (``NODE/FILE``).
    """

    lab: str
    topology: str
    widest: LabModel
    capture: bytes
    versions: Versions
    configurations: dict[str, bytes] = {}


def compose(content: Content, evidence: Evidence, findings: Sequence[Finding], report: str) -> dict[str, bytes]:
    """Every file of a bundle by name, its manifest too. The same evidence gives the same octets."""
    files = {
        TOPOLOGY: content.topology.encode(),
        MODEL: _json(evidence.model),
        WIDEST: _json(content.widest),
        VERSIONS: _json(content.versions, 2),
        EVENTS: b"".join(msgspec.json.encode(event) + b"\n" for event in evidence.events),
        FINDINGS: findings_json(findings, content.lab).encode(),
        JUNIT: junit_xml(findings, content.lab, evidence.events).encode(),
        REPORT: report.encode(),
        **{f"{SNAPSHOTS}{label}.json": _json(one) for label, one in evidence.snapshots.items()},
        **{f"{CONFIGURATIONS}{name}": octets for name, octets in content.configurations.items()},
    }
    remarks = []
    if content.capture:
        changes = [event for event in evidence.events if isinstance(event, SessionStateChanged)]
        files[CAPTURE] = content.capture
        files[MESSAGES] = b"".join(bgp4mp(evidence.trace, content.widest, changes))
    else:
        remarks.append("the lab has left no capture: what was on the wires is not known")
    if not content.configurations:
        remarks.append("the routers' files were not kept: the lab had ended before anybody asked for them")
    manifest = Manifest(
        format=FORMAT,
        peerlab=__version__,
        lab=content.lab,
        trace_until=evidence.trace.end,
        files={name: entry_of(octets) for name, octets in sorted(files.items())},
        remarks=tuple(remarks),
    )
    files[MANIFEST] = _json(manifest, 2)
    return files


def entry_of(octets: bytes) -> Entry:
    """A file's line in the manifest."""
    return Entry(size=len(octets), sha256=digest(octets))


def digest(octets: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(octets).hexdigest()


def verified(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of a bundle, when every file is as it says.

    Raises BundleTooNew for a format of a later peerlab, BundleDamaged with everything else that is wrong.
    """
    if MANIFEST not in files:
        raise BundleDamaged([f"is no bundle of peerlab: it holds no {MANIFEST}"])
    try:
        version = msgspec.json.decode(files[MANIFEST], type=_Format).format
        if version > FORMAT:
            raise BundleTooNew(
                f"the bundle has format {version}, this peerlab ({__version__}) knows formats up to {FORMAT}; "
                "replay it with the peerlab that made it, or a later one"
            )
        manifest = msgspec.json.decode(files[MANIFEST], type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
        raise BundleDamaged([f"{MANIFEST}: cannot be read: {mistake}"]) from mistake
    problems = list(_differences(manifest, files))
    if problems:
        raise BundleDamaged(problems)
    return manifest


def _differences(manifest: Manifest, files: Mapping[str, bytes]) -> Iterator[str]:
    for name in NEEDED:
        if name not in manifest.files:
            yield f"{name}: is not in the manifest, and nothing can be replayed without it"
    for name, entry in manifest.files.items():
        if not is_safe(name) or name == MANIFEST:
            yield f"{name[:80]!r}: the manifest names a file that cannot be"
        elif name not in files:
            yield f"{name}: the manifest names it, the bundle does not hold it"
        elif len(files[name]) != entry.size:
            yield f"{name}: has {len(files[name])} octets, {entry.size} in the manifest"
        elif digest(files[name]) != entry.sha256:
            yield f"{name}: was changed: its SHA-256 is {digest(files[name])}, {entry.sha256} in the manifest"
    for name in files:
        if name != MANIFEST and name not in manifest.files:
            yield f"{name}: is in the bundle and not in its manifest"


def evidence_of(manifest: Manifest, files: Mapping[str, bytes]) -> Evidence:
    """What the checks looked at. Raises BundleDamaged, naming the file, for what cannot be read."""
    model, widest = _model(files, MODEL), _model(files, WIDEST)
    capture = files.get(CAPTURE, b"")
    try:
        trace = Trace.from_pcapng(capture, widest, manifest.trace_until) if capture else Trace()
    except ValueError as mistake:
        raise BundleDamaged([f"{CAPTURE}: {mistake}"]) from mistake
    return Evidence(model=model, events=_events(files[EVENTS]), trace=trace, snapshots=_snapshots(files))


def stored_findings(files: Mapping[str, bytes]) -> tuple[Finding, ...]:
    """The verdicts that a bundle was made with. Raises BundleDamaged."""
    try:
        return msgspec.json.decode(files[FINDINGS], type=VerdictDocument).findings
    except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
        raise BundleDamaged([f"{FINDINGS}: {mistake}"]) from mistake


def content_of(manifest: Manifest, files: Mapping[str, bytes]) -> Content:
    """What the bundle was composed of, beside evidence and findings. Raises BundleDamaged."""
    try:
        versions = msgspec.json.decode(files[VERSIONS], type=Versions)
        topology = files[TOPOLOGY].decode()
    except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
        raise BundleDamaged([f"{VERSIONS} or {TOPOLOGY}: {mistake}"]) from mistake
    start = len(CONFIGURATIONS)
    return Content(
        lab=manifest.lab,
        topology=topology,
        widest=_model(files, WIDEST),
        capture=files.get(CAPTURE, b""),
        versions=versions,
        configurations={name[start:]: octets for name, octets in files.items() if name.startswith(CONFIGURATIONS)},
    )


def _json(value: object, indent: int = 0) -> bytes:
    octets = msgspec.json.encode(value)
    return (msgspec.json.format(octets, indent=indent) if indent else octets) + b"\n"


def _model(files: Mapping[str, bytes], name: str) -> LabModel:
    try:
        return msgspec.json.decode(files[name], type=LabModel)
    except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
        raise BundleDamaged([f"{name}: is no model of a lab: {mistake}"]) from mistake


def _events(octets: bytes) -> tuple[Event, ...]:
    decoder = msgspec.json.Decoder(Event)
    found: list[Event] = []
    for number, line in enumerate(octets.splitlines(), start=1):
        try:
            found.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
            raise BundleDamaged([f"{EVENTS}:{number}: is no event: {mistake}"]) from mistake
    return tuple(found)


def _snapshots(files: Mapping[str, bytes]) -> dict[str, Snapshot]:
    found: dict[str, Snapshot] = {}
    for name, octets in files.items():
        if not name.startswith(SNAPSHOTS):
            continue
        try:
            taken = msgspec.json.decode(octets, type=Snapshot)
        except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
            raise BundleDamaged([f"{name}: is no snapshot: {mistake}"]) from mistake
        found[taken.label] = taken
    return dict(sorted(found.items(), key=lambda item: item[1].at))
