"""What is left of a lab when units are out: routers, wires, sessions that keep their ground. Model only."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.topology.model import LabModel, LinkPurpose, NodeKind, Session, SessionEnd
from peerlab.verify.outage import Unit, UnitKind


class Survivors(msgspec.Struct, frozen=True, kw_only=True):
    """A lab with an outage. ``links`` are the wires that carry, ``islands`` the parts that each AS's IGP falls into."""

    model: LabModel
    routers: frozenset[str]
    links: frozenset[str]
    sessions: frozenset[str]
    islands: dict[str, str]
    """Router to the name that stands for all routers which its IGP still joins it with."""


def survivors(model: LabModel, out: Iterable[Unit]) -> Survivors:
    """What an outage leaves. Links of kind ``up`` count as out: an order begins with all of them down."""
    lost = tuple(out)
    routers = {n.name for n in model.nodes if n.is_router} - {
        u.name for u in lost if u.kind in (UnitKind.ROUTER, UnitKind.ROUTE_SERVER)
    }
    dead = {n.name for n in model.nodes if n.is_router} - routers
    cut = {u.name for u in lost if u.kind in (UnitKind.LINK, UnitKind.UP)}
    cut |= {link.id for link in model.links if any(end.node in dead for end in link.ends)}
    for unit in lost:
        if unit.kind is UnitKind.METRO:
            cut |= metro_wires(model, unit.name)
    links = frozenset(link.id for link in model.links) - cut
    islands = _islands(model, routers, links)
    shut = {u.name for u in lost if u.kind is UnitKind.SESSION}
    sessions = frozenset(
        s.id for s in model.sessions if s.id not in shut and _has_ground(model, s, routers, links, islands)
    )
    return Survivors(model=model, routers=frozenset(routers), links=links, sessions=sessions, islands=islands)


def metro_wires(model: LabModel, metro: str) -> set[str]:
    """Every wire of a metro's routers but those to hosts: what ``fault metro-down`` cuts."""
    inside = {node.name for node in model.nodes if node.metro == metro and node.is_router}
    return {
        link.id
        for link in model.links
        if link.purpose is not LinkPurpose.ACCESS and any(end.node in inside for end in link.ends)
    }


def _islands(model: LabModel, routers: set[str], links: frozenset[str]) -> dict[str, str]:
    islands = {name: name for name in sorted(routers)}
    for link in model.links:
        ends = [end.node for end in link.ends]
        if link.purpose is not LinkPurpose.BACKBONE or link.id not in links or not routers.issuperset(ends):
            continue
        one, other = islands[ends[0]], islands[ends[1]]
        islands = {name: one if island == other else island for name, island in islands.items()}
    return islands


def _has_ground(
    model: LabModel, session: Session, routers: set[str], links: frozenset[str], islands: dict[str, str]
) -> bool:
    left, right = session.left, session.right
    if not routers.issuperset((left.node, right.node)):
        return False
    if left.interface is None or right.interface is None:
        return islands[left.node] == islands[right.node]
    return _wire(model, left) in links and _wire(model, right) in links


def _wire(model: LabModel, end: SessionEnd) -> str:
    assert end.interface is not None
    return model.node(end.node).interface(end.interface).link


def gateway_of(model: LabModel, host: str) -> tuple[str, str] | None:
    """The router that a host hangs on, and the wire between them; None for what hangs on no router."""
    for link in model.links:
        names = [end.node for end in link.ends]
        if host in names:
            (router,) = [name for name in names if name != host]
            return (router, link.id) if model.node(router).is_router else None
    return None


def hosts_of(model: LabModel) -> tuple[str, ...]:
    """Every host, in model order."""
    return tuple(node.name for node in model.nodes if node.kind is NodeKind.HOST)
