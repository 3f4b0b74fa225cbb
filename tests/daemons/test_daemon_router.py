"""A foreign daemon beside an ExaBGP router on one wire: sessions, what protects them, policy without reset, any end."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_kinds import DaemonKind
from live.router_lab import ACCEPT_ALL, DENY_ALL, WITHIN, RouterLab, pair, peers, prefixes, run, two_routers, with_ends

from peerlab.bgp.attributes import Address, BgpRole, Family, PathAttributes, Segment, SegmentType
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.policy import Policy, PrefixIn, PrefixRange, SetLocalPref, Statement, Verdict
from peerlab.daemons.kinds import daemon_of
from peerlab.errors import RefusedError
from peerlab.router.protocol import (
    AddPeers,
    Announce,
    Explain,
    OpenSession,
    Originate,
    RefreshSession,
    RemovePeers,
    SetPolicy,
    ShutSession,
    WithdrawOrigin,
)

pytestmark = [pytest.mark.live, pytest.mark.daemons]

FAMILIES = [pytest.param("s4", Family.IPV4, id="ipv4"), pytest.param("s6", Family.IPV6, id="ipv6")]
THEIRS = {Family.IPV4: "198.51.100.0/24", Family.IPV6: "2001:db8:a::/48"}
OURS = {Family.IPV4: "203.0.113.0/24", Family.IPV6: "2001:db8:b::/48"}


def sessions(**more: Any) -> list[tuple[PeerConfig, PeerConfig]]:
    """One session of each family from a (ExaBGP) to b (the daemon)."""
    return [peers("s4", Family.IPV4, "a", "b", **more), peers("s6", Family.IPV6, "a", "b", **more)]


def with_md5(
    kind: DaemonKind, ends: list[tuple[PeerConfig, PeerConfig]]
) -> list[tuple[PeerConfig, PeerConfig]]:
    """As they are, or with the daemon connecting when it cannot listen for signed segments."""
    if kind.listens_with_md5:
        return ends
    return [with_ends(pair_of, {"passive": True}, {"passive": False}) for pair_of in ends]


async def up(lab: RouterLab, *names: str) -> None:
    """Both ends have heard all; from one that tells no End-of-RIB, because it has nothing left to say."""
    tells = daemon_of(lab.kinds["b"]).TELLS_END_OF_RIB
    for name in names or ("s4", "s6"):
        for node in ("a", "b"):
            what = "end-of-rib" if node == "b" or tells else "established"
            assert await lab.clients[node].wait(what, WITHIN, session=name), (node, name)
    if not tells:
        assert await lab.clients["b"].wait("quiet", WITHIN)
        assert await lab.clients["a"].wait("quiet", WITHIN)


def path(*asns: int) -> tuple[Segment, ...]:
    return (Segment(SegmentType.AS_SEQUENCE, asns),)


def test_sessions_with_md5_and_gtsm_are_told_of_as_ours_are(kind: DaemonKind, tmp_path: Path) -> None:
    async def story() -> None:
        ends = with_md5(kind, sessions(md5="a-key", gtsm=True))
        async with two_routers(tmp_path, *pair(ends, right=kind.settings)) as lab:
            await up(lab)
            fact = await lab.session("b", "s4")
            assert (fact.state, fact.hold_time, fact.keepalive, fact.peer_as) == ("Established", 9, 3, 64500)
            assert {"four octet as", "route refresh"} <= set(fact.capabilities_received)
            assert ("extended message" in fact.capabilities_received) is kind.knows_extended_messages
            moves = [(before, after) for before, after, _ in lab.changes("b", "s6")]
            assert moves[-3:] == [
                ("Active" if kind.listens_with_md5 else "Connect", "OpenSent"),
                ("OpenSent", "OpenConfirm"),
                ("OpenConfirm", "Established"),
            ]

    run(story())


def test_it_connects_when_the_other_end_is_passive(kind: DaemonKind, tmp_path: Path) -> None:
    async def story() -> None:
        ends = [with_ends(pair_of, {"passive": True}, {"passive": False}) for pair_of in sessions()]
        async with two_routers(tmp_path, *pair(ends, right=kind.settings)) as lab:
            await up(lab)

    run(story())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param({"md5": "one"}, {"md5": "other"}, id="different keys"),
        pytest.param({"md5": None}, {"md5": "one"}, id="a key at its end only"),
        pytest.param({"gtsm": False}, {"gtsm": True}, id="GTSM at its end only"),
        pytest.param({"local_role": BgpRole.PEER}, {"local_role": BgpRole.CUSTOMER}, id="roles that do not fit"),
        pytest.param({}, {"local_role": BgpRole.PEER, "role_strict": True}, id="a role that it insists on"),
    ],
)
def test_ends_that_disagree_stay_apart(
    kind: DaemonKind, tmp_path: Path, left: dict[str, Any], right: dict[str, Any]
) -> None:
    async def story() -> None:
        bad, good = sessions()
        bad = with_ends(bad, left, right)
        ends = with_md5(kind, [bad, good]) if bad[1].md5 is not None else [bad, good]
        async with two_routers(tmp_path, *pair(ends, right=kind.settings)) as lab:
            await up(lab, "s6")
            assert not await lab.clients["b"].wait("established", 1.5, session="s4")

    run(story())


@pytest.mark.parametrize(("session", "family"), FAMILIES)
def test_routes_cross_both_ways_and_both_ends_tell_the_same(
    kind: DaemonKind, tmp_path: Path, session: str, family: Family
) -> None:
    """What the daemon says it sent, after its own changes, is what the other end received; and the reverse."""

    async def story() -> None:
        configs = pair(
            sessions(local_role=BgpRole.PEER),
            {"originate": prefixes(THEIRS[family])},
            {"originate": prefixes(OURS[family]), **kind.settings},
        )
        async with two_routers(tmp_path, *configs) as lab:
            await up(lab)
            a, b = lab.clients["a"], lab.clients["b"]
            assert await b.wait("best", WITHIN, session=session, prefix=THEIRS[family])
            assert await a.wait("best", WITHIN, session=session, prefix=OURS[family])
            for teller, hearer in ((a, b), (b, a)):
                told = {r.prefix: r.attributes for r in await teller.rib("adj-rib-out", session)}
                heard = {r.prefix: r.attributes for r in await hearer.rib("adj-rib-in-pre", session)}
                plain = {
                    prefix: msgspec.structs.replace(given, link_local_next_hop=None) for prefix, given in heard.items()
                }
                assert told == plain
                assert len(told) == 1
            kernel = await lab.runtime.kernel_routes("b", family.value)
            number = kind.kernel_protocol
            assert {r.destination for r in kernel if r.protocol == number} == {THEIRS[family], OURS[family]}
            fact = await lab.session("b", session)
            assert (fact.received, fact.accepted, fact.advertised) == (1, 1, 1)

    run(story())


def test_policy_changes_reset_nothing_and_the_statement_is_named(kind: DaemonKind, tmp_path: Path) -> None:
    prefix = THEIRS[Family.IPV4]
    picky = Policy(
        name="picky",
        statements=(
            Statement(name="not this one", match=(PrefixIn((PrefixRange(prefixes(prefix)[0]),)),),
                      verdict=Verdict.REJECT),
            Statement(name="the rest", actions=(SetLocalPref(250),), verdict=Verdict.ACCEPT),
        ),
    )  # fmt: skip

    async def story() -> None:
        configs = pair(sessions(), {"originate": prefixes(prefix, "198.51.101.0/24")}, kind.settings)
        async with two_routers(tmp_path, *configs) as lab:
            await up(lab)
            b = lab.clients["b"]
            assert await b.wait("best", WITHIN, prefix=prefix)
            before = {fact.session: fact.since for fact in await b.sessions()}
            await b.ask(SetPolicy(policies={"picky": picky}, peers={"s4": ("picky", DENY_ALL.name)}))
            assert await b.wait("no-best", WITHIN, prefix=prefix)
            assert await b.wait("quiet", WITHIN)
            decided = {r.prefix: (r.accepted, r.reason, r.attributes.local_pref)
                       for r in await b.rib("adj-rib-in-post", "s4")}  # fmt: skip
            assert decided == {
                prefix: (False, "not this one", None),
                "198.51.101.0/24": (True, "the rest", 250),
            }
            explained = await b.explain(prefix)
            assert [(c.accepted, c.rejected_by) for c in explained.candidates] == [(False, "not this one")]
            fact = await lab.session("b", "s4")
            assert (fact.import_policy, fact.export_policy) == ("picky", DENY_ALL.name)
            await b.ask(SetPolicy(policies={ACCEPT_ALL.name: ACCEPT_ALL}, peers={"s4": (ACCEPT_ALL.name,) * 2}))
            assert await b.wait("best", WITHIN, prefix=prefix)
            assert {fact.session: fact.since for fact in await b.sessions()} == before
            assert all(after == "Established" for _, after, _ in lab.changes("b", "s4")[-1:])

    run(story())


def test_sessions_are_added_and_removed_and_the_others_never_notice(kind: DaemonKind, tmp_path: Path) -> None:
    async def story() -> None:
        first, second = sessions()
        async with two_routers(tmp_path, *pair([first], right=kind.settings)) as lab:
            await up(lab, "s4")
            since = (await lab.session("b", "s4")).since
            await lab.clients["b"].ask(AddPeers(peers=(second[1],)))
            await lab.clients["a"].ask(AddPeers(peers=(second[0],)))
            await up(lab)
            await lab.clients["b"].ask(RemovePeers(sessions=("s6",), communication="moved to the new router"))
            assert await lab.clients["a"].wait("down", WITHIN, session="s6")
            assert "moved to the new router" in lab.changes("a", "s6")[-1][2]
            assert [fact.session for fact in await lab.clients["b"].sessions()] == ["s4"]
            assert (await lab.session("b", "s4")).since == since

    run(story())


def test_shutdown_reset_and_reopening(kind: DaemonKind, tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions(), right=kind.settings)) as lab:
            await up(lab)
            b = lab.clients["b"]
            await b.ask(ShutSession(session="s4", communication='a "quoted" reason'))
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert re.search(r"a ['\"]quoted['\"] reason", lab.changes("a", "s4")[-1][2])
            # a change of policy meanwhile must not open it again
            await b.ask(SetPolicy(policies={}, peers={"s6": (DENY_ALL.name, DENY_ALL.name)}))
            assert not await b.wait("established", 1.5, session="s4")
            await b.ask(OpenSession(session="s4"))
            await up(lab)
            await b.ask(ShutSession(session="s6", reset=True, communication="again"))
            assert await lab.clients["a"].wait("down", WITHIN, session="s6")
            await up(lab)
            assert (await lab.session("b", "s6")).flaps == 1

    run(story())


def test_too_many_prefixes_end_that_session_only(kind: DaemonKind, tmp_path: Path) -> None:
    async def story() -> None:
        four, six = sessions()
        configs = pair([with_ends(four, {}, {"max_prefix": 2}), six], {"originate": prefixes("198.51.100.0/24",
                       "198.51.101.0/24")}, kind.settings)  # fmt: skip
        async with two_routers(tmp_path, *configs) as lab:
            await up(lab)
            assert len(await lab.clients["b"].rib("loc-rib")) == 2
            # FRR counts a route after it has let it in, so its session ends with the second one too many.
            for prefix in prefixes("198.51.102.0/24", "198.51.103.0/24"):
                await lab.clients["a"].ask(Originate(prefix=prefix))
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert "maximum number of prefixes" in lab.changes("a", "s4")[-1][2].lower()
            assert (await lab.session("b", "s6")).state == "Established"
            assert await lab.clients["b"].wait("no-best", WITHIN, prefix=prefixes("198.51.100.0/24")[0])
            assert await lab.clients["b"].wait("quiet", WITHIN)
            assert await lab.clients["b"].rib("loc-rib") == ()

    run(story())


@pytest.mark.parametrize("family", list(Family))
def test_originations_come_and_go_with_their_attributes(kind: DaemonKind, tmp_path: Path, family: Family) -> None:
    prefix = prefixes(OURS[family])[0]
    behind = (64510, 64511) if kind.originates_paths else ()
    attributes = PathAttributes(as_path=path(*behind) if behind else (), med=7, communities=("64500:1",),
                                large_communities=("64500:1:2",))  # fmt: skip

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions(), right=kind.settings)) as lab:
            await up(lab)
            await lab.clients["b"].ask(Originate(prefix=prefix, attributes=attributes))
            assert await lab.clients["a"].wait("best", WITHIN, prefix=prefix)
            (heard,) = await lab.clients["a"].rib("adj-rib-in-pre", "s4" if family is Family.IPV4 else "s6")
            assert heard.attributes.asns() == (4200000001, *behind)
            assert heard.attributes.communities == ("64500:1",)
            assert heard.attributes.large_communities == ("64500:1:2",)
            await lab.clients["b"].ask(WithdrawOrigin(prefix=prefix))
            assert await lab.clients["a"].wait("no-best", WITHIN, prefix=prefix)

    run(story())


def test_what_it_cannot_do_is_refused_and_changes_nothing(kind: DaemonKind, tmp_path: Path) -> None:
    odd = Policy(name="odd", statements=(Statement(name="inner", match=(kind.cannot_say,)),))

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions(), right=kind.settings)) as lab:
            await up(lab)
            b = lab.clients["b"]
            for request, words in (
                (RefreshSession(session="s4"), kind.refresh_refusal),
                (
                    Announce(session="s4", prefixes=prefixes(OURS[Family.IPV4]),
                             attributes=PathAttributes(next_hop=Address("192.0.2.1"))),
                    "nothing past its own policy",
                ),
                (ShutSession(session="unknown"), "no session unknown"),
                (SetPolicy(policies={"odd": odd}, peers={"s4": ("odd", "odd")}), "statement 'inner'"),
                (Explain(prefix=prefixes("10.0.0.0/8")[0]), None),
            ):  # fmt: skip
                if words is None:
                    await b.ask(request)
                    continue
                with pytest.raises(RefusedError, match=words):
                    await b.ask(request)
            fact = await lab.session("b", "s4")
            assert (fact.state, fact.import_policy) == ("Established", ACCEPT_ALL.name)

    run(story())


def test_a_killed_companion_takes_the_daemon_with_it_and_a_new_one_begins_anew(
    kind: DaemonKind, tmp_path: Path
) -> None:
    prefix = THEIRS[Family.IPV4]

    async def story() -> None:
        async with two_routers(tmp_path, *pair(sessions(), {"originate": prefixes(prefix)}, kind.settings)) as lab:
            await up(lab)
            assert await lab.clients["b"].wait("best", WITHIN, prefix=prefix)
            await lab.kill("b", signal.SIGKILL)
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            await lab.restart("b")
            await up(lab)
            assert await lab.clients["b"].wait("best", WITHIN, prefix=prefix)

    run(story())


def test_a_router_that_is_told_to_end_closes_its_sessions_and_clears_the_kernel(
    kind: DaemonKind, tmp_path: Path
) -> None:
    async def story() -> None:
        configs = pair(sessions(), {"originate": prefixes(THEIRS[Family.IPV4])}, kind.settings)
        async with two_routers(tmp_path, *configs) as lab:
            await up(lab)
            assert await lab.clients["b"].wait("best", WITHIN, prefix=THEIRS[Family.IPV4])
            ended = await lab.kill("b", signal.SIGTERM)
            assert (ended.code, ended.signal) == (0, None)
            assert await lab.clients["a"].wait("down", WITHIN, session="s4")
            assert "router b stops" in lab.changes("a", "s4")[-1][2]
            number = kind.kernel_protocol
            assert [r for r in await lab.runtime.kernel_routes("b", "ipv4") if r.protocol == number] == []

    run(story())
