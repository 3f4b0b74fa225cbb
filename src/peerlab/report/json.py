"""The verdicts as JSON, whole: every exhibit, every message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from peerlab import __version__
from peerlab.verify.finding import Finding, Outcome

SCHEMA = 1
"""Version of this document's shape; a field that is renamed or goes makes a new one."""


class VerdictDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    schema: int
    peerlab: str
    lab: str
    counts: dict[str, int]
    findings: tuple[Finding, ...]


def findings_json(findings: Sequence[Finding], lab: str) -> str:
    """All findings of a lab as indented JSON."""
    counted = Counter(finding.outcome for finding in findings)
    document = VerdictDocument(
        schema=SCHEMA,
        peerlab=__version__,
        lab=lab,
        counts={outcome.value: counted[outcome] for outcome in Outcome},
        findings=tuple(findings),
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
