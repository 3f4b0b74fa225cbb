"""BIRD routers: ``bird.conf`` for the daemon, ``router.json`` for the companion process that starts and reads it.

Measured on BIRD 2.0.12 (Debian 12). What BIRD cannot be told raises ``Unsupported`` here, before anything starts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from peerlab.bgp.attributes import Family, PathAttributes, Prefix, SegmentType
from peerlab.bgp.config import BfdConfig, PeerConfig, RouterConfig
from peerlab.bgp.nlri import family_of_prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.bgp.rtr_config import RtrServer
from peerlab.daemons import bird_filter
from peerlab.daemons.base import Argv, Sessions, template
from peerlab.daemons.bird_filter import SOURCE, SOURCES, STATEMENT, VERSION
from peerlab.daemons.bird_own import OWN, lab_file
from peerlab.daemons.origination import Origination
from peerlab.daemons.router_config import ROUTER, router_config, router_json
from peerlab.errors import Unsupported
from peerlab.topology.model import LabModel, Node

CONFIGURATION = PurePath("bird.conf")
CONTROL_SOCKET = PurePath("bird.ctl")

METRIC = 1 << 20
"""Kernel metric of BGP's routes: the interior protocol, whose metrics here hold its costs, wins."""
IGP_PROTOCOL = 200
"""Kernel protocol number of peerlab's interior routes (``router.fib.PROTOCOL_IGP``)."""
IGP_BASE = 512
"""Kernel metric of an interior route of cost 0 (``router.fib.METRICS``)."""

BFD_PROTOCOL = "liveness"
"""Name of the protocol that runs BFD."""
IDLE_BFD_MS = 1000
"""Milliseconds between BFD packets of a session that is not Up: the least that RFC 5880 section 6.8.3 allows."""
TELLS_END_OF_RIB = True

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,60}")
_UNQUOTABLE = re.compile(r'["\x00-\x1f\x7f]')


