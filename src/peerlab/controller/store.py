"""What the desk has accepted, in SQLite: one row per request with all the events it led to.

A row is written in one transaction and is on the disk (WAL, ``synchronous=FULL``) before the request is answered, so
a ``kill -9`` at any moment loses no accepted request and leaves none half done. The event log of the lab is a copy:
what a crash kept out of it is put in when the lab is served again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import (
    ConnectionStateChanged,
    Event,
    MailSent,
    PrefixEventRaised,
    ResourceChanged,
    StimulusApplied,
    ValidationJudged,
)

FILE = "resources.sqlite"

_TABLE = """
CREATE TABLE IF NOT EXISTS accepted (
    number  INTEGER PRIMARY KEY,
    request TEXT NOT NULL,
    events  BLOB NOT NULL
)
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Event, ...]).decode


class AcceptedRequests:
    """The store at ``path``, made when it does not exist. Raises RuntimeFailure when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute(_TABLE)
        except sqlite3.Error as failure:
            raise RuntimeFailure(f"{path}: the store of requests cannot be opened: {failure}") from failure

    def add(self, request: str, events: Iterable[Event]) -> None:
        """Keep what a request led to. Raises RuntimeFailure when the disk does not take it; nothing is kept then."""
        try:
            self._database.execute(
                "INSERT INTO accepted (request, events) VALUES (?, ?)", (request, _encode(tuple(events)))
            )
        except sqlite3.Error as failure:
            raise RuntimeFailure(f"{self.path}: a request cannot be kept: {failure}; it is not accepted") from failure

    def events(self) -> tuple[Event, ...]:
        """Every event of every request, in order. Raises RuntimeFailure when the file cannot be read."""
        try:
            rows = self._database.execute("SELECT events FROM accepted ORDER BY number").fetchall()
            return tuple(event for (octets,) in rows for event in _decode(octets))
        except (sqlite3.Error, msgspec.MsgspecError) as failure:
            raise RuntimeFailure(f"{self.path}: the store of requests cannot be read: {failure}") from failure

    def take_in(self, log: Iterable[Event], stimuli: frozenset[str]) -> tuple[Event, ...]:
        """Keep what only an event log holds of the desk. Returns the desk's events of the log."""
        logged = tuple(event for event in log if is_of_the_desk(event, stimuli))
        known = set(map(_encode, self.events()))
        missing = tuple(event for event in logged if _encode(event) not in known)
        if missing:
            self.add("found in the event log", missing)
        return logged

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def is_of_the_desk(event: Event, stimuli: frozenset[str]) -> bool:
    """Whether an event belongs in the store: what the desk decided, and what a peer (``stimuli``) did with its side."""
    if isinstance(event, StimulusApplied):
        return event.stimulus in stimuli
    return isinstance(
        event, ResourceChanged | ConnectionStateChanged | MailSent | ValidationJudged | PrefixEventRaised
    )
