"""The pcapng file format, as much of it as a lab's capture needs, and classic pcap to read old captures.

A capture is octets in, frames out, and back; no file is touched here. Times are CLOCK_REALTIME in nanoseconds.
Written files have one section, one interface block per node interface (named ``node:interface``), nanosecond
resolution, and little-endian integers. Frames that the tap lost are told by an Interface Statistics Block with
``isb_ifdrop`` (draft-ietf-opsawg-pcapng section 4.6), which tcpdump and Wireshark skip or show, and we read as a gap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
SIMPLE_PACKET = 3
INTERFACE_STATISTICS = 5
ENHANCED_PACKET = 6

LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
LINKTYPE_LINUX_SLL = 113

_OPTION_END = 0
_OPTION_COMMENT = 1
_IF_NAME = 2
_IF_DESCRIPTION = 3
_IF_TSRESOL = 9
_IF_TSOFFSET = 14
_ISB_STARTTIME = 2
_ISB_ENDTIME = 3
_ISB_IFDROP = 5

_MAGIC = 0x1A2B3C4D
_SNAPLEN = 262144
_LONGEST_BLOCK = 16 << 20


class CaptureError(ValueError):
    """These octets are no capture that can be read; the text says at which octet and why."""


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of a capture. ``since`` is when the tap began to listen there, 0 when the file does not say."""

    name: str
    linktype: int = LINKTYPE_ETHERNET
    since: int = 0


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One captured frame. ``length`` is what was on the wire, ``octets`` what was kept of it."""

    at: int
    interface: Interface
    octets: bytes
    length: int


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The tap lost ``frames`` frames on an interface's node between ``start`` and ``end``."""

    start: int
    end: int
    interface: Interface
    frames: int


Record = Interface | Frame | Loss


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return b"%b%b%b" % (struct.pack("<II", kind, length), body, struct.pack("<I", length))


def _clock(at: int) -> bytes:
    return struct.pack("<II", at >> 32, at & 0xFFFFFFFF)


def section_header(application: str = "peerlab") -> bytes:
    """The block that every capture begins with."""
    body = struct.pack("<IHHq", _MAGIC, 1, 0, -1) + _option(4, application.encode()) + _option(_OPTION_END, b"")
    return _block(SECTION_HEADER, body)


def interface_block(interface: Interface) -> bytes:
    """Declares an interface; the first one declared is number 0. ``since`` travels in if_description."""
    body = struct.pack("<HHI", interface.linktype, 0, _SNAPLEN)
    body += _option(_IF_NAME, interface.name.encode())
    if interface.since:
        body += _option(_IF_DESCRIPTION, f"listening since {interface.since}".encode())
    return _block(INTERFACE_DESCRIPTION, body + _option(_IF_TSRESOL, b"\x09") + _option(_OPTION_END, b""))


def frame_block(number: int, at: int, octets: bytes, length: int | None = None) -> bytes:
    """One frame seen on interface ``number``; ``length`` when more was on the wire than is kept."""
    kept = len(octets)
    body = b"%b%b%b%b" % (
        struct.pack("<I", number),
        _clock(at),
        struct.pack("<II", kept, kept if length is None else length),
        octets + bytes(-kept % 4),
    )
    return _block(ENHANCED_PACKET, body)


def loss_block(number: int, start: int, end: int, frames: int) -> bytes:
    """Says that ``frames`` frames were lost on interface ``number`` between ``start`` and ``end``."""
    body = struct.pack("<I", number) + _clock(end)
    body += _option(_OPTION_COMMENT, f"peerlab: the tap lost {frames} frames".encode())
    body += _option(_ISB_STARTTIME, _clock(start)) + _option(_ISB_ENDTIME, _clock(end))
    body += _option(_ISB_IFDROP, struct.pack("<Q", frames)) + _option(_OPTION_END, b"")
    return _block(INTERFACE_STATISTICS, body)


