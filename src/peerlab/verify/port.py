"""The ports that quarantine judges: every router's interface on a connection's wire or on an exchange's LAN."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface, ip_network
from itertools import chain, islice

import msgspec

from peerlab.topology.model import Interface, LabModel, Link, NodeKind
from peerlab.verify.subject import Connection, connections, link_of


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A router's interface toward others. What it sends is watched at ``watcher``, the other end of its wire: the other
    router, or the LAN switch's port. ``far`` is a router with an address on the same subnet, to send packets to."""

    node: str
    interface: Interface
    link: str
    watcher: str
    watcher_interface: Interface
    far: str
    far_interface: Interface
    lan: str | None = None

    @property
    def key(self) -> str:
        """``NODE INTERFACE``, for people and for the event log."""
        return f"{self.node} {self.interface.name}"

    @property
    def own(self) -> tuple[str, ...]:
        """Its addresses without lengths, IPv4 first."""
        return tuple(text.split("/")[0] for text in (self.interface.v4, self.interface.v6) if text)


def wired_connections(model: LabModel) -> tuple[Connection, ...]:
    """Connections with a wire of their own."""
    return tuple(c for c in connections(model) if c.request.link is not None)


def lans(model: LabModel) -> tuple[str, ...]:
    """The switches of every exchange LAN that a connection stands on, in model order."""
    switches = {node.name for node in model.nodes if node.kind is NodeKind.SWITCH}
    used: set[str] = set()
    for connection in connections(model):
        for session in connection.sessions(model):
            for end in (session.left, session.right):
                if end.interface is None:
                    continue
                wire = link_of(model, model.node(end.node).interface(end.interface).link)
                used |= {e.node for e in wire.ends if e.node in switches} if wire is not None else set()
    return tuple(node.name for node in model.nodes if node.name in used)


def ports(model: LabModel) -> tuple[Port, ...]:
    """Every port, wires of connections first. A router without an address on its LAN is no member."""
    found: list[Port] = []
    for connection in wired_connections(model):
        wire = link_of(model, connection.request.link or "")
        if wire is not None:
            found.extend(_both_ends(model, wire))
    for lan in lans(model):
        found.extend(_members(model, lan))
    unique = {port.key: port for port in found}
    return tuple(unique.values())


def _both_ends(model: LabModel, wire: Link) -> Iterator[Port]:
    ends = [(end.node, model.node(end.node).interface(end.interface)) for end in wire.ends]
    for (node, interface), (far, far_interface) in (ends, reversed(ends)):
        yield Port(
            node=node,
            interface=interface,
            link=wire.id,
            watcher=far,
            watcher_interface=far_interface,
            far=far,
            far_interface=far_interface,
        )


def _members(model: LabModel, lan: str) -> Iterator[Port]:
    switch = model.node(lan)
    members = []
    for plug in switch.interfaces:
        wire = link_of(model, plug.link)
        for end in wire.ends if wire is not None else ():
            if end.node != lan:
                interface = model.node(end.node).interface(end.interface)
                if model.node(end.node).is_router and (interface.v4 or interface.v6):
                    members.append((end.node, interface, plug))
    if len(members) < 2:
        return
    for (node, interface, plug), (far, far_interface, _) in zip(members, members[1:] + members[:1], strict=True):
        yield Port(
            node=node,
            interface=interface,
            link=plug.link,
            watcher=lan,
            watcher_interface=plug,
            far=far,
            far_interface=far_interface,
            lan=lan,
        )


def unused_addresses(model: LabModel, subnet: str, count: int) -> tuple[list[str], list[str]]:
    """Up to ``count`` host addresses of the lower and of the upper half of a subnet that nobody in the model has.

    From the middle outward, where nobody numbers members. Both lists are empty for a /31 or /127.
    """
    network: IPv4Network | IPv6Network = ip_network(subnet)
    if network.num_addresses <= 2:
        return [], []
    taken = {
        text.split("/")[0] for node in model.nodes for i in node.interfaces for text in (i.v4, i.v6) if text is not None
    }
    first, last = int(network.network_address) + 1, int(network.broadcast_address) - 1
    middle = first + (last - first) // 2
    kind = IPv4Address if network.version == 4 else IPv6Address

    def free(numbers: Iterator[int]) -> list[str]:
        return list(islice((text for text in (str(kind(n)) for n in numbers) if text not in taken), count))

    lower = free(iter(range(middle, max(first, middle - 4096) - 1, -1)))
    upper = free(iter(range(middle + 1, min(last, middle + 4096) + 1)))
    return lower, upper


def subnet_of(text: str | None) -> str:
    """The subnet of an address with its length, '' for none."""
    return str(ip_interface(text).network) if text else ""


def foreign_addresses(model: LabModel, port: Port) -> tuple[str, ...]:
    """Addresses that are not of the port's subnets but that its router knows: its loopbacks, its other interfaces, and
    the neighbours there. Whoever answers ARP for one of them answers for what is not its own on this LAN."""
    node = model.node(port.node)
    here = {subnet_of(port.interface.v4), subnet_of(port.interface.v6)}
    others = [i for i in node.interfaces if i.name != port.interface.name]
    beyond = []
    for interface in others:
        wire = link_of(model, interface.link)
        for end in wire.ends if wire is not None else ():
            if end.node != port.node:
                beyond.append(model.node(end.node).interface(end.interface))
    texts = chain.from_iterable((i.v4, i.v6) for i in (*others, *beyond))
    known = [text.split("/")[0] for text in texts if text is not None and subnet_of(text) not in here]
    loopbacks = [text for text in (node.loopback_v4, node.loopback_v6) if text is not None]
    return tuple(dict.fromkeys((*loopbacks, *known)))
