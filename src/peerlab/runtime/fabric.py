"""The supervisor's nodes and wires: anonymous network namespaces, held by descriptor, and veth pairs between them.

Everything here acts on namespaces made here; the host's is never entered with a request that changes anything.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import itertools
import os
from collections.abc import Callable, Sequence

from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.runtime import rtnetlink
from peerlab.runtime.base import (
    CELL,
    Impairment,
    InterfaceObservation,
    InterfaceSpec,
    LinkObservation,
    LinkSpec,
    NodeObservation,
    NodeSpec,
    RouteSpec,
    derived_mac,
)
from peerlab.runtime.container import Container
from peerlab.runtime.discretion import keep_quiet
from peerlab.runtime.kernel import CLONE_NEWNET, in_throwaway_thread, setns, unshare
from peerlab.runtime.netlink import Netlink, NetlinkRefused, Request
from peerlab.runtime.source_guard import guard

__all__ = ["BRIDGE", "Fabric", "Node", "sysctls_of"]

BRIDGE = "br0"
LOOPBACK_INDEX = 1
BRIDGE_INDEX = 31
FIRST_INDEX = 32  # above what a kernel with fallback tunnels puts into every new namespace
DOOMED = 179  # the group of links that are about to be removed; nobody else uses groups in a lab
LINK_LOCAL_V4 = "169.254.0.0/16"
MAIN_TABLE = 254

_EVERY_NODE = (
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    # Answer ARP for, and ask ARP from, an address of the interface at hand only, as every exchange demands; Linux would
    # answer on any interface for any address that the node has, its loopback's too.
    ("ipv4/conf/all/arp_ignore", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    ("ipv4/icmp_errors_use_inbound_ifaddr", "1"),
    ("ipv4/icmp_ratemask", "0"),
    ("ipv4/ping_group_range", "0 0"),  # our traceroute uses ping sockets; a cell's processes have group 0
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/all/keep_addr_on_down", "1"),
    ("ipv6/conf/default/keep_addr_on_down", "1"),
)


class Interface:
    """An interface of a node: its index in the node's namespace and the link that it ends."""

    __slots__ = ("addresses", "index", "link", "spec")

    def __init__(self, spec: InterfaceSpec, index: int, link: str) -> None:
        self.spec = spec
        self.index = index
        self.link = link
        self.addresses = list(spec.addresses)


class Node:
    """A network namespace with a netlink socket of its own."""

    __slots__ = ("container", "descriptor", "interfaces", "netlink", "routes", "spec")

    def __init__(self, spec: NodeSpec, descriptor: int, netlink: Netlink, container: Container | None = None) -> None:
        self.spec = spec
        self.container = container
        self.descriptor = descriptor
        self.netlink = netlink
        self.interfaces: dict[str, Interface] = {}
        self.routes: list[RouteSpec] = []

    def interface(self, name: str) -> Interface:
        """The interface of that name; refuses an unknown one."""
        found = self.interfaces.get(name)
        if found is None:
            known = ", ".join(sorted(self.interfaces)) or "none"
            raise RefusedError("UnknownInterface", f"{self.spec.name} has no interface {name}; it has: {known}")
        return found

    def index_of(self, name: str) -> int:
        """The index of an interface, the loopback included."""
        return LOOPBACK_INDEX if name == "lo" else self.interface(name).index

    def index_towards(self, gateway: str) -> int | None:
        """The index of the interface on whose subnet a gateway is, None when there is none."""
        wanted = ipaddress.ip_address(gateway)
        for interface in self.interfaces.values():
            for address in interface.addresses:
                if wanted in ipaddress.ip_interface(address).network:
                    return interface.index
        return None

    def close(self) -> None:
        """Lets go of the namespace; the kernel takes it away when its last process is gone."""
        self.netlink.close()
        os.close(self.descriptor)
        if self.container is not None:
            self.container.close()


def sysctls_of(spec: NodeSpec) -> list[tuple[str, str]]:
    """What is written below /proc/sys/net for a node, in order."""
    wanted = []
    if spec.kind == "switch":
        wanted.append(("ipv6/conf/default/disable_ipv6", "1"))
    else:
        if spec.forwarding:
            wanted += [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]
        wanted += _EVERY_NODE
        if not (spec.link_local_ipv6 or spec.forwarding):
            wanted.append(("ipv6/conf/default/addr_gen_mode", "1"))
    return wanted + list(spec.sysctls.items())


