"""Evidence made by hand: a story in which all is well, to be changed one fact at a time.

Times are seconds of the story; ``ns`` turns them into the evidence's clock. The plain story: OPENs at 10, peers
announce at 11, ``under-deny`` is read at 20, ALLOW is ordered at 30, ``allowed`` is read at 40, later moments follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec
from verify_model import C4, C6, CLOUD, CLOUD_ROUTERS, CUSTOMER, ISP, IXP, M4, M6, MEMBER, P4, P6, TRANSIT, lab

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.capability import Capability, multiprotocol, route_refresh
from peerlab.bgp.wire import (
    MessageType,
    Notification,
    SessionContext,
    encode_notification,
    encode_open,
    encode_updates,
    encode_withdrawals,
    frame,
    make_open,
)
from peerlab.evidence.events import Event, StimulusApplied, StimulusObserved
from peerlab.evidence.message import ConnectionStep, Gap, Message
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, RouteFact, Snapshot
from peerlab.evidence.story import Moment
from peerlab.evidence.trace import Trace
from peerlab.topology.model import LabModel
from peerlab.verify.evidence import Evidence

END = 1000.0
MAPS = "8075:8007"


def ns(seconds: float) -> int:
    """Seconds of the story on the evidence's clock."""
    return 1_700_000_000_000_000_000 + round(seconds * 1e9)


def path(*asns: int) -> tuple[Segment, ...]:
    """An AS_PATH of one sequence."""
    return (Segment(SegmentType.AS_SEQUENCE, asns),) if asns else ()


TIMES = {
    Moment.BASELINE: 1.0,
    Moment.LINK_TEST: 5.0,
    Moment.UNDER_DENY: 20.0,
    Moment.UNDER_DENY_STIMULATED: 28.0,
    Moment.ALLOWED: 40.0,
    Moment.STIMULATED: 60.0,
    Moment.ACTIVATED: 100.0,
    Moment.HOT_POTATO: 120.0,
    Moment.MED_SWAPPED: 140.0,
    Moment.LOCAL_LINK_LOST: 160.0,
    Moment.PRIMARY_LOST: 180.0,
    Moment.PRIVATE_LOST: 200.0,
    Moment.RESTORED: 220.0,
    Moment.WITHDRAWN: 240.0,
    Moment.DEPROVISIONED: 260.0,
    Moment.REPROVISIONED: 280.0,
}
OPENED, TOLD, ALLOW = 10.0, 11.0, 30.0


