"""The plain story: the lab of ``verify_model`` turned up, opened and failed over, with nothing wrong in it."""

from __future__ import annotations

from ipaddress import ip_interface

from msgspec import structs
from verify_model import C4, C6, CLOUD_ROUTERS, FAMILIES, ISP, IXP, MEMBER, P4, P6, WIRES, session_id
from verify_packets import send_packets
from verify_removal import remove_and_return
from verify_scenario import (
    ALLOW,
    CONNECTIONS,
    FLOWS,
    OPENED,
    TIMES,
    TOLD,
    Scenario,
    is_opened,
    ns,
    path,
)

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.bgp.capability import bgp_role
from peerlab.evidence.events import (
    ConnectionStateChanged,
    PhaseEnded,
    PhaseStarted,
    PolicyStageChanged,
    ResourceChanged,
    SessionStateChanged,
    TransitionRefused,
    ValidationJudged,
)
from peerlab.evidence.snapshot import KernelRoute, NodeSnapshot, RouteFact, SessionFact
from peerlab.evidence.story import Moment, Phase
from peerlab.topology.model import LabModel, Session

HOT = {"ams1": "c1", "ams2": "c2", "lon1": "c3", "sin1": "i-lon1-sin1"}
COLD = {"ams1": "c1", "ams2": "c2", "lon1": "i-ams1-lon1", "sin1": "i-ams1-sin1"}
WAYS: dict[Moment, tuple[dict[str, str], frozenset[str]]] = {
    # moment: by which session each cloud router reaches the customer, connections that are down
    Moment.BASELINE: ({}, frozenset(CONNECTIONS)),
    Moment.LINK_TEST: ({}, frozenset(CONNECTIONS)),
    Moment.UNDER_DENY: ({}, frozenset()),
    Moment.UNDER_DENY_STIMULATED: ({}, frozenset()),
    Moment.ALLOWED: (HOT, frozenset()),
    Moment.STIMULATED: (HOT, frozenset()),
    Moment.ACTIVATED: (COLD, frozenset()),
    Moment.HOT_POTATO: (HOT, frozenset()),
    Moment.MED_SWAPPED: (COLD, frozenset()),
    Moment.LOCAL_LINK_LOST: (
        {"ams1": "i-ams1-ams2", "ams2": "c2", "lon1": "i-ams2-lon1", "sin1": "i-ams2-sin1"},
        frozenset({"c1"}),
    ),
    Moment.PRIMARY_LOST: (
        {"ams1": "i-ams1-lon1", "ams2": "i-ams2-lon1", "lon1": "c3", "sin1": "i-lon1-sin1"},
        frozenset({"c1", "c2"}),
    ),
    Moment.PRIVATE_LOST: (
        {"ams1": "i-ams1-lon1", "ams2": "i-ams2-lon1", "lon1": "tr", "sin1": "i-lon1-sin1"},
        frozenset({"c1", "c2", "c3"}),
    ),
    Moment.RESTORED: (COLD, frozenset()),
    Moment.WITHDRAWN: ({}, frozenset()),
    Moment.DEPROVISIONED: (COLD, frozenset({"c3"})),
    Moment.REPROVISIONED: (COLD, frozenset()),
}
PREFERENCE = {"c1": 200, "c2": 200, "c3": 200, "c4": 150, "tr": 80}
"""LOCAL_PREF by session: the ladder of RTG-03."""
DENIED = (Moment.UNDER_DENY, Moment.UNDER_DENY_STIMULATED)
BEFORE_BGP = (Moment.BASELINE, Moment.LINK_TEST)
RULES = ("SES-01", "POL-02", "VAL-05", "POL-10", "POL-12", "POL-13", "POL-15", "POL-20")
STATES = (
    # before, after, when
    ("None", "PendingApproval", 2.0),
    ("PendingApproval", "ProvisioningStarted", 3.0),
    ("ProvisioningStarted", "Validating", 9.0),
    ("Validating", "ProvisioningCompleted", 29.2),
    ("ProvisioningCompleted", "Active", 29.5),
)
NEXT_WIRE = {
    # in the WAN: (from, to) -> wire of the first hop
    ("ams1", "ams2"): 10, ("ams1", "lon1"): 11, ("ams1", "sin1"): 11,
    ("ams2", "ams1"): 10, ("ams2", "lon1"): 10, ("ams2", "sin1"): 10,
    ("lon1", "ams1"): 11, ("lon1", "ams2"): 11, ("lon1", "sin1"): 12,
    ("sin1", "lon1"): 12, ("sin1", "ams1"): 12, ("sin1", "ams2"): 12,
}  # fmt: skip


