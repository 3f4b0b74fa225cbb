"""peerlab surround: what is written where, who runs the file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command

from peerlab.topology.load import load

PLAIN = (
    "router id 192.0.2.2;\nprotocol bgp ms { local 192.0.2.0 as 64500; neighbor 192.0.2.1 as 8075;"
    " ipv4 { %s import all; export all; }; }\n"
)
KEPT = PLAIN % "import table on;"


def written(folder: Path, text: str) -> Path:
    path = folder / "bird.conf"
    path.write_text(text)
    return path


def test_the_router_runs_the_file_itself_where_it_can(peerlab: Command, tmp_path: Path) -> None:
    out = tmp_path / "around.yaml"
    assert peerlab("surround", written(tmp_path, KEPT), "-o", out) == 0
    assert "config: bird.conf" in out.read_text(), peerlab.err
    assert load(out).node("router").own is not None
    assert "ms, AS8075 at 192.0.2.1: microsoft (its AS number)" in peerlab.err


def test_it_is_described_where_it_cannot_and_the_reason_is_told(peerlab: Command, tmp_path: Path) -> None:
    out = tmp_path / "around.yaml"
    assert peerlab("surround", written(tmp_path, PLAIN % ""), "-o", out) == 0
    assert "config:" not in out.read_text()
    assert "cannot run as it is in this lab" in peerlab.err and "import table on;" in peerlab.err


def test_on_request_it_is_described_anyhow(peerlab: Command, tmp_path: Path) -> None:
    assert peerlab("surround", written(tmp_path, KEPT), "--described", "-o", tmp_path / "a.yaml") == 0
    assert "config:" not in (tmp_path / "a.yaml").read_text()


REFUSED = [
    pytest.param(KEPT, ["--role", "64500"], "--role: '64500' is not ASN=ROLE", id="a role without a word"),
    pytest.param(KEPT, ["--role", "8075=peer"], "--role: AS8075 is Microsoft", id="Microsoft's role"),
    pytest.param(KEPT, ["--address", "192.0.2.1"], "is no address with length", id="an address without length"),
    pytest.param("hello", [], "has neither `protocol bgp` (BIRD) nor `router bgp` (FRR)", id="something else"),
    pytest.param('include "x";', [], "includes x, and other files are not read", id="an include"),
]


@pytest.mark.parametrize(("text", "words", "said"), REFUSED)
def test_what_cannot_be_used_is_refused_in_words(
    peerlab: Command, tmp_path: Path, text: str, words: list[str], said: str
) -> None:
    assert peerlab("surround", written(tmp_path, text), *words) == 3
    assert said in peerlab.err
