"""What the controller and a router process say to each other, over the router's Unix socket.

Frames: 4 octets of length (network order), then one JSON object. A request has ``id`` and ``do``; its answer has the
same ``id`` and either ``answer`` or ``refused`` (text). After ``subscribe`` the router also sends ``{"notice": …}``
frames (``evidence.events.SessionStateChanged``, ``BfdStateChanged``, ``RouterNotice``, ``RouteChanged``) in order. Any
number of clients may be connected.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.config import BfdConfig as BfdConfig
from peerlab.bgp.config import IgpInterface as IgpInterface
from peerlab.bgp.config import PeerConfig as PeerConfig
from peerlab.bgp.config import RouterConfig as RouterConfig
from peerlab.bgp.policy import Policy
from peerlab.bgp.route_fact import Candidate as Candidate
from peerlab.bgp.route_fact import Explanation as Explanation
from peerlab.bgp.rtr_config import RtrServer as RtrServer


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    id: int = 0


class ReadSessions(_Request, frozen=True, kw_only=True, tag="read-sessions"):
    """Answer: list of ``evidence.snapshot.SessionFact``."""


class ReadRib(_Request, frozen=True, kw_only=True, tag="read-rib"):
    """Answer: list of ``RouteFact``. ``view``: adj-rib-in-pre, adj-rib-in-post, loc-rib, adj-rib-out.

    ``session`` is required for all but loc-rib. ``prefix`` narrows to one prefix.
    """

    view: str
    session: str | None = None
    prefix: Prefix | None = None


class Explain(_Request, frozen=True, kw_only=True, tag="explain"):
    """Answer: ``Explanation`` for one prefix: every candidate, the step that eliminated each, and every rejection."""

    prefix: Prefix


class SetPolicy(_Request, frozen=True, kw_only=True, tag="set-policy"):
    """Put policies in force for all named sessions in one atomic step, without a reset. Answer: true.

    ``policies`` are added to (or replace) the router's table. ``peers`` maps session to (import, export) names.
    """

    policies: dict[str, Policy] = {}
    peers: dict[str, tuple[str, str]] = {}


class AddPeers(_Request, frozen=True, kw_only=True, tag="add-peers"):
    """Provision sessions on a running router; others are not touched. Answer: true."""

    peers: tuple[PeerConfig, ...]
    policies: dict[str, Policy] = {}


class RemovePeers(_Request, frozen=True, kw_only=True, tag="remove-peers"):
    """Deprovision: Cease/3 with ``communication`` (RFC 9003), routes gone, configuration gone. Answer: true."""

    sessions: tuple[str, ...]
    communication: str = ""


class AskCaches(_Request, frozen=True, kw_only=True, tag="ask-caches"):
    """Validate origins by these RPKI caches from now on, without a reset of any session. Answer: true."""

    caches: tuple[RtrServer, ...] = ()


class ReadValidation(_Request, frozen=True, kw_only=True, tag="read-validation"):
    """Answer: ``evidence.snapshot.ValidationFact``."""


class SetBfd(_Request, frozen=True, kw_only=True, tag="set-bfd"):
    """Have BFD watch over sessions as stated (None: not at all), without a reset. Answer: true.

    ``strict`` counts from the next time that the session is Established.
    """

    peers: dict[str, BfdConfig | None]


class ShutBfd(_Request, frozen=True, kw_only=True, tag="shut-bfd"):
    """Administrative control of a session's BFD (RFC 5880 section 6.8.16): AdminDown, or up again. Answer: true."""

    session: str
    down: bool = True


class ShutSession(_Request, frozen=True, kw_only=True, tag="shut-session"):
    """Administrative shutdown (Cease/2) or, with ``reset``, a hard reset (Cease/4) that comes back by itself."""

    session: str
    reset: bool = False
    communication: str = ""


class OpenSession(_Request, frozen=True, kw_only=True, tag="open-session"):
    """End an administrative shutdown."""

    session: str


class RefreshSession(_Request, frozen=True, kw_only=True, tag="refresh-session"):
    """Send ROUTE-REFRESH to the peer (RFC 2918)."""

    session: str


class Originate(_Request, frozen=True, kw_only=True, tag="originate"):
    """Originate a prefix into BGP with these attributes (AS_PATH as given is put behind the local AS on eBGP)."""

    prefix: Prefix
    attributes: PathAttributes = PathAttributes()
    blackhole: bool = True


class WithdrawOrigin(_Request, frozen=True, kw_only=True, tag="withdraw-origin"):
    """Stop originating a prefix."""

    prefix: Prefix


class Announce(_Request, frozen=True, kw_only=True, tag="announce"):
    """Send a route to one session past all policy, attributes untouched (a stimulus: a leak, a hijack)."""

    session: str
    prefixes: tuple[Prefix, ...]
    attributes: PathAttributes


class Withdraw(_Request, frozen=True, kw_only=True, tag="withdraw"):
    """Withdraw what ``announce`` sent, past all policy."""

    session: str
    prefixes: tuple[Prefix, ...]


class SendRaw(_Request, frozen=True, kw_only=True, tag="send-raw"):
    """Write these octets (hex, whole BGP messages) on an Established session."""

    session: str
    message: str


class Subscribe(_Request, frozen=True, kw_only=True, tag="subscribe"):
    """From now on send notices on this connection; the answer is the current list of ``SessionFact``."""


class WatchPrefixes(_Request, frozen=True, kw_only=True, tag="watch-prefixes"):
    """From now on tell subscribers (``evidence.events.RouteChanged``) of every change to what external sessions hold
    of exactly these prefixes, and no more of those watched before. What is held now is told first. Answer: true.
    """

    prefixes: tuple[Prefix, ...]


class WaitFor(_Request, frozen=True, kw_only=True, tag="wait-for"):
    """Answer true as soon as the condition holds, or false after ``within`` seconds.

    ``what``: ``established``, ``down``, ``end-of-rib`` (received), ``bfd-up``, ``bfd-down`` for ``session``; ``best``,
    ``no-best`` for ``prefix`` (with ``session`` set: best learned on that session); ``quiet`` = nothing queued to send
    or to decide; ``vrps`` = origins are validated by the VRPs with that ``digest`` (``origin_validation.digest``).
    """

    what: str
    within: float
    session: str | None = None
    prefix: Prefix | None = None
    digest: str = ""


Request = (
    ReadSessions
    | ReadRib
    | Explain
    | SetPolicy
    | AddPeers
    | RemovePeers
    | AskCaches
    | ReadValidation
    | SetBfd
    | ShutBfd
    | ShutSession
    | OpenSession
    | RefreshSession
    | Originate
    | WithdrawOrigin
    | Announce
    | Withdraw
    | SendRaw
    | Subscribe
    | WatchPrefixes
    | WaitFor
)
