"""Measures the latency of a prefix by echo requests from the edge PoP nearest to its users, as real packets."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import Any

import msgspec

from peerlab.controller.lab import Lab
from peerlab.controller.looking_glass import source_of
from peerlab.controller.probing import PING
from peerlab.topology.model import LabModel, NodeKind

COUNT = 5
"""Echo requests of one measurement."""


class EchoAim(msgspec.Struct, frozen=True):
    """From which edge router to which address a prefix is measured."""

    edge: str
    source: str
    target: str


def aim_at(model: LabModel, prefix: str, location: str) -> EchoAim | None:
    """The first edge router of a location that has an address to be answered at, and an address inside the prefix that
    somebody holds, a host's rather than a router's. None when there is no such pair."""
    network = ip_network(prefix)
    holders = sorted(
        (node.kind is not NodeKind.HOST, node.name, str(ip_interface(text).ip))
        for node in model.nodes
        for interface in node.interfaces
        for text in (interface.v4, interface.v6)
        if text and ip_interface(text).ip in network
    )
    metros = {m.name for m in model.metros if m.peering_location.casefold() == location.casefold()}
    cloud = model.cloud()
    for node in model.nodes:
        ours = cloud is not None and node.is_router and node.as_name == cloud.name and node.metro in metros
        if ours and holders and (source := source_of(model, node, network.version)):
            return EchoAim(node.name, source, holders[0][2])
    return None


async def measure(lab: Lab, aim: EchoAim, count: int = COUNT) -> dict[str, Any]:
    """One measurement; see ``runtime.probe.PingReport``. Raises PeerlabError when the probe cannot run."""
    arguments = {"destination": aim.target, "source": aim.source, "count": count}
    return await (await lab.runtime.task(aim.edge, PING, arguments)).result()
