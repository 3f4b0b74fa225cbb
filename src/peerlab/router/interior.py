"""The interior protocol at work in a router: its core, its sockets, its timer, and its routes in the kernel."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.effects import FibChange
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.router.fib import PROTOCOL_IGP, Fib
from peerlab.router.igp import LinkState, Wire
from peerlab.router.igp_port import IgpPort
from peerlab.router.link_monitor import InterfaceState
from peerlab.router.loop import Loop, Timer
from peerlab.router.next_hops import IgpRoute

LARGEST_COST = 1 << 19
"""More than any sensible sum of costs; beyond it BIRD would prefer its own routes to interior ones."""

_NOT_ROUTED = tuple(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "127.0.0.0/8", "fe80::/10", "::1/128"))


class Interior:
    """Runs ``LinkState`` on the wires of the configuration. ``changed`` is called when routes are others."""

    def __init__(
        self,
        loop: Loop,
        config: RouterConfig,
        changed: Callable[[], None],
        complain: Callable[[str], None],
        *,
        tells_costs: bool,
    ) -> None:
        """``tells_costs``: by the kernel's metric. A foreign daemon hears of them in no other way."""
        self._loop = loop
        self._changed = changed
        self._complain = complain
        self._wires = {
            interface.name: Wire(interface.name, interface.cost, interface.address_v4, interface.address_v6)
            for interface in config.igp
        }
        self._tells_costs = tells_costs
        self._core = LinkState(config.router_id, self._wires.values(), time.time_ns())
        self._fib = Fib(PROTOCOL_IGP)
        self._fib.clear()
        self._ports: dict[str, IgpPort] = {}
        self._installed: dict[Prefix, IgpRoute] = {}
        self._doubtful: set[Prefix] = set()
        self._timer: Timer | None = None
        self._settling = False
        self._loopbacks = [
            Prefix(f"{address}/{length}")
            for address, length in ((config.loopback_v4, 32), (config.loopback_v6, 128))
            if address is not None
        ]

    @property
    def routes(self) -> Mapping[Prefix, IgpRoute]:
        """Interior routes as they are in the kernel."""
        return self._installed

    def stop(self) -> None:
        """Take the routes out of the kernel and close everything."""
        if self._timer is not None:
            self._timer.cancel()
        for port in self._ports.values():
            port.close()
        self._fib.clear()
        self._fib.close()

    def interfaces_changed(self, interfaces: Mapping[str, InterfaceState]) -> None:
        """Carrier, addresses or numbers of interfaces are others than before."""
        self._fib.know_interfaces({interface.name: interface.index for interface in interfaces.values()})
        for name, wire in self._wires.items():
            interface = interfaces.get(name)
            self._attend(wire, interface)
            if interface is None or not interface.carrier:
                # The kernel may have dropped its routes by this interface, or not: it depends on which end went down.
                self._doubtful.update(p for p, route in self._installed.items() if route.interface == name)
            self._core.set_carrier(name, interface is not None and interface.carrier and name in self._ports)
        self._core.set_prefixes(self._own_prefixes(interfaces))
        self._pump()
        self._settle()

    def _attend(self, wire: Wire, interface: InterfaceState | None) -> None:
        port = self._ports.get(wire.name)
        if port is not None and (interface is None or interface.index != port.index):
            port.close()
            del self._ports[wire.name]
        if interface is not None and wire.name not in self._ports:
            try:
                self._ports[wire.name] = IgpPort(self._loop, wire, interface.index, self._receive)
            except OSError as error:
                self._complain(f"the interior protocol cannot use {wire.name}: {error.strerror}")

    def _own_prefixes(self, interfaces: Mapping[str, InterfaceState]) -> list[tuple[Prefix, int]]:
        prefixes = [(prefix, 0) for prefix in self._loopbacks]
        for interface in interfaces.values():
            if not interface.carrier or interface.name == "lo":
                continue
            wire = self._wires.get(interface.name)
            for text in interface.addresses:
                network = ipaddress.ip_interface(text).network
                if not any(network.version == other.version and network.subnet_of(other) for other in _NOT_ROUTED):  # type: ignore[arg-type]
                    prefixes.append((Prefix(str(network)), wire.cost if wire is not None else 0))
        return prefixes

    def _receive(self, wire: str, datagram: bytes) -> None:
        self._core.receive(wire, datagram, self._loop.now())
        self._pump()

    def _tick(self) -> None:
        self._core.tick(self._loop.now())
        self._pump()

    def _pump(self) -> None:
        for wire, datagram in self._core.take():
            port = self._ports.get(wire)
            if port is not None:
                port.send(datagram)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.at(self._core.due(), self._tick)
        if not self._settling:
            self._settling = True
            self._loop.soon(self._settle_later)

    def _settle_later(self) -> None:
        self._settling = False
        self._settle()

    def _settle(self) -> None:
        self._core.settle()
        wanted = self._core.routes
        changes = [self._removal(prefix, self._installed[prefix]) for prefix in self._installed.keys() - wanted.keys()]
        changes += [
            self._change(prefix, route)
            for prefix, route in wanted.items()
            if self._installed.get(prefix) != route or prefix in self._doubtful
        ]
        changes += [
            self._removal(prefix, before)
            for prefix, before in self._installed.items()
            if prefix in wanted and self._cost(before) != self._cost(wanted[prefix])
        ]
        self._doubtful.clear()
        if not changes:
            return
        self._installed = dict(wanted)
        for refusal in self._fib.apply(changes):
            self._installed.pop(refusal.change.prefix, None)
            self._complain(str(refusal))
        self._changed()

    def _change(self, prefix: Prefix, route: IgpRoute) -> FibChange:
        family: Family = family_of_prefix(prefix)
        return FibChange(family, nlri_bytes(prefix), "unicast", route.gateway, route.interface, self._cost(route))

    def _removal(self, prefix: Prefix, route: IgpRoute) -> FibChange:
        return FibChange(family_of_prefix(prefix), nlri_bytes(prefix), "remove", cost=self._cost(route))

    def _cost(self, route: IgpRoute) -> int:
        """What the kernel is shown of a route's cost."""
        return min(route.metric, LARGEST_COST) if self._tells_costs else 0