class Scenario:
    """Evidence under construction. Everything can be changed until ``evidence`` freezes it."""

    def __init__(self) -> None:
        self.model: LabModel = lab()
        self.events: list[Event] = []
        self.messages: list[Message] = []
        self.steps: list[ConnectionStep] = []
        self.gaps: list[Gap] = []
        self.snapshots: dict[Moment, dict[str, NodeSnapshot]] = {}

    def evidence(self) -> Evidence:
        """The story so far, as a check sees it."""
        return Evidence(
            model=self.model,
            events=tuple(sorted(self.events, key=lambda event: event.at)),
            trace=Trace(self.messages, self.steps, self.gaps, until=ns(END)),
            snapshots={
                moment.value: Snapshot(label=moment.value, at=ns(TIMES[moment]), nodes=dict(nodes))
                for moment, nodes in self.snapshots.items()
            },
        )

    # ===== events =====

    def tell(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)

    def forget(self, kind: type[Event], /, **fields: object) -> None:
        """Take away every event of a kind with these fields. Fails when there is none: a mutation has to change."""
        doomed = [e for e in self.events if isinstance(e, kind) and _has(e, fields)]
        assert doomed, f"no {kind.__name__} with {fields} to forget"
        self.events = [e for e in self.events if e not in doomed]

    def amend(self, kind: type[Event], where: dict[str, object], /, **fields: object) -> None:
        """Change fields of every event of a kind. Fails when there is none."""
        hit = [i for i, e in enumerate(self.events) if isinstance(e, kind) and _has(e, where)]
        assert hit, f"no {kind.__name__} with {where} to amend"
        for i in hit:
            self.events[i] = msgspec.structs.replace(self.events[i], **fields)

    def trial(
        self,
        stimulus: StrEnum,
        node: str,
        session: str = "",
        did: dict[str, object] | None = None,
        saw: dict[str, object] | None = None,
        at: float = 50.0,
        until: float | None = None,
    ) -> None:
        """A stimulus and, when ``saw`` is given, its answer."""
        self.tell(StimulusApplied(at=ns(at), stimulus=stimulus, node=node, session=session, detail=did or {}))
        if saw is not None:
            answered = ns(until if until is not None else at + 5)
            self.tell(StimulusObserved(at=answered, stimulus=stimulus, node=node, detail=saw))

    def resee(self, stimulus: StrEnum, **saw: object) -> None:
        """Change the observed details of every trial of a stimulus; None takes a detail away."""
        hit = False
        for i, event in enumerate(self.events):
            if isinstance(event, StimulusObserved) and event.stimulus == stimulus:
                detail = {k: v for k, v in {**event.detail, **saw}.items() if v is not None}
                self.events[i] = msgspec.structs.replace(event, detail=detail)
                hit = True
        assert hit, f"no answer to {stimulus} to change"

    def redo(self, stimulus: StrEnum, **did: object) -> None:
        """Change the applied details of every trial of a stimulus; None takes a detail away."""
        hit = False
        for i, event in enumerate(self.events):
            if isinstance(event, StimulusApplied) and event.stimulus == stimulus:
                detail = {k: v for k, v in {**event.detail, **did}.items() if v is not None}
                self.events[i] = msgspec.structs.replace(event, detail=detail)
                hit = True
        assert hit, f"no {stimulus} to change"

    def untry(self, stimulus: StrEnum) -> None:
        """The rehearsal never tried it."""
        before = len(self.events)
        self.events = [e for e in self.events if getattr(e, "stimulus", None) != stimulus]
        assert len(self.events) < before, f"no {stimulus} to take away"

    # ===== the wire =====

    def say(self, session: str, sender: str, octets: bytes, at: float, receiver: str | None = None) -> None:
        """A BGP message on the wire. ``receiver`` is needed for sessions that the model does not have."""
        known = next((s for s in self.model.sessions if s.id == session), None)
        if known is not None:
            receiver = known.other(sender).node
        ebgp = known is None or not known.is_internal
        self.messages.append(
            Message(
                at=ns(at),
                session=session,
                connection=1,
                source=sender,
                destination=receiver or "?",
                source_address=Address("192.0.2.200"),
                destination_address=Address("192.0.2.201"),
                octets=octets,
                context=SessionContext(ebgp=ebgp),
            )
        )

    def open(
        self,
        session: str,
        sender: str,
        asn: int,
        at: float = OPENED,
        hold: int = 9,
        family: Family = Family.IPV4,
        extra: tuple[Capability, ...] = (),
        receiver: str | None = None,
    ) -> None:
        """An OPEN with the capabilities every router of the lab has."""
        capabilities = (multiprotocol(family), route_refresh(), *extra)
        body = encode_open(make_open(asn, Address("10.0.0.1"), hold, capabilities))
        self.say(session, sender, frame(MessageType.OPEN, body), at, receiver)

    def keepalive(self, session: str, sender: str, at: float, receiver: str | None = None) -> None:
        self.say(session, sender, frame(MessageType.KEEPALIVE, b""), at, receiver)

    def notify(
        self,
        session: str,
        sender: str,
        code: int,
        subcode: int,
        at: float,
        data: bytes = b"",
        receiver: str | None = None,
    ) -> None:
        """A NOTIFICATION."""
        body = encode_notification(Notification(code, subcode, data))
        self.say(session, sender, frame(MessageType.NOTIFICATION, body), at, receiver)

    def refresh(self, session: str, sender: str, at: float) -> None:
        """A ROUTE-REFRESH for IPv4 unicast."""
        self.say(session, sender, frame(MessageType.ROUTE_REFRESH, bytes([0, 1, 0, 1])), at)

    def announce(
        self,
        session: str,
        sender: str,
        prefixes: Iterable[str],
        at: float = TOLD,
        receiver: str | None = None,
        **attributes: Any,
    ) -> None:
        """An UPDATE that announces prefixes of one family."""
        texts = [Prefix(prefix) for prefix in prefixes]
        family = Family.IPV6 if ":" in texts[0] else Family.IPV4
        hop = Address("2001:db8:ff::2" if family is Family.IPV6 else "192.0.2.2")
        wanted = PathAttributes(**{"next_hop": hop, **attributes})
        for octets in encode_updates(wanted, texts, family):
            self.say(session, sender, octets, at, receiver)

    def withdraw(self, session: str, sender: str, prefixes: Iterable[str], at: float) -> None:
        """An UPDATE that withdraws prefixes of one family."""
        texts = [Prefix(prefix) for prefix in prefixes]
        family = Family.IPV6 if ":" in texts[0] else Family.IPV4
        for octets in encode_withdrawals(texts, family):
            self.say(session, sender, octets, at)

    def silence(self, session: str, kind: MessageType | None = None, sender: str | None = None) -> None:
        """Take messages of a session off the trace. Fails when there is none."""

        def doomed(message: Message) -> bool:
            right_kind = kind is None or message.kind == kind
            return message.session == session and right_kind and sender in (None, message.source)

        kept = [message for message in self.messages if not doomed(message)]
        assert len(kept) < len(self.messages), f"nothing of {session} to silence"
        self.messages = kept

    def lose(self, session: str) -> None:
        """The capture lost octets of a session, at all times."""
        self.gaps.append(Gap(at=0, end=ns(END), session=session, source="", why="the ring overflowed"))

    # ===== snapshots =====

    def node(self, moment: Moment, name: str) -> NodeSnapshot:
        return self.snapshots[moment][name]

    def change(self, moment: Moment, name: str, **fields: Any) -> None:
        """Replace fields of a node in a snapshot."""
        self.snapshots[moment][name] = msgspec.structs.replace(self.node(moment, name), **fields)

    def fact(self, moment: Moment, node: str, session: str, **fields: Any) -> None:
        """Change what a node says about a session in a snapshot. Fails when it says nothing."""
        facts = self.node(moment, node).sessions
        assert any(fact.session == session for fact in facts)
        self.change(
            moment,
            node,
            sessions=tuple(msgspec.structs.replace(f, **fields) if f.session == session else f for f in facts),
        )

    def hold(self, moment: Moment, node: str, rib: str, session: str, *routes: RouteFact) -> None:
        """Put routes into a RIB of a node that is kept per session."""
        ribs: dict[str, tuple[RouteFact, ...]] = dict(getattr(self.node(moment, node), rib))
        fresh = {route.prefix for route in routes}
        ribs[session] = tuple(r for r in ribs.get(session, ()) if r.prefix not in fresh) + routes
        self.change(moment, node, **{rib: ribs})

    def drop(self, moment: Moment, node: str, rib: str, session: str, prefix: str) -> None:
        """Take a route out of a RIB. Fails when it is not there."""
        ribs: dict[str, tuple[RouteFact, ...]] = dict(getattr(self.node(moment, node), rib))
        assert any(route.prefix == prefix for route in ribs[session])
        ribs[session] = tuple(route for route in ribs[session] if route.prefix != prefix)
        self.change(moment, node, **{rib: ribs})

    def elect(self, moment: Moment, node: str, route: RouteFact, gateway: str = "192.0.2.254") -> None:
        """Make a route the node's best and put it into its kernel."""
        at_node = self.node(moment, node)
        others = (r for r in at_node.loc_rib if r.prefix != route.prefix)
        self.change(
            moment,
            node,
            loc_rib=(*others, msgspec.structs.replace(route, best=True)),
            kernel=(
                *(k for k in at_node.kernel if k.prefix != route.prefix),
                KernelRoute(prefix=route.prefix, gateway=Address(gateway), protocol=186),
            ),
        )


