"""LNK: the link test of isp-ams/c1 (w1) and isp-ams/c2 (w2); isp-lon/c3 is turned up without one."""

from __future__ import annotations

import msgspec
from verify_row import Row
from verify_scenario import Scenario, ns, route

from peerlab.bgp.attributes import Address, Prefix
from peerlab.evidence.events import AddressesChanged, LinkTested, PhaseStarted
from peerlab.evidence.snapshot import KernelRoute
from peerlab.evidence.story import Moment, Phase, Stimulus

ENDS = (("w1", "isp1", "169.254.1.1", "ams1", "169.254.1.2"), ("w2", "isp1", "169.254.1.5", "ams2", "169.254.1.6"))


def link_test(s: Scenario) -> None:
    """Addresses on at 4.1, probes both ways at 4.5, read at 5, addresses off at 5.9."""
    for link, peer, peer_address, edge, edge_address in ENDS:
        for node, address in ((peer, peer_address), (edge, edge_address)):
            interface = f"e{link[1:]}"
            text = f"{address}/30"
            s.tell(AddressesChanged(at=ns(4.1), node=node, interface=interface, added=(text,)))
            s.tell(AddressesChanged(at=ns(5.9), node=node, interface=interface, removed=(text,)))
            held = dict(s.node(Moment.LINK_TEST, node).addresses)
            held[interface] = (*held[interface], text)
            s.change(Moment.LINK_TEST, node, addresses=held)
        there, back = (peer, peer_address, edge, edge_address), (edge, edge_address, peer, peer_address)
        for source, a, destination, b in (there, back):
            s.tell(
                LinkTested(
                    at=ns(4.5),
                    link=link,
                    source_node=source,
                    source=a,
                    destination_node=destination,
                    destination=b,
                    sent=100,
                    received=100,
                    rtt_min_ms=2.1,
                    rtt_avg_ms=2.4,
                    rtt_max_ms=3.0,
                )
            )


def load(s: Scenario) -> None:
    link_test(s)
    for link, peer, _, edge, _ in ENDS:
        for sender, receiver in ((peer, edge), (edge, peer)):
            s.trial(
                Stimulus.LINK_LOAD,
                sender,
                did={"link": link, "destination_node": receiver},
                saw={"sent": 9000, "received": 9000, "offered_mbps": 95.0, "capacity_mbps": 100.0, "jitter_ms": 0.4},
                at=5.0,
                until=5.5,
            )


def injected(s: Scenario) -> None:
    link_test(s)
    for node, interface in (("ams1", "e1"), ("ams2", "e2"), ("isp1", "e1")):
        s.trial(
            Stimulus.LINK_LOCAL_INJECTED,
            node,
            did={"frames": 4, "sources": ["169.254.7.1"], "destinations": ["169.254.8.1"], "entered": interface},
            saw={"delivered": 2, "leaked": []},
            at=5.0,
            until=5.2,
        )


def early(s: Scenario) -> None:
    link_test(s)
    for link, connection in (("w1", "isp-ams/c1"), ("w2", "isp-ams/c2")):
        s.trial(
            Stimulus.EARLY_TRAFFIC,
            "host-cust",
            did={"link": link, "connection": connection, "sent": 50},
            saw={"crossed": 0, "control": 200},
            at=5.0,
            until=5.6,
        )


def _kernel(s: Scenario, node: str, kernel: KernelRoute) -> None:
    s.change(Moment.LINK_TEST, node, kernel=(*s.node(Moment.LINK_TEST, node).kernel, kernel))


def _leftover(s: Scenario) -> None:
    held = dict(s.node(Moment.ALLOWED, "ams1").addresses)
    s.change(Moment.ALLOWED, "ams1", addresses={**held, "e1": (*held["e1"], "169.254.1.2/30")})


def _no_addresses_at_link_test(s: Scenario) -> None:
    for name, node in s.snapshots[Moment.LINK_TEST].items():
        kept = {i: tuple(a for a in texts if not a.startswith("169.254")) for i, texts in node.addresses.items()}
        s.change(Moment.LINK_TEST, name, addresses=kept)


def _bgp_before_cleanup(s: Scenario) -> None:
    s.amend(AddressesChanged, {"removed": ("169.254.1.2/30",)}, at=ns(11.0))


def _late_link_test(s: Scenario) -> None:
    """The one connection without a link test gets one after all, both times it is turned up."""
    test = next(e for e in s.events if isinstance(e, LinkTested))
    for at in (4.6, 264.0):
        s.tell(msgspec.structs.replace(test, link="w3", at=ns(at)))


