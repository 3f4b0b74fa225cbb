"""The numbers of one session's RIBs."""

from __future__ import annotations

import msgspec


class SessionCounters(msgspec.Struct, frozen=True, kw_only=True):
    """``received`` routes in Adj-RIB-In pre-policy, ``accepted`` of them post-policy, ``advertised`` in Adj-RIB-Out.

    ``updates_received``, ``updates_sent`` and ``treated_as_withdrawn`` (RFC 7606) count messages since the session
    came up. ``end_of_rib_received``/``end_of_rib_sent`` tell about the initial exchange (RFC 4724 section 2).
    """

    received: int
    accepted: int
    advertised: int
    updates_received: int
    updates_sent: int
    treated_as_withdrawn: int
    end_of_rib_received: bool
    end_of_rib_sent: bool
