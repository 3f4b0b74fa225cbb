"""SEC-04: what isp1 announces to ams1 on c1 that belongs to others (500 s of the story)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from verify_model import ISP, P4
from verify_row import Row
from verify_scenario import Scenario, ns, path

from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import PrefixEventRaised, StimulusApplied, StimulusObserved
from peerlab.evidence.story_incident import GUARDED, OPEN, Hijack, IncidentStimulus

PART = "203.0.113.0/26"
HIJACKED = IncidentStimulus.HIJACKED


def hijacks(s: Scenario) -> None:
    """Every guarded case is rejected; what nothing filters, of the customer's prefix, is told half a second later."""
    for number, case in enumerate((*GUARDED, *OPEN)):
        for v in ("4", "6") if case in GUARDED else ("4",):
            at = 500.0 + 5 * number
            one = f"198.51.{200 + number}.0/24" if v == "4" else f"2001:db8:{200 + number:x}00::/48"
            victim = one
            if case in OPEN:
                victim, one = P4, P4 if case is Hijack.OPEN_EXACT else PART
            did: dict[str, object] = {
                "trial": f"{case} {one}",
                "case": case.value,
                "prefix": one,
                "victim": victim,
                "as_path": str(ISP),
                "guarded": case in GUARDED,
            }
            saw: dict[str, object] = {"accepted": case in OPEN, "reason": "no filter" if case in OPEN else "not yours"}
            answer = {"trial": did["trial"], "session": f"c1-{v}", "prefix": one, **saw}
            s.trial(HIJACKED, "isp1", f"c1-{v}", did, answer, at=at, until=at + 2)
            s.announce(f"c1-{v}", "isp1", [one], at + 0.1, as_path=path(ISP))
            if case in OPEN:
                s.tell(
                    PrefixEventRaised(
                        at=ns(at + 0.6),
                        name="key",
                        prefix=victim,
                        kind="PrefixOriginAsChangeEvent",
                        level="Critical",
                        summary="hijack",
                        node="ams1",
                        session="c1-4",
                        origin=ISP,
                        alarm="hijack",
                        caused_at=ns(at + 0.1),
                        announced="" if one == victim else one,
                    )
                )


def of_case(case: Hijack, **saw: object) -> Callable[[Scenario], None]:
    """Change what was observed of a case."""

    def change(s: Scenario) -> None:
        trials = {e.detail["trial"] for e in s.events if isinstance(e, StimulusApplied) and e.detail.get("case") == case}
        hit = False
        for i, event in enumerate(s.events):
            if isinstance(event, StimulusObserved) and event.detail.get("trial") in trials:
                s.events[i] = msgspec.structs.replace(event, detail={**event.detail, **saw})
                hit = True
        assert hit, f"no trial of {case}"

    return change


def without(case: Hijack) -> Callable[[Scenario], None]:
    """The case was never tried."""

    def change(s: Scenario) -> None:
        before = len(s.events)
        s.events = [e for e in s.events if not (isinstance(e, StimulusApplied) and e.detail.get("case") == case)]
        assert len(s.events) < before

    return change


INCIDENT_ROWS = (
    Row(
        "SEC-04",
        hijacks,
        breaks={
            "E1 gets in": of_case(Hijack.SPECIFIC, accepted=True),
            "E5 gets in": of_case(Hijack.CLOUD, accepted=True),
            "E6 gets in": of_case(Hijack.HALVES, accepted=True),
            "nobody says why": of_case(Hijack.EXACT, reason=""),
            "no event of the exact one": lambda s: s.forget(PrefixEventRaised, announced=""),
            "no event of the more-specific": lambda s: s.forget(PrefixEventRaised, announced=PART),
            "no alarm but a warning": lambda s: s.amend(PrefixEventRaised, {}, level="Warning"),
            "told of another session": lambda s: s.amend(PrefixEventRaised, {}, session="c2-4"),
            "told of another origin": lambda s: s.amend(PrefixEventRaised, {}, origin=1),
            "told before it happened": lambda s: s.amend(PrefixEventRaised, {}, at=ns(499)),
            "told too late": lambda s: s.amend(PrefixEventRaised, {}, at=ns(600)),
        },
        lacks={
            "never tried": lambda s: s.untry(HIJACKED),
            "E5 is missing": without(Hijack.CLOUD),
            "nothing unfiltered was tried": without(Hijack.OPEN_SPECIFIC),
            "not on the wire": lambda s: s.silence("c1-6", MessageType.UPDATE, "isp1"),
            "the trace has a gap": lambda s: s.lose("c1-4"),
            "the verdict is not logged": lambda s: s.resee(HIJACKED, accepted=None),
        },
    ),
)