class _Section:
    """One interface's way to tell time, beside what is told about it."""

    def __init__(self, interface: Interface, resolution: int, offset: int) -> None:
        self.interface = interface
        self.resolution = resolution
        self.offset = offset

    def nanoseconds(self, high: int, low: int) -> int:
        ticks = high << 32 | low
        if self.resolution & 0x80:
            spent = (ticks * 1_000_000_000) >> (self.resolution & 0x7F)
        elif self.resolution <= 9:
            spent = int(ticks * 10 ** (9 - self.resolution))
        else:
            spent = int(ticks // 10 ** (self.resolution - 9))
        return spent + self.offset * 1_000_000_000


class Reader:
    """Reads a capture that may still grow: feed octets as they come, whole records come out.

    Both byte orders, several sections, and classic pcap (microseconds or nanoseconds) are understood. Blocks of
    another kind are skipped. Raises CaptureError for octets that are no capture.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._taken = 0
        self._order = "<"
        self._interfaces: list[_Section] = []
        self._classic: tuple[Interface, int] | None = None

    def feed(self, octets: bytes) -> Iterator[Record]:
        """Everything that is complete with these octets, in file order. A block cut short waits for its rest."""
        self._buffer += octets
        at = 0
        buffer = self._buffer
        try:
            if self._taken == 0 and self._classic is None:
                at = self._begin(buffer)
            while True:
                took, record = self._take(buffer, at)
                if not took:
                    return
                at += took
                if record is not None:
                    yield record
        finally:
            self._buffer = buffer[at:]
            self._taken += at

    def pending(self) -> int:
        """Octets at the end that are no whole block yet."""
        return len(self._buffer)

    def _begin(self, buffer: bytes) -> int:
        """Recognise the format by its first octets."""
        magic = buffer[:4]
        if len(magic) < 4 or magic == b"\x0a\x0d\x0d\x0a":
            return 0
        found = {
            b"\xd4\xc3\xb2\xa1": ("<", 1000),
            b"\xa1\xb2\xc3\xd4": (">", 1000),
            b"\x4d\x3c\xb2\xa1": ("<", 1),
            b"\xa1\xb2\x3c\x4d": (">", 1),
        }.get(magic)
        if found is None:
            raise CaptureError(f"octet 0: {magic.hex()} begins neither a pcapng nor a pcap file")
        if len(buffer) < 24:
            return 0
        self._order, unit = found
        linktype = struct.unpack_from(self._order + "I", buffer, 20)[0] & 0xFFFF
        self._classic = (Interface(name="", linktype=linktype), unit)
        return 24

    def _take(self, buffer: bytes, at: int) -> tuple[int, Record | None]:
        """The next record at ``at`` and the octets it took; 0 when it is not complete."""
        if self._classic is not None:
            return self._take_classic(buffer, at, *self._classic)
        if len(buffer) - at < 12:
            return 0, None
        if buffer.startswith(b"\x0a\x0d\x0d\x0a", at):
            order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(buffer[at + 8 : at + 12])
            if order is None:
                raise CaptureError(f"octet {self._taken + at}: a section header without its byte order magic")
            self._order = order
        elif self._taken + at == 0:
            return 0, None
        kind, length = struct.unpack_from(self._order + "II", buffer, at)
        if length < 12 or length % 4 or length > _LONGEST_BLOCK:
            raise CaptureError(f"octet {self._taken + at}: a block of {length} octets cannot be")
        if len(buffer) - at < length:
            return 0, None
        body = buffer[at + 8 : at + length - 4]
        try:
            return length, self._read(kind, body)
        except (struct.error, IndexError) as cut:
            raise CaptureError(f"octet {self._taken + at}: a block of kind {kind} contradicts itself: {cut}") from cut

    def _take_classic(self, buffer: bytes, at: int, interface: Interface, unit: int) -> tuple[int, Record | None]:
        if len(buffer) - at < 16:
            return 0, None
        seconds, part, kept, length = struct.unpack_from(self._order + "IIII", buffer, at)
        if kept > _LONGEST_BLOCK:
            raise CaptureError(f"octet {self._taken + at}: a frame of {kept} octets cannot be")
        if len(buffer) - at < 16 + kept:
            return 0, None
        when = seconds * 1_000_000_000 + part * unit
        octets = buffer[at + 16 : at + 16 + kept]
        return 16 + kept, Frame(at=when, interface=interface, octets=octets, length=length)

    def _read(self, kind: int, body: bytes) -> Record | None:
        if kind == SECTION_HEADER:
            self._interfaces = []
            return None
        if kind == INTERFACE_DESCRIPTION:
            linktype = struct.unpack_from(self._order + "H", body)[0]
            options = self._options(body[8:])
            since = options.get(_IF_DESCRIPTION, b"").removeprefix(b"listening since ")
            interface = Interface(
                name=options.get(_IF_NAME, b"").decode(errors="replace"),
                linktype=linktype,
                since=int(since) if since.isdigit() else 0,
            )
            offset = struct.unpack(self._order + "q", options.get(_IF_TSOFFSET, bytes(8)))[0]
            self._interfaces.append(_Section(interface, options.get(_IF_TSRESOL, b"\x06")[0], offset))
            return interface
        if kind == ENHANCED_PACKET:
            number, high, low, kept, length = struct.unpack_from(self._order + "IIIII", body)
            section = self._interfaces[number]
            octets = body[20 : 20 + kept]
            return Frame(at=section.nanoseconds(high, low), interface=section.interface, octets=octets, length=length)
        if kind == INTERFACE_STATISTICS:
            return self._read_statistics(body)
        return None

    def _read_statistics(self, body: bytes) -> Loss | None:
        number, high, low = struct.unpack_from(self._order + "III", body)
        section = self._interfaces[number]
        options = self._options(body[12:])
        frames = int(struct.unpack(self._order + "Q", options.get(_ISB_IFDROP, bytes(8)))[0])
        if not frames:
            return None
        end = section.nanoseconds(high, low)
        start = options.get(_ISB_STARTTIME)
        began = section.nanoseconds(*struct.unpack(self._order + "II", start)) if start else section.interface.since
        return Loss(start=began, end=end, interface=section.interface, frames=frames)

    def _options(self, body: bytes) -> dict[int, bytes]:
        options: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            if code == _OPTION_END:
                break
            options.setdefault(code, body[at + 4 : at + 4 + length])
            at += 4 + length + (-length % 4)
        return options


def read(octets: bytes) -> tuple[Record, ...]:
    """Every whole record of a capture. A last block that is cut short (its writer was killed) is left out.

    Raises CaptureError for octets that are no capture.
    """
    return tuple(Reader().feed(octets))


def write(records: Iterable[Record]) -> Iterator[bytes]:
    """A capture of its own with these frames and losses, sorted by time: for a part of a lab's capture to hand out."""
    numbers: dict[Interface, int] = {}
    dated = [record for record in records if not isinstance(record, Interface)]
    yield section_header()
    for record in sorted(dated, key=lambda one: one.end if isinstance(one, Loss) else one.at):
        number = numbers.get(record.interface)
        if number is None:
            number = numbers[record.interface] = len(numbers)
            yield interface_block(record.interface)
        if isinstance(record, Frame):
            yield frame_block(number, record.at, record.octets, record.length)
        else:
            yield loss_block(number, record.start, record.end, record.frames)
