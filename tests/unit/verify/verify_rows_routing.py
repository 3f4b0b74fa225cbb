"""RTG: decisions on trial, and the plain story's hot and cold potato."""

from __future__ import annotations

import msgspec
from verify_model import C4, CLOUD, CLOUD_ROUTERS, CUSTOMER, ISP, P4, TRANSIT
from verify_row import Change, Row, nothing
from verify_rows_policy import _up, put, usual
from verify_scenario import MAPS, TIMES, Scenario, ns, path, route

from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import PathTraced, PhaseEnded
from peerlab.evidence.story import Moment, Phase, Stimulus
from peerlab.verify.routing import TIE_BREAKS

EXAMINER = 64511


def ties(s: Scenario) -> None:
    for at, step in enumerate(TIE_BREAKS):
        reason = "higher MED" if step == "missing MED" else step
        did: dict[str, object] = {"step": step, "expected": "c1-4"}
        s.trial(Stimulus.TIE_BREAK, "ams1", "c1-4", did, {"best": "c1-4", "reason": reason}, at=400.0 + 10 * at)


def resolvable(s: Scenario) -> None:
    saw: dict[str, object] = {"best_before": True, "best_without": False, "best_again": True}
    s.trial(Stimulus.NEXT_HOP_LOST, "lon1", "c3-4", {}, saw)
    _up(s)
    put(s, "RTG-02", "203.0.120.0/24", asns=(EXAMINER, CLOUD), reason="own AS in path")
    put(s, "RTG-02", "2001:db8:120::/48", asns=(EXAMINER, CLOUD), reason="own AS in path")


def swapped(s: Scenario) -> None:
    """isp1 and isp2 announce with MEDs that would move everything to london."""
    for session, sender, med in (("c1-4", "isp1", 100), ("c2-4", "isp1", 100), ("c3-4", "isp2", 10)):
        s.announce(session, sender, [P4], 130.0, as_path=path(ISP, CUSTOMER), communities=(MAPS,), med=med, otc=ISP)


def unannounced(s: Scenario) -> None:
    s.trial(
        Stimulus.UNANNOUNCED_DESTINATION,
        "host-svc",
        "",
        {"link": "w1", "sent": 20},
        {"crossed": 0, "control": 20},
    )


def _stays_hot(s: Scenario) -> None:
    for name in CLOUD_ROUTERS:
        s.snapshots[Moment.ACTIVATED][name] = s.snapshots[Moment.HOT_POTATO][name]


def _stays_cold(s: Scenario) -> None:
    for name in CLOUD_ROUTERS:
        s.snapshots[Moment.HOT_POTATO][name] = s.snapshots[Moment.ACTIVATED][name]


def delayed(wire: str, delay_ms: float) -> Change:
    """A wire of the lab is longer than it was."""

    def change(s: Scenario) -> None:
        links = tuple(
            msgspec.structs.replace(link, delay_ms=delay_ms) if link.id == wire else link for link in s.model.links
        )
        s.model = msgspec.structs.replace(s.model, links=links)

    return change


def _forward(**fields: object) -> Change:
    return lambda s: s.amend(PathTraced, {"name": "activated", "source": "host-cust", "family": "ipv6"}, **fields)


def _one_stray(s: Scenario) -> None:
    s.snapshots[Moment.ACTIVATED]["lon1"] = s.snapshots[Moment.HOT_POTATO]["lon1"]


def _london_is_second_best(s: Scenario) -> None:
    """Without the location preference london's route is no equal of amsterdam's, so nobody is tempted by it."""
    rib = s.node(Moment.HOT_POTATO, "lon1").adj_rib_in_post["c3-4"]
    lower = msgspec.structs.replace(rib[0].attributes, local_pref=100)
    s.hold(Moment.HOT_POTATO, "lon1", "adj_rib_in_post", "c3-4", msgspec.structs.replace(rib[0], attributes=lower))


def _no_way(s: Scenario) -> None:
    s.change(Moment.ACTIVATED, "sin1", loc_rib=())


def _detour(s: Scenario) -> None:
    """From lon1 back and forth through sin1 before going to ams1."""
    where = {"name": "activated", "source": "lon1", "family": "ipv4"}
    s.amend(PathTraced, where, nodes=("sin1", "lon1", "ams1", "isp1", "cust", "host-cust"))


def _exit_in_london(s: Scenario) -> None:
    where = {"name": "activated", "source": "sin1", "family": "ipv4"}
    s.amend(PathTraced, where, nodes=("lon1", "isp2", "cust", "host-cust"), hops=("192.0.2.24", "", "", "203.0.113.10"))


def _silent(s: Scenario) -> None:
    s.amend(PathTraced, {"name": "activated", "source": "sin1"}, nodes=(None, None, None, None, "host-cust"))


