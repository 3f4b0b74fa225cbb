"""BIRD's BFD against ours: up in both families, a failure found at both ends, and a strict end of ours."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from live.router_lab import WITHIN, RouterLab, pair, peers, prefixes, run, two_routers, with_ends

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import BfdConfig, PeerConfig
from peerlab.errors import RefusedError
from peerlab.router.protocol import SetBfd, ShutBfd
from peerlab.runtime.base import Impairment

pytestmark = [pytest.mark.live, pytest.mark.daemons]

BIRD = {"kind": "bird"}
BOTH = ("s4", "s6")
DETECTION = 0.9
LATE = 0.6
"""Seconds that a loaded machine may add to a time that is measured."""


def sessions(left: dict[str, Any], right: dict[str, Any]) -> list[tuple[PeerConfig, PeerConfig]]:
    """One session of each family from a (ours) to b (BIRD)."""
    made = [peers("s4", Family.IPV4, "a", "b", hold_time=90), peers("s6", Family.IPV6, "a", "b", hold_time=90)]
    return [with_ends(ends, left, right) for ends in made]


async def both_up(lab: RouterLab) -> None:
    for name in BOTH:
        for node in ("a", "b"):
            assert await lab.clients[node].wait("bfd-up", WITHIN, session=name), (node, name)
            assert await lab.clients[node].wait("established", WITHIN, session=name), (node, name)


def test_up_with_the_agreed_timers_and_told_by_bird_as_ours_are(tmp_path: Path) -> None:
    async def story() -> None:
        ends = sessions({"bfd": BfdConfig()}, {"bfd": BfdConfig(interval_ms=400, multiplier=5)})
        async with two_routers(tmp_path, *pair(ends, right=BIRD)) as lab:
            await both_up(lab)
            for name in BOTH:

                async def agreed(name: str = name) -> bool:
                    ours, birds = (await lab.session("a", name)).bfd, (await lab.session("b", name)).bfd
                    assert (ours.state, birds.state) == ("Up", "Up")
                    told = (ours.interval_ms, ours.detection_ms, birds.interval_ms, birds.detection_ms)
                    return told == (400, 2000, 400, 1200)

                await lab.until(agreed, f"agreement on the timers of {name}")
            moves = [n["after"] for n in lab.notices["b"] if n["event"] == "bfd-state-changed" and n["session"] == "s6"]
            assert moves[-1] == "Up"

    run(story())


@pytest.mark.parametrize("cut", [("a", "b"), ("a",), ("b",)], ids="+".join)
def test_a_failure_in_any_direction_ends_bgp_at_both_ends_in_time(tmp_path: Path, cut: Any) -> None:
    async def story() -> None:
        ends = sessions({"bfd": BfdConfig()}, {"bfd": BfdConfig()})
        async with two_routers(tmp_path, *pair(ends, right=BIRD)) as lab:
            await both_up(lab)
            for node in cut:
                await lab.runtime.impair(Impairment(node=node, interface="e0", direction="out", loss_percent=100))
            began = time.monotonic()
            for node in ("a", "b"):
                for name in BOTH:
                    assert await lab.clients[node].wait("down", WITHIN, session=name)
            assert time.monotonic() - began < DETECTION + LATE
            assert any("BFD" in why or "6.10" in why for _, _, why in lab.changes("b", "s4")), lab.changes("b", "s4")
            for node in cut:
                await lab.runtime.clear(node, "e0", "out")
            await both_up(lab)

    run(story())


def test_bird_takes_our_administration_for_a_failure(tmp_path: Path) -> None:
    """BIRD 2.0.12 against RFC 5882 section 3.2, as measured; docs/bfd.md says so. A BIRD that is mended fails this."""

    async def story() -> None:
        ends = sessions({"bfd": BfdConfig()}, {"bfd": BfdConfig()})
        async with two_routers(tmp_path, *pair(ends, right=BIRD)) as lab:
            await both_up(lab)
            await lab.clients["a"].ask(ShutBfd(session="s4"))
            assert await lab.clients["b"].wait("bfd-down", WITHIN, session="s4")
            assert await lab.clients["b"].wait("down", WITHIN, session="s4")
            with pytest.raises(RefusedError, match="BIRD, which cannot"):
                await lab.clients["b"].ask(ShutBfd(session="s4"))

    run(story())


def test_a_strict_end_of_ours_takes_and_tells_nothing_until_bird_has_bfd(tmp_path: Path) -> None:
    async def story() -> None:
        ends = sessions({"bfd": BfdConfig(strict=True)}, {"bfd": None})
        a, b = pair(
            ends,
            left={"originate": prefixes("203.0.113.0/24")},
            right={**BIRD, "originate": prefixes("198.51.100.0/24")},
        )
        async with two_routers(tmp_path, a, b) as lab:
            await lab.established("a", *BOTH)
            at_a = await lab.session("a", "s4")
            assert (at_a.state, at_a.received, at_a.advertised, at_a.bfd.waits) == ("Established", 0, 0, True)
            await lab.clients["b"].ask(SetBfd(peers={name: BfdConfig() for name in BOTH}))
            await both_up(lab)
            assert await lab.clients["a"].wait("best", WITHIN, prefix="198.51.100.0/24")
            assert await lab.clients["b"].wait("best", WITHIN, prefix="203.0.113.0/24")
            assert (await lab.session("a", "s4")).since == at_a.since

    run(story())
