"""What a BIRD knows of RPKI: its ROA tables, and how its protocols stand with the caches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import OriginValidator, Vrp, digest, route_origin
from peerlab.bgp.route_fact import RouteFact
from peerlab.bgp.rtr_client import CacheState
from peerlab.daemons.bird import cache_protocol
from peerlab.evidence.snapshot import CacheFact, ValidationFact
from peerlab.router.companion_driver import Watching

if TYPE_CHECKING:
    from peerlab.router.bird_driver import BirdDriver

_ROA = re.compile(r"(?P<prefix>[0-9a-fA-F.:]+/\d+)-(?P<longest>\d+) AS(?P<asn>\d+)\s+\[(?P<protocol>\S+)")
_PROTOCOL = re.compile(r"(?P<name>\S+)\s+RPKI\s+\S+\s+\S+\s+\S+\s*(?P<info>.*)")
_EMPTY = re.compile("not found")


class BirdCaches:
    """Read when asked: BIRD tells nobody when its tables change."""

    def __init__(self, bird: BirdDriver, companion: Watching) -> None:
        self._bird = bird
        self._router = companion

    def fact(self) -> ValidationFact:
        """What origins are validated by now, and how BIRD stands with each cache."""
        vrps = self._vrps()
        told = {vrp for vrp, _ in vrps}
        counts: dict[str, int] = {}
        for _, protocol in vrps:
            counts[protocol] = counts.get(protocol, 0) + 1
        asked = self._router.config.caches
        states = self._states() if asked else {}
        caches = []
        for server in asked:
            name = cache_protocol(server)
            held, info = counts.get(name), states.get(name, "no such protocol")
            caches.append(
                CacheFact(
                    name=server.name,
                    state=_state(info).value,
                    preference=server.preference,
                    vrps=held,
                    used=held is not None,
                    problem="" if info == "Established" else info,
                )
            )
        return ValidationFact(vrps=len(told), digest=digest(told), servers=asked, caches=tuple(caches))

    def with_states(self, routes: Iterable[RouteFact]) -> list[RouteFact]:
        """The routes with their validation states."""
        validator = OriginValidator(vrp for vrp, _ in self._vrps())
        if not validator.vrps:
            return list(routes)
        own = self._router.config.asn

        def state(route: RouteFact) -> str:
            origin = route_origin(route.attributes, own)
            return validator.state(nlri_bytes(route.prefix), family_of_prefix(route.prefix), origin)

        return [msgspec.structs.replace(route, rpki=state(route)) for route in routes]

    def _vrps(self) -> list[tuple[Vrp, str]]:
        """Every payload with the protocol it came by."""
        if not self._router.config.caches and not self._router.config.vrps:
            return []
        found = []
        for version in (4, 6):
            for line in self._bird.ask(f"show route table vrps_v{version}", absent=_EMPTY):
                match = _ROA.search(line.text)
                if match is not None:
                    vrp = Vrp(Prefix(match["prefix"]), int(match["asn"]), int(match["longest"]))
                    found.append((vrp, match["protocol"]))
        return found

    def _states(self) -> dict[str, str]:
        """What BIRD says of each RPKI protocol."""
        found = {}
        for line in self._bird.ask("show protocols"):
            match = _PROTOCOL.search(line.text)
            if match is not None:
                found[match["name"]] = match["info"].strip()
        return found


def _state(info: str) -> CacheState:
    if info == "Established":
        return CacheState.SYNCHRONISED
    return CacheState.SYNCHRONISING if info.startswith(("Sync", "Reset", "Fast")) else CacheState.DOWN
