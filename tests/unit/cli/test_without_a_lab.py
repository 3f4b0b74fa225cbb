"""Commands that need no running lab: what they print, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command import DIRECT, EVERY_TOPOLOGY, Command

from peerlab.runtime.machine import Fact
from peerlab.verify.catalogue import CATALOGUE
from peerlab.verify.check import Check

GOOD = Fact("veth", True, "works", "", True)
NO_NETEM = Fact("netem", False, "not found", "only for delay: load sch_netem")
NO_NAMESPACES = Fact("user namespaces", False, "forbidden", "allow them: sysctl kernel.x=1", required=True)
UNKNOWN = Fact("AppArmor", None, "cannot be read", "look yourself")


def test_validate_counts_what_it_read(peerlab: Command) -> None:
    assert peerlab("validate", *EVERY_TOPOLOGY) == 0
    lines = peerlab.out.splitlines()
    assert len(lines) == len(EVERY_TOPOLOGY) >= 6
    assert f"{DIRECT}: 7 nodes, 8 links, 12 sessions, 1 peering" in lines


def test_validate_tells_the_mistakes_of_all_files_and_the_good_ones_too(peerlab: Command, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("name: Bad Name\nases: {}\n")
    second.write_text("name: lab\nwords: 1\n")
    assert peerlab("validate", first, DIRECT, second) == 3
    assert peerlab.out.startswith(f"{DIRECT}: ")
    assert f"{first}" in peerlab.err and f"{second}" in peerlab.err


def test_plan_is_what_up_would_do_in_a_safe_order(peerlab: Command) -> None:
    assert peerlab("plan", DIRECT) == 0
    kinds = [line.split()[0] for line in peerlab.out.splitlines()]
    assert [kind for n, kind in enumerate(kinds) if kind not in kinds[:n]] == [
        "create-node", "create-link", "start-router",
    ]  # fmt: skip
    assert kinds.count("create-node") == 7 and kinds.count("start-router") == 5
    assert all(line.endswith(")") for line in peerlab.out.splitlines()), "every step says why"


def test_plan_as_json_is_the_same_plan(peerlab: Command) -> None:
    peerlab("plan", DIRECT)
    lines = peerlab.out.splitlines()
    assert peerlab("plan", DIRECT, "--json") == 0
    assert len(json.loads(peerlab.out)) == len(lines)


def test_the_schema_is_json_schema_for_the_top_words(peerlab: Command) -> None:
    assert peerlab("schema") == 0
    schema = json.loads(peerlab.out)
    assert "$schema" in schema
    assert {"name", "ases", "peerings"} <= set(schema["properties"])


@pytest.mark.parametrize("topology", EVERY_TOPOLOGY, ids=lambda path: path.stem)
def test_a_graph_shows_every_router(peerlab: Command, topology: Path, tmp_path: Path) -> None:
    assert peerlab("plan", topology, "--json") == 0
    routers = [step["node"] for step in json.loads(peerlab.out) if step.get("kind", step.get("do")) == "start-router"]
    assert peerlab("graph", topology, "--format", "mermaid") == 0
    assert not [name for name in routers if name not in peerlab.out]
    assert peerlab("graph", topology, "-o", tmp_path / "lab.svg") == 0
    assert peerlab.out == f"{tmp_path / 'lab.svg'}: {len((tmp_path / 'lab.svg').read_text())} characters\n"
    assert ElementTree.parse(tmp_path / "lab.svg").getroot().tag.endswith("svg")


DOCTOR = [
    # facts, exit code, last line
    pytest.param((GOOD, NO_NETEM, UNKNOWN), 0, "this machine can run labs; next: peerlab rehearse", id="can"),
    pytest.param((GOOD, NO_NAMESPACES), 4, "this machine cannot run a lab yet: user namespaces", id="cannot"),
]


@pytest.mark.parametrize(("facts", "code", "last"), DOCTOR)
def test_doctor_says_what_is_missing_and_how_to_mend_it(
    peerlab: Command, monkeypatch: pytest.MonkeyPatch, facts: tuple[Fact, ...], code: int, last: str
) -> None:
    monkeypatch.setattr("peerlab.cli.machine.examine", lambda: facts)
    assert peerlab("doctor") == code
    assert peerlab.out.splitlines()[-1].startswith(last)
    for fact in facts:
        mark = {True: "ok", False: "no", None: "??"}[fact.ok]
        assert f"{mark}  {fact.subject}: {fact.found}\n" in peerlab.out
        assert fact.how_to_mend in peerlab.out
    assert peerlab("doctor", "--json") == code
    assert [entry["subject"] for entry in json.loads(peerlab.out)] == [fact.subject for fact in facts]


def test_ls_without_labs_says_how_to_have_one(peerlab: Command) -> None:
    assert peerlab("ls") == 0
    assert "peerlab up topologies/direct.yaml" in peerlab.out
    assert peerlab("ls", "--json") == 0
    assert json.loads(peerlab.out) == []


def test_checks_lists_the_catalogue_for_people_and_programs(peerlab: Command) -> None:
    assert peerlab("checks") == 0
    assert [line.split()[0] for line in peerlab.out.splitlines()[1:-2]] == [check.id for check in CATALOGUE]
    assert peerlab("checks", "--phase", "security", "--json") == 0
    listed = json.loads(peerlab.out)
    assert [entry["id"] for entry in listed] == [check.id for check in CATALOGUE if check.phase == "security"]
    assert all(entry["assertion"] and entry["source"] and entry["observes"] for entry in listed)


def test_a_phase_or_a_check_mistyped_is_guessed(peerlab: Command) -> None:
    assert peerlab("checks", "--phase", "polcy") == 3
    assert peerlab.err == "--phase: there is no phase polcy; did you mean 'policy'?\n"
    assert peerlab("explain-check", "POL-0") == 3
    assert peerlab.err.startswith("ID: there is no check POL-0; did you mean 'POL-")


@pytest.mark.parametrize("check", CATALOGUE, ids=lambda check: check.id)
def test_explain_check_tells_assertion_source_and_evidence_of_each(peerlab: Command, check: Check) -> None:
    assert peerlab("explain-check", check.id.lower()) == 0
    told = " ".join(peerlab.out.split())
    for text in (check.id, check.title, check.severity.value, check.assertion, check.source, *check.consumes):
        assert " ".join(text.split()) in told
    assert ("rehearse --conformance" in told) == (check.scene is not None)


def test_import_ixf_writes_a_topology_that_validates(peerlab: Command, tmp_path: Path) -> None:
    place = {"ixp_id": 1, "vlan_list": [{"vlan_id": 1, "ipv4": {"address": "203.0.113.9"}}]}
    members = [{"asnum": 64500, "connection_list": [place]}, {"asnum": 64501, "connection_list": []}]
    export, written = tmp_path / "members.json", tmp_path / "ixp.yaml"
    export.write_text(json.dumps({"ixp_list": [{"ixp_id": 1, "vlan": [{"id": 1}]}], "member_list": members}))
    assert peerlab("import", "ixf", export, "-o", written) == 0
    assert peerlab.err == f"{export}: left out: AS64501: no address on this LAN\n"
    assert peerlab("validate", written) == 0
    assert peerlab("import", "ixf", export) == 0
    assert peerlab.out == written.read_text()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_import_ixf_refuses_what_is_no_export_in_words(peerlab: Command, tmp_path: Path, content: bytes) -> None:
    export = tmp_path / "members.json"
    export.write_bytes(content)
    assert peerlab("import", "ixf", export) == 3
    assert peerlab.err.startswith(f"{export}: ") and "Traceback" not in peerlab.err
