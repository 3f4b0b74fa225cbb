"""What is asked of the tap over its Unix socket, and what it answers.

Frames as in ``router.protocol``: 4 octets of length (network order), then one JSON object. A request has ``id`` and
``do``; its answer has the same ``id`` and either ``answer`` or ``refused`` (text). Answers to a `Flush` may come after
answers to later requests.
"""

from __future__ import annotations

import msgspec

LONGEST_REQUEST = 1 << 22


class TapConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the tap is told at birth. ``nodes`` maps node name to the path of its network namespace.

    ``output`` is the pcapng file, continued when it exists; ``control`` the Unix socket to listen on.
    ``ring_octets`` bounds the memory for frames not yet read; half of what is free is shared out to each set of nodes.
    """

    nodes: dict[str, str]
    output: str
    control: str
    ring_octets: int = 64 << 20


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    id: int = 0


class AddNodes(_Request, frozen=True, kw_only=True, tag="add-nodes"):
    """Listen in these namespaces too. Answer: true, once each of them is being captured."""

    nodes: dict[str, str]


class RemoveNodes(_Request, frozen=True, kw_only=True, tag="remove-nodes"):
    """Write what is left of these nodes and let go of their namespaces, which the kernel can free only then.

    Answer: true. Unknown names are no mistake.
    """

    nodes: tuple[str, ...]


class Flush(_Request, frozen=True, kw_only=True, tag="flush"):
    """Answer: a `Captured`, when all that any node had sent before this request is in the file."""


TapRequest = AddNodes | RemoveNodes | Flush


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in the file: its octets, the frames of this tap's life, and how many were lost per node."""

    octets: int
    frames: int
    lost: dict[str, int] = {}


class TapAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request; ``refused`` is text for a person."""

    id: int
    answer: bool | Captured | None = None
    refused: str | None = None
