"""Azure's API over a store of 2,000 peerings with 4,000 connections: start, memory, and how long calls take.

``python bench/arm_load.py [PEERINGS]`` prints a table. A lab of ``topologies/direct.yaml`` runs, its store is filled
by the desk itself (every second peering is Active), and ``peerlab serve`` is asked over HTTPS as a client would. No
wire of the lab belongs to any of these peerings; their AS numbers stand in the store only.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from peerlab.api.operator_api import ROOT
from peerlab.api.token import Scope as TokenScope
from peerlab.cli.operator import call as operate
from peerlab.controller.lab import now_ns
from peerlab.controller.provision import new_guid
from peerlab.controller.store import FILE, AcceptedRequests
from peerlab.peering import command as ask
from peerlab.peering.catalogue import catalogue_of
from peerlab.peering.desk import Desk
from peerlab.peering.peer_asn import ContactDetail, PeerAsnProperties
from peerlab.peering.peering_resource import Peering
from peerlab.peering.scope import Scope
from peerlab.peering.validation import SESSION_RULES
from peerlab.peering.verdict import RuleVerdict
from peerlab.topology.load import load

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "direct.yaml"
SCOPE = Scope(subscription="load", resource_group="load")
FIRST_ASN = 200_000
VERSION = "2025-05-01"
S = "/subscriptions/load/providers/Microsoft.Peering"
G = "/subscriptions/load/resourceGroups/load/providers/Microsoft.Peering"
PASSED = tuple(RuleVerdict(rule=rule, passed=True) for rule in SESSION_RULES)
STARTS_WITHIN = 600.0


def body(number: int) -> dict[str, Any]:
    """A Direct peering with two connections that no other has the addresses of."""

    def connection(which: int) -> dict[str, Any]:
        place = 4 * number + 2 * which
        session = {
            "sessionPrefixV4": f"198.{18 + place // 65536}.{place // 256 % 256}.{place % 256}/31",
            "maxPrefixesAdvertisedV4": 1000,
            "sessionPrefixV6": f"2001:db8:{number:x}::{2 * which:x}/127",
            "maxPrefixesAdvertisedV6": 100,
        }
        return {
            "bandwidthInMbps": 10000,
            "sessionAddressProvider": "Peer",
            "peeringDBFacilityId": 1001,
            "connectionIdentifier": f"00000000-0000-4000-8000-{place:012d}",
            "bgpSession": session,
        }

    owner = {"id": f"{S}/peerAsns/asn{number}"}
    direct = {"peerAsn": owner, "directPeeringType": "Edge", "connections": [connection(0), connection(1)]}
    return {
        "kind": "Direct",
        "location": "westeurope",
        "sku": {"name": "Basic_Direct_Free"},
        "properties": {"peeringLocation": "Amsterdam", "direct": direct},
    }


def requests_for(number: int) -> Iterator[ask.Command]:
    """Association and request of a peering; every second one goes as far as Active."""
    contact = ContactDetail(role="Noc", email="noc@fabrikam.example", phone="+31 20 000 0000")
    properties = PeerAsnProperties(peer_asn=FIRST_ASN + number, peer_name="Fabrikam", peer_contact_detail=(contact,))
    yield ask.PutPeerAsn(name=f"asn{number}", properties=properties, scope=SCOPE)
    yield ask.ApprovePeerAsn(peer_asn=f"load/asn{number}")
    yield ask.PutPeering(name=f"p{number}", peering=msgspec.convert(body(number), Peering), scope=SCOPE)
    for which in (0, 1) if number % 2 else ():
        label = f"00000000-0000-4000-8000-{4 * number + 2 * which:012d}"
        at = {"peering": f"load/load/p{number}", "connection": label}
        yield ask.ApproveConnection(**at, loa="LOA")
        yield ask.NotifyReady(**at)
        yield ask.ProvisionSessions(**at)
        yield ask.JudgeValidation(**at, verdicts=PASSED)
        yield ask.OpenPolicy(**at)


def fill(path: Path, peerings: int) -> tuple[int, int]:
    """Fill the store, one row per request as the office does, but in one transaction. Returns requests and events."""
    AcceptedRequests(path).close()
    desk = Desk(catalogue_of(load(TOPOLOGY)))
    rows, events = 0, 0
    with sqlite3.connect(path) as database:
        for number in range(peerings):
            for command in requests_for(number):
                came = desk.handle(command, now=now_ns(), new_id=new_guid)
                for event in came:
                    desk.apply(event)
                database.execute(
                    "INSERT INTO accepted (request, events) VALUES (?, ?)",
                    (type(command).__name__, msgspec.json.encode(came)),
                )
                rows, events = rows + 1, events + len(came)
    database.close()
    return rows, events


class Client:
    """One connection to the server, kept open."""

    def __init__(self, url: str, authority: str, token: str) -> None:
        host, _, port = url.removeprefix("https://").partition(":")
        context = ssl.create_default_context(cafile=authority)
        self._connection = http.client.HTTPSConnection(host, int(port), context=context)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, sent: object = None) -> Any:
        """The JSON of a good answer."""
        path += f"{'&' if '?' in path else '?'}api-version={VERSION}" if "api-version" not in path else ""
        self._connection.request(method, path, json.dumps(sent) if sent is not None else None, self._headers)
        answer = self._connection.getresponse()
        octets = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {octets[:300]!r}")
        return json.loads(octets) if octets else None

    def whole_list(self, path: str) -> list[Any]:
        """Every page of a list."""
        page = self.call("GET", path)
        rows = page["value"]
        while "nextLink" in page:
            page = self.call("GET", "/" + page["nextLink"].split("/", 3)[3])
            rows += page["value"]
        return rows


def timed(what: str, times: int, do: Callable[[int], object]) -> None:
    """One row: the distribution of a call's seconds."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        do(number)
        took.append(1000 * (time.perf_counter() - began))
    row(what, took)


