"""First pass, requests: what is asked of Microsoft must be about things that exist. Whether Microsoft grants it is
not judged here: refusals are part of the rehearsal."""

from __future__ import annotations

import ipaddress

from peerlab.topology.census import Census, is_interconnect_peering, is_route_server_peering
from peerlab.topology.document import NO_BACKUP, ConnectionWords, ExpectWords, PeeringWords, StatementOfTrace
from peerlab.topology.mistake import Mistakes, Path, did_you_mean
from peerlab.topology.model import PeeringKind

DIRECT_TYPES = ("Edge", "Transit", "Cdn", "Internal", "Ix", "IxRs", "Voice", "EdgeZoneForOperators", "PeerProp")
"""Direct peering types of Microsoft.Peering (spec 1.3)."""

PORT_MBPS = 10000
"""Direct peerings are made of 10 and 100 Gbit/s ports (spec 1.4, 3.0)."""

WHERE = ("sent", "pre-policy", "post-policy", "best")


def check_requests(census: Census, mistakes: Mistakes) -> None:
    """Note every mistake in peerings, Peering Service connections, registry and expectations."""
    if census.document.peerings and census.cloud is None:
        mistakes.add(("peerings",), "there is nobody to peer with", "give one AS the role cloud")
    else:
        for name, peering in census.document.peerings.items():
            _check_peering(census, name, peering, mistakes)
    _check_services(census, mistakes)
    for position, entry in enumerate(census.document.registry or ()):
        network = ipaddress.ip_network(entry.prefix)
        if entry.max_length is not None and not network.prefixlen <= entry.max_length <= network.max_prefixlen:
            path = ("registry", position, "max-length")
            remedy = f"use {network.prefixlen} to {network.max_prefixlen}"
            mistakes.add(path, f"{entry.max_length} is no maxLength for {entry.prefix}", remedy)
    for position, sentence in enumerate(census.document.expect):
        _check_expectation(census, position, sentence, mistakes)


# -- peerings ------------------------------------------------------------------------------------------------------


def _check_peering(census: Census, name: str, peering: PeeringWords, mistakes: Mistakes) -> None:
    at: Path = ("peerings", name)
    document = census.document
    mistakes.known(peering.metro, list(document.metros), "metro", (*at, "metro"))
    mistakes.known(peering.type, list(DIRECT_TYPES), "direct peering type", (*at, "type"))
    if peering.kind is PeeringKind.EXCHANGE and peering.type != "Edge":
        mistakes.add((*at, "type"), "direct peering types are for kind Direct", "remove type: or kind:")
    if not mistakes.known(peering.peer, list(document.ases), "AS", (*at, "peer")):
        return
    if peering.peer == census.cloud:
        mistakes.add((*at, "peer"), "Microsoft does not ask itself", "name the AS that peers")
        return
    if not peering.connections:
        mistakes.add((*at, "connections"), "a peering has at least one connection", "add one")
    for label, asked in peering.connections.items():
        path = (*at, "connections", label)
        _check_limits(asked, path, mistakes)
        if is_interconnect_peering(peering):
            _check_direct(census, peering, asked, path, mistakes)
        else:
            _check_on_lan(census, peering, asked, path, mistakes)


def _check_limits(asked: ConnectionWords, path: Path, mistakes: Mistakes) -> None:
    if asked.address_provider not in ("peer", "microsoft"):
        mistakes.add(
            (*path, "address-provider"), f"{asked.address_provider!r} gives no addresses", "say peer or microsoft"
        )
    for key, limit in (("max-prefixes-v4", asked.max_prefixes_v4), ("max-prefixes-v6", asked.max_prefixes_v6)):
        if limit < 1:
            mistakes.add((*path, key), f"{limit} is no limit", "use 1 or more")
    if asked.delay_ms is not None and asked.delay_ms < 0:
        mistakes.add((*path, "delay-ms"), f"{asked.delay_ms:g} is no delay", "use 0 or more")


def _check_direct(
    census: Census, peering: PeeringWords, asked: ConnectionWords, path: Path, mistakes: Mistakes
) -> None:
    for key, value in (("exchange", asked.exchange), ("router", asked.router)):
        if value is not None:
            mistakes.add((*path, key), "a Direct connection is a wire of its own", "say between: [EDGE, ROUTER]")
    if asked.bandwidth_mbps < PORT_MBPS or asked.bandwidth_mbps % PORT_MBPS:
        what = f"{asked.bandwidth_mbps} Mbit/s is not made of 10 Gbit/s ports"
        mistakes.add((*path, "bandwidth-mbps"), what, "use 10000, 20000, … or 100000")
    if asked.between is None:
        mistakes.add(path, "a Direct connection needs its two ends", "add between: [EDGE, ROUTER]")
        return
    at = (*path, "between")
    if not mistakes.known_pair(asked.between, census.router_as, "router", at):
        return
    owners = [census.router_as[router] for router in asked.between]
    if sorted(owners) != sorted([census.cloud or "", peering.peer]):
        what = f"this joins {owners[0]!r} and {owners[1]!r}"
        mistakes.add(at, what, f"name one router of {census.cloud!r} and one of {peering.peer!r}")
        return
    edge = asked.between[owners.index(census.cloud or "")]
    if census.metro_of(edge) != peering.metro:
        place = census.metro_of(edge) or "no metro"
        what = f"{edge!r} stands in {place}, the peering is in {peering.metro}"
        mistakes.add(at, what, f"name an edge router in {peering.metro}")


