"""The RPKI-to-Router protocol on the wire: PDUs to octets and back (RFC 8210 version 1; RFC 6810 version 0)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from enum import IntEnum

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp

VERSION = 1
OLDEST_VERSION = 0
PORT = 323
"""TCP port of rpki-rtr (RFC 8210 section 13)."""

HEADER_LENGTH = 8
LONGEST = 1 << 16
"""Octets of a PDU beyond which the stream counts as corrupt; a real one has some hundred."""


class PduType(IntEnum):
    """RFC 8210 section 5; 5 was never given out."""

    SERIAL_NOTIFY = 0
    SERIAL_QUERY = 1
    RESET_QUERY = 2
    CACHE_RESPONSE = 3
    IPV4_PREFIX = 4
    IPV6_PREFIX = 6
    END_OF_DATA = 7
    CACHE_RESET = 8
    ROUTER_KEY = 9
    ERROR_REPORT = 10


class ErrorCode(IntEnum):
    """RFC 8210 section 12. Only NO_DATA_AVAILABLE leaves the session open."""

    CORRUPT_DATA = 0
    INTERNAL_ERROR = 1
    NO_DATA_AVAILABLE = 2
    INVALID_REQUEST = 3
    UNSUPPORTED_VERSION = 4
    UNSUPPORTED_PDU_TYPE = 5
    WITHDRAWAL_OF_UNKNOWN = 6
    DUPLICATE_ANNOUNCEMENT = 7
    UNEXPECTED_VERSION = 8


class RtrError(ValueError):
    """What came breaks the protocol. ``code`` and ``pdu`` (the octets at fault) belong into an Error Report."""

    def __init__(self, code: int, message: str, pdu: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.pdu = pdu


class _Pdu(msgspec.Struct, frozen=True):
    pass


class SerialNotify(_Pdu, frozen=True):
    """The cache has newer data (section 5.2)."""

    session: int
    serial: int


class SerialQuery(_Pdu, frozen=True):
    """The router asks for what changed since a serial number (section 5.3)."""

    session: int
    serial: int


class ResetQuery(_Pdu, frozen=True):
    """The router asks for everything (section 5.4)."""


class CacheResponse(_Pdu, frozen=True):
    """What the router asked for follows (section 5.5)."""

    session: int


class PrefixPdu(_Pdu, frozen=True):
    """A VRP is announced or withdrawn (sections 5.6 and 5.7). ``vrp.max_length`` is always a number here."""

    announce: bool
    vrp: Vrp


class Intervals(msgspec.Struct, frozen=True):
    """Seconds (section 6): when to ask again, when to ask again after a failure, how long data may be used."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 7200


class EndOfData(_Pdu, frozen=True):
    """All has been said (section 5.8). Version 0 carries no intervals."""

    session: int
    serial: int
    intervals: Intervals | None = None


class CacheReset(_Pdu, frozen=True):
    """The cache cannot tell what changed since then; the router has to ask for everything (section 5.9)."""


class RouterKey(_Pdu, frozen=True):
    """A BGPsec router key (section 5.10); not in version 0."""

    announce: bool
    key_identifier: bytes
    asn: int
    public_key: bytes


class ErrorReport(_Pdu, frozen=True):
    """Either side refuses a PDU (section 5.11)."""

    code: int
    pdu: bytes = b""
    text: str = ""


Pdu = (
    SerialNotify
    | SerialQuery
    | ResetQuery
    | CacheResponse
    | PrefixPdu
    | EndOfData
    | CacheReset
    | RouterKey
    | ErrorReport
)


def exact(vrp: Vrp) -> Vrp:
    """The same payload with its maxLength written out, as the wire has it."""
    if vrp.max_length is not None:
        return vrp
    return Vrp(vrp.prefix, vrp.asn, int(vrp.prefix.rpartition("/")[2]))


