"""The routing table of one family: eligible paths per prefix, the best of each (Loc-RIB), and what changed.

Prefixes are raw NLRI. Decisions are put off until somebody looks (``settle``), so that a burst of messages about one
prefix costs one decision, and states in between are never seen. ``take_changes`` then tells whom to inform.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from peerlab.bgp.attributes import Address
from peerlab.bgp.decision import DecisionProfile, Path, choose
from peerlab.bgp.next_hop import Resolution


class Rib:
    """Paths and best paths of one family. ``best`` is right after ``settle`` only."""

    def __init__(self, profile: DecisionProfile) -> None:
        self.profile = profile
        self._paths: dict[bytes, Path | tuple[Path, ...]] = {}
        # Nearly every prefix has one path: it stands alone, without a tuple around it.
        self._touched: dict[bytes, None] = {}
        self._changed: dict[bytes, None] = {}
        self._stirred: dict[bytes, None] = {}
        self._before: dict[bytes, Path | None] = {}
        self.best: dict[bytes, Path] = {}

    def __iter__(self) -> Iterator[bytes]:
        """Every prefix that has an eligible path, resolvable or not."""
        return iter(self._paths)

    def paths(self, raw: bytes) -> tuple[Path, ...]:
        """All eligible paths of a prefix."""
        held = self._paths.get(raw)
        if held is None:
            return ()
        return (held,) if isinstance(held, Path) else held

    def put(self, raws: Iterable[bytes], path: Path) -> None:
        """This is now the path of its session for each of these prefixes."""
        paths, touched = self._paths, self._touched
        session = path.session
        for raw in raws:
            held = paths.get(raw)
            if held is None:
                paths[raw] = path
            elif held is path:
                continue
            elif isinstance(held, Path):
                paths[raw] = path if held.session == session else (held, path)
            else:
                paths[raw] = (*[one for one in held if one.session != session], path)
            touched[raw] = None

    def drop(self, raws: Iterable[bytes], session: str | None) -> None:
        """The session (None: this router itself) has no path for these prefixes any more."""
        paths, touched = self._paths, self._touched
        for raw in raws:
            held = paths.get(raw)
            if held is None:
                continue
            if isinstance(held, Path):
                if held.session != session:
                    continue
                del paths[raw]
            else:
                left = tuple([one for one in held if one.session != session])
                if len(left) == len(held):
                    continue
                paths[raw] = left if len(left) > 1 else left[0]
            touched[raw] = None

    def resolve_anew(self, resolution_of: Callable[[Path], Resolution | None]) -> None:
        """Next hops are reached differently: replace every path for which that is so."""
        swapped: dict[Path, Path] = {}

        def current(path: Path) -> Path:
            swap = swapped.get(path)
            if swap is None:
                resolution = resolution_of(path)
                swap = swapped[path] = path if resolution == path.resolution else path.resolved(resolution)
            return swap

        for raw, held in self._paths.items():
            if isinstance(held, Path):
                new: Path | tuple[Path, ...] = current(held)
                same = new is held
            else:
                new = tuple([current(one) for one in held])
                same = all(one is other for one, other in zip(new, held, strict=True))
            if not same:
                self._paths[raw] = new
                self._touched[raw] = None

    def settle(self) -> None:
        """Decide what is undecided."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        paths, best, before, profile = self._paths, self.best, self._before, self.profile
        changed = self._changed
        for raw in touched:
            held = paths.get(raw)
            winner: Path | None
            if held is None:
                winner = None
            elif isinstance(held, Path):
                winner = None if held.head[0] else held
            else:
                winner = choose(held, profile)
            old = best.get(raw)
            if winner is old:
                continue
            if raw not in before:
                before[raw] = old
            changed[raw] = None
            if winner is None:
                del best[raw]
            else:
                best[raw] = winner
        self._stirred.update(touched)

    def take_changes(self) -> tuple[dict[bytes, None], dict[bytes, None]]:
        """Since the last call: prefixes whose best path changed, and prefixes of which any path did."""
        changed, self._changed = self._changed, {}
        stirred, self._stirred = self._stirred, {}
        return changed, stirred

    def take_moves(self) -> list[tuple[bytes, Path | None]]:
        """Prefixes whose packets leave differently than at the last call, with the best path of now."""
        before, self._before = self._before, {}
        moves = []
        for raw, old in before.items():
            new = self.best.get(raw)
            if _way(old) != _way(new):
                moves.append((raw, new))
        return moves


def _way(path: Path | None) -> tuple[Address, str] | bool:
    """How packets leave by a path: a gateway and its interface, dropped (True), or untouched by BGP (False).

    The latter is so without a path, and for an originated prefix that is connected.
    """
    if path is None:
        return False
    if path.resolution is None or path.blackhole:
        return path.blackhole
    return path.resolution.gateway, path.resolution.interface
