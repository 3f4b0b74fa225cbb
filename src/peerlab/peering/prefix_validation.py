"""Validation of registered prefixes and of Peering Service prefixes, with the documented messages (spec 4.1, 4.2).

Pure functions of what the edge routers received. Values (an address, a prefix) stand after the noun that the
documented text has for them; everything else of a text is Microsoft's. ``rule`` is the catalogue's id.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import pairwise

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.peering.number_space import BOGON_ASNS, in_ranges, is_special
from peerlab.peering.policy import MAPS_COMMUNITY, SERVICE_PATH_LIMIT
from peerlab.peering.validation import ObservedRoute, ObservedSession
from peerlab.peering.verdict import RuleVerdict

INTERNAL_ERROR = "Internal server error"
"""Microsoft's side failed: here, the routers could not be read."""

PROVIDER_NOT_FOUND = "Peering service provider not found"
"""No registration of the chosen provider has the prefix's key, or has it any more."""

REGISTERED_RULES = ("VAL-05", "VAL-06", "VAL-08", "VAL-09", "VAL-10")
SERVICE_RULES = ("VAL-05", "VAL-06", "VAL-07", "VAL-08", "VAL-09", "VAL-10", "VAL-11", "VAL-12")


def validate_registered(
    prefix: str,
    sessions: Sequence[ObservedSession],
    routes: Sequence[ObservedRoute] | None,
    *,
    registry_asns: Iterable[int],
    public_ranges: Iterable[Prefix] = (),
) -> tuple[RuleVerdict, ...]:
    """A partner's registered prefix (spec 4.1).

    ``sessions`` are those of the parent peering in the prefix's family; ``routes`` what they received, None when that
    is unknown. ``registry_asns`` are origins with an object in the routing registry.
    """
    if routes is None or not sessions:
        return tuple(RuleVerdict(rule=rule, passed=None, message=INTERNAL_ERROR) for rule in REGISTERED_RULES)
    mine = _routes_of(prefix, sessions, routes)
    special = is_special(Prefix(prefix), public_ranges)
    missing = dict.fromkeys(s.peer for s in sessions if s.id not in mine)
    bare = [r for r in mine.values() if MAPS_COMMUNITY not in r.attributes.communities]
    crooked = [r for r in mine.values() if _path_faults(r.attributes)]
    return (
        _verdict("VAL-05", not special, f"Prefix {prefix} is in a private range"),
        _origin_registered(mine.values(), registry_asns),
        _verdict("VAL-08", not missing, f"Prefix not received from IP {', '.join(missing)}"),
        _verdict("VAL-09", not bare, "Advertisement missing MAPS community"),
        _verdict("VAL-10", not crooked, "AS path isn't correct"),
    )


def validate_service_prefix(
    prefix: str,
    *,
    provider_asn: int | None,
    primary: Sequence[ObservedSession],
    backup: Sequence[ObservedSession] | None,
    routes: Sequence[ObservedRoute] | None,
    registry_asns: Iterable[int],
    public_ranges: Iterable[Prefix] = (),
) -> tuple[RuleVerdict, ...]:
    """A customer's Peering Service prefix (spec 4.2).

    ``provider_asn`` is None when no registration of the chosen provider has the prefix's key. ``primary`` and
    ``backup`` are the provider's Peering Service sessions there; ``backup`` None when no backup was chosen.
    """
    usable = _usable(prefix)
    if not usable:
        return (RuleVerdict(rule="usable", passed=False, message="Peering service prefix is invalid"),)
    if provider_asn is None:
        return (RuleVerdict(rule="VAL-07", passed=False, message=PROVIDER_NOT_FOUND),)
    if routes is None:
        return tuple(RuleVerdict(rule=rule, passed=None, message=INTERNAL_ERROR) for rule in SERVICE_RULES)
    sessions = (*primary, *(backup or ()))
    mine = _routes_of(prefix, sessions, routes)
    return (
        _verdict("VAL-05", not is_special(Prefix(prefix), public_ranges), f"Prefix {prefix} is in a private range"),
        _origin_registered(mine.values(), registry_asns),
        _verdict("VAL-07", True, ""),
        _redundant(primary, backup),
        _received(prefix, sessions, mine),
        *_marked(prefix, mine.values()),
        *_straight(prefix, mine.values()),
        _consistent(prefix, primary, backup, mine),
    )


