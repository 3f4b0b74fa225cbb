"""The router's policies by name, compiled once per family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peerlab.bgp.attributes import Family
from peerlab.bgp.origin_validation import OriginValidator
from peerlab.bgp.policy import DENY_ALL, Policy
from peerlab.bgp.policy_engine import CompiledPolicy
from peerlab.errors import InputError, Problem


class PolicyTable:
    """An immutable set of named policies. ``deny-all`` always exists."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        validator: OriginValidator,
        compiled: Mapping[tuple[str, Family], CompiledPolicy] | None = None,
    ) -> None:
        """Raises InputError when a policy is malformed, with every problem of all of them."""
        self.policies = {DENY_ALL.name: DENY_ALL, **policies}
        self._validator = validator
        self._compiled = dict(compiled or {})
        problems: list[Problem] = []
        for name in self.policies:
            try:
                self.find(name, Family.IPV4)
            except InputError as error:
                problems.extend(error.problems)
        if problems:
            raise InputError(problems)

    def find(self, name: str, family: Family) -> CompiledPolicy | None:
        """The policy of that name; None for the empty name, which stands for no policy. Raises KeyError."""
        if not name:
            return None
        found = self._compiled.get((name, family))
        if found is None:
            found = self._compiled[name, family] = CompiledPolicy(self.policies[name], family, self._validator)
        return found

    def with_added(self, policies: Mapping[str, Policy]) -> PolicyTable:
        """A table with these added or replaced; what did not change stays compiled, and the same object."""
        changed = {name for name, policy in policies.items() if self.policies.get(name) != policy}
        kept = {key: compiled for key, compiled in self._compiled.items() if key[0] not in changed}
        return PolicyTable({**self.policies, **policies}, self._validator, kept)

    def require(self, names: Iterable[tuple[str, str]]) -> None:
        """Check (where, policy name) pairs. Raises InputError with every name that does not exist."""
        known = ", ".join(sorted(self.policies))
        problems = [
            Problem(where, f"there is no policy {name!r}", f"name one of {known}")
            for where, name in names
            if name and name not in self.policies
        ]
        if problems:
            raise InputError(problems)
