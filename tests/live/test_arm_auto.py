"""The program of docs/azure.md, and the operator who plays himself: from zero to Active without a hand."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from arm_lab import FIRST, GROUP, SUBSCRIPTION, ArmLab, direct, link, peer_asn, served
from azure.core.credentials import AccessToken
from azure.mgmt.peering.aio import PeeringManagementClient
from product import ROOT, WITHIN, until

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), "direct.yaml", "--auto", "--clock", "400000") as made:
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    lab.clean()


def test_the_asynchronous_client(lab: ArmLab) -> None:
    class Token:
        async def get_token(self, *scopes: str, **options: object) -> AccessToken:
            return AccessToken(lab.token, 1 << 40)

        async def close(self) -> None:
            return None

    async def story() -> list[str]:
        async with PeeringManagementClient(
            Token(), SUBSCRIPTION, base_url=lab.endpoint["url"], connection_verify=lab.endpoint["authority"]
        ) as sdk:
            await sdk.peer_asns.create_or_update("fabrikam", peer_asn())
            return [known.name async for known in sdk.peer_asns.list_by_subscription()]

    assert asyncio.run(story()) == ["fabrikam"]


def test_an_unacceptable_peer_asn_is_rejected_by_itself(lab: ArmLab) -> None:
    lab.sdk.peer_asns.create_or_update("private", peer_asn(64512))
    until(lambda: lab.sdk.peer_asns.get("private").properties.validation_state == "Failed", "the review")
    assert "not a publicly routable ASN" in lab.sdk.peer_asns.get("private").properties.error_message


def test_a_connection_without_a_wire_is_an_external_blocker(lab: ArmLab) -> None:
    owner = lab.sdk.peer_asns.create_or_update("fabrikam", peer_asn()).id
    until(lambda: lab.sdk.peer_asns.get("fabrikam").properties.validation_state == "Approved", "the review")
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, link(FIRST, "10.0.0.0/31", None)))
    until(lambda: lab.states() == ["ExternalBlocker"], "the blocker")
    assert "No wire of this lab joins AS64500" in lab.connections()[0].error_message


def test_the_program_of_the_guide(lab: ArmLab) -> None:
    """Last here: what it makes lives in a subscription of its own and stays."""
    guide = (ROOT / "docs" / "azure.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    program = program.replace("URL", repr(lab.endpoint["url"])).replace("CA_FILE", repr(lab.endpoint["authority"]))
    program = program.replace("TOKEN", repr(lab.token))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=2 * WITHIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Active", "Established", "Established"]
