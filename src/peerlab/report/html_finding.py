"""Findings in the HTML report: the verdict, the assertion behind it, and the evidence down to the octets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import msgspec

from peerlab.bgp.config import RouterConfig
from peerlab.bgp.policy import Policy
from peerlab.evidence.message import Message
from peerlab.evidence.trace import Trace
from peerlab.report.ladder import Row, row_of, rows
from peerlab.report.statement_text import statement_text
from peerlab.report.text import WORDS, clock
from peerlab.verify.catalogue import check_of
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Exhibit, Finding, Outcome

SHOWN = 25
"""Exhibits shown of one finding; the JSON has all of them."""

OCTETS_SHOWN = 256
"""Octets of a message shown."""

AROUND = 1_000_000_000
"""Nanoseconds of a session shown before and after a message."""

RUNGS = 12
"""Lines of the ladder shown."""

_REASON = re.compile(r"(?:rejected by|stopped at \w+:) '?([^']+?)'?$")
_PER_LINE = 16


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """A BGP message: what it says, and its octets."""

    said: str
    dump: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An exhibit."""

    clock: str
    where: str
    what: str
    packet: Packet | None
    is_witness: bool = False


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the ladder; ``is_subject`` is the message that the finding is about."""

    clock: str
    ends: str
    kind: str
    summary: str
    is_subject: bool


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of a router's policy that decided."""

    node: str
    policy: str
    name: str
    text: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as the template shows it."""

    anchor: str
    check: str
    title: str
    phase: str
    severity: str
    outcome: str
    word: str
    summary: str
    broke: bool
    assertion: str
    source: str
    observe: str
    missing: tuple[str, ...]
    exhibits: tuple[Shown, ...]
    hidden: int
    session: str
    ladder: tuple[Rung, ...]
    rules: tuple[Rule, ...]
    search: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a phase: those that were judged, and those that the lab has no subject for."""

    phase: str
    anchor: str
    judged: tuple[View, ...]
    absent: tuple[View, ...]

    @property
    def every(self) -> tuple[View, ...]:
        """Both, in that order."""
        return self.judged + self.absent


def groups_of(
    findings: Sequence[Finding], evidence: Evidence, configurations: Mapping[str, bytes]
) -> tuple[Group, ...]:
    """The findings by phase, in their order."""
    desk = _Desk(evidence, configurations)
    met: Counter[str] = Counter()
    groups = []
    for phase, members in groupby(findings, key=lambda finding: finding.phase):
        met[f"phase {phase}"] += 1
        views = [desk.view(finding) for finding in members]
        groups.append(
            Group(
                phase=phase,
                anchor=f"phase-{_slug(phase)}{_again(met[f'phase {phase}'])}",
                judged=tuple(v for v in views if v.outcome != Outcome.NOT_APPLICABLE),
                absent=tuple(v for v in views if v.outcome == Outcome.NOT_APPLICABLE),
            )
        )
    return tuple(groups)


