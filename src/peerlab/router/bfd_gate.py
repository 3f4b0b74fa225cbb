"""Strict BFD: a BGP session that is Established exchanges no route before its BFD is Up (decision 0022).

The gate stands between the engine and the speaker. While it is shut the speaker does not know that the session is up,
so nothing is announced; what the peer announces meanwhile is kept as it came and is read when the gate opens.
"""

from __future__ import annotations

from peerlab.router.engine import Opens

HELD_MOST = 16 << 20
"""Octets of UPDATEs that are kept for a session whose BFD is not Up."""


class BfdGate:
    """Sessions that are Established and wait."""

    def __init__(self) -> None:
        self._opens: dict[str, Opens] = {}
        self._held: dict[str, list[bytes]] = {}
        self._octets: dict[str, int] = {}

    def shut(self, session: str, opens: Opens) -> None:
        """The session is Established, and its routes have to wait."""
        self._opens[session], self._held[session], self._octets[session] = opens, [], 0

    def is_shut(self, session: str) -> bool:
        """Whether the session's routes wait."""
        return session in self._opens

    def hold(self, session: str, bodies: list[bytes]) -> bool:
        """Keep UPDATEs for later. False when they are more than can be kept."""
        self._held[session] += bodies
        self._octets[session] += sum(map(len, bodies))
        return self._octets[session] <= HELD_MOST

    def open(self, session: str) -> tuple[Opens, list[bytes]]:
        """The session's routes may flow: what it was opened with, and what came meanwhile."""
        del self._octets[session]
        return self._opens.pop(session), self._held.pop(session)

    def forget(self, session: str) -> None:
        """The session is down; nothing of it is kept."""
        if session in self._opens:
            self.open(session)
