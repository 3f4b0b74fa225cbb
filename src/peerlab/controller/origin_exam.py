"""The examiners of the scene about route origins: a peer, a forger, receivers, and an RPKI cache of the edge's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from peerlab.bgp.attributes import Family, Prefix
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, RemovePrivateAses, RpkiIs, Statement, Verdict
from peerlab.controller.exam import ACCEPT_ALL, EXAM_ACCEPT, Exam
from peerlab.controller.examiner import Post
from peerlab.controller.rehearsal import Rehearsal
from peerlab.daemons.rpki import servers_of
from peerlab.peering.intent import edge_rules
from peerlab.peering.policy import (
    RPKI_INVALID_OUT,
    EdgeRules,
    EdgeSession,
    Neighbour,
    export_policy,
    import_policy,
)
from peerlab.topology.model import LabModel, NodeKind, PolicyStage, RegistryEntry, RpkiCache

PEER, AGREED, FORGER = "origin-peer", "origin-agreed", "origin-forger"
"""Peers under the desk's own policy; with the second one blackholing is agreed, the third has an AS of its own."""
ANY, INSIDE = "origin-any", "origin-inside"
"""An AS of which all is accepted, and a router of the cloud's own AS: what they announce is to be exported."""
OUT, STRIP = "origin-out", "origin-strip"
"""Receivers: under the desk's export policy, and under one that takes private AS numbers out."""
CACHE = "origin-cache"
NEAR, FAR, CACHE_NODE = "exam-o", "exam-r", "exam-rpki"

REFRESH, RETRY, EXPIRE = 60, 5, 600
"""Seconds that the examiners' cache tells routers, but when it is about to be lost."""


def posts(edge: str, cloud: int, forger: int) -> list[Post]:
    """Which router stands where, for every case."""
    return [
        *(Post(case=case, examiner=NEAR, at=edge) for case in (PEER, AGREED, ANY)),
        Post(case=FORGER, examiner=NEAR, at=edge, asn=forger),
        Post(case=INSIDE, examiner=NEAR, at=edge, asn=cloud),
        *(Post(case=case, examiner=FAR, at=edge) for case in (OUT, STRIP)),
        Post(case=CACHE, examiner=CACHE_NODE, at=edge),
    ]


def with_cache(model: LabModel, edge: str) -> LabModel:
    """The model with the examiner at the cache's post being a cache, which has no BGP session."""
    nodes = tuple(
        msgspec.structs.replace(node, kind=NodeKind.RPKI_CACHE) if node.name == CACHE_NODE else node
        for node in model.nodes
    )
    sessions = tuple(s for s in model.sessions if CACHE_NODE not in (s.left.node, s.right.node))
    cache = RpkiCache(node=CACHE_NODE, serves=(edge,), refresh=REFRESH, retry=RETRY, expire=EXPIRE)
    return msgspec.structs.replace(model, nodes=nodes, sessions=sessions, caches=(*model.caches, cache))


def cache_of(model: LabModel) -> RpkiCache:
    """The examiners' cache. Raises StopIteration when it is not there."""
    return next(cache for cache in model.caches if cache.node == CACHE_NODE)


def stands_alone(model: LabModel, edge: str) -> bool:
    """Whether the edge asks the examiners' cache and no other."""
    return [server.name for server in servers_of(model, model.node(edge))] == [CACHE_NODE]


def desk_rules(rehearsal: Rehearsal, objects: Iterable[RegistryEntry], service: Sequence[Prefix] = ()) -> EdgeRules:
    """What all sessions of the edge share, with more route objects; AS numbers of examiners are no bogons here."""
    rules = edge_rules(rehearsal.lab.model, rehearsal.desk.desk.ledger, hot_potato=rehearsal.desk.hot_potato)
    return msgspec.structs.replace(
        rules,
        registry=(*rules.registry, *objects),
        service=(*rules.service, *service),
        unused_asns=(),
    )


def described(
    exam: Exam, case: str, family: Family, as_set: tuple[int, ...], *, blackhole: bool = False
) -> EdgeSession:
    """A case's session as the desk's policy must know it."""
    examiner = exam[case]
    return EdgeSession(
        name=examiner.sessions[family],
        family=family,
        neighbour=Neighbour.PRIVATE,
        peer_asn=examiner.asn,
        peer=examiner.addresses[family],
        microsoft=examiner.far_addresses[family],
        location="examination",
        as_set=as_set,
        blackhole=blackhole,
        validates=True,
    )


def want(
    exam: Exam, family: Family, objects: Sequence[RegistryEntry], service: Sequence[Prefix], stripped: Sequence[Prefix]
) -> None:
    """Want every session of a family, with the desk's own policies where these are examined."""
    rules = desk_rules(exam.rehearsal, objects, service)
    origins = tuple(sorted({entry.origin_asn for entry in objects}))
    for case in (PEER, AGREED, FORGER):
        peer = described(exam, case, family, (exam[case].asn, *origins), blackhole=case == AGREED)
        exam.want(case, takes=import_policy(peer, PolicyStage.ALLOW, rules), families=(family,))
    exam.want(ANY, takes=EXAM_ACCEPT, families=(family,))
    exam.want(INSIDE, takes=ACCEPT_ALL, families=(family,))
    receiver = described(exam, OUT, family, ())
    out = export_policy(receiver, PolicyStage.ALLOW, rules)
    exam.want(OUT, tells=out, peer_takes=ACCEPT_ALL, families=(family,))
    stripping = _stripping(stripped, exam[STRIP].sessions[family])
    exam.want(STRIP, tells=stripping, peer_takes=ACCEPT_ALL, families=(family,))


def _stripping(prefixes: Sequence[Prefix], session: str) -> Policy:
    """Private AS numbers are taken out first, so that validation sees what the receiver will."""
    chosen = PrefixIn(tuple(PrefixRange(prefix) for prefix in prefixes))
    return Policy(
        name=f"strip-{session}",
        statements=(
            Statement(name="private AS numbers taken out", actions=(RemovePrivateAses(),)),
            Statement(name=RPKI_INVALID_OUT, match=(RpkiIs(("invalid",)),), verdict=Verdict.REJECT),
            Statement(name="examined", match=(chosen,), verdict=Verdict.ACCEPT),
        ),
    )
