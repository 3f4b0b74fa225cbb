"""Handlers: connection monitor tests of a Peering Service, and the workspace that they write to (spec 1.2, 1.4)."""

from __future__ import annotations

import ipaddress

import msgspec

from peerlab.peering import refusal
from peerlab.peering.command import DeleteMonitorTest, InitializeMonitor, PutMonitorTest
from peerlab.peering.record import MonitorTestRecord, WorkspaceRecord
from peerlab.peering.refusal import bad_argument
from peerlab.peering.scope import check_name
from peerlab.peering.work import Work

DEFAULT_FREQUENCY = 60
"""Seconds between tests that name no frequency."""
HIGHEST_PORT = 65535


def initialize_monitor(work: Work, command: InitializeMonitor) -> None:
    """The subscription gets its Log Analytics workspace; a second call changes nothing."""
    key = command.subscription.lower()
    if key not in work.ledger.workspaces:
        record = WorkspaceRecord(key=key, workspace_id=work.new_id(), secret=work.new_id())
        work.save(record, created=True)


def put_monitor_test(work: Work, command: PutMonitorTest) -> None:
    """Create or change. Raises RefusedError for what is no address, port or frequency."""
    check_name(command.name)
    service = work.service(command.service)
    asked = command.properties
    try:
        destination = str(ipaddress.ip_address(asked.destination or ""))
    except ValueError as wrong:
        raise bad_argument(f"destination '{asked.destination}' is not an IP address") from wrong
    if not asked.source_agent:
        raise bad_argument("sourceAgent must be given")
    if asked.destination_port is not None and not 0 < asked.destination_port <= HIGHEST_PORT:
        raise bad_argument(f"destinationPort {asked.destination_port} must be 1 to {HIGHEST_PORT}")
    frequency = asked.test_frequency_in_sec if asked.test_frequency_in_sec is not None else DEFAULT_FREQUENCY
    if frequency <= 0:
        raise bad_argument(f"testFrequencyInSec {frequency} must be greater than 0")
    key = f"{service.key}/{command.name}".lower()
    before = work.ledger.monitor_tests.get(key)
    wanted = MonitorTestRecord(
        key=key,
        service=service.key,
        name=before.name if before else command.name,
        source_agent=asked.source_agent,
        destination=destination,
        destination_port=asked.destination_port,
        frequency=frequency,
    )
    if wanted != before:
        work.save(wanted, created=before is None)


def delete_monitor_test(work: Work, command: DeleteMonitorTest) -> None:
    """It is not run any more."""
    record = work.ledger.monitor_tests.get(command.test.lower())
    if record is None:
        raise refusal.child_not_found()
    work.drop(record)


def drop_monitor_tests(work: Work, service: str) -> None:
    """They go with their service."""
    for record in [r for r in work.ledger.monitor_tests.values() if r.service == service]:
        work.drop(record)


class Endpoint(msgspec.Struct, frozen=True):
    """What a connectivity probe aims at; ``port`` is for TCP."""

    address: str
    port: int


DEFAULT_PORT = 443
"""Port of a TCP probe whose endpoint names none."""


def endpoint_of(text: str) -> Endpoint:
    """The endpoint of a connectivity probe: an address, or an address and a port. Raises RefusedError."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        number = int(port) if port else DEFAULT_PORT
        if not 0 < number <= HIGHEST_PORT:
            raise ValueError(port)
        return Endpoint(str(ipaddress.ip_address(host)), number)
    except ValueError as wrong:
        raise bad_argument(f"endpoint '{text}' of a connectivity probe is no IP address (with a port)") from wrong
