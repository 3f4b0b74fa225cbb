"""POL: the stages DENY and ALLOW, and routes announced on purpose to ``ams1`` by the examiner on ``x-pol-4/6``."""

from __future__ import annotations

import msgspec
from verify_model import CUSTOMER, ISP, MEMBER, P4
from verify_row import Row, nothing
from verify_scenario import ALLOW, MAPS, Scenario, ns, path, route

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import ConnectionStateChanged, PolicyStageChanged, RouterNotice, ValidationJudged
from peerlab.evidence.snapshot import SessionFact
from peerlab.evidence.story import Moment, Stimulus
from peerlab.verify.bogon import BOGON_ASNS, BOGON_PREFIXES

EXAMINER = 64511
G4, G6 = Prefix("198.51.100.0/25"), Prefix("2001:db8:99::/48")
"""What the examiner's sessions accept, so that refusals mean something."""


def _session(prefix: str) -> str:
    return "x-pol-6" if ":" in prefix else "x-pol-4"


def _up(s: Scenario) -> None:
    """The examiner's two sessions, each with one accepted route."""
    for session, family, prefix in (("x-pol-4", Family.IPV4, G4), ("x-pol-6", Family.IPV6, G6)):
        s.open(session, "exam", EXAMINER, 45.0, family=family, receiver="ams1")
        s.open(session, "ams1", 8075, 45.0, family=family, receiver="exam")
        node = s.node(Moment.STIMULATED, "ams1")
        fact = SessionFact(
            session=session,
            node="ams1",
            peer="exam",
            family=family,
            state="Established",
            local_address=Address("198.19.254.1"),
            peer_address=Address("198.19.254.0"),
            local_as=8075,
            peer_as=EXAMINER,
        )
        s.change(Moment.STIMULATED, "ams1", sessions=(*node.sessions, fact))
        s.hold(Moment.STIMULATED, "ams1", "adj_rib_in_post", session, route(prefix, session, EXAMINER))


def put(
    s: Scenario,
    check: str,
    prefix: str,
    expected: str = "reject",
    asns: tuple[int, ...] = (EXAMINER,),
    segments: tuple[Segment, ...] | None = None,
    communities: tuple[str, ...] = (),
    kept: tuple[str, ...] | None = None,
    reason: str = "a reason",
    detail: dict[str, object] | None = None,
    **attributes: object,
) -> None:
    """Announce a route at 51 and have ``ams1`` judge it as expected."""
    session = _session(prefix)
    known = PathAttributes(
        as_path=segments if segments is not None else path(*asns),
        communities=communities,
        **attributes,  # type: ignore[arg-type]
    )
    s.trial(
        Stimulus.ANNOUNCED,
        "exam",
        session,
        {
            "check": check,
            "case": "case",
            "expected": expected,
            "prefixes": [prefix],
            "as_path": known.path_text(),
            "communities": list(communities),
            **(detail or {}),
        },
        at=50.0,
    )
    said = {"as_path": known.as_path, "communities": communities, **attributes}
    s.announce(session, "exam", [prefix], 51.0, receiver="ams1", **said)
    fate = route(
        prefix,
        session,
        accepted=expected == "accept",
        reason="" if expected == "accept" else reason,
        communities=communities if kept is None else kept,
    )
    s.hold(Moment.STIMULATED, "ams1", "adj_rib_in_post", session, fate)


def _accepted_after_all(prefix: str) -> object:
    def change(s: Scenario) -> None:
        fate = route(prefix, _session(prefix), EXAMINER)
        s.hold(Moment.STIMULATED, "ams1", "adj_rib_in_post", _session(prefix), fate)

    return change


def _without_reason(prefix: str) -> object:
    def change(s: Scenario) -> None:
        fate = route(prefix, _session(prefix), EXAMINER, accepted=False)
        s.hold(Moment.STIMULATED, "ams1", "adj_rib_in_post", _session(prefix), fate)

    return change


def _unseen(prefix: str) -> object:
    return lambda s: s.drop(Moment.STIMULATED, "ams1", "adj_rib_in_post", _session(prefix), prefix)


