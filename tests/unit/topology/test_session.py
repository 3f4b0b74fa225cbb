"""Sessions of the labs that ship: who connects, with which role, under which policy, how many there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.config import BfdConfig, GracefulRestart
from peerlab.errors import InputError
from peerlab.topology.load import load, load_text
from peerlab.topology.model import AsRole, LabModel, NodeKind, Relation

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
ALLOWED_ROLES = {
    (BgpRole.PROVIDER, BgpRole.CUSTOMER),
    (BgpRole.CUSTOMER, BgpRole.PROVIDER),
    (BgpRole.RS, BgpRole.RS_CLIENT),
    (BgpRole.RS_CLIENT, BgpRole.RS),
    (BgpRole.PEER, BgpRole.PEER),
}
"""RFC 9234 section 4.2, table 2."""


@pytest.fixture(params=sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> LabModel:
    return load(request.param)


def lab(name: str) -> LabModel:
    return load(TOPOLOGIES / f"{name}.yaml")


def test_exactly_one_end_connects(model: LabModel) -> None:
    assert all(session.left.passive is not session.right.passive for session in model.sessions)


def test_roles_are_an_allowed_pair_on_every_ebgp_session_and_absent_inside(model: LabModel) -> None:
    for session in model.sessions:
        roles = (session.left.role, session.right.role)
        assert roles == (None, None) if session.is_internal else roles in ALLOWED_ROLES, session.id


def test_the_ends_of_a_session_share_a_wire_or_a_lan(model: LabModel) -> None:
    links = {(end.node, end.interface): link for link in model.links for end in link.ends}
    switches = {node.name for node in model.nodes if node.kind is NodeKind.SWITCH}
    for session in model.sessions:
        if session.is_internal:
            assert session.left.interface is None and session.right.interface is None
            continue
        here, there = (links[end.node, end.interface or ""] for end in (session.left, session.right))
        lans = [{end.node for end in link.ends} & switches for link in (here, there)]
        assert here == there or (lans[0] and lans[0] == lans[1]), session.id


def test_addresses_of_a_session_are_those_of_its_interfaces(model: LabModel) -> None:
    for session in model.sessions:
        for end in (session.left, session.right):
            node = model.node(end.node)
            if end.interface is None:
                assert end.address in (node.loopback_v4, node.loopback_v6)
            else:
                interface = node.interface(end.interface)
                text = interface.v4 if session.family is Family.IPV4 else interface.v6
                assert text is not None and end.address == text.partition("/")[0]


def test_every_named_policy_exists_and_none_is_idle(model: LabModel) -> None:
    used = {p for s in model.sessions for e in (s.left, s.right) for p in (e.import_policy, e.export_policy)}
    assert used | {"deny-all"} == set(model.policies)
    assert all(policy.name == name for name, policy in model.policies.items())


def test_the_clouds_end_of_a_connection_starts_closed_and_listens(model: LabModel) -> None:
    cloud = model.cloud()
    assert cloud is not None
    for session in model.sessions:
        if session.connection is None:
            continue
        assert session.left.asn == cloud.asn
        assert (session.left.import_policy, session.left.export_policy) == ("deny-all", "deny-all")
        assert session.right.export_policy != "deny-all"
        if session.right.relation is not Relation.ROUTE_SERVER_CLIENT:
            assert session.left.passive


def test_every_connection_knows_its_sessions(model: LabModel) -> None:
    asked = {f"{p.name}/{c.name}": c for p in model.peerings for c in p.connections}
    sessions: dict[str, list[str]] = {}
    for session in model.sessions:
        if session.connection is not None:
            sessions.setdefault(session.connection, []).append(session.id)
    assert {name: list(c.sessions) for name, c in asked.items()} == sessions


def test_direct_has_a_session_per_family_and_wire() -> None:
    sessions = [s for s in lab("direct").sessions if s.connection]
    assert Counter(s.family for s in sessions) == {Family.IPV4: 2, Family.IPV6: 2}
    assert len({(s.left.node, s.right.node) for s in sessions}) == 2


def test_a_bilateral_connection_goes_to_every_microsoft_router_on_the_lan() -> None:
    (peering,) = lab("exchange").peerings
    (connection,) = peering.connections
    assert list(connection.sessions) == [
        f"{edge}--northwind-1@tulip-lan.v{version}" for edge in ("ams-edge-1", "ams-edge-2") for version in (4, 6)
    ]
    assert connection.link is None
    assert connection.session_prefix_v4 == "203.0.113.0/24"


def test_a_route_server_connection_becomes_a_mesh() -> None:
    """Sessions are not connections (spec 3.5): 2 edges x 2 route servers x 2 families from one connection."""
    model = lab("route-server")
    (peering,) = model.peerings
    assert (peering.kind, peering.direct_peering_type, peering.sku) == ("Direct", "IxRs", "Premium_Direct_Free")
    assert len(peering.connections[0].sessions) == 8
    assert peering.connections[0].use_for_peering_service
    clients = [s for s in model.sessions if not s.connection and s.left.relation is Relation.ROUTE_SERVER]
    assert len(clients) == 3 * 2 * 2


def test_route_servers_do_not_speak_with_each_other() -> None:
    model = lab("route-server")
    ixp = next(a for a in model.ases if a.role is AsRole.IXP)
    assert not [s for s in model.sessions if s.left.asn == s.right.asn == ixp.asn]


def test_the_reference_lab_can_tell_cold_from_hot_potato() -> None:
    """Spec B: from most WAN routers another exit than the designated one is nearer by IGP; three vantage regions."""
    model = lab("peering-service")
    cloud = model.cloud()
    assert cloud is not None
    routers = [n for n in model.nodes if n.asn == cloud.asn and n.is_router]
    graph: dict[str, dict[str, int]] = {n.name: {} for n in routers}
    for node in routers:
        for interface in node.interfaces:
            link = next(link for link in model.links if link.id == interface.link)
            other = next(end.node for end in link.ends if end.node != node.name)
            if interface.igp_cost is not None:
                graph[node.name][other] = interface.igp_cost
    exits = {s.left.node for s in model.sessions if (s.connection or "").startswith("fabrikam")}
    metro = {n.name: n.metro for n in routers}

    def nearest(start: str) -> str | None:
        distance = dict.fromkeys(graph, 10**9) | {start: 0}
        for _ in graph:
            for here, links in graph.items():
                for there, cost in links.items():
                    distance[there] = min(distance[there], distance[here] + cost)
        return metro[min(exits, key=lambda name: distance[name])]

    hot = {name: nearest(name) for name in graph}
    assert len(set(metro.values())) >= 3
    assert sum(place != "amsterdam" for place in hot.values()) > len(hot) / 2
    assert model.services[0].primary_metro == "amsterdam"


def test_full_mesh_or_reflectors() -> None:
    base = """
