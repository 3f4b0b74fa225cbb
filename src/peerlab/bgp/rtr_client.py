"""The router's side of one RPKI cache, without sockets and clock: octets in, octets and VRPs out (RFC 8210).

The owner connects, tells what came and what time it is (seconds of any clock that only grows), and writes ``take()``.
What a query brings is put together first and used at its End of Data, so that a transfer that breaks off, or a cache
that begins anew, never leaves half a table in force. Data outlive their connection until they expire.
"""

from __future__ import annotations

from enum import StrEnum

from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_pdu import (
    OLDEST_VERSION,
    VERSION,
    CacheReset,
    CacheResponse,
    EndOfData,
    ErrorCode,
    ErrorReport,
    Intervals,
    Pdu,
    PduType,
    PrefixPdu,
    ResetQuery,
    RouterKey,
    RtrError,
    SerialNotify,
    SerialQuery,
    decode,
    encode,
    split,
)

NEVER = float("inf")

LONGEST = Intervals(refresh=86400, retry=7200, expire=172800)
"""RFC 8210 section 6, upper bounds; what a cache asks for beyond them is cut. The lower bound of Expire (600 s) is not
kept: a laboratory has no ten minutes for its cache to be forgotten (decision 0023)."""

_HALF = 1 << 31


class CacheState(StrEnum):
    """How a router stands with a cache."""

    DOWN = "down"
    """No connection."""
    SYNCHRONISING = "synchronising"
    """Asked, and not answered to the end yet."""
    SYNCHRONISED = "synchronised"
    """All that the cache had at the last answer is here."""
    NO_DATA = "no-data"
    """The cache says that it has nothing yet."""


def is_newer(serial: int, than: int) -> bool:
    """Whether a serial number comes after another one (RFC 1982: they wrap round at 2^32)."""
    return serial != than and (serial - than) % (1 << 32) < _HALF


