"""The policy phase: everything that a peer may not announce is announced once, and the edge's answer is looked at.

What has to be refused goes out on a session of a connection that was turned up, so that its own policy is judged. What
has to be accepted needs registered prefixes that nobody else uses: an examiner announces it, under the very policy
that the desk writes for such a peer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from peerlab.bgp.attributes import BgpRole, Family, Prefix
from peerlab.bgp.policy import AddCommunities, Policy, SetLocalPref, Statement, Verdict
from peerlab.controller import leaks
from peerlab.controller.announcements import (
    REGISTERED,
    Announcer,
    Row,
    accepted,
    foreign_first,
    passed_on,
    refused,
)
from peerlab.controller.cast import connections, sessions_of
from peerlab.controller.exam import EXAM_ACCEPT, Exam
from peerlab.controller.examiner import Post, free_asns
from peerlab.controller.own_exam import misbehave
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.unannounced import knock
from peerlab.evidence.story import Moment, Stimulus
from peerlab.peering.intent import edge_rules
from peerlab.peering.policy import EdgeSession, Neighbour, import_policy
from peerlab.router.protocol import Announce, Withdraw
from peerlab.topology.model import LabModel, NodeKind, PolicyStage, RegistryEntry, Relation, Session
from peerlab.topology.relation import LOCAL_PREF, Source, tag

PARTNER, CUSTOMER, DOWNSTREAM = "partner", "customer", "downstream"
"""The examiners: a peer with registered prefixes, a customer of the edge, and a customer of an AS beside the cloud."""
NEAR, BESIDE = "exam-p", "exam-q"
ROOM = 60
"""Routes that a session must still take before its limit, for all that is announced on it."""


@dataclass
class Programme:
    """What is announced: the rows and the leaks, each with who announces it."""

    rows: list[tuple[Announcer, Row]] = field(default_factory=list)
    leaks: list[leaks.Leak] = field(default_factory=list)

    def requests(self) -> Iterator[tuple[str, Announce]]:
        """What each node is asked to announce."""
        for by, row in self.rows:
            yield by.node, Announce(session=by.session, prefixes=row.prefixes, attributes=row.attributes)
        for leak in self.leaks:
            yield leak.by.node, Announce(session=leak.by.session, prefixes=(leak.prefix,), attributes=leak.attributes)


async def announce_all(rehearsal: Rehearsal) -> None:
    """Announce every case of both families, look at the whole lab, and take it all back."""
    edges = [connection.edge for _, connection in connections(rehearsal)]
    if not edges:
        return
    edge, beside = edges[0], _beside(rehearsal.model)
    posts = [Post(case=PARTNER, examiner=NEAR, at=edge), Post(case=CUSTOMER, examiner=NEAR, at=edge)]
    if beside is not None:
        posts.append(Post(case=DOWNSTREAM, examiner=BESIDE, at=beside))
    exam = await Exam.begin(rehearsal, posts)
    try:
        spare = {family: exam.spare(family) for family in Family}
        registered = {family: [next(spare[family]) for _ in range(REGISTERED)] for family in Family}
        _want(exam, registered)
        await exam.realise()
        await asyncio.gather(
            *(exam.is_up(one, f) for one in exam.examiners.values() for f in Family),
            *(exam.is_open(one, f) for one in exam.examiners.values() for f in Family),
        )
        programme = Programme()
        for family in Family:
            await _plan(exam, programme, family, spare[family], registered[family])
        await _play(exam, programme)
        await knock(rehearsal)
    finally:
        await exam.end()
    await misbehave(rehearsal)


def _beside(model: LabModel) -> str | None:
    """A router outside the cloud that announces to more than one other AS, or at least to one."""
    cloud = model.cloud()

    def ways(name: str) -> int:
        return sum(1 for s in model.sessions_of(name) if not s.is_internal)

    found = [
        node.name
        for node in model.nodes
        if node.kind is NodeKind.EXABGP and not node.route_server and cloud is not None and node.asn != cloud.asn
    ]
    return max(found, key=ways, default=None)


def _want(exam: Exam, registered: dict[Family, list[Prefix]]) -> None:
    """Want the examiners' sessions: the partner under the desk's own policy, the customer under roles alone."""
    rehearsal = exam.rehearsal
    for family in Family:
        exam.want(PARTNER, takes=_partner_policy(rehearsal, exam, family, registered[family]), families=(family,))
    exam.want(CUSTOMER, takes=EXAM_ACCEPT, at={"local_role": BgpRole.PROVIDER}, peer={"local_role": BgpRole.CUSTOMER})
    if DOWNSTREAM in exam.examiners:
        asn = rehearsal.model.node(exam[DOWNSTREAM].at).asn or 0
        exam.want(DOWNSTREAM, takes=_from_customer(asn), at={"relation": Relation.CUSTOMER.value})


def _partner_policy(rehearsal: Rehearsal, exam: Exam, family: Family, registered: Sequence[Prefix]) -> Policy:
    """The import policy that the desk writes for a private peer with these registered prefixes."""
    partner = exam[PARTNER]
    rules = edge_rules(rehearsal.lab.model, rehearsal.desk.desk.ledger, hot_potato=rehearsal.desk.hot_potato)
    objects = tuple(RegistryEntry(prefix=prefix, origin_asn=partner.asn) for prefix in registered)
    described = EdgeSession(
        name=partner.sessions[family],
        family=family,
        neighbour=Neighbour.PRIVATE,
        peer_asn=partner.asn,
        peer=partner.addresses[family],
        microsoft=partner.far_addresses[family],
        location="examination",
        as_set=(partner.asn,),
    )
    return import_policy(
        described, PolicyStage.ALLOW, msgspec.structs.replace(rules, registry=(*rules.registry, *objects))
    )


def _from_customer(asn: int) -> Policy:
    """What an AS does with a customer's route, as far as passing it on goes."""
    marked = (AddCommunities((tag(asn, Source.CUSTOMER),)), SetLocalPref(LOCAL_PREF[Source.CUSTOMER]))
    return Policy(
        name="examiner-customer",
        statements=(Statement(name="customer", actions=marked, verdict=Verdict.ACCEPT),),
    )


