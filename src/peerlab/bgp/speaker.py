"""A whole BGP speaker without sockets, clock or kernel: messages and events in, effects out.

The owner feeds it what happens (``peer_up``, ``receive``, ``set_next_hops``...) and then calls ``take()`` for what is
to be done: octets to write, kernel routes to change, sessions to close, notices for people. Every call between two
``take()`` is one step for the outside: what only existed in between is never told to anyone. Times are CLOCK_REALTIME
nanoseconds. Reading calls are always up to date, whether ``take()`` was called or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.counters import SessionCounters
from peerlab.bgp.effects import Effects
from peerlab.bgp.negotiated import Negotiated
from peerlab.bgp.next_hop import NextHopView
from peerlab.bgp.policy import Policy
from peerlab.bgp.route_fact import Explanation, RouteFact


class BgpSpeaker:
    """The routing core of one router. ``session`` is always a model session id of ``RouterConfig.peers``.

    Every call that names a session raises KeyError for one that is not configured.
    """

    def __init__(self, config: RouterConfig, now: int) -> None:
        """Raises InputError when a peer names a policy that does not exist (``deny-all`` always does)."""
        raise NotImplementedError

    def peer_up(self, session: str, negotiated: Negotiated, now: int) -> None:
        """The session is Established: what export policy lets through will be sent, and then End-of-RIB."""
        raise NotImplementedError

    def peer_down(self, session: str, reason: str, now: int) -> None:
        """The session is gone, and with it everything learned from it and told to it."""
        raise NotImplementedError

    def receive(self, session: str, bodies: Sequence[bytes], now: int) -> None:
        """UPDATE bodies (without the 19 octet header), in order. Never raises for what they hold."""
        raise NotImplementedError

    def route_refresh(self, session: str, family: Family | None, subtype: int, now: int) -> None:
        """A ROUTE-REFRESH came: a request (0), or the peer's BoRR (1) or EoRR (2) (RFC 2918, RFC 7313)."""
        raise NotImplementedError

    def set_policy(self, policies: Mapping[str, Policy], peers: Mapping[str, tuple[str, str]], now: int) -> None:
        """Put policies in force; ``peers`` maps session to (import, export) policy names.

        One step: Adj-RIB-In is judged anew as it was received, Adj-RIB-Out becomes what the new policy lets through.
        Raises InputError for a policy that does not exist; then nothing has changed.
        """
        raise NotImplementedError

    def add_peers(self, peers: Sequence[PeerConfig], policies: Mapping[str, Policy], now: int) -> None:
        """Configure more sessions. Raises InputError for an unknown policy or a session that exists."""
        raise NotImplementedError

    def remove_peers(self, sessions: Sequence[str], now: int) -> None:
        """Forget sessions and all of their routes. Closing them (Cease/3) is up to the owner."""
        raise NotImplementedError

    def originate(self, prefix: Prefix, attributes: PathAttributes, now: int, blackhole: bool = True) -> None:
        """Originate a prefix, or change its attributes. ``blackhole``: the kernel drops what is not more specific."""
        raise NotImplementedError

    def withdraw_origin(self, prefix: Prefix, now: int) -> None:
        """Stop originating a prefix; unknown ones are ignored."""
        raise NotImplementedError

    def announce_raw(self, session: str, prefixes: Sequence[Prefix], attributes: PathAttributes) -> None:
        """Send routes past all policy, attributes untouched. They stand in no RIB; a refresh resends them.

        Until ``withdraw_raw`` they hide what policy would announce for the same prefix. They end with the session.
        """
        raise NotImplementedError

    def withdraw_raw(self, session: str, prefixes: Sequence[Prefix]) -> None:
        """Withdraw what ``announce_raw`` sent; where policy has a route for the prefix, that one is sent instead."""
        raise NotImplementedError

    def set_next_hops(self, view: NextHopView, now: int) -> None:
        """The connected networks or the IGP changed. Until the first call no next hop resolves."""
        raise NotImplementedError

    def take(self) -> Effects:
        """What is to be done since the last call. Afterwards Adj-RIB-Out counts as told."""
        raise NotImplementedError

    def adj_rib_in_pre(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """Routes as received, whatever import policy says; ``reason`` names the statement that decided."""
        raise NotImplementedError

    def adj_rib_in_post(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """Routes as import policy made them, rejected ones left out."""
        raise NotImplementedError

    def loc_rib(self, prefix: Prefix | None = None) -> list[RouteFact]:
        """All routes that take part in the decision, winner first; ``reason`` is the step that eliminated a loser."""
        raise NotImplementedError

    def adj_rib_out(self, session: str, prefix: Prefix | None = None) -> list[RouteFact]:
        """What the peer has been told and not been told to forget, as of the last ``take()``."""
        raise NotImplementedError

    def explain(self, prefix: Prefix) -> Explanation:
        """Every path for a prefix: the best, the step that eliminated each other, and who was rejected by what."""
        raise NotImplementedError

    def counters(self, session: str) -> SessionCounters:
        """The session's numbers."""
        raise NotImplementedError
