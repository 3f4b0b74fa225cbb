"""The policy of a Microsoft edge router's sessions, as typed statements whose names are the reasons people read.

Under DENY both directions are ``DENY_ALL``. Under ALLOW the import policy is hygiene first (spec 3.0, catalogue POL-05
to POL-17), then community scrubbing, then the LOCAL_PREF ladder, then Peering Service: an activated prefix is carried
cold because only its designated location may announce it, and there it is preferred by every router of the WAN (spec
3.8, S0). The export policy opens for the cloud's own service prefixes and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.origin_validation import INVALID
from peerlab.bgp.policy import (
    DENY_ALL,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    CommunityIn,
    Condition,
    Discard,
    FirstAsIs,
    LearnedFrom,
    LearnedFromIs,
    NextHopIn,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    RemoveCommunities,
    RpkiIs,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)
from peerlab.peering.number_space import BOGON_ASNS, BOGONS_V4, BOGONS_V6, EXPRESSROUTE, TRANSIT_FREE
from peerlab.topology.model import PolicyStage, RegistryEntry

CLOUD_ASN = 8075
MAPS_COMMUNITY = "8075:8007"
"""What a Peering Service partner's announcements carry (spec 3.4)."""
GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326."""

BLACKHOLE = "65535:666"
"""RFC 7999."""
NO_EXPORT = "65535:65281"
"""RFC 1997."""

RPKI_INVALID = "RPKI Invalid"
"""Why origin validation rejects (RFC 6811; Microsoft may remove RPKI-invalid routes, spec 3.4)."""
RPKI_INVALID_OUT = "RPKI Invalid under the origin that is announced"
"""Why it rejects on export (RFC 8893)."""

PATH_LIMIT = 100
SERVICE_PATH_LIMIT = 3
"""AS hops of a registered Peering Service prefix (spec 4.1)."""

PRIMARY_LOCAL_PREF = 400
BACKUP_LOCAL_PREF = 300


class Neighbour(Enum):
    """What a session's peer is: its step on the LOCAL_PREF ladder and the last field of its tag ``8075:1:N``.

    The tag numbers are those of every AS in the lab (``topology.relation``); transit has 3 there.
    """

    PRIVATE = (200, 2)
    EXCHANGE = (180, 5)
    ROUTE_SERVER = (160, 4)

    @property
    def local_pref(self) -> int:
        return int(self.value[0])

    @property
    def tag(self) -> str:
        """The large community that routes from such a peer carry inside the cloud."""
        return f"{CLOUD_ASN}:1:{self.value[1]}"


TRANSIT_TAG = f"{CLOUD_ASN}:1:3"


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """A verified Peering Service prefix. ``backup`` None means that the internet is the backup (spec S0)."""

    prefix: Prefix
    provider_asn: int
    primary: str
    backup: str | None = None


class EdgeRules(msgspec.Struct, frozen=True, kw_only=True):
    """What all edge sessions of the cloud share.

    ``own`` are the cloud's prefixes and infrastructure, ``service`` what it announces, ``exchange_lans`` the peering
    LANs. ``unused_asns`` are documentation ranges in which the lab has no AS. ``flat`` takes location out of the
    preference of activated prefixes: the hot-potato control of spec B.
    """

    own: tuple[Prefix, ...] = ()
    service: tuple[Prefix, ...] = ()
    exchange_lans: tuple[Prefix, ...] = ()
    public_ranges: tuple[Prefix, ...] = ()
    registry: tuple[RegistryEntry, ...] = ()
    activations: tuple[Activation, ...] = ()
    unused_asns: tuple[AsnRange, ...] = ()
    flat: bool = False


class EdgeSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a connection, as its policy must know it.

    ``as_set`` are the ASNs that the peer may announce routes of. ``registered`` are its Peering Service prefixes,
    which alone may be longer than /24. ``lan`` is set on exchanges. ``draining``: the connection is being removed.
    ``blackhole``: both sides agreed on RFC 7999; without that agreement its community means nothing. ``validates``: the
    edge asks an RPKI cache; without one every route is NotFound, and there is nothing to state.
    """

    name: str
    family: Family
    neighbour: Neighbour
    peer_asn: int
    peer: Address
    microsoft: Address
    location: str
    as_set: tuple[int, ...]
    registered: tuple[Prefix, ...] = ()
    lan: Prefix | None = None
    draining: bool = False
    blackhole: bool = False
    validates: bool = False


