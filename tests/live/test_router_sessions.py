"""Two router processes on one wire: sessions, and everything that ends them."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from router_lab import WITHIN, pair, peers, run, two_routers, with_ends

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.router.protocol import AddPeers, OpenSession, RemovePeers, ShutSession
from peerlab.runtime.base import Impairment, RouteSpec

pytestmark = pytest.mark.live


def test_sessions_of_both_families_come_up_with_md5_and_gtsm(tmp_path: Path) -> None:
    async def story() -> None:
        sessions = [
            peers("s4", Family.IPV4, "a", "b", md5="secret", gtsm=True),
            peers("s6", Family.IPV6, "a", "b", md5='an\\other "one"', gtsm=True),
        ]
        async with two_routers(tmp_path, *pair(sessions)) as lab:
            await lab.established("a", "s4", "s6")
            await lab.established("b", "s4", "s6")
            fact = await lab.session("b", "s4")
            assert (fact.hold_time, fact.keepalive, fact.peer_as) == (9, 3, 64500)
            assert {"four octet as", "route refresh", "extended message"} <= set(fact.capabilities_received)
            steps = [(before, after) for before, after, _ in lab.changes("b", "s6")]
            assert steps[-3:] == [
                ("Active", "OpenSent"),
                ("OpenSent", "OpenConfirm"),
                ("OpenConfirm", "Established"),
            ]

    run(story())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param({"md5": "one"}, {"md5": "other"}, id="different keys"),
        pytest.param({"md5": "one"}, {"md5": None}, id="a key at the active end only"),
        pytest.param({"md5": None}, {"md5": "one"}, id="a key at the passive end only"),
        pytest.param({"gtsm": True}, {"gtsm": False}, id="GTSM at the active end only"),
        pytest.param({"gtsm": False}, {"gtsm": True}, id="GTSM at the passive end only"),
    ],
)
@pytest.mark.parametrize("family", list(Family))
def test_ends_that_disagree_on_protection_stay_apart_and_others_do_not_care(
    tmp_path: Path, family: Family, left: dict[str, Any], right: dict[str, Any]
) -> None:
    async def story() -> None:
        other = Family.IPV6 if family is Family.IPV4 else Family.IPV4
        bad = with_ends(peers("bad", family, "a", "b"), left, right)
        async with two_routers(tmp_path, *pair([bad, peers("good", other, "a", "b")])) as lab:
            await lab.established("a", "good")
            assert not await lab.clients["a"].wait("established", 1.0, session="bad")
            assert await lab.clients["b"].wait("down", 0.1, session="bad")

    run(story())


@pytest.mark.parametrize(
    ("left", "right", "up"),
    [
        # RFC 9234 section 4.2, table 2
        (BgpRole.PROVIDER, BgpRole.CUSTOMER, True),
        (BgpRole.RS_CLIENT, BgpRole.RS, True),
        (BgpRole.PEER, BgpRole.PEER, True),
        (BgpRole.PEER, None, True),  # silence is accepted
        (BgpRole.PROVIDER, BgpRole.PEER, False),
        (BgpRole.CUSTOMER, BgpRole.CUSTOMER, False),
    ],
)
def test_roles_are_announced_and_must_fit(
    tmp_path: Path, left: BgpRole | None, right: BgpRole | None, up: bool
) -> None:
    async def story() -> None:
        ends = with_ends(peers("s", Family.IPV4, "a", "b"), {"local_role": left}, {"local_role": right})
        async with two_routers(tmp_path, *pair([ends])) as lab:
            if up:
                await lab.established("a", "s")
                fact = await lab.session("a", "s")
                assert (fact.local_role, fact.peer_role) == (left, right)
            else:
                assert not await lab.clients["a"].wait("established", 1.0, session="s")
                assert any("Role Mismatch" in reason for _, _, reason in lab.changes("a", "s"))

    run(story())


def test_a_strict_end_refuses_silence_about_roles(tmp_path: Path) -> None:
    async def story() -> None:
        strict = {"local_role": BgpRole.PROVIDER, "role_strict": True}
        ends = with_ends(peers("s", Family.IPV6, "a", "b"), strict, {})
        async with two_routers(tmp_path, *pair([ends])) as lab:
            assert not await lab.clients["a"].wait("established", 1.0, session="s")
            assert "Role Mismatch" in (await lab.session("a", "s")).last_error
            assert "NOTIFICATION received: OPEN Message Error/Role Mismatch" in (await lab.session("b", "s")).last_error

    run(story())


def test_a_peer_that_is_not_there_is_named_as_what_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path) as lab:
            config, _ = pair([peers("s", Family.IPV4, "a", "b")])
            await lab.start(config)

            async def refused() -> bool:
                return (await lab.session("a", "s")).last_error == "no TCP connection: Connection refused"

            await lab.until(refused, "the refusal")
            assert (await lab.session("a", "s")).state == "Connect"

    run(story())


def test_a_wrong_as_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        ends = with_ends(peers("s", Family.IPV4, "a", "b"), {"peer_as": 64999}, {})
        async with two_routers(tmp_path, *pair([ends])) as lab:
            assert not await lab.clients["a"].wait("established", 1.0, session="s")
            assert "Bad Peer AS" in (await lab.session("b", "s")).last_error

    run(story())


def test_a_silent_peer_is_given_up_after_its_hold_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b", hold_time=3)])) as lab:
            await lab.established("a", "s")
            begun = time.monotonic()
            for direction in ("in", "out"):
                await lab.runtime.impair(
                    Impairment(node="a", interface="e0", direction=direction, loss_percent=100.0)  # type: ignore[arg-type]
                )
            assert await lab.clients["a"].wait("down", WITHIN, session="s")
            # The last KEEPALIVE may be a second old; expiry itself is within hold time and one second.
            assert time.monotonic() - begun > 1.5
            assert ("Established", "Idle", "NOTIFICATION sent: Hold Timer Expired") in lab.changes("a", "s")

    run(story())


def test_keepalives_hold_a_quiet_session(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV6, "a", "b", hold_time=3)])) as lab:
            await lab.established("a", "s")
            assert not await lab.clients["b"].wait("down", 4.5, session="s")

    run(story())


def test_a_shutdown_carries_its_words_and_lasts_until_it_is_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s")
            await lab.clients["a"].ask(ShutSession(session="s", communication="fibre works, grüße"))
            assert await lab.clients["b"].wait("down", WITHIN, session="s")
            reason = 'NOTIFICATION received: Cease/Administrative Shutdown "fibre works, grüße"'
            assert ("Established", "Idle", reason) in lab.changes("b", "s")
            assert not await lab.clients["b"].wait("established", 1.0, session="s")
            await lab.clients["a"].ask(OpenSession(session="s"))
            await lab.established("b", "s")

    run(story())


def test_a_shut_passive_end_takes_no_connection(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("b", "s")
            await lab.clients["b"].ask(ShutSession(session="s"))
            assert not await lab.clients["a"].wait("established", 1.0, session="s")
            assert (await lab.session("b", "s")).state == "Idle"
            await lab.clients["b"].ask(OpenSession(session="s"))
            await lab.established("a", "s")

    run(story())


def test_a_reset_comes_back_by_itself(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s")
            await lab.established("b", "s")
            await lab.clients["b"].ask(ShutSession(session="s", reset=True, communication="again"))
            await lab.established("a", "s")
            await lab.established("b", "s")
            reason = 'NOTIFICATION received: Cease/Administrative Reset "again"'
            assert ("Established", "Idle", reason) in lab.changes("a", "s")
            assert (await lab.session("b", "s")).flaps == 1

    run(story())


def test_sessions_come_and_go_at_run_time_without_touching_others(tmp_path: Path) -> None:
    async def story() -> None:
        stays, comes = peers("stays", Family.IPV4, "a", "b"), peers("comes", Family.IPV6, "a", "b", md5="k")
        async with two_routers(tmp_path, *pair([stays])) as lab:
            await lab.established("a", "stays")
            since = (await lab.session("a", "stays")).since
            await lab.clients["b"].ask(AddPeers(peers=(comes[1],)))
            await lab.clients["a"].ask(AddPeers(peers=(comes[0],)))
            await lab.established("a", "comes")
            written = (await lab.runtime.read_file("a", "exabgp.conf")).decode()
            assert "# comes: ipv6 with b" in written
            await lab.clients["b"].ask(RemovePeers(sessions=("comes",), communication="bye"))
            assert await lab.clients["a"].wait("down", WITHIN, session="comes")
            assert "Peer De-configured" in (await lab.session("a", "comes")).last_error
            assert [fact.session for fact in await lab.clients["b"].sessions()] == ["stays"]
            assert b"comes" not in await lab.runtime.read_file("b", "router.json")
            assert (await lab.session("a", "stays")).since == since
            await lab.clients["b"].ask(AddPeers(peers=(comes[1],)))  # and once more, from nothing
            await lab.established("a", "comes")

    run(story())


def test_a_killed_router_is_noticed_and_its_next_life_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s")
            await lab.kill("b")
            assert await lab.clients["a"].wait("down", WITHIN, session="s")
            await lab.restart("b")
            await lab.established("a", "s")

    run(story())


def test_a_stopped_router_says_goodbye(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s")
            assert (await lab.kill("b", signal.SIGTERM)).code == 0
            assert await lab.clients["a"].wait("down", WITHIN, session="s")
            assert 'Administrative Shutdown "router b stops"' in (await lab.session("a", "s")).last_error

    run(story())


def test_a_dead_wire_ends_its_sessions_at_once_and_they_return_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        sessions = [peers("s4", Family.IPV4, "a", "b", hold_time=90), peers("s6", Family.IPV6, "a", "b", hold_time=90)]
        async with two_routers(tmp_path, *pair(sessions)) as lab:
            await lab.established("a", "s4", "s6")
            await lab.runtime.set_link("b", "e0", False)
            for node in ("a", "b"):
                for session in ("s4", "s6"):
                    assert await lab.clients[node].wait("down", 5.0, session=session)
                    assert (await lab.session(node, session)).last_error == "no carrier on e0"
            await lab.runtime.set_link("b", "e0", True)
            await lab.established("a", "s4", "s6")

    run(story())


KNOCK = """
import socket, sys
with socket.socket() as caller:
    caller.settimeout(0.5)
    caller.bind((sys.argv[1], 0))
    try:
        caller.connect((sys.argv[2], 179))
    except TimeoutError:
        print("no answer")
    else:
        print("open")
