"""The storyline: every scene of a rehearsal in order, and the verdict at its end."""

from __future__ import annotations

from peerlab.controller import (
    deprovision,
    examination,
    failover,
    hostile,
    incident_scene,
    link_test,
    liveness,
    origin,
    peering_service,
    policy_stimulus,
    quarantine,
    restart,
    telemetry,
    turn_up,
)
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.rehearsal import Rehearsal, Scene, Tell, gather_evidence, play, take_baseline
from peerlab.evidence.events import PhaseEnded, PhaseStarted
from peerlab.evidence.story import Phase
from peerlab.verify.catalogue import judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding

SCENES: tuple[Scene, ...] = (
    Scene(Phase.BUILD, take_baseline, (), "the lab stands; nothing is asked of Microsoft yet"),
    Scene(Phase.REQUEST, turn_up.request, (Phase.BUILD,), "PeerAsn, peerings, approval, LOA"),
    Scene(
        Phase.QUARANTINE,
        quarantine.quarantine,
        (Phase.BUILD,),
        "every port is watched and tried before BGP may speak",
        conformance=True,
    ),
    Scene(Phase.LINK_TEST, link_test.link_test, (Phase.REQUEST,), "link test in 169.254.0.0/16"),
    Scene(Phase.DENY, turn_up.deny, (Phase.LINK_TEST,), "sessions come up under DENY ALL"),
    Scene(Phase.VALIDATE, turn_up.validate, (Phase.DENY,), "end-to-end validation"),
    Scene(Phase.ALLOW, turn_up.allow, (Phase.VALIDATE,), "DENY ALL is replaced: routes and packets flow"),
    Scene(Phase.SESSION, examination.examine, (Phase.ALLOW,), "an examiner says all that must be refused"),
    Scene(
        Phase.HOSTILE, hostile.attack, (Phase.ALLOW,), "attackers do what no honest peer would", conformance=True
    ),
    Scene(Phase.POLICY, policy_stimulus.announce_all, (Phase.ALLOW,), "whatever a peer may not announce is announced"),
    Scene(
        Phase.ORIGIN, origin.validate_origins, (Phase.ALLOW,),
        "ROAs come and go, their cache is lost, an origin is forged, a host is blackholed", conformance=True,
    ),
    Scene(Phase.ROUTING, peering_service.routing, (Phase.ALLOW,), "prefix keys, activation, cold potato, control runs"),
    Scene(
        Phase.INCIDENT,
        incident_scene.incidents,
        (Phase.ALLOW,),
        "prefixes are hijacked, sources are spoofed, clients command a route server",
        conformance=True,
    ),
    Scene(
        Phase.LIVENESS,
        liveness.watch_over,
        (Phase.ALLOW,),
        "BFD: no route before it is Up, AdminDown, paths that fail in one direction",
        conformance=True,
    ),
    Scene(Phase.FAILOVER, failover.failover, (Phase.ALLOW,), "links, locations and sessions are lost, and come back"),
    Scene(
        Phase.RESTART,
        restart.restart,
        (Phase.ALLOW,),
        "route servers and routers end and come back while packets run",
        conformance=True,
    ),
    Scene(
        Phase.TELEMETRY,
        telemetry.telemetry,
        (Phase.ALLOW,),
        "a customer's prefix is withdrawn, hijacked and leaked; Microsoft is asked what it knows",
        conformance=True,
    ),
    Scene(
        Phase.DEPROVISION, deprovision.deprovision, (Phase.ALLOW,), "one peering is drained, removed, turned up again"
    ),
)


def scenes(conformance: bool) -> tuple[Scene, ...]:
    """The scenes of a rehearsal, those of the conformance suite only on request."""
    return tuple(scene for scene in SCENES if conformance or not scene.conformance)


async def rehearse(lab: Lab, tell: Tell, conformance: bool = False) -> tuple[Evidence, tuple[Finding, ...]]:
    """Play the whole story on a lab that is up and judge it. Returns the evidence and every finding."""
    rehearsal = Rehearsal.of(lab, tell)
    await play(rehearsal, scenes(conformance))
    lab.record(PhaseStarted(at=now_ns(), phase=Phase.VERDICT))
    evidence = await gather_evidence(rehearsal)
    findings = judge_all(evidence)
    lab.record(PhaseEnded(at=now_ns(), phase=Phase.VERDICT, ok=True))
    return evidence, findings
