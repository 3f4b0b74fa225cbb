"""The scene about route origins at work: who announces what, what the cache serves, and what the edge has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.origin_validation import NOT_FOUND, Vrp
from peerlab.controller import rpki
from peerlab.controller.exam import Exam
from peerlab.controller.origin_cases import (
    BlackholeCase,
    EgressCase,
    Forgery,
    IngressCase,
    blackhole_cases,
    egress_cases,
    forgery,
    ingress_cases,
    route_object,
)
from peerlab.controller.origin_exam import cache_of
from peerlab.evidence.snapshot import RouteFact
from peerlab.topology.model import RegistryEntry


@dataclass
class Cast:
    """What is announced in one family."""

    family: Family
    ingress: list[IngressCase]
    egress: list[EgressCase]
    blackholes: list[BlackholeCase]
    forgery: Forgery
    live: Prefix
    objects: list[RegistryEntry] = field(default_factory=list)
    blackholed_vrps: list[Vrp] = field(default_factory=list)

    def vrps(self) -> set[Vrp]:
        """The ROAs with which the scene begins."""
        found = {vrp for route in self.ingress for vrp in route.vrps}
        found |= {vrp for out in self.egress for vrp in out.vrps}
        return found | {self.forgery.loose, *self.blackholed_vrps}


@dataclass
class OriginScene:
    """The scene at work: examiners, the cast of both families, and what the cache serves now."""

    exam: Exam
    edge: str
    victim: int
    other: int
    casts: list[Cast]
    served: set[Vrp] = field(default_factory=set)

    # reading

    async def judged(self, case: str, family: Family) -> dict[str, RouteFact]:
        """What the edge has of a case's session, by prefix, accepted and rejected alike."""
        router, session = await self.exam.router(self.edge), self.exam[case].sessions[family]
        views = [await router.rib(view, session) for view in ("adj-rib-in-pre", "adj-rib-in-post")]
        return {route.prefix: route for rib in views for route in rib}

    async def vrps_in_force(self) -> int:
        """How many VRPs the edge validates by."""
        return (await (await self.exam.router(self.edge)).validation()).vrps

    async def flaps(self) -> dict[str, int]:
        """How often each examined session has gone down at the edge."""
        facts = await (await self.exam.router(self.edge)).sessions()
        return {fact.session: fact.flaps for fact in facts}

    # the cache

    async def serve(self, vrps: Iterable[Vrp]) -> None:
        """Have the cache serve these, and wait until the edge validates by them. Raises TimedOut."""
        self.served = set(vrps)
        lab = self.exam.rehearsal.lab
        await rpki.serve(lab, cache_of(lab.model), self.served)
        await rpki.followed(lab, nodes=(self.edge,))
        await lab.wait_quiet((self.edge,))


def cast_of(exam: Exam, family: Family, peer: int, cloud: int, victim: int, other: int) -> Cast:
    """Choose what is announced in a family, and the route objects that let it through the allow-list."""
    spare = exam.spare(family)
    ingress = list(ingress_cases(family, spare, peer, other))
    forged = forgery(family, spare, victim)
    covered, ordinary, foreign, live = (next(spare) for _ in range(4))
    objects = [route_object(case.covering, peer, family) for case in ingress]
    objects += [route_object(prefix, peer, family) for prefix in (covered, ordinary, live)]
    objects.append(route_object(forged.covering, victim, family))
    return Cast(
        family=family,
        ingress=ingress,
        egress=list(egress_cases(spare, cloud, peer, other)),
        blackholes=list(blackhole_cases(covered, ordinary, foreign)),
        forgery=forged,
        live=live,
        objects=objects,
        blackholed_vrps=[Vrp(covered, peer)],
    )


def fate_of(seen: dict[str, RouteFact], prefix: Prefix) -> dict[str, object]:
    """State and fate of a route; empty when the edge does not have it."""
    route = seen.get(prefix)
    if route is None:
        return {}
    return {"state": route.rpki or NOT_FOUND, "accepted": route.accepted, "reason": route.reason}
