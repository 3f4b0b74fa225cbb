"""The picture of a lab: well-formed, complete, always the same, nothing over anything else."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from peerlab.report.graph import svg
from peerlab.report.layout import Place, layout
from peerlab.report.mermaid import mermaid
from peerlab.topology.load import load, load_text
from peerlab.topology.model import LabModel, LinkPurpose

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))


@pytest.fixture(params=TOPOLOGIES, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> LabModel:
    return load(request.param)


def overlap(one: Place, other: Place) -> bool:
    return (
        one.x < other.x + other.width and other.x < one.x + one.width and one.y < other.bottom and other.y < one.bottom
    )


def test_boxes_do_not_lie_over_each_other_and_hold_their_nodes(model: LabModel) -> None:
    places = layout(model)
    assert not [(a.name, b.name) for a, b in combinations(places.boxes, 2) if overlap(a.place, b.place)]
    for box in places.boxes:
        assert box.place.x >= 0 and box.place.x + box.place.width <= places.width
        assert box.place.y >= 0 and box.place.bottom <= places.height
        assert not [(a, b) for a, b in combinations(box.nodes.values(), 2) if overlap(a, b)]
        for node in box.nodes.values():
            assert box.place.x < node.x and node.x + node.width < box.place.x + box.place.width
            assert box.place.y < node.y and node.bottom < box.place.bottom


def test_every_node_and_connection_is_in_the_picture(model: LabModel) -> None:
    root = ElementTree.fromstring(svg(model))
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {node.name for node in model.nodes if node.kind != "switch"} <= texts
    interconnects = {session.connection for session in model.sessions if session.connection and "@" not in session.id}
    assert interconnects <= texts
    wires = [
        e
        for e in root.iter("{http://www.w3.org/2000/svg}path")
        if e.find("{http://www.w3.org/2000/svg}title") is not None
    ]
    drawn = [link for link in model.links if link.purpose in (LinkPurpose.BACKBONE, LinkPurpose.INTERCONNECT)]
    assert len(wires) >= len(drawn)


def test_the_same_model_gives_the_same_picture(model: LabModel) -> None:
    copy = msgspec.json.decode(msgspec.json.encode(model), type=LabModel)
    assert svg(copy) == svg(model)
    assert mermaid(copy) == mermaid(model)


def test_mermaid_has_every_node_once_and_every_link(model: LabModel) -> None:
    text = mermaid(model)
    assert all(text.count(f'"{node.name}"') >= 1 for node in model.nodes)
    edges = [line for line in text.splitlines() if any(sign in line for sign in (" ---", " ===", " -->"))]
    assert len(edges) == len(model.links)


def test_text_from_the_file_cannot_break_out_of_the_picture() -> None:
    model = load_text(
        "name: lab\ndescription: '</desc><script>alert(1)</script> & more'\n"
        "ases: {a: {asn: 64496, role: isp, routers: {a-1: {}}}}\n",
        "lab.yaml",
    )
    root = ElementTree.fromstring(svg(model))
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert [e.text for e in root.iter("{http://www.w3.org/2000/svg}desc")] == [model.description]
