"""The verdicts as JUnit XML: one case per check, in one suite per phase.

FAIL is a ``failure``, INCONCLUSIVE an ``error`` (a pipeline must not take it for a pass), not applicable ``skipped``.
``time`` is how long the evidence took to come: from the first exhibit to the last one, of a case, of a suite. Judging
itself takes no time worth writing down.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from xml.etree import ElementTree

from peerlab import __version__
from peerlab.evidence.events import Event
from peerlab.report.text import clock
from peerlab.verify.catalogue import check_of
from peerlab.verify.finding import Exhibit, Finding, Outcome

_TAGS = {Outcome.FAIL: "failure", Outcome.INCONCLUSIVE: "error", Outcome.NOT_APPLICABLE: "skipped"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(findings: Sequence[Finding], lab: str, events: Iterable[Event] = ()) -> str:
    """All findings of a lab. The text of a failure holds its witness. ``events`` say how long all of it took."""
    told = [event.at for event in events]
    head = {"name": f"peerlab {lab}"} | _counts(findings) | _times(told or _moments(findings))
    suites = ElementTree.Element("testsuites", head)
    for phase, group in groupby(findings, key=lambda finding: finding.phase):
        members = list(group)
        moments = _moments(members)
        suite = ElementTree.SubElement(suites, "testsuite", {"name": phase} | _counts(members) | _times(moments))
        if moments:
            suite.set("timestamp", f"{datetime.fromtimestamp(min(moments) // 10**9, UTC):%Y-%m-%dT%H:%M:%S}")
        _properties(suite, {"lab": lab, "peerlab": __version__})
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


def _moments(findings: Iterable[Finding]) -> list[int]:
    """When the evidence of these was seen."""
    every = (e for finding in findings for e in (finding.witness, *finding.exhibits) if e is not None)
    return [exhibit.at for exhibit in every if exhibit.at]


def _times(moments: Sequence[int]) -> dict[str, str]:
    return {"time": f"{(max(moments) - min(moments)) / 1e9:.3f}" if moments else "0.000"}


def _properties(parent: ElementTree.Element, values: dict[str, str]) -> None:
    properties = ElementTree.SubElement(parent, "properties")
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))


def _case(suite: ElementTree.Element, finding: Finding, lab: str) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": f"{lab}.{finding.phase}", "name": _clean(f"{finding.check} {finding.title}")}
        | _times(_moments((finding,))),
    )
    _properties(case, _told_of(finding))
    tag = _TAGS.get(finding.outcome)
    if tag is not None:
        element = ElementTree.SubElement(case, tag, message=_clean(finding.summary))
        if finding.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            element.set("type", f"{finding.outcome.value} {finding.severity.value}")
        lines = [f"missing: {missing}" for missing in finding.missing]
        if finding.witness is not None:
            lines.append(f"witness: {_told(finding.witness)}")
        element.text = _clean("\n".join(lines)) or None
    if finding.exhibits:
        ElementTree.SubElement(case, "system-out").text = _clean("\n".join(map(_told, finding.exhibits)))


def _told_of(finding: Finding) -> dict[str, str]:
    """What the catalogue says of the check; an expectation of the topology is in none."""
    told = {"check": finding.check, "severity": finding.severity.value, "outcome": finding.outcome.value}
    try:
        check = check_of(finding.check)
    except KeyError:
        return told
    return told | {"assertion": check.assertion, "source": check.source}


def _told(exhibit: Exhibit) -> str:
    when = f"{clock(exhibit.at)} " if exhibit.at else ""
    message = f"\n  {exhibit.message}" if exhibit.message else ""
    return f"{when}{exhibit.where}: {exhibit.what}{message}"


def _clean(text: str) -> str:
    """XML 1.0 has no place for most control characters, not even as references."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
