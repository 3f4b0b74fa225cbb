"""Handlers: a peering is created, updated, tagged or deleted by the peer (spec 1.5, 2.1, 2.8, 3.2, 3.3, 3.5)."""

from __future__ import annotations

import msgspec

from peerlab.peering import conversion, refusal
from peerlab.peering.command import DeletePeering, PutPeering, TagPeering
from peerlab.peering.connection_request import requested_connections
from peerlab.peering.enums import ConnectionState, DirectPeeringType, Kind, ValidationState
from peerlab.peering.monitor_request import endpoint_of
from peerlab.peering.number_space import is_public_asn
from peerlab.peering.peering_resource import ConnectivityProbe, Peering, SubResource
from peerlab.peering.record import ConnectionRecord, PeerAsnRecord, PeeringRecord
from peerlab.peering.refusal import bad_argument
from peerlab.peering.request_rules import check_sku
from peerlab.peering.scope import check_name, peer_asn_key_of
from peerlab.peering.states import Trigger
from peerlab.peering.turn_up import remove_peering
from peerlab.peering.update import update_peering
from peerlab.peering.work import Work, labels

_DELETE_REFUSED = frozenset(
    {
        ConnectionState.PROVISIONING_STARTED,
        ConnectionState.PROVISIONING_COMPLETED,
        ConnectionState.VALIDATING,
        ConnectionState.EXTERNAL_BLOCKER,
        ConnectionState.APPROVED,
    }
)
"""S3 names the first two; the others are the writer's inference: Approved is Exchange's ProvisioningStarted."""


def put_peering(work: Work, command: PutPeering) -> None:
    """Create or update. New connections come to PendingApproval."""
    check_name(command.name)
    wanted = _wanted(work, command)
    before = work.ledger.peerings.get(wanted.key)
    if before is not None:
        update_peering(work, before, wanted)
        return
    taken = conversion.legacy_for(work, wanted)
    if taken is not None:
        conversion.convert_legacy(work, taken, wanted)
        return
    _check_unique(work, wanted)
    if not wanted.connections:
        raise bad_argument("A peering needs at least one connection")
    work.save(wanted, created=True)
    for connection in wanted.connections:
        work.step(wanted.key, connection.label, Trigger.REQUEST)


def tag_peering(work: Work, command: TagPeering) -> None:
    """Only tags can be patched."""
    peering = work.peering(command.peering)
    if command.tags != peering.tags:
        work.save(msgspec.structs.replace(peering, tags=command.tags))


def delete_peering(work: Work, command: DeletePeering) -> None:
    """200 while nothing is provisioned; refused in provisioning; an Active peering is deprovisioned by Microsoft."""
    peering = work.peering(command.peering)
    busy = [c for c in peering.connections if c.state in _DELETE_REFUSED]
    if busy:
        raise refusal.not_supported(f"Peering {peering.name} cannot be deleted while it is provisioned: {labels(busy)}")
    alive = [c for c in peering.connections if not _deletable(c)]
    if alive:
        raise refusal.not_supported(
            f"Peering {peering.name} cannot be deleted by its owner any more: {labels(alive)}; "
            "mail peeringexperience@microsoft.com to deprovision it"
        )
    for connection in peering.connections:
        work.step(peering.key, connection.label, Trigger.DELETE)
    remove_peering(work, work.ledger.peerings[peering.key])


def _deletable(connection: ConnectionRecord) -> bool:
    return connection.state in (ConnectionState.PENDING_APPROVAL, ConnectionState.PROVISIONING_FAILED)


def _wanted(work: Work, command: PutPeering) -> PeeringRecord:
    body = command.peering
    direct, exchange = body.properties.direct, body.properties.exchange
    half = direct if body.kind is Kind.DIRECT else exchange
    if half is None or (direct is not None and exchange is not None):
        raise bad_argument(f"A peering of kind {body.kind} needs properties.{body.kind.lower()} and nothing else")
    direct_type = (direct.direct_peering_type or DirectPeeringType.EDGE) if direct is not None else None
    owner = _approved_owner(work, half.peer_asn)
    location = body.properties.peering_location or ""
    place = work.catalogue.place(location)
    if place is None:
        raise bad_argument(f"Peering location '{location}' is unknown")
    if not body.location:
        raise bad_argument("location must be given")
    key = command.scope.key(command.name)
    before = work.ledger.peerings.get(key)
    return PeeringRecord(
        key=key,
        scope=command.scope,
        name=before.name if before else command.name,
        kind=body.kind,
        region=before.region if before else body.location,
        sku=check_sku(body.sku.name, body.kind, direct_type),
        peering_location=place.name,
        peer_asn=owner.key,
        peer_asn_id=owner.scope.peer_asn_id(owner.name),
        asn=owner.asn,
        direct_type=direct_type,
        connections=_connections(work, body, owner, place.name, command, before),
        tags=body.tags,
        probes=_probes(work, body, before),
    )


def _connections(
    work: Work,
    body: Peering,
    owner: PeerAsnRecord,
    location: str,
    command: PutPeering,
    before: PeeringRecord | None,
) -> tuple[ConnectionRecord, ...]:
    known = {c.identifier: c.label for c in before.connections} if before else {}
    return requested_connections(
        body,
        catalogue=work.catalogue,
        location=location,
        labels={**known, **command.labels},
        existing=before.connections if before else (),
        agreement=owner.asn in work.ledger.agreements,
        new_id=work.new_id,
    )


def _probes(work: Work, body: Peering, before: PeeringRecord | None) -> tuple[ConnectivityProbe, ...]:
    """Endpoint and region are create-only: probes can be added and taken out, but none can become another one."""
    regions = {place.azure_region.casefold() for place in work.catalogue.places}
    for probe in body.properties.connectivity_probes:
        endpoint_of(probe.endpoint or "")
        if (probe.azure_region or "").casefold() not in regions:
            raise bad_argument(f"azureRegion '{probe.azure_region}' of a connectivity probe is unknown")
    standing, asked = before.probes if before else (), body.properties.connectivity_probes
    for old, new in zip(standing, asked, strict=False):
        if len(standing) == len(asked) and (old.endpoint, old.azure_region) != (new.endpoint, new.azure_region):
            raise bad_argument(f"endpoint and azureRegion of connectivity probe {old.endpoint} cannot be changed")
    return asked


def _approved_owner(work: Work, reference: SubResource | None) -> PeerAsnRecord:
    if reference is None or not reference.id:
        raise bad_argument("peerAsn must be given")
    owner = work.peer_asn(peer_asn_key_of(reference.id))
    if owner.state is not ValidationState.APPROVED:
        raise bad_argument(
            f"PeerAsn {owner.name} (AS{owner.asn}) is {owner.state}; only an Approved PeerAsn can request a peering"
        )
    if not is_public_asn(owner.asn):
        raise bad_argument(f"AS{owner.asn} is not a publicly routable ASN")
    return owner


def _check_unique(work: Work, wanted: PeeringRecord) -> None:
    for other in work.ledger.peerings.values():
        if (other.asn, other.kind, other.direct_type, other.peering_location) == (
            wanted.asn,
            wanted.kind,
            wanted.direct_type,
            wanted.peering_location,
        ):
            raise bad_argument(
                f"Microsoft might already have a peering with ASN {wanted.asn} at {wanted.peering_location}"
            )
