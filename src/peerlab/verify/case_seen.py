"""What a router was seen to make of each hostile case, beside what is prescribed: a reading, for people and drift."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.bgp.malformed_case import MALFORMED, Handling
from peerlab.bgp.wire import MessageType
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Trial, trials
from peerlab.verify.session_hostile import OPEN_ANSWERS, answers_to, made_of, notification_in, sent_in

RESET_BY_UPDATE = "3/x"
NOTHING = "nothing"


class CaseSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One case on a session of one family. ``expected`` and ``seen`` are comparable words; ``seen`` is '' when unclear.

    ``what`` says it at length.
    """

    case: str
    family: Family
    expected: str
    seen: str
    what: str

    @property
    def conforms(self) -> bool:
        """Whether what was seen is what is prescribed."""
        return self.seen == self.expected


def cases_seen(evidence: Evidence, since: int = 0) -> tuple[CaseSeen, ...]:
    """Every malformed OPEN and UPDATE that was tried from a moment (ns) on, in order."""
    found = [_open_seen(evidence, trial) for trial in _tried(evidence, HostileStimulus.BAD_OPEN, since)]
    for trial in _tried(evidence, HostileStimulus.MALFORMED_UPDATE, since):
        # What stood behind a case that ended the session is tried again on the next one.
        if trial.saw.flag("sent") is not False:
            found.append(_update_seen(evidence, trial))
    found += [_reset_seen(evidence, trial) for trial in _tried(evidence, HostileStimulus.UNPARSEABLE_UPDATE, since)]
    return tuple(found)


def _tried(evidence: Evidence, stimulus: HostileStimulus, since: int) -> tuple[Trial, ...]:
    return tuple(trial for trial in trials(evidence, stimulus) if trial.at >= since)


def _family(trial: Trial) -> Family:
    return next(family for family in Family if trial.session.endswith(family.value))


def _seen(trial: Trial, expected: str, seen: str, what: str) -> CaseSeen:
    return CaseSeen(case=trial.did.text("case"), family=_family(trial), expected=expected, seen=seen, what=what)


def _open_seen(evidence: Evidence, trial: Trial) -> CaseSeen:
    expected = OPEN_ANSWERS.get(trial.did.text("case"), "")
    sent = sent_in(evidence, trial)
    if sent is None:
        return _seen(trial, expected, "", "the OPEN is not on the wire")
    said = answers_to(evidence, sent, trial.until)
    refusal = notification_in(said)
    if refusal is not None:
        code = f"{refusal[1].code}/{refusal[1].subcode}"
        return _seen(trial, expected, code, f"NOTIFICATION {refusal[1].name()}")
    if any(message.kind == MessageType.KEEPALIVE for message in said):
        return _seen(trial, expected, "accepted", "the OPEN was taken")
    return _seen(trial, expected, NOTHING, "neither taken nor refused")


def _update_seen(evidence: Evidence, trial: Trial) -> CaseSeen:
    case = trial.did.text("case")
    expected = next((one.expect.value for one in MALFORMED if one.name == case), "")
    sent = sent_in(evidence, trial)
    if sent is None:
        return _seen(trial, expected, "", "the UPDATE is not on the wire")
    made = made_of(evidence, trial, sent)
    return _seen(trial, expected, str(made.handling), made.what)


def _reset_seen(evidence: Evidence, trial: Trial) -> CaseSeen:
    sent = sent_in(evidence, trial)
    if sent is None:
        return _seen(trial, RESET_BY_UPDATE, "", "the UPDATE is not on the wire")
    refusal = notification_in(answers_to(evidence, sent, trial.until))
    if refusal is None:
        return _seen(trial, RESET_BY_UPDATE, NOTHING, "the session goes on")
    code = RESET_BY_UPDATE if refusal[1].code == 3 else f"{refusal[1].code}/{refusal[1].subcode}"
    return _seen(trial, RESET_BY_UPDATE, code, f"NOTIFICATION {refusal[1].name()}")


ALL_CASES: dict[str, str] = {
    **OPEN_ANSWERS,
    **{case.name: case.expect.value for case in MALFORMED},
}
"""Every case of OPEN and attribute by name, with what is prescribed; those of ``UNPARSEABLE`` all give 3/x."""

RESETS = frozenset(case.name for case in MALFORMED if case.expect is Handling.RESET)