def row(what: str, took: list[float]) -> None:
    """A line of the table, in ms."""
    cut = statistics.quantiles(took, n=20, method="inclusive")
    print(f"{what:<52} {len(took):>5} {statistics.median(took):>9.1f} {cut[18]:>9.1f} {max(took):>9.1f}", flush=True)


def crowd(endpoint: dict[str, str], token: str, peerings: int) -> None:
    """Eight clients at once, each with a connection of its own, changing peerings of its own."""

    def work(which: int) -> list[float]:
        client = Client(endpoint["url"], endpoint["authority"], token)
        took = []
        for number in range(25):
            began = time.perf_counter()
            client.call("PATCH", f"{G}/peerings/p{(which * 25 + number) % peerings}", {"tags": {"by": str(which)}})
            took.append(1000 * (time.perf_counter() - began))
        return took

    began = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        took = [one for many in pool.map(work, range(8)) for one in many]
    row("PATCH by eight clients at once", took)
    print(f"that is {len(took) / (time.perf_counter() - began):.0f} accepted changes a second")


def memory(pid: int) -> str:
    """Resident memory, now and at most, in MiB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    now, peak = (int(status[key].split()[0]) / 1024 for key in ("VmRSS", "VmHWM"))
    return f"{now:.0f} MiB resident, {peak:.0f} MiB at most"


def started(lab: str, state: Path) -> tuple[subprocess.Popen[bytes], dict[str, str], float]:
    """Serve the lab; what the endpoint's file says, and the seconds until it answers."""
    endpoint = state / lab / "api" / "endpoint.json"
    began = time.monotonic()
    command = [sys.executable, "-m", "peerlab.cli.main", "serve", lab, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pause = threading.Event()
    while not endpoint.exists():
        if process.poll() is not None or time.monotonic() - began > STARTS_WITHIN:
            raise SystemExit("peerlab serve did not start")
        pause.wait(0.02)
    return process, json.loads(endpoint.read_text()), time.monotonic() - began


def main() -> None:
    """Print the table."""
    peerings = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"machine: {machine}; load before: {os.getloadavg()[0]:.1f}; date: {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory(prefix="peerlab-load-") as directory:
        state, lab = Path(directory), f"load-{os.getpid()}"
        os.environ["PEERLAB_STATE"] = directory
        run = [sys.executable, "-m", "peerlab.cli.main"]
        subprocess.run([*run, "up", str(TOPOLOGY), "--name", lab], check=True, stdout=subprocess.DEVNULL)
        try:
            measure(state, lab, peerings, run)
        finally:
            subprocess.run([*run, "down", lab], check=True, stdout=subprocess.DEVNULL)


def measure(state: Path, lab: str, peerings: int, run: list[str]) -> None:
    """All rows, for a lab that runs."""
    rows, events = fill(state / lab / FILE, peerings)
    size = (state / lab / FILE).stat().st_size / 2**20
    print(f"{peerings} peerings, {2 * peerings} connections: {rows} requests, {events} events, {size:.0f} MiB of store")
    process, endpoint, first = started(lab, state)
    process.terminate()
    process.wait()
    process, endpoint, again = started(lab, state)
    try:
        print(f"peerlab serve answers after {first:.2f} s (events go to the log too), again after {again:.2f} s")
        token = subprocess.run([*run, "token", lab], check=True, capture_output=True, text=True).stdout.strip()
        client = Client(endpoint["url"], endpoint["authority"], token)
        print(f"after the start: {memory(process.pid)}")
        print(f"{'ms':<52} {'calls':>5} {'p50':>9} {'p95':>9} {'max':>9}")
        count = len(client.whole_list(f"{G}/peerings"))
        if count != peerings:
            raise SystemExit(f"{count} peerings are listed")
        timed("GET peerings, a page of 1000", 20, lambda _: client.call("GET", f"{G}/peerings"))
        timed("GET peerings, every page", 10, lambda _: client.whole_list(f"{G}/peerings"))
        timed("GET one peering", 200, lambda n: client.call("GET", f"{G}/peerings/p{n * 7 % peerings}"))
        timed("PUT, unchanged", 100, lambda n: client.call("PUT", f"{G}/peerings/p{2 * n}", body(2 * n)))
        timed("PATCH of tags", 100, lambda n: client.call("PATCH", f"{G}/peerings/p{n}", {"tags": {"n": str(n)}}))

        def associate(number: int) -> object:
            contact = [{"role": "Noc", "email": "noc@fabrikam.example", "phone": "1"}]
            properties = {"peerAsn": FIRST_ASN + number, "peerName": "Fabrikam", "peerContactDetail": contact}
            return client.call("PUT", f"{S}/peerAsns/asn{number}", {"properties": properties})

        timed("PUT of a new PeerAsn", 100, lambda n: associate(peerings + n))
        for number in range(100):  # which takes longer than the server keeps an idle connection
            operate(lab, "POST", f"{ROOT}/approve-asn", {"on": f"load/asn{peerings + number}"})
        client = Client(endpoint["url"], endpoint["authority"], token)

        def put(number: int) -> object:
            return client.call("PUT", f"{G}/peerings/p{peerings + number}", body(peerings + number))

        timed("PUT of a new peering", 100, put)
        timed("DELETE of it", 100, lambda n: client.call("DELETE", f"{G}/peerings/p{peerings + n}"))
        timed("GET /metrics", 20, lambda _: operate(lab, "GET", "/metrics", scope=TokenScope.ARM))
        crowd(endpoint, token, peerings)
        print(f"at the end: {memory(process.pid)}")
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
