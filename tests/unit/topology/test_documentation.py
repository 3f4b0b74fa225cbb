"""docs/topology.md tells the truth: its lab loads, its options resolve, and it names every word of the language."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.attributes import PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.policy_engine import evaluate
from peerlab.topology.document import AsWords, ConnectionWords, Document, EndWords, PeeringWords, SessionWords
from peerlab.topology.load import load, load_text

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "topology.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
OTHERS = """
name: lab
ases:
  fabrikam: {asn: 64500, role: isp, routers: {fab-ams-1: }}
  contoso: {asn: 64501, role: customer, providers: [fabrikam], routers: {contoso-1: }}
"""


def test_the_lab_of_the_page_is_the_shipped_one() -> None:
    shown, shipped = load_text(BLOCKS[0], "topology.md"), load(ROOT / "topologies" / "minimal.yaml")
    assert msgspec.structs.replace(shipped, description="") == shown


def test_the_session_options_of_the_page_do_what_it_says() -> None:
    (block,) = [b for b in BLOCKS if "from-contoso" in b]
    model = load_text(OTHERS + block, "topology.md")
    (session,) = model.sessions
    policy = model.policies[session.end("fab-ams-1").import_policy]
    route = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (64501,)),))
    assert evaluate(policy, Prefix("198.18.33.0/26"), route).attributes.large_communities == ("64500:1:1",)
    assert evaluate(policy, Prefix("198.18.34.0/24"), route).statement == "more than agreed"


@pytest.mark.parametrize("struct", [Document, AsWords, PeeringWords, ConnectionWords, SessionWords, EndWords])
def test_the_page_names_every_word(struct: type[msgspec.Struct]) -> None:
    words = {field.name.replace("_", "-") for field in msgspec.structs.fields(struct)}
    stems = {re.sub(r"-v[46]$", "", word) for word in words}
    assert not sorted(stem for stem in stems if stem not in PAGE)