LINK_ROWS = (
    Row(
        "LNK-01",
        link_test,
        breaks={
            "both ends have the same address": lambda s: s.amend(
                LinkTested, {"link": "w1", "source": "169.254.1.1"}, destination="169.254.1.1"
            ),
            "an address of the reserved first /24": lambda s: s.amend(
                LinkTested, {"source": "169.254.1.1"}, source="169.254.0.1"
            ),
            "an address outside 169.254/16": lambda s: s.amend(
                LinkTested, {"source": "169.254.1.1"}, source="10.0.0.1"
            ),
            "two links share an address": lambda s: s.amend(
                LinkTested, {"link": "w2", "source": "169.254.1.5"}, source="169.254.1.1"
            ),
        },
        lacks={
            "no test of one link": lambda s: s.forget(LinkTested, link="w2"),
            "the snapshot was not taken": lambda s: s.snapshots.pop(Moment.LINK_TEST),
            "the kernel did not hold the address": _no_addresses_at_link_test,
        },
    ),
    Row(
        "LNK-02",
        link_test,
        breaks={
            "one probe lost": lambda s: s.amend(LinkTested, {"link": "w2", "source_node": "ams2"}, received=99),
            "the round trip is over budget": lambda s: s.amend(LinkTested, {"link": "w1"}, rtt_avg_ms=52.5),
        },
        lacks={
            "only ten probes": lambda s: s.amend(LinkTested, {"link": "w1"}, sent=10, received=10),
            "no probes from the edge": lambda s: s.forget(LinkTested, link="w1", source_node="ams1"),
            "no round trip time": lambda s: s.amend(LinkTested, {"link": "w1"}, rtt_avg_ms=None),
            "more answers than probes": lambda s: s.amend(LinkTested, {"link": "w1"}, received=101),
        },
    ),
    Row(
        "LNK-03",
        load,
        breaks={
            "one in a hundred lost": lambda s: s.resee(Stimulus.LINK_LOAD, received=8910),
            "jitter": lambda s: s.resee(Stimulus.LINK_LOAD, jitter_ms=11.0),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.LINK_LOAD),
            "half the capacity offered": lambda s: s.resee(Stimulus.LINK_LOAD, offered_mbps=50.0),
            "the kernel cannot shape": lambda s: s.resee(Stimulus.LINK_LOAD, unsupported="no sch_netem"),
            "one link only": lambda s: s.redo(Stimulus.LINK_LOAD, link="w1"),
        },
    ),
    Row(
        "LNK-04",
        injected,
        breaks={
            "a frame leaked": lambda s: s.resee(
                Stimulus.LINK_LOCAL_INJECTED, leaked=[{"node": "ams1", "interface": "e10", "frame": "00"}]
            )
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.LINK_LOCAL_INJECTED),
            "the path carries nothing at all": lambda s: s.resee(Stimulus.LINK_LOCAL_INJECTED, delivered=0),
            "no frame injected": lambda s: s.redo(Stimulus.LINK_LOCAL_INJECTED, frames=0),
            "destinations were not tried": lambda s: s.redo(Stimulus.LINK_LOCAL_INJECTED, destinations=[]),
            "the log does not say what leaked": lambda s: s.resee(Stimulus.LINK_LOCAL_INJECTED, leaked=None),
        },
    ),
    Row(
        "LNK-05",
        link_test,
        breaks={
            "in a Loc-RIB": lambda s: s.elect(Moment.ALLOWED, "lon1", route("169.254.1.0/30", "c3-4", 64500)),
            "accepted into an Adj-RIB-In": lambda s: s.hold(
                Moment.ALLOWED, "lon1", "adj_rib_in_post", "c3-4", route("169.254.1.0/30", "c3-4", 64500)
            ),
            "routed by the kernel": lambda s: _kernel(
                s, "sin1", KernelRoute(prefix=Prefix("169.254.1.0/30"), gateway=Address("192.0.2.24"), protocol=188)
            ),
            "announced on the wire": lambda s: s.announce("tr-4", "lon1", ["169.254.1.0/30"], 12.0),
        },
        lacks={
            "no address was on any link": _no_addresses_at_link_test,
            "a node is missing from a snapshot": lambda s: s.snapshots[Moment.ALLOWED].pop("sin1"),
            "the trace has a gap": lambda s: s.lose("tr-4"),
        },
    ),
    Row(
        "LNK-06",
        early,
        breaks={
            "a customer packet crossed": lambda s: s.resee(Stimulus.EARLY_TRAFFIC, crossed=1),
            "the kernel routes over the link": lambda s: _kernel(
                s, "ams1", KernelRoute(prefix=Prefix("203.0.113.0/24"), interface="e1", protocol=186)
            ),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.EARLY_TRAFFIC),
            "tried after the link test": lambda s: s.amend(PhaseStarted, {"phase": Phase.LINK_TEST}, at=ns(5.3)),
            "the counter counts nothing": lambda s: s.resee(Stimulus.EARLY_TRAFFIC, control=0),
            "the phase is not in the log": lambda s: s.forget(PhaseStarted, phase=Phase.LINK_TEST),
        },
    ),
    Row(
        "LNK-07",
        link_test,
        breaks={
            "BGP started before the address was gone": _bgp_before_cleanup,
            "an address is left when all is open": _leftover,
        },
        lacks={
            "the removal is not in the log": lambda s: s.forget(AddressesChanged, removed=("169.254.1.2/30",)),
            "no BGP on the wire": lambda s: [s.silence(f"c1-{v}") for v in "46"],
            "no turn-up without a link test": _late_link_test,
        },
    ),
)
