"""Several labs at once, of the same topology, with the same addresses: none is aware of another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from product import ROOT, WITHIN, Product, finished, kill_supervisor, product, read_json

from peerlab.bgp.attributes import Family
from peerlab.controller import probing
from peerlab.controller.lab import Lab, now_ns
from peerlab.evidence.events import SessionStateChanged
from peerlab.runtime.namespaces import list_labs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

DIRECT = ROOT / "topologies" / "direct.yaml"


@pytest.fixture
def peerlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        yield made


def test_labs_of_one_topology_live_side_by_side(peerlab: Product) -> None:
    names = [peerlab.name() for _ in range(3)]
    for started in [peerlab.start("up", DIRECT, "--name", name) for name in names]:
        done = finished(started)
        assert done.returncode == 0, done.stderr
    running = {row["lab"]: row["state"] for row in read_json(peerlab.ok("ls", "--json"))}
    assert {running[name] for name in names} == {"running"}
    refused = peerlab.run("inspect")
    assert refused.returncode == 3 and all(name in refused.stderr for name in names)
    broken, killed, quiet = names

    async def disturb_one() -> None:
        """A prefix announced and a router lost in one lab are neither seen nor felt in the others."""
        labs = [await Lab.attach(name) for name in names]
        try:
            assert len({node.namespace for lab in labs for node in (await lab.runtime.observe()).nodes}) == 3 * len(
                labs[0].model.nodes
            )
            before = await labs[2].look()
            began = now_ns()
            for lab in labs:
                answer = await probing.ping(lab, "own", "fab-ams-1", "fab-ams-2", Family.IPV4)
                assert answer.received == answer.sent
            peerlab.ok("fault", "kill-router", "fab-ams-2", "--lab", broken)
            peerlab.ok("fault", "hijack", "ams-edge-1", "203.0.113.0/24", "--lab", broken)
            kill_supervisor(killed)
            after = await labs[2].look()
            for node, seen in before.nodes.items():
                then = after.nodes[node]
                assert (then.sessions, then.loc_rib, then.kernel) == (seen.sessions, seen.loc_rib, seen.kernel)
            trace = await labs[2].trace()
            assert [step for step in trace.steps if step.at >= began] == []
            assert [e for e in labs[2].events if isinstance(e, SessionStateChanged) and e.at >= began] == []
            assert all(route.prefix != "203.0.113.0/24" for s in after.nodes.values() for route in s.loc_rib)
        finally:
            for lab in labs:
                await lab.close()

    asyncio.run(asyncio.wait_for(disturb_one(), 2 * WITHIN))
    assert peerlab.ok("down", broken) == f"lab {broken} is down\n"
    assert quiet in list_labs() and killed not in list_labs()
    assert "Established" in peerlab.ok("sessions", quiet)
    left = peerlab.ok("down", "--all")
    assert left.splitlines() == [f"lab {quiet} is down", f"what lab {killed} had left is removed"]
    assert not list(peerlab.state.iterdir())
