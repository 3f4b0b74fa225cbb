"""Validation of a topology's connections and prefixes from a snapshot of the routers.

The bridge between what was observed (``evidence.snapshot``) and the pure rules (``validation``,
``prefix_validation``): which sessions a rule is about, and what they received before policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import OriginValidator, Vrp
from peerlab.evidence.snapshot import Snapshot
from peerlab.peering.command import JudgeRegisteredPrefix, JudgeServicePrefix
from peerlab.peering.enums import ConnectionState, LearnedType
from peerlab.peering.ledger import Ledger
from peerlab.peering.prefix_validation import validate_registered, validate_service_prefix
from peerlab.peering.record import PeeringServiceRecord, ServicePrefixRecord
from peerlab.peering.validation import ObservedRoute, ObservedSession, validate_sessions
from peerlab.peering.verdict import RuleVerdict
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringRequest, Relation, Session, SessionEnd


def connection_verdicts(
    model: LabModel, peering: PeeringRequest, connection: ConnectionRequest, seen: Snapshot
) -> tuple[RuleVerdict, ...]:
    """End-to-end validation of one connection's sessions, as ``JudgeValidation`` wants it."""
    sessions = [model.session(name) for name in connection.sessions]
    return validate_sessions(
        [_observed(model, s, peering, connection, seen) for s in sessions],
        _routes(model, sessions, seen),
        agreed_asn=peering.peer_asn,
        public_ranges=model.public_ranges,
    )


def judge_registered(model: LabModel, ledger: Ledger, key: str, seen: Snapshot) -> JudgeRegisteredPrefix:
    """The command that ends the validation of a registered prefix. Raises KeyError for an unknown key."""
    record = ledger.registered_prefixes[key]
    found = [f for f in _service_sessions(model, ledger) if f[0].name == record.peering]
    pairs = [(p, c, s) for p, c, s in found if s.family is family_of_prefix(Prefix(record.prefix))]
    verdicts = validate_registered(
        record.prefix,
        [_observed(model, s, p, c, seen) for p, c, s in pairs],
        _routes(model, [s for _, _, s in pairs], seen),
        registry_asns={entry.origin_asn for entry in model.registry},
        public_ranges=model.public_ranges,
    )
    return JudgeRegisteredPrefix(registered=key, verdicts=verdicts)


def judge_service_prefix(model: LabModel, ledger: Ledger, key: str, seen: Snapshot) -> JudgeServicePrefix:
    """The command that ends the validation of a Peering Service prefix. Raises KeyError for an unknown key."""
    record = ledger.prefixes[key]
    service = ledger.services[record.service]
    provider = _provider_of_key(model, ledger, record, service)
    offered = [f for f in _service_sessions(model, ledger) if f[0].peer_asn == provider and f[2].family is Family.IPV4]
    at_primary = [f for f in offered if f[0].peering_location == service.primary]
    at_backup = [f for f in offered if f[0].peering_location == service.backup]
    routes = _routes(model, [s for _, _, s in (*at_primary, *at_backup)], seen)
    verdicts = validate_service_prefix(
        record.prefix,
        provider_asn=provider,
        primary=[_observed(model, s, p, c, seen) for p, c, s in at_primary],
        backup=[_observed(model, s, p, c, seen) for p, c, s in at_backup] if service.backup is not None else None,
        routes=routes,
        registry_asns={entry.origin_asn for entry in model.registry},
        public_ranges=model.public_ranges,
    )
    learned = any(r.prefix == record.prefix for r in routes or ())
    return JudgeServicePrefix(
        prefix=key,
        verdicts=verdicts,
        learned=LearnedType.VIA_SERVICE_PROVIDER if learned else LearnedType.NONE,
    )


def _provider_of_key(
    model: LabModel, ledger: Ledger, record: ServicePrefixRecord, service: PeeringServiceRecord
) -> int | None:
    """The chosen provider's ASN when one of its registrations has this key and is about this prefix."""
    asn = next((known.asn for known in model.ases if known.name == service.provider), None)
    if asn is None or record.prefix_key is None:
        return None
    for prefix in ledger.registered_prefixes.values():
        fits = prefix.prefix == record.prefix and prefix.prefix_key == record.prefix_key
        if fits and ledger.peerings[prefix.peering].asn == asn:
            return asn
    for customer in ledger.registered_asns.values():
        if customer.prefix_key == record.prefix_key and ledger.peerings[customer.peering].asn == asn:
            return asn
    return None


_Offered = tuple[PeeringRequest, ConnectionRequest, Session]


def _service_sessions(model: LabModel, ledger: Ledger) -> list[_Offered]:
    """Every session of an Active connection that is for Peering Service."""
    found: list[_Offered] = []
    for peering in model.peerings:
        record = ledger.peerings.get(peering.name)
        for connection in peering.connections:
            known = record.connection(connection.name) if record else None
            if known is None or known.state != ConnectionState.ACTIVE or not known.use_for_peering_service:
                continue
            found += [(peering, connection, model.session(name)) for name in connection.sessions]
    return found


def _ends(model: LabModel, session: Session) -> tuple[SessionEnd, SessionEnd]:
    """The cloud's end and the peer's."""
    cloud = model.cloud()
    left_is_cloud = cloud is None or session.left.asn == cloud.asn
    return (session.left, session.right) if left_is_cloud else (session.right, session.left)


def _observed(
    model: LabModel, session: Session, peering: PeeringRequest, connection: ConnectionRequest, seen: Snapshot
) -> ObservedSession:
    ours, theirs = _ends(model, session)
    node = seen.nodes.get(ours.node)
    fact = next((f for f in node.sessions if f.session == session.id), None) if node else None
    limit = connection.max_prefixes_v4 if session.family is Family.IPV4 else connection.max_prefixes_v6
    return ObservedSession(
        id=session.id,
        peer=theirs.address,
        family=session.family,
        router=ours.node,
        peering_location=peering.peering_location,
        state=fact.state if fact else "absent",
        peer_as=fact.peer_as if fact else theirs.asn,
        max_prefixes=limit,
        accepted=fact.accepted if fact else 0,
        advertised=fact.advertised if fact else 0,
        route_server=ours.relation is Relation.ROUTE_SERVER,
        waits_for_bfd=fact is not None and fact.bfd is not None and fact.bfd.config.strict and fact.bfd.state != "Up",
    )


def _routes(model: LabModel, sessions: Iterable[Session], seen: Snapshot) -> Sequence[ObservedRoute] | None:
    """Adj-RIB-In before policy of the sessions; None when an edge's RIBs are not in the snapshot."""
    vrps = (Vrp(e.prefix, e.origin_asn, e.max_length) for e in model.registry if e.max_length is not None)
    validator = OriginValidator(vrps)
    found: list[ObservedRoute] = []
    for session in sessions:
        ours, _ = _ends(model, session)
        node = seen.nodes.get(ours.node)
        if node is None or session.id not in node.adj_rib_in_pre:
            return None
        for route in node.adj_rib_in_pre[session.id]:
            origin = route.attributes.origin_as()
            state = validator.state(nlri_bytes(route.prefix), session.family, origin)
            found.append(
                ObservedRoute(session=session.id, prefix=route.prefix, attributes=route.attributes, rpki=state)
            )
    return found
