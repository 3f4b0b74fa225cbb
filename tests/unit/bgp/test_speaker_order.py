"""Laws: whatever happened, in whatever order, a speaker is where a fresh one would be that only saw the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from back_to_back import Ear, attributes, hear, hear_withdrawal, negotiated, peer_config, speaker, told
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.next_hop import StaticNextHops
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, SetLocalPref, Statement, Verdict
from peerlab.bgp.speaker import BgpSpeaker

PREFIXES = ("20.0.0.0/8", "30.0.0.0/8", "40.0.0.0/8")
PICKY = Policy(
    name="picky",
    statements=(
        Statement(name="no 20", match=(PrefixIn((PrefixRange(Prefix("20.0.0.0/8")),)),), verdict=Verdict.REJECT),
        Statement(name="rest", actions=(SetLocalPref(150),), verdict=Verdict.ACCEPT),
    ),
)
PEERS = (
    peer_config("a1", 65001),
    peer_config("a2", 65001, number=2),  # the same neighbouring AS: MED is compared
    peer_config("b", 65002, number=3),
    peer_config("ibgp", 65000, number=4),
    peer_config("client", 65000, number=5, route_reflector_client=True),
    peer_config("rs", 65006, number=6, route_server_client=True),
)
BY_NAME = {peer.session: peer for peer in PEERS}
VIEWS = (
    StaticNextHops([(Prefix("10.0.0.0/16"), 0, None, "e0"), (Prefix("10.99.0.0/16"), 10, Address("10.0.8.1"), "e1")]),
    StaticNextHops([(Prefix("10.0.0.0/16"), 0, None, "e0"), (Prefix("10.99.0.0/16"), 50, Address("10.0.9.1"), "e2")]),
    StaticNextHops([(Prefix("10.0.0.0/16"), 0, None, "e0")]),
)
SESSIONS = st.sampled_from([peer.session for peer in PEERS])
ROUTES = st.tuples(
    st.sampled_from((None, 5, 10)), st.integers(0, 1), st.sampled_from(((), ("65535:65281",), ("65535:0",)))
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("announce"), SESSIONS, st.sampled_from(PREFIXES), ROUTES),
        st.tuples(st.just("announce"), SESSIONS, st.sampled_from(PREFIXES), ROUTES),
        st.tuples(st.just("withdraw"), SESSIONS, st.sampled_from(PREFIXES)),
        st.tuples(st.just("down"), SESSIONS),
        st.tuples(st.just("up"), SESSIONS),
        st.tuples(st.just("policy"), SESSIONS, *[st.sampled_from(("accept", "deny-all", "picky", ""))] * 2),
        st.tuples(st.just("originate"), st.sampled_from(PREFIXES)),
        st.tuples(st.just("withdraw-origin"), st.sampled_from(PREFIXES)),
        st.tuples(st.just("view"), st.sampled_from(VIEWS)),
        st.tuples(st.just("refresh"), SESSIONS),
        st.tuples(st.just("stimulate"), SESSIONS, st.sampled_from(PREFIXES)),
        st.tuples(st.just("calm"), SESSIONS, st.sampled_from(PREFIXES)),
        st.tuples(st.just("take")),
        st.tuples(st.just("read")),
    ),
    max_size=40,
)


def route(session: str, shape: tuple[int | None, int, tuple[str, ...]]) -> PathAttributes:
    """A route that this session's peer may send."""
    med, longer, communities = shape
    config = BY_NAME[session]
    internal = config.peer_as == 65000
    asns = (65009,) * longer if internal else (config.peer_as,) + (65009,) * longer
    next_hop = "10.99.0.1" if internal else config.peer_address
    return attributes(*asns, next_hop=next_hop, med=med, communities=communities)


