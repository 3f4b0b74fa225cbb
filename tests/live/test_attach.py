"""kill -9 of the controller: the routers do not notice, and a new controller carries on from the event log."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from product import ROOT, WITHIN, Product, product, until

from peerlab.bgp.attributes import Family
from peerlab.bgp.wire import MessageType
from peerlab.controller import fault, probing
from peerlab.controller.attached import attach_desk
from peerlab.controller.lab import Lab, now_ns
from peerlab.controller.rehearsal import play
from peerlab.controller.resumption import remaining, take_up
from peerlab.controller.turn_up import connections
from peerlab.evidence.events import (
    Event,
    FaultInjected,
    LinkTested,
    PhaseEnded,
    PhaseStarted,
    PolicyStageChanged,
    SessionStateChanged,
)
from peerlab.evidence.snapshot import Snapshot
from peerlab.evidence.story import Phase
from peerlab.peering.enums import ConnectionState
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.model import PolicyStage

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

TOPOLOGIES = ROOT / "topologies"
TURN_UP = (Phase.BUILD, Phase.REQUEST, Phase.LINK_TEST, Phase.DENY, Phase.VALIDATE, Phase.ALLOW)


@pytest.fixture
def peerlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Product]:
    with product(tmp_path) as made:
        monkeypatch.setenv("PEERLAB_STATE", str(made.state))
        yield made


def play_story(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 2 * WITHIN))


def killed_at(peerlab: Product, topology: str, phase: str, moment: Callable[[Event], bool]) -> str:
    """A lab whose rehearsal was killed at that moment of that phase."""
    name = peerlab.name()
    controller = peerlab.start("rehearse", TOPOLOGIES / topology, "--name", name, "--keep")
    peerlab.wait_for(name, moment, f"the moment in {phase}", phase)
    controller.kill()
    controller.communicate(timeout=WITHIN)
    return name


CONTROLLER = """
import asyncio, sys
from pathlib import Path
from peerlab.controller.lab import Lab
from peerlab.controller.rehearsal import Rehearsal, play
from peerlab.controller.storyline import SCENES
from peerlab.topology.load import load

