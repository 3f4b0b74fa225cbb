"""Sessions that come up wrong on purpose: AS, MD5, TTL, roles, an OLD speaker (SES-03, 09, 10, 11, 16)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.policy import DENY_ALL, Policy
from peerlab.controller import probing
from peerlab.controller.exam import ACCEPT_ALL, ANSWERED_WITHIN, EXAM_ACCEPT, Exam
from peerlab.controller.examiner import Examiner
from peerlab.evidence.story import Stimulus
from peerlab.runtime.base import Task

STAYS_DOWN_FOR = 1.5
"""Seconds in which a session that must not come up is given the chance to: a dozen connection attempts."""

KEY, OTHER_KEY = "rehearsal", "otherwise"
TTL_AT = {Family.IPV4: 14 + 8, Family.IPV6: 14 + 7}
"""Where the TTL or hop limit stands in an Ethernet frame."""
FULL_TTL = 255
OLD, THIRD = "old", "third"


@dataclass(frozen=True)
class Case:
    """One way for a session to be right or wrong: what each end's configuration is besides the model's."""

    name: str
    stimulus: Stimulus
    comes_up: bool
    at: Mapping[str, Any] = field(default_factory=dict)
    peer: Mapping[str, Any] = field(default_factory=dict)
    takes: Policy = DENY_ALL


def session_cases(wrong: int) -> tuple[Case, ...]:
    """Every case of one session. ``wrong`` is an AS that was not agreed."""
    strict = {"local_role": BgpRole.PEER, "role_strict": True}
    loose = {"local_role": BgpRole.PEER}
    return (
        Case("asn", Stimulus.WRONG_ASN, False, peer={"local_as": wrong}),
        Case("md5-peer", Stimulus.MD5_ON_PEER, False, {"passive": True}, {"md5": KEY, "passive": False}),
        Case("md5-same", Stimulus.MD5_EQUAL, True, {"md5": KEY}, {"md5": KEY}),
        Case(
            "md5-other",
            Stimulus.MD5_UNEQUAL,
            False,
            {"md5": KEY, "passive": True},
            {"md5": OTHER_KEY, "passive": False},
        ),
        Case("ttl-low", Stimulus.TTL_LOWERED, False, {"gtsm": True, "passive": True}, {"passive": False}),
        Case("ttl-full", Stimulus.TTL_FULL, True, {"gtsm": True}, {"gtsm": True}),
        Case("role-bad", Stimulus.ROLE_MISMATCH, False, loose, {"local_role": BgpRole.CUSTOMER}),
        Case("role-none", Stimulus.ROLE_SILENT, False, strict),
        Case("role-good", Stimulus.ROLE_PAIR, True, strict, loose),
        Case(OLD, Stimulus.OLD_SPEAKER, True, peer={"four_octet_as": False}, takes=EXAM_ACCEPT),
    )


@dataclass
class Watch:
    """What is counted while a case runs: the kernel's TCP-MD5 counters before, and who sniffs each family."""

    counters: dict[str, int] = field(default_factory=dict)
    sniffers: dict[Family, Task] = field(default_factory=dict)


async def prepare(exam: Exam, case: Case, wrong: int) -> Watch:
    """Write down what is about to be done, begin to watch, and want the sessions."""
    examiner = exam[case.name]
    watch = Watch(await _md5_counters(exam, case, examiner), await _watch_ttl(exam, case, examiner))
    for session in examiner.sessions.values():
        detail: dict[str, object] = {"asn": wrong} if case.stimulus is Stimulus.WRONG_ASN else {}
        exam.applied(case.stimulus, _speaks(case, examiner), session, **detail)
    exam.want(case.name, at=case.at, peer=case.peer, takes=case.takes)
    if case.name == OLD:
        exam.want(THIRD, tells=ACCEPT_ALL, peer_takes=ACCEPT_ALL)
    return watch


