"""POL-19 to POL-22 and SEC-06: what isp1 announces to ams1 on c1 while test ROAs come and go (600 s of the story)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from verify_model import CLOUD, ISP
from verify_row import Row
from verify_scenario import Scenario, ns, path

from peerlab.bgp.attributes import Segment, SegmentType
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import RouterNotice, StimulusApplied, StimulusObserved
from peerlab.evidence.story_origin import Egress, Hole, Ingress, OriginStimulus
from peerlab.peering.policy import RPKI_INVALID

VICTIM, PRIVATE = 64499, 64512
BLACKHOLE, NO_EXPORT = "65535:666", "65535:65281"
INVALID = (Ingress.WRONG_ORIGIN, Ingress.AS0, Ingress.BEYOND_LENGTH)
SETS = (Ingress.SET_COVERED, Ingress.SET_FREE)
NOT_FOUND = (Ingress.NOT_FOUND, Ingress.SET_FREE)


def prefix(number: int, v: str) -> str:
    return f"198.51.{number}.0/24" if v == "4" else f"2001:db8:{number:x}00::/48"


def fate(state: str, reason: str = "") -> dict[str, object]:
    accepted = state != "invalid"
    return {"state": state, "accepted": accepted, "reason": reason or ("accepted" if accepted else RPKI_INVALID)}


def ingress(s: Scenario) -> None:
    for v in ("4", "6"):
        for number, case in enumerate(Ingress, start=100):
            with_set = case in SETS
            segments = (*path(ISP), Segment(SegmentType.AS_SET, (ISP, VICTIM))) if with_set else path(ISP)
            state = "invalid" if case in (*INVALID, Ingress.SET_COVERED) else "valid"
            state = "not-found" if case in NOT_FOUND else state
            saw = fate(state)
            if with_set:
                saw |= {"accepted": False, "reason": "AS_SET in the path"}
            one = prefix(number, v)
            did: dict[str, object] = {
                "prefix": one,
                "case": case.value,
                "as_path": f"{ISP} {{{ISP},{VICTIM}}}" if with_set else str(ISP),
                "state": state,
                "expected": "accept" if saw["accepted"] else "reject",
            }
            at = 600.0 + number / 10
            answer: dict[str, object] = {"prefix": one, "session": f"c1-{v}", "vrps": 9, **saw}
            s.trial(OriginStimulus.VALIDATED, "isp1", f"c1-{v}", did, answer, at=at)
            s.announce(f"c1-{v}", "isp1", [one], at + 0.05, as_path=segments)


def of_case(s: Scenario, case: str, **saw: object) -> None:
    """Change the answers to the trials of one case."""
    applied = [e for e in s.events if isinstance(e, StimulusApplied) and e.detail.get("case") == case]
    chosen = {(e.session, e.detail["prefix"]) for e in applied}
    hit = False
    for i, event in enumerate(s.events):
        if isinstance(event, StimulusObserved) and (event.detail.get("session"), event.detail.get("prefix")) in chosen:
            s.events[i] = msgspec.structs.replace(event, detail={**event.detail, **saw})
            hit = True
    assert hit, f"no trial of {case}"


def without_case(case: str) -> Callable[[Scenario], object]:
    def change(s: Scenario) -> None:
        before = len(s.events)
        s.events = [e for e in s.events if not (isinstance(e, StimulusApplied) and e.detail.get("case") == case)]
        assert len(s.events) < before

    return change


FLIPS = (("invalid", "not-found"), ("valid", "invalid"), ("not-found", "valid"))


def live(s: Scenario) -> None:
    for v in ("4", "6"):
        one = prefix(130, v)
        s.announce(f"c1-{v}", "isp1", [one], 640.0, as_path=path(ISP))
        for number, (state, before) in enumerate(FLIPS):
            did: dict[str, object] = {
                "prefix": one,
                "trial": state,
                "change": f"to {state}",
                "state": state,
                "expected": "reject" if state == "invalid" else "accept",
            }
            saw = {"prefix": one, "trial": state, "session": f"c1-{v}", "before": fate(before), "reset": False}
            at = 650.0 + 10 * number
            s.trial(OriginStimulus.VRP_CHANGED, "isp1", f"c1-{v}", did, {**saw, **fate(state)}, at=at)
        routes = {prefix(131, v): "valid", prefix(132, v): "invalid"}
        did = {"expire": 3, "routes": routes}
        same = {one: fate(state) for one, state in routes.items()}
        saw = {
            "session": f"c1-{v}",
            "held": same,
            "held_after": 0.1,
            "expired": {one: fate("not-found") for one in routes},
            "back": same,
            "vrps": 0,
            "seconds": 2.8,
            "reset": False,
        }
        s.trial(OriginStimulus.CACHE_LOST, "isp1", f"c1-{v}", did, saw, at=690.0)


def as_before(s: Scenario) -> None:
    """Every route was already what its ROAs make of it."""
    for i, event in enumerate(s.events):
        if isinstance(event, StimulusObserved) and event.stimulus == OriginStimulus.VRP_CHANGED:
            before = fate(str(event.detail["trial"]))
            s.events[i] = msgspec.structs.replace(event, detail={**event.detail, "before": before})


def fates(state: str) -> Callable[[Scenario], object]:
    """After the expiry every route is this."""
    routes = {prefix(number, v): fate(state) for number in (131, 132) for v in ("4", "6")}
    return lambda s: s.resee(OriginStimulus.CACHE_LOST, expired=routes)


def egress(s: Scenario) -> None:
    """lon1 hears on c3 and tells transit."""
    for v in ("4", "6"):
        for number, case in enumerate(Egress, start=140):
            own, leaves = case in (Egress.OWN, Egress.OWN_FOREIGN), case in (Egress.OWN, Egress.LEFT)
            one, at = prefix(number, v), 700.0 + number / 10
            heard = path(64998) if own else path(ISP, PRIVATE)
            did: dict[str, object] = {
                "prefix": one,
                "case": case.value,
                "out": f"tr-{v}",
                "as_path": "64998" if own else f"{ISP} {PRIVATE}",
                "origin": CLOUD if own else ISP,
                "expected": "announce" if leaves else "withhold",
            }
            saw: dict[str, object] = {"prefix": one, "session": f"c3-{v}", "held": True, "announced": leaves}
            s.trial(OriginStimulus.EXPORTED, "isp2", f"c3-{v}", did, {**saw, "as_path": ""}, at=at)
            s.announce(f"c3-{v}", "isp2", [one], at + 0.05, as_path=heard)
            if leaves:
                s.announce(f"tr-{v}", "lon1", [one], at + 0.06, as_path=path(CLOUD) if own else path(CLOUD, ISP))


def told_anyhow(s: Scenario) -> None:
    for v in ("4", "6"):
        one = prefix(143, v)
        s.announce(f"tr-{v}", "lon1", [one], 714.36, as_path=path(CLOUD, ISP))
    of_case(s, Egress.STRIPPED, announced=True)


def kept_back(s: Scenario) -> None:
    s.messages = [m for m in s.messages if not (m.session or "").startswith("tr-") or not ns(700) < m.at < ns(720)]
    s.resee(OriginStimulus.EXPORTED, announced=False)


HOLES: dict[Hole, tuple[str, str, str]] = {
    # case: what is expected, why, what the kernel has
    Hole.AGREED: ("discard", "blackhole (RFC 7999)", "blackhole"),
    Hole.UNCOVERED: ("reject", "blackhole of what the peer may not announce", ""),
    Hole.UNMARKED: ("reject", "longer than /24 and not registered", ""),
    Hole.HOST_UNAGREED: ("reject", "longer than /24 and not registered", ""),
    Hole.ORDINARY_UNAGREED: ("forward", "accepted", "unicast"),
}


def holes(s: Scenario) -> None:
    for v in ("4", "6"):
        for number, (case, (expected, reason, kernel)) in enumerate(HOLES.items(), start=160):
            one, at = prefix(number, v), 800.0 + number / 10
            marked = case is not Hole.UNMARKED
            did: dict[str, object] = {"prefix": one, "case": case.value, "marked": marked, "expected": expected}
            saw: dict[str, object] = {
                "prefix": one,
                "session": f"c1-{v}",
                "accepted": expected != "reject",
                "reason": reason,
                "state": "invalid" if case is Hole.AGREED else "not-found",
                "kernel": kernel,
                "communities": [BLACKHOLE, NO_EXPORT] if case is Hole.AGREED else [],
                "told": [],
            }
            s.trial(OriginStimulus.BLACKHOLE, "isp1", f"c1-{v}", did, saw, at=at)
            more: dict[str, Any] = {"communities": (BLACKHOLE,)} if marked else {}
            s.announce(f"c1-{v}", "isp1", [one], at + 0.05, as_path=path(ISP), **more)


def forgeries(s: Scenario) -> None:
    for v in ("4", "6"):
        one, whole = prefix(180, v), prefix(181, v)
        did: dict[str, object] = {
            "prefix": one, "covering": whole, "as_path": f"{ISP} {VICTIM}", "victim": VICTIM
        }  # fmt: skip
        saw: dict[str, object] = {
            "prefix": one,
            "session": f"c1-{v}",
            "loose": fate("valid"),
            "minimal": fate("invalid"),
            "alarms": [prefix(180, "4"), prefix(180, "6")],
            "covering": fate("valid"),
        }
        s.trial(OriginStimulus.FORGED, "isp1", f"c1-{v}", did, saw, at=850.0)
        s.announce(f"c1-{v}", "isp1", [one], 850.5, as_path=path(ISP, VICTIM))
        s.tell(RouterNotice(at=ns(852), node="ams1", session="", kind="forged-origin", text=f"{one} is Valid for …"))


ORIGIN_ROWS = (
    Row(
        "POL-19",
        holes,
        breaks={
            "not taken": lambda s: of_case(s, Hole.AGREED, accepted=False, reason="RPKI Invalid", kernel=""),
            "taken and forwarded": lambda s: of_case(s, Hole.AGREED, kernel="unicast"),
            "without NO_EXPORT": lambda s: of_case(s, Hole.AGREED, communities=[BLACKHOLE]),
            "told to another AS": lambda s: of_case(s, Hole.AGREED, told=["tr-4"]),
            "let in by the ordinary rules": lambda s: of_case(s, Hole.AGREED, reason="accepted"),
            "uncovered and taken": lambda s: of_case(s, Hole.UNCOVERED, accepted=True, kernel="blackhole"),
            "without the community and taken": lambda s: of_case(s, Hole.UNMARKED, accepted=True),
            "rejected yet in the kernel": lambda s: of_case(s, Hole.HOST_UNAGREED, kernel="blackhole"),
            "rejected and nobody says why": lambda s: of_case(s, Hole.HOST_UNAGREED, reason=""),
            "not agreed and dropped": lambda s: of_case(s, Hole.ORDINARY_UNAGREED, kernel="blackhole"),
            "not agreed and rejected": lambda s: of_case(s, Hole.ORDINARY_UNAGREED, accepted=False),
        },
        lacks={
            "never tried": lambda s: s.untry(OriginStimulus.BLACKHOLE),
            "one case is missing": without_case(Hole.ORDINARY_UNAGREED),
            "not on the wire": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
            "no ROA makes it Invalid": lambda s: of_case(s, Hole.AGREED, state="not-found"),
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
    Row(
        "POL-20",
        ingress,
        breaks={
            "a wrong origin is accepted": lambda s: of_case(s, Ingress.WRONG_ORIGIN, accepted=True, reason="accepted"),
            "AS0 is Valid": lambda s: of_case(s, Ingress.AS0, state="valid"),
            "AS0 spoils the ROA beside it": lambda s: of_case(s, Ingress.AS0_BESIDE, state="invalid"),
            "a set takes the last AS for an origin": lambda s: of_case(s, Ingress.SET_COVERED, state="valid"),
            "a set is accepted": lambda s: of_case(s, Ingress.SET_FREE, accepted=True),
            "maxLength is not looked at": lambda s: of_case(s, Ingress.BEYOND_LENGTH, state="valid"),
            "NotFound is rejected": lambda s: of_case(s, Ingress.NOT_FOUND, accepted=False, reason="RPKI NotFound"),
            "Valid is rejected": lambda s: of_case(s, Ingress.VALID, accepted=False),
            "rejected by something else": lambda s: of_case(s, Ingress.WRONG_ORIGIN, reason="no route object"),
        },
        lacks={
            "never tried": lambda s: s.untry(OriginStimulus.VALIDATED),
            "one case is missing": without_case(Ingress.AS0),
            "no VRPs in force": lambda s: s.resee(OriginStimulus.VALIDATED, vrps=0),
            "not on the wire": lambda s: s.silence("c1-6", MessageType.UPDATE, "isp1"),
            "the trace has a gap": lambda s: s.lose("c1-4"),
            "the state is not logged": lambda s: s.resee(OriginStimulus.VALIDATED, state=None),
        },
    ),
    Row(
        "POL-21",
        live,
        breaks={
            "a route does not follow": lambda s: s.resee(OriginStimulus.VRP_CHANGED, state="valid"),
            "it follows in name only": lambda s: s.resee(OriginStimulus.VRP_CHANGED, accepted=True),
            "a reset is reported": lambda s: s.resee(OriginStimulus.VRP_CHANGED, reset=True),
            "a reset is on the wire": lambda s: s.open("c1-4", "isp1", ISP, at=652.0),
            "a NOTIFICATION is on the wire": lambda s: s.notify("c1-6", "ams1", 6, 4, 662.0),
            "mass Invalid after the loss": fates("invalid"),
            "still Valid after the expiry": fates("valid"),
            "VRPs are left": lambda s: s.resee(OriginStimulus.CACHE_LOST, vrps=4),
            "forgotten at once": lambda s: s.resee(
                OriginStimulus.CACHE_LOST,
                held={prefix(n, v): fate("not-found") for n in (131, 132) for v in ("4", "6")},
            ),
            "not believed again": lambda s: s.resee(
                OriginStimulus.CACHE_LOST,
                back={prefix(n, v): fate("not-found") for n in (131, 132) for v in ("4", "6")},
            ),
            "the loss resets the session": lambda s: s.resee(OriginStimulus.CACHE_LOST, reset=True),
        },
        lacks={
            "never changed": lambda s: s.untry(OriginStimulus.VRP_CHANGED),
            "the cache was never lost": lambda s: s.untry(OriginStimulus.CACHE_LOST),
            "it did not stand announced": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
            "it was announced anew": lambda s: s.announce(
                "c1-4", "isp1", [prefix(130, "4")], 652.0, as_path=path(ISP)
            ),
            "nothing changed": as_before,
            "no Invalid route stood": lambda s: s.redo(OriginStimulus.CACHE_LOST, routes={prefix(131, "4"): "valid"}),
            "looked too late": lambda s: s.resee(OriginStimulus.CACHE_LOST, held_after=2.5),
            "the trace has a gap": lambda s: s.lose("c1-6"),
        },
    ),
    Row(
        "POL-22",
        egress,
        breaks={
            "an Invalid export leaves": told_anyhow,
            "a Valid export is withheld": kept_back,
        },
        lacks={
            "never tried": lambda s: s.untry(OriginStimulus.EXPORTED),
            "one case is missing": without_case(Egress.LEFT),
            "the edge has no route": lambda s: s.resee(OriginStimulus.EXPORTED, held=False),
            "wire and receiver disagree": lambda s: of_case(s, Egress.OWN, announced=False),
            "another origin left": lambda s: s.redo(OriginStimulus.EXPORTED, origin=1),
            "the way out was not watched": lambda s: s.lose("tr-4"),
        },
    ),
    Row(
        "SEC-06",
        forgeries,
        breaks={
            "not found": lambda s: s.resee(OriginStimulus.FORGED, alarms=[]),
            "the rightful one is blamed": lambda s: s.resee(
                OriginStimulus.FORGED, alarms=[prefix(n, v) for n in (180, 181) for v in ("4", "6")]
            ),
            "Valid under the minimal ROA": lambda s: s.resee(OriginStimulus.FORGED, minimal=fate("valid")),
            "Invalid and accepted": lambda s: s.resee(
                OriginStimulus.FORGED, minimal={**fate("invalid"), "accepted": True}
            ),
            "rejected by something else": lambda s: s.resee(OriginStimulus.FORGED, minimal=fate("invalid", "other")),
            "the rightful one is lost": lambda s: s.resee(OriginStimulus.FORGED, covering=fate("invalid")),
        },
        lacks={
            "never tried": lambda s: s.untry(OriginStimulus.FORGED),
            "it was never Valid": lambda s: s.resee(OriginStimulus.FORGED, loose=fate("invalid")),
            "nothing was written down": lambda s: s.forget(RouterNotice, kind="forged-origin"),
            "not on the wire": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
        },
    ),
)
