"""What every case of an examination works with: the examiners, what is wanted of their sessions, and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from typing import Any

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import DENY_ALL, AddCommunities, Policy, Statement, Verdict
from peerlab.controller.examiner import Examiner, Post, add_examiners, remove_examiners, widen
from peerlab.controller.lab import now_ns
from peerlab.controller.plan import EndIntent
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.router_client import RouterClient
from peerlab.evidence.events import Event, RouterNotice, StimulusApplied, StimulusObserved
from peerlab.evidence.snapshot import RouteFact, SessionFact
from peerlab.peering.policy import Neighbour
from peerlab.router.protocol import Announce
from peerlab.topology.model import LabModel

ANSWERED_WITHIN = 10.0
"""Seconds in which a route or a session that must come has to be there."""

SPARE = {Family.IPV4: (ip_network("198.19.128.0/18"), 24), Family.IPV6: (ip_network("2001:db8:f000::/40"), 48)}
"""Where prefixes for announcements on purpose come from: benchmarking (RFC 2544), documentation (RFC 3849)."""

ACCEPT_ALL = Policy(name="examiner-all", statements=(Statement(name="all", verdict=Verdict.ACCEPT),))

EXAM_ACCEPT = Policy(
    name="examiner-in",
    statements=(
        Statement(name="examiner", actions=(AddCommunities((Neighbour.PRIVATE.tag,)),), verdict=Verdict.ACCEPT),
    ),
)
"""What an examined router accepts of an examiner whose routes have to be seen: everything, tagged as a peer's, so that
no other AS is told of it."""


def spare_prefixes(model: LabModel, family: Family) -> Iterator[Prefix]:
    """Prefixes that nobody in the lab uses or registers."""
    used = [ip_network(p) for known in model.ases for p in (*known.prefixes, *known.infrastructure)]
    used += [ip_network(entry.prefix) for entry in model.registry]
    used += [ip_network(p) for node in model.nodes for p in node.originates]
    pool, length = SPARE[family]
    for network in pool.subnets(new_prefix=length):
        if not any(network.version == other.version and network.overlaps(other) for other in used):
            yield Prefix(str(network))


def sequence(*asns: int) -> tuple[Segment, ...]:
    """An AS_PATH of one sequence."""
    return (Segment(SegmentType.AS_SEQUENCE, asns),) if asns else ()


@dataclass
class Exam:
    """The examiners at work."""

    rehearsal: Rehearsal
    examiners: dict[str, Examiner]
    notices: list[RouterNotice] = field(default_factory=list)
    also: dict[str, object] = field(default_factory=dict)
    """What the log tells of every stimulus of this examination besides its own details."""
    _spare: dict[Family, Iterator[Prefix]] = field(default_factory=dict)
    _named: dict[tuple[Family, str], Prefix] = field(default_factory=dict)
    _realising: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def begin(cls, rehearsal: Rehearsal, posts: Sequence[Post]) -> Exam:
        """Build the examiners' routers and wires; they have no session yet."""
        extended, examiners = add_examiners(rehearsal.model, posts, avoid=rehearsal.widest)
        rehearsal.widest = widen(rehearsal.widest, extended)
        rehearsal.lab.store.save_widest(rehearsal.widest)
        exam = cls(rehearsal, examiners)
        await rehearsal.lab.use_model(extended)
        rehearsal.lab.listeners.append(exam._heard)
        return exam

    async def end(self) -> None:
        """Take sessions, wires and routers away again, and wait until the lab has settled."""
        lab, desk = self.rehearsal.lab, self.rehearsal.desk
        lab.listeners.remove(self._heard)
        mine = {session for examiner in self.examiners.values() for session in examiner.sessions.values()}
        desk.extra = {end: intent for end, intent in desk.extra.items() if end[1] not in mine}
        await lab.use_model(remove_examiners(lab.model))
        await desk.realise("peerlab: the examination is over")
        await lab.wait_quiet()

    def _heard(self, event: Event) -> None:
        if isinstance(event, RouterNotice):
            self.notices.append(event)

    def __getitem__(self, case: str) -> Examiner:
        return self.examiners[case]

    def prefix(self, family: Family, name: str) -> Prefix:
        """The spare prefix of that name: the same one each time, another one for every other name."""
        if (family, name) not in self._named:
            self._named[family, name] = next(self.spare(family))
        return self._named[family, name]

    def spare(self, family: Family) -> Iterator[Prefix]:
        """Prefixes that nobody has used yet, in this examination neither."""
        if family not in self._spare:
            self._spare[family] = spare_prefixes(self.rehearsal.model, family)
        return self._spare[family]

    def want(
        self,
        case: str,
        *,
        at: Mapping[str, Any] | None = None,
        peer: Mapping[str, Any] | None = None,
        takes: Policy = DENY_ALL,
        tells: Policy = DENY_ALL,
        peer_takes: Policy = DENY_ALL,
        peer_tells: Policy = DENY_ALL,
        families: Iterable[Family] = Family,
    ) -> None:
        """Want both ends of a case's sessions; ``realise`` makes it so.

        ``at`` and ``peer`` are fields of ``PeerConfig`` that differ at the examined router and at the examiner;
        ``takes`` and ``tells`` are the policies at the examined router, ``peer_takes`` and ``peer_tells`` those at the
        examiner, which also tells what it is made to announce.
        """
        examiner = self.examiners[case]
        for family in families:
            session = examiner.sessions[family]
            ends = self.rehearsal.desk.extra
            ends[examiner.at, session] = EndIntent(
                node=examiner.at,
                session=session,
                import_policy=takes,
                export_policy=tells,
                configuration=dict(at or {}),
            )
            ends[examiner.node, session] = EndIntent(
                node=examiner.node,
                session=session,
                import_policy=peer_takes,
                export_policy=peer_tells,
                configuration=dict(peer or {}),
            )

    async def realise(self) -> None:
        """Make the lab what is wanted now; one at a time, for a plan is made for the lab as it was just seen."""
        async with self._realising:
            await self.rehearsal.desk.realise()

    def applied(self, stimulus: StrEnum, node: str, session: str, **detail: object) -> int:
        """Write down what is done on purpose, before it is done. Returns when that was."""
        at = now_ns()
        whole = {"session": session, **self.also, **detail}
        self.rehearsal.lab.record(
            StimulusApplied(at=at, stimulus=stimulus, node=node, session=session, detail=whole)
        )
        return at

    def observed(self, stimulus: StrEnum, node: str, session: str, **detail: object) -> None:
        """Write down what came of it."""
        self.rehearsal.lab.record(
            StimulusObserved(at=now_ns(), stimulus=stimulus, node=node, detail={"session": session, **detail})
        )

    async def announce(
        self,
        examiner: Examiner,
        family: Family,
        prefixes: Iterable[Prefix],
        path: Sequence[int] = (),
        **attributes: Any,
    ) -> PathAttributes:
        """Announce on the case's session past all policy. The path begins with the examiner's AS unless it is iBGP."""
        internal = self.rehearsal.lab.model.node(examiner.at).asn == examiner.asn
        front = () if internal else (examiner.asn,)
        made = PathAttributes(
            as_path=sequence(*front, *path), next_hop=examiner.addresses[family], local_pref=100 if internal else None
        )
        if attributes:
            made = msgspec.structs.replace(made, **attributes)
        await self.is_open(examiner, family)
        router = await self.router(examiner.node)
        await router.ask(Announce(session=examiner.sessions[family], prefixes=tuple(prefixes), attributes=made))
        return made

    async def router(self, node: str) -> RouterClient:
        """The control connection of a router."""
        return await self.rehearsal.lab.router(node)

    async def is_up(self, examiner: Examiner, family: Family) -> bool:
        """Wait until the session is Established at the examined router; False when it does not come up in time."""
        router = await self.router(examiner.at)
        return await router.wait("established", ANSWERED_WITHIN, session=examiner.sessions[family])

    async def is_open(self, examiner: Examiner, family: Family) -> bool:
        """Wait until the session is Established at the examiner, so that it can announce."""
        router = await self.router(examiner.node)
        return await router.wait("established", ANSWERED_WITHIN, session=examiner.sessions[family])

    async def are_known(self, examiner: Examiner, family: Family, prefixes: Iterable[Prefix]) -> bool:
        """Wait until the examined router holds a route of this session for each prefix, best or not."""
        router = await self.router(examiner.at)
        await self.rehearsal.lab.wait_quiet((examiner.node, examiner.at))
        held = {route.prefix for route in await router.rib("adj-rib-in-pre", examiner.sessions[family])}
        return held >= set(prefixes)

    async def fact(self, examiner: Examiner, family: Family) -> SessionFact:
        """The session as the examined router sees it now."""
        facts = await (await self.router(examiner.at)).sessions()
        return next(fact for fact in facts if fact.session == examiner.sessions[family])

    async def best(self, node: str, prefix: Prefix) -> RouteFact | None:
        """A router's best route for exactly this prefix."""
        return next((r for r in await (await self.router(node)).rib("loc-rib", prefix=prefix) if r.best), None)

    async def standing(self, node: str) -> dict[str, int]:
        """Established sessions of a router that are no examiner's, and since when they are."""
        facts = await (await self.router(node)).sessions()
        mine = {session for examiner in self.examiners.values() for session in examiner.sessions.values()}
        return {f.session: f.since for f in facts if f.state == "Established" and f.session not in mine}


def host(address: str) -> Prefix:
    """The prefix that holds one address only."""
    return Prefix(f"{address}/{128 if ':' in address else 32}")


def gone(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Sessions that did not stay up from one look to the next."""
    return sorted(session for session, since in before.items() if after.get(session) != since)
