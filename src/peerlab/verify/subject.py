"""What of a lab the checks speak about: the cloud, its connections and their sessions. Reads the model only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.evidence.story import EXAMINER
from peerlab.topology.model import (
    AsRole,
    ConnectionRequest,
    LabModel,
    Link,
    Node,
    PeeringRequest,
    Session,
    SessionEnd,
)

LINK_LOCAL = "169.254.0.0/16"
FAMILIES = (Family.IPV4, Family.IPV6)


class Connection(msgspec.Struct, frozen=True):
    """A connection with the peering it belongs to. ``key`` is ``PEERING/CONNECTION`` as sessions name it."""

    peering: PeeringRequest
    request: ConnectionRequest

    @property
    def key(self) -> str:
        return f"{self.peering.name}/{self.request.name}"

    def sessions(self, model: LabModel) -> tuple[Session, ...]:
        """The model's sessions of this connection, v4 and v6."""
        return tuple(session for session in model.sessions if session.connection == self.key)


def connections(model: LabModel) -> tuple[Connection, ...]:
    """Every connection asked of Microsoft, in model order."""
    return tuple(Connection(peering, request) for peering in model.peerings for request in peering.connections)


def tested_connections(model: LabModel) -> tuple[Connection, ...]:
    """Connections with a wire of their own whose peering asks for the link test."""
    return tuple(c for c in connections(model) if c.peering.link_test and c.request.link is not None)


def connection_sessions(model: LabModel) -> tuple[Session, ...]:
    """Every session that belongs to a Microsoft.Peering connection; examiners' sessions do not."""
    keys = {connection.key for connection in connections(model)}
    return tuple(session for session in model.sessions if session.connection in keys)


def cloud_routers(model: LabModel) -> tuple[Node, ...]:
    """The routers of the AS with role cloud."""
    cloud = model.cloud()
    if cloud is None:
        return ()
    return tuple(node for node in model.nodes if node.is_router and node.as_name == cloud.name)


def routers(model: LabModel) -> tuple[Node, ...]:
    """Every router of the lab, examiners left out: they come and go."""
    return tuple(node for node in model.nodes if node.is_router and node.as_name != EXAMINER)


def is_examiner(session: Session) -> bool:
    """Whether a session is an examiner's."""
    return (session.connection or "").split("/")[0] == EXAMINER


def is_cloud(model: LabModel, node: str) -> bool:
    """Whether a node belongs to the cloud."""
    cloud = model.cloud()
    return cloud is not None and any(n.name == node and n.as_name == cloud.name for n in model.nodes)


def edge_end(model: LabModel, session: Session) -> SessionEnd | None:
    """The cloud's end of an eBGP session; None when neither or both ends are the cloud's."""
    ends = [end for end in (session.left, session.right) if is_cloud(model, end.node)]
    return ends[0] if len(ends) == 1 else None


def cloud_ebgp(model: LabModel) -> tuple[tuple[Session, SessionEnd], ...]:
    """Every eBGP session of the cloud with its cloud end."""
    found = ((session, edge_end(model, session)) for session in model.sessions if not session.is_internal)
    return tuple((session, end) for session, end in found if end is not None)


def session_or_none(model: LabModel, session: str) -> Session | None:
    """The session of that id, None when the model has none."""
    return next((s for s in model.sessions if s.id == session), None)


def families_of(sessions: tuple[Session, ...]) -> tuple[Family, ...]:
    """The address families that occur, v4 first."""
    return tuple(family for family in FAMILIES if any(session.family is family for session in sessions))


def route_servers(model: LabModel) -> tuple[Node, ...]:
    """Routers that are route servers."""
    return tuple(node for node in model.nodes if node.route_server)


def link_of(model: LabModel, link: str) -> Link | None:
    """The link of that id, None when the model has none."""
    return next((known for known in model.links if known.id == link), None)


def ases_with_role(model: LabModel, role: AsRole) -> frozenset[int]:
    """AS numbers of every AS with this role."""
    return frozenset(a.asn for a in model.ases if a.role is role)


def addresses_of(node: Node) -> frozenset[str]:
    """Every address of a node, loopbacks included, without lengths."""
    own = {text.split("/")[0] for i in node.interfaces for text in (i.v4, i.v6) if text}
    return frozenset(own | {text for text in (node.loopback_v4, node.loopback_v6) if text})


def owner_of(model: LabModel, address: str) -> str | None:
    """The node that has this address."""
    return next((node.name for node in model.nodes if address in addresses_of(node)), None)


def subnet_of(model: LabModel, end: SessionEnd) -> str | None:
    """The subnet on which a session end stands, None for a loopback session."""
    if end.interface is None:
        return None
    interface = model.node(end.node).interface(end.interface)
    text = interface.v6 if ":" in end.address else interface.v4
    return str(ip_interface(text).network) if text else None


def family_of(prefix: str) -> Family:
    """The family a prefix or address is of."""
    return Family.IPV6 if ":" in prefix else Family.IPV4


@lru_cache(maxsize=1 << 16)
def network(text: str) -> IPv4Network | IPv6Network:
    """The network of a text, host bits cleared; parsed once, for the judges ask again and again. Raises ValueError."""
    return ip_network(text, strict=False)


@lru_cache(maxsize=1 << 16)
def host(text: str) -> IPv4Address | IPv6Address:
    """The address of a text, parsed once. Raises ValueError."""
    return ip_address(text)


def within(prefix: str, outer: str) -> bool:
    """Whether ``prefix`` (a network or an address) lies in ``outer``, the same network included."""
    inner_net, outer_net = network(prefix), network(outer)
    return inner_net.version == outer_net.version and inner_net.subnet_of(outer_net)  # type: ignore[arg-type]


def overlaps(one: str, other: str) -> bool:
    """Whether two networks share an address."""
    a, b = network(one), network(other)
    return a.version == b.version and a.overlaps(b)


def is_link_local(address: str) -> bool:
    """Whether an address (with or without a length) lies in 169.254.0.0/16."""
    return "." in address and within(address.split("/")[0], LINK_LOCAL)


def service_prefixes(model: LabModel) -> Iterator[str]:
    """Every valid prefix that a customer asks Peering Service for."""
    for service in model.services:
        for request in service.prefixes:
            if is_network(request.prefix):
                yield request.prefix


def is_network(text: str) -> bool:
    """Whether a text is a network without host bits."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def length_of(prefix: str) -> int:
    """The length of a prefix."""
    return network(prefix).prefixlen


def next_hop_owner(model: LabModel, address: str) -> str | None:
    """The node behind a next hop address, canonical text."""
    return owner_of(model, str(host(address)))
