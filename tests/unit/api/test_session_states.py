"""What a resource says of its sessions is its own, whatever another one is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from paper_office import ELSEWHERE, G, body, furnished, run

from peerlab.bgp.attributes import Address, Family
from peerlab.evidence.snapshot import SessionFact
from peerlab.peering import command as ask


def test_two_peerings_with_connections_of_one_identifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))

    async def work() -> None:
        paper = await furnished(tmp_path)
        office = paper.office
        assert (await paper.call("PUT", f"{G}/peerings/p2", body("two", ELSEWHERE)))[0] == 201
        at = {"peering": "s/g/p2", "connection": "c0"}
        for command in (ask.ApproveConnection(**at), ask.NotifyReady(**at), ask.ProvisionSessions(**at)):
            office.ask(command)
        _, wire = office.wire("s/g/p1", "c0")

        async def facts(node: str) -> tuple[SessionFact, ...]:
            return tuple(
                SessionFact(
                    session=name,
                    node=node,
                    peer="fab-1",
                    local_address=Address("192.0.2.1"),
                    local_as=8075,
                    family=Family.IPV4 if name.endswith("v4") else Family.IPV6,
                    state="Established",
                    peer_address=Address("192.0.2.2"),
                    peer_as=64500,
                )
                for name in wire.sessions
            )

        monkeypatch.setattr(office, "session_facts", facts)
        _, listed = await paper.call("GET", f"{G}/peerings")
        states = {
            resource["name"]: resource["properties"]["direct"]["connections"][0]["bgpSession"]["sessionStateV4"]
            for resource in listed["value"]
        }
        assert states == {"p1": "Established", "p2": "Idle"}
        await paper.close()

    run(work())