def import_policy(session: EdgeSession, stage: PolicyStage, rules: EdgeRules) -> Policy:
    """What the edge accepts on a session at a stage."""
    if stage is PolicyStage.DENY:
        return DENY_ALL
    return Policy(
        name=f"import-{session.name}",
        statements=(
            *_prefix_hygiene(session, rules),
            *_path_hygiene(session, rules),
            *_next_hop(session),
            *_blackhole(session, rules),
            *_validation(session.validates, RPKI_INVALID),
            *_allow_list(session, rules),
            *_scrub(session),
            *_activated(session, rules),
            *_last(session),
        ),
    )


def export_policy(session: EdgeSession, stage: PolicyStage, rules: EdgeRules) -> Policy:
    """What the edge announces on a session at a stage: service prefixes of the cloud's own, never what it learned."""
    if stage is PolicyStage.DENY:
        return DENY_ALL
    learned = (*(n.tag for n in Neighbour), TRANSIT_TAG)
    service = _of_family(rules.service, session.family)
    announced = Statement(
        name="service prefix",
        match=(PrefixIn(tuple(PrefixRange(p) for p in service)),),
        actions=(AddCommunities((GRACEFUL_SHUTDOWN,)),) if session.draining else (),
        verdict=Verdict.ACCEPT,
    )
    return Policy(
        name=f"export-{session.name}",
        statements=(
            _reject("learned from another AS", LearnedFromIs((LearnedFrom.EBGP,))),
            _reject("learned from another AS at another edge", CommunityIn(learned)),
            *_validation(session.validates, RPKI_INVALID_OUT),
            *((announced,) if service else ()),
            _reject("not a service prefix"),
        ),
    )


def transit_import(base: Policy, family: Family, rules: EdgeRules, *, validates: bool = False) -> Policy:
    """A transit session's import policy: activated prefixes come in only where the internet is their backup, and
    nothing that is Invalid where the edge ``validates`` origins."""
    guarded = [] if rules.flat else [a.prefix for a in rules.activations if a.backup is not None]
    ranges = _with_more_specifics(_of_family(guarded, family))
    added = [_reject("internet is not the backup", PrefixIn(ranges))] if ranges else []
    added += _validation(validates, RPKI_INVALID)
    return msgspec.structs.replace(base, statements=(*added, *base.statements)) if added else base


def _prefix_hygiene(session: EdgeSession, rules: EdgeRules) -> Iterator[Statement]:
    """POL-07, 09, 10, 11. Where blackholing is agreed a host's prefix is not too long for it (RFC 7999 section 3.3)."""
    family = session.family
    everything, bits, longest, shortest, bogons = (
        (Prefix("0.0.0.0/0"), 32, 24, 8, BOGONS_V4)
        if family is Family.IPV4
        else (Prefix("::/0"), 128, 48, 19, BOGONS_V6)
    )
    public = _with_more_specifics(_of_family(rules.public_ranges, family))
    own_registered = tuple(PrefixRange(p) for p in _of_family(session.registered, family))
    ordinary = (CommunityIn((BLACKHOLE,), invert=True),) if session.blackhole else ()
    yield _reject("default route", PrefixIn((PrefixRange(everything),)))
    yield _reject("bogon prefix", PrefixIn(_with_more_specifics(bogons)), *_outside(public))
    own = _with_more_specifics(_of_family(rules.own, family))
    if own:
        yield _reject("prefix of AS8075 itself", PrefixIn(own))
    lans = _with_more_specifics(_of_family(rules.exchange_lans, family))
    if lans:
        yield _reject("prefix of an exchange LAN", PrefixIn(lans))
    yield _reject(
        f"longer than /{longest} and not registered",
        PrefixIn((PrefixRange(everything, ge=longest + 1, le=bits),)),
        *_outside(own_registered),
        *ordinary,
    )
    yield _reject(f"shorter than /{shortest}", PrefixIn((PrefixRange(everything, ge=1, le=shortest - 1),)))


