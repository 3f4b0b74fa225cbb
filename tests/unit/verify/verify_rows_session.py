"""SES: what the sessions agreed on, and the trials on examiners' sessions (``x-…``, not in the model)."""

from __future__ import annotations

import msgspec
from verify_model import CLOUD, ISP, P4, without_sessions
from verify_row import Row, nothing
from verify_scenario import MAPS, Scenario, path, route

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.capability import bgp_role
from peerlab.bgp.wire import MessageType
from peerlab.evidence.story import Moment, Stimulus

EXAMINER = 64511


def _reopen(s: Scenario, session: str, node: str, **changed: object) -> None:
    """Replace a node's OPEN in a session."""
    s.silence(session, MessageType.OPEN, node)
    known = next(x for x in s.model.sessions if x.id == session)
    end = known.end(node)
    extra = () if end.role is None else (bgp_role(end.role),)
    s.open(session, node, **{"asn": end.asn, "hold": 9, "family": known.family, "extra": extra, **changed})  # type: ignore[arg-type]


def wrong_asn(s: Scenario) -> None:
    s.trial(Stimulus.WRONG_ASN, "exam", "x-asn", {"asn": 64999}, {"established": False}, at=50.0, until=52.0)
    s.open("x-asn", "exam", 64999, 50.5, receiver="ams1")
    s.open("x-asn", "ams1", CLOUD, 50.5, receiver="exam")
    s.notify("x-asn", "ams1", 2, 2, 50.6, receiver="exam")


def hold_expiry(s: Scenario) -> None:
    """The peer is last heard at 49.8 and falls silent at 50; the edge gives up at 52.9."""
    s.keepalive("x-hold", "exam", 49.8, receiver="ams1")
    s.trial(
        Stimulus.HOLD_EXPIRY,
        "ams1",
        "x-hold",
        {"hold_time": 3},
        {"seconds": 2.9, "routes_left": 0},
        at=50.0,
        until=53.5,
    )
    s.keepalive("x-hold", "exam", 50.8, receiver="ams1")
    s.notify("x-hold", "ams1", 4, 0, 52.9, receiver="exam")


def old_speaker(s: Scenario) -> None:
    s.trial(Stimulus.OLD_SPEAKER, "cust", "", {}, {"path_at_third": "64502 64500 65550"})


def md5(s: Scenario) -> None:
    told = "MD5 is not supported"
    s.trial(Stimulus.MD5_ON_PEER, "ams1", "x-md5a", {}, {"established": False, "reported": told}, at=50)
    s.trial(Stimulus.MD5_EQUAL, "ams1", "x-md5b", {}, {"established": True}, at=51)
    s.trial(Stimulus.MD5_UNEQUAL, "ams1", "x-md5c", {}, {"established": False, "kernel_failures": 3}, at=52)


def gtsm(s: Scenario) -> None:
    s.trial(Stimulus.TTL_FULL, "ams1", "x-ttl-full", {}, {"established": True, "ttl_seen": 255}, at=50)
    s.trial(Stimulus.TTL_LOWERED, "exam", "x-ttl", {}, {"established": False, "attempts": 4}, at=51)


def refresh(s: Scenario) -> None:
    """The edge asks at 50, the peer sends its one route again at 50.2."""
    s.trial(Stimulus.ROUTE_REFRESH, "ams1", "c1-4", {}, {"uptime_kept": True}, at=50.0, until=51.0)
    s.refresh("c1-4", "ams1", 50.1)
    s.announce("c1-4", "isp1", [P4], 50.2, as_path=path(ISP, 65550), communities=(MAPS,))


def roles(s: Scenario) -> None:
    for stimulus, session, up in (
        (Stimulus.ROLE_PAIR, "x-pair", True),
        (Stimulus.ROLE_MISMATCH, "x-mismatch", False),
        (Stimulus.ROLE_SILENT, "x-silent", False),
    ):
        s.trial(stimulus, "exam", session, {}, {"established": up}, at=50.0, until=52.0)
        s.open(session, "exam", EXAMINER, 50.1, receiver="ams1")
        s.open(session, "ams1", CLOUD, 50.1, receiver="exam")
        if up:
            s.keepalive(session, "ams1", 50.2, receiver="exam")
        else:
            s.notify(session, "ams1", 2, 11, 50.2, receiver="exam")


def _double_beat(s: Scenario) -> None:
    s.keepalive("c1-4", "isp1", 16.5)


def _no_v6(s: Scenario) -> None:
    s.model = without_sessions(s.model, "c3-6")


