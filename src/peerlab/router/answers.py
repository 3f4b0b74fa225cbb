"""What every router answers to each request of ``router.protocol``, whatever speaks BGP in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.config import BfdConfig
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.bgp.rtr_config import RtrServer
from peerlab.errors import RefusedError
from peerlab.evidence.snapshot import SessionFact, ValidationFact
from peerlab.router.protocol import (
    AddPeers,
    Announce,
    AskCaches,
    Explain,
    OpenSession,
    Originate,
    ReadRib,
    ReadSessions,
    ReadValidation,
    RefreshSession,
    RemovePeers,
    SendRaw,
    SetBfd,
    SetPolicy,
    ShutBfd,
    ShutSession,
    Subscribe,
    WaitFor,
    WatchPrefixes,
    Withdraw,
    WithdrawOrigin,
)
from peerlab.router.rib_views import RibViews


class Answering(Protocol):
    """A router as far as it is asked and told the same whatever it runs."""

    @property
    def is_quiet(self) -> bool:
        """Nothing waits to be decided, sent or installed."""
        ...

    @property
    def rib(self) -> RibViews:
        """Its tables."""
        ...

    def sessions(self) -> list[SessionFact]:
        """Every session as it is now."""
        ...

    def is_established(self, session: str) -> bool:
        """Whether the session is Established. Raises RefusedError for an unknown one."""
        ...

    def has_end_of_rib(self, session: str) -> bool:
        """Whether it is, and its peer has sent End-of-RIB."""
        ...

    def has_bfd_up(self, session: str) -> bool:
        """Whether the session's BFD is Up. Raises RefusedError for an unknown one."""
        ...

    def set_bfd(self, peers: Mapping[str, BfdConfig | None]) -> None:
        """Have BFD watch over these sessions so, or not at all, without a reset."""
        ...

    def shut_bfd(self, session: str, down: bool) -> None:
        """AdminDown for a session's BFD, or up again. Raises RefusedError where that cannot be."""
        ...

    def validation(self) -> ValidationFact:
        """What origins are validated by now, and how the router stands with its RPKI caches."""
        ...

    def ask_caches(self, caches: tuple[RtrServer, ...]) -> None:
        """Validate origins by these caches from now on, without a reset."""
        ...

    def shut(self, session: str, communication: str, reset: bool) -> None:
        """Administrative shutdown, or reset."""
        ...

    def open(self, session: str) -> None:
        """End an administrative shutdown."""
        ...

    def refresh(self, session: str) -> None:
        """Ask the peer for its routes again."""
        ...

    def watch(self, prefixes: tuple[Prefix, ...]) -> None:
        """Tell what is held of these prefixes, and of every change from now on."""
        ...


