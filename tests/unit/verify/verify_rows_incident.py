"""SEC-04: what isp1 announces to ams1 on c1 that belongs to others (500 s of the story). POL-25: what it asks rs1 for
on mb (550 s); transit and lon1 stand for clients, the one with a 2-octet AS number and the one with 4 octets."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from verify_model import CLOUD, ISP, MEMBER, P4, lab
from verify_row import Row
from verify_scenario import Scenario, ns, path

from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import PrefixEventRaised, StimulusApplied, StimulusObserved
from peerlab.evidence.story_incident import GUARDED, OPEN, Control, Hijack, IncidentStimulus, Spoof

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


def of_case(case: Hijack | Control | Spoof, **saw: object) -> Callable[[Scenario], None]:
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


def without(case: Hijack | Control | Spoof) -> Callable[[Scenario], None]:
    """The case was never tried."""

    def change(s: Scenario) -> None:
        before = len(s.events)
        s.events = [e for e in s.events if not (isinstance(e, StimulusApplied) and e.detail.get("case") == case)]
        assert len(s.events) < before

    return change


CONTROL = IncidentStimulus.CLIENT_CONTROL
OWN = "65500:0:64499"


def control(s: Scenario) -> None:
    """The member announces, rs1 tells ams1 (on c4) and the member's other session what was asked for."""
    for number, case in enumerate(Control):
        for v in ("4", "6"):
            for place, asn in enumerate((64499, 65541)):
                at = 550.0 + 4 * number + 2 * place
                one = f"198.51.{220 + number}.0/24" if v == "4" else f"2001:db8:{220 + number:x}00::/48"
                expected = "" if case in (Control.NOT_TO, Control.TO_NOBODY) else str(MEMBER)
                did: dict[str, object] = {
                    "trial": f"{asn} {number}",
                    "case": case.value,
                    "prefix": one,
                    "as_path": str(MEMBER),
                    "communities": [OWN],
                    "server": "rs1",
                    "client": f"c4-{v}",
                    "client_as": asn,
                    "expected": expected,
                }
                answer: dict[str, object] = {
                    "trial": f"{asn} {number}", "session": f"mb-{v}", "prefix": one, "told": expected, "communities": []
                }  # fmt: skip
                s.trial(CONTROL, "member", f"mb-{v}", did, answer, at=at, until=at + 1)
                s.announce(f"mb-{v}", "member", [one], at + 0.1, as_path=path(MEMBER))
                if expected:
                    s.announce(f"c4-{v}", "rs1", [one], at + 0.2, as_path=path(MEMBER))


def told_anyhow(s: Scenario) -> None:
    """What was to be kept from the client is on its wire."""
    s.announce("c4-4", "rs1", ["198.51.221.0/24"], 554.5, as_path=path(MEMBER))
    of_case(Control.NOT_TO, told=str(MEMBER))(s)


def hidden(s: Scenario) -> None:
    """Neither the wire nor the client has the second path."""
    first = 220 + list(Control).index(Control.HIDDEN)
    for v, one in (("4", f"198.51.{first}.0/24"), ("6", f"2001:db8:{first:x}00::/48")):
        for at in (570.5, 572.5):
            s.withdraw(f"c4-{v}", "rs1", [one], at)
    of_case(Control.HIDDEN, told="")(s)


SPOOFED = IncidentStimulus.SPOOFED
ENTRANCES = sorted(
    {(end.node, str(end.interface)) for session in lab().sessions if session.connection for end in (session.left,
     session.right) if end.asn == CLOUD}
)  # fmt: skip


def spoofs(s: Scenario) -> None:
    """Three packets of every kind at every peering interface; only the peer's own arrive."""
    for edge, interface in ENTRANCES:
        for number, case in enumerate(Spoof):
            for source in (f"198.51.100.{number}", f"2001:db8:99::{number:x}"):
                trial = f"{edge}/{interface} {case} {source}"
                did: dict[str, object] = {
                    "trial": trial,
                    "edge": edge,
                    "interface": interface,
                    "case": case.value,
                    "source": source,
                    "destination": "192.0.2.99",
                    "sent": 3,
                }
                saw: dict[str, object] = {"trial": trial, "entered": 3, "arrived": 3 if case is Spoof.OWN else 0}
                s.trial(SPOOFED, "isp1", "", did, saw, at=580.0, until=582.0)


INCIDENT_ROWS = (
    Row(
        "SEC-03",
        spoofs,
        breaks={
            "a bogon gets through": of_case(Spoof.BOGON, arrived=3),
            "one packet of the cloud's own gets through": of_case(Spoof.CLOUD, arrived=1),
            "what nobody announces gets through": of_case(Spoof.NOBODY, arrived=3),
            "another AS's source gets through": of_case(Spoof.OTHER, arrived=3),
            "the peer's own packets are dropped": of_case(Spoof.OWN, arrived=0),
        },
        lacks={
            "never tried": lambda s: s.untry(SPOOFED),
            "no bogon was tried": without(Spoof.BOGON),
            "nothing that may pass was tried": without(Spoof.OWN),
            "one edge was not tried": lambda s: s.redo(SPOOFED, edge="ams1"),
            "the packets did not even come in": of_case(Spoof.BOGON, entered=0),
            "nobody counted": lambda s: s.resee(SPOOFED, arrived=None),
        },
    ),
    Row(
        "POL-25",
        control,
        breaks={
            "told although it was to be kept back": told_anyhow,
            "the second path is hidden": hidden,
            "not prepended": lambda s: s.redo(CONTROL, expected=f"{MEMBER} {MEMBER}"),
            "the control community goes on": of_case(Control.PREPEND, communities=[OWN]),
        },
        lacks={
            "never tried": lambda s: s.untry(CONTROL),
            "no prepending was asked for": without(Control.PREPEND),
            "only clients with 2 octets": lambda s: s.redo(CONTROL, client_as=64499),
            "wire and client disagree": of_case(Control.PLAIN, told="1 2"),
            "not on the wire": lambda s: s.silence("mb-6", MessageType.UPDATE, "member"),
            "the client's wire has a gap": lambda s: s.lose("c4-4"),
            "what it was told is not logged": lambda s: s.resee(CONTROL, told=None),
        },
    ),
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
