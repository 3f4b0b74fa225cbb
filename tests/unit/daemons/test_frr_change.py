"""What a running bgpd is told so that it becomes another: the difference, in an order that leaves nothing undefined."""

from __future__ import annotations

from typing import Any

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.policy import DENY_ALL, Policy, Verdict
from peerlab.daemons.frr import structure
from peerlab.daemons.frr_change import commands

OPEN = Policy(name="open", default=Verdict.ACCEPT)


def config(*peers: PeerConfig, **more: Any) -> RouterConfig:
    return RouterConfig(node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/a", kind="frr", peers=peers,
                        policies={"deny-all": DENY_ALL, "open": OPEN}, **more)  # fmt: skip


def peer(number: int, **more: Any) -> PeerConfig:
    settings = {
        "session": f"s{number}", "peer": "b", "family": Family.IPV4, "local_address": Address(f"192.0.2.{number}"),
        "peer_address": Address(f"192.0.2.{number + 1}"), "local_as": 64500, "peer_as": 64501,
        "import_policy": "deny-all", "export_policy": "deny-all", "interface": "e0",
    }  # fmt: skip
    return PeerConfig(**(settings | more))


def change(before: RouterConfig, after: RouterConfig, shut: tuple[str, ...] = ()) -> list[str]:
    return commands(structure(before), structure(after, shut))


def test_nothing_is_told_when_nothing_is_new() -> None:
    assert change(config(peer(0)), config(peer(0))) == []


def test_another_policy_is_another_map_made_before_and_the_old_one_taken_away_after() -> None:
    said = change(config(peer(0)), config(peer(0, import_policy="open")))
    assert said[0].startswith("route-map open-v4-")
    inside = said[said.index("router bgp 64500") :]
    assert inside[1] == "address-family ipv4 unicast"
    assert inside[2].startswith("neighbor 192.0.2.1 route-map open-v4-") and inside[2].endswith(" in")
    assert said[-1].startswith("no route-map deny-all-v4-")
    assert not any("no neighbor" in line for line in said)


def test_a_new_neighbour_is_held_back_until_it_knows_all() -> None:
    said = change(config(peer(0)), config(peer(0), peer(2, md5="key")))
    begun, held = said.index("neighbor 192.0.2.3 remote-as 64501"), said.index("neighbor 192.0.2.3 shutdown")
    assert held == begun + 1
    released = said.index("no neighbor 192.0.2.3 shutdown")
    assert all(said.index(line) < released for line in said if line.startswith("neighbor 192.0.2.3"))


def test_a_neighbour_that_is_shut_stays_so() -> None:
    said = change(config(), config(peer(0)), shut=("s0",))
    assert "no neighbor 192.0.2.1 shutdown" not in said


def test_a_neighbour_and_its_maps_go() -> None:
    said = change(config(peer(0), peer(2, import_policy="open")), config(peer(0)))
    assert "no neighbor 192.0.2.3" in said
    assert [line.split("-v4")[0] for line in said if line.startswith("no route-map")] == ["no route-map open"]


def test_a_limit_is_replaced_and_taken_away() -> None:
    assert "neighbor 192.0.2.1 maximum-prefix 20 80 force" in change(
        config(peer(0, max_prefix=10)), config(peer(0, max_prefix=20))
    )
    assert "no neighbor 192.0.2.1 maximum-prefix 20 80 force" in change(
        config(peer(0, max_prefix=20)), config(peer(0))
    )


def test_origins_come_and_go() -> None:
    prefix = Prefix("198.18.0.0/24")
    with_origin = msgspec.structs.replace(config(), originate=(prefix,))
    assert any(line.startswith(f"network {prefix} route-map origin-") for line in change(config(), with_origin))
    assert any(line.startswith(f"no network {prefix}") for line in change(with_origin, config()))
