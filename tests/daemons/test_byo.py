"""Configurations of one's own: the good ones pass whole rehearsals, and every classic mistake is found and named.

A mistake is a change of the good file. Mistakes that different checks find are made together: a rehearsal takes long.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from daemon_kinds import BIRD, FRR, DaemonKind

ROOT = Path(__file__).parents[2]
OWN = ROOT / "topologies" / "byo"
WITHIN = 420.0
"""Seconds in which a rehearsal ends on a busy machine."""

Change = Callable[[str], str]


def without(pattern: str) -> Change:
    """The text without every match of a pattern. Fails when there is none: a mistake has to be made."""

    def change(text: str) -> str:
        changed, count = re.subn(pattern, "", text)
        assert count, f"{pattern} is not in the file"
        return changed

    return change


def instead(old: str, new: str) -> Change:
    """The text with something put in another's place."""

    def change(text: str) -> str:
        assert old in text, f"{old} is not in the file"
        return text.replace(old, new)

    return change


def all_of(*changes: Change) -> Change:
    """One change after the other."""

    def change(text: str) -> str:
        for one in changes:
            text = one(text)
        return text

    return change


DEFAULT_IN_BIRD = all_of(
    instead("protocol static own_v4 { ipv4;", "protocol static own_v4 { ipv4; route 0.0.0.0/0 via 198.19.200.2;"),
    instead("filter to_microsoft {\n", "filter to_microsoft {\n  if net = 0.0.0.0/0 then accept;\n"),
)
MISTAKES: dict[str, dict[str, tuple[Change, str, str]]] = {
    # kind: what is wrong: (the change, the check that finds it, its words)
    "bird": {
        "accepts everything": (
            without(r"  if unfit\(\) \|\| bgp_path.first != MICROSOFT then reject;\n"),
            "BYO-03",
            "accepts 0.0.0.0/0 from Microsoft",
        ),
        "no max-prefix": (without(r"receive limit 400 action disable; "), "BYO-04", "has no limit"),
        "a default route": (DEFAULT_IN_BIRD, "BYO-01", "announces the default route 0.0.0.0/0"),
        "leaks transit": (
            all_of(
                without(r"  if !ours_or_a_customers\(\) then reject;\n(?=  if net.type = NET_IP4 && net ~ REGISTERED)"),
                without(r"  local role \w+;\n"),
            ),
            "BYO-01",
            "neither its own nor a customer's",
        ),
        "no 8075:8007": (
            without(r"  if net.type = NET_IP4 && net ~ REGISTERED then .*\n"),
            "BYO-05",
            "announces 198.18.33.0/24 without 8075:8007",
        ),
        "prepends": (
            instead(
                "  accept;\n}\n\nfilter to_transit",
                "  bgp_path.prepend(OWN_AS);\n  bgp_path.prepend(OWN_AS);\n  accept;\n}\n\nfilter to_transit",
            ),
            "BYO-05",
            "announces 198.18.33.0/24 prepended (AS path",
        ),
    },
    "frr": {
        "accepts everything": (
            without(r"route-map FROM-MICROSOFT deny \d+\n.*\nexit\n"),
            "BYO-03",
            "accepts 0.0.0.0/0 from Microsoft",
        ),
        "no max-prefix": (without(r"  neighbor MICROSOFT6? maximum-prefix 400\n"), "BYO-04", "has no limit"),
        "a default route": (
            instead(
                "  neighbor MICROSOFT activate\n",
                "  neighbor MICROSOFT activate\n  neighbor MICROSOFT default-originate\n",
            ),
            "BYO-01",
            "announces the default route 0.0.0.0/0",
        ),
        "leaks transit": (
            all_of(
                instead(
                    "route-map TO-TRANSIT permit 10\n",
                    "route-map TO-MICROSOFT permit 50\nexit\n!\nroute-map TO-TRANSIT permit 10\n",
                ),
                without(r" neighbor \S+ local-role \w+\n"),
            ),
            "BYO-01",
            "neither its own nor a customer's",
        ),
        "no 8075:8007": (
            without(r" set community 8075:8007 additive\n"),
            "BYO-05",
            "announces 198.18.33.0/24 without 8075:8007",
        ),
        "prepends": (
            instead(
                " match ip address prefix-list REGISTERED4\n",
                " match ip address prefix-list REGISTERED4\n set as-path prepend 64500 64500\n",
            ),
            "BYO-05",
            "announces 198.18.33.0/24 prepended (AS path",
        ),
    },
}
TOGETHER = (
    ("accepts everything", "no max-prefix"),
    # Microsoft's validation refuses these, so the rehearsal ends early.
    ("a default route", "leaks transit", "prepends", "no 8075:8007"),
)


def rehearsed(kind: str, change: Change, folder: Path, name: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The findings by check of a rehearsal of the good topology with a changed configuration, and what was said."""
    for file in OWN.glob(f"{kind}-good.*"):
        text = file.read_text()
        (folder / file.name).write_text(change(text) if file.suffix == ".conf" else text)
    verdicts = folder / "verdicts.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "peerlab.cli.main", "rehearse", str(folder / f"{kind}-good.yaml"),
            "--name", f"byo-{kind}-{name}-{os.getpid()}"[:32], "--json", str(verdicts),
        ],
        env={**os.environ, "PEERLAB_STATE": str(folder / "state"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert verdicts.exists(), told
    return {finding["check"]: finding for finding in json.loads(verdicts.read_text())["findings"]}, told


@pytest.mark.live
@pytest.mark.daemons
def test_a_sensible_configuration_fails_nothing_and_passes_what_is_asked_of_it(
    kind: DaemonKind, tmp_path: Path
) -> None:
    if kind.name not in MISTAKES:
        pytest.skip(f"{kind.name} runs no configuration of one's own")
    findings, told = rehearsed(kind.name, lambda text: text, tmp_path, "good")
    assert [check for check, one in findings.items() if one["outcome"] == "fail"] == [], told
    for check in ("BYO-01", "BYO-02", "BYO-03", "BYO-04", "VAL-08", "VAL-09", "VAL-10", "VAL-15", "RTG-10"):
        assert findings[check]["outcome"] == "pass", (check, told)


@pytest.mark.live
@pytest.mark.daemons
@pytest.mark.parametrize("kind", (BIRD, FRR), ids=lambda kind: kind.name)
@pytest.mark.parametrize("mistakes", TOGETHER, ids=", ".join)
def test_a_classic_mistake_is_found_and_named(kind: DaemonKind, mistakes: tuple[str, ...], tmp_path: Path) -> None:
    made = [MISTAKES[kind.name][name] for name in mistakes]
    findings, told = rehearsed(
        kind.name, all_of(*(change for change, _, _ in made)), tmp_path, str(TOGETHER.index(mistakes))
    )
    for _, check, words in made:
        assert findings[check]["outcome"] == "fail", (check, told)
        said = json.dumps(findings[check])
        assert words in said, (check, said)
        assert "fab-ams-1" in said, (check, said)