def _preferred(session: str, node: str, preference: int) -> object:
    def change(s: Scenario) -> None:
        rib = s.node(Moment.ALLOWED, node).adj_rib_in_post[session]
        raised = msgspec.structs.replace(rib[0].attributes, local_pref=preference)
        s.hold(Moment.ALLOWED, node, "adj_rib_in_post", session, msgspec.structs.replace(rib[0], attributes=raised))

    return change


def _no_transit_routes(s: Scenario) -> None:
    ribs = dict(s.node(Moment.ALLOWED, "lon1").adj_rib_in_post)
    s.change(Moment.ALLOWED, "lon1", adj_rib_in_post={**ribs, "tr-4": (), "tr-6": ()})


def _observer_sees(*asns: int) -> object:
    return lambda s: s.hold(Moment.ACTIVATED, "observer", "adj_rib_in_pre", "ob-4", route(P4, "ob-4", *asns))


def _chatter(s: Scenario) -> None:
    s.announce("tr-4", "transit", [P4], TIMES[Moment.ALLOWED] + 2, as_path=path(TRANSIT, ISP, CUSTOMER), otc=TRANSIT)


ROUTING_ROWS = (
    Row(
        "RTG-01",
        ties,
        breaks={
            "the wrong winner": lambda s: s.resee(Stimulus.TIE_BREAK, best="c2-4"),
            "the right one by the wrong step": lambda s: s.resee(Stimulus.TIE_BREAK, reason="higher router id"),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.TIE_BREAK),
            "one step only": lambda s: [
                s.redo(Stimulus.TIE_BREAK, step="higher ORIGIN"),
                s.resee(Stimulus.TIE_BREAK, reason="higher ORIGIN"),
            ],
        },
    ),
    Row(
        "RTG-02",
        resolvable,
        breaks={
            "best without a next hop": lambda s: s.resee(Stimulus.NEXT_HOP_LOST, best_without=True),
            "does not come back": lambda s: s.resee(Stimulus.NEXT_HOP_LOST, best_again=False),
            **usual("203.0.120.0/24")[0],  # type: ignore[dict-item]
        },
        lacks={
            "was not best before": lambda s: s.resee(Stimulus.NEXT_HOP_LOST, best_before=False),
            **usual("203.0.120.0/24")[1],  # type: ignore[dict-item]
        },
    ),
    Row(
        "RTG-03",
        nothing,
        breaks={
            "transit over private peering": _preferred("tr-4", "lon1", 250),  # type: ignore[dict-item]
            "a route server as good as a private peering": _preferred("c4-6", "ams2", 200),  # type: ignore[dict-item]
        },
        lacks={
            "no route of the transit": _no_transit_routes,
            "not read": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
    Row(
        "RTG-04",
        nothing,
        breaks={
            "hot potato": _stays_hot,
            "one router leaves elsewhere": _one_stray,
            "one router has no way out": _no_way,
            "it leaves over transit": lambda s: s.elect(Moment.ACTIVATED, "lon1", route(P4, "tr-4", TRANSIT, ISP)),
        },
        lacks={
            "no router can tell cold from hot": _london_is_second_best,
            "not read": lambda s: s.snapshots.pop(Moment.ACTIVATED),
        },
    ),
    Row(
        "RTG-05",
        nothing,
        breaks={
            "leaves in london": _exit_in_london,
            "a detour inside the WAN": _detour,
            "the path ends early": lambda s: s.amend(
                PathTraced, {"name": "activated", "source": "host-svc", "family": "ipv4"}, reached=False
            ),
        },
        lacks={
            "nothing was traced": lambda s: s.forget(PathTraced, name="activated", destination="host-cust"),
            "no service was traced from": lambda s: s.forget(PathTraced, name="activated", source="host-svc"),
            "no control run": lambda s: s.snapshots.pop(Moment.HOT_POTATO),
            "silent hops": _silent,
        },
    ),
    Row(
        "RTG-06",
        nothing,
        breaks={"nothing changes without the preference": _stays_cold},
        lacks={
            "no control run": lambda s: s.snapshots.pop(Moment.HOT_POTATO),
            "no router can tell cold from hot": _london_is_second_best,
        },
    ),
    Row(
        "RTG-07",
        delayed("w9", 8.0),
        breaks={
            "enters in london": _forward(nodes=("cust", "isp2", "lon1", "sin1", "host-svc")),
            "a long way to the right location": delayed("w1", 7.5),
            "the path ends early": _forward(nodes=("cust", "isp1"), hops=("192.0.2.16", None), reached=False),
        },
        lacks={
            "nothing was traced": lambda s: s.forget(PathTraced, name="activated", source="host-cust"),
            "silent hops": _forward(nodes=("cust", None, None, "sin1", "host-svc")),
            "no edge announced it": lambda s: [
                s.change(Moment.ACTIVATED, edge, adj_rib_out={}) for edge in CLOUD_ROUTERS
            ],
            "not read": lambda s: s.snapshots.pop(Moment.ACTIVATED),
        },
    ),
    Row(
        "RTG-08",
        swapped,
        breaks={
            "everything moves to london": lambda s: [
                s.snapshots[Moment.MED_SWAPPED].update({n: s.snapshots[Moment.PRIMARY_LOST][n]}) for n in CLOUD_ROUTERS
            ],
        },
        lacks={
            "no MED on the wire": lambda s: [
                s.silence(x, MessageType.UPDATE, n) for x, n in (("c1-4", "isp1"), ("c2-4", "isp1"), ("c3-4", "isp2"))
            ],
            "no second run": lambda s: s.snapshots.pop(Moment.MED_SWAPPED),
        },
    ),
    Row(
        "RTG-09",
        nothing,
        breaks={
            "announced to the transit once": lambda s: s.announce("tr-4", "lon1", [P4], 15.0, as_path=path(CLOUD, ISP)),
            "a more-specific announced": lambda s: s.announce(
                "c4-4", "ams2", ["203.0.113.128/25"], 300.0, as_path=path(CLOUD, ISP)
            ),
            "in an Adj-RIB-Out": lambda s: s.hold(
                Moment.ACTIVATED, "lon1", "adj_rib_out", "tr-4", route(P4, "tr-4", CLOUD, ISP, CUSTOMER)
            ),
            "the observer sees it through the cloud": _observer_sees(TRANSIT, CLOUD, ISP, CUSTOMER),  # type: ignore[dict-item]
        },
        lacks={
            "the observer does not know it": lambda s: s.drop(
                Moment.ACTIVATED, "observer", "adj_rib_in_pre", "ob-4", P4
            ),
            "a session was never seen": lambda s: s.silence("tr-6"),
            "the trace has a gap": lambda s: s.lose("tr-4"),
        },
    ),
    Row(
        "RTG-10",
        nothing,
        breaks={
            "a provider's route told to a peer": lambda s: s.announce(
                "c1-4", "isp1", ["198.18.0.0/24"], 300.0, as_path=path(ISP, TRANSIT, 64498), otc=ISP
            ),
            "a peer's route told to a provider": lambda s: s.announce(
                "ti-4", "isp1", [C4], 300.0, as_path=path(ISP, CLOUD)
            ),
            "OTC sent upward": lambda s: s.announce("ti-4", "isp1", [P4], 300.0, as_path=path(ISP, CUSTOMER), otc=ISP),
            "no OTC to a peer": lambda s: s.announce("c1-4", "isp1", [P4], 300.0, as_path=path(ISP, CUSTOMER)),
        },
        lacks={
            "a session was never seen": lambda s: s.silence("u1-4"),
            "the trace has a gap": lambda s: s.lose("ob-6"),
        },
    ),
    Row(
        "RTG-11",
        nothing,
        breaks={
            "one more prefix": lambda s: s.announce("c1-4", "ams1", ["20.1.128.0/17"], 33.0, as_path=path(CLOUD)),
            "one prefix less": lambda s: s.withdraw("c2-4", "ams2", [C4], 33.0),
        },
        lacks={
            "the trace has a gap": lambda s: s.lose("c3-6"),
            "not read": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
    Row(
        "RTG-12",
        unannounced,
        breaks={"a packet crossed": lambda s: s.resee(Stimulus.UNANNOUNCED_DESTINATION, crossed=1)},
        lacks={
            "never tried": lambda s: s.untry(Stimulus.UNANNOUNCED_DESTINATION),
            "nothing was sent": lambda s: s.redo(Stimulus.UNANNOUNCED_DESTINATION, sent=0),
            "the counter counts nothing": lambda s: s.resee(Stimulus.UNANNOUNCED_DESTINATION, control=0),
        },
    ),
    Row(
        "RTG-13",
        nothing,
        breaks={
            "a hop twice": lambda s: s.amend(
                PathTraced, {"name": "primary-lost", "source": "ams1", "family": "ipv4"}, hops=("1.1.1.1", "1.1.1.1")
            ),
            "a path that does not end": lambda s: s.amend(
                PathTraced, {"name": "restored", "source": "ams1", "family": "ipv6"}, reached=False
            ),
            "an UPDATE in the silence": _chatter,
        },
        lacks={
            "nothing was traced": lambda s: [
                s.forget(PathTraced, name=name)
                for name in sorted({e.name for e in s.events if isinstance(e, PathTraced)})
            ],
            "watched too shortly": lambda s: s.amend(
                PhaseEnded, {"phase": Phase.ALLOW}, at=ns(TIMES[Moment.ALLOWED] + 0.1)
            ),
            "the trace has a gap": lambda s: s.lose("u2-4"),
        },
    ),
)