def split(octets: bytes) -> tuple[list[bytes], bytes]:
    """Whole PDUs at the beginning of what was read, and the rest. Raises RtrError for a length that cannot be."""
    found: list[bytes] = []
    at = 0
    while len(octets) - at >= HEADER_LENGTH:
        length = int.from_bytes(octets[at + 4 : at + 8], "big")
        if not HEADER_LENGTH <= length <= LONGEST:
            raise RtrError(
                ErrorCode.CORRUPT_DATA, f"a PDU cannot be {length} octets long", octets[at : at + HEADER_LENGTH]
            )
        if len(octets) - at < length:
            break
        found.append(octets[at : at + length])
        at += length
    return found, octets[at:]


def encode(pdu: Pdu, version: int = VERSION) -> bytes:
    """A PDU's octets in a version. Raises ValueError for what the version has no PDU for, or a value that is none."""
    if isinstance(pdu, SerialNotify):
        return _frame(version, PduType.SERIAL_NOTIFY, pdu.session, struct.pack("!I", pdu.serial))
    if isinstance(pdu, SerialQuery):
        return _frame(version, PduType.SERIAL_QUERY, pdu.session, struct.pack("!I", pdu.serial))
    if isinstance(pdu, ResetQuery):
        return _frame(version, PduType.RESET_QUERY)
    if isinstance(pdu, CacheResponse):
        return _frame(version, PduType.CACHE_RESPONSE, pdu.session)
    if isinstance(pdu, PrefixPdu):
        return _encode_prefix(pdu, version)
    if isinstance(pdu, EndOfData):
        body = struct.pack("!I", pdu.serial)
        if version > 0:
            wanted = pdu.intervals or Intervals()
            body += struct.pack("!III", wanted.refresh, wanted.retry, wanted.expire)
        return _frame(version, PduType.END_OF_DATA, pdu.session, body)
    if isinstance(pdu, CacheReset):
        return _frame(version, PduType.CACHE_RESET)
    if isinstance(pdu, RouterKey):
        if version == 0:
            raise ValueError("version 0 has no Router Key")
        if len(pdu.key_identifier) != _KEY_IDENTIFIER:
            raise ValueError(f"a subject key identifier has {_KEY_IDENTIFIER} octets")
        body = pdu.key_identifier + struct.pack("!I", pdu.asn) + pdu.public_key
        return _frame(version, PduType.ROUTER_KEY, int(pdu.announce) << 8, body)
    text = pdu.text.encode()
    body = struct.pack("!I", len(pdu.pdu)) + pdu.pdu + struct.pack("!I", len(text)) + text
    return _frame(version, PduType.ERROR_REPORT, pdu.code, body)


def decode(octets: bytes) -> tuple[int, Pdu]:
    """Version and content of one whole PDU.

    Raises RtrError with the code that RFC 8210 section 12 has for it: an unknown version or type, a wrong length.
    """
    version, kind, field, length = struct.unpack_from("!BBHI", octets)
    if not OLDEST_VERSION <= version <= VERSION:
        raise RtrError(ErrorCode.UNSUPPORTED_VERSION, f"version {version} is not known here", octets)
    if length != len(octets):
        raise RtrError(ErrorCode.CORRUPT_DATA, f"{len(octets)} octets that say they are {length}", octets)
    reader = _READERS.get(kind)
    if reader is None or (kind == PduType.ROUTER_KEY and version == 0):
        raise RtrError(ErrorCode.UNSUPPORTED_PDU_TYPE, f"PDU type {kind} is not known in version {version}", octets)
    try:
        return version, reader(version, field, octets[HEADER_LENGTH:])
    except (struct.error, ValueError) as error:
        raise RtrError(ErrorCode.CORRUPT_DATA, f"{PduType(kind).name}: {error}", octets) from error


_KEY_IDENTIFIER = 20
_BITS = {PduType.IPV4_PREFIX: 32, PduType.IPV6_PREFIX: 128}


def _frame(version: int, kind: PduType, field: int = 0, body: bytes = b"") -> bytes:
    try:
        return struct.pack("!BBHI", version, kind, field, HEADER_LENGTH + len(body)) + body
    except struct.error as error:
        raise ValueError(str(error)) from error


