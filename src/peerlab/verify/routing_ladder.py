"""Judge of the preference ladder: which kind of neighbour the cloud prefers by LOCAL_PREF (RTG-03)."""

from __future__ import annotations

from itertools import pairwise

from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Moment
from peerlab.topology.model import LabModel, PeeringKind, Relation, Session
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.potato import DEFAULT_PREFERENCE
from peerlab.verify.reading import node_at, snapshot
from peerlab.verify.subject import cloud_ebgp, connections, edge_end, is_examiner

LADDER = ("private peering", "exchange", "route server", "transit")
"""Kinds of eBGP sessions, most preferred first (catalogue RTG-03)."""


def rung_of(model: LabModel, session: Session) -> str | None:
    """Which kind of eBGP session it is to the cloud, None for what the ladder does not rank."""
    edge = edge_end(model, session)
    if edge is None or is_examiner(session):
        return None
    for connection in connections(model):
        if session.connection == connection.key:
            if connection.peering.direct_peering_type == "IxRs":
                return "route server"
            return "exchange" if connection.peering.kind is PeeringKind.EXCHANGE else "private peering"
    return "transit" if edge.relation is Relation.PROVIDER else None


def no_ladder(model: LabModel) -> str | None:
    """Why there is nothing to prefer over something else."""
    rungs = {rung_of(model, session) for session, _ in cloud_ebgp(model)} - {None}
    return None if len(rungs) > 1 else "the cloud of this lab has one kind of neighbour only"


def judge_ladder(evidence: Evidence) -> Judgement:
    docket = Docket()
    taken = snapshot(evidence, docket, Moment.ALLOWED)
    seen = _preferences(evidence, docket, taken) if taken is not None else {}
    for session, _ in cloud_ebgp(evidence.model):
        rung = rung_of(evidence.model, session)
        if rung is not None and rung not in seen and taken is not None:
            docket.lacks(f"no edge accepted a route from a {rung} neighbour")
    present = [rung for rung in LADDER if rung in seen]
    for upper, lower in pairwise(present):
        least, most = min(seen[upper]), max(seen[lower])
        if least[0] <= most[0]:
            what = f"{upper} has LOCAL_PREF {least[0]} at {least[1]}, {lower} {most[0]} at {most[1]}"
            docket.breaks(taken.at if taken else 0, "the cloud", what)
        else:
            docket.proves(taken.at if taken else 0, "the cloud", f"{upper} from {least[0]}, {lower} up to {most[0]}")
    return docket.close(" > ".join(f"{rung} {max(seen[rung])[0]}" for rung in present))


def _preferences(evidence: Evidence, docket: Docket, taken: Snapshot) -> dict[str, list[tuple[int, str]]]:
    """LOCAL_PREF of every route that edges accepted, with its place, by rung."""
    seen: dict[str, list[tuple[int, str]]] = {}
    for session, end in cloud_ebgp(evidence.model):
        rung = rung_of(evidence.model, session)
        node = node_at(taken, docket, end.node)
        for route in node.adj_rib_in_post.get(session.id, ()) if rung is not None and node is not None else ():
            if route.accepted and rung is not None:
                given = route.attributes.local_pref
                preference = given if given is not None else DEFAULT_PREFERENCE
                seen.setdefault(rung, []).append((preference, f"{end.node} {session.id}"))
    return seen
