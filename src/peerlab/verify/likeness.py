"""Whether a lab is again what it was: two snapshots compared in everything but times and counts of flaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from peerlab.bgp.route_fact import RouteFact
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, SessionFact, Snapshot
from peerlab.topology.model import LabModel

RIBS = ("adj_rib_in_pre", "adj_rib_in_post", "adj_rib_out")


def differences(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """What is not as it was, node by node, in words. Nothing: the two are the same lab.

    Compared are sessions (state, counters, policies, what was negotiated), all RIBs with every attribute and reason,
    kernels, addresses and carriers. Left out: since when, how often a session flapped, what its last error was.
    """
    for name in sorted({*before.nodes, *now.nodes}):
        then, here = before.nodes.get(name), now.nodes.get(name)
        if then is None or here is None:
            yield f"{name}: {'was not there before' if then is None else 'is not there any more'}"
        else:
            yield from _of_node(then, here)


def in_flight(model: LabModel, taken: Snapshot) -> Iterator[str]:
    """Sessions of which one end has told what the other has not heard: a message is on its way, or lost for good.

    A segment that a cut link swallowed is sent again after TCP's timeout only; until then all routers are quiet.
    """
    for session in model.sessions:
        ends = (session.left, session.right)
        seen = [taken.nodes.get(end.node) for end in ends]
        if any(one is None or not _is_up(one, session.id) for one in seen):
            continue
        for sender, receiver in ((seen[0], seen[1]), (seen[1], seen[0])):
            assert sender is not None and receiver is not None
            told = {r.prefix: r.attributes.as_path for r in sender.adj_rib_out.get(session.id, ())}
            heard = {r.prefix: r.attributes.as_path for r in receiver.adj_rib_in_pre.get(session.id, ())}
            if told != heard:
                yield f"{sender.node} > {receiver.node} {session.id}"


def _is_up(node: NodeSnapshot, session: str) -> bool:
    return any(fact.session == session and fact.state == "Established" for fact in node.sessions)


def _of_node(then: NodeSnapshot, here: NodeSnapshot) -> Iterator[str]:
    if then.dead != here.dead:
        yield f"{here.node}: {here.dead or 'its router runs, which it did not'}"
        return
    yield from _of_table(f"{here.node} session", _sessions(then), _sessions(here))
    yield from _of_table(f"{here.node} Loc-RIB", _routes(then.loc_rib), _routes(here.loc_rib))
    for rib in RIBS:
        one: Mapping[str, tuple[RouteFact, ...]] = getattr(then, rib)
        other: Mapping[str, tuple[RouteFact, ...]] = getattr(here, rib)
        for session in sorted({*one, *other}):
            what = f"{here.node} {rib} of {session}"
            yield from _of_table(what, _routes(one.get(session, ())), _routes(other.get(session, ())))
    yield from _of_table(f"{here.node} kernel", _kernel(then), _kernel(here))
    yield from _of_table(f"{here.node} addresses of", then.addresses, here.addresses)
    yield from _of_table(f"{here.node} carrier of", then.carrier, here.carrier)


def _kernel(node: NodeSnapshot) -> dict[tuple[str, int, str | None, str | None], KernelRoute]:
    return {(str(r.prefix), r.metric, r.gateway, r.interface): r for r in node.kernel}


def _sessions(node: NodeSnapshot) -> dict[str, SessionFact]:
    return {f.session: _timeless(f) for f in node.sessions}


def _timeless(fact: SessionFact) -> SessionFact:
    bfd = None if fact.bfd is None else msgspec.structs.replace(fact.bfd, since=0, diagnostic="")
    return msgspec.structs.replace(fact, since=0, flaps=0, last_error="", bfd=bfd)


def _routes(routes: tuple[RouteFact, ...]) -> dict[tuple[str, str | None], RouteFact]:
    return {(str(r.prefix), r.session): msgspec.structs.replace(r, received_at=0) for r in routes}


def _of_table(what: str, then: Mapping[Any, object], here: Mapping[Any, object]) -> Iterator[str]:
    for key in sorted({*then, *here}, key=str):
        one, other = then.get(key), here.get(key)
        if one != other:
            name = " ".join(str(part) for part in key if part) if isinstance(key, tuple) else str(key)
            yield f"{what} {name}: {_change(one, other)}"


def _change(one: object, other: object) -> str:
    """What differs, field by field where both are values of ours."""
    if one is None or other is None:
        return "new" if one is None else "gone"
    if not isinstance(one, msgspec.Struct):
        return f"was {one}, is {other}"
    fields = [f for f in one.__struct_fields__ if getattr(one, f) != getattr(other, f)]
    return ", ".join(f"{f} was {_short(getattr(one, f))}, is {_short(getattr(other, f))}" for f in fields)


def _short(value: object) -> str:
    return repr(value) if value == "" else str(value)
