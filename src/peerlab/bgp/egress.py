"""From Loc-RIB to Adj-RIB-Out: which routes one session's peer is told, and with what attributes.

Order: rules that hold whatever policy says (split horizon, well-known communities, reflection, route leaks), then
export policy with RFC 8212's default, then what the kind of session asks for (RFC 4271 section 5.1, 4456, 7947).
"""

from __future__ import annotations

from collections.abc import Callable, Container

import msgspec

from peerlab.bgp.attribute_type import PARTIAL, TRANSITIVE
from peerlab.bgp.attributes import Family, PathAttributes, RawAttribute
from peerlab.bgp.communities import NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED, is_transitive_extended
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.decision import Path, local_pref
from peerlab.bgp.ingress import Identity
from peerlab.bgp.policy import LearnedFrom
from peerlab.bgp.policy_action import prepended
from peerlab.bgp.policy_engine import CompiledPolicy
from peerlab.bgp.role import leak_on_egress, otc_on_egress

NO_EXPORT_POLICY = "no export policy (RFC 8212)"


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What the peer is to be told of a path: ``attributes``, or None and the reason why nothing.

    ``path`` keeps the path alive that the memory of offers is keyed by.
    """

    attributes: PathAttributes | None
    reason: str
    path: Path


class Egress:
    """Offers to one Established session. Answers are remembered per path and prefix mark.

    ``reflector_clients`` are the sessions of this router's reflection clients (RFC 4456). ``interned`` is shared
    between sessions, so that equal attributes are one object and can be sent together.
    """

    def __init__(
        self,
        config: PeerConfig,
        identity: Identity,
        policy: CompiledPolicy | None,
        extended_next_hop: bool,
        reflector_clients: Container[str],
        interned: dict[PathAttributes, PathAttributes],
    ) -> None:
        self._config = config
        self._identity = identity
        self._ebgp = config.local_as != config.peer_as
        self._policy = policy
        self._extended_next_hop = extended_next_hop
        self._reflector_clients = reflector_clients
        self._interned = interned
        # By mark or prefix, then by the identity of the path: routes with the same attributes from a peer share one.
        self._remembered: dict[int | bytes, dict[int, Offer]] = {}

    def offer(self, raw: bytes, path: Path) -> Offer:
        """The answer for one path of one prefix."""
        policy = self._policy
        mark, state = 0, None
        key: int | bytes = 0
        if policy is not None and policy.looks_at_prefix:
            key = mark = policy.mark(raw, path.attributes.origin_as())
            if policy.asks_state:
                # The origin to validate is known when the path is edited: the answer is this prefix's own.
                key, state = raw, policy.effective_state(raw, self._config.local_as)
        remembered = self._remembered.get(key)
        if remembered is None:
            remembered = self._remembered[key] = {}
        offer = remembered.get(id(path))
        if offer is None:
            offer = remembered[id(path)] = self._judge(path, mark, state)
        return offer

    def is_closed(self) -> bool:
        """Whether nothing can ever pass: an external session without export policy (RFC 8212)."""
        return self._policy is None and self._ebgp

    def looks_at_prefix(self) -> bool:
        """Whether the answer for a path can differ from prefix to prefix."""
        return self._policy is not None and self._policy.looks_at_prefix

    def asks_state(self) -> bool:
        """Whether answers depend on origin validation."""
        return self._policy is not None and self._policy.asks_state

    def vrps_changed(self) -> None:
        """What was remembered of origin validation is not so any more."""
        self._remembered.clear()

    def forget(self, beyond: int) -> None:
        """Drop remembered answers when there are more than ``beyond``: most belong to paths long gone."""
        if sum(map(len, self._remembered.values())) > beyond:
            self._remembered.clear()

    def set_policy(self, policy: CompiledPolicy | None) -> None:
        """Judge by another policy from now on."""
        self._policy = policy
        self._remembered.clear()

    def _judge(self, path: Path, mark: int, state: Callable[[PathAttributes], str] | None) -> Offer:
        reason = self._withheld(path)
        if reason is not None:
            return Offer(None, reason, path)
        attributes, next_hop_self = path.attributes, False
        if self._ebgp and not self._transparent(path) and path.source is not LearnedFrom.LOCAL:
            # RFC 4271 section 5.1.4: a neighbouring AS's MED is not for third ones. Policy may set one of our own.
            attributes = msgspec.structs.replace(attributes, med=None)
        if self._policy is not None:
            judgement = self._policy.judge(attributes, mark, path.source, state)
            if not judgement.accepted:
                return Offer(None, judgement.statement, path)
            attributes, next_hop_self = judgement.attributes, judgement.next_hop_self
        elif self._ebgp:
            return Offer(None, NO_EXPORT_POLICY, path)
        if attributes.unknown:
            attributes = msgspec.structs.replace(attributes, unknown=_passed_on(attributes.unknown))
        if self._transparent(path):
            attributes = self._through_route_server(attributes, next_hop_self)
        elif self._ebgp:
            attributes = self._to_another_as(attributes)
        else:
            attributes = self._within_the_as(path, attributes, next_hop_self)
        family = Family.IPV6 if attributes.next_hop is not None and ":" in attributes.next_hop else Family.IPV4
        if family is not self._config.family and not self._extended_next_hop:
            return Offer(None, f"next hop {attributes.next_hop} is of a family the peer cannot take", path)
        return Offer(self._interned.setdefault(attributes, attributes), "", path)

    def _withheld(self, path: Path) -> str | None:
        """Which rule keeps a path from this peer, whatever policy says; None when none does."""
        config, communities = self._config, path.attributes.communities
        if path.session == config.session:
            return "split horizon: learned on this session"
        if not config.route_server_client:
            # A route server leaves communities to those they are meant for (RFC 7947 section 2.2.4).
            if NO_ADVERTISE in communities:
                return "NO_ADVERTISE"
            if self._ebgp and NO_EXPORT in communities:
                return "NO_EXPORT"
            if self._ebgp and NO_EXPORT_SUBCONFED in communities:
                return "NO_EXPORT_SUBCONFED"
        if not self._ebgp:
            if path.source is LearnedFrom.IBGP and not (
                config.route_reflector_client or path.session in self._reflector_clients
            ):
                return "learned by iBGP from a peer that is no reflection client"
            return None
        if config.local_role is not None:
            return leak_on_egress(config.local_role, path.attributes)
        return None

    def _transparent(self, path: Path) -> bool:
        """Whether this speaker is a route server between the two ends of this path (RFC 7947 section 2.2)."""
        return self._config.route_server_client and path.source is not LearnedFrom.LOCAL

    def _through_route_server(self, attributes: PathAttributes, next_hop_self: bool) -> PathAttributes:
        """AS_PATH, NEXT_HOP, MED and communities stay as the client sent them."""
        return msgspec.structs.replace(
            attributes,
            local_pref=None,
            originator_id=None,
            cluster_list=(),
            otc=self._otc(attributes),
            next_hop=self._config.local_address if next_hop_self else attributes.next_hop,
            link_local_next_hop=None if next_hop_self else attributes.link_local_next_hop,
        )

    def _to_another_as(self, attributes: PathAttributes) -> PathAttributes:
        """Own AS in front, next hop self, and nothing that is internal (RFC 4271 section 5.1, RFC 4360 section 6)."""
        extended = attributes.extended_communities
        if not all(map(is_transitive_extended, extended)):
            extended = tuple(filter(is_transitive_extended, extended))
        return msgspec.structs.replace(
            attributes,
            as_path=prepended(attributes.as_path, self._config.local_as),
            next_hop=self._config.local_address,
            link_local_next_hop=None,
            local_pref=None,
            originator_id=None,
            cluster_list=(),
            extended_communities=extended,
            otc=self._otc(attributes),
        )

    def _within_the_as(self, path: Path, attributes: PathAttributes, next_hop_self: bool) -> PathAttributes:
        """LOCAL_PREF always; the next hop as it came unless told otherwise; a reflector leaves its mark.

        A reflector does not change the next hop of what it reflects (RFC 4456 section 10), unless policy says so.
        """
        reflected = path.source is LearnedFrom.IBGP
        next_hop_self = (
            next_hop_self or path.source is LearnedFrom.LOCAL or (self._config.next_hop_self and not reflected)
        )
        originator_id, cluster_list = attributes.originator_id, attributes.cluster_list
        if reflected:
            originator_id, cluster_list = path.router_id, (self._identity.cluster_id, *cluster_list)
        return msgspec.structs.replace(
            attributes,
            local_pref=local_pref(attributes),
            next_hop=self._config.local_address if next_hop_self else attributes.next_hop,
            link_local_next_hop=None,
            originator_id=originator_id,
            cluster_list=cluster_list,
        )

    def _otc(self, attributes: PathAttributes) -> int | None:
        """Only to Customer as this session's role asks for it (RFC 9234 section 5)."""
        role = self._config.local_role
        return attributes.otc if role is None else otc_on_egress(role, attributes, self._config.local_as)


def _passed_on(unknown: tuple[RawAttribute, ...]) -> tuple[RawAttribute, ...]:
    """Attributes this speaker does not know, as it passes them on: transitive ones, marked Partial (RFC 4271, 5)."""
    return tuple(RawAttribute(one.flags | PARTIAL, one.type, one.value) for one in unknown if one.flags & TRANSITIVE)
