"""Derived addresses: by the book on each link, unique in the lab, the same every time, around everything pinned."""

from __future__ import annotations

import ipaddress
from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.topology.document import Document
from peerlab.topology.load import load_text
from peerlab.topology.model import LabModel
from peerlab.topology.pool import Pool, end_addresses
from peerlab.topology.resolve import resolve
from peerlab.topology.schema import validate


@pytest.mark.parametrize(
    ("prefix", "first", "second"),
    [
        ("192.0.2.4/31", "192.0.2.4/31", "192.0.2.5/31"),
        ("12.90.152.60/30", "12.90.152.61/30", "12.90.152.62/30"),  # as Microsoft's recordings have it (spec 1.5)
        ("2001:db8::/127", "2001:db8::/127", "2001:db8::1/127"),
        ("2001:db8::/126", "2001:db8::1/126", "2001:db8::2/126"),
        ("2001:db8::/64", "2001:db8::1/64", "2001:db8::2/64"),
    ],
)
def test_the_first_end_has_the_first_usable_address(prefix: str, first: str, second: str) -> None:
    assert end_addresses(ipaddress.ip_network(prefix)) == (first, second)


@pytest.mark.parametrize(
    ("provider", "peer", "microsoft"),
    [("peer", "198.19.1.128", "198.19.1.129"), ("microsoft", "198.19.0.128", "198.19.0.129")],
)
def test_on_a_connection_the_peer_has_the_first_address_whoever_gives_the_prefix(
    provider: str, peer: str, microsoft: str
) -> None:
    model = load_text(
        f"""
name: lab
metros: {{amsterdam: {{location: Amsterdam}}}}
ases:
  microsoft: {{asn: 8075, role: cloud, routers: {{edge: {{metro: amsterdam}}}}}}
  isp: {{asn: 64500, role: isp, routers: {{isp-1: }}}}
peerings:
  p:
    peer: isp
    metro: amsterdam
    connections: {{first: {{between: [edge, isp-1], address-provider: {provider}}}}}
""",
        "x.yaml",
    )
    (connection,) = model.peerings[0].connections
    assert (connection.peer_v4, connection.microsoft_v4) == (peer, microsoft)
    assert connection.session_prefix_v4 == f"{peer}/31"
    assert connection.address_provider == provider.capitalize()


def test_the_provider_gives_a_customers_link_whichever_way_it_is_written() -> None:
    base = "name: lab\nases:\n  c: {asn: 64496, role: customer, providers: [p], routers: {c-1: }}\n"
    base += "  p: {asn: 64497, role: isp, routers: {p-1: }}\nlinks: [{between: [%s]}]\n"
    for order in ("c-1, p-1", "p-1, c-1"):
        model = load_text(base % order, "x.yaml")
        (interface,) = model.node("p-1").interfaces
        assert interface.v4 == "198.19.1.128/31"


def test_derived_addresses_keep_clear_of_pinned_ones() -> None:
    model = load_text(
        """
name: lab
ases:
  a:
    asn: 64496
    role: isp
    prefixes: [198.18.0.0/24]
    infrastructure: [198.19.0.0/24]
    routers: {a-1: {loopback-v4: 198.19.0.2}, a-2: , a-3: }
    backbone:
      - {between: [a-1, a-2], v4: 198.19.0.128/30}
      - {between: [a-2, a-3]}
    hosts:
      pc-1: {router: a-1, v4: 198.18.0.6/30}
      pc-2: {router: a-1}
      pc-3: {router: a-1}
  b: {asn: 64497, role: isp, prefixes: [198.19.1.0/24], routers: {b-1: }}
exchanges:
  lan: {v4: 203.0.113.0/24, members: {a-1: , a-2: {v4: 203.0.113.1}, b-1: }}
""",
        "x.yaml",
    )
    assert [model.node(n).loopback_v4 for n in ("a-1", "a-2", "a-3")] == ["198.19.0.2", "198.19.0.1", "198.19.0.3"]
    assert model.node("a-3").interfaces[0].v4 == "198.19.0.133/31"
    hosts = [model.node(n).interfaces[0].v4 for n in ("pc-1", "pc-2", "pc-3")]
    assert hosts == ["198.18.0.6/30", "198.18.0.2/30", "198.18.0.10/30"]
    assert [model.node(n).gateway_v4 for n in ("pc-1", "pc-2")] == ["198.18.0.5", "198.18.0.1"]
    assert model.ases[1].infrastructure[0] == "198.19.2.0/24", "198.19.1.0/24 is what b originates"
    lan = [i.v4 for n in ("a-1", "a-2", "b-1") for i in model.node(n).interfaces if i.link.endswith("--lan")]
    assert lan == ["203.0.113.2/24", "203.0.113.1/24", "203.0.113.3/24"]


def test_many_ases_share_the_pool_in_smaller_pieces() -> None:
    ases = "".join(f"  a{n}: {{asn: {70000 + n}, role: isp, routers: {{r{n}: }}}}\n" for n in range(600))
    model = load_text("name: lab\nases:\n" + ases, "x.yaml")
    assert model.ases[599].infrastructure[0].endswith("/26")
    assert_unique(model)


