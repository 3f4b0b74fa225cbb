"""Routing policy as typed data, with a default of REJECT (RFC 8212).

A policy is an ordered tuple of statements. A statement's conditions are all required (AND); alternatives are
further statements. One policy object is executed by our speaker (``evaluate``) and rendered to every daemon's
own language (``daemons``). A rejected route keeps the name of the statement that rejected it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.bgp.attributes import Prefix


class Verdict(StrEnum):
    """What a statement that matched does with the route. NEXT applies the actions and goes on."""

    ACCEPT = "accept"
    REJECT = "reject"
    NEXT = "next"


class LearnedFrom(StrEnum):
    """How a speaker came to a route."""

    EBGP = "ebgp"
    IBGP = "ibgp"
    LOCAL = "local"


class PrefixRange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A prefix and the lengths accepted under it; both None means exactly this prefix (RFC 8177-free, as in IRR)."""

    prefix: Prefix
    ge: int | None = None
    le: int | None = None


class AsnRange(msgspec.Struct, frozen=True, array_like=True):
    """AS numbers from ``low`` to ``high``, both included."""

    low: int
    high: int


class _Condition(msgspec.Struct, frozen=True, tag_field="match", omit_defaults=True):
    pass


class PrefixIn(_Condition, frozen=True, tag="prefix-in"):
    """The route's prefix lies in one of the ranges."""

    ranges: tuple[PrefixRange, ...]
    invert: bool = False


class AsPathContains(_Condition, frozen=True, tag="as-path-contains"):
    """Any AS of the path lies in one of the ranges."""

    asns: tuple[AsnRange, ...]


class OriginAsIn(_Condition, frozen=True, tag="origin-as-in"):
    """The path's origin AS lies in one of the ranges; a path with no origin AS (set at the end) never does."""

    asns: tuple[AsnRange, ...]
    invert: bool = False


class FirstAsIs(_Condition, frozen=True, tag="first-as-is"):
    """The leftmost AS is this one (RFC 4271 section 6.3)."""

    asn: int
    invert: bool = False


class AsPathLongerThan(_Condition, frozen=True, tag="as-path-longer-than"):
    """The path's length is over the limit."""

    limit: int


class AsPathHasSet(_Condition, frozen=True, tag="as-path-has-set"):
    """The path holds an AS_SET or a confederation segment (BCP 172)."""


class AsPathPrepended(_Condition, frozen=True, tag="as-path-prepended"):
    """Some AS stands twice in a row in the path."""


class CommunityIn(_Condition, frozen=True, tag="community-in"):
    """Any community (or large community) of the route matches one of the patterns; ``*`` stands for a field.

    Patterns are ``8075:8007``, ``8075:*``, ``8075:1:*``. Well-known ones by value: ``65535:0``.
    """

    communities: tuple[str, ...]
    invert: bool = False


class NextHopIn(_Condition, frozen=True, tag="next-hop-in"):
    """The next hop lies in one of the prefixes (a host is /32 or /128)."""

    prefixes: tuple[Prefix, ...]
    invert: bool = False


class LearnedFromIs(_Condition, frozen=True, tag="learned-from-is"):
    """How this speaker came to the route (export side)."""

    sources: tuple[LearnedFrom, ...]


class HasOtc(_Condition, frozen=True, tag="has-otc"):
    """The route carries Only-to-Customer (RFC 9234)."""


class RpkiIs(_Condition, frozen=True, tag="rpki-is"):
    """The route's origin validation state (RFC 6811): ``valid``, ``invalid`` or ``not-found``."""

    states: tuple[str, ...]


Condition = (
    PrefixIn
    | AsPathContains
    | OriginAsIn
    | FirstAsIs
    | AsPathLongerThan
    | AsPathHasSet
    | AsPathPrepended
    | CommunityIn
    | NextHopIn
    | LearnedFromIs
    | HasOtc
    | RpkiIs
)


class _Action(msgspec.Struct, frozen=True, tag_field="do", omit_defaults=True):
    pass


class SetLocalPref(_Action, frozen=True, tag="set-local-pref"):
    """Set LOCAL_PREF."""

    value: int


class SetMed(_Action, frozen=True, tag="set-med"):
    """Set MULTI_EXIT_DISC, or remove it with None."""

    value: int | None


class AddCommunities(_Action, frozen=True, tag="add-communities"):
    """Add standard (``a:b``) or large (``a:b:c``) communities."""

    communities: tuple[str, ...]


class RemoveCommunities(_Action, frozen=True, tag="remove-communities"):
    """Remove every standard or large community that matches a pattern (``8075:*``, ``8075:*:*``)."""

    patterns: tuple[str, ...]


class Prepend(_Action, frozen=True, tag="prepend"):
    """Put an AS in front of the path, so many times."""

    asn: int
    times: int


class PrependFirst(_Action, frozen=True, tag="prepend-first"):
    """Put the path's own first AS in front once more, so many times: what a route server does, whose own AS must not
    stand in the path (RFC 7947 section 2.2.2). An empty path stays empty."""

    times: int


class NextHopSelf(_Action, frozen=True, tag="next-hop-self"):
    """Announce with this speaker's own address as next hop."""


class RemovePrivateAses(_Action, frozen=True, tag="remove-private-ases"):
    """Take every private AS number (RFC 6996) out of the path."""


class Discard(_Action, frozen=True, tag="discard"):
    """Import side: packets to the prefix are dropped by this router (RFC 7999), whatever the next hop is."""


Action = (
    SetLocalPref
    | SetMed
    | AddCommunities
    | RemoveCommunities
    | Prepend
    | PrependFirst
    | NextHopSelf
    | RemovePrivateAses
    | Discard
)


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule. ``name`` is shown to people as the reason: make it a reason (``bogon prefix``)."""

    name: str
    match: tuple[Condition, ...] = ()
    actions: tuple[Action, ...] = ()
    verdict: Verdict = Verdict.NEXT


class Policy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ordered list of statements; what no statement decides is rejected under the name ``default``."""

    name: str
    statements: tuple[Statement, ...] = ()
    default: Verdict = Verdict.REJECT


DENY_ALL = Policy(name="deny-all", statements=(Statement(name="DENY ALL", verdict=Verdict.REJECT),))
"""The policy under which Microsoft provisions a session before validation (spec S3)."""
