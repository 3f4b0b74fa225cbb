"""Whatever is wrong with a topology, its author gets sentences: no mutation of a good file ends in a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from peerlab.errors import InputError
from peerlab.topology.load import load_text

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
GOOD = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(TOPOLOGIES.glob("*.yaml"))}
OFFERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**33), 2**33),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [
            "", "none", "ams-edge-1", "fab-ams-1", "microsoft", "fabrikam", "tulip-lan", "amsterdam", "deny-all",
            "198.18.0.0/24", "198.18.33.0/25", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1/128", "192.0.2.1",
            "192.0.2.0/31", "8075:8007", "Exchange", "IxRs", "cloud", "ixp", "bird", "x" * 99,
        ]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(["ams-edge-1", "fab-ams-1", "microsoft", "198.18.0.0/24"]), max_size=3),
)  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document but its top."""
    found = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found.append((*path, key))
        found.extend(places(value, (*path, key)))
    return found


PLACES = {name: places(data) for name, data in GOOD.items()}


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A shipped topology with one to three places removed, replaced or renamed."""
    name = draw(st.sampled_from(sorted(GOOD)))
    data = copy.deepcopy(GOOD[name])
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(PLACES[name]))
        node = data
        try:
            for step in above:
                node = node[step]
            value = node.pop(last)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
        change = draw(st.sampled_from(["remove", "replace", "rename"]))
        if isinstance(node, list):
            if change != "remove":
                node.insert(last, draw(OFFERS))
        elif change == "replace":
            node[last] = draw(OFFERS)
        elif change == "rename":
            node[f"{last}{draw(st.sampled_from(['s', '-2', '_']))}"] = value
    return data


@settings(max_examples=300, deadline=None)
@given(mutants())
def test_a_mutated_topology_loads_or_is_refused_in_sentences(data: dict[str, Any]) -> None:
    text = json.dumps(data)  # JSON is YAML
    try:
        load_text(text, "mutant.yaml")
    except InputError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.path.startswith("mutant.yaml")
            assert problem.what and problem.remedy


@pytest.mark.parametrize("name", sorted(GOOD))
def test_the_unmutated_topology_loads(name: str) -> None:
    """Otherwise the law above would hold of a loader that refuses everything."""
    assert load_text(json.dumps(GOOD[name]), f"{name}.yaml").name == name