def _misconfigured_roles(s: Scenario) -> None:
    def flip(session: object) -> object:
        if session.id != "c1-4":  # type: ignore[attr-defined]
            return session
        return msgspec.structs.replace(
            session,  # type: ignore[arg-type]
            left=msgspec.structs.replace(session.left, role=BgpRole.CUSTOMER),  # type: ignore[attr-defined]
        )

    s.model = msgspec.structs.replace(s.model, sessions=tuple(flip(x) for x in s.model.sessions))


SESSION_ROWS = (
    Row(
        "SES-01",
        nothing,
        breaks={
            "one end is Active": lambda s: s.fact(Moment.ALLOWED, "ams1", "c1-6", state="Active"),
            "the AS is not the agreed one": lambda s: s.fact(Moment.ALLOWED, "ams2", "c2-4", peer_as=64999),
            "the OPEN says another AS": lambda s: _reopen(s, "c3-4", "isp2", asn=64999),
        },
        lacks={
            "no IPv6 session": _no_v6,
            "one end does not report it": lambda s: s.change(Moment.ALLOWED, "isp1", sessions=()),
            "no OPEN on the wire": lambda s: s.silence("c1-4", MessageType.OPEN, "isp1"),
            "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
    Row(
        "SES-02",
        nothing,
        breaks={
            "one session of the mesh does not exist": lambda s: setattr(s, "model", without_sessions(s.model, "c4-6")),
            "one session of the mesh is down": lambda s: s.fact(Moment.ALLOWED, "rs1", "c4-4", state="Idle"),
        },
        lacks={
            "the route server does not report": lambda s: s.snapshots[Moment.ALLOWED].pop("rs1"),
            "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
    Row(
        "SES-03",
        wrong_asn,
        breaks={
            "it comes up": lambda s: s.resee(Stimulus.WRONG_ASN, established=True),
            "another NOTIFICATION": lambda s: [
                s.silence("x-asn", MessageType.NOTIFICATION),
                s.notify("x-asn", "ams1", 6, 5, 50.6, receiver="exam"),
            ],
            "no NOTIFICATION": lambda s: s.silence("x-asn", MessageType.NOTIFICATION),
            "a route in spite of it": lambda s: s.announce("x-asn", "ams1", ["20.1.0.0/16"], 50.7, receiver="exam"),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.WRONG_ASN),
            "the wrong OPEN is not on the wire": lambda s: s.silence("x-asn", MessageType.OPEN, "exam"),
            "the AS that was sent is not the wrong one": lambda s: s.redo(Stimulus.WRONG_ASN, asn=64998),
            "the trace has a gap": lambda s: s.lose("x-asn"),
        },
    ),
    Row(
        "SES-05",
        nothing,
        breaks={
            "hold time is not the least": lambda s: s.fact(Moment.ALLOWED, "ams1", "c1-4", hold_time=90),
            "keepalive is not a third": lambda s: s.fact(Moment.ALLOWED, "isp1", "c1-4", keepalive=1),
            "one end offered less": lambda s: _reopen(s, "c1-4", "isp1", hold=6),
            "two KEEPALIVEs half a second apart": _double_beat,
        },
        lacks={
            "an OPEN is missing": lambda s: s.silence("c2-6", MessageType.OPEN, "ams2"),
            "not watched long enough": lambda s: s.silence("c2-6", MessageType.KEEPALIVE),
            "the trace has a gap": lambda s: s.lose("c2-6"),
        },
    ),
    Row(
        "SES-06",
        hold_expiry,
        breaks={
            "noticed too late": lambda s: [
                s.silence("x-hold", MessageType.NOTIFICATION),
                s.notify("x-hold", "ams1", 4, 0, 53.4, receiver="exam"),
                s.redo(Stimulus.HOLD_EXPIRY, hold_time=2),
            ],
            "a route is left": lambda s: s.resee(Stimulus.HOLD_EXPIRY, routes_left=1),
            "ended for another reason": lambda s: [
                s.silence("x-hold", MessageType.NOTIFICATION),
                s.notify("x-hold", "ams1", 6, 2, 52.9, receiver="exam"),
            ],
            "no NOTIFICATION": lambda s: s.silence("x-hold", MessageType.NOTIFICATION),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.HOLD_EXPIRY),
            "never heard before": lambda s: s.silence("x-hold", MessageType.KEEPALIVE),
            "the hold time is not logged": lambda s: s.redo(Stimulus.HOLD_EXPIRY, hold_time=None),
        },
    ),
    Row(
        "SES-08",
        nothing,
        breaks={
            "no capability for the family": lambda s: _reopen(s, "c1-6", "ams1", family=Family.IPV4),
            "an IPv6 route on an IPv4 session": lambda s: s.announce("c1-4", "isp1", ["2001:db8:10::/48"], 12.0),
        },
        lacks={
            "an OPEN is missing": lambda s: s.silence("c1-6", MessageType.OPEN, "ams1"),
            "the trace has a gap": lambda s: s.lose("c1-6"),
        },
    ),
    Row(
        "SES-09",
        old_speaker,
        breaks={
            "AS_TRANS is left behind an OLD speaker": lambda s: s.resee(
                Stimulus.OLD_SPEAKER, path_at_third="64502 64500 23456"
            ),
            "AS_TRANS in a Loc-RIB": lambda s: s.elect(Moment.ALLOWED, "sin1", route(P4, "i-lon1-sin1-4", ISP, 23456)),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.OLD_SPEAKER),
            "no large AS in the path": lambda s: s.resee(Stimulus.OLD_SPEAKER, path_at_third="64502 64500"),
            "no snapshot": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
    Row(
        "SES-10",
        md5,
        breaks={
            "up with MD5 on the peer alone": lambda s: s.resee(Stimulus.MD5_ON_PEER, established=True),
            "nobody says why": lambda s: s.resee(Stimulus.MD5_ON_PEER, reported=""),
            "equal keys stay down": lambda s: s.resee(Stimulus.MD5_EQUAL, established=False),
            "unequal keys come up": lambda s: s.resee(Stimulus.MD5_UNEQUAL, established=True),
        },
        lacks={
            "no control with equal keys": lambda s: s.untry(Stimulus.MD5_EQUAL),
            "the kernel counted no failure": lambda s: s.resee(Stimulus.MD5_UNEQUAL, kernel_failures=0),
            "the kernel has no MD5": lambda s: s.resee(Stimulus.MD5_EQUAL, unsupported="no CONFIG_TCP_MD5SIG"),
        },
    ),
    Row(
        "SES-11",
        gtsm,
        breaks={
            "up with a low TTL": lambda s: s.resee(Stimulus.TTL_LOWERED, established=True),
            "BGP passed with a low TTL": lambda s: s.open("x-ttl", "exam", EXAMINER, 52.0, receiver="ams1"),
            "down with the full TTL": lambda s: s.resee(Stimulus.TTL_FULL, established=False),
            "sends TTL 64": lambda s: s.resee(Stimulus.TTL_FULL, ttl_seen=64),
        },
        lacks={
            "no low TTL was sent": lambda s: s.resee(Stimulus.TTL_LOWERED, attempts=0),
            "no control with the full TTL": lambda s: s.untry(Stimulus.TTL_FULL),
        },
    ),
    Row(
        "SES-15",
        refresh,
        breaks={
            "a route is not sent again": lambda s: s.announce("c1-4", "isp1", ["198.51.100.0/25"], 49.0),
            "the session was reset": lambda s: s.open("c1-4", "isp1", ISP, 50.5),
            "the uptime is lost": lambda s: s.resee(Stimulus.ROUTE_REFRESH, uptime_kept=False),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.ROUTE_REFRESH),
            "no ROUTE-REFRESH on the wire": lambda s: s.silence("c1-4", MessageType.ROUTE_REFRESH),
            "the peer had nothing announced": lambda s: s.withdraw("c1-4", "isp1", [P4], 49.0),
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
    Row(
        "SES-16",
        roles,
        breaks={
            "a mismatch comes up": lambda s: s.resee(Stimulus.ROLE_MISMATCH, established=True),
            "silence comes up": lambda s: s.resee(Stimulus.ROLE_SILENT, established=True),
            "an allowed pair stays down": lambda s: s.resee(Stimulus.ROLE_PAIR, established=False),
            "refused for another reason": lambda s: [
                s.silence("x-mismatch", MessageType.NOTIFICATION),
                s.notify("x-mismatch", "ams1", 2, 2, 50.2, receiver="exam"),
            ],
            "configured roles are no pair": _misconfigured_roles,
            "the OPEN says another role": lambda s: _reopen(s, "c1-4", "isp1", extra=(bgp_role(BgpRole.CUSTOMER),)),
        },
        lacks={
            "silence was not tried": lambda s: s.untry(Stimulus.ROLE_SILENT),
            "the trace has a gap": lambda s: s.lose("x-silent"),
        },
    ),
)
