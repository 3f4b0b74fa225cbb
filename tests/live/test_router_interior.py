"""Routers of one AS: the interior protocol finds ways, iBGP runs over loopbacks, packets go hop by hop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from router_lab import ACCEPT_ALL, WITHIN, RouterLab, prefixes, router, router_lab, run

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.config import IgpInterface, PeerConfig, RouterConfig
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec

pytestmark = pytest.mark.live

WIRES = {("a", "b"): 10, ("b", "c"): 10, ("a", "c"): 30}
"""A triangle; from a to c the way over b is the cheaper one."""
NODES = ("a", "b", "c")
ASN = 64500


def loopback(node: str, family: Family) -> Address:
    number = NODES.index(node) + 1
    return Address(f"10.0.0.{number}" if family is Family.IPV4 else f"2001:db8:1::{number}")


def ends(wire: tuple[str, str], families: tuple[Family, ...]) -> list[tuple[str, str, str | None, str | None]]:
    """(node, interface, IPv4 address, IPv6 address) of both ends of a wire."""
    number = list(WIRES).index(wire) + 1
    return [
        (
            node,
            f"to-{wire[1 - i]}",
            f"10.1.{number}.{i}" if Family.IPV4 in families else None,
            f"2001:db8:2:{number}::{i}" if Family.IPV6 in families else None,
        )
        for i, node in enumerate(wire)
    ]


def triangle(families: tuple[Family, ...]) -> tuple[list[NodeSpec], list[LinkSpec], list[RouterConfig]]:
    """Three routers, iBGP over their loopbacks between all of them; c originates."""
    nodes = [
        NodeSpec(
            name=n,
            forwarding=True,
            addresses=tuple(f"{loopback(n, f)}/{32 if f is Family.IPV4 else 128}" for f in families),
        )
        for n in NODES
    ]
    links = []
    igp: dict[str, list[IgpInterface]] = {n: [] for n in NODES}
    for wire, cost in WIRES.items():
        specs = []
        for node, name, v4, v6 in ends(wire, families):
            addresses = tuple(a for a in (v4 and f"{v4}/31", v6 and f"{v6}/127") if a)
            specs.append(InterfaceSpec(node=node, name=name, addresses=addresses))
            igp[node].append(
                IgpInterface(name=name, cost=cost, address_v4=v4 and Address(v4), address_v6=v6 and Address(v6))
            )
        links.append(LinkSpec(id="-".join(wire), a=specs[0], b=specs[1]))
    configs = [
        router(
            n,
            ASN,
            f"10.0.0.{NODES.index(n) + 1}",
            [ibgp(n, other, family) for other in NODES if other != n for family in families],
            igp=tuple(igp[n]),
            loopback_v4=loopback(n, Family.IPV4) if Family.IPV4 in families else None,
            loopback_v6=loopback(n, Family.IPV6) if Family.IPV6 in families else None,
            originate=prefixes("203.0.113.0/24", "2001:db8:f00::/48") if n == "c" else (),
        )
        for n in NODES
    ]
    return nodes, links, configs


def ibgp(node: str, other: str, family: Family) -> PeerConfig:
    return PeerConfig(
        session="-".join(sorted((node, other))) + f"-{family}",
        peer=other,
        family=family,
        local_address=loopback(node, family),
        peer_address=loopback(other, family),
        local_as=ASN,
        peer_as=ASN,
        import_policy=ACCEPT_ALL.name,
        export_policy=ACCEPT_ALL.name,
        relation="internal",
        passive=node > other,
        multihop=True,
    )


async def way(lab: RouterLab, destination: str) -> tuple[str | None, str | None]:
    """How a packet of a's own would leave it."""
    route = await lab.runtime.route_get("a", destination)
    return (route.via, route.device) if route is not None else (None, None)


@pytest.mark.parametrize(
    "families",
    [
        pytest.param((Family.IPV4, Family.IPV6), id="both families"),
        pytest.param((Family.IPV6,), id="IPv6 alone"),
    ],
)
def test_the_cheapest_way_is_taken_and_the_other_when_it_breaks(tmp_path: Path, families: tuple[Family, ...]) -> None:
    async def story() -> None:
        nodes, links, configs = triangle(families)
        targets = {
            Family.IPV4: ("203.0.113.1", "203.0.113.0/24"),
            Family.IPV6: ("2001:db8:f00::1", "2001:db8:f00::/48"),
        }
        by_wire = {
            wire: {node: dict(zip(Family, (v4, v6), strict=True)) for node, _, v4, v6 in ends(wire, families)}
            for wire in WIRES
        }
        async with router_lab(tmp_path, nodes, links) as lab:
            for config in configs:
                await lab.start(config)

            def expect(over: str, wire: tuple[str, str]) -> Any:
                async def is_so() -> bool:
                    found = [await way(lab, targets[f][0]) for f in families]
                    return found == [(by_wire[wire][over][f], f"to-{over}") for f in families]

                return is_so

            for family in families:
                assert await lab.clients["a"].wait("best", WITHIN, prefix=targets[family][1])
            await lab.until(expect("b", ("a", "b")), "the way over b")
            sessions = {fact.session: fact.since for fact in await lab.clients["a"].sessions()}

            await lab.runtime.set_link("b", "to-c", False)
            await lab.until(expect("c", ("a", "c")), "the direct way")
            await lab.runtime.set_link("b", "to-c", True)
            await lab.until(expect("b", ("a", "b")), "the way over b again")
            # iBGP runs between loopbacks: it went around and noticed nothing.
            assert {fact.session: fact.since for fact in await lab.clients["a"].sessions()} == sessions

    run(story())


def test_what_the_interior_protocol_installs_is_marked_as_its_own(tmp_path: Path) -> None:
    async def story() -> None:
        nodes, links, configs = triangle((Family.IPV4,))
        async with router_lab(tmp_path, nodes, links) as lab:
            for config in configs:
                await lab.start(config)

            async def interior() -> dict[str, str | None]:
                routes = await lab.runtime.kernel_routes("a", "ipv4")
                return {route.destination: route.via for route in routes if route.protocol == 200}

            wanted = {"10.0.0.2/32": "10.1.1.1", "10.0.0.3/32": "10.1.1.1", "10.1.2.0/31": "10.1.1.1"}

            async def complete() -> bool:
                return await interior() == wanted

            await lab.until(complete, "routes to all loopbacks and wires")

    run(story())
