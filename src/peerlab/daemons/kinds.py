"""Which daemon stands behind which kind of router."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from peerlab.bgp.attributes import Family
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.policy import Policy
from peerlab.daemons import bird, exabgp, frr, openbgpd
from peerlab.daemons.base import Daemon
from peerlab.errors import Unsupported
from peerlab.topology.model import NodeKind

_DAEMONS: Mapping[NodeKind, Daemon] = {
    NodeKind.EXABGP: exabgp,
    NodeKind.BIRD: bird,
    NodeKind.FRR: frr,
    NodeKind.OPENBGPD: openbgpd,
}


WITH_BFD = frozenset({NodeKind.EXABGP, NodeKind.BIRD})
"""Kinds whose routers do BFD here. A kind that is not among them refuses a session with BFD."""


def daemon_of(kind: NodeKind) -> Daemon:
    """The daemon of a kind. Raises Unsupported for a kind that this version of peerlab cannot run."""
    daemon = _DAEMONS.get(kind)
    if daemon is None:
        can = ", ".join(sorted(one.value for one in _DAEMONS))
        raise Unsupported(f"peerlab cannot run a router of kind {kind.value} yet; there are: {can}")
    return daemon


def refuse_what_cannot_be_said(kind: NodeKind, policy: Policy, family: Family) -> None:
    """Raises Unsupported when a router of that kind cannot be run, or cannot express the policy, naming it."""
    daemon_of(kind).refuse(policy, family)


def refuse_bfd(kind: NodeKind, session: str) -> None:
    """Raises Unsupported when a router of that kind does no BFD here."""
    if kind not in WITH_BFD:
        can = ", ".join(sorted(one.value for one in WITH_BFD))
        raise Unsupported(
            f"session {session} wants BFD, which a router of kind {kind.value} does not do in this version of peerlab; "
            f"kinds that do: {can}"
        )


def files_of(config: RouterConfig) -> Mapping[PurePath, str]:
    """The files of a router from its configuration alone. Raises Unsupported."""
    return daemon_of(NodeKind(config.kind)).files(config)
