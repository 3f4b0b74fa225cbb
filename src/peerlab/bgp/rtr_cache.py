"""The cache's side of RPKI-to-Router, without sockets and clock: a table with a history, and one session per router."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_pdu import (
    VERSION,
    CacheReset,
    CacheResponse,
    EndOfData,
    ErrorCode,
    ErrorReport,
    Intervals,
    Pdu,
    PrefixPdu,
    ResetQuery,
    RtrError,
    SerialNotify,
    SerialQuery,
    decode,
    encode,
    exact,
    split,
)

SERIALS = 1 << 32
KEPT = 64
"""Changes that can be told one by one; a router that is farther behind has to ask for everything."""


class VrpTable:
    """What a cache has validated, under a session id and a serial number (RFC 8210 section 5.1)."""

    def __init__(self, session: int, vrps: Iterable[Vrp], intervals: Intervals = Intervals(), serial: int = 0) -> None:  # noqa: B008 (frozen)
        self.session = session
        self.serial = serial
        self.intervals = intervals
        self.vrps = frozenset(map(exact, vrps))
        self._changes: dict[int, tuple[frozenset[Vrp], frozenset[Vrp]]] = {}

    def replace(self, vrps: Iterable[Vrp]) -> bool:
        """Have these payloads and no others from now on. True when that is a change, which has a new serial number."""
        wanted = frozenset(map(exact, vrps))
        if wanted == self.vrps:
            return False
        self._changes[self.serial] = (wanted - self.vrps, self.vrps - wanted)
        self.serial = (self.serial + 1) % SERIALS
        self._changes.pop((self.serial - KEPT - 1) % SERIALS, None)
        self.vrps = wanted
        return True

    def everything(self) -> list[Pdu]:
        """The answer to a Reset Query."""
        return [CacheResponse(self.session), *_prefixes(self.vrps, announce=True), self._end()]

    def since(self, session: int, serial: int) -> list[Pdu]:
        """The answer to a Serial Query: the net change, or a Cache Reset when it is not known any more."""
        if session != self.session:
            return [CacheReset()]
        added: set[Vrp] = set()
        removed: set[Vrp] = set()
        while serial != self.serial:
            change = self._changes.get(serial)
            if change is None:
                return [CacheReset()]
            for vrp in change[0]:
                removed.discard(vrp) if vrp in removed else added.add(vrp)
            for vrp in change[1]:
                added.discard(vrp) if vrp in added else removed.add(vrp)
            serial = (serial + 1) % SERIALS
        changed = [*_prefixes(removed, announce=False), *_prefixes(added, announce=True)]
        return [CacheResponse(self.session), *changed, self._end()]

    def notice(self) -> SerialNotify:
        """That there is something new."""
        return SerialNotify(self.session, self.serial)

    def _end(self) -> EndOfData:
        return EndOfData(self.session, self.serial, self.intervals)


class CacheSession:
    """One router's connection. ``version`` follows the router's first query (RFC 8210 section 7)."""

    def __init__(self, table: VrpTable) -> None:
        self._table = table
        self._rest = b""
        self._version: int | None = None
        self.must_close = False

    def receive(self, octets: bytes) -> bytes:
        """Octets came; answers with those to be written. After a breach ``must_close`` is set."""
        answer = b""
        try:
            pdus, self._rest = split(self._rest + octets)
            for raw in pdus:
                version, pdu = decode(raw)
                if self._version is None:
                    self._version = version
                if version != self._version:
                    raise RtrError(ErrorCode.UNEXPECTED_VERSION, f"version {version} after {self._version}", raw)
                if isinstance(pdu, ErrorReport):
                    self.must_close = True
                    return answer
                answer += self._encode(self._answer(pdu, raw))
        except RtrError as error:
            self.must_close = True
            return answer + self._encode([ErrorReport(error.code, error.pdu, str(error))])
        return answer

    def notice(self) -> bytes:
        """Octets that tell the router of something new; none before it has asked for the first time."""
        return b"" if self._version is None else self._encode([self._table.notice()])

    def _answer(self, pdu: Pdu, raw: bytes) -> list[Pdu]:
        if isinstance(pdu, ResetQuery):
            return self._table.everything()
        if isinstance(pdu, SerialQuery):
            return self._table.since(pdu.session, pdu.serial)
        raise RtrError(ErrorCode.INVALID_REQUEST, f"{type(pdu).__name__} is no PDU of a router", raw)

    def _encode(self, pdus: Iterable[Pdu]) -> bytes:
        version = VERSION if self._version is None else self._version
        return b"".join(encode(pdu, version) for pdu in pdus)


def _prefixes(vrps: Iterable[Vrp], *, announce: bool) -> list[PrefixPdu]:
    def order(vrp: Vrp) -> tuple[str, int, int]:
        return vrp.prefix, vrp.max_length or 0, vrp.asn

    return [PrefixPdu(announce, vrp) for vrp in sorted(vrps, key=order)]
