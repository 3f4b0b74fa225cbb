"""Handlers: a Peering Service partner registers its customers' prefixes or ASNs (spec 1.5, 2.5, 3.4, 3.5)."""

from __future__ import annotations

import msgspec

from peerlab.evidence.events import ResourceChanged, ValidationJudged
from peerlab.peering import refusal
from peerlab.peering.addressing import network
from peerlab.peering.command import (
    DeleteRegisteredAsn,
    DeleteRegisteredPrefix,
    JudgeRegisteredPrefix,
    PutRegisteredAsn,
    PutRegisteredPrefix,
    SignAgreement,
    ValidateRegisteredPrefix,
)
from peerlab.peering.enums import ConnectionState, DirectPeeringType, Kind, LearnedType, PrefixValidationState
from peerlab.peering.ledger import AGREEMENT, CREATED
from peerlab.peering.prefix_validation import PROVIDER_NOT_FOUND
from peerlab.peering.record import PeeringRecord, RegisteredAsnRecord, RegisteredPrefixRecord
from peerlab.peering.request_rules import check_peer_asn_number
from peerlab.peering.scope import check_name
from peerlab.peering.states import PREFIX, ReviewTrigger, review
from peerlab.peering.verdict import RuleVerdict, failures, warnings
from peerlab.peering.work import Work

_PREFIX_TYPES = frozenset({DirectPeeringType.EDGE, DirectPeeringType.VOICE})


def sign_agreement(work: Work, command: SignAgreement) -> None:
    """Route-server connections of that AS are for Peering Service from now on (spec 3.5)."""
    if command.asn in work.ledger.agreements:
        return
    work.emit(ResourceChanged(at=work.now, kind=AGREEMENT, name=str(command.asn), change=CREATED))
    for peering in list(work.ledger.peerings.values()):
        if peering.asn == command.asn and peering.direct_type is DirectPeeringType.IX_RS:
            connections = tuple(msgspec.structs.replace(c, use_for_peering_service=True) for c in peering.connections)
            work.save(msgspec.structs.replace(peering, connections=connections))


def put_registered_prefix(work: Work, command: PutRegisteredPrefix) -> None:
    """The key is there at once; validation is queued. A prefix belongs to one peering only."""
    check_name(command.name)
    peering = work.peering(command.peering)
    if peering.kind is not Kind.DIRECT or peering.direct_type not in _PREFIX_TYPES or not _serves(peering):
        raise refusal.wrong_peering_type()
    _require_active(peering)
    prefix = str(network(command.prefix))
    key = f"{peering.key}/{command.name}".lower()
    before = work.ledger.registered_prefixes.get(key)
    if before is not None:
        if before.prefix != prefix:
            raise refusal.bad_argument(
                f"Registered prefix {before.name} cannot be changed from {before.prefix} to {prefix}; "
                "delete it and register the other"
            )
        return
    for other in work.ledger.registered_prefixes.values():
        if other.prefix == prefix:
            raise refusal.bad_argument(f"Prefix {prefix} is registered already under peering {other.peering}")
    record = RegisteredPrefixRecord(
        key=key, peering=peering.key, name=command.name, prefix=prefix, prefix_key=work.new_id()
    )
    row = review(PREFIX, record.state, ReviewTrigger.SUBMIT)
    work.save(msgspec.structs.replace(record, state=row.after), created=True)


def validate_registered_prefix(work: Work, command: ValidateRegisteredPrefix) -> None:
    """Back to Pending; key and previous errorMessage are kept [REC]."""
    record = _registered_prefix(work, command.registered)
    row = review(PREFIX, record.state, ReviewTrigger.REVALIDATE)
    work.save(msgspec.structs.replace(record, state=row.after))


def judge_registered_prefix(work: Work, command: JudgeRegisteredPrefix) -> None:
    """The verdicts decide; a Failed prefix keeps its key."""
    record = _registered_prefix(work, command.registered)
    state, error = judged_state(record.state, command.verdicts)
    record_verdicts(work, record.key, command.verdicts)
    work.save(msgspec.structs.replace(record, state=state, error=error))


