"""The report page: every finding in it, nothing from outside, nothing that anybody said taken for markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from itertools import pairwise

import msgspec
import pytest
from kit.recorded import again
from report_page import Page
from report_verdict import ABSENT, ALL, FAILED, OPEN, PASSED, exhibit, finding

from peerlab.evidence.events import PhaseEnded, PhaseStarted, StimulusApplied, StreamMeasured
from peerlab.evidence.trace import Trace
from peerlab.evidence.versions import Versions
from peerlab.report.bundle import Content
from peerlab.report.html import page, shares_of, verdict_of
from peerlab.topology.model import LabModel
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome, Severity

LARGEST = 2_000_000
EMPTY = Evidence(model=LabModel(name="lab"), events=(), trace=Trace())
NOTHING = Content(
    lab="lab",
    topology="name: lab\n",
    widest=LabModel(name="lab"),
    capture=b"",
    versions=Versions(peerlab="0", python="3", kernel="Linux"),
)


@pytest.fixture(scope="module")
def text() -> str:
    recorded = again()
    return page(recorded.content, recorded.evidence, recorded.findings)


@pytest.fixture(scope="module")
def read(text: str) -> Page:
    return Page(text)


def of(*findings: Finding, evidence: Evidence = EMPTY, content: Content = NOTHING) -> Page:
    return Page(page(content, evidence, findings))


# -- the page of a real rehearsal ----------------------------------------------------------------------------------


def test_it_is_well_nested(read: Page) -> None:
    assert read.mistakes == []


def test_it_is_small(text: str) -> None:
    assert len(text.encode()) < LARGEST


def test_every_finding_is_there_once_with_verdict_and_summary(read: Page) -> None:
    items = read.root.every("li", class_="finding")
    findings = again().findings
    assert sorted(item.attributes["data-check"] for item in items) == sorted(one.check for one in findings)
    by_check = {item.attributes["data-check"]: item for item in items}
    for one in findings:
        if one.check == "EXPECT":
            continue
        item = by_check[one.check]
        assert (item.attributes["data-outcome"], item.attributes["data-severity"]) == (one.outcome, one.severity)
        assert one.summary in item.text and one.title in item.text


def test_every_id_is_unique_and_every_link_leads_to_one(read: Page) -> None:
    ids = [element.attributes["id"] for element in read.root.every() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    links = [element.attributes["href"] for element in read.root.every("a")]
    assert links and [link for link in links if link.removeprefix("#") not in ids] == []


def test_it_loads_nothing_and_may_load_nothing(text: str, read: Page) -> None:
    fetching = ("src", "href", "xlink:href", "action", "poster", "data", "srcset", "formaction")
    outside = [
        (element.tag, name, element.attributes[name])
        for element in read.root.every()
        for name in fetching
        if name in element.attributes and not element.attributes[name].startswith("#")
    ]
    assert outside == []
    assert not read.root.every("link") and not read.root.every("iframe") and not read.root.every("img")
    (style,) = read.root.every("style")
    assert "url(" not in style.text and "@import" not in style.text
    (policy,) = [m for m in read.root.every("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy.attributes["content"]
    said = set(re.findall(r"https?://[^\s\"'<)]+", re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)))
    assert said <= {"http://www.w3.org/2000/svg"}


def test_only_the_one_script_may_run(read: Page) -> None:
    script, *others = [s for s in read.root.every("script") if s.attributes.get("type") != "application/json"]
    assert not others
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    (policy,) = [m for m in read.root.every("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}'" in policy.attributes["content"]
    assert not [e for e in read.root.every() if any(name.startswith("on") for name in e.attributes)]


def test_the_headings_go_down_one_step_at_a_time(read: Page) -> None:
    levels = [int(e.tag[1]) for e in read.root.every() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_what_can_be_operated_has_a_name(read: Page) -> None:
    for element in (*read.root.every("select"), *read.root.every("input")):
        assert "label" in element.ancestors(), element.attributes
    for button in read.root.every("button"):
        assert button.text.strip()
    for region in read.root.every(role="region"):
        assert region.attributes["aria-label"] and region.attributes["tabindex"] == "0"


def test_without_javascript_nothing_is_hidden(read: Page) -> None:
    assert not [e for e in read.root.every() if "hidden" in e.attributes]


def test_the_story_has_every_phase_in_order(read: Page) -> None:
    told = [chapter.every("h3")[0].text for chapter in read.root.every("details", class_="chapter")]
    assert told == ["up"] + [event.phase for event in again().evidence.events if isinstance(event, PhaseStarted)]


def test_a_refused_route_shows_the_message_its_octets_the_session_and_the_policy(read: Page) -> None:
    (item,) = read.root.every("li", class_="finding", data_check="POL-10")
    packet = item.every("details", class_="packet")[0]
    assert "UPDATE announce 0.0.0.0/0" in packet.text
    assert "0000  ff ff ff ff" in packet.every("pre")[0].text
    assert item.every("tr", class_="subject")
    (rules,) = item.every("ul", class_="rules")
    assert "statement “default route”: if the prefix is in 0.0.0.0/0" in rules.text


def test_the_sessions_of_every_moment_are_in_the_table_and_in_the_data(read: Page) -> None:
    moments = list(again().evidence.snapshots)
    (table,) = read.root.every("table", class_="matrix")
    assert [th.text for th in table.every("thead")[0].every("span")] == moments
    data = json.loads(next(s.text for s in read.root.every("script") if s.attributes.get("id") == "session-data"))
    assert list(data["codes"]) == moments
    assert data["codes"]["baseline"] == "a" * len(data["ids"]) and data["codes"]["allowed"] == "u" * len(data["ids"])
    assert data["codes"]["primary-lost"] == "d" * len(data["ids"])
    (line,) = read.root.every("path", class_="connection")
    assert "state-up" in line.attributes["class"] and line.attributes["data-sessions"].split() == data["ids"]


def test_the_same_evidence_gives_the_same_page(text: str) -> None:
    recorded = again()
    assert page(recorded.content, recorded.evidence, recorded.findings) == text


# -- verdicts ------------------------------------------------------------------------------------------------------


WHOLE = [
    ((PASSED,), "pass", "All 1 checks"),
    ((PASSED, ABSENT), "pass", "All 1 checks"),
    ((PASSED, OPEN), "inconclusive", "1 of 2 checks could not be decided"),
    (ALL, "fail", "1 of 3 checks failed, 1 could not be decided"),
    ((ABSENT,), "inconclusive", "Nothing was judged"),
    ((), "inconclusive", "Nothing was judged"),
]


@pytest.mark.parametrize(("findings", "outcome", "sentence"), WHOLE)
def test_the_page_says_the_worst_first(findings: tuple[Finding, ...], outcome: str, sentence: str) -> None:
    told = verdict_of(findings)
    assert told.outcome == outcome and told.sentence.startswith(sentence)
    assert sum(share.count for share in shares_of(findings)) == len(findings)


def test_trouble_is_told_first_and_is_open() -> None:
    read = of(*ALL)
    trouble = [item.text for item in read.root.every("ul", class_="trouble")]
    assert len(trouble) == 2 and FAILED.summary in trouble[0] and all(piece in trouble[1] for piece in OPEN.missing)
    opened = {d.attributes["id"] for d in read.root.every("details") if "open" in d.attributes}
    assert opened == {"check-pol-02", "check-val-01"}
    (witness,) = read.root.every("li", class_="witness")
    assert "seen 2" in witness.text


def test_not_applicable_is_folded_and_there() -> None:
    (fold,) = of(*ALL).root.every("details", class_="absent")
    assert ABSENT.summary in fold.text and "open" not in fold.attributes


def test_much_evidence_is_counted() -> None:
    many = finding("A-1", Outcome.PASS, exhibits=tuple(exhibit(n) for n in range(100)))
    read = of(many)
    (item,) = read.root.every("li", class_="finding")
    assert len(item.every("ol", class_="exhibits")[0].every("li")) == 25
    assert "and 75 more in findings.json" in item.text


def test_expectations_share_an_id_and_not_an_anchor() -> None:
    read = of(*(finding("EXPECT", Outcome.PASS, title=f"number {n}") for n in range(3)))
    ids = [d.attributes["id"] for d in read.root.every("details") if d.attributes.get("id", "").startswith("check")]
    assert ids == ["check-expect", "check-expect-2", "check-expect-3"]


# -- hostile texts -------------------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</style><b>", "{{ 7 * 7 }}", "{% raw %}", "{n} {0} {x!r}", "]]>", "<!--", "&lt;b&gt;",
    "' onmouseover='x", "\u202e\0",
]  # fmt: skip


@pytest.mark.parametrize("said", HOSTILE)
def test_what_anybody_said_is_text(said: str) -> None:
    """In a finding, in the event log, as a lab's description, a version, a router's file or the topology."""
    hostile = finding(
        said, Outcome.FAIL, said, title=said, phase=said, severity=Severity.MINOR, missing=(said,),
        witness=exhibit(1, message="ff" * 19), exhibits=(exhibit(2),),
    )  # fmt: skip
    events = (
        PhaseStarted(at=1, phase=said),
        StimulusApplied(at=2, stimulus=said, node=said, detail={said: [said]}),
        StimulusApplied(at=3, stimulus=said, node=said, detail={said: {said: said}}),
        StreamMeasured(
            at=9, name=said, source=said, destination=said, family=said, rate_hz=1, sent=9, received=4, started=4,
            ended=8, last=6,
        ),
        PhaseEnded(at=10, phase=said, ok=False, why=said),
    )
    evidence = Evidence(model=LabModel(name=said, description=said), events=events, trace=Trace())
    content = msgspec.structs.replace(
        NOTHING,
        lab=said,
        topology=said,
        versions=Versions(peerlab=said, python=said, kernel=said, daemons={said: said}),
        configurations={"x/router.json": said.encode()},
    )
    read = of(hostile, evidence=evidence, content=content)
    assert read.mistakes == []
    assert len(read.root.every("script")) == 2 and not read.root.every("img") and not read.root.every("b", class_="x")
    assert not [e for e in read.root.every() if any(name.startswith("on") for name in e.attributes)]
    plain = re.sub("[\u202e\0]", "\N{REPLACEMENT CHARACTER}", said)
    (item,) = read.root.every("li", class_="finding")
    assert plain in item.text


def test_an_empty_lab_has_a_page() -> None:
    read = of()
    assert read.mistakes == []
    assert "The event log is empty." in read.root.text
