"""The same announcements and policies to a foreign daemon and to our own speaker: the same routes come out.

The speaker is the oracle, in memory; the daemon runs between two announcers and a collector. A difference is shrunk
to a small case. Differences that are known and stay are listed in docs/daemons.md, each with the test that shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from daemon_kinds import DaemonKind
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from live.router_lab import ACCEPT_ALL, WITHIN, RouterLab, router, router_lab
from unit.bgp.back_to_back import bodies, negotiated

from peerlab.bgp.attributes import Address, Family, Origin, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.next_hop import StaticNextHops
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    FirstAsIs,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    RemoveCommunities,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.bgp.route_fact import RouteFact
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.bgp.update import encode_updates
from peerlab.daemons.kinds import daemon_of
from peerlab.errors import Unsupported
from peerlab.router.protocol import Announce, SetPolicy, Withdraw
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec
from peerlab.topology.model import NodeKind

pytestmark = [pytest.mark.live, pytest.mark.daemons]

ASNS = {"a": 64500, "b": 64501, "c": 64502, "daemon": 65550}
IDS = {"a": 1, "b": 2, "c": 3, "daemon": 9}
NEIGHBOURS = ("a", "b", "c")
ORIGINATED = {Family.IPV4: Prefix("192.0.2.0/24"), Family.IPV6: Prefix("2001:db8:ffff::/48")}
POOL = {
    Family.IPV4: ["198.18.0.0/16", "198.18.7.0/24", "203.0.113.0/24", "203.0.113.128/25"],
    Family.IPV6: ["2001:db8::/32", "2001:db8:7::/48", "2001:db8:8::/48", "2001:db8:8:8::/64"],
}
COMMUNITIES = ["8075:8007", "8075:1", "64500:1", "65535:0", "65535:65281", "65535:65282"]
LARGE = ["65550:1:1", "65550:1:2", "64500:7:7"]
PATTERNS = [*COMMUNITIES, *LARGE, "8075:*", "*:1", "65550:1:*", "65550:*:*", "*:*"]
FAR_ASNS = [64500, 64505, 64506, 65551, 4200000000]


class Announcement(NamedTuple):
    """What one neighbour says of one prefix."""

    neighbour: str
    prefix: Prefix
    attributes: PathAttributes


class Example(NamedTuple):
    """A whole case."""

    family: Family
    announcements: list[Announcement]
    imports: Policy
    exports: Policy


def address(number: int, inside: bool, family: Family) -> Address:
    last = f"{int(inside)}" if family is Family.IPV4 or inside else ""
    return Address(f"10.9.{number}.{last}" if family is Family.IPV4 else f"fd00:9:{number}::{last}")


def ends(neighbour: str, family: Family) -> tuple[PeerConfig, PeerConfig]:
    """The session of a neighbour with the daemon, at both ends; the neighbour connects."""
    number = IDS[neighbour]
    session = f"{neighbour}.{family.value}"
    common: dict[str, Any] = {"session": session, "family": family, "import_policy": ACCEPT_ALL.name,
                              "export_policy": ACCEPT_ALL.name}  # fmt: skip
    near, far = address(number, False, family), address(number, True, family)
    return (
        PeerConfig(peer="daemon", local_address=near, peer_address=far, local_as=ASNS[neighbour],
                   peer_as=ASNS["daemon"], interface="e0", **common),
        PeerConfig(peer=neighbour, local_address=far, peer_address=near, local_as=ASNS["daemon"],
                   peer_as=ASNS[neighbour], interface=f"e{number}", passive=True, **common),
    )  # fmt: skip


def config(node: str, kind: str = "exabgp") -> RouterConfig:
    identifier = f"10.254.0.{IDS[node]}"
    if node != "daemon":
        return router(node, ASNS[node], identifier, [ends(node, family)[0] for family in Family])
    peers = [ends(neighbour, family)[1] for neighbour in NEIGHBOURS for family in Family]
    return router(node, ASNS[node], identifier, peers, originate=tuple(ORIGINATED.values()), kind=kind)


class Bench:
    """The laboratory of one module: its event loop, and its routers while the tests last."""

    def __init__(self, tmp_path: Path, kind: DaemonKind) -> None:
        self.kind = kind
        self._runner = asyncio.Runner()
        nodes = [NodeSpec(name=name, forwarding=True) for name in ASNS]
        links = []
        for neighbour in NEIGHBOURS:
            number = IDS[neighbour]
            near, far = (
                (f"{address(number, there, Family.IPV4)}/31", f"{address(number, there, Family.IPV6)}/127")
                for there in (False, True)
            )
            links.append(
                LinkSpec(neighbour, InterfaceSpec(neighbour, "e0", addresses=near),
                         InterfaceSpec("daemon", f"e{number}", addresses=far))
            )  # fmt: skip
        self._lab = router_lab(tmp_path, nodes, links)
        self.lab: RouterLab = self.run(self._lab.__aenter__())
        self.run(self._start())

    async def _start(self) -> None:
        await self.lab.start(config("daemon", self.kind.name))
        for neighbour in NEIGHBOURS:
            await self.lab.start(config(neighbour))
        for neighbour in NEIGHBOURS:
            for family in Family:
                for node in (neighbour, "daemon"):
                    session = f"{neighbour}.{family.value}"
                    assert await self.lab.clients[node].wait("established", WITHIN, session=session), (node, session)
        await self.quiet()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self._lab.__aexit__(None, None, None))
        self._runner.close()

    async def quiet(self) -> None:
        for _ in range(2):
            for client in self.lab.clients.values():
                assert await client.wait("quiet", WITHIN)

    async def observe(self, case: Example) -> tuple[list[RouteFact], list[RouteFact], list[RouteFact]]:
        """The daemon's Loc-RIB, what it says it tells the collector, and what the collector heard."""
        daemon, family = self.lab.clients["daemon"], case.family
        names = (case.imports.name, case.exports.name)
        policies = {policy.name: policy for policy in (case.imports, case.exports)}
        await daemon.ask(SetPolicy(policies=policies, peers={f"{n}.{family.value}": names for n in NEIGHBOURS}))
        for one in case.announcements:
            await self.lab.clients[one.neighbour].ask(
                Announce(session=f"{one.neighbour}.{family.value}", prefixes=(one.prefix,), attributes=one.attributes)
            )
        await self.quiet()
        loc_rib = await daemon.rib("loc-rib")
        told = await daemon.rib("adj-rib-out", f"c.{family.value}")
        heard = await self.lab.clients["c"].rib("adj-rib-in-pre", f"c.{family.value}")
        for one in case.announcements:
            await self.lab.clients[one.neighbour].ask(
                Withdraw(session=f"{one.neighbour}.{family.value}", prefixes=(one.prefix,))
            )
        await self.quiet()
        return [fact for fact in loc_rib if (":" in fact.prefix) == (family is Family.IPV6)], list(told), list(heard)


