"""A router in company: a peer that does not read, a peer that is BIRD, and more routers than one."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from router_lab import V4, V6, WITHIN, pair, peers, prefixes, router, router_lab, run, two_routers

from peerlab.bgp import framing
from peerlab.bgp.attributes import Address, BgpRole, Family, Prefix
from peerlab.bgp.config import PeerConfig
from peerlab.router.protocol import Originate, SendRaw
from peerlab.runtime.base import InterfaceSpec, LinkSpec, NodeSpec

pytestmark = pytest.mark.live


def test_a_peer_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """b is frozen while 16 MiB are written to it; a's session with c goes on, and b gets every octet in the end."""

    def end(me: str, other: str, number: int, side: int) -> PeerConfig:
        wire = "-".join(sorted((me, other)))
        return PeerConfig(
            session=wire, peer=other, family=Family.IPV4, hold_time=90, passive=side == 1, interface=f"to-{other}",
            local_address=Address(f"192.0.2.{2 * number + side}"), local_as=65000 + ord(me),
            peer_address=Address(f"192.0.2.{2 * number + 1 - side}"), peer_as=65000 + ord(other),
            import_policy="accept-all", export_policy="accept-all",
        )  # fmt: skip

    async def story() -> None:
        nodes = [NodeSpec(name=n, forwarding=True) for n in "abc"]
        links = [
            LinkSpec(
                id=f"a-{other}",
                a=InterfaceSpec(node="a", name=f"to-{other}", addresses=(f"192.0.2.{2 * n}/31",)),
                b=InterfaceSpec(node=other, name="to-a", addresses=(f"192.0.2.{2 * n + 1}/31",)),
            )
            for n, other in enumerate("bc")
        ]
        async with router_lab(tmp_path, nodes, links) as lab:
            for n, other in enumerate("bc"):
                await lab.start(router(other, 65000 + ord(other), f"10.0.0.{n + 2}", [end(other, "a", n, 1)]))
            await lab.start(router("a", 65000 + ord("a"), "10.0.0.1", [end("a", o, n, 0) for n, o in enumerate("bc")]))
            await lab.established("a", "a-b", "a-c")
            await lab.runtime.signal("b", "router1", signal.SIGSTOP)
            withdrawals = b"\x18\x0a\x00\x00" * 1000
            message = framing.frame(
                framing.MessageType.UPDATE, len(withdrawals).to_bytes(2, "big") + withdrawals + b"\0\0"
            )
            await lab.clients["a"].ask(SendRaw(session="a-b", message=(message * 4096).hex()))
            assert not await lab.clients["a"].wait("quiet", 0.2)
            await lab.clients["a"].ask(Originate(prefix=Prefix("203.0.113.0/24")))
            assert await lab.clients["c"].wait("best", WITHIN, prefix="203.0.113.0/24")
            await lab.runtime.signal("b", "router1", signal.SIGCONT)
            assert await lab.clients["a"].wait("quiet", WITHIN)
            assert await lab.clients["b"].wait("best", WITHIN, prefix="203.0.113.0/24")
            assert (await lab.session("a", "a-b")).flaps == 0

    run(story())


BIRD = """
router id 10.0.0.2;
protocol device {{ }}
protocol kernel k4 {{ ipv4 {{ export all; }}; }}
protocol kernel k6 {{ ipv6 {{ export all; }}; }}
protocol static st4 {{ ipv4; route 198.51.100.0/24 blackhole; }}
protocol static st6 {{ ipv6; route 2001:db8:b00::/48 blackhole; }}
protocol bgp peer4 {{
  local {1} as 4200000001; neighbor {0} as 64500; passive on; hold time 9;
  password "our word"; ttl security on; local role peer; require roles on;
  ipv4 {{ import all; export where source = RTS_STATIC; }};
}}
protocol bgp peer6 {{
  local {3} as 4200000001; neighbor {2} as 64500; passive on; hold time 9; ttl security on;
  ipv6 {{ import all; export where source = RTS_STATIC; }};
}}
"""


@pytest.mark.skipif(
    os.environ.get("PEERLAB_DAEMONS") != "1" and shutil.which("bird") is None,
    reason="no bird here; with PEERLAB_DAEMONS=1 that is a failure",
)
def test_bird_is_a_peer_like_any_other(tmp_path: Path) -> None:
    """MD5, GTSM and roles (strict at BIRD's end) in IPv4, GTSM in IPv6, and routes both ways."""

    async def story() -> None:
        bird = shutil.which("bird")
        assert bird is not None, "PEERLAB_DAEMONS=1 promises bird"
        role = {"local_role": BgpRole.PEER, "md5": "our word", "gtsm": True}
        sessions = [peers("s4", Family.IPV4, "a", "b", **role), peers("s6", Family.IPV6, "a", "b", gtsm=True)]
        config, _ = pair(sessions, left={"originate": prefixes("203.0.113.0/24", "2001:db8:f00::/48")})
        async with two_routers(tmp_path) as lab:
            await lab.runtime.put_files("b", {"bird.conf": BIRD.format(*V4, *V6)})
            await lab.runtime.spawn("b", "bird", (bird, "-f", "-c", "bird.conf", "-s", "bird.ctl", "-P", "bird.pid"))
            a = await lab.start(config)
            await lab.established("a", "s4", "s6")
            assert (await lab.session("a", "s4")).peer_role == "peer"
            for family, theirs, ours in (
                (Family.IPV4, "198.51.100.0/24", "203.0.113.0/24"),
                (Family.IPV6, "2001:db8:b00::/48", "2001:db8:f00::/48"),
            ):
                assert await a.wait("best", WITHIN, prefix=theirs)
                assert (await lab.kernel("a", family))[theirs].device == "e0"

                async def bird_has_it(family: Family = family, prefix: str = ours) -> bool:
                    routes = await lab.runtime.kernel_routes("b", family.value)
                    return any(route.destination == prefix and route.device == "e0" for route in routes)

                await lab.until(bird_has_it, f"{ours} in BIRD's kernel")

    run(story())
