"""Judges of the routes that a Peering Service stands on (VAL-05, 06, 08 to 12), from what the edges received.

The desk has judged the same rules; here they are judged again, from RIBs and wire, and the two must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from peerlab.bgp.attributes import PathAttributes
from peerlab.evidence.events import ValidationJudged
from peerlab.evidence.snapshot import RouteFact
from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel, PeeringServiceRequest, Session, SessionEnd
from peerlab.verify.bogon import BOGON_PREFIXES
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.policy_attributes import MAPS
from peerlab.verify.reading import events, node_at, received, session_at, snapshot
from peerlab.verify.subject import (
    connections,
    edge_end,
    family_of,
    is_network,
    length_of,
    overlaps,
    within,
)
from peerlab.verify.wire import standing, watched

LONGEST_SERVICE_PATH = 3
PRIVATE_ASNS = ((64512, 65534), (4200000000, 4294967294))
"""RFC 6996. Documentation AS numbers stand for public ones inside a lab."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A session on which a service's prefix is expected: its edge, and whether it is the primary location's."""

    session: Session
    edge: SessionEnd
    metro: str
    primary: bool

    @property
    def where(self) -> str:
        return f"{self.edge.node} {self.session.id}"


def places(model: LabModel, service: PeeringServiceRequest, prefix: str) -> tuple[Place, ...]:
    """Sessions of the service's provider, of the prefix's family, at the primary and the backup location."""
    found = []
    for connection in connections(model):
        peering = connection.peering
        at_primary, at_backup = peering.metro == service.primary_metro, peering.metro == service.backup_metro
        mine = peering.peer_as == service.provider_as and connection.request.use_for_peering_service
        for session in connection.sessions(model) if mine and (at_primary or at_backup) else ():
            edge = edge_end(model, session)
            if edge is not None and session.family is family_of(prefix):
                found.append(Place(session=session, edge=edge, metro=peering.metro, primary=at_primary))
    return tuple(found)


def services(model: LabModel) -> Iterator[tuple[PeeringServiceRequest, str, str]]:
    """Every service with each usable prefix and the name under which the desk judges it."""
    for service in model.services:
        for request in service.prefixes:
            if is_network(request.prefix) and request.key_from is not None:
                yield service, request.prefix, f"{service.name}/{request.name}".lower()


def no_service(model: LabModel) -> str | None:
    """Why there is no Peering Service prefix."""
    return None if any(True for _ in services(model)) else "this lab has no Peering Service prefix with a key"


def _offers(
    evidence: Evidence, docket: Docket, service: PeeringServiceRequest, prefix: str
) -> Iterator[tuple[Place, RouteFact | None]]:
    """What each place had received before policy when the prefix was activated; None when nothing."""
    taken = snapshot(evidence, docket, Moment.ACTIVATED)
    found = places(evidence.model, service, prefix)
    if not found:
        docket.lacks(f"{prefix}: the provider has no session at its locations")
    for place in found if taken is not None else ():
        node = node_at(taken, docket, place.edge.node) if taken is not None else None
        if node is not None:
            yield place, received(node, place.session.id).get(prefix)


def _agrees(evidence: Evidence, docket: Docket, name: str, rule: str) -> None:
    """The desk's last verdict on the rule must be the same: passed."""
    verdicts = [v for v in events(evidence, ValidationJudged) if v.subject == name and v.rule == rule]
    if not verdicts:
        docket.lacks(f"{name}: the log does not show {rule} being judged")
    elif not verdicts[-1].passed:
        docket.breaks(verdicts[-1].at, name, f"validation failed: {verdicts[-1].message}")
    else:
        docket.proves(verdicts[-1].at, name, f"{rule} passed at the desk")


def judge_not_private(evidence: Evidence) -> Judgement:
    docket = Docket()
    public = evidence.model.public_ranges
    bogons = [bogon for bogon in BOGON_PREFIXES if not any(overlaps(bogon, known) for known in public)]
    for _, prefix, name in services(evidence.model):
        special = next((bogon for bogon in bogons if within(prefix, bogon)), None)
        if special is not None:
            docket.breaks(0, name, f"{prefix} is special-purpose space ({special})")
        else:
            _agrees(evidence, docket, name, "VAL-05")
    return docket.close("every service prefix lies outside special-purpose space")


def judge_origin(evidence: Evidence) -> Judgement:
    docket = Docket()
    registry = evidence.model.registry
    for service, prefix, name in services(evidence.model):
        for place, offer in _offers(evidence, docket, service, prefix):
            if offer is None:
                docket.lacks(f"{place.where}: {prefix} was not received, so it has no origin")
                continue
            origin = offer.attributes.origin_as()
            covered = [
                entry
                for entry in registry
                if within(prefix, entry.prefix) and length_of(prefix) <= (entry.max_length or length_of(entry.prefix))
            ]
            if not any(entry.origin_asn == origin for entry in covered):
                named = ", ".join(str(entry.origin_asn) for entry in covered) or "nobody"
                docket.breaks(offer.received_at, place.where, f"{prefix} of AS {origin}; the registry has {named}")
            else:
                docket.proves(offer.received_at, place.where, f"{prefix} of AS {origin}, as registered")
        _agrees(evidence, docket, name, "VAL-06")
    return docket.close("the origin of every service prefix is registered for it")


