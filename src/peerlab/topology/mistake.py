"""A mistake in a topology: where in the document, what is wrong, what to do. Collected, never raised one by one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from peerlab.errors import InputError, Problem

Path = tuple[str | int, ...]
"""Place in the document: keys as written and list positions from 0."""


def path_text(path: Path) -> str:
    """The place as people write it: ``ases.isp.backbone[0].cost``; ``(top)`` for the document itself."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(top)"


class Mistake(msgspec.Struct, frozen=True, order=True):
    """One mistake. ``remedy`` is an instruction."""

    path: Path
    what: str
    remedy: str


class DocumentError(InputError):
    """The document is wrong; ``mistakes`` keep their place so that ``load`` can add file and line."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(Problem(path_text(m.path), m.what, m.remedy) for m in self.mistakes)


class Mistakes:
    """Collector that the passes share."""

    def __init__(self) -> None:
        self._found: dict[Mistake, None] = {}

    def add(self, path: Path, what: str, remedy: str) -> None:
        """Note one mistake; the same one twice counts once."""
        self._found[Mistake(path, what, remedy)] = None

    def raise_if_any(self) -> None:
        """Raises DocumentError with everything noted so far."""
        if self._found:
            raise DocumentError(self._found)
