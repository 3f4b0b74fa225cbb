"""Prefixes of others announced to an edge: under the desk's own policy, and where nothing filters them (SEC-04)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.policy import AddCommunities, Policy, Statement, Verdict
from peerlab.controller.exam import Exam, sequence
from peerlab.controller.examiner import Post
from peerlab.controller.origin_exam import described, desk_rules
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import Event, PrefixEventRaised
from peerlab.evidence.story_incident import GUARDED, Hijack, IncidentStimulus
from peerlab.peering.policy import Neighbour, import_policy
from peerlab.router.protocol import Announce
from peerlab.topology.model import PolicyStage, RegistryEntry

GUARD, OPEN = "hijack-guarded", "hijack-open"
"""The hijacker's session under the desk's policy, and the one where all is taken."""
HIJACKER = "exam-h"

ALARMED_WITHIN = 5.0
"""Seconds that an alarm is waited for; how soon it has to come is the check's affair."""

NO_ADVERTISE = "65535:65282"
"""RFC 1997: what is taken unfiltered stays at the edge that took it."""

TAKE_ALL = Policy(
    name="hijack-open-in",
    statements=(
        Statement(
            name="no filter",
            actions=(AddCommunities((Neighbour.PRIVATE.tag, NO_ADVERTISE)),),
            verdict=Verdict.ACCEPT,
        ),
    ),
)


@dataclass(frozen=True)
class Case:
    """One announcement: which case, whose prefix, and what is announced of it."""

    case: Hijack
    victim: Prefix
    prefix: Prefix


def posts(edge: str) -> list[Post]:
    """The hijacker's wires to an edge."""
    return [Post(case=case, examiner=HIJACKER, at=edge) for case in (GUARD, OPEN)]


Programme = list[tuple[Family, str, Case]]
"""What is announced: in which family, on whose session, and what."""


def prepare(exam: Exam, rehearsal: Rehearsal, edge: str) -> Programme:
    """Want the hijacker's sessions. Answers with what is to be announced on them."""
    programme: Programme = []
    objects: list[RegistryEntry] = []
    cloud = rehearsal.model.node(edge).asn
    for family in Family:
        wide = _two_together(exam, family)
        objects.append(RegistryEntry(prefix=wide, origin_asn=exam[GUARD].asn + 1, max_length=None))
        cases = list(_guarded(rehearsal, family, cloud, wide))
        programme += [(family, GUARD, case) for case in cases]
        programme += [(family, OPEN, case) for case in _open(rehearsal, family)]
    rules = desk_rules(rehearsal, objects)
    for family in Family:
        peer = described(exam, GUARD, family, (exam[GUARD].asn,))
        exam.want(GUARD, takes=import_policy(peer, PolicyStage.ALLOW, rules), families=(family,))
    exam.want(OPEN, takes=TAKE_ALL)
    return programme


async def hijack(exam: Exam, rehearsal: Rehearsal, edge: str, programme: Programme) -> None:
    """Announce everything of both families, see what the edge makes of it, and wait for the alarms."""
    await asyncio.gather(*(exam.is_up(exam[case], family) for case in (GUARD, OPEN) for family in Family))
    await asyncio.gather(*(exam.is_open(exam[case], family) for case in (GUARD, OPEN) for family in Family))
    alarms = _Alarms({f"{exam[OPEN].sessions[f]} {case.prefix}" for f, post, case in programme if post == OPEN})
    rehearsal.lab.listeners.append(alarms.heard)
    try:
        for family, post, case in programme:
            await _announce(exam, family, post, case)
        await rehearsal.lab.wait_quiet((edge, exam[GUARD].node))
        await alarms.wait()
    finally:
        rehearsal.lab.listeners.remove(alarms.heard)
    for family, post, case in programme:
        await _observe(exam, family, post, case)


