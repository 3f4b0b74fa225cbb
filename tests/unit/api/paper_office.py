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
from peerlab.peering.ledger import Ledger
from peerlab.runtime.fake import FakeRuntime
from peerlab.topology.load import load

ROOT = Path(__file__).parents[3]
VERSION = "2025-05-01"


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
