"""The house's walls: who may import whom, what pure code may not touch, how long a file may be.

The table is docs/architecture.md section 3 as data; a failure names the offending line.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src" / "peerlab"

STORIES = ("quarantine", "hostile", "origin", "incident", "liveness", "own", "restart", "telemetry")
"""Scenes of the conformance suite with stimuli of their own."""

LAYERS: list[tuple[str, str]] = [
    # module prefix (longest match wins), layer
    ("peerlab.errors", "0"),
    ("peerlab.bgp", "0"),
    ("peerlab.peering", "1"),
    ("peerlab.evidence.events", "1"),
    ("peerlab.evidence.story", "1"),
    *((f"peerlab.evidence.story_{scene}", "1") for scene in STORIES),
    ("peerlab.evidence.snapshot", "1"),
    ("peerlab.evidence.trace", "1"),
    ("peerlab.evidence.message", "1"),
    ("peerlab.evidence.capture", "1"),
    ("peerlab.evidence.connection_fact", "1"),
    ("peerlab.evidence.octet_stream", "1"),
    ("peerlab.evidence.route_history", "1"),
    ("peerlab.evidence.segment", "1"),
    ("peerlab.evidence.reassembly", "1"),
    ("peerlab.evidence.pcapng", "1"),
    ("peerlab.evidence.mrt", "1"),
    ("peerlab.evidence.versions", "1"),
    ("peerlab.topology.model", "1"),
    ("peerlab.topology", "2"),
    ("peerlab.daemons", "2"),
    ("peerlab.verify", "2"),
    ("peerlab.report", "2"),
    ("peerlab.controller.plan", "2"),
    ("peerlab.topology.schema", "2e"),
    ("peerlab.topology.load", "2e"),
    ("peerlab.router.protocol", "1"),
    ("peerlab.evidence", "3"),
    ("peerlab.runtime", "3"),
    ("peerlab.router", "3"),
    ("peerlab.controller", "4"),
    ("peerlab.api", "5"),
    ("peerlab.cli", "5"),
    ("peerlab.pytest_plugin", "5"),
    ("peerlab", "0"),
]
MAY_IMPORT = {
    "0": {"0"},
    "1": {"0", "1"},
    "2": {"0", "1", "2"},
    "2e": {"0", "1", "2", "2e"},
    "3": {"0", "1", "2", "3"},
    "4": {"0", "1", "2", "2e", "3", "4"},
    "5": {"0", "1", "2", "2e", "3", "4", "5"},
}
IMPURE = {
    "socket", "select", "selectors", "time", "random", "secrets", "os", "subprocess", "asyncio", "logging",
    "threading", "multiprocessing", "signal", "fcntl", "scapy", "pyroute2", "exabgp", "docker",
}  # fmt: skip
PURE_LAYERS = {"0", "1", "2"}
HARD_LIMIT = 500


def layer_of(module: str) -> str:
    best = max((p for p, _ in LAYERS if module == p or module.startswith(p + ".")), key=len)
    return dict(LAYERS)[best]


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("peerlab"):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    target = SRC.parent / Path(*inner.split("."))
                    known = target.with_suffix(".py").exists() or target.is_dir()
                    found.append((node.lineno, inner if known else node.module))
            else:
                found.append((node.lineno, node.module))
    return found


FILES = sorted(SRC.rglob("*.py"))


def violations(path: Path, module: str) -> list[str]:
    layer = layer_of(module)
    wrong: list[str] = []
    for line, target in imports_of(path):
        if target.split(".")[0] == "peerlab":
            other = layer_of(target)
            if other not in MAY_IMPORT[layer]:
                wrong.append(f"{path}:{line}: {module} (layer {layer}) imports {target} (layer {other})")
            if module.startswith("peerlab.runtime") and target.startswith("peerlab.bgp"):
                wrong.append(f"{path}:{line}: runtime knows no BGP but imports {target}")
        elif layer in PURE_LAYERS and target.split(".")[0] in IMPURE:
            wrong.append(f"{path}:{line}: {module} is pure (layer {layer}) but imports {target}")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    assert violations(path, module_name(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_file_holds_one_concept(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= HARD_LIMIT, f"{path} is over {HARD_LIMIT} lines: split it"
    assert len(path.relative_to(SRC).parts) <= 2, f"{path}: depth two under src/peerlab"
    assert path.stem not in {"utils", "helpers", "common", "manager", "misc"}, f"{path}: say what it is"


def test_the_walls_hold_something_back(tmp_path: Path) -> None:
    """A pure module that imports a socket, the clock, or a higher room is caught, each by line."""
    bad = tmp_path / "decision.py"
    bad.write_text("import time\nfrom socket import socket\nfrom peerlab.runtime import base\n")
    assert [line.split(":")[1] for line in violations(bad, "peerlab.bgp.decision")] == ["1", "2", "3"]


def test_only_the_engine_touches_exabgp() -> None:
    """ExaBGP's inside is touched by router/engine*.py alone (architecture, section 2)."""
    outside = [
        f"{path}:{line}"
        for path in FILES
        for line, target in imports_of(path)
        if target.split(".")[0] == "exabgp" and not path.match("router/engine*.py")
    ]
    assert outside == []


def test_nothing_is_judged_by_sleeping() -> None:
    """No call of a fixed sleep anywhere in the product."""
    calls = [
        f"{path}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and "sleep" in (getattr(node.func, "attr", ""), getattr(node.func, "id", ""))
    ]
    assert calls == []


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their bare names: of two, one could not be collected beside the other."""
    names = [path.name for path in (SRC.parents[1] / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
