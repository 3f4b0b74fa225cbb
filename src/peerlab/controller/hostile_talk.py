"""What an attacker's talks are made of: OPENs of any shape, a session's beginning, its cases, prefixes and policies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.capability import Capability, four_octet_as, multiprotocol, route_refresh
from peerlab.bgp.framing import MessageType, frame
from peerlab.bgp.malformed_case import Sender
from peerlab.bgp.notification import ADMINISTRATIVE_RESET, CEASE
from peerlab.bgp.policy import DENY_ALL, Policy
from peerlab.bgp.wire import encode_open, make_open
from peerlab.controller.exam import Exam
from peerlab.controller.examiner import EXAM_HOLD_TIME, Examiner
from peerlab.controller.plan import EndIntent
from peerlab.router.raw_speaker import Await, AwaitEnd, Beat, Connect, Send, Step, Talk, TalkTold

CONVERSE = "peerlab.router.raw_speaker:converse"
HELD_WITHIN = 60.0
"""Seconds in which any script of talks has come to its end."""
IDENTIFIER = Address("198.19.254.254")
"""The attacker's BGP identifier where the case is not about it."""

POOLS: dict[Family, tuple[IPv4Network | IPv6Network, int]] = {
    Family.IPV4: (ip_network("198.19.224.0/20"), 28),
    Family.IPV6: (ip_network("2001:db8:f100::/40"), 48),
}
"""Where the attacker's prefixes come from: benchmarking (RFC 2544), documentation (RFC 3849)."""


def open_message(
    asn: int,
    family: Family,
    identifier: Address = IDENTIFIER,
    hold_time: int = EXAM_HOLD_TIME,
    extra: Iterable[Capability] = (),
) -> bytes:
    """A whole OPEN for one family."""
    capabilities = (multiprotocol(family), route_refresh(), four_octet_as(asn), *extra)
    return frame(MessageType.OPEN, encode_open(make_open(asn, identifier, hold_time, capabilities)))


KEEPALIVE = frame(MessageType.KEEPALIVE, b"")


def establish(opening: bytes, receive_buffer: int = 0) -> tuple[Step, ...]:
    """Connect and come up with this OPEN, then stay alive."""
    return (
        Connect(receive_buffer=receive_buffer, greeted=True),
        Send(octets=opening.hex()),
        Await(kinds=(MessageType.OPEN,)),
        Send(octets=KEEPALIVE.hex()),
        Await(kinds=(MessageType.KEEPALIVE,)),
        Beat(),
    )


def let_go(within: float = 3.0) -> tuple[Step, ...]:
    """End a session, and wait until the other side has let go of it: before that it would refuse the next one."""
    notification = frame(MessageType.NOTIFICATION, bytes([CEASE, ADMINISTRATIVE_RESET]))
    return (Send(octets=notification.hex(), soft=True), AwaitEnd(within=within, soft=True))


def talk(name: str, examiner: Examiner, family: Family, steps: Sequence[Step]) -> Talk:
    """A talk on a case's wire."""
    return Talk(
        name=name,
        local=examiner.addresses[family],
        remote=examiner.far_addresses[family],
        steps=tuple(steps),
    )


def sender_of(examiner: Examiner, family: Family) -> Sender:
    """The case's speaker as a sender of UPDATEs."""
    return Sender(asn=examiner.asn, address=examiner.addresses[family])


def want_at(exam: Exam, case: str, takes: Policy = DENY_ALL, tells: Policy = DENY_ALL, **configuration: object) -> None:
    """Want a case's sessions at the examined router only: at the other end a script speaks, not a router.

    The examined end takes the connection unless ``configuration`` (fields of ``PeerConfig``) says otherwise.
    """
    examiner = exam[case]
    for session in examiner.sessions.values():
        exam.rehearsal.desk.extra[examiner.at, session] = EndIntent(
            node=examiner.at,
            session=session,
            import_policy=takes,
            export_policy=tells,
            configuration={"passive": True, **configuration},
        )


class Prefixes:
    """Prefixes for the attacker, another one each time; none that the lab uses."""

    def __init__(self, exam: Exam) -> None:
        model = exam.rehearsal.model
        self._used = [ip_network(p) for known in model.ases for p in (*known.prefixes, *known.infrastructure)]
        self._used += [ip_network(entry.prefix) for entry in model.registry]
        self._left = {family: self._free(family) for family in Family}

    def _free(self, family: Family) -> Iterator[Prefix]:
        pool, length = POOLS[family]
        for network in pool.subnets(new_prefix=length):
            if not any(network.version == other.version and network.overlaps(other) for other in self._used):
                yield Prefix(str(network))

    def next(self, family: Family) -> Prefix:
        """One more."""
        return next(self._left[family])


async def converse(
    exam: Exam, node: str, talks: Sequence[Talk], heard: Callable[[str, str], None] | None = None
) -> dict[str, TalkTold]:
    """Hold talks in a node; ``heard`` is told each mark (talk, name) as it is reached. How each talk went, by name."""
    task = await exam.rehearsal.lab.runtime.task(node, CONVERSE, {"talks": msgspec.to_builtins(list(talks))})

    async def listened() -> dict[str, TalkTold]:
        async for record in task:
            if heard is not None:
                heard(record["talk"], record["mark"])
        return msgspec.convert(await task.result(), dict[str, TalkTold])

    try:
        return await asyncio.wait_for(listened(), HELD_WITHIN)
    finally:
        task.close()
