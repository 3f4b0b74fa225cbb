"""Resources outlive their lab: taken down, brought up again, served, and their sessions come up under the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from arm_lab import FIRST, GROUP, SECOND, ArmLab, direct, link, served, word
from product import ROOT, one_line, read_json, until

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]

WIRES = (
    ("198.19.1.134/31", "2001:db8:f001:8000::6/127"),
    ("198.19.1.136/31", "2001:db8:f001:8000::8/127"),
)


def sessions(lab: ArmLab, number: int) -> list[str]:
    session = lab.connections()[number].bgp_session
    return [word(session.session_state_v4), word(session.session_state_v6)]


def test_a_lab_brought_up_again_has_its_resources_and_their_sessions(tmp_path: Path) -> None:
    with served(tmp_path, "direct.yaml") as lab:
        made = lab.sdk.peerings.create_or_update(
            GROUP, "p1", direct(lab.associate(), link(FIRST, *WIRES[0]), link(SECOND, *WIRES[1]), tags={"a": "b"})
        )
        for act in ("approve", "notify", "provision", "validate"):
            lab.does(act, "p1")
        lab.does("open", "p1", FIRST)
        assert lab.states() == ["Active", "ProvisioningCompleted"]
        token, authority = lab.token, Path(lab.endpoint["authority"]).read_bytes()

        refused = lab.product.run("down", lab.name, "--keep-resources")
        assert refused.returncode == 3 and f"lab {lab.name} is served" in one_line(refused)
        lab.close()
        kept = lab.product.ok("down", lab.name, "--keep-resources")
        assert kept == f"lab {lab.name} is down; the next `peerlab up` of that name has its resources\n"
        rows = {row["lab"]: row["state"] for row in read_json(lab.product.ok("ls", "--json"))}
        assert rows[lab.name] == "resources only"

        up = lab.product.ok("up", ROOT / "topologies" / "direct.yaml", "--name", lab.name)
        assert f"`peerlab serve {lab.name}` has them" in up
        lab.serve()
        assert Path(lab.endpoint["authority"]).read_bytes() == authority, "the authority that clients trust"
        lab.sdk = lab.client(token)
        again = lab.sdk.peerings.get(GROUP, "p1")
        assert (again.id, again.tags, again.properties.direct.peer_asn.id) == (
            made.id, made.tags, made.properties.direct.peer_asn.id
        )  # fmt: skip
        assert again.system_data.created_at == made.system_data.created_at
        # what was open is open again; what had not been opened is validated anew
        assert lab.states() == ["Active", "Validating"]
        assert lab.connections()[1].error_message == "the lab was taken down"
        until(lambda: sessions(lab, 0) + sessions(lab, 1) == ["Established"] * 4, "sessions")
        until(lambda: bool(list(lab.sdk.received_routes.list_by_peering(GROUP, "p1"))), "routes of the open connection")
        policies = {
            fact["session"]: bool(fact.get("advertised", 0))
            for fact in read_json(lab.product.ok("sessions", lab.name, "--json"))
            if fact["node"].startswith("ams-edge") and fact["peer_as"] == 64500
        }
        assert sorted(policies.values()) == [False, False, True, True], "the other one is under DENY ALL"
        lab.does("validate", "p1", SECOND)
        lab.does("open", "p1", SECOND)
        assert lab.states() == ["Active", "Active"]

        lab.close()
        lab.product.ok("down", lab.name)
        lab.product.ok("up", ROOT / "topologies" / "direct.yaml", "--name", lab.name)
        lab.serve()
        assert list(lab.sdk.peerings.list_by_subscription()) == [], "down without a word forgets"
