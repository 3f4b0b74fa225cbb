"""``replay`` needs no lab: its exit codes, what it says, the files it writes; bad bundles are told in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command import Command
from kit.recorded import BUNDLE, again, files, sealed

from peerlab.report.archive import pack
from peerlab.report.bundle import FINDINGS, MANIFEST, TOPOLOGY
from peerlab.report.json import findings_json

AGREES, DISAGREES, BAD_INPUT, DAMAGED, TOO_NEW = 0, 5, 3, 6, 7


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def write(content: dict[str, bytes]) -> Path:
        path = tmp_path / "evidence.zip"
        path.write_bytes(pack(content))
        return path

    return write


@pytest.fixture
def fresh(bundle: Callable[[dict[str, bytes]], Path]) -> Path:
    """The recorded bundle with today's findings in it, whatever other people's checks have become meanwhile."""
    told = findings_json(again().findings, again().manifest.lab).encode()
    return bundle(sealed({**files(), FINDINGS: told}))


def test_a_bundle_whose_verdicts_stand(peerlab: Command, fresh: Path) -> None:
    assert peerlab("replay", fresh) == AGREES
    last = peerlab.out.splitlines()[-1]
    assert f"{len(again().findings)} stored verdicts stand" in last and "SHA-256" in last
    assert "0 FAIL" in peerlab.out


def test_verdicts_as_json_with_the_rest_on_standard_error(peerlab: Command, fresh: Path) -> None:
    assert peerlab("replay", fresh, "--json") == AGREES
    assert len(json.loads(peerlab.out)["findings"]) == len(again().findings)
    assert "stored verdicts stand" in peerlab.err


def test_verbose_shows_the_evidence_of_what_passed(peerlab: Command, fresh: Path) -> None:
    assert peerlab("replay", fresh) == AGREES
    short = peerlab.out
    assert peerlab("replay", fresh, "--verbose") == AGREES
    assert "evidence: " in peerlab.out and len(peerlab.out) > 3 * len(short)


def test_every_document_is_written(peerlab: Command, fresh: Path, tmp_path: Path) -> None:
    html, junit, sarif, summary = (tmp_path / name for name in ("r.html", "j.xml", "s.sarif", "summary.md"))
    summary.write_text("before\n")
    assert (
        peerlab("replay", fresh, "--html", html, "--junit", junit, "--sarif", sarif, "--markdown", summary) == AGREES
    )
    assert html.read_text().startswith("<!doctype html>")
    assert ElementTree.parse(junit).getroot().tag == "testsuites"
    assert json.loads(sarif.read_text())["version"] == "2.1.0"
    assert summary.read_text().startswith("before\n## ✅ peerlab: recorded-minimal"), "a summary is added to"
    assert all(f"{path}" in peerlab.out for path in (html, junit, sarif, summary))


def test_a_document_that_cannot_be_written_is_told_first(peerlab: Command, fresh: Path, tmp_path: Path) -> None:
    assert peerlab("replay", fresh, "--html", tmp_path / "no" / "r.html") == BAD_INPUT
    assert "there is no directory" in peerlab.err


def test_another_verdict_ends_with_its_own_code(peerlab: Command, fresh: Path, bundle: Callable[..., Path]) -> None:
    rewritten = files()[FINDINGS].replace(b'"outcome": "pass"', b'"outcome": "inconclusive"', 1)
    assert peerlab("replay", bundle(sealed({**files(), FINDINGS: rewritten}))) == DISAGREES
    assert "stored as INCONCLUSIVE" in peerlab.err and "the evidence gives PASS" in peerlab.err
    assert "its verdicts do not stand" in peerlab.err


def test_a_topology_that_is_not_the_one_that_was_judged(peerlab: Command, bundle: Callable[..., Path]) -> None:
    other = files()[TOPOLOGY].replace(b"asn: 64500", b"asn: 64501")
    assert peerlab("replay", bundle(sealed({**files(), TOPOLOGY: other}))) == DISAGREES
    assert "topology.yaml: does not describe the lab that was judged" in peerlab.err
    assert peerlab("replay", bundle(sealed({**files(), TOPOLOGY: b"name: Bad Name\n"}))) == DISAGREES
    assert "is no topology that this peerlab reads" in peerlab.err


def test_a_changed_file_is_named(peerlab: Command, bundle: Callable[..., Path]) -> None:
    path = bundle({**files(), "events.jsonl": files()["events.jsonl"][:-1] + b" "})
    assert peerlab("replay", path) == DAMAGED
    assert peerlab.err.startswith(f"peerlab: {path}: events.jsonl: was changed") and not peerlab.out


def test_a_later_format_is_said_to_be_one(peerlab: Command, bundle: Callable[..., Path]) -> None:
    future = files()[MANIFEST].replace(b'"format": 1', b'"format": 9')
    assert peerlab("replay", bundle({**files(), MANIFEST: future})) == TOO_NEW
    assert "format 9" in peerlab.err and "a later one" in peerlab.err


GARBAGE = [b"", b"not a zip", BUNDLE.read_bytes()[:5000], BUNDLE.read_bytes()[500:], b"PK\x05\x06" + bytes(18)]


@pytest.mark.parametrize("octets", GARBAGE, ids=["empty", "text", "cut", "beheaded", "empty zip"])
def test_garbage_is_told_in_words(peerlab: Command, tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "garbage.zip"
    path.write_bytes(octets)
    assert peerlab("replay", path) == DAMAGED
    assert str(path) in peerlab.err


def test_no_file_and_a_directory_are_bad_input(peerlab: Command, tmp_path: Path) -> None:
    assert peerlab("replay", tmp_path / "nothing.zip") == BAD_INPUT
    assert "no such file" in peerlab.err
    assert peerlab("replay", tmp_path) == BAD_INPUT
    assert "Is a directory" in peerlab.err


def test_a_bundle_of_a_lab_that_never_was(peerlab: Command, tmp_path: Path) -> None:
    assert peerlab("bundle", "nobodys-lab", tmp_path / "x.zip") == BAD_INPUT
    assert not (tmp_path / "x.zip").exists()