def build(scenario: Scenario) -> None:
    """Fill an empty scenario with the plain story."""
    _phases(scenario)
    _management(scenario)
    for session in scenario.model.sessions:
        _open(scenario, session)
    _tell_routes(scenario)
    for moment in Moment:
        if moment in TIMES:
            scenario.snapshots[moment] = _nodes(scenario, moment)
    _tell_inside(scenario)
    send_packets(scenario)
    remove_and_return(scenario, RULES)


def _phases(scenario: Scenario) -> None:
    for phase, start, end in (
        (Phase.BUILD, 0.0, 1.5),
        (Phase.REQUEST, 1.6, 3.5),
        (Phase.LINK_TEST, 4.0, 6.0),
        (Phase.DENY, 7.0, 28.5),
        (Phase.VALIDATE, 29.0, 29.4),
        (Phase.ALLOW, 29.5, 45.0),
    ):
        scenario.tell(PhaseStarted(at=ns(start), phase=phase))
        scenario.tell(PhaseEnded(at=ns(end), phase=phase))


def _management(scenario: Scenario) -> None:
    noc = {"role": "Noc", "email": "noc@example.net", "phone": "+31 20 000"}
    for name, asn in (("isp", ISP), ("ixp", IXP)):
        for at, state in ((0.5, "Pending"), (1.8, "Approved")):
            body: dict[str, object] = {"name": name, "asn": asn, "state": state, "contacts": [noc]}
            scenario.tell(ResourceChanged(at=ns(at), kind="peerAsns", name=name, change="put", body=body))
    for peering in scenario.model.peerings:
        refused = {"code": "BadArgument", "message": "the PeerAsn is not approved"}
        scenario.tell(TransitionRefused(at=ns(1.0), resource=peering.name, request="PutPeering", **refused))
        limits = {"v4": {"max_prefixes": 100}, "v6": {"max_prefixes": 100}}
        labels = [{"label": c.name, "facility_id": 99, **limits} for c in peering.connections]
        record: dict[str, object] = {"name": peering.name, "connections": labels}
        scenario.tell(ResourceChanged(at=ns(1.9), kind="peerings", name=peering.name, change="created", body=record))
        for connection in peering.connections:
            for before, after, at in STATES:
                scenario.tell(
                    ConnectionStateChanged(
                        at=ns(at),
                        peering=peering.name,
                        connection=connection.name,
                        before=before,
                        after=after,
                        trigger="story",
                        actor="Microsoft",
                    )
                )
            subject = f"{peering.name}/{connection.name}"
            for rule in RULES:
                scenario.tell(ValidationJudged(at=ns(29.1), subject=subject, rule=rule, passed=True))
            sessions = tuple(session_id(connection.name, family) for family in FAMILIES)
            for stage, at in (("deny", 9.0), ("allow", ALLOW)):
                scenario.tell(PolicyStageChanged(at=ns(at), node=connection.edge, sessions=sessions, stage=stage))
    _registration(scenario)


