"""Typed policies as FRR's route-maps: everything or a refusal.

A statement becomes entries of a route-map. Conditions that one entry can hold stand in it as ``match``; any other is a
guard before it: an entry that matches the opposite and goes on with the next statement. Lists can express every
opposite, so every combination can be said. Accepting statements go on to the end, where a route that came in is marked
with how it was learned (``set tag``), which exports ask for. (That one which is about to go away gets the lowest
preference, RFC 8326 section 4.1, FRR sees to by itself.)

Maps and lists carry a digest of what they say in their names. They are never changed, only made and taken away: FRR
applies a changed map after a delay, a map of another name at once. Measured on FRR 8.4.4.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.communities import parse_community
from peerlab.bgp.nlri import BITS, family_of_prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
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
from peerlab.daemons import frr_pattern
from peerlab.errors import Unsupported

TAGS = {LearnedFrom.EBGP: 1, LearnedFrom.IBGP: 2, LearnedFrom.LOCAL: 3}
"""A route's tag says how this router came to it. It is never announced and decides nothing."""

_IP = {Family.IPV4: "ip", Family.IPV6: "ipv6"}
_STEP = 5
_LAST_NUMBER = 65535


class _Inexpressible(Exception):
    """FRR's route-maps have no words for this."""


class Definition(NamedTuple):
    """A named list or map: how it is made, and how it is taken away."""

    name: str
    lines: tuple[str, ...]
    removal: str


class Direction(NamedTuple):
    """Where a map is applied. ``source``: how routes come in by it; None for exports."""

    source: LearnedFrom | None


EXPORT = Direction(None)


class _List(NamedTuple):
    """A list and the clause that asks it: ``entries`` are what it permits, ``everything`` is an entry for all."""

    clause: str
    kind: str
    entries: tuple[str, ...]
    everything: str


class _Constant(NamedTuple):
    value: bool


class _Lists(NamedTuple):
    """Lists of which one must say yes; ``inverted``, of which none may."""

    lists: tuple[_List, ...]
    inverted: bool = False


class _Tags(NamedTuple):
    """How a route was learned, as tags, of which one must be there."""

    tags: frozenset[int]


_Question = _Constant | _Lists | _Tags


