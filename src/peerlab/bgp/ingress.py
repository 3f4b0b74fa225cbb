"""From Adj-RIB-In to the decision process: which received routes of one session are eligible, and as what.

Built-in rules come first (loops, first AS, route leaks), then import policy with RFC 8212's default, then what is
done to every accepted route (OTC, graceful shutdown). A rejected route keeps its reason.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Address, PathAttributes
from peerlab.bgp.communities import GRACEFUL_SHUTDOWN
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.decision import Path
from peerlab.bgp.next_hop import NextHopView, Resolution
from peerlab.bgp.origin_validation import route_origin
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_engine import CompiledPolicy
from peerlab.bgp.role import leak_on_ingress, otc_on_ingress

NO_IMPORT_POLICY = "no import policy (RFC 8212)"
NO_STATEMENT = ""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this router is, as far as loops go. ``addresses`` are its own, which no neighbour may name as next hop."""

    asns: frozenset[int]
    router_id: Address
    cluster_id: Address
    addresses: frozenset[Address]


class Admission(msgspec.Struct, frozen=True, gc=False):
    """What became of a received route. ``path`` is None when it was rejected; ``reason`` is who decided.

    ``received`` keeps the attributes alive that the memory of admissions is keyed by.
    """

    path: Path | None
    reason: str
    received: PathAttributes


class Ingress:
    """Admission to one Established session's routes. Answers are remembered per attribute set and prefix mark."""

    def __init__(
        self,
        config: PeerConfig,
        identity: Identity,
        policy: CompiledPolicy | None,
        peer_router_id: Address,
        view: NextHopView,
    ) -> None:
        self._config = config
        self._identity = identity
        self._ebgp = config.local_as != config.peer_as
        self._source = LearnedFrom.EBGP if self._ebgp else LearnedFrom.IBGP
        self._policy = policy
        self._router_id = peer_router_id
        self._view = view
        self._resolutions: dict[Address, Resolution | None] = {}
        # By mark, then by the identity of the attributes: equal octets from a peer are one object (AttributeCache).
        self._remembered: dict[int, dict[int, Admission]] = {}
        self.looks_at_prefix = policy is not None and policy.looks_at_prefix

    def admit(self, raw: bytes, attributes: PathAttributes) -> Admission:
        """The answer for one route. Without ``looks_at_prefix`` it is the same for every ``raw``."""
        mark = 0
        if self._policy is not None and self.looks_at_prefix:
            mark = self._policy.mark(raw, route_origin(attributes, self._config.local_as))
        remembered = self._remembered.get(mark)
        if remembered is None:
            remembered = self._remembered[mark] = {}
        admission = remembered.get(id(attributes))
        if admission is None:
            admission = remembered[id(attributes)] = self._judge(attributes, mark)
        return admission

    def asks_state(self) -> bool:
        """Whether answers depend on origin validation."""
        return self._policy is not None and self._policy.asks_state

    def forget(self, beyond: int) -> None:
        """Drop remembered answers when there are more than ``beyond``: most belong to routes long gone."""
        if sum(map(len, self._remembered.values())) > beyond:
            self._remembered.clear()

    def set_policy(self, policy: CompiledPolicy | None) -> None:
        """Judge by another policy from now on."""
        self._policy = policy
        self.looks_at_prefix = policy is not None and policy.looks_at_prefix
        self._remembered.clear()

    def set_view(self, view: NextHopView) -> frozenset[Address]:
        """See next hops through another view; answers with the next hops that are reached differently now."""
        before, self._resolutions, self._view = self._resolutions, {}, view
        changed = frozenset(next_hop for next_hop, was in before.items() if self.resolve(next_hop) != was)
        if changed:
            self._remembered.clear()
        return changed

    def resolve(self, next_hop: Address) -> Resolution | None:
        """How a next hop of this session is reached.

        A directly connected external peer can only name next hops of a shared network (RFC 4271 section 5.1.3).
        """
        if next_hop not in self._resolutions:
            found = self._view.resolve(next_hop, self._config.interface)
            if found is not None and self._ebgp and not self._config.multihop and not found.is_connected(next_hop):
                found = None
            self._resolutions[next_hop] = found
        return self._resolutions[next_hop]

    def _judge(self, attributes: PathAttributes, mark: int) -> Admission:
        reason = self._ineligible(attributes)
        if reason is not None:
            return Admission(None, reason, attributes)
        changed, discard = attributes, False
        if self._ebgp and changed.local_pref is not None:
            # RFC 4271 section 5.1.5: from an external peer it must be ignored.
            changed = msgspec.structs.replace(changed, local_pref=None)
        statement = NO_STATEMENT
        if self._policy is not None:
            judgement = self._policy.judge(changed, mark, self._source)
            if not judgement.accepted:
                return Admission(None, judgement.statement, attributes)
            changed, statement, discard = judgement.attributes, judgement.statement, judgement.discard
        elif self._ebgp:
            return Admission(None, NO_IMPORT_POLICY, attributes)
        if self._ebgp:
            changed = self._on_entering_the_as(changed)
        path = Path(
            changed,
            source=self._source,
            session=self._config.session,
            router_id=self._router_id,
            peer_address=self._config.peer_address,
            resolution=None if changed.next_hop is None else self.resolve(changed.next_hop),
            blackhole=discard,
        )
        return Admission(path, statement, attributes)

    def _on_entering_the_as(self, attributes: PathAttributes) -> PathAttributes:
        """OTC by role, and the lowest preference for routes about to go away (RFC 8326 section 4.1)."""
        otc, role = attributes.otc, self._config.local_role
        if role is not None:
            otc = otc_on_ingress(role, attributes, self._config.peer_as)
        local_pref = 0 if GRACEFUL_SHUTDOWN in attributes.communities else attributes.local_pref
        if otc == attributes.otc and local_pref == attributes.local_pref:
            return attributes
        return msgspec.structs.replace(attributes, otc=otc, local_pref=local_pref)

    def _ineligible(self, attributes: PathAttributes) -> str | None:
        """Which built-in rule keeps a route out, whatever policy says; None when none does."""
        config, identity = self._config, self._identity
        for segment in attributes.as_path:
            if not identity.asns.isdisjoint(segment.asns):
                return f"AS loop: own AS{min(identity.asns.intersection(segment.asns))} in AS_PATH"
        if not self._ebgp:
            if attributes.originator_id == identity.router_id:
                return "reflection loop: own ORIGINATOR_ID"
            if identity.cluster_id in attributes.cluster_list:
                return "reflection loop: own cluster in CLUSTER_LIST"
        if attributes.next_hop in identity.addresses:
            return f"next hop {attributes.next_hop} is this router's own address"
        if not self._ebgp:
            return None
        if config.enforce_first_as and config.relation != "route-server" and attributes.first_as() != config.peer_as:
            return f"first AS is not AS{config.peer_as}"
        if config.local_role is not None:
            return leak_on_ingress(config.local_role, attributes, config.peer_as)
        return None
