"""Who of a lab plays an incident, on which session, and what exactly is announced. Pure but for the lab's model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import islice

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.controller import leaks
from peerlab.controller.announcements import Announcer
from peerlab.controller.exam import sequence, spare_prefixes
from peerlab.controller.examiner import free_asns
from peerlab.errors import RefusedError
from peerlab.peering.incident import Deed, Incident, Role
from peerlab.peering.intent import as_set
from peerlab.topology.model import AsRole, LabModel, NodeKind, Relation, SessionEnd
from peerlab.verify.bogon import TRANSIT_FREE

MANY = 200
"""Routes of a mass origination or a table, where the session's limit allows twice as many."""
PREPENDS = 6


class Victim(msgspec.Struct, frozen=True, kw_only=True):
    """Whose prefix it is; ``watched``: a Peering Service customer's, of which events are told."""

    prefix: Prefix
    origin: int
    watched: bool


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What is announced together: prefixes with the same attributes."""

    prefixes: tuple[Prefix, ...]
    attributes: PathAttributes


class IncidentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An incident in a lab. ``said`` is empty for a withdrawal, whose prefix is the victim's."""

    incident: Incident
    role: Role
    by: Announcer
    said: tuple[Said, ...]
    victim: Victim | None = None


def plan_incident(
    model: LabModel, incident: Incident, watched: Iterable[Prefix], established: Iterable[str]
) -> IncidentPlan:
    """Find the roles. ``watched`` are the prefixes of which events are told, ``established`` the sessions that are up.

    Raises RefusedError, naming the role that nobody of this lab can play.
    """
    if incident.deed is None:
        raise RefusedError("NotStaged", f"{incident.id} cannot be staged: {incident.why_not}")
    told, up = frozenset(watched), frozenset(established)
    there: list[str] = []
    for role in incident.roles:
        actors = list(announcers(model, role))
        running = [actor for actor in actors if actor.session in up]
        if actors and not running:
            there.append(f"no session of its {role}s is Established ({actors[0].session} for one)")
        for actor in running:
            plan = _plan(model, incident, role, actor, told)
            if plan is not None:
                return plan
        if running:
            there.append(f"it has no prefix that a {role} could do this to")
        elif not actors:
            there.append(f"it has no {role} with a router that can announce at will (kind exabgp)")
    raise RefusedError("NoSuchRole", f"{incident.id} cannot be staged in lab {model.name}: {'; '.join(there)}")


def announcers(model: LabModel, role: Role) -> Iterator[Announcer]:
    """Everybody of that role, and each session on which it could be played."""
    roles = {known.asn: known.role for known in model.ases}
    cloud = model.cloud()
    for session in model.sessions:
        for sender, receiver in ((session.left, session.right), (session.right, session.left)):
            node = model.node(sender.node)
            if session.is_internal or node.kind is not NodeKind.EXABGP or node.route_server:
                continue
            if cloud is None or sender.asn == cloud.asn or not _plays(role, roles[sender.asn], receiver, cloud.asn):
                continue
            yield Announcer(
                node=sender.node,
                session=session.id,
                family=session.family,
                asn=sender.asn,
                address=sender.address,
                edge=receiver.node,
                edge_address=receiver.address,
            )


def _plays(role: Role, kind: AsRole, receiver: SessionEnd, cloud: int) -> bool:
    """``receiver.relation`` is what the sender is to the receiver."""
    if role is Role.PEER:
        return receiver.relation is Relation.ROUTE_SERVER_CLIENT or (
            receiver.asn == cloud and receiver.relation is not Relation.PROVIDER
        )
    if role is Role.TRANSIT:
        return receiver.asn == cloud and receiver.relation is Relation.PROVIDER
    if receiver.asn == cloud or receiver.relation is not Relation.CUSTOMER:
        return False
    return (kind is AsRole.OBSERVER) is (role is Role.OBSERVER)


def _plan(
    model: LabModel, incident: Incident, role: Role, by: Announcer, watched: frozenset[Prefix]
) -> IncidentPlan | None:
    victims = list(_victims(model, by, watched, upstream=incident.deed is Deed.WITHDRAWAL))
    victim = victims[0] if victims else None
    said = tuple(_said(model, incident, by, victim))
    about_a_victim = incident.deed in (Deed.SUB_PREFIX, Deed.OPTIMISED, Deed.WITHDRAWAL)
    if about_a_victim and victim is None:
        return None
    if incident.deed is Deed.WITHDRAWAL and (victim is None or not victim.watched):
        return None
    return IncidentPlan(
        incident=incident, role=role, by=by, said=said, victim=victim if about_a_victim else None
    )


def _victims(model: LabModel, by: Announcer, watched: frozenset[Prefix], upstream: bool) -> Iterator[Victim]:
    """Registered prefixes that the actor may (``upstream``) or may not announce; those that are watched first."""
    cloud, mine = model.cloud(), as_set(model, by.asn)
    found = [
        Victim(prefix=entry.prefix, origin=entry.origin_asn, watched=entry.prefix in watched)
        for entry in model.registry
        if _is_of(entry.prefix, by.family)
        and (entry.origin_asn in mine) is upstream
        and (cloud is None or entry.origin_asn != cloud.asn)
    ]
    yield from sorted(found, key=lambda victim: not victim.watched)


def _said(model: LabModel, incident: Incident, by: Announcer, victim: Victim | None) -> Iterator[Said]:
    spare = spare_prefixes(model, by.family)
    unused = free_asns(model)
    one, two = next(unused), next(unused)
    match incident.deed:
        case Deed.SUB_PREFIX if victim is not None:
            yield _one(by, _halves(victim.prefix), (by.asn,))
        case Deed.OPTIMISED if victim is not None:
            yield _one(by, _halves(victim.prefix), (by.asn, one, victim.origin))
        case Deed.CLOUD:
            cloud = model.cloud()
            own = [p for p in (cloud.prefixes if cloud else ()) if _is_of(p, by.family)][:1]
            yield _one(by, tuple(part for p in own for part in (p, _halves(p)[0])), (by.asn,))
        case Deed.MASS:
            yield _one(by, tuple(islice(spare, _many(model, by))), (by.asn,))
        case Deed.TABLE:
            transit = min(TRANSIT_FREE - {by.asn})
            yield _one(by, tuple(islice(spare, _many(model, by))), (by.asn, transit, one))
        case Deed.PREPENDED:
            yield _one(by, tuple(islice(spare, _many(model, by))), (*(by.asn,) * PREPENDS, one, two))
        case Deed.LEAK if incident.rfc7908 is not None:
            leak = leaks.leak_of(model, incident.rfc7908, by, spare, (one, two))
            yield Said(prefixes=(leak.prefix,), attributes=leak.attributes)


def _one(by: Announcer, prefixes: tuple[Prefix, ...], path: tuple[int, ...]) -> Said:
    return Said(prefixes=prefixes, attributes=PathAttributes(as_path=sequence(*path), next_hop=by.address))


def _many(model: LabModel, by: Announcer) -> int:
    """As many as do not come near the limit of the session: that it is torn down is another check's affair."""
    limit = model.session(by.session).end(by.edge).max_prefix
    return MANY if limit is None else max(1, min(MANY, limit // 2))


def _halves(prefix: Prefix) -> tuple[Prefix, ...]:
    return tuple(Prefix(str(half)) for half in ip_network(prefix).subnets())


def _is_of(prefix: str, family: Family) -> bool:
    return (":" in prefix) is (family is Family.IPV6)
