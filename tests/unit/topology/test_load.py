"""Reading a topology file: what is refused before a word of it is understood, and how YAML's words are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerlab.errors import InputError
from peerlab.topology.load import SIZE_LIMIT, load, load_text

LAB = "name: lab\nases: {a: {asn: 64496, role: isp, routers: {a-1: }}}\n"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    (problem,) = caught.value.problems
    return str(problem).removeprefix(f"{path}: ")


def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.yaml").startswith("no such file; ")
    assert refusal(tmp_path).startswith("is a directory; ")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: lab\ndescription: caf\xe9\n")
    assert refusal(latin) == "line 2 is not UTF-8; save the file as UTF-8"
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (SIZE_LIMIT + 1))
    assert refusal(huge).startswith("is larger than 4 MiB; ")
    (tmp_path / "file").write_text(LAB)
    assert "cannot be read" in refusal(tmp_path / "file" / "below.yaml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LAB.encode())
    assert load(path).name == "lab"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 100_000, "nested too deeply"),  # would exhaust the stack
        ("name: \x07", "a character that YAML forbids"),  # control characters
        ("", "the file is empty"),
    ],
)
def test_hostile_text_is_refused_in_one_line(text: str, what: str) -> None:
    with pytest.raises(InputError) as caught:
        load_text(text, "x.yaml")
    assert [what in str(problem) for problem in caught.value.problems] == [True]


def test_words_with_colons_and_yes_and_no_are_words() -> None:
    """YAML 1.1 reads 64500:20 as a sexagesimal number and no as false; a topology is full of both."""
    model = load_text(
        """
name: "no"
ases:
  a: {asn: 64496, role: isp, peers: [b], routers: {yes: }}
  b: {asn: 64497, role: isp, routers: {off: }}
links:
  - {between: [yes, off], session: {ends: {yes: {communities: [64496:20]}, off: {export-policy: on}}}}
policies:
  on: [{name: all, then: accept, set: {add-communities: [64497:30]}}]
""",
        "x.yaml",
    )
    assert model.name == "no"
    assert {"yes", "off"} == {node.name for node in model.nodes}
    assert any("64496:20" in name for name in model.policies)


def test_a_key_with_nothing_after_it_means_nothing_is_stated() -> None:
    assert load_text(LAB, "x.yaml") == load_text(LAB.replace("a-1: ", "a-1: {}"), "x.yaml")


def test_aliases_repeat_a_value() -> None:
    head = "name: lab\nases: {a: {asn: 64496, role: isp, prefixes: &p [198.18.0.0/24],"
    text = head + " routers: {a-1: {originates: *p}}}}\n"
    assert load_text(text, "x.yaml").node("a-1").originates == ("198.18.0.0/24",)
