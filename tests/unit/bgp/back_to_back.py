"""Speakers wired back to back in memory: the octets that one wants written are what the other receives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peerlab.bgp.attributes import Address, Family, Origin, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.effects import CloseSession, Effects, FibChange, Notice
from peerlab.bgp.framing import EXTENDED_MAXIMUM, MessageType, split
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.next_hop import StaticNextHops
from peerlab.bgp.policy import Policy, Statement, Verdict
from peerlab.bgp.route_refresh import decode_route_refresh
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.bgp.update import decode_update, encode_updates, encode_withdrawals

ACCEPT = Policy(name="accept", statements=(Statement(name="all welcome", verdict=Verdict.ACCEPT),))
EVERYWHERE = StaticNextHops([(Prefix("0.0.0.0/0"), 0, None, "e0"), (Prefix("::/0"), 0, None, "e0")])
"""A router to which every address is a neighbour on one wire."""


def path(*asns: int) -> tuple[Segment, ...]:
    """An AS_PATH of one sequence."""
    return (Segment(SegmentType.AS_SEQUENCE, asns),) if asns else ()


def attributes(*asns: int, next_hop: str | None = "192.0.2.1", **more: Any) -> PathAttributes:
    """Attributes with this AS_PATH."""
    return PathAttributes(
        origin=more.pop("origin", Origin.IGP),
        as_path=path(*asns),
        next_hop=None if next_hop is None else Address(next_hop),
        **more,
    )


def peer_config(session: str, peer_as: int, local_as: int = 65000, number: int = 1, **more: Any) -> PeerConfig:
    """A session on its own /24, everything accepted both ways unless said otherwise."""
    v6 = more.get("family") is Family.IPV6
    given: dict[str, Any] = {
        "peer": f"as{peer_as}",
        "family": Family.IPV4,
        "local_address": Address(f"2001:db8:{number}::254" if v6 else f"10.0.{number}.254"),
        "peer_address": Address(f"2001:db8:{number}::1" if v6 else f"10.0.{number}.1"),
        "import_policy": "accept",
        "export_policy": "accept",
    }
    return PeerConfig(session=session, local_as=local_as, peer_as=peer_as, **{**given, **more})


def speaker(*peers: PeerConfig, asn: int = 65000, up: bool = True, **more: Any) -> BgpSpeaker:
    """A speaker for which every next hop is a neighbour, with all sessions Established."""
    policies = {"accept": ACCEPT, **more.pop("policies", {})}
    router_id = more.pop("router_id", "10.255.0.1")
    made = BgpSpeaker(
        RouterConfig(
            node="r", asn=asn, router_id=Address(router_id), directory="/", peers=peers, policies=policies, **more
        ),
        0,
    )
    made.set_next_hops(EVERYWHERE, 0)
    if up:
        for number, peer in enumerate(peers, 1):
            made.peer_up(peer.session, negotiated(number), 0)
        made.take()
    return made


def negotiated(number: int = 1, **more: Any) -> Negotiated:
    """A peer with router id 10.254.0.``number``."""
    return Negotiated(peer_router_id=Address(f"10.254.0.{number}"), **more)


def bodies(messages: list[bytes]) -> list[bytes]:
    """UPDATE bodies of whole messages."""
    found = []
    for message in messages:
        (one,), consumed = split(message, EXTENDED_MAXIMUM)
        assert consumed == len(message)
        if one[0] == MessageType.UPDATE:
            found.append(one[1])
    return found


def hear(made: BgpSpeaker, session: str, given: PathAttributes, *prefixes: str, ebgp: bool = False) -> None:
    """The speaker receives these routes. ``ebgp`` leaves internal attributes out as an external sender does."""
    family = Family.IPV6 if ":" in prefixes[0] else Family.IPV4
    messages = encode_updates(given, [Prefix(prefix) for prefix in prefixes], family, ebgp=ebgp)
    made.receive(session, bodies(messages), 0)


def hear_withdrawal(made: BgpSpeaker, session: str, *prefixes: str) -> None:
    """The speaker receives a withdrawal of these prefixes."""
    family = Family.IPV6 if ":" in prefixes[0] else Family.IPV4
    made.receive(session, bodies(encode_withdrawals([Prefix(prefix) for prefix in prefixes], family)), 0)


def told(made: BgpSpeaker, session: str) -> dict[str, PathAttributes]:
    """What the peer holds by Adj-RIB-Out."""
    return {fact.prefix: fact.attributes for fact in made.adj_rib_out(session)}


def best(made: BgpSpeaker, prefix: str) -> str | None:
    """The session whose path is best for a prefix."""
    return next((fact.session for fact in made.loc_rib(Prefix(prefix)) if fact.best), None)


class Ear:
    """The far end of a session: keeps what it was told, message by message, and asserts that it all makes sense."""

    def __init__(self, config: PeerConfig) -> None:
        self._context = config.family
        self._ebgp = config.local_as != config.peer_as
        self.routes: dict[str, PathAttributes] = {}
        self.announced = 0
        self.withdrawn = 0
        self.end_of_rib = 0

    def listen(self, effects: Effects, session: str) -> None:
        """Take in the messages for one session."""
        from peerlab.bgp.session_context import SessionContext

        for body in bodies(effects.send.get(session, [])):
            update = decode_update(body, SessionContext(ebgp=self._ebgp, families=(self._context,)))
            assert update.treat_as_withdraw is None, update
            for prefix in update.withdrawn:
                assert prefix in self.routes, f"{prefix} was withdrawn but never announced"
                del self.routes[prefix]
                self.withdrawn += 1
            for prefix, one in update.routes():
                self.routes[prefix] = one
                self.announced += 1
            self.end_of_rib += update.end_of_rib is not None


@dataclass
class _End:
    node: str
    session: str


@dataclass
class Room:
    """Speakers and the wires between them. ``run`` carries octets until nobody has anything to say."""

    speakers: dict[str, BgpSpeaker] = field(default_factory=dict)
    configs: dict[str, RouterConfig] = field(default_factory=dict)
    wires: dict[str, tuple[_End, _End]] = field(default_factory=dict)
    fib: dict[str, dict[str, FibChange]] = field(default_factory=dict)
    notices: list[tuple[str, Notice]] = field(default_factory=list)
    closed: list[tuple[str, CloseSession]] = field(default_factory=list)
    now: int = 0

    def add(self, node: str, asn: int, **more: Any) -> BgpSpeaker:
        """A router without sessions."""
        router_id = Address(f"10.255.0.{len(self.speakers) + 1}")
        policies = {"accept": ACCEPT, **more.pop("policies", {})}
        config = RouterConfig(node=node, asn=asn, router_id=router_id, directory="/", policies=policies, **more)
        self.configs[node] = config
        made = self.speakers[node] = BgpSpeaker(config, self.now)
        made.set_next_hops(EVERYWHERE, self.now)
        self.fib[node] = {}
        return made

    def connect(
        self, left: str, right: str, *, left_is: dict[str, Any] | None = None, right_is: dict[str, Any] | None = None,
        family: Family = Family.IPV4,
    ) -> str:  # fmt: skip
        """Wire two routers and bring the session up; its id is ``left-right``."""
        session, number = f"{left}-{right}-{family}", len(self.wires) + 1
        addresses = [
            f"10.1.{number}.{host}" if family is Family.IPV4 else f"2001:db8:{number}::{host}" for host in (1, 2)
        ]
        for me, other, own, remote, more in (
            (left, right, addresses[0], addresses[1], left_is),
            (right, left, addresses[1], addresses[0], right_is),
        ):
            given: dict[str, Any] = {"import_policy": "accept", "export_policy": "accept", **(more or {})}
            peer = PeerConfig(
                session=session,
                peer=other,
                family=family,
                local_address=Address(own),
                peer_address=Address(remote),
                local_as=self.configs[me].asn,
                peer_as=self.configs[other].asn,
                **given,
            )
            self.speakers[me].add_peers([peer], {}, self.now)
        self.wires[session] = (_End(left, session), _End(right, session))
        self.up(session)
        return session

    def up(self, session: str) -> None:
        """The session becomes Established at both ends."""
        for end, other in self._both(session):
            router_id = self.configs[other.node].router_id
            self.speakers[end.node].peer_up(session, Negotiated(peer_router_id=router_id), self.now)

    def down(self, session: str) -> None:
        """The session ends at both ends."""
        for end, _ in self._both(session):
            self.speakers[end.node].peer_down(session, "test", self.now)

    def run(self, limit: int = 100) -> None:
        """Carry octets until it is quiet; a room that never gets quiet fails."""
        for _ in range(limit):
            if not self._turn():
                return
        raise AssertionError("the speakers never stop talking")

    def _turn(self) -> bool:
        busy = False
        for node, made in self.speakers.items():
            effects = made.take()
            for change in effects.fib:
                if change.kind == "remove":
                    del self.fib[node][change.prefix]
                else:
                    self.fib[node][change.prefix] = change
            self.notices += [(node, notice) for notice in effects.notices]
            self.closed += [(node, close) for close in effects.close]
            for session, messages in effects.send.items():
                busy = True
                other = next(far for near, far in self._both(session) if near.node == node)
                self._carry(other, messages)
        return busy

    def _carry(self, end: _End, messages: list[bytes]) -> None:
        self.now += 1
        for message in messages:
            ((kind, body),), _ = split(message, EXTENDED_MAXIMUM)
            if kind == MessageType.ROUTE_REFRESH:
                refresh = decode_route_refresh(body)
                self.speakers[end.node].route_refresh(end.session, refresh.family, refresh.subtype, self.now)
            else:
                self.speakers[end.node].receive(end.session, [body], self.now)

    def _both(self, session: str) -> tuple[tuple[_End, _End], tuple[_End, _End]]:
        left, right = self.wires[session]
        return (left, right), (right, left)
