"""Default policies that follow from what two ASes are to each other (Gao-Rexford), as typed policy.

At import a route is judged by hygiene, cleaned of communities in the own namespace, tagged with a large community
``ASN:1:N`` that says where it came from, and placed on the LOCAL_PREF ladder. At export customers get everything,
everybody else only own routes and customers' routes; the tags stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import cache

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.policy import (
    Action,
    AddCommunities,
    AsnRange,
    AsPathContains,
    AsPathHasSet,
    AsPathLongerThan,
    CommunityIn,
    LearnedFrom,
    LearnedFromIs,
    OriginAsIn,
    Policy,
    PrefixIn,
    PrefixRange,
    Prepend,
    PrependFirst,
    RemoveCommunities,
    SetLocalPref,
    SetMed,
    Statement,
    Verdict,
)

MAPS_COMMUNITY = "8075:8007"
"""What a Peering Service partner puts on registered prefixes towards Microsoft (spec 3.4)."""

EXPRESSROUTE_ASN = 12076
"""Never to be accepted by anybody (spec 3.0)."""

GRACEFUL_SHUTDOWN = "65535:0"
PATH_LIMIT = 100
"""Longer AS paths are rejected (spec POL-14)."""

TOO_LONG = (
    PrefixRange(Prefix("0.0.0.0/0"), ge=25, le=32),
    PrefixRange(Prefix("::/0"), ge=49, le=128),
)
"""What the internet does not carry (RFC 7454 section 6.1.3)."""

RESERVED_ASNS = (
    AsnRange(0, 0),
    AsnRange(23456, 23456),
    AsnRange(64512, 65535),
    AsnRange(65552, 131071),
    AsnRange(4200000000, 4294967295),
)
"""Reserved and private AS numbers; documentation ones (RFC 5398) are public inside a lab."""


class Source(IntEnum):
    """Where an AS has a route from: the last field of its tag. Higher is preferred less."""

    CUSTOMER = 1
    PEER = 2
    PROVIDER = 3
    ROUTE_SERVER = 4
    EXCHANGE_PEER = 5


LOCAL_PREF = {
    Source.CUSTOMER: 300,
    Source.PEER: 200,
    Source.EXCHANGE_PEER: 180,
    Source.ROUTE_SERVER: 160,
    Source.PROVIDER: 100,
}
"""The ladder: customer, private peer, bilateral over an exchange, route server, transit."""


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """What policies need to know of the local AS.

    ``lans`` are exchange LANs, never to be heard of in BGP. ``registered`` are customers' prefixes that it registered
    with Microsoft as a partner: they alone may be longer than /24 or /48 (spec M15). ``lab_asns`` are in use here.
    """

    name: str
    asn: int
    prefixes: tuple[Prefix, ...]
    lans: tuple[Prefix, ...] = ()
    registered: tuple[Prefix, ...] = ()
    lab_asns: frozenset[int] = frozenset()


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """What a session changes of the derived policy; all absent is the derived one itself."""

    local_pref: int | None = None
    med: int | None = None
    prepend: int | None = None
    communities: tuple[str, ...] = ()

    def import_mark(self) -> str:
        """Suffix of the import policy's name."""
        return "" if self.local_pref is None else f"+local-pref-{self.local_pref}"

    def export_mark(self) -> str:
        """Suffix of the export policy's name."""
        parts = [
            "" if self.med is None else f"+med-{self.med}",
            "" if self.prepend is None else f"+prepend-{self.prepend}",
            *(f"+{community}" for community in self.communities),
        ]
        return "".join(parts)


INTERNAL = Policy(name="internal", statements=(Statement(name="internal", verdict=Verdict.ACCEPT),))
"""iBGP: everything, both ways. What may enter or leave the AS is decided at its border."""


def tag(asn: int, source: Source) -> str:
    """The large community by which an AS marks where a route came from."""
    return f"{asn}:1:{source.value}"