class Answers(ABC):
    """The requests, each with its method. All may raise RefusedError, InputError or RuntimeFailure."""

    def __init__(self, router: Answering) -> None:
        self._asked = router
        self._by_request: dict[type, Callable[[Any], Any]] = {
            ReadSessions: self._sessions,
            Subscribe: self._sessions,
            ReadRib: self._read_rib,
            Explain: self._explain,
            SetPolicy: self._set_policy,
            AddPeers: self._add_peers,
            RemovePeers: self._remove_peers,
            AskCaches: self._ask_caches,
            ReadValidation: self._validation,
            SetBfd: self._set_bfd,
            ShutBfd: self._shut_bfd,
            ShutSession: self._shut,
            OpenSession: self._open,
            RefreshSession: self._refresh,
            Originate: self._originate,
            WithdrawOrigin: self._withdraw_origin,
            Announce: self._announce,
            Withdraw: self._withdraw,
            SendRaw: self._send_raw,
            WatchPrefixes: self._watch_prefixes,
        }

    def answer(self, request: Any) -> Any:
        """The answer to one request. What the request changed is in force when this returns."""
        return self._by_request[type(request)](request)

    def holds(self, wait: WaitFor) -> bool:
        """Whether what somebody waits for is so now. Raises RefusedError for what cannot be waited for."""
        router = self._asked
        if wait.what == "quiet":
            return router.is_quiet
        if wait.what == "vrps":
            return router.validation().digest == wait.digest
        if wait.what in ("best", "no-best"):
            if wait.prefix is None:
                raise RefusedError("PrefixMissing", f"wait-for {wait.what} needs a prefix")
            best = [route for route in router.rib.loc_rib(wait.prefix) if route.best]
            found = any(wait.session is None or route.session == wait.session for route in best)
            return found == (wait.what == "best")
        if wait.what not in ("established", "down", "end-of-rib", "bfd-up", "bfd-down"):
            raise RefusedError(
                "ConditionUnknown",
                f"cannot wait for {wait.what!r}; "
                "use established, down, end-of-rib, bfd-up, bfd-down, best, no-best, quiet or vrps",
            )
        if wait.session is None:
            raise RefusedError("SessionMissing", f"wait-for {wait.what} needs a session")
        if wait.what in ("bfd-up", "bfd-down"):
            return router.has_bfd_up(wait.session) == (wait.what == "bfd-up")
        if wait.what == "end-of-rib":
            return router.has_end_of_rib(wait.session)
        return router.is_established(wait.session) == (wait.what == "established")

    def _known(self, session: str | None) -> str:
        if session is None:
            raise RefusedError("SessionMissing", "this view needs a session")
        self._asked.is_established(session)
        return session

    def _sessions(self, _: Any) -> list[SessionFact]:
        return self._asked.sessions()

    def _read_rib(self, request: ReadRib) -> list[RouteFact]:
        rib = self._asked.rib
        if request.view == "loc-rib":
            return rib.loc_rib(request.prefix)
        views = {
            "adj-rib-in-pre": rib.adj_rib_in_pre,
            "adj-rib-in-post": rib.adj_rib_in_post,
            "adj-rib-out": rib.adj_rib_out,
        }
        if request.view not in views:
            raise RefusedError("ViewUnknown", f"no view {request.view!r}; there are: loc-rib, {', '.join(views)}")
        return views[request.view](self._known(request.session), request.prefix)

    def _explain(self, request: Explain) -> Explanation:
        return self._asked.rib.explain(request.prefix)

    def _set_bfd(self, request: SetBfd) -> bool:
        for session in request.peers:
            self._known(session)
        self._asked.set_bfd(request.peers)
        return True

    def _shut_bfd(self, request: ShutBfd) -> bool:
        self._known(request.session)
        self._asked.shut_bfd(request.session, request.down)
        return True

    def _ask_caches(self, request: AskCaches) -> bool:
        self._asked.ask_caches(request.caches)
        return True

    def _validation(self, _: Any) -> ValidationFact:
        return self._asked.validation()

    def _shut(self, request: ShutSession) -> bool:
        self._asked.shut(request.session, request.communication, request.reset)
        return True

    def _open(self, request: OpenSession) -> bool:
        self._asked.open(request.session)
        return True

    def _refresh(self, request: RefreshSession) -> bool:
        self._asked.refresh(request.session)
        return True

    def _watch_prefixes(self, request: WatchPrefixes) -> bool:
        self._asked.watch(request.prefixes)
        return True

    @abstractmethod
    def _set_policy(self, request: SetPolicy) -> bool: ...

    @abstractmethod
    def _add_peers(self, request: AddPeers) -> bool: ...

    @abstractmethod
    def _remove_peers(self, request: RemovePeers) -> bool: ...

    @abstractmethod
    def _originate(self, request: Originate) -> bool: ...

    @abstractmethod
    def _withdraw_origin(self, request: WithdrawOrigin) -> bool: ...

    @abstractmethod
    def _announce(self, request: Announce) -> bool: ...

    @abstractmethod
    def _withdraw(self, request: Withdraw) -> bool: ...

    @abstractmethod
    def _send_raw(self, request: SendRaw) -> bool: ...
