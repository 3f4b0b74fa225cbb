"""Typed policies in BIRD's filter language: one function per policy and family, everything or a refusal.

A function begins by noting nothing and ends by deciding: before each verdict it writes the number of the statement
into the custom attribute ``lab_statement``, so that BIRD itself shows which statement decided about a route, kept or
filtered. Sources: BIRD 2.0 User's Guide, chapter 5 (filters); measured on 2.0.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from peerlab.bgp.attributes import Family
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
    PrependFirst,
    RemoveCommunities,
    RemovePrivateAses,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Verdict,
)
from peerlab.errors import Unsupported

STATEMENT = "lab_statement"
"""Custom attribute: number of the statement that decided, counted from 1; 0 is the policy's default."""

SOURCE = "lab_source"
"""Custom attribute of a route heard by BGP: 1 from another AS, 2 from the own one."""

SOURCES = {LearnedFrom.EBGP: 1, LearnedFrom.IBGP: 2}

VERSION = {Family.IPV4: 4, Family.IPV6: 6}

_ROA = {"valid": "ROA_VALID", "invalid": "ROA_INVALID", "not-found": "ROA_UNKNOWN"}


class _Inexpressible(Exception):
    """BIRD's filter language has no words for this."""


def function_name(number: int, family: Family) -> str:
    """The function of the policy with that number in the file."""
    return f"policy_{number}_v{VERSION[family]}"


def function(number: int, policy: Policy, family: Family) -> list[str]:
    """The lines of a policy's function. Its arguments are the session's own address, and whether a route enters the AS
    by it: then one that is about to go away gets the lowest preference (RFC 8326 section 4.1).

    Raises Unsupported, naming policy, statement and condition, when BIRD cannot express it; ValueError for a
    malformed community or prefix.
    """
    lines = [f"function {function_name(number, family)}(ip own_address; bool enters)", "{", f"  # policy {policy.name}"]
    for count, statement in enumerate(policy.statements, start=1):
        try:
            conditions = [condition_text(one, family) for one in statement.match]
            actions = [line for one in statement.actions for line in action_lines(one)]
        except _Inexpressible as why:
            raise Unsupported(
                f"BIRD cannot express policy {policy.name}, statement '{statement.name}': {why}; "
                "run this router on ExaBGP, or word the statement differently"
            ) from why
        lines.append(f"  # {count}: {_comment(statement.name)}")
        lines.append(f"  if {' && '.join(conditions) or 'true'} then {{")
        lines += [f"    {line}" for line in actions]
        if statement.verdict is not Verdict.NEXT:
            lines += [f"    {line}" for line in _decision(count, statement.verdict)]
        lines.append("  }")
    lines += [*(f"  {line}" for line in _decision(0, policy.default)), "}"]
    return lines


def _decision(number: int, verdict: Verdict) -> list[str]:
    going = ["if enters && (65535, 0) ~ bgp_community then bgp_local_pref = 0;"] if verdict is Verdict.ACCEPT else []
    return [*going, f"{STATEMENT} = {number};", f"{verdict.value};"]


def decided_by(policy: Policy, number: int) -> str:
    """The name of the statement behind a ``lab_statement`` value."""
    return policy.statements[number - 1].name if 0 < number <= len(policy.statements) else "default"


def condition_text(condition: Condition, family: Family) -> str:
    """One condition as a boolean expression."""
    text = _CONDITIONS[type(condition)](condition, family)
    return f"! {text}" if getattr(condition, "invert", False) else text


def action_lines(action: Action) -> list[str]:
    """One action as statements."""
    return _ACTIONS[type(action)](action)


def _prefix_in(condition: PrefixIn, family: Family) -> str:
    ranges = [one for one in condition.ranges if family_of_prefix(one.prefix) is family]
    return f"(net ~ [ {', '.join(map(prefix_range, ranges))} ])" if ranges else "(false)"


def prefix_range(one: PrefixRange) -> str:
    """``198.18.0.0/16{16,24}``: a prefix and the lengths meant under it."""
    length = int(one.prefix.partition("/")[2])
    if one.ge is None and one.le is None:
        return one.prefix
    low = length if one.ge is None else one.ge
    high = BITS[family_of_prefix(one.prefix)] if one.le is None else one.le
    if not length <= low <= high <= BITS[family_of_prefix(one.prefix)]:
        raise ValueError(f"{one.prefix} with lengths {low} to {high} holds nothing")
    return f"{one.prefix}{{{low},{high}}}"


