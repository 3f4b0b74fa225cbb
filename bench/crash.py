"""kill -9 of ``peerlab serve`` at random moments of working hours: what was acknowledged is there, nothing by halves.

``python bench/crash.py [KILLS [SEED]]``; 50 kills by default. A lab of ``topologies/direct.yaml`` runs and is served
over HTTPS. Two clients work all the time: one turns a peering up and down again on the lab's wires, the other makes,
tags and deletes peerings and PeerAsns. At a random moment (seeded, the server's start included) the server is killed.
After each restart every resource is compared with the last answer about it; the one request of each client that was
under way may have happened or not, whole. At the end the store is checked by SQLite and against the event log.
"""

from __future__ import annotations

import copy
import http.client
import json
import os
import platform
import random
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peerlab.api.operator_api import ROOT
from peerlab.api.server import folder_of
from peerlab.api.token import Issuer, Scope
from peerlab.controller.office import PEER_STIMULI
from peerlab.controller.store import FILE, AcceptedRequests, is_of_the_desk
from peerlab.evidence.log import EventLog

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "direct.yaml"
VERSION = "2025-05-01"
S = "/subscriptions/s/providers/Microsoft.Peering"
G = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering"
WIRES = {
    "c1": ("198.19.1.134/31", "2001:db8:f001:8000::6/127"),
    "c2": ("198.19.1.136/31", "2001:db8:f001:8000::8/127"),
}
STARTS_WITHIN = 60.0
ANSWERS_WITHIN = 60.0
LONGEST = 1.5
"""Seconds of work, at most, before a kill."""

NEXT_ACT = {
    "PendingApproval": "approve",
    "Validating": "validate",
    "ProvisioningCompleted": "open",
    "Active": "deprovision",
    "PendingRemove": "remove",
}
"""What a connection's life goes on with; ProvisioningStarted is notified first and then provisioned."""

Resource = dict[str, Any]
Expected = Callable[[Any, Any], bool]
"""Whether a resource's shape (second) is what a request was to make of another (first)."""

_pause = threading.Event()


class Killed(Exception):
    """The server went away under a request."""


class Wrong(Exception):
    """Something acknowledged is not there, or something is there by halves."""