async def _plan(
    exam: Exam, programme: Programme, family: Family, spare: Iterator[Prefix], registered: list[Prefix]
) -> None:
    """Put every case of a family into the programme."""
    model = exam.rehearsal.model
    partner, customer = _examiner(exam, PARTNER, family), _examiner(exam, CUSTOMER, family)
    foreign = free_asns(model)
    one, two = next(foreign), next(foreign)
    peer = await _real_peer(exam.rehearsal, family) or partner
    cloud = model.cloud()
    programme.rows += [(peer, row) for row in refused(model, peer, spare, one)]
    programme.rows.append((peer, foreign_first(peer, spare, one)))
    namespace = cloud.asn if cloud is not None else 0
    programme.rows += [(partner, row) for row in accepted(partner, registered, namespace)]
    if DOWNSTREAM in exam.examiners:
        downstream = _examiner(exam, DOWNSTREAM, family)
        provider = model.node(downstream.edge).asn or 0
        programme.rows.append((downstream, passed_on(downstream, next(spare), provider)))
    programme.leaks += leaks.leaks(model, peer, customer, spare, (one, two))


def _examiner(exam: Exam, case: str, family: Family) -> Announcer:
    examiner = exam[case]
    return Announcer(
        node=examiner.node,
        session=examiner.sessions[family],
        family=family,
        asn=examiner.asn,
        address=examiner.addresses[family],
        edge=examiner.at,
        edge_address=examiner.far_addresses[family],
    )


async def _real_peer(rehearsal: Rehearsal, family: Family) -> Announcer | None:
    """The peer's end of a connection's bilateral session that has room for everything; None without one."""
    for _, connection in connections(rehearsal):
        for session in sessions_of(rehearsal, connection):
            if session.family is family and await _has_room(rehearsal, session, connection.edge):
                edge, peer = session.end(connection.edge), session.other(connection.edge)
                return Announcer(
                    node=peer.node,
                    session=session.id,
                    family=family,
                    asn=peer.asn,
                    address=peer.address,
                    edge=edge.node,
                    edge_address=edge.address,
                )
    return None


async def _has_room(rehearsal: Rehearsal, session: Session, edge: str) -> bool:
    """Whether the session is bilateral, its peer can be made to announce, and the edge's limit is far away."""
    if edge not in (session.left.node, session.right.node):
        return False
    end, peer = session.end(edge), rehearsal.model.node(session.other(edge).node)
    if peer.kind is not NodeKind.EXABGP or end.relation is Relation.ROUTE_SERVER:
        return False
    facts = await (await rehearsal.lab.router(edge)).sessions()
    received = next((fact.received for fact in facts if fact.session == session.id), 0)
    return end.max_prefix is None or received + ROOM <= end.max_prefix


async def _play(exam: Exam, programme: Programme) -> None:
    lab = exam.rehearsal.lab
    for by, row in programme.rows:
        exam.applied(
            Stimulus.ANNOUNCED,
            by.node,
            by.session,
            check=row.check,
            case=row.case,
            expected=row.expected,
            prefixes=list(row.prefixes),
            as_path=row.attributes.path_text(),
            communities=list(row.attributes.communities),
            **row.about,
        )
    for leak in programme.leaks:
        leaks.apply(exam, leak)
    sent: dict[tuple[str, str], list[Prefix]] = defaultdict(list)
    for node, request in programme.requests():
        sent[node, request.session] += request.prefixes
        await (await exam.router(node)).ask(request)
    await lab.wait_quiet()
    seen = await lab.snapshot(Moment.STIMULATED)
    for leak in programme.leaks:
        leaks.observe(exam, leak, seen)
    for (node, session), prefixes in sent.items():
        await (await exam.router(node)).ask(Withdraw(session=session, prefixes=tuple(dict.fromkeys(prefixes))))
    await lab.wait_quiet()