def _asns(ranges: Iterable[AsnRange]) -> str:
    """A set of numbers. BIRD looks sets up in a tree that goes wrong when items overlap, so they are merged."""
    merged: list[AsnRange] = []
    for one in sorted(ranges, key=lambda each: (each.low, each.high)):
        if merged and one.low <= merged[-1].high:
            merged[-1] = AsnRange(merged[-1].low, max(merged[-1].high, one.high))
        else:
            merged.append(one)
    return ", ".join(str(one.low) if one.low == one.high else f"{one.low}..{one.high}" for one in merged)


def _path_contains(condition: AsPathContains, _: Family) -> str:
    return f"(bgp_path ~ [ {_asns(condition.asns)} ])" if condition.asns else "(false)"


def _origin_in(condition: OriginAsIn, _: Family) -> str:
    # BIRD answers 0 for an empty path and for one that ends in a set, and nobody originates from AS 0.
    return f"(bgp_path.last != 0 && bgp_path.last ~ [ {_asns(condition.asns)} ])" if condition.asns else "(false)"


def _first_as(condition: FirstAsIs, _: Family) -> str:
    return f"(bgp_path.first = {condition.asn})"


def _longer_than(condition: AsPathLongerThan, _: Family) -> str:
    return f"(bgp_path.len > {condition.limit})"


def _has_set(_: AsPathHasSet, __: Family) -> str:
    return "path_has_set()"


def _prepended(_: AsPathPrepended, __: Family) -> str:
    return "path_is_prepended()"


def _community_in(condition: CommunityIn, _: Family) -> str:
    standard, large = _sets(condition.communities)
    parts = [f"bgp_community ~ [ {one} ]" for one in standard]
    parts += [f"bgp_large_community ~ [ {one} ]" for one in large]
    return f"({' || '.join(parts) or 'false'})"


def _next_hop_in(condition: NextHopIn, family: Family) -> str:
    # An address is compared with one prefix at a time: with a set, BIRD 2.0.12 ends the filter by an error.
    prefixes = [one for one in condition.prefixes if family_of_prefix(one) is family]
    inside = " || ".join(f"bgp_next_hop ~ {one}" for one in prefixes)
    return f"(defined(bgp_next_hop) && ({inside}))" if prefixes else "(false)"


def _learned_from(condition: LearnedFromIs, _: Family) -> str:
    heard = [str(SOURCES[one]) for one in condition.sources if one in SOURCES]
    parts = [f"(source = RTS_BGP && {SOURCE} ~ [ {', '.join(heard)} ])"] if heard else []
    if LearnedFrom.LOCAL in condition.sources:
        parts.append("source = RTS_STATIC")
    return f"({' || '.join(parts) or 'false'})"


def _has_otc(_: HasOtc, __: Family) -> str:
    return "(defined(bgp_otc))"


def _rpki_is(condition: RpkiIs, family: Family) -> str:
    unknown = [state for state in condition.states if state not in _ROA]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: a validation state is one of {', '.join(_ROA)}")
    table = roa_table(family)
    checks = [f"roa_check({table}, net, path_origin()) = {_ROA[state]}" for state in condition.states]
    return f"({' || '.join(checks) or 'false'})"


def roa_table(family: Family) -> str:
    """The table that holds the validated payloads of a family."""
    return f"vrps_v{VERSION[family]}"


