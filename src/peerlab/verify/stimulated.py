"""What the rehearsal announced on purpose, so that no check mistakes a stimulus for a fault of the lab."""

from __future__ import annotations

from enum import StrEnum

from peerlab.evidence.story import Stimulus
from peerlab.evidence.story_incident import IncidentStimulus
from peerlab.evidence.story_origin import OriginStimulus
from peerlab.evidence.story_own import OwnStimulus
from peerlab.evidence.story_telemetry import TelemetryStimulus
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import Trial, trials

_ANNOUNCING: tuple[StrEnum, ...] = (
    Stimulus.ANNOUNCED,
    Stimulus.BAD_ADVERTISEMENT,
    Stimulus.LEAK,
    Stimulus.MAX_PREFIX,
    Stimulus.NEW_ANNOUNCEMENT,
    Stimulus.NO_POLICY,
    Stimulus.TIE_BREAK,
    *OriginStimulus,
    *OwnStimulus,
    IncidentStimulus.HIJACKED,
    IncidentStimulus.CLIENT_CONTROL,
    IncidentStimulus.STAGED,
    TelemetryStimulus.ODD_ROUTES,
    TelemetryStimulus.PREFIX_CHANGED,
)


def prefixes_of(trial: Trial) -> tuple[str, ...]:
    """The prefixes a stimulus announced: ``prefixes``, or the one ``prefix``."""
    listed = trial.did.texts("prefixes") or trial.did.texts("offered") or ()
    single = trial.did.text("prefix")
    return listed + ((single,) if single and single not in listed else ())


def stimulated_routes(evidence: Evidence) -> frozenset[tuple[str, str, str]]:
    """(node, session, prefix) of every route that was announced on purpose, past all policy."""
    return frozenset(
        (trial.applied.node, trial.session, prefix)
        for stimulus in _ANNOUNCING
        for trial in trials(evidence, stimulus)
        for prefix in prefixes_of(trial)
    )
