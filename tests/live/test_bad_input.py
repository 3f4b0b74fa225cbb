"""Bad input, a bad machine and a bad disk: what a person reads, the exit code, and that nothing comes of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confined import Order, Outcome, confined
from product import ROOT, Product, one_line, product

from peerlab.evidence.events import Event
from peerlab.evidence.log import EventLog

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("robust")]

MINIMAL = str(ROOT / "topologies" / "minimal.yaml")


@pytest.fixture
def peerlab(tmp_path: Path) -> Iterator[Product]:
    with product(tmp_path) as made:
        yield made


# Arguments, exit code 3 and the exact text; {place} is the test's own directory.
REFUSED = [
    pytest.param(
        ("up", "{place}/nowhere.yaml"),
        "{place}/nowhere.yaml: no such file; check the path; `ls topologies` shows what ships",
        id="no such file",
    ),
    pytest.param(
        ("rehearse", "{place}"),
        "{place}: is a directory; name a .yaml file in it",
        id="a directory",
    ),
    pytest.param(
        ("up", "{place}/malformed.yaml"),
        "{place}/malformed.yaml: line 3, column 1: not valid YAML: expected the node content, but found '<stream end>'"
        "; look at brackets, quotes and indentation there",
        id="malformed YAML",
    ),
    pytest.param(
        ("rehearse", "{place}/binary.yaml"),
        "{place}/binary.yaml: line 1 is not UTF-8; save the file as UTF-8",
        id="no text",
    ),
    pytest.param(
        ("up", "{place}/empty.yaml"),
        "{place}/empty.yaml: the file is empty; start with `name:` and `ases:`; see docs/topology.md",
        id="empty",
    ),
    pytest.param(
        ("up", MINIMAL, "--name", "Not/A_Name"),
        "peerlab: BadLabName: 'Not/A_Name' cannot name a lab; take 1 to 32 of a-z, 0-9 and -, e.g. --name direct-2",
        id="no name for a lab",
    ),
    pytest.param(
        ("up", MINIMAL, "--name", "x" * 33),
        f"peerlab: BadLabName: {'x' * 33!r} cannot name a lab; take 1 to 32 of a-z, 0-9 and -, e.g. --name direct-2",
        id="too long a name",
    ),
    pytest.param(
        ("down", "nobodys-lab"),
        "peerlab: NoSuchLab: there is no lab nobodys-lab, and no other; nothing is to be taken down",
        id="down of nothing",
    ),
    pytest.param(
        ("sessions", "nobodys-lab"),
        "peerlab: NoSuchLab: there is no lab nobodys-lab in {place}/state; `peerlab ls` shows those there are",
        id="sessions of nothing",
    ),
    pytest.param(
        ("rehearse", MINIMAL, "--resume", "--name", "nobodys-lab"),
        "peerlab: NoSuchLab: there is no lab nobodys-lab in {place}/state; `peerlab ls` shows those there are",
        id="resume of nothing",
    ),
    pytest.param(
        ("inspect",),
        "peerlab: NoLab: no lab runs; start one with `peerlab up topologies/direct.yaml`",
        id="no lab runs",
    ),
    pytest.param(
        ("graph", MINIMAL, "-o", "{place}/nowhere/lab.svg"),
        "{place}/nowhere/lab.svg: cannot be written (No such file or directory); name another file",
        id="nowhere to write",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_bad_input_is_refused_in_one_line(peerlab: Product, arguments: tuple[str, ...], text: str) -> None:
    (peerlab.place / "malformed.yaml").write_text("name: x\nases: [\n")
    (peerlab.place / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (peerlab.place / "empty.yaml").write_text("")
    done = peerlab.run(*(argument.format(place=peerlab.place) for argument in arguments))
    assert (done.returncode, one_line(done)) == (3, text.format(place=peerlab.place))
    assert not peerlab.state.exists() or not list(peerlab.state.iterdir())


def test_a_name_is_taken_by_a_lab_that_runs_and_by_one_that_left_its_evidence(peerlab: Product) -> None:
    name = peerlab.name()
    taken = (
        f"peerlab: LabExists: lab {name} runs or has left its evidence in {peerlab.state / name}; "
        f"`peerlab down {name}` removes both, `--name` gives this one another name"
    )
    peerlab.ok("up", MINIMAL, "--name", name)
    log = (peerlab.state / name / "events.jsonl").read_bytes()
    for command in ("up", "rehearse"):
        done = peerlab.run(command, MINIMAL, "--name", name)
        assert (done.returncode, one_line(done)) == (3, taken)
    assert (peerlab.state / name / "events.jsonl").read_bytes() == log
    elsewhere = Product(peerlab.place / "elsewhere")
    done = elsewhere.run("up", MINIMAL, "--name", name)
    assert done.returncode == 3
    assert one_line(done) == (
        f"peerlab: LabExists: a lab {name} runs already; attach to it, end it with `peerlab down {name}`, or take "
        "another name"
    )
    assert not (elsewhere.state / name).exists()
    assert peerlab.ok("down", name, "--keep-evidence") == f"lab {name} is down\n"
    done = peerlab.run("up", MINIMAL, "--name", name)
    assert (done.returncode, one_line(done)) == (3, taken)
    assert peerlab.run("check", name).returncode in (0, 1, 2)
    (peerlab.state / "precious").mkdir()
    done = peerlab.run("up", MINIMAL, "--name", "precious")
    assert (done.returncode, one_line(done)) == (
        3,
        f"peerlab: NotOurs: {peerlab.state / 'precious'} is in the way and not made by peerlab; move it away",
    )
    peerlab.ok("down", name)
    assert [path.name for path in peerlab.state.iterdir()] == ["precious"]


def test_a_state_directory_that_cannot_be(peerlab: Product) -> None:
    peerlab.environment["PEERLAB_STATE"] = "/dev/null/labs"
    done = peerlab.run("up", MINIMAL, "--name", peerlab.name())
    assert (done.returncode, one_line(done)) == (
        4,
        "peerlab: /dev/null/labs: labs cannot be kept there: Not a directory; set PEERLAB_STATE to another directory",
    )


def test_a_machine_without_user_namespaces(peerlab: Product) -> None:
    """As an ordinary user in a user namespace that allows no further ones: what is missing, and what to do."""
    surroundings = peerlab.surroundings()
    name = peerlab.name()
    up, doctor = confined(
        Order(
            commands=(tuple(peerlab.command("up", MINIMAL, "--name", name)), tuple(peerlab.command("doctor"))),
            environment=surroundings,
            user_namespaces=False,
        ),
        surroundings,
    )
    assert (up.code, up.err) == (
        4,
        "peerlab: user namespaces are not allowed here (their limit is 0 or reached); `sudo sysctl -w "
        "user.max_user_namespaces=15000`, or run as root; `peerlab doctor` says what this machine can do\n",
    )
    assert not list(peerlab.state.iterdir())
    assert doctor.code == 4 and "this machine cannot run a lab yet" in doctor.out
    assert "user.max_user_namespaces" in doctor.out


def on_a_disk_of(peerlab: Product, octets: int, *commands: tuple[str, ...]) -> tuple[Outcome, ...]:
    """Runs commands with the state directory on a disk of its own."""
    peerlab.state.mkdir()
    surroundings = peerlab.surroundings()
    order = Order(commands=commands, environment=surroundings, disk=str(peerlab.state), disk_octets=octets)
    return confined(order, surroundings)


FILL = """
import sys
from pathlib import Path
from peerlab.errors import RuntimeFailure
from peerlab.evidence.events import LabConverged
from peerlab.evidence.log import EventLog
log = EventLog(Path(sys.argv[1]))
try:
    while True:
        log.append(LabConverged(at=1, sessions=0))
