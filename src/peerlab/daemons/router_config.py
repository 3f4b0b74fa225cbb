"""What a router is told at birth, whatever daemon it runs: the model, seen from one node."""

from __future__ import annotations

from pathlib import PurePath

import msgspec

from peerlab.bgp.attributes import Address
from peerlab.bgp.config import IgpInterface, PeerConfig, RouterConfig
from peerlab.daemons.base import Sessions
from peerlab.daemons.rpki import servers_of
from peerlab.topology.model import LabModel, Node, Relation, Session

ROUTER = PurePath("router.json")
"""Where the router process finds what it is told at birth."""


def router_json(config: RouterConfig) -> str:
    """``router.json``: the configuration and the policies, for the router process."""
    return msgspec.json.format(msgspec.json.encode(config), indent=1).decode() + "\n"


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
        kind=node.kind.value,
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
        caches=servers_of(model, node),
        own=node.own,
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
        bfd=session.bfd,
        graceful_restart=session.graceful_restart,
    )


def _without_length(address: str | None) -> Address | None:
    return None if address is None else Address(address.partition("/")[0])
