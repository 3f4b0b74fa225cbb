"""Who plays in a rehearsal: the connections that are asked for, their sessions, and the hosts at both ends."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.controller.rehearsal import Rehearsal
from peerlab.topology.model import ConnectionRequest, NodeKind, PeeringRequest, Session


def connections(rehearsal: Rehearsal) -> Iterator[tuple[PeeringRequest, ConnectionRequest]]:
    """Every connection that the topology asks for."""
    for peering in rehearsal.model.peerings:
        for connection in peering.connections:
            yield peering, connection


def sessions_of(rehearsal: Rehearsal, connection: ConnectionRequest) -> list[Session]:
    """The model's sessions of a connection."""
    return [rehearsal.model.session(session_id) for session_id in connection.sessions]


def service_hosts(rehearsal: Rehearsal) -> list[str]:
    """Hosts inside the cloud: the services that customers reach."""
    cloud = rehearsal.model.cloud()
    return [n.name for n in rehearsal.model.nodes if n.kind is NodeKind.HOST and cloud and n.as_name == cloud.name]


def customer_hosts(rehearsal: Rehearsal) -> list[str]:
    """Hosts outside the cloud."""
    cloud = rehearsal.model.cloud()
    return [
        n.name for n in rehearsal.model.nodes if n.kind is NodeKind.HOST and not (cloud and n.as_name == cloud.name)
    ]
