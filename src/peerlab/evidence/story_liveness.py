"""The words of the liveness scene: BFD's gate, BFD by administration, and paths that fail with their carrier up."""

from __future__ import annotations

from enum import StrEnum


class LivenessStimulus(StrEnum):
    """What the examiners do to BFD and to the paths that it watches over.

    Every ``applied`` has: node=the examined router, session, peer=the examiner's router, addresses:[the examined
    router's, the examiner's], interval_ms:int and multiplier:int as agreed for both ends. ``frames`` are the Ethernet
    frames of BFD at the examined router's interface: [[ns, 'in' or 'out', hex], …].
    """

    BFD_GATE = "bfd-gate"
    """An end that demands BFD is Established with a peer that has none yet; both have a route to tell. Then the peer
    begins BFD. applied: offered:prefix of the examiner, told:prefix of the examined router.
    observed: established:bool, held_received:int and held_advertised:int (routes of the session at the examined router
    before the peer began), bfd_up:bool, received:int, advertised:int (after), frames."""
    BFD_ADMIN_DOWN = "bfd-admin-down"
    """The peer puts BFD into AdminDown for longer than the detection time while BGP stands. applied: (the above).
    observed: state:str (BFD at the examined router then), uptime_kept:bool, frames."""
    PATH_LOST = "path-lost"
    """Every packet of a path is lost with the carrier up, both ways or in one direction only.
    applied: direction:'both', 'to-edge' or 'from-edge', hold_time:int, prefix (learned over the path).
    observed: down_at_edge:bool, down_at_peer:bool, routes_left:int and kernel_left:int (of the path at the examined
    router), frames."""
    PATH_MENDED = "path-mended"
    """The same path carries packets again. applied: direction, prefix.
    observed: established:bool (both ends), bfd_up:bool (both ends), received:int (routes of the peer again)."""
