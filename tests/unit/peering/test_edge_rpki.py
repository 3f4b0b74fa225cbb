"""The edge's origin validation and blackholing (POL-19, POL-20, POL-22): what each accepts, and what it does not."""

from __future__ import annotations

import msgspec
import pytest

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.nlri import nlri_bytes
from peerlab.bgp.origin_validation import OriginValidator, Vrp
from peerlab.bgp.policy import LearnedFrom, Policy, Verdict
from peerlab.bgp.policy_engine import CompiledPolicy, Judgement, evaluate
from peerlab.peering.policy import (
    BLACKHOLE,
    NO_EXPORT,
    RPKI_INVALID,
    RPKI_INVALID_OUT,
    EdgeRules,
    EdgeSession,
    Neighbour,
    export_policy,
    import_policy,
    transit_import,
)
from peerlab.topology.model import PolicyStage, RegistryEntry

PEER, CUSTOMER, OTHER = 64500, 64501, 64502
RULES = EdgeRules(
    own=(Prefix("13.64.0.0/11"),),
    service=(Prefix("13.64.0.0/16"),),
    registry=(
        RegistryEntry(prefix=Prefix("45.0.0.0/16"), origin_asn=PEER, max_length=24),
        RegistryEntry(prefix=Prefix("46.0.0.0/16"), origin_asn=CUSTOMER, max_length=24),
        RegistryEntry(prefix=Prefix("2a00:1::/32"), origin_asn=PEER, max_length=48),
    ),
)
V4 = EdgeSession(
    name="s4",
    family=Family.IPV4,
    neighbour=Neighbour.PRIVATE,
    peer_asn=PEER,
    peer=Address("192.0.2.0"),
    microsoft=Address("192.0.2.1"),
    location="Amsterdam",
    as_set=(PEER, CUSTOMER),
    validates=True,
)
V6 = msgspec.structs.replace(V4, family=Family.IPV6, peer=Address("2001:db8::"), microsoft=Address("2001:db8::1"))
AGREED = msgspec.structs.replace(V4, blackhole=True)
AGREED_V6 = msgspec.structs.replace(V6, blackhole=True)
VRPS = OriginValidator(
    [
        Vrp(Prefix("45.0.0.0/16"), PEER, 20),
        Vrp(Prefix("45.0.128.0/20"), 0, 24),
        Vrp(Prefix("46.0.0.0/16"), OTHER, 24),
        Vrp(Prefix("2a00:1::/32"), PEER),
        Vrp(Prefix("13.64.0.0/16"), OTHER),
    ]
)


def judged(session: EdgeSession, prefix: str, *path: int, marked: bool = False, rules: EdgeRules = RULES) -> Judgement:
    attributes = PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, path or (PEER,)),),
        next_hop=session.peer,
        communities=(BLACKHOLE,) if marked else (),
    )
    policy = import_policy(session, PolicyStage.ALLOW, rules)
    return evaluate(policy, Prefix(prefix), attributes, LearnedFrom.EBGP, VRPS)


@pytest.mark.parametrize(
    ("session", "prefix", "path", "statement"),
    [
        (V4, "45.0.0.0/16", (PEER,), "accepted"),  # Valid
        (V4, "45.0.16.0/20", (PEER,), "accepted"),  # Valid, at maxLength
        (V4, "45.0.16.0/24", (PEER,), RPKI_INVALID),  # beyond maxLength, though a route object allows it
        (V4, "45.0.128.0/20", (PEER,), "accepted"),  # AS0 beside a VRP that matches takes nothing away
        (V4, "45.0.128.0/21", (PEER,), RPKI_INVALID),
        (V4, "46.0.1.0/24", (PEER, CUSTOMER), RPKI_INVALID),  # another origin
        (V6, "2a00:1::/32", (PEER,), "accepted"),
        (V6, "2a00:1:1::/48", (PEER,), RPKI_INVALID),
    ],
)
def test_invalid_is_rejected_valid_is_not(
    session: EdgeSession, prefix: str, path: tuple[int, ...], statement: str
) -> None:
    answer = judged(session, prefix, *path)
    assert (answer.accepted, answer.statement) == (statement == "accepted", statement)


