"""A prefix that a router originates."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix


class Origination(msgspec.Struct, frozen=True):
    """A prefix that this router originates, with what it carries besides BGP's defaults."""

    prefix: Prefix
    attributes: PathAttributes = PathAttributes()
