"""Typed policies as OpenBGPD's filter rules: everything or a refusal.

OpenBGPD reads its rules from first to last; ``quick`` ends there, and what a rule sets the next one sees. A rule holds
one question of a kind, and no opposite. So a statement of more than one condition is a chain of rules: each marks the
routes that have passed so far with a large community, an opposite takes the mark off again, and the last rules act on
marked routes only. How a route was learned is a mark too, put on where routes enter. All marks have the AS number
that nobody may use (RFC 7300); they are taken off at every entrance and exit. Source: bgpd.conf(5); measured on 7.7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.communities import parse_community
from peerlab.bgp.nlri import BITS, family_of_prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    Discard,
    FirstAsIs,
    HasOtc,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    NextHopSelf,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    RemoveCommunities,
    RemovePrivateAses,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.errors import Unsupported

MARK = 4294967295
"""The AS number of marks."""

SOURCES = {LearnedFrom.EBGP: f"{MARK}:2:1", LearnedFrom.IBGP: f"{MARK}:2:2", LearnedFrom.LOCAL: f"{MARK}:2:3"}
"""How a route was learned."""

DISCARDED = f"{MARK}:3:1"
"""Packets to the prefix are dropped."""

MED_SET = f"{MARK}:4:1"
"""The MED is this router's own: one that was received OpenBGPD does not tell another AS, but shows as if it did."""

NO_MARKS = f"large-community delete {MARK}:*:*"
_NO_PASSING_MARKS = f"large-community delete {MARK}:1:*"
_LARGEST_PREPEND = 128
_GRACEFUL_SHUTDOWN = "65535:0"


class _Inexpressible(Exception):
    """OpenBGPD's rules have no words for this."""


class Side:
    """Which way a policy is applied, and to whom. ``source``: how routes come in by it; None for exports."""

    def __init__(self, neighbour: Address, source: LearnedFrom | None, own_as: int | None) -> None:
        """``own_as`` None: not known yet, as when only asking whether a policy can be expressed."""
        self.source = source
        self.own_as = own_as
        self.who = f"{'to' if source is None else 'from'} {neighbour}"


def refuses_sets(policy: Policy) -> bool:
    """Whether an import policy rejects every path with a set, whatever else: the neighbour's ``reject as-set``.

    That is so when a statement says just this, and nothing has been accepted or changed before it.
    """
    for statement in policy.statements:
        if statement.match == (AsPathHasSet(),) and statement.verdict is Verdict.REJECT:
            return True
        if statement.verdict is not Verdict.REJECT:
            return False
    return False


def rules(policy: Policy, family: Family, side: Side) -> list[str]:
    """The rules of a policy for one neighbour and direction, from the first to one that ends all.

    Raises Unsupported, naming policy, statement and condition, when OpenBGPD cannot express it; ValueError for a
    malformed community or prefix.
    """
    lines = []
    if side.source is not None:
        lines.append(_rule("match", side, "", [NO_MARKS]))
        lines.append(_rule("match", side, "", [f"large-community {SOURCES[side.source]}"]))
    done_by_neighbour = refuses_sets(policy)
    for statement in policy.statements:
        lines.append(f"# {_comment(statement.name)}")
        if done_by_neighbour and side.source is not None and statement.match == (AsPathHasSet(),):
            lines.append("# (the neighbour's 'reject as-set')")
            done_by_neighbour = False
            continue
        try:
            lines += _statement(statement, family, side)
        except _Inexpressible as why:
            raise Unsupported(
                f"OpenBGPD cannot express policy {policy.name}, statement '{statement.name}': {why}; "
                "run this router on ExaBGP, or word the statement differently"
            ) from why
    lines.append("# default")
    return lines + _decision(policy.default, side, "")