def hygiene(local: Neighbour) -> tuple[Statement, ...]:
    """What no eBGP session of the lab accepts, each with its reason."""
    own = tuple(PrefixRange(p, le=_longest(p)) for p in (*local.prefixes, *local.lans))
    longer = tuple(PrefixRange(p) for p in local.registered if int(p.partition("/")[2]) > (48 if ":" in p else 24))
    agreed = (PrefixIn(longer, invert=True),) if longer else ()
    statements = [
        _reject("default route", PrefixIn((PrefixRange(Prefix("0.0.0.0/0")), PrefixRange(Prefix("::/0"))))),
        *([_reject("own or exchange prefix", PrefixIn(own))] if own else []),
        _reject("longer than /24 or /48", PrefixIn(TOO_LONG), *agreed),
        _reject("reserved or private AS in the path", AsPathContains(_without(RESERVED_ASNS, local.lab_asns))),
        _reject("AS12076 (ExpressRoute) in the path", AsPathContains((_asn(EXPRESSROUTE_ASN),))),
        _reject("AS_SET in the path", AsPathHasSet()),
        _reject(f"path longer than {PATH_LIMIT}", AsPathLongerThan(PATH_LIMIT)),
    ]
    return tuple(statements)


def import_policy(local: Neighbour, source: Source, change: Adjustment) -> Policy:
    """What an AS does with routes from a neighbour of that kind."""
    preference = LOCAL_PREF[source] if change.local_pref is None else change.local_pref
    return Policy(
        name=f"import-from-{_word(source)}@{local.name}{change.import_mark()}",
        statements=(
            *hygiene(local),
            Statement(
                name=f"learned from {_word(source)}",
                actions=(
                    RemoveCommunities(own_namespace(local.asn)),
                    AddCommunities((tag(local.asn, source),)),
                    SetLocalPref(preference),
                ),
            ),
            Statement(
                name="graceful shutdown (RFC 8326)",
                match=(CommunityIn((GRACEFUL_SHUTDOWN,)),),
                actions=(SetLocalPref(0),),
            ),
            Statement(name=f"accepted from {_word(source)}", verdict=Verdict.ACCEPT),
        ),
    )


def export_policy(local: Neighbour, target: Source, change: Adjustment, marked: tuple[Statement, ...] = ()) -> Policy:
    """What an AS announces to a neighbour of that kind. ``marked`` come first (see ``maps_marks``)."""
    strip = RemoveCommunities((f"{local.asn}:1:*",))
    changes: list[Action] = []
    if change.med is not None:
        changes.append(SetMed(change.med))
    if change.prepend is not None:
        changes.append(Prepend(local.asn, change.prepend))
    if change.communities:
        changes.append(AddCommunities(change.communities))
    own = tuple(PrefixRange(p, le=_longest(p)) for p in local.prefixes)
    out: list[Statement] = [*marked]
    if changes:
        out.append(Statement(name="as this session asks", actions=tuple(changes)))
    if target is Source.CUSTOMER:
        out.append(Statement(name="everything to a customer", actions=(strip,), verdict=Verdict.ACCEPT))
    else:
        customers = CommunityIn((tag(local.asn, Source.CUSTOMER),))
        originated = LearnedFromIs((LearnedFrom.LOCAL,))
        out.append(Statement(name="customer's route", match=(customers,), actions=(strip,), verdict=Verdict.ACCEPT))
        out.append(Statement(name="originated here", match=(originated,), actions=(strip,), verdict=Verdict.ACCEPT))
        if own:
            out.append(Statement(name="own prefix", match=(PrefixIn(own),), actions=(strip,), verdict=Verdict.ACCEPT))
        out.append(_reject("neither own nor a customer's route"))
    word = "exchange-peer" if target is Source.EXCHANGE_PEER else _word(target)
    suffix = "+maps" if marked else ""
    return Policy(
        name=f"export-to-{word}@{local.name}{suffix}{change.export_mark()}",
        statements=tuple(out),
    )


def maps_marks(prefixes: Iterable[Prefix], asns: Iterable[int], local: Neighbour) -> tuple[Statement, ...]:
    """Put 8075:8007 on registered prefixes and on routes of registered customers; empty when nothing is registered."""
    actions = (AddCommunities((MAPS_COMMUNITY,)),)
    marks: list[Statement] = []
    ranges = tuple(PrefixRange(p) for p in sorted(set(prefixes)))
    if ranges:
        marks.append(Statement(name="registered prefix", match=(PrefixIn(ranges),), actions=actions))
    registered = sorted(set(asns))
    if registered:
        match = OriginAsIn(tuple(_asn(asn) for asn in registered))
        marks.append(Statement(name="registered customer", match=(match,), actions=actions))
    if local.asn in registered:
        match_local = LearnedFromIs((LearnedFrom.LOCAL,))
        marks.append(Statement(name="registered customer itself", match=(match_local,), actions=actions))
    return tuple(marks)


