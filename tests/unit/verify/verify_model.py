"""A small lab for the checks to look at, written out by hand: what the resolver would make of a YAML file.

host-svc - ams1 ==== ams2      AS 8075, two metros: ams1, ams2 (amsterdam), lon1 (london), far router sin1
            |  \\      |  \\        full iBGP mesh over loopbacks
          isp1  rs1 isp1  rs1    connections isp-ams/c1 (ams1), isp-ams/c2 (ams2), isp-lon/c3 (lon1), ix/c4 (ams2)
            |                    isp1 (amsterdam), isp2 (london): AS 64500
          cust - host-cust       customer AS 65550 behind both; transit AS 64502 reaches all; observer 64503
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, BgpRole, Family, Prefix
from peerlab.topology.model import (
    AsRole,
    AutonomousSystem,
    ConnectionRequest,
    Interface,
    LabModel,
    Link,
    LinkEnd,
    LinkPurpose,
    Metro,
    Node,
    NodeKind,
    PeeringKind,
    PeeringRequest,
    PeeringServicePrefixRequest,
    PeeringServiceRequest,
    RegistryEntry,
    Relation,
    Session,
    SessionEnd,
)

CLOUD, ISP, CUSTOMER, TRANSIT, OBSERVER, IXP, MEMBER = 8075, 64500, 65550, 64502, 64503, 64504, 64505
P4, P6 = Prefix("203.0.113.0/24"), Prefix("2001:db8:10::/48")
"""The customer's prefixes."""
M4, M6 = Prefix("198.51.100.0/24"), Prefix("2001:db8:20::/48")
"""The exchange member's prefixes."""
C4, C6 = Prefix("20.1.0.0/16"), Prefix("2a01:111::/32")
"""The cloud's prefixes."""
FAMILIES = (Family.IPV4, Family.IPV6)