class RtrClient:
    """One cache as a router knows it. ``vrps`` is None without usable data: never had, or past its expiry."""

    def __init__(self) -> None:
        self.state = CacheState.DOWN
        self.version = VERSION
        self.session: int | None = None
        self.serial = 0
        self.intervals = Intervals()
        self.vrps: frozenset[Vrp] | None = None
        self.expires = NEVER
        self.problem = ""
        self.must_close = False
        self._agreed = False
        self._rest = b""
        self._outbox = bytearray()
        self._pending: set[Vrp] | None = None
        self._asked_all = False
        self._ask_at = NEVER

    # what happens

    def connected(self, now: float) -> None:
        """A connection stands: ask for what is new, or for everything."""
        self._rest = b""
        self._outbox.clear()
        self._agreed = False
        self.must_close = False
        self._ask(now)

    def disconnected(self, now: float) -> None:
        """The connection is gone; the data stay until they expire."""
        self.state = CacheState.DOWN
        self._pending = None
        self._rest = b""
        self._outbox.clear()
        self._ask_at = NEVER
        self.must_close = False

    def receive(self, octets: bytes, now: float) -> None:
        """Octets came. A breach of the protocol is answered with an Error Report, and ``must_close`` is set."""
        try:
            pdus, self._rest = split(self._rest + octets)
            for raw in pdus:
                if self.must_close:
                    return
                version, pdu = decode(raw)
                self._check_version(version, pdu, raw)
                self._take(pdu, raw, now)
        except RtrError as error:
            self._refuse(error)

    def tick(self, now: float) -> None:
        """Do what is due: ask again, forget what has expired."""
        if now >= self.expires:
            self.vrps, self.expires, self.session = None, NEVER, None
            self.problem = self.problem or "the data expired"
        if now >= self._ask_at:
            self._ask(now)

    def due(self) -> float:
        """When ``tick`` has something to do next."""
        return min(self.expires, self._ask_at)

    def take(self) -> bytes:
        """Octets to be written."""
        octets = bytes(self._outbox)
        self._outbox.clear()
        return octets

    # asking

    def _ask(self, now: float) -> None:
        self._pending = None
        self._asked_all = self.session is None or self.vrps is None
        if self._asked_all or self.session is None:
            self._send(ResetQuery())
        else:
            self._send(SerialQuery(self.session, self.serial))
        self.state = CacheState.SYNCHRONISING
        self._ask_at = now + self.intervals.retry

    def _send(self, pdu: Pdu) -> None:
        self._outbox += encode(pdu, self.version)

    def _refuse(self, error: RtrError) -> None:
        """Never answer an Error Report with one (RFC 8210 section 5.11)."""
        self.problem = str(error)
        if len(error.pdu) < 2 or error.pdu[1] != PduType.ERROR_REPORT:
            self._send(ErrorReport(error.code, error.pdu[:_QUOTED], str(error)))
        self.must_close = True

    # hearing

    def _check_version(self, version: int, pdu: Pdu, raw: bytes) -> None:
        """RFC 8210 section 7: the first answer decides, an older cache is met half way."""
        if version == self.version:
            self._agreed = self._agreed or not isinstance(pdu, SerialNotify)
            return
        if isinstance(pdu, SerialNotify) and not self._agreed:
            return
        if isinstance(pdu, ErrorReport):
            return
        if self._agreed or version > self.version:
            raise RtrError(ErrorCode.UNEXPECTED_VERSION, f"version {version} after {self.version}", raw)
        self.version, self._agreed = version, True

    def _take(self, pdu: Pdu, raw: bytes, now: float) -> None:
        if isinstance(pdu, SerialNotify):
            self._take_notify(pdu, raw, now)
        elif isinstance(pdu, CacheResponse):
            if self.state is not CacheState.SYNCHRONISING:
                raise RtrError(ErrorCode.INVALID_REQUEST, "a Cache Response that nobody asked for", raw)
            if not self._asked_all and pdu.session != self.session:
                self._forget()
                raise RtrError(ErrorCode.CORRUPT_DATA, f"session {pdu.session} instead of {self.session}", raw)
            self.session = pdu.session
            self._pending = set() if self._asked_all else set(self.vrps or ())
        elif isinstance(pdu, PrefixPdu):
            self._take_prefix(pdu, raw)
        elif isinstance(pdu, EndOfData):
            self._take_end(pdu, raw, now)
        elif isinstance(pdu, CacheReset):
            self.session = None
            self._ask(now)
        elif isinstance(pdu, ErrorReport):
            self._take_error(pdu, raw, now)
        elif not isinstance(pdu, RouterKey):
            raise RtrError(ErrorCode.INVALID_REQUEST, f"{type(pdu).__name__} is no PDU of a cache", raw)

    def _take_notify(self, pdu: SerialNotify, raw: bytes, now: float) -> None:
        if self.session is not None and pdu.session != self.session:
            self._forget()
            raise RtrError(ErrorCode.CORRUPT_DATA, f"session {pdu.session} instead of {self.session}", raw)
        if self.state is CacheState.SYNCHRONISED and not is_newer(pdu.serial, self.serial):
            return
        if self.state in (CacheState.SYNCHRONISED, CacheState.NO_DATA):
            self._ask(now)

    def _take_prefix(self, pdu: PrefixPdu, raw: bytes) -> None:
        if self._pending is None:
            raise RtrError(ErrorCode.CORRUPT_DATA, "a prefix outside of an answer", raw)
        if pdu.announce:
            if pdu.vrp in self._pending:
                raise RtrError(ErrorCode.DUPLICATE_ANNOUNCEMENT, f"{_text(pdu.vrp)} is known already", raw)
            self._pending.add(pdu.vrp)
        else:
            if pdu.vrp not in self._pending:
                raise RtrError(ErrorCode.WITHDRAWAL_OF_UNKNOWN, f"{_text(pdu.vrp)} was never announced", raw)
            self._pending.discard(pdu.vrp)

    def _take_end(self, pdu: EndOfData, raw: bytes, now: float) -> None:
        if self._pending is None or pdu.session != self.session:
            raise RtrError(ErrorCode.CORRUPT_DATA, "End of Data without its beginning", raw)
        if pdu.intervals is not None:
            self.intervals = _kept(pdu.intervals)
        self.vrps, self._pending = frozenset(self._pending), None
        self.serial = pdu.serial
        self.state, self.problem = CacheState.SYNCHRONISED, ""
        self._ask_at = now + self.intervals.refresh
        self.expires = now + self.intervals.expire

    def _take_error(self, pdu: ErrorReport, raw: bytes, now: float) -> None:
        if pdu.code == ErrorCode.NO_DATA_AVAILABLE:
            self.state = CacheState.NO_DATA
            self.problem = "the cache has no data yet"
            self._ask_at = now + self.intervals.retry
            return
        if pdu.code == ErrorCode.UNSUPPORTED_VERSION and not self._agreed and self.version > OLDEST_VERSION:
            self.version -= 1
        if pdu.code == ErrorCode.CORRUPT_DATA:
            # StayRTR says so of a session id that is an earlier life's. Ask for everything; until that is here, what is
            # known stays in use: a cache that restarts must open no window for what it had called Invalid.
            self.session = None
        self.problem = f"the cache reports error {pdu.code}: {pdu.text or 'without a word'}"
        self.must_close = True

    def _forget(self) -> None:
        """Another session's data (RFC 8210 section 5.1)."""
        self.session, self.vrps, self.expires, self._pending = None, None, NEVER, None


_QUOTED = 512
"""Octets of a refused PDU that are sent back."""


def _kept(intervals: Intervals) -> Intervals:
    """The intervals as they are kept: at least 1 s, at most what RFC 8210 section 6 allows."""
    return Intervals(
        refresh=min(max(1, intervals.refresh), LONGEST.refresh),
        retry=min(max(1, intervals.retry), LONGEST.retry),
        expire=min(max(1, intervals.expire), LONGEST.expire),
    )


def _text(vrp: Vrp) -> str:
    return f"{vrp.prefix} le {vrp.max_length} AS{vrp.asn}"