def route_server_import(local: Neighbour) -> Policy:
    """A route server accepts from its clients after hygiene and changes nothing (RFC 7947 section 2.2)."""
    return Policy(
        name=f"import-from-client@{local.name}",
        statements=(*hygiene(local), Statement(name="accepted from client", verdict=Verdict.ACCEPT)),
    )


MOST_PREPENDS = 3
"""How often a client may have a route server prepend."""


def route_server_export(local: Neighbour, client: int) -> Policy:
    """A route server announces everything to every client but the one it came from, unless the announcer's control
    communities say otherwise; these are for the server and go no further (RFC 7947 section 2.2.4).

    In the forms that exchanges agree on (Euro-IX, arouteserver), CLIENT being the client's AS number and RS the
    server's: ``RS:0:CLIENT`` not to that client, ``RS:0:0`` to nobody but those named by ``RS:1:CLIENT``;
    ``RS:101:CLIENT`` to ``RS:103:CLIENT`` prepend once to three times towards it, ``RS:101:0`` ... towards all.
    Where the numbers fit two octets ``0:CLIENT``, ``0:RS`` and ``RS:CLIENT`` mean the first three as well.
    """
    server = local.asn
    withheld = (f"{server}:0:{client}", *_standard(0, client))
    nobody = (f"{server}:0:0", *_standard(0, server))
    named = (f"{server}:1:{client}", *_standard(server, client))
    prepends = tuple(
        Statement(
            name=f"prepended {times} times as the announcer asks",
            match=(CommunityIn((f"{server}:{100 + times}:{client}", f"{server}:{100 + times}:0")),),
            actions=(PrependFirst(times),),
        )
        for times in range(1, MOST_PREPENDS + 1)
    )
    return Policy(
        name=f"export-to-client-{client}@{local.name}",
        statements=(
            Statement(
                name="not to this client, its announcer asks", match=(CommunityIn(withheld),), verdict=Verdict.REJECT
            ),
            Statement(
                name="not to any client but those named, its announcer asks",
                match=(CommunityIn(nobody), CommunityIn(named, invert=True)),
                verdict=Verdict.REJECT,
            ),
            *prepends,
            Statement(
                name="to a client",
                actions=(RemoveCommunities((*own_namespace(server), "0:*")),),
                verdict=Verdict.ACCEPT,
            ),
        ),
    )


def _standard(high: int, low: int) -> tuple[str, ...]:
    """The standard community of two AS numbers; none when one of them needs four octets (RFC 8092 is for these)."""
    return (f"{high}:{low}",) if max(high, low) <= 0xFFFF else ()


def own_namespace(asn: int) -> tuple[str, ...]:
    """Patterns of an AS's own communities; a 4-octet AS has large ones only."""
    return (f"{asn}:*:*", f"{asn}:*") if asn <= 0xFFFF else (f"{asn}:*:*",)


def _word(source: Source) -> str:
    return source.name.lower().replace("_", "-")


def _reject(reason: str, *match: PrefixIn | AsPathContains | AsPathHasSet | AsPathLongerThan) -> Statement:
    return Statement(name=reason, match=match, verdict=Verdict.REJECT)


def _asn(asn: int) -> AsnRange:
    return AsnRange(asn, asn)


def _longest(prefix: Prefix) -> int:
    return 128 if ":" in prefix else 32


@cache
def _without(ranges: tuple[AsnRange, ...], holes: frozenset[int]) -> tuple[AsnRange, ...]:
    """The ranges without single numbers: a lab that uses a private AS on purpose is not at war with itself."""
    left: list[AsnRange] = []
    for whole in ranges:
        low = whole.low
        for hole in sorted(h for h in holes if whole.low <= h <= whole.high):
            if hole > low:
                left.append(AsnRange(low, hole - 1))
            low = hole + 1
        if low <= whole.high:
            left.append(AsnRange(low, whole.high))
    return tuple(left)
