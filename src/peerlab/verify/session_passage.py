"""Judge of the way between a peer and the cloud: nothing stateful, no policer on it (SES-18)."""

from __future__ import annotations

from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.topology.model import LabModel, NodeKind
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import answered
from peerlab.verify.subject import FAMILIES, connection_sessions

LOST_AT_MOST = 0.005
"""Share of a stream that may be missing: a policer takes more than that of a burst of a second."""
AT_LEAST_MBPS = 40.0


def no_hosts(model: LabModel) -> str | None:
    """Why no packets go both ways over a peering."""
    if not connection_sessions(model):
        return "this lab asks for no Microsoft.Peering connection"
    hosts = {node.as_name for node in model.nodes if node.kind is NodeKind.HOST}
    cloud = model.cloud()
    if cloud is None or cloud.name not in hosts or len(hosts) < 2:
        return "this lab has no hosts on both sides of the peering"
    return None


def judge_passage(evidence: Evidence) -> Judgement:
    docket = Docket()
    ways: dict[HostileStimulus, set[tuple[str, str]]] = {}
    for trial in answered(evidence, docket, HostileStimulus.MID_STREAM, "arrived", "missed"):
        where, each = trial.did.text("trial"), trial.did.count("each")
        arrived, kinds = trial.saw.table("arrived") or {}, trial.did.texts("kinds") or ()
        if trial.saw.count("missed") != 0:
            docket.lacks(f"{where}: the watcher could not see every frame")
        elif not each or not kinds:
            docket.lacks(f"{where}: the log does not say what was sent")
        else:
            stopped = [kind for kind in kinds if arrived.get(kind) != each]
            for kind in stopped:
                docket.breaks(trial.until, where, f"{kind}: {arrived.get(kind, 0)} of {each} segments arrived")
            if not stopped:
                ways.setdefault(HostileStimulus.MID_STREAM, set()).add(_way(where))
                docket.proves(trial.until, where, f"all of {each} each of: {', '.join(kinds)}")
    for trial in answered(evidence, docket, HostileStimulus.RATE_TEST, "sent", "received", "overflowed"):
        where, rate = trial.did.text("trial"), trial.did.number("mbps") or 0.0
        sent, received = trial.saw.count("sent") or 0, trial.saw.count("received") or 0
        if trial.saw.count("overflowed") != 0:
            docket.lacks(f"{where}: the receiver itself could not keep up")
        elif not sent or rate < AT_LEAST_MBPS:
            docket.lacks(f"{where}: no stream of at least {AT_LEAST_MBPS:g} Mbit/s was sent")
        elif received < sent * (1 - LOST_AT_MOST):
            docket.breaks(trial.until, where, f"{received} of {sent} datagrams arrived at {rate:.0f} Mbit/s")
        else:
            ways.setdefault(HostileStimulus.RATE_TEST, set()).add(_way(where))
            docket.proves(trial.until, where, f"{received} of {sent} datagrams arrived at {rate:.0f} Mbit/s")
    for stimulus in (HostileStimulus.MID_STREAM, HostileStimulus.RATE_TEST):
        if docket.is_clean and len(ways.get(stimulus, ())) < 2 * len(FAMILIES):
            docket.lacks(f"{stimulus.value} was not shown both ways in each family")
    return docket.close("segments in mid-stream and one-way flows pass both ways, and nothing limits the rate")


def _way(trial: str) -> tuple[str, str]:
    """Sender and receiver, and the family, of a trial's name."""
    pair, _, family = trial.rpartition(" ")
    return pair, family
