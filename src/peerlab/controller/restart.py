"""The restart scene: processes end, come back or do not, while packets run."""

from __future__ import annotations

from peerlab.controller.daemon_restart import restart_gracefully
from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.route_server_loss import lose_route_servers


async def restart(rehearsal: Rehearsal) -> None:
    """Route servers are lost; then a router restarts gracefully."""
    await lose_route_servers(rehearsal)
    await restart_gracefully(rehearsal)
