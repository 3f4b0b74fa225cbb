"""The report as one self-contained HTML page: for a turn-up ticket, a phone, a printer.

Pure. The page loads nothing from anywhere, and its own policy forbids it to: only the one script whose digest it names
runs, so that nothing that a peer, a topology or a file name says can. Without JavaScript everything can be seen;
filters, the choice of a moment and of a theme are additions.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources

import jinja2
import msgspec
from markupsafe import Markup

from peerlab import __version__
from peerlab.report.bundle import Content, digest
from peerlab.report.html_finding import groups_of
from peerlab.report.html_plot import plots
from peerlab.report.html_session import SIGNS, WORDS, sessions_of
from peerlab.report.html_story import chapters
from peerlab.report.text import WORDS as OUTCOME_WORDS
from peerlab.topology.model import PeeringRequest
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome, Severity

MARKS = {Outcome.PASS: "✓", Outcome.FAIL: "✗", Outcome.INCONCLUSIVE: "?", Outcome.NOT_APPLICABLE: "–"}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The whole in a word: ``outcome`` is its style."""

    outcome: str
    word: str
    sentence: str


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How many findings have an outcome; ``left`` and ``width`` in thousandths of all."""

    outcome: str
    word: str
    mark: str
    count: int
    left: float
    width: float


def page(content: Content, evidence: Evidence, findings: Sequence[Finding]) -> str:
    """The page. ``content`` gives the lab's name, its topology's text, versions and the routers' policies."""
    script = _source("report/script.js.j2")
    groups = groups_of(findings, evidence, content.configurations)
    views = [view for group in groups for view in group.every]
    sessions = sessions_of(evidence)
    model = evidence.model
    return _environment().get_template("report/page.html.j2").render(
        lab=content.lab,
        model=model,
        topology=content.topology,
        topology_digest=digest(content.topology.encode()),
        peerlab=__version__,
        versions=content.versions,
        verdict=verdict_of(findings),
        shares=shares_of(findings),
        facts=_facts(evidence),
        groups=groups,
        failed=[view for view in views if view.outcome == Outcome.FAIL],
        undecided=[view for view in views if view.outcome == Outcome.INCONCLUSIVE],
        marks={outcome.value: mark for outcome, mark in MARKS.items()},
        outcomes=[(outcome.value, OUTCOME_WORDS[outcome]) for outcome in Outcome],
        severities=[severity.value for severity in Severity],
        sessions=sessions,
        picture=Markup(sessions.picture),
        session_words=WORDS,
        session_signs=SIGNS,
        session_data=_data({"ids": sessions.ids, "codes": sessions.codes}),
        chapters=chapters(evidence.events),
        plots=plots(evidence.events),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """What the page says first. No check that passed is no pass."""
    counted = Counter(finding.outcome for finding in findings)
    applicable = len(findings) - counted[Outcome.NOT_APPLICABLE]
    if counted[Outcome.FAIL]:
        told = f"{counted[Outcome.FAIL]} of {applicable} checks failed"
        if counted[Outcome.INCONCLUSIVE]:
            told += f", {counted[Outcome.INCONCLUSIVE]} could not be decided"
        return Verdict(outcome="fail", word="Failed", sentence=f"{told}.")
    if counted[Outcome.INCONCLUSIVE] or not counted[Outcome.PASS]:
        told = f"{counted[Outcome.INCONCLUSIVE]} of {applicable} checks could not be decided; none failed."
        told = told if applicable else "Nothing was judged."
        return Verdict(outcome="inconclusive", word="Inconclusive", sentence=told)
    told = f"All {applicable} checks that apply to this lab are proven."
    return Verdict(outcome="pass", word="Passed", sentence=told)


def shares_of(findings: Sequence[Finding]) -> tuple[Share, ...]:
    """The outcomes that occur, worst first."""
    counted = Counter(finding.outcome for finding in findings)
    shares, left = [], 0.0
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS, Outcome.NOT_APPLICABLE):
        width = 1000 * counted[outcome] / max(len(findings), 1)
        if counted[outcome]:
            shares.append(
                Share(
                    outcome=outcome.value,
                    word=OUTCOME_WORDS[outcome],
                    mark=MARKS[outcome],
                    count=counted[outcome],
                    left=round(left, 1),
                    width=round(width, 1),
                )
            )
        left += width
    return tuple(shares)


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    """The lines under the verdict."""
    model, told = evidence.model, evidence.events
    routers = sum(node.is_router for node in model.nodes)
    facts = [("Lab", f"{len(model.nodes)} nodes, {routers} of them routers; {len(model.sessions)} BGP sessions")]
    if told:
        begin, end = min(event.at for event in told), max(event.at for event in told)
        started = datetime.fromtimestamp(begin // 10**9, UTC)
        facts.insert(0, ("Rehearsed", f"{started:%d %B %Y, %H:%M:%S} UTC, in {(end - begin) / 1e9:.1f} s"))
    seen = f"{len(evidence.trace)} BGP messages on the wires, {len(told)} events, {len(evidence.snapshots)} snapshots"
    gaps = len(evidence.trace.gaps)
    facts.append(("Evidence", f"{seen}{f'; {gaps} gaps in the capture' if gaps else ''}"))
    if model.peerings:
        facts.append(("Peerings", "; ".join(map(_peering, model.peerings))))
    return facts


def _peering(peering: PeeringRequest) -> str:
    count = len(peering.connections)
    what = f"{peering.kind} with {peering.peer_as}, {count} {'connection' if count == 1 else 'connections'}"
    return f"{peering.name} ({what})"


def _data(value: object) -> Markup:
    """JSON that can stand in a script element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _source(name: str) -> str:
    return resources.files("peerlab").joinpath("configs", *name.split("/")).read_text("utf-8")


_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of text: a peer's words must not rewrite the line around."""


def _visible(value: object) -> object:
    """What is said by others without what cannot be seen."""
    return value if isinstance(value, Markup) else _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(value))


@functools.cache
def _environment() -> jinja2.Environment:
    """Every value is escaped; an undefined one is an error."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


