"""RFC 8210: what a router asks a cache, what it believes, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_cache import KEPT, CacheSession, VrpTable
from peerlab.bgp.rtr_client import CacheState, RtrClient, is_newer
from peerlab.bgp.rtr_pdu import (
    CacheReset,
    CacheResponse,
    EndOfData,
    ErrorCode,
    ErrorReport,
    Intervals,
    Pdu,
    PrefixPdu,
    ResetQuery,
    RouterKey,
    SerialNotify,
    SerialQuery,
    decode,
    encode,
    exact,
    split,
)

ONE = Vrp(Prefix("192.0.2.0/24"), 64500, 24)
TWO = Vrp(Prefix("2001:db8::/32"), 64500, 48)
THREE = Vrp(Prefix("198.51.100.0/24"), 0, 24)
TIMES = Intervals(refresh=100, retry=10, expire=300)


def said(octets: bytes) -> list[Pdu]:
    return [decode(raw)[1] for raw in split(octets)[0]]


def tell(client: RtrClient, *pdus: Pdu, now: float = 0.0, version: int = 1) -> None:
    client.receive(b"".join(encode(pdu, version) for pdu in pdus), now)


def converse(client: RtrClient, session: CacheSession, now: float = 0.0) -> None:
    """Carry octets both ways until nobody has any."""
    while octets := client.take():
        client.receive(session.receive(octets), now)


def together(table: VrpTable, now: float = 0.0) -> tuple[RtrClient, CacheSession]:
    client, session = RtrClient(), CacheSession(table)
    client.connected(now)
    converse(client, session, now)
    return client, session


def test_a_router_asks_for_everything_and_uses_it_at_its_end() -> None:
    client = RtrClient()
    client.connected(0)
    assert said(client.take()) == [ResetQuery()]
    tell(client, CacheResponse(7), PrefixPdu(True, ONE))
    assert (client.vrps, client.state) == (None, CacheState.SYNCHRONISING)
    tell(client, PrefixPdu(True, TWO), EndOfData(7, 5, TIMES))
    assert (client.vrps, client.serial, client.state) == ({ONE, TWO}, 5, CacheState.SYNCHRONISED)


def test_a_notice_of_something_newer_is_followed_by_a_question_for_the_change() -> None:
    table = VrpTable(7, [ONE], TIMES)
    client, session = together(table)
    assert table.replace([ONE, TWO])
    client.receive(session.notice(), 1)
    assert said(bytes(client._outbox)) == [SerialQuery(7, 0)]
    converse(client, session, 1)
    assert client.vrps == {ONE, TWO}
    table.replace([TWO])
    client.receive(session.notice(), 2)
    converse(client, session, 2)
    assert client.vrps == {TWO}


def test_a_notice_of_what_is_known_asks_nothing() -> None:
    client, session = together(VrpTable(7, [ONE], TIMES))
    client.receive(session.notice(), 1)
    assert client.take() == b""


def test_the_router_asks_again_when_refresh_is_over_and_sooner_after_a_failure() -> None:
    client, _ = together(VrpTable(7, [ONE], TIMES))
    assert client.due() == 100
    client.tick(99)
    assert client.take() == b""
    client.tick(100)
    assert said(client.take()) == [SerialQuery(7, 0)]
    assert client.due() == 110, "no answer: the retry interval"


def test_data_outlive_their_connection_and_are_gone_when_they_expire() -> None:
    client, _ = together(VrpTable(7, [ONE], TIMES), now=50)
    client.disconnected(60)
    client.tick(349)
    assert client.vrps == {ONE}
    assert client.due() == 350
    client.tick(350)
    assert client.vrps is None
    client.connected(351)
    assert said(client.take()) == [ResetQuery()], "what expired is no basis for a change"


def test_a_new_session_id_is_met_by_a_whole_new_table_and_the_old_one_stays_until_then() -> None:
    client, _ = together(VrpTable(7, [ONE], TIMES))
    client.disconnected(1)
    restarted = CacheSession(VrpTable(8, [TWO], TIMES))
    client.connected(2)
    query = client.take()
    assert said(query) == [SerialQuery(7, 0)]
    client.receive(restarted.receive(query), 2)
    assert (client.vrps, said(bytes(client._outbox))) == ({ONE}, [ResetQuery()])
    converse(client, restarted, 2)
    assert (client.vrps, client.session) == ({TWO}, 8)


def test_a_cache_that_refuses_the_session_is_asked_for_everything_next_time() -> None:
    """StayRTR answers a Serial Query of an earlier session so, and never with a Cache Reset (measured)."""
    client, _ = together(VrpTable(7, [ONE], TIMES))
    client.disconnected(1)
    client.connected(2)
    client.take()
    tell(client, ErrorReport(ErrorCode.CORRUPT_DATA, b"", "Session ID mismatch"), now=2)
    assert (client.must_close, client.vrps) == (True, {ONE})
    client.disconnected(3)
    client.connected(4)
    assert said(client.take()) == [ResetQuery()]


def test_another_session_in_the_middle_of_one_flushes_and_closes() -> None:
    for pdu in (SerialNotify(8, 1), CacheResponse(8)):
        client, _ = together(VrpTable(7, [ONE], TIMES))
        client.tick(100)
        client.take()
        tell(client, pdu, now=100)
        (report,) = said(client.take())
        assert isinstance(report, ErrorReport)
        assert (report.code, client.must_close, client.vrps) == (ErrorCode.CORRUPT_DATA, True, None)


def test_a_transfer_that_breaks_off_changes_nothing() -> None:
    client, _ = together(VrpTable(7, [ONE], TIMES))
    client.tick(100)
    client.take()
    tell(client, CacheResponse(7), PrefixPdu(False, ONE), now=100)
    client.disconnected(101)
    assert client.vrps == {ONE}


def test_a_withdrawal_of_nothing_and_an_announcement_twice_are_reported() -> None:
    for pdus, code in (
        ((PrefixPdu(False, ONE),), ErrorCode.WITHDRAWAL_OF_UNKNOWN),
        ((PrefixPdu(True, ONE), PrefixPdu(True, ONE)), ErrorCode.DUPLICATE_ANNOUNCEMENT),
        ((ResetQuery(),), ErrorCode.INVALID_REQUEST),
    ):
        client = RtrClient()
        client.connected(0)
        client.take()
        tell(client, CacheResponse(7), *pdus)
        (report,) = said(client.take())
        assert isinstance(report, ErrorReport)
        assert (report.code, client.must_close) == (code, True)


def test_an_error_report_is_never_answered_with_one() -> None:
    client = RtrClient()
    client.connected(0)
    client.take()
    tell(client, ErrorReport(ErrorCode.INTERNAL_ERROR, b"", "full"))
    assert (client.take(), client.must_close) == (b"", True)
    assert "full" in client.problem


def test_a_cache_without_data_is_asked_again_and_the_session_stays() -> None:
    client = RtrClient()
    client.connected(0)
    client.take()
    tell(client, ErrorReport(ErrorCode.NO_DATA_AVAILABLE))
    assert (client.state, client.must_close) == (CacheState.NO_DATA, False)
    client.tick(client.due())
    assert said(client.take()) == [ResetQuery()]


def test_a_version_0_cache_is_believed_and_stays_at_version_0() -> None:
    client = RtrClient()
    client.connected(0)
    client.take()
    tell(client, CacheResponse(7), PrefixPdu(True, ONE), EndOfData(7, 1), version=0)
    assert (client.version, client.vrps, client.intervals) == (0, {ONE}, Intervals())
    tell(client, SerialNotify(7, 2), version=0)
    assert client.take()[0] == 0
    tell(client, CacheResponse(7), version=1)
    (report,) = said(client.take())
    assert isinstance(report, ErrorReport)
    assert report.code == ErrorCode.UNEXPECTED_VERSION


def test_a_cache_that_refuses_version_1_is_asked_in_version_0_next_time() -> None:
    client = RtrClient()
    client.connected(0)
    client.take()
    tell(client, ErrorReport(ErrorCode.UNSUPPORTED_VERSION), version=0)
    assert client.must_close
    client.disconnected(1)
    client.connected(2)
    assert client.take() == encode(ResetQuery(), 0)


def test_a_cache_answers_an_unknown_version_with_its_own() -> None:
    session = CacheSession(VrpTable(7, [ONE]))
    (report,) = said(session.receive(b"\x02" + encode(ResetQuery())[1:]))
    assert isinstance(report, ErrorReport)
    assert (report.code, session.must_close) == (ErrorCode.UNSUPPORTED_VERSION, True)


def test_router_keys_are_passed_over() -> None:
    client = RtrClient()
    client.connected(0)
    client.take()
    tell(client, CacheResponse(7), RouterKey(True, bytes(20), 64500, b"key"), EndOfData(7, 1, TIMES))
    assert client.vrps == frozenset()


def test_serial_numbers_wrap_round() -> None:
    last = (1 << 32) - 1
    assert is_newer(0, last)
    assert not is_newer(last, 0)
    table = VrpTable(7, [ONE], TIMES, serial=last)
    client, session = together(table)
    table.replace([TWO])
    assert table.serial == 0
    client.receive(session.notice(), 1)
    converse(client, session, 1)
    assert (client.vrps, client.serial) == ({TWO}, 0)


def test_a_router_too_far_behind_gets_a_cache_reset_and_then_everything() -> None:
    table = VrpTable(7, [], TIMES)
    client, session = together(table)
    for number in range(KEPT + 2):
        table.replace([Vrp(Prefix("192.0.2.0/24"), 64500 + number, 24)])
    assert table.since(7, 0) == [CacheReset()]
    client.receive(session.notice(), 1)
    converse(client, session, 1)
    assert client.vrps == table.vrps


def test_intervals_are_cut_to_what_the_rfc_allows_at_most() -> None:
    client, _ = together(VrpTable(7, [], Intervals(0, 0, 1 << 31)))
    assert client.intervals == Intervals(1, 1, 172800)


@given(
    st.lists(st.frozensets(st.sampled_from((ONE, TWO, THREE, exact(Vrp(Prefix("10.0.0.0/8"), 1))))), max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(0, 3),
)
def test_a_router_ends_with_what_the_cache_has(tables: list[frozenset[Vrp]], hears: set[int], behind: int) -> None:
    """Whatever changes in between, and whichever notices are lost: after one more question both have the same."""
    table = VrpTable(7, [], TIMES, serial=(1 << 32) - behind)
    table.serial %= 1 << 32
    client, session = together(table)
    for number, wanted in enumerate(tables):
        table.replace(wanted)
        if number in hears:
            client.receive(session.notice(), 1)
            converse(client, session, 1)
            assert client.vrps == table.vrps
    client.tick(client.due())
    converse(client, session, 200)
    assert (client.vrps, client.serial) == (table.vrps, table.serial)
