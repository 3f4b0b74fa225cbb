"""A router of a lab says nothing that an exchange minds; the same router without its discretion does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cell_row import empty_cell, probe

from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec
from peerlab.runtime.namespaces import NamespaceRuntime
from peerlab.runtime.probe_frame import ECHO_REPLY, arp_request, echo, question
from peerlab.verify.ethernet import dissect
from peerlab.verify.frame_rule import Kind, kind_of

pytestmark = pytest.mark.live

MONITOR = "peerlab.runtime.monitor:monitor"
WITHIN = 20.0
ROUTERS = {
    "quiet": (NodeSpec("quiet", forwarding=True, addresses=("192.0.2.7/32",)), "02:00:00:00:00:0a"),
    "loud": (NodeSpec("loud", forwarding=True, discreet=False, addresses=("192.0.2.7/32",)), "02:00:00:00:00:0b"),
}
OURS = "02:00:00:00:00:01"


def wire(router: str, mac: str) -> LinkSpec:
    near = InterfaceSpec("listener", f"to-{router}", mac=OURS)
    addresses = ("198.51.100.1/24", "2001:db8:9::1/64")
    return LinkSpec(router, near, InterfaceSpec(router, "e0", mac=mac, addresses=addresses))


async def heard(runtime: NamespaceRuntime, router: str, mac: str) -> list[Kind]:
    """What a router says when it gets a packet for a third host, is asked for its loopback, and gets an address."""
    frames = [
        question(OURS, "2001:db8:9::2", "2001:db8:9::1"),
        arp_request(OURS, "198.51.100.2", "192.0.2.7"),
        arp_request(OURS, "198.51.100.2", "198.51.100.1"),
        echo(ECHO_REPLY, OURS, mac, "2001:db8:9::2", "2001:db8:9::2"),
    ]
    watcher = await runtime.task("listener", MONITOR, {"interface": f"to-{router}", "frames": frames})
    try:
        async with asyncio.timeout(WITHIN):
            await anext(aiter(watcher))
            await runtime.set_addresses(router, "e0", add=("2001:db8:9::77/64",))
            # An unsolicited MLD report comes within a second (RFC 3810 section 9.11); here the ping takes longer.
            await probe(runtime, router, "probe:ping", destination="2001:db8:9::99", count=1, wait=1.5)
            told = [record async for record in _rest(watcher) if "hex" in record]
    finally:
        watcher.close()
    return [kind_of(dissect(bytes.fromhex(record["hex"]))) for record in told]


async def _rest(watcher):  # type: ignore[no-untyped-def]
    watcher.ask_to_stop()
    async for record in watcher:
        yield record


def test_a_router_keeps_quiet_unless_it_is_told_not_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with empty_cell(tmp_path) as runtime:
            links = [wire(name, mac) for name, (_, mac) in ROUTERS.items()]
            await runtime.create([NodeSpec("listener"), *(spec for spec, _ in ROUTERS.values())], links)
            quiet, loud = await asyncio.gather(*(heard(runtime, name, mac) for name, (_, mac) in ROUTERS.items()))
        assert {Kind.MLD, Kind.REDIRECT} <= set(loud)
        assert not {Kind.MLD, Kind.REDIRECT} & set(quiet)
        for one in (quiet, loud):  # each answers ARP once, for the interface's address and not for the loopback's
            assert one.count(Kind.ARP_REPLY) == 1
            assert Kind.ND_ADVERTISEMENT in one

    asyncio.run(story())


def test_a_monitor_sees_the_tag_that_the_kernel_takes_off(tmp_path: Path) -> None:
    async def story() -> dict[str, int | None]:
        async with empty_cell(tmp_path) as runtime:
            link = LinkSpec("wire", InterfaceSpec("a", "e0"), InterfaceSpec("b", "e0"))
            await runtime.create([NodeSpec("a"), NodeSpec("b")], [link])
            watcher = await runtime.task("b", MONITOR, {"interface": "e0"})
            await anext(aiter(watcher))
            bare = bytes.fromhex(echo(ECHO_REPLY, OURS, "02:00:00:00:00:02", "192.0.2.1", "192.0.2.2"))
            tagged = bare[:12] + bytes.fromhex("8100a064") + bare[12:]
            frames = [frame.hex() for frame in (bare, tagged)]
            await probe(runtime, "a", "frames:raw_send", interface="e0", frames=frames)
            async with asyncio.timeout(WITHIN):
                told = [record async for record in _rest(watcher) if "hex" in record]
            return {record["hex"]: dissect(bytes.fromhex(record["hex"])).vlan for record in told}

    found = asyncio.run(story())
    assert sorted(str(vlan) for vlan in found.values()) == ["100", "None"]
    assert any("8100a064" in octets for octets in found), "the priority of the tag too"
