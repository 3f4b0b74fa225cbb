"""Judge of what is left after a failover (FLV-13): the load has to fit the connections that survive."""

from __future__ import annotations

from peerlab.evidence.events import FaultCleared, FaultInjected
from peerlab.evidence.story import Stimulus
from peerlab.topology.model import LabModel
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.failover_locations import no_backup, no_second_link
from peerlab.verify.reading import Trial, answered, events

FULL = 1.0
UPGRADE = 0.5
"""Part of a connection's bandwidth at whose peak Microsoft wants more of it (policy.md)."""
SEEN = 0.8
"""Part of the load that counters have to show: less, and something else was measured."""


def no_survivor(model: LabModel) -> str | None:
    """Why no connection is left to carry what another one carried."""
    reason = no_second_link(model)
    return reason if reason is None or no_backup(model) is not None else None


def judge_survivor_capacity(evidence: Evidence) -> Judgement:
    docket = Docket()
    busiest: list[tuple[float, str]] = []
    for trial in answered(evidence, docket, Stimulus.SURVIVOR_LOAD, "carried_mbps"):
        busiest += _judge(evidence, docket, trial)
    share, link = max(busiest, default=(0.0, "none"))
    warning = f", over the {UPGRADE:.0%} at which Microsoft wants an upgrade" if share > UPGRADE else ""
    return docket.close(f"the busiest survivor, {link}, carries {share:.0%} of its bandwidth{warning}")


def _judge(evidence: Evidence, docket: Docket, trial: Trial) -> list[tuple[float, str]]:
    """Judge one failure; which part of its bandwidth each survivor carried."""
    where = trial.did.text("trial") or trial.where
    offered, scale = trial.did.number("offered_mbps"), trial.did.number("scale")
    bandwidths = _figures(trial.did.table("bandwidth_mbps"))
    before, after = _figures(trial.did.table("carried_mbps")), _figures(trial.saw.table("carried_mbps"))
    if not offered or not scale or not bandwidths or not set(bandwidths) <= set(before) & set(after):
        docket.lacks(f"{where}: load, bandwidths or counters of a connection are not logged")
        return []
    lost = [link for link in bandwidths if _is_down(evidence, link, trial)]
    moved = sum(before[link] for link in lost)
    if not lost:
        docket.lacks(f"{where}: the log does not show a connection being lost under the load")
    elif sum(before.values()) < SEEN * offered:
        docket.lacks(f"{where}: counters showed {sum(before.values()):.1f} of {offered:.1f} Mbit/s before the loss")
    elif moved < (1 - SEEN) * offered:
        docket.lacks(f"{where}: the lost connections carried {moved:.1f} of {offered:.1f} Mbit/s, nothing had to move")
    else:
        total = sum(after[link] for link in bandwidths if link not in lost)
        if total < SEEN * offered:
            what = f"survivors carry {total:.1f} of {offered:.1f} Mbit/s: the load did not move to them"
            docket.breaks(trial.until, where, what)
        left = {link: bandwidth / scale for link, bandwidth in bandwidths.items() if link not in lost}
        return [_share(docket, trial, link, after[link], capacity) for link, capacity in left.items()]
    return []


def _share(docket: Docket, trial: Trial, link: str, carried: float, capacity: float) -> tuple[float, str]:
    share = carried / capacity
    what = f"{carried:.1f} of {capacity:g} Mbit/s, {share:.0%}"
    where = f"{link} ({trial.did.text('trial')})"
    if share > FULL:
        docket.breaks(trial.until, where, f"{what}: the load does not fit")
    else:
        docket.proves(trial.until, where, what + (f", more than {UPGRADE:.0%}" if share > UPGRADE else ""))
    return share, link


def _figures(table: dict[str, object] | None) -> dict[str, float]:
    return {key: float(value) for key, value in (table or {}).items() if isinstance(value, int | float)}


def _is_down(evidence: Evidence, link: str, trial: Trial) -> bool:
    """Whether a link was taken down under the load and was still down at its end."""
    down = [e.at for e in events(evidence, FaultInjected, trial.at, trial.until) if e.target == link]
    up = [e.at for e in events(evidence, FaultCleared, trial.at, trial.until) if e.target == link]
    return bool(down) and max(down) > max(up, default=0)
