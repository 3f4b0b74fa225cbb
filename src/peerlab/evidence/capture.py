"""From a capture to facts: frames in, in any order and any portions; messages, connection steps and gaps out."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.bgp.attributes import Address
from peerlab.bgp.session_context import SessionContext
from peerlab.bgp.wire import HEADER_LENGTH, MessageType, Open, decode_open, negotiate
from peerlab.errors import WireError
from peerlab.evidence.connection_fact import Fact, Lifecycle, Missing, Octets, Unreadable
from peerlab.evidence.message import ConnectionStep, Gap, Garbled, Message
from peerlab.evidence.pcapng import Frame, Interface, Loss, Reader
from peerlab.evidence.reassembly import Reassembler
from peerlab.evidence.segment import segment_of
from peerlab.topology.model import LabModel


class Capture:
    """Reads a pcapng file that may still grow. ``feed`` takes octets, ``advance`` turns them into facts.

    Frames of one ``advance`` are sorted by time first: a tap writes the frames of different nodes slightly out of
    order. So call it when the tap has flushed, or accept that a step may appear in the next portion.
    """

    def __init__(self, model: LabModel) -> None:
        self.messages: list[Message] = []
        self.steps: list[ConnectionStep] = []
        self.gaps: list[Gap] = []
        self.garbled: list[Garbled] = []
        self.watched: dict[str, int] = {}
        """Nodes under watch, with the time since when (0: the capture does not say)."""
        self.last_at = 0
        self._reader = Reader()
        self._reassembler = Reassembler()
        self._frames: list[Frame] = []
        self._opens: dict[tuple[int, Address], Open] = {}
        self._contexts: dict[tuple[int, Address], SessionContext] = {}
        self._internal: dict[str, bool] = {session.id: session.is_internal for session in model.sessions}
        self._sessions = {
            frozenset((session.left.address, session.right.address)): session.id for session in model.sessions
        }
        self._sessions_of = {
            node.name: tuple(session.id for session in model.sessions_of(node.name)) for node in model.nodes
        }
        self._nodes = _addresses(model)

    def feed(self, octets: bytes) -> None:
        """More of the file. Raises CaptureError for what is no capture."""
        for record in self._reader.feed(octets):
            if isinstance(record, Frame):
                self._frames.append(record)
            elif isinstance(record, Loss):
                self._lose(record)
            elif isinstance(record, Interface):
                self._watch(record)

    def advance(self, *, settled: bool) -> None:
        """Turns what was fed into facts. ``settled``: all that was sent so far is fed, so a hole that the receiver has
        acknowledged will not be filled any more."""
        frames, self._frames = self._frames, []
        frames.sort(key=lambda frame: frame.at)
        for frame in frames:
            segment = segment_of(frame)
            if segment is None:
                continue
            node, colon, _ = frame.interface.name.partition(":")
            if colon:
                self._nodes[segment.source] = node
            self._take(self._reassembler.feed(segment))
        if settled:
            self._take(self._reassembler.settle())
        if frames:
            self.last_at = max(self.last_at, frames[-1].at)

    def _take(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            session = self._session(fact)
            source, destination = self._node(fact.source), self._node(fact.destination)
            if isinstance(fact, Octets):
                self.messages.append(self._message(fact, session, source, destination))
            elif isinstance(fact, Lifecycle):
                self.steps.append(
                    ConnectionStep(
                        at=fact.at,
                        session=session,
                        connection=fact.connection,
                        step=fact.step,
                        source=source,
                        destination=destination,
                    )
                )
            elif isinstance(fact, Missing):
                self.gaps.append(Gap(at=fact.start, end=fact.end, session=session or "", source=source, why=fact.why))
            elif isinstance(fact, Unreadable):
                self.garbled.append(
                    Garbled(at=fact.at, session=session, source=source, destination=destination, octets=fact.octets)
                )

    def _message(self, fact: Octets, session: str | None, source: str, destination: str) -> Message:
        if fact.octets[HEADER_LENGTH - 1] == MessageType.OPEN:
            self._learn(fact)
        return Message(
            at=fact.at,
            session=session,
            connection=fact.connection,
            source=source,
            destination=destination,
            source_address=fact.source,
            destination_address=fact.destination,
            octets=fact.octets,
            context=self._context(fact, session),
        )

    def _learn(self, fact: Octets) -> None:
        """An OPEN says how to read what follows; one that is malformed says nothing, and nothing follows."""
        for address in (fact.source, fact.destination):
            self._contexts.pop((fact.connection, address), None)
        try:
            self._opens[fact.connection, fact.source] = decode_open(fact.octets[HEADER_LENGTH:])
        except WireError:
            self._opens.pop((fact.connection, fact.source), None)

    def _context(self, fact: Octets, session: str | None) -> SessionContext:
        """As both OPENs agreed; where one was not seen, as two speakers of today would."""
        key = fact.connection, fact.source
        known = self._contexts.get(key)
        if known is None:
            known = self._contexts[key] = self._agreed(fact, session)
        return known

    def _agreed(self, fact: Octets, session: str | None) -> SessionContext:
        sender = self._opens.get((fact.connection, fact.source))
        receiver = self._opens.get((fact.connection, fact.destination))
        if sender is not None and receiver is not None:
            return negotiate(receiver, sender)
        return SessionContext(ebgp=not self._internal.get(session or "", False))

    def _session(self, fact: Fact) -> str | None:
        return self._sessions.get(frozenset((fact.source, fact.destination)))

    def _node(self, address: Address) -> str:
        return self._nodes.get(address, address)

    def _watch(self, interface: Interface) -> None:
        """A second declaration of a node means that another tap went on in the same file: between them is a gap."""
        node, colon, name = interface.name.partition(":")
        if not colon:
            return
        if node in self.watched and name == "lo" and interface.since > self.watched[node]:
            last = max((frame.at for frame in self._frames), default=self.last_at)
            self._lose_all(node, last, interface.since, "the tap was not running")
            self.watched[node] = interface.since
        self.watched.setdefault(node, interface.since)

    def _lose(self, loss: Loss) -> None:
        node = loss.interface.name.partition(":")[0]
        self._lose_all(node, loss.start, loss.end, f"the tap lost {loss.frames} frames")

    def _lose_all(self, node: str, start: int, end: int, why: str) -> None:
        """A gap in each session of a node, in its direction."""
        for session in self._sessions_of.get(node, ()) or ("",):
            self.gaps.append(Gap(at=start, end=end, session=session, source=node, why=why))


def _addresses(model: LabModel) -> dict[Address, str]:
    """Which node has which address."""
    found: dict[Address, str] = {}
    for node in model.nodes:
        for address in (node.loopback_v4, node.loopback_v6):
            if address:
                found[address] = node.name
        for interface in node.interfaces:
            for text in (interface.v4, interface.v6):
                if text:
                    found[Address(text.partition("/")[0])] = node.name
    for session in model.sessions:
        for end in (session.left, session.right):
            found[end.address] = end.node
    return found
