"""Handlers: a connection's way from approval to Active and out again (spec 2.1, 2.2, 3.2, 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.evidence.events import ValidationJudged
from peerlab.peering import mail, refusal
from peerlab.peering.addressing import (
    LINK_TEST_RANGE,
    direct_addresses,
    link_test_addresses,
    link_test_range,
    next_free_prefix,
)
from peerlab.peering.catalogue import ReservedPrefixes
from peerlab.peering.command import (
    ApproveConnection,
    AssignAddresses,
    ClearBlocker,
    CompleteRemoval,
    ConfiguredNeighbor,
    Deprovision,
    FailProvisioning,
    FinishLinkTest,
    JudgeValidation,
    NotifyReady,
    OpenPolicy,
    ProvisionBandwidth,
    ProvisionSessions,
    RaiseBlocker,
    RecordLoa,
    RejectConnection,
    ReportSessionLost,
    ResumeProvisioning,
    StartLinkTest,
)
from peerlab.peering.enums import ConnectionState, Kind, SessionAddressProvider
from peerlab.peering.record import ConnectionRecord, FamilySession, LinkTestRecord, PeeringRecord
from peerlab.peering.registration_request import drop_registration
from peerlab.peering.states import Trigger
from peerlab.peering.validation import SESSION_RULES
from peerlab.peering.verdict import RuleVerdict, failures
from peerlab.peering.work import Work

DEFAULT_MAX_PREFIXES_V4, DEFAULT_MAX_PREFIXES_V6 = 1000, 100
"""Limits of a session whose request named none: the values of the documented examples (spec 3.0)."""


def approve(work: Work, command: ApproveConnection) -> None:
    """Direct: the LOA is on its way. Exchange: the peer gets Microsoft's addresses."""
    peering, connection = work.connection(command.peering, command.connection)
    if command.loa and peering.kind is Kind.DIRECT:
        connection = msgspec.structs.replace(connection, loa=command.loa)
        work.replace(peering.key, connection)
    reserved = work.catalogue.reserved.get(f"{peering.key}/{connection.label}")
    if reserved is not None and connection.address_provider is SessionAddressProvider.MICROSOFT:
        _assign(work, peering, connection, reserved)
    after = work.step(peering.key, connection.label, Trigger.APPROVE) or connection
    work.emit(*mail.connection_approved(work.now, work.mail_of(peering), peering, after, after.loa or ""))


def reject(work: Work, command: RejectConnection) -> None:
    """The reason becomes the errorMessage."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.REJECT, command.reason)
    _notify(work, peering, connection, "Connection not approved", command.reason)


def record_loa(work: Work, command: RecordLoa) -> None:
    """Only a Direct connection that is approved and not yet provisioned has wiring to be authorised."""
    peering, connection = work.connection(command.peering, command.connection)
    _require(connection, ConnectionState.PROVISIONING_STARTED, what="a Letter of Authorization")
    work.replace(peering.key, msgspec.structs.replace(connection, loa=command.loa))
    _notify(work, peering, connection, "Letter of Authorization", command.loa)


def assign_addresses(work: Work, command: AssignAddresses) -> None:
    """Lowest free /31 and /127 of Microsoft's pools; refused when there are no subnets left (spec 3.2)."""
    peering, connection = work.connection(command.peering, command.connection)
    if connection.address_provider is not SessionAddressProvider.MICROSOFT:
        raise refusal.not_supported(f"Connection {connection.label} has peer-provided addresses")
    _require(
        connection, ConnectionState.PENDING_APPROVAL, ConnectionState.PROVISIONING_STARTED, what="address assignment"
    )
    _assign(work, peering, connection, _free(work, connection))


def _free(work: Work, connection: ConnectionRecord) -> ReservedPrefixes:
    taken = [s.prefix for s in _all_sessions(work) if s.prefix is not None]
    found: list[Prefix | None] = []
    for pool, length, session in (
        (work.catalogue.pool_v4, 31, connection.v4),
        (work.catalogue.pool_v6, 127, connection.v6),
    ):
        prefix = None
        if pool is not None and not (session is not None and session.addressed):
            prefix = next_free_prefix(pool, length, taken)
            if prefix is None:
                raise refusal.bad_argument(f"No subnet is left in {pool}; use sessionAddressProvider Peer")
        found.append(prefix)
    return ReservedPrefixes(v4=found[0], v6=found[1])


def _assign(work: Work, peering: PeeringRecord, connection: ConnectionRecord, prefixes: ReservedPrefixes) -> None:
    assigned = msgspec.structs.replace(
        connection,
        v4=_addressed(connection.v4, prefixes.v4, DEFAULT_MAX_PREFIXES_V4),
        v6=_addressed(connection.v6, prefixes.v6, DEFAULT_MAX_PREFIXES_V6),
    )
    work.replace(peering.key, assigned)
    work.emit(*mail.addresses_assigned(work.now, work.mail_of(peering), peering, assigned))