def _by_width(patterns: Iterable[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Patterns of standard and of large communities, field by field."""
    texts = [pattern if "*" in pattern else parse_community(pattern) for pattern in patterns]
    fields = [text.split(":") for text in texts]
    return [one for one in fields if len(one) == 2], [one for one in fields if len(one) == 3]


def _sets(patterns: Iterable[str]) -> tuple[list[str], list[str]]:
    """Sets of standard and of large communities in which nothing overlaps: exact ones in one, each pattern alone."""
    standard, large = _by_width(patterns)
    return _apart(standard, _pair), _apart(large, _triple)


def _apart(found: list[list[str]], written: Callable[[list[str]], str]) -> list[str]:
    exact = dict.fromkeys(written(fields) for fields in found if "*" not in fields)
    wild = dict.fromkeys(written(fields) for fields in found if "*" in fields)
    return [*([", ".join(exact)] if exact else []), *wild]


def _pair(fields: list[str]) -> str:
    # A 4-octet AS in a standard pattern matches nothing, and BIRD's parser would refuse the number.
    if any(field != "*" and int(field) > 0xFFFF for field in fields):
        raise _Inexpressible(f"community {':'.join(fields)} has a field above 65535")
    return f"({', '.join(fields)})"


def _triple(fields: list[str]) -> str:
    wild = [field == "*" for field in fields]
    if wild not in ([False] * 3, [False, False, True], [False, True, True], [True] * 3):
        raise _Inexpressible(f"in a large community {':'.join(fields)} a * may be followed by * only")
    return f"({', '.join(fields)})"


def _add(action: AddCommunities) -> list[str]:
    standard, large = _by_width(action.communities)
    return [
        *(f"bgp_community.add({_pair(fields)});" for fields in standard),
        *(f"bgp_large_community.add({_triple(fields)});" for fields in large),
    ]


def _remove(action: RemoveCommunities) -> list[str]:
    standard, large = _sets(action.patterns)
    return [
        *(f"bgp_community.delete([ {one} ]);" for one in standard),
        *(f"bgp_large_community.delete([ {one} ]);" for one in large),
    ]


def _prepend(action: Prepend) -> list[str]:
    if action.times < 0:
        raise ValueError(f"an AS cannot be prepended {action.times} times")
    return [f"bgp_path.prepend({action.asn});"] * action.times


def _prepend_first(action: PrependFirst) -> list[str]:
    if action.times < 0:
        raise ValueError(f"an AS cannot be prepended {action.times} times")
    return ["if bgp_path.len > 0 then bgp_path.prepend(bgp_path.first);"] * action.times


def _set_med(action: SetMed) -> list[str]:
    return ["unset(bgp_med);"] if action.value is None else [f"bgp_med = {action.value};"]


def _comment(text: str) -> str:
    return " ".join(text.split())


_CONDITIONS: dict[type, Callable[[Any, Family], str]] = {
    PrefixIn: _prefix_in,
    AsPathContains: _path_contains,
    OriginAsIn: _origin_in,
    FirstAsIs: _first_as,
    AsPathLongerThan: _longer_than,
    AsPathHasSet: _has_set,
    AsPathPrepended: _prepended,
    CommunityIn: _community_in,
    NextHopIn: _next_hop_in,
    LearnedFromIs: _learned_from,
    HasOtc: _has_otc,
    RpkiIs: _rpki_is,
}

_ACTIONS: dict[type, Callable[[Any], list[str]]] = {
    SetLocalPref: lambda action: [f"bgp_local_pref = {action.value};"],
    SetMed: _set_med,
    AddCommunities: _add,
    RemoveCommunities: _remove,
    Prepend: _prepend,
    PrependFirst: _prepend_first,
    NextHopSelf: lambda _: ["bgp_next_hop = own_address;"],
    RemovePrivateAses: lambda _: ["bgp_path.delete([ 64512..65534, 4200000000..4294967294 ]);"],
    Discard: lambda _: ["dest = RTD_BLACKHOLE;"],
}

PATH_FUNCTIONS = """\
function path_has_set()
int members;
{
  # An AS_SET counts 1 in the length, however many members it has; one at the end hides the last AS.
  members = 0;
  for int one in bgp_path do members = members + 1;
  return members != bgp_path.len || bgp_path.last != bgp_path.last_nonaggregated;
}

function path_origin()
{
  # RFC 6811 section 2: an empty path is this AS's own. One that ends in a set gives 0, which matches no ROA.
  if bgp_path.len = 0 then return lab_asn;
  return bgp_path.last;
}

function path_is_prepended()
int before; int place; int sequence; bool found;
{
  # The members of a set, which is at the path's end when there is one, have no order.
  sequence = bgp_path.len;
  if path_has_set() then sequence = sequence - 1;
  before = 0;
  place = 0;
  found = false;
  for int one in bgp_path do {
    place = place + 1;
    if place > 1 && place <= sequence && one = before then found = true;
    before = one;
  }
  return found;
}
"""
"""What the language has no operator for. Measured limits stand in docs/daemons.md."""
