"""Handlers: legacy peerings become resources, and peerings change their type (spec 2.7, 3.4, 3.7)."""

from __future__ import annotations

import msgspec

from peerlab.peering import mail
from peerlab.peering.command import ApproveTypeChange, FinishTypeChange, RejectTypeChange, SeedLegacy
from peerlab.peering.enums import ConnectionState, DirectPeeringType, SessionAddressProvider
from peerlab.peering.record import ConnectionRecord, LegacyRecord, PeeringRecord, RegisteredPrefixRecord
from peerlab.peering.refusal import bad_argument, not_supported
from peerlab.peering.states import LEGACY, Trigger
from peerlab.peering.work import Work, labels

_CONVERTIBLE = {(DirectPeeringType.EDGE, DirectPeeringType.VOICE)}
_CHANGING = (ConnectionState.TYPE_CHANGE_REQUESTED, ConnectionState.TYPE_CHANGE_IN_PROGRESS)


def seed_legacy(work: Work, command: SeedLegacy) -> None:
    """Record what was made out of band; its sessions run under an open policy already."""
    if command.legacy.key in work.ledger.legacy:
        raise bad_argument(f"Legacy peering {command.legacy.key} exists already")
    work.save(command.legacy, created=True)


def legacy_for(work: Work, wanted: PeeringRecord) -> LegacyRecord | None:
    """The legacy peering that a request of the same AS, type and place has to take over."""
    return next(
        (
            legacy
            for legacy in work.ledger.legacy.values()
            if (legacy.asn, legacy.kind, legacy.direct_type, legacy.peering_location.casefold())
            == (wanted.asn, wanted.kind, wanted.direct_type, wanted.peering_location.casefold())
        ),
        None,
    )


def convert_legacy(work: Work, legacy: LegacyRecord, wanted: PeeringRecord) -> None:
    """Legacy connections, unchanged, become Active without a session reset; others in the PUT are new requests."""
    old: list[ConnectionRecord] = []
    new: list[ConnectionRecord] = []
    for connection in wanted.connections:
        match = next((c for c in legacy.connections if _addresses(c) == _addresses(connection)), None)
        if match is None:
            new.append(connection)
        elif _terms(match) != _terms(connection):
            raise bad_argument(f"Legacy connection {match.label} cannot be changed while it is converted")
        else:
            old.append(
                msgspec.structs.replace(
                    match, identifier=connection.identifier, label=connection.label, state=LEGACY, stage=match.stage
                )
            )
    if len(old) != len(legacy.connections):
        raise bad_argument(
            f"Microsoft might already have a peering with ASN {wanted.asn} at {wanted.peering_location}; "
            "convert all connections of the legacy peering instead"
        )
    work.save(msgspec.structs.replace(wanted, connections=(*old, *new)), created=True)
    work.drop(legacy)
    for connection in old:
        work.step(wanted.key, connection.label, Trigger.CONVERT)
    for connection in new:
        work.step(wanted.key, connection.label, Trigger.REQUEST)


def under_way(peering: PeeringRecord) -> bool:
    """Whether some connection of the peering is being converted."""
    return any(c.state in _CHANGING for c in peering.connections)


def check_preconditions(peering: PeeringRecord) -> None:
    """At least two connections, all Active, of equal bandwidth. Raises RefusedError (texts are ours)."""
    if len(peering.connections) < 2:
        raise not_supported(f"Peering {peering.name} has one connection; conversion needs at least two")
    idle = [c for c in peering.connections if c.state != ConnectionState.ACTIVE]
    if idle:
        raise not_supported(f"Conversion needs every connection Active: {labels(idle)}")
    if len({c.bandwidth for c in peering.connections}) > 1:
        raise not_supported(f"Conversion needs equal bandwidth on every connection of peering {peering.name}")


def request_type(work: Work, before: PeeringRecord, wanted: PeeringRecord) -> None:
    """The whole peering asks for another type; nothing else may change in the same PUT, or while it is under way."""
    if (before.direct_type, wanted.direct_type) not in _CONVERTIBLE:
        raise not_supported(f"A peering cannot be converted from {before.direct_type} to {wanted.direct_type}")
    if before.wanted_type is not wanted.direct_type:
        check_preconditions(before)
    if {c.identifier for c in wanted.connections} != {c.identifier for c in before.connections}:
        raise not_supported("Connections cannot be added or removed while a peering is converted")
    bandwidth = {c.identifier: c.bandwidth for c in before.connections}
    if any(c.bandwidth != bandwidth[c.identifier] for c in wanted.connections):
        raise not_supported("Bandwidth cannot be changed while a connection is converted")
    if before.wanted_type is wanted.direct_type:
        return
    work.save(msgspec.structs.replace(before, wanted_type=wanted.direct_type, sku=wanted.sku))
    for connection in before.connections:
        work.step(before.key, connection.label, Trigger.TYPE_CHANGE_REQUEST)
        _tell(work, before.key, connection.label, "Type change requested", f"to {wanted.direct_type}")


