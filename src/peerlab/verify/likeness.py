"""Whether a lab is again what it was: two snapshots compared in everything but times and counts of flaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from peerlab.bgp.route_fact import RouteFact
from peerlab.evidence.snapshot import NodeSnapshot, SessionFact, Snapshot

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
    yield from _of_table(
        f"{here.node} kernel",
        {(r.prefix, r.metric, r.gateway, r.interface): r for r in then.kernel},
        {(r.prefix, r.metric, r.gateway, r.interface): r for r in here.kernel},
    )
    yield from _of_table(f"{here.node} addresses of", then.addresses, here.addresses)
    yield from _of_table(f"{here.node} carrier of", then.carrier, here.carrier)


def _sessions(node: NodeSnapshot) -> dict[str, SessionFact]:
    return {f.session: msgspec.structs.replace(f, since=0, flaps=0, last_error="") for f in node.sessions}


def _routes(routes: tuple[RouteFact, ...]) -> dict[tuple[str, str | None], RouteFact]:
    return {(r.prefix, r.session): msgspec.structs.replace(r, received_at=0) for r in routes}


def _of_table(what: str, then: Mapping[object, object], here: Mapping[object, object]) -> Iterator[str]:  # type: ignore[type-var]
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