def render(model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
    """Both files of a router that runs these sessions. Raises Unsupported for what BIRD cannot be told."""
    return files(router_config(model, node, sessions))


def files(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> Mapping[PurePath, str]:
    """Both files from the configuration alone; see ``configuration``. An own configuration is left as it is."""
    if config.own is not None:
        own_files = {CONFIGURATION: lab_file(config.node, config.own), OWN: config.own.text}
        return {**own_files, ROUTER: router_json(config)}
    return {CONFIGURATION: configuration(config, shut, originated), ROUTER: router_json(config)}


def refuse(policy: Policy, family: Family) -> None:
    """Raises Unsupported when BIRD cannot express the policy."""
    bird_filter.function(0, policy, family)


def check() -> Argv:
    """BIRD's own check of what was rendered."""
    return ("bird", "-p", "-c", str(CONFIGURATION))


def protocol_name(session: str) -> str:
    """BIRD's name of a session's protocol: the session's id where BIRD can spell it, else as much and a digest."""
    name = session.replace("/", ":")
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(session.encode()).hexdigest()[:8]
    return re.sub(r"[^A-Za-z0-9_.:-]", "-", name)[:50] + "-" + digest


def configuration(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> str:
    """``bird.conf``. Sessions in ``shut`` are administratively down; ``originated`` defaults to the configuration's."""
    functions: list[list[str]] = []
    names: dict[tuple[str, Family], str] = {}

    def function_of(policy: str, family: Family) -> str:
        if (policy, family) not in names:
            number = len(names) + 1
            functions.append(bird_filter.function(number, config.policies[policy], family))
            names[policy, family] = bird_filter.function_name(number, family)
        return names[policy, family]

    peers = [
        _peer(
            config,
            peer,
            function_of(peer.import_policy, peer.family),
            function_of(peer.export_policy, peer.family),
            peer.session in shut,
        )
        for peer in config.peers
    ]
    routes = [Origination(prefix) for prefix in config.originate] if originated is None else originated
    return template("bird/bird.conf.j2").render(
        node=config.node,
        asn=config.asn,
        router_id=config.router_id,
        statement=STATEMENT,
        source=SOURCE,
        install=config.install_routes,
        metric=METRIC,
        igp_protocol=IGP_PROTOCOL,
        igp_base=IGP_BASE,
        originated=_by_version(routes),
        vrps={version: [_vrp(one) for one in config.vrps if _version(one.prefix) == version] for version in (4, 6)},
        caches=[_cache(one) for one in _caches(config)],
        bfd_protocol=BFD_PROTOCOL if any(peer.bfd is not None for peer in config.peers) else None,
        path_functions=bird_filter.PATH_FUNCTIONS,
        functions=functions,
        peers=peers,
        sorted=config.route_server or any(peer.route_server_client for peer in config.peers),
    )


def _peer(config: RouterConfig, peer: PeerConfig, imports: str, exports: str, shut: bool) -> dict[str, Any]:
    external = peer.local_as != peer.peer_as
    heard = SOURCES[LearnedFrom.EBGP if external else LearnedFrom.IBGP]
    import_lines = [f"{SOURCE} = {heard};", f"{imports}({peer.local_address}, {'true' if external else 'false'});"]
    export_lines = [f"{exports}({peer.local_address}, false);"]
    if external and not peer.route_server_client:
        # RFC 4271 section 5.1.4: a neighbouring AS's MED is not for third ones. Policy may set one of our own.
        export_lines.insert(0, "if source = RTS_BGP then unset(bgp_med);")
    if external:
        # RFC 4271 section 5.1.5: from an external peer LOCAL_PREF must be ignored.
        import_lines.insert(1, "bgp_local_pref = 100;")
    return {
        "session": peer.session,
        "name": protocol_name(peer.session),
        "family": peer.family.value,
        "version": VERSION[peer.family],
        "peer": peer.peer,
        "peer_as": peer.peer_as,
        "relation": peer.relation,
        "options": _options(config, peer, external, shut),
        "channel": _channel(peer, external),
        "import_lines": import_lines,
        "export_lines": export_lines,
    }


def _options(config: RouterConfig, peer: PeerConfig, external: bool, shut: bool) -> list[str]:
    if config.med_across_ases:
        raise Unsupported("BIRD routers of this lab cannot compare MED across ASes yet; leave med_across_ases off")
    if peer.send_hold_time is not None:
        raise Unsupported("BIRD 2.0 has no send hold timer (RFC 9687), 2.15 brought it; leave send_hold_time out")
    lines = [
        f"local {peer.local_address} as {peer.local_as};",
        f"neighbor {peer.peer_address} as {peer.peer_as};",
        f"hold time {peer.hold_time};",
        f"passive {'on' if peer.passive else 'off'};",
        "connect delay time 1;",
        "connect retry time 1;",
        "error wait time 1, 2;",
        # Only a speaker that knows graceful restart sends End-of-RIB; "aware" restarts nothing by itself.
        "graceful restart aware;",
        "long lived graceful restart off;",
        "enable extended messages on;",
    ]
    if shut:
        lines.insert(0, "disabled;")
    if peer.multihop:
        lines.append("multihop;")
    else:
        lines.append("direct;")
        if peer.interface is not None:
            lines += [f'interface "{peer.interface}";', "check link on;"]
    if peer.md5 is not None:
        if _UNQUOTABLE.search(peer.md5):
            raise Unsupported(
                f"BIRD cannot be told the MD5 key of session {peer.session}: its configuration language has no way "
                "to write a double quote or control character; choose another key"
            )
        lines.append(f'password "{peer.md5}";')
    if peer.gtsm:
        lines.append("ttl security on;")
    if peer.bfd is not None:
        lines.append(_bfd(peer.bfd))
    if external:
        first = peer.enforce_first_as and peer.relation != "route-server"
        lines.append(f"enforce first as {'on' if first else 'off'};")
        if peer.local_role is not None:
            lines.append(f"local role {_ROLES[peer.local_role.value]};")
            if peer.role_strict:
                lines.append("require roles on;")
    if peer.route_reflector_client:
        lines += ["rr client;", f"rr cluster id {config.cluster_id or config.router_id};"]
    if peer.route_server_client:
        lines.append("rs client;")
    return lines


def _bfd(bfd: BfdConfig) -> str:
    """BFD of one session. BIRD has no strict BFD: where it is asked for, the other end has to hold routes back."""
    timers = f"min rx interval {bfd.interval_ms} ms; min tx interval {bfd.interval_ms} ms;"
    return f"bfd {{ {timers} idle tx interval {IDLE_BFD_MS} ms; multiplier {bfd.multiplier}; }};"


_ROLES = {"provider": "provider", "customer": "customer", "peer": "peer", "rs": "rs_server", "rs-client": "rs_client"}


def _channel(peer: PeerConfig, external: bool) -> list[str]:
    lines = []
    if peer.route_server_client:
        lines.append("next hop keep on;")
        # Where a client is not to have the best route it gets the next one (RFC 7947 section 2.3).
        lines.append("secondary on;")
    elif external:
        lines.append("next hop self on;")
    elif peer.next_hop_self:
        lines.append("next hop self ebgp;")
    if peer.max_prefix is not None:
        lines.append(f"receive limit {peer.max_prefix} action disable;")
    return lines


def _by_version(routes: Collection[Origination]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {4: [], 6: []}
    for route in routes:
        found[_version(route.prefix)].append(_origination(route))
    return found


def _origination(route: Origination) -> str:
    changes = _attribute_lines(route.attributes)
    return f"route {route.prefix} blackhole" + (f" {{ {' '.join(changes)} }};" if changes else ";")


def _attribute_lines(attributes: PathAttributes) -> list[str]:
    """Raises Unsupported for an attribute that a static route of BIRD cannot carry."""
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
            "BIRD cannot originate a route with these attributes: only ORIGIN, a path of sequences, MED, LOCAL_PREF "
            "and communities; originate it at an ExaBGP router"
        )
    lines = [f"bgp_origin = {attributes.origin.name if attributes.origin else 'IGP'};"] if attributes.origin else []
    lines = [line.replace("INCOMPLETE", "ORIGIN_INCOMPLETE").replace("= EGP", "= ORIGIN_EGP") for line in lines]
    lines += [f"bgp_path.prepend({asn});" for asn in reversed(attributes.asns())]
    if attributes.med is not None:
        lines.append(f"bgp_med = {attributes.med};")
    if attributes.local_pref is not None:
        lines.append(f"bgp_local_pref = {attributes.local_pref};")
    lines += [f"bgp_community.add(({text.replace(':', ',')}));" for text in attributes.communities]
    lines += [f"bgp_large_community.add(({text.replace(':', ',')}));" for text in attributes.large_communities]
    return lines


def cache_protocol(server: RtrServer) -> str:
    """BIRD's name of an RPKI cache's protocol."""
    return f"rpki-{server.name}"


def _caches(config: RouterConfig) -> tuple[RtrServer, ...]:
    """Raises Unsupported for caches of different preference: BIRD puts all into one table."""
    if len({one.preference for one in config.caches}) > 1:
        raise Unsupported(
            f"BIRD cannot prefer one RPKI cache to another ({config.node} is told "
            f"{', '.join(f'{one.name}: {one.preference}' for one in config.caches)}); give all the same preference, "
            "or run this router on ExaBGP"
        )
    return config.caches


def _cache(server: RtrServer) -> dict[str, Any]:
    """BIRD 2.0.12 asks a cache at one address only, and takes no expiry below 600 s from it."""
    options = [f"remote {server.addresses[0]} port {server.port};", "retry keep 1;"]
    return {"server": server.name, "name": cache_protocol(server), "options": options}


def _vrp(vrp: Vrp) -> str:
    length = vrp.prefix.partition("/")[2] if vrp.max_length is None else vrp.max_length
    return f"route {vrp.prefix} max {length} as {vrp.asn};"


def _version(prefix: Prefix) -> int:
    return VERSION[family_of_prefix(prefix)]