async def main(topology, name, phases):
    lab = await Lab.up(load(Path(topology)), Path(topology).read_text(), name)
    await play(Rehearsal.of(lab, lambda _: None), tuple(scene for scene in SCENES if scene.phase in phases))
    await lab.wait_quiet()
    await lab.snapshot("at-rest")
    print("turned up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
"""
"""A controller that turns a lab up and then stays, so that it can be killed at rest."""


def turned_up_and_killed(peerlab: Product, topology: str) -> str:
    """A lab whose connections are Active and whose controller was killed after that."""
    name = peerlab.name()
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(TOPOLOGIES / topology), name, *TURN_UP],
        env=peerlab.surroundings(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert controller.stdout is not None and controller.stdout.readline() == "turned up\n"
    controller.kill()
    controller.communicate(timeout=WITHIN)
    return name


def kind(of: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, of)


def ended(phase: Phase) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, PhaseEnded) and event.phase == phase


def held_in(seen: Snapshot) -> dict[str, object]:
    """What must not change by itself: since when each session is up, and every best route, in RIB and kernel."""
    return {
        node: (
            sorted((fact.session, fact.state, fact.since, fact.flaps) for fact in facts.sessions),
            sorted((route.prefix, route.session or "") for route in facts.loc_rib if route.best),
            sorted((route.prefix, route.gateway or "") for route in facts.kernel),
        )
        for node, facts in seen.nodes.items()
    }


def test_routers_do_not_notice_that_their_controller_was_killed(peerlab: Product) -> None:
    """Sessions, RIBs and packets stay; the log is whole; the new controller finds nothing to do and says so."""
    name = turned_up_and_killed(peerlab, "direct.yaml")

    async def story() -> None:
        began = now_ns()
        desk = await attach_desk(name)
        lab = desk.lab
        try:
            at_rest = lab.snapshots["at-rest"]
            now = await lab.look()
            assert held_in(now) == held_in(at_rest)
            assert all(fact.state == "Established" for node in now.nodes.values() for fact in node.sessions)
            assert await lab.plan() == ()
            for family in Family:
                answer = await probing.ping(lab, "after the kill", "contoso-pc", "svc-ams", family)
                assert answer.received == answer.sent
            await lab.tap.flush()
            trace = await lab.trace()
            since = [m for m in trace.messages if m.at >= at_rest.at and m.kind != MessageType.KEEPALIVE]
            assert since == []
            assert [step for step in trace.steps if step.at >= at_rest.at] == []
            assert lab.events[-1].at >= began  # the ping: the same log goes on
        finally:
            await lab.close()

    play_story(story)
    assert peerlab.ok("plan", TOPOLOGIES / "direct.yaml", "--lab", name) == "nothing to do\n"
    assert peerlab.ok("down", name) == f"lab {name} is down\n"


MOMENTS = [
    # PeerAsn, peering or approval may be there or not
    pytest.param("request", kind(PhaseStarted), id="request"),
    # test addresses are on the interfaces
    pytest.param("link-test", kind(LinkTested), id="link test"),
    # sessions are ordered, some are up
    pytest.param("deny", kind(SessionStateChanged), id="deny"),
    # between DENY and ALLOW
    pytest.param("deny", ended(Phase.DENY), id="before validation"),
    # validated, and nothing opened yet or all of it
    pytest.param("allow", kind(PhaseStarted), id="before ALLOW"),
    # opened, and not yet proven
    pytest.param("allow", kind(PolicyStageChanged), id="after ALLOW"),
]


@pytest.mark.parametrize(("phase", "moment"), MOMENTS)
def test_a_new_controller_brings_the_turn_up_to_active(
    peerlab: Product, phase: str, moment: Callable[[Event], bool]
) -> None:
    name = killed_at(peerlab, "minimal.yaml", phase, moment)
    before = peerlab.events(name)

    async def story() -> None:
        rehearsal = await take_up(name, lambda _: None)
        lab, desk = rehearsal.lab, rehearsal.desk
        try:
            await play(rehearsal, tuple(scene for scene in remaining(rehearsal) if scene.phase in TURN_UP))
            assert rehearsal.broken == set()
            events = lab.events
            assert events[: len(before)] == before
            for peering, connection in connections(rehearsal):
                record = desk.connection(peering.name, connection.name)
                assert record is not None
                assert (record.state, record.stage) == (ConnectionState.ACTIVE, PolicyStage.ALLOW)
                assert record.link_test is None or record.link_test.passed
            assert {edge.stage for edge in desk.edges()} == {PolicyStage.ALLOW}
            assert await lab.plan() == ()
            addresses = await lab.runtime.addresses("ams-edge-1")
            assert not [held for held in addresses if held.address.startswith("169.254.")]
            answer = await probing.ping(lab, "carried on", "fab-pc", "svc-ams", Family.IPV4)
            assert answer.received == answer.sent
            # Each phase of the turn-up has ended well, once, whoever played it.
            well = [event.phase for event in events if isinstance(event, PhaseEnded) and event.ok]
            assert well == list(TURN_UP)
        finally:
            await lab.close()

    play_story(story)


def test_resume_mends_what_a_fault_had_broken_and_ends_in_verdicts(peerlab: Product) -> None:
    """Killed with a link down: the link comes back, the failover counts as not seen, the rest is played."""
    name = killed_at(peerlab, "minimal.yaml", "failover", kind(FaultInjected))
    done = peerlab.run("rehearse", TOPOLOGIES / "minimal.yaml", "--name", name, "--resume", "--keep", within=60)
    assert done.stderr == ""
    assert "its controller ended in the middle of it; it is not played again" in done.stdout
    assert "the verdict" in done.stdout and done.returncode in (0, 1, 2)
    phases = {event.phase: event.ok for event in peerlab.events(name) if isinstance(event, PhaseEnded)}
    assert phases[Phase.FAILOVER] is False and phases[Phase.DEPROVISION] is True
    assert peerlab.ok("plan", TOPOLOGIES / "minimal.yaml", "--lab", name) == "nothing to do\n"


def test_a_router_restarted_by_another_controller_has_its_connections(peerlab: Product) -> None:
    """What is wanted beyond the topology is in the event log: sessions of connections, and their open policy."""
    name = turned_up_and_killed(peerlab, "minimal.yaml")

    async def story() -> None:
        lab = (await attach_desk(name)).lab
        try:
            edge = lab.model.node("ams-edge-1")
            wanted = lab.expected_sessions()
            assert len(wanted) == 2
            await fault.kill_router(lab, edge)
            await fault.restart_router(lab, edge)
            await lab.wait_established(wanted, WITHIN)
            await lab.wait_quiet()
            assert await lab.plan() == ()
            answer = await probing.ping(lab, "restarted", "fab-pc", "svc-ams", Family.IPV6)
            assert answer.received == answer.sent
        finally:
            await lab.close()

    play_story(story)


def test_a_lab_whose_builder_was_killed_can_be_taken_down(peerlab: Product) -> None:
    name = peerlab.name()
    controller = peerlab.start("up", TOPOLOGIES / "direct.yaml", "--name", name)
    until(lambda: name in list_labs(), "the cell listening")
    controller.kill()
    controller.communicate(timeout=WITHIN)
    assert "ams-edge-1" in peerlab.ok("inspect", name)

    async def story() -> None:
        """What is missing can also be made: a plan goes from whatever there is."""
        lab = await Lab.attach(name)
        try:
            await lab.reconcile()
            await lab.wait_established(lab.expected_sessions(), WITHIN)
            assert await lab.plan() == ()
            assert (await lab.tap.flush()).frames > 0
        finally:
            await lab.close()

    play_story(story)
    assert peerlab.ok("down", name) == f"lab {name} is down\n"
    assert not list(peerlab.state.iterdir())
