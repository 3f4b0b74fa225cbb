"""The pytest plugin as a project meets it, without a lab: what it costs, what it refuses, when it skips and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "peerlab.pytest_plugin"
SRC = Path(__file__).parents[3] / "src"

CANNOT = """
import peerlab.pytest_plugin.held_lab as held
from peerlab.errors import Unsupported

def cannot(*_):
    raise Unsupported("this kernel has no user namespaces for you")

held.HeldLab.start = cannot
"""

FAKE = """
import pathlib
import peerlab.pytest_plugin.held_lab as held

class Fake:
    built = []

    def __init__(self, model, name, state):
        self.model, self.name, self.state = model, name, state
        Fake.built.append(self)

    def must_pass(self, *ids):
        assert "POL-02" not in ids, f"judged by {ids}"

    def whereabouts(self):
        return f"evidence of {self.name}"

    def end(self, keep_evidence):
        pathlib.Path("ended").open("a").write(f"{self.name} {self.state} {keep_evidence}\\n")

    def let_go(self):
        return f"peerlab sessions {self.name}"

held.HeldLab.start = staticmethod(lambda loop, model, text, name, state: Fake(model, name, state))
"""

TOPOLOGY = """
name: pair
ases:
  one: {asn: 64500, role: isp, prefixes: [198.18.32.0/24], routers: {r1: }, peers: [two]}
  two: {asn: 64501, role: isp, prefixes: [198.18.33.0/24], routers: {r2: }}
