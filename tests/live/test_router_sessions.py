"""Two router processes on one wire: sessions, and everything that ends them."""

from __future__ import annotations

from pathlib import Path

import pytest
from router_lab import pair, peers, run, two_routers

from peerlab.bgp.attributes import Family

pytestmark = pytest.mark.live


def test_sessions_of_both_families_come_up_with_md5_and_gtsm(tmp_path: Path) -> None:
    async def story() -> None:
        sessions = [
            peers("s4", Family.IPV4, "a", "b", md5="secret", gtsm=True),
            peers("s6", Family.IPV6, "a", "b", md5="an\\other \"one\"", gtsm=True),
        ]
        async with two_routers(tmp_path, *pair(sessions)) as lab:
            await lab.established("a", "s4", "s6")
            await lab.established("b", "s4", "s6")
            fact = await lab.session("b", "s4")
            assert (fact.hold_time, fact.keepalive, fact.peer_as) == (9, 3, 64500)
            assert {"four octet as", "route refresh", "extended message"} <= set(fact.capabilities_received)
            steps = [(before, after) for before, after, _ in lab.changes("b", "s6")]
            assert steps[-3:] == [
                ("Active", "OpenSent"),
                ("OpenSent", "OpenConfirm"),
                ("OpenConfirm", "Established"),
            ]

    run(story())
