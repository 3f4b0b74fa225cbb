"""A router's own configuration in a topology: read into it octet for octet, and refused where the two disagree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peerlab.daemons.bird import files
from peerlab.daemons.router_config import router_config
from peerlab.errors import InputError
from peerlab.topology.load import load, load_text, read_topology

OWN = Path(__file__).parents[3] / "topologies" / "byo"
KINDS = ("bird", "frr")


def place(folder: Path, kind: str, conf: Callable[[str], str] = str, yaml: Callable[[str], str] = str) -> Path:
    """The good topology and its configuration, changed."""
    (folder / f"{kind}-good.conf").write_text(conf((OWN / f"{kind}-good.conf").read_text()))
    path = folder / "t.yaml"
    path.write_text(yaml((OWN / f"{kind}-good.yaml").read_text()))
    return path


def told(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        load(path)
    return str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_topology_that_a_lab_keeps_needs_no_other_file(kind: str, tmp_path: Path) -> None:
    odd = "! äöü 🙂 \u2028 \x85 \t \\ \" ' end\r\n" if kind == "frr" else "# äöü 🙂 \u2028 \x85 \t \\ \" ' end\r\n"
    path = place(tmp_path, kind, lambda text: text + odd)
    octets = (tmp_path / f"{kind}-good.conf").read_bytes()
    text = read_topology(path)
    model = load_text(text, "kept")
    own = model.node("fab-ams-1").own
    assert own is not None
    assert own.text.encode() == octets
    assert own.file == f"./{kind}-good.conf"
    assert len(text.splitlines()) == len(path.read_text().splitlines())
    assert read_topology(path) == text
    (tmp_path / "kept").mkdir()
    kept = tmp_path / "kept" / "topology.yaml"
    kept.write_text(text)
    assert load(kept) == model


def test_bird_runs_the_file_as_it_is_inside_the_labs_own(tmp_path: Path) -> None:
    model = load(place(tmp_path, "bird"))
    made = {str(name): text for name, text in files(router_config(model, model.node("fab-ams-1"), {})).items()}
    assert made["own.conf"] == (OWN / "bird-good.conf").read_text()
    assert 'include "own.conf";' in made["bird.conf"]


def test_the_ends_are_as_the_configuration_says(tmp_path: Path) -> None:
    model = load(place(tmp_path, "bird", lambda text: text.replace("  local role peer;\n", "", 1)))
    ends = {s.id: s.end("fab-ams-1") for s in model.sessions_of("fab-ams-1")}
    assert ends["ams-edge-1--fab-ams-1.v4"].role is None
    assert ends["ams-edge-1--fab-ams-1.v4"].max_prefix == 400
    assert ends["fab-ams-1--contoso-1.v4"].max_prefix == 10


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("bird", "define OWN_AS = 64500;", "define OWN_AS = 64999;", ("is AS64999", "fab-ams-1 is AS64500")),
        ("bird", "router id 198.18.32.1;", "router id 198.18.32.9;", ("router id 198.18.32.9", "has 198.18.32.1")),
        ("bird", "router id 198.18.32.1;", "", ("has no router id", "ases.fabrikam.routers.fab-ams-1")),
        ("bird", "198.19.200.5 as", "198.19.200.99 as",
         ("has no neighbour 198.19.200.5", "peerings.fabrikam-amsterdam.connections.first", "198.19.200.99")),
        ("bird", "local 198.19.200.4;", "local 198.19.200.8;", ("good.conf:", "198.19.200.8", "198.19.200.4")),
        ("bird", "as 64506", "as 64507", ("AS number 64507", "64506", "good.conf:")),
        ("bird", "import table on; ", "", ("does not keep ipv4 routes", "write `import table on;`")),
        ("bird", "log syslog all;", 'log "/etc/x" all;', ("would write to /etc/x", "good.conf:4")),
        ("bird", "log syslog all;", 'include "more.conf";', ("good.conf:4", "includes more.conf")),
        ("frr", "router bgp 64500", "router bgp 64999", ("is AS64999", "fab-ams-1 is AS64500")),
        ("frr", "bgp router-id 198.18.32.1", "bgp router-id 198.18.32.9", ("198.18.32.9", "198.18.32.1")),
        ("frr", "neighbor 198.19.200.2 remote-as 64506", "neighbor 198.19.200.2 remote-as 64507", ("64507", "64506")),
        ("frr", "log syslog informational", "log file /tmp/frr.log", ("would write to /tmp/frr.log",)),
    ],
)  # fmt: skip
def test_what_disagrees_is_refused_with_both_sides(
    kind: str, old: str, new: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    original = (OWN / f"{kind}-good.conf").read_text()
    assert old in original
    said = told(place(tmp_path, kind, lambda text: text.replace(old, new)))
    for word in words:
        assert word in said, said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("./bird-good.conf", "./none.conf", ("t.yaml:42: ases.fabrikam.routers.fab-ams-1.config", "no such file")),
        ("./bird-good.conf", ".", ("is a directory",)),
        ("kind: bird", "kind: exabgp", ("kind exabgp cannot run", "bird or frr")),
        ("prefix-v4: 198.19.200.4/31", "prefix-v4: 198.19.200.10/31", ("has no neighbour 198.19.200.11",)),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_place(
    old: str, new: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    said = told(place(tmp_path, "bird", yaml=lambda text: text.replace(old, new)))
    for word in words:
        assert word in said, said


def test_a_path_cannot_be_read_from_a_text(tmp_path: Path) -> None:
    text = place(tmp_path, "bird").read_text()
    with pytest.raises(InputError, match="cannot be read from here"):
        load_text(text, "<text>")