def test_a_pool_goes_round_what_is_taken() -> None:
    pool = Pool(ipaddress.ip_network("192.0.2.0/28"), [ipaddress.ip_network("192.0.2.4/30")])
    taken = [str(pool.subnet(30)) for _ in range(4)]
    assert taken == ["192.0.2.0/30", "192.0.2.8/30", "192.0.2.12/30", "None"]


# -- laws ----------------------------------------------------------------------------------------------------------


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Small labs: up to five ASes of up to four routers in a chain, random relations, links, hosts and a LAN."""
    count = draw(st.integers(1, 5))
    sizes = [draw(st.integers(1, 4)) for _ in range(count)]
    routers = [[f"r{a}-{n}" for n in range(size)] for a, size in enumerate(sizes)]
    ases: dict[str, object] = {}
    for number, names in enumerate(routers):
        ases[f"as{number}"] = {
            "asn": 64496 + number,
            "role": "isp",
            "prefixes": [f"198.18.{number}.0/24", f"2001:db8:{number + 1}::/48"],
            "routers": dict.fromkeys(names),
            "backbone": [{"between": [a, b]} for a, b in pairwise(names)],
            "hosts": {
                f"h{number}-{n}": {"router": draw(st.sampled_from(names))} for n in range(draw(st.integers(0, 3)))
            },
            # providers have higher numbers, so there is no circle
            "providers": [f"as{p}" for p in range(number + 1, count) if draw(st.booleans())],
            "peers": [],
        }
    links = []
    for a in range(count):
        for b in range(a + 1, count):
            if f"as{b}" in ases[f"as{a}"]["providers"]:  # type: ignore[index]
                for _ in range(draw(st.integers(0, 2))):
                    pair = [draw(st.sampled_from(routers[a])), draw(st.sampled_from(routers[b]))]
                    links.append({"between": draw(st.permutations(pair))})
    every = [name for names in routers for name in names]
    members = draw(st.lists(st.sampled_from(every), unique=True))
    return {"name": "lab", "ases": ases, "links": links, "exchanges": {"lan": {"members": dict.fromkeys(members)}}}


def document_of(data: dict[str, object]) -> Document:
    document, mistakes = validate(data)
    assert document is not None and not mistakes, mistakes
    return document


def assert_unique(model: LabModel) -> None:
    addresses: Counter[str] = Counter()
    for node in model.nodes:
        addresses.update(a for a in (node.loopback_v4, node.loopback_v6) if a)
        addresses.update(a.partition("/")[0] for i in node.interfaces for a in (i.v4, i.v6) if a)
    assert not {a: n for a, n in addresses.items() if n > 1}
    macs = [i.mac for node in model.nodes for i in node.interfaces]
    assert len(set(macs)) == len(macs)
    assert all(mac.startswith("02:") for mac in macs)
    for names in (
        [node.name for node in model.nodes],
        [link.id for link in model.links],
        [session.id for session in model.sessions],
        [node.router_id for node in model.nodes if node.router_id],
    ):
        assert len(set(names)) == len(names)
    for node in model.nodes:
        interfaces = [i.name for i in node.interfaces]
        assert len(set(interfaces)) == len(interfaces)
        assert all(len(name.encode()) <= 15 for name in interfaces)


@settings(max_examples=40, deadline=None)
@given(documents())
def test_any_lab_resolves_the_same_twice_and_uses_every_address_once(data: dict[str, object]) -> None:
    model = resolve(document_of(data))
    assert resolve(document_of(data)) == model
    assert msgspec.json.decode(msgspec.json.encode(model), type=LabModel) == model
    assert_unique(model)


@settings(max_examples=40, deadline=None)
@given(documents())
def test_the_ends_of_every_link_are_on_one_subnet_and_nothing_else_is(data: dict[str, object]) -> None:
    model = resolve(document_of(data))
    subnets: dict[str, str] = {}
    for link in model.links:
        interfaces = [model.node(end.node).interface(end.interface) for end in link.ends]
        if link.purpose == "lan":
            continue
        for text in ("v4", "v6"):
            networks = {str(ipaddress.ip_interface(getattr(i, text)).network) for i in interfaces}
            assert len(networks) == 1
            (network,) = networks
            assert network not in subnets, f"{link.id} and {subnets.get(network)} share {network}"
            subnets[network] = link.id
    for node in model.nodes:
        if node.gateway_v4 is not None:
            gateway = ipaddress.ip_address(node.gateway_v4)
            assert gateway in ipaddress.ip_interface(node.interfaces[0].v4 or "").network


@settings(max_examples=40, deadline=None)
@given(documents())
def test_every_prefix_is_originated_where_its_hosts_are(data: dict[str, object]) -> None:
    """A router that originates a prefix but has no way to its hosts would swallow their packets."""
    model = resolve(document_of(data))
    for asys in model.ases:
        for prefix in asys.prefixes:
            origins = {node.name for node in model.nodes if prefix in node.originates}
            homes = {
                next(end.node for end in link.ends if end.node != node.name)
                for node in model.nodes
                if node.kind == "host" and node.as_name == asys.name
                for link in model.links
                if node.name in {end.node for end in link.ends}
            }
            assert origins == homes if homes else origins
