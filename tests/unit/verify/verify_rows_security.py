"""SEC: a stranger at TCP/179, and leaks of every type from isp1 (to ams1 on c1-4) and member."""

from __future__ import annotations

from verify_model import CLOUD, ISP
from verify_row import Row
from verify_scenario import Scenario, path

from peerlab.bgp.wire import MessageType
from peerlab.evidence.story import Stimulus

EDGES = {"192.0.2.3": "filtered", "192.0.2.5": "closed", "192.0.2.7": "filtered"}
"""Addresses of ams1, ams2 and lon1."""


def scan(s: Scenario) -> None:
    s.trial(Stimulus.PORT_SCAN, "observer", "", {}, {"answers": dict(EDGES), "configured_open": True})


def leaks(s: Scenario) -> None:
    """One prefix per type, 10 s apart, announced on c1-4 and refused there."""
    for kind in range(1, 7):
        prefix, at = f"198.51.{100 + kind}.0/24", 290.0 + 10 * kind
        did: dict[str, object] = {"type": kind, "prefix": prefix}
        saw: dict[str, object] = {"accepted_at": [], "passed_on_to": [], "reason": "route leak"}
        s.trial(Stimulus.LEAK, "isp1", "c1-4", did, saw, at=at, until=at + 3)
        s.announce("c1-4", "isp1", [prefix], at + 1, as_path=path(ISP, 64502, 64498))


SECURITY_ROWS = (
    Row(
        "SEC-01",
        scan,
        breaks={
            "a stranger gets an answer": lambda s: s.resee(Stimulus.PORT_SCAN, answers={**EDGES, "192.0.2.5": "open"})
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.PORT_SCAN),
            "one edge was not tried": lambda s: s.resee(Stimulus.PORT_SCAN, answers={"192.0.2.3": "filtered"}),
            "not even the neighbour can": lambda s: s.resee(Stimulus.PORT_SCAN, configured_open=False),
            "an answer nobody knows": lambda s: s.resee(Stimulus.PORT_SCAN, answers={**EDGES, "192.0.2.5": "?"}),
        },
    ),
    Row(
        "SEC-05",
        leaks,
        breaks={
            "the wire shows it going on": lambda s: (
                s.announce("c2-4", "ams2", ["198.51.101.0/24"], 301.5, as_path=path(CLOUD, ISP, 64502, 64498))
                or s.announce("tr-4", "lon1", ["198.51.101.0/24"], 301.5, as_path=path(CLOUD, ISP, 64502, 64498))
                or s.resee(Stimulus.LEAK, passed_on_to=["tr-4"])
            ),
            "it got further than its receiver": lambda s: s.resee(Stimulus.LEAK, accepted_at=["ams1", "lon1"]),
            "nobody says why": lambda s: s.resee(Stimulus.LEAK, reason=""),
        },
        lacks={
            "never tried": lambda s: s.untry(Stimulus.LEAK),
            "one type is missing": lambda s: s.redo(Stimulus.LEAK, type=1),
            "not on the wire": lambda s: s.silence("c1-4", MessageType.UPDATE, "isp1"),
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
)
