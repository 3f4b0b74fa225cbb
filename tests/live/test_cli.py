"""A person's hour with one lab, command by command: each says something true about it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrtparse
import pytest
from product import ROOT, WITHIN, Product, product

from peerlab.evidence.events import PhaseEnded
from peerlab.runtime.cell import list_labs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("cli")]

MINIMAL = ROOT / "topologies" / "minimal.yaml"
DIRECT = ROOT / "topologies" / "direct.yaml"
CONTOSO = "198.18.33.0/24"
ENDS = 16
"""Ends of the eight sessions of this lab that do not belong to a Microsoft.Peering connection."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("cli")) as made:
        yield made


@pytest.fixture(scope="module")
def lab(place: Product) -> str:
    """One lab for all tests of this file; each leaves it as it found it."""
    name = place.name()
    told = place.ok("up", DIRECT, "--name", name)
    assert told.splitlines()[0] == f"lab {name} is up: 7 nodes, 8 sessions Established"
    assert f"peerlab down {name}" in told
    return name


def read(place: Product, *arguments: str) -> Any:
    return json.loads(place.ok(*arguments, "--json"))


def test_ls_shows_it_running(place: Product, lab: str) -> None:
    (row,) = [row for row in read(place, "ls") if row["lab"] == lab]
    assert row == {"lab": lab, "state": "running", "directory": str(place.state / lab)}


def test_its_name_is_taken(place: Product, lab: str) -> None:
    done = place.run("up", DIRECT, "--name", lab)
    assert done.returncode == 3
    assert f"`peerlab down {lab}` removes both" in done.stderr


def test_sessions_are_established_at_both_ends(place: Product, lab: str) -> None:
    lines = place.ok("sessions", lab).splitlines()
    assert lines[0].split() == "NODE SESSION STATE BFD PEER AS RECV ACC ADV IMPORT POLICY".split()  # noqa: SIM905
    assert len(lines) == 1 + ENDS
    assert all(line.split()[2] == "Established" for line in lines[1:])
    assert {fact["state"] for fact in read(place, "sessions", lab)} == {"Established"}
    of_one = place.ok("sessions", lab, "--node", "contoso-1").splitlines()[1:]
    assert len(of_one) == 4 and all(line.startswith("contoso-1 ") for line in of_one)


def test_inspect_reads_addresses_and_routes_from_the_lab(place: Product, lab: str) -> None:
    told = place.ok("inspect", lab, "--node", "contoso-1")
    assert told.startswith("contoso-1  exabgp AS64501")
    assert "to-contoso-pc   198.18.33.1/30" in told
    assert "best routes in Loc-RIB" in told
    (node,) = read(place, "inspect", lab, "--node", "contoso-1").values()
    assert {fact["prefix"] for fact in node["loc_rib"]} >= {CONTOSO, "198.18.32.0/24"}


def test_plan_finds_nothing_to_do(place: Product, lab: str) -> None:
    assert place.ok("plan", DIRECT, "--lab", lab) == "nothing to do\n"


def test_routes_before_and_after_policy(place: Product, lab: str) -> None:
    session = "fab-ams-1--contoso-1.v4"
    told = place.ok("routes", "fab-ams-1", "--lab", lab, "--prefix", CONTOSO).splitlines()
    assert told[1].split()[:3] == [">", CONTOSO, session]
    assert "iBGP after eBGP" in told[2]
    before = place.ok("routes", "fab-ams-1", "--lab", lab, "--session", session, "--view", "adj-rib-in-pre")
    assert CONTOSO in before and "pref 300" not in before, "the import policy sets it"
    assert "pref 300" in told[1]


def test_explain_names_the_step_of_the_decision_process(place: Product, lab: str) -> None:
    told = place.ok("explain", "fab-ams-1", CONTOSO, "--lab", lab)
    assert told.startswith(f"{CONTOSO} at fab-ams-1: 2 paths\n\nbest from contoso-1 (fab-ams-1--contoso-1.v4)\n")
    assert "lost from fab-ams-2" in told and "at the step “iBGP after eBGP”" in told
    by_address = place.ok("explain", "fab-ams-1", "198.18.33.2", "--lab", lab)
    assert by_address == told
    assert "nobody announces it" in place.ok("explain", "ams-edge-1", CONTOSO, "--lab", lab)