def _write_sysctl(path: str, value: str) -> None:
    try:
        descriptor = os.open("/proc/sys/net/" + path, os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as failure:
        raise RuntimeFailure(f"cannot set net/{path} to {value!r}: {failure.strerror}") from failure


def _make_namespace(spec: NodeSpec) -> tuple[int, Netlink]:
    """In a throw-away thread: a new namespace, told what it is. The thread stays in it until it makes the next."""
    unshare(CLONE_NEWNET)
    return _told(spec, os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def _told(spec: NodeSpec, descriptor: int) -> tuple[int, Netlink]:
    """In a thread that is in the namespace behind the descriptor: it is told what it is."""
    try:
        for path, value in sysctls_of(spec):
            _write_sysctl(path, value)
        return descriptor, Netlink()
    except BaseException:
        os.close(descriptor)
        raise


def _first_requests(spec: NodeSpec) -> list[Request]:
    requests = [rtnetlink.link_set(LOOPBACK_INDEX, True, f"bring up lo of {spec.name}")]
    requests += [rtnetlink.address_change(LOOPBACK_INDEX, each, True, f"{spec.name}/lo") for each in spec.addresses]
    if spec.kind == "switch":
        requests.append(rtnetlink.bridge(BRIDGE, BRIDGE_INDEX, derived_mac(spec.name, BRIDGE)))
    if spec.forwarding and spec.drop_link_local:
        requests += [
            rtnetlink.rule(100, iif="lo", table=MAIN_TABLE),
            rtnetlink.rule(101, to=LINK_LOCAL_V4),
            rtnetlink.rule(102, source=LINK_LOCAL_V4),
        ]
    return requests


def _furnish(node: Node) -> None:
    """Gives a new namespace its loopback, rules and manners."""
    node.netlink.transact(_first_requests(node.spec))
    if node.spec.forwarding and node.spec.discreet:
        keep_quiet(node.descriptor, node.spec.name)


class Fabric:
    """All nodes and links of a cell."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._desk: Node | None = None
        # Never the same index at both ends of a wire: Linux reports a change of carrier at once only when they
        # differ (linkwatch_urgent_event in net/core/link_watch.c), otherwise up to a second late.
        self._indices = itertools.count(FIRST_INDEX)
        self.links: dict[str, LinkSpec] = {}
        self.impairments: dict[tuple[str, str], Impairment] = {}
        self.delays: dict[str, float] = {}
        """The own delay of each link that has one now."""
        self.after_creation: Callable[[Sequence[LinkSpec]], None] = lambda _: None
        """Called with new links as the last part of their creation; what it raises undoes all of it."""
        self.before_removal: Callable[[LinkSpec], None] = lambda _: None
        """Called with a link while it still exists, for whoever has put something on it."""

    def node(self, name: str) -> Node:
        """The node of that name; refuses an unknown one."""
        if name == CELL and self._desk is None:
            spec = NodeSpec(CELL)
            self._desk = in_throwaway_thread(lambda: Node(spec, *_make_namespace(spec)))
        found = self._desk if name == CELL else self.nodes.get(name)
        if found is None:
            raise RefusedError("UnknownNode", f"there is no node {name} in this lab; ask observe for the names")
        return found

    def create(self, nodes: Sequence[NodeSpec], links: Sequence[LinkSpec], routes: Sequence[RouteSpec]) -> None:
        """Makes everything or, when the kernel refuses something, nothing."""
        self._refuse_doubles(nodes, links)
        undo = contextlib.ExitStack()
        with undo:
            undo.callback(lambda: self.delete([n.name for n in nodes if n.name in self.nodes], []))
            undo.callback(lambda: self.delete([], [link.id for link in links if link.id in self.links]))
            self._create_nodes(nodes)
            self._create_links(links)
            self.set_routes(routes, ())
            self.after_creation(links)
            undo.pop_all()

    def adopt(self, spec: NodeSpec, namespace: int, container: Container) -> None:
        """Makes a node of a container's network. The descriptors become ours, refused or not."""

        def told() -> tuple[int, Netlink]:
            setns(namespace, CLONE_NEWNET)
            for scope in ("all", "default", "lo"):  # Docker switches IPv6 off where it gives no network
                _write_sysctl(f"ipv6/conf/{scope}/disable_ipv6", "0")
            return _told(spec, namespace)

        try:
            self._refuse_doubles([spec], [])
            self.nodes[spec.name] = node = Node(spec, *in_throwaway_thread(told), container)
        except BaseException:
            container.close()
            raise
        try:
            _furnish(node)
        except BaseException:
            self.delete([spec.name], [])
            raise

    def _refuse_doubles(self, nodes: Sequence[NodeSpec], links: Sequence[LinkSpec]) -> None:
        names = set(self.nodes)
        for node in nodes:
            if node.name in names:
                raise RefusedError("NodeExists", f"a node {node.name} exists already")
            names.add(node.name)
        identifiers = set(self.links)
        ends = {(node, interface) for node, held in self.nodes.items() for interface in held.interfaces}
        for link in links:
            if link.id in identifiers:
                raise RefusedError("LinkExists", f"a link {link.id} exists already")
            identifiers.add(link.id)
            for end in (link.a, link.b):
                if end.node not in names:
                    raise RefusedError("UnknownNode", f"link {link.id} ends at {end.node}, which does not exist")
                if (end.node, end.name) in ends:
                    raise RefusedError("InterfaceExists", f"{end.node} has an interface {end.name} already")
                ends.add((end.node, end.name))

    def _create_nodes(self, specs: Sequence[NodeSpec]) -> None:
        if not specs:
            return

        def make_all() -> None:
            for spec in specs:
                self.nodes[spec.name] = Node(spec, *_make_namespace(spec))

        in_throwaway_thread(make_all)
        for spec in specs:
            _furnish(self.nodes[spec.name])

    def _create_links(self, specs: Sequence[LinkSpec]) -> None:
        for port in (port for spec in specs for port in (spec.a, spec.b)):
            if port.sources is not None:  # before there is an interface that anything could come in by
                guard(self.nodes[port.node].descriptor, port.name, port.sources, f"{port.node}/{port.name}")
        finish: dict[str, list[Request]] = {}
        for spec in specs:
            # The near end can join its bridge and come up in the same message, so a switch is always near.
            near_spec, far_spec = spec.a, spec.b
            if self.nodes[far_spec.node].spec.kind == "switch":
                near_spec, far_spec = far_spec, near_spec
            near, far = self._end(near_spec), self._end(far_spec)
            self.nodes[near_spec.node].netlink.transact([rtnetlink.veth(near, far)])
            self.links[spec.id] = spec
            for end_spec, end in ((near_spec, near), (far_spec, far)):
                self.nodes[end_spec.node].interfaces[end_spec.name] = Interface(end_spec, end.index, spec.id)
            for end_spec, end in ((near_spec, near), (far_spec, far)):
                node = self.nodes[end_spec.node]
                requests = finish.setdefault(end_spec.node, [])
                where = f"{end_spec.node}/{end_spec.name}"
                if end is far:
                    master = BRIDGE_INDEX if node.spec.kind == "switch" else None
                    requests.append(rtnetlink.link_set(end.index, True, f"bring up {where}", master))
                requests += [rtnetlink.address_change(end.index, each, True, where) for each in end_spec.addresses]
        for name, requests in finish.items():
            self.nodes[name].netlink.transact(requests)

    def _end(self, spec: InterfaceSpec) -> rtnetlink.End:
        node = self.nodes[spec.node]
        master = BRIDGE_INDEX if node.spec.kind == "switch" else 0
        mac = spec.mac or derived_mac(spec.node, spec.name)
        return rtnetlink.End(spec.name, mac, spec.mtu, next(self._indices), node.descriptor, master)

    def delete(self, nodes: Sequence[str], links: Sequence[str]) -> None:
        """Removes nodes with their links, and links."""
        doomed = [self.node(name) for name in nodes]
        identifiers = list(links)
        for identifier in links:
            self.link(identifier)
        identifiers += [each.link for node in doomed for each in node.interfaces.values()]
        self._delete_links([self.links[identifier] for identifier in dict.fromkeys(identifiers)])
        for node in doomed:
            del self.nodes[node.spec.name]
            node.close()

    def link(self, identifier: str) -> LinkSpec:
        """The link of that id; refuses an unknown one."""
        found = self.links.get(identifier)
        if found is None:
            raise RefusedError("UnknownLink", f"there is no link {identifier} in this lab")
        return found

    def _delete_links(self, specs: Sequence[LinkSpec]) -> None:
        by_node: dict[str, list[Request]] = {}
        for spec in specs:
            self.before_removal(spec)
            del self.links[spec.id]
            index = self.nodes[spec.a.node].interface(spec.a.name).index
            purpose = f"remove the link {spec.id}"
            by_node.setdefault(spec.a.node, []).append(rtnetlink.link_group(index, DOOMED, purpose))
        for name, requests in by_node.items():
            self._delete_doomed(self.nodes[name], requests)
        for spec in specs:
            for end in (spec.a, spec.b):
                self.nodes[end.node].interfaces.pop(end.name, None)

    def _delete_doomed(self, node: Node, requests: Sequence[Request]) -> None:
        """Groups links of a node and removes the group. Those that somebody inside removed already are as they should.

        One by one, each removal would wait for a grace period of the kernel's readers, tens of milliseconds.
        """
        try:
            node.netlink.transact([*requests, rtnetlink.group_delete(DOOMED, f"remove links of {node.spec.name}")])
        except NetlinkRefused as refusal:
            if any(failure.errno != errno.ENODEV for failure in refusal.failures):
                raise

    def far_end(self, node: str, interface: str) -> InterfaceSpec:
        """The other end of the wire at an interface."""
        spec = self.link(self.node(node).interface(interface).link)
        return spec.b if (spec.a.node, spec.a.name) == (node, interface) else spec.a

    def set_addresses(self, node: str, interface: str, add: Sequence[str], remove: Sequence[str]) -> None:
        """Changes addresses; those to remove go first."""
        held = self.node(node)
        index = held.index_of(interface)
        where = f"{node}/{interface}"
        held.netlink.transact(
            [rtnetlink.address_change(index, each, False, where) for each in remove]
            + [rtnetlink.address_change(index, each, True, where) for each in add]
        )
        if interface != "lo":
            kept = [each for each in held.interface(interface).addresses if each not in remove]
            held.interface(interface).addresses = [*kept, *add]

    def set_routes(self, add: Sequence[RouteSpec], remove: Sequence[RouteSpec]) -> None:
        """Changes static routes, node by node; those to remove go first."""
        wanted: dict[str, list[Request]] = {}
        for route in remove:
            wanted.setdefault(route.node, []).append(self._route(route, False))
        for route in add:
            wanted.setdefault(route.node, []).append(self._route(route, True))
        done: list[tuple[Node, Sequence[Request]]] = []
        try:
            for name, requests in wanted.items():
                done.append((self.node(name), requests))
                self.node(name).netlink.transact(requests)
        except NetlinkRefused as refusal:
            _take_back(done, refusal)
            raise
        for route in remove:
            with contextlib.suppress(ValueError):  # a route that a router put there is not in our list
                self.node(route.node).routes.remove(route)
        for route in add:
            self.node(route.node).routes.append(route)

    def _route(self, route: RouteSpec, add: bool, onlink: bool = False) -> Request:
        """``onlink`` names the interface of the gateway ourselves: an IPv6 subnet's own route comes back only
        with the carrier, a while after the link, and the gateway would not be found before."""
        node = self.node(route.node)
        index = node.index_of(route.device) if route.device else None
        if onlink and route.via and index is None:
            index = node.index_towards(route.via)
        flags = rtnetlink.RTNH_F_ONLINK if onlink and route.via and index is not None else 0
        return rtnetlink.route_change(
            route.destination,
            route.via,
            index,
            route.metric,
            route.table,
            route.kind,
            add,
            route.node,
            flags=flags,
        )

    def set_link(self, name: str, interface: str, up: bool) -> None:
        """Brings an end up or down. Coming up restores the static routes that the kernel dropped with the link."""
        node = self.node(name)
        index = node.interface(interface).index
        node.netlink.transact([rtnetlink.link_set(index, up, f"bring {'up' if up else 'down'} {name}/{interface}")])
        if not up or not node.routes:
            return
        try:
            node.netlink.transact([self._route(route, True, onlink=True) for route in node.routes])
        except NetlinkRefused as refusal:
            # Still there; or its interface is another one that is down and will restore it in its turn.
            if any(failure.errno not in (errno.EEXIST, errno.ENETDOWN) for failure in refusal.failures):
                raise

    def observe(self) -> tuple[list[NodeObservation], list[LinkObservation]]:
        """Asks the kernel for every link of every node."""
        seen: dict[tuple[str, str], InterfaceObservation] = {}
        nodes = []
        for name, node in self.nodes.items():
            inode = os.fstat(node.descriptor).st_ino
            path = f"/proc/1/fd/{node.descriptor}"
            nodes.append(NodeObservation(name, node.spec.kind, node.spec.forwarding, inode, path, node.spec.image))
            for body in node.netlink.dump(rtnetlink.links_question()):
                fact = rtnetlink.link_fact(body)
                (
                    rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped,
                    _, _, rx_length_errors, rx_over_errors, rx_crc_errors,
                ) = fact.counters  # fmt: skip
                seen[name, fact.name] = InterfaceObservation(
                    name, fact.name, fact.index, fact.mac, fact.mtu, fact.up, fact.carrier,
                    rx_packets, tx_packets, rx_bytes, tx_bytes, rx_dropped, tx_dropped, rx_errors, tx_errors,
                    rx_length_errors, rx_over_errors, rx_crc_errors, fact.carrier_changes,
                )  # fmt: skip
        links = []
        for identifier, spec in self.links.items():
            ends = [seen.get((end.node, end.name)) for end in (spec.a, spec.b)]
            if ends[0] is not None and ends[1] is not None:
                links.append(LinkObservation(identifier, ends[0], ends[1], self.delays.get(identifier, 0.0)))
        return nodes, links


def _take_back(done: Sequence[tuple[Node, Sequence[Request]]], refusal: NetlinkRefused) -> None:
    """Undoes the route changes of a batch of which the kernel refused a part, so that none of it stays."""
    refused = {id(failure.request) for failure in refusal.failures}
    for node, requests in done:
        for request in requests:
            if id(request) not in refused:
                node.netlink.transact([rtnetlink.route_inverse(request)])
