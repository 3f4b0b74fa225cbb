"""Two router processes on one wire: routes from one's origin to the other's kernel, and away again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from router_lab import ACCEPT_ALL, DENY_ALL, WITHIN, pair, peers, prefixes, run, two_routers

from peerlab.bgp import framing
from peerlab.bgp.attributes import Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.errors import RefusedError
from peerlab.router.protocol import (
    AddPeers,
    Announce,
    OpenSession,
    Originate,
    ReadRib,
    RefreshSession,
    SendRaw,
    SetPolicy,
    ShutSession,
    WaitFor,
    Withdraw,
    WithdrawOrigin,
)
from peerlab.runtime.base import RouteSpec

pytestmark = pytest.mark.live

BOTH = [peers("s4", Family.IPV4, "a", "b"), peers("s6", Family.IPV6, "a", "b")]


def test_routes_cross_and_land_in_the_kernel_and_leave_it_again(tmp_path: Path) -> None:
    async def story() -> None:
        origin = {"originate": prefixes("203.0.113.0/24", "2001:db8:f00::/48")}
        async with two_routers(tmp_path, *pair(BOTH, left=origin)) as lab:
            b = lab.clients["b"]
            for family, session, prefix, gateway in (
                (Family.IPV4, "s4", "203.0.113.0/24", "192.0.2.0"),
                (Family.IPV6, "s6", "2001:db8:f00::/48", "2001:db8::"),
            ):
                assert await b.wait("best", WITHIN, prefix=prefix, session=session)
                assert await b.wait("end-of-rib", WITHIN, session=session)
                route = (await lab.kernel("b", family))[prefix]
                assert (route.via, route.device, route.kind) == (gateway, "e0", "unicast")
                assert (await lab.kernel("a", family))[prefix].kind == "blackhole"
                (fact,) = await b.rib("adj-rib-in-pre", session)
                assert fact.attributes.path_text() == "64500"
                assert [f.prefix for f in await lab.clients["a"].rib("adj-rib-out", session)] == [prefix]
                await lab.clients["a"].ask(WithdrawOrigin(prefix=Prefix(prefix)))
                assert await b.wait("no-best", WITHIN, prefix=prefix)
                assert await lab.kernel("b", family) == {}
                assert await lab.kernel("a", family) == {}

    run(story())


def test_an_origin_survives_its_router(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH)) as lab:
            await lab.clients["a"].ask(Originate(prefix=Prefix("203.0.113.0/24")))
            assert await lab.clients["b"].wait("best", WITHIN, prefix="203.0.113.0/24")
            await lab.kill("a")
            assert await lab.clients["b"].wait("no-best", WITHIN, prefix="203.0.113.0/24")
            assert await lab.kernel("b", Family.IPV4) == {}
            await lab.restart("a")
            assert await lab.clients["b"].wait("best", WITHIN, prefix="203.0.113.0/24")

    run(story())


def test_a_router_clears_only_its_own_leftovers(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH)) as lab:
            foreign = RouteSpec(node="a", destination="198.51.100.0/24", via="192.0.2.1")
            await lab.runtime.set_routes(add=[foreign])
            await lab.clients["a"].ask(Originate(prefix=Prefix("203.0.113.0/24"), attributes=PathAttributes(med=7)))
            await lab.until(lambda: lab.kernel("a", Family.IPV4), "the blackhole route")
            # It leaves its route behind; the origin is not in its configuration, for it had a MED.
            await lab.kill("a")
            await lab.restart("a")
            assert await lab.kernel("a", Family.IPV4) == {}
            assert "198.51.100.0/24" in [r.destination for r in await lab.runtime.kernel_routes("a", "ipv4")]

    run(story())


def test_a_dead_wire_takes_its_routes_out_and_they_return_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        origin = {"originate": prefixes("203.0.113.0/24", "2001:db8:f00::/48")}
        async with two_routers(tmp_path, *pair(BOTH, left=origin)) as lab:
            b = lab.clients["b"]
            for end in ("a", "b"):  # the far end goes down: carrier is lost here; the near end: the kernel drops routes
                for prefix in origin["originate"]:
                    assert await b.wait("best", WITHIN, prefix=prefix)
                await lab.runtime.set_link(end, "e0", False)
                for prefix in origin["originate"]:
                    assert await b.wait("no-best", WITHIN, prefix=prefix)
                assert await lab.kernel("b", Family.IPV4) == await lab.kernel("b", Family.IPV6) == {}
                await lab.runtime.set_link(end, "e0", True)
            for family, prefix in zip(Family, origin["originate"], strict=True):
                assert await b.wait("best", WITHIN, prefix=prefix)
                assert (await lab.kernel("b", family))[prefix].device == "e0"
            assert not [n for n in lab.notices["b"] if n["event"] == "router-notice"]

    run(story())


def test_a_wire_that_flaps_faster_than_anybody_looks_ends_with_every_route_in_place(tmp_path: Path) -> None:
    """The kernel throws routes out at each loss; that nothing seems to have changed afterwards must not fool us."""

    async def story() -> None:
        origin = {"originate": prefixes("203.0.113.0/24", "2001:db8:f00::/48")}
        async with two_routers(tmp_path, *pair(BOTH, left=origin)) as lab:
            b = lab.clients["b"]
            await lab.established("b", "s4", "s6")
            for n in range(10):
                end = "ab"[n % 2]
                await lab.runtime.set_link(end, "e0", False)
                await lab.runtime.set_link(end, "e0", True)
            for family, prefix in zip(Family, origin["originate"], strict=True):
                assert await b.wait("best", WITHIN, prefix=prefix)
                assert await b.wait("quiet", WITHIN)
                assert (await lab.kernel("b", family))[prefix].device == "e0"
            assert not [n for n in lab.notices["b"] if n["event"] == "router-notice"]

    run(story())


def test_policy_changes_at_one_stroke_without_a_reset(tmp_path: Path) -> None:
    async def story() -> None:
        closed = [peers("s", Family.IPV4, "a", "b", import_policy=DENY_ALL.name)]
        origin = {"originate": prefixes("203.0.113.0/24", "198.51.100.0/24")}
        async with two_routers(tmp_path, *pair(closed, left=origin)) as lab:
            b = lab.clients["b"]
            assert await b.wait("end-of-rib", WITHIN, session="s")
            before = await lab.session("b", "s")
            assert (before.received, before.accepted) == (2, 0)
            assert await b.rib("loc-rib") == ()
            await b.ask(SetPolicy(peers={"s": (ACCEPT_ALL.name, ACCEPT_ALL.name)}))
            after = await lab.session("b", "s")
            assert (after.received, after.accepted, after.since) == (2, 2, before.since)
            assert after.import_policy == ACCEPT_ALL.name
            assert await b.wait("quiet", WITHIN)
            assert set(await lab.kernel("b", Family.IPV4)) == {"203.0.113.0/24", "198.51.100.0/24"}
            await b.ask(SetPolicy(peers={"s": (DENY_ALL.name, DENY_ALL.name)}))
            assert await b.wait("quiet", WITHIN)
            assert await lab.kernel("b", Family.IPV4) == {}

    run(story())


def test_ten_thousand_routes_cross_both_ways(tmp_path: Path) -> None:
    async def story() -> None:
        count = 10_000
        many = tuple(Prefix(f"10.{n >> 8}.{n & 255}.0/24") for n in range(count))
        async with two_routers(tmp_path, *pair(BOTH[:1])) as lab:
            a, b = lab.clients["a"], lab.clients["b"]
            await lab.established("a", "s4")
            path = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (64500, 65010)),))
            await a.ask(Announce(session="s4", prefixes=many, attributes=path))
            assert await b.wait("best", WITHIN, prefix=many[-1])
            fact = await lab.session("b", "s4")
            assert (fact.received, fact.accepted) == (count, count)
            assert len(await lab.kernel("b", Family.IPV4)) == count
            await a.ask(Withdraw(session="s4", prefixes=many))
            assert await b.wait("no-best", WITHIN, prefix=many[-1])
            assert await lab.kernel("b", Family.IPV4) == {}

    run(story())


def test_a_refresh_brings_the_routes_again(tmp_path: Path) -> None:
    async def story() -> None:
        origin = {"originate": prefixes("203.0.113.0/24")}
        async with two_routers(tmp_path, *pair(BOTH[:1], left=origin)) as lab:
            b = lab.clients["b"]
            assert await b.wait("best", WITHIN, prefix="203.0.113.0/24")
            (first,) = await b.rib("adj-rib-in-pre", "s4")
            since = (await lab.session("b", "s4")).since
            await b.ask(RefreshSession(session="s4"))

            async def newer() -> bool:
                (again,) = await b.rib("adj-rib-in-pre", "s4")
                return bool(again.received_at > first.received_at)

            await lab.until(newer, "the second announcement")
            assert (await lab.session("b", "s4")).since == since

    run(story())


def test_one_route_too_many_ends_the_session_and_keeps_it_down(tmp_path: Path) -> None:
    async def story() -> None:
        limited = [(BOTH[0][0], msgspec.structs.replace(BOTH[0][1], max_prefix=3)), BOTH[1]]
        async with two_routers(tmp_path, *pair(limited)) as lab:
            a, b = lab.clients["a"], lab.clients["b"]
            await lab.established("b", "s4", "s6")
            for n in range(3):
                await a.ask(Originate(prefix=Prefix(f"10.0.{n}.0/24")))
            assert await b.wait("best", WITHIN, prefix="10.0.2.0/24")
            await a.ask(Originate(prefix=Prefix("10.0.3.0/24")))
            assert await b.wait("down", WITHIN, session="s4")
            assert "Cease/Maximum Number of Prefixes Reached" in (await lab.session("b", "s4")).last_error
            assert await a.wait("down", WITHIN, session="s4")
            assert "NOTIFICATION received: Cease/Maximum" in (await lab.session("a", "s4")).last_error
            assert not await a.wait("established", 1.0, session="s4")
            assert (await lab.session("b", "s6")).flaps == 0
            await a.ask(WithdrawOrigin(prefix=Prefix("10.0.3.0/24")))
            await b.ask(OpenSession(session="s4"))
            await lab.established("b", "s4")

    run(story())


def test_an_update_beyond_repair_ends_the_session_with_its_code(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH[:1])) as lab:
            await lab.established("a", "s4")
            await lab.established("b", "s4")
            broken = framing.frame(framing.MessageType.UPDATE, b"\x00\xff\x00\x00")  # withdrawn routes beyond the end
            await lab.clients["a"].ask(SendRaw(session="s4", message=broken.hex()))
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert "UPDATE Message Error/Malformed Attribute List" in (await lab.session("a", "s4")).last_error
            await lab.established("b", "s4")

    run(story())


def test_noise_instead_of_a_header_ends_the_session_with_its_code(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH[:1])) as lab:
            await lab.established("a", "s4")
            await lab.established("b", "s4")
            await lab.clients["a"].ask(SendRaw(session="s4", message="00" * 19))
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert "Connection Not Synchronized" in (await lab.session("a", "s4")).last_error

    run(story())


def test_clients_that_vanish_do_not_matter(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH[:1])) as lab:
            await lab.established("a", "s4")
            since = (await lab.session("a", "s4")).since
            for _ in range(3):
                client = await lab.client("a")
                await client.subscribe(lambda facts: None, lambda notice: None)
                waiting = asyncio.ensure_future(client.wait("down", 30.0, session="s4"))
                await asyncio.sleep(0)
                client._writer.transport.abort()  # as a killed process does
                await asyncio.gather(waiting, return_exceptions=True)
                await client.close()
            assert (await lab.session("a", "s4")).since == since

    run(story())


def test_requests_that_make_no_sense_are_refused_with_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(BOTH[:1])) as lab:
            a = lab.clients["a"]
            await lab.established("a", "s4")
            for request, words in (
                (ReadRib(view="loc-ribs"), "no view 'loc-ribs'; there are"),
                (ReadRib(view="adj-rib-out"), "needs a session"),
                (ReadRib(view="adj-rib-out", session="s9"), "no session s9 here; there are: s4"),
                (ShutSession(session="s9"), "no session s9"),
                (SetPolicy(peers={"s4": ("nothing", "nothing")}), "nothing"),
                (AddPeers(peers=(BOTH[0][0],)), "s4"),
                (WaitFor(what="peace", within=1.0), "cannot wait for 'peace'"),
                (SendRaw(session="s4", message="xx"), "hexadecimal"),
                (Originate(prefix=Prefix("10.0.0.1/8")), "10.0.0.1/8"),
            ):
                with pytest.raises(RefusedError, match=words):
                    await a.ask(request)
            await lab.established("a", "s4")

    run(story())
