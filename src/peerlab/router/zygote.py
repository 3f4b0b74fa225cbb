"""Importing this module is what a zygote does before it forks routers: everything they have in common, done once.

ExaBGP is imported, taken over and made to parse a configuration; the template of ``exabgp.conf`` is compiled; codecs
of the control protocol are built. A router forked from here starts in milliseconds and shares these pages.
"""

from __future__ import annotations

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.daemons import exabgp
from peerlab.router import main as main
from peerlab.router.engine import warm_up

_SAMPLE = RouterConfig(
    node="sample",
    asn=64500,
    router_id=Address("192.0.2.0"),
    directory="/",
    peers=(
        PeerConfig(
            session="sample",
            peer="sample",
            family=Family.IPV6,
            local_address=Address("2001:db8::"),
            peer_address=Address("2001:db8::1"),
            local_as=64500,
            peer_as=64501,
            import_policy="deny-all",
            export_policy="deny-all",
            md5="sample",
            passive=True,
        ),
    ),
)

warm_up(exabgp.configuration(_SAMPLE))