def _addressed(session: FamilySession | None, prefix: Prefix | None, limit: int) -> FamilySession | None:
    if prefix is None:
        return session
    ends = direct_addresses(prefix)
    limit = session.max_prefixes if session else limit
    return FamilySession(prefix=prefix, peer=ends.peer, microsoft=ends.microsoft, max_prefixes=limit)


def start_link_test(work: Work, command: StartLinkTest) -> None:
    """Two addresses that no other running link test has."""
    peering, connection = work.connection(command.peering, command.connection)
    _require(connection, ConnectionState.PROVISIONING_STARTED, what="a link test")
    if connection.link_test is not None and connection.link_test.running:
        raise refusal.not_supported(f"A link test of connection {connection.label} is running already")
    taken = [
        address
        for other in work.ledger.peerings.values()
        for c in other.connections
        if c.link_test is not None and c.link_test.running
        for address in (c.link_test.addresses.peer, c.link_test.addresses.microsoft)
    ]
    within = link_test_range(command.within or LINK_TEST_RANGE)
    test = LinkTestRecord(addresses=link_test_addresses(taken, within))
    work.replace(peering.key, msgspec.structs.replace(connection, link_test=test))


def finish_link_test(work: Work, command: FinishLinkTest) -> None:
    """The result stays on record; the addresses are free again."""
    peering, connection = work.connection(command.peering, command.connection)
    if connection.link_test is None or not connection.link_test.running:
        raise refusal.not_supported(f"No link test of connection {connection.label} is running")
    test = msgspec.structs.replace(connection.link_test, running=False, passed=command.passed, detail=command.detail)
    work.replace(peering.key, msgspec.structs.replace(connection, link_test=test))


def notify_ready(work: Work, command: NotifyReady) -> None:
    """The peer's word that its side is configured."""
    work.step(command.peering, command.connection, Trigger.NOTIFY)


def provision(work: Work, command: ProvisionSessions) -> None:
    """Sessions come up under DENY ALL; an address that another AS has already fails the connection (spec 4.3)."""
    peering, connection = work.connection(command.peering, command.connection)
    _require(connection, _waiting(peering.kind), what="provisioning of its sessions")
    if not connection.notified:
        raise refusal.not_supported(
            f"Connection {connection.label} is not configured yet: the peer has not notified Microsoft"
        )
    if connection.link_test is not None and connection.link_test.running:
        raise refusal.not_supported(f"The link test of connection {connection.label} is still running")
    sessions = [s for s in (connection.v4, connection.v6) if s is not None and s.addressed]
    if not sessions:
        raise refusal.not_supported(f"Connection {connection.label} has no addresses yet; assign them first")
    error = _address_conflict(work, peering, sessions, command.configured)
    if error:
        work.step(peering.key, connection.label, Trigger.FAIL, error)
        _notify(work, peering, connection, "Provisioning failed", error)
        return
    work.step(peering.key, connection.label, Trigger.PROVISION)


def judge(work: Work, command: JudgeValidation) -> None:
    """All of ``SESSION_RULES`` must have been judged and passed; whatever is missing counts as failed.

    On an Active connection with a family that was added later it is that family which is judged: passing opens it,
    failing leaves it denied.
    """
    peering, connection = work.connection(command.peering, command.connection)
    verdicts = (*command.verdicts, *_unjudged(command.verdicts))
    subject = f"{peering.key}/{connection.label}"
    work.emit(
        *(
            ValidationJudged(at=work.now, subject=subject, rule=v.rule, passed=v.passed is True, message=v.message)
            for v in verdicts
        )
    )
    problems = "; ".join(dict.fromkeys(v.message or f"{v.rule} failed" for v in failures(verdicts)))
    adding = connection.state == ConnectionState.ACTIVE and any(s.unvalidated for s in _sessions(connection))
    if problems and not adding:
        work.step(peering.key, connection.label, Trigger.VALIDATION_FAILED, problems)
        _notify(work, peering, connection, "Validation failed", problems)
    elif adding:
        if not problems:
            work.replace(peering.key, _validated(connection))
    elif connection.state != ConnectionState.ACTIVE:
        work.step(peering.key, connection.label, Trigger.VALIDATION_PASSED)


def open_policy(work: Work, command: OpenPolicy) -> None:
    """The only way to ALLOW."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.ALLOW)
    _notify(work, peering, connection, "Connection active", "Traffic is allowed now.")


def session_lost(work: Work, command: ReportSessionLost) -> None:
    """Back to DENY and to validation."""
    work.step(command.peering, command.connection, Trigger.SESSION_LOST, command.reason)


def raise_blocker(work: Work, command: RaiseBlocker) -> None:
    """The peer is told what blocks."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.BLOCK, command.reason)
    _notify(work, peering, connection, "Action needed", command.reason)


