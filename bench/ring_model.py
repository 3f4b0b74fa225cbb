"""A ring of N routers, each an AS of its own, as a LabModel: what the benchmarks build."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.policy import Policy, Statement, Verdict
from peerlab.topology.model import (
    AsRole,
    AutonomousSystem,
    Interface,
    LabModel,
    Link,
    LinkEnd,
    LinkPurpose,
    Node,
    NodeKind,
    Session,
    SessionEnd,
)

FIRST_ASN = 64512
"""Private AS numbers (RFC 6996): a ring of 200 needs more than the documentation ones."""

V4_LINKS = int(IPv4Address("198.19.0.0"))
V6_LINKS = int(IPv6Address("2001:db8:ffff::"))


def prefix_of(number: int) -> Prefix:
    """What router ``number`` originates."""
    return Prefix(f"{IPv4Address(int(IPv4Address('198.18.0.0')) + number)}/32")


def ring(
    count: int, name: str, families: Collection[Family] = tuple(Family), kind: NodeKind = NodeKind.EXABGP
) -> LabModel:
    """``count`` routers of a kind and as many links, a session of each family on each, an IPv4 prefix of each router.

    AS numbers are short ones: BIRD cuts the text of a path of a hundred long ones.
    """
    accept = Policy(name="all", statements=(Statement(name="all", verdict=Verdict.ACCEPT),))
    interfaces: dict[int, list[Interface]] = {number: [] for number in range(count)}
    links, sessions = [], []
    for number in range(count):
        left, right = number, (number + 1) % count
        link = f"l{number}"
        v4 = [str(IPv4Address(V4_LINKS + 2 * number + side)) for side in (0, 1)]
        v6 = [str(IPv6Address(V6_LINKS + 2 * number + side)) for side in (0, 1)]
        for side, node in enumerate((left, right)):
            interfaces[node].append(
                Interface(
                    name="right" if side == 0 else "left",
                    link=link,
                    mac=f"02:00:{number >> 8:02x}:{number & 255:02x}:00:{side:02x}",
                    v4=f"{v4[side]}/31",
                    v6=f"{v6[side]}/127",
                )
            )
        links.append(
            Link(
                id=link,
                ends=(LinkEnd(f"r{left}", "right"), LinkEnd(f"r{right}", "left")),
                purpose=LinkPurpose.INTERCONNECT,
            )
        )
        for family, pair in ((Family.IPV4, v4), (Family.IPV6, v6)):
            if family not in families:
                continue
            ends = [
                SessionEnd(
                    node=f"r{node}",
                    asn=FIRST_ASN + node,
                    address=Address(pair[side]),
                    interface="right" if side == 0 else "left",
                    passive=side == 1,
                    import_policy="all",
                    export_policy="all",
                )
                for side, node in enumerate((left, right))
            ]
            sessions.append(
                Session(id=f"{link}.{family.value}", family=family, left=ends[0], right=ends[1], hold_time=90)
            )
    return LabModel(
        name=name,
        ases=tuple(
            AutonomousSystem(name=f"as{n}", asn=FIRST_ASN + n, role=AsRole.ISP, prefixes=(prefix_of(n),))
            for n in range(count)
        ),
        nodes=tuple(
            Node(
                name=f"r{n}",
                kind=kind,
                as_name=f"as{n}",
                asn=FIRST_ASN + n,
                router_id=Address(str(IPv4Address(int(IPv4Address("198.19.128.0")) + n))),
                interfaces=tuple(interfaces[n]),
                originates=(prefix_of(n),),
            )
            for n in range(count)
        ),
        links=tuple(links),
        sessions=tuple(sessions),
        policies={"all": accept},
    )
