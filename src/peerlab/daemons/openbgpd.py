"""OpenBGPD routers: ``bgpd.conf`` for the daemon, ``router.json`` for the companion beside it.

Measured on OpenBGPD 7.7 (Debian 12). What it cannot be told raises ``Unsupported`` here, before anything starts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from peerlab.bgp.attributes import Address, Family, PathAttributes
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.daemons.base import Argv, Sessions, template
from peerlab.daemons.openbgpd_dump import file_name, is_kept
from peerlab.daemons.openbgpd_filter import MARK, MED_SET, SOURCES, Side, refuses_sets, rules
from peerlab.daemons.origination import Origination
from peerlab.daemons.router_config import ROUTER, router_config, router_json
from peerlab.errors import Unsupported
from peerlab.topology.model import LabModel, Node

CONFIGURATION = PurePath("bgpd.conf")

CONTROL_SOCKET = PurePath("bgpd.sock")

TELLS_END_OF_RIB = False

_KEY = re.compile(r"[!#-~]{1,80}")
_SHORTEST_HOLD_TIME = 3
_NEIGHBOUR = {Family.IPV4: Address("192.0.2.1"), Family.IPV6: Address("2001:db8::1")}


def render(model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
    """The files of a router that runs these sessions. Raises Unsupported for what OpenBGPD cannot be told."""
    return files(router_config(model, node, sessions))


def _decision_lines(config: RouterConfig) -> list[str]:
    """A route server's client that may not have the best route is told the next one (RFC 7947 section 2.3)."""
    serves = config.route_server or any(peer.route_server_client for peer in config.peers)
    med = ["rde med compare always"] if config.med_across_ases else []
    return [*med, *(["rde evaluate all"] if serves else [])]


