"""Handlers: a customer's Peering Service and its prefixes (spec 3.6, 4.2)."""

from __future__ import annotations

import ipaddress

import msgspec

from peerlab.evidence.events import PrefixEventRaised
from peerlab.peering import refusal
from peerlab.peering.addressing import network
from peerlab.peering.command import (
    DeletePeeringService,
    DeleteServicePrefix,
    JudgeServicePrefix,
    PutPeeringService,
    PutServicePrefix,
    RecordPrefixEvents,
    RevalidateServicePrefix,
    TagPeeringService,
)
from peerlab.peering.monitor_request import drop_monitor_tests
from peerlab.peering.prefix_event import LEVELS
from peerlab.peering.record import PeeringServiceRecord, ServicePrefixRecord
from peerlab.peering.refusal import bad_argument
from peerlab.peering.registration_request import judged_state, record_verdicts
from peerlab.peering.scope import check_name
from peerlab.peering.states import PREFIX, ReviewTrigger, review
from peerlab.peering.work import Work

NO_BACKUP = frozenset({"", "none"})
"""How a request says that the internet is the backup (spec S0)."""


def put_peering_service(work: Work, command: PutPeeringService) -> None:
    """Create; later only tags change here: primary and backup change by mail (spec 3.6)."""
    check_name(command.name)
    body = command.service.properties
    provider = work.catalogue.provider(body.peering_service_provider or "")
    if provider is None:
        raise bad_argument(f"Peering service provider '{body.peering_service_provider}' is not found")
    primary = _served(work, provider.peering_locations, body.provider_primary_peering_location, provider.name)
    backup = None
    if (body.provider_backup_peering_location or "").casefold() not in NO_BACKUP:
        backup = _served(work, provider.peering_locations, body.provider_backup_peering_location, provider.name)
    if backup == primary:
        raise bad_argument("providerBackupPeeringLocation must differ from providerPrimaryPeeringLocation")
    if not command.service.location:
        raise bad_argument("location must be given")
    key = command.scope.key(command.name)
    before = work.ledger.services.get(key)
    wanted = PeeringServiceRecord(
        key=key,
        scope=command.scope,
        name=before.name if before else command.name,
        region=before.region if before else command.service.location,
        location=body.peering_service_location or "",
        provider=provider.name,
        primary=primary,
        backup=backup,
        sku=command.service.sku.name if command.service.sku else None,
        tags=command.service.tags,
    )
    if before is not None and msgspec.structs.replace(wanted, tags=before.tags, sku=before.sku) != before:
        raise refusal.not_supported(
            f"Provider and locations of peering service {before.name} cannot be changed; "
            "mail peeringservice@microsoft.com"
        )
    if wanted != before:
        work.save(wanted, created=before is None)


def tag_peering_service(work: Work, command: TagPeeringService) -> None:
    """Only tags can be patched."""
    service = work.service(command.service)
    if command.tags != service.tags:
        work.save(msgspec.structs.replace(service, tags=command.tags))


def delete_peering_service(work: Work, command: DeletePeeringService) -> None:
    """Its prefixes go with it and are deactivated."""
    service = work.service(command.service)
    for prefix in [p for p in work.ledger.prefixes.values() if p.service == service.key]:
        work.drop(prefix)
    drop_monitor_tests(work, service.key)
    work.drop(service)


def put_service_prefix(work: Work, command: PutServicePrefix) -> None:
    """Validation is queued. A prefix cannot be edited, and never belongs to two providers (spec 3.6, S4)."""
    check_name(command.name)
    service = work.service(command.service)
    net = network(command.prefix)
    key = f"{service.key}/{command.name}".lower()
    before = work.ledger.prefixes.get(key)
    if before is not None:
        if (before.prefix, before.prefix_key) != (str(net), command.prefix_key):
            raise refusal.not_supported(
                f"Peering service prefix {before.name} cannot be changed; delete it and create it again"
            )
        return
    for other in work.ledger.prefixes.values():
        if other.prefix == str(net) and work.ledger.services[other.service].provider != service.provider:
            raise bad_argument(f"Prefix {net} is in use with another provider; a prefix can have one provider only")
        if _overlap(other.prefix, str(net)):
            raise bad_argument(f"Prefix {net} overlaps an existing prefix {other.prefix}")
    record = ServicePrefixRecord(
        key=key, service=service.key, name=command.name, prefix=str(net), prefix_key=command.prefix_key
    )
    row = review(PREFIX, record.state, ReviewTrigger.SUBMIT)
    work.save(msgspec.structs.replace(record, state=row.after), created=True)


def judge_service_prefix(work: Work, command: JudgeServicePrefix) -> None:
    """Only a verified prefix is activated: carried cold to its location (spec S0)."""
    record = _prefix(work, command.prefix)
    state, error = judged_state(record.state, command.verdicts)
    record_verdicts(work, record.key, command.verdicts)
    work.save(msgspec.structs.replace(record, state=state, error=error, learned=command.learned))


def revalidate_service_prefix(work: Work, command: RevalidateServicePrefix) -> None:
    """Back to Pending: the prefix is not activated until it is verified again."""
    record = _prefix(work, command.prefix)
    row = review(PREFIX, record.state, ReviewTrigger.REVALIDATE)
    work.save(msgspec.structs.replace(record, state=row.after))


def record_prefix_events(work: Work, command: RecordPrefixEvents) -> None:
    """Events are kept in the order they happened, each with its type's level."""
    record = _prefix(work, command.prefix)
    for event in command.events:
        work.emit(
            PrefixEventRaised(
                at=work.now,
                name=record.key,
                prefix=record.prefix,
                kind=event.kind,
                level=LEVELS[event.kind],
                summary=event.summary,
                description=event.description,
                node=event.node,
                session=event.session,
                origin=event.origin,
                alarm=event.alarm,
                caused_at=event.caused_at,
                announced=event.announced,
            )
        )


def delete_service_prefix(work: Work, command: DeleteServicePrefix) -> None:
    """The prefix is deactivated with it."""
    work.drop(_prefix(work, command.prefix))


def _served(work: Work, offered: tuple[str, ...], location: str | None, provider: str) -> str:
    found = next((name for name in offered if name.casefold() == (location or "").casefold()), None)
    if found is None:
        raise bad_argument(f"Provider {provider} is not available at location '{location}'")
    place = work.catalogue.place(found)
    return place.name if place else found


def _overlap(a: str, b: str) -> bool:
    first, second = ipaddress.ip_network(a), ipaddress.ip_network(b)
    return first.version == second.version and first.overlaps(second)


def _prefix(work: Work, key: str) -> ServicePrefixRecord:
    record = work.ledger.prefixes.get(key.lower())
    if record is None:
        raise refusal.child_not_found()
    return record
