"""Verdicts of validation rules. A rule that could not be judged is not passed."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class RuleVerdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one rule says. ``rule`` is a catalogue id (``VAL-08``) or a rule's own word; ``warning`` = not fatal.

    ``passed`` None means that the evidence for this rule is missing: it counts as not passed.
    """

    rule: str
    passed: bool | None
    message: str = ""
    warning: bool = False


def failures(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    """Every verdict that stands in the way."""
    return tuple(v for v in verdicts if v.passed is not True and not v.warning)


def warnings(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    """Every verdict that is a defect but does not stand in the way."""
    return tuple(v for v in verdicts if v.passed is not True and v.warning)
