"""What a sweep takes away from a lab, in words: ``link:a--b,router:c`` fails both, ``up:a--b,up:b--c`` is an order.

A *unit* is one thing that can fail by itself. A *case* is a set of units that are out together, or an order in which
links come up after all of them were down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import combinations

import msgspec

from peerlab.topology.mistake import no_such
from peerlab.topology.model import LabModel, LinkPurpose


class UnitKind(StrEnum):
    """What can be lost by itself. ``up`` is a link of an order: down first, then put up in its turn."""

    LINK = "link"
    ROUTER = "router"
    ROUTE_SERVER = "route-server"
    SESSION = "session"
    METRO = "metro"
    RPKI_CACHE = "rpki-cache"
    UP = "up"


FAILURES = tuple(kind for kind in UnitKind if kind is not UnitKind.UP)
"""Kinds of single failures, in the order in which they are swept."""


class Unit(msgspec.Struct, frozen=True, order=True):
    """One thing of the model: a link's, router's, session's or metro's name."""

    kind: UnitKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Case(msgspec.Struct, frozen=True):
    """Units that fail together; or, all of kind ``up``, links that come up in this order."""

    units: tuple[Unit, ...]

    @property
    def is_order(self) -> bool:
        """Whether this is an order of bring-up."""
        return any(unit.kind is UnitKind.UP for unit in self.units)

    def __str__(self) -> str:
        return ",".join(map(str, self.units))


def units(model: LabModel, kinds: Iterable[UnitKind] = FAILURES) -> tuple[Unit, ...]:
    """Everything of these kinds that the lab can lose. A route server is no ``router`` as well."""
    wanted = set(kinds)
    routers = [node for node in model.nodes if node.is_router]
    metros = {node.metro for node in routers}
    names = {
        UnitKind.LINK: [link.id for link in model.links],
        UnitKind.ROUTER: [node.name for node in routers if not node.route_server],
        UnitKind.ROUTE_SERVER: [node.name for node in routers if node.route_server],
        UnitKind.SESSION: [session.id for session in model.sessions],
        UnitKind.METRO: [metro.name for metro in model.metros if metro.name in metros],
        UnitKind.RPKI_CACHE: [cache.node for cache in model.caches],
        UnitKind.UP: [
            link.id for link in model.links if link.purpose in (LinkPurpose.INTERCONNECT, LinkPurpose.LAN)
        ],
    }
    return tuple(Unit(kind, name) for kind in UnitKind if kind in wanted for name in names[kind])


def singles(model: LabModel, kinds: Iterable[UnitKind] = FAILURES) -> tuple[Case, ...]:
    """Every single failure."""
    return tuple(Case((unit,)) for unit in units(model, kinds))


def pairs(model: LabModel, kinds: Iterable[UnitKind] = FAILURES) -> tuple[Case, ...]:
    """Every two failures at once."""
    return tuple(Case(pair) for pair in combinations(units(model, kinds), 2))


def case_of(text: str, model: LabModel) -> Case:
    """The case that a text names. Raises RefusedError for a unit that the lab does not have."""
    found = tuple(_unit(part.strip(), model) for part in text.split(","))
    case = Case(found)
    if case.is_order and any(unit.kind is not UnitKind.UP for unit in found):
        raise no_such("case", text, ["an order has units `up:LINK` only"])
    return case


def _unit(text: str, model: LabModel) -> Unit:
    word, colon, name = text.partition(":")
    kinds = [kind.value for kind in UnitKind]
    if not colon or word not in kinds:
        raise no_such("unit", text, [f"{kind}:NAME" for kind in kinds])
    known = [unit.name for unit in units(model, (UnitKind(word),))]
    if name not in known:
        raise no_such(word, name, known)
    return Unit(UnitKind(word), name)


def smaller(case: Case, size: int) -> Iterable[Case]:
    """Every part of a case with so many units, in their order."""
    return (Case(part) for part in combinations(case.units, size))


def without(sequence: Sequence[Unit], begin: int, end: int) -> Case:
    """A case with a stretch of its units left out."""
    return Case((*sequence[:begin], *sequence[end:]))
