"""What a router on our own speaker answers to requests that change something."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from peerlab.bgp.attributes import PathAttributes
from peerlab.bgp.config import RouterConfig
from peerlab.errors import RefusedError
from peerlab.router.answers import Answers
from peerlab.router.protocol import (
    AddPeers,
    Announce,
    Originate,
    RemovePeers,
    SendRaw,
    SetPolicy,
    Withdraw,
    WithdrawOrigin,
)
from peerlab.router.router import Router


class SpeakerAnswers(Answers):
    """What a request changed is in force, in the kernel too, when its answer is given."""

    def __init__(self, router: Router) -> None:
        super().__init__(router)
        self._router = router

    def answer(self, request: Any) -> Any:
        """The answer to one request."""
        answer = super().answer(request)
        self._router.settle()
        return answer

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