def _accepts_nothing(s: Scenario) -> None:
    for session, prefix in (("x-pol-4", G4), ("x-pol-6", G6)):
        s.drop(Moment.STIMULATED, "ams1", "adj_rib_in_post", session, prefix)


def usual(prefix: str, control: bool = True) -> tuple[dict[str, object], dict[str, object]]:
    """Mutations that every check of announced routes must notice, around one rejected prefix."""
    lacks: dict[str, object] = {
        "nothing was announced": lambda s: s.untry(Stimulus.ANNOUNCED),
        "the route is not on the wire": lambda s: s.silence(_session(prefix), MessageType.UPDATE),
        "the edge does not show its verdict": _unseen(prefix),
        "the trace has a gap": lambda s: s.lose(_session(prefix)),
        "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.STIMULATED),
    }
    if control:
        lacks["the session accepts nothing at all"] = _accepts_nothing
    return (
        {"accepted after all": _accepted_after_all(prefix), "rejected without a reason": _without_reason(prefix)},
        lacks,
    )


# ===== stages =====


def no_policy(s: Scenario) -> None:
    for session, prefix in (("x-none-4", "198.51.100.0/24"), ("x-none-6", "2001:db8:77::/48")):
        s.open(session, "exam", EXAMINER, 49.0, receiver="ams1")
        s.trial(
            Stimulus.NO_POLICY,
            "exam",
            session,
            {"offered": [prefix]},
            {"established": True, "accepted": 0, "advertised": 0},
            at=50.0,
            until=52.0,
        )
        s.announce(session, "exam", [prefix], 51.0, receiver="ams1", as_path=path(EXAMINER))


def pressed(s: Scenario) -> None:
    """Under DENY, on c1 in both families: one more prefix at 21, a refresh at 22, a bounce at 23."""
    for v, extra in (("4", "203.0.113.0/25"), ("6", "2001:db8:10::/49")):
        session = f"c1-{v}"
        s.trial(Stimulus.NEW_ANNOUNCEMENT, "isp1", session, {"prefix": extra}, at=21.0)
        s.announce(session, "isp1", [extra], 21.1, as_path=path(ISP))
        s.trial(Stimulus.ROUTE_REFRESH, "ams1", session, {}, {"uptime_kept": True}, at=22.0, until=22.5)
        s.refresh(session, "ams1", 22.1)
        s.trial(Stimulus.BOUNCE, "ams1", session, {}, {"established": True}, at=23.0, until=25.0)
        for node, asn in (("isp1", ISP), ("ams1", 8075)):
            s.open(session, node, asn, 23.5, family=Family.IPV4 if v == "4" else Family.IPV6)


def early(s: Scenario) -> None:
    for link, connection in (("w1", "isp-ams/c1"), ("w2", "isp-ams/c2"), ("w3", "isp-lon/c3"), ("", "ix/c4")):
        did = {"link": link, "connection": connection, "sent": 50}
        s.trial(Stimulus.EARLY_TRAFFIC, "host-cust", "", did, {"crossed": 0, "control": 20}, at=15.0, until=16.0)


def policy_changed(s: Scenario) -> None:
    counts = {"accepted": (1, 0, 1), "advertised": (1, 0, 1)}
    saw: dict[str, object] = {
        f"{what}_{when}": count
        for what, three in counts.items()
        for when, count in zip(("before", "between", "after"), three, strict=True)
    }
    s.trial(Stimulus.POLICY_CHANGED, "ams1", "c1-4", {}, {**saw, "flaps": 0}, at=50.0, until=55.0)


# ===== announced routes =====


def allow_list(s: Scenario) -> None:
    _up(s)
    put(s, "POL-05", "203.0.114.0/24")
    put(s, "POL-05", "2001:db8:4444::/48")
    put(s, "POL-05", "198.51.100.128/25", expected="accept")
    put(s, "POL-05", "2001:db8:98::/48", expected="accept")


def origin_list(s: Scenario) -> None:
    _up(s)
    for refused in ("203.0.115.0/24", "2001:db8:4445::/48"):
        put(s, "POL-06", refused, asns=(EXAMINER, 112))
    for taken in ("198.51.100.128/25", "2001:db8:98::/48"):
        put(s, "POL-06", taken, expected="accept")