name: lab
ases:
  a:
    asn: 64496
    role: isp
    routers: {r1: , r2: , r3: , r4: }
    backbone: [{between: [r1, r2]}, {between: [r2, r3]}, {between: [r3, r4]}]
"""
    mesh = load_text(base, "x.yaml").sessions
    assert len(mesh) == 6 * 2 and not any(e.route_reflector_client for s in mesh for e in (s.left, s.right))
    reflected = load_text(base + "    reflectors: [r1, r2]\n", "x.yaml").sessions
    v4 = {s.id: (s.left.route_reflector_client, s.right.route_reflector_client) for s in reflected if "v4" in s.id}
    assert v4 == {
        "r1--r2.v4": (False, False),  # reflectors are plain peers of each other
        "r1--r3.v4": (True, False),
        "r1--r4.v4": (True, False),
        "r2--r3.v4": (True, False),
        "r2--r4.v4": (True, False),
    }


def test_options_of_a_session_reach_its_ends() -> None:
    model = load_text(
        """
name: lab
hold-time: 30
ases:
  a: {asn: 64496, role: isp, providers: [b], routers: {a-1: }}
  b: {asn: 64497, role: transit, routers: {b-1: {kind: bird}}}
links:
  - between: [a-1, b-1]
    session:
      families: [ipv6]
      md5: secret
      gtsm: true
      ends:
        a-1: {passive: true, max-prefix-v6: 7, import-policy: mine, role-strict: true}
        b-1: {export-policy: deny-all, role: peer}
  - between: [a-1, b-1]
    session: {hold-time: 0}
policies:
  mine: [{name: all, then: accept}]