def _usable(prefix: str) -> bool:
    try:
        return ipaddress.ip_network(prefix).version == 4
    except ValueError:
        return False


def _routes_of(
    prefix: str, sessions: Iterable[ObservedSession], routes: Iterable[ObservedRoute]
) -> dict[str, ObservedRoute]:
    wanted = {s.id for s in sessions}
    return {r.session: r for r in routes if r.prefix == prefix and r.session in wanted}


def _origin_registered(routes: Iterable[ObservedRoute], registry_asns: Iterable[int]) -> RuleVerdict:
    known = set(registry_asns)
    origins = {r.attributes.origin_as() for r in routes}
    strangers = sorted(str(asn) for asn in origins if asn not in known)
    return _verdict("VAL-06", not strangers, f"Origin AS {', '.join(strangers)} is not in a routing registry")


def _redundant(primary: Sequence[ObservedSession], backup: Sequence[ObservedSession] | None) -> RuleVerdict:
    """Two sessions on two routers at the primary location, one at the backup location if there is one."""
    if len({s.router for s in primary}) < 2:
        return _verdict("VAL-11", False, "Provider has fewer than two sessions in its primary location")
    silent = backup is not None and not backup
    return _verdict("VAL-11", not silent, "Provider has no sessions in its backup location")


def _received(prefix: str, sessions: Sequence[ObservedSession], mine: dict[str, ObservedRoute]) -> RuleVerdict:
    if not mine:
        return _verdict("VAL-08", False, "Prefix is not announced by the service provider to Microsoft.")
    texts = [
        f"Not receiving prefix advertisement from IP {s.peer} for prefix {prefix}" for s in sessions if s.id not in mine
    ]
    return _verdict("VAL-08", not texts, "; ".join(dict.fromkeys(texts)))


def _marked(prefix: str, routes: Iterable[ObservedRoute]) -> tuple[RuleVerdict, ...]:
    bare = any(MAPS_COMMUNITY not in r.attributes.communities for r in routes)
    text = f"Received route for prefix {prefix} should have the Peering Service (MAPS) community {MAPS_COMMUNITY}"
    return (_verdict("VAL-09", not bare, text),)


def _straight(prefix: str, routes: Iterable[ObservedRoute]) -> tuple[RuleVerdict, ...]:
    """One verdict per documented text; prepending has none of its own and counts as a path that is not correct."""
    faults = {fault for r in routes for fault in _path_faults(r.attributes)}
    texts = {
        "long": f"AS path length for prefix should be <={SERVICE_PATH_LIMIT} for prefix {prefix}",
        "private": f"AS path for prefix {prefix} shouldn't have any private ASN",
        "prepended": f"AS path for prefix {prefix} shouldn't have prepending",
    }
    found = tuple(_verdict("VAL-10", False, text) for fault, text in texts.items() if fault in faults)
    return found or (_verdict("VAL-10", True, ""),)


def _consistent(
    prefix: str,
    primary: Sequence[ObservedSession],
    backup: Sequence[ObservedSession] | None,
    mine: dict[str, ObservedRoute],
) -> RuleVerdict:
    """Announcements that differ between locations are a defect, not a refusal (spec M11)."""

    def seen(sessions: Iterable[ObservedSession]) -> set[tuple[tuple[int, ...], tuple[str, ...]]]:
        return {(mine[s.id].attributes.asns(), mine[s.id].attributes.communities) for s in sessions if s.id in mine}

    here, there = seen(primary), seen(backup or ())
    same = not here or not there or here == there
    message = "" if same else f"Announcements of prefix {prefix} differ between locations"
    return RuleVerdict(rule="VAL-12", passed=same, message=message, warning=True)


def _path_faults(attributes: PathAttributes) -> tuple[str, ...]:
    asns = attributes.asns()
    faults = []
    if len(asns) > SERVICE_PATH_LIMIT:
        faults.append("long")
    if any(in_ranges(asn, BOGON_ASNS) for asn in asns):
        faults.append("private")
    if any(a == b for a, b in pairwise(asns)):
        faults.append("prepended")
    return tuple(faults)


def _verdict(rule: str, passed: bool, message: str) -> RuleVerdict:
    return RuleVerdict(rule=rule, passed=passed, message="" if passed else message)