def bogons(s: Scenario) -> None:
    _up(s)
    for bogon in BOGON_PREFIXES:
        if bogon not in ("198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"):
            put(s, "POL-07", bogon)


def bogon_asns(s: Scenario) -> None:
    """One path per range; AS 0 is treated as a withdrawal (RFC 7607), so the edge only has a notice of it."""
    _up(s)
    for number, (low, _, _) in enumerate(BOGON_ASNS):
        if low in (64496, 65536):
            continue
        put(s, "POL-08", f"203.0.{120 + number}.0/24", asns=(EXAMINER, low))
    s.drop(Moment.STIMULATED, "ams1", "adj_rib_in_post", "x-pol-4", "203.0.120.0/24")
    zero = next(m for m in s.messages if m.kind == MessageType.UPDATE and bytes([203, 0, 120]) in m.octets)
    octets = zero.octets.hex()
    s.tell(
        RouterNotice(at=ns(51.1), node="ams1", session="x-pol-4", kind="treat-as-withdraw", text="AS 0", message=octets)
    )


def lengths(s: Scenario) -> None:
    _up(s)
    for prefix in ("203.0.113.128/25", "2001:db8:10:1::/64", "16.0.0.0/5", "2a00::/12"):
        put(s, "POL-09", prefix)


def defaults(s: Scenario) -> None:
    _up(s)
    put(s, "POL-10", "0.0.0.0/0")
    put(s, "POL-10", "::/0")


def own(s: Scenario) -> None:
    _up(s)
    for prefix in ("20.1.4.0/24", "2a01:111:1::/48", "195.69.144.0/24", "2001:7f8:1::/64"):
        put(s, "POL-11", prefix)


def forbidden(s: Scenario) -> None:
    _up(s)
    for number, asn in enumerate((12076, 3356)):
        put(s, "POL-12", f"203.0.12{number}.0/24", asns=(EXAMINER, asn))
        put(s, "POL-12", f"2001:db8:12{number}::/48", asns=(EXAMINER, asn))


def first_as(s: Scenario) -> None:
    _up(s)
    put(s, "POL-13", "203.0.120.0/24", asns=(64999, 64998))
    put(s, "POL-13", "2001:db8:120::/48", asns=(64999, 64998))


def paths(s: Scenario) -> None:
    _up(s)
    sets = (Segment(SegmentType.AS_SEQUENCE, (EXAMINER,)), Segment(SegmentType.AS_SET, (64998, 64999)))
    for v in ("4", "6"):
        for number, length in enumerate((101, 255)):
            prefix = f"203.0.12{number}.0/24" if v == "4" else f"2001:db8:12{number}::/48"
            first = (EXAMINER,) * min(length, 200)
            segments = (Segment(SegmentType.AS_SEQUENCE, first),)
            if length > 200:
                segments = (*segments, Segment(SegmentType.AS_SEQUENCE, (EXAMINER,) * (length - 200)))
            put(s, "POL-14", prefix, segments=segments)
        put(s, "POL-14", "203.0.122.0/24" if v == "4" else "2001:db8:122::/48", segments=sets)


def next_hops(s: Scenario) -> None:
    _up(s)
    for number, (hop, hop6) in enumerate(
        (("203.0.113.77", "2001:db8:10::77"), ("198.19.254.1", "198.19.254.1"), ("127.0.0.1", "::1"))
    ):
        put(s, "POL-16", f"203.0.12{number}.0/24", detail={"next_hop": hop})
        put(s, "POL-16", f"2001:db8:12{number}::/48", detail={"next_hop": hop6})


def communities(s: Scenario) -> None:
    _up(s)
    for base, of in (("203.0.12{}.0/24", "4"), ("2001:db8:12{}::/48", "6")):
        foreign, no_export, no_advertise = (base.format(number) for number in range(3))
        sent = ("8075:1234", "64511:7", MAPS)
        put(s, "POL-17", foreign, "accept", communities=sent, kept=("64511:7", MAPS))
        put(s, "POL-17", no_export, "accept", communities=("65535:65281",))
        put(s, "POL-17", no_advertise, "accept", communities=("65535:65282",))
        for prefix in (foreign, no_export):
            s.elect(Moment.STIMULATED, "sin1", route(prefix, f"i-ams1-sin1-{of}", EXAMINER))


