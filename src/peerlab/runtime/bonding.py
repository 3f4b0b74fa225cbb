"""Can this kernel make an LACP bundle? Asked where nothing is at stake: in a network namespace of the asker's own."""

from __future__ import annotations

import errno

from peerlab.runtime import rtnetlink
from peerlab.runtime.kernel import CLONE_NEWNET, unshare
from peerlab.runtime.netlink import Netlink, NetlinkRefused
from peerlab.runtime.task import Reporter

__all__ = ["can_bond"]

_UNKNOWN_KIND = frozenset({errno.EOPNOTSUPP, errno.ENOENT, errno.EPERM})


def can_bond(reporter: Reporter) -> bool:
    """Makes a bonding interface in a namespace that ends with this process."""
    unshare(CLONE_NEWNET)
    with Netlink() as netlink:
        try:
            netlink.transact([rtnetlink.bond("bundle")])
        except NetlinkRefused as refusal:
            if refusal.failures[0].errno in _UNKNOWN_KIND:
                return False
            raise
    return True
