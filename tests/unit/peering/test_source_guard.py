"""Which sources may come in by a peering interface of an edge."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from peerlab.peering.source_guard import guarded_sources
from peerlab.topology.load import load

MODEL = load(Path(__file__).parents[3] / "topologies" / "peering-service.yaml")


def interface_of(node: str, far: str) -> str:
    session = next(s for s in MODEL.sessions if {s.left.node, s.right.node} == {node, far})
    return str(session.end(node).interface)


def passes(source: str, node: str, far: str) -> bool:
    sources = guarded_sources(MODEL, node, interface_of(node, far))
    assert sources is not None
    address = ip_address(source)
    return any(address in ip_network(prefix) for prefix in sources if ip_network(prefix).version == address.version)


@pytest.mark.parametrize(
    ("source", "far", "allowed"),
    [
        ("198.18.32.9", "fab-ams-1", True),
        ("198.18.33.9", "fab-ams-1", True),
        ("2001:db8:2002::9", "fab-ams-1", True),
        ("198.18.49.9", "fab-ams-1", False),
        ("198.18.49.9", "rs-1", True),
        ("198.18.33.9", "rs-1", False),
        ("198.18.1.9", "fab-ams-1", False),
        ("10.0.0.1", "fab-ams-1", False),
        ("fd00::1", "rs-1", False),
        ("169.254.1.1", "fab-ams-1", False),
    ],
)
def test_a_peer_sends_with_its_own_and_its_customers_sources_only(source: str, far: str, allowed: bool) -> None:
    assert passes(source, "ams-edge-1", far) is allowed


def test_a_customer_with_two_locations_may_send_by_both_whatever_is_preferred() -> None:
    """litware has no backup, so that Dublin rejects its route; its packets may still come in there."""
    assert passes("198.18.34.9", "ams-edge-2", "fab-ams-2")
    assert passes("198.18.34.9", "dub-edge-1", "fab-dub-1")


def test_routers_of_the_peer_may_answer_a_traceroute() -> None:
    for node in ("fab-ams-1", "contoso-1"):
        loopback = MODEL.node(node).loopback_v4
        assert loopback is None or passes(loopback, "ams-edge-1", "fab-ams-1")
        for interface in MODEL.node(node).interfaces:
            assert interface.v4 is None or passes(interface.v4.partition("/")[0], "ams-edge-1", "fab-ams-1")


@pytest.mark.parametrize(
    ("node", "far"), [("sea-core-1", "woodgrove-1"), ("ams-edge-1", "ams-edge-2"), ("fab-ams-1", "ams-edge-1")]
)
def test_transit_the_backbone_and_the_peers_own_side_take_every_source(node: str, far: str) -> None:
    link = next(link for link in MODEL.links if {end.node for end in link.ends} == {node, far})
    interface = next(end.interface for end in link.ends if end.node == node)
    assert guarded_sources(MODEL, node, interface) is None
