"""Files in which commands leave verdicts: HTML for people, JUnit and SARIF for machines, Markdown for a review."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from peerlab.cli.output import append, check_writable, save
from peerlab.report.bundle import Content
from peerlab.report.html import page
from peerlab.report.junit import junit_xml
from peerlab.report.markdown import markdown
from peerlab.report.sarif import sarif_json
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

_OPTIONS = {
    "html": "Write the report as one self-contained HTML page to this file.",
    "junit": "Write the verdicts as JUnit XML to this file.",
    "sarif": "Write what failed and what is inconclusive as SARIF 2.1.0 to this file.",
    "markdown": "Append the verdicts as Markdown to this file ($GITHUB_STEP_SUMMARY).",
}


@dataclass(frozen=True)
class Documents:
    """Which of them are asked for, and where."""

    html: Path | None = None
    junit: Path | None = None
    sarif: Path | None = None
    markdown: Path | None = None

    def check(self) -> None:
        """Raises InputError when one cannot be written, before the work that it is to hold."""
        for path in (self.html, self.junit, self.sarif, self.markdown):
            check_writable(path)

    def write(self, content: Content, evidence: Evidence, findings: tuple[Finding, ...], topology: str) -> None:
        """Write each and say so; ``topology`` is where the lab's file lies. Raises InputError."""
        if self.html is not None:
            _saved(self.html, page(content, evidence, findings))
        if self.junit is not None:
            _saved(self.junit, junit_xml(findings, content.lab, evidence.events))
        if self.sarif is not None:
            _saved(self.sarif, sarif_json(findings, content.lab, topology))
        if self.markdown is not None:
            append(self.markdown, markdown(findings, content.lab))
            click.echo(f"{self.markdown} has the verdicts")


def _saved(path: Path, text: str) -> None:
    save(path, text)
    click.echo(f"{path} is written")


def document_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options, given to the command as one ``documents``."""

    @functools.wraps(command)
    def called(**given: Any) -> Any:
        documents = Documents(**{name: given.pop(name) for name in _OPTIONS})
        return command(documents=documents, **given)

    decorated: Callable[..., Any] = called
    for name, sentence in reversed(_OPTIONS.items()):
        decorated = click.option(f"--{name}", type=click.Path(path_type=Path), help=sentence)(decorated)
    return decorated