class Server:
    """``peerlab serve`` of one lab, started again and again."""

    def __init__(self, lab: str, state: Path) -> None:
        self.lab, self._endpoint = lab, state / lab / "api" / "endpoint.json"
        self._said = (state / "serve.err").open("w+b")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self._issuer = Issuer(folder_of(lab), lab)

    def spawn(self) -> subprocess.Popen[bytes]:
        """A server that may not answer yet."""
        self._endpoint.unlink(missing_ok=True)
        command = [sys.executable, "-m", "peerlab.cli.main", "serve", self.lab, "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._said)
        return self._process

    def start(self) -> None:
        """A server that answers. Raises Wrong when none comes."""
        process, began = self.spawn(), time.monotonic()
        while not self._endpoint.exists():
            if process.poll() is not None or time.monotonic() - began > STARTS_WITHIN:
                self._said.seek(0)
                raise Wrong(f"peerlab serve does not start: {self._said.read().decode()[-500:]}")
            _pause.wait(0.02)
        found = json.loads(self._endpoint.read_text())
        self.address = found["url"].removeprefix("https://").rpartition(":")[::2]
        self.trust = ssl.create_default_context(cafile=found["authority"])

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request on a connection of its own. Raises Killed when no whole answer comes."""
        scope = Scope.OPERATOR if path.startswith(ROOT) else Scope.ARM
        token = self._issuer.issue(scope, int(time.time()))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = http.client.HTTPSConnection(
            self.address[0], int(self.address[1]), timeout=ANSWERS_WITHIN, context=self.trust
        )
        query = "" if scope is Scope.OPERATOR else f"?api-version={VERSION}"
        try:
            connection.request(method, path + query, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            octets = answer.read()
        except (OSError, http.client.HTTPException) as failure:
            raise Killed(str(failure)) from failure
        finally:
            connection.close()
        if answer.status >= 500:
            raise Wrong(f"{method} {path}: {answer.status} {octets[:500]!r}")
        return answer.status, json.loads(octets) if octets else None


def plain(resource: Resource | None) -> Resource | None:
    """A resource without what routers say of it at this moment."""
    if resource is None:
        return None
    found = copy.deepcopy(resource)
    for connection in found["properties"].get("direct", {}).get("connections", ()):
        for name in ("sessionStateV4", "sessionStateV6"):
            connection.get("bgpSession", {}).pop(name, None)
    return found


def shape(resource: Resource | None) -> object:
    """What a request can change: tags, states and connections; times are not foreseen."""
    if resource is None:
        return None
    properties = resource["properties"]
    connections = properties.get("direct", {}).get("connections", ())
    return (
        resource.get("tags", {}),
        properties.get("validationState"),
        [(c["connectionIdentifier"], c["connectionState"]) for c in connections],
    )


class Worker:
    """One client. ``known`` is the last answer about each of its resources; ``pending`` what is under way."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.known: dict[str, Resource | None] = {}
        self.pending: tuple[str, Expected] | None = None
        self.acknowledged = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work until the server is gone."""
        try:
            while True:
                self.step()
        except Killed:
            pass
        except BaseException as failure:
            self.failure = failure

    def step(self) -> None:
        """One thing after the other, from what is known."""
        raise NotImplementedError

    def change(
        self, path: str, method: str, ask: str, body: object, may_become: Expected
    ) -> None:
        """A request about the resource at ``path``; if it is cut short the resource may be as before or as said."""
        self.pending = (path, may_become)
        status, told = self.server.ask(method, ask, body)
        if status >= 400:
            raise Wrong(f"{method} {ask} {body}: {status} {told}")
        self.acknowledged += 1
        if method == "DELETE":
            self.known[path] = None
        elif ask == path:
            self.known[path] = plain(told)
        self.pending = None
        if ask != path:  # an act answers with no resource
            self.pending = (path, may_become)
            self.known[path] = self.read(path)
            self.pending = None

    def read(self, path: str) -> Resource | None:
        """The resource as it is now."""
        status, told = self.server.ask("GET", path)
        return plain(told) if status == 200 else None

    def check(self) -> str:
        """After a restart: everything as it was acknowledged. Returns what became of the request under way."""
        became = "was not there"
        for path, before in list(self.known.items()):
            after = self.read(path)
            if self.pending is not None and self.pending[0] == path:
                if shape(after) == shape(before):
                    became = "did not happen"
                elif self.pending[1](shape(before), shape(after)):
                    became = "happened"
                else:
                    raise Wrong(f"{path} was {before}, is by halves {after}")
                self.known[path] = after
            elif after != before:
                raise Wrong(f"{path} was acknowledged as {before}, is {after}")
        self.pending = None
        return became


def owner(name: str) -> str:
    """Path of a PeerAsn, which is its id too."""
    return f"{S}/peerAsns/{name}"


def peer_asn(asn: int) -> Resource:
    """The body of a PUT."""
    contact = {"role": "Noc", "email": "noc@fabrikam.example", "phone": "+31 20 000 0000"}
    return {"properties": {"peerAsn": asn, "peerName": "Fabrikam", "peerContactDetail": [contact]}}


def peering(name: str, prefixes: dict[str, tuple[str, str]], tags: dict[str, str]) -> Resource:
    """The body of a PUT with a connection for each pair of prefixes."""
    connections = [
        {
            "connectionIdentifier": identifier,
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
        for identifier, (v4, v6) in prefixes.items()
    ]
    direct = {"peerAsn": {"id": owner(name)}, "directPeeringType": "Edge", "connections": connections}
    return {
        "kind": "Direct",
        "location": "westeurope",
        "sku": {"name": "Basic_Direct_Free"},
        "tags": tags,
        "properties": {"peeringLocation": "Amsterdam", "direct": direct},
    }


class TurnUp(Worker):
    """A peering on the lab's wires: requested, turned up, deprovisioned, and again."""

    def step(self) -> None:
        """The next act of one of the connections."""
        me, path = owner("fabrikam"), f"{G}/peerings/real"
        if _make_owner(self, me, "fabrikam", 64500):
            return
        standing = self.known.setdefault(path, None)
        if standing is None:
            wanted = [(name, "PendingApproval") for name in WIRES]
            self.change(path, "PUT", path, peering("fabrikam", WIRES, {}), lambda _, a: a == ({}, None, wanted))
            return
        connection = self.random.choice(standing["properties"]["direct"]["connections"])
        state, label = connection["connectionState"], connection["connectionIdentifier"]
        act = NEXT_ACT.get(state, "notify")
        order = {"on": "s/g/real", "connection": label, "reason": "because"}
        self.change(path, "POST", f"{ROOT}/{act}", order, _only(label))
        if act == "notify":
            self.change(path, "POST", f"{ROOT}/provision", order, _only(label))


def _only(label: str) -> Expected:
    """An act moved this connection, or took it away, and touched nothing else."""

    def became(before: Any, after: Any) -> bool:
        rest = [one for one in before[2] if one[0] != label]
        if after is None:
            return not rest
        return before[:2] == after[:2] and [one for one in after[2] if one[0] != label] == rest

    return became


class Clerk(Worker):
    """Peerings that never get a wire: made with two connections, tagged, deleted with their PeerAsn."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__(server, seed)
        self._asns = [64501, 64502, 64503, 65536, 65537, 65538, 65539]

    def step(self) -> None:
        """Something about one of seven."""
        number = self.random.randrange(len(self._asns))
        name, asn = f"n{number}", self._asns[number]
        me, path = owner(name), f"{G}/peerings/{name}"
        if _make_owner(self, me, name, asn):
            return
        standing = self.known.setdefault(path, None)
        if standing is None:
            prefixes = {
                f"{name}-{which}": (f"198.18.{number}.{2 * which}/31", f"2001:db8:{number:x}::{2 * which:x}/127")
                for which in (0, 1)
            }
            wanted = ({"by": name}, None, [(label, "PendingApproval") for label in prefixes])
            self.change(path, "PUT", path, peering(name, prefixes, {"by": name}), lambda _, after: after == wanted)
        elif self.random.random() < 0.6:
            tags = {"n": str(self.random.randrange(10**6)), "m": "x" * self.random.randrange(200)}
            self.change(path, "PATCH", path, {"tags": tags}, lambda before, after: after == (tags, *before[1:]))
        else:
            self.change(path, "DELETE", path, None, lambda _, after: after is None)
            self.change(me, "DELETE", me, None, lambda _, after: after is None)


def _make_owner(worker: Worker, path: str, name: str, asn: int) -> bool:
    """Whether something had to be done for an approved PeerAsn first."""
    standing = worker.known.setdefault(path, None)
    if standing is None:
        worker.change(path, "PUT", path, peer_asn(asn), lambda _, after: after == ({}, "Pending", []))
        return True
    if standing["properties"]["validationState"] == "Pending":
        order = {"on": f"s/{name}"}
        worker.change(path, "POST", f"{ROOT}/approve-asn", order, lambda _, after: after == ({}, "Approved", []))
        return True
    return False


def rehearse(lab: str, state: Path, kills: int, seed: int) -> int:
    """All kills. Returns how many requests were acknowledged. Raises Wrong."""
    chosen = random.Random(seed)
    server = Server(lab, state)
    workers: list[Worker] = [TurnUp(server, seed), Clerk(server, seed + 1)]
    became: Counter[str] = Counter()
    in_start = 0
    try:
        for number in range(kills):
            if chosen.random() < 0.2:  # the server is killed while it starts, which is when it mends its log
                server.kill()
                server.spawn()
                _pause.wait(chosen.uniform(0.0, LONGEST))
                in_start += 1
            else:
                threads = [threading.Thread(target=worker.run) for worker in workers]
                for thread in threads:
                    thread.start()
                _pause.wait(chosen.uniform(0.02, LONGEST))
                server.kill()
                for thread in threads:
                    thread.join()
            server.kill()
            for worker in workers:
                if worker.failure is not None:
                    raise Wrong(f"kill {number}: {worker.failure}") from worker.failure
            check_store(state / lab)
            server.start()
            for worker in workers:
                became[worker.check()] += 1
    finally:
        server.kill()
    acknowledged = sum(worker.acknowledged for worker in workers)
    print(f"{kills} kills ({in_start} while it started), {acknowledged} acknowledged requests")
    print("the request of a client at the kill:", ", ".join(f"{n} times it {what}" for what, n in became.most_common()))
    return acknowledged


def check_store(directory: Path) -> None:
    """SQLite finds its file whole, and every row is whole. Raises Wrong."""
    path = directory / FILE
    with sqlite3.connect(path) as database:
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
    database.close()
    if found != "ok":
        raise Wrong(f"{path}: {found}")


def check_log(directory: Path) -> int:
    """Store and event log tell the same decisions, each once. Returns how many. Raises Wrong."""
    store, log = AcceptedRequests(directory / FILE), EventLog(directory / "events.jsonl")
    kept = list(store.events())
    logged = [event for event in log.read() if is_of_the_desk(event, PEER_STIMULI)]
    store.close()
    log.close()
    if sorted(map(repr, kept)) != sorted(map(repr, logged)):
        raise Wrong(f"the store has {len(kept)} events of the desk, the event log {len(logged)}")
    return len(kept)


def main() -> None:
    """Print what happened; end with 1 when something acknowledged was lost or halved."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261120
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"machine: {machine}; date: {time.strftime('%Y-%m-%d')}; seed {seed}")
    run = [sys.executable, "-m", "peerlab.cli.main"]
    with tempfile.TemporaryDirectory(prefix="peerlab-crash-") as directory:
        os.environ["PEERLAB_STATE"] = directory
        state, lab = Path(directory), f"crash-{os.getpid()}"
        subprocess.run([*run, "up", str(TOPOLOGY), "--name", lab], check=True, stdout=subprocess.DEVNULL)
        began = time.monotonic()
        try:
            rehearse(lab, state, kills, seed)
            events = check_log(state / lab)
            print(f"nothing lost, nothing by halves; {events} events, in {time.monotonic() - began:.0f} s")
        except Wrong as wrong:
            sys.exit(f"WRONG: {wrong}")
        finally:
            subprocess.run([*run, "down", lab], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
