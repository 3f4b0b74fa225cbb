"""The published JSON Schema: what an editor completes and explains, and that it says what the validator does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from peerlab.topology.schema import json_schema, validate


def mappings(node: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "properties" in node:
            yield path, node
        for key, value in node.items():
            yield from mappings(value, f"{path}.{key}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from mappings(value, f"{path}[{position}]")


def test_every_key_is_described_and_no_other_is_allowed() -> None:
    schema = json_schema()
    found = dict(mappings(schema))
    assert len(found) > 15
    for path, mapping in found.items():
        assert mapping["additionalProperties"] is False, path
        assert mapping.get("description"), path
        for key, value in mapping["properties"].items():
            assert value.get("description"), f"{path}.{key} has no description"
            assert "_" not in key, f"{path}.{key} is not as written in YAML"


def test_the_schema_is_json_and_names_its_dialect() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert sorted(schema["required"]) == ["ases", "name"]


def test_words_with_a_closed_list_are_listed_for_completion() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["AsRole"]["enum"] == ["cloud", "isp", "ixp", "customer", "transit", "observer"]
    assert "exabgp" in definitions["NodeKind"]["enum"]


@pytest.mark.parametrize("value", [None, 7, "text", [], True])
def test_anything_but_a_mapping_is_a_mistake_and_no_crash(value: object) -> None:
    document, mistakes = validate(value)
    assert document is None
    assert len(mistakes) == 1


def test_a_misspelt_key_is_taken_as_meant_and_still_reported() -> None:
    data = {"name": "lab", "asess": {"a": {"asn": 64496, "role": "isp", "router": {"a-1": {}}}}}
    document, mistakes = validate(data)
    assert document is None, "the mistake inside the misspelt key is not repaired, only the outer one"
    assert [m.path for m in mistakes] == [("asess",), ("ases", "a", "router")]