def _registration(scenario: Scenario) -> None:
    """A prefix and an AS are registered, a second time refused; the service prefix fails with a wrong key first."""
    for at, kind, name, body in (
        (80.0, "registeredPrefixes", "isp-ams/cust-v4", {"prefix": P4, "prefix_key": "key-1"}),
        (80.1, "registeredAsns", "ix/member", {"asn": MEMBER, "prefix_key": "key-2"}),
        (82.0, "prefixes", "service/cust-v4", {"prefix": P4, "prefix_key": "wrong", "state": "Failed"}),
        (84.0, "prefixes", "service/cust-v4", {"prefix": P4, "prefix_key": "key-1", "state": "Verified"}),
    ):
        scenario.tell(ResourceChanged(at=ns(at), kind=kind, name=name, change="updated", body=dict(body)))
    again = {"code": "BadArgument", "message": "registered under isp-ams already"}
    scenario.tell(TransitionRefused(at=ns(81.0), resource="isp-lon", request="PutRegisteredPrefix", **again))
    wrong = "Peering service provider not found"
    judged = {"at": ns(82.0), "subject": "service/cust-v4", "rule": "VAL-07"}
    scenario.tell(ValidationJudged(passed=False, message=wrong, **judged))
    for rule in ("VAL-05", "VAL-06", "VAL-07", "VAL-08", "VAL-09", "VAL-10", "VAL-11", "VAL-12"):
        scenario.tell(ValidationJudged(at=ns(84.0), subject="service/cust-v4", rule=rule, passed=True))


def _open(scenario: Scenario, session: Session) -> None:
    for step, end in enumerate((session.left, session.right)):
        extra = () if end.role is None else (bgp_role(end.role),)
        offset = step / 100
        scenario.open(session.id, end.node, end.asn, OPENED + offset, session.hold_time, session.family, extra)
        scenario.keepalive(session.id, end.node, OPENED + 0.05 + offset)
        for beat in (3.0, 6.0, 9.0):
            scenario.keepalive(session.id, end.node, OPENED + 0.05 + offset + beat)
        for before, after, at in (("OpenSent", "OpenConfirm", 0.02), ("OpenConfirm", "Established", 0.07)):
            scenario.tell(
                SessionStateChanged(
                    at=ns(OPENED + at + offset), node=end.node, session=session.id, before=before, after=after
                )
            )


def _tell_routes(scenario: Scenario) -> None:
    for name, sender, prefixes, asns, communities, otc in FLOWS:
        for family, prefix in zip(FAMILIES, prefixes, strict=True):
            session = scenario.model.session(session_id(name, family))
            at = ALLOW + 1 if is_opened(name, sender) else TOLD
            scenario.announce(
                session.id,
                sender,
                [prefix],
                at,
                as_path=path(*asns),
                communities=communities,
                next_hop=_next_hop(scenario.model, session, name, sender),
                otc=otc,
            )


def _tell_inside(scenario: Scenario) -> None:
    """What the routers of the cloud tell each other once all is open."""
    for (session_name, sender), told in _told(scenario, Moment.ALLOWED, HOT, frozenset()).items():
        for fact in told if session_name.startswith("i-") else ():
            scenario.announce(session_name, sender, [fact.prefix], ALLOW + 2, **structs.asdict(fact.attributes))


def _next_hop(model: LabModel, session: Session, name: str, sender: str) -> Address:
    """The sender's own address; a route server leaves its client's (RFC 7947 section 2.2.1)."""
    if sender == "rs1":
        behind, client = ("mb", "member") if name == "c4" else ("c4", "ams2")
        return model.session(session_id(behind, session.family)).end(client).address
    return session.end(sender).address


# ===== snapshots =====


