"""Every ``peerlab fault``, seen in the lab itself: what breaks, that it breaks no more than that, and that it mends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from product import ROOT, WITHIN, Product, one_line, product, read_json

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.wire import Update
from peerlab.controller import probing
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.storyline import SCENES
from peerlab.evidence.events import Event, FaultCleared, FaultInjected, ProcessExited
from peerlab.evidence.story import Phase
from peerlab.topology.load import load

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

DIRECT = ROOT / "topologies" / "direct.yaml"
TURN_UP = (Phase.REQUEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW)
EDGE, PEER = "ams-edge-1", "fab-ams-1"
LINK = "ams-edge-1--fab-ams-1"
SESSIONS = ("ams-edge-1--fab-ams-1.v4", "ams-edge-1--fab-ams-1.v6")


@pytest.fixture
def peerlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        yield made


class Broken:
    """A lab that is turned up, and the ``fault`` command on it."""

    def __init__(self, peerlab: Product, lab: Lab) -> None:
        self.peerlab = peerlab
        self.lab = lab
        self.began = len(lab.events)

    def told(self, kind: type[Event]) -> list[Any]:
        """Events of a kind since the turn-up."""
        return [event for event in self.lab.events[self.began :] if isinstance(event, kind)]

    async def fault(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.peerlab.ok, "fault", *arguments, "--lab", self.lab.store.name)

    async def refused(self, *arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(self.peerlab.run, "fault", *arguments, "--lab", self.lab.store.name)
        return done.returncode, one_line(done)

    async def carriers(self, *links: str) -> set[bool]:
        state = await self.lab.runtime.observe()
        return {end.carrier for link in state.links if not links or link.id in links for end in (link.a, link.b)}

    async def customer_reaches_service(self) -> None:
        for family in Family:
            answer = await probing.ping(self.lab, "customer", "contoso-pc", "svc-ams", family)
            assert answer.received == answer.sent

    async def over_the_link(self, count: int = 5) -> dict[str, Any]:
        """Echo requests from the edge to the peer's address on the link."""
        interface = next(i for i in self.lab.model.node(PEER).interfaces if i.link == LINK)
        arguments = {"destination": str(interface.v4).split("/")[0], "count": count, "interval": 0.005, "wait": 0.3}
        return await (await self.lab.runtime.task(EDGE, probing.PING, arguments)).result()

    async def received(self) -> dict[str, int]:
        """Packets that each end of the link has taken in."""
        (link,) = [link for link in (await self.lab.runtime.observe()).links if link.id == LINK]
        return {end.node: end.rx_packets for end in (link.a, link.b)}

    async def back(self) -> None:
        """All sessions are up again, and packets pass."""
        await self.lab.wait_established(self.lab.expected_sessions(), WITHIN)
        await self.lab.wait_quiet()
        await self.customer_reaches_service()


@asynccontextmanager
async def turned_up(peerlab: Product) -> AsyncIterator[Broken]:
    lab = await Lab.up(load(DIRECT), DIRECT.read_text(), peerlab.name())
    try:
        rehearsal = Rehearsal.of(lab, lambda _: None)
        # Without its link test, which these tests have no use for.
        scenes = [scene for scene in SCENES if scene.phase in TURN_UP]
        for scene in scenes:
            await scene.act(rehearsal)
        yield Broken(peerlab, lab)
    finally:
        await lab.down()


