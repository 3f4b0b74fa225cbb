"""Handlers: association of an ASN with a subscription (spec 2.4, 3.1)."""

from __future__ import annotations

import msgspec

from peerlab.errors import RefusedError
from peerlab.peering import mail, refusal
from peerlab.peering.command import ApprovePeerAsn, DeletePeerAsn, PutPeerAsn, RejectPeerAsn
from peerlab.peering.enums import ValidationState
from peerlab.peering.number_space import is_public_asn
from peerlab.peering.record import PeerAsnRecord
from peerlab.peering.request_rules import check_peer_asn_number
from peerlab.peering.scope import check_name
from peerlab.peering.states import PEER_ASN, ReviewTrigger, review
from peerlab.peering.work import Work


def put_peer_asn(work: Work, command: PutPeerAsn) -> None:
    """Create or update. A change of what is reviewed is reviewed again; a repeated PUT changes nothing."""
    check_name(command.name)
    key = command.scope.peer_asn_key(command.name)
    before = work.ledger.peer_asns.get(key)
    asn = check_peer_asn_number(command.properties.peer_asn)
    if before is not None and asn != before.asn and _users(work, key):
        raise RefusedError(
            refusal.CONFLICT,
            f"PeerAsn {command.name} is used by peering {_users(work, key)[0]}; its ASN cannot change from "
            f"{before.asn} to {asn}",
        )
    wanted = PeerAsnRecord(
        key=key,
        scope=command.scope,
        name=before.name if before else command.name,
        asn=asn,
        peer_name=command.properties.peer_name or "",
        contacts=command.properties.peer_contact_detail,
        state=before.state if before else ValidationState.NONE,
        error=before.error if before else None,
    )
    if wanted == before:
        return
    reviewed = before is not None and (before.asn, before.peer_name) == (wanted.asn, wanted.peer_name)
    if not (reviewed and wanted.state is ValidationState.APPROVED):
        row = review(PEER_ASN, wanted.state, ReviewTrigger.SUBMIT)
        wanted = msgspec.structs.replace(wanted, state=row.after, error=None)
    work.save(wanted, created=before is None)


def approve_peer_asn(work: Work, command: ApprovePeerAsn) -> None:
    """Refused for an ASN that is not publicly routable (spec 3.0)."""
    record = work.peer_asn(command.peer_asn)
    row = review(PEER_ASN, record.state, ReviewTrigger.APPROVE)
    if not is_public_asn(record.asn):
        raise refusal.bad_argument(f"AS{record.asn} is not a publicly routable ASN and cannot be approved; reject it")
    work.save(msgspec.structs.replace(record, state=row.after, error=None))
    work.emit(*mail.peer_asn_reviewed(work.now, record, None))


def reject_peer_asn(work: Work, command: RejectPeerAsn) -> None:
    """The reason becomes the errorMessage and is mailed."""
    record = work.peer_asn(command.peer_asn)
    row = review(PEER_ASN, record.state, ReviewTrigger.REJECT)
    work.save(msgspec.structs.replace(record, state=row.after, error=command.reason))
    work.emit(*mail.peer_asn_reviewed(work.now, record, command.reason))


def delete_peer_asn(work: Work, command: DeletePeerAsn) -> None:
    """Refused while a peering uses it (undocumented; the writer's inference)."""
    record = work.peer_asn(command.peer_asn)
    users = _users(work, record.key)
    if users:
        raise RefusedError(refusal.CONFLICT, f"PeerAsn {record.name} is used by peering {', '.join(users)}")
    work.drop(record)


def _users(work: Work, key: str) -> tuple[str, ...]:
    return tuple(p.key for p in work.ledger.peerings.values() if p.peer_asn == key)