def _nodes(scenario: Scenario, moment: Moment) -> dict[str, NodeSnapshot]:
    model = scenario.model
    ways, down = WAYS[moment]
    outs = _told(scenario, moment, ways, down)
    nodes = {}
    for node in model.nodes:
        if not node.is_router:
            continue
        ins_pre: dict[str, tuple[RouteFact, ...]] = {}
        ins_post: dict[str, tuple[RouteFact, ...]] = {}
        own_out: dict[str, tuple[RouteFact, ...]] = {}
        facts = []
        for session in model.sessions_of(node.name):
            name = session.id.rsplit("-", 1)[0]
            if name in CONNECTIONS and (moment in BEFORE_BGP or name in down):
                continue
            peer = session.other(node.name)
            came = outs.get((session.id, peer.node), ())
            denied = moment in DENIED and name in CONNECTIONS and node.name in CLOUD_ROUTERS
            reason = "DENY ALL" if denied else ""
            ranked = PREFERENCE.get(name) if node.name in CLOUD_ROUTERS else None
            judged = tuple(_verdict(route, not denied, reason, ranked) for route in came)
            ins_pre[session.id], ins_post[session.id] = came, judged
            own_out[session.id] = outs.get((session.id, node.name), ())
            facts.append(_fact(session, node.name, moment, name, ins_pre, ins_post, own_out))
        loc, kernel = _chosen(scenario, node.name, moment, ways, ins_post)
        nodes[node.name] = NodeSnapshot(
            node=node.name,
            sessions=tuple(facts),
            adj_rib_in_pre=ins_pre,
            adj_rib_in_post=ins_post,
            adj_rib_out=own_out,
            loc_rib=loc,
            kernel=kernel,
            addresses={i.name: tuple(a for a in (i.v4, i.v6) if a) for i in node.interfaces},
            carrier={i.name: True for i in node.interfaces},
        )
    return nodes


def _verdict(route: RouteFact, accepted: bool, reason: str, preference: int | None) -> RouteFact:
    attributes = route.attributes
    if preference is not None:
        attributes = structs.replace(attributes, local_pref=preference)
    return structs.replace(route, attributes=attributes, accepted=accepted, reason=reason)


def _fact(
    session: Session,
    node: str,
    moment: Moment,
    name: str,
    pre: dict[str, tuple[RouteFact, ...]],
    post: dict[str, tuple[RouteFact, ...]],
    out: dict[str, tuple[RouteFact, ...]],
) -> SessionFact:
    end, other = session.end(node), session.other(node)
    return SessionFact(
        session=session.id,
        node=node,
        peer=other.node,
        family=session.family,
        state="Established",
        since=ns(OPENED),
        local_address=end.address,
        peer_address=other.address,
        local_as=end.asn,
        peer_as=other.asn,
        hold_time=session.hold_time,
        keepalive=session.hold_time // 3,
        received=len(pre[session.id]),
        accepted=sum(route.accepted for route in post[session.id]),
        advertised=len(out[session.id]),
        stage=("deny" if moment in DENIED else "allow") if name in CONNECTIONS and node in CLOUD_ROUTERS else None,
    )


def _told(
    scenario: Scenario, moment: Moment, ways: dict[str, str], down: frozenset[str]
) -> dict[tuple[str, str], tuple[RouteFact, ...]]:
    """(session, sender) → Adj-RIB-Out."""
    model = scenario.model
    outs: dict[tuple[str, str], tuple[RouteFact, ...]] = {}

    def tell(session: Session, sender: str, prefix: Prefix, attributes: PathAttributes) -> None:
        fact = RouteFact(prefix=prefix, session=session.id, attributes=attributes)
        outs[session.id, sender] = (*outs.get((session.id, sender), ()), fact)

    for name, sender, prefixes, asns, communities, otc in FLOWS:
        shut = name in CONNECTIONS and (moment in BEFORE_BGP or name in down)
        closed = is_opened(name, sender) and moment in DENIED
        gone = moment is Moment.WITHDRAWN and prefixes == (P4, P6)
        if shut or closed or gone:
            continue
        for family, prefix in zip(FAMILIES, prefixes, strict=True):
            session = model.session(session_id(name, family))
            hop = _next_hop(model, session, name, sender)
            known = PathAttributes(as_path=path(*asns), communities=communities, next_hop=hop, otc=otc)
            tell(session, sender, prefix, known)
    for sender in CLOUD_ROUTERS:
        for family, mine in zip(FAMILIES, (P4, P6), strict=True):
            way = ways.get(sender)
            learned = way is not None and not way.startswith("i-")
            for other in CLOUD_ROUTERS:
                if other == sender:
                    continue
                session = _ibgp(model.sessions, sender, other, family)
                hop = session.end(sender).address
                if learned and way is not None:
                    asns, communities = next((a, c) for n, s, p, a, c, _ in FLOWS if n == way and p == (P4, P6))
                    preference = 100 if moment in (Moment.ALLOWED, Moment.STIMULATED, Moment.HOT_POTATO) else 300
                    tell(
                        session,
                        sender,
                        mine,
                        PathAttributes(
                            as_path=path(*asns), communities=communities, next_hop=hop, local_pref=preference
                        ),
                    )
                if sender == "sin1":
                    own = C4 if family is Family.IPV4 else C6
                    tell(session, sender, own, PathAttributes(next_hop=hop, local_pref=100))
    return outs


