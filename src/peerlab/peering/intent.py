"""What the desk wants of the cloud's routers: every connection session with its stage and policies.

The model says which sessions a connection has (a route-server mesh has more than one per family); the ledger says
whether they are to exist and what may pass. Transit sessions are named too where Peering Service changes what they
may import.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.config import BfdConfig
from peerlab.bgp.policy import Policy
from peerlab.peering.catalogue import exchange_lans
from peerlab.peering.enums import ConnectionState
from peerlab.peering.ledger import Ledger
from peerlab.peering.number_space import DOCUMENTATION_ASNS, in_ranges
from peerlab.peering.policy import (
    Activation,
    EdgeRules,
    EdgeSession,
    Neighbour,
    export_policy,
    import_policy,
    transit_import,
)
from peerlab.peering.record import ConnectionRecord, LegacyRecord, PeeringRecord
from peerlab.topology.model import LabModel, PolicyStage, Relation, Session, SessionEnd


class EdgeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a session on a cloud router as it should be; ``stage`` None for a transit session."""

    node: str
    session: str
    stage: PolicyStage | None
    import_policy: Policy
    export_policy: Policy
    bfd: BfdConfig | None = None


def edge_ends(model: LabModel, ledger: Ledger, *, hot_potato: bool = False) -> tuple[EdgeEnd, ...]:
    """Every end that the desk wants. ``hot_potato`` takes location out of the preference (control run of spec B)."""
    rules = edge_rules(model, ledger, hot_potato=hot_potato)
    return (*_connection_ends(model, ledger, rules), *_transit_ends(model, rules))


def edge_rules(model: LabModel, ledger: Ledger, *, hot_potato: bool = False) -> EdgeRules:
    """What all edge sessions share, from the topology and from what is activated."""
    cloud = model.cloud()
    originated = [p for n in model.nodes if cloud is not None and n.asn == cloud.asn for p in n.originates]
    service = tuple(dict.fromkeys((*(cloud.prefixes if cloud else ()), *originated)))
    return EdgeRules(
        own=(*service, *(cloud.infrastructure if cloud else ())),
        service=service,
        exchange_lans=exchange_lans(model),
        public_ranges=model.public_ranges,
        registry=model.registry,
        activations=activations(model, ledger),
        unused_asns=tuple(
            unused for unused in DOCUMENTATION_ASNS if not any(in_ranges(known.asn, (unused,)) for known in model.ases)
        ),
        flat=hot_potato,
    )


def activations(model: LabModel, ledger: Ledger) -> tuple[Activation, ...]:
    """Every verified prefix with its provider's ASN and its locations, in order of their keys."""
    asns = {known.name: known.asn for known in model.ases}
    found = []
    for _, prefix in sorted(ledger.prefixes.items()):
        service = ledger.services[prefix.service]
        if prefix.activated and service.provider in asns:
            found.append(
                Activation(
                    prefix=Prefix(prefix.prefix),
                    provider_asn=asns[service.provider],
                    primary=service.primary,
                    backup=service.backup,
                )
            )
    return tuple(found)


def as_set(model: LabModel, asn: int) -> tuple[int, ...]:
    """The ASNs whose routes an AS may announce to the cloud: itself, its customers and theirs; of a route server, its
    clients' instead of customers. The cloud itself is in nobody's set."""
    cloud = model.cloud()
    below: dict[int, set[int]] = {}
    for session in model.sessions:
        for end, other in ((session.left, session.right), (session.right, session.left)):
            if end.relation in (Relation.CUSTOMER, Relation.ROUTE_SERVER_CLIENT):
                below.setdefault(end.asn, set()).add(other.asn)
    members: set[int] = set()
    todo = {asn}
    while todo:
        current = todo.pop()
        if current in members or (cloud is not None and current == cloud.asn):
            continue
        members.add(current)
        todo |= below.get(current, set())
    return tuple(sorted(members))


