"""A mistake in a topology: where in the document, what is wrong, what to do. Collected, never raised one by one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from peerlab.errors import InputError, Problem, RefusedError

Path = tuple[str | int, ...]
"""Place in the document: keys as written and list positions from 0."""

KNOWN_SHOWN = 20
"""How many known words a remedy lists at most."""


def path_text(path: Path) -> str:
    """The place as people write it: ``ases.isp.backbone[0].cost``; ``(top)`` for the document itself."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(top)"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant; None when none is near."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A remedy: the nearest known word if there is one, else the known words."""
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    if not known:
        return "define it, or take this out"
    shown = ", ".join(known[:KNOWN_SHOWN])
    return f"known here: {shown}" + (f" and {len(known) - KNOWN_SHOWN} more" if len(known) > KNOWN_SHOWN else "")


def no_such(kind: str, word: str, known: Sequence[str]) -> RefusedError:
    """The refusal of a name that nothing has, with the one that was probably meant."""
    return RefusedError(
        f"NoSuch{kind.title().replace(' ', '')}", f"there is no {kind} {word}; {did_you_mean(word, known)}"
    )


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

    def known(self, name: str, among: Iterable[str], kind: str, path: Path) -> bool:
        """Whether a reference leads somewhere; notes a mistake if not."""
        names = list(among)
        if name in names:
            return True
        self.add(path, f"there is no {kind} {name!r}", did_you_mean(name, names))
        return False

    def known_pair(self, between: tuple[str, ...], among: Iterable[str], kind: str, path: Path) -> bool:
        """Whether these are two different names that lead somewhere; notes what they are not."""
        if len(between) != 2:
            self.add(path, f"{len(between)} names instead of two", "write [A, B]")
            return False
        names = list(among)
        found = [self.known(name, names, kind, (*path, side)) for side, name in enumerate(between)]
        if all(found) and between[0] == between[1]:
            self.add(path, f"both ends are {between[0]!r}", "name two different ones")
            return False
        return all(found)

    def raise_if_any(self) -> None:
        """Raises DocumentError with everything noted so far."""
        if self._found:
            raise DocumentError(self._found)
