"""What these tests know of each kind of router that a companion runs. A new kind is tested by adding it here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from peerlab.bgp.policy import CommunityIn, Condition, HasOtc
from peerlab.bgp.route_fact import RouteFact
from peerlab.router.bird_driver import bird_program
from peerlab.router.companion_child import check
from peerlab.router.frr_process import FrrProcesses
from peerlab.router.openbgpd_process import OpenBgpdProcess


def _nothing(fact: RouteFact, own: bool) -> RouteFact:
    return fact


def _own_routes_have_a_med(fact: RouteFact, own: bool) -> RouteFact:
    """FRR gives MED 0 to what it originates, and cannot be told not to."""
    if not own or fact.attributes.med is not None:
        return fact
    return msgspec.structs.replace(fact, attributes=msgspec.structs.replace(fact.attributes, med=0))


def _as_shown(fact: RouteFact) -> RouteFact:
    return fact


def _without_med_0(fact: RouteFact) -> RouteFact:
    """OpenBGPD shows MED 0 for none, and so nobody can tell them apart."""
    if fact.attributes.med != 0:
        return fact
    return msgspec.structs.replace(fact, attributes=msgspec.structs.replace(fact.attributes, med=None))


class DaemonKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind. ``kernel_protocol``: the number of its routes in the kernel (rtnetlink(7), rtm_protocol).

    ``cannot_say`` is a condition that it has no words for. ``refresh_refusal`` is what it says when it is to ask a
    peer again, None when it can. ``differs`` makes of what the decision core announces what this daemon announces,
    a difference that docs/daemons.md lists; its second argument tells of a route of the own AS. ``shows`` makes of
    what the decision core holds what this daemon shows. ``check`` has the daemon itself read the files in a directory,
    and raises RuntimeFailure with its words. ``may_fail`` are checks that rightly fail at times. The rest are things
    that not every daemon can: listen where there is an MD5 key, originate a route with a path, ask an RPKI cache, speak
    of extended messages, hear of interior costs. ``takes_sets_for_sequences``: in questions
    about origins and repeated AS numbers.
    """

    name: str
    kernel_protocol: int
    cannot_say: Condition
    refresh_refusal: str | None
    check: Callable[[Path], None]
    differs: Callable[[RouteFact, bool], RouteFact] = _nothing
    shows: Callable[[RouteFact], RouteFact] = _as_shown
    may_fail: frozenset[str] = frozenset()
    listens_with_md5: bool = True
    originates_paths: bool = True
    has_caches: bool = True
    knows_extended_messages: bool = True
    knows_interior_costs: bool = True
    takes_sets_for_sequences: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What makes a router one of this kind."""
        return {"kind": self.name}


BIRD = DaemonKind(
    name="bird",
    kernel_protocol=12,
    cannot_say=CommunityIn(("64500:*:1",)),
    refresh_refusal="never asks a peer",
    check=lambda directory: check("BIRD", [bird_program(), "-p", "-c", "bird.conf"], directory / "bird.conf"),
)
FRR = DaemonKind(
    name="frr",
    kernel_protocol=186,
    cannot_say=HasOtc(),
    refresh_refusal=None,
    check=lambda directory: FrrProcesses(directory).check(),
    differs=_own_routes_have_a_med,
    has_caches=False,
)
OPENBGPD = DaemonKind(
    name="openbgpd",
    kernel_protocol=186,
    cannot_say=HasOtc(),
    refresh_refusal=None,
    check=lambda directory: OpenBgpdProcess(directory).check(),
    shows=_without_med_0,
    may_fail=frozenset({"SES-05"}),
    listens_with_md5=False,
    originates_paths=False,
    has_caches=False,
    knows_extended_messages=False,
    knows_interior_costs=False,
    takes_sets_for_sequences=True,
)
KINDS = (BIRD, FRR, OPENBGPD)