def preferences(s: Scenario) -> None:
    _up(s)
    for prefix, other in (("203.0.120.0/24", "203.0.121.0/24"), ("2001:db8:120::/48", "2001:db8:121::/48")):
        put(s, "POL-18", prefix, "accept", detail={"local_pref": 500}, local_pref=500)
        put(s, "POL-18", other, "accept", detail={"med": 77}, med=77)
    s.trial(
        Stimulus.ANNOUNCED,
        "cust",
        "u1-4",
        {"check": "POL-18", "case": "third", "expected": "accept", "prefixes": ["203.0.113.192/26"], "med": 77},
        at=50.0,
    )
    s.announce("u1-4", "cust", ["203.0.113.192/26"], 51.0, as_path=path(CUSTOMER), med=77)
    fate = route("203.0.113.192/26", "u1-4", CUSTOMER, med=77)
    s.hold(Moment.STIMULATED, "isp1", "adj_rib_in_post", "u1-4", fate)
    s.announce("ti-4", "isp1", ["203.0.113.192/26"], 51.5, as_path=path(ISP, CUSTOMER))


def max_prefix(s: Scenario) -> None:
    saw: dict[str, object] = {
        "up_at_limit": True,
        "down_after": True,
        "warned": True,
        "others_down": [],
        "recovered": True,
    }
    s.trial(Stimulus.MAX_PREFIX, "exam", "x-max", {"limit": 3}, saw, at=50.0, until=54.0)
    s.announce("x-max", "exam", [f"203.0.{n}.0/24" for n in range(4)], 51.0, receiver="ams1", as_path=path(EXAMINER))
    s.notify("x-max", "ams1", 6, 1, 52.0, receiver="exam")


def _rs_as_in_path(s: Scenario) -> None:
    fact = s.node(Moment.ALLOWED, "ams2").adj_rib_in_pre["c4-4"][0]
    worse = msgspec.structs.replace(
        fact, attributes=msgspec.structs.replace(fact.attributes, as_path=path(64504, *fact.attributes.asns()))
    )
    s.hold(Moment.ALLOWED, "ams2", "adj_rib_in_pre", "c4-4", worse)


def _rs_change(**attributes: object) -> object:
    def change(s: Scenario) -> None:
        fact = s.node(Moment.ALLOWED, "ams2").adj_rib_in_pre["c4-4"][0]
        worse = msgspec.structs.replace(fact, attributes=msgspec.structs.replace(fact.attributes, **attributes))
        s.hold(Moment.ALLOWED, "ams2", "adj_rib_in_pre", "c4-4", worse)

    return change


def _no_route_server_routes(s: Scenario) -> None:
    for v in "46":
        for node in ("ams2", "member"):
            for session in (f"c4-{v}", f"mb-{v}"):
                ribs = dict(s.node(Moment.ALLOWED, node).adj_rib_in_pre)
                if session in ribs:
                    s.change(Moment.ALLOWED, node, adj_rib_in_pre={**ribs, session: ()})


def _two_steps(s: Scenario) -> None:
    s.amend(PolicyStageChanged, {"stage": "allow", "node": "lon1"}, sessions=("c3-4",))
    s.tell(PolicyStageChanged(at=ns(ALLOW + 0.5), node="lon1", sessions=("c3-6",), stage="allow"))


