"""Examiners come into a model without touching what is there, and leave it as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerlab.bgp.attributes import Family
from peerlab.controller.examiner import Examiner, Post, add_examiners, free_asn, free_asns, remove_examiners, widen
from peerlab.topology.load import load
from peerlab.topology.model import LabModel

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))
MINIMAL = next(path for path in TOPOLOGIES if path.stem == "minimal")


def posts(model: LabModel) -> list[Post]:
    edge = model.peerings[0].connections[0].edge
    return [
        Post(case="one", examiner="exam-a", at=edge),
        Post(case="inside", examiner="exam-a", at=edge, asn=model.node(edge).asn),
        Post(case="other", examiner="exam-b", at=edge),
    ]


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_what_was_added_can_be_taken_away_without_a_trace(path: Path) -> None:
    model = load(path)
    extended, examiners = add_examiners(model, posts(model))
    assert set(examiners) == {"one", "inside", "other"}
    assert remove_examiners(extended) == model


def test_no_post_changes_nothing() -> None:
    model = load(MINIMAL)
    assert add_examiners(model, []) == (model, {})


def test_cases_share_a_router_but_no_wire_address_or_session() -> None:
    model = load(MINIMAL)
    extended, examiners = add_examiners(model, posts(model))
    assert [examiners[case].node for case in ("one", "inside", "other")] == ["exam-a", "exam-a", "exam-b"]
    for part in (lambda e: [e.link], lambda e: [*e.addresses.values(), *e.far_addresses.values()]):
        found = [item for examiner in examiners.values() for item in part(examiner)]
        assert len(found) == len(set(found))
    macs = [interface.mac for node in extended.nodes for interface in node.interfaces]
    assert len(macs) == len(set(macs))
    ids = [session.id for session in extended.sessions]
    assert len(ids) == len(set(ids))


def test_the_first_router_has_the_lower_router_id() -> None:
    model = load(MINIMAL)
    extended, _ = add_examiners(model, posts(model))
    ids = [tuple(map(int, (extended.node(name).router_id or "").split("."))) for name in ("exam-a", "exam-b")]
    assert ids[0] < ids[1]


def test_an_examiner_of_the_same_as_speaks_ibgp() -> None:
    model = load(MINIMAL)
    extended, examiners = add_examiners(model, posts(model))

    def is_internal(examiner: Examiner) -> bool:
        return extended.session(examiner.sessions[Family.IPV6]).is_internal

    assert {case: is_internal(one) for case, one in examiners.items()} == {
        "one": False,
        "inside": True,
        "other": False,
    }


def test_a_second_examination_shares_nothing_with_the_first() -> None:
    """The trace of a whole run is read with the widest model: a wire must mean one thing in it."""
    model = load(MINIMAL)
    first, early = add_examiners(model, posts(model))
    second, late = add_examiners(model, [Post(case="late", examiner="exam-c", at=early["one"].at)], avoid=first)
    assert late["late"].far_interface not in {one.far_interface for one in early.values()}
    widest = widen(first, second)
    assert set(widest.sessions) == {*first.sessions, *second.sessions}
    assert set(widest.links) == {*first.links, *second.links}
    edge = {interface.name for interface in widest.node(early["one"].at).interfaces}
    assert {late["late"].far_interface, *(one.far_interface for one in early.values())} <= edge
    assert widen(widest, second) == widest


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_as_numbers_for_examinations_are_documented_ones_that_the_lab_does_not_use(path: Path) -> None:
    model = load(path)
    used = {known.asn for known in model.ases}
    others = list(free_asns(model))
    assert {free_asn(model), *others}.isdisjoint(used)
    assert free_asn(model) not in others
    assert all(asn <= 0xFFFF for asn in free_asns(model, two_octets=True))
