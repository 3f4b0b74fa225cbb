"""Incidents of the past, as a lab can play them: who did what, what has to stop it, and what has to be told.

Facts are those of ``spec/incidents.json`` (tag *E*, its sources stand there); where ``verified`` is False they are from
general knowledge and were not read again. A lab plays them with its own ASes and prefixes in the same roles: the real
ones are nobody's to announce. Types 1 to 6 of RFC 7908 (tag *L*) are leaks without a date.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from peerlab.peering.prefix_event import Alarm


class Role(StrEnum):
    """Who in a lab does it."""

    PEER = "peer"
    """Has a session with the cloud that is a peering's, or is a client of a route server."""
    TRANSIT = "transit"
    """Sells the cloud transit."""
    CUSTOMER = "customer"
    """Buys transit of an AS that is not the cloud."""
    OBSERVER = "observer"
    """Has no business with the cloud at all, but upstreams of its own."""


class Deed(StrEnum):
    """What is done."""

    SUB_PREFIX = "originates more-specifics of a prefix of somebody else's"
    CLOUD = "originates a prefix of the cloud's, and a more-specific"
    MASS = "originates many prefixes that are not its own"
    TABLE = "passes its upstream's routes on"
    PREPENDED = "passes its upstream's routes on, its own AS many times in the path"
    OPTIMISED = "passes more-specifics on that keep the right origin"
    WITHDRAWAL = "withdraws a customer's prefix"
    LEAK = "leaks"


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. ``roles`` are tried in order; without any it cannot be staged, and ``why_not`` says why.

    ``alarm`` is what has to be told when the prefix is a Peering Service customer's. ``either``: it is enough that it
    is told, for without ROAs nothing can stop it. ``rfc7908`` is the leak's type.
    """

    id: str
    date: str
    title: str
    what: str
    actor: int | None = None
    roles: tuple[Role, ...] = ()
    deed: Deed | None = None
    alarm: Alarm = Alarm.NONE
    either: bool = False
    rfc7908: int | None = None
    verified: bool = False
    why_not: str = ""


INCIDENTS: tuple[Incident, ...] = (
    Incident(
        id="E1", date="2008-02-24", title="Pakistan Telecom / YouTube", actor=17557,
        what="208.65.153.0/24 of 208.65.152.0/22 originated, passed on unfiltered by AS3491",
        roles=(Role.PEER,), deed=Deed.SUB_PREFIX, alarm=Alarm.HIJACK,
    ),
    Incident(
        id="E2", date="2014-04-02", title="Indosat mass origination", actor=4761, rfc7908=5,
        what="about 400 000 routes originated as its own",
        roles=(Role.PEER,), deed=Deed.MASS,
    ),
    Incident(
        id="E3", date="2015-06-12", title="Telekom Malaysia full-table leak", actor=4788, rfc7908=1,
        what="about 179 000 routes of peers and providers passed to AS3549",
        roles=(Role.PEER,), deed=Deed.TABLE,
    ),
    Incident(
        id="E5", date="2017-12-12", title="AS39523 hijack of big content incl. Microsoft", actor=39523,
        what="80 prefixes of AS8075 and others originated, some more-specific, by AS31133", verified=True,
        roles=(Role.OBSERVER, Role.PEER), deed=Deed.CLOUD,
    ),
    Incident(
        id="E6", date="2018-04-24", title="Route 53 / MyEtherWallet", actor=10297,
        what="five /24s of AS16509's /23s originated, by AS6939",
        roles=(Role.TRANSIT, Role.PEER), deed=Deed.SUB_PREFIX, alarm=Alarm.HIJACK, either=True,
    ),
    Incident(
        id="E8", date="2019-06-06", title="Safe Host / China Telecom", actor=21217, rfc7908=1,
        what="more than 70 000 routes passed to AS4134, the leaker's AS six times in the path", verified=True,
        roles=(Role.PEER,), deed=Deed.PREPENDED,
    ),
    Incident(
        id="E9", date="2019-06-24", title="DQE / Allegheny / Verizon", actor=396531, rfc7908=1,
        what="an optimiser's more-specifics of AS13335 and AS16509, origin kept, leaked by a stub to AS701",
        verified=True, roles=(Role.PEER,), deed=Deed.OPTIMISED, alarm=Alarm.LEAK,
    ),
    Incident(
        id="E10", date="2020-04-01", title="Rostelecom", actor=12389, rfc7908=6,
        what="more-specifics for traffic engineering escape by AS20764, AS174 and AS3356", verified=True,
        roles=(Role.TRANSIT, Role.PEER), deed=Deed.OPTIMISED,
    ),
    Incident(
        id="E12", date="2020-08-30", title="CenturyLink Flowspec", actor=3356,
        what="a flowspec rule kills BGP sessions; announcements stay that nobody can withdraw",
        why_not="no router of a lab speaks flowspec, and no peering offers it (check SEC-08 proves that)",
    ),
    Incident(
        id="E13", date="2021-04-16", title="Vodafone Idea", actor=55410, rfc7908=5,
        what="more than 30 000 prefixes originated as its own",
        roles=(Role.PEER,), deed=Deed.MASS,
    ),
    Incident(
        id="E14", date="2021-10-04", title="Facebook withdrawal", actor=32934,
        what="the prefixes of its own name servers withdrawn everywhere",
        roles=(Role.PEER,), deed=Deed.WITHDRAWAL, alarm=Alarm.WITHDRAWAL,
    ),
    Incident(
        id="E16", date="2023-01-25", title="Microsoft WAN", actor=8075,
        what="mass withdrawal and announcement by a change of its own", verified=True,
        why_not="the actor is the cloud itself; `peerlab fault metro-down` and `metro-up` make it lose its own WAN",
    ),
    *(
        Incident(
            id=f"L{kind}", date="", title=f"RFC 7908 type {kind}", what=what, rfc7908=kind, verified=True,
            roles=(role,), deed=Deed.LEAK,
        )
        for kind, role, what in (
            (1, Role.CUSTOMER, "hairpin turn: a provider's route passed to another provider"),
            (2, Role.PEER, "lateral: a peer's route passed to another peer"),
            (3, Role.PEER, "a provider's route passed to a peer"),
            (4, Role.CUSTOMER, "a peer's route passed to a provider"),
            (5, Role.PEER, "somebody's prefix originated as its own, packets still delivered"),
            (6, Role.PEER, "internal more-specifics let out"),
        )
    ),
)  # fmt: skip
"""Every entry of the specification's list, and the leak types."""


def incident_of(identifier: str) -> Incident:
    """The incident of that id, in either case of letters. Raises KeyError."""
    for incident in INCIDENTS:
        if incident.id == identifier.upper():
            return incident
    raise KeyError(identifier)
