"""PUTs at the same time: to one resource one after the other and none lost, to another without waiting for it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path

import pytest
from paper_office import ELSEWHERE, FIRST, SECOND, G, PaperOffice, body, furnished, ledger_octets, run

from peerlab.controller.router_client import RouterClient
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import ResourceChanged

WITHIN = 30.0


class SlowRouter:
    """The edge router answers nobody until it is let: whoever asks for session states of a wire waits."""

    def __init__(self, office: PaperOffice) -> None:
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        office.office.lab.router = self.router  # type: ignore[method-assign]

    async def router(self, node: str) -> RouterClient:
        self.asked.set()
        await self.free.wait()
        raise RuntimeFailure(f"router {node} does not run: it is on paper")


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))


def test_a_put_that_waits_for_its_router_holds_nobody_else_up(tmp_path: Path) -> None:
    async def work() -> None:
        office = await furnished(tmp_path)
        slow = SlowRouter(office)
        first = asyncio.ensure_future(
            office.call("PUT", f"{G}/peerings/p1", body("one", FIRST, SECOND, tags={"a": "b"}))
        )
        async with asyncio.timeout(WITHIN):
            await slow.asked.wait()
            assert (await office.call("PUT", f"{G}/peerings/p2", body("two", ELSEWHERE)))[0] == 201
            assert (await office.call("GET", f"{G}/peerings/p2"))[0] == 200
            assert not first.done(), "it still waits"
            assert office.office.ledger.peerings["s/g/p1"].tags == {"a": "b"}, "accepted, though not answered yet"
            slow.free.set()
            status, answered = await first
        assert (status, answered["tags"]) == (200, {"a": "b"})
        await office.close()

    run(work())


def test_a_client_that_sends_its_body_slowly_holds_nobody_up(tmp_path: Path) -> None:
    async def work() -> None:
        office = await furnished(tmp_path)
        reading, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> None:
            reading.set()
            await go_on.wait()

        changed = body("one", FIRST, SECOND, tags={"slow": "yes"})
        slow = asyncio.ensure_future(office.call("PUT", f"{G}/peerings/p1", changed, before_body=slowly))
        async with asyncio.timeout(WITHIN):
            await reading.wait()
            quick = body("one", FIRST, SECOND, tags={"quick": "yes"})
            assert (await office.call("PUT", f"{G}/peerings/p1", quick))[1]["tags"] == {"quick": "yes"}
            go_on.set()
            assert (await slow)[1]["tags"] == {"slow": "yes"}
        assert office.office.ledger.peerings["s/g/p1"].tags == {"slow": "yes"}, "whoever comes last wins"
        await office.close()

    run(work())


def test_puts_to_one_resource_are_taken_one_after_the_other(tmp_path: Path) -> None:
    """Every one is answered with what it wrote, is in the store whole, and the last one stands."""

    async def work() -> None:
        office = await furnished(tmp_path)
        slow = SlowRouter(office)
        asked = [body("one", FIRST, SECOND, tags={"number": str(number)}) for number in range(20)]
        waiting = [asyncio.ensure_future(office.call("PUT", f"{G}/peerings/p1", copy.deepcopy(one))) for one in asked]
        async with asyncio.timeout(WITHIN):
            await slow.asked.wait()
            slow.free.set()
            answers = await asyncio.gather(*waiting)
        assert [(status, answer["tags"]) for status, answer in answers] == [(200, one["tags"]) for one in asked]
        kept = [
            event.body["tags"]
            for event in office.office.store.events()
            if isinstance(event, ResourceChanged) and event.name == "s/g/p1" and event.body.get("tags")
        ]
        assert sorted(kept, key=lambda tags: int(tags["number"])) == [one["tags"] for one in asked], "none is lost"
        assert office.office.ledger.peerings["s/g/p1"].tags == kept[-1], "the last write wins"
        before = ledger_octets(office.office.ledger)
        await office.close()
        again = PaperOffice(tmp_path)
        assert ledger_octets(again.office.ledger) == before
        await again.close()

    run(work())


def test_one_of_two_requests_for_the_same_place_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        office = await furnished(tmp_path)
        both = await asyncio.gather(
            *(office.call("PUT", f"{G}/peerings/{name}", body("two", ELSEWHERE)) for name in ("here", "there"))
        )
        assert sorted(status for status, _ in both) == [201, 400]
        assert len([key for key in office.office.ledger.peerings if key.endswith("here")]) == 1
        await office.close()

    run(work())
