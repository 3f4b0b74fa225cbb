"""With what a lab ran: peerlab, Python, the kernel and the routing daemons."""

from __future__ import annotations

import msgspec


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Versions as text. ``daemons`` maps a kind of router (``exabgp``, ``bird``) to what its program says of itself.

    ``taken`` says when they were read: a lab of an older peerlab kept none, then they are those of the bundling.
    """

    peerlab: str
    python: str
    kernel: str
    daemons: dict[str, str] = {}
    taken: str = "when the lab was built"