def test_explain_names_the_policy_statement_that_rejected(place: Product, lab: str) -> None:
    place.ok("fault", "hijack", "contoso-1", "198.18.32.0/24", "--lab", lab)
    try:
        told = place.ok("explain", "fab-ams-2", "198.18.32.0/24", "--lab", lab)
        assert "rejected from contoso-1" in told
        assert "by the policy statement “" in told
    finally:
        assert "no longer originates" in place.ok(
            "fault", "hijack", "contoso-1", "198.18.32.0/24", "--lab", lab, "--stop"
        )


def test_the_ladder_tells_a_session_from_its_first_packet(place: Product, lab: str) -> None:
    told = place.ok("trace", lab, "--session", "fab-ams-1--contoso-1.v4")
    words = ["connects", "accepts the connection", "OPEN AS 6450", "UPDATE announce", "End-of-RIB ipv4"]
    places = [told.index(word) for word in words]
    assert places[0] < places[2] < places[4] and min(places) >= 0
    rows = read(place, "trace", lab, "--kind", "open")
    assert {row["kind"] for row in rows} == {"OPEN"}
    assert len(rows) >= ENDS
    about = read(place, "trace", lab, "--prefix", CONTOSO)
    assert about and all("198.18.33" in row["summary"] for row in about)


def test_mrt_and_pcapng_are_read_by_other_programs(place: Product, lab: str, tmp_path: Path) -> None:
    mrt, pcapng, dump = tmp_path / "u.mrt", tmp_path / "w.pcapng", tmp_path / "rib.mrt"
    told = place.ok(
        "trace", lab, "--node", "fab-ams-1", "--mrt", str(mrt), "--pcapng", str(pcapng), "--table-dump", str(dump)
    )
    assert told.splitlines() == [f"{path}: {path.stat().st_size} octets" for path in (pcapng, mrt, dump)]
    updates = [entry.data for entry in mrtparse.Reader(str(mrt))]
    assert updates and {next(iter(entry["type"].values())) for entry in updates} == {"BGP4MP_ET"}
    table = [entry.data for entry in mrtparse.Reader(str(dump))]
    assert CONTOSO in {f"{entry.get('prefix')}/{entry.get('length')}" for entry in table if "prefix" in entry} | {
        f"{entry.get('prefix')}/{entry.get('prefix_length')}" for entry in table if "prefix" in entry
    }
    tcpdump = shutil.which("tcpdump") or shutil.which("/usr/sbin/tcpdump")
    if tcpdump is not None:
        shown = subprocess.run(
            [tcpdump, "-nr", str(pcapng), "tcp port 179"], capture_output=True, text=True, check=True
        ).stdout
        assert "BGP" in shown


def test_exec_passes_streams_and_exit_code_through(place: Product, lab: str) -> None:
    done = place.run("exec", "--lab", lab, "contoso-pc", "sh", "-c", "cat /proc/net/dev; echo oops >&2; exit 7")
    assert (done.returncode, done.stderr) == (7, "oops\n")
    assert "to-contoso-1:" in done.stdout
    missing = place.run("exec", "--lab", lab, "contoso-pc", "no-such-program")
    assert missing.returncode == 4 and "no-such-program is not a program on this machine" in missing.stderr


def test_a_name_mistyped_is_guessed(place: Product, lab: str) -> None:
    for words in (
        ("explain", "contoso1", CONTOSO, "--lab", lab),
        ("exec", "--lab", lab, "contoso1", "true"),
        ("fault", "kill-router", "contoso1", "--lab", lab),
        ("routes", "contoso1", "--lab", lab),
        ("trace", lab, "--node", "contoso1"),
        ("inspect", lab, "--node", "contoso1"),
    ):
        done = place.run(*words)
        assert done.returncode == 3, words
        assert "did you mean 'contoso-1'?" in done.stderr