class RouteMap:
    """The route-map of one policy in one family and direction, with the lists that it asks.

    Raises Unsupported, naming policy, statement and condition, when FRR cannot express it; ValueError for a
    malformed community, range or prefix.
    """

    def __init__(self, policy: Policy, family: Family, direction: Direction) -> None:
        self._family = family
        self._direction = direction
        self._lists: dict[str, Definition] = {}
        self._entries: list[tuple[str, str, list[str]]] = []
        self._targets: dict[int, int] = {}
        self._ends: list[tuple[int, str]] = []
        for place, statement in enumerate(policy.statements):
            self._targets[place] = len(self._entries)
            try:
                self._add(place, statement)
            except _Inexpressible as why:
                raise Unsupported(
                    f"FRR cannot express policy {policy.name}, statement '{statement.name}': {why}; "
                    "run this router on ExaBGP, or word the statement differently"
                ) from why
        self._targets[len(policy.statements)] = len(self._entries)
        if policy.default is Verdict.REJECT:
            self._entries.append(("deny", "default", []))
        self._targets[-1] = len(self._entries)
        self._finish()
        if len(self._entries) * _STEP > _LAST_NUMBER:
            raise Unsupported(f"FRR cannot express policy {policy.name}: it needs {len(self._entries)} entries")
        body = self._written("NAME")
        name = _name(policy.name, f"v{4 if family is Family.IPV4 else 6}", body)
        self.definition = Definition(name, tuple(self._written(name)), f"no route-map {name}")

    @property
    def definitions(self) -> list[Definition]:
        """The lists, then the map."""
        return [*self._lists.values(), self.definition]

    # statements

    def _add(self, place: int, statement: Any) -> None:
        questions = [self._question(condition) for condition in statement.match]
        if any(isinstance(one, _Constant) and not one.value for one in questions):
            return
        chunks = [] if statement.verdict is Verdict.REJECT else _apart(self._set(one) for one in statement.actions)
        held: list[str] = []
        used: set[str] = set()
        following = f"goto {place + 1}"
        for question in questions:
            if isinstance(question, _Constant):
                continue
            asked = self._yes(question)
            if asked is not None and used.isdisjoint(asked) and len(chunks) <= 1:
                used |= asked.keys()
                held += asked.values()
                continue
            for guard in self._no(question):
                self._entries.append(("permit", f"{statement.name}, not", [*guard, following]))
        if statement.verdict is Verdict.REJECT:
            self._entries.append(("deny", statement.name, held))
            return
        for chunk in chunks[:-1]:
            self._entries.append(("permit", statement.name, [*chunk, "on-match next"]))
        after = following if statement.verdict is Verdict.NEXT else "goto -1"
        self._entries.append(("permit", statement.name, [*held, *(chunks[-1] if chunks else []), after]))

    def _finish(self) -> None:
        """Where accepted routes arrive."""
        source = self._direction.source
        if source is None:
            self._entries.append(("permit", "accepted", []))
            return
        self._entries.append(("permit", "accepted", [f"set tag {TAGS[source]}"]))

    def _written(self, name: str) -> list[str]:
        lines: list[str] = []
        for place, (verdict, remark, clauses) in enumerate(self._entries):
            lines += [f"route-map {name} {verdict} {(place + 1) * _STEP}", f" description {_comment(remark)}"]
            for clause in clauses:
                word, _, target = clause.partition(" ")
                if word == "goto":
                    number = self._targets[int(target)]
                    clause = "on-match next" if number == place + 1 else f"on-match goto {(number + 1) * _STEP}"
                lines.append(f" {clause}")
            lines.append("exit")
        return lines

    def _set(self, action: Action) -> list[tuple[str, str]]:
        """The lines of ``set``, each with its kind."""
        return _ACTIONS[type(action)](action, self)

    def deleting(self, one: _List) -> str:
        """The name of a list of what is to be removed."""
        self._keep(made := list_definition(one.kind, one.entries, one.everything))
        return made.name

    @property
    def is_export(self) -> bool:
        """Whether it is applied to what is sent."""
        return self._direction.source is None

    @property
    def family(self) -> Family:
        """Of the routes."""
        return self._family

    # questions

    def _question(self, condition: Condition) -> _Question:
        return _QUESTIONS[type(condition)](condition, self._family, self._direction)

    def _yes(self, question: _Question) -> dict[str, str] | None:
        """The clauses, by their kind, that one entry asks it with; None when one entry cannot."""
        if isinstance(question, _Lists) and (question.inverted or len(question.lists) == 1):
            return {one.clause: self._list(one, not question.inverted) for one in question.lists}
        if isinstance(question, _Tags) and len(question.tags) == 1:
            (tag,) = question.tags
            return {"match tag": f"match tag {tag}"}
        return None

    def _no(self, question: _Question) -> list[list[str]]:
        """Entries of which one matches when the answer is no."""
        if isinstance(question, _Lists):
            if question.inverted:
                return [[self._list(one, True)] for one in question.lists]
            return [[self._list(one, False) for one in question.lists]]
        if isinstance(question, _Tags):
            return [[f"match tag {tag}"] for tag in TAGS.values() if tag not in question.tags]
        return []

    def _list(self, one: _List, wanted: bool) -> str:
        """The clause that asks a list, or its opposite; the list is made."""
        self._keep(made := list_definition(one.kind, one.entries, one.everything, wanted))
        return f"{one.clause} {made.name}"

    def _keep(self, definition: Definition) -> None:
        self._lists[definition.name] = definition


def simple_map(begin: str, clauses: Iterable[str]) -> Definition:
    """A map of one entry that permits everything and changes it."""
    body = [f" {clause}" for clause in clauses]
    name = _name(begin, "", body)
    return Definition(name, (f"route-map {name} permit {_STEP}", *body, "exit"), f"no route-map {name}")


def list_definition(kind: str, entries: Iterable[str], everything: str, wanted: bool = True) -> Definition:
    """A list that permits the entries, or with ``wanted`` False everything but them."""
    yes, no = ("permit", "deny") if wanted else ("deny", "permit")
    said = [f"{yes} {entry}" for entry in entries] + ([] if wanted else [f"{no} {everything}"])
    name = _name("", _SHORT[kind], [kind, *said])
    lines = tuple(f"{kind} {name} seq {number * 5} {line}" for number, line in enumerate(said, start=1))
    return Definition(name, lines, f"no {kind} {name}")


_SHORT = {
    "ip prefix-list": "prefixes",
    "ipv6 prefix-list": "prefixes6",
    "bgp as-path access-list": "paths",
    "bgp community-list expanded": "communities",
    "bgp large-community-list expanded": "large",
}


