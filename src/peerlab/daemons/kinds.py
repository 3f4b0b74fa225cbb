"""Which daemon stands behind which kind of router."""

from __future__ import annotations

from typing import cast

from peerlab.daemons import bird, exabgp
from peerlab.daemons.base import Daemon
from peerlab.errors import Unsupported
from peerlab.topology.model import NodeKind

_DAEMONS = {NodeKind.EXABGP: exabgp, NodeKind.BIRD: bird}


def daemon_of(kind: NodeKind) -> Daemon:
    """The daemon of a kind. Raises Unsupported for a kind that this version of peerlab cannot run."""
    daemon = _DAEMONS.get(kind)
    if daemon is None:
        can = ", ".join(sorted(one.value for one in _DAEMONS))
        raise Unsupported(f"peerlab cannot run a router of kind {kind.value} yet; there are: {can}")
    return cast(Daemon, daemon)