def test_links_fail_both_ways_one_way_and_partly(peerlab: Product) -> None:
    async def story() -> None:
        async with turned_up(peerlab) as broken:
            lab = broken.lab
            # Down: both ends lose carrier and only their sessions; the customer goes the other way.
            assert f"{LINK} is down" in await broken.fault("link-down", f"{EDGE}:{PEER}")
            await lab.wait_down(SESSIONS, WITHIN)
            assert await broken.carriers(LINK) == {False}
            others = [session for session in lab.expected_sessions() if session not in SESSIONS]
            await lab.wait_established(others, WITHIN)
            await lab.wait_quiet()
            await broken.customer_reaches_service()
            await broken.fault("link-up", LINK)
            assert await broken.carriers() == {True}
            await broken.back()
            # One way: what the edge sends arrives, what the peer sends does not; the carrier stays.
            await broken.fault("silence", LINK, "--from", PEER)
            before = await broken.received()
            assert (await broken.over_the_link())["received"] == 0
            after = await broken.received()
            assert after[PEER] - before[PEER] >= 5 and after[EDGE] == before[EDGE]
            assert await broken.carriers() == {True}
            await broken.fault("clear", LINK)
            assert (await broken.over_the_link())["received"] == 5
            # Both ways.
            await broken.fault("silence", LINK)
            before = await broken.received()
            assert (await broken.over_the_link())["received"] == 0
            assert await broken.received() == before
            await broken.fault("clear", LINK)
            # Partly: three quarters of the echoes miss the way there or back.
            assert "loss 50 %" in await broken.fault("degrade", LINK, "--loss", "50")
            answer = await broken.over_the_link(count=400)
            assert 0 < answer["received"] < 200
            await broken.fault("clear", LINK)
            told_so = await broken.fault("degrade", LINK, "--delay", "30", "--jitter", "5")
            assert "delay 30 +- 5 ms" in told_so
            assert (await broken.over_the_link())["rtt_min_ms"] >= 50
            await broken.fault("clear", LINK)
            assert (await broken.over_the_link())["received"] == 5
            await broken.back()
            told = [(e.fault, e.target) for e in broken.told(FaultInjected)]
            assert told[:4] == [
                ("link-down", LINK), ("silent-loss", LINK), ("silent-loss", LINK), ("impairment", LINK),
            ]  # fmt: skip

    asyncio.run(asyncio.wait_for(story(), 2 * WITHIN))


def test_routers_and_metros_fail(peerlab: Product) -> None:
    async def story() -> None:
        async with turned_up(peerlab) as broken:
            lab, name = broken.lab, broken.lab.store.name
            # A dead router: told as dead, its neighbours see its sessions end, nothing else fails.
            await broken.fault("kill-router", EDGE)
            done = await asyncio.to_thread(peerlab.run, "sessions", name, "--json")
            assert done.returncode == 0
            assert done.stderr == (
                f"{EDGE}: its router is dead; `peerlab fault restart-router {EDGE}` starts it again\n"
            )
            facts = read_json(done.stdout)
            assert facts and EDGE not in {fact["node"] for fact in facts}
            inspected = await asyncio.to_thread(peerlab.ok, "inspect", name, "--node", EDGE)
            assert inspected.splitlines()[0].endswith("  DEAD: its router process does not run")
            assert (await broken.refused("kill-router", EDGE)) == (
                3,
                f"peerlab: RouterIsDead: {EDGE} does not run; `peerlab fault restart-router {EDGE}` starts it",
            )
            routes = await asyncio.to_thread(peerlab.run, "routes", EDGE, "--lab", name)
            assert routes.returncode == 4 and f"router {EDGE} does not run" in one_line(routes)
            assert [(e.node, e.process, e.signal) for e in broken.told(ProcessExited)] == [(EDGE, "router", 9)]
            assert await broken.fault("restart-router", EDGE) == f"{EDGE} runs\n"
            await broken.back()
            assert (await broken.refused("restart-router", EDGE))[0] == 3
            # A metro: every link of its routers.
            await broken.fault("metro-down", "amsterdam")
            await lab.wait_down(SESSIONS, WITHIN)
            assert await broken.carriers(LINK, "ams-edge-1--ams-edge-2", "ams-edge-2--fab-ams-2") == {False}
            await broken.fault("metro-up", "amsterdam")
            assert await broken.carriers() == {True}
            await broken.back()
            assert [e.fault for e in broken.told(FaultCleared)] == ["router-killed", "metro-down"]

    asyncio.run(asyncio.wait_for(story(), 2 * WITHIN))