def _check_on_lan(
    census: Census, peering: PeeringWords, asked: ConnectionWords, path: Path, mistakes: Mistakes
) -> None:
    given = (("between", asked.between), ("prefix-v4", asked.prefix_v4), ("prefix-v6", asked.prefix_v6))
    for key, value in given:
        if value is not None:
            mistakes.add((*path, key), "this connection is on an exchange's LAN", "say exchange: NAME instead")
    if asked.exchange is None:
        mistakes.add(path, "a connection on a LAN needs to say on which", "add exchange: NAME")
        return
    if not mistakes.known(asked.exchange, list(census.document.exchanges), "exchange", (*path, "exchange")):
        return
    exchange = census.document.exchanges[asked.exchange]
    if exchange.metro is not None and exchange.metro != peering.metro:
        what = f"{asked.exchange!r} stands in {exchange.metro}, the peering is in {peering.metro}"
        mistakes.add((*path, "exchange"), what, "name an exchange in that metro")
    if not census.members_of(exchange, census.cloud):
        what = f"no router of {census.cloud!r} has a port on {asked.exchange!r}, so these two share no link"
        mistakes.add((*path, "exchange"), what, f"add one to exchanges.{asked.exchange}.members")
    if is_route_server_peering(peering):
        if asked.address_provider == "microsoft":
            what = "on an exchange the addresses are the peer's"
            mistakes.add((*path, "address-provider"), what, "say peer, or leave it out")
        if exchange.operator != peering.peer or not census.route_servers(exchange):
            what = f"{peering.peer!r} has no route servers on {asked.exchange!r}"
            mistakes.add((*path, "exchange"), what, "let its operator ask, and give that AS routers")
        return
    there = census.members_of(exchange, peering.peer)
    if asked.router is not None and asked.router not in there:
        what = f"{asked.router!r} is no router of {peering.peer!r} on {asked.exchange!r}, so these two share no link"
        mistakes.add((*path, "router"), what, did_you_mean(asked.router, list(there)))
    elif not there:
        what = f"no router of {peering.peer!r} has a port on {asked.exchange!r}, so these two share no link"
        mistakes.add((*path, "exchange"), what, f"add one to exchanges.{asked.exchange}.members")
    elif asked.router is None and len(there) > 1:
        what = f"{peering.peer!r} has {len(there)} routers there"
        mistakes.add(path, what, f"say which with router: {' or '.join(there)}")


# -- Peering Service -----------------------------------------------------------------------------------------------


def _check_services(census: Census, mistakes: Mistakes) -> None:
    document = census.document
    ases, metros = list(document.ases), list(document.metros)
    registered = [
        f"{name}/{label}"
        for name, peering in document.peerings.items()
        for label in (*peering.registered_prefixes, *peering.registered_asns)
    ]
    for name, service in document.peering_services.items():
        at: Path = ("peering-services", name)
        mistakes.known(service.customer, ases, "AS", (*at, "customer"))
        mistakes.known(service.provider, ases, "AS", (*at, "provider"))
        mistakes.known(service.primary, metros, "metro", (*at, "primary"))
        mistakes.known(service.backup, [*metros, NO_BACKUP], "metro", (*at, "backup"))
        if service.customer == service.provider:
            mistakes.add((*at, "provider"), f"{service.provider!r} is the customer", "name the partner that sells it")
        if service.backup == service.primary:
            mistakes.add((*at, "backup"), "the backup is the primary location", "name another metro, or none")
        for label, words in service.prefixes.items():
            path = (*at, "prefixes", label)
            if words.key_from is not None:
                mistakes.known(words.key_from, registered, "registered prefix or ASN", (*path, "key-from"))
                if words.key is not None:
                    mistakes.add((*path, "key"), "the key comes from key-from", "state one of the two")


# -- expectations --------------------------------------------------------------------------------------------------


def _check_expectation(census: Census, position: int, words: ExpectWords, mistakes: Mistakes) -> None:
    at: Path = ("expect", position)
    stated: dict[str, StatementOfTrace | None] = {
        "never": words.never,
        "always": words.always,
        "until": words.until,
        "eventually": words.eventually,
    }
    chosen = [key for key, sentence in stated.items() if sentence is not None]
    if len(chosen) != 1:
        mistakes.add(at, f"{len(chosen)} of never, always, until, eventually", "state exactly one")
    routers = list(census.router_as)
    for key in chosen:
        sentence = stated[key]
        assert sentence is not None
        path = (*at, key)
        mistakes.known(sentence.where, list(WHERE), "place to look called", (*path, "where"))
        mistakes.known(sentence.node, routers, "router", (*path, "node"))
        if sentence.peer is not None:
            mistakes.known(sentence.peer, routers, "router", (*path, "peer"))
        elif sentence.where in ("sent", "pre-policy"):
            mistakes.add(path, f"{sentence.where} is about a session", "add peer: ROUTER")
        if (sentence.within is not None) != (key == "eventually"):
            what = "eventually needs a limit" if key == "eventually" else f"{key} has no limit in time"
            mistakes.add(path, what, "add within: SECONDS" if key == "eventually" else "remove within:")
        elif sentence.within is not None and sentence.within <= 0:
            mistakes.add((*path, "within"), f"{sentence.within:g} s is no limit", "use more than 0")
        if (sentence.until is not None) != (key == "until"):
            what = "until needs a moment" if key == "until" else f"{key} knows no moment"
            mistakes.add(path, what, "add until: MOMENT" if key == "until" else "remove until:")
