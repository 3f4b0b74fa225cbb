"""Which of the lab's wires a requested connection is: matched by the addresses that the peer asks for.

A topology lays wires and says who stands at their ends; its ``peerings:`` name them. Somebody who asks through the
API knows neither names nor wires, only addresses. A connection is the wire's when AS, place and kind agree and the
session addresses of each family asked for are those of a session that the wire carries.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.peering.catalogue import ReservedPrefixes
from peerlab.peering.enums import DirectPeeringType, Kind
from peerlab.peering.ledger import Ledger
from peerlab.peering.record import ConnectionRecord, FamilySession, LegacyRecord, PeeringRecord
from peerlab.topology.model import ConnectionRequest, LabModel, PeeringKind, PeeringRequest, Session

Holder = PeeringRecord | LegacyRecord
"""What has connections: a resource, or a peering that was made out of band."""


Slot = tuple[PeeringRequest, ConnectionRequest]
"""A wire of the topology, with the peering that it names it by."""

Place = tuple[int, str, Kind, bool]
"""AS, peering location, kind, and whether it is a route server's: what has to agree before addresses are looked at."""


def cabled(model: LabModel, ledger: Ledger) -> LabModel:
    """The model with its connections named as the desk knows them: keys of peerings, labels of connections.

    Sessions that nobody asked for keep the topology's own name; the desk has no such peering, so they do not exist.
    """
    taken: dict[str, str] = {}
    limits: dict[str, int] = {}
    peerings: list[PeeringRequest] = []
    slots = _slots_by_place(model)
    holders: tuple[Holder, ...] = (*ledger.peerings.values(), *ledger.legacy.values())
    for peering in holders:
        there = slots.get(_place_of(peering))
        if not there:
            continue
        found = []
        for connection in peering.connections:
            match = _wire_of(model, there, peering, connection, taken)
            if match is None:
                continue
            slot, wired = match
            found.append(wired)
            for name in wired.sessions:
                taken[name] = f"{peering.key}/{connection.label}"
                limits[name] = _limit(connection, model.session(name))
        if found:
            peerings.append(_peering(slot, peering, found))
    sessions = tuple(
        _limited(msgspec.structs.replace(s, connection=taken[s.id]), limits[s.id], model) if s.id in taken else s
        for s in model.sessions
    )
    unasked = [
        p
        for p in model.peerings
        if p.name not in ledger.peerings and not any(s in taken for c in p.connections for s in c.sessions)
    ]
    return msgspec.structs.replace(model, sessions=sessions, peerings=(*unasked, *peerings))


def find_connection(model: LabModel, peering_key: str, label: str) -> tuple[PeeringRequest, ConnectionRequest] | None:
    """The wire of a connection in a cabled model, None when it has none."""
    for peering in model.peerings:
        if peering.name == peering_key:
            for connection in peering.connections:
                if connection.name == label:
                    return peering, connection
    return None


def free_prefixes(
    model: LabModel, ledger: Ledger, peering: PeeringRecord, spoken_for: Iterable[ReservedPrefixes] = ()
) -> ReservedPrefixes | None:
    """Session prefixes of a wire of that AS, place and kind that nobody has asked for: what Microsoft can assign."""
    used = {s.prefix for p in ledger.peerings.values() for c in p.connections for s in (c.v4, c.v6) if s is not None}
    used |= {prefix for reserved in spoken_for for prefix in (reserved.v4, reserved.v6)}
    for _, slot in _slots(model, peering):
        prefixes = {slot.session_prefix_v4, slot.session_prefix_v6} - {None}
        if slot.link is not None and prefixes and not prefixes & used:
            return ReservedPrefixes(v4=slot.session_prefix_v4, v6=slot.session_prefix_v6)
    return None


def why_no_wire(model: LabModel, peering: PeeringRecord, connection: ConnectionRecord) -> str:
    """What to tell people about a connection without a wire: what it asks for, and what there is."""
    asked = ", ".join(f"{s.peer} - {s.microsoft}" for s in (connection.v4, connection.v6) if s is not None)
    there = "; ".join(
        f"{slot.peer} - {slot.edge}: {' '.join(str(p) for p in (slot.session_prefix_v4, slot.session_prefix_v6) if p)}"
        for _, slot in _slots(model, peering)
    )
    return (
        f"No wire of this lab joins AS{peering.asn} to an edge at {peering.peering_location} with the sessions "
        f"{asked or 'nobody has addressed yet'}; there is {there or 'no wire between the two at all'}"
    )