""",
        "x.yaml",
    )
    first = model.session("a-1--b-1.v6")
    assert (first.md5, first.gtsm, first.hold_time) == ("secret", True, 30)
    end, other = first.end("a-1"), first.end("b-1")
    assert (end.passive, end.max_prefix, end.import_policy, end.role_strict) == (True, 7, "mine", True)
    assert (other.passive, other.export_policy, other.role) == (False, "deny-all", BgpRole.PEER)
    second = model.session("a-1--b-1.2.v4")
    assert second.hold_time == 0
    assert second.end("b-1").passive, "a slow daemon listens, ExaBGP connects"


def test_partners_set_the_limit_that_the_policy_page_names() -> None:
    """2000/500 towards Microsoft, 400 where the connection is used for Peering Service (spec 3.0, 3.4)."""
    plain = [s.right.max_prefix for s in lab("direct").sessions if s.connection]
    service = {s.right.max_prefix for s in lab("backup-none").sessions if s.connection}
    edge = [s.left.max_prefix for s in lab("direct").sessions if s.connection]
    assert plain == [2000, 500, 2000, 500]
    assert service == {400}
    assert edge == [1000, 100, 1000, 100]


@pytest.mark.parametrize(
    ("said", "peering_type", "bfd"),
    [
        ("{}", "Edge", None),
        ("{bfd: }", "Edge", BfdConfig()),
        ("{bfd: {interval-ms: 50, strict: true}}", "Edge", BfdConfig(interval_ms=50, strict=True)),
        ("{}", "Voice", BfdConfig(strict=True)),
        ("{bfd: {interval-ms: 100}}", "Voice", BfdConfig(interval_ms=100, strict=True)),
    ],
)
def test_bfd_is_what_is_stated_and_voice_demands_it_strictly(said: str, peering_type: str, bfd: object) -> None:
    text = (TOPOLOGIES / "direct.yaml").read_text()
    for before, after in (
        ("peer: fabrikam\n", f"peer: fabrikam\n    type: {peering_type}\n"),
        ("[ams-edge-2, fab-ams-2]}\n", f"[ams-edge-2, fab-ams-2], session: {said}}}\n"),
    ):
        assert before in text
        text = after.join(text.rsplit(before, 1))
    model = load_text(text, "direct.yaml")
    assert {s.bfd for s in model.sessions if s.connection == "fabrikam-amsterdam/second"} == {bfd}
    assert {s.bfd for s in model.sessions if s.connection is None} == {None}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("{}", None), ("{graceful-restart: }", 120), ("{graceful-restart: {time: 7}}", 7)],
)
def test_graceful_restart_is_off_unless_stated(said: str, seconds: int | None) -> None:
    text = (TOPOLOGIES / "direct.yaml").read_text()
    text = f"[ams-edge-2, fab-ams-2], session: {said}}}\n".join(text.rsplit("[ams-edge-2, fab-ams-2]}\n", 1))
    model = load_text(text, "direct.yaml")
    stated = {s.graceful_restart for s in model.sessions if s.connection == "fabrikam-amsterdam/second"}
    assert stated == {None if seconds is None else GracefulRestart(restart_time=seconds)}
    assert {s.graceful_restart for s in model.sessions if s.connection is None} == {None}


@pytest.mark.parametrize("seconds", [0, 4096])
def test_a_restart_time_has_to_fit_its_twelve_bits(seconds: int) -> None:
    text = (TOPOLOGIES / "direct.yaml").read_text()
    said = f"[ams-edge-2, fab-ams-2], session: {{graceful-restart: {{time: {seconds}}}}}}}\n"
    with pytest.raises(InputError, match="12 bits"):
        load_text(said.join(text.rsplit("[ams-edge-2, fab-ams-2]}\n", 1)), "direct.yaml")


@pytest.mark.parametrize(("key", "connects"), [("", "a-1"), ("md5: secret", "b-1")])
def test_openbgpd_connects_where_there_is_a_key(key: str, connects: str) -> None:
    model = load_text(
        f"""
name: lab
ases:
  a: {{asn: 64496, role: isp, providers: [b], routers: {{a-1: }}}}
  b: {{asn: 64497, role: transit, routers: {{b-1: {{kind: openbgpd}}}}}}
links:
  - {{between: [a-1, b-1], session: {{families: [ipv4], {key}}}}}
""",
        "x.yaml",
    )
    session = model.session("a-1--b-1.v4")
    assert not session.end(connects).passive
    assert session.other(connects).passive