def _connection_ends(model: LabModel, ledger: Ledger, rules: EdgeRules) -> Iterator[EdgeEnd]:
    for session in model.sessions:
        if session.connection is None:
            continue
        name, _, label = session.connection.rpartition("/")
        peering = ledger.holder(name)
        connection = peering.connection(label) if peering else None
        if peering is None or connection is None or connection.stage is None:
            continue
        ours, theirs = _ends(model, session)
        stage = _stage(connection, session.family)
        if stage is None:
            continue
        described = _describe(model, ledger, peering, connection, session, ours, theirs)
        yield EdgeEnd(
            node=ours.node,
            session=session.id,
            stage=stage,
            import_policy=import_policy(described, stage, rules),
            export_policy=export_policy(described, stage, rules),
            bfd=bfd_of(session, connection),
        )


def _transit_ends(model: LabModel, rules: EdgeRules) -> Iterator[EdgeEnd]:
    for session in model.sessions:
        if session.connection is not None or session.is_internal:
            continue
        ours, _ = _ends(model, session)
        cloud = model.cloud()
        if cloud is None or ours.asn != cloud.asn or ours.relation is not Relation.PROVIDER:
            continue
        base = model.policies[ours.import_policy]
        changed = transit_import(base, session.family, rules, validates=model.validates(ours.node))
        if changed != base:
            yield EdgeEnd(
                node=ours.node,
                session=session.id,
                stage=None,
                import_policy=changed,
                export_policy=model.policies[ours.export_policy],
                bfd=session.bfd,
            )


def bfd_of(session: Session, connection: ConnectionRecord) -> BfdConfig | None:
    """BFD of a connection's session: the topology's, and for Voice strict at any rate (spec 3.7)."""
    if not connection.needs_bfd:
        return session.bfd
    return msgspec.structs.replace(session.bfd or BfdConfig(), strict=True)


def _ends(model: LabModel, session: Session) -> tuple[SessionEnd, SessionEnd]:
    cloud = model.cloud()
    if cloud is not None and session.right.asn == cloud.asn:
        return session.right, session.left
    return session.left, session.right


def _stage(connection: ConnectionRecord, family: Family) -> PolicyStage | None:
    """A family the connection does not have has no session; one that waits for its validation is denied."""
    record = connection.v4 if family is Family.IPV4 else connection.v6
    if record is None or not record.addressed:
        return None
    return PolicyStage.DENY if record.unvalidated else connection.stage


def _describe(
    model: LabModel,
    ledger: Ledger,
    peering: PeeringRecord | LegacyRecord,
    connection: ConnectionRecord,
    session: Session,
    ours: SessionEnd,
    theirs: SessionEnd,
) -> EdgeSession:
    lan = _lan(model, ours)
    if ours.relation is Relation.ROUTE_SERVER:
        neighbour = Neighbour.ROUTE_SERVER
    else:
        neighbour = Neighbour.EXCHANGE if lan is not None else Neighbour.PRIVATE
    registered = tuple(
        Prefix(r.prefix)
        for _, r in sorted(ledger.registered_prefixes.items())
        if ledger.peerings[r.peering].asn == peering.asn
    )
    return EdgeSession(
        name=session.id,
        family=session.family,
        neighbour=neighbour,
        peer_asn=theirs.asn,
        peer=theirs.address,
        microsoft=ours.address,
        location=peering.peering_location,
        as_set=as_set(model, theirs.asn),
        registered=registered,
        lan=lan,
        draining=connection.state == ConnectionState.PENDING_REMOVE,
        blackhole=_agreed_on_blackhole(model, session),
        validates=model.validates(ours.node),
    )


def _agreed_on_blackhole(model: LabModel, session: Session) -> bool:
    return any(
        connection.blackhole
        for peering in model.peerings
        for connection in peering.connections
        if f"{peering.name}/{connection.name}" == session.connection
    )


def _lan(model: LabModel, end: SessionEnd) -> Prefix | None:
    """The exchange LAN a session's end stands on, None on a point-to-point link."""
    lans = exchange_lans(model)
    for interface in model.node(end.node).interfaces:
        for text in (interface.v4, interface.v6):
            if text is None or interface.name != end.interface:
                continue
            here = ipaddress.ip_interface(text)
            if str(here.ip) == end.address and str(here.network) in lans:
                return Prefix(str(here.network))
    return None
