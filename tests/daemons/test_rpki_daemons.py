"""Other people's programs on both sides of RTR: StayRTR as the cache, BIRD as a router that validates."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from live.router_lab import WITHIN

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.controller import rpki
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.storyline import SCENES
from peerlab.daemons.rpki import registered_vrps
from peerlab.evidence.story import Phase
from peerlab.topology.load import load_text

pytestmark = [pytest.mark.live, pytest.mark.daemons]

RPKI = (Path(__file__).parents[2] / "topologies" / "rpki.yaml").read_text()
CUSTOMER = Vrp(Prefix("198.18.33.0/24"), 64502, 24)
CUSTOMER_V6 = Vrp(Prefix("2001:db8:2001::/48"), 64502, 48)
TURN_UP = (Phase.REQUEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW)
EDGES = ("ams-edge-1", "ams-edge-2")


def topology(*changes: tuple[str, str]) -> str:
    text = RPKI
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


STAYRTR = ("rpki-ams: {router: ams-edge-1,", "rpki-ams: {router: ams-edge-1, kind: stayrtr,")
BIRD = ("ams-edge-2: {metro: amsterdam}", "ams-edge-2: {metro: amsterdam, kind: bird}")


@asynccontextmanager
async def turned_up(text: str, monkeypatch: pytest.MonkeyPatch, place: Path, name: str) -> AsyncIterator[Lab]:
    monkeypatch.setenv("PEERLAB_STATE", str(place))
    lab = await Lab.up(load_text(text, "rpki.yaml"), text, f"{name}-{os.getpid()}")
    try:
        rehearsal = Rehearsal.of(lab, lambda _: None)
        for scene in SCENES:
            if scene.phase in TURN_UP:
                await scene.act(rehearsal)
        yield lab
    finally:
        await lab.down()


async def follow(lab: Lab, vrps: Iterable[Vrp]) -> None:
    for edge in EDGES:
        assert await (await lab.router(edge)).validates_by(vrps, WITHIN), edge


async def states(lab: Lab, edge: str) -> dict[str, tuple[str, bool]]:
    """State and fate of the customer's routes on an edge's connection."""
    await lab.wait_quiet()
    router = await lab.router(edge)
    found = {}
    for fact in await router.sessions():
        if fact.peer == "fab-ams-1":
            for view in ("adj-rib-in-pre", "adj-rib-in-post"):
                for route in await router.rib(view, fact.session):
                    if route.prefix in (CUSTOMER.prefix, CUSTOMER_V6.prefix):
                        found[route.prefix] = (route.rpki, route.accepted)
    return found


@pytest.mark.parametrize("changes", [(STAYRTR,), (BIRD,), (STAYRTR, BIRD)], ids=["stayrtr", "bird", "both"])
def test_roas_are_followed_whoever_serves_and_whoever_asks(
    changes: tuple[tuple[str, str], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with turned_up(topology(*changes), monkeypatch, tmp_path, "rtr") as lab:
            begun = registered_vrps(lab.model)
            await follow(lab, begun)
            since = {f.session: f.since for edge in EDGES for f in await (await lab.router(edge)).sessions()}
            (cache,) = lab.model.caches
            not_found, invalid = ("not-found", True), ("invalid", False)
            prefixes = (CUSTOMER.prefix, CUSTOMER_V6.prefix)
            for edge in EDGES:
                assert await states(lab, edge) == dict.fromkeys(prefixes, not_found)
            await rpki.change(lab, [cache], add=[CUSTOMER, CUSTOMER_V6])
            for edge in EDGES:
                assert await states(lab, edge) == dict.fromkeys(prefixes, invalid)
            await rpki.kill_cache(lab, cache)
            await rpki.restart_cache(lab, cache)
            await follow(lab, (*begun, CUSTOMER, CUSTOMER_V6))
            await rpki.change(lab, [cache], remove=[CUSTOMER, CUSTOMER_V6])
            for edge in EDGES:
                assert await states(lab, edge) == dict.fromkeys(prefixes, not_found)
            now = {f.session: f.since for edge in EDGES for f in await (await lab.router(edge)).sessions()}
            assert now == since
            assert await lab.plan() == ()

    asyncio.run(story())
