"""RPKI caches: the files and commands of a cache's node, and which caches a router is to ask.

The VRPs of a cache lie in ``vrps.json`` in its node's directory, in the format of rpki-client's JSON export, which
StayRTR reads too. Whoever changes the file tells the process by SIGHUP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import PurePath

import msgspec

from peerlab.bgp.attributes import Address, Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_config import CacheConfig, RtrServer
from peerlab.bgp.rtr_pdu import PORT, Intervals, exact
from peerlab.daemons.base import Argv
from peerlab.errors import InputError, Problem
from peerlab.evidence.story import EXAMINER
from peerlab.topology.model import LabModel, Node, NodeKind, RpkiCache

CONFIGURATION = PurePath("cache.json")
VRPS = PurePath("vrps.json")
STAYRTR = "/usr/bin/stayrtr"
ORIGIN = "peerlab"
"""What stands where a real export names the trust anchor."""


class _Roa(msgspec.Struct, frozen=True):
    prefix: str
    maxLength: int  # noqa: N815 (the format's own word)
    asn: int | str
    ta: str = ORIGIN


class _Export(msgspec.Struct, frozen=True):
    roas: tuple[_Roa, ...]
    metadata: dict[str, object] = {}


def registered_vrps(model: LabModel) -> tuple[Vrp, ...]:
    """The VRPs of the lab's registry, each once."""
    found = (Vrp(e.prefix, e.origin_asn, e.max_length) for e in model.registry if e.max_length is not None)
    return tuple(dict.fromkeys(found))


def vrps_json(vrps: Iterable[Vrp]) -> str:
    """The text of ``vrps.json``."""
    ordered = sorted(set(map(exact, vrps)), key=lambda vrp: (_order(vrp.prefix), vrp.max_length or 0, vrp.asn))
    roas = tuple(_Roa(vrp.prefix, vrp.max_length or 0, f"AS{vrp.asn}") for vrp in ordered)
    octets = msgspec.json.encode(_Export(roas, {"vrps": len(roas), "buildmachine": ORIGIN}))
    return msgspec.json.format(octets, indent=1).decode() + "\n"


def read_vrps(text: str | bytes) -> tuple[Vrp, ...]:
    """The VRPs of a ``vrps.json``. Raises InputError when it is none."""
    try:
        export = msgspec.json.decode(text, type=_Export)
        return tuple(_vrp(roa) for roa in export.roas)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InputError([Problem(str(VRPS), str(error), "let peerlab write this file")]) from error


def files_of(model: LabModel, cache: RpkiCache) -> Mapping[PurePath, str]:
    """The files of a cache's node, by path relative to the node's directory."""
    config = CacheConfig(
        node=cache.node,
        directory=f"/run/peerlab/{cache.node}",
        intervals=Intervals(cache.refresh, cache.retry, cache.expire),
    )
    vrps = () if model.node(cache.node).as_name == EXAMINER else registered_vrps(model)
    text = msgspec.json.format(msgspec.json.encode(config), indent=1).decode() + "\n"
    return {CONFIGURATION: text, VRPS: vrps_json(vrps)}


def stayrtr(cache: RpkiCache) -> Argv:
    """The command that runs StayRTR as this cache, in the node's directory."""
    return (
        STAYRTR,
        "-bind", f":{PORT}",
        "-cache", str(VRPS),
        "-checktime=false",
        "-metrics.addr", "",
        "-protocol", "1",
        "-rtr.refresh", str(cache.refresh),
        "-rtr.retry", str(cache.retry),
        "-rtr.expire", str(cache.expire),
    )  # fmt: skip


def is_stayrtr(model: LabModel, cache: RpkiCache) -> bool:
    """Whether StayRTR is to run there, and not the cache that comes with peerlab."""
    return model.node(cache.node).kind is NodeKind.STAYRTR


def servers_of(model: LabModel, node: Node) -> tuple[RtrServer, ...]:
    """The caches that a router asks. An examiner's cache stands in for all others while it is there."""
    serving = [cache for cache in model.caches if node.name in cache.serves]
    examining = [cache for cache in serving if model.node(cache.node).as_name == EXAMINER]
    return tuple(_server(model, cache, node) for cache in examining or serving)


def _server(model: LabModel, cache: RpkiCache, node: Node) -> RtrServer:
    """A cache on a wire of the router's own is asked from there, any other from the loopback."""
    there = model.node(cache.node)
    addresses = [
        Address(text.partition("/")[0])
        for interface in there.interfaces
        for text in (interface.v6, interface.v4)
        if text is not None
    ]
    links = {interface.link for interface in there.interfaces}
    near = any(interface.link in links for interface in node.interfaces)
    loopbacks = () if near else tuple(a for a in (node.loopback_v6, node.loopback_v4) if a is not None)
    return RtrServer(name=cache.node, addresses=tuple(addresses), preference=cache.preference, sources=loopbacks)


def _vrp(roa: _Roa) -> Vrp:
    network = ipaddress.ip_network(roa.prefix)
    asn = int(str(roa.asn).upper().removeprefix("AS"))
    if not network.prefixlen <= roa.maxLength <= network.max_prefixlen or not 0 <= asn <= 0xFFFFFFFF:
        raise ValueError(f"{roa.prefix} le {roa.maxLength} AS{asn} is no VRP")
    return Vrp(Prefix(str(network)), asn, roa.maxLength)


def _order(prefix: Prefix) -> tuple[int, int, int]:
    network = ipaddress.ip_network(prefix)
    return network.version, int(network.network_address), network.prefixlen
