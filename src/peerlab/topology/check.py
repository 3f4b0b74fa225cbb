"""First pass: what can be wrong with a document that is well-formed. Every mistake is noted, none stops the search."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peerlab.bgp.rtr_client import LONGEST
from peerlab.topology.census import Census
from peerlab.topology.check_address import check_addresses
from peerlab.topology.check_request import check_requests
from peerlab.topology.check_wire import check_wires
from peerlab.topology.document import AsWords, RouterWords
from peerlab.topology.mistake import Mistakes, Path, path_text
from peerlab.topology.model import CACHE_KINDS, WITH_OWN, AsRole

NAME = re.compile(r"[a-z0-9-]{1,32}")
RESERVED_ASN = {
    0: "RFC 7607",
    23456: "AS_TRANS, RFC 6793",
    65535: "RFC 7300",
    4294967295: "RFC 7300",
}
COST_LIMIT = 65535
PREFERENCE_LIMIT = 255


def check(census: Census, mistakes: Mistakes) -> None:
    """Note every mistake of meaning."""
    _check_names(census, mistakes)
    _check_asns(census, mistakes)
    for name, asys in census.document.ases.items():
        _check_as(census, name, asys, mistakes)
    _check_provider_loops(census, mistakes)
    check_wires(census, mistakes)
    _check_policies(census, mistakes)
    check_requests(census, mistakes)
    check_addresses(census, mistakes)


def warnings(census: Census) -> tuple[str, ...]:
    """What is allowed but unwise, one sentence each. The document must be checked."""
    found = []
    for name, peering in census.document.peerings.items():
        for label, connection in peering.connections.items():
            if connection.session.md5 is not None:
                found.append(
                    f"peerings.{name}.connections.{label}.session.md5: Microsoft does not support MD5; "
                    "the session will not come up unless the lab's edge is told to use it"
                )
        speeds = {c.bandwidth_mbps for c in peering.connections.values() if c.peering_service}
        if len(speeds) > 1:
            found.append(
                f"peerings.{name}.connections: Peering Service connections should have equal bandwidth, "
                f"not {', '.join(str(s) for s in sorted(speeds))} Mbit/s"
            )
    return tuple(found)


# -- names ---------------------------------------------------------------------------------------------------------


def _names(census: Census) -> Iterator[tuple[Path, str, str]]:
    """Every name the document gives: its place, the name, and the scope in which it must be unique."""
    document = census.document
    yield ("name",), document.name, "lab"
    for metro in document.metros:
        yield ("metros", metro), metro, "metro"
    for name, asys in document.ases.items():
        yield ("ases", name), name, "as"
        for router in asys.routers:
            yield ("ases", name, "routers", router), router, "node"
        for host in asys.hosts:
            yield ("ases", name, "hosts", host), host, "node"
        for cache in asys.caches:
            yield ("ases", name, "caches", cache), cache, "node"
    for exchange in document.exchanges:
        yield ("exchanges", exchange), exchange, "node"
    for name, peering in document.peerings.items():
        yield ("peerings", name), name, "peering"
        for label in peering.connections:
            yield ("peerings", name, "connections", label), label, f"connection of {name}"
        registered = [("registered-prefixes", n) for n in peering.registered_prefixes]
        registered += [("registered-asns", n) for n in peering.registered_asns]
        for key, label in registered:
            yield ("peerings", name, key, label), label, f"registered of {name}"
    for name, service in document.peering_services.items():
        yield ("peering-services", name), name, "service"
        for label in service.prefixes:
            yield ("peering-services", name, "prefixes", label), label, f"prefix of {name}"
    for policy in document.policies:
        yield ("policies", policy), policy, "policy"


def _check_names(census: Census, mistakes: Mistakes) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for path, name, scope in _names(census):
        if not NAME.fullmatch(name):
            mistakes.add(path, f"{name!r} is not a usable name", "use 1 to 32 of a-z, 0-9 and '-'")
        first = seen.setdefault((scope, name), path)
        if first != path:
            mistakes.add(path, f"the name {name!r} is taken by {path_text(first)}", "give every node a name of its own")
    if "none" in census.document.metros:
        mistakes.add(("metros", "none"), "'none' means no backup location", "name the metro otherwise")
    for policy in ("deny-all", "internal"):
        if policy in census.document.policies:
            mistakes.add(("policies", policy), f"the name {policy!r} belongs to a built-in policy", "rename it")


# -- autonomous systems --------------------------------------------------------------------------------------------


def check_asn(asn: int, path: Path, mistakes: Mistakes) -> None:
    """Note an AS number that nobody may use."""
    if asn in RESERVED_ASN:
        mistakes.add(path, f"AS{asn} is reserved ({RESERVED_ASN[asn]})", "use one of 64496-64511 or 65536-65551")
    elif not 0 < asn < 1 << 32:
        mistakes.add(path, f"{asn} is not an AS number", "use 1 to 4294967294, best 64496-64511 or 65536-65551")


def _check_asns(census: Census, mistakes: Mistakes) -> None:
    holders: dict[int, str] = {}
    clouds = [name for name, asys in census.document.ases.items() if asys.role is AsRole.CLOUD]
    for name in clouds[1:]:
        mistakes.add(("ases", name, "role"), f"{clouds[0]!r} is the cloud already", "give this AS another role")
    for name, asys in census.document.ases.items():
        path = ("ases", name, "asn")
        check_asn(asys.asn, path, mistakes)
        first = holders.setdefault(asys.asn, name)
        if first != name:
            mistakes.add(path, f"AS{asys.asn} is {first!r} already", "give every AS a number of its own")
    for name, peering in census.document.peerings.items():
        for label, asn in peering.registered_asns.items():
            check_asn(asn, ("peerings", name, "registered-asns", label), mistakes)
    for position, entry in enumerate(census.document.registry or ()):
        if entry.origin != 0:  # AS0 in a ROA means that nobody may originate it (RFC 6483 section 4)
            check_asn(entry.origin, ("registry", position, "origin"), mistakes)


def _check_as(census: Census, name: str, asys: AsWords, mistakes: Mistakes) -> None:
    at: Path = ("ases", name)
    for router, words in asys.routers.items():
        if words.metro is not None:
            mistakes.known(words.metro, census.document.metros, "metro", (*at, "routers", router, "metro"))
        if words.config is not None:
            _check_own(words, (*at, "routers", router, "config"), mistakes)
        for position, prefix in enumerate(words.originates or ()):
            if prefix not in asys.prefixes:
                path = (*at, "routers", router, "originates", position)
                mistakes.add(path, f"{prefix} is not among the prefixes of {name!r}", f"add it to ases.{name}.prefixes")
    for host, host_words in asys.hosts.items():
        path = (*at, "hosts", host)
        if mistakes.known(host_words.router, asys.routers, f"router of {name!r} called", (*path, "router")):
            originates = asys.routers[host_words.router].originates
            pinned = host_words.v4 or host_words.v6
            if not pinned and not (asys.prefixes if originates is None else originates):
                mistakes.add(
                    path, f"{host_words.router!r} originates nothing that {host!r} could live in", "state v4: or v6:"
                )
    for position, link in enumerate(asys.backbone):
        path = (*at, "backbone", position)
        mistakes.known_pair(link.between, asys.routers, f"router of {name!r} called", (*path, "between"))
        for key, cost in (("cost", link.cost), ("cost-back", link.cost_back)):
            if cost is not None and not 1 <= cost <= COST_LIMIT:
                mistakes.add((*path, key), f"{cost} is not an IGP cost", f"use 1 to {COST_LIMIT}")
    for position, reflector in enumerate(asys.reflectors):
        mistakes.known(reflector, asys.routers, f"router of {name!r} called", (*at, "reflectors", position))
    for key, others in (("providers", asys.providers), ("peers", asys.peers)):
        for position, other in enumerate(others):
            path = (*at, key, position)
            if mistakes.known(other, census.document.ases, "AS", path) and other == name:
                mistakes.add(path, f"{name!r} cannot be its own neighbour", "remove it")
            elif other in asys.peers and other in asys.providers and key == "peers":
                mistakes.add(path, f"{other!r} is a provider already", "say either provider or peer")
    _check_caches(name, asys, mistakes)
    _check_connected(name, asys, mistakes)


def _check_own(words: RouterWords, path: Path, mistakes: Mistakes) -> None:
    file, _, text = words.config.partition("\n") if words.config else ("", "", "")
    if words.kind not in WITH_OWN:
        can = " or ".join(kind.value for kind in WITH_OWN)
        mistakes.add(
            path,
            f"a router of kind {words.kind.value} cannot run a configuration of your own",
            f"say kind: {can}, whichever {file} is written for",
        )
    if not text.strip():
        what = f"{file} is empty" if "\n" in (words.config or "") else f"{file} cannot be read from here"
        mistakes.add(path, what, "name a topology's file, and in it a configuration by its path from there")


def _check_caches(name: str, asys: AsWords, mistakes: Mistakes) -> None:
    for cache, words in asys.caches.items():
        path: Path = ("ases", name, "caches", cache)
        mistakes.known(words.router, asys.routers, f"router of {name!r} called", (*path, "router"))
        mistakes.known(words.kind.value, [kind.value for kind in CACHE_KINDS], "kind of cache", (*path, "kind"))
        if not 0 <= words.preference <= PREFERENCE_LIMIT:
            mistakes.add((*path, "preference"), f"{words.preference} is no preference", f"use 0 to {PREFERENCE_LIMIT}")
        for key, seconds, limit in (
            ("refresh", words.refresh, LONGEST.refresh),
            ("retry", words.retry, LONGEST.retry),
            ("expire", words.expire, LONGEST.expire),
        ):
            if not 1 <= seconds <= limit:
                mistakes.add((*path, key), f"{seconds} s cannot be (RFC 8210 section 6)", f"use 1 to {limit}")
        if words.expire <= max(words.refresh, words.retry):
            mistakes.add(
                (*path, "expire"),
                f"{words.expire} s is not longer than refresh and retry (RFC 8210 section 6)",
                "let data live longer than it takes to ask again",
            )


def _check_connected(name: str, asys: AsWords, mistakes: Mistakes) -> None:
    """iBGP runs between loopbacks, so the backbone must reach every router (route servers stand alone)."""
    if asys.role is AsRole.IXP or not asys.routers:
        return
    neighbours: dict[str, set[str]] = {router: set() for router in asys.routers}
    for link in asys.backbone:
        if len(link.between) == 2 and set(link.between) <= neighbours.keys():
            neighbours[link.between[0]].add(link.between[1])
            neighbours[link.between[1]].add(link.between[0])
    reached: set[str] = set()
    todo = [next(iter(asys.routers))]
    while todo:
        router = todo.pop()
        if router not in reached:
            reached.add(router)
            todo.extend(neighbours[router])
    for router in asys.routers:
        if router not in reached:
            mistakes.add(
                ("ases", name, "routers", router),
                f"no backbone leads to {router!r}",
                f"add {{between: [{next(iter(asys.routers))}, {router}]}} to ases.{name}.backbone",
            )


def _check_provider_loops(census: Census, mistakes: Mistakes) -> None:
    """Nobody may be, through others, his own provider (Gao-Rexford)."""
    ases = census.document.ases
    providers = {name: [p for p in a.providers if p in ases and p != name] for name, a in ases.items()}
    entangled = set(ases)
    free: set[str] = {name for name in ases if not providers[name]}
    while free:
        entangled -= free
        free = {name for name in entangled if not entangled.intersection(providers[name])}
    reported: set[str] = set()
    for name in ases:
        trail: list[str] = []
        at = name
        while at in entangled and at not in trail and at not in reported:
            trail.append(at)
            at = next(p for p in providers[at] if p in entangled)
        if at in trail:
            loop = trail[trail.index(at) :]
            path = ("ases", loop[0], "providers", ases[loop[0]].providers.index(loop[1]))
            mistakes.add(path, f"providers run in a circle: {' -> '.join((*loop, at))}", "remove one of them")
        reported.update(trail)


def _check_policies(census: Census, mistakes: Mistakes) -> None:
    for name, statements in census.document.policies.items():
        for position, statement in enumerate(statements):
            path = ("policies", name, position)
            for state in statement.match.rpki or ():
                mistakes.known(state, ("valid", "invalid", "not-found"), "validation state", (*path, "match", "rpki"))
            for key, patterned in (("add-communities", statement.set.add_communities),):
                for community in patterned:
                    if "*" in community:
                        mistakes.add((*path, "set", key), f"{community!r} has a '*'", "write the number out")