def test_a_link_goes_down_and_comes_up(place: Product, lab: str) -> None:
    link = "fab-ams-1:contoso-1"
    assert "puts it up again" in place.ok("fault", "link-down", link, "--lab", lab)
    try:
        assert "NO CARRIER" in place.ok("inspect", lab, "--node", "contoso-1")
    finally:
        assert place.ok("fault", "link-up", link, "--lab", lab).endswith("is up\n")
    assert "NO CARRIER" not in place.ok("inspect", lab, "--node", "contoso-1")


def test_a_dead_router_is_told_and_started_again(place: Product, lab: str) -> None:
    place.ok("fault", "kill-router", "fab-ams-2", "--lab", lab)
    try:
        done = place.run("sessions", lab)
        assert "fab-ams-2: its router is dead" in done.stderr
        assert "DEAD" in place.ok("inspect", lab, "--node", "fab-ams-2")
    finally:
        assert place.ok("fault", "restart-router", "fab-ams-2", "--lab", lab) == "fab-ams-2 runs\n"
    assert place.run("fault", "restart-router", "fab-ams-2", "--lab", lab).returncode == 3, "it runs already"


def test_check_judges_a_lab_that_was_never_rehearsed_as_undecided(place: Product, lab: str) -> None:
    done = place.run("check", lab)
    assert done.returncode == 2
    assert " 0 PASS, 0 FAIL, " in done.stdout.splitlines()[-1]
    one = place.run("check", lab, "--id", "POL-02", "--json")
    assert one.returncode == 2
    assert [finding["check"] for finding in json.loads(one.stdout)["findings"]] == ["POL-02"]


def test_down_keeps_the_evidence_when_asked_and_then_removes_it(place: Product) -> None:
    name = place.name()
    place.ok("up", DIRECT, "--name", name)
    assert place.ok("down", name, "--keep-evidence") == f"lab {name} is down\n"
    (row,) = [row for row in read(place, "ls") if row["lab"] == name]
    assert row["state"] == "evidence only"
    assert "OPEN AS" in place.ok("trace", name)
    assert "removed" in place.ok("down", name)
    assert name not in place.ok("ls")
    assert place.run("down", name).returncode == 3


def test_check_says_of_a_kept_lab_what_its_rehearsal_said(place: Product) -> None:
    """Running and gone: the examiners have left, yet the trace still knows their wires. So does its bundle, made by
    the rehearsal or afterwards from what the lab has left."""
    name, verdicts = place.name(), place.place / "verdicts.json"
    evidence, later = place.place / "evidence.zip", place.place / "later.zip"
    place.run(
        "rehearse", MINIMAL, "--name", name, "--keep", "--json", verdicts, "--bundle", evidence, within=120.0
    )
    said = outcomes(verdicts.read_text())
    assert "pass" in said.values()
    assert outcomes(place.run("check", name, "--json").stdout) == said
    assert "OPEN AS" in place.ok("trace", name, "--kind", "open")
    place.ok("down", name, "--keep-evidence")
    assert outcomes(place.run("check", name, "--json").stdout) == said
    place.run("bundle", name, later)
    place.ok("down", name)
    for bundle in (evidence, later):
        replayed = place.run("replay", bundle, "--json")
        assert outcomes(replayed.stdout) == said and "stored verdicts stand" in replayed.stderr, replayed.stderr
        with zipfile.ZipFile(bundle) as held:
            configuration = held.read("configurations/fab-ams-1/exabgp.conf").decode()
        assert "neighbor" in configuration and "64500" in configuration


def outcomes(document: str) -> dict[str, str]:
    return {finding["check"]: finding["outcome"] for finding in json.loads(document)["findings"]}


def test_ctrl_c_in_the_middle_of_a_rehearsal_leaves_nothing_running(place: Product) -> None:
    name = place.name()
    running = place.start("rehearse", DIRECT, "--name", name)
    place.wait_for(name, lambda event: isinstance(event, PhaseEnded), "the end of a phase", phase="link-test")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=WITHIN)
    assert running.returncode == 130
    assert "interrupted; `peerlab ls` shows what still runs" in err
    assert "Traceback" not in out + err
    assert name not in list_labs()
