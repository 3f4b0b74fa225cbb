"""The verdicts as JUnit XML: one case per check, in one suite per phase.

FAIL is a ``failure``, INCONCLUSIVE an ``error`` (a pipeline must not take it for a pass), not applicable ``skipped``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree

from peerlab.report.text import clock
from peerlab.verify.finding import Exhibit, Finding, Outcome

_TAGS = {Outcome.FAIL: "failure", Outcome.INCONCLUSIVE: "error", Outcome.NOT_APPLICABLE: "skipped"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(findings: Sequence[Finding], lab: str) -> str:
    """All findings of a lab. The text of a failure holds its witness."""
    suites = ElementTree.Element("testsuites", {"name": f"peerlab {lab}"} | _counts(findings))
    for phase, group in groupby(findings, key=lambda finding: finding.phase):
        members = list(group)
        suite = ElementTree.SubElement(suites, "testsuite", {"name": phase} | _counts(members))
        for finding in members:
            _case(suite, finding, lab)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    outcomes = [finding.outcome for finding in findings]
    return {
        "tests": str(len(findings)),
        "failures": str(outcomes.count(Outcome.FAIL)),
        "errors": str(outcomes.count(Outcome.INCONCLUSIVE)),
        "skipped": str(outcomes.count(Outcome.NOT_APPLICABLE)),
    }


def _case(suite: ElementTree.Element, finding: Finding, lab: str) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"{lab}.{finding.phase}", name=f"{finding.check} {finding.title}"
    )
    tag = _TAGS.get(finding.outcome)
    if tag is not None:
        element = ElementTree.SubElement(case, tag, message=_clean(finding.summary))
        lines = [f"missing: {missing}" for missing in finding.missing]
        if finding.witness is not None:
            lines.append(f"witness: {_told(finding.witness)}")
        element.text = _clean("\n".join(lines)) or None
    if finding.exhibits:
        ElementTree.SubElement(case, "system-out").text = _clean("\n".join(map(_told, finding.exhibits)))


def _told(exhibit: Exhibit) -> str:
    when = f"{clock(exhibit.at)} " if exhibit.at else ""
    message = f"\n  {exhibit.message}" if exhibit.message else ""
    return f"{when}{exhibit.where}: {exhibit.what}{message}"


def _clean(text: str) -> str:
    """XML 1.0 has no place for most control characters, not even as references."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
