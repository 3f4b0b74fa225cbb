"""Netlink by hand: packing, batches with one acknowledgement, dumps. The floor page has the reason (x54).

A batch is sent in one sendmsg; the kernel works through it before the call returns and reports every message
that failed by its sequence number, so asking for an acknowledgement of the last message alone is enough.
Sources: RFC 3549, linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from peerlab.errors import RuntimeFailure

__all__ = ["Failure", "Netlink", "NetlinkRefused", "Request", "attribute", "attributes_of", "nested", "request"]

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x300, 0x100, 0x200, 0x400
NLM_F_DUMP_INTR, NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x10, 0x100, 0x200
NLA_F_NESTED = 0x8000
NLMSGERR_ATTR_MSG = 1
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12

SO_RCVBUFFORCE = 33

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
BATCH = 200
RECEIVE_BYTES = 1 << 16
DUMP_ATTEMPTS = 20


class Request(NamedTuple):
    """One message to the kernel and, for people, what it is meant to do."""

    kind: int
    flags: int
    body: bytes
    purpose: str


class Failure(NamedTuple):
    """The kernel's refusal of one request of a batch."""

    request: Request
    errno: int
    text: str

    def __str__(self) -> str:
        reason = os.strerror(self.errno)
        return f"{self.request.purpose}: {reason}" + (f" ({self.text})" if self.text else "")


class NetlinkRefused(RuntimeFailure):
    """The kernel refused at least one request of a batch; the others may have been done."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__("; ".join(str(failure) for failure in self.failures[:5]))


def attribute(kind: int, payload: bytes) -> bytes:
    """A netlink attribute, padded to four bytes."""
    length = 4 + len(payload)
    return ATTRIBUTE.pack(length, kind) + payload + bytes(-length & 3)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes_of(view: bytes | memoryview) -> dict[int, bytes]:
    """The attributes of a buffer by kind, flag bits removed. The last of a kind wins, as in the kernel."""
    found: dict[int, bytes] = {}
    offset, end = 0, len(view)
    while offset + 4 <= end:
        length, kind = ATTRIBUTE.unpack_from(view, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = bytes(view[offset + 4 : offset + length])
        offset += (length + 3) & ~3
    return found


def request(kind: int, body: bytes, purpose: str, flags: int = 0) -> Request:
    """A request; ``flags`` are added to NLM_F_REQUEST."""
    return Request(kind, flags | NLM_F_REQUEST, body, purpose)


class Netlink:
    """A netlink socket of the network namespace in which it was opened."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE, existing: socket.socket | None = None) -> None:
        self.socket = existing or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        if existing is None:
            for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
                self.socket.setsockopt(SOL_NETLINK, option, 1)
            self.socket.bind((0, 0))

    def close(self) -> None:
        """Closes the socket."""
        self.socket.close()

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enlarge(self, octets: int) -> None:
        """Asks for room for so many octets of unread messages; without root the system's limit holds."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, octets)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)

    def transact(self, requests: Sequence[Request]) -> None:
        """Sends everything in order; raises `NetlinkRefused` with each request that the kernel refused."""
        failures: list[Failure] = []
        for start in range(0, len(requests), BATCH):
            failures.extend(self._batch(requests[start : start + BATCH]))
        if failures:
            raise NetlinkRefused(failures)

    def _batch(self, requests: Sequence[Request]) -> Iterator[Failure]:
        first = self._sequence + 1
        self._sequence += len(requests)
        last = self._sequence
        parts = []
        for sequence, (kind, flags, body, _) in enumerate(requests, first):
            if sequence == last:
                flags |= NLM_F_ACK
            parts.append(HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) & 3))
        self.socket.send(b"".join(parts))
        finished = False
        while not finished:
            buffer = memoryview(self.socket.recv(RECEIVE_BYTES))
            for kind, flags, sequence, answer in messages_of(buffer):
                if kind != NLMSG_ERROR or not first <= sequence <= last:
                    continue
                finished = finished or sequence == last
                number, text = error_of(flags, answer)
                if number:
                    yield Failure(requests[sequence - first], number, text)

    def ask(self, question: Request) -> tuple[int, bytes]:
        """One request with one answer: its kind and body. Raises `NetlinkRefused`."""
        self._sequence += 1
        kind, flags, body, _ = question
        self.socket.send(HEADER.pack(16 + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            for kind, flags, sequence, answer in messages_of(memoryview(self.socket.recv(RECEIVE_BYTES))):
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    raise NetlinkRefused([Failure(question, *error_of(flags, answer))])
                return kind, bytes(answer)

    def dump(self, question: Request) -> list[bytes]:
        """All bodies of a dump. A dump that the kernel marks as interrupted by a change is taken again."""
        for _ in range(DUMP_ATTEMPTS):
            bodies = self._dump_once(question)
            if bodies is not None:
                return bodies
        raise RuntimeFailure(f"{question.purpose}: the kernel's answer kept changing; ask again when the lab is calmer")

    def _dump_once(self, question: Request) -> list[bytes] | None:
        self._sequence += 1
        kind, flags, body, _ = question
        self.socket.send(HEADER.pack(16 + len(body), kind, flags | NLM_F_DUMP, self._sequence, 0) + body)
        bodies: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, answer in messages_of(memoryview(self.socket.recv(RECEIVE_BYTES))):
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind == NLMSG_DONE:
                    number = -struct.unpack_from("=i", answer)[0] if len(answer) >= 4 else 0
                    if number > 0 and number != errno.EINTR:
                        raise NetlinkRefused([Failure(question, number, "")])
                    return None if interrupted or number == errno.EINTR else bodies
                if kind == NLMSG_ERROR:
                    raise NetlinkRefused([Failure(question, *error_of(flags, answer))])
                bodies.append(bytes(answer))


def messages_of(buffer: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """The messages of a receive buffer as (kind, flags, sequence, body)."""
    offset = 0
    while offset + 16 <= len(buffer):
        length, kind, flags, sequence, _ = HEADER.unpack_from(buffer, offset)
        if length < 16:
            return
        yield kind, flags, sequence, buffer[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def error_of(flags: int, body: memoryview) -> tuple[int, str]:
    """(errno, the kernel's words if any) of an NLMSG_ERROR body; errno 0 is an acknowledgement."""
    number = -struct.unpack_from("=i", body)[0]
    if not flags & NLM_F_ACK_TLVS:
        return number, ""
    skip = 20 if flags & NLM_F_CAPPED else 4 + struct.unpack_from("=I", body, 4)[0]
    words = attributes_of(body[(skip + 3) & ~3 :]).get(NLMSGERR_ATTR_MSG, b"")
    return number, words.rstrip(b"\0").decode(errors="replace")
