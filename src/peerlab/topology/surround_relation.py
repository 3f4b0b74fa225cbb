"""What a neighbour is taken for, and why: by its number, its RFC 9234 role, its names, what policy lets through.

The first thing that says something decides; the sentence that goes with it is for people. Nothing here is certain but
the AS number and the role: that is why every judgement tells its reason, and can be overruled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import BgpRole
from peerlab.topology.surround import NeighbourReading, PolicyReading, Reach

CLOUD_ASN = 8075
SMALL_LIMIT = 200_000
"""A limit below this is no transit's, who sends the whole table."""


class Kind(StrEnum):
    """What a neighbour is to the router whose configuration it stands in."""

    MICROSOFT = "microsoft"
    INTERNAL = "internal"
    PROVIDER = "provider"
    CUSTOMER = "customer"
    PEER = "peer"
    ROUTE_SERVER = "route-server"
    CLIENT = "client"


ROLE_KINDS = {
    BgpRole.PROVIDER: Kind.CUSTOMER,
    BgpRole.CUSTOMER: Kind.PROVIDER,
    BgpRole.PEER: Kind.PEER,
    BgpRole.RS_CLIENT: Kind.ROUTE_SERVER,
    BgpRole.RS: Kind.CLIENT,
}
"""The local role says what the other one is (RFC 9234 section 4.1)."""

WORDS = (
    (Kind.ROUTE_SERVER, r"route ?servers?|rs|ixrs|rserver"),
    (Kind.PROVIDER, r"transits?|upstreams?|providers?|uplinks?"),
    (Kind.CUSTOMER, r"customers?|custs?|downstreams?"),
    (Kind.PEER, r"peers?|peerings?|pni|bilaterals?|bilat"),
)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A kind and its reason. ``strength``: 4 stated, 3 called so, 2 policies called so, 1 by policies, 0 a guess."""

    kind: Kind
    why: str
    strength: int


def judge(neighbours: Iterable[NeighbourReading], chosen: Mapping[int, Kind]) -> list[Judgement]:
    """A judgement per neighbour, in order; one AS is one kind. ``chosen`` overrules by AS number."""
    listed = list(neighbours)
    found = [_judge(one, chosen) for one in listed]
    best: dict[int, Judgement] = {}
    for neighbour, judgement in zip(listed, found, strict=True):
        if neighbour.asn is not None:
            known = best.get(neighbour.asn)
            if known is None or judgement.strength > known.strength:
                best[neighbour.asn] = judgement
    told = []
    for neighbour, judgement in zip(listed, found, strict=True):
        same = judgement if neighbour.asn is None else best[neighbour.asn]
        if same.kind is not judgement.kind:
            said = f"as another session of AS{neighbour.asn}: {same.why} (this one: {judgement.kind}, {judgement.why})"
            judgement = Judgement(kind=same.kind, why=said, strength=same.strength)
        told.append(judgement)
    return told


def _judge(one: NeighbourReading, chosen: Mapping[int, Kind]) -> Judgement:
    if one.internal:
        return Judgement(kind=Kind.INTERNAL, why="our own AS number", strength=4)
    if one.asn == CLOUD_ASN:
        return Judgement(kind=Kind.MICROSOFT, why="its AS number", strength=4)
    if one.asn is not None and one.asn in chosen:
        return Judgement(kind=chosen[one.asn], why="--role says so", strength=5)
    if one.role is not None:
        return Judgement(kind=ROLE_KINDS[one.role], why=f"our local role {one.role.value} (RFC 9234)", strength=4)
    if one.route_server_client:
        return Judgement(kind=Kind.CLIENT, why="client of our route server", strength=4)
    texts = [(one.description, "its description"), *((group, f"its group {group}") for group in one.groups)]
    for text, said in (*texts, (one.name, "its name")):
        kind = kind_in(text)
        if kind is not None:
            return Judgement(kind=kind, why=said, strength=3)
    if one.unchecked_first_as:
        return Judgement(kind=Kind.ROUTE_SERVER, why="the leftmost AS need not be its own (RFC 7947)", strength=3)
    for policies, way in ((one.imports, "import"), (one.exports, "export")):
        for name in _names(policies.values()):
            kind = kind_in(name)
            if kind is not None:
                return Judgement(kind=kind, why=f"the {way} policy {name}", strength=2)
    return _by_reach(one)


def kind_in(text: str) -> Kind | None:
    """The kind that a text speaks of; None when it speaks of none, or of two."""
    words = re.sub(r"[^a-z]+", " ", text.lower())
    found = [kind for kind, pattern in WORDS if re.search(rf"\b(?:{pattern})\b", words)]
    # "Peering at the route servers" is about the route servers.
    if len(found) == 2 and found == [Kind.ROUTE_SERVER, Kind.PEER]:
        found.pop()
    return found[0] if len(found) == 1 else None


def _names(policies: Iterable[PolicyReading]) -> Iterator[str]:
    for policy in policies:
        yield from policy.names


def _by_reach(one: NeighbourReading) -> Judgement:
    """The shape of the policies: who gets everything is a customer, who may say everything a provider."""
    imports = {policy.reach for policy in one.imports.values()}
    exports = {policy.reach for policy in one.exports.values()}
    gives_default = any(policy.default for policy in one.exports.values())
    takes_default = any(policy.default for policy in one.imports.values())
    if imports == {Reach.SOME} and (exports == {Reach.ALL} or gives_default) and not takes_default:
        given = "the default route" if gives_default else "everything"
        return Judgement(kind=Kind.CUSTOMER, why=f"it gets {given} and may announce only some", strength=1)
    if takes_default:
        return Judgement(kind=Kind.PROVIDER, why="its default route is taken", strength=1)
    if imports == {Reach.ALL} and exports == {Reach.SOME}:
        limit = min(one.limits.values(), default=None)
        if limit is not None and limit < SMALL_LIMIT:
            return Judgement(kind=Kind.PEER, why=f"it gets only some, and may announce {limit} at most", strength=1)
        why = "it may announce everything, without a limit, and gets only some"
        return Judgement(kind=Kind.PROVIDER, why=why, strength=1)
    if imports == {Reach.SOME} and exports == {Reach.SOME}:
        return Judgement(kind=Kind.PEER, why="each gets only some of the other", strength=1)
    return Judgement(kind=Kind.PEER, why="a guess: nothing says what it is", strength=0)