def _slots(model: LabModel, peering: Holder) -> list[Slot]:
    return _slots_by_place(model).get(_place_of(peering), [])


def _slots_by_place(model: LabModel) -> dict[Place, list[Slot]]:
    """Every wire of the topology by AS, place and kind: thousands of requests look here at each change."""
    found: dict[Place, list[Slot]] = {}
    for slot in model.peerings:
        place = (slot.peer_asn, slot.peering_location.casefold(), Kind(slot.kind), slot.direct_peering_type == "IxRs")
        found.setdefault(place, []).extend((slot, connection) for connection in slot.connections)
    return found


def _place_of(peering: Holder) -> Place:
    on_lan = peering.direct_type is DirectPeeringType.IX_RS
    return peering.asn, peering.peering_location.casefold(), peering.kind, on_lan


def _wire_of(
    model: LabModel,
    slots: Iterable[Slot],
    peering: Holder,
    connection: ConnectionRecord,
    taken: dict[str, str],
) -> tuple[PeeringRequest, ConnectionRequest] | None:
    for slot, wire in slots:
        sessions = [model.session(name) for name in wire.sessions if name not in taken]
        own_name = (slot.name, wire.name) == (peering.key, connection.label)
        whole = own_name or peering.direct_type is DirectPeeringType.IX_RS
        mine = [s for s in sessions if _carries(wire, s, _family(connection, s.family), whole=whole)]
        wanted = {f for f in Family if (asked := _family(connection, f)) is not None and asked.addressed}
        if wanted and {s.family for s in mine} == wanted:
            return slot, _named(model, wire, mine, connection)
    return None


def _family(connection: ConnectionRecord, family: Family) -> FamilySession | None:
    return connection.v4 if family is Family.IPV4 else connection.v6


def _carries(wire: ConnectionRequest, session: Session, asked: FamilySession | None, *, whole: bool) -> bool:
    """A route-server mesh, or what a topology calls one connection, is all sessions behind one pair of addresses."""
    if asked is None or not asked.addressed:
        return False
    pair = {str(asked.peer), str(asked.microsoft)}
    if whole:
        v4 = session.family is Family.IPV4
        return pair == {str(wire.peer_v4 if v4 else wire.peer_v6), str(wire.microsoft_v4 if v4 else wire.microsoft_v6)}
    return pair == {str(session.left.address), str(session.right.address)}


def _named(
    model: LabModel, wire: ConnectionRequest, sessions: list[Session], connection: ConnectionRecord
) -> ConnectionRequest:
    cloud = model.cloud()
    first = sessions[0]
    ours, theirs = (first.left, first.right) if cloud and first.left.asn == cloud.asn else (first.right, first.left)
    v4, v6 = connection.v4 or FamilySession(), connection.v6 or FamilySession()
    return msgspec.structs.replace(
        wire,
        name=connection.label,
        edge=ours.node,
        peer=theirs.node,
        session_prefix_v4=v4.prefix,
        session_prefix_v6=v6.prefix,
        microsoft_v4=v4.microsoft,
        microsoft_v6=v6.microsoft,
        peer_v4=v4.peer,
        peer_v6=v6.peer,
        sessions=tuple(s.id for s in sessions),
        bandwidth_mbps=connection.bandwidth or wire.bandwidth_mbps,
        max_prefixes_v4=v4.max_prefixes,
        max_prefixes_v6=v6.max_prefixes,
        use_for_peering_service=connection.use_for_peering_service,
    )


def _peering(slot: PeeringRequest, record: Holder, found: list[ConnectionRequest]) -> PeeringRequest:
    return msgspec.structs.replace(
        slot,
        name=record.key,
        kind=PeeringKind(record.kind),
        sku=record.sku if isinstance(record, PeeringRecord) else slot.sku,
        direct_peering_type=str(record.direct_type or slot.direct_peering_type),
        connections=tuple(found),
        registered_prefixes=(),
        registered_asns=(),
    )


def _limit(connection: ConnectionRecord, session: Session) -> int:
    asked = _family(connection, session.family)
    return asked.max_prefixes if asked else 0


def _limited(session: Session, limit: int, model: LabModel) -> Session:
    """``maxPrefixesAdvertised`` is what Microsoft's end accepts; it keeps its own limit when none was asked for."""
    cloud = model.cloud()
    if cloud is None or not limit:
        return session
    if session.left.asn == cloud.asn:
        return msgspec.structs.replace(session, left=msgspec.structs.replace(session.left, max_prefix=limit))
    return msgspec.structs.replace(session, right=msgspec.structs.replace(session.right, max_prefix=limit))
