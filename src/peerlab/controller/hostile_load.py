"""What wears a router down: huge attributes, storms, floods of packets, and a peer that takes nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice

from peerlab.bgp.attributes import Family, Origin, PathAttributes, Prefix, RawAttribute, Segment, SegmentType
from peerlab.bgp.capability import extended_message
from peerlab.bgp.nlri import nlri_bytes
from peerlab.bgp.wire import encode_updates, encode_withdrawals
from peerlab.controller.exam import ACCEPT_ALL, EXAM_ACCEPT, Exam, gone
from peerlab.controller.examiner import EXAM_HOLD_TIME, Examiner
from peerlab.controller.hostile_talk import KEEPALIVE, Prefixes, converse, establish, open_message, talk, want_at
from peerlab.controller.lab import now_ns
from peerlab.controller.reconcile import ROUTER_PROCESS
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.router.raw_speaker import AwaitEnd, AwaitOctets, AwaitTalk, Mark, Send, Stall, Step, Talk
from peerlab.runtime.flood import FloodKind, echo, tcp_segment

LOAD, LOAD_WITNESS, STALLED, FLOODER, HELD = "load", "load-witness", "stalled", "flooder", "held"
CASES = (LOAD, STALLED, FLOODER, HELD)

SEND_HOLD = 3.5
"""Seconds after which the edge gives a peer up to which nothing gets through; more than the hold time (RFC 9687 6)."""
SMALL_WINDOW = 2304
"""Octets of receive buffer of the peer that reads nothing: the least that Linux gives (tcp(7))."""
FLOOD_SECONDS = 3.5
"""Longer than the hold time, so that a session whose KEEPALIVEs were drowned would end."""
SEGMENTS = 3000
"""SYNs and stray segments for TCP/179 in a flood: the tap captures each of them, so they are not without number."""
KEEPALIVES = 5000
STORM_ROUNDS, STORM_WIDTH, FLAPS = 100, 32, 200
BREATH = 40
"""UPDATEs of the storm in a row, until a route behind them has come through: what a tap sees at once has a limit."""
SEEN_WITHIN = 15.0
PIECE_WITHIN = 3.0
NO_AS = 64512
"""Where the AS numbers of long paths begin (RFC 6996)."""
SYN, ACK, PSH = 0x02, 0x10, 0x08
BGP_PORT = 179
STORM_POOLS: dict[Family, tuple[IPv4Network | IPv6Network, int]] = {
    Family.IPV4: (ip_network("198.19.240.0/24"), 32),
    Family.IPV6: (ip_network("2001:db8:f200::/56"), 64),
}


def prepare(exam: Exam) -> None:
    """Want the sessions of these cases."""
    want_at(exam, LOAD, takes=EXAM_ACCEPT)
    want_at(exam, LOAD_WITNESS, tells=ACCEPT_ALL)
    want_at(exam, STALLED, tells=ACCEPT_ALL, send_hold_time=SEND_HOLD)
    want_at(exam, FLOODER)
    want_at(exam, HELD)


def _path(asn: int, length: int) -> tuple[Segment, ...]:
    """A path of so many AS numbers, in sequences of at most 255."""
    asns = (asn, *range(NO_AS, NO_AS + length - 1))
    return tuple(Segment(SegmentType.AS_SEQUENCE, asns[at : at + 255]) for at in range(0, length, 255))


def pieces(asn: int) -> dict[str, PathAttributes]:
    """Routes that are legal and enormous (RFC 4271 section 4.3, RFC 1997, RFC 8092, RFC 8654)."""
    short = _path(asn, 1)
    many = tuple(f"64999:{number}" for number in range(1000))
    extended = tuple(f"{64990 + number // 1000}:{number % 1000}" for number in range(9000))
    large = tuple(f"64999:7606:{number}" for number in range(1500))
    return {
        "path of 300": PathAttributes(as_path=_path(asn, 300)),
        "path of 980": PathAttributes(as_path=_path(asn, 980)),
        "1000 communities": PathAttributes(as_path=short, communities=many),
        "attribute of 3900 octets": PathAttributes(
            as_path=short, unknown=(RawAttribute(0xC0, 254, bytes(3900)),), origin=Origin.INCOMPLETE
        ),
        "9000 communities": PathAttributes(as_path=short, communities=extended),
        "1500 large communities": PathAttributes(as_path=short, large_communities=large),
        "attribute of 20000 octets": PathAttributes(as_path=short, unknown=(RawAttribute(0xC0, 254, bytes(20000)),)),
    }


def _on_wire(examiner: Examiner, family: Family, attributes: PathAttributes, prefixes: list[Prefix]) -> list[bytes]:
    hop = examiner.addresses[family]
    whole = PathAttributes(
        as_path=attributes.as_path,
        next_hop=hop,
        origin=attributes.origin,
        communities=attributes.communities,
        large_communities=attributes.large_communities,
        unknown=attributes.unknown,
    )
    return encode_updates(whole, prefixes, family, ebgp=True, maximum=65535)


def _storm(examiner: Examiner, family: Family) -> Iterator[bytes]:
    """Routes announced and withdrawn in rows, then one that flaps."""
    pool, length = STORM_POOLS[family]
    rows = [Prefix(str(network)) for network in islice(pool.subnets(new_prefix=length), STORM_WIDTH)]
    plain = PathAttributes(as_path=_path(examiner.asn, 1))
    for _ in range(STORM_ROUNDS):
        yield from _on_wire(examiner, family, plain, rows)
        yield from encode_withdrawals(rows, family)
    for _ in range(FLAPS):
        yield from _on_wire(examiner, family, plain, rows[:1])
        yield from encode_withdrawals(rows[:1], family)


async def wear_down(exam: Exam, prefixes: Prefixes) -> None:
    """Legal enormities and a storm on one session, while another peer reads nothing (SEC-07, SES-17)."""
    edge = exam[LOAD].at
    process, before = await _memory(exam, edge)
    scripts = [_load_talks(exam, prefixes, family) for family in Family]
    began = now_ns()
    told = await converse(exam, exam[LOAD].node, [one for talks, _, _ in scripts for one in talks])
    again, after = await _memory(exam, edge)
    for family, (_, trial, updates) in zip(Family, scripts, strict=True):
        load, stalled = exam[LOAD], exam[STALLED]
        exam.observed(
            HostileStimulus.RESOURCE_ATTACK,
            load.node,
            load.sessions[family],
            trial=trial,
            rss_before=before,
            rss_after=after,
            same_process=process == again,
            updates=updates,
            stopped=told[f"{LOAD} {family.value}"].stopped,
        )
        exam.observed(
            HostileStimulus.SEND_BLOCKED,
            stalled.at,
            stalled.sessions[family],
            trial=family.value,
            stalled_at=told[f"{STALLED} {family.value}"].marks.get("stalled", began),
        )


def _load_talks(exam: Exam, prefixes: Prefixes, family: Family) -> tuple[list[Talk], str, int]:
    load, witness, stalled = exam[LOAD], exam[LOAD_WITNESS], exam[STALLED]
    names = {kind: f"{kind} {family.value}" for kind in (LOAD, LOAD_WITNESS, STALLED)}
    exam.applied(
        HostileStimulus.SEND_BLOCKED,
        stalled.at,
        stalled.sessions[family],
        trial=family.value,
        send_hold=SEND_HOLD,
        hold_time=EXAM_HOLD_TIME,
    )
    chosen = {name: prefixes.next(family) for name in pieces(load.asn)}
    sentinel = prefixes.next(family)
    exam.applied(
        HostileStimulus.RESOURCE_ATTACK,
        load.node,
        load.sessions[family],
        trial=family.value,
        witness=witness.sessions[family],
        pieces=chosen,
        sentinel=sentinel,
    )
    work: list[tuple[list[bytes], Prefix]] = [
        (_on_wire(load, family, attributes, [chosen[name]]), chosen[name])
        for name, attributes in pieces(load.asn).items()
    ]
    plain = PathAttributes(as_path=_path(load.asn, 1))
    storm = list(_storm(load, family))
    for at in range(0, len(storm), BREATH):
        behind = prefixes.next(family)
        work.append((storm[at : at + BREATH] + _on_wire(load, family, plain, [behind]), behind))
    work.append((_on_wire(load, family, plain, [sentinel]), sentinel))
    steps: list[Step] = [
        AwaitTalk(talk=names[STALLED], mark="stalled"),
        AwaitTalk(talk=names[LOAD_WITNESS], mark="up"),
        *establish(open_message(load.asn, family, extra=(extended_message(),))),
    ]
    for updates, behind in work:
        # A router may refuse a route for its size, so the next one is sent all the same.
        heard = AwaitOctets(octets=nlri_bytes(behind).hex(), talk=names[LOAD_WITNESS], within=PIECE_WITHIN, soft=True)
        steps += [Send(octets=b"".join(updates).hex()), heard]
    steps.append(Mark(name="over"))
    stall: list[Step] = [
        *establish(open_message(stalled.asn, family), receive_buffer=SMALL_WINDOW),
        Stall(),
        Mark(name="stalled"),
        AwaitEnd(within=SEND_HOLD + SEEN_WITHIN, soft=True),
    ]
    watching = [*establish(open_message(witness.asn, family, extra=(extended_message(),))), Mark(name="up")]
    talks = [
        talk(names[STALLED], stalled, family, stall),
        talk(names[LOAD_WITNESS], witness, family, watching),
        talk(names[LOAD], load, family, steps),
    ]
    return talks, family.value, sum(len(updates) for updates, _ in work)


async def _memory(exam: Exam, node: str) -> tuple[int, int]:
    """Process id and resident memory (KiB) of a router, with that of its children left out."""
    runtime = exam.rehearsal.lab.runtime
    state = await runtime.observe()
    pid = next((p.pid for p in state.processes if p.node == node and p.name == ROUTER_PROCESS), 0)
    done = await runtime.run(node, ["cat", f"/proc/{pid}/status"], within=5.0)
    line = next((line for line in done.stdout.decode().splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return pid, int(line.split()[1])


async def drown(exam: Exam) -> None:
    """Packets without end at the edge while sessions with the shortest hold time have to stay (SEC-02)."""
    lab, flooder, held = exam.rehearsal.lab, exam[FLOODER], exam[HELD]
    up: dict[str, asyncio.Event] = {f"{case} {f.value}": asyncio.Event() for case in (HELD, FLOODER) for f in Family}

    def heard(name: str, mark: str) -> None:
        if mark == "up":
            up[name].set()

    talks = [talk(f"{HELD} {f.value}", held, f, _stay(held, f, ())) for f in Family]
    burst = Send(octets=(KEEPALIVE * 50).hex(), times=KEEPALIVES // 50)
    talks += [talk(f"{FLOODER} {f.value}", flooder, f, _stay(flooder, f, (burst,))) for f in Family]
    for family in Family:
        exam.applied(
            HostileStimulus.FLOOD,
            flooder.node,
            held.sessions[family],
            trial=family.value,
            edge=flooder.at,
            hold_time=EXAM_HOLD_TIME,
            flooded=flooder.sessions[family],
        )
    conversation = asyncio.ensure_future(converse(exam, flooder.node, talks, heard))
    ready = asyncio.ensure_future(asyncio.gather(*(event.wait() for event in up.values())))
    try:
        await asyncio.wait((conversation, ready), return_when=asyncio.FIRST_COMPLETED)
        standing, received = await exam.standing(flooder.at), await _received(exam, flooder)
        task = await lab.runtime.task(
            flooder.node,
            "peerlab.runtime.flood:flood",
            {"interface": flooder.interface, "kinds": _kinds(exam, flooder), "seconds": FLOOD_SECONDS},
        )
        flooded = await task.result()
        received = await _received(exam, flooder) - received
        lost = gone(standing, await exam.standing(flooder.at))
        await conversation
    finally:
        ready.cancel()
        conversation.cancel()
        await asyncio.gather(ready, conversation, return_exceptions=True)
    for family in Family:
        exam.observed(
            HostileStimulus.FLOOD,
            flooder.node,
            held.sessions[family],
            trial=family.value,
            seconds=flooded["seconds"],
            sent={**flooded["sent"], "keepalive": KEEPALIVES},
            received=received,
            others_down=lost,
        )


def _stay(examiner: Examiner, family: Family, then: tuple[Step, ...]) -> list[Step]:
    lasting = AwaitEnd(within=FLOOD_SECONDS + 1.0, soft=True)
    return [*establish(open_message(examiner.asn, family)), Mark(name="up"), *then, lasting]


async def _received(exam: Exam, examiner: Examiner) -> int:
    """Packets that have come in at the examined end of a wire."""
    state = await exam.rehearsal.lab.runtime.observe()
    ends = [end for link in state.links if link.id == examiner.link for end in (link.a, link.b)]
    return next((end.rx_packets for end in ends if end.node == examiner.at), 0)


def _kinds(exam: Exam, flooder: Examiner) -> list[dict[str, object]]:
    """SYNs and stray segments of strangers, echo requests; both families."""
    model = exam.rehearsal.lab.model
    macs = (
        model.node(flooder.node).interface(flooder.interface).mac or "",
        model.node(flooder.at).interface(flooder.far_interface).mac or "",
    )
    segments: list[str] = []
    echoes: list[str] = []
    for family in Family:
        own, target = flooder.addresses[family], flooder.far_addresses[family]
        strangers = [str(address) for address in islice(STORM_POOLS[family][0].hosts(), 32)]
        for number, source in enumerate(strangers):
            for flags, payload in ((SYN, b""), (ACK | PSH, b"\xff" * 19), (ACK, b"")):
                frame = tcp_segment(macs, (source, 20000 + number), (target, BGP_PORT), flags, payload)
                segments.append(frame.hex())
        echoes += [echo(macs, own, target, bytes(56)).hex(), echo(macs, own, target, bytes(1400)).hex()]
    kinds = (
        FloodKind(name="segment", frames=tuple(segments), most=SEGMENTS),
        FloodKind(name="echo", frames=tuple(echoes)),
    )
    return [{"name": kind.name, "frames": list(kind.frames), "most": kind.most} for kind in kinds]
