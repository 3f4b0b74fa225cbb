"""A whole BGP speaker without sockets, clock or kernel: messages and events in, effects out.

The owner feeds it what happens (``peer_up``, ``receive``, ``set_next_hops``...) and then calls ``take()`` for what is
to be done: octets to write, kernel routes to change, sessions to close, notices for people. Every call between two
``take()`` is one step for the outside: what only existed in between is never told to anyone. Times are CLOCK_REALTIME
nanoseconds. Reading calls are always up to date, whether ``take()`` was called or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import msgspec

from peerlab.bgp.adj_rib_in import AdjRibIn
from peerlab.bgp.adj_rib_out import AdjRibOut
from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.bulk import AttributeCache
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.counters import SessionCounters
from peerlab.bgp.decision import DecisionProfile, Path
from peerlab.bgp.effects import CloseSession, Effects, FibChange, Notice
from peerlab.bgp.egress import Egress
from peerlab.bgp.ingress import Identity, Ingress
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.next_hop import NextHopView, NoNextHops, Resolution
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.bgp.origin_validation import OriginValidator, Vrp
from peerlab.bgp.peer import Established, Peer
from peerlab.bgp.policy import LearnedFrom, Policy
from peerlab.bgp.policy_table import PolicyTable
from peerlab.bgp.prefix_set import PrefixSet
from peerlab.bgp.reception import receive_updates
from peerlab.bgp.rib import Rib
from peerlab.bgp.rib_view import RibView
from peerlab.bgp.route_fact import Explanation, RouteFact
from peerlab.bgp.route_refresh import RefreshSubtype
from peerlab.bgp.session_context import SessionContext
from peerlab.errors import InputError, Problem, RefusedError


class BgpSpeaker:
    """The routing core of one router. ``session`` is always a model session id of ``RouterConfig.peers``.

    Every call that names a session raises KeyError for one that is not configured.
    """

    def __init__(self, config: RouterConfig, now: int) -> None:
        """Raises InputError when a peer names a policy that does not exist (``deny-all`` always does)."""
        self._config = config
        self._validator = OriginValidator(config.vrps)
        self._policies = PolicyTable(config.policies, self._validator)
        self._view: NextHopView = NoNextHops()
        self._peers: dict[str, Peer] = {}
        self._reflector_clients: set[str] = set()
        self._interned: dict[PathAttributes, PathAttributes] = {}
        self._caches: dict[SessionContext, AttributeCache] = {}
        profile = DecisionProfile(med_across_ases=config.med_across_ases)
        self._ribs = {family: Rib(profile) for family in Family}
        self._close: list[CloseSession] = []
        self._notices: list[Notice] = []
        self.add_peers(config.peers, {}, now)
        for prefix in config.originate:
            self.originate(prefix, PathAttributes(), now)

    def peer_up(self, session: str, negotiated: Negotiated, now: int) -> None:
        """The session is Established: what export policy lets through will be sent, and then End-of-RIB."""
        peer = self._peers[session]
        config, retained = peer.config, peer.retained
        if peer.up is not None or config.family not in negotiated.kept_forwarding:
            self._drop(peer)
            retained = None
        peer.retained = None
        context = SessionContext(
            asn4=negotiated.asn4,
            ebgp=peer.is_external,
            families=tuple(family for family in negotiated.families if family is config.family),
            extended_next_hop=negotiated.extended_next_hop,
            extended_message=negotiated.extended_message,
        )
        cache = self._caches.setdefault(context, AttributeCache(context))
        rib, identity = self._ribs[config.family], self._identity(config)
        ingress = Ingress(config, identity, peer.import_policy, negotiated.peer_router_id, self._view)
        adj_rib_out = None
        if context.families:
            egress = Egress(
                config,
                identity,
                peer.export_policy,
                config.family in negotiated.extended_next_hop,
                self._reflector_clients,
                self._interned,
            )
            adj_rib_out = AdjRibOut(
                config.family,
                egress,
                rib,
                ebgp=peer.is_external,
                asn4=negotiated.asn4,
                extended_message=negotiated.extended_message,
                enhanced_route_refresh=negotiated.enhanced_route_refresh,
                own_choice=config.route_server_client,
            )
        peer.up = Established(negotiated, cache, AdjRibIn(session, ingress, rib), adj_rib_out)
        if retained is not None:
            peer.up.adj_rib_in.adopt(retained)

    def peer_down(self, session: str, reason: str, now: int) -> None:
        """The session is gone, and with it everything learned from it and told to it."""
        self._drop(self._peers[session])

    def peer_restarts(self, session: str, now: int) -> int:
        """The session is gone without a word and its peer may restart: its routes stay in use (RFC 4724 section 4.2).

        What an earlier restart has left stale goes. Answers with how many routes are retained; ``drop_stale`` ends it.
        """
        peer = self._peers[session]
        if peer.up is not None:
            if peer.up.adj_rib_in.awaits_end_of_rib:
                peer.up.adj_rib_in.end_of_rib()
            peer.retained, peer.up = peer.up.adj_rib_in, None
        return 0 if peer.retained is None else len(peer.retained)

    def drop_stale(self, session: str) -> int:
        """The time is up: routes that are retained, or not announced again yet, go. Answers with how many."""
        peer = self._peers[session]
        if peer.up is not None:
            return peer.up.adj_rib_in.end_of_rib() if peer.up.adj_rib_in.awaits_end_of_rib else 0
        dropped = 0 if peer.retained is None else len(peer.retained)
        self._drop(peer)
        return dropped

    def receive(self, session: str, bodies: Sequence[bytes], now: int) -> None:
        """UPDATE bodies (without the 19 octet header), in order. Never raises for what they hold."""
        peer = self._peers[session]
        if peer.up is None:
            return
        close = receive_updates(peer.config, peer.up, bodies, now, self._notices)
        if close is not None:
            self._close.append(close)
            self._drop(peer)

    def route_refresh(self, session: str, family: Family | None, subtype: int, now: int) -> None:
        """A ROUTE-REFRESH came: a request (0), or the peer's BoRR (1) or EoRR (2) (RFC 2918, RFC 7313)."""
        peer = self._peers[session]
        up = peer.up
        if up is None or family is not peer.config.family:
            return
        if subtype == RefreshSubtype.REQUEST:
            if up.adj_rib_out is not None:
                up.adj_rib_out.resend()
        elif subtype == RefreshSubtype.BEGIN:
            up.adj_rib_in.begin_refresh()
        elif subtype == RefreshSubtype.END:
            up.adj_rib_in.end_refresh()

    def set_policy(self, policies: Mapping[str, Policy], peers: Mapping[str, tuple[str, str]], now: int) -> None:
        """Put policies in force; ``peers`` maps session to (import, export) policy names.

        One step: Adj-RIB-In is judged anew as it was received, Adj-RIB-Out becomes what the new policy lets through.
        Raises InputError for a policy that does not exist; then nothing has changed.
        """
        named = {session: self._peers[session] for session in peers}
        table = self._policies.with_added(policies)
        table.require(
            (f"peers.{session}.{side}", name)
            for session, names in peers.items()
            for side, name in zip(("import_policy", "export_policy"), names, strict=True)
        )
        self._policies = table
        for session, (import_policy, export_policy) in peers.items():
            named[session].config = msgspec.structs.replace(
                named[session].config, import_policy=import_policy, export_policy=export_policy
            )
        for peer in self._peers.values():
            self._apply_policy(peer)

    def _apply_policy(self, peer: Peer) -> None:
        """Bring one session under the policies that its configuration names; nothing happens when they are the same."""
        config, up = peer.config, peer.up
        wanted_in = self._policies.find(config.import_policy, config.family)
        wanted_out = self._policies.find(config.export_policy, config.family)
        if wanted_in is not peer.import_policy:
            peer.import_policy = wanted_in
            if peer.adj_rib_in is not None:
                peer.adj_rib_in.ingress.set_policy(wanted_in)
                peer.adj_rib_in.judge_anew()
        if wanted_out is not peer.export_policy:
            peer.export_policy = wanted_out
            if up is not None and up.adj_rib_out is not None:
                up.adj_rib_out.egress.set_policy(wanted_out)
                up.adj_rib_out.look_at_everything()

    def set_vrps(self, vrps: Iterable[Vrp], now: int) -> int:
        """Validate origins by these payloads from now on. No session is reset: routes as they were received whose state
        may be another one are judged again, and so is what was told. Answers with how many received routes that were.
        """
        changed = self._validator.replace(vrps)
        if not changed:
            return 0
        touched = PrefixSet.covering(changed)
        judged = 0
        for peer in self._peers.values():
            up, held, family = peer.up, peer.adj_rib_in, peer.config.family
            if held is not None and held.ingress.asks_state():
                judged += held.judge_again(partial(touched.contains_raw, family=family))
            if up is not None and up.adj_rib_out is not None and up.adj_rib_out.egress.asks_state():
                up.adj_rib_out.egress.vrps_changed()
                up.adj_rib_out.look_at_everything()
        return judged

    def add_peers(self, peers: Sequence[PeerConfig], policies: Mapping[str, Policy], now: int) -> None:
        """Configure more sessions. Raises InputError for an unknown policy or a session that exists."""
        table = self._policies.with_added(policies)
        table.require(
            (f"peers.{peer.session}.{side}", getattr(peer, side))
            for peer in peers
            for side in ("import_policy", "export_policy")
        )
        twice = [peer.session for peer in peers if peer.session in self._peers]
        if twice:
            raise InputError(
                Problem(f"peers.{session}", "the session exists already", "remove it first") for session in twice
            )
        self._policies = table
        for peer in self._peers.values():
            self._apply_policy(peer)
        for config in peers:
            self._peers[config.session] = Peer(
                config,
                table.find(config.import_policy, config.family),
                table.find(config.export_policy, config.family),
            )
            if config.route_reflector_client:
                self._reflector_clients.add(config.session)

    def remove_peers(self, sessions: Sequence[str], now: int) -> None:
        """Forget sessions and all of their routes. Closing them (Cease/3) is up to the owner."""
        for peer in [self._peers[session] for session in sessions]:
            self._drop(peer)
            del self._peers[peer.config.session]
            self._reflector_clients.discard(peer.config.session)

    def originate(self, prefix: Prefix, attributes: PathAttributes, now: int, blackhole: bool = True) -> None:
        """Originate a prefix, or change its attributes. ``blackhole``: the kernel drops what is not more specific."""
        raw = _raw(prefix)
        path = Path(attributes, LearnedFrom.LOCAL, blackhole=blackhole)
        self._ribs[family_of_prefix(prefix)].put((raw,), path)

    def withdraw_origin(self, prefix: Prefix, now: int) -> None:
        """Stop originating a prefix; unknown ones are ignored."""
        self._ribs[family_of_prefix(prefix)].drop((_raw(prefix),), None)

    def announce_raw(self, session: str, prefixes: Sequence[Prefix], attributes: PathAttributes) -> None:
        """Send routes past all policy, attributes untouched. They stand in no RIB; a refresh resends them.

        Until ``withdraw_raw`` they hide what policy would announce for the same prefix. They end with the session.
        Without a next hop the session's local address is used, which no UPDATE can do without. Raises RefusedError
        when the session is not Established, InputError for a prefix or attributes that do not fit the wire.
        """
        adj_rib_out = self._open(session)
        config = self._peers[session].config
        other = [prefix for prefix in prefixes if family_of_prefix(prefix) is not config.family]
        if other:
            raise InputError(
                Problem("prefixes", f"{prefix} cannot be sent on {session}", f"give {config.family} prefixes")
                for prefix in other
            )
        if attributes.next_hop is None:
            attributes = msgspec.structs.replace(attributes, next_hop=config.local_address)
        try:
            adj_rib_out.stimulate([_raw(prefix) for prefix in prefixes], attributes)
        except ValueError as error:
            raise InputError([Problem("attributes", str(error), "give values that fit the wire")]) from None

    def withdraw_raw(self, session: str, prefixes: Sequence[Prefix]) -> None:
        """Withdraw what ``announce_raw`` sent; where policy has a route for the prefix, that one is sent instead."""
        self._open(session).calm([_raw(prefix) for prefix in prefixes])

    def _open(self, session: str) -> AdjRibOut:
        """Adj-RIB-Out of a session that must be Established. Raises RefusedError when it is not."""
        up = self._peers[session].up
        if up is None or up.adj_rib_out is None:
            raise RefusedError("NotEstablished", f"session {session} is not Established, nothing can be sent on it")
        return up.adj_rib_out

    def set_next_hops(self, view: NextHopView, now: int) -> None:
        """The connected networks or the IGP changed. Until the first call no next hop resolves."""
        self._view = view
        changed: set[Family] = set()
        for peer in self._peers.values():
            if peer.adj_rib_in is not None and peer.adj_rib_in.ingress.set_view(view):
                changed.add(peer.config.family)
        for family in changed:
            self._ribs[family].resolve_anew(self._resolution)

    def _resolution(self, path: Path) -> Resolution | None:
        """How the next hop of a learned path is reached now; a path of this router's own has none."""
        peer = self._peers.get(path.session) if path.session is not None else None
        if peer is None or peer.adj_rib_in is None or path.attributes.next_hop is None:
            return None
        return peer.adj_rib_in.ingress.resolve(path.attributes.next_hop)

    def take(self) -> Effects:
        """What is to be done since the last call. Afterwards Adj-RIB-Out counts as told."""
        send: dict[str, list[bytes]] = {}
        fib: list[FibChange] = []
        for family, rib in self._ribs.items():
            rib.settle()
            changed, stirred = rib.take_changes()
            for session, peer in self._peers.items():
                if peer.config.family is family and peer.up is not None and peer.up.adj_rib_out is not None:
                    messages, problems = peer.up.adj_rib_out.flush(changed, stirred)
                    self._notices.extend(Notice("not-sent", session, problem) for problem in problems)
                    if messages:
                        peer.up.updates_sent += len(messages)
                        send[session] = messages
            moves = rib.take_moves()
            if self._config.install_routes:
                fib.extend(_fib_change(family, raw, path) for raw, path in moves)
        effects = Effects(send=send, fib=fib, close=self._close, notices=self._notices)
        self._close, self._notices = [], []
        if len(self._interned) > _FORGET_BEYOND:
            self._interned.clear()
        return effects

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """Routes as received, whatever import policy says; ``reason`` names the statement that decided."""
        return self._read().adj_rib_in_pre(self._peers[session], _some_raw(prefix))

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """Routes as import policy made them, rejected ones left out."""
        return self._read().adj_rib_in_post(self._peers[session], _some_raw(prefix))

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """All routes that take part in the decision, winner first; ``reason`` is the step that eliminated a loser."""
        return self._read().loc_rib(None if prefix is None else (_raw(prefix), family_of_prefix(prefix)))

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer has been told and not been told to forget, as of the last ``take()``."""
        return self._read().adj_rib_out(self._peers[session], _some_raw(prefix))

    def withheld(self, session: str, prefix: Prefix) -> str | None:
        """Why a peer is not told of a prefix: a rule or the export statement that rejected it. None when it is told."""
        return self._read().withheld(self._peers[session], _raw(prefix))

    def explain(self, prefix: Prefix) -> Explanation:
        """Every path for a prefix: the best, the step that eliminated each other, and who was rejected by what."""
        return self._read().explain(_raw(prefix), family_of_prefix(prefix))

    def counters(self, session: str) -> SessionCounters:
        """The session's numbers."""
        return self._read().counters(self._peers[session])

    def _identity(self, config: PeerConfig) -> Identity:
        """Who this router is on a session."""
        own = self._config
        addresses = {peer.config.local_address for peer in self._peers.values()}
        addresses.update(address for address in (own.loopback_v4, own.loopback_v6) if address is not None)
        return Identity(
            asns=frozenset((own.asn, config.local_as)),
            router_id=own.router_id,
            cluster_id=own.cluster_id or own.router_id,
            addresses=frozenset(addresses),
        )

    def _drop(self, peer: Peer) -> None:
        """Forget everything learned from a peer and told to it."""
        if peer.adj_rib_in is not None:
            peer.adj_rib_in.clear()
        peer.up = peer.retained = None

    def _read(self) -> RibView:
        """The RIBs, with every decision made."""
        for rib in self._ribs.values():
            rib.settle()
        return RibView(self._config.node, self._peers, self._ribs, self._validator)


_FORGET_BEYOND = 1 << 18
"""Attribute sets kept for sharing between sessions; beyond, equal ones may be told apart, which costs only messages'
packing, not truth."""


def _raw(prefix: Prefix) -> bytes:
    """Raw NLRI of a prefix in text. Raises InputError when it is none."""
    try:
        return nlri_bytes(prefix)
    except ValueError as error:
        raise InputError([Problem("prefix", str(error), "write it like 192.0.2.0/24 or 2001:db8::/32")]) from None


def _some_raw(prefix: Prefix | None) -> bytes | None:
    return None if prefix is None else _raw(prefix)


def _fib_change(family: Family, raw: bytes, path: Path | None) -> FibChange:
    """What the kernel has to do so that packets leave by this path."""
    if path is not None and path.blackhole:
        return FibChange(family, raw, "blackhole")
    if path is None or path.resolution is None:
        return FibChange(family, raw, "remove")
    return FibChange(family, raw, "unicast", path.resolution.gateway, path.resolution.interface)
