"""What is wrong with a wire: loss, delay, rate, in one direction, with the carrier up.

A direction of a wire has one place where it is impaired: the interface that sends into it. So ``in`` at one
end is ``out`` at the other. netem does all of it where the kernel has it. Without netem, loss is nftables'
random numbers at the sender's egress hook (Linux 5.16, or at the receiver's ingress hook before that), rate is
tbf, and delay a queue at the receiving end (`peerlab.runtime.delay`), in this order for every packet. A packet that is
lost this way is not seen by a tap at the receiving end.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from peerlab.errors import RefusedError, Unsupported
from peerlab.runtime import shaping
from peerlab.runtime.base import Direction, Impairment, InterfaceSpec, LinkSpec
from peerlab.runtime.delay import DelayBank
from peerlab.runtime.fabric import Fabric
from peerlab.runtime.kernel import in_namespace
from peerlab.runtime.netlink import Netlink, NetlinkRefused, Request

__all__ = ["Impairer", "check"]

NETLINK_NETFILTER = 12
NFQUEUE, JOINT = "nfqueue", " and "
_UNKNOWN_KIND = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT})
_NOTHING_THERE = frozenset({errno.ENOENT, errno.EINVAL, errno.ENODEV})


def check(impairment: Impairment) -> None:
    """Refuses figures that make no sense."""
    if not 0 <= impairment.loss_percent <= 100:
        raise RefusedError("BadImpairment", f"a loss of {impairment.loss_percent} % is not between 0 and 100")
    if impairment.delay_ms < 0 or impairment.rate_kbit < 0:
        raise RefusedError("BadImpairment", "delay and rate cannot be negative")
    if not 0 <= impairment.jitter_ms <= impairment.delay_ms:
        jitter, delay = impairment.jitter_ms, impairment.delay_ms
        raise RefusedError("BadImpairment", f"a jitter of {jitter:g} ms is not between 0 and the delay, {delay:g} ms")


class Impairer:
    """Puts impairments on the wires of a fabric and takes them away."""

    def __init__(self, fabric: Fabric, delays: DelayBank) -> None:
        self.fabric = fabric
        self.delays = delays
        fabric.after_creation = self._lay
        fabric.before_removal = self._clean

    def sender(self, node: str, interface: str, direction: Direction) -> InterfaceSpec:
        """The interface that sends into that direction of the wire."""
        if direction == "out":
            return self.fabric.node(node).interface(interface).spec
        return self.fabric.far_end(node, interface)

    def impair(self, impairment: Impairment) -> Impairment:
        """Replaces what was wrong with that direction. A failure leaves the direction as it should be: clean."""
        check(impairment)
        self.clear(impairment.node, impairment.interface, impairment.direction)
        end = self.sender(impairment.node, impairment.interface, impairment.direction)
        if not (impairment.loss_percent or impairment.delay_ms or impairment.rate_kbit):
            return impairment
        own = self._own_delay(end)
        if own:
            self._remove(end)
        try:
            means = self._apply(end, msgspec.structs.replace(impairment, delay_ms=own + impairment.delay_ms))
        except BaseException:
            self._remove(end)
            self._apply_own(end)
            raise
        done = msgspec.structs.replace(impairment, means=means, dropped=0)
        self.fabric.impairments[end.node, end.name] = done
        return done

    def clear(self, node: str, interface: str, direction: Direction) -> None:
        """Makes that direction clean; it may be so already."""
        end = self.sender(node, interface, direction)
        if self.fabric.impairments.pop((end.node, end.name), None) is not None:
            self._remove(end)
            self._apply_own(end)

    def _own_delay(self, end: InterfaceSpec) -> float:
        return self.fabric.delays.get(self.fabric.node(end.node).interface(end.name).link, 0.0)

    def _apply_own(self, end: InterfaceSpec) -> None:
        own = self._own_delay(end)
        if own:
            self._apply(end, Impairment(end.node, end.name, delay_ms=own))

    def _lay(self, links: Sequence[LinkSpec]) -> None:
        """Gives new links their own delay."""
        for link in links:
            if link.delay_ms:
                self.fabric.delays[link.id] = link.delay_ms
                for end in (link.a, link.b):
                    check(Impairment(end.node, end.name, delay_ms=link.delay_ms))
                    self._apply_own(end)

    def observe(self) -> list[Impairment]:
        """What is wrong now, with the packets that full queues have dropped so far."""
        seen = []
        for (node, interface), impairment in self.fabric.impairments.items():
            if NFQUEUE in impairment.means:
                receiver = self.fabric.far_end(node, interface)
                dropped = self.delays.dropped(self.fabric.node(receiver.node), receiver.name)
                impairment = msgspec.structs.replace(impairment, dropped=dropped)
            seen.append(impairment)
        return seen

    def lose_delays(self) -> None:
        """The delay line is gone, and with it every delay that it made; loss and rate stay."""
        for end, impairment in list(self.fabric.impairments.items()):
            means = [each for each in impairment.means.split(JOINT) if each != NFQUEUE]
            if JOINT.join(means) == impairment.means:
                continue
            if means:
                self.fabric.impairments[end] = msgspec.structs.replace(
                    impairment, delay_ms=0.0, jitter_ms=0.0, means=JOINT.join(means)
                )
            else:
                del self.fabric.impairments[end]
        self.fabric.delays.clear()
        self.delays.lose()

    def _clean(self, link: LinkSpec) -> None:
        """Cleans a link that is about to go: since Linux 6.16 a hook waits for the next interface of that name."""
        own = self.fabric.delays.pop(link.id, 0.0)
        for end in (link.a, link.b):
            if self.fabric.impairments.pop((end.node, end.name), None) is not None or own:
                self._remove(end)

    def _apply(self, end: InterfaceSpec, wanted: Impairment) -> str:
        where = f"{end.node}/{end.name}"
        index = self.fabric.node(end.node).interface(end.name).index
        try:
            netem = shaping.netem(
                index, wanted.loss_percent, wanted.delay_ms, wanted.rate_kbit, where, wanted.jitter_ms
            )
            self._queue(end, netem)
            return "netem"
        except NetlinkRefused as refusal:
            if refusal.failures[0].errno not in _UNKNOWN_KIND:
                raise
        means = []
        if wanted.loss_percent:
            means.append(self._lose(end, wanted.loss_percent))
        if wanted.rate_kbit:
            try:
                self._queue(end, shaping.tbf(index, wanted.rate_kbit, end.mtu, where))
            except NetlinkRefused as refusal:
                raise Unsupported(f"a rate needs netem or tbf (`modprobe sch_tbf`): {refusal}") from refusal
            means.append("tbf")
        if wanted.delay_ms:
            receiver = self.fabric.far_end(end.node, end.name)
            self.delays.put(self.fabric.node(receiver.node), receiver.name, wanted)
            means.append(NFQUEUE)
        return JOINT.join(means)

    def _queue(self, end: InterfaceSpec, request: Request) -> None:
        self.fabric.node(end.node).netlink.transact([request])

    def _lose(self, end: InterfaceSpec, loss_percent: float) -> str:
        receiver = self.fabric.far_end(end.node, end.name)
        complaints = []
        for place, hook, name in (
            (end, shaping.HOOK_EGRESS, "nft egress"),
            (receiver, shaping.HOOK_INGRESS, "nft ingress"),
        ):
            where = f"{place.node}/{place.name}"
            rules = shaping.loss_rules(self._table(place, hook), place.name, hook, loss_percent, where)
            try:
                self._commit(place, rules)
                return name
            except (OSError, NetlinkRefused) as refusal:
                complaints.append(str(refusal))
        raise Unsupported(
            "loss needs netem (`modprobe sch_netem`) or nftables with numgen (`modprobe nft_numgen`); the kernel said: "
            + "; ".join(complaints)
        )

    def _commit(self, place: InterfaceSpec, requests: list[Request]) -> None:
        """Opens a netfilter socket inside the node for one transaction."""
        netlink = in_namespace(self.fabric.node(place.node).descriptor, lambda: Netlink(NETLINK_NETFILTER))
        try:
            shaping.commit(netlink, requests)
        finally:
            netlink.close()

    def _remove(self, end: InterfaceSpec) -> None:
        """Takes away whatever may be there; what is not there is no failure."""
        index = self.fabric.node(end.node).interface(end.name).index
        where = f"{end.node}/{end.name}"
        _unless_absent(partial(self._queue, end, shaping.qdisc_removal(index, where)))
        receiver = self.fabric.far_end(end.node, end.name)
        self.delays.take(self.fabric.node(receiver.node), receiver.name)
        for place, hook in ((end, shaping.HOOK_EGRESS), (receiver, shaping.HOOK_INGRESS)):
            removal = shaping.loss_table_removal(self._table(place, hook), where)
            _unless_absent(partial(self._commit, place, [removal]))

    def _table(self, place: InterfaceSpec, hook: int) -> str:
        """Named by the interface's index, which the cell uses once."""
        index = self.fabric.node(place.node).interface(place.name).index
        return f"peerlab-{'out' if hook == shaping.HOOK_EGRESS else 'in'}-{index}"


def _unless_absent(removal: Callable[[], None]) -> None:
    try:
        removal()
    except NetlinkRefused as refusal:
        if any(failure.errno not in _NOTHING_THERE | _UNKNOWN_KIND for failure in refusal.failures):
            raise
    except OSError as failure:
        if failure.errno not in _UNKNOWN_KIND:  # a kernel without nftables has no table to remove
            raise