STAGE_ROWS = (
    Row(
        "POL-01",
        no_policy,
        breaks={
            "a route is accepted": lambda s: s.resee(Stimulus.NO_POLICY, accepted=1),
            "the edge announces": lambda s: s.announce("x-none-4", "ams1", ["20.1.0.0/16"], 51.5, receiver="exam"),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.NO_POLICY),
            "nothing was offered": lambda s: s.silence("x-none-6", MessageType.UPDATE),
            "the session did not come up": lambda s: s.resee(Stimulus.NO_POLICY, established=False),
            "the trace has a gap": lambda s: s.lose("x-none-4"),
        },
    ),
    Row(
        "POL-02",
        nothing,
        breaks={
            "one route accepted": lambda s: s.fact(Moment.UNDER_DENY, "ams1", "c1-6", accepted=1),
            "one route advertised": lambda s: s.fact(Moment.UNDER_DENY, "lon1", "c3-4", advertised=1),
            "the peer accepted one": lambda s: s.fact(Moment.UNDER_DENY, "isp1", "c2-4", accepted=1),
            "counters say none, the RIB says one": lambda s: s.hold(
                Moment.UNDER_DENY, "ams1", "adj_rib_out", "c1-4", route("20.1.0.0/16", "c1-4", 8075)
            ),
            "one UPDATE on the wire a millisecond before ALLOW": lambda s: s.announce(
                "c2-6", "ams2", ["2a01:111::/32"], ALLOW - 0.001, as_path=path(8075)
            ),
            "the session is not up": lambda s: s.fact(Moment.UNDER_DENY, "isp2", "c3-6", state="OpenConfirm"),
        },
        lacks={
            "the peer announced nothing": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
            "the peer had withdrawn everything": lambda s: s.withdraw("c1-4", "isp1", [P4], 12.0),
            "the trace has a gap": lambda s: s.lose("c1-4"),
            "one end does not report": lambda s: s.snapshots[Moment.UNDER_DENY].pop("isp2"),
            "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.UNDER_DENY),
        },
    ),
    Row(
        "POL-03",
        pressed,
        breaks={
            "accepted after the bounce": lambda s: s.fact(Moment.UNDER_DENY_STIMULATED, "ams1", "c1-4", accepted=1),
            "a route on the wire after the refresh": lambda s: s.announce(
                "c1-4", "ams1", ["20.1.0.0/16"], 22.2, as_path=path(8075)
            ),
        },
        lacks={
            "no bounce": lambda s: s.untry(Stimulus.BOUNCE),
            "the new prefix is not on the wire": lambda s: s.redo(Stimulus.NEW_ANNOUNCEMENT, prefix="203.0.113.192/26"),
            "the refresh is not on the wire": lambda s: s.silence("c1-6", MessageType.ROUTE_REFRESH),
            "the session did not come back": lambda s: s.resee(Stimulus.BOUNCE, established=False),
            "pressed only after ALLOW": lambda s: s.amend(PolicyStageChanged, {"stage": "allow"}, at=ns(9.5)),
        },
    ),
    Row(
        "POL-04",
        early,
        breaks={
            "two steps": _two_steps,
            "a rule had failed": lambda s: s.amend(
                ValidationJudged, {"subject": "isp-lon/c3", "rule": "POL-12"}, passed=False, message="AS 12076"
            ),
            "judged only afterwards": lambda s: s.amend(ValidationJudged, {"subject": "ix/c4"}, at=ns(31.0)),
            "opened while not Active": lambda s: s.amend(
                ConnectionStateChanged, {"connection": "c1", "after": "Active"}, at=ns(33.0)
            ),
            "a packet before": lambda s: s.resee(Stimulus.EARLY_TRAFFIC, crossed=1),
            "a route before": lambda s: s.announce("c1-4", "ams1", ["20.1.0.0/16"], 29.9, as_path=path(8075)),
        },
        lacks={
            "never validated": lambda s: s.forget(ValidationJudged, subject="isp-ams/c2"),
            "ALLOW is not in the log": lambda s: s.forget(PolicyStageChanged, stage="allow", node="lon1"),
            "no early traffic": lambda s: s.untry(Stimulus.EARLY_TRAFFIC),
            "the counter counts nothing": lambda s: s.resee(Stimulus.EARLY_TRAFFIC, control=0),
            "the trace has a gap": lambda s: s.lose("c3-6"),
        },
    ),
    Row(
        "POL-23",
        policy_changed,
        breaks={
            "a stale accept": lambda s: s.resee(Stimulus.POLICY_CHANGED, accepted_between=1),
            "a stale announcement": lambda s: s.resee(Stimulus.POLICY_CHANGED, advertised_between=1),
            "not restored": lambda s: s.resee(Stimulus.POLICY_CHANGED, accepted_after=0),
            "a flap": lambda s: s.resee(Stimulus.POLICY_CHANGED, flaps=1),
            "a reset on the wire": lambda s: s.notify("c1-4", "ams1", 6, 6, 51.0),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.POLICY_CHANGED),
            "there was no route": lambda s: s.resee(Stimulus.POLICY_CHANGED, accepted_before=0),
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
)