def _has(event: Event, fields: dict[str, object]) -> bool:
    return all(getattr(event, name) == value for name, value in fields.items())


def route(
    prefix: str, session: str | None, *asns: int, accepted: bool = True, reason: str = "", **more: Any
) -> RouteFact:
    """A route in a RIB."""
    v6 = ":" in prefix
    hop = Address("2001:db8:ff::2" if v6 else "192.0.2.2")
    return RouteFact(
        prefix=Prefix(prefix),
        session=session,
        attributes=PathAttributes(**{"as_path": path(*asns), "next_hop": hop, **more}),
        accepted=accepted,
        reason=reason,
    )


FLOWS: list[tuple[str, str, tuple[str, str], tuple[int, ...], tuple[str, ...], int | None]] = [
    # session, sender, prefixes, path, communities, OTC: who tells whom what once all is open
    ("u1", "cust", (P4, P6), (CUSTOMER,), (MAPS,), None),
    ("u2", "cust", (P4, P6), (CUSTOMER,), (MAPS,), None),
    ("c1", "isp1", (P4, P6), (ISP, CUSTOMER), (MAPS,), ISP),
    ("c2", "isp1", (P4, P6), (ISP, CUSTOMER), (MAPS,), ISP),
    ("c3", "isp2", (P4, P6), (ISP, CUSTOMER), (MAPS,), ISP),
    ("mb", "member", (M4, M6), (MEMBER,), (MAPS,), None),
    ("c4", "rs1", (M4, M6), (MEMBER,), (MAPS,), IXP),
    ("ti", "isp1", (P4, P6), (ISP, CUSTOMER), (), None),
    ("tr", "transit", (P4, P6), (TRANSIT, ISP, CUSTOMER), (), TRANSIT),
    ("ob", "transit", (P4, P6), (TRANSIT, ISP, CUSTOMER), (), TRANSIT),
    ("c1", "ams1", (C4, C6), (CLOUD,), (), CLOUD),
    ("c2", "ams2", (C4, C6), (CLOUD,), (), CLOUD),
    ("c3", "lon1", (C4, C6), (CLOUD,), (), CLOUD),
    ("c4", "ams2", (C4, C6), (CLOUD,), (), None),
    ("mb", "rs1", (C4, C6), (CLOUD,), (), IXP),
    ("tr", "lon1", (C4, C6), (CLOUD,), (), None),
    ("ti", "transit", (C4, C6), (TRANSIT, CLOUD), (), TRANSIT),
    ("ob", "transit", (C4, C6), (TRANSIT, CLOUD), (), TRANSIT),
    ("u1", "isp1", (C4, C6), (ISP, CLOUD), (), CLOUD),
    ("u2", "isp2", (C4, C6), (ISP, CLOUD), (), CLOUD),
]
CONNECTIONS = ("c1", "c2", "c3", "c4")


def is_opened(session: str, sender: str) -> bool:
    """Whether what a sender says on a session depends on ALLOW: the cloud's side of a connection."""
    return session in CONNECTIONS and sender in CLOUD_ROUTERS


@cache
def _built() -> Scenario:
    from verify_story import build

    scenario = Scenario()
    build(scenario)
    return scenario


def plain_story() -> Scenario:
    """All sessions up, peers announced, DENY then ALLOW, every moment read, nothing wrong. A copy of one's own."""
    base, mine = _built(), Scenario()
    mine.model = base.model
    mine.events, mine.messages = list(base.events), list(base.messages)
    mine.steps, mine.gaps = list(base.steps), list(base.gaps)
    mine.snapshots = {moment: dict(nodes) for moment, nodes in base.snapshots.items()}
    return mine
