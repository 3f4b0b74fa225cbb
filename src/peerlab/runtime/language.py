"""The words between a client and the supervisor of its cell, and between the supervisor and a zygote.

Each request is a frame ``{"id": n, "ask": {"type": ..., ...}, "descriptors": k}``; each answer is a frame with
the same id, or a notice without one.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.base import (
    Direction,
    ForkSpec,
    Impairment,
    LinkSpec,
    NodeSpec,
    ProcessExit,
    RouteSpec,
    ZygoteSpec,
)

__all__ = [
    "Adopt",
    "Answer",
    "Ask",
    "Call",
    "Clear",
    "Create",
    "Delete",
    "Fault",
    "Fork",
    "ForkAll",
    "ForkOrder",
    "Impair",
    "NamespaceSocket",
    "Observe",
    "Prepare",
    "PutFiles",
    "ReadFile",
    "SetAddresses",
    "SetLink",
    "SetRoutes",
    "Shutdown",
    "Signal",
    "Spawn",
    "StartTask",
    "UnixConnect",
    "ZygoteWord",
    "as_error",
    "as_fault",
    "number_of",
]


class Create(msgspec.Struct, frozen=True, tag="create"):
    """Makes nodes, then links, then routes; all or nothing."""

    nodes: tuple[NodeSpec, ...] = ()
    links: tuple[LinkSpec, ...] = ()
    routes: tuple[RouteSpec, ...] = ()


class Adopt(msgspec.Struct, frozen=True, tag="adopt"):
    """Makes a node of a container. Descriptors come along: its network, mount and UTS namespaces, and the pipe whose
    end it waits for. ``directory`` is the host's directory that the container has as the node's.
    """

    node: NodeSpec
    directory: str


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Removes nodes and links."""

    nodes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class SetAddresses(msgspec.Struct, frozen=True, tag="set_addresses"):
    """Changes the addresses of one interface."""

    node: str
    interface: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class SetRoutes(msgspec.Struct, frozen=True, tag="set_routes"):
    """Changes static routes."""

    add: tuple[RouteSpec, ...] = ()
    remove: tuple[RouteSpec, ...] = ()


class SetLink(msgspec.Struct, frozen=True, tag="set_link"):
    """Brings one end of a link up or down."""

    node: str
    interface: str
    up: bool


class Impair(msgspec.Struct, frozen=True, tag="impair"):
    """Puts an impairment in place of what was there."""

    impairment: Impairment


class Clear(msgspec.Struct, frozen=True, tag="clear"):
    """Removes what was wrong with one direction."""

    node: str
    interface: str
    direction: Direction


class Observe(msgspec.Struct, frozen=True, tag="observe"):
    """Asks for the state of everything."""


class NamespaceSocket(msgspec.Struct, frozen=True, tag="namespace_socket"):
    """Asks for a socket opened inside a node: ``protocol`` of AF_NETLINK."""

    node: str
    protocol: int = 0


class Spawn(msgspec.Struct, frozen=True, tag="spawn"):
    """Starts a command. ``stdio`` descriptors (3, or none for the log) come along; ``owned`` dies with the client."""

    node: str
    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = {}
    stdio: int = 0
    owned: bool = False


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Starts a zygote."""

    zygote: ZygoteSpec


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Forks a process of a node from a zygote."""

    node: str
    name: str
    zygote: str
    argument: bytes


class ForkAll(msgspec.Struct, frozen=True, tag="fork_all"):
    """Forks many processes from one zygote, each with its files."""

    zygote: str
    forks: tuple[ForkSpec, ...]


class Signal(msgspec.Struct, frozen=True, tag="signal"):
    """Sends a signal to a process of a node."""

    node: str
    name: str
    number: int


class UnixConnect(msgspec.Struct, frozen=True, tag="unix_connect"):
    """Connects to a Unix socket inside the cell, now or ``within`` seconds, and hands the connection over."""

    node: str
    path: str
    within: float = 0.0


class StartTask(msgspec.Struct, frozen=True, tag="start_task"):
    """Forks a probe inside a node and hands over its end of the conversation."""

    node: str
    entry: str
    arguments: dict[str, Any] = {}


class PutFiles(msgspec.Struct, frozen=True, tag="put_files"):
    """Writes texts below a node's directory."""

    node: str
    files: dict[str, str]


class ReadFile(msgspec.Struct, frozen=True, tag="read_file"):
    """Opens a file and hands it over; a relative path starts in the node's directory."""

    node: str
    path: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """Ends the lab."""


Ask = (
    Create | Adopt | Delete | SetAddresses | SetRoutes | SetLink | Impair | Clear | Observe | NamespaceSocket | Spawn
    | Prepare | Fork | ForkAll | Signal | UnixConnect | StartTask | PutFiles | ReadFile | Shutdown
)  # fmt: skip


class Call(msgspec.Struct, frozen=True):
    """A numbered request. ``descriptors`` says how many file descriptors came with the frame."""

    id: int
    ask: Ask
    descriptors: int = 0


class Fault(msgspec.Struct, frozen=True):
    """An error on its way to another process."""

    kind: Literal["refused", "unsupported", "failure", "timed-out"]
    text: str
    code: str = ""
    seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request (``id``), or a notice (``id`` 0): something ended."""

    id: int = 0
    value: msgspec.Raw = msgspec.Raw(b"null")
    fault: Fault | None = None
    descriptors: int = 0
    exit: ProcessExit | None = None


class ForkOrder(msgspec.Struct, frozen=True):
    """What the supervisor tells a zygote; the namespace, the log and perhaps a conversation come as descriptors.

    ``more``: another order of the same batch follows, and no child of the batch begins before its last is born.
    """

    id: int
    title: str
    directory: str
    entry: str
    argument: bytes
    descriptors: int
    more: bool = False


class ZygoteWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a zygote says: a child was born (``id``, ``pid``), could not be (``fault``), or ended (``ended``)."""

    id: int = 0
    pid: int = 0
    fault: str = ""
    ended: tuple[int, int] | None = None


def as_fault(error: Exception) -> Fault:
    """The error in a form that can be sent."""
    if isinstance(error, RefusedError):
        return Fault("refused", error.message, error.code)
    if isinstance(error, TimedOut):
        return Fault("timed-out", error.what, seconds=error.seconds)
    if isinstance(error, Unsupported):
        return Fault("unsupported", str(error))
    if isinstance(error, PeerlabError | OSError):
        return Fault("failure", str(error))
    return Fault("failure", f"the supervisor stumbled over {type(error).__name__}: {error}; see its log")


def as_error(fault: Fault) -> PeerlabError:
    """The error that was sent, to be raised here."""
    if fault.kind == "refused":
        return RefusedError(fault.code, fault.text)
    if fault.kind == "timed-out":
        return TimedOut(fault.text, fault.seconds)
    if fault.kind == "unsupported":
        return Unsupported(fault.text)
    return RuntimeFailure(fault.text)


def number_of(frame: bytes) -> int:
    """The id of a request that could not be understood otherwise, 0 if even that is missing."""
    try:
        found = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    number = found.get("id", 0) if isinstance(found, dict) else 0
    return number if isinstance(number, int) else 0
