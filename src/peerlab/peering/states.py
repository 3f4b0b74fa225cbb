"""Where a Microsoft.Peering resource can go next, as tables (spec 2.1, 2.2, 2.4, 2.5).

THE LAW. Everything that decides a transition is a row of a table in this file; ``step`` finds the row or refuses.
A row says what a session's policy stage is once the row has been taken: ``None`` (no session on the edge), DENY or
ALLOW. What the graph tests prove of every table:

* exactly one row opens a policy (its stage is ALLOW and its predecessor's is not): ``ProvisioningCompleted → Active``;
  every path to it goes through ``validation-passed``. A legacy connection enters the table with its policy already
  open, because Microsoft opened it before there was a resource;
* from every state with a session, ``validation-failed`` leads to DENY in one step, and so does ``session-lost`` from
  every state before Active. A session lost while Active leaves the state alone: connection state is not BGP state
  (spec S3), and the policy of a returning session is still the validated one;
* every state reaches removal.

``source`` tags are those of ``microsoft-peering.md`` section 0; INF marks the writer's inference.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from peerlab.errors import RefusedError
from peerlab.peering.enums import ConnectionState, Kind, PrefixValidationState, ValidationState
from peerlab.topology.model import PolicyStage

REMOVED = "removed"
"""The end of every connection: it is gone."""

LEGACY = "legacy"
"""Where a connection made out of band stands before it is converted into a resource (spec 2.7)."""


class Actor(StrEnum):
    """Who causes a transition."""

    PEER = "peer"
    MICROSOFT = "Microsoft"


class Trigger(StrEnum):
    """What causes a transition of a connection."""

    REQUEST = "request"
    APPROVE = "approve"
    REJECT = "reject"
    NOTIFY = "notify"
    BLOCK = "block"
    UNBLOCK = "unblock"
    PROVISION = "provision"
    FAIL = "fail"
    RESUME = "resume"
    VALIDATION_PASSED = "validation-passed"
    VALIDATION_FAILED = "validation-failed"
    SESSION_LOST = "session-lost"
    ALLOW = "allow"
    CONVERT = "convert"
    TYPE_CHANGE_REQUEST = "type-change-request"
    TYPE_CHANGE_REJECT = "type-change-reject"
    TYPE_CHANGE_START = "type-change-start"
    TYPE_CHANGE_DONE = "type-change-done"
    DEPROVISION = "deprovision"
    REMOVE = "remove"
    DELETE = "delete"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One edge of the connection's graph. ``before``/``after`` are ConnectionState values, LEGACY or REMOVED."""

    before: str
    trigger: Trigger
    actor: Actor
    after: str
    stage: PolicyStage | None
    source: str


_S = ConnectionState
_T = Trigger
_PEER, _MS = Actor.PEER, Actor.MICROSOFT
_DENY, _ALLOW = PolicyStage.DENY, PolicyStage.ALLOW


