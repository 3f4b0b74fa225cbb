"""The announcements of the policy phase, held against the policy that the desk writes: each meets its own rule."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_engine import evaluate
from peerlab.controller.announcements import (
    ACCEPT,
    REGISTERED,
    REJECT,
    Announcer,
    Row,
    accepted,
    foreign_first,
    passed_on,
    refused,
)
from peerlab.controller.exam import spare_prefixes
from peerlab.controller.examiner import free_asns
from peerlab.controller.leaks import Leak, leaks
from peerlab.peering.intent import edge_rules
from peerlab.peering.ledger import Ledger
from peerlab.peering.policy import EdgeSession, Neighbour, import_policy
from peerlab.topology.load import load
from peerlab.topology.model import LabModel, PolicyStage, RegistryEntry

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
MODEL = load(TOPOLOGIES / "peering-service.yaml")
ADDRESSES = {
    Family.IPV4: (Address("198.19.254.0"), Address("198.19.254.1")),
    Family.IPV6: (Address("2001:db8:ffff:fe00::"), Address("2001:db8:ffff:fe00::1")),
}


def announcer(model: LabModel, family: Family) -> Announcer:
    """A peer of the cloud's first edge, on a wire of its own."""
    peering = model.peerings[0]
    own, far = ADDRESSES[family]
    return Announcer(
        node="peer",
        session="s",
        family=family,
        asn=peering.peer_asn,
        address=own,
        edge=peering.connections[0].edge,
        edge_address=far,
    )


def reason(model: LabModel, by: Announcer, row: Row, registered: tuple[RegistryEntry, ...] = ()) -> set[str]:
    """The statements that decide on a row's prefixes, under ALLOW."""
    rules = edge_rules(model, Ledger())
    described = EdgeSession(
        name=by.session,
        family=by.family,
        neighbour=Neighbour.PRIVATE,
        peer_asn=by.asn,
        peer=by.address,
        microsoft=by.edge_address,
        location="here",
        as_set=(by.asn,),
    )
    found = set()
    for prefix in row.prefixes:
        objects = (*rules.registry, *registered)
        policy = import_policy(described, PolicyStage.ALLOW, type(rules)(**{**_fields(rules), "registry": objects}))
        judged = evaluate(policy, prefix, row.attributes, LearnedFrom.EBGP)
        found.add(judged.statement)
        assert judged.accepted is (row.expected == ACCEPT)
    return found


def _fields(rules: object) -> dict[str, object]:
    return {name: getattr(rules, name) for name in rules.__struct_fields__}  # type: ignore[attr-defined]


REASONS = {
    "origin outside the as-set": "origin is not in the peer's as-set",
    "unregistered": "prefix has no route object of AS64500",
    "bogon": "bogon prefix",
    "too long": "longer than /{long} and not registered",
    "too short": "shorter than /{short}",
    "default route": "default route",
    "own prefix": "prefix of AS8075 itself",
    "exchange LAN": "prefix of an exchange LAN",
    "ExpressRoute": "AS12076 (ExpressRoute) in the path",
    "transit-free": "transit-free AS behind a peer",
    "long path": "path longer than 100",
    "endless path": "path longer than 100",
    "AS_SET": "AS_SET in the path",
    "foreign first AS": "first AS is not the peer",
    "next hop off the subnet": "next hop is not the peer",
    "next hop of the edge": "next hop is not the peer",
    "martian next hop": "next hop is not the peer",
}


