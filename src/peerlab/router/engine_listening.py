"""ExaBGP's listener, woken by events, and closed to everybody but the neighbours it listens for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from exabgp.reactor.listener import Listener
from exabgp.reactor.network.tcp import md5

from peerlab.router.engine_session import DEFAULT_HOP_LIMIT, SessionPeer
from peerlab.router.loop import READ, Loop
from peerlab.router.port_guard import guard

PORT = 179
GTSM_HOP_LIMIT = 255
_IP_MINTTL = 21  # linux/in.h; Python's socket module lacks both names
_IPV6_MINHOPCOUNT = 73  # linux/in6.h


class Listening:
    """The listening sockets of a router, one per local address that has a passive session.

    ``reactor`` is who ExaBGP's listener hands connections to. ``passive`` answers the passive peers that exist now.
    """

    def __init__(
        self, loop: Loop, reactor: Any, passive: Callable[[], Iterable[SessionPeer]], complain: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._passive = passive
        self._complain = complain
        self._listener = Listener(reactor)
        self._watched: set[int] = set()
        self._unbound: dict[str, SessionPeer] = {}

    def listen(self, peer: SessionPeer) -> None:
        """Take connections for this session from now on; while its address does not exist, as soon as it does."""
        neighbor = peer.neighbor
        bound = self._listener.listen_on(
            neighbor["local-address"],
            neighbor["peer-address"],
            neighbor["listen"] or PORT,
            neighbor["md5-password"],
            neighbor["md5-base64"],
            None,
        )
        if bound:
            self._unbound.pop(peer.config.session, None)
        else:
            self._unbound[peer.config.session] = peer
        for listening in self._listener._sockets:
            if listening.fileno() not in self._watched:
                self._watched.add(listening.fileno())
                self._loop.watch(listening.fileno(), READ, self._accept)
        self._protect()

    def try_again(self) -> None:
        """An address came: listen where that was not possible before."""
        for peer in tuple(self._unbound.values()):
            self.listen(peer)

    def release(self, gone: SessionPeer) -> None:
        """Take no more connections for this session, which is not among the passive ones any more."""
        self._unbound.pop(gone.config.session, None)
        neighbor = gone.neighbor
        wanted = {(peer.neighbor["local-address"].top(), peer.neighbor["listen"] or PORT) for peer in self._passive()}
        for listening, (address, port, _, _) in self._listener._sockets.items():
            if (address, port) not in wanted:
                self._loop.unwatch(listening.fileno())
                self._watched.discard(listening.fileno())
            elif address == neighbor["local-address"].top() and neighbor["md5-password"]:
                md5(listening, neighbor["peer-address"].top(), 0, "", False)
        self._listener.close_unwanted(wanted)
        self._protect()

    def stop(self) -> None:
        """Close everything."""
        for descriptor in self._watched:
            self._loop.unwatch(descriptor)
        self._watched.clear()
        self._listener.stop()

    def _protect(self) -> None:
        """Strangers get no answer; GTSM counts before a connection exists.

        A SYN-ACK must leave with 255 as soon as one peer of an address demands it, and SYNs are judged by the kernel
        when all do (RFC 5082 section 3).
        """
        for listening, (address, _, _, _) in self._listener._sockets.items():
            configs = [peer.config for peer in self._passive() if peer.config.local_address == address]
            demands = [config.gtsm for config in configs]
            sent = GTSM_HOP_LIMIT if any(demands) else DEFAULT_HOP_LIMIT
            least = GTSM_HOP_LIMIT if demands and all(demands) else 0
            if listening.family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, sent)
                listening.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, least)
            else:
                listening.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, sent)
                listening.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, least)
            try:
                guard(listening, {config.peer_address for config in configs})
            except (OSError, ValueError) as error:
                self._complain(f"strangers can connect to {address} port {PORT}: {error}")

    def _accept(self, _: int) -> None:
        """Everything that waits. ExaBGP stops at a connection it refuses, and leaves the others of the lot behind."""
        while self._listener.incoming() or self._listener._accepted:
            for _step in self._listener.new_connections():
                continue