def _common(waiting: ConnectionState) -> tuple[Row, ...]:
    """Rows that Direct and Exchange share. ``waiting`` is the state in which Microsoft waits for the peer's side."""
    return (
        Row(_S.NONE, _T.REQUEST, _PEER, _S.PENDING_APPROVAL, None, "EX, REC"),
        Row(LEGACY, _T.CONVERT, _MS, _S.ACTIVE, _ALLOW, "S3, REC"),
        Row(_S.PENDING_APPROVAL, _T.APPROVE, _MS, waiting, None, "S3; IP/walkthrough-exchange-all"),
        Row(_S.PENDING_APPROVAL, _T.REJECT, _MS, _S.PROVISIONING_FAILED, None, "HELP/f3a147b8"),
        Row(_S.PENDING_APPROVAL, _T.DELETE, _PEER, REMOVED, None, "REC"),
        Row(waiting, _T.NOTIFY, _PEER, waiting, None, "S3"),
        Row(waiting, _T.PROVISION, _MS, _S.VALIDATING, _DENY, "S3; state name INF"),
        Row(waiting, _T.BLOCK, _MS, _S.EXTERNAL_BLOCKER, None, "SDK; INF"),
        Row(waiting, _T.FAIL, _MS, _S.PROVISIONING_FAILED, None, "EX/CreateDirectPeering"),
        Row(_S.EXTERNAL_BLOCKER, _T.UNBLOCK, _MS, waiting, None, "INF"),
        Row(_S.EXTERNAL_BLOCKER, _T.FAIL, _MS, _S.PROVISIONING_FAILED, None, "INF"),
        Row(_S.PROVISIONING_FAILED, _T.REQUEST, _PEER, _S.PENDING_APPROVAL, None, "INF"),
        Row(
            _S.PROVISIONING_FAILED, _T.RESUME, _MS, waiting, None, "IP/walkthrough-direct-peering-type-conversions; INF"
        ),
        Row(_S.PROVISIONING_FAILED, _T.DELETE, _PEER, REMOVED, None, "INF"),
        Row(_S.VALIDATING, _T.VALIDATION_PASSED, _MS, _S.PROVISIONING_COMPLETED, _DENY, "INF"),
        Row(_S.VALIDATING, _T.VALIDATION_FAILED, _MS, _S.VALIDATING, _DENY, "HELP/e6abe37c"),
        Row(_S.VALIDATING, _T.SESSION_LOST, _MS, _S.VALIDATING, _DENY, "INF"),
        Row(_S.VALIDATING, _T.FAIL, _MS, _S.PROVISIONING_FAILED, None, "EX/CreateDirectPeering"),
        Row(_S.PROVISIONING_COMPLETED, _T.ALLOW, _MS, _S.ACTIVE, _ALLOW, "S3"),
        Row(_S.PROVISIONING_COMPLETED, _T.VALIDATION_FAILED, _MS, _S.VALIDATING, _DENY, "HELP/e6abe37c; INF"),
        Row(_S.PROVISIONING_COMPLETED, _T.SESSION_LOST, _MS, _S.VALIDATING, _DENY, "INF"),
        Row(_S.ACTIVE, _T.VALIDATION_FAILED, _MS, _S.VALIDATING, _DENY, "HELP/e6abe37c; INF"),
        Row(_S.ACTIVE, _T.DEPROVISION, _MS, _S.PENDING_REMOVE, _ALLOW, "S3"),
        Row(_S.PENDING_REMOVE, _T.VALIDATION_FAILED, _MS, _S.PENDING_REMOVE, _DENY, "INF"),
        Row(_S.PENDING_REMOVE, _T.REMOVE, _MS, REMOVED, None, "HELP/50ea3c9e"),
    )


DIRECT: tuple[Row, ...] = (
    *_common(_S.PROVISIONING_STARTED),
    Row(
        _S.ACTIVE,
        _T.TYPE_CHANGE_REQUEST,
        _PEER,
        _S.TYPE_CHANGE_REQUESTED,
        _ALLOW,
        "IP/walkthrough-direct-peering-type-conversions",
    ),
    Row(_S.TYPE_CHANGE_REQUESTED, _T.TYPE_CHANGE_REJECT, _MS, _S.ACTIVE, _ALLOW, "same; state INF"),
    Row(_S.TYPE_CHANGE_REQUESTED, _T.TYPE_CHANGE_START, _MS, _S.TYPE_CHANGE_IN_PROGRESS, _ALLOW, "same"),
    Row(_S.TYPE_CHANGE_REQUESTED, _T.VALIDATION_FAILED, _MS, _S.VALIDATING, _DENY, "INF"),
    Row(_S.TYPE_CHANGE_IN_PROGRESS, _T.TYPE_CHANGE_DONE, _MS, _S.ACTIVE, _ALLOW, "same"),
    Row(_S.TYPE_CHANGE_IN_PROGRESS, _T.VALIDATION_FAILED, _MS, _S.VALIDATING, _DENY, "INF"),
)
"""Connections of a Direct peering: approval leads to ProvisioningStarted (spec 2.1)."""

EXCHANGE: tuple[Row, ...] = (
    *_common(_S.APPROVED),
    Row(_S.APPROVED, _T.DELETE, _PEER, REMOVED, None, "IP/walkthrough-exchange-all; INF"),
)
"""Connections of an Exchange peering: approval leads to Approved (spec 2.2)."""

TABLES: dict[Kind, tuple[Row, ...]] = {Kind.DIRECT: DIRECT, Kind.EXCHANGE: EXCHANGE}

_INDEX = {(kind, row.before, row.trigger): row for kind, table in TABLES.items() for row in table}


