"""A bundle judged again: do the checks, given the same evidence, come to the verdicts that are stored in it?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from peerlab import __version__
from peerlab.report.bundle import Content, Manifest, content_of, evidence_of, stored_findings, verified
from peerlab.report.text import WORDS
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding


class Kind(StrEnum):
    """How a finding that was stored and the one that is made again differ."""

    VERDICT = "verdict"
    """Another outcome."""
    GONE = "gone"
    """This peerlab has no such check, or it was not asked."""
    NEW = "new"
    """The bundle has no finding of this check."""
    WORDS = "words"
    """The same outcome in other words, or from other evidence."""
    TOPOLOGY = "topology"
    """The topology's text does not describe the model that was judged."""


ESSENTIAL = frozenset({Kind.VERDICT, Kind.GONE, Kind.TOPOLOGY})
"""Differences that no version of peerlab excuses."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, in words for a person."""

    kind: Kind
    check: str
    what: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle judged again: ``stored`` are the findings in it, ``findings`` those made now."""

    manifest: Manifest
    content: Content
    evidence: Evidence
    stored: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    differences: tuple[Difference, ...]

    @property
    def same_version(self) -> bool:
        """Whether the bundle was made by this version of peerlab."""
        return self.manifest.peerlab == __version__

    @property
    def agrees(self) -> bool:
        """Whether the verdicts stand: no difference at all, or from another version only new checks and words."""
        return not any(self.same_version or one.kind in ESSENTIAL for one in self.differences)


def replay(files: Mapping[str, bytes]) -> Replay:
    """Verify a bundle's manifest and judge its evidence again.

    Raises BundleDamaged or BundleTooNew when it cannot be trusted or read.
    """
    manifest = verified(files)
    evidence, stored = evidence_of(manifest, files), stored_findings(files)
    findings = judge_all(evidence)
    return Replay(
        manifest=manifest,
        content=content_of(manifest, files),
        evidence=evidence,
        stored=stored,
        findings=findings,
        differences=compare(stored, findings),
    )


def compare(stored: Sequence[Finding], again: Sequence[Finding]) -> tuple[Difference, ...]:
    """Every difference between the findings of a bundle and those made again, check by check."""
    before, after = _by_check(stored), _by_check(again)
    found = []
    for key, finding in before.items():
        now = after.get(key)
        if now is None:
            found.append(_difference(Kind.GONE, finding, f"stored as {_said(finding)}; not judged by this peerlab"))
        elif now.outcome is not finding.outcome:
            what = f"stored as {_said(finding)}; the evidence gives {_said(now)}"
            found.append(_difference(Kind.VERDICT, finding, what))
        elif now != finding:
            found.append(_difference(Kind.WORDS, finding, _other_words(finding, now)))
    for key, finding in after.items():
        if key not in before:
            found.append(_difference(Kind.NEW, finding, f"not stored; the evidence gives {_said(finding)}"))
    return tuple(found)


def _by_check(findings: Iterable[Finding]) -> dict[tuple[str, str, int], Finding]:
    """By id and title; expectations share an id, and two of them may share the title."""
    met: dict[tuple[str, str], int] = defaultdict(int)
    found = {}
    for finding in findings:
        name = (finding.check, finding.title if finding.check == "EXPECT" else "")
        found[*name, met[name]] = finding
        met[name] += 1
    return found


def _difference(kind: Kind, finding: Finding, what: str) -> Difference:
    return Difference(kind=kind, check=finding.check, what=what)


def _said(finding: Finding) -> str:
    return f"{WORDS[finding.outcome]} ({finding.summary})"


def _other_words(stored: Finding, now: Finding) -> str:
    for name in ("summary", "title", "phase", "severity", "witness", "missing", "exhibits", "broke"):
        if getattr(stored, name) != getattr(now, name):
            told = f": stored {stored.summary!r}, now {now.summary!r}" if name == "summary" else ""
            return f"{WORDS[now.outcome]} both times, but with other {name}{told}"
    return "differs"
