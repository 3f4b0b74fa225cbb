"""RPKI in a running lab: what a person does with ROAs and caches, and that the scene's checks fail when they must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from product import ROOT, Product, product

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy import AddCommunities, Policy, Statement
from peerlab.controller import origin, origin_exam
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal, gather_evidence, play
from peerlab.controller.storyline import SCENES
from peerlab.evidence.snapshot import RouteFact
from peerlab.evidence.story import Phase
from peerlab.peering.policy import BLACKHOLE, RPKI_INVALID, RPKI_INVALID_OUT
from peerlab.router.protocol import Announce
from peerlab.topology.load import load
from peerlab.verify.catalogue import judge_all

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("rpki")]

RPKI, MINIMAL = ROOT / "topologies" / "rpki.yaml", ROOT / "topologies" / "minimal.yaml"
TURN_UP = (Phase.REQUEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW)
EDGES = {"ams-edge-1": "ams-edge-1--fab-ams-1.v4", "ams-edge-2": "ams-edge-2--fab-ams-1.v4"}
CUSTOMER = "198.18.33.0/24"
CHECKS = ("POL-19", "POL-20", "POL-21", "POL-22", "SEC-06")


@pytest.fixture
def peerlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        yield made


@asynccontextmanager
async def turned_up(topology: Path, name: str) -> AsyncIterator[Rehearsal]:
    lab = await Lab.up(load(topology), topology.read_text(), name)
    try:
        rehearsal = Rehearsal.of(lab, lambda _: None)
        for scene in SCENES:
            if scene.phase in TURN_UP:
                await scene.act(rehearsal)
        yield rehearsal
    finally:
        await lab.down()


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def customers_route(lab: Lab, edge: str) -> RouteFact:
    router = await lab.router(edge)
    await lab.wait_quiet()
    (found,) = await router.rib("adj-rib-in-pre", EDGES[edge], CUSTOMER)
    return found


async def uptimes(lab: Lab) -> dict[str, int]:
    return {f.session: f.since for edge in EDGES for f in await (await lab.router(edge)).sessions()}


def test_a_roa_that_comes_and_goes_is_followed_by_every_edge_without_a_reset(peerlab: Product) -> None:
    async def story() -> None:
        name = peerlab.name()
        async with turned_up(RPKI, name) as rehearsal:
            lab = rehearsal.lab
            before = await uptimes(lab)

            async def told(*words: str) -> str:
                return await asyncio.to_thread(peerlab.ok, *words, "--lab", name)

            for edge in EDGES:
                assert (await customers_route(lab, edge)).rpki == "not-found"
            assert "2 routers validate by it" in await told("rpki", "add", CUSTOMER, "AS64502")
            for edge in EDGES:
                route = await customers_route(lab, edge)
                assert (route.accepted, route.reason, route.rpki) == (False, RPKI_INVALID, "invalid")
            await told("fault", "kill-cache", "rpki-ams")
            listed = await told("rpki", "list")
            assert "not running" in listed
            assert (await customers_route(lab, "ams-edge-2")).rpki == "invalid", "believed until it expires"
            await told("fault", "restart-cache", "rpki-ams")
            await told("rpki", "remove", CUSTOMER, "AS64502")
            for edge in EDGES:
                route = await customers_route(lab, edge)
                assert (route.accepted, route.rpki) == (True, "not-found")
            assert await uptimes(lab) == before
            assert await lab.plan() == ()

    run(story())


def test_a_roa_or_a_cache_that_is_not_there_is_said_in_one_line(peerlab: Product) -> None:
    async def story() -> None:
        name = peerlab.name()
        lab = await Lab.up(load(RPKI), RPKI.read_text(), name)
        try:
            for words, said in (
                (("remove", CUSTOMER, "AS64502"), "there is no VRP"),
                (("add", CUSTOMER, "AS64502", "--cache", "nobody"), "there is no RPKI cache nobody"),
            ):
                done = await asyncio.to_thread(peerlab.run, "rpki", *words, "--lab", name)
                assert (done.returncode, done.stdout) == (3, "")
                assert said in done.stderr
                assert len(done.stderr.splitlines()) == 1
        finally:
            await lab.down()

    run(story())


def test_a_blackhole_is_taken_on_the_connection_that_agreed_on_it_and_on_no_other(peerlab: Product) -> None:
    host = Prefix("198.18.32.7/32")

    async def story() -> None:
        async with turned_up(RPKI, peerlab.name()) as rehearsal:
            lab = rehearsal.lab
            peer = await lab.router("fab-ams-1")
            for session in EDGES.values():
                end = lab.model.session(session).end("fab-ams-1")
                marked = PathAttributes(
                    as_path=(Segment(SegmentType.AS_SEQUENCE, (64500,)),),
                    next_hop=end.address,
                    communities=(BLACKHOLE,),
                )
                await peer.ask(Announce(session=session, prefixes=(host,), attributes=marked))
            await lab.wait_quiet()
            fates = {}
            for edge, session in EDGES.items():
                (route,) = await (await lab.router(edge)).rib("adj-rib-in-pre", session, host)
                fates[edge] = (route.rpki, route.accepted, route.reason)
            assert fates == {
                "ams-edge-1": ("invalid", True, "blackhole (RFC 7999)"),
                "ams-edge-2": ("invalid", False, "longer than /24 and not registered"),
            }
            kinds = {r.destination: r.kind for r in await lab.runtime.kernel_routes("ams-edge-1", "ipv4")}
            assert kinds[host] == "blackhole"

    run(story())


async def verdicts(rehearsal: Rehearsal) -> dict[str, str]:
    await play(rehearsal, tuple(scene for scene in SCENES if scene.phase is Phase.ORIGIN))
    assert not rehearsal.broken
    evidence = await gather_evidence(rehearsal)
    return {finding.check: finding.outcome.value for finding in judge_all(evidence, only=CHECKS)}


def _without(make: Callable[..., Policy], *names: str) -> Callable[..., Policy]:
    """The same policy without the statements of these names, and without any community that keeps a route inside."""

    def changed(statement: Statement) -> Statement:
        actions = tuple(a for a in statement.actions if not isinstance(a, AddCommunities) or names != ("NO_EXPORT",))
        return msgspec.structs.replace(statement, actions=actions)

    def made(*given: Any) -> Policy:
        policy = make(*given)
        kept = tuple(changed(one) for one in policy.statements if one.name not in names)
        return msgspec.structs.replace(policy, statements=kept)

    return made


async def _no_intervals(*_: object, **__: object) -> None:
    """The cache goes on telling that its data may be used for ten minutes."""


def test_the_scene_passes_and_leaves_the_edge_as_it_was(peerlab: Product) -> None:
    async def story() -> None:
        async with turned_up(RPKI, peerlab.name()) as rehearsal:
            before = await uptimes(rehearsal.lab)
            assert await verdicts(rehearsal) == dict.fromkeys(CHECKS, "pass")
            router = await rehearsal.lab.router("ams-edge-1")
            assert [cache.name for cache in (await router.validation()).caches] == ["rpki-ams"]
            assert await uptimes(rehearsal.lab) == before
            assert await rehearsal.lab.plan() == ()

    run(story())


def test_every_check_of_the_scene_fails_when_the_edge_does_not_validate(
    peerlab: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_exam, "import_policy", _without(origin_exam.import_policy, RPKI_INVALID))
    monkeypatch.setattr(origin_exam, "export_policy", _without(origin_exam.export_policy, RPKI_INVALID_OUT))

    async def story() -> None:
        async with turned_up(MINIMAL, peerlab.name()) as rehearsal:
            wanted = dict.fromkeys(("POL-20", "POL-21", "POL-22", "SEC-06"), "fail")
            assert await verdicts(rehearsal) == {"POL-19": "pass", **wanted}

    run(story())


def test_a_blackhole_that_may_travel_and_data_that_never_expire_fail(
    peerlab: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin_exam, "import_policy", _without(origin_exam.import_policy, "NO_EXPORT"))
    monkeypatch.setattr(origin.rpki, "set_intervals", _no_intervals)
    monkeypatch.setattr(origin, "EXPIRY_MARGIN", 1.0)

    async def story() -> None:
        async with turned_up(MINIMAL, peerlab.name()) as rehearsal:
            wanted = {**dict.fromkeys(CHECKS, "pass"), "POL-19": "fail", "POL-21": "fail"}
            assert await verdicts(rehearsal) == wanted

    run(story())


