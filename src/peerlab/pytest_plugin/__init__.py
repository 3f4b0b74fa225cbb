"""The pytest plugin: labs as fixtures, checks as markers. See docs/pytest.md.

Nothing is autouse and nothing of a lab is imported before a test asks for one: a project that has peerlab installed
and does not use it pays for reading this file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from peerlab.pytest_plugin.factory import LabFactory
    from peerlab.pytest_plugin.held_lab import HeldLab

__all__ = ["lab_fixture"]

FOLDER = "peerlab_topologies"
KEEP = "peerlab_keep"
CHECK = "peerlab_check"
MARKER = "peerlab"
SCOPES = ("function", "session")
_KEPT = pytest.StashKey[list[str]]()
_LAB = pytest.StashKey["HeldLab"]()


def lab_fixture(
    topology: str | Mapping[str, Any], *, scope: str = "function", state: str = "up", name: str | None = None
) -> Any:
    """A fixture that is a lab: ``edge = lab_fixture("direct.yaml", scope="session", state="open")``.

    ``topology`` is a file (relative to the ini option ``peerlab_topologies``), YAML text, or the same as Python values.
    ``state``: ``up`` is what ``peerlab up`` builds, ``open`` has every connection turned up and open besides.
    """

    def lab(request: pytest.FixtureRequest, peerlab_labs: LabFactory) -> Generator[HeldLab]:
        with peerlab_labs.running(topology, state, keep_if=lambda: _failed(request)) as held:
            request.node.stash[_LAB] = held
            yield held

    return pytest.fixture(scope=scope, name=name)(lab)  # type: ignore[call-overload]


def _failed(request: pytest.FixtureRequest) -> bool:
    return bool(request.session.testsfailed)


@pytest.fixture(scope="session")
def peerlab_labs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[LabFactory]:
    """What makes labs: ``with peerlab_labs.running("x.yaml") as lab``. Each pytest process has names and a state
    directory of its own."""
    from peerlab.pytest_plugin.factory import LabFactory

    config = request.config
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    folder = config.rootpath / str(config.getini(FOLDER))
    factory = LabFactory(folder, tmp_path_factory.mktemp("peerlab"), worker, keep=bool(config.getoption(KEEP)))
    yield factory
    factory.end()
    config.stash.setdefault(_KEPT, []).extend(factory.kept)


@pytest.fixture
def peerlab_lab(request: pytest.FixtureRequest, peerlab_labs: LabFactory) -> Generator[HeldLab]:
    """The lab of the test's marker: ``@pytest.mark.peerlab("direct.yaml", scope="session", state="open")``.

    With ``scope="session"`` all tests of this process that name the same topology and state share it.
    """
    marker = request.node.get_closest_marker(MARKER)
    if marker is None or len(marker.args) != 1:
        raise pytest.UsageError(
            f"{request.node.nodeid} uses peerlab_lab and does not say which: mark it with "
            '@pytest.mark.peerlab("TOPOLOGY.yaml")'
        )
    wanted: dict[str, Any] = dict(marker.kwargs)
    scope, state = wanted.pop("scope", "function"), wanted.pop("state", "up")
    if scope not in SCOPES or wanted:
        raise pytest.UsageError(f"{request.node.nodeid}: the marker peerlab takes scope= of {SCOPES} and state= only")
    if scope == "session":
        held = peerlab_labs.shared(marker.args[0], state)
        request.node.stash[_LAB] = held
        yield held
        return
    failed = request.session.testsfailed
    with peerlab_labs.running(marker.args[0], state, keep_if=lambda: request.session.testsfailed > failed) as held:
        request.node.stash[_LAB] = held
        yield held


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the command line and of the ini file."""
    group = parser.getgroup("peerlab")
    group.addoption("--peerlab-keep", action="store_true", dest=KEEP, help="leave labs up, and say how to look at them")
    group.addoption(
        "--peerlab-check",
        action="append",
        default=[],
        dest=CHECK,
        metavar="ID",
        help="run only the tests marked with this check of the catalogue; may be given several times",
    )
    parser.addini(FOLDER, "folder of topologies, relative to the project", default="topologies")


def pytest_configure(config: pytest.Config) -> None:
    """The markers, so that --strict-markers knows them."""
    config.addinivalue_line("markers", 'peerlab(topology, scope="function", state="up"): what peerlab_lab is')
    config.addinivalue_line(
        "markers", "peerlab_check(*ids): checks that must pass on the lab's evidence when the test is over"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Ids of checks are looked at once, when a test has any; --peerlab-check selects by them."""
    marked = [(item, ids) for item in items if (ids := check_ids(item))]
    wanted = set(config.getoption(CHECK))
    if not marked and not wanted:
        return
    from peerlab.pytest_plugin.marker import refuse_unknown

    refuse_unknown({check for _, ids in marked for check in ids} | wanted)
    for item, ids in marked:
        item.user_properties.extend((CHECK, check) for check in ids)
    if wanted:
        chosen = [item for item in items if wanted & set(check_ids(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def check_ids(item: pytest.Item) -> tuple[str, ...]:
    """The checks of the catalogue that a test is marked with."""
    return tuple(dict.fromkeys(str(check) for mark in item.iter_markers(CHECK) for check in mark.args))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that passed and is marked with checks is judged by them, on what its lab has shown."""
    result = yield
    held, ids = pyfuncitem.stash.get(_LAB, None), check_ids(pyfuncitem)
    if held is not None and ids:
        held.must_pass(*ids)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure says where the evidence is."""
    report = yield
    held = item.stash.get(_LAB, None)
    if held is not None and report.failed and report.when == "call":
        report.sections.append(("peerlab", held.whereabouts()))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What a worker of xdist has left up is told by the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[KEEP] = session.config.stash.get(_KEPT, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of xdist has ended."""
    node.config.stash.setdefault(_KEPT, []).extend(getattr(node, "workeroutput", {}).get(KEEP, []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Labs that were left up, and how to look at them."""
    kept = config.stash.get(_KEPT, [])
    if kept:
        write: Callable[[str], None] = terminalreporter.write_line
        terminalreporter.section("peerlab: labs left up")
        for line in kept:
            write(line)
