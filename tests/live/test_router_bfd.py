"""BFD between two of our routers: up, failing, by administration, strict, guarded by its hop limit, and beside BGP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from router_lab import WITHIN, RouterLab, pair, peers, prefixes, run, two_routers, with_ends

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.bfd_packet import BfdState, ControlPacket, decode, encode
from peerlab.bgp.config import BfdConfig, PeerConfig
from peerlab.bgp.wire import encode_updates
from peerlab.errors import RefusedError
from peerlab.router.protocol import Originate, SendRaw, SetBfd, ShutBfd, ShutSession
from peerlab.runtime.base import Impairment
from peerlab.runtime.frames import parse
from peerlab.runtime.probe import internet_checksum

pytestmark = pytest.mark.live

BOTH = ("s4", "s6")
DETECTION = 0.9
LATE = 0.4
"""Seconds that a loaded machine may add to a time that is measured."""


def sessions(**more: Any) -> list[tuple[PeerConfig, PeerConfig]]:
    made = [peers("s4", Family.IPV4, "a", "b"), peers("s6", Family.IPV6, "a", "b")]
    given = {"bfd": BfdConfig(), "hold_time": 90, **more}
    return [with_ends(ends, given, given) for ends in made]


async def bfd_up(lab: RouterLab, *names: str) -> None:
    for name in names or BOTH:
        for node in ("a", "b"):
            assert await lab.clients[node].wait("bfd-up", WITHIN, session=name), (node, name)
            assert await lab.clients[node].wait("established", WITHIN, session=name), (node, name)


def changes(lab: RouterLab, node: str, session: str) -> list[tuple[str, str, str, bool]]:
    return [
        (n["before"], n["after"], n.get("diagnostic", ""), n.get("path_failed", False))
        for n in lab.notices[node]
        if n["event"] == "bfd-state-changed" and n["session"] == session
    ]


def test_comes_up_in_both_families_with_the_agreed_timers(tmp_path: Path) -> None:
    async def story() -> None:
        slow = [with_ends(ends, {}, {"bfd": BfdConfig(interval_ms=400, multiplier=5)}) for ends in sessions()]
        async with two_routers(tmp_path, *pair(slow)) as lab:
            await bfd_up(lab)
            for name in BOTH:

                async def agreed(name: str = name) -> bool:
                    at_a, at_b = [await lab.session(node, name) for node in ("a", "b")]
                    assert (at_a.bfd.state, at_a.bfd.remote_state, at_b.bfd.state) == ("Up", "Up", "Up")
                    ours = (at_a.bfd.interval_ms, at_a.bfd.detection_ms)
                    return (*ours, at_b.bfd.interval_ms, at_b.bfd.detection_ms) == (400, 2000, 400, 1200)

                await lab.until(agreed, "agreement on the slower interval and each other's multiplier")

    run(story())


@pytest.mark.parametrize("cut", [("a", "b"), ("a",), ("b",)], ids="+".join)
def test_silence_takes_bgp_down_within_the_detection_time_and_back_when_mended(tmp_path: Path, cut: Any) -> None:
    """With carrier up and a hold time of 90 s; in one direction as in both (RFC 5882 section 4.2)."""

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            for node in cut:
                await lab.runtime.impair(Impairment(node=node, interface="e0", direction="out", loss_percent=100))
            began = time.monotonic()
            for node in ("a", "b"):
                for name in BOTH:
                    assert await lab.clients[node].wait("down", WITHIN, session=name)
            assert time.monotonic() - began < DETECTION + LATE
            for node in ("a", "b"):
                (_, _, why) = next(c for c in lab.changes(node, "s4") if c[0] == "Established")
                assert "Cease/BFD Down" in why, why
                assert changes(lab, node, "s4")[-1][3], "the path failed"
            for node in cut:
                await lab.runtime.clear(node, "e0", "out")
            await bfd_up(lab)

    run(story())


def test_administration_of_bfd_leaves_bgp_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            before = {node: (await lab.session(node, "s4")).since for node in ("a", "b")}
            await lab.clients["b"].ask(ShutBfd(session="s4"))
            assert await lab.clients["a"].wait("bfd-down", WITHIN, session="s4")
            assert not await lab.clients["a"].wait("down", DETECTION + LATE, session="s4")
            assert changes(lab, "a", "s4")[-1] == ("Up", "Down", "Neighbor Signaled Session Down", False)
            assert (await lab.session("b", "s4")).bfd.state == "AdminDown"
            await lab.clients["b"].ask(ShutBfd(session="s4", down=False))
            await bfd_up(lab)
            assert {node: (await lab.session(node, "s4")).since for node in ("a", "b")} == before

    run(story())


def test_a_strict_session_exchanges_no_route_before_bfd_is_up(tmp_path: Path) -> None:
    """Established, both ends have routes to tell; the strict one tells nothing and takes nothing until BFD is Up."""

    async def story() -> None:
        ends = [with_ends(e, {"bfd": BfdConfig(strict=True)}, {"bfd": None}) for e in sessions()]
        a, b = pair(
            ends, left={"originate": prefixes("203.0.113.0/24")}, right={"originate": prefixes("198.51.100.0/24")}
        )
        async with two_routers(tmp_path, a, b) as lab:
            await lab.established("a", *BOTH)
            assert await lab.clients["b"].wait("quiet", WITHIN)
            at_a = await lab.session("a", "s4")
            assert (at_a.state, at_a.received, at_a.advertised, at_a.bfd.waits) == ("Established", 0, 0, True)
            assert (await lab.session("b", "s4")).received == 0
            await lab.clients["b"].ask(SetBfd(peers={name: BfdConfig() for name in BOTH}))
            await bfd_up(lab)
            assert await lab.clients["a"].wait("best", WITHIN, prefix="198.51.100.0/24")
            assert await lab.clients["b"].wait("best", WITHIN, prefix="203.0.113.0/24")
            after = await lab.session("a", "s4")
            assert (after.received, after.advertised, after.bfd.waits) == (1, 1, False)
            assert after.since == at_a.since, "the session was not reset"

    run(story())


def test_what_was_announced_while_bfd_was_down_and_changed_meanwhile_is_read_in_order(tmp_path: Path) -> None:
    async def story() -> None:
        ends = [with_ends(e, {"bfd": BfdConfig(strict=True)}, {"bfd": None}) for e in sessions()]
        async with two_routers(tmp_path, *pair(ends)) as lab:
            await lab.established("a", *BOTH)
            for prefix in prefixes("198.51.100.0/24", "198.51.101.0/24"):
                await lab.clients["b"].ask(Originate(prefix=prefix))
            await lab.clients["b"].ask(ShutSession(session="s4", reset=True))
            await lab.established("a", "s4")
            await lab.clients["b"].ask(SetBfd(peers={"s4": BfdConfig()}))
            await bfd_up(lab, "s4")
            assert await lab.clients["a"].wait("best", WITHIN, prefix="198.51.101.0/24")
            assert await lab.clients["a"].wait("end-of-rib", WITHIN, session="s4")

    run(story())


def test_shutting_bgp_takes_bfd_along_without_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            await lab.clients["b"].ask(ShutSession(session="s4", communication="maintenance"))
            assert await lab.clients["a"].wait("bfd-down", WITHIN, session="s4")
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert not changes(lab, "a", "s4")[-1][3]

    run(story())


def test_a_killed_router_is_noticed_by_bfd_when_its_kernel_says_nothing(tmp_path: Path) -> None:
    """Frozen: TCP is acknowledged, BGP's hold time is 90 s, BFD is silent."""

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            began = time.monotonic()
            await lab.runtime.signal("b", "router1", 19)
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert time.monotonic() - began < DETECTION + LATE
            await lab.runtime.signal("b", "router1", 18)
            await bfd_up(lab)

    run(story())