def step(kind: Kind, before: str, trigger: Trigger) -> Row:
    """The row for ``trigger`` in state ``before``. Raises RefusedError(OperationNotSupported) when there is none."""
    row = _INDEX.get((kind, before, trigger))
    if row is None:
        raise RefusedError(
            "OperationNotSupported",
            f"{trigger} is not possible for {_article(kind)} connection in state {before}; "
            f"possible from there: {', '.join(triggers_from(kind, before)) or 'nothing'}",
        )
    return row


def triggers_from(kind: Kind, before: str) -> tuple[Trigger, ...]:
    """What can happen to a connection in this state, in table order."""
    return tuple(row.trigger for row in TABLES[kind] if row.before == before)


def _article(kind: Kind) -> str:
    return f"{'an' if kind is Kind.EXCHANGE else 'a'} {kind}"


class ReviewTrigger(StrEnum):
    """What moves a PeerAsn's or a prefix's validation state."""

    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    REVALIDATE = "revalidate"
    VERIFIED = "verified"
    WARNED = "warned"
    FAILED = "failed"
    UNUSABLE = "unusable"
    REVOKED = "revoked"


StateT = TypeVar("StateT", bound=StrEnum)


class ReviewRow(msgspec.Struct, Generic[StateT], frozen=True, array_like=True):
    """One edge of a validation state's graph."""

    before: StateT
    trigger: ReviewTrigger
    actor: Actor
    after: StateT
    source: str


_V, _P, _R = ValidationState, PrefixValidationState, ReviewTrigger

PEER_ASN: tuple[ReviewRow[ValidationState], ...] = (
    ReviewRow(_V.NONE, _R.SUBMIT, _PEER, _V.PENDING, "EX, PSHELP"),
    ReviewRow(_V.PENDING, _R.SUBMIT, _PEER, _V.PENDING, "REC"),
    ReviewRow(_V.PENDING, _R.APPROVE, _MS, _V.APPROVED, "S2"),
    ReviewRow(_V.PENDING, _R.REJECT, _MS, _V.FAILED, "HELP/12c2bfe3"),
    ReviewRow(_V.FAILED, _R.SUBMIT, _PEER, _V.PENDING, "INF"),
    ReviewRow(_V.APPROVED, _R.SUBMIT, _PEER, _V.PENDING, "INF"),
)
"""Validation of a PeerAsn. A PUT that changes no reviewed field does not submit again."""

PREFIX: tuple[ReviewRow[PrefixValidationState], ...] = (
    ReviewRow(_P.NONE, _R.SUBMIT, _PEER, _P.PENDING, "REC, EX"),
    ReviewRow(_P.PENDING, _R.VERIFIED, _MS, _P.VERIFIED, "REC"),
    ReviewRow(_P.PENDING, _R.FAILED, _MS, _P.FAILED, "REC"),
    ReviewRow(_P.PENDING, _R.WARNED, _MS, _P.WARNING, "INF; PS/measure (2019)"),
    ReviewRow(_P.PENDING, _R.UNUSABLE, _MS, _P.INVALID, "INF"),
    ReviewRow(_P.PENDING, _R.REVALIDATE, _PEER, _P.PENDING, "REC"),
    ReviewRow(_P.VERIFIED, _R.REVALIDATE, _PEER, _P.PENDING, "REC"),
    ReviewRow(_P.FAILED, _R.REVALIDATE, _PEER, _P.PENDING, "REC"),
    ReviewRow(_P.WARNING, _R.REVALIDATE, _PEER, _P.PENDING, "INF"),
    ReviewRow(_P.PENDING, _R.REVOKED, _MS, _P.FAILED, "INF; text 4.2"),
    ReviewRow(_P.VERIFIED, _R.REVOKED, _MS, _P.FAILED, "INF; text 4.2"),
    ReviewRow(_P.WARNING, _R.REVOKED, _MS, _P.FAILED, "INF; text 4.2"),
)
"""Validation of a registered prefix or a Peering Service prefix. ``Invalid`` ends it: delete and recreate.

``revoked`` concerns Peering Service prefixes: the registration that gave the key is gone.
"""


def review(table: Iterable[ReviewRow[StateT]], before: StateT, trigger: ReviewTrigger) -> ReviewRow[StateT]:
    """The row for ``trigger`` in state ``before``. Raises RefusedError(OperationNotSupported) when there is none."""
    for row in table:
        if row.before is before and row.trigger is trigger:
            return row
    raise RefusedError("OperationNotSupported", f"{trigger} is not possible in validation state {before}")