def _name(begin: str, middle: str, body: Iterable[str]) -> str:
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:10]
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", begin)[:40]
    return "-".join(part for part in (plain, middle, digest) if part)


def _comment(text: str) -> str:
    return " ".join(text.split())[:80] or "statement"


# conditions


def _prefix_in(condition: PrefixIn, family: Family, _: Direction) -> _Question:
    ranges = [prefix_range(one) for one in condition.ranges if family_of_prefix(one.prefix) is family]
    if not ranges:
        return _Constant(condition.invert)
    return _Lists((_prefix_list(f"match {_IP[family]} address prefix-list", family, ranges),), condition.invert)


def _prefix_list(clause: str, family: Family, entries: Iterable[str]) -> _List:
    return _List(clause, f"{_IP[family]} prefix-list", tuple(entries), "any")


def prefix_range(one: PrefixRange) -> str:
    """``198.18.0.0/16 ge 17 le 24``: a prefix and the lengths meant under it. FRR wants ge above the length."""
    length, bits = int(one.prefix.partition("/")[2]), BITS[family_of_prefix(one.prefix)]
    if one.ge is None and one.le is None:
        return one.prefix
    low = length if one.ge is None else one.ge
    high = bits if one.le is None else one.le
    if not length <= low <= high <= bits:
        raise ValueError(f"{one.prefix} with lengths {low} to {high} holds nothing")
    return one.prefix + (f" ge {low}" if low > length else "") + (f" le {high}" if high > length else "")


def _path_list(expressions: Iterable[str]) -> _List:
    return _List("match as-path", "bgp as-path access-list", tuple(expressions), ".*")


def _path_contains(condition: AsPathContains, _: Family, __: Direction) -> _Question:
    return _Lists((_path_list(frr_pattern.contains(condition.asns)),)) if condition.asns else _Constant(False)


def _origin_in(condition: OriginAsIn, _: Family, __: Direction) -> _Question:
    if not condition.asns:
        return _Constant(condition.invert)
    return _Lists((_path_list(frr_pattern.ends_in(condition.asns)),), condition.invert)


def _first_as(condition: FirstAsIs, _: Family, __: Direction) -> _Question:
    return _Lists((_path_list([frr_pattern.first_is(condition.asn)]),), condition.invert)


def _longer_than(condition: AsPathLongerThan, _: Family, __: Direction) -> _Question:
    return _Lists((_path_list([frr_pattern.longer_than(condition.limit)]),))


def _has_set(_: AsPathHasSet, __: Family, ___: Direction) -> _Question:
    return _Lists((_path_list([frr_pattern.HAS_SET]),))


def _prepended(_: AsPathPrepended, __: Family, ___: Direction) -> _Question:
    return _Lists((_path_list([frr_pattern.PREPENDED]),))


def _community_in(condition: CommunityIn, _: Family, __: Direction) -> _Question:
    lists = _community_lists(condition.communities)
    return _Lists(tuple(lists), condition.invert) if lists else _Constant(condition.invert)


def _community_lists(patterns: Iterable[str]) -> list[_List]:
    standard = [one for one in patterns if not frr_pattern.is_large(one)]
    wide = [one for one in patterns if frr_pattern.is_large(one)]
    return [_community_list(some, large) for some, large in ((standard, False), (wide, True)) if some]


def _community_list(patterns: Iterable[str], large: bool) -> _List:
    written = frr_pattern.large if large else frr_pattern.standard
    entries = tuple(dict.fromkeys(text for one in patterns for text in written(one)))
    word = "large-community" if large else "community"
    return _List(f"match {word}", f"bgp {word}-list expanded", entries, ".*")


def _next_hop_in(condition: NextHopIn, family: Family, _: Direction) -> _Question:
    prefixes = [one for one in condition.prefixes if family_of_prefix(one) is family]
    if not prefixes:
        return _Constant(condition.invert)
    entries = [_all_under(one, family) for one in prefixes]
    return _Lists((_prefix_list(f"match {_IP[family]} next-hop prefix-list", family, entries),), condition.invert)


def _all_under(prefix: Prefix, family: Family) -> str:
    return prefix if prefix.endswith(f"/{BITS[family]}") else f"{prefix} le {BITS[family]}"


