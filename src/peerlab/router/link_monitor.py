"""Watches the node's interfaces: carrier and addresses, as the kernel tells of them (rtnetlink(7)).

A session over a wire that lost its carrier is down at once instead of after its hold time: 0.5 ms instead of 3 s.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.router.loop import READ, Loop
from peerlab.runtime.netlink import Netlink, messages_of
from peerlab.runtime.rtnetlink import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    address_fact,
    addresses_question,
    link_fact,
    links_question,
)

_GROUPS = 0x1 | 0x10 | 0x100
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""


class InterfaceState(msgspec.Struct, frozen=True):
    """An interface now. ``carrier``: it is up and so is the wire. ``addresses`` carry their prefix length."""

    name: str
    index: int
    carrier: bool
    addresses: frozenset[str] = frozenset()

    def address(self, family: int) -> Address | None:
        """Its first global address of that address family, without length; None when it has none."""
        for text in sorted(self.addresses):
            bare = text.partition("/")[0]
            if (":" in bare) == (family == socket.AF_INET6) and not bare.startswith("fe80:"):
                return Address(bare)
        return None


class LinkMonitor:
    """All interfaces by name, kept current. ``changed`` is called with the names concerned.

    Every loss and return of carrier is told by itself, even when the other follows at once: the kernel has thrown out
    routes in between. Addresses are told once per batch of news.
    """

    def __init__(self, loop: Loop, changed: Callable[[frozenset[str]], None]) -> None:
        self.interfaces: dict[str, InterfaceState] = {}
        self._names: dict[int, str] = {}
        self._changed = changed
        self._loop = loop
        self._news = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._news.bind((0, _GROUPS))
        loop.watch(self._news.fileno(), READ, self._read)
        self._take_stock()

    def close(self) -> None:
        """Stop watching."""
        self._loop.unwatch(self._news.fileno())
        self._news.close()

    @property
    def indices(self) -> dict[str, int]:
        """The kernel's number of each interface."""
        return {interface.name: interface.index for interface in self.interfaces.values()}

    def has_carrier(self, name: str) -> bool:
        """Whether packets can leave by this interface; False for one that does not exist."""
        interface = self.interfaces.get(name)
        return interface is not None and interface.carrier

    def _take_stock(self) -> None:
        netlink = Netlink()
        try:
            links = [link_fact(body) for body in netlink.dump(links_question())]
            self._names = {link.index: link.name for link in links}
            addresses: dict[str, set[str]] = {link.name: set() for link in links}
            for body in netlink.dump(addresses_question()):
                fact = address_fact(body, self._names)
                addresses.setdefault(fact.interface, set()).add(fact.address)
        finally:
            netlink.close()
        self.interfaces = {
            link.name: InterfaceState(link.name, link.index, link.up and link.carrier, frozenset(addresses[link.name]))
            for link in links
        }

    def _read(self, _: int) -> None:
        before = dict(self.interfaces)

        def tell() -> None:
            nonlocal before
            names = before.keys() | self.interfaces.keys()
            changed = frozenset(name for name in names if before.get(name) != self.interfaces.get(name))
            before = dict(self.interfaces)
            if changed:
                self._changed(changed)

        while True:
            try:
                block = self._news.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._take_stock()  # news were lost: read everything anew
                continue
            for kind, _, _, body in messages_of(memoryview(block)):
                if self._note(kind, bytes(body)):
                    tell()
        tell()

    def _note(self, kind: int, body: bytes) -> bool:
        """Take one piece of news in. True when an interface's carrier changed."""
        before_all = {name: interface.carrier for name, interface in self.interfaces.items()}
        if kind in (RTM_NEWLINK, RTM_DELLINK):
            link = link_fact(body)
            before = self._names.get(link.index)
            if kind == RTM_DELLINK or (before is not None and before != link.name):
                self.interfaces.pop(before or link.name, None)
                self._names.pop(link.index, None)
            if kind == RTM_NEWLINK:
                self._names[link.index] = link.name
                known = self.interfaces.get(link.name)
                addresses = known.addresses if known is not None else frozenset()
                state = InterfaceState(link.name, link.index, link.up and link.carrier, addresses)
                self.interfaces[link.name] = state
        elif kind in (RTM_NEWADDR, RTM_DELADDR):
            fact = address_fact(body, self._names)
            known = self.interfaces.get(fact.interface)
            if known is not None:
                changed = known.addresses | {fact.address} if kind == RTM_NEWADDR else known.addresses - {fact.address}
                self.interfaces[fact.interface] = msgspec.structs.replace(known, addresses=changed)
        return before_all != {name: interface.carrier for name, interface in self.interfaces.items()}
