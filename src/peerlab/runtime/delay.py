"""Delay without netem, the supervisor's side: who is delayed, by which rules, and the process that does it.

A direction is delayed at its receiving end, before the packet is routed or delivered, so what a node receives and what
it forwards are both late; a switch delays what comes in at a port. Held back are IPv4 and IPv6, neighbour discovery
with it, not ARP. A tap or probe that reads frames from the wire itself sees them before the delay.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from peerlab.errors import RefusedError, Unsupported
from peerlab.runtime import nfqueue, shaping
from peerlab.runtime.base import Impairment
from peerlab.runtime.delay_line import DelayWord
from peerlab.runtime.fabric import Node
from peerlab.runtime.framing import Channel
from peerlab.runtime.kernel import in_namespace
from peerlab.runtime.netlink import Netlink, NetlinkRefused
from peerlab.runtime.nfqueue import SHOW_BRIDGED, Entrance

__all__ = ["DELAY_WANTED", "DelayBank"]

NETLINK_NETFILTER = 12
DELAY_WANTED = (
    "delay needs netem (`modprobe sch_netem`, on Debian and Ubuntu in the package linux-modules-extra) or nftables "
    "with a packet queue (`modprobe nft_queue`, or nft_compat with xt_NFQUEUE); this kernel has neither. Leave the "
    "delay out: loss and rate work without"
)
_QUEUES = range(1, 1 << 16)
_TABLE_OF_QUEUES = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")


class DelayBank:
    """All directions that are delayed this way. ``start`` forks a delay line and gives our end of its conversation."""

    def __init__(self, start: Callable[[], Channel]) -> None:
        self._start = start
        self._means: nfqueue.Means | None = None
        self.channel: Channel | None = None
        self._delayed: dict[Node, dict[Entrance, int]] = {}
        # A queue that was let go is its old reader's until that has heard of it, so a new delay takes another number.
        self._numbers = itertools.cycle(_QUEUES)

    def put(self, node: Node, interface: str, wanted: Impairment) -> None:
        """Delays what comes in at an interface. Raises `Unsupported` when this kernel cannot."""
        entrance = _entrance(node, interface)
        where = f"{node.spec.name}/{interface}"
        queue = self._free_number()
        try:
            reader = in_namespace(node.descriptor, lambda: _reader(queue, where))
        except (OSError, NetlinkRefused) as failure:
            raise Unsupported(f"{DELAY_WANTED} ({failure})") from failure
        try:
            self._rule(node, {entrance: queue}, where)
        except BaseException:
            os.close(reader)
            raise
        self._delayed.setdefault(node, {})[entrance] = queue
        if self.channel is None:
            self.channel = self._start()
        self._say(DelayWord(queue, round(wanted.delay_ms * 1e6), round(wanted.jitter_ms * 1e6)), [reader])

    def _free_number(self) -> int:
        taken = {queue for queues in self._delayed.values() for queue in queues.values()}
        for queue in itertools.islice(self._numbers, len(_QUEUES)):
            if queue not in taken:
                return queue
        raise RefusedError("TooManyDelays", f"{len(_QUEUES)} directions are delayed already, which is the most")

    def take(self, node: Node, interface: str) -> None:
        """Ends the delay of what comes in at an interface; there may be none. What waits goes on at once."""
        delayed = self._delayed.get(node, {})
        queue = delayed.pop(_entrance(node, interface), None)
        if queue is None:
            return
        self._rule(node, delayed, f"{node.spec.name}/{interface}", replace=True)
        if not delayed:
            del self._delayed[node]
        self._say(DelayWord(queue, ended=True), [])

    def dropped(self, node: Node, interface: str) -> int:
        """Packets that the full queue of a delayed interface had to drop."""
        table = in_namespace(node.descriptor, _TABLE_OF_QUEUES.read_text)
        queue = self._delayed.get(node, {}).get(_entrance(node, interface), 0)
        return nfqueue.dropped(table).get(queue, 0)

    def lose(self) -> None:
        """The delay line is gone: no packet is delayed any more, and the rules go too."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        gone, self._delayed = self._delayed, {}
        for node in gone:
            self._rule(node, {}, node.spec.name, replace=True)

    def _say(self, word: DelayWord, descriptors: list[int]) -> None:
        if self.channel is None:
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            self.channel.queue(msgspec.json.encode(word), descriptors)

    def _rule(self, node: Node, queues: Mapping[Entrance, int], where: str, replace: bool = False) -> None:
        bridged = node.spec.kind == "switch"
        complaint: Exception | None = None
        for means in (self._means,) if self._means else nfqueue.MEANS:
            requests = nfqueue.queue_rules(queues, bridged, means, where, replace)
            try:
                if bridged and means == "target":
                    in_namespace(node.descriptor, _show_bridged)
                with in_namespace(node.descriptor, lambda: Netlink(NETLINK_NETFILTER)) as netlink:
                    shaping.commit(netlink, requests)
            except (OSError, NetlinkRefused) as failure:
                complaint = failure
            else:
                self._means = means if queues else self._means
                return
        raise Unsupported(f"{DELAY_WANTED} ({complaint})") from complaint


def _entrance(node: Node, interface: str) -> Entrance:
    return Entrance(node.interface(interface).index, interface)


def _show_bridged() -> None:
    for path in SHOW_BRIDGED:
        Path("/proc/sys/net", path).write_text("1")


def _reader(queue: int, where: str) -> int:
    """A socket that reads the queue of that number in the namespace of the calling thread."""
    with Netlink(NETLINK_NETFILTER) as netlink:
        netlink.transact([nfqueue.binding(queue, where)])
        netlink.enlarge(nfqueue.RECEIVE_BYTES)
        return os.dup(netlink.socket.fileno())
