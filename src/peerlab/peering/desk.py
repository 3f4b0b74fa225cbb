"""The desk: Microsoft.Peering as one aggregate. Commands in, events out; events make the state.

``handle`` decides and changes nothing; the caller stores the events and then ``apply``s them. A desk that has applied
the same events is the same desk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from peerlab.errors import RefusedError
from peerlab.evidence.events import Event, TransitionRefused
from peerlab.peering import (
    association,
    command,
    conversion,
    monitor_request,
    notice,
    peering_request,
    registration_request,
    service_request,
    turn_up,
)
from peerlab.peering.catalogue import Catalogue
from peerlab.peering.command import Command
from peerlab.peering.ledger import Ledger
from peerlab.peering.work import Work

_HANDLERS: dict[type, Callable[[Work, Any], None]] = {
    command.PutPeerAsn: association.put_peer_asn,
    command.ApprovePeerAsn: association.approve_peer_asn,
    command.RejectPeerAsn: association.reject_peer_asn,
    command.DeletePeerAsn: association.delete_peer_asn,
    command.PutPeering: peering_request.put_peering,
    command.TagPeering: peering_request.tag_peering,
    command.DeletePeering: peering_request.delete_peering,
    command.ApproveConnection: turn_up.approve,
    command.RejectConnection: turn_up.reject,
    command.RecordLoa: turn_up.record_loa,
    command.AssignAddresses: turn_up.assign_addresses,
    command.StartLinkTest: turn_up.start_link_test,
    command.FinishLinkTest: turn_up.finish_link_test,
    command.NotifyReady: turn_up.notify_ready,
    command.ProvisionSessions: turn_up.provision,
    command.JudgeValidation: turn_up.judge,
    command.OpenPolicy: turn_up.open_policy,
    command.ReportSessionLost: turn_up.session_lost,
    command.RaiseBlocker: turn_up.raise_blocker,
    command.ClearBlocker: turn_up.clear_blocker,
    command.FailProvisioning: turn_up.fail,
    command.ResumeProvisioning: turn_up.resume,
    command.ProvisionBandwidth: turn_up.provision_bandwidth,
    command.Deprovision: turn_up.deprovision,
    command.CompleteRemoval: turn_up.complete_removal,
    command.SeedLegacy: conversion.seed_legacy,
    command.ApproveTypeChange: conversion.approve_type_change,
    command.RejectTypeChange: conversion.reject_type_change,
    command.FinishTypeChange: conversion.finish_type_change,
    command.SignAgreement: registration_request.sign_agreement,
    command.PutRegisteredPrefix: registration_request.put_registered_prefix,
    command.ValidateRegisteredPrefix: registration_request.validate_registered_prefix,
    command.JudgeRegisteredPrefix: registration_request.judge_registered_prefix,
    command.DeleteRegisteredPrefix: registration_request.delete_registered_prefix,
    command.PutRegisteredAsn: registration_request.put_registered_asn,
    command.DeleteRegisteredAsn: registration_request.delete_registered_asn,
    command.PutPeeringService: service_request.put_peering_service,
    command.TagPeeringService: service_request.tag_peering_service,
    command.DeletePeeringService: service_request.delete_peering_service,
    command.PutServicePrefix: service_request.put_service_prefix,
    command.JudgeServicePrefix: service_request.judge_service_prefix,
    command.RevalidateServicePrefix: service_request.revalidate_service_prefix,
    command.RecordPrefixEvents: service_request.record_prefix_events,
    command.InitializeMonitor: monitor_request.initialize_monitor,
    command.PutMonitorTest: monitor_request.put_monitor_test,
    command.DeleteMonitorTest: monitor_request.delete_monitor_test,
    command.StartMaintenance: notice.start_maintenance,
    command.EndMaintenance: notice.end_maintenance,
    command.FlagPartner: notice.flag_partner,
    command.DeleteServicePrefix: service_request.delete_service_prefix,
}


class Desk:
    """Microsoft's desk for one lab. ``ledger`` is to be read by anyone and written by ``apply`` alone."""

    def __init__(self, catalogue: Catalogue, events: Iterable[Event] = ()) -> None:
        """``events`` are a log to be replayed; events of other parts of the lab are passed over."""
        self.catalogue = catalogue
        self.ledger = Ledger()
        for event in events:
            self.apply(event)

    def handle(self, command: Command, *, now: int, new_id: Callable[[], str]) -> tuple[Event, ...]:
        """What the command leads to, in order. Nothing changes until the events are applied.

        ``now`` is nanoseconds since the epoch; ``new_id`` makes a fresh GUID at each call. Raises RefusedError.
        """
        work = Work(self.ledger, self.catalogue, now, new_id)
        _HANDLERS[type(command)](work, command)
        return tuple(work.events)

    def apply(self, event: Event) -> None:
        """Take in one event. Only events that ``handle`` made, in that order, may be applied."""
        self.ledger.apply(event)


def refused(command: Command, error: RefusedError, *, now: int) -> TransitionRefused:
    """The event that says that a command was refused and nothing changed."""
    fields = {name: getattr(command, name) for name in command.__struct_fields__}
    subject = next(
        (
            str(fields[n])
            for n in ("peering", "peer_asn", "registered", "prefix", "service", "name")
            if isinstance(fields.get(n), str)
        ),
        type(command).__name__,
    )
    connection = fields.get("connection")
    return TransitionRefused(
        at=now,
        resource=f"{subject}/{connection}" if connection else subject,
        request=type(command).__name__,
        code=error.code,
        message=error.message,
    )
