"""An explanation names the winner first, and for every other path the step it lost at or who rejected it."""

from __future__ import annotations

from peerlab.bgp.attributes import Address, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.route_fact import Candidate, Explanation
from peerlab.report.explanation import explain

PREFIX = Prefix("203.0.113.0/24")


def path(*asns: int) -> PathAttributes:
    return PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, asns),), next_hop=Address("192.0.2.1"))


BEST = Candidate(session="a--b.v4", peer="b", attributes=path(64500), accepted=True, best=True, igp_metric=10)
LOST = Candidate(
    session="a--c.v4", peer="c", attributes=path(64501, 64500), accepted=True, eliminated_by="longer AS_PATH"
)
REJECTED = Candidate(session="a--d.v4", peer="d", attributes=path(64502), accepted=False, rejected_by="no bogons")
OWN = Candidate(session=None, peer=None, attributes=PathAttributes(), accepted=True, best=True)


def told(*candidates: Candidate, width: int = 100) -> str:
    return explain(Explanation(node="a", prefix=PREFIX, candidates=candidates), width=width)


def test_the_winner_comes_first_then_losers_then_the_rejected() -> None:
    assert told(REJECTED, LOST, BEST) == "\n".join(
        [
            "203.0.113.0/24 at a: 3 paths",
            "",
            "best from b (a--b.v4)",
            "    path 64500 via 192.0.2.1, IGP metric 10 to the next hop",
            "",
            "lost from c (a--c.v4)",
            "    path 64501 64500 via 192.0.2.1",
            "    at the step “longer AS_PATH”",
            "",
            "rejected from d (a--d.v4)",
            "    path 64502 via 192.0.2.1",
            "    by the policy statement “no bogons”",
        ]
    )


def test_a_prefix_of_its_own() -> None:
    assert "1 path\n" in told(OWN) and "best originated here" in told(OWN)


def test_nobody_announces_it() -> None:
    assert told() == "a knows no path to 203.0.113.0/24: nobody announces it to a"


def test_paths_of_which_none_is_used() -> None:
    assert told(REJECTED).splitlines()[:2] == ["203.0.113.0/24 at a: 1 path", "none of them is used"]
    assert "none of them" not in told(BEST, REJECTED)


def test_no_line_is_wider_than_asked() -> None:
    long = Candidate(session="a--b.v4", peer="b", attributes=path(*range(64500, 64540)), accepted=True, best=True)
    assert max(map(len, told(long, width=80).splitlines())) <= 80
