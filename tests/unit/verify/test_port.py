"""Which ports quarantine judges, and which addresses it asks them for."""

from __future__ import annotations

from pathlib import Path

import pytest
from verify_model import bare, lab
from verify_quarantine import quarantined

from peerlab.controller.quarantine_frames import frames_for
from peerlab.runtime.frames import parse
from peerlab.topology.load import load
from peerlab.verify.ethernet import dissect
from peerlab.verify.frame_rule import broken_rules
from peerlab.verify.port import foreign_addresses, ports, unused_addresses

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))


def test_both_ends_of_a_wire_and_every_member_of_a_lan_are_ports() -> None:
    found = [(port.key, port.watcher, port.far, port.lan) for port in ports(quarantined())]
    assert found == [
        ("isp1 e1", "ams1", "ams1", None),
        ("ams1 e1", "isp1", "isp1", None),
        ("isp1 e2", "ams2", "ams2", None),
        ("ams2 e2", "isp1", "isp1", None),
        ("ams2 e15", "lan", "rs1", "lan"),
        ("rs1 e15", "lan", "member", "lan"),
        ("member e16", "lan", "ams2", "lan"),
    ]


def test_a_lab_without_connections_has_no_port() -> None:
    assert ports(bare()) == ()


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_every_shipped_lab_with_a_peering_has_ports(path: Path) -> None:
    model = load(path)
    found = ports(model)
    assert {connection.edge for peering in model.peerings for connection in peering.connections} <= {
        port.node for port in found
    }


def test_nobody_is_asked_for_an_address_that_somebody_on_the_lan_has() -> None:
    model = quarantined()
    (port,) = [port for port in ports(model) if port.key == "ams2 e15"]
    asked = frames_for(model, port).asked
    members = {i.v4.split("/")[0] for node in model.nodes for i in node.interfaces if i.v4 and "195.69.144." in i.v4}
    assert set(asked["own"]) == {"195.69.144.2", "2001:7f8:1::2"}
    assert members.isdisjoint({*asked["unused"], *asked["monitor"], *asked["off-lan"]})
    # What it would answer for if it were careless: its loopback, its other interfaces, and its neighbours there.
    assert {"10.255.0.2", "192.0.2.5", "192.0.2.4"} <= set(asked["off-lan"])


def test_foreign_addresses_are_not_of_the_ports_own_subnets() -> None:
    model = quarantined()
    (port,) = [port for port in ports(model) if port.key == "isp1 e1"]
    assert {"192.0.2.2", "192.0.2.3", "2001:db8:ff::2"}.isdisjoint(foreign_addresses(model, port))


def test_unused_addresses_come_from_both_halves() -> None:
    lower, upper = unused_addresses(lab(), "195.69.144.0/24", 2)
    assert (lower, upper) == (["195.69.144.127", "195.69.144.126"], ["195.69.144.128", "195.69.144.129"])
    lower, upper = unused_addresses(lab(), "2001:7f8:1::/64", 1)
    assert (lower, upper) == (["2001:7f8:1:0:7fff:ffff:ffff:ffff"], ["2001:7f8:1:0:8000::"])
    assert unused_addresses(lab(), "192.0.2.2/31", 2) == ([], [])
    assert unused_addresses(lab(), "192.0.2.0/29", 3)[0] == ["192.0.2.1"], "the others are somebody's"


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_no_test_frame_breaks_a_rule_itself(path: Path) -> None:
    """The monitors of a wire's two ends hear each other: what they send must not look like a fault."""
    model = load(path)
    for port in ports(model):
        for octets in frames_for(model, port).all():
            frame = dissect(bytes.fromhex(octets))
            assert broken_rules(frame, port.watcher_interface.mac) == ()
            assert parse(bytes.fromhex(octets)).source_mac == port.watcher_interface.mac
