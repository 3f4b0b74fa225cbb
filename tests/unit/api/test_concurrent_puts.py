"""PUTs at the same time: to one resource one after the other and none lost, to another without waiting for it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
from paper_office import PaperOffice, ledger_octets, run

from peerlab.controller.router_client import RouterClient
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import ResourceChanged
from peerlab.peering import command as ask

S = "/subscriptions/s/providers/Microsoft.Peering"
G = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering"
WITHIN = 30.0
FIRST, SECOND = ("198.19.1.134/31", "2001:db8:f001:8000::6/127"), ("198.19.1.136/31", "2001:db8:f001:8000::8/127")
ELSEWHERE = ("198.19.7.0/31", "2001:db8:f001:9000::/127")


def body(owner: str, *prefixes: tuple[str, str], tags: dict[str, str] | None = None) -> dict[str, Any]:
    connections = [
        {
            "connectionIdentifier": f"c{number}",
            "bandwidthInMbps": 10000,
            "sessionAddressProvider": "Peer",
            "peeringDBFacilityId": 1001,
            "bgpSession": {
                "sessionPrefixV4": v4,
                "sessionPrefixV6": v6,
                "maxPrefixesAdvertisedV4": 1000,
                "maxPrefixesAdvertisedV6": 100,
            },
        }
        for number, (v4, v6) in enumerate(prefixes)
    ]
    direct = {"peerAsn": {"id": f"{S}/peerAsns/{owner}"}, "directPeeringType": "Edge", "connections": connections}
    return {
        "kind": "Direct",
        "location": "westeurope",
        "sku": {"name": "Basic_Direct_Free"},
        "tags": tags or {},
        "properties": {"peeringLocation": "Amsterdam", "direct": direct},
    }


class SlowRouter:
    """The edge router answers nobody until it is let: whoever asks for session states of a wire waits."""

    def __init__(self, office: PaperOffice) -> None:
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        office.office.lab.router = self.router  # type: ignore[method-assign]

    async def router(self, node: str) -> RouterClient:
        self.asked.set()
        await self.free.wait()
        raise RuntimeFailure(f"router {node} does not run: it is on paper")


async def furnished(directory: Path) -> PaperOffice:
    """p1 stands on the first wire of the lab and is provisioned; p2 is another AS's and has no wire."""
    office = PaperOffice(directory)
    for owner, asn in (("one", 64500), ("two", 64502)):
        contact = [{"role": "Noc", "email": "noc@fabrikam.example", "phone": "1"}]
        properties = {"peerAsn": asn, "peerName": "Fabrikam", "peerContactDetail": contact}
        assert (await office.call("PUT", f"{S}/peerAsns/{owner}", {"properties": properties}))[0] == 201
        assert (await office.call("POST", "/operator/v1/approve-asn", {"on": f"s/{owner}"}))[0] == 200
    assert (await office.call("PUT", f"{G}/peerings/p1", body("one", FIRST, SECOND)))[0] == 201
    at = {"peering": "s/g/p1", "connection": "c0"}
    for command in (ask.ApproveConnection(**at), ask.NotifyReady(**at), ask.ProvisionSessions(**at)):
        office.office.ask(command)
    return office


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