class _Alarms:
    """Waits for one alarm of each (session, announced prefix)."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._all = asyncio.Event()
        if not wanted:
            self._all.set()

    def heard(self, event: Event) -> None:
        """A listener of the lab's events."""
        if isinstance(event, PrefixEventRaised) and event.alarm:
            self._wanted.discard(f"{event.session} {event.announced or event.prefix}")
            if not self._wanted:
                self._all.set()

    async def wait(self) -> None:
        """Returns when all came, or none is waited for any more."""
        try:
            await asyncio.wait_for(self._all.wait(), ALARMED_WITHIN)
        except TimeoutError:
            return


def _two_together(exam: Exam, family: Family) -> Prefix:
    """A prefix of which both halves are spare ones: what has a route object, while its halves have none."""
    seen: set[Prefix] = set()
    while True:
        spare = next(exam.spare(family))
        whole = ip_network(spare).supernet()
        if {str(half) for half in whole.subnets()} <= {*seen, spare}:
            return Prefix(str(whole))
        seen.add(spare)


def _guarded(rehearsal: Rehearsal, family: Family, cloud: int | None, wide: Prefix) -> Iterator[Case]:
    model = rehearsal.model
    registered = next(
        (e.prefix for e in model.registry if e.origin_asn != cloud and (":" in e.prefix) is (family is Family.IPV6)),
        None,
    )
    if registered is not None:
        yield Case(Hijack.EXACT, registered, registered)
        yield Case(Hijack.SPECIFIC, registered, _half(registered))
    own = next((p for a in model.ases if a.asn == cloud for p in a.prefixes if _is_of(p, family)), None)
    if own is not None:
        yield Case(Hijack.CLOUD, own, own)
        yield Case(Hijack.CLOUD_SPECIFIC, own, _half(own))
    for half in ip_network(wide).subnets():
        yield Case(Hijack.HALVES, wide, Prefix(str(half)))


def _open(rehearsal: Rehearsal, family: Family) -> Iterator[Case]:
    """The first Peering Service prefix of a family that stands on the desk, and a part of it."""
    known = sorted(record.prefix for record in rehearsal.desk.desk.ledger.prefixes.values() if record.activated)
    prefix = next((Prefix(p) for p in known if _is_of(p, family)), None)
    if prefix is not None:
        yield Case(Hijack.OPEN_EXACT, prefix, prefix)
        yield Case(Hijack.OPEN_SPECIFIC, prefix, _half(prefix))


def _half(prefix: Prefix) -> Prefix:
    return Prefix(str(next(ip_network(prefix).subnets())))


def _is_of(prefix: str, family: Family) -> bool:
    return (":" in prefix) is (family is Family.IPV6)


async def _announce(exam: Exam, family: Family, post: str, case: Case) -> None:
    examiner = exam[post]
    attributes = PathAttributes(as_path=sequence(examiner.asn), next_hop=examiner.addresses[family])
    exam.applied(
        IncidentStimulus.HIJACKED,
        examiner.node,
        examiner.sessions[family],
        trial=_trial(case),
        case=case.case,
        prefix=case.prefix,
        victim=case.victim,
        as_path=attributes.path_text(),
        guarded=case.case in GUARDED,
    )
    router = await exam.router(examiner.node)
    await router.ask(
        Announce(session=examiner.sessions[family], prefixes=(case.prefix,), attributes=attributes)
    )


async def _observe(exam: Exam, family: Family, post: str, case: Case) -> None:
    examiner = exam[post]
    router = await exam.router(examiner.at)
    held = await router.rib("adj-rib-in-pre", examiner.sessions[family])
    route = next((r for r in held if r.prefix == case.prefix), None)
    saw = {} if route is None else {"accepted": route.accepted, "reason": route.reason}
    exam.observed(
        IncidentStimulus.HIJACKED,
        examiner.node,
        examiner.sessions[family],
        trial=_trial(case),
        prefix=case.prefix,
        **msgspec.to_builtins(saw),
    )


def _trial(case: Case) -> str:
    return f"{case.case} {case.prefix}"
