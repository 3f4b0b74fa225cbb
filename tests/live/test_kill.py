"""kill -9 of the supervisor in the middle of each phase: nothing is left but the evidence, and that is whole."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from product import (
    ROOT,
    Product,
    finished,
    host,
    is_alive,
    kill_supervisor,
    members_of,
    namespaces_of,
    one_line,
    product,
    read_json,
    until,
)

from peerlab.evidence.events import (
    Event,
    FaultInjected,
    LabCreated,
    LinkTested,
    PhaseStarted,
    PolicyStageChanged,
    ProcessExited,
    SessionStateChanged,
)
from peerlab.evidence.store import LabStore
from peerlab.runtime.namespaces import list_labs

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

MINIMAL = ROOT / "topologies" / "minimal.yaml"


@pytest.fixture
def peerlab(tmp_path: Path) -> Iterator[Product]:
    with product(tmp_path) as made:
        yield made


def kind(of: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, of)


MOMENTS = [
    # the cell stands, routers are about to start
    pytest.param("up", "", kind(LabCreated), id="up"),
    # nothing but the desk has been at work
    pytest.param("rehearse", "request", kind(PhaseStarted), id="request"),
    # test addresses are on the wire, packets are on their way
    pytest.param("rehearse", "link-test", kind(PhaseStarted), id="link test begins"),
    pytest.param("rehearse", "link-test", kind(LinkTested), id="link test"),
    # sessions are coming up
    pytest.param("rehearse", "deny", kind(SessionStateChanged), id="deny"),
    # DENY ALL has just been replaced
    pytest.param("rehearse", "allow", kind(PolicyStageChanged), id="allow"),
    # a link is down, streams run
    pytest.param("rehearse", "failover", kind(FaultInjected), id="failover"),
]


@pytest.mark.parametrize(("command", "phase", "moment"), MOMENTS)
def test_a_supervisor_killed_leaves_its_evidence_and_nothing_else(
    peerlab: Product, command: str, phase: str, moment: Callable[[Event], bool]
) -> None:
    name = peerlab.name()
    before = host()
    controller = peerlab.start(command, MINIMAL, "--name", name)
    peerlab.wait_for(name, moment, f"the moment in {phase or command}", phase)
    held = namespaces_of(name)
    inside = members_of(held) - {controller.pid}
    assert len(held) >= 2 and inside
    seen = (peerlab.state / name / "events.jsonl").read_bytes()
    kill_supervisor(name)

    ended = finished(controller)
    if command == "up" and ended.returncode == 0:  # it had nothing left to do with the lab
        assert ended.stderr == ""
    else:
        assert ended.returncode == 4
        assert one_line(ended) == (
            f"peerlab: the supervisor of lab {name} is gone, and the lab with it; what lab {name} has shown is kept in "
            f"{peerlab.state / name}: `peerlab check {name}` judges it, `peerlab down {name}` removes it"
        )
        last = peerlab.events(name)[-1]
        assert isinstance(last, ProcessExited) and (last.node, last.process) == ("@cell", "supervisor")
    log = (peerlab.state / name / "events.jsonl").read_bytes()
    assert log.startswith(seen)
    assert len(peerlab.events(name)) == log.count(b"\n")

    until(lambda: not members_of(held), "the end of every namespace")
    until(lambda: not any(is_alive(pid) for pid in inside), "the end of every process")
    assert name not in list_labs()
    assert host() == before
    assert peerlab.left_behind() == []

    assert {row["lab"]: row["state"] for row in read_json(peerlab.ok("ls", "--json"))}[name] == "evidence only"
    refused = peerlab.run("up", MINIMAL, "--name", name)
    assert refused.returncode == 3 and "LabExists" in one_line(refused)
    assert peerlab.run("check", name).returncode in (0, 1, 2)
    assert peerlab.ok("down", name) == f"lab {name} was not running; what it had left is removed\n"
    assert not (peerlab.state / name).exists()
    assert f"lab {name} is up" in peerlab.ok("up", MINIMAL, "--name", name)
    assert peerlab.ok("down", name) == f"lab {name} is down\n"
    assert not list(peerlab.state.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_rehearsal_takes_its_lab_down(peerlab: Product, number: int) -> None:
    """Ctrl-C, or the end of a CI job: nobody asked for the lab to stay."""
    name = peerlab.name()
    controller = peerlab.start("rehearse", MINIMAL, "--name", name)
    peerlab.wait_for(name, kind(SessionStateChanged), "sessions coming up", "deny")
    held = namespaces_of(name)
    controller.send_signal(number)
    ended = finished(controller)
    assert (ended.returncode, ended.stderr) == (130, "\npeerlab: interrupted; `peerlab ls` shows what still runs\n")
    until(lambda: not members_of(held), "the end of every namespace")
    assert name not in list_labs()
    assert not list(peerlab.state.iterdir())


def test_a_supervisor_killed_before_anybody_attached(peerlab: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell listens and is killed at once: whoever starts it either has it or says that it is gone."""
    name = peerlab.name()
    controller = peerlab.start("up", MINIMAL, "--name", name)
    until(lambda: name in list_labs(), "the cell listening")
    kill_supervisor(name)
    ended = finished(controller)
    assert ended.returncode == 4
    assert name in one_line(ended)
    monkeypatch.setenv("PEERLAB_STATE", str(peerlab.state))
    if LabStore.exists(name):
        peerlab.ok("down", name)
    assert not list(peerlab.state.iterdir())