def files(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> Mapping[PurePath, str]:
    """The files from the configuration alone. ``originated`` defaults to the configuration's prefixes."""
    if config.vrps or config.caches:
        raise Unsupported(f"{config.node}: origin validation is not done by OpenBGPD routers; run it on ExaBGP or BIRD")
    origins = [Origination(prefix) for prefix in config.originate] if originated is None else originated
    return {
        CONFIGURATION: template("openbgpd/bgpd.conf.j2").render(
            node=config.node,
            asn=config.asn,
            router_id=config.router_id,
            mark=MARK,
            socket=f"{config.directory}/{CONTROL_SOCKET}",
            lines=_decision_lines(config),
            networks=[_network(config, one) for one in origins],
            neighbours=[
                {"session": one.session, "address": one.peer_address, "lines": _lines(config, one, one.session in shut)}
                for one in config.peers
            ],
            filters=[part for one in config.peers for part in _filters(config, one)],
        ),
        ROUTER: router_json(config),
    }


def check() -> Argv:
    """bgpd's own check of what was rendered."""
    return ("/usr/sbin/bgpd", "-n", "-f", str(CONFIGURATION))


def refuse(policy: Policy, family: Family) -> None:
    """Raises Unsupported when OpenBGPD cannot express the policy at all: neither as import nor as export policy."""
    source = LearnedFrom.EBGP if refuses_sets(policy) else None
    rules(policy, family, Side(_NEIGHBOUR[family], source, None))


def _network(config: RouterConfig, one: Origination) -> str:
    attributes = one.attributes
    known = PathAttributes(
        origin=attributes.origin,
        med=attributes.med,
        local_pref=attributes.local_pref,
        communities=attributes.communities,
        large_communities=attributes.large_communities,
    )
    if known != attributes:
        raise Unsupported(
            f"{config.node}: OpenBGPD cannot originate {one.prefix} with these attributes: only ORIGIN, MED, "
            "LOCAL_PREF and communities; originate it at an ExaBGP router"
        )
    sets = [f"large-community {SOURCES[LearnedFrom.LOCAL]}"]
    if attributes.origin:
        sets.append(f"origin {attributes.origin.name.lower()}")
    if attributes.med is not None:
        sets += [f"metric {attributes.med}", f"large-community {MED_SET}"]
    if attributes.local_pref is not None:
        sets.append(f"localpref {attributes.local_pref}")
    sets += [f"community {text}" for text in attributes.communities]
    sets += [f"large-community {text}" for text in attributes.large_communities]
    return f"network {one.prefix} set {{ {' '.join(sets)} }}"


def _lines(config: RouterConfig, peer: PeerConfig, shut: bool) -> list[str]:
    external = peer.local_as != peer.peer_as
    lines = [
        f"remote-as {peer.peer_as}",
        f"local-address {peer.local_address}",
        f"holdtime {_hold_time(peer)}",
        # For each neighbour again: OpenBGPD does not ask the global one (RFC 4271 section 4.2).
        "holdtime min 3",
    ]
    if peer.local_as != config.asn:
        lines.append(f"local-as {peer.local_as}")
    if peer.passive:
        lines.append("passive")
    if external and (peer.multihop or peer.route_server_client):
        # A route server's clients too: only over more than one hop OpenBGPD leaves a next hop as it is.
        lines.append(f"multihop {1 if peer.gtsm and not peer.multihop else 255}")
    if peer.gtsm:
        lines.append("ttl-security yes")
    if peer.md5 is not None:
        lines.append(f'tcp md5sig password "{_key(peer)}"')
    if external:
        lines.append(f"enforce neighbor-as {'yes' if peer.enforce_first_as else 'no'}")
        if peer.local_role is not None:
            lines.append(f"announce policy {peer.local_role.value}{' enforce' if peer.role_strict else ''}")
        if peer.route_server_client:
            lines += ["transparent-as yes", "set nexthop no-modify"]
    elif peer.route_reflector_client:
        lines.append(f"route-reflector {config.cluster_id or config.router_id}")
    if not peer.four_octet_as:
        lines.append("announce as-4byte no")
    if refuses_sets(config.policies[peer.import_policy]):
        lines.append("reject as-set yes")
    if peer.max_prefix is not None:
        lines.append(f"max-prefix {peer.max_prefix}")
    if peer.bfd is not None:
        raise Unsupported(f"OpenBGPD has no BFD (session {peer.session}); take `bfd` away, or run this end on BIRD")
    if is_kept(peer):
        lines.append(f'dump updates in "{config.directory}/{file_name(peer.peer_address)}"')
    if shut:
        lines.append("down")
    return lines


def _hold_time(peer: PeerConfig) -> int:
    if peer.hold_time < _SHORTEST_HOLD_TIME:
        raise Unsupported(
            f"OpenBGPD cannot be told a hold time of {peer.hold_time} (session {peer.session}); give 3 s or more"
        )
    return peer.hold_time


def _key(peer: PeerConfig) -> str:
    assert peer.md5 is not None
    if not _KEY.fullmatch(peer.md5):
        raise Unsupported(
            f"OpenBGPD cannot be told the MD5 key of session {peer.session}: it takes 1 to 80 printable characters "
            "without a blank or a double quote; choose another key"
        )
    if peer.passive:
        raise Unsupported(
            f"OpenBGPD on Linux cannot be the listening end of session {peer.session}, which has an MD5 key: its "
            "listening socket never learns the key; say `passive: true` for the other end"
        )
    return peer.md5


def _filters(config: RouterConfig, peer: PeerConfig) -> list[dict[str, Any]]:
    imports, exports = config.policies[peer.import_policy], config.policies[peer.export_policy]
    source = LearnedFrom.IBGP if peer.local_as == peer.peer_as else LearnedFrom.EBGP
    entering = rules(imports, peer.family, Side(peer.peer_address, source, peer.local_as))
    leaving = rules(exports, peer.family, Side(peer.peer_address, None, peer.local_as))
    if source is LearnedFrom.IBGP and peer.next_hop_self:
        # Not of routes that are reflected (RFC 4456 section 10).
        own = f"match to {peer.peer_address} large-community {SOURCES[LearnedFrom.EBGP]} set {{ nexthop self }}"
        leaving = [own, *leaving]
    return [
        {"title": f"{peer.session}: import policy {imports.name}", "lines": entering},
        {"title": f"{peer.session}: export policy {exports.name}", "lines": leaving},
    ]
