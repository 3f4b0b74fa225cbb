"""The verdicts as SARIF 2.1.0 (OASIS), which code hosts show beside a pull request.

The rules are the checks that were judged, the results what failed and what could not be told; the place of each is the
topology file, the only file of the lab that a person edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from peerlab import __version__
from peerlab.report.text import WORDS, clock
from peerlab.verify.catalogue import check_of
from peerlab.verify.finding import Exhibit, Finding, Outcome, Severity

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {Severity.CRITICAL: "error", Severity.MAJOR: "error", Severity.MINOR: "warning"}
RANKS = {Severity.CRITICAL: 95.0, Severity.MAJOR: 70.0, Severity.MINOR: 40.0}
EXHIBITS = 5
"""Exhibits told in a result's text; the bundle has all of them."""


def sarif_json(findings: Sequence[Finding], lab: str, topology: str) -> str:
    """All findings of a lab; ``topology`` is the path of its file, as the pull request's reader knows it."""
    rules = {_rule_id(finding): _rule(finding) for finding in findings}
    order = list(rules)
    troubled = [f for f in findings if f.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)]
    document = {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "peerlab",
                        "version": __version__,
                        "semanticVersion": __version__,
                        "rules": list(rules.values()),
                    }
                },
                "automationDetails": {"id": f"peerlab/{lab}/"},
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, order, topology) for finding in troubled],
            }
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _rule_id(finding: Finding) -> str:
    """The check's id; expectations of the topology share one, so their title tells them apart."""
    try:
        check_of(finding.check)
    except KeyError:
        return f"{finding.check}/{finding.title}"
    return finding.check


def _rule(finding: Finding) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": _rule_id(finding),
        "shortDescription": {"text": finding.title},
        "defaultConfiguration": {"level": LEVELS[finding.severity], "rank": RANKS[finding.severity]},
        "properties": {"tags": ["bgp", "peering", finding.phase], "severity": finding.severity.value},
    }
    try:
        check = check_of(finding.check)
    except KeyError:
        return told | {"fullDescription": {"text": f"{finding.title}: expected by the topology itself"}}
    return told | {
        "name": "".join(word.capitalize() for word in "".join(c if c.isalnum() else " " for c in check.title).split()),
        "fullDescription": {"text": check.assertion},
        "help": {"text": f"{check.assertion}\n\nSource: {check.source}\nObserved: {check.observe}"},
    }


def _result(finding: Finding, order: list[str], topology: str) -> dict[str, Any]:
    rule = _rule_id(finding)
    failed = finding.outcome is Outcome.FAIL
    return {
        "ruleId": rule,
        "ruleIndex": order.index(rule),
        "kind": "fail" if failed else "open",
        "level": LEVELS[finding.severity] if failed else "none",
        "message": {"text": "\n".join(_lines(finding))},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(topology)}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": where, "kind": "resource"} for where in _where(finding)],
            }
        ],
        "partialFingerprints": {"peerlabCheck/v1": rule},
        "properties": {"outcome": finding.outcome.value, "severity": finding.severity.value},
    }


def _where(finding: Finding) -> list[str]:
    return [finding.witness.where] if finding.witness is not None else []


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{WORDS[finding.outcome]}: {finding.summary}"
    if finding.witness is not None:
        yield f"Witness: {_told(finding.witness)}"
    for missing in finding.missing[:EXHIBITS]:
        yield f"Missing: {missing}"
    others = [exhibit for exhibit in finding.exhibits if exhibit != finding.witness]
    for exhibit in others[:EXHIBITS] if finding.outcome is Outcome.FAIL else ():
        yield f"Evidence: {_told(exhibit)}"


def _told(exhibit: Exhibit) -> str:
    return f"{clock(exhibit.at)} {exhibit.where}: {exhibit.what}" if exhibit.at else f"{exhibit.where}: {exhibit.what}"