def test_not_found_is_accepted() -> None:
    policy = import_policy(V4, PolicyStage.ALLOW, RULES)
    attributes = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (PEER, CUSTOMER)),), next_hop=V4.peer)
    assert evaluate(policy, Prefix("46.0.1.0/24"), attributes, LearnedFrom.EBGP, OriginValidator()).accepted


def test_an_unagreed_blackhole_means_nothing() -> None:
    """RFC 7999 section 3.3: without an agreement a host's prefix is too long, and another is an ordinary route."""
    assert judged(V4, "45.0.0.7/32", marked=True).statement == "longer than /24 and not registered"
    ordinary = judged(V4, "45.0.0.0/16", marked=True)
    assert (ordinary.accepted, ordinary.discard) == (True, False)


@pytest.mark.parametrize(
    ("session", "prefix", "path"),
    [
        (AGREED, "45.0.0.7/32", (PEER,)),
        (AGREED, "46.0.0.7/32", (PEER, CUSTOMER)),
        (AGREED_V6, "2a00:1::7/128", (PEER,)),
    ],
)
def test_an_agreed_blackhole_is_dropped_here_and_kept_in_the_as(
    session: EdgeSession, prefix: str, path: tuple[int, ...]
) -> None:
    answer = judged(session, prefix, *path, marked=True)
    assert (answer.accepted, answer.statement, answer.discard) == (True, "blackhole (RFC 7999)", True)
    assert set(answer.attributes.communities) == {BLACKHOLE, NO_EXPORT}
    assert answer.attributes.large_communities == (Neighbour.PRIVATE.tag,)


@pytest.mark.parametrize(
    ("prefix", "path", "marked", "statement"),
    [
        ("47.0.0.7/32", (PEER,), True, "blackhole of what the peer may not announce"),
        ("46.0.0.7/32", (PEER,), True, "blackhole of what the peer may not announce"),  # the customer's, not its own
        ("45.0.0.7/32", (PEER,), False, "longer than /24 and not registered"),
        ("13.64.0.7/32", (PEER,), True, "prefix of AS8075 itself"),
        ("45.0.0.7/32", (PEER, 23456, PEER), True, "bogon AS in the path"),
    ],
)
def test_agreement_opens_no_other_door(prefix: str, path: tuple[int, ...], marked: bool, statement: str) -> None:
    answer = judged(AGREED, prefix, *path, marked=marked)
    assert (answer.accepted, answer.statement) == (False, statement)


def out(policy: Policy, own_as: int, validator: OriginValidator) -> tuple[bool, str]:
    raw = nlri_bytes(Prefix("13.64.0.0/16"))
    compiled = CompiledPolicy(policy, Family.IPV4, validator)
    mark = compiled.mark(raw, None)
    answer = compiled.judge(PathAttributes(), mark, LearnedFrom.LOCAL, compiled.effective_state(raw, own_as))
    return answer.accepted, answer.statement


def test_a_service_prefix_leaves_only_when_it_is_not_invalid_for_the_own_as() -> None:
    policy = export_policy(V4, PolicyStage.ALLOW, RULES)
    assert out(policy, 8075, VRPS) == (False, RPKI_INVALID_OUT)
    assert out(policy, OTHER, VRPS) == (True, "service prefix")
    assert out(policy, 8075, OriginValidator()) == (True, "service prefix")


def test_transit_is_validated_where_there_is_a_cache() -> None:
    base = Policy(name="from-transit", statements=(), default=Verdict.ACCEPT)
    assert transit_import(base, Family.IPV4, RULES) is base
    policy = transit_import(base, Family.IPV4, RULES, validates=True)
    attributes = PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (64506, PEER)),), next_hop=V4.peer)
    assert evaluate(policy, Prefix("46.0.1.0/24"), attributes, LearnedFrom.EBGP, VRPS).statement == RPKI_INVALID
    assert evaluate(policy, Prefix("45.0.0.0/16"), attributes, LearnedFrom.EBGP, VRPS).accepted
