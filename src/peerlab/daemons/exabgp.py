"""ExaBGP routers: ``exabgp.conf`` for ExaBGP's sessions, ``router.json`` for the router process around it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.bgp.config import IgpInterface, PeerConfig, RouterConfig
from peerlab.daemons.base import Argv, Sessions, template
from peerlab.topology.model import LabModel, Node, Relation, Session

CONFIGURATION = PurePath("exabgp.conf")
ROUTER = PurePath("router.json")

_PLAIN = re.compile(r"[A-Za-z0-9!$%&*+./:<=>?@^_|~-]+( [A-Za-z0-9!$%&*+./:<=>?@^_|~-]+)*")
"""Text that ExaBGP's tokeniser leaves alone between double quotes. It has no way to escape a quote."""


def render(model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
    """Both files of a router that runs these sessions (session id to import and export policy)."""
    config = router_config(model, node, sessions)
    return {CONFIGURATION: configuration(config), ROUTER: router_json(config)}


def check() -> Argv:
    """ExaBGP's own check of what was rendered."""
    return ("exabgp", "validate", "--neighbor", str(CONFIGURATION))


def router_config(model: LabModel, node: Node, sessions: Sessions) -> RouterConfig:
    """Everything the router process is told at birth. Raises ValueError for a node without AS or router id."""
    if node.asn is None or node.router_id is None:
        raise ValueError(f"node {node.name} is no router: it has no AS number or no router id")
    peers = tuple(
        peer_config(model, model.session(session), node.name, imports.name, exports.name)
        for session, (imports, exports) in sessions.items()
    )
    policies = {policy.name: policy for pair in sessions.values() for policy in pair}
    return RouterConfig(
        node=node.name,
        asn=node.asn,
        router_id=node.router_id,
        directory=f"/run/peerlab/{node.name}",
        loopback_v4=node.loopback_v4,
        loopback_v6=node.loopback_v6,
        originate=node.originates,
        peers=peers,
        policies=policies,
        igp=tuple(
            IgpInterface(
                name=interface.name,
                cost=interface.igp_cost,
                address_v4=_without_length(interface.v4),
                address_v6=_without_length(interface.v6),
            )
            for interface in node.interfaces
            if interface.igp_cost is not None
        ),
        cluster_id=node.router_id if any(peer.route_reflector_client for peer in peers) else None,
        route_server=node.route_server,
        install_routes=not node.route_server,
    )


def peer_config(model: LabModel, session: Session, node: str, import_policy: str, export_policy: str) -> PeerConfig:
    """One session as the router at this end must know it, under these policies.

    A route server leaves its AS out of the path, so its clients do not insist on it in front. Raises KeyError when
    the node has no end of the session.
    """
    local, remote = session.end(node), session.other(node)
    return PeerConfig(
        session=session.id,
        peer=remote.node,
        family=session.family,
        local_address=local.address,
        peer_address=remote.address,
        local_as=local.asn,
        peer_as=remote.asn,
        import_policy=import_policy,
        export_policy=export_policy,
        relation=local.relation.value,
        local_role=local.role,
        role_strict=local.role_strict,
        hold_time=session.hold_time,
        md5=session.md5,
        gtsm=session.gtsm,
        passive=local.passive,
        multihop=local.interface is None,
        max_prefix=local.max_prefix,
        route_reflector_client=local.route_reflector_client,
        route_server_client=local.relation is Relation.ROUTE_SERVER_CLIENT,
        enforce_first_as=local.relation is not Relation.ROUTE_SERVER,
        next_hop_self=local.next_hop_self,
        interface=local.interface,
    )


def configuration(config: RouterConfig) -> str:
    """``exabgp.conf`` for all of the router's sessions."""
    return template("exabgp/exabgp.conf.j2").render(
        node=config.node,
        asn=config.asn,
        router_id=config.router_id,
        neighbors=[_neighbor(peer) for peer in config.peers],
    )


def router_json(config: RouterConfig) -> str:
    """``router.json``: the same facts for the router process, and the policies."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1).decode() + "\n"


def _neighbor(peer: PeerConfig) -> dict[str, Any]:
    options = ["listen 179" if peer.passive else "connect 179"]
    remarks = []
    if peer.md5 is not None:
        options += _md5(peer.md5)
    if peer.gtsm:
        options += ["incoming-ttl 255", "outgoing-ttl 255"]
        remarks.append("GTSM: TTL 255 is sent and demanded (RFC 5082)")
    if not peer.four_octet_as:
        remarks.append("without capability 65: an OLD speaker (RFC 6793), on purpose")
    if peer.multihop:
        remarks.append("between loopbacks, over the interior routes")
    if peer.local_role is not None:
        strictly = ", strictly" if peer.role_strict else ""
        remarks.append(
            f"BGP role {peer.local_role.value}{strictly} (RFC 9234): ExaBGP has no word for it, peerlab adds it"
        )
    if peer.max_prefix is not None:
        remarks.append(f"at most {peer.max_prefix} routes are taken, then Cease/1 (RFC 4486)")
    return {
        "session": peer.session,
        "family": peer.family.value,
        "peer": peer.peer,
        "peer_as": peer.peer_as,
        "local_as": peer.local_as,
        "peer_address": peer.peer_address,
        "local_address": peer.local_address,
        "relation": peer.relation,
        "description": f"{peer.session} to {peer.peer}",
        "hold_time": peer.hold_time,
        "passive": "true" if peer.passive else "false",
        "asn4": "enable" if peer.four_octet_as else "disable",
        "options": options,
        "remarks": remarks,
    }


def _md5(password: str) -> list[str]:
    """The password as it is where ExaBGP can read that, in base64 where not."""
    if _PLAIN.fullmatch(password):
        return [f'md5-password "{password}"']
    return [f'md5-password "{base64.b64encode(password.encode()).decode()}"', "md5-base64 true"]


def _without_length(address: str | None) -> Address | None:
    return None if address is None else Address(address.partition("/")[0])
