"""BFD in the plan: what differs is changed at the session's end, without a reset."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.config import BfdConfig
from peerlab.controller.plan import ChangeBfd, EndIntent, Intent, View, desired_ends, plan
from peerlab.errors import Unsupported
from peerlab.topology.load import load
from peerlab.topology.model import LabModel, NodeKind

DIRECT = Path(__file__).parents[3] / "topologies" / "direct.yaml"
SESSION = "fab-ams-1--contoso-1.v4"
FAST = BfdConfig(interval_ms=50)


def lab(bfd: BfdConfig | None) -> LabModel:
    model = load(DIRECT)
    sessions = tuple(msgspec.structs.replace(s, bfd=bfd) if s.id == SESSION else s for s in model.sessions)
    return msgspec.structs.replace(model, sessions=sessions)


def view(model: LabModel, bfd: BfdConfig | None) -> View:
    """A lab that is as the model wants it, with this BFD at both ends of the session."""
    ends: dict[str, dict[str, tuple[str, str]]] = {}
    for (node, session), end in desired_ends(model, Intent()).items():
        ends.setdefault(node, {})[session] = (end.import_policy.name, end.export_policy.name)
    return View(
        nodes=frozenset(node.name for node in model.nodes),
        links=frozenset(link.id for link in model.links),
        routers=frozenset(node.name for node in model.nodes if node.is_router),
        ends=ends,
        bfd={} if bfd is None else {(node, SESSION): bfd for node in ("fab-ams-1", "contoso-1")},
    )


@pytest.mark.parametrize(
    ("wanted", "there", "why"),
    [
        (BfdConfig(), None, "in force: no BFD"),
        (None, BfdConfig(), "in force: 300 ms x 3"),
        (FAST, BfdConfig(strict=True), "in force: 300 ms x 3, strict"),
    ],
)
def test_what_differs_is_changed_at_both_ends(wanted: BfdConfig | None, there: BfdConfig | None, why: str) -> None:
    model = lab(wanted)
    steps = plan(model, Intent(), view(model, there))
    assert set(steps) == {ChangeBfd(node=node, session=SESSION, why=why) for node in ("fab-ams-1", "contoso-1")}


@pytest.mark.parametrize("bfd", [None, BfdConfig(), FAST])
def test_nothing_is_done_when_it_is_as_wanted(bfd: BfdConfig | None) -> None:
    model = lab(bfd)
    assert plan(model, Intent(), view(model, bfd)) == ()


@pytest.mark.parametrize("kind", ["frr", "bird"])
def test_a_daemon_without_bfd_refuses_it_by_name_before_anything_is_built(kind: str) -> None:
    model = lab(BfdConfig())
    nodes = tuple(msgspec.structs.replace(n, kind=NodeKind(kind)) if n.name == "contoso-1" else n for n in model.nodes)
    model = msgspec.structs.replace(model, nodes=nodes)
    if kind == "bird":
        assert plan(model, Intent(), view(model, BfdConfig())) == ()
        return
    with pytest.raises(Unsupported, match=f"{SESSION} wants BFD, which a router of kind frr does not do"):
        plan(model, Intent(), View())


def test_an_intent_overrides_the_topology() -> None:
    model = lab(None)
    session = model.session(SESSION)
    names = (session.left.node, session.right.node)
    ends = tuple(
        EndIntent(
            node=node,
            session=SESSION,
            import_policy=model.policies[session.end(node).import_policy],
            export_policy=model.policies[session.end(node).export_policy],
            configuration={"bfd": FAST},
        )
        for node in names
    )
    wanted = desired_ends(model, Intent(ends=ends))
    assert {wanted[node, SESSION].bfd for node in names} == {FAST}
    steps = plan(model, Intent(ends=ends), view(model, None))
    assert {step.node for step in steps if isinstance(step, ChangeBfd)} == set(names)