except RuntimeFailure as failure:
    print(failure)
"""
"""Fills what is left of the log's last block, which a file of its own cannot."""


def script(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


def written(text: str, place: Path) -> tuple[Event, ...]:
    """The events of a log that was printed."""
    place.write_text(text)
    return EventLog(place).read()


def test_a_disk_without_room_for_a_lab(peerlab: Product) -> None:
    name = peerlab.name()
    up, left = on_a_disk_of(
        peerlab,
        8192,
        tuple(peerlab.command("up", MINIMAL, "--name", name)),
        script(f"ls -A {peerlab.state}"),
    )
    assert (up.code, up.err) == (
        4,
        f"peerlab: {peerlab.state / name}/model.json: cannot be written: No space left on device; "
        "what was there before is kept\n",
    )
    assert left.out == ""


def test_a_disk_that_fills_up_under_a_lab(peerlab: Product) -> None:
    """An event that cannot be written is an error; what was written stays, and the lab goes on once there is room."""
    name = peerlab.name()
    link = "ams-edge-1:fab-ams-1"
    events = peerlab.state / name / "events.jsonl"
    fault = tuple(peerlab.command("fault", "link-down", link, "--lab", name))
    up, before, _, filled, broken, after, _, mended, end, down, left = on_a_disk_of(
        peerlab,
        1 << 20,
        tuple(peerlab.command("up", MINIMAL, "--name", name)),
        script(f"cat {events}"),
        script(f"cat /dev/zero >{peerlab.state}/filler"),
        (sys.executable, "-c", FILL, str(events)),
        fault,
        script(f"cat {events}"),
        script(f"rm {peerlab.state}/filler"),
        fault,
        script(f"cat {events}"),
        tuple(peerlab.command("down", name)),
        script(f"ls -A {peerlab.state}"),
    )
    assert up.code == 0, up
    assert "No space left on device" in filled.out
    assert (broken.code, broken.err) == (
        4,
        f"peerlab: {events}: the event log cannot be written: No space left on device; what it held before is kept; "
        f"make room on that disk; what lab {name} has shown is kept in {peerlab.state / name}: `peerlab check {name}` "
        f"judges it, `peerlab down {name}` removes it\n",
    )
    full, last = written(after.out, peerlab.place / "full"), written(end.out, peerlab.place / "last")
    assert full[: len(written(before.out, peerlab.place / "before"))] == written(before.out, peerlab.place / "before")
    assert mended.code == 0, mended
    assert last[: len(full)] == full and len(last) > len(full)
    assert down.out == f"lab {name} is down\n" and left.out == ""


def test_a_disk_that_fills_up_under_a_rehearsal(peerlab: Product) -> None:
    """The story ends at once, in one line; log, capture and snapshots up to then can be read."""
    name = peerlab.name()
    done, log, listed, check, down, left = on_a_disk_of(
        peerlab,
        160 << 10,
        tuple(peerlab.command("rehearse", MINIMAL, "--name", name)),
        script(f"cat {peerlab.state}/{name}/events.jsonl"),
        tuple(peerlab.command("ls", "--json")),
        tuple(peerlab.command("check", name)),
        tuple(peerlab.command("down", name)),
        script(f"ls -A {peerlab.state}"),
    )
    assert done.code == 4, done
    assert len(done.err.splitlines()) == 1 and "No space left on device" in done.err
    assert f"what lab {name} has shown is kept in" in done.err
    assert len(written(log.out, peerlab.place / "log")) > 5
    assert check.code in (0, 1, 2) and "checks:" in check.out
    assert f'"{name}"' in listed.out and "evidence only" in listed.out
    assert down.code == 0 and left.out == ""