def judge_on_all_sessions(evidence: Evidence) -> Judgement:
    docket = Docket()
    shown = 0
    taken = evidence.snapshots.get(Moment.ACTIVATED.value)
    for service, prefix, name in services(evidence.model):
        for place, offer in _offers(evidence, docket, service, prefix):
            peer = place.session.other(place.edge.node)
            told = standing(evidence, place.session.id, peer.node, taken.at if taken else 0).get(prefix)
            if offer is None:
                docket.breaks(taken.at if taken else 0, place.where, f"{prefix} is not received from {peer.address}")
            elif told is None:
                if watched(evidence, docket, place.session.id):
                    docket.lacks(f"{place.where}: the edge holds {prefix}, yet the trace does not show it announced")
            else:
                shown += 1
                docket.proves(told.at, place.where, f"{prefix} received from {peer.address}", told.message)
        _agrees(evidence, docket, name, "VAL-08")
    return docket.close(f"service prefixes received on all {shown} primary and backup sessions")


def judge_maps_community(evidence: Evidence) -> Judgement:
    docket = Docket()
    for service, prefix, name in services(evidence.model):
        for place, offer in _offers(evidence, docket, service, prefix):
            if offer is None:
                docket.lacks(f"{place.where}: {prefix} was not received")
            elif MAPS not in offer.attributes.communities:
                docket.breaks(offer.received_at, place.where, f"{prefix} does not carry {MAPS}")
            else:
                docket.proves(offer.received_at, place.where, f"{prefix} carries {MAPS}")
        _agrees(evidence, docket, name, "VAL-09")
    return docket.close(f"every route of a service prefix carries {MAPS}")


def path_fault(attributes: PathAttributes) -> str | None:
    """What is wrong with the path of a Peering Service route (spec M14), None when nothing is."""
    asns = attributes.asns()
    if attributes.path_length() > LONGEST_SERVICE_PATH:
        return f"is {attributes.path_length()} AS long, more than {LONGEST_SERVICE_PATH}"
    private = [asn for asn in asns if any(low <= asn <= high for low, high in PRIVATE_ASNS)]
    if private:
        return f"holds the private AS {private[0]}"
    if any(one == other for one, other in pairwise(asns)):
        return "is prepended"
    return None


def judge_paths(evidence: Evidence) -> Judgement:
    docket = Docket()
    for service, prefix, name in services(evidence.model):
        for place, offer in _offers(evidence, docket, service, prefix):
            if offer is None:
                docket.lacks(f"{place.where}: {prefix} was not received")
                continue
            text, fault = offer.attributes.path_text(), path_fault(offer.attributes)
            if fault is not None:
                docket.breaks(offer.received_at, place.where, f"the path '{text}' of {prefix} {fault}")
            else:
                docket.proves(offer.received_at, place.where, f"{prefix} with path '{text}'")
        _agrees(evidence, docket, name, "VAL-10")
    return docket.close(
        f"paths of service prefixes have at most {LONGEST_SERVICE_PATH} AS, none private, none prepended"
    )


def judge_redundancy(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ACTIVATED)
    for service, prefix, name in services(evidence.model):
        up: list[Place] = []
        for place in places(evidence.model, service, prefix):
            fact = session_at(taken, docket, place.edge.node, place.session.id) if taken is not None else None
            if fact is not None and fact.state == "Established":
                up.append(place)
        if taken is None:
            continue
        routers = {place.edge.node for place in up if place.primary}
        backup = [place for place in up if not place.primary]
        if len(routers) < 2:
            what = f"{len(routers)} routers with a session at {service.primary_metro}, two are needed"
            docket.breaks(taken.at, name, what)
        elif service.backup_metro is not None and not backup:
            docket.breaks(taken.at, name, f"no session at the backup location {service.backup_metro}")
        else:
            spare = ", ".join(sorted({p.edge.node for p in backup})) or "none, as chosen"
            docket.proves(taken.at, name, f"primary on {', '.join(sorted(routers))}; backup on {spare}")
        _agrees(evidence, docket, name, "VAL-11")
    return docket.close("two routers at every primary location, another location wherever a backup was chosen")


def several_locations(model: LabModel) -> str | None:
    """Why there is nothing to be consistent across."""
    metros: dict[int, set[str]] = {}
    for peering in model.peerings:
        if peering.direct_peering_type != "IxRs":
            metros.setdefault(peering.peer_asn, set()).add(peering.metro)
    if any(len(found) > 1 for found in metros.values()):
        return None
    return "no peer of this lab is at more than one location"


def judge_consistency(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    model = evidence.model
    groups: dict[tuple[int, str], list[tuple[str, Session, SessionEnd]]] = {}
    for connection in connections(model):
        if connection.peering.direct_peering_type == "IxRs":
            continue
        for session in connection.sessions(model):
            edge = edge_end(model, session)
            if edge is not None:
                key = (connection.peering.peer_asn, session.family.value)
                groups.setdefault(key, []).append((connection.peering.metro, session, edge))
    for (asn, family), members in groups.items():
        if taken is None or len({metro for metro, _, _ in members}) < 2:
            continue
        seen: list[tuple[str, dict[str, tuple[str, tuple[str, ...]]]]] = []
        for _, session, edge in members:
            node = node_at(taken, docket, edge.node)
            if node is None:
                continue
            offered = {
                prefix: (route.attributes.path_text(), route.attributes.communities)
                for prefix, route in received(node, session.id).items()
            }
            seen.append((f"{edge.node} {session.id}", offered))
        if not any(offered for _, offered in seen):
            docket.lacks(f"AS {asn} announced no {family} route at any location")
            continue
        first_where, first = seen[0]
        differing = [
            (where, prefix)
            for where, offered in seen[1:]
            for prefix in sorted(set(first) | set(offered))
            if first.get(prefix) != offered.get(prefix)
        ]
        for where, prefix in differing[:1]:
            docket.breaks(taken.at, where, f"AS {asn} announces {prefix} otherwise than at {first_where}")
        if not differing:
            docket.proves(taken.at, f"AS {asn} {family}", f"{len(first)} routes alike on {len(seen)} sessions")
    return docket.close("every peer announces the same prefixes, paths and communities at all its locations")