def test_routes_are_hijacked_and_leaked(peerlab: Product) -> None:
    async def story() -> None:
        async with turned_up(peerlab) as broken:
            lab = broken.lab
            # A hijack: the router originates what is not its own, and its neighbours hear of it.
            stolen = "198.18.33.0/25"

            async def heard_from(node: str, prefix: str) -> set[str]:
                seen = await lab.look()
                return {
                    name
                    for name, facts in seen.nodes.items()
                    for routes in facts.adj_rib_in_pre.values()
                    for route in routes
                    if route.prefix == prefix
                }

            assert await heard_from(PEER, stolen) == set()
            await broken.fault("hijack", PEER, stolen)
            await lab.wait_quiet()
            assert "fab-ams-2" in await heard_from(PEER, stolen)
            await broken.fault("hijack", PEER, stolen, "--stop")
            await lab.wait_quiet()
            assert await heard_from(PEER, stolen) == set()
            # A leak: what the customer heard from one of its provider's routers it tells the other one.
            (session,) = [
                s.id
                for s in lab.model.sessions
                if {s.left.node, s.right.node} == {"contoso-1", "fab-ams-2"} and s.family is Family.IPV4
            ]
            microsoft = Prefix("198.18.0.0/24")
            await broken.fault("leak", "contoso-1", session, microsoft)
            await lab.wait_quiet()
            (announced,) = await from_the_customer(lab, session, microsoft)
            assert announced.attributes is not None
            assert announced.attributes.path_text().split()[-1] == "8075"
            await broken.fault("leak", "contoso-1", session, microsoft, "--stop")
            await lab.wait_quiet()
            assert len(await from_the_customer(lab, session, microsoft)) == 2
            await broken.customer_reaches_service()

    asyncio.run(asyncio.wait_for(story(), 2 * WITHIN))


async def from_the_customer(lab: Lab, session: str, prefix: Prefix) -> list[Update]:
    """UPDATEs about a prefix that the customer sent on a session, from the wire."""
    told = (await lab.trace()).select(session=session, prefix=prefix)
    heard = [message.decode() for message in told if message.source == "contoso-1"]
    return [message for message in heard if isinstance(message, Update)]


def test_faults_of_what_there_is_not(peerlab: Product) -> None:
    """Every subcommand says what there is instead."""
    name = peerlab.name()
    peerlab.ok("up", ROOT / "topologies" / "minimal.yaml", "--name", name)
    links, routers = "fab-ams-1:ams-edge-1, svc-ams:ams-edge-1, fab-pc:fab-ams-1", "ams-edge-1, fab-ams-1"
    sessions = "ams-edge-1--fab-ams-1.v4, ams-edge-1--fab-ams-1.v6"
    rows = [
        (("link-down", "a:b"), f"NoSuchLink: there is no link a:b; known here: {links}"),
        (
            ("silence", LINK, "--from", "svc-ams"),
            f"NoSuchEnd: there is no end svc-ams of {LINK}; known here: fab-ams-1, ams-edge-1",
        ),
        (("kill-router", "svc-ams"), f"NoSuchRouter: there is no router svc-ams; known here: {routers}"),
        (
            ("restart-router", "ams-edge-1"),
            "RouterRuns: ams-edge-1 runs; `peerlab fault kill-router ams-edge-1` kills it",
        ),
        (("metro-down", "mars"), "NoSuchMetro: there is no metro mars; known here: amsterdam"),
        (("hijack", "nobody", "203.0.113.0/24"), f"NoSuchRouter: there is no router nobody; known here: {routers}"),
        (
            ("leak", "fab-ams-1", "no-session", "198.18.0.0/24"),
            f"NoSuchSession: there is no session no-session; known here: {sessions}",
        ),
        (
            ("leak", "fab-ams-1", "ams-edge-1--fab-ams-1.v4", "203.0.113.0/24"),
            "NoSuchRoute: fab-ams-1 has no route for 203.0.113.0/24 to leak",
        ),
    ]
    for arguments, text in rows:
        done = peerlab.run("fault", *arguments, "--lab", name)
        assert (done.returncode, one_line(done)) == (3, f"peerlab: {text}")
    done = peerlab.run("fault", "hijack", "fab-ams-1", "203.0.113.1/24", "--lab", name)
    assert done.returncode == 3 and one_line(done).startswith("PREFIX: 203.0.113.1/24 has host bits set; ")
    assert [e for e in peerlab.events(name) if isinstance(e, FaultInjected)] == []
