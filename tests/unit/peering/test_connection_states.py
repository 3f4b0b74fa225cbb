"""Laws of the state tables, by walking their graphs."""

from __future__ import annotations

import pytest

from peerlab.errors import RefusedError
from peerlab.peering.diagram import connection_diagram, review_diagram
from peerlab.peering.enums import ConnectionState, Kind, PrefixValidationState, ValidationState
from peerlab.peering.states import (
    DIRECT,
    EXCHANGE,
    LEGACY,
    PEER_ASN,
    PREFIX,
    REMOVED,
    TABLES,
    Actor,
    Row,
    Trigger,
    review,
    step,
    triggers_from,
)
from peerlab.topology.model import PolicyStage

BOTH = pytest.mark.parametrize("kind", list(Kind))
START = (ConnectionState.NONE, None)
IN_FORCE_BEFORE_THE_RESOURCE = (LEGACY, PolicyStage.ALLOW)


def reachable(
    table: tuple[Row, ...], starts: set[tuple[str, PolicyStage | None]]
) -> set[tuple[str, PolicyStage | None]]:
    """Every (state, stage) that can be reached, the starts included."""
    seen, todo = set(starts), list(starts)
    while todo:
        state, _ = todo.pop()
        for row in table:
            after = (row.after, row.stage)
            if row.before == state and after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def stages_of(table: tuple[Row, ...], state: str) -> set[PolicyStage | None]:
    return {stage for name, stage in reachable(table, {START, IN_FORCE_BEFORE_THE_RESOURCE}) if name == state}


@BOTH
def test_a_state_and_a_trigger_have_one_row(kind: Kind) -> None:
    keys = [(row.before, row.trigger) for row in TABLES[kind]]
    assert len(keys) == len(set(keys))


@BOTH
def test_every_row_can_be_taken(kind: Kind) -> None:
    states = {state for state, _ in reachable(TABLES[kind], {START, IN_FORCE_BEFORE_THE_RESOURCE})}
    assert {row.before for row in TABLES[kind]} <= states


@BOTH
def test_exactly_one_edge_opens_a_policy(kind: Kind) -> None:
    opening = [
        row
        for row in TABLES[kind]
        if row.stage is PolicyStage.ALLOW and stages_of(TABLES[kind], row.before) != {PolicyStage.ALLOW}
    ]
    assert [(row.before, row.trigger, row.after) for row in opening] == [
        (ConnectionState.PROVISIONING_COMPLETED, Trigger.ALLOW, ConnectionState.ACTIVE)
    ]


@BOTH
@pytest.mark.parametrize(
    "gate",
    [
        {Trigger.VALIDATION_PASSED},
        {Trigger.PROVISION},
        # The desk resumes only what was approved once (``test_rejection_...`` in test_desk_direct).
        {Trigger.APPROVE, Trigger.RESUME},
    ],
    ids=["validation", "deny-all", "approval"],
)
def test_every_path_to_an_open_policy_passes_the_gate(kind: Kind, gate: set[Trigger]) -> None:
    without = tuple(row for row in TABLES[kind] if row.trigger not in gate)
    assert not any(stage is PolicyStage.ALLOW for _, stage in reachable(without, {START}))


@BOTH
def test_a_failed_validation_denies_in_one_step_from_wherever_there_is_a_session(kind: Kind) -> None:
    with_session = {
        state
        for state, stage in reachable(TABLES[kind], {START, IN_FORCE_BEFORE_THE_RESOURCE})
        if stage is not None and state != LEGACY
    }
    assert with_session >= {ConnectionState.VALIDATING, ConnectionState.ACTIVE, ConnectionState.PENDING_REMOVE}
    for state in with_session:
        assert step(kind, state, Trigger.VALIDATION_FAILED).stage is PolicyStage.DENY


@BOTH
def test_a_session_lost_before_active_denies_in_one_step(kind: Kind) -> None:
    for state in (ConnectionState.VALIDATING, ConnectionState.PROVISIONING_COMPLETED):
        row = step(kind, state, Trigger.SESSION_LOST)
        assert (row.after, row.stage) == (ConnectionState.VALIDATING, PolicyStage.DENY)


@BOTH
def test_every_state_reaches_removal(kind: Kind) -> None:
    for state, stage in reachable(TABLES[kind], {START, IN_FORCE_BEFORE_THE_RESOURCE}):
        assert (REMOVED, None) in reachable(TABLES[kind], {(state, stage)}), state


@BOTH
def test_nothing_leaves_removal(kind: Kind) -> None:
    assert triggers_from(kind, REMOVED) == ()


@BOTH
def test_only_microsoft_opens_validates_or_removes(kind: Kind) -> None:
    by_peer = {row.trigger for row in TABLES[kind] if row.actor is Actor.PEER}
    assert by_peer <= {Trigger.REQUEST, Trigger.NOTIFY, Trigger.DELETE, Trigger.TYPE_CHANGE_REQUEST}


@BOTH
@pytest.mark.parametrize(
    "state", [ConnectionState.PROVISIONING_STARTED, ConnectionState.PROVISIONING_COMPLETED, ConnectionState.ACTIVE]
)
def test_the_owner_cannot_delete_what_is_provisioned(kind: Kind, state: ConnectionState) -> None:
    with pytest.raises(RefusedError) as refused:
        step(kind, state, Trigger.DELETE)
    assert refused.value.code == "OperationNotSupported"


def test_exchange_is_approved_where_direct_starts_provisioning() -> None:
    assert step(Kind.DIRECT, "PendingApproval", Trigger.APPROVE).after == "ProvisioningStarted"
    assert step(Kind.EXCHANGE, "PendingApproval", Trigger.APPROVE).after == "Approved"
    assert not any("ProvisioningStarted" in (row.before, row.after) for row in EXCHANGE)


def test_only_direct_connections_change_their_type() -> None:
    assert any(row.trigger is Trigger.TYPE_CHANGE_REQUEST for row in DIRECT)
    assert not any(row.trigger is Trigger.TYPE_CHANGE_REQUEST for row in EXCHANGE)


def test_an_unlisted_trigger_is_refused_with_what_is_possible() -> None:
    with pytest.raises(RefusedError) as refused:
        step(Kind.EXCHANGE, "PendingApproval", Trigger.ALLOW)
    assert refused.value.message == (
        "allow is not possible for an Exchange connection in state PendingApproval; "
        "possible from there: approve, reject, delete"
    )


def test_every_row_names_its_source() -> None:
    assert all(row.source for table in TABLES.values() for row in table)


def test_review_tables_refuse_what_they_do_not_list() -> None:
    for state in ValidationState:
        for row in PEER_ASN:
            listed = any(r.before is state and r.trigger is row.trigger for r in PEER_ASN)
            if not listed:
                with pytest.raises(RefusedError):
                    review(PEER_ASN, state, row.trigger)
    assert not any(row.before is PrefixValidationState.INVALID for row in PREFIX)


def test_the_diagram_has_one_line_per_row() -> None:
    diagram = connection_diagram(DIRECT)
    assert diagram.splitlines()[0] == "stateDiagram-v2"
    assert len(diagram.splitlines()) == len(DIRECT) + 1
    assert "    ProvisioningCompleted --> Active: allow (Microsoft) [ALLOW]\n" in diagram
    assert "    [*] --> PendingApproval: request (peer)\n" in diagram
    assert "    Pending --> Approved: approve (Microsoft)\n" in review_diagram(PEER_ASN)
