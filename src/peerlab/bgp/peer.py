"""One configured session inside the speaker: its configuration, and its RIBs while it is Established."""

from __future__ import annotations

from peerlab.bgp.adj_rib_in import AdjRibIn
from peerlab.bgp.adj_rib_out import AdjRibOut
from peerlab.bgp.bulk import AttributeCache
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.policy_engine import CompiledPolicy

_WARN_AT = 0.8
"""Part of max-prefix at which a person is warned (RFC 7454 section 8 asks for a warning before the reset)."""


class Established:
    """What exists only while a session is up. ``adj_rib_out`` is None when the family was not agreed on."""

    def __init__(
        self,
        negotiated: Negotiated,
        cache: AttributeCache,
        adj_rib_in: AdjRibIn,
        adj_rib_out: AdjRibOut | None,
    ) -> None:
        self.negotiated = negotiated
        self.cache = cache
        self.adj_rib_in = adj_rib_in
        self.adj_rib_out = adj_rib_out
        self.updates_received = 0
        self.updates_sent = 0
        self.treated_as_withdrawn = 0
        self.end_of_rib_received = False
        self.told_discards: set[tuple[str, ...]] = set()
        self._warned = False

    def warns(self, limit: int) -> bool:
        """Whether the number of routes has just come near the limit; once, until it falls below again."""
        near = len(self.adj_rib_in) >= limit * _WARN_AT
        due, self._warned = near and not self._warned, near
        return due


class Peer:
    """A configured session. ``up`` is None while it is not Established, or being closed by the speaker.

    ``import_policy`` and ``export_policy`` None: there is none, and RFC 8212 decides. ``retained``: its routes while it
    restarts (RFC 4724), used as if the session were up.
    """

    def __init__(
        self, config: PeerConfig, import_policy: CompiledPolicy | None, export_policy: CompiledPolicy | None
    ) -> None:
        self.config = config
        self.import_policy = import_policy
        self.export_policy = export_policy
        self.up: Established | None = None
        self.retained: AdjRibIn | None = None

    @property
    def adj_rib_in(self) -> AdjRibIn | None:
        """What is held of it now: of its session, or retained over its restart."""
        return self.retained if self.up is None else self.up.adj_rib_in

    @property
    def is_external(self) -> bool:
        """Whether the peer is in another AS."""
        return self.config.local_as != self.config.peer_as
