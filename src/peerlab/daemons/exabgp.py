"""ExaBGP routers: ``exabgp.conf`` for ExaBGP's sessions, ``router.json`` for the router process around it."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.policy import Policy
from peerlab.daemons.base import Argv, Sessions, template
from peerlab.daemons.origination import Origination
from peerlab.daemons.router_config import ROUTER, router_config, router_json
from peerlab.topology.model import LabModel, Node

CONFIGURATION = PurePath("exabgp.conf")

TELLS_END_OF_RIB = True

_PLAIN = re.compile(r"[A-Za-z0-9!$%&*+./:<=>?@^_|~-]+( [A-Za-z0-9!$%&*+./:<=>?@^_|~-]+)*")
"""Text that ExaBGP's tokeniser leaves alone between double quotes. It has no way to escape a quote."""


def render(model: LabModel, node: Node, sessions: Sessions) -> Mapping[PurePath, str]:
    """Both files of a router that runs these sessions (session id to import and export policy)."""
    return files(router_config(model, node, sessions))


def files(
    config: RouterConfig, shut: Collection[str] = (), originated: Collection[Origination] | None = None
) -> Mapping[PurePath, str]:
    """Both files from the configuration alone. What is shut or originated besides, the running router remembers."""
    return {CONFIGURATION: configuration(config), ROUTER: router_json(config)}


def refuse(policy: Policy, family: Family) -> None:
    """Our own speaker executes every policy."""


def check() -> Argv:
    """ExaBGP's own check of what was rendered."""
    return ("exabgp", "validate", "--neighbor", str(CONFIGURATION))


def configuration(config: RouterConfig) -> str:
    """``exabgp.conf`` for all of the router's sessions."""
    return template("exabgp/exabgp.conf.j2").render(
        node=config.node,
        asn=config.asn,
        router_id=config.router_id,
        neighbors=[_neighbor(peer) for peer in config.peers],
    )


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
    if peer.bfd is not None:
        strictly = ", no route before it is Up" if peer.bfd.strict else ""
        timers = f"{peer.bfd.interval_ms} ms x {peer.bfd.multiplier}"
        remarks.append(f"BFD {timers} (RFC 5880){strictly}: ExaBGP has none, peerlab adds it")
    if peer.graceful_restart is not None:
        remarks.append(f"graceful restart, {peer.graceful_restart.restart_time} s (RFC 4724): peerlab adds it")
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
