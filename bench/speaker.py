"""How fast the routing core is: prefixes per second through receive, decision and export. No sockets, no kernel.

    python bench/speaker.py [prefixes]

Each row is one process's work on one core: UPDATE bodies in, UPDATE messages and FIB changes out.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, Segment, SegmentType
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.framing import HEADER_LENGTH
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.next_hop import StaticNextHops
from peerlab.bgp.policy import AsnRange, OriginAsIn, Policy, PrefixIn, PrefixRange, Statement, Verdict
from peerlab.bgp.speaker import BgpSpeaker
from peerlab.bgp.update import encode_raw_updates

ACCEPT = Policy(name="accept", statements=(Statement(name="all", verdict=Verdict.ACCEPT),))
BOGONS = tuple(
    PrefixRange(Prefix(one), le=32) for one in ("10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16", "224.0.0.0/3")
)
FILTER = Policy(
    name="filter",
    statements=(
        Statement(
            name="bogon",
            match=(PrefixIn(BOGONS),),
            verdict=Verdict.REJECT,
        ),
        Statement(
            name="too specific", match=(PrefixIn((PrefixRange(Prefix("0.0.0.0/0"), ge=25),)),), verdict=Verdict.REJECT
        ),
        Statement(name="private origin", match=(OriginAsIn((AsnRange(64512, 65534),)),), verdict=Verdict.REJECT),
        Statement(name="rest", verdict=Verdict.ACCEPT),
    ),
)
PER_SET = 5
"""Prefixes per attribute set; a full table has about as many."""


def bodies(count: int, peer_as: int, next_hop: str) -> list[bytes]:
    """UPDATE bodies that announce ``count`` prefixes, five per attribute set."""
    found = []
    raws = [bytes([24]) + (0x14000000 + (index << 8)).to_bytes(4, "big")[:3] for index in range(count)]
    for at in range(0, count, PER_SET):
        asns = (peer_as, 3000 + at % 977, 100000 + at // PER_SET)
        attributes = PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, asns),),
            next_hop=Address(next_hop),
            communities=("3356:100", f"3356:{at % 100}"),
        )
        messages = encode_raw_updates(attributes, raws[at : at + PER_SET], Family.IPV4)
        found.extend(message[HEADER_LENGTH:] for message in messages)
    return found


def speaker(peers: int, policy: str, listeners: int = 0) -> BgpSpeaker:
    """A speaker with so many sending peers, and listeners that only receive."""
    configs = tuple(
        PeerConfig(
            session=f"s{number}",
            peer=f"p{number}",
            family=Family.IPV4,
            local_address=Address(f"10.0.{number}.2"),
            peer_address=Address(f"10.0.{number}.1"),
            local_as=64500,
            peer_as=1000 + number,
            import_policy=policy,
            export_policy="accept" if number > peers else "",
        )
        for number in range(1, peers + listeners + 1)
    )
    policies = {"accept": ACCEPT, "filter": FILTER}
    made = BgpSpeaker(
        RouterConfig(
            node="r", asn=64500, router_id=Address("10.9.9.9"), directory="/", peers=configs, policies=policies
        ),
        0,
    )
    made.set_next_hops(StaticNextHops([(Prefix("10.0.0.0/8"), 0, None, "e0")]), 0)
    for number in range(1, peers + listeners + 1):
        made.peer_up(f"s{number}", Negotiated(peer_router_id=Address(f"10.8.8.{number}")), 0)
    made.take()
    return made


def clock(work: Callable[[], object]) -> float:
    """CPU seconds of one run: the machine may be busy with other things."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def row(what: str, prefixes: int, seconds: float) -> None:
    print(f"{what:<58} {prefixes:>9,} {seconds * 1000:>9.1f} ms {prefixes / seconds / 1e6:>7.2f} M/s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    feeds = {number: bodies(count, 1000 + number, f"10.0.{number}.1") for number in (1, 2)}
    print(f"{'what':<58} {'prefixes':>9} {'time':>12} {'rate':>11}")
    for policy in ("accept", "filter"):
        made = speaker(2, policy)

        def first(made: BgpSpeaker = made) -> None:
            made.receive("s1", feeds[1], 0)
            assert len(made.take().fib) == count

        def second(made: BgpSpeaker = made) -> None:
            made.receive("s2", feeds[2], 0)
            assert made.take().fib == []

        row(f"receive, {policy}, decide, FIB: first peer", count, clock(first))
        row(f"receive, {policy}, decide against another path: second peer", count, clock(second))
        row(f"the second peer again, nothing changes ({policy})", count, clock(second))

        def lost(made: BgpSpeaker = made) -> None:
            made.peer_down("s1", "bench", 0)
            assert len(made.take().fib) == count

        row(f"first peer lost, everything moves ({policy})", count, clock(lost))

    few = min(count, 10_000)
    made = speaker(1, "accept", listeners=4)
    made.receive("s1", feeds[1][: few // PER_SET], 0)

    def export() -> None:
        assert len(made.take().send) == 4

    row("export to 4 peers (prefixes x peers)", few * 4, clock(export))

    def deny() -> None:
        made.set_policy({}, {f"s{number}": ("accept", "deny-all") for number in range(2, 6)}, 0)
        assert len(made.take().send) == 4

    row("deny-all on 4 peers, all withdrawn", few * 4, clock(deny))
    made = speaker(1, "accept")
    made.receive("s1", feeds[1], 0)
    made.take()

    def judge() -> None:
        made.set_policy({}, {"s1": ("deny-all", "")}, 0)
        assert len(made.take().fib) == count
        made.set_policy({}, {"s1": ("filter", "")}, 0)
        assert len(made.take().fib) == count

    row("import policy to deny-all and to filter", count * 2, clock(judge))


if __name__ == "__main__":
    main()
