"""Tasks: short probes that run inside a node, forked from the toolbox zygote, and speak JSON lines.

Inside the node, `run_task` calls the probe's function with a `Reporter` and its arguments. The conversation
is a socket (descriptor `CONVERSATION`): records go out, "stop" comes in, and when the other side closes it,
the probe is killed, so nothing is left running for a client that died. `RunningTask` is the client's end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from peerlab.errors import PeerlabError, RuntimeFailure
from peerlab.runtime.language import Fault, as_error, as_fault
from peerlab.runtime.zygote import CONVERSATION, resolve

__all__ = ["Reporter", "RunningTask", "run_task"]

LINE_LIMIT = 64 << 20


class _Line(msgspec.Struct, omit_defaults=True):
    record: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    fault: Fault | None = None


class _Order(msgspec.Struct):
    entry: str
    arguments: dict[str, Any]


class Reporter:
    """What a probe has to tell, and whether it was asked to end."""

    def __init__(self, conversation: socket.socket) -> None:
        self._conversation = conversation
        self._encode = msgspec.json.Encoder().encode
        self.stop = threading.Event()
        """Set when the client asks a probe to end and tell its result."""
        self._stopped, self._stopper = socket.socketpair()

    @property
    def stopped(self) -> socket.socket:
        """Readable once `stop` is set, for probes that wait in poll."""
        return self._stopped

    def emit(self, record: object) -> None:
        """Sends one record (a struct or a dict)."""
        self._send(_Line(record=msgspec.Raw(self._encode(record))))

    def _send(self, line: _Line) -> None:
        self._conversation.sendall(self._encode(line) + b"\n")

    def finish(self, result: object) -> None:
        """Sends the result, the last word."""
        self._send(_Line(result=msgspec.Raw(self._encode(result))))

    def fail(self, fault: Fault) -> None:
        """Sends why there is no result."""
        self._send(_Line(fault=fault))

    def listen(self) -> None:
        """Waits for "stop" or the end of the conversation, which ends this process. Runs in a thread."""
        while True:
            try:
                heard = self._conversation.recv(64)
            except ConnectionError:
                heard = b""
            if not heard:
                os._exit(0)
            self.stop.set()
            self._stopper.send(b"!")


def run_task(argument: bytes) -> int:
    """The toolbox zygote's entry: runs one probe in the forked child."""
    order = msgspec.json.decode(argument, type=_Order)
    reporter = Reporter(socket.socket(fileno=CONVERSATION))
    threading.Thread(target=reporter.listen, name="conversation", daemon=True).start()
    try:
        result = resolve(order.entry)(reporter, **order.arguments)
        reporter.finish(result)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except Exception as failure:
        if isinstance(failure, PeerlabError | OSError):
            fault = as_fault(failure)
        else:
            traceback.print_exc(file=sys.stderr)
            fault = Fault("failure", f"{order.entry}: {type(failure).__name__}: {failure}")
        reporter.fail(fault)
        return 1
    return 0


class RunningTask:
    """The client's end of a probe's conversation. Iterate for records; `result`, `stop` and `close`."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader = reader
        self._writer = writer
        self._outcome: dict[str, Any] | PeerlabError | None = None
        self._decode = msgspec.json.Decoder(_Line).decode

    @classmethod
    async def over(cls, name: str, conversation: socket.socket) -> RunningTask:
        """Takes the conversation over."""
        conversation.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=conversation, limit=LINE_LIMIT)
        return cls(name, reader, writer)

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while self._outcome is None:
            record = await self._next()
            if record is not None:
                yield record

    async def _next(self) -> dict[str, Any] | None:
        """The next record, or None after the outcome came."""
        raw = await self._reader.readline()
        if not raw.endswith(b"\n"):
            self._outcome = RuntimeFailure(f"{self.name} ended without a word; the node's {self.name}.log may tell why")
            self.close()
            return None
        line = self._decode(raw)
        if bytes(line.record):
            return msgspec.json.decode(line.record, type=dict[str, Any])
        if line.fault is not None:
            self._outcome = as_error(line.fault)
        else:
            value = msgspec.json.decode(line.result)
            self._outcome = value if isinstance(value, dict) else {"value": value}
        self.close()
        return None

    async def result(self) -> dict[str, Any]:
        """The probe's result; waits for it. Raises what the probe failed with."""
        while self._outcome is None:
            await self._next()
        if isinstance(self._outcome, PeerlabError):
            raise self._outcome
        return self._outcome

    def ask_to_stop(self) -> None:
        """Asks the probe to end; its last records and its result can still be read."""
        if self._outcome is None:
            self._writer.write(b"stop\n")

    async def stop(self) -> dict[str, Any]:
        """Asks the probe to end and gives its result."""
        self.ask_to_stop()
        return await self.result()

    async def drain(self) -> list[dict[str, Any]]:
        """Asks the probe to end and gives every record that nobody has read; `result` has its last word then."""
        if self._outcome is None:
            self._writer.write(b"stop\n")
        return [record async for record in self]

    def close(self) -> None:
        """Ends the conversation; a probe that still runs is killed by that."""
        self._writer.close()
