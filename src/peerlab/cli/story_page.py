"""``docs/rehearsal.md``: what a rehearsal does and when, its tables generated from the story's own words."""

from __future__ import annotations

import ast
import inspect
import re
from enum import StrEnum

from peerlab.controller.rehearsal import Scene
from peerlab.controller.storyline import SCENES
from peerlab.evidence.story import Moment, Phase, Stimulus
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.evidence.story_incident import IncidentStimulus
from peerlab.evidence.story_liveness import LivenessStimulus
from peerlab.evidence.story_origin import OriginStimulus
from peerlab.evidence.story_quarantine import QuarantineStimulus
from peerlab.evidence.story_restart import RestartStimulus
from peerlab.evidence.story_telemetry import TelemetryStimulus

STIMULI: tuple[type[StrEnum], ...] = (
    Stimulus,
    QuarantineStimulus,
    HostileStimulus,
    OriginStimulus,
    IncidentStimulus,
    LivenessStimulus,
    RestartStimulus,
    TelemetryStimulus,
)
"""Every vocabulary of stimuli: that of the story, then one per scene of the conformance suite."""

_HEAD = """# The rehearsal

Generated from `peerlab.controller.storyline` and `peerlab.evidence.story`; `make golden` writes it anew.

`peerlab rehearse topologies/X.yaml` builds a lab, plays one story on it, and judges what was seen. The story is that
of a real peering turn-up with Microsoft (AS8075): the peer asks, Microsoft approves, the link is tested, BGP comes up
while everything is denied, validation runs end to end, the policy opens, packets flow; then things are broken, one
after the other, and mended; in the end a peering is drained, removed and turned up again from zero.

Three kinds of witnesses write down what happens, none of which judges:

- the **event log** (`events.jsonl`): what the controller did and what the routers told, with nanosecond times;
- the **capture** (`trace.pcapng`): every BGP message of every session, taken from the wires with one clock;
- **snapshots** (`snapshots/`): sessions, RIBs, kernel routes, addresses and carriers of every node at a named moment.

When the story is over, the [checks](checks.md) judge these three and the topology, and nothing else. A phase that
does not end well ends those that build on it; what was not seen then is INCONCLUSIVE, never PASS. A rehearsal whose
controller is killed goes on with `--resume` from the event log; the routers have not noticed.

For what must go wrong, **examiners** come up: routers of an AS of their own, on wires of their own beside the peer's.
They open with the wrong AS, with MD5 on one side only, with a low TTL, with roles that do not fit; they announce
bogons, default routes, paths too long, prefixes nobody registered, until the limit of prefixes is passed. The peer's
own sessions must not notice.
"""


def rehearsal_page() -> str:
    """The page. A golden test holds the file against this text."""
    moments = _described(Moment)
    stimuli = {word: sentence for words in STIMULI for word, sentence in _described(words).items()}
    parts = [
        _HEAD,
        "## Phases\n",
        "| phase | what happens | needs |\n|---|---|---|",
        *(_row(scene) for scene in SCENES),
        f"| `{Phase.VERDICT}` | the checks judge the evidence | nothing |",
        "\n## Moments\n",
        "Snapshots of the whole lab that the phases take.\n",
        "| moment | what holds then |\n|---|---|",
        *(f"| `{moment}` | {moments[moment]} |" for moment in Moment),
        "\n## Stimuli\n",
        "What the rehearsal does on purpose so that a check can see an answer. Each is in the event log when it is "
        "applied and, where an answer was waited for, when it was observed.\n",
        "| stimulus | what is done |\n|---|---|",
        *(f"| `{stimulus}` | {stimuli[stimulus]} |" for words in STIMULI for stimulus in words),
    ]
    return "\n".join(parts) + "\n"


def _row(scene: Scene) -> str:
    asked = " (with `--conformance`)" if scene.conformance else ""
    needs = ", ".join(f"`{need}`" for need in scene.needs) or "nothing"
    return f"| `{scene.phase}` | {scene.title}{asked} | {needs} |"


def _described(words: type[StrEnum]) -> dict[str, str]:
    """The sentence under each word of an enumeration, without the fields that its events carry."""
    (body,) = ast.parse(inspect.getsource(words)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for word, told in zip(body.body, body.body[1:], strict=False):
        match word, told:
            case ast.Assign(value=ast.Constant(value=str(name))), ast.Expr(value=ast.Constant(value=str(text))):
                sentence = re.split(r"\s(?:applied|observed|node=|[Nn]ode\b.*=)", " ".join(text.split()))[0]
                found[name] = sentence.strip().replace("|", "\\|")
    return found