@pytest.fixture(scope="module")
def bench(kind: DaemonKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("differential"), kind)
    yield made
    made.close()


def under(case: Example) -> RouterConfig:
    """The configuration in the middle under the policies of a case."""
    given_config = config("daemon")
    peers = tuple(
        msgspec.structs.replace(peer, import_policy=case.imports.name, export_policy=case.exports.name)
        for peer in given_config.peers
        if peer.family is case.family
    )
    policies = {policy.name: policy for policy in (case.imports, case.exports)}
    return msgspec.structs.replace(given_config, peers=peers, policies=policies)


def oracle(case: Example) -> BgpSpeaker:
    """The decision core, configured as the daemon is and told the same."""
    given_config = under(case)
    peers = given_config.peers
    speaker = BgpSpeaker(given_config, 0)
    wires = [
        (Prefix(f"{address(IDS[n], False, family)}/{31 if family is Family.IPV4 else 127}"), 0, None, f"e{IDS[n]}")
        for n in NEIGHBOURS
        for family in Family
    ]
    speaker.set_next_hops(StaticNextHops(wires), 0)
    for peer in peers:
        speaker.peer_up(peer.session, negotiated(IDS[peer.peer]), 0)
    for one in case.announcements:
        messages = encode_updates(one.attributes, [one.prefix], case.family, ebgp=True)
        speaker.receive(f"{one.neighbour}.{case.family.value}", bodies(messages), 0)
    speaker.take()
    return speaker