def _statement(statement: Statement, family: Family, side: Side) -> list[str]:
    questions = [(_questions(one, family, side), getattr(one, "invert", False)) for one in statement.match]
    if statement.verdict is Verdict.REJECT and len(questions) == 1 and not questions[0][1]:
        return [_rule("deny quick", side, one) for one in questions[0][0]]
    if not questions:
        return _acting(statement, side, "")
    lines, passed = [], ""
    for number, (alternatives, inverted) in enumerate(questions, start=1):
        mark = f"large-community {MARK}:1:{number}"
        if inverted:
            lines.append(_rule("match", side, passed, [mark]))
            lines += [
                _rule("match", side, f"{passed} {one}", [f"large-community delete {MARK}:1:{number}"])
                for one in alternatives
            ]
        else:
            lines += [_rule("match", side, f"{passed} {one}", [mark]) for one in alternatives]
        passed = mark
    lines += _acting(statement, side, passed)
    return [*lines, _rule("match", side, "", [_NO_PASSING_MARKS])] if _goes_on(statement, questions) else lines


def _goes_on(statement: Statement, questions: list[Any]) -> bool:
    """Whether routes that carry marks of this statement come to the next one."""
    return statement.verdict is Verdict.NEXT or len(questions) > 1


def _acting(statement: Statement, side: Side, passed: str) -> list[str]:
    lines = [_rule("match", side, passed, [one]) for action in statement.actions for one in _sets(action, side)]
    return lines if statement.verdict is Verdict.NEXT else [*lines, *_decision(statement.verdict, side, passed)]


def _decision(verdict: Verdict, side: Side, passed: str) -> list[str]:
    """A route that enters the AS and is about to go away gets the lowest preference (RFC 8326 section 4.1)."""
    if verdict is Verdict.REJECT:
        return [_rule("deny quick", side, passed)]
    if side.source is None:
        return [_rule("allow quick", side, passed, [NO_MARKS])]
    going = f"{passed} community {_GRACEFUL_SHUTDOWN}"
    leaving = [_rule("match", side, going, ["localpref 0"])] if side.source is LearnedFrom.EBGP else []
    return [*leaving, _rule("allow quick", side, passed, [_NO_PASSING_MARKS])]


def _rule(action: str, side: Side, question: str, sets: Iterable[str] = ()) -> str:
    set_part = f"set {{ {' '.join(sets)} }}" if sets else ""
    return " ".join(f"{action} {side.who} {question} {set_part}".split())


# conditions: alternatives, of which one has to hold


def _questions(condition: Condition, family: Family, side: Side) -> list[str]:
    return _CONDITIONS[type(condition)](condition, family, side)


def _prefix_in(condition: PrefixIn, family: Family, _: Side) -> list[str]:
    ranges = [_range(one) for one in condition.ranges if family_of_prefix(one.prefix) is family]
    return [f"prefix {{ {', '.join(ranges)} }}"] if ranges else []


def _range(one: PrefixRange) -> str:
    length, bits = int(one.prefix.partition("/")[2]), BITS[family_of_prefix(one.prefix)]
    if one.ge is None and one.le is None:
        return one.prefix
    low = length if one.ge is None else one.ge
    high = bits if one.le is None else one.le
    if not length <= low <= high <= bits:
        raise ValueError(f"{one.prefix} with lengths {low} to {high} holds nothing")
    return f"{one.prefix} prefixlen {f'= {low}' if low == high else f'{low} - {high}'}"


def _asns(kind: str, ranges: Iterable[AsnRange]) -> list[str]:
    texts = [str(one.low) if one.low == one.high else f"{one.low} - {one.high}" for one in ranges]
    return [f"{kind} {{ {', '.join(texts)} }}"] if texts else []


def _longer_than(condition: AsPathLongerThan, _: Family, __: Side) -> list[str]:
    return [f"max-as-len {condition.limit}"]


