"""A foreign daemon inside an AS: it reaches iBGP next hops by the interior protocol and takes the nearest exit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from daemon_kinds import DaemonKind
from live.router_lab import ACCEPT_ALL, WITHIN, RouterLab, prefixes, router, router_lab, run

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.config import IgpInterface, PeerConfig, RouterConfig
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec

pytestmark = [pytest.mark.live, pytest.mark.daemons]

EXITS = ("x", "y")
NUMBERS = {"daemon": 1, "x": 2, "y": 3}
ROUTES = {Family.IPV4: "203.0.113.0/24", Family.IPV6: "2001:db8:f00::/48"}
ASN = 64500


def loopback(node: str, family: Family) -> Address:
    return Address(f"10.0.0.{NUMBERS[node]}" if family is Family.IPV4 else f"2001:db8:1::{NUMBERS[node]}")


def wire(exit_name: str, family: Family, end: int) -> Address:
    return Address(f"10.1.{NUMBERS[exit_name]}.{end}" if family is Family.IPV4
                   else f"2001:db8:2:{NUMBERS[exit_name]}::{end}")  # fmt: skip


def ibgp(node: str, other: str, family: Family) -> PeerConfig:
    exit_name = node if node in EXITS else other
    return PeerConfig(
        session=f"{exit_name}.{family.value}",
        peer=other,
        family=family,
        local_address=loopback(node, family),
        peer_address=loopback(other, family),
        local_as=ASN,
        peer_as=ASN,
        import_policy=ACCEPT_ALL.name,
        export_policy=ACCEPT_ALL.name,
        relation="internal",
        multihop=True,
        passive=node == "daemon",
    )


def igp(exit_name: str, end: int, name: str, cost: int) -> IgpInterface:
    return IgpInterface(name=name, cost=cost, address_v4=wire(exit_name, Family.IPV4, end),
                        address_v6=wire(exit_name, Family.IPV6, end))  # fmt: skip


def configs(costs: dict[str, int], kind: DaemonKind) -> list[RouterConfig]:
    """The daemon between two exits that both originate the same routes, at these interior costs."""

    def made(node: str, peers: list[PeerConfig], wires: tuple[IgpInterface, ...], **more: Any) -> RouterConfig:
        loopbacks = {"loopback_v4": loopback(node, Family.IPV4), "loopback_v6": loopback(node, Family.IPV6)}
        return router(node, ASN, f"10.0.0.{NUMBERS[node]}", peers, igp=wires, **loopbacks, **more)

    daemon = made(
        "daemon",
        [ibgp("daemon", one, family) for one in EXITS for family in Family],
        tuple(igp(one, 0, f"to-{one}", costs[one]) for one in EXITS),
        **kind.settings,
    )
    return [daemon] + [
        made(one, [ibgp(one, "daemon", family) for family in Family], (igp(one, 1, "to-daemon", costs[one]),),
             originate=prefixes(*ROUTES.values()))
        for one in EXITS
    ]  # fmt: skip


async def best(lab: RouterLab, family: Family) -> str | None:
    facts = await lab.clients["daemon"].rib("loc-rib", prefix=ROUTES[family])
    return next((fact.peer for fact in facts if fact.best), None)


@pytest.mark.parametrize(
    ("costs", "near", "far"),
    [
        pytest.param({"x": 30, "y": 10}, "y", "x", id="against the order of router ids"),
        pytest.param({"x": 10, "y": 30}, "x", "y", id="with it"),
    ],
)
def test_the_nearest_exit_is_taken_and_the_other_when_its_wire_is_cut(
    kind: DaemonKind, tmp_path: Path, costs: dict[str, int], near: str, far: str
) -> None:
    if not kind.knows_interior_costs:
        pytest.skip(f"{kind.name} takes every next hop for equally near (docs/daemons.md)")

    async def story() -> None:
        nodes = [
            NodeSpec(name=n, forwarding=True,
                     addresses=(f"{loopback(n, Family.IPV4)}/32", f"{loopback(n, Family.IPV6)}/128"))
            for n in NUMBERS
        ]  # fmt: skip
        links = [
            LinkSpec(one, *(
                InterfaceSpec(node, name, addresses=(f"{wire(one, Family.IPV4, end)}/31",
                                                     f"{wire(one, Family.IPV6, end)}/127"))
                for node, name, end in (("daemon", f"to-{one}", 0), (one, "to-daemon", 1))
            ))
            for one in EXITS
        ]  # fmt: skip
        async with router_lab(tmp_path, nodes, links) as lab:
            for config in configs(costs, kind):
                await lab.start(config)
            daemon = lab.clients["daemon"]
            for one in EXITS:
                for family in Family:
                    assert await daemon.wait("end-of-rib", WITHIN, session=f"{one}.{family.value}")
            for family in Family:
                assert await daemon.wait("best", WITHIN, session=f"{near}.{family.value}", prefix=ROUTES[family])
                assert await best(lab, family) == near
                assert await daemon.wait("quiet", WITHIN)
                kernel = {r.destination: r for r in await lab.runtime.kernel_routes("daemon", family.value)}
                assert kernel[ROUTES[family]].device == f"to-{near}"
            await lab.runtime.set_link("daemon", f"to-{near}", up=False)
            for family in Family:
                assert await daemon.wait("best", WITHIN, session=f"{far}.{family.value}", prefix=ROUTES[family])

    run(story())