def _row(check: str, given: object, prefix: str, control: bool = True, **extra: dict[str, object]) -> Row:
    breaks, lacks = usual(prefix, control)
    return Row(check, given, {**breaks, **extra.get("breaks", {})}, {**lacks, **extra.get("lacks", {})})  # type: ignore[arg-type]


CASE_ROWS = (
    _row(
        "POL-05",
        allow_list,
        "203.0.114.0/24",
        control=False,
        breaks={
            "an unregistered route is in use": lambda s: s.hold(
                Moment.ALLOWED, "lon1", "adj_rib_in_post", "c3-4", route("198.51.100.0/25", "c3-4", ISP)
            ),
            "a registered route of the wrong origin": lambda s: s.hold(
                Moment.ALLOWED, "lon1", "adj_rib_in_post", "c3-4", route(P4, "c3-4", ISP)
            ),
            "a registered route refused": lambda s: s.hold(
                Moment.STIMULATED,
                "ams1",
                "adj_rib_in_post",
                "x-pol-6",
                route("2001:db8:98::/48", "x-pol-6", EXAMINER, accepted=False, reason="default"),
            ),
        },
        lacks={"there is no registry": lambda s: setattr(s, "model", msgspec.structs.replace(s.model, registry=()))},
    ),
    _row(
        "POL-06",
        origin_list,
        "203.0.115.0/24",
        control=False,
        breaks={
            "a registered route of an AS that is not below the peer": lambda s: s.hold(
                Moment.ALLOWED, "lon1", "adj_rib_in_post", "c3-4", route(P4, "c3-4", ISP, MEMBER)
            ),
            "the origin has no object in any registry": lambda s: s.hold(
                Moment.ALLOWED, "lon1", "adj_rib_in_post", "c3-4", route(P4, "c3-4", ISP, 64999)
            ),
            "a registered origin refused": lambda s: s.hold(
                Moment.STIMULATED,
                "ams1",
                "adj_rib_in_post",
                "x-pol-4",
                route("198.51.100.128/25", "x-pol-4", EXAMINER, accepted=False, reason="default"),
            ),
        },
        lacks={"no route was accepted": lambda s: s.snapshots.pop(Moment.ALLOWED)},
    ),
    _row(
        "POL-07",
        bogons,
        "10.0.0.0/8",
        breaks={"the cloud sends one": lambda s: s.announce("tr-4", "lon1", ["10.9.0.0/16"], 70.0, as_path=path(8075))},
    ),
    _row(
        "POL-08",
        bogon_asns,
        "203.0.121.0/24",
        lacks={"AS 0 without a notice": lambda s: s.forget(RouterNotice, kind="treat-as-withdraw")},
    ),
    _row("POL-09", lengths, "203.0.113.128/25"),
    _row(
        "POL-10",
        defaults,
        "0.0.0.0/0",
        breaks={"the cloud sends one": lambda s: s.announce("c1-6", "ams1", ["::/0"], 70.0, as_path=path(8075))},
    ),
    _row("POL-11", own, "20.1.4.0/24"),
    _row("POL-12", forbidden, "203.0.120.0/24"),
    _row(
        "POL-13",
        first_as,
        "203.0.120.0/24",
        lacks={"nothing through the route server": lambda s: s.change(Moment.ALLOWED, "ams2", adj_rib_in_post={})},
    ),
    _row(
        "POL-14",
        paths,
        "203.0.120.0/24",
        breaks={"the session fell": lambda s: s.fact(Moment.STIMULATED, "ams1", "x-pol-4", state="Idle")},
    ),
    _row(
        "POL-16",
        next_hops,
        "203.0.120.0/24",
        breaks={
            "a foreign next hop is in use": lambda s: s.hold(
                Moment.ALLOWED,
                "lon1",
                "adj_rib_in_post",
                "c3-4",
                route(P4, "c3-4", ISP, next_hop=Address("203.0.113.9")),
            )
        },
        lacks={"the martian was not tried": lambda s: s.redo(Stimulus.ANNOUNCED, next_hop="203.0.113.77")},
    ),
)

