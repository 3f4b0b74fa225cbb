"""FRR routers: ``bgpd.conf`` and ``zebra.conf`` for the daemons, ``router.json`` for the companion beside them.

The configuration is made as a structure first, so that a change of it can be told to a running bgpd as the difference
(``daemons.frr_change``). Measured on FRR 8.4.4 (Debian 12). What FRR cannot be told raises ``Unsupported`` here, before
anything starts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import PurePath

import msgspec

from peerlab.bgp.attributes import Address, Family, PathAttributes, SegmentType
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.daemons.base import Argv, Sessions, template
from peerlab.daemons.frr_policy import EXPORT, TAGS, Definition, Direction, RouteMap, simple_map
from peerlab.daemons.origination import Origination
from peerlab.daemons.router_config import ROUTER, router_config, router_json
from peerlab.errors import Unsupported
from peerlab.topology.model import LabModel, Node

CONFIGURATION = PurePath("bgpd.conf")
ZEBRA = PurePath("zebra.conf")

TELLS_END_OF_RIB = False

BMP_PORT = 1790
"""Where the companion listens, on the node's loopback, for what bgpd heard before policy (RFC 7854)."""

WARN_AT = 80
"""Percent of max-prefix at which bgpd warns (RFC 7454 section 8)."""

_KEY = re.compile(r"[!-~]{1,80}")
_ROLES = {"provider": "provider", "customer": "customer", "peer": "peer", "rs": "rs-server", "rs-client": "rs-client"}
_PER_AS = {Family.IPV4: "ipv4 unicast", Family.IPV6: "ipv6 unicast"}


class Neighbour(msgspec.Struct, frozen=True):
    """One session's lines: of ``router bgp``, and of its address family. Each begins after ``neighbor ADDRESS``."""

    session: str
    address: Address
    family: Family
    lines: tuple[str, ...]
    family_lines: tuple[str, ...]


class Configuration(msgspec.Struct, frozen=True):
    """All of ``bgpd.conf``. ``networks`` are lines by family."""

    asn: int
    lines: tuple[str, ...]
    definitions: dict[str, Definition]
    neighbours: dict[Address, Neighbour]
    networks: dict[Family, tuple[str, ...]]