def _addresses(number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Addresses of the two ends of wire ``number``: the first end is the peer's (policy M5)."""
    return (f"192.0.2.{2 * number}", f"2001:db8:ff::{2 * number:x}"), (
        f"192.0.2.{2 * number + 1}",
        f"2001:db8:ff::{2 * number + 1:x}",
    )


WIRES = [
    # number, first end (the peer where there is one), second end, purpose, delay
    (1, "isp1", "ams1", LinkPurpose.INTERCONNECT, 1.0),
    (2, "isp1", "ams2", LinkPurpose.INTERCONNECT, 1.0),
    (3, "isp2", "lon1", LinkPurpose.INTERCONNECT, 1.0),
    (5, "transit", "lon1", LinkPurpose.INTERCONNECT, 2.0),
    (6, "transit", "isp1", LinkPurpose.INTERCONNECT, 2.0),
    (7, "observer", "transit", LinkPurpose.INTERCONNECT, 2.0),
    (8, "cust", "isp1", LinkPurpose.INTERCONNECT, 1.0),
    (9, "cust", "isp2", LinkPurpose.INTERCONNECT, 1.0),
    (10, "ams1", "ams2", LinkPurpose.BACKBONE, 1.0),
    (11, "ams1", "lon1", LinkPurpose.BACKBONE, 5.0),
    (12, "lon1", "sin1", LinkPurpose.BACKBONE, 20.0),
    (13, "host-svc", "sin1", LinkPurpose.ACCESS, None),
    (14, "host-cust", "cust", LinkPurpose.ACCESS, None),
    (15, "rs1", "ams2", LinkPurpose.LAN, None),
    (16, "rs1", "member", LinkPurpose.LAN, None),
]
ACCESS = {13: ("20.1.0", "2a01:111"), 14: ("203.0.113", "2001:db8:10")}
"""Where hosts live: inside what their AS originates."""
NODES = {
    # name: (AS name, metro)
    "ams1": ("cloud", "amsterdam"),
    "ams2": ("cloud", "amsterdam"),
    "lon1": ("cloud", "london"),
    "sin1": ("cloud", "singapore"),
    "isp1": ("isp", "amsterdam"),
    "isp2": ("isp", "london"),
    "cust": ("customer", None),
    "transit": ("transit", None),
    "observer": ("observer", None),
    "rs1": ("ixp", "amsterdam"),
    "member": ("member", None),
    "host-svc": ("cloud", "singapore"),
    "host-cust": ("customer", None),
}
ASES = (
    AutonomousSystem(name="cloud", asn=CLOUD, role=AsRole.CLOUD, prefixes=(C4, C6)),
    AutonomousSystem(name="isp", asn=ISP, role=AsRole.ISP),
    AutonomousSystem(name="customer", asn=CUSTOMER, role=AsRole.CUSTOMER, prefixes=(P4, P6)),
    AutonomousSystem(name="transit", asn=TRANSIT, role=AsRole.TRANSIT),
    AutonomousSystem(name="observer", asn=OBSERVER, role=AsRole.OBSERVER),
    AutonomousSystem(
        name="ixp",
        asn=IXP,
        role=AsRole.IXP,
        infrastructure=(Prefix("195.69.144.0/24"), Prefix("2001:7f8:1::/64")),
    ),
    AutonomousSystem(name="member", asn=MEMBER, role=AsRole.CUSTOMER, prefixes=(M4, M6)),
)
EBGP = [
    # session, wire, first end, second end, relation of the second to the first and back, connection
    ("c1", 1, "isp1", "ams1", Relation.PEER, Relation.PEER, "isp-ams/c1"),
    ("c2", 2, "isp1", "ams2", Relation.PEER, Relation.PEER, "isp-ams/c2"),
    ("c3", 3, "isp2", "lon1", Relation.PEER, Relation.PEER, "isp-lon/c3"),
    ("c4", 15, "rs1", "ams2", Relation.ROUTE_SERVER_CLIENT, Relation.ROUTE_SERVER, "ix/c4"),
    ("tr", 5, "transit", "lon1", Relation.CUSTOMER, Relation.PROVIDER, None),
    ("ti", 6, "transit", "isp1", Relation.CUSTOMER, Relation.PROVIDER, None),
    ("ob", 7, "observer", "transit", Relation.PROVIDER, Relation.CUSTOMER, None),
    ("u1", 8, "cust", "isp1", Relation.PROVIDER, Relation.CUSTOMER, None),
    ("u2", 9, "cust", "isp2", Relation.PROVIDER, Relation.CUSTOMER, None),
    ("mb", 16, "rs1", "member", Relation.ROUTE_SERVER_CLIENT, Relation.ROUTE_SERVER, None),
]
ROLES = {
    Relation.PEER: BgpRole.PEER,
    Relation.PROVIDER: BgpRole.CUSTOMER,
    Relation.CUSTOMER: BgpRole.PROVIDER,
    Relation.ROUTE_SERVER: BgpRole.RS_CLIENT,
    Relation.ROUTE_SERVER_CLIENT: BgpRole.RS,
}
CLOUD_ROUTERS = ("ams1", "ams2", "lon1", "sin1")


def session_id(name: str, family: Family) -> str:
    """Sessions come in pairs: ``c1-4`` and ``c1-6``."""
    return f"{name}-{'4' if family is Family.IPV4 else '6'}"


def _nodes() -> tuple[Node, ...]:
    asns = {known.name: known.asn for known in ASES}
    made = []
    for index, (name, (as_name, metro)) in enumerate(NODES.items(), 1):
        interfaces = []
        for number, first, second, purpose, _ in WIRES:
            if name not in (first, second):
                continue
            v4, v6 = _addresses(number)[0 if name == first else 1]
            length = (24, 64) if purpose is LinkPurpose.LAN else (31, 127)
            if purpose is LinkPurpose.ACCESS:
                base4, base6 = ACCESS[number]
                v4, v6, length = (
                    f"{base4}.{10 if name == first else 1}",
                    f"{base6}::{10 if name == first else 1}",
                    (26, 64),
                )
            if purpose is LinkPurpose.LAN:
                v4, v6 = f"195.69.144.{index}", f"2001:7f8:1::{index:x}"
            interfaces.append(
                Interface(
                    name=f"e{number}",
                    link=f"w{number}",
                    mac=f"02:00:00:00:{index:02x}:{number:02x}",
                    v4=f"{v4}/{length[0]}",
                    v6=f"{v6}/{length[1]}",
                    igp_cost=10 if purpose is LinkPurpose.BACKBONE else None,
                )
            )
        host = name.startswith("host")
        made.append(
            Node(
                name=name,
                kind=NodeKind.HOST if host else NodeKind.EXABGP,
                as_name=as_name,
                asn=asns[as_name],
                metro=metro,
                router_id=None if host else Address(f"10.255.0.{index}"),
                loopback_v4=None if host else Address(f"10.255.0.{index}"),
                loopback_v6=None if host else Address(f"fd00::{index:x}"),
                interfaces=tuple(interfaces),
                originates=(C4, C6) if name == "sin1" else (P4, P6) if name == "cust" else (),
                route_server=name == "rs1",
            )
        )
    return tuple(made)


def _sessions(nodes: tuple[Node, ...]) -> tuple[Session, ...]:
    by_name = {node.name: node for node in nodes}

    def address(node: str, interface: str | None, family: Family) -> Address:
        if interface is None:
            text = by_name[node].loopback_v4 if family is Family.IPV4 else by_name[node].loopback_v6
        else:
            port = by_name[node].interface(interface)
            text = (port.v4 if family is Family.IPV4 else port.v6 or "").split("/")[0]  # type: ignore[union-attr]
        return Address(text or "")

    def end(node: str, interface: str | None, family: Family, relation: Relation, limit: int | None) -> SessionEnd:
        return SessionEnd(
            node=node,
            asn=by_name[node].asn or 0,
            address=address(node, interface, family),
            interface=interface,
            role=ROLES.get(relation),
            relation=relation,
            max_prefix=limit,
        )

    made = []
    for name, wire, first, second, outward, back, connection in EBGP:
        for family in FAMILIES:
            made.append(
                Session(
                    id=session_id(name, family),
                    family=family,
                    left=end(first, f"e{wire}", family, outward, None),
                    right=end(second, f"e{wire}", family, back, 100 if connection else None),
                    connection=connection,
                )
            )
    for i, one in enumerate(CLOUD_ROUTERS):
        for other in CLOUD_ROUTERS[i + 1 :]:
            for family in FAMILIES:
                made.append(
                    Session(
                        id=session_id(f"i-{one}-{other}", family),
                        family=family,
                        left=end(one, None, family, Relation.INTERNAL, None),
                        right=end(other, None, family, Relation.INTERNAL, None),
                    )
                )
    return tuple(made)


def _connection(name: str, edge: str, peer: str, wire: int, link: str | None) -> ConnectionRequest:
    (p4, p6), (m4, m6) = _addresses(wire)
    return ConnectionRequest(
        name=name,
        edge=edge,
        peer=peer,
        link=link,
        session_prefix_v4=Prefix(f"{p4}/31"),
        session_prefix_v6=Prefix(f"{p6}/127"),
        microsoft_v4=Address(m4),
        microsoft_v6=Address(m6),
        peer_v4=Address(p4),
        peer_v6=Address(p6),
        sessions=tuple(session_id(name, family) for family in FAMILIES),
        use_for_peering_service=True,
    )


def lab() -> LabModel:
    """The lab above."""
    nodes = _nodes()
    peering = {"peer_as": "isp", "peer_asn": ISP}
    return LabModel(
        name="synthetic",
        ases=ASES,
        metros=(
            Metro(name="amsterdam", peering_location="Amsterdam", region="westeurope"),
            Metro(name="london", peering_location="London", region="uksouth"),
            Metro(name="singapore", peering_location="Singapore", region="southeastasia"),
        ),
        nodes=nodes,
        links=tuple(
            Link(id=f"w{n}", ends=(LinkEnd(a, f"e{n}"), LinkEnd(b, f"e{n}")), purpose=why, delay_ms=delay)
            for n, a, b, why, delay in WIRES
        ),
        sessions=_sessions(nodes),
        peerings=(
            PeeringRequest(
                name="isp-ams",
                kind=PeeringKind.DIRECT,
                metro="amsterdam",
                peering_location="Amsterdam",
                connections=(
                    _connection("c1", "ams1", "isp1", 1, "w1"),
                    _connection("c2", "ams2", "isp1", 2, "w2"),
                ),
                registered_prefixes=(("cust-v4", P4),),
                **peering,
            ),
            PeeringRequest(
                name="isp-lon",
                kind=PeeringKind.DIRECT,
                metro="london",
                peering_location="London",
                connections=(_connection("c3", "lon1", "isp2", 3, "w3"),),
                link_test=False,
                **peering,
            ),
            PeeringRequest(
                name="ix",
                kind=PeeringKind.DIRECT,
                direct_peering_type="IxRs",
                peer_as="ixp",
                peer_asn=IXP,
                metro="amsterdam",
                peering_location="Amsterdam",
                connections=(_connection("c4", "ams2", "rs1", 15, None),),
                registered_asns=(("member", MEMBER),),
                link_test=False,
            ),
        ),
        services=(
            PeeringServiceRequest(
                name="service",
                customer_as="customer",
                provider_as="isp",
                primary_metro="amsterdam",
                backup_metro="london",
                prefixes=(PeeringServicePrefixRequest(name="cust-v4", prefix=P4, key_from="isp-ams/cust-v4"),),
            ),
        ),
        registry=(
            RegistryEntry(prefix=P4, origin_asn=CUSTOMER),
            RegistryEntry(prefix=P6, origin_asn=CUSTOMER),
            RegistryEntry(prefix=M4, origin_asn=MEMBER),
            RegistryEntry(prefix=M6, origin_asn=MEMBER),
        ),
        public_ranges=(P4, M4, Prefix("2001:db8::/32")),
    )


def bare() -> LabModel:
    """A lab with no subject for any check: one router of nobody."""
    router = Node(name="r1", kind=NodeKind.EXABGP, as_name="solo", asn=64500)
    solo = AutonomousSystem(name="solo", asn=64500, role=AsRole.OBSERVER)
    return LabModel(name="bare", ases=(solo,), nodes=(router,))


def without_sessions(model: LabModel, *ids: str) -> LabModel:
    """The model without these sessions."""
    return msgspec.structs.replace(model, sessions=tuple(s for s in model.sessions if s.id not in ids))
