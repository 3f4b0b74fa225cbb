"""``receivedRoutes``: what the edge routers hold in Adj-RIB-In of a peering's sessions, before policy (spec 3.10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import INVALID, VALID, OriginValidator, Vrp
from peerlab.bgp.route_fact import RouteFact
from peerlab.controller.lab import Lab
from peerlab.peering.received_route import PeeringReceivedRoute
from peerlab.topology.model import LabModel

_WORDS = {VALID: "Valid", INVALID: "Invalid"}
UNKNOWN = "Unknown"

FILTERS = ("prefix", "asPath", "originAsValidationState", "rpkiValidationState")
"""Query parameters; each must equal the route's field, case aside."""

Row = tuple[tuple[int, int, int, str], PeeringReceivedRoute]
"""A place in the order of rows (family, network, length, session), and the route."""


async def received_routes(lab: Lab, sessions: Iterable[tuple[str, str]], wanted: Mapping[str, str]) -> list[Row]:
    """Every route that fits, in the order of prefixes; ``sessions`` are (edge node, session id) of a peering.

    Raises PeerlabError when a router does not answer.
    """
    prefix = _canonical(wanted.get("prefix"))
    if prefix is None and wanted.get("prefix"):
        return []

    async def read(node: str, session: str) -> tuple[RouteFact, ...]:
        return await (await lab.router(node)).rib("adj-rib-in-pre", session, prefix)

    answers = await asyncio.gather(*(read(node, session) for node, session in sessions))
    judge = _Judge(lab.model)
    rows = [
        (_place(fact), route) for facts in answers for fact in facts if _fits(route := judge.describe(fact), wanted)
    ]
    return sorted(rows, key=lambda row: row[0])


class _Judge:
    """Origin states from the lab's routing registry, and RPKI states from its VRPs (RFC 6811 for both)."""

    def __init__(self, model: LabModel) -> None:
        self._rpki = OriginValidator(
            Vrp(e.prefix, e.origin_asn, e.max_length) for e in model.registry if e.max_length is not None
        )
        # A route object speaks of its prefix alone, but what is more specific is commonly filtered by it too.
        self._registry = OriginValidator(
            Vrp(e.prefix, e.origin_asn, ip_network(e.prefix).max_prefixlen) for e in model.registry
        )

    def describe(self, fact: RouteFact) -> PeeringReceivedRoute:
        raw, family = nlri_bytes(fact.prefix), family_of_prefix(fact.prefix)
        origin = fact.attributes.origin_as()
        return PeeringReceivedRoute(
            prefix=fact.prefix,
            next_hop=fact.attributes.next_hop,
            as_path=fact.attributes.path_text(),
            origin_as_validation_state=_WORDS.get(self._registry.state(raw, family, origin), UNKNOWN),
            rpki_validation_state=_WORDS.get(self._rpki.state(raw, family, origin), UNKNOWN),
            trust_anchor="None",
            received_timestamp=_timestamp(fact.received_at),
        )


def _place(fact: RouteFact) -> tuple[int, int, int, str]:
    network = ip_network(fact.prefix)
    return network.version, int(network.network_address), network.prefixlen, fact.session or ""


def _fits(route: PeeringReceivedRoute, wanted: Mapping[str, str]) -> bool:
    told: Iterable[tuple[str, str | None]] = (
        ("asPath", route.as_path),
        ("originAsValidationState", route.origin_as_validation_state),
        ("rpkiValidationState", route.rpki_validation_state),
    )
    return all((value or "").casefold() == wanted[name].casefold() for name, value in told if wanted.get(name))


def _canonical(text: str | None) -> Prefix | None:
    try:
        return Prefix(str(ip_network(text))) if text else None
    except ValueError:
        return None


def _timestamp(at: int) -> str:
    """Seven decimals, as the live service writes them [PSHELP]."""
    seconds, nanoseconds = divmod(at, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 100:07d}Z"