@dataclass
class World:
    """A speaker, the ears of its peers, its kernel, and what a fresh speaker has to be told to end up the same."""

    made: BgpSpeaker
    up: dict[str, bool] = field(default_factory=dict)
    routes: dict[str, dict[str, PathAttributes]] = field(default_factory=dict)
    policies: dict[str, tuple[str, str]] = field(default_factory=dict)
    origins: set[str] = field(default_factory=set)
    stimuli: dict[str, set[str]] = field(default_factory=dict)
    view: StaticNextHops = VIEWS[0]
    ears: dict[str, Ear] = field(default_factory=dict)
    fib: dict[str, Any] = field(default_factory=dict)

    def take(self) -> None:
        effects = self.made.take()
        for session in effects.send:
            assert self.up[session]
            self.ears[session].listen(effects, session)
        for change in effects.fib:
            if change.kind == "remove":
                del self.fib[change.prefix]  # never removes what is not there
            else:
                self.fib[change.prefix] = (change.kind, change.gateway, change.interface)

    def do(self, event: tuple[Any, ...]) -> None:
        kind, *rest = event
        getattr(self, "on_" + kind.replace("-", "_"))(*rest)

    def on_announce(self, session: str, prefix: str, shape: tuple[int | None, int, tuple[str, ...]]) -> None:
        if self.up[session]:
            self.routes[session][prefix] = route(session, shape)
            hear(self.made, session, self.routes[session][prefix], prefix)

    def on_withdraw(self, session: str, prefix: str) -> None:
        if self.up[session]:
            self.routes[session].pop(prefix, None)
            hear_withdrawal(self.made, session, prefix)

    def on_down(self, session: str) -> None:
        self.made.peer_down(session, "test", 0)
        self.up[session] = False
        self.routes[session] = {}
        self.stimuli[session] = set()

    def on_up(self, session: str) -> None:
        if not self.up[session]:
            self.up[session] = True
            self.ears[session] = Ear(BY_NAME[session])
            self.made.peer_up(session, negotiated(number_of(session)), 0)

    def on_policy(self, session: str, import_policy: str, export_policy: str) -> None:
        self.policies[session] = (import_policy, export_policy)
        self.made.set_policy({}, {session: self.policies[session]}, 0)

    def on_originate(self, prefix: str) -> None:
        self.origins.add(prefix)
        self.made.originate(Prefix(prefix), PathAttributes(), 0)

    def on_withdraw_origin(self, prefix: str) -> None:
        self.origins.discard(prefix)
        self.made.withdraw_origin(Prefix(prefix), 0)

    def on_view(self, view: StaticNextHops) -> None:
        self.view = view
        self.made.set_next_hops(view, 0)

    def on_refresh(self, session: str) -> None:
        self.made.route_refresh(session, Family.IPV4, 0, 0)

    def on_stimulate(self, session: str, prefix: str) -> None:
        if self.up[session]:
            self.stimuli[session].add(prefix)
            self.made.announce_raw(session, [Prefix(prefix)], attributes(666, next_hop=None))

    def on_calm(self, session: str, prefix: str) -> None:
        if self.up[session]:
            self.stimuli[session].discard(prefix)
            self.made.withdraw_raw(session, [Prefix(prefix)])

    def on_take(self) -> None:
        self.take()

    def on_read(self) -> None:
        self.made.loc_rib()


def number_of(session: str) -> int:
    return [peer.session for peer in PEERS].index(session) + 1


def world(peers: tuple[PeerConfig, ...] = PEERS) -> World:
    """Everything up, nothing heard."""
    made = World(speaker(*peers, policies={"picky": PICKY}, up=False))
    made.made.set_next_hops(VIEWS[0], 0)
    for peer in peers:
        made.up[peer.session] = False
        made.routes[peer.session] = {}
        made.stimuli[peer.session] = set()
        made.on_up(peer.session)
    return made


def fresh(end: World) -> World:
    """A speaker that only sees the end of another's history, backwards."""
    made = world()
    for session, names in end.policies.items():
        made.on_policy(session, *names)
    made.on_view(end.view)
    for session in reversed(end.up):
        if not end.up[session]:
            made.on_down(session)
        for prefix in sorted(end.routes[session], reverse=True):
            hear(made.made, session, end.routes[session][prefix], prefix)
        for prefix in end.stimuli[session]:
            made.on_stimulate(session, prefix)
    for prefix in end.origins:
        made.on_originate(prefix)
    made.take()
    return made


@settings(max_examples=250, deadline=None)
@given(EVENTS)
def test_a_history_ends_where_a_fresh_speaker_begins(events: list[tuple[Any, ...]]) -> None:
    end = world()
    for event in events:
        end.do(event)
    end.take()
    begin = fresh(end)
    by_prefix = {}
    for made in (end.made, begin.made):
        facts = {(fact.prefix, fact.session): (fact.best, fact.reason, fact.attributes) for fact in made.loc_rib()}
        by_prefix[made] = facts
    assert by_prefix[end.made] == by_prefix[begin.made]
    assert end.fib == begin.fib
    for session in end.up:
        assert told(end.made, session) == told(begin.made, session)
        one, other = (made.counters(session) for made in (end.made, begin.made))
        assert (one.received, one.accepted, one.advertised) == (other.received, other.accepted, other.advertised)
        for read in ("adj_rib_in_pre", "adj_rib_in_post"):
            assert len({str(sorted(map(repr, getattr(made, read)(session)))) for made in (end.made, begin.made)}) == 1
        if end.up[session]:
            assert end.ears[session].routes == begin.ears[session].routes
            regular = {p: a for p, a in end.ears[session].routes.items() if p not in end.stimuli[session]}
            assert told(end.made, session) == regular
            assert set(end.ears[session].routes) - set(regular) == end.stimuli[session]


MED_ROUTES = st.lists(
    st.tuples(st.sampled_from(("a1", "a2", "b", "ibgp")), st.sampled_from((None, 0, 5, 10)), st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row[0],
)


@given(MED_ROUTES.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))), st.data())
def test_any_order_of_arrival_gives_the_same_best_path(
    orders: tuple[list[tuple[str, int | None, bool]], list[tuple[str, int | None, bool]]], data: st.DataObject
) -> None:
    """Three neighbours and MED, with routes that come and go in between, and decisions made in between."""
    winners = []
    for rows in orders:
        made = world().made
        for session, med, _ in rows:
            hear(made, session, route(session, (med, 0, ())), PREFIXES[0])
            if data.draw(st.booleans()):
                made.take()
        for session, med, flaps in rows:
            if flaps:
                hear_withdrawal(made, session, PREFIXES[0])
                if data.draw(st.booleans()):
                    made.take()
                hear(made, session, route(session, (med, 0, ())), PREFIXES[0])
        winners.append({fact.session: fact.reason for fact in made.loc_rib()})
    assert winners[0] == winners[1]
