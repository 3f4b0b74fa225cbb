"""Resources that outlive their lab: what ``down --keep-resources`` puts aside and the next ``up`` of that name takes.

``${PEERLAB_STATE}/.resources/LAB/`` holds the store of accepted requests and the keys of the API, so that tokens and
the certificate authority stay good. A connection that was not Active yet is validated again, as after any session that
was lost before (spec 2.1); one that is Active keeps its state, and its policy is what a returning session runs under
(decision 0030).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from peerlab.controller.store import FILE
from peerlab.errors import RuntimeFailure
from peerlab.evidence.store import LabStore, state_home

FOLDER = ".resources"
KEYS = "api"


def kept_names() -> tuple[str, ...]:
    """Names of labs whose resources wait for the next lab of that name."""
    home = state_home() / FOLDER
    return tuple(sorted(path.name for path in home.glob("[!.]*"))) if home.is_dir() else ()


def drop_resources(name: str) -> bool:
    """Remove what was kept. True when there was something."""
    place = place_of(name)
    if not place.is_dir():
        return False
    shutil.rmtree(place)
    _remove_if_empty(place.parent)
    return True


def restore_resources(name: str) -> bool:
    """Give a new lab what was kept under its name. True when there was something. Raises RuntimeFailure."""
    place, target = place_of(name), LabStore.open(name).path
    if not place.is_dir():
        return False
    try:
        if (place / KEYS).is_dir():
            shutil.copytree(place / KEYS, target / KEYS, dirs_exist_ok=True)
        for path in place.glob(f"{FILE}*"):
            shutil.copy2(path, target / path.name)
    except OSError as failure:
        raise RuntimeFailure(f"{target}: resources cannot be put back: {failure.strerror}") from failure
    drop_resources(name)
    return True


def place_of(name: str) -> Path:
    """Where the resources of a lab are kept meanwhile, there or not. Raises RefusedError for what cannot be a name."""
    return LabStore.where(name).parent / FOLDER / name


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
