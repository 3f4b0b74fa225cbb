"""What a BIRD's companion answers to each request of ``router.protocol``; what BIRD cannot do is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from peerlab.bgp.config import PeerConfig
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.errors import RefusedError
from peerlab.evidence.snapshot import SessionFact
from peerlab.router.bird_rib import BirdRib
from peerlab.router.bird_router import BirdRouter
from peerlab.router.protocol import (
    AddPeers,
    Announce,
    Explain,
    OpenSession,
    Originate,
    ReadRib,
    ReadSessions,
    RefreshSession,
    RemovePeers,
    SendRaw,
    SetPolicy,
    ShutSession,
    Subscribe,
    WaitFor,
    WatchPrefixes,
    Withdraw,
    WithdrawOrigin,
)
from peerlab.router.route_watch import RouteWatch


class BirdAnswers:
    """The requests, each with its method. All may raise RefusedError, Unsupported or RuntimeFailure."""

    def __init__(self, router: BirdRouter) -> None:
        self._router = router
        self._rib = BirdRib(router)
        self._by_request: dict[type, Callable[[Any], Any]] = {
            ReadSessions: self._sessions,
            Subscribe: self._sessions,
            ReadRib: self._read_rib,
            Explain: self._explain,
            SetPolicy: self._set_policy,
            AddPeers: self._add_peers,
            RemovePeers: self._remove_peers,
            ShutSession: self._shut,
            OpenSession: self._open,
            RefreshSession: self._refresh,
            Originate: self._originate,
            WithdrawOrigin: self._withdraw_origin,
            Announce: self._past_policy,
            Withdraw: self._past_policy,
            SendRaw: self._past_policy,
            WatchPrefixes: self._watch_prefixes,
        }

    def answer(self, request: Any) -> Any:
        """The answer to one request; what it changed BIRD has read when this returns."""
        return self._by_request[type(request)](request)

    def holds(self, wait: WaitFor) -> bool:
        """Whether what somebody waits for is so now. Raises RefusedError for what cannot be waited for."""
        router = self._router
        if wait.what == "quiet":
            return router.is_quiet
        if wait.what in ("best", "no-best"):
            if wait.prefix is None:
                raise RefusedError("PrefixMissing", f"wait-for {wait.what} needs a prefix")
            best = [route for route in self._rib.loc_rib(wait.prefix) if route.best]
            found = any(wait.session is None or route.session == wait.session for route in best)
            return found == (wait.what == "best")
        if wait.what not in ("established", "down", "end-of-rib"):
            raise RefusedError(
                "ConditionUnknown",
                f"cannot wait for {wait.what!r}; use established, down, end-of-rib, best, no-best or quiet",
            )
        if wait.session is None:
            raise RefusedError("SessionMissing", f"wait-for {wait.what} needs a session")
        if wait.what == "end-of-rib":
            return router.has_end_of_rib(wait.session)
        return router.is_established(wait.session) == (wait.what == "established")

    def _sessions(self, _: Any) -> list[SessionFact]:
        return self._router.session_facts()

    def _read_rib(self, request: ReadRib) -> list[RouteFact]:
        if request.view == "loc-rib":
            return self._rib.loc_rib(request.prefix)
        views = {
            "adj-rib-in-pre": self._rib.adj_rib_in_pre,
            "adj-rib-in-post": self._rib.adj_rib_in_post,
            "adj-rib-out": self._rib.adj_rib_out,
        }
        if request.view not in views:
            raise RefusedError("ViewUnknown", f"no view {request.view!r}; there are: loc-rib, {', '.join(views)}")
        return views[request.view](self._router.peer(request.session).session, request.prefix)

    def _explain(self, request: Explain) -> Explanation:
        return self._rib.explain(request.prefix)

    def _set_policy(self, request: SetPolicy) -> bool:
        config = self._router.config
        for session in request.peers:
            self._router.peer(session)
        peers = []
        for peer in config.peers:
            imports, exports = request.peers.get(peer.session, (peer.import_policy, peer.export_policy))
            peers.append(msgspec.structs.replace(peer, import_policy=imports, export_policy=exports))
        policies = config.policies | request.policies
        self._router.configure(msgspec.structs.replace(config, peers=tuple(peers), policies=policies))
        return True

    def _add_peers(self, request: AddPeers) -> bool:
        config = self._router.config
        taken = {peer.session for peer in config.peers} & {peer.session for peer in request.peers}
        if taken:
            raise RefusedError("SessionExists", f"{config.node} has {', '.join(sorted(taken))} already")
        peers, policies = config.peers + request.peers, config.policies | request.policies
        self._router.configure(msgspec.structs.replace(config, peers=peers, policies=policies))
        return True

    def _remove_peers(self, request: RemovePeers) -> bool:
        config = self._router.config
        for session in request.sessions:
            self._router.peer(session)
        for session in request.sessions:
            self._router.remove(session, request.communication)
        staying = tuple(peer for peer in config.peers if peer.session not in request.sessions)
        self._router.configure(msgspec.structs.replace(config, peers=staying))
        return True

    def _shut(self, request: ShutSession) -> bool:
        self._router.shut(request.session, request.communication, request.reset)
        return True

    def _open(self, request: OpenSession) -> bool:
        self._router.open(request.session)
        return True

    def _refresh(self, request: RefreshSession) -> bool:
        self._router.peer(request.session)
        raise RefusedError(
            "NoRouteRefresh",
            f"{self._router.config.node} runs BIRD with an import table, which never asks a peer for its routes again",
        )

    def _originate(self, request: Originate) -> bool:
        self._router.originate(request.prefix, request.attributes)
        return True

    def _withdraw_origin(self, request: WithdrawOrigin) -> bool:
        self._router.withdraw_origin(request.prefix)
        return True

    def _watch_prefixes(self, request: WatchPrefixes) -> bool:
        self._router.watch(RouteWatch(self._router.config.node, self._rib, self._peers), request.prefixes)
        return True

    def _peers(self) -> tuple[PeerConfig, ...]:
        return self._router.config.peers

    def _past_policy(self, request: Announce | Withdraw | SendRaw) -> bool:
        raise RefusedError(
            "StimulusUnsupported",
            f"{self._router.config.node} runs BIRD, which announces nothing past its own policy; "
            "let an ExaBGP router do it",
        )
