"""An office over a lab on paper: everything that decides, keeps and answers is real, only the routers are missing.

The wires are those of a shipped topology; a router that is asked does not answer, as one that has ended does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from starlette.types import ASGIApp

from peerlab.api.arm_app import application
from peerlab.api.token import Issuer, Scope
from peerlab.controller.lab import Lab
from peerlab.controller.office import Office, agree
from peerlab.controller.router_client import RouterClient
from peerlab.controller.store import FILE, AcceptedRequests
from peerlab.errors import RuntimeFailure
from peerlab.evidence.store import LabStore
from peerlab.peering import command as ask
from peerlab.peering.ledger import Ledger
from peerlab.runtime.fake import FakeRuntime
from peerlab.topology.load import load

ROOT = Path(__file__).parents[3]
VERSION = "2025-05-01"
S = "/subscriptions/s/providers/Microsoft.Peering"
G = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering"

FIRST, SECOND = ("198.19.1.134/31", "2001:db8:f001:8000::6/127"), ("198.19.1.136/31", "2001:db8:f001:8000::8/127")
ELSEWHERE = ("198.19.7.0/31", "2001:db8:f001:9000::/127")
"""Session prefixes of the two wires of topologies/direct.yaml, and some that no wire has."""


class PaperLab(Lab):
    """A lab whose routers do not run."""

    async def router(self, node: str) -> RouterClient:
        raise RuntimeFailure(f"router {node} does not run: it is on paper")


class PaperOffice:
    """An office in ``directory`` with its application; made anew on the same directory it is what a restart finds."""

    def __init__(self, directory: Path, topology: str = "direct.yaml") -> None:
        self.directory = directory
        os.environ["PEERLAB_STATE"] = str(directory)
        text = (ROOT / "topologies" / topology).read_text()
        model = load(ROOT / "topologies" / topology)
        store = LabStore.open("paper") if LabStore.exists("paper") else LabStore.create("paper", text, model)
        lab = PaperLab(model, FakeRuntime("paper"), store, store.log())
        kept = AcceptedRequests(store.path / FILE)
        agree(lab, kept)
        lock = os.open(os.devnull, os.O_RDONLY)
        self.told: list[str] = []
        self.office = Office(lab, kept, lock, self.told.append)
        self.issuer = Issuer(store.path / "api", "paper")
        self.app: ASGIApp = application(self.office, self.issuer)

    def token(self, scope: Scope = Scope.ARM) -> str:
        return self.issuer.issue(scope, int(time.time()))

    async def close(self) -> None:
        await self.office.close()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        before_body: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[int, Any]:
        """One request past all sockets: status and JSON. ``before_body`` is awaited before any of the body comes."""
        octets = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        status, whole = await self.exchange(method, path, octets, headers or {}, before_body)
        return status, msgspec.json.decode(whole) if whole else None

    async def exchange(
        self,
        method: str,
        path: str,
        octets: bytes,
        headers: Mapping[str, str],
        before_body: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[int, bytes]:
        """One request as octets, one answer as octets."""
        path, _, query = path.partition("?")
        scope = Scope.OPERATOR if path.startswith("/operator/") else Scope.ARM
        sent = {"host": "127.0.0.1:8443", "authorization": f"Bearer {self.token(scope)}", **headers}
        connection = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https",
            "path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "root_path": "",
            "query_string": (query or f"api-version={VERSION}").encode("utf-8", "surrogatepass"),
            "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in sent.items()],
            "server": ("127.0.0.1", 8443), "client": ("127.0.0.1", 1),
        }  # fmt: skip
        incoming = [{"type": "http.request", "body": octets, "more_body": False}]
        answered: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if before_body is not None and incoming:
                await before_body()
            return incoming.pop() if incoming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answered.append(message)

        await self.app(connection, receive, send)
        return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])


@contextlib.asynccontextmanager
async def paper_office(directory: Path, topology: str = "direct.yaml") -> AsyncIterator[PaperOffice]:
    """An office that is closed at the end of the block."""
    made = PaperOffice(directory, topology)
    try:
        yield made
    finally:
        await made.close()


def run(work: Any) -> Any:
    return asyncio.run(work)


def ledger_octets(ledger: Ledger) -> bytes:
    """A ledger as octets, so that two can be compared to the last one."""
    return msgspec.json.encode({"ledger": ledger, "agreements": sorted(ledger.agreements)}, order="deterministic")


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
