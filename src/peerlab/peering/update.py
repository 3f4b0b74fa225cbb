"""Handlers: what a PUT may change of a peering that exists (spec 3.2, 3.3, 3.7; the texts of 1.6)."""

from __future__ import annotations

import msgspec

from peerlab.peering import conversion, refusal
from peerlab.peering.enums import ConnectionState, Kind, SessionAddressProvider
from peerlab.peering.record import ConnectionRecord, FamilySession, PeeringRecord
from peerlab.peering.refusal import bad_argument, not_supported
from peerlab.peering.request_rules import check_bandwidth_change
from peerlab.peering.states import Trigger
from peerlab.peering.work import Work

_FREE = frozenset({ConnectionState.PENDING_APPROVAL, ConnectionState.PROVISIONING_FAILED})
"""States in which a connection is still only a request and may be rewritten."""


def update_peering(work: Work, before: PeeringRecord, wanted: PeeringRecord) -> None:
    """Take in a full PUT. Everything is checked before anything happens. Raises RefusedError."""
    _check_basics(before, wanted)
    if before.direct_type is not wanted.direct_type:
        conversion.request_type(work, before, wanted)
        return
    kept, new, gone = _compare(before, wanted)
    if conversion.under_way(before) and (new or gone):
        raise not_supported("Connections cannot be added or removed while a connection is converted")
    if gone and before.kind is Kind.DIRECT:
        raise not_supported(
            f"Connection {gone[0].label} cannot be removed from a Direct peering; mail peeringexperience@microsoft.com"
        )
    staying = [c for c in before.connections if c.state != ConnectionState.PENDING_REMOVE]
    if gone and len(gone) == len(staying) and not new:
        raise bad_argument("A peering needs at least one connection")
    asked = [
        asked
        for old, asked in kept
        if asked.use_for_peering_service
        and not (old.use_for_peering_service or old.wants_peering_service)
        and old.state not in _FREE
    ]
    if asked:
        conversion.check_preconditions(before)
    edited = [_edited(old, wanted_one, before) for old, wanted_one in kept]
    after = msgspec.structs.replace(
        before,
        sku=wanted.sku,
        tags=wanted.tags,
        probes=wanted.probes,
        connections=(*edited, *(c for c in before.connections if c in gone), *new),
    )
    if after != before:
        work.save(after)
    for old, connection in zip((o for o, _ in kept), edited, strict=True):
        if old.state == ConnectionState.PROVISIONING_FAILED and connection != old:
            work.step(before.key, connection.label, Trigger.REQUEST)
    for connection in new:
        work.step(before.key, connection.label, Trigger.REQUEST)
    for connection in gone:
        deletable = {*_FREE, ConnectionState.APPROVED}
        trigger = Trigger.DELETE if connection.state in deletable else Trigger.DEPROVISION
        work.step(before.key, connection.label, trigger)
    for connection in asked:
        conversion.request_peering_service(work, before.key, connection.label)


def _check_basics(before: PeeringRecord, wanted: PeeringRecord) -> None:
    """Basics cannot be changed later (spec 3.2)."""
    for what, old, new in (
        ("kind", before.kind, wanted.kind),
        ("peerAsn", before.peer_asn, wanted.peer_asn),
        ("peeringLocation", before.peering_location, wanted.peering_location),
    ):
        if old != new:
            raise bad_argument(f"{what} of peering {before.name} cannot be changed from {old} to {new}")


Pairs = list[tuple[ConnectionRecord, ConnectionRecord]]


def _compare(
    before: PeeringRecord, wanted: PeeringRecord
) -> tuple[Pairs, list[ConnectionRecord], list[ConnectionRecord]]:
    known = {c.identifier: c for c in before.connections}
    kept = [(known[c.identifier], c) for c in wanted.connections if c.identifier in known]
    new = [c for c in wanted.connections if c.identifier not in known]
    names = {c.identifier for c in wanted.connections}
    gone = [c for c in before.connections if c.identifier not in names and c.state != ConnectionState.PENDING_REMOVE]
    leaving = [
        (c, c) for c in before.connections if c.identifier not in names and c.state == ConnectionState.PENDING_REMOVE
    ]
    return kept + leaving, new, gone


def _edited(old: ConnectionRecord, wanted: ConnectionRecord, peering: PeeringRecord) -> ConnectionRecord:
    """The connection as it stands after the PUT; its state does not change here."""
    if wanted is old:
        return old
    if wanted.address_provider is not old.address_provider and old.state not in _FREE:
        raise bad_argument(f"sessionAddressProvider of connection {old.label} cannot be changed")
    v4, v6 = _family(old, wanted, peering, 4), _family(old, wanted, peering, 6)
    if wanted.md5 != old.md5 and old.state not in _FREE and peering.kind is Kind.EXCHANGE:
        raise refusal.exchange_update()
    if wanted.bandwidth != old.bandwidth:
        if conversion.under_way(peering):
            raise not_supported("Bandwidth cannot be changed while a connection is converted")
        check_bandwidth_change(old.bandwidth, wanted.bandwidth, active=old.state == ConnectionState.ACTIVE)
    if wanted.facility_id != old.facility_id and old.state not in _FREE:
        raise bad_argument(f"peeringDBFacilityId of connection {old.label} cannot be changed")
    if old.use_for_peering_service and not wanted.use_for_peering_service and old.state not in _FREE:
        raise not_supported(f"useForPeeringService of connection {old.label} cannot be taken back")
    free = old.state in _FREE
    return msgspec.structs.replace(
        old,
        bandwidth=wanted.bandwidth,
        address_provider=wanted.address_provider,
        use_for_peering_service=wanted.use_for_peering_service if free else old.use_for_peering_service,
        facility_id=wanted.facility_id,
        v4=v4,
        v6=v6,
        md5=wanted.md5,
    )


def _family(
    old: ConnectionRecord, wanted: ConnectionRecord, peering: PeeringRecord, version: int
) -> FamilySession | None:
    had, asked = (old.v4, wanted.v4) if version == 4 else (old.v6, wanted.v6)
    if old.state in _FREE:
        kept = old.address_provider is SessionAddressProvider.MICROSOFT and asked is None
        return had if kept else asked
    if asked is None or not asked.addressed:
        if had is not None and old.address_provider is not SessionAddressProvider.MICROSOFT:
            raise not_supported(
                f"The IPv{version} session of connection {old.label} cannot be removed; "
                "mail peeringexperience@microsoft.com"
            )
        return had
    if had is None:
        if old.state != ConnectionState.ACTIVE:
            raise not_supported(f"A session can be added to connection {old.label} only while it is Active")
        return msgspec.structs.replace(asked, unvalidated=True)
    if (asked.prefix, asked.peer, asked.microsoft) != (had.prefix, had.peer, had.microsoft):
        if peering.kind is Kind.EXCHANGE:
            raise refusal.exchange_update()
        raise bad_argument(f"Input prefix {asked.prefix} does not match existing {had.prefix}")
    if asked.max_prefixes != had.max_prefixes and peering.kind is Kind.EXCHANGE:
        raise refusal.exchange_update()
    return msgspec.structs.replace(had, max_prefixes=asked.max_prefixes)