def _learned_from(condition: LearnedFromIs, _: Family, direction: Direction) -> _Question:
    if direction.source is not None:
        return _Constant(direction.source in condition.sources)
    tags = frozenset(TAGS[one] for one in condition.sources)
    if tags == frozenset(TAGS.values()):
        return _Constant(True)
    return _Tags(tags) if tags else _Constant(False)


def _has_otc(_: HasOtc, __: Family, ___: Direction) -> _Question:
    raise _Inexpressible("a route-map cannot ask for OTC (its own `local-role` acts on it)")


def _rpki_is(_: RpkiIs, __: Family, ___: Direction) -> _Question:
    raise _Inexpressible("origin validation needs FRR's module bgpd_rpki, which Debian's package frr does not have")


_QUESTIONS: dict[type, Callable[[Any, Family, Direction], _Question]] = {
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


# actions


def _apart(made: Iterable[list[tuple[str, str]]]) -> list[list[str]]:
    """Lines of ``set`` in groups of which none holds two of a kind: an entry keeps the last of each kind only."""
    groups: list[dict[str, str]] = []
    for lines in made:
        for kind, line in lines:
            if not groups or kind in groups[-1] or _clashes(kind, groups[-1]):
                groups.append({})
            groups[-1][kind] = line
    return [list(group.values()) for group in groups]


def _clashes(kind: str, group: dict[str, str]) -> bool:
    """Adding and removing communities of one sort are told apart, so that their order is the policy's."""
    if not kind.endswith(("community", "comm-list")):
        return False
    large = kind.startswith("large")
    return any(one.endswith(("community", "comm-list")) and one.startswith("large") is large for one in group)


def _set_local_pref(action: SetLocalPref, _: RouteMap) -> list[tuple[str, str]]:
    return [("local-preference", f"set local-preference {action.value}")]


def _set_med(action: SetMed, _: RouteMap) -> list[tuple[str, str]]:
    if action.value is None:
        raise _Inexpressible("a route-map cannot take MED away")
    return [("metric", f"set metric {action.value}")]


def _add(action: AddCommunities, _: RouteMap) -> list[tuple[str, str]]:
    found = []
    standard = [parse_community(one) for one in action.communities if not frr_pattern.is_large(one)]
    wide = [parse_community(one) for one in action.communities if frr_pattern.is_large(one)]
    if standard:
        found.append(("community", f"set community {' '.join(standard)} additive"))
    if wide:
        found.append(("large-community", f"set large-community {' '.join(wide)} additive"))
    return found


def _remove(action: RemoveCommunities, route_map: RouteMap) -> list[tuple[str, str]]:
    found = []
    for one in _community_lists(action.patterns):
        word = "large-comm-list" if "large" in one.kind else "comm-list"
        found.append((word, f"set {word} {route_map.deleting(one)} delete"))
    return found


def _prepend(action: Prepend, _: RouteMap) -> list[tuple[str, str]]:
    if action.times < 0:
        raise ValueError(f"an AS cannot be prepended {action.times} times")
    return [("as-path", "set as-path prepend" + f" {action.asn}" * action.times)] if action.times else []


def _prepend_first(action: PrependFirst, _: RouteMap) -> list[tuple[str, str]]:
    if not 0 <= action.times <= 10:
        raise ValueError(f"FRR prepends the first AS up to 10 times, not {action.times}")
    return [("as-path", f"set as-path prepend last-as {action.times}")] if action.times else []


def _next_hop_self(_: NextHopSelf, route_map: RouteMap) -> list[tuple[str, str]]:
    if not route_map.is_export:
        raise _Inexpressible("on import there is no word for the own address as next hop")
    return [("next-hop", f"set {_IP[route_map.family]} next-hop peer-address")]


def _unknown(why: str) -> Callable[[Any, RouteMap], list[tuple[str, str]]]:
    def refuse(_: Any, __: RouteMap) -> list[tuple[str, str]]:
        raise _Inexpressible(why)

    return refuse


_ACTIONS: dict[type, Callable[[Any, RouteMap], list[tuple[str, str]]]] = {
    SetLocalPref: _set_local_pref,
    SetMed: _set_med,
    AddCommunities: _add,
    RemoveCommunities: _remove,
    Prepend: _prepend,
    PrependFirst: _prepend_first,
    NextHopSelf: _next_hop_self,
    RemovePrivateAses: _unknown("a route map cannot take private AS numbers out of a path"),
    Discard: _unknown("a route map cannot have a route's packets dropped"),
}