ATTRIBUTE_ROWS = (
    Row(
        "POL-15",
        max_prefix,
        breaks={
            "down at the limit": lambda s: s.resee(Stimulus.MAX_PREFIX, up_at_limit=False),
            "up over the limit": lambda s: s.resee(Stimulus.MAX_PREFIX, down_after=False),
            "another session fell too": lambda s: s.resee(Stimulus.MAX_PREFIX, others_down=["c1-4"]),
            "no warning": lambda s: s.resee(Stimulus.MAX_PREFIX, warned=False),
            "does not recover": lambda s: s.resee(Stimulus.MAX_PREFIX, recovered=False),
            "another NOTIFICATION": lambda s: s.silence("x-max", MessageType.NOTIFICATION),
            "no headroom": lambda s: s.fact(Moment.ALLOWED, "ams1", "c1-4", received=70),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.MAX_PREFIX),
            "the wire shows too few routes": lambda s: s.redo(Stimulus.MAX_PREFIX, limit=4),
            "the trace has a gap": lambda s: s.lose("x-max"),
            "recovery is not logged": lambda s: s.resee(Stimulus.MAX_PREFIX, recovered=None),
        },
    ),
    Row(
        "POL-17",
        communities,
        breaks={
            "the cloud's own community is kept": lambda s: put(
                s, "POL-17", "203.0.123.0/24", "accept", communities=("8075:9",), kept=("8075:9",)
            ),
            "a foreign community is dropped": lambda s: put(
                s, "POL-17", "203.0.123.0/24", "accept", communities=("64511:9",), kept=()
            ),
            "NO_EXPORT is exported": lambda s: s.hold(
                Moment.STIMULATED, "lon1", "adj_rib_out", "tr-4", route("203.0.121.0/24", "tr-4", 8075)
            ),
            "NO_ADVERTISE is advertised": lambda s: s.hold(
                Moment.STIMULATED, "ams1", "adj_rib_out", "i-ams1-ams2-4", route("203.0.122.0/24", "i-ams1-ams2-4")
            ),
        },
        lacks={
            "nothing was announced": lambda s: s.untry(Stimulus.ANNOUNCED),
            "no other router has it": lambda s: s.change(Moment.STIMULATED, "sin1", loc_rib=()),
            "the edge tells nobody anything": lambda s: s.change(Moment.STIMULATED, "ams1", adj_rib_out={}),
        },
    ),
    Row(
        "POL-18",
        preferences,
        breaks={
            "LOCAL_PREF is taken": lambda s: s.hold(
                Moment.STIMULATED,
                "ams1",
                "adj_rib_in_post",
                "x-pol-4",
                route("203.0.120.0/24", "x-pol-4", EXAMINER, local_pref=500),
            ),
            "MED is kept": lambda s: s.hold(
                Moment.STIMULATED,
                "ams1",
                "adj_rib_in_post",
                "x-pol-6",
                route("2001:db8:121::/48", "x-pol-6", EXAMINER, med=77),
            ),
            "MED reaches a third AS": lambda s: s.announce(
                "ti-4", "isp1", ["203.0.113.192/26"], 51.6, as_path=path(ISP, CUSTOMER), med=77
            ),
        },
        lacks={
            "nothing was announced": lambda s: s.untry(Stimulus.ANNOUNCED),
            "nobody passed it on": lambda s: s.silence("ti-4", MessageType.UPDATE),
            "the MED did not go out": lambda s: s.silence("x-pol-6", MessageType.UPDATE),
        },
    ),
    Row(
        "POL-24",
        nothing,
        breaks={
            "the server's AS is in the path": _rs_as_in_path,
            "the next hop is the server": _rs_change(next_hop=Address("195.69.144.10")),
            "a MED appears": _rs_change(med=1),
            "a community is lost": _rs_change(communities=()),
        },
        lacks={
            "nothing passed through": _no_route_server_routes,
            "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
)

POLICY_ROWS = (*STAGE_ROWS, *CASE_ROWS, *ATTRIBUTE_ROWS)
