"""The restart scene: processes end and come back while packets run."""

from __future__ import annotations

from peerlab.controller.rehearsal import Rehearsal
from peerlab.controller.route_server_loss import lose_route_servers


async def restart(rehearsal: Rehearsal) -> None:
    """Lose the route servers."""
    await lose_route_servers(rehearsal)
