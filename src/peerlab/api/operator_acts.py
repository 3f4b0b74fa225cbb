"""What Microsoft's people (and the peer's engineers at their end) can do, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from peerlab.controller.inspection import (
    WATCHED_FOR,
    audit_traffic,
    end_maintenance,
    inspect_partner,
    start_maintenance,
)
from peerlab.controller.link_test_request import try_link
from peerlab.controller.office import Office
from peerlab.errors import RefusedError
from peerlab.peering import command as ask
from peerlab.peering.refusal import bad_argument
from peerlab.peering.request_rules import asn_of


class Order(msgspec.Struct, frozen=True):
    """An act on a resource. ``on`` is a resource's key or, for an agreement, an ASN."""

    on: str
    connection: str = ""
    reason: str = ""


class Act(msgspec.Struct, frozen=True):
    """An act: what it is for a person, what it is about, and how it is done."""

    help: str
    about: str
    do: Callable[[Office, Order], Awaitable[None]]


def _command(make: Callable[[Order], ask.Command]) -> Callable[[Office, Order], Awaitable[None]]:
    async def do(office: Office, order: Order) -> None:
        office.ask(make(order))

    return do


async def _approve(office: Office, order: Order) -> None:
    office.approve(order.on, order.connection, order.reason or f"LOA-{order.on}-{order.connection}")


async def _assign(office: Office, order: Order) -> None:
    office.assign_addresses(order.on, order.connection)


async def _notify(office: Office, order: Order) -> None:
    office.notify(order.on, order.connection)


async def _test_link(office: Office, order: Order) -> None:
    if not await try_link(office, order.on, order.connection, order.reason or None):
        raise RefusedError("LinkTestFailed", f"packets were lost on the link of connection {order.connection}")


async def _provision(office: Office, order: Order) -> None:
    await office.provision(order.on, order.connection)


async def _validate(office: Office, order: Order) -> None:
    await office.validate(order.on, order.connection)


async def _open(office: Office, order: Order) -> None:
    await office.open_policy(order.on, order.connection)


async def _convert(office: Office, order: Order) -> None:
    await office.convert(order.on, order.connection)


async def _remove(office: Office, order: Order) -> None:
    await office.remove(order.on, order.connection)


async def _start_maintenance(office: Office, order: Order) -> None:
    await start_maintenance(office, order.on, order.connection)


async def _end_maintenance(office: Office, order: Order) -> None:
    await end_maintenance(office, order.on, order.connection)


async def _inspect(office: Office, order: Order) -> None:
    await inspect_partner(office, order.on, order.connection)


async def _audit(office: Office, order: Order) -> None:
    await audit_traffic(office, order.on, order.connection, _seconds(order.reason))


def _seconds(text: str) -> float:
    try:
        seconds = float(text or WATCHED_FOR)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= LONGEST_WATCH:
        raise bad_argument(f"'{text}' is no number of seconds up to {LONGEST_WATCH:g}")
    return seconds


LONGEST_WATCH = 60.0
"""Seconds for which traffic can be watched in one act."""


async def _seed(office: Office, order: Order) -> None:
    await office.seed_legacy(order.on)


PEER_ASN, CONNECTION, AGREEMENT, TOPOLOGY = "peerAsn", "connection", "asn", "peering of the topology"

ACTS: dict[str, Act] = {
    "approve-asn": Act("Approve a PeerAsn.", PEER_ASN, _command(lambda o: ask.ApprovePeerAsn(peer_asn=o.on))),
    "reject-asn": Act(
        "Reject a PeerAsn; --reason becomes its errorMessage.",
        PEER_ASN,
        _command(lambda o: ask.RejectPeerAsn(peer_asn=o.on, reason=o.reason)),
    ),
    "sign-agreement": Act(
        "Sign the Peering Service agreement with an AS.",
        AGREEMENT,
        _command(lambda o: ask.SignAgreement(asn=asn_of(o.on))),
    ),
    "seed-legacy": Act("Make a peering of the topology out of band, for conversion.", TOPOLOGY, _seed),
    "approve": Act("Approve a connection; --reason is the LOA's reference.", CONNECTION, _approve),
    "reject": Act(
        "Reject a connection; --reason is its errorMessage.",
        CONNECTION,
        _command(lambda o: ask.RejectConnection(peering=o.on, connection=o.connection, reason=o.reason)),
    ),
    "loa": Act(
        "Issue the LOA again; --reason is its reference.",
        CONNECTION,
        _command(lambda o: ask.RecordLoa(peering=o.on, connection=o.connection, loa=o.reason)),
    ),
    "assign-addresses": Act("Hand out Microsoft-provided addresses.", CONNECTION, _assign),
    "block": Act(
        "Raise an external blocker.",
        CONNECTION,
        _command(lambda o: ask.RaiseBlocker(peering=o.on, connection=o.connection, reason=o.reason)),
    ),
    "unblock": Act(
        "Clear an external blocker.",
        CONNECTION,
        _command(lambda o: ask.ClearBlocker(peering=o.on, connection=o.connection)),
    ),
    "link-test": Act("Test the link in 169.254.0.0/16; --reason names a range.", CONNECTION, _test_link),
    "notify": Act("The peer configures its router and notifies Microsoft.", CONNECTION, _notify),
    "provision": Act("Provision the sessions under DENY ALL and start validation.", CONNECTION, _provision),
    "validate": Act("Run the end-to-end validation on received routes.", CONNECTION, _validate),
    "open": Act("Replace DENY ALL by the peering's policy.", CONNECTION, _open),
    "fail": Act(
        "Fail provisioning; --reason becomes the errorMessage.",
        CONNECTION,
        _command(lambda o: ask.FailProvisioning(peering=o.on, connection=o.connection, reason=o.reason)),
    ),
    "resume": Act(
        "Take a failed connection up again.",
        CONNECTION,
        _command(lambda o: ask.ResumeProvisioning(peering=o.on, connection=o.connection)),
    ),
    "approve-conversion": Act(
        "Start converting a connection.",
        CONNECTION,
        _command(lambda o: ask.ApproveTypeChange(peering=o.on, connection=o.connection)),
    ),
    "reject-conversion": Act(
        "Reject a conversion.",
        CONNECTION,
        _command(lambda o: ask.RejectTypeChange(peering=o.on, connection=o.connection, reason=o.reason)),
    ),
    "convert": Act("Carry out an approved conversion with its hard BGP restart.", CONNECTION, _convert),
    "deprovision": Act(
        "Agree to deprovision an Active connection: it is drained.",
        CONNECTION,
        _command(lambda o: ask.Deprovision(peering=o.on, connection=o.connection)),
    ),
    "start-maintenance": Act("Begin planned maintenance: notice, sessions down.", CONNECTION, _start_maintenance),
    "end-maintenance": Act("End planned maintenance: sessions back, notice.", CONNECTION, _end_maintenance),
    "inspect": Act("Check the partner's side; defects go to the outbox.", CONNECTION, _inspect),
    "audit-traffic": Act("Look for unannounced destinations; --reason is seconds.", CONNECTION, _audit),
    "remove": Act("Complete a deprovisioning.", CONNECTION, _remove),
}
"""Every act by the name that ``peerlab operator`` and the operator API have for it."""
