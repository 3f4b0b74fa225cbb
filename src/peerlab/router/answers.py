"""What a router answers to each request of ``router.protocol``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from peerlab.bgp.attributes import PathAttributes
from peerlab.bgp.config import RouterConfig
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.errors import RefusedError
from peerlab.evidence.snapshot import SessionFact
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
from peerlab.router.router import Router


class Answers:
    """The requests, each with its method. All may raise RefusedError, InputError or RuntimeFailure."""

    def __init__(self, router: Router) -> None:
        self._router = router
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
            Announce: self._announce,
            Withdraw: self._withdraw,
            SendRaw: self._send_raw,
            WatchPrefixes: self._watch_prefixes,
        }

    def answer(self, request: Any) -> Any:
        """The answer to one request. What the request changed is in force, in the kernel too, when this returns."""
        answer = self._by_request[type(request)](request)
        self._router.settle()
        return answer

    def holds(self, wait: WaitFor) -> bool:
        """Whether what somebody waits for is so now. Raises RefusedError for what cannot be waited for."""
        router = self._router
        if wait.what == "quiet":
            return router.is_quiet
        if wait.what in ("best", "no-best"):
            if wait.prefix is None:
                raise RefusedError("PrefixMissing", f"wait-for {wait.what} needs a prefix")
            best = [route for route in router.rib.loc_rib(wait.prefix) if route.best]
            found = any(wait.session is None or route.session == wait.session for route in best)
            return found == (wait.what == "best")
        if wait.what not in ("established", "down", "end-of-rib"):
            raise RefusedError(
                "ConditionUnknown",
                f"cannot wait for {wait.what!r}; use established, down, end-of-rib, best, no-best or quiet",
            )
        if wait.session is None:
            raise RefusedError("SessionMissing", f"wait-for {wait.what} needs a session")
        established = router.is_established(wait.session)
        if wait.what == "established":
            return established
        if wait.what == "down":
            return not established
        return established and router.rib.counters(wait.session).end_of_rib_received

    def _known(self, session: str | None) -> str:
        if session is None:
            raise RefusedError("SessionMissing", "this view needs a session")
        self._router.is_established(session)
        return session

    def _sessions(self, _: Any) -> list[SessionFact]:
        return self._router.sessions()

    def _read_rib(self, request: ReadRib) -> list[RouteFact]:
        rib = self._router.rib
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
        return self._router.rib.explain(request.prefix)

    def _set_policy(self, request: SetPolicy) -> bool:
        for session in request.peers:
            self._known(session)
        self._router.change().set_policy(request.policies, request.peers, time.time_ns())
        config = self._router.config
        peers = []
        for peer in config.peers:
            imports, exports = request.peers.get(peer.session, (peer.import_policy, peer.export_policy))
            peers.append(msgspec.structs.replace(peer, import_policy=imports, export_policy=exports))
        policies = config.policies | request.policies
        self._router.configure(msgspec.structs.replace(config, peers=tuple(peers), policies=policies))
        return True

    def _add_peers(self, request: AddPeers) -> bool:
        config = self._router.config
        wanted: RouterConfig = msgspec.structs.replace(
            config, peers=config.peers + request.peers, policies=config.policies | request.policies
        )
        self._router.add_peers(wanted, request.peers)
        return True

    def _remove_peers(self, request: RemovePeers) -> bool:
        config = self._router.config
        staying = tuple(peer for peer in config.peers if peer.session not in request.sessions)
        self._router.remove_peers(
            msgspec.structs.replace(config, peers=staying), request.sessions, request.communication
        )
        return True

    def _shut(self, request: ShutSession) -> bool:
        self._router.shut(request.session, request.communication, request.reset)
        return True

    def _open(self, request: OpenSession) -> bool:
        self._router.open(request.session)
        return True

    def _refresh(self, request: RefreshSession) -> bool:
        self._router.refresh(request.session)
        return True

    def _originate(self, request: Originate) -> bool:
        self._router.change().originate(request.prefix, request.attributes, time.time_ns(), request.blackhole)
        config = self._router.config
        if request.attributes == PathAttributes() and request.prefix not in config.originate:
            self._router.configure(msgspec.structs.replace(config, originate=(*config.originate, request.prefix)))
        return True

    def _withdraw_origin(self, request: WithdrawOrigin) -> bool:
        self._router.change().withdraw_origin(request.prefix, time.time_ns())
        config = self._router.config
        staying = tuple(prefix for prefix in config.originate if prefix != request.prefix)
        if staying != config.originate:
            self._router.configure(msgspec.structs.replace(config, originate=staying))
        return True

    def _announce(self, request: Announce) -> bool:
        self._known(request.session)
        self._router.change().announce_raw(request.session, request.prefixes, request.attributes)
        return True

    def _withdraw(self, request: Withdraw) -> bool:
        self._known(request.session)
        self._router.change().withdraw_raw(request.session, request.prefixes)
        return True

    def _send_raw(self, request: SendRaw) -> bool:
        try:
            octets = bytes.fromhex(request.message)
        except ValueError as error:
            raise RefusedError("NotHex", f"message is no hexadecimal text: {error}") from error
        self._router.write(request.session, octets)
        return True

    def _watch_prefixes(self, request: WatchPrefixes) -> bool:
        self._router.watch(request.prefixes)
        return True