def test_bfd_is_refused_where_there_is_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions(bfd=None))) as lab:
            await lab.established("a", *BOTH)
            assert (await lab.session("a", "s4")).bfd is None
            with pytest.raises(RefusedError, match="runs without BFD"):
                await lab.clients["a"].ask(ShutBfd(session="s4"))

    run(story())


FORGED = encode(
    ControlPacket(
        state=BfdState.DOWN, my_discriminator=77, detect_mult=3, desired_min_tx=10**6, required_min_rx=300_000
    )
)
"""A packet that takes a session down when it is believed."""


def forged(like: bytes, hops: int) -> str:
    """A frame of the same addresses and ports as an IPv4 one that was seen, with this TTL and ``FORGED`` inside."""
    header = bytearray(like[14:34])
    header[8] = hops
    header[10:12] = bytes(2)
    header[10:12] = internet_checksum(bytes(header)).to_bytes(2, "big")
    return (like[:14] + bytes(header) + like[34:40] + bytes(2) + FORGED).hex()


def test_only_a_neighbour_on_the_wire_is_listened_to_and_packets_are_as_the_rfc_says(tmp_path: Path) -> None:
    """RFC 5881: port 3784, source port 49152 and up, TTL 255 sent; a packet with 254 is nobody's."""

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            sniffer = await lab.runtime.task(
                "a", "peerlab.runtime.frames:sniff", {"interface": "e0", "filter": {"protocol": "udp", "port": 3784}}
            )
            frames: dict[str, bytes] = {}
            async for record in sniffer:
                if "hex" in record:
                    frames[record["source"]] = bytes.fromhex(record["hex"])
                if len(frames) == 4:
                    break
            sniffer.close()
            for octets in frames.values():
                found = parse(octets)
                v4 = found.ether_type == 0x0800
                assert octets[14 + (8 if v4 else 7)] == 255
                assert (found.destination_port, found.source_port >= 49152) == (3784, True)
                assert decode(octets[14 + (20 if v4 else 40) + 8 :]).state is BfdState.UP
            for hops, believed in ((254, False), (255, True)):
                frame = forged(frames["192.0.2.1"], hops)
                told_to = {"interface": "e0", "frames": [frame]}
                sent = await lab.runtime.task("b", "peerlab.runtime.frames:raw_send", told_to)
                await sent.result()
                assert await lab.clients["a"].wait("bfd-down", 1.0, session="s4") is believed, hops

    run(story())


MANY = 100_000
"""Routes that keep a router busy for longer than the detection time, in one go."""


def test_a_router_that_is_busy_with_routes_is_not_taken_for_dead(tmp_path: Path) -> None:
    """With BFD in the router's own loop this many routes ended the session (measured)."""

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions())) as lab:
            await bfd_up(lab)
            told = PathAttributes(
                as_path=(Segment(SegmentType.AS_SEQUENCE, (4200000001,)),), next_hop=Address("192.0.2.1")
            )
            many = [Prefix(f"{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24") for i in range(MANY)]
            messages = list(encode_updates(told, many, Family.IPV4))
            for start in range(0, len(messages), 50):
                storm = b"".join(messages[start : start + 50]).hex()
                await lab.clients["b"].ask(SendRaw(session="s4", message=storm), within=30.0)
            assert await lab.clients["a"].wait("best", 30.0, prefix=many[-1])
            assert (await lab.session("a", "s4")).received == MANY
            for node in ("a", "b"):
                assert [move for move in changes(lab, node, "s4") if move[0] == "Up"] == []

    run(story())
