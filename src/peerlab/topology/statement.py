"""Policies written in a topology, as typed policy."""

from __future__ import annotations

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    AsPathPrepended,
    CommunityIn,
    Condition,
    FirstAsIs,
    LearnedFromIs,
    NextHopIn,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    RemoveCommunities,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
)
from peerlab.topology.document import ActionWords, Asn, MatchWords, RangeText, StatementWords


def policy(name: str, statements: tuple[StatementWords, ...], asn: int) -> Policy:
    """The typed policy of a named list of statements, for a router of AS ``asn`` (it prepends its own)."""
    return Policy(
        name=name,
        statements=tuple(
            Statement(
                name=words.name,
                match=tuple(_conditions(words.match)),
                actions=tuple(_actions(words.set, asn)),
                verdict=words.then,
            )
            for words in statements
        ),
    )


def _conditions(words: MatchWords) -> list[Condition]:
    found: list[Condition] = []
    if words.prefix_in is not None:
        found.append(PrefixIn(_ranges(words.prefix_in)))
    if words.prefix_not_in is not None:
        found.append(PrefixIn(_ranges(words.prefix_not_in), invert=True))
    if words.as_path_contains is not None:
        found.append(AsPathContains(_asns(words.as_path_contains)))
    if words.origin_as_in is not None:
        found.append(OriginAsIn(_asns(words.origin_as_in)))
    if words.first_as is not None:
        found.append(FirstAsIs(words.first_as))
    if words.as_path_longer_than is not None:
        found.append(AsPathLongerThan(words.as_path_longer_than))
    if words.as_path_has_set:
        found.append(AsPathHasSet())
    if words.as_path_prepended:
        found.append(AsPathPrepended())
    if words.community_in is not None:
        found.append(CommunityIn(words.community_in))
    if words.community_not_in is not None:
        found.append(CommunityIn(words.community_not_in, invert=True))
    if words.next_hop_in is not None:
        found.append(NextHopIn(words.next_hop_in))
    if words.learned_from is not None:
        found.append(LearnedFromIs(words.learned_from))
    if words.rpki is not None:
        found.append(RpkiIs(words.rpki))
    return found


def _actions(words: ActionWords, asn: int) -> list[Action]:
    found: list[Action] = []
    if words.local_pref is not None:
        found.append(SetLocalPref(words.local_pref))
    if words.med is not None:
        found.append(SetMed(words.med))
    if words.remove_communities:
        found.append(RemoveCommunities(words.remove_communities))
    if words.add_communities:
        found.append(AddCommunities(words.add_communities))
    if words.prepend is not None:
        found.append(Prepend(asn, words.prepend))
    return found


def _ranges(texts: tuple[RangeText, ...]) -> tuple[PrefixRange, ...]:
    return tuple(_range(text) for text in texts)


def _range(text: RangeText) -> PrefixRange:
    prefix, *words = text.split()
    bounds = dict(zip(words[::2], (int(w) for w in words[1::2]), strict=True))
    return PrefixRange(Prefix(prefix), ge=bounds.get("ge"), le=bounds.get("le"))


def _asns(asns: tuple[Asn, ...]) -> tuple[AsnRange, ...]:
    return tuple(AsnRange(asn, asn) for asn in asns)