def _path_hygiene(session: EdgeSession, rules: EdgeRules) -> Iterator[Statement]:
    """POL-08, 12, 13, 14."""
    yield _reject("bogon AS in the path", AsPathContains((*BOGON_ASNS, *rules.unused_asns)))
    yield _reject("AS12076 (ExpressRoute) in the path", AsPathContains((AsnRange(EXPRESSROUTE, EXPRESSROUTE),)))
    yield _reject("AS_SET in the path", AsPathHasSet())
    if session.neighbour is not Neighbour.ROUTE_SERVER:
        yield _reject("first AS is not the peer", FirstAsIs(session.peer_asn, invert=True))
    transit_free = tuple(AsnRange(asn, asn) for asn in TRANSIT_FREE if asn != session.peer_asn)
    yield _reject("transit-free AS behind a peer", AsPathContains(transit_free))
    yield _reject(f"path longer than {PATH_LIMIT}", AsPathLongerThan(PATH_LIMIT))
    registered = tuple(PrefixRange(p) for p in _of_family(session.registered, session.family))
    if registered:
        yield _reject(
            f"path of a registered prefix longer than {SERVICE_PATH_LIMIT}",
            PrefixIn(registered),
            AsPathLongerThan(SERVICE_PATH_LIMIT),
        )


def _next_hop(session: EdgeSession) -> Iterator[Statement]:
    """POL-16. A route server passes on its clients' next hops: any host of the LAN but ours (RFC 7948 section 4.8)."""
    if session.neighbour is Neighbour.ROUTE_SERVER and session.lan is not None:
        yield _reject("next hop is our own address", NextHopIn((_host(session.microsoft),)))
        yield _reject("next hop is not on the exchange LAN", NextHopIn((session.lan,), invert=True))
    else:
        yield _reject("next hop is not the peer", NextHopIn((_host(session.peer),), invert=True))


def _blackhole(session: EdgeSession, rules: EdgeRules) -> Iterator[Statement]:
    """POL-19, RFC 7999 section 3.3: taken from who may announce what covers it, dropped here, told to no other AS.

    These statements stand before origin validation, and that is the exception: a host's prefix is Invalid under every
    minimal ROA (RFC 9319 section 5). What covers it has to have a route object of the same origin instead.
    """
    if not session.blackhole:
        return
    marked = CommunityIn((BLACKHOLE,))
    actions = (
        Discard(),
        RemoveCommunities((f"{CLOUD_ASN}:*", f"{CLOUD_ASN}:*:*")),
        AddCommunities((NO_EXPORT, session.neighbour.tag)),
        SetMed(0),
        SetLocalPref(session.neighbour.local_pref),
    )
    for origin, ranges in sorted(_objects(session, rules).items()):
        yield Statement(
            name="blackhole (RFC 7999)",
            match=(marked, OriginAsIn(_asns((origin,))), PrefixIn(_with_more_specifics(one.prefix for one in ranges))),
            actions=actions,
            verdict=Verdict.ACCEPT,
        )
    yield _reject("blackhole of what the peer may not announce", marked)


def _validation(validates: bool, reason: str) -> tuple[Statement, ...]:
    """POL-20, POL-22."""
    return (_reject(reason, RpkiIs((INVALID,))),) if validates else ()


def _objects(session: EdgeSession, rules: EdgeRules) -> dict[int, list[PrefixRange]]:
    """The route objects of the peer's as-set, by origin."""
    objects: dict[int, list[PrefixRange]] = {}
    for entry in rules.registry:
        if _family(entry.prefix) is session.family and entry.origin_asn in session.as_set:
            objects.setdefault(entry.origin_asn, []).append(_range(entry))
    return objects


def _allow_list(session: EdgeSession, rules: EdgeRules) -> Iterator[Statement]:
    """POL-05, 06: only what the registry has, from whom it has it, and only of the peer's as-set."""
    yield _reject("origin is not in the peer's as-set", OriginAsIn(_asns(session.as_set), invert=True))
    registered = tuple(PrefixRange(p) for p in _of_family(session.registered, session.family))
    objects = _objects(session, rules)
    known = (OriginAsIn(_asns(objects), invert=True),) if objects else ()
    yield _reject("origin has no route object", *known)
    for origin, ranges in sorted(objects.items()):
        yield _reject(
            f"prefix has no route object of AS{origin}",
            OriginAsIn(_asns((origin,))),
            PrefixIn((*ranges, *registered), invert=True),
        )