def _ibgp(sessions: tuple[Session, ...], one: str, other: str, family: Family) -> Session:
    return next(
        s
        for s in sessions
        if s.id.startswith("i-") and {one, other} == {s.left.node, s.right.node} and s.family is family
    )


def _chosen(
    scenario: Scenario,
    node: str,
    moment: Moment,
    ways: dict[str, str],
    post: dict[str, tuple[RouteFact, ...]],
) -> tuple[tuple[RouteFact, ...], tuple[KernelRoute, ...]]:
    """Loc-RIB and kernel: the way the table says, elsewhere the first accepted route."""
    model = scenario.model
    loc: dict[str, RouteFact] = {}
    for session, rib in post.items():
        for route in rib:
            way = ways.get(node)
            wanted = way is None or route.prefix not in (P4, P6) or session.rsplit("-", 1)[0] == way
            if route.accepted and wanted and route.prefix not in loc:
                loc[route.prefix] = RouteFact(
                    prefix=route.prefix, session=session, attributes=route.attributes, best=True
                )
    known = model.node(node)
    for prefix in known.originates:
        if not (moment is Moment.WITHDRAWN and prefix in (P4, P6)):
            loc[prefix] = RouteFact(prefix=prefix, session=None, attributes=PathAttributes(), best=True)
    kernel = [
        KernelRoute(prefix=prefix, kind="blackhole", protocol=186)
        for prefix, route in loc.items()
        if route.session is None
    ]
    for port in known.interfaces:
        for text in (port.v4, port.v6):
            if text is not None:
                connected = Prefix(str(ip_interface(text).network))
                kernel.append(KernelRoute(prefix=connected, interface=port.name, protocol=2))
    for other in CLOUD_ROUTERS if node in CLOUD_ROUTERS else ():
        for family in FAMILIES if other != node else ():
            target = model.node(other)
            loopback = target.loopback_v4 if family is Family.IPV4 else target.loopback_v6
            length = 32 if family is Family.IPV4 else 128
            kernel.append(
                KernelRoute(
                    prefix=Prefix(f"{loopback}/{length}"), gateway=_wan_hop(scenario, node, other, family), protocol=188
                )
            )
    for prefix, route in loc.items():
        if route.session is None:
            continue
        session = model.session(route.session)
        gateway = route.attributes.next_hop
        if session.is_internal:
            gateway = _wan_hop(scenario, node, session.other(node).node, session.family)
        kernel.append(KernelRoute(prefix=Prefix(prefix), gateway=gateway, protocol=186))
    return tuple(loc.values()), tuple(kernel)


def _wan_hop(scenario: Scenario, node: str, target: str, family: Family) -> Address:
    """The neighbour's address on the wire toward another cloud router."""
    wire = NEXT_WIRE[node, target]
    _, one, other, _, _ = next(w for w in WIRES if w[0] == wire)
    neighbour = scenario.model.node(other if one == node else one).interface(f"e{wire}")
    text = neighbour.v4 if family is Family.IPV4 else neighbour.v6
    return Address((text or "").split("/")[0])