def render(model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
    """The files of a router that runs these sessions. Raises Unsupported for what FRR cannot be told."""
    return files(router_config(model, node, sessions))


def files(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> Mapping[PurePath, str]:
    """The files from the configuration alone; see ``structure``. An own configuration is left as it is."""
    own = config.own
    return {
        CONFIGURATION: text_of(config.node, structure(config, shut, originated)) if own is None else own.text,
        ZEBRA: template("frr/zebra.conf.j2").render(node=config.node),
        ROUTER: router_json(config),
    }


def check() -> Argv:
    """bgpd's own check of what was rendered."""
    return ("/usr/lib/frr/bgpd", "-C", "-f", str(CONFIGURATION))


def refuse(policy: Policy, family: Family) -> None:
    """Raises Unsupported when FRR cannot express the policy in either direction."""
    RouteMap(policy, family, EXPORT)


def text_of(node: str, made: Configuration) -> str:
    """``bgpd.conf``."""
    return template("frr/bgpd.conf.j2").render(
        node=node,
        asn=made.asn,
        lines=made.lines,
        definitions=[line for one in made.definitions.values() for line in one.lines],
        neighbours=list(made.neighbours.values()),
        families=[
            {
                "name": _PER_AS[family],
                "networks": made.networks[family],
                "neighbours": [one for one in made.neighbours.values() if one.family is family],
            }
            for family in Family
        ],
        bmp_port=BMP_PORT,
    )


def structure(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> Configuration:
    """What bgpd is to be. Sessions in ``shut`` are down; ``originated`` defaults to the configuration's prefixes."""
    definitions: dict[str, Definition] = {}

    def map_of(policy: str, family: Family, direction: Direction) -> str:
        made = RouteMap(config.policies[policy], family, direction)
        definitions.update({one.name: one for one in made.definitions})
        return made.definition.name

    neighbours = {}
    for peer in config.peers:
        source = LearnedFrom.IBGP if peer.local_as == peer.peer_as else LearnedFrom.EBGP
        imports = map_of(peer.import_policy, peer.family, Direction(source))
        exports = map_of(peer.export_policy, peer.family, EXPORT)
        neighbours[peer.peer_address] = Neighbour(
            peer.session,
            peer.peer_address,
            peer.family,
            tuple(_session_lines(config, peer, peer.session in shut)),
            tuple(_family_lines(peer, imports, exports)),
        )
    networks: dict[Family, list[str]] = {family: [] for family in Family}
    for one in [Origination(prefix) for prefix in config.originate] if originated is None else originated:
        definition = origin_map(one.attributes)
        definitions[definition.name] = definition
        networks[family_of_prefix(one.prefix)].append(f"network {one.prefix} route-map {definition.name}")
    return Configuration(
        config.asn,
        tuple(_router_lines(config)),
        definitions,
        neighbours,
        {family: tuple(lines) for family, lines in networks.items()},
    )


def _router_lines(config: RouterConfig) -> list[str]:
    if config.caches or config.vrps:
        raise Unsupported(
            f"FRR at {config.node} cannot validate origins: Debian's package frr has no bgpd_rpki; run this router on "
            "BIRD or ExaBGP, or have no RPKI cache serve it"
        )
    lines = [
        f"bgp router-id {config.router_id}",
        "no bgp default ipv4-unicast",
        "no bgp network import-check",
        # Cease/2 and Cease/4 as they are, not inside a Hard Reset (RFC 8538).
        "no bgp hard-administrative-reset",
        "bgp log-neighbor-changes",
        "bgp bestpath compare-routerid",
        "bgp deterministic-med",
        "coalesce-time 0",
    ]
    if config.med_across_ases:
        lines.append("bgp always-compare-med")
    if config.cluster_id is not None:
        lines.append(f"bgp cluster-id {config.cluster_id}")
    return lines


def _session_lines(config: RouterConfig, peer: PeerConfig, shut: bool) -> list[str]:
    external = peer.local_as != peer.peer_as
    if not peer.four_octet_as:
        raise Unsupported(f"FRR cannot leave out the capability of 4-octet AS numbers (session {peer.session})")
    if peer.bfd is not None:
        raise Unsupported(
            f"peerlab does not run FRR's bfdd, so session {peer.session} cannot have BFD; leave bfd out, or run "
            "this router on BIRD or ExaBGP"
        )
    if peer.send_hold_time is not None:
        raise Unsupported("FRR's send hold timer (RFC 9687) cannot be set; leave send_hold_time out")
    lines = [f"remote-as {peer.peer_as}"]
    if peer.local_as != config.asn:
        lines.append(f"local-as {peer.local_as} no-prepend replace-as")
    lines += [
        f"description {peer.session} to {peer.peer}",
        f"update-source {peer.local_address}",
        f"timers {max(1, peer.hold_time // 3)} {peer.hold_time}" if peer.hold_time else "timers 0 0",
        "timers connect 1",
        "advertisement-interval 0",
        # In an update group of its own a neighbour is not sent back what it announced, and is served sooner.
        "solo",
    ]
    if peer.passive:
        lines.append("passive")
    if external and peer.multihop:
        lines.append("ebgp-multihop 255")
    if peer.gtsm:
        lines.append(f"ttl-security hops {255 if peer.multihop else 1}")
    if peer.md5 is not None:
        if not _KEY.fullmatch(peer.md5):
            raise Unsupported(
                f"FRR cannot be told the MD5 key of session {peer.session}: it takes 1 to 80 printable characters "
                "without a blank; choose another key"
            )
        lines.append(f"password {peer.md5}")
    if external:
        if peer.enforce_first_as and peer.relation != "route-server":
            lines.append("enforce-first-as")
        if peer.local_role is not None:
            lines.append(f"local-role {_ROLES[peer.local_role.value]}" + (" strict-mode" if peer.role_strict else ""))
    if shut:
        lines.append("shutdown")
    return lines


def _family_lines(peer: PeerConfig, imports: str, exports: str) -> list[str]:
    external = peer.local_as != peer.peer_as
    lines = [
        "activate",
        "soft-reconfiguration inbound",
        "send-community all",
        f"route-map {imports} in",
        f"route-map {exports} out",
    ]
    if peer.route_server_client:
        lines.append("route-server-client")
    elif external or peer.next_hop_self:
        lines.append("next-hop-self")
    if peer.route_reflector_client:
        lines.append("route-reflector-client")
    if peer.max_prefix is not None:
        # Counted before policy, as everywhere in this laboratory.
        lines.append(f"maximum-prefix {peer.max_prefix} {WARN_AT} force")
    return lines


def origin_map(attributes: PathAttributes) -> Definition:
    """The route-map that gives an originated prefix its attributes. Raises Unsupported for what it cannot give."""
    known = PathAttributes(
        origin=attributes.origin,
        as_path=attributes.as_path,
        med=attributes.med,
        local_pref=attributes.local_pref,
        communities=attributes.communities,
        large_communities=attributes.large_communities,
    )
    if known != attributes or any(one.kind is not SegmentType.AS_SEQUENCE for one in attributes.as_path):
        raise Unsupported(
            "FRR cannot originate a route with these attributes: only ORIGIN, a path of sequences, MED, LOCAL_PREF "
            "and communities; originate it at an ExaBGP router"
        )
    lines = [f"set tag {TAGS[LearnedFrom.LOCAL]}"]
    if attributes.origin:
        lines.append(f"set origin {attributes.origin.name.lower()}")
    if attributes.asns():
        lines.append("set as-path prepend " + " ".join(map(str, attributes.asns())))
    if attributes.med is not None:
        lines.append(f"set metric {attributes.med}")
    if attributes.local_pref is not None:
        lines.append(f"set local-preference {attributes.local_pref}")
    if attributes.communities:
        lines.append(f"set community {' '.join(attributes.communities)}")
    if attributes.large_communities:
        lines.append(f"set large-community {' '.join(attributes.large_communities)}")
    return simple_map("origin", lines)

