"""JSON and JUnit hold every finding whole, and a pipeline cannot take a doubt for a pass."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, exhibit, finding

from peerlab import __version__
from peerlab.report.json import findings_json
from peerlab.report.junit import junit_xml
from peerlab.verify.finding import Finding, Outcome


def test_json_can_be_read_back_into_the_same_findings() -> None:
    document = json.loads(findings_json(ALL, "lab-1"))
    assert (document["schema"], document["peerlab"], document["lab"]) == (1, __version__, "lab-1")
    assert document["counts"] == {"pass": 1, "fail": 1, "inconclusive": 1, "not-applicable": 1}
    assert msgspec.convert(document["findings"], tuple[Finding, ...]) == ALL


def test_junit_has_a_suite_per_phase_and_a_case_per_check() -> None:
    suites = ElementTree.fromstring(junit_xml(ALL, "lab-1"))
    assert (suites.tag, suites.get("name")) == ("testsuites", "peerlab lab-1")
    counts = {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert {key: suites.get(key) for key in counts} == counts
    policy, validation = suites
    assert (policy.get("name"), policy.get("tests"), policy.get("failures")) == ("policy", "2", "1")
    assert (validation.get("name"), validation.get("errors"), validation.get("skipped")) == ("validation", "1", "1")
    assert [case.get("name") for case in suites.iter("testcase")] == [f"{f.check} {f.title}" for f in ALL]
    assert {case.get("classname") for case in policy.iter("testcase")} == {"lab-1.policy"}


TAGS = [
    # finding, what its case holds beside its output
    (PASSED, []),
    (FAILED, ["failure"]),
    (OPEN, ["error"]),
    (ABSENT, ["skipped"]),
]


@pytest.mark.parametrize(("one", "tags"), TAGS, ids=lambda value: getattr(value, "check", ""))
def test_each_outcome_has_its_element(one: Finding, tags: list[str]) -> None:
    (case,) = ElementTree.fromstring(junit_xml([one], "lab")).iter("testcase")
    assert [child.tag for child in case if child.tag not in ("properties", "system-out")] == tags
    for tag in tags:
        (element,) = case.iter(tag)
        assert element.get("message") == one.summary


def test_the_witness_and_every_exhibit_are_in_the_case() -> None:
    (case,) = ElementTree.fromstring(junit_xml([FAILED], "lab")).iter("testcase")
    (failure,) = case.iter("failure")
    assert failure.text is not None
    assert failure.text.strip() == "witness: 12:00:00.123 ams-edge-2: seen 2\n  " + "ff" * 60
    assert [f"seen {n}" for n in range(2, 10) if f"seen {n}" not in (case.findtext("system-out") or "")] == []


def test_all_that_is_missing_is_in_the_case() -> None:
    (error,) = ElementTree.fromstring(junit_xml([OPEN], "lab")).iter("error")
    assert (error.text or "").split("\n") == [f"missing: {piece}" for piece in OPEN.missing]


@given(st.text())
def test_any_text_makes_well_formed_xml(text: str) -> None:
    """What a peer said may hold control characters, which XML 1.0 has no place for."""
    said = finding("A-1", Outcome.FAIL, text, missing=(text,))
    ElementTree.fromstring(junit_xml([said], "lab"))


def test_a_case_tells_severity_assertion_and_how_long_its_evidence_took() -> None:
    seconds = 10**9
    early, late = exhibit(1), msgspec.structs.replace(exhibit(2), at=exhibit(1).at + 3 * seconds // 2)
    one = finding("POL-02", Outcome.PASS, exhibits=(late, early))
    suites = ElementTree.fromstring(junit_xml([one, ABSENT], "lab"))
    case = next(suites.iter("testcase"))
    assert case.get("time") == "1.500"
    told = {element.get("name"): element.get("value") or "" for element in case.iter("property")}
    assert (told["check"], told["severity"], told["outcome"]) == ("POL-02", "major", "pass")
    assert told["assertion"] and told["source"]
    first, second = suites.iter("testsuite")
    assert (first.get("time"), first.get("timestamp")) == ("1.500", "2027-01-15T12:00:00")
    assert (second.get("time"), second.get("timestamp")) == ("0.000", None)
    assert [(one.get("name"), one.get("value")) for one in first[0]] == [("lab", "lab"), ("peerlab", __version__)]


def test_an_expectation_is_in_no_catalogue_and_has_a_case() -> None:
    (case,) = ElementTree.fromstring(junit_xml([finding("EXPECT", Outcome.FAIL)], "lab")).iter("testcase")
    (failure,) = case.iter("failure")
    assert failure.get("type") == "fail major"
    assert {element.get("name") for element in case.iter("property")} == {"check", "severity", "outcome"}