def chosen(facts: list[RouteFact], family: Family) -> dict[tuple[str, str | None], tuple[bool, PathAttributes]]:
    """Loc-RIB in the words that both share: a LOCAL_PREF that nobody set is 100."""
    return {
        (fact.prefix, fact.session): (
            fact.best,
            PathAttributes() if fact.session is None else plain(fact.attributes, local_pref=True),
        )
        for fact in facts
        if (":" in fact.prefix) == (family is Family.IPV6)
    }


def announced(facts: list[RouteFact]) -> dict[str, PathAttributes]:
    return {fact.prefix: plain(fact.attributes) for fact in facts}


def plain(given_attributes: PathAttributes, local_pref: bool = False) -> PathAttributes:
    """In words that both share: the members of a set have no order."""
    path = tuple(
        msgspec.structs.replace(one, asns=tuple(sorted(one.asns))) if one.kind is SegmentType.AS_SET else one
        for one in given_attributes.as_path
    )
    changed = msgspec.structs.replace(given_attributes, link_local_next_hop=None, as_path=path)
    if local_pref and changed.local_pref is None:
        changed = msgspec.structs.replace(changed, local_pref=100)
    return changed


def paths(own: int) -> st.SearchStrategy[tuple[Segment, ...]]:
    """The announcer's AS, some others, and at times a set at the end."""
    tail = st.lists(st.sampled_from(FAR_ASNS), max_size=4)
    last = st.none() | st.lists(st.sampled_from(FAR_ASNS), min_size=1, max_size=3, unique=True)

    def build(parts: tuple[list[int], list[int] | None]) -> tuple[Segment, ...]:
        sequence = Segment(SegmentType.AS_SEQUENCE, (own, *parts[0]))
        return (sequence, Segment(SegmentType.AS_SET, tuple(parts[1]))) if parts[1] else (sequence,)

    return st.tuples(tail, last).map(build)


@st.composite
def announcement(draw: st.DrawFn, family: Family) -> Announcement:
    neighbour = draw(st.sampled_from(("a", "b")))
    attributes = PathAttributes(
        origin=draw(st.sampled_from(Origin)),
        as_path=draw(paths(ASNS[neighbour])),
        next_hop=address(IDS[neighbour], False, family),
        med=draw(st.none() | st.integers(0, 3)),
        communities=tuple(sorted(draw(st.sets(st.sampled_from(COMMUNITIES), max_size=3)))),
        large_communities=tuple(sorted(draw(st.sets(st.sampled_from(LARGE), max_size=2)))),
    )
    return Announcement(neighbour, Prefix(draw(st.sampled_from(POOL[family]))), attributes)


ASN_RANGES = st.sampled_from([AsnRange(64500, 64500), AsnRange(64505, 64506), AsnRange(65551, 4294967295)])
RANGES = [
    PrefixRange(Prefix("198.18.0.0/15"), le=24), PrefixRange(Prefix("203.0.113.0/24")),
    PrefixRange(Prefix("0.0.0.0/0"), ge=25), PrefixRange(Prefix("2001:db8::/32"), ge=40, le=48),
    PrefixRange(Prefix("2001:db8::/32")), PrefixRange(Prefix("192.0.2.0/24")),
]  # fmt: skip


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, min_size=1, max_size=2, unique=True).map(tuple)


