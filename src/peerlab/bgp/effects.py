"""What the speaker wants done by those who own sockets and the kernel. It calls nothing itself."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.nlri import nlri_text


class FibChange(msgspec.Struct, frozen=True, gc=False):
    """The route of one prefix in the node's kernel is to be this from now on (it replaces any earlier one).

    ``raw`` is the prefix as NLRI: length octet, then as few octets of address as hold it. ``kind`` is ``unicast``
    (over ``gateway`` on ``interface``), ``blackhole`` (an originated prefix: what is not more specific is dropped,
    so that an aggregate cannot loop) or ``remove``. ``cost`` is added to the kernel's metric of the protocol; a route
    of another cost is another route to the kernel, and has to be removed by itself.
    """

    family: Family
    raw: bytes
    kind: str
    gateway: Address | None = None
    interface: str | None = None
    cost: int = 0

    @property
    def prefix(self) -> Prefix:
        """The prefix in canonical text."""
        return nlri_text(self.raw, self.family)


class CloseSession(msgspec.Struct, frozen=True):
    """End a session with this NOTIFICATION. The speaker has dropped its routes already, ``peer_down`` is still due."""

    session: str
    code: int
    subcode: int
    data: bytes
    reason: str


class Notice(msgspec.Struct, frozen=True):
    """Something a person should know; ``message`` is the UPDATE's body that caused it, if one did.

    ``kind``: ``treat-as-withdraw``, ``attribute-discarded``, ``ignored``, ``max-prefix-warning``, ``max-prefix``,
    ``session-reset``, ``not-sent``.
    """

    kind: str
    session: str
    text: str
    message: bytes = b""


class Effects(msgspec.Struct, frozen=True):
    """Everything that is to be done since the last time, in no order between the four parts.

    ``send`` holds whole BGP messages per session, in the order in which they must be written.
    """

    send: dict[str, list[bytes]]
    fib: list[FibChange]
    close: list[CloseSession]
    notices: list[Notice]
