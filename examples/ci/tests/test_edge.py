"""What we rely on in our peering with Microsoft, held against real BGP sessions on every push.

Tests that only look share one lab; the one that takes a link away has its own.
"""

import pytest

from peerlab.pytest_plugin import lab_fixture
from peerlab.verify.temporal import after, always, eventually, never, route

OURS, CUSTOMERS, THEIRS = "198.18.32.0/24", "198.18.33.0/24", "198.18.0.0/24"
EDGES = ("ams-edge-1", "ams-edge-2")

edge = lab_fixture("edge.yaml", scope="session", state="open")
own_edge = lab_fixture("edge.yaml", state="open")


def test_every_session_is_established_in_both_families(edge):
    down = [fact for fact in edge.sessions() if fact.state != "Established"]
    assert not down
    assert {fact.family for fact in edge.sessions("our-ams-1") if fact.peer == "ams-edge-1"} == {"ipv4", "ipv6"}


@pytest.mark.parametrize("router", EDGES)
def test_microsoft_reaches_us_and_our_customer_over_the_connection(edge, router):
    for prefix in (OURS, CUSTOMERS):
        best = edge.best(router, prefix)
        assert best is not None, edge.explain(router, prefix)
        assert best.attributes.asns()[0] == 64500


def test_packets_flow_both_ways(edge):
    for family in ("ipv4", "ipv6"):
        assert edge.ping("contoso-pc", "svc-ams", family).received == 3
        assert edge.traceroute("svc-ams", "contoso-pc", family).reached


@pytest.mark.peerlab_check("RTG-10")
def test_we_give_nobody_transit(edge):
    """A prefix that Microsoft tells us goes to our customer and never back; the valley-free check agrees."""
    edge.expect(always(route(prefix=THEIRS).sent_by("our-ams-1").sent_to("contoso-1"), from_first=True))
    for router in EDGES:
        edge.expect(never(route(prefix=THEIRS, contains_as=64500).sent_to(router)))


def test_a_prefix_that_nobody_registered_is_rejected_for_that_reason(edge):
    moment = edge.mark()
    edge.announce("our-ams-1", "ams-edge-1", "198.18.99.0/24")
    edge.expect(eventually(route(prefix="198.18.99.0/24").sent_to("ams-edge-1"), within=5, after=moment))
    edge.wait_quiet()
    assert edge.best("ams-edge-1", "198.18.99.0/24") is None
    edge.expect(after(moment, never(route(prefix="198.18.99.0/24").sent_by("ams-edge-1"))))
    edge.withdraw("our-ams-1", "ams-edge-1", "198.18.99.0/24")


def test_a_connection_that_is_lost_moves_traffic_and_leaks_nothing_meanwhile(own_edge):
    """The temporal one: over the whole failure and repair no message may carry Microsoft's prefix back to it."""
    lab = own_edge
    before = lab.mark()
    with lab.without_link("ams-edge-1:our-ams-1"):
        lab.wait_down(*(lab.session("ams-edge-1", "our-ams-1", family).id for family in ("ipv4", "ipv6")))
        lab.wait_quiet()
        path = lab.traceroute("svc-ams", "contoso-pc")
        assert path.reached, lab.explain("ams-edge-1", CUSTOMERS)
        assert "our-ams-2" in path.nodes
    lab.wait_established()
    lab.wait_quiet()
    for router in EDGES:
        lab.expect(after(before, never(route(prefix=THEIRS, contains_as=64500).sent_to(router))))
    lab.expect(after(before, eventually(route(prefix=CUSTOMERS).sent_to("ams-edge-1"), within=30)))
