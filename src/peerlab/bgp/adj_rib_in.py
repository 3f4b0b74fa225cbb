"""Adj-RIB-In of one session: every route as it was received, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from peerlab.bgp.attributes import PathAttributes
from peerlab.bgp.ingress import Admission, Ingress
from peerlab.bgp.rib import Rib

_FORGET_BEYOND = 4096


class AdjRibIn:
    """Routes of one Established session, keyed by raw NLRI. Eligible ones are put into ``rib`` as they come.

    ``stale`` holds the routes that a refresh in progress has not confirmed yet (RFC 7313 section 4), or that the peer
    has not announced again after its restart (RFC 4724 section 4.2).
    """

    def __init__(self, session: str, ingress: Ingress, rib: Rib) -> None:
        self._session = session
        self._rib = rib
        self.ingress = ingress
        self._routes: dict[bytes, tuple[PathAttributes, int]] = {}
        self._rejected: dict[bytes, str] = {}
        self._stale: dict[bytes, None] | None = None
        self.awaits_end_of_rib = False

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._routes)

    @property
    def accepted(self) -> int:
        """Number of routes that import policy and the built-in rules let through."""
        return len(self._routes) - len(self._rejected)

    def route(self, raw: bytes) -> tuple[PathAttributes, int] | None:
        """Attributes as received and the time when they came; None without a route."""
        return self._routes.get(raw)

    def admission(self, raw: bytes) -> Admission:
        """What became of a route. Raises KeyError when there is none."""
        return self.ingress.admit(raw, self._routes[raw][0])

    def announce(self, raws: Sequence[bytes], attributes: PathAttributes, now: int) -> None:
        """These prefixes were announced with these attributes; earlier routes are replaced."""
        if self._stale is not None:
            for raw in raws:
                self._stale.pop(raw, None)
        self._routes.update(dict.fromkeys(raws, (attributes, now)))
        if self.ingress.looks_at_prefix:
            self._admit_each(raws, attributes)
        else:
            self._apply(raws, self.ingress.admit(b"", attributes))

    def withdraw(self, raws: Sequence[bytes]) -> None:
        """These prefixes were withdrawn; unknown ones are ignored."""
        routes, rejected = self._routes, self._rejected
        for raw in raws:
            if routes.pop(raw, None) is not None:
                rejected.pop(raw, None)
        self._rib.drop(raws, self._session)
        if self._stale is not None:
            for raw in raws:
                self._stale.pop(raw, None)

    def judge_anew(self) -> None:
        """Import policy changed: every route is admitted or rejected again, as it was received."""
        self._judge(self._routes)

    def judge_again(self, affected: Callable[[bytes], bool]) -> int:
        """VRPs changed: the routes for these prefixes are judged again. Answers with how many they are."""
        raws = [raw for raw in self._routes if affected(raw)]
        self._judge(raws)
        return len(raws)

    def _judge(self, raws: Iterable[bytes]) -> None:
        by_attributes: dict[int, tuple[PathAttributes, list[bytes]]] = {}
        for raw in raws:
            attributes, _ = self._routes[raw]
            by_attributes.setdefault(id(attributes), (attributes, []))[1].append(raw)
        for attributes, alike in by_attributes.values():
            if self.ingress.looks_at_prefix:
                self._admit_each(alike, attributes)
            else:
                self._apply(alike, self.ingress.admit(b"", attributes))

    def begin_refresh(self) -> None:
        """The peer begins to send everything again (BoRR)."""
        self._stale = dict.fromkeys(self._routes)

    def end_refresh(self) -> int:
        """The peer has sent everything (EoRR): what it did not send is gone. Answers with how many routes that were."""
        stale, self._stale = self._stale, None
        if not stale:
            return 0
        self.withdraw(list(stale))
        return len(stale)

    def adopt(self, earlier: AdjRibIn) -> None:
        """Take over the routes that an earlier session has left: stale until announced again, or until End-of-RIB."""
        self._routes = dict(earlier._routes)
        self._stale = dict.fromkeys(self._routes)
        self.awaits_end_of_rib = True
        self.judge_anew()

    def end_of_rib(self) -> int:
        """Drop what the peer has not announced again since its restart. Answers with how many routes that were."""
        self.awaits_end_of_rib = False
        return self.end_refresh()

    def clear(self) -> None:
        """Everything is gone with the session."""
        self.withdraw(list(self._routes))

    def trim(self) -> None:
        """Keep what is remembered of admissions in proportion to the routes that are there."""
        self.ingress.forget(2 * len(self._routes) + _FORGET_BEYOND)

    def _admit_each(self, raws: Sequence[bytes], attributes: PathAttributes) -> None:
        groups: dict[int, tuple[Admission, list[bytes]]] = {}
        for raw in raws:
            admission = self.ingress.admit(raw, attributes)
            groups.setdefault(id(admission), (admission, []))[1].append(raw)
        for admission, group in groups.values():
            self._apply(group, admission)

    def _apply(self, raws: Sequence[bytes], admission: Admission) -> None:
        if admission.path is None:
            self._rejected.update(dict.fromkeys(raws, admission.reason))
            self._rib.drop(raws, self._session)
            return
        if self._rejected:
            for raw in raws:
                self._rejected.pop(raw, None)
        self._rib.put(raws, admission.path)