def clear_blocker(work: Work, command: ClearBlocker) -> None:
    """Provisioning goes on where it stood."""
    work.step(command.peering, command.connection, Trigger.UNBLOCK)


def fail(work: Work, command: FailProvisioning) -> None:
    """The reason becomes the errorMessage."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.FAIL, command.reason)
    _notify(work, peering, connection, "Provisioning failed", command.reason)


def resume(work: Work, command: ResumeProvisioning) -> None:
    """Only what was approved once can be resumed; a rejected request must be made again."""
    peering, connection = work.connection(command.peering, command.connection)
    if not connection.approved:
        raise refusal.not_supported(f"Connection {connection.label} was never approved; the peer must request it again")
    work.step(peering.key, connection.label, Trigger.RESUME)


def provision_bandwidth(work: Work, command: ProvisionBandwidth) -> None:
    """What the peer asked for of an Active connection is what it has from now on (spec 3.2)."""
    peering, connection = work.connection(command.peering, command.connection)
    _require(connection, ConnectionState.ACTIVE, what="a change of its bandwidth")
    if connection.bandwidth == connection.provisioned_bandwidth:
        raise refusal.not_supported(f"Connection {connection.label} has its {connection.bandwidth} Mbps already")
    before = connection.provisioned_bandwidth
    work.replace(peering.key, msgspec.structs.replace(connection, provisioned_bandwidth=connection.bandwidth))
    text = f"{before} Mbps became {connection.bandwidth} Mbps."
    _notify(work, peering, connection, "Bandwidth changed", text)


def deprovision(work: Work, command: Deprovision) -> None:
    """The connection is drained; it is visible as PendingRemove until Microsoft removes it (spec S3)."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.DEPROVISION)
    _notify(work, peering, connection, "Deprovisioning", "Traffic is being drained; removal follows.")


def complete_removal(work: Work, command: CompleteRemoval) -> None:
    """The connection is gone, and with the last one the peering and everything registered under it."""
    peering, connection = work.connection(command.peering, command.connection)
    work.step(peering.key, connection.label, Trigger.REMOVE)
    if not work.ledger.peerings[peering.key].connections:
        remove_peering(work, peering)


def remove_peering(work: Work, peering: PeeringRecord) -> None:
    """Drop a peering without connections, its registrations and their keys."""
    for prefix in [r for r in work.ledger.registered_prefixes.values() if r.peering == peering.key]:
        drop_registration(work, prefix)
    for asn in [r for r in work.ledger.registered_asns.values() if r.peering == peering.key]:
        drop_registration(work, asn)
    work.drop(peering)
    work.emit(*mail.resource_removed(work.now, work.mail_of(peering), peering))


def _unjudged(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    judged = {v.rule for v in verdicts}
    return tuple(
        RuleVerdict(rule=rule, passed=None, message=f"{rule} was not judged")
        for rule in SESSION_RULES
        if rule not in judged
    )


def _validated(connection: ConnectionRecord) -> ConnectionRecord:
    return msgspec.structs.replace(
        connection,
        v4=connection.v4 and msgspec.structs.replace(connection.v4, unvalidated=False),
        v6=connection.v6 and msgspec.structs.replace(connection.v6, unvalidated=False),
    )


def _sessions(connection: ConnectionRecord) -> tuple[FamilySession, ...]:
    return tuple(s for s in (connection.v4, connection.v6) if s is not None)


def _all_sessions(work: Work) -> list[FamilySession]:
    return [s for p in work.ledger.peerings.values() for c in p.connections for s in _sessions(c)]


def _address_conflict(
    work: Work, peering: PeeringRecord, sessions: Iterable[FamilySession], configured: Iterable[ConfiguredNeighbor]
) -> str | None:
    owners = {n.address: n.asn for n in configured}
    for other in work.ledger.peerings.values():
        for connection in other.connections:
            if connection.stage is not None:
                owners.update({s.peer: other.asn for s in _sessions(connection) if s.peer is not None})
    for session in sessions:
        if session.peer is not None and owners.get(session.peer, peering.asn) != peering.asn:
            return refusal.ADDRESS_OF_OTHER_ASN[6 if ":" in session.peer else 4]
    return None


def _waiting(kind: Kind) -> ConnectionState:
    return ConnectionState.APPROVED if kind is Kind.EXCHANGE else ConnectionState.PROVISIONING_STARTED


def _require(connection: ConnectionRecord, *states: ConnectionState, what: str) -> None:
    if connection.state not in states:
        raise refusal.not_supported(
            f"Connection {connection.label} is {connection.state}; {what} needs {' or '.join(states)}"
        )


def _notify(work: Work, peering: PeeringRecord, connection: ConnectionRecord, subject: str, text: str) -> None:
    work.emit(*mail.connection_notice(work.now, work.mail_of(peering), peering, connection, subject, text))
