"""The rehearsal: one story, phase by phase, ending in findings.

A phase that fails ends the phases that build on it, never the judgement: what was not seen is INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.prefix_monitor import PrefixMonitor
from peerlab.controller.provision import Provisioner
from peerlab.errors import LabBroken, PeerlabError
from peerlab.evidence.events import PhaseEnded, PhaseStarted
from peerlab.evidence.story import Moment, Phase
from peerlab.runtime.supervisor import SCAPY_TOOLBOX
from peerlab.topology.model import LabModel
from peerlab.verify.evidence import Evidence

Tell = Callable[[str], None]


@dataclass
class Rehearsal:
    """What every phase works with: the lab, Microsoft's desk, and somebody to tell.

    ``model`` is the topology's own; the lab's may hold examiners besides. ``widest`` is the largest model the lab
    had, so that the trace can name every wire of the run. ``monitor`` watches Peering Service prefixes once they are
    activated.
    """

    lab: Lab
    desk: Provisioner
    tell: Tell
    model: LabModel
    widest: LabModel
    broken: set[Phase] = field(default_factory=set)
    monitor: PrefixMonitor = field(init=False)

    def __post_init__(self) -> None:
        self.monitor = PrefixMonitor(self.lab, self.desk)

    @classmethod
    def of(cls, lab: Lab, tell: Tell) -> Rehearsal:
        """A rehearsal of a lab that is up."""
        return cls(lab=lab, desk=Provisioner.of(lab), tell=tell, model=lab.model, widest=lab.model)


Act = Callable[[Rehearsal], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Scene:
    """A phase, what happens in it, what must have gone well before, and what a person is told.

    A scene of the ``conformance`` suite is played on request only: it costs time that every turn-up need not spend.
    """

    phase: Phase
    act: Act
    needs: tuple[Phase, ...]
    title: str
    conformance: bool = False


async def play(rehearsal: Rehearsal, scenes: tuple[Scene, ...]) -> None:
    """Play the scenes in order. A scene whose needs are broken is skipped, with the reason in the event log.

    Raises LabBroken as soon as the lab itself is lost: no scene can be played then.
    """
    try:
        await _play(rehearsal, scenes)
    finally:
        rehearsal.monitor.close()


async def _play(rehearsal: Rehearsal, scenes: tuple[Scene, ...]) -> None:
    for scene in scenes:
        lab = rehearsal.lab
        lab.record(PhaseStarted(at=now_ns(), phase=scene.phase))
        rehearsal.tell(scene.title)
        missing = [phase for phase in scene.needs if phase in rehearsal.broken]
        why = f"needs {', '.join(missing)}, which did not end well" if missing else ""
        if not missing:
            try:
                await lab.while_it_lasts(scene.act(rehearsal))
            except LabBroken:
                raise
            except PeerlabError as error:
                why = str(error)
        if why:
            rehearsal.broken.add(scene.phase)
        lab.record(PhaseEnded(at=now_ns(), phase=scene.phase, ok=not why, why=why))


async def gather_evidence(rehearsal: Rehearsal) -> Evidence:
    """Everything that the checks may look at, as it stands now."""
    lab = rehearsal.lab
    return Evidence(
        model=rehearsal.model,
        events=lab.events,
        trace=await lab.trace(rehearsal.widest),
        snapshots=dict(lab.snapshots),
    )


async def take_baseline(rehearsal: Rehearsal) -> None:
    """The lab before anything is asked of Microsoft; scapy is imported meanwhile, the link test needs it."""
    await rehearsal.lab.runtime.prepare(SCAPY_TOOLBOX)
    await rehearsal.lab.wait_quiet()
    await rehearsal.lab.snapshot(Moment.BASELINE)
