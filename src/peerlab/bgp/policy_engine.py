"""Routing policy executed: a ``Policy`` compiled once into closures, then asked for every set of attributes.

A policy's answer depends on the attributes, on how the route was learned, and on facts about the prefix (which ranges
hold it, its origin validation state). Those facts fit in one integer, the ``mark``: routes with the same attributes
and the same mark get the same answer, so whoever asks may remember it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import INVALID, NOT_FOUND, VALID, OriginValidator, route_origin
from peerlab.bgp.policy import Condition, Discard, LearnedFrom, NextHopSelf, Policy, PrefixIn, RpkiIs, Verdict
from peerlab.bgp.policy_action import Change, change_of
from peerlab.bgp.policy_condition import Test, attribute_test
from peerlab.bgp.prefix_set import PrefixSet
from peerlab.errors import InputError, Problem

DEFAULT_STATEMENT = "default"
"""The name under which a route is decided that no statement decided."""

_MARKS = 1 << 17
"""Prefixes whose ranges are remembered per policy: sessions under one policy mostly hear the same ones."""

_ROUTES = (NextHopSelf, Discard)
"""Actions on the route beside its attributes."""

_STATES = (NOT_FOUND, VALID, INVALID)


class Judgement(msgspec.Struct, frozen=True):
    """What a policy made of a route. ``attributes`` are the changed ones; of a rejected route they mean nothing.

    ``statement`` is the name of the statement that decided. ``next_hop_self``, ``discard``: the policy asked for it.
    """

    accepted: bool
    attributes: PathAttributes
    statement: str
    next_hop_self: bool = False
    discard: bool = False


class _Compiled(msgspec.Struct, frozen=True):
    name: str
    tests: tuple[Test, ...]
    changes: tuple[Change, ...]
    next_hop_self: bool
    discard: bool
    asks_state: bool
    verdict: Verdict


class CompiledPolicy:
    """One policy made ready for one family. Raises InputError when a pattern, range or address in it is malformed."""

    def __init__(self, policy: Policy, family: Family, validator: OriginValidator | None = None) -> None:
        self.policy = policy
        self._family = family
        self._validator = validator or OriginValidator()
        self._sets: list[PrefixSet] = []
        self._set_index: dict[tuple[object, ...], int] = {}
        self._marks: dict[bytes, int] = {}
        self._asks_state = any(isinstance(one, RpkiIs) for each in policy.statements for one in each.match)
        self._default = policy.default is Verdict.ACCEPT
        problems: list[Problem] = []
        statements: list[_Compiled] = []
        for statement in policy.statements:
            try:
                statements.append(
                    _Compiled(
                        statement.name,
                        tuple(self._test(condition) for condition in statement.match),
                        tuple(change_of(one) for one in statement.actions if not isinstance(one, _ROUTES)),
                        any(isinstance(one, NextHopSelf) for one in statement.actions),
                        any(isinstance(one, Discard) for one in statement.actions),
                        any(isinstance(one, RpkiIs) for one in statement.match),
                        statement.verdict,
                    )
                )
            except ValueError as error:
                where = f"policies.{policy.name}.{statement.name}"
                problems.append(Problem(where, str(error), "correct the condition or action"))
        if problems:
            raise InputError(problems)
        self._statements = tuple(statements)

    @property
    def asks_state(self) -> bool:
        """Whether the answer can depend on origin validation."""
        return self._asks_state

    @property
    def looks_at_prefix(self) -> bool:
        """Whether the answer can differ between routes with the same attributes."""
        return bool(self._sets) or self._asks_state

    def mark(self, raw: bytes, origin_as: int | None) -> int:
        """All that this policy wants to know of a prefix beyond its attributes; ``raw`` is its NLRI.

        ``origin_as`` is that of the route as received (``origin_validation.route_origin``).
        """
        mark = self._marks.get(raw)
        if mark is None:
            mark = 0
            for prefixes in self._sets:
                mark = mark << 1 | prefixes.contains_raw(raw, self._family)
            if len(self._marks) >= _MARKS:
                self._marks.clear()
            self._marks[raw] = mark
        if self._asks_state:
            mark |= _STATES.index(self._validator.state(raw, self._family, origin_as)) << len(self._sets)
        return mark

    def effective_state(self, raw: bytes, local_as: int) -> Callable[[PathAttributes], str]:
        """The state of a route to be sent, under the origin that its receiver will see (RFC 8893 section 3).

        That is the last AS of the path as it has become, or the session's own AS when nothing is left of it.
        """

        def state(attributes: PathAttributes) -> str:
            return self._validator.state(raw, self._family, route_origin(attributes, local_as))

        return state

    def judge(
        self,
        attributes: PathAttributes,
        mark: int,
        source: LearnedFrom,
        state: Callable[[PathAttributes], str] | None = None,
    ) -> Judgement:
        """Run the statements in order. Conditions see what the actions of earlier statements have changed.

        With ``state`` the validation state is that of the attributes as they are at each statement, else the mark's.
        """
        next_hop_self = discard = False
        for statement in self._statements:
            if state is not None and statement.asks_state:
                bits = len(self._sets)
                mark = mark & (1 << bits) - 1 | _STATES.index(state(attributes)) << bits
            for test in statement.tests:
                if not test(attributes, mark, source):
                    break
            else:
                for change in statement.changes:
                    attributes = change(attributes)
                next_hop_self = next_hop_self or statement.next_hop_self
                discard = discard or statement.discard
                if statement.verdict is not Verdict.NEXT:
                    accepted = statement.verdict is Verdict.ACCEPT
                    return Judgement(accepted, attributes, statement.name, next_hop_self, discard)
        return Judgement(self._default, attributes, DEFAULT_STATEMENT, next_hop_self, discard)

    def _test(self, condition: Condition) -> Test:
        if isinstance(condition, PrefixIn):
            return self._prefix_test(condition)
        if isinstance(condition, RpkiIs):
            wanted = {_STATES.index(state) for state in condition.states if state in _STATES}
            if len(wanted) != len(set(condition.states)):
                raise ValueError(f"{', '.join(condition.states)}: a validation state is one of {', '.join(_STATES)}")
            return lambda attributes, mark, source: mark >> len(self._sets) in wanted
        return attribute_test(condition)

    def _prefix_test(self, condition: PrefixIn) -> Test:
        at = self._set_index.setdefault(tuple(condition.ranges), len(self._sets))
        if at == len(self._sets):
            self._sets.append(PrefixSet(condition.ranges))
        expected = not condition.invert
        # The first set lands in the highest bit: its place is counted from the end once all sets are known.
        return lambda attributes, mark, source: bool(mark >> (len(self._sets) - 1 - at) & 1) is expected


@lru_cache(maxsize=256)
def _compiled(policy: Policy, family: Family) -> CompiledPolicy:
    return CompiledPolicy(policy, family)


def evaluate(
    policy: Policy,
    prefix: Prefix,
    attributes: PathAttributes,
    source: LearnedFrom = LearnedFrom.EBGP,
    validator: OriginValidator | None = None,
) -> Judgement:
    """What a policy makes of one route. Raises InputError for a malformed policy, ValueError for a malformed prefix."""
    family = family_of_prefix(prefix)
    compiled = _compiled(policy, family) if validator is None else CompiledPolicy(policy, family, validator)
    return compiled.judge(attributes, compiled.mark(nlri_bytes(prefix), attributes.origin_as()), source)