def request_peering_service(work: Work, peering_key: str, label: str) -> None:
    """One connection asks for Peering Service."""
    peering, connection = work.connection(peering_key, label)
    work.replace(peering.key, msgspec.structs.replace(connection, wants_peering_service=True))
    work.step(peering.key, connection.label, Trigger.TYPE_CHANGE_REQUEST)
    _tell(work, peering.key, label, "Type change requested", "Peering Service")


def approve_type_change(work: Work, command: ApproveTypeChange) -> None:
    """One connection at a time; the others of the peering carry its traffic (spec 3.7)."""
    peering, connection = work.connection(command.peering, command.connection)
    busy = [c for c in peering.connections if c.state == ConnectionState.TYPE_CHANGE_IN_PROGRESS]
    if busy:
        raise not_supported(f"One connection is converted at a time; still in progress: {labels(busy)}")
    changed = work.step(peering.key, connection.label, Trigger.TYPE_CHANGE_START)
    text = "Traffic will be drained."
    if changed is not None and peering.wanted_type is DirectPeeringType.VOICE:
        work.replace(peering.key, msgspec.structs.replace(changed, needs_bfd=True))
        text += " Configure BFD on its sessions: no traffic is allowed before both BGP and BFD are up."
    _tell(work, peering.key, connection.label, "Type change approved", text)


def reject_type_change(work: Work, command: RejectTypeChange) -> None:
    """The connection stays what it was; the reason is mailed and shown."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.TYPE_CHANGE_REJECT, command.reason)
    after = work.ledger.peerings[peering.key]
    rejected = after.connection(connection.identifier)
    if rejected is not None:
        after = after.replacing(msgspec.structs.replace(rejected, wants_peering_service=False))
    if not under_way(after):
        after = msgspec.structs.replace(after, wanted_type=None)
    work.save(after)
    _tell(work, peering.key, connection.label, "Type change rejected", command.reason)


def finish_type_change(work: Work, command: FinishTypeChange) -> None:
    """The connection carries traffic under its new type; with the last one the peering has the new type.

    Voice sessions have Microsoft-provided addresses from then on. Where there is a Voice peering already, the
    connections move into it and the converted resource is gone (spec 3.7).
    """
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.TYPE_CHANGE_DONE)
    after = work.ledger.peerings[peering.key]
    done = after.connection(connection.identifier)
    if done is not None:
        service = done.wants_peering_service or peering.wanted_type is DirectPeeringType.VOICE
        after = after.replacing(
            msgspec.structs.replace(
                done,
                use_for_peering_service=done.use_for_peering_service or service,
                wants_peering_service=False,
            )
        )
    if peering.wanted_type is not None and not under_way(after):
        after = msgspec.structs.replace(
            after,
            direct_type=peering.wanted_type,
            wanted_type=None,
            connections=tuple(
                msgspec.structs.replace(c, address_provider=SessionAddressProvider.MICROSOFT) for c in after.connections
            ),
        )
    work.save(after)
    _tell(work, peering.key, connection.label, "Type change complete", "Traffic is back.")
    if peering.wanted_type is not None and not under_way(after):
        _merge(work, after)


def _merge(work: Work, converted: PeeringRecord) -> None:
    """Into the peering of the same AS, type and place, if there is one; registrations and their keys come along."""
    target = next(
        (
            other
            for other in work.ledger.peerings.values()
            if other.key != converted.key
            and (other.asn, other.kind, other.direct_type, other.peering_location)
            == (converted.asn, converted.kind, converted.direct_type, converted.peering_location)
        ),
        None,
    )
    if target is None:
        return
    taken = {c.label for c in target.connections}
    moved = tuple(
        msgspec.structs.replace(c, label=c.identifier) if c.label in taken else c for c in converted.connections
    )
    work.save(msgspec.structs.replace(target, connections=(*target.connections, *moved)))
    for registered in [r for r in work.ledger.registered_prefixes.values() if r.peering == converted.key]:
        work.drop(registered)
        work.save(_registered_under(target, registered, work), created=True)
    mails = mail.resource_merged(work.now, work.mail_of(converted), converted, target)
    work.drop(converted)
    work.emit(*mails)


def _registered_under(target: PeeringRecord, registered: RegisteredPrefixRecord, work: Work) -> RegisteredPrefixRecord:
    """The same registration under another peering; under its full old name where its own is taken there."""
    name = registered.name
    if f"{target.key}/{name}".lower() in work.ledger.registered_prefixes:
        name = f"{registered.peering.rpartition('/')[2]}-{name}"
    return msgspec.structs.replace(registered, key=f"{target.key}/{name}".lower(), peering=target.key, name=name)


def _addresses(connection: ConnectionRecord) -> tuple[object, ...]:
    return tuple((s.peer, s.microsoft) if s is not None else None for s in (connection.v4, connection.v6))


def _terms(connection: ConnectionRecord) -> tuple[object, ...]:
    limits = (s.max_prefixes if s is not None else None for s in (connection.v4, connection.v6))
    return (*limits, connection.md5, connection.facility_id)


def _tell(work: Work, peering_key: str, label: str, subject: str, text: str) -> None:
    peering, connection = work.connection(peering_key, label)
    work.emit(*mail.connection_notice(work.now, work.mail_of(peering), peering, connection, subject, text))