"""


def test_strangers_get_no_answer_on_port_179_and_no_port_is_open_at_an_active_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s")
            await lab.runtime.set_addresses("a", "e0", add=["192.0.2.64/32"])
            await lab.runtime.set_routes(add=[RouteSpec(node="b", destination="192.0.2.64/32", via="192.0.2.0")])

            async def knock(node: str, source: str, target: str) -> str:
                done = await lab.runtime.run(node, (sys.executable, "-c", KNOCK, source, target), WITHIN)
                return (done.stdout or done.stderr).decode().strip()

            assert await knock("a", "192.0.2.0", "192.0.2.1") == "open"  # the neighbour's address: the probe works
            assert await knock("a", "192.0.2.64", "192.0.2.1") == "no answer"
            assert "Connection refused" in await knock("b", "192.0.2.1", "192.0.2.0")
            assert (await lab.session("b", "s")).flaps == 0

    run(story())


def test_a_router_is_deaf_to_sigpipe_so_that_a_peer_that_breaks_off_cannot_kill_it(tmp_path: Path) -> None:
    """A socket that is closed at the other end while it is written to is an error to handle, not the end."""

    async def story() -> None:
        async with two_routers(tmp_path, *pair([peers("s4", Family.IPV4, "a", "b")])) as lab:
            await lab.established("a", "s4")
            running = (await lab.runtime.observe()).processes
            process = next(p for p in running if p.node == "a" and p.name.startswith("router"))
            done = await lab.runtime.run("a", ["cat", f"/proc/{process.pid}/status"], within=WITHIN)
            ignored = next(line.split()[1] for line in done.stdout.decode().splitlines() if line.startswith("SigIgn"))
            assert int(ignored, 16) >> (signal.SIGPIPE - 1) & 1

    run(story())