def delete_registered_prefix(work: Work, command: DeleteRegisteredPrefix) -> None:
    """The key is revoked with it."""
    drop_registration(work, _registered_prefix(work, command.registered))


def put_registered_asn(work: Work, command: PutRegisteredAsn) -> None:
    """One key per customer ASN, valid for every prefix of that customer at any location."""
    check_name(command.name)
    peering = work.peering(command.peering)
    if peering.direct_type is not DirectPeeringType.IX_RS or not _serves(peering):
        raise refusal.wrong_peering_type()
    _require_active(peering)
    asn = check_peer_asn_number(command.asn)
    key = f"{peering.key}/{command.name}".lower()
    before = work.ledger.registered_asns.get(key)
    if before is not None and before.asn == asn:
        return
    for other in work.ledger.registered_asns.values():
        if other.asn == asn:
            raise refusal.bad_argument(f"AS{asn} is registered already under peering {other.peering}")
    if before is not None:
        raise refusal.bad_argument(
            f"Registered ASN {before.name} cannot be changed from {before.asn} to {asn}; "
            "delete it and register the other"
        )
    record = RegisteredAsnRecord(key=key, peering=peering.key, name=command.name, asn=asn, prefix_key=work.new_id())
    work.save(record, created=True)


def delete_registered_asn(work: Work, command: DeleteRegisteredAsn) -> None:
    """The key is revoked with it."""
    record = work.ledger.registered_asns.get(command.registered.lower())
    if record is None:
        raise refusal.child_not_found()
    drop_registration(work, record)


def drop_registration(work: Work, record: RegisteredPrefixRecord | RegisteredAsnRecord) -> None:
    """A registration is gone, and its key with it: no Peering Service prefix is activated by that key any more."""
    work.drop(record)
    for prefix in list(work.ledger.prefixes.values()):
        if prefix.prefix_key == record.prefix_key and (
            prefix.activated or prefix.state is PrefixValidationState.PENDING
        ):
            row = review(PREFIX, prefix.state, ReviewTrigger.REVOKED)
            work.save(
                msgspec.structs.replace(prefix, state=row.after, error=PROVIDER_NOT_FOUND, learned=LearnedType.NONE)
            )


def judged_state(
    before: PrefixValidationState, verdicts: tuple[RuleVerdict, ...]
) -> tuple[PrefixValidationState, str | None]:
    """The state that verdicts lead to, and the errorMessage. Raises RefusedError unless validation is pending."""
    bad = failures(verdicts)
    if any(v.rule == "usable" for v in bad):
        trigger = ReviewTrigger.UNUSABLE
    elif bad or not verdicts:
        trigger = ReviewTrigger.FAILED
    else:
        trigger = ReviewTrigger.WARNED if warnings(verdicts) else ReviewTrigger.VERIFIED
    messages = dict.fromkeys(v.message for v in (bad or warnings(verdicts)) if v.message)
    error = "; ".join(messages) or ("Internal server error" if bad or not verdicts else None)
    return review(PREFIX, before, trigger).after, error


def record_verdicts(work: Work, subject: str, verdicts: tuple[RuleVerdict, ...]) -> None:
    """One event per rule."""
    for v in verdicts:
        passed = v.passed is True
        work.emit(ValidationJudged(at=work.now, subject=subject, rule=v.rule, passed=passed, message=v.message))


def _registered_prefix(work: Work, key: str) -> RegisteredPrefixRecord:
    record = work.ledger.registered_prefixes.get(key.lower())
    if record is None:
        raise refusal.child_not_found()
    return record


def _serves(peering: PeeringRecord) -> bool:
    return any(c.use_for_peering_service for c in peering.connections)


def _require_active(peering: PeeringRecord) -> None:
    if not any(c.state == ConnectionState.ACTIVE and c.use_for_peering_service for c in peering.connections):
        raise refusal.bad_argument(
            f"Peering {peering.name} has no Active connection for Peering Service yet; register once it has"
        )
