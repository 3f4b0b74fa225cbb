"""The words of the restart scene: route servers that are lost, routers that restart and keep forwarding."""

from __future__ import annotations

from enum import StrEnum


class RestartStimulus(StrEnum):
    """What the restart scene does to processes while packets run."""

    ROUTE_SERVER_LOST = "route-server-lost"
    """The process of a route server is killed while 1 kHz streams run; those killed before stay dead.
    applied: node=the route server, servers:[every one that is dead then], edge:a cloud router that is their client,
    best:{prefix: session that its best route came by}, stream:str (name of streams and traced paths).
    observed: down:bool (every other end of its sessions), best:{prefix: session, '' without a route}."""
