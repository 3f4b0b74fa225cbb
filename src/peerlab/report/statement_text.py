"""A policy statement in words: what a route must be like, what is done to it, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.bgp import policy
from peerlab.bgp.policy import Action, AsnRange, Condition, PrefixRange, Statement

SHOWN = 8
"""Prefixes, AS numbers or communities named before the rest is counted."""


def statement_text(statement: Statement) -> str:
    """One statement, e.g. ``if the path holds AS 23456 then reject``."""
    conditions = " and ".join(map(_condition, statement.match)) or "any route"
    actions = "".join(f"{_action(action)}, " for action in statement.actions)
    verdict = "go on" if statement.verdict is policy.Verdict.NEXT else statement.verdict.value
    return f"if {conditions} then {actions}{verdict}"


def _condition(condition: Condition) -> str:
    match condition:
        case policy.PrefixIn(ranges, invert):
            return f"the prefix {_is(invert)} in {_few(map(_range, ranges))}"
        case policy.AsPathContains(asns):
            return f"the path holds AS {_few(map(_asns, asns))}"
        case policy.OriginAsIn(asns, invert):
            return f"the origin {_is(invert)} AS {_few(map(_asns, asns))}"
        case policy.FirstAsIs(asn, invert):
            return f"the first AS {_is(invert)} {asn}"
        case policy.AsPathLongerThan(limit):
            return f"the path is longer than {limit}"
        case policy.AsPathHasSet():
            return "the path holds an AS_SET"
        case policy.AsPathPrepended():
            return "an AS stands twice in a row in the path"
        case policy.CommunityIn(communities, invert):
            return f"{'no' if invert else 'a'} community is {_few(communities)}"
        case policy.NextHopIn(prefixes, invert):
            return f"the next hop {_is(invert)} in {_few(prefixes)}"
        case policy.LearnedFromIs(sources):
            return f"it was learned from {_few(source.value for source in sources)}"
        case policy.HasOtc():
            return "it carries Only-to-Customer"
        case policy.RpkiIs(states):
            return f"its origin validation is {_few(states)}"
        case _:
            return _tag(condition)


def _action(action: Action) -> str:
    match action:
        case policy.SetLocalPref(value):
            return f"set LOCAL_PREF {value}"
        case policy.SetMed(med):
            return "remove MED" if med is None else f"set MED {med}"
        case policy.AddCommunities(communities):
            return f"add community {_few(communities)}"
        case policy.RemoveCommunities(patterns):
            return f"remove community {_few(patterns)}"
        case policy.Prepend(asn, times):
            return f"prepend AS {asn} {times} times"
        case policy.PrependFirst(times):
            return f"prepend the first AS {times} times"
        case policy.NextHopSelf():
            return "set the next hop to itself"
        case _:
            return _tag(action)


def _tag(part: Condition | Action) -> str:
    """A part of the language that has no words here: its own name and what it is given."""
    told = msgspec.to_builtins(part)
    given = ", ".join(f"{name} {value}" for name, value in told.items() if name not in ("match", "do"))
    return f"{str(part.__struct_config__.tag).replace('-', ' ')} {given}".rstrip()


def _is(invert: bool) -> str:
    return "is not" if invert else "is"


def _range(one: PrefixRange) -> str:
    lengths = "".join(f" {name} {value}" for name, value in (("ge", one.ge), ("le", one.le)) if value is not None)
    return f"{one.prefix}{lengths}"


def _asns(one: AsnRange) -> str:
    return str(one.low) if one.low == one.high else f"{one.low}-{one.high}"


def _few(texts: Iterable[str]) -> str:
    every = list(texts)
    more = len(every) - SHOWN
    return ", ".join(every[:SHOWN]) + (f" and {more} more" if more > 0 else "")