def _scrub(session: EdgeSession) -> Iterator[Statement]:
    """POL-17, 18. Our own namespace is ours to write, the Peering Service community excepted; MED is overwritten."""
    ours = RemoveCommunities((f"{CLOUD_ASN}:*", f"{CLOUD_ASN}:*:*"))
    yield Statement(
        name="Peering Service community kept",
        match=(CommunityIn((MAPS_COMMUNITY,)),),
        actions=(ours, AddCommunities((MAPS_COMMUNITY,))),
    )
    yield Statement(
        name="own communities scrubbed", match=(CommunityIn((MAPS_COMMUNITY,), invert=True),), actions=(ours,)
    )
    yield Statement(
        name=f"learned from a {session.neighbour.name.lower().replace('_', ' ')} peer",
        actions=(
            SetMed(0),
            AddCommunities((session.neighbour.tag,)),
            SetLocalPref(session.neighbour.local_pref),
        ),
    )


def _activated(session: EdgeSession, rules: EdgeRules) -> Iterator[Statement]:
    """Cold potato: accepted at the designated location of the designated provider, and preferred there."""
    for activation in rules.activations:
        if _family(activation.prefix) is not session.family:
            continue
        where = PrefixIn(_with_more_specifics((activation.prefix,)))
        if rules.flat:
            flat = SetLocalPref(Neighbour.PRIVATE.local_pref)
            yield Statement(name="hot-potato control: no location preferred", match=(where,), actions=(flat,))
        elif session.peer_asn != activation.provider_asn:
            yield _reject("not the designated provider", where)
        elif session.location == activation.primary:
            preferred = SetLocalPref(PRIMARY_LOCAL_PREF)
            yield Statement(name="primary location of Peering Service", match=(where,), actions=(preferred,))
        elif session.location == activation.backup:
            preferred = SetLocalPref(BACKUP_LOCAL_PREF)
            yield Statement(name="backup location of Peering Service", match=(where,), actions=(preferred,))
        else:
            yield _reject("not the designated location", where)


def _last(session: EdgeSession) -> Iterator[Statement]:
    drained = SetLocalPref(0)
    if session.draining:
        yield Statement(name="connection is being drained", actions=(drained,))
    else:
        maintenance = CommunityIn((GRACEFUL_SHUTDOWN,))
        yield Statement(name="graceful shutdown (RFC 8326)", match=(maintenance,), actions=(drained,))
    yield Statement(name="accepted", verdict=Verdict.ACCEPT)


def _reject(reason: str, *match: Condition) -> Statement:
    return Statement(name=reason, match=match, verdict=Verdict.REJECT)


def _outside(ranges: tuple[PrefixRange, ...]) -> tuple[PrefixIn, ...]:
    """A condition that holds outside the ranges; none when there are none."""
    return (PrefixIn(ranges, invert=True),) if ranges else ()


def _family(prefix: Prefix) -> Family:
    return Family.IPV6 if ":" in prefix else Family.IPV4


def _of_family(prefixes: Iterable[Prefix], family: Family) -> tuple[Prefix, ...]:
    return tuple(dict.fromkeys(p for p in prefixes if _family(p) is family))


def _with_more_specifics(prefixes: Iterable[Prefix]) -> tuple[PrefixRange, ...]:
    return tuple(PrefixRange(p, le=128 if ":" in p else 32) for p in prefixes)


def _range(entry: RegistryEntry) -> PrefixRange:
    return PrefixRange(entry.prefix, le=entry.max_length)


def _asns(asns: Iterable[int]) -> tuple[AsnRange, ...]:
    return tuple(AsnRange(asn, asn) for asn in sorted(set(asns)))


def _host(address: Address) -> Prefix:
    return Prefix(f"{address}/{128 if ':' in address else 32}")
