"""SARIF 2.1.0: the constraints of the OASIS standard that a reader relies on, and what the log has to say.

The standard's JSON schema was not at hand; what is checked is written beside each line by its section.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from kit.recorded import again
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, finding

from peerlab.report.sarif import sarif_json
from peerlab.verify.finding import Finding, Outcome, Severity

TOPOLOGY = "topologies/my lab.yaml"


def checked(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """The one run of the log, when it keeps to the standard."""
    log = json.loads(sarif_json(findings, "lab-1", TOPOLOGY))
    assert set(log) <= {"$schema", "version", "runs", "inlineExternalProperties", "properties"}  # 3.13.1
    assert log["version"] == "2.1.0"  # 3.13.2
    assert re.fullmatch(r"https://.*sarif.*2\.1\.0.*\.json", log["$schema"])  # 3.13.3
    (run,) = log["runs"]  # 3.13.4
    assert {"tool", "results"} <= set(run)  # 3.14.6, 3.14.23: results absent would say that the tool did not run
    driver = run["tool"]["driver"]  # 3.18.2
    assert driver["name"] and re.fullmatch(r"\d+\.\d+\.\d+.*", driver["semanticVersion"])  # 3.19.8, 3.19.13
    rules = driver["rules"]
    ids = [rule["id"] for rule in rules]
    assert len(ids) == len(set(ids))  # 3.19.23, 3.49.3
    for rule in rules:
        assert isinstance(rule["shortDescription"]["text"], str)  # 3.49.9
        assert isinstance(rule["fullDescription"]["text"], str)  # 3.49.10
        configuration = rule["defaultConfiguration"]  # 3.49.14
        assert configuration["level"] in ("none", "note", "warning", "error")  # 3.50.3
        assert 0.0 <= configuration["rank"] <= 100.0  # 3.50.4
        assert len(set(rule["properties"]["tags"])) == len(rule["properties"]["tags"])  # 3.8.2
    for result in run["results"]:
        check_result(result, ids)
    return dict(run)


def check_result(result: dict[str, Any], ids: list[str]) -> None:
    assert ids[result["ruleIndex"]] == result["ruleId"]  # 3.27.5, 3.27.6
    assert result["kind"] in ("notApplicable", "pass", "fail", "review", "open", "informational")  # 3.27.9
    assert result["level"] in ("none", "note", "warning", "error")  # 3.27.10
    assert result["kind"] == "fail" or result["level"] == "none"  # 3.27.10: SHALL
    assert result["message"]["text"]  # 3.27.11, 3.11.8
    for location in result["locations"]:  # 3.27.12
        uri = location["physicalLocation"]["artifactLocation"]["uri"]  # 3.29.3, 3.4.3: a valid URI reference
        assert re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]+", uri) and unquote(uri) == TOPOLOGY
        assert location["physicalLocation"]["region"]["startLine"] >= 1  # 3.30.5
        for logical in location["logicalLocations"]:  # 3.28.4
            assert logical["name"] and logical["kind"]  # 3.33.4, 3.33.7
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())  # 3.27.17


def test_what_failed_and_what_is_undecided_are_results_and_every_check_a_rule() -> None:
    run = checked(ALL)
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [one.check for one in ALL]
    assert [(one["ruleId"], one["kind"], one["level"]) for one in run["results"]] == [
        (FAILED.check, "fail", "error"),
        (OPEN.check, "open", "none"),
    ]
    failed, undecided = (result["message"]["text"] for result in run["results"])
    assert failed.startswith("FAIL: ams-edge-1 accepted 10.0.0.0/8\nWitness: 12:00:00.123 ams-edge-2: seen 2")
    assert "Missing: no snapshot 'allowed' was taken" in undecided
    assert [place["name"] for place in run["results"][0]["locations"][0]["logicalLocations"]] == ["ams-edge-2"]


def test_nothing_wrong_is_an_empty_list_of_results() -> None:
    assert checked((PASSED, ABSENT))["results"] == []
    assert checked(())["results"] == []


def test_the_rules_of_a_real_rehearsal_come_from_the_catalogue() -> None:
    rules = checked(again().findings)["tool"]["driver"]["rules"]
    (rule,) = [rule for rule in rules if rule["id"] == "POL-10"]
    assert rule["name"] == "DefaultRoute" and "0.0.0.0/0 and ::/0" in rule["fullDescription"]["text"]
    assert "RFC 7454 6.1.6" in rule["help"]["text"] and "policy" in rule["properties"]["tags"]


def test_expectations_are_rules_of_their_own() -> None:
    run = checked(tuple(finding("EXPECT", Outcome.FAIL, title=title) for title in ("never this", "always that")))
    assert [result["ruleId"] for result in run["results"]] == ["EXPECT/never this", "EXPECT/always that"]


LEVELS = [(Severity.CRITICAL, "error"), (Severity.MAJOR, "error"), (Severity.MINOR, "warning")]


@pytest.mark.parametrize(("severity", "level"), LEVELS)
def test_severity_is_the_level(severity: Severity, level: str) -> None:
    assert checked((finding("A-1", Outcome.FAIL, severity=severity),))["results"][0]["level"] == level
