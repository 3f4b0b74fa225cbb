"""Where a lab keeps what must outlive a process: topology, model, event log, capture and snapshots.

``${PEERLAB_STATE}/LAB/``, else ``${XDG_STATE_HOME}/peerlab/LAB/``, else ``~/.local/state/peerlab/LAB/``::

    .peerlab-lab  topology.yaml  model.json  widest.json  events.jsonl  trace.pcapng  snapshots/LABEL.json
    versions.json  configurations/NODE/FILE  supervisor.log

``.peerlab-lab`` is our mark: a directory without it is never written to and never removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence.log import EventLog
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.versions import Versions
from peerlab.topology.model import LabModel

Kind = TypeVar("Kind", LabModel, Snapshot, Versions)

MARK = ".peerlab-lab"
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def state_home() -> Path:
    """The directory under which every lab of this user keeps its own."""
    if chosen := os.environ.get("PEERLAB_STATE"):
        return Path(chosen).absolute()
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home).absolute() / "peerlab"
    return Path.home() / ".local" / "state" / "peerlab"


class LabStore:
    """One lab's directory. Make one with ``create`` or ``open``."""

    def __init__(self, name: str, path: Path, *, new: bool) -> None:
        self.name = name
        self.path = path
        self._new = new

    @staticmethod
    def where(name: str) -> Path:
        """The directory of a lab of that name, there or not. Raises RefusedError for what cannot be a name."""
        if not _NAME.fullmatch(name):
            raise RefusedError(
                "BadLabName", f"{name!r} cannot name a lab; take 1 to 32 of a-z, 0-9 and -, e.g. --name direct-2"
            )
        return state_home() / name

    @classmethod
    def exists(cls, name: str) -> bool:
        """Whether a lab of that name has left anything here."""
        return (cls.where(name) / MARK).is_file()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every lab that has a directory, sorted."""
        home = state_home()
        if not home.is_dir():
            return ()
        return tuple(sorted(path.name for path in home.iterdir() if (path / MARK).is_file()))

    @classmethod
    def create(cls, name: str, topology_text: str, model: LabModel) -> LabStore:
        """A new lab's directory, with its topology and model.

        Raises RefusedError when there is a directory of that name already, RuntimeFailure when it cannot be written.
        """
        path = cls.where(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise RuntimeFailure(
                f"{path.parent}: labs cannot be kept there: {failure.strerror}; set PEERLAB_STATE to another directory"
            ) from failure
        try:
            path.mkdir(mode=0o755)
        except FileExistsError as taken:
            if cls.exists(name):
                raise RefusedError(
                    "LabExists",
                    f"lab {name} runs or has left its evidence in {path}; `peerlab down {name}` removes both, "
                    "`--name` gives this one another name",
                ) from taken
            raise RefusedError("NotOurs", f"{path} is in the way and not made by peerlab; move it away") from taken
        except OSError as failure:
            raise RuntimeFailure(f"{path}: cannot be made: {failure.strerror}") from failure
        store = cls(name, path, new=True)
        try:
            store._write(MARK, b"This directory belongs to a lab of peerlab, which may remove it.\n")
            store._write("topology.yaml", topology_text.encode())
            store.save_model(model)
        except RuntimeFailure:
            store.remove_if_new()
            raise
        return store

    @classmethod
    def open(cls, name: str) -> LabStore:
        """The directory of a lab that exists. Raises RefusedError when there is none, or it is not ours."""
        path = cls.where(name)
        if not cls.exists(name):
            if path.exists():
                raise RefusedError("NotOurs", f"{path} does not carry the mark of a lab ({MARK}); it is left alone")
            raise RefusedError(
                "NoSuchLab", f"there is no lab {name} in {path.parent}; `peerlab ls` shows those there are"
            )
        return cls(name, path, new=False)

    @property
    def trace_path(self) -> Path:
        """The capture that the tap writes."""
        return self.path / "trace.pcapng"

    def topology_text(self) -> str:
        """The YAML that the lab was made from."""
        return self._read("topology.yaml").decode()

    def log(self) -> EventLog:
        """The event log, open for reading and appending."""
        return EventLog(self.path / "events.jsonl")

    def model(self) -> LabModel:
        """The model as last saved. Raises RuntimeFailure when it cannot be read."""
        return self._decode("model.json", LabModel)

    def save_model(self, model: LabModel) -> None:
        """Replaces the model in one step. Raises RuntimeFailure when the disk does not take it."""
        self._write("model.json", msgspec.json.encode(model))

    def widest(self) -> LabModel:
        """The model with every node, link and session that the lab ever had: the trace names its wires by it.

        That is the model itself unless more was saved.
        """
        return self._decode("widest.json", LabModel) if (self.path / "widest.json").exists() else self.model()

    def save_widest(self, model: LabModel) -> None:
        """Replaces the widest model. Raises RuntimeFailure when the disk does not take it."""
        self._write("widest.json", msgspec.json.encode(model))

    def snapshots(self) -> dict[str, Snapshot]:
        """Every snapshot by label, in the order they were taken."""
        found = [self._decode(f"snapshots/{path.name}", Snapshot) for path in (self.path / "snapshots").glob("*.json")]
        return {snapshot.label: snapshot for snapshot in sorted(found, key=lambda one: one.at)}

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot under its label, in place of an earlier one of that label.

        Raises RefusedError for a label that cannot be a file's name, RuntimeFailure when the disk does not take it.
        """
        if not _LABEL.fullmatch(snapshot.label):
            raise RefusedError(
                "BadLabel", f"{snapshot.label!r} cannot name a snapshot; take a-z, 0-9, '.', '_' and '-'"
            )
        self._write(f"snapshots/{snapshot.label}.json", msgspec.json.encode(snapshot))

    def versions(self) -> Versions | None:
        """With what the lab ran; None for a lab of a peerlab that did not write it down."""
        return self._decode("versions.json", Versions) if (self.path / "versions.json").exists() else None

    def save_versions(self, versions: Versions) -> None:
        """Keeps with what the lab runs. Raises RuntimeFailure when the disk does not take it."""
        self._write("versions.json", msgspec.json.encode(versions))

    def configurations(self) -> dict[str, bytes]:
        """The routers' own files (``NODE/FILE``) as last kept; empty when nobody has asked for them."""
        place = self.path / "configurations"
        found = sorted(path.relative_to(place).as_posix() for path in place.glob("*/*") if path.is_file())
        return {name: self._read(f"configurations/{name}") for name in found}

    def save_configurations(self, files: Mapping[str, bytes]) -> None:
        """Keeps the routers' own files, in place of earlier ones. Raises RuntimeFailure as other writers do."""
        for name, octets in files.items():
            self._write(f"configurations/{name}", octets)

    def remove_if_new(self) -> None:
        """Removes the directory when this very object made it: the lab never came to be."""
        if self._new and self.path.is_dir():
            shutil.rmtree(self.path)

    def remove(self) -> None:
        """Removes the directory and all that is in it.

        Raises RefusedError when it is not ours, RuntimeFailure when something in it cannot be removed.
        """
        if self.path.is_symlink() or not (self.path / MARK).is_file():
            raise RefusedError("NotOurs", f"{self.path} does not carry the mark of a lab ({MARK}); it is left alone")
        try:
            shutil.rmtree(self.path)
        except OSError as failure:
            raise RuntimeFailure(f"{failure.filename}: cannot be removed: {failure.strerror}") from failure

    def _write(self, name: str, octets: bytes) -> None:
        """A whole file or none: written beside and put in place in one step."""
        target = self.path / name
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(octets)
            beside.replace(target)
        except OSError as failure:
            beside.unlink(missing_ok=True)
            raise RuntimeFailure(
                f"{target}: cannot be written: {failure.strerror}; what was there before is kept"
            ) from failure

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as failure:
            raise RuntimeFailure(f"{self.path / name}: cannot be read: {failure.strerror}") from failure

    def _decode(self, name: str, kind: type[Kind]) -> Kind:
        try:
            return msgspec.json.decode(self._read(name), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as mistake:
            raise RuntimeFailure(
                f"{self.path / name}: is no {kind.__name__}: {mistake}; written by another version of peerlab?"
            ) from mistake