CONDITIONS: st.SearchStrategy[Condition] = st.one_of(
    st.builds(PrefixIn, some(st.sampled_from(RANGES)), st.booleans()),
    st.builds(AsPathContains, some(ASN_RANGES)),
    st.builds(OriginAsIn, some(ASN_RANGES), st.booleans()),
    st.builds(FirstAsIs, st.sampled_from([64500, 64501, 64505]), st.booleans()),
    st.builds(AsPathLongerThan, st.integers(0, 5)),
    st.just(AsPathHasSet()),
    st.just(AsPathPrepended()),
    st.builds(CommunityIn, some(st.sampled_from(PATTERNS)), st.booleans()),
    st.builds(NextHopIn, some(st.sampled_from([Prefix("10.9.1.0/31"), Prefix("fd00:9:2::/64")])), st.booleans()),
    st.builds(LearnedFromIs, some(st.sampled_from(LearnedFrom))),
)
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(SetLocalPref, st.integers(0, 300)),
    st.builds(SetMed, st.none() | st.integers(0, 9)),
    st.builds(AddCommunities, some(st.sampled_from([*COMMUNITIES, *LARGE]))),
    st.builds(RemoveCommunities, some(st.sampled_from(PATTERNS))),
    st.builds(Prepend, st.just(ASNS["daemon"]), st.integers(0, 3)),
)
STATEMENTS = st.builds(
    Statement,
    name=st.sampled_from(["one", "other"]),
    match=st.lists(CONDITIONS, max_size=2).map(tuple),
    actions=st.lists(ACTIONS, max_size=2).map(tuple),
    verdict=st.sampled_from(Verdict),
)


def policies(name: str) -> st.SearchStrategy[Policy]:
    """Mostly open ones: under a policy that rejects everything all daemons agree."""
    return st.builds(
        Policy,
        name=st.just(name),
        statements=st.lists(STATEMENTS, max_size=3).map(tuple),
        default=st.sampled_from([Verdict.ACCEPT, Verdict.ACCEPT, Verdict.REJECT]),
    )


@st.composite
def examples(draw: st.DrawFn) -> Example:
    family = draw(st.sampled_from(Family))
    said = draw(st.lists(announcement(family), max_size=5, unique_by=lambda one: (one.neighbour, one.prefix)))
    return Example(family, said, draw(policies("imports")), draw(policies("exports")))


def _asks_into_a_set(case: Example) -> bool:
    """Whether a path ends in a set, and a policy asks for origins or for an AS twice in a row."""
    conditions = [one for policy in (case.imports, case.exports) for s in policy.statements for one in s.match]
    asked = any(isinstance(one, OriginAsIn | AsPathPrepended) for one in conditions)
    return asked and any(said.attributes.origin_as() is None for said in case.announcements)


def agree(bench: Bench, case: Example) -> None:
    """Policies that the daemon has no words for are refused, and no case."""
    daemon = daemon_of(NodeKind(bench.kind.name))
    try:
        daemon.refuse(case.imports, case.family)
        daemon.refuse(case.exports, case.family)
        daemon.files(under(case))
    except Unsupported:
        assume(False)
    assume(not (bench.kind.takes_sets_for_sequences and _asks_into_a_set(case)))
    core = oracle(case)
    loc_rib, told, heard = bench.run(bench.observe(case))
    held = [bench.kind.shows(fact) for fact in core.loc_rib()]
    assert chosen(loc_rib, case.family) == chosen(held, case.family)
    own = ORIGINATED[case.family]
    wanted = announced([bench.kind.differs(f, f.prefix == own) for f in core.adj_rib_out(f"c.{case.family.value}")])
    assert announced(heard) == wanted
    assert announced(told) == wanted


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=examples())
def test_it_chooses_and_announces_as_the_decision_core_does(bench: Bench, case: Example) -> None:
    agree(bench, case)
