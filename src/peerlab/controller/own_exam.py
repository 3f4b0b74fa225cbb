"""Microsoft's edge as a neighbour that misbehaves: what does a router with a configuration of its own let in?

It goes out on the sessions of the connection themselves, for there is no other neighbour in that configuration, and is
taken back at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.controller.announcements import DEFAULT, LENGTH, bogons
from peerlab.controller.exam import sequence, spare_prefixes
from peerlab.controller.lab import now_ns
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import StimulusApplied, StimulusObserved
from peerlab.evidence.story_own import Misbehaviour, OwnStimulus
from peerlab.router.protocol import Announce, Withdraw
from peerlab.topology.model import LabModel, Node, NodeKind, Session


async def misbehave(rehearsal: Rehearsal) -> None:
    """Announce every case on every connection session of every such router, look what it took, and take it back."""
    model = rehearsal.model
    for node in model.nodes:
        for session in model.sessions_of(node.name) if node.own is not None else ():
            edge = session.other(node.name).node
            if session.connection is not None and model.node(edge).kind is NodeKind.EXABGP:
                await _misbehave(rehearsal, node, session)


async def _misbehave(rehearsal: Rehearsal, node: Node, session: Session) -> None:
    lab, edge = rehearsal.lab, session.other(node.name)
    attributes = PathAttributes(as_path=sequence(edge.asn), next_hop=edge.address)
    announcer, router = await lab.router(edge.node), await lab.router(node.name)
    cases = dict(_cases(rehearsal.model, node, session.family))
    for case, prefixes in cases.items():
        detail = {"trial": case.value, "case": case.value, "router": node.name, "prefixes": list(prefixes)}
        lab.record(
            StimulusApplied(
                at=now_ns(),
                stimulus=OwnStimulus.EDGE_MISBEHAVES,
                node=edge.node,
                session=session.id,
                detail={"session": session.id, **detail},
            )
        )
        await announcer.ask(Announce(session=session.id, prefixes=prefixes, attributes=attributes))
    await lab.wait_quiet((edge.node, node.name))
    taken = {route.prefix for route in await router.rib("adj-rib-in-post", session.id) if route.accepted}
    for case, prefixes in cases.items():
        lab.record(
            StimulusObserved(
                at=now_ns(),
                stimulus=OwnStimulus.EDGE_MISBEHAVES,
                node=node.name,
                detail={
                    "session": session.id,
                    "trial": case.value,
                    "accepted": [prefix for prefix in prefixes if prefix in taken],
                },
            )
        )
        await announcer.ask(Withdraw(session=session.id, prefixes=prefixes))
    await lab.wait_quiet((edge.node, node.name))


def _cases(model: LabModel, node: Node, family: Family) -> Iterator[tuple[Misbehaviour, tuple[Prefix, ...]]]:
    yield Misbehaviour.DEFAULT, (Prefix(DEFAULT[family]),)
    yield Misbehaviour.BOGON, bogons(model, family)
    own = model.as_of(node.name)
    mine = tuple(p for p in (own.prefixes if own else ()) if (":" in p) is (family is Family.IPV6))
    if mine:
        yield Misbehaviour.OWN, mine
    spare = ip_network(next(spare_prefixes(model, family)))
    yield Misbehaviour.LONG, (Prefix(str(next(spare.subnets(new_prefix=LENGTH[family] + 1)))),)