def _fields(pattern: str) -> list[str]:
    fields = (pattern if "*" in pattern else parse_community(pattern)).split(":")
    if len(fields) == 3 and fields[0] == "*":
        raise _Inexpressible(f"a large community {pattern} of any AS would be this router's own marks too")
    if fields[0] == str(MARK):
        raise _Inexpressible(f"a large community {pattern} is one of this router's own marks")
    if len(fields) == 2 and any(field != "*" and int(field) > 0xFFFF for field in fields):
        raise _Inexpressible(f"community {pattern} has a field above 65535")
    return fields


def _community(pattern: str) -> str:
    fields = _fields(pattern)
    return f"{'large-' if len(fields) == 3 else ''}community {':'.join(fields)}"


def _community_in(condition: CommunityIn, _: Family, __: Side) -> list[str]:
    return [_community(one) for one in condition.communities]


def _next_hop_in(condition: NextHopIn, family: Family, _: Side) -> list[str]:
    prefixes = [one for one in condition.prefixes if family_of_prefix(one) is family]
    wide = [one for one in prefixes if not one.endswith(f"/{BITS[family]}")]
    if wide:
        raise _Inexpressible(f"a next hop is compared with addresses only, not with {', '.join(wide)}")
    return [f"nexthop {one.partition('/')[0]}" for one in prefixes]


def _learned_from(condition: LearnedFromIs, _: Family, side: Side) -> list[str]:
    if side.source is not None:
        return [""] if side.source in condition.sources else []
    return [f"large-community {SOURCES[one]}" for one in condition.sources]


def _never(what: str) -> Callable[[Any, Family, Side], list[str]]:
    def refuse(_: Any, __: Family, ___: Side) -> list[str]:
        raise _Inexpressible(f"it has no words for {what}")

    return refuse


_CONDITIONS: dict[type, Callable[[Any, Family, Side], list[str]]] = {
    PrefixIn: _prefix_in,
    AsPathContains: lambda condition, _, __: _asns("AS", condition.asns),
    OriginAsIn: lambda condition, _, __: _asns("source-as", condition.asns),
    FirstAsIs: lambda condition, _, __: [f"peer-as {condition.asn}"],
    AsPathLongerThan: _longer_than,
    AsPathHasSet: _never("a path that holds a set, but for rejecting each of them before anything else"),
    AsPathPrepended: lambda _, __, ___: ["max-as-seq 1"],
    CommunityIn: _community_in,
    NextHopIn: _next_hop_in,
    LearnedFromIs: _learned_from,
    HasOtc: _never("a route that carries OTC"),
    RpkiIs: _never("origin validation in this laboratory"),
}


# actions: what is set, one rule each


def _sets(action: Action, side: Side) -> list[str]:
    if isinstance(action, SetLocalPref):
        return [f"localpref {action.value}"]
    if isinstance(action, SetMed):
        if action.value is None:
            raise _Inexpressible("a MED cannot be taken off")
        return [f"metric {action.value}", f"large-community {MED_SET}"]
    if isinstance(action, AddCommunities):
        return [_community(one) for one in action.communities]
    if isinstance(action, RemoveCommunities):
        return [_community(one).replace("community ", "community delete ") for one in action.patterns]
    if isinstance(action, Prepend):
        return _prepend(action, side)
    if isinstance(action, NextHopSelf):
        return ["nexthop self"]
    if isinstance(action, Discard):
        return [f"large-community {DISCARDED}"]
    assert isinstance(action, RemovePrivateAses)
    raise _Inexpressible("private AS numbers cannot be taken out of a path")


def _prepend(action: Prepend, side: Side) -> list[str]:
    if not 0 <= action.times <= _LARGEST_PREPEND:
        raise _Inexpressible(f"an AS can be prepended 0 to {_LARGEST_PREPEND} times, not {action.times}")
    if side.own_as is not None and action.asn != side.own_as:
        raise _Inexpressible(f"only its own AS {side.own_as} can be prepended, not {action.asn}")
    return [f"prepend-self {action.times}"] if action.times else []


def _comment(text: str) -> str:
    return " ".join(text.split())
