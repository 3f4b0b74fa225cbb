"""The product as an unprivileged user: the whole job, in a user namespace of its own.

A suite that root starts runs this as another user, wherever its files lie; a suite that an ordinary user starts runs
it as that user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confined import WITHIN, Order, Outcome, confined
from product import ROOT, Product, product

from peerlab.evidence.events import PhaseEnded

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

NOBODY = 65534
TOPOLOGIES = ROOT / "topologies"
WHO = """
import asyncio, json, os, sys
from peerlab.runtime.cell import connect_to_cell
_, pid = connect_to_cell(sys.argv[1])
spaces = [os.readlink(f"/proc/{who}/ns/user") for who in (pid, "self")]
capabilities = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")]
print(json.dumps({"uid": os.getuid(), "capabilities": capabilities,
                  "owner": os.stat(f"/proc/{pid}").st_uid, "own_user_namespace": spaces[0] != spaces[1]}))
"""


@pytest.fixture
def peerlab() -> Iterator[Product]:
    """In a directory that another user can reach, which pytest's own are not."""
    place = Path(tempfile.mkdtemp(prefix="robust-rootless-"))
    try:
        with product(place) as made:
            made.state.mkdir()
            for path in (place, *place.iterdir()):
                os.chown(path, _user(), _user())
            yield made
    finally:
        shutil.rmtree(place)


def _user() -> int:
    return NOBODY if os.getuid() == 0 else os.getuid()


def as_nobody(peerlab: Product, *commands: tuple[str, ...]) -> tuple[Outcome, ...]:
    surroundings = peerlab.surroundings()
    if os.getuid() != 0:  # an ordinary user started the suite: nobody else has to be made
        return tuple(_directly(command, surroundings) for command in commands)
    order = Order(
        commands=commands,
        environment=surroundings,
        user=_user(),
        reachable=(str(ROOT), sys.prefix, sys.base_prefix),
    )
    return confined(order, surroundings)


def _directly(command: tuple[str, ...], surroundings: dict[str, str]) -> Outcome:
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=WITHIN, check=False)
    outcome = Outcome(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in outcome.out + outcome.err, outcome
    return outcome


def test_a_lab_lives_without_root(peerlab: Product) -> None:
    name = peerlab.name()

    def command(*arguments: str) -> tuple[str, ...]:
        return tuple(peerlab.command(*arguments))

    up, who, sessions, inside, listed, down, left = as_nobody(
        peerlab,
        command("up", str(TOPOLOGIES / "direct.yaml"), "--name", name),
        (sys.executable, "-c", WHO, name),
        command("sessions", name, "--json"),
        command("exec", "--lab", name, "ams-edge-1", "cat", "/proc/net/dev"),
        command("ls", "--json"),
        command("down", name),
        command("ls", "--json"),
    )
    assert up.code == 0 and f"lab {name} is up" in up.out, up
    identity = msgspec.json.decode(who.out)
    assert identity == {
        "uid": _user(), "capabilities": ["0000000000000000"], "owner": _user(), "own_user_namespace": True,
    }  # fmt: skip
    states = {fact["state"] for fact in msgspec.json.decode(sessions.out)}
    assert states == {"Established"}
    assert inside.code == 0 and "to-fab-ams-1" in inside.out and "eth0" not in inside.out
    assert {"lab": name, "state": "running", "directory": str(peerlab.state / name)} in msgspec.json.decode(listed.out)
    assert down.out == f"lab {name} is down\n"
    assert name not in left.out
    assert peerlab.left_behind() == []


def test_a_rehearsal_plays_without_root(peerlab: Product) -> None:
    name = peerlab.name()
    done, down = as_nobody(
        peerlab,
        tuple(peerlab.command("rehearse", TOPOLOGIES / "minimal.yaml", "--name", name, "--keep")),
        tuple(peerlab.command("down", name, "--keep-evidence")),
    )
    assert done.code in (0, 1, 2) and "the verdict" in done.out, done
    assert down.out == f"lab {name} is down\n"
    ended = {event.phase: (event.ok, event.why) for event in peerlab.events(name) if isinstance(event, PhaseEnded)}
    assert {"link-test", "deny", "allow", "failover", "deprovision"} <= set(ended)
    assert set(ended.values()) == {(True, "")}


def test_an_unreadable_topology_is_refused(peerlab: Product) -> None:
    """Root reads every file, so this is a matter for other users."""
    unreadable = peerlab.place / "unreadable.yaml"
    unreadable.write_text("name: x")
    unreadable.chmod(0)
    (done,) = as_nobody(peerlab, tuple(peerlab.command("up", unreadable)))
    assert (done.code, done.err) == (
        3,
        f"{unreadable}: cannot be read (Permission denied); make it readable for this user\n",
    )
