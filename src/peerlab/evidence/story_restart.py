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
    GRACEFUL_RESTART = "graceful-restart"
    """The router of a peer that runs graceful restart is killed while 1 kHz streams run through its kernel; one of its
    two routes is withdrawn behind it, and it is started again. applied: node=the helper, session, peer=the router that
    restarts, restart_time:int, kept:prefix, withdrawn:prefix, stream:str. observed: down:bool, established:bool (again,
    with End-of-RIB), held_while_down, helper_kernel_while_down, peer_kernel_while_down, held_after, peer_kernel_after:
    which of the two prefixes were best by that session, or in the kernel."""
    RESTART_EXPIRED = "restart-expired"
    """The same router is killed and does not come back. applied: (the same, without stream).
    observed: down:bool, held_while_down, gone:bool (no route left when waited for), seconds:float from the end of the
    session, helper_kernel_after."""
