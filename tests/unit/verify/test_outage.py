"""Outages as text, what they leave, and whom relations join on what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerlab.bgp.attributes import Family
from peerlab.errors import PeerlabError
from peerlab.topology.load import load
from peerlab.verify.outage import FAILURES, UnitKind, case_of, pairs, singles, smaller, units
from peerlab.verify.relation_reach import reachable_pairs
from peerlab.verify.survivor import survivors

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
DIRECT = load(TOPOLOGIES / "direct.yaml")
EXCHANGE = load(TOPOLOGIES / "route-server.yaml")
REFERENCE = load(TOPOLOGIES / "peering-service.yaml")


def joined(text: str, a: str, b: str, model: object = DIRECT) -> set[bool]:
    """Whether two hosts are joined, both ways, both families."""
    alive = survivors(model, case_of(text, model).units if text else ())  # type: ignore[arg-type]
    found = reachable_pairs(alive)
    return {(x, y, f) in found for x, y in ((a, b), (b, a)) for f in Family}


def test_a_case_is_said_and_read_in_the_same_words() -> None:
    for case in (*singles(DIRECT), *pairs(DIRECT, (UnitKind.LINK,))):
        assert case_of(str(case), DIRECT) == case


@pytest.mark.parametrize(
    "text", ["link:ams-edge-1--fab-ams-9", "lnik:x", "nothing", "router:rs-1", "up:ams-edge-1--fab-ams-1,router:x", ""]
)
def test_what_the_lab_does_not_have_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(PeerlabError):
        case_of(text, DIRECT)


def test_everything_that_can_be_lost_is_swept_once() -> None:
    kinds = [unit.kind for unit in units(EXCHANGE)]
    assert kinds.count(UnitKind.ROUTE_SERVER) == 2
    assert kinds.count(UnitKind.LINK) == len(EXCHANGE.links)
    assert kinds.count(UnitKind.SESSION) == len(EXCHANGE.sessions)
    assert UnitKind.UP not in {case.units[0].kind for case in singles(EXCHANGE, FAILURES)}
    count = len(units(DIRECT))
    assert len(pairs(DIRECT)) == count * (count - 1) // 2
    assert [str(c) for c in smaller(pairs(DIRECT)[0], 1)] == [str(u) for u in pairs(DIRECT)[0].units]


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("", True),
        ("link:ams-edge-1--fab-ams-1", True),
        ("link:ams-edge-1--fab-ams-1,link:ams-edge-2--fab-ams-2", False),
        ("router:fab-ams-1", True),
        ("router:fab-ams-1,router:fab-ams-2", False),
        ("router:ams-edge-1", False),
        ("router:contoso-1", False),
        ("metro:amsterdam", False),
        ("link:ams-edge-1--ams-edge-2", True),
        ("link:ams-edge-1--ams-edge-2,link:ams-edge-1--fab-ams-1", False),
        ("link:fab-ams-1--fab-ams-2,link:fab-ams-2--contoso-1,link:ams-edge-1--fab-ams-1", False),
    ],
)
def test_relations_join_what_wires_and_sessions_leave(out: str, expected: bool) -> None:
    """svc-ams hangs on ams-edge-1 and contoso on both of fabrikam's routers."""
    assert joined(out, "svc-ams", "contoso-pc") == {expected}


def test_one_family_can_go_without_the_other() -> None:
    shut = ",".join(f"session:{s.id}" for s in DIRECT.sessions if s.connection and s.family is Family.IPV4)
    assert joined(shut, "svc-ams", "contoso-pc") == {True, False}


def test_a_route_server_passes_on_what_relations_allow() -> None:
    assert joined("", "svc-ams", "tailspin-pc", EXCHANGE) == {True}
    assert joined("route-server:rs-1", "svc-ams", "tailspin-pc", EXCHANGE) == {True}
    assert joined("route-server:rs-1,route-server:rs-2", "svc-ams", "tailspin-pc", EXCHANGE) == {False}


def test_nobody_gives_a_peer_transit() -> None:
    """Without woodgrove and proseware Microsoft knows tailspin through the exchange; nobody else may carry adatum."""
    assert joined("", "adatum-pc", "svc-sea", REFERENCE) == {True}
    assert joined("router:woodgrove-1,router:proseware-1", "adatum-pc", "svc-sea", REFERENCE) == {False}
    assert joined("router:woodgrove-1,router:proseware-1", "contoso-pc", "svc-sea", REFERENCE) == {True}
    assert joined("router:woodgrove-1,router:proseware-1", "contoso-pc", "tailspin-pc", REFERENCE) == {False}


def test_an_igp_that_falls_apart_takes_its_sessions_with_it() -> None:
    alive = survivors(DIRECT, case_of("link:fab-ams-1--fab-ams-2", DIRECT).units)
    lost = {s.id for s in DIRECT.sessions} - alive.sessions
    assert lost == {"fab-ams-1--fab-ams-2.v4", "fab-ams-1--fab-ams-2.v6"}
    assert alive.islands["fab-ams-1"] != alive.islands["fab-ams-2"]