def _encode_prefix(pdu: PrefixPdu, version: int) -> bytes:
    network = ipaddress.ip_network(pdu.vrp.prefix)
    longest = network.prefixlen if pdu.vrp.max_length is None else pdu.vrp.max_length
    kind = PduType.IPV4_PREFIX if network.version == 4 else PduType.IPV6_PREFIX
    if not network.prefixlen <= longest <= network.max_prefixlen:
        raise ValueError(f"maxLength {longest} does not suit {network}")
    body = struct.pack("!BBBB", pdu.announce, network.prefixlen, longest, 0)
    return _frame(version, kind, 0, body + network.network_address.packed + struct.pack("!I", pdu.vrp.asn))


def _exactly(body: bytes, octets: int) -> None:
    if len(body) != octets:
        raise ValueError(f"{len(body) + HEADER_LENGTH} octets instead of {octets + HEADER_LENGTH}")


def _read_serial(kind: type[SerialNotify] | type[SerialQuery]) -> Callable[[int, int, bytes], Pdu]:
    def read(version: int, field: int, body: bytes) -> Pdu:
        _exactly(body, 4)
        return kind(field, int.from_bytes(body, "big"))

    return read


def _read_empty(kind: type[ResetQuery] | type[CacheReset]) -> Callable[[int, int, bytes], Pdu]:
    def read(version: int, field: int, body: bytes) -> Pdu:
        _exactly(body, 0)
        return kind()

    return read


def _read_response(version: int, field: int, body: bytes) -> Pdu:
    _exactly(body, 0)
    return CacheResponse(field)


def _read_prefix(kind: PduType) -> Callable[[int, int, bytes], Pdu]:
    bits = _BITS[kind]

    def read(version: int, field: int, body: bytes) -> Pdu:
        _exactly(body, 8 + bits // 8)
        flags, length, longest = body[0], body[1], body[2]
        if not length <= longest <= bits:
            raise ValueError(f"length {length} and maxLength {longest} do not suit {bits} bits")
        packed = body[4 : 4 + bits // 8]
        address = ipaddress.IPv4Address(packed) if bits == 32 else ipaddress.IPv6Address(packed)
        network = ipaddress.ip_network(f"{address}/{length}")
        asn = int.from_bytes(body[-4:], "big")
        return PrefixPdu(bool(flags & 1), Vrp(Prefix(str(network)), asn, longest))

    return read


def _read_end(version: int, field: int, body: bytes) -> Pdu:
    _exactly(body, 4 if version == 0 else 16)
    serial = int.from_bytes(body[:4], "big")
    return EndOfData(field, serial, None if version == 0 else Intervals(*struct.unpack("!III", body[4:])))


def _read_key(version: int, field: int, body: bytes) -> Pdu:
    if len(body) < _KEY_IDENTIFIER + 4:
        raise ValueError(f"{len(body)} octets hold no router key")
    asn = int.from_bytes(body[_KEY_IDENTIFIER : _KEY_IDENTIFIER + 4], "big")
    return RouterKey(bool(field >> 8 & 1), body[:_KEY_IDENTIFIER], asn, body[_KEY_IDENTIFIER + 4 :])


def _read_error(version: int, field: int, body: bytes) -> Pdu:
    (length,) = struct.unpack_from("!I", body)
    (text_length,) = struct.unpack_from("!I", body, 4 + length)
    _exactly(body, 8 + length + text_length)
    text = body[8 + length :].decode(errors="replace")
    return ErrorReport(field, body[4 : 4 + length], text)


_READERS: dict[int, Callable[[int, int, bytes], Pdu]] = {
    PduType.SERIAL_NOTIFY: _read_serial(SerialNotify),
    PduType.SERIAL_QUERY: _read_serial(SerialQuery),
    PduType.RESET_QUERY: _read_empty(ResetQuery),
    PduType.CACHE_RESPONSE: _read_response,
    PduType.IPV4_PREFIX: _read_prefix(PduType.IPV4_PREFIX),
    PduType.IPV6_PREFIX: _read_prefix(PduType.IPV6_PREFIX),
    PduType.END_OF_DATA: _read_end,
    PduType.CACHE_RESET: _read_empty(CacheReset),
    PduType.ROUTER_KEY: _read_key,
    PduType.ERROR_REPORT: _read_error,
}
