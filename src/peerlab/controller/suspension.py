"""Putting the resources of a lab aside when it is taken down: what its end means to each connection is decided here."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from peerlab.controller.kept_resources import KEYS, drop_resources, place_of
from peerlab.controller.lab import now_ns
from peerlab.controller.office import BEFORE_ACTIVE, LOCK, PEER_STIMULI
from peerlab.controller.provision import new_guid
from peerlab.controller.store import FILE, AcceptedRequests
from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence.store import LabStore
from peerlab.peering import command as ask
from peerlab.peering.catalogue import catalogue_of
from peerlab.peering.command import Command
from peerlab.peering.desk import Desk
from peerlab.peering.ledger import Ledger

ENDPOINT = "endpoint.json"
TAKEN_DOWN = "the lab was taken down"


@contextmanager
def unserved(name: str) -> Iterator[None]:
    """Nobody serves the lab meanwhile. Raises RefusedError when somebody does."""
    descriptor = os.open(LabStore.open(name).path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            raise RefusedError("Served", f"lab {name} is served; end its `peerlab serve` first") from taken
        yield
    finally:
        os.close(descriptor)


def keep_resources(name: str) -> None:
    """Put the resources of a lab that has ended aside.

    Whole or not at all: until the last step the lab's directory has them as before. Raises RuntimeFailure.
    """
    store = LabStore.open(name)
    log = store.log()
    kept = AcceptedRequests(store.path / FILE)
    try:
        kept.take_in(log.read(), PEER_STIMULI)
        desk = Desk(catalogue_of(store.model()), kept.events())
        for command in _unfinished(desk.ledger):
            events = desk.handle(command, now=now_ns(), new_id=new_guid)
            kept.add(TAKEN_DOWN, events)
            for event in events:
                desk.apply(event)
    finally:
        kept.close()
        log.close()
    place = place_of(name)
    beside = place.with_name(f".{name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True, mode=0o700)
        for path in store.path.glob(f"{FILE}*"):
            shutil.copy2(path, beside / path.name)
        if (store.path / KEYS).is_dir():
            shutil.copytree(store.path / KEYS, beside / KEYS, ignore=shutil.ignore_patterns(ENDPOINT))
        drop_resources(name)
        beside.rename(place)
    except OSError as failure:
        shutil.rmtree(beside, ignore_errors=True)
        raise RuntimeFailure(f"{place}: resources cannot be kept: {failure.strerror}") from failure


def _unfinished(ledger: Ledger) -> list[Command]:
    """What the end of a lab ends: link tests, and sessions whose validation then begins again."""
    found: list[Command] = []
    for peering in ledger.peerings.values():
        for connection in peering.connections:
            at = {"peering": peering.key, "connection": connection.label}
            if connection.link_test is not None and connection.link_test.running:
                found.append(ask.FinishLinkTest(**at, passed=False, detail=TAKEN_DOWN))
            if connection.state in BEFORE_ACTIVE:
                found.append(ask.ReportSessionLost(**at, reason=TAKEN_DOWN))
    return found
