"""Labs whose routers are containers: the same verdicts, and nothing of them is left, however they end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from peerlab import __version__
from peerlab.controller.lab import Lab
from peerlab.controller.storyline import rehearse
from peerlab.errors import RuntimeFailure, Unsupported
from peerlab.runtime.base import NodeSpec
from peerlab.runtime.docker import LAB_LABEL, Engine, start_docker_cell
from peerlab.topology.load import in_runtime, load_text
from peerlab.topology.model import LabModel, RuntimeKind
from peerlab.verify.finding import Outcome

pytestmark = pytest.mark.docker

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
IMAGE = f"peerlab/exabgp:{__version__}"
GONE_WITHIN = 20.0


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def topology(name: str, **kinds: str) -> tuple[LabModel, str]:
    """A shipped topology in containers; ``kinds`` says what stands behind a router (``fab_ams_1="{kind: bird}"``)."""
    text = in_runtime((TOPOLOGIES / f"{name}.yaml").read_text(), RuntimeKind.DOCKER)
    for router, words in kinds.items():
        label = router.replace("_", "-")
        assert f"      {label}:\n" in text
        text = text.replace(f"      {label}:\n", f"      {label}: {words}\n")
    return load_text(text, name), text


def containers_of(engine: docker.DockerClient, lab: str) -> list[str]:
    found = engine.containers.list(all=True, filters={"label": f"{LAB_LABEL}={lab}"}, ignore_removed=True)
    return sorted(container.name.removeprefix(f"peerlab-{lab}-") for container in found)


async def play(model: LabModel, text: str, name: str) -> dict[str, tuple[Outcome, str]]:
    lab = await Lab.up(model, text, name)
    try:
        _, findings = await rehearse(lab, lambda _: None)
    finally:
        await lab.down()
    return {finding.check: (finding.outcome, finding.summary) for finding in findings}


STORIES = [
    # who is what, verdicts that differ from a PASS and why
    pytest.param({}, {}, id="every router in a container"),
    pytest.param(
        {"fab_ams_1": "{kind: bird}"},
        {"SES-05", "SES-15", "POL-03", "POL-18", "VAL-02"},
        id="BIRD in its own image: its keepalives, and stimuli that it cannot give (docs/daemons.md)",
    ),
    pytest.param({"fab_ams_1": "{image: none}"}, {}, id="one router in a namespace beside a container"),
]


@pytest.mark.parametrize(("kinds", "failing"), STORIES)
def test_a_rehearsal_in_containers_ends_in_the_same_verdicts(
    engine: docker.DockerClient, kinds: dict[str, str], failing: set[str]
) -> None:
    model, text = topology("minimal", **kinds)
    found = asyncio.run(play(model, text, f"docker-{os.getpid()}"))
    passing = {check for check, (outcome, _) in found.items() if outcome is Outcome.PASS}
    judged = {check for check, (outcome, _) in found.items() if outcome is not Outcome.NOT_APPLICABLE}
    assert judged - passing <= set(failing), {check: found[check] for check in judged - passing}
    assert len(passing) > 50
    assert containers_of(engine, f"docker-{os.getpid()}") == []


def test_a_killed_supervisor_takes_its_containers_with_it(engine: docker.DockerClient) -> None:
    name = f"docker-killed-{os.getpid()}"

    async def story() -> None:
        model, text = topology("minimal")
        lab = await Lab.up(model, text, name)
        assert containers_of(engine, name) == ["ams-edge-1", "fab-ams-1"]
        os.kill(lab.runtime.supervisor, signal.SIGKILL)  # type: ignore[attr-defined]
        await lab.close()

    asyncio.run(story())
    deadline = time.monotonic() + GONE_WITHIN
    while containers_of(engine, name) and time.monotonic() < deadline:
        engine.ping()
    assert containers_of(engine, name) == []


def test_a_container_without_the_mark_is_never_touched(engine: docker.DockerClient, tmp_path: Path) -> None:
    name = f"docker-mark-{os.getpid()}"
    foreign = engine.containers.create(IMAGE, ["sleep", "60"], name=f"peerlab-{name}-left", network_mode="none")
    try:

        async def story() -> None:
            runtime = await start_docker_cell(name, tmp_path / "cell")
            try:
                with pytest.raises(RuntimeFailure, match="left: Docker refuses"):
                    await runtime.create([NodeSpec("left", image=IMAGE)])
                assert (await runtime.observe()).nodes == ()
            finally:
                await runtime.shutdown()

        asyncio.run(story())
        foreign.reload()
        assert foreign.status == "created"
    finally:
        foreign.remove(force=True)


def test_an_image_that_is_not_here_is_named_with_what_to_do(engine: docker.DockerClient, tmp_path: Path) -> None:
    name = f"docker-image-{os.getpid()}"

    async def story() -> None:
        runtime = await start_docker_cell(name, tmp_path / "cell")
        try:
            with pytest.raises(Unsupported, match="right: there is no image peerlab/none:1 here; `make images`"):
                await runtime.create([NodeSpec("left", image=IMAGE), NodeSpec("right", image="peerlab/none:1")])
            assert (await runtime.observe()).nodes == ()
            assert containers_of(engine, name) == [], "the other container of the batch is gone too"
        finally:
            await runtime.shutdown()

    asyncio.run(story())


def test_without_an_engine_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(Unsupported, match=r"no Docker engine answers .* leave `runtime: docker` out"):
        Engine("lab")


def test_a_container_has_named_capabilities_a_name_and_a_read_only_kernel(tmp_path: Path) -> None:
    async def story() -> None:
        runtime = await start_docker_cell(f"docker-caps-{os.getpid()}", tmp_path / "cell")
        try:
            await runtime.create([NodeSpec("left", image=IMAGE)])
            held = await runtime.run("left", ["sh", "-c", "grep CapEff /proc/self/status; hostname"], within=10.0)
            words = held.stdout.decode().split()
            assert words[2] == "left"
            assert int(words[1], 16) & (1 << 12 | 1 << 13), "NET_ADMIN and NET_RAW are there"
            assert not int(words[1], 16) & (1 << 21), "SYS_ADMIN is not"
            refused = await runtime.run("left", ["sh", "-c", "echo 1 > /proc/sys/kernel/panic"], within=10.0)
            assert refused.code != 0
            missing = await runtime.run("left", ["sh", "-c", "test ! -e /work -a ! -e /root/.ssh"], within=10.0)
            assert missing.code == 0, "the host's files are not in sight"
            with pytest.raises(RuntimeFailure, match="nowhere is not a program of this image"):
                await runtime.spawn("left", "x", ["nowhere"])
        finally:
            await runtime.shutdown()

    asyncio.run(story())