links:
  - between: [r1, r2]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of somebody else's with the plugin, a topology, and no CI around it."""
    for name in ("CI", "PEERLAB_REQUIRE", "PEERLAB_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(SRC))
    (pytester.path / "topologies").mkdir()
    (pytester.path / "topologies" / "pair.yaml").write_text(TOPOLOGY)
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """The project's suite in a process of its own."""
    return project.runpytest_subprocess("-p", PLUGIN, "-p", "no:cacheprovider", *arguments)


ONE = """
import pytest

@pytest.mark.peerlab("pair.yaml")
def test_one(peerlab_lab):
    assert peerlab_lab.model.name == "pair"
"""


def test_who_does_not_use_it_imports_nothing_of_a_lab(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_nothing():
            loaded = {name for name in sys.modules if name.split(".")[0] in ("peerlab", "exabgp", "scapy", "pyroute2")}
            assert loaded == {"peerlab", "peerlab.pytest_plugin"}
        """
    )
    run(project).assert_outcomes(passed=1)


def test_a_machine_without_namespaces_is_a_skip_with_its_reason(project: pytest.Pytester) -> None:
    project.makeconftest(CANNOT)
    project.makepyfile(ONE)
    result = run(project, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*peerlab cannot run a lab here: this kernel has no user namespaces*peerlab doctor*"])


@pytest.mark.parametrize(
    ("environment", "outcome"),
    [
        ({"CI": "true"}, "failed"),
        ({"PEERLAB_REQUIRE": "1"}, "failed"),
        ({"CI": "true", "PEERLAB_REQUIRE": "0"}, "skipped"),
        ({"CI": "false"}, "skipped"),
    ],
)
def test_where_labs_are_required_it_is_a_failure(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], outcome: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    project.makeconftest(CANNOT)
    project.makepyfile(ONE)
    counted = run(project).parseoutcomes()
    assert counted in ({"errors": 1} if outcome == "failed" else {"skipped": 1},)


def test_labs_by_marker_by_fixture_and_by_python_values(project: pytest.Pytester) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(
        """
        import os
        import pytest
        from peerlab.pytest_plugin import lab_fixture

        edge = lab_fixture("pair.yaml", scope="session", state="open")
        own = lab_fixture({"name": "mine", "ases": {"one": {"asn": 64500, "role": "isp", "routers": {"r1": None}}}})

        @pytest.mark.peerlab("pair.yaml", scope="session")
        def test_shared(peerlab_lab):
            test_shared.name = peerlab_lab.name

        @pytest.mark.peerlab("pair.yaml", scope="session")
        def test_shared_again(peerlab_lab):
            assert peerlab_lab.name == test_shared.name

        @pytest.mark.peerlab("pair.yaml")
        def test_own(peerlab_lab):
            assert peerlab_lab.name != test_shared.name
            assert os.environ["PEERLAB_STATE"].startswith(os.path.dirname(os.environ["PEERLAB_STATE"]))

        def test_fixture(edge):
            assert (edge.model.name, edge.state) == ("pair", "open")

        def test_values(own):
            assert own.model.name == "mine"
        """
    )
    run(project).assert_outcomes(passed=5)
    ended = (project.path / "ended").read_text().splitlines()
    assert len(ended) == len({line.split()[0] for line in ended}) == 4, "every lab ended once, by its own name"


def test_processes_of_xdist_share_neither_names_nor_directories(project: pytest.Pytester) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(
        """
        import os, pathlib
        import pytest

        @pytest.mark.parametrize("number", range(4))
        @pytest.mark.peerlab("pair.yaml", scope="session")
        def test_where(peerlab_lab, number):
            pathlib.Path("seen").open("a").write(f"{os.getpid()} {peerlab_lab.name} {os.environ['PEERLAB_STATE']}\\n")
        """
    )
    run(project, "-n", "2", "--dist", "each").assert_outcomes(passed=8)
    seen = (project.path / "seen").read_text().splitlines()
    assert len({line.split()[0] for line in seen}) == 2
    assert len({line.split()[1] for line in seen}) == 2
    assert len({line.split()[2] for line in seen}) == 2


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def test_x(peerlab_lab): pass", "does not say which"),
        ("@pytest.mark.peerlab('nowhere.yaml')\ndef test_x(peerlab_lab): pass", "there is no topology nowhere.yaml"),
        ("@pytest.mark.peerlab('pair.yaml', scope='module')\ndef test_x(peerlab_lab): pass", "takes scope="),
        ("@pytest.mark.peerlab('pair.yaml', state='closed')\ndef test_x(peerlab_lab): pass", "no state 'closed'"),
        ("@pytest.mark.peerlab({'name': 'x', 'asse': {}})\ndef test_x(peerlab_lab): pass", "asse"),
        ("@pytest.mark.peerlab_check('POL-2')\ndef test_x(): pass", "there is no check POL-2"),
    ],
)
def test_what_is_said_wrong_is_told_in_words(project: pytest.Pytester, code: str, told: str) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(f"import pytest\n{code}\n")
    result = run(project)
    assert result.ret != 0
    assert told in result.stdout.str() + result.stderr.str()


def test_a_check_as_a_marker_judges_the_test_that_passed(project: pytest.Pytester) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(
        """
        import pytest

        @pytest.mark.peerlab("pair.yaml")
        @pytest.mark.peerlab_check("RTG-10")
        def test_good(peerlab_lab): pass

        @pytest.mark.peerlab("pair.yaml")
        @pytest.mark.peerlab_check("RTG-10", "POL-02")
        def test_bad(peerlab_lab): pass

        def test_other(): pass
        """
    )
    result = run(project, "--junitxml", "out.xml")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*judged by ('RTG-10', 'POL-02')*", "*evidence of pair-*"])
    assert '<property name="peerlab_check" value="POL-02"' in (project.path / "out.xml").read_text()
    run(project, "--peerlab-check", "POL-02").assert_outcomes(failed=1, deselected=2)
    assert "there is no check XYZ-1" in run(project, "--peerlab-check", "XYZ-1").stderr.str()


def test_evidence_is_kept_of_what_failed(project: pytest.Pytester) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(
        """
        import pytest

        @pytest.mark.peerlab("pair.yaml")
        def test_good(peerlab_lab): pass

        @pytest.mark.peerlab("pair.yaml")
        def test_bad(peerlab_lab): assert False
        """
    )
    run(project).assert_outcomes(passed=1, failed=1)
    assert [line.split()[2] for line in (project.path / "ended").read_text().splitlines()] == ["False", "True"]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_keep_leaves_labs_up_and_says_how_to_look_at_them(project: pytest.Pytester, workers: list[str]) -> None:
    project.makeconftest(FAKE)
    project.makepyfile(ONE)
    result = run(project, "--peerlab-keep", *workers)
    result.stdout.fnmatch_lines(["*labs left up*", "peerlab sessions pair-*"])
    assert not (project.path / "ended").exists()


def test_the_entry_point_and_the_option_p_name_the_same_plugin() -> None:
    """Registered under its module's name, so that ``-p peerlab.pytest_plugin`` beside the entry point is no clash."""
    text = (SRC.parent / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\n"peerlab.pytest_plugin" = "peerlab.pytest_plugin"' in text
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", PLUGIN, "--markers"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        cwd=SRC.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "peerlab_check(*ids)" in done.stdout, done.stderr