@pytest.mark.parametrize("family", list(Family))
def test_every_refused_announcement_meets_the_rule_that_it_is_about(family: Family) -> None:
    by, spare = announcer(MODEL, family), spare_prefixes(MODEL, family)
    foreign = next(free_asns(MODEL))
    rows = [*refused(MODEL, by, spare, foreign), foreign_first(by, spare, foreign)]
    lengths = {"long": 24, "short": 8} if family is Family.IPV4 else {"long": 48, "short": 19}
    seen = set()
    for row in rows:
        assert row.expected == REJECT
        if row.check == "RTG-02":
            continue  # the own AS is a rule of the speaker, before any policy
        if row.case == "exchange infrastructure":
            continue  # not a LAN: nothing but the registry keeps it out
        if row.check == "POL-08":
            assert reason(MODEL, by, row) == {"bogon AS in the path"}
            continue
        seen.add(row.case)
        assert reason(MODEL, by, row) == {REASONS[row.case].format(**lengths)}, row.case
    assert seen == set(REASONS)


def test_documentation_as_numbers_are_bogons_where_the_lab_has_none_of_the_range() -> None:
    model = load(TOPOLOGIES / "minimal.yaml")
    by, spare = announcer(model, Family.IPV4), spare_prefixes(model, Family.IPV4)
    row = next(row for row in refused(model, by, spare, 65540) if row.case == "AS 65536")
    assert reason(model, by, row) == {"bogon AS in the path"}


@pytest.mark.parametrize("family", list(Family))
def test_registered_prefixes_are_accepted_whatever_they_carry(family: Family) -> None:
    by, spare = announcer(MODEL, family), spare_prefixes(MODEL, family)
    prefixes = [next(spare) for _ in range(REGISTERED)]
    objects = tuple(RegistryEntry(prefix=prefix, origin_asn=by.asn) for prefix in prefixes)
    rows = list(accepted(by, prefixes, 8075))
    assert {row.prefixes[0] for row in rows} == set(prefixes)
    assert all(reason(MODEL, by, row, objects) == {"accepted"} for row in rows)
    assert passed_on(by, next(spare), 64500).attributes.med is not None


@pytest.mark.parametrize("family", list(Family))
def test_no_two_announcements_of_a_session_are_of_one_prefix(family: Family) -> None:
    """The edge holds one route per prefix and session: a second announcement would hide the first one's verdict."""
    by, spare = announcer(MODEL, family), spare_prefixes(MODEL, family)
    one, two = list(free_asns(MODEL))[:2]
    rows = [*refused(MODEL, by, spare, one), foreign_first(by, spare, one)]
    prefixes = [prefix for row in rows for prefix in row.prefixes]
    prefixes += [leak.prefix for leak in leaks(MODEL, by, by, spare, (one, two))]
    assert len(prefixes) == len(set(prefixes))


@pytest.mark.parametrize("family", list(Family))
def test_there_is_a_leak_of_every_type_and_policy_or_role_has_to_stop_it(family: Family) -> None:
    by, spare = announcer(MODEL, family), spare_prefixes(MODEL, family)
    found = list(leaks(MODEL, by, by, spare, tuple(list(free_asns(MODEL))[:2])))  # type: ignore[arg-type]
    assert [leak.kind for leak in found] == [1, 2, 3, 4, 5, 6]
    for leak in found:
        if leak.attributes.otc is None:
            row = Row(check="", case="", expected=REJECT, prefixes=(leak.prefix,), attributes=leak.attributes)
            assert reason(MODEL, by, row)
        else:
            assert leak.kind in (1, 4) and leak.attributes.otc in leak.attributes.asns()[1:]


def test_a_reoriginated_prefix_is_somebody_elses_and_an_internal_one_is_the_peers_own() -> None:
    by, spare = announcer(MODEL, Family.IPV4), spare_prefixes(MODEL, Family.IPV4)
    kinds: dict[int, Leak] = {leak.kind: leak for leak in leaks(MODEL, by, by, spare, (64499, 64498))}
    owners = {entry.prefix: entry.origin_asn for entry in MODEL.registry}
    assert owners[kinds[5].prefix] != by.asn
    own = [p for known in MODEL.ases if known.asn == by.asn for p in known.prefixes if ":" not in p]
    assert ip_network(kinds[6].prefix).subnet_of(ip_network(own[0]))  # type: ignore[arg-type]
