"""The end of the plain story: isp-lon/c3 is drained at 245, removed at 249.5, closed at 250, Active again at 271."""

from __future__ import annotations

from verify_model import C4, C6, CLOUD, CUSTOMER, FAMILIES, ISP, P4, P6, session_id
from verify_packets import stream
from verify_scenario import MAPS, Scenario, ns, path

from peerlab.bgp.attributes import Family
from peerlab.bgp.capability import bgp_role
from peerlab.evidence.events import (
    ConnectionStateChanged,
    PolicyStageChanged,
    SessionStateChanged,
    TransitionRefused,
    ValidationJudged,
)
from peerlab.evidence.story import Stimulus

REASON = "peerlab: peering isp-lon is deprovisioned"
STATES = (
    ("Active", "PendingRemove", 245.0),
    ("PendingRemove", "removed", 249.5),
    ("None", "PendingApproval", 262.0),
    ("PendingApproval", "ProvisioningStarted", 263.0),
    ("ProvisioningStarted", "Validating", 265.0),
    ("Validating", "ProvisioningCompleted", 270.0),
    ("ProvisioningCompleted", "Active", 271.0),
)


def remove_and_return(s: Scenario, rules: tuple[str, ...]) -> None:
    """Deprovision isp-lon and turn it up again."""
    for at, peering in ((3.2, "isp-lon"), (29.3, "isp-ams"), (244.0, "isp-lon")):
        no = {"code": "OperationNotSupported", "message": "not in this state"}
        s.tell(TransitionRefused(at=ns(at), resource=peering, request="DeletePeering", **no))
    for before, after, at in STATES:
        s.tell(
            ConnectionStateChanged(
                at=ns(at),
                peering="isp-lon",
                connection="c3",
                before=before,
                after=after,
                trigger="story",
                actor="Microsoft",
            )
        )
    for rule in rules:
        s.tell(ValidationJudged(at=ns(269.0), subject="isp-lon/c3", rule=rule, passed=True))
    sessions = tuple(session_id("c3", family) for family in FAMILIES)
    for stage, at in (("deny", 264.0), ("allow", 271.5)):
        s.tell(PolicyStageChanged(at=ns(at), node="lon1", sessions=sessions, stage=stage))
    stream(s, "drain", 0, 255.0)
    for family, told, own in ((Family.IPV4, P4, C4), (Family.IPV6, P6, C6)):
        session = s.model.session(session_id("c3", family))
        did: dict[str, object] = {"session": session.id, "stream": "drain"}
        s.trial(
            Stimulus.DRAIN, "lon1", session.id, did, {"session": session.id, "packets_after": 0}, at=246.0, until=249.0
        )
        s.notify(session.id, "lon1", 6, 3, 250.0, bytes([len(REASON)]) + REASON.encode())
        for step, end in enumerate((session.left, session.right)):
            extra = () if end.role is None else (bgp_role(end.role),)
            s.open(session.id, end.node, end.asn, 266.0 + step / 100, session.hold_time, family, extra)
            s.keepalive(session.id, end.node, 266.05 + step / 100)
            for before, after, at in (("Established", "Idle", 250.01), ("Idle", "Established", 266.08)):
                s.tell(SessionStateChanged(at=ns(at), node=end.node, session=session.id, before=before, after=after))
        s.announce(session.id, "isp2", [told], 267.0, as_path=path(ISP, CUSTOMER), communities=(MAPS,), otc=ISP)
        s.announce(session.id, "lon1", [own], 272.0, as_path=path(CLOUD), otc=CLOUD)
