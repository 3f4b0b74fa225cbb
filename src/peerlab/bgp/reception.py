"""UPDATE bodies of one session into its Adj-RIB-In, with all that they can be guilty of.

Errors go as RFC 7606 says: an attribute is dropped, routes are treated as withdrawn, or the session ends. Each is told
to people together with the message that did it. Max-prefix is counted here, before policy.
"""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.bgp.bulk import BulkUpdate, decode_bulk
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.effects import CloseSession, Notice
from peerlab.bgp.nlri import AFI, SAFI_UNICAST
from peerlab.bgp.notification import CEASE, MAXIMUM_PREFIXES
from peerlab.bgp.peer import Established
from peerlab.errors import WireError


def receive_updates(
    config: PeerConfig, up: Established, bodies: Iterable[bytes], now: int, notices: list[Notice]
) -> CloseSession | None:
    """Take in UPDATE bodies in order, adding to ``notices``. Answers with how the session must end, if it must.

    What follows the message that ends it is not looked at.
    """
    for body in bodies:
        up.updates_received += 1
        try:
            parts = decode_bulk(body, up.cache)
        except WireError as error:
            notices.append(Notice("session-reset", config.session, str(error), body))
            return CloseSession(config.session, error.code, error.subcode, error.data, str(error))
        for part in parts:
            _take_in(config, up, part, body, now, notices)
            if part.announced and config.max_prefix is not None:
                close = _count(config, up, config.max_prefix, notices)
                if close is not None:
                    return close
    up.adj_rib_in.trim()
    return None


def _take_in(
    config: PeerConfig, up: Established, part: BulkUpdate, body: bytes, now: int, notices: list[Notice]
) -> None:
    """What an UPDATE does to one family."""
    if part.withdrawn:
        up.adj_rib_in.withdraw(part.withdrawn)
    decoded = part.decoded
    if decoded is not None:
        if decoded.attributes is not None and part.announced:
            up.adj_rib_in.announce(part.announced, decoded.attributes, now)
        if decoded.treat_as_withdraw is not None:
            up.treated_as_withdrawn += 1
            notices.append(Notice("treat-as-withdraw", config.session, decoded.treat_as_withdraw, body))
        if decoded.discarded and decoded.discarded not in up.told_discards:
            # Such a peer does it in every message; people are told once per session.
            up.told_discards.add(decoded.discarded)
            notices.append(Notice("attribute-discarded", config.session, "; ".join(decoded.discarded), body))
    if part.ignored is not None:
        notices.append(Notice("ignored", config.session, part.ignored, body))
    if part.end_of_rib and part.family is config.family:
        up.end_of_rib_received = True
        if up.adj_rib_in.awaits_end_of_rib:
            purged = up.adj_rib_in.end_of_rib()
            text = f"End-of-RIB after the peer's restart: {purged} stale routes purged"
            notices.append(Notice("graceful-restart", config.session, text))


def _count(config: PeerConfig, up: Established, limit: int, notices: list[Notice]) -> CloseSession | None:
    """Max-prefix: a warning near the limit, Cease/1 over it (RFC 4486 section 4)."""
    session, count = config.session, len(up.adj_rib_in)
    if count > limit:
        text = f"{count} prefixes received, the limit is {limit}"
        notices.append(Notice("max-prefix", session, text))
        data = bytes([0, AFI[config.family], SAFI_UNICAST]) + limit.to_bytes(4, "big")
        return CloseSession(session, CEASE, MAXIMUM_PREFIXES, data, text)
    if up.warns(limit):
        notices.append(Notice("max-prefix-warning", session, f"{count} prefixes received, near the limit of {limit}"))
    return None
