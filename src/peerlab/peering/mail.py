"""The mails and notices of the real process (spec 3.7, 3.12; senders and triggers are documented, wording is ours)."""

from __future__ import annotations

from peerlab.evidence.events import MailSent
from peerlab.peering.record import ConnectionRecord, PeerAsnRecord, PeeringRecord

NOTICES = "peer8075@microsoft.com"
"""Sender of Microsoft's notices to the peer."""
PEERING_TEAM = "peering@microsoft.com"
"""PeerAsn, policy, locations."""
PEERING_EXPERIENCE = "peeringexperience@microsoft.com"
"""Sessions and deprovisioning."""
PEERING_SERVICE_TEAM = "peeringservice@microsoft.com"
"""Peering Service, moves, the agreement."""


def _notice(at: int, to: str | None, subject: str, text: str) -> tuple[MailSent, ...]:
    return (MailSent(at=at, sender=NOTICES, to=to, subject=subject, text=text),) if to else ()


def peer_asn_reviewed(at: int, record: PeerAsnRecord, problem: str | None) -> tuple[MailSent, ...]:
    """Result of the review, by mail [S2]. Nobody can be told when the PeerAsn has no mail address."""
    if problem is None:
        return _notice(
            at,
            record.mail,
            f"PeerAsn {record.name} (AS{record.asn}) approved",
            f"AS{record.asn} is associated with subscription {record.scope.subscription}. "
            "You can request peerings with it now.",
        )
    return _notice(
        at,
        record.mail,
        f"PeerAsn {record.name} (AS{record.asn}) not approved",
        f"{problem}. Questions: {PEERING_TEAM}.",
    )


def connection_approved(
    at: int, to: str | None, peering: PeeringRecord, connection: ConnectionRecord, loa: str
) -> tuple[MailSent, ...]:
    """LOA and what to do next [S3]. Exchange connections get their Microsoft addresses instead of an LOA."""
    sessions = "; ".join(
        f"{s.prefix}: peer {s.peer}, Microsoft {s.microsoft}"
        for s in (connection.v4, connection.v6)
        if s is not None and s.addressed
    )
    lines = [f"Connection {connection.label} of peering {peering.name} is approved."]
    if loa:
        lines.append(f"Letter of Authorization: {loa}. Wire the interconnect, test the link if you like.")
    lines.append(f"Sessions: {sessions or 'addresses follow'}. Configure BGP towards AS8075 and notify us.")
    if connection.md5:
        lines.append("MD5 is not supported on Microsoft's side: take the key off your session or it stays down.")
    subject = "Letter of Authorization" if loa else "Connection approved"
    return _notice(at, to, f"{subject}: peering {peering.name}, connection {connection.label}", " ".join(lines))


def addresses_assigned(
    at: int, to: str | None, peering: PeeringRecord, connection: ConnectionRecord
) -> tuple[MailSent, ...]:
    """Microsoft-provided addresses are mailed once they are allocated [IP/faqs]."""
    sessions = "; ".join(
        f"{s.prefix}: peer {s.peer}, Microsoft {s.microsoft}"
        for s in (connection.v4, connection.v6)
        if s is not None and s.addressed
    )
    return _notice(at, to, f"Addresses assigned: peering {peering.name}, connection {connection.label}", sessions + ".")


def connection_notice(
    at: int, to: str | None, peering: PeeringRecord, connection: ConnectionRecord, subject: str, text: str
) -> tuple[MailSent, ...]:
    """Any other notice about a connection."""
    return _notice(at, to, f"{subject}: peering {peering.name}, connection {connection.label}", text)


def maintenance(
    at: int, to: str | None, peering: PeeringRecord, connection: ConnectionRecord, *, over: bool
) -> tuple[MailSent, ...]:
    """Service Health's planned maintenance: one notice at the start, one at the end, naming subscription, region and
    peering location [IP/walkthrough-device-maintenance-notification]."""
    when = "has ended" if over else "has started"
    return _notice(
        at,
        to,
        f"Planned maintenance for Azure Peering Service {when}: {peering.peering_location}",
        f"Subscription {peering.scope.subscription}, region {peering.region}, peering location "
        f"{peering.peering_location}: planned maintenance of the router of connection {connection.label} of peering "
        f"{peering.name} {when}.",
    )


def resource_removed(at: int, to: str | None, peering: PeeringRecord) -> tuple[MailSent, ...]:
    """The peering is gone."""
    return _notice(at, to, f"Peering {peering.name} removed", f"The peering at {peering.peering_location} is gone.")


def resource_merged(
    at: int, to: str | None, peering: PeeringRecord, target: PeeringRecord
) -> tuple[MailSent, ...]:
    """The converted connections belong to another resource now; the old one is removed (spec 3.7)."""
    text = f"Its connections belong to peering {target.name} now; no session was touched by that."
    return _notice(at, to, f"Peering {peering.name} removed", text)