class _Desk:
    """Looks up what a finding speaks of: messages of the trace, statements of policies."""

    def __init__(self, evidence: Evidence, configurations: Mapping[str, bytes]) -> None:
        self._trace = evidence.trace
        self._messages: dict[str, list[Message]] = {}
        for message in evidence.trace:
            self._messages.setdefault(message.octets.hex(), []).append(message)
        self._policies = _policies(configurations) or {"": tuple(evidence.model.policies.values())}
        self._met: Counter[str] = Counter()

    def view(self, finding: Finding) -> View:
        anchor = f"check-{_slug(finding.check)}"
        self._met[anchor] += 1
        witness = finding.witness
        exhibits = [e for e in finding.exhibits if e != witness]
        first = [] if witness is None else [witness]
        chosen = (*first, *exhibits[: SHOWN - len(first)])
        subject = next((m for e in chosen if (m := self._message(e)) is not None), None)
        assertion, source, observe = _catalogued(finding)
        return View(
            anchor=anchor + _again(self._met[anchor]),
            check=finding.check,
            title=finding.title,
            phase=finding.phase,
            severity=finding.severity.value,
            outcome=finding.outcome.value,
            word=WORDS[finding.outcome],
            summary=finding.summary,
            broke=finding.broke,
            assertion=assertion,
            source=source,
            observe=observe,
            missing=finding.missing,
            exhibits=tuple(self._shown(e, e is witness) for e in chosen),
            hidden=len(first) + len(exhibits) - len(chosen),
            session=subject.session or "" if subject is not None else "",
            ladder=_ladder(self._trace, subject) if subject is not None else (),
            rules=self._rules(chosen),
            search=" ".join((finding.check, finding.title, finding.phase, finding.summary, assertion, source)).lower(),
        )

    def _message(self, exhibit: Exhibit) -> Message | None:
        """The message of an exhibit: the one of that time, else the last that said the same before it."""
        known = self._messages.get(exhibit.message, []) if exhibit.message else []
        same = [m for m in known if m.at == exhibit.at] or [m for m in known if m.at <= exhibit.at][-1:]
        return next(iter(same or known), None)

    def _shown(self, exhibit: Exhibit, is_witness: bool) -> Shown:
        return Shown(
            clock=clock(exhibit.at) if exhibit.at else "",
            where=exhibit.where,
            what=exhibit.what,
            packet=self._packet(exhibit),
            is_witness=is_witness,
        )

    def _packet(self, exhibit: Exhibit) -> Packet | None:
        if not exhibit.message:
            return None
        message = self._message(exhibit)
        said = "not in the trace of this report" if message is None else _said(row_of(message))
        return Packet(said=said, dump=dump(exhibit.message))

    def _rules(self, exhibits: Iterable[Exhibit]) -> tuple[Rule, ...]:
        """The statements that the exhibits name as the reason, at the router that they name."""
        found: dict[tuple[str, str], Rule] = {}
        for exhibit in exhibits:
            named = _REASON.search(exhibit.what)
            if named is None:
                continue
            node = exhibit.where.split(" ", 1)[0]
            for policy in self._policies.get(node, self._policies.get("", ())):
                for statement in policy.statements:
                    if statement.name == named[1] and (node, statement.name) not in found:
                        found[node, statement.name] = Rule(
                            node=node,
                            policy=policy.name.partition("#")[0],
                            name=statement.name,
                            text=statement_text(statement),
                        )
        return tuple(found.values())


def _catalogued(finding: Finding) -> tuple[str, str, str]:
    """Assertion, source and what is observed; an expectation of the topology is in no catalogue."""
    try:
        check = check_of(finding.check)
    except KeyError:
        return "Expected by the topology itself.", "topology, `expect:`", ""
    return check.assertion, check.source, check.observe


def _policies(configurations: Mapping[str, bytes]) -> dict[str, tuple[Policy, ...]]:
    """The policies by which each router ran, out of its own files."""
    found = {}
    for name, octets in configurations.items():
        node, _, file = name.partition("/")
        if file != "router.json":
            continue
        try:
            found[node] = tuple(msgspec.json.decode(octets, type=RouterConfig).policies.values())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found


def _ladder(trace: Trace, subject: Message) -> tuple[Rung, ...]:
    """What was said on the session around a message."""
    if subject.session is None:
        return ()
    around = rows(
        trace,
        session=subject.session,
        keepalives=False,
        since=subject.at - AROUND,
        until=subject.at + AROUND,
    )
    hexed = subject.octets.hex()
    at = next((n for n, row in enumerate(around) if row.at == subject.at and row.message == hexed), 0)
    start = max(0, min(at - RUNGS // 2, len(around) - RUNGS))
    return tuple(
        Rung(
            clock=clock(row.at),
            ends=f"{row.source} → {row.destination}",
            kind=row.kind,
            summary=row.summary,
            is_subject=row.at == subject.at and row.message == hexed,
        )
        for row in around[start : start + RUNGS]
    )


def _said(row: Row) -> str:
    return f"{row.source} → {row.destination}: {row.kind} {row.summary}".rstrip()


def dump(message: str) -> str:
    """Octets in rows of sixteen with their offsets and what is ASCII in them, from the hex of a whole message."""
    octets = bytes.fromhex(message)
    shown = octets[:OCTETS_SHOWN]
    lines = [
        f"{start:04x}  {row.hex(' '):<{3 * _PER_LINE}} {_ascii(row)}"
        for start in range(0, len(shown), _PER_LINE)
        if (row := shown[start : start + _PER_LINE])
    ]
    more = len(octets) - len(shown)
    return "\n".join([*lines, *([f"and {more} octets more"] if more > 0 else [])])


def _ascii(row: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _again(times: int) -> str:
    return "" if times == 1 else f"-{times}"