async def run(exam: Exam, case: Case, watch: Watch) -> None:
    """See what becomes of the case's sessions, both families at once, and write it down."""
    examiner = exam[case.name]
    router = await exam.router(examiner.at)
    within = ANSWERED_WITHIN if case.comes_up else STAYS_DOWN_FOR
    families = list(examiner.sessions)
    answers = await asyncio.gather(
        *(router.wait("established", within, session=examiner.sessions[family]) for family in families)
    )
    after = await _md5_counters(exam, case, examiner)
    grown = {name: value - watch.counters.get(name, 0) for name, value in after.items()}
    ttls = {family: await _ttl_seen(sniffer, family) for family, sniffer in watch.sniffers.items()}
    for family, established in zip(families, answers, strict=True):
        session = examiner.sessions[family]
        detail: dict[str, object] = {"established": established}
        if case.stimulus is Stimulus.MD5_ON_PEER:
            detail["reported"] = _md5_report(grown)
        elif case.stimulus is Stimulus.MD5_UNEQUAL:
            detail["kernel_failures"] = grown.get("TCPMD5Failure", 0)
        elif case.stimulus is Stimulus.TTL_FULL:
            detail["ttl_seen"] = min(ttls[family], default=0)
        elif case.stimulus is Stimulus.TTL_LOWERED:
            detail["attempts"] = sum(1 for ttl in ttls[family] if ttl < FULL_TTL)
        elif case.stimulus is Stimulus.OLD_SPEAKER:
            detail["path_at_third"] = await _path_behind(exam, examiner, family)
        exam.observed(case.stimulus, _speaks(case, examiner), session, **detail)


def _speaks(case: Case, examiner: Examiner) -> str:
    """The node under which a case stands in the log: the examiner where it is the one that is wrong."""
    return examiner.node if case.stimulus is Stimulus.WRONG_ASN else examiner.at


def _md5_report(grown: Mapping[str, int]) -> str:
    """What people are told of a session that stays down while the examined kernel drops signed segments."""
    unexpected = grown.get("TCPMD5Unexpected", 0)
    if not unexpected:
        return ""
    return (
        f"the peer signs its segments with TCP-MD5 ({unexpected} dropped as TCPMD5Unexpected); "
        "Microsoft does not support MD5: take the key out on the peer's side"
    )


async def _md5_counters(exam: Exam, case: Case, examiner: Examiner) -> dict[str, int]:
    """The examined kernel's TCP-MD5 counters (RFC 2385 section 2: such segments are dropped without a word)."""
    if case.stimulus not in (Stimulus.MD5_ON_PEER, Stimulus.MD5_UNEQUAL):
        return {}
    done = await exam.rehearsal.lab.runtime.run(examiner.at, ["cat", "/proc/self/net/netstat"], within=5.0)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    return {
        name: int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
        if name.startswith("TCPMD5")
    }


async def _watch_ttl(exam: Exam, case: Case, examiner: Examiner) -> dict[Family, Task]:
    """Watch what the examiner receives (GTSM at the other end) or sends (a low TTL) on port 179."""
    if case.stimulus not in (Stimulus.TTL_FULL, Stimulus.TTL_LOWERED):
        return {}
    direction = "in" if case.stimulus is Stimulus.TTL_FULL else "out"
    watchers = {}
    for family in examiner.sessions:
        ether_type = 0x0800 if family is Family.IPV4 else 0x86DD
        wanted = {"port": 179, "direction": direction, "ether_type": ether_type}
        watcher = await exam.rehearsal.lab.runtime.task(
            examiner.node, probing.SNIFF, {"interface": examiner.interface, "filter": wanted}
        )
        await asyncio.wait_for(anext(aiter(watcher)), ANSWERED_WITHIN)
        watchers[family] = watcher
    return watchers


async def _ttl_seen(watcher: Task, family: Family) -> list[int]:
    """TTLs (hop limits) of the frames that the watcher has told, in order."""
    return [bytes.fromhex(record["hex"])[TTL_AT[family]] for record in await watcher.drain()]


async def _path_behind(exam: Exam, examiner: Examiner, family: Family) -> str:
    """The path that a third AS is told of a route which came through an OLD speaker from a 4-octet AS."""
    large = next(asn for asn in (65551, 65550) if asn != exam[THIRD].asn)
    prefix = exam.prefix(family, OLD)
    third = exam[THIRD]
    await exam.is_up(third, family)
    await exam.announce(examiner, family, (prefix,), path=(large,))
    router = await exam.router(third.node)
    if not await router.wait("best", ANSWERED_WITHIN, session=third.sessions[family], prefix=prefix):
        return ""
    best = await exam.best(third.node, prefix)
    return best.attributes.path_text() if best is not None else ""
