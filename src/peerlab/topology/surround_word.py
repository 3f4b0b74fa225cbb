"""Words of a topology that is written by a program: names, scalars and comments that YAML reads as they are meant."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from peerlab.bgp.attributes import Family, Prefix


def slug(text: str, otherwise: str) -> str:
    """A name of the language made of a text; ``otherwise`` where nothing is left of it."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:24].strip("-")
    return found if re.match(r"[a-z]", found) else otherwise


def key(family: Family) -> str:
    """v4 or v6."""
    return "v4" if family is Family.IPV4 else "v6"


def scalar(text: str | None, *, quote: bool = False) -> str:
    """A scalar that YAML reads as this text."""
    return json.dumps(text or "") if quote or not re.fullmatch(r"[A-Za-z0-9./-]+", text or "") else text or ""


def comment(text: str, indent: int = 0) -> str:
    """One line of printable ASCII, whatever the text is."""
    return " " * indent + " ".join(re.sub(r"[^\x20-\x7e]", " ", text).split())


def listing(prefixes: Sequence[Prefix]) -> str:
    """A flow sequence."""
    return f"[{', '.join(scalar(prefix) for prefix in prefixes)}]"
