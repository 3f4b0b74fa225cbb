"""What a companion answers where it differs from a router on our own speaker."""

from __future__ import annotations

import msgspec

from peerlab.errors import RefusedError
from peerlab.router.answers import Answers
from peerlab.router.companion import Companion
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


class CompanionAnswers(Answers):
    """What a request changed the daemon has been told when its answer is given."""

    def __init__(self, router: Companion) -> None:
        super().__init__(router)
        self._companion = router

    def _set_policy(self, request: SetPolicy) -> bool:
        config = self._companion.config
        for session in request.peers:
            self._companion.peer(session)
        peers = []
        for peer in config.peers:
            imports, exports = request.peers.get(peer.session, (peer.import_policy, peer.export_policy))
            peers.append(msgspec.structs.replace(peer, import_policy=imports, export_policy=exports))
        policies = config.policies | request.policies
        self._companion.configure(msgspec.structs.replace(config, peers=tuple(peers), policies=policies))
        return True

    def _add_peers(self, request: AddPeers) -> bool:
        config = self._companion.config
        taken = {peer.session for peer in config.peers} & {peer.session for peer in request.peers}
        if taken:
            raise RefusedError("SessionExists", f"{config.node} has {', '.join(sorted(taken))} already")
        peers, policies = config.peers + request.peers, config.policies | request.policies
        self._companion.configure(msgspec.structs.replace(config, peers=peers, policies=policies))
        return True

    def _remove_peers(self, request: RemovePeers) -> bool:
        config = self._companion.config
        for session in request.sessions:
            self._companion.peer(session)
        for session in request.sessions:
            self._companion.remove(session, request.communication)
        staying = tuple(peer for peer in config.peers if peer.session not in request.sessions)
        self._companion.configure(msgspec.structs.replace(config, peers=staying))
        return True

    def _originate(self, request: Originate) -> bool:
        self._companion.originate(request.prefix, request.attributes)
        return True

    def _withdraw_origin(self, request: WithdrawOrigin) -> bool:
        self._companion.withdraw_origin(request.prefix)
        return True

    def _announce(self, request: Announce) -> bool:
        raise self._nothing_past_policy()

    def _withdraw(self, request: Withdraw) -> bool:
        raise self._nothing_past_policy()

    def _send_raw(self, request: SendRaw) -> bool:
        raise self._nothing_past_policy()

    def _nothing_past_policy(self) -> RefusedError:
        return RefusedError(
            "StimulusUnsupported",
            f"{self._companion.config.node} runs {self._companion.title}, which announces nothing past its own "
            "policy; let an ExaBGP router do it",
        )
