"""MRT files that another program reads: mrtparse is the judge."""

from __future__ import annotations

import bz2
import copy
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.tcp_talk import LEFT4, MODEL, NOON, RIGHT4, Capture, Connection, announce, attributes, withdraw
from mrtparse import Reader

from peerlab.bgp.attributes import Address, PathAttributes, Prefix
from peerlab.bgp.wire import MessageType, Open, encode_open, frame
from peerlab.evidence.events import SessionStateChanged
from peerlab.evidence.mrt import bgp4mp, dumped_nodes, table_dump
from peerlab.evidence.snapshot import NodeSnapshot, RouteFact, Snapshot
from peerlab.evidence.trace import Trace

ARCHIVE = Path("/work/shared/data/mrt")


def parsed(records: Iterator[bytes], tmp_path: Path) -> list[dict]:  # type: ignore[type-arg]
    file = tmp_path / "lab.mrt"
    file.write_bytes(b"".join(records))
    found = []
    for record in Reader(str(file)):
        assert not record.err, record.err_msg
        found.append(copy.deepcopy(record.data))  # the reader fills the same dictionary again
    return found


def only(value: dict) -> object:  # type: ignore[type-arg]
    """mrtparse gives each code as {number: name}."""
    (key,) = value
    return key


def values(update: dict) -> dict[int, object]:  # type: ignore[type-arg]
    return {only(one["type"]): one["value"] for one in update}  # type: ignore[misc]


class TestMessages:
    def test_a_session_as_its_receivers_saw_it(self, tmp_path: Path) -> None:
        capture = Capture()
        connection = Connection(capture).establish()
        connection.say("left", announce("203.0.113.0/24", 64500, 4_200_000_000, communities=("8075:8007",)))
        connection.say("left", withdraw("203.0.113.0/24"))
        trace = Trace.from_pcapng(capture.octets(), MODEL)
        records = parsed(bgp4mp(trace.messages, MODEL), tmp_path)
        assert [only(record["bgp_message"]["type"]) for record in records] == [1, 1, 4, 4, 2, 2]
        update = records[4]
        assert {only(record["type"]) for record in records} == {17}
        assert {only(record["subtype"]) for record in records} == {4}
        assert (update["peer_as"], update["peer_ip"]) == ("64500", LEFT4)
        assert (update["local_as"], update["local_ip"]) == ("8075", RIGHT4)
        sent = trace.messages[4].at
        assert only(update["timestamp"]) == sent // 10**9
        assert update["microsecond_timestamp"] == sent % 10**9 // 1000
        said = values(update["bgp_message"]["path_attributes"])
        assert said[2][0]["value"] == ["64500", "4200000000"]  # type: ignore[index]
        assert said[8] == ["8075:8007"]
        assert update["bgp_message"]["nlri"] == [{"length": 24, "prefix": "203.0.113.0"}]
        assert records[5]["bgp_message"]["withdrawn_routes"] == [{"length": 24, "prefix": "203.0.113.0"}]

    def test_a_session_of_two_octet_as_numbers_is_marked_as_such(self, tmp_path: Path) -> None:
        capture = Capture()
        connection = Connection(capture).open()
        for node, asn in (("left", 64500), ("right", 8075)):
            old = Open(asn=asn, two_octet_as=asn, hold_time=9, router_id=Address("10.0.0.9"))
            connection.say(node, frame(MessageType.OPEN, encode_open(old)))
        path = bytes([0x40, 1, 1, 0, 0x40, 2, 4, 2, 1]) + (64500).to_bytes(2, "big") + bytes([0x40, 3, 4, 192, 0, 2, 0])
        connection.say("left", frame(MessageType.UPDATE, bytes([0, 0, 0, len(path)]) + path + bytes([24, 203, 0, 113])))
        records = parsed(bgp4mp(Trace.from_pcapng(capture.octets(), MODEL).messages, MODEL), tmp_path)
        assert only(records[-1]["subtype"]) == 1
        assert values(records[-1]["bgp_message"]["path_attributes"])[2][0]["value"] == ["64500"]  # type: ignore[index]

    def test_state_changes_stand_between_the_messages(self, tmp_path: Path) -> None:
        capture = Capture()
        Connection(capture).establish()
        trace = Trace.from_pcapng(capture.octets(), MODEL)
        up = SessionStateChanged(
            at=capture.now + 1, node="right", session="s4", before="OpenConfirm", after="Established"
        )
        other = SessionStateChanged(at=capture.now, node="x", session="gone", before="Idle", after="Connect")
        records = parsed(bgp4mp(trace.messages, MODEL, [other, up]), tmp_path)
        last = records[-1]
        assert only(last["subtype"]) == 5
        assert (only(last["old_state"]), only(last["new_state"])) == (5, 6)
        assert (last["local_as"], last["peer_as"], last["peer_ip"]) == ("8075", "64500", LEFT4)

    def test_a_state_that_the_standard_has_not_is_refused(self) -> None:
        odd = SessionStateChanged(at=1, node="right", session="s4", before="Idle", after="Confused")
        with pytest.raises(ValueError, match="Confused"):
            list(bgp4mp([], MODEL, [odd]))


def fact(prefix: str, session: str | None, route: PathAttributes, best: bool = True) -> RouteFact:
    return RouteFact(prefix=Prefix(prefix), session=session, attributes=route, best=best, received_at=NOON)


LINK_LOCAL_TOO = attributes(64500, next_hop="2001:db8::", link_local_next_hop="fe80::1")


class TestTable:
    SNAPSHOT = Snapshot(
        label="allowed",
        at=NOON,
        nodes={
            "left": NodeSnapshot(node="left"),
            "right": NodeSnapshot(
                node="right",
                loc_rib=(
                    fact("203.0.113.0/24", "i4", attributes(64501, next_hop="198.51.100.2", local_pref=90), best=False),
                    fact("203.0.113.0/24", "s4", attributes(64500, local_pref=100, med=7)),
                    fact("198.51.100.0/25", None, attributes(next_hop="192.0.2.1")),
                    fact("2001:db8:a::/48", "s6", LINK_LOCAL_TOO),
                ),
            ),
        },
    )  # fmt: skip

    def test_the_peers_and_every_candidate_best_first(self, tmp_path: Path) -> None:
        index, *table = parsed(table_dump(self.SNAPSHOT, "right", MODEL), tmp_path)
        assert (only(index["type"]), only(index["subtype"])) == (13, 1)
        assert (index["collector_bgp_id"], index["view_name"]) == ("10.0.0.2", "right allowed")
        peers = [(peer["peer_as"], peer["peer_ip"], peer["peer_bgp_id"]) for peer in index["peer_entries"]]
        assert peers == [
            ("8075", "198.51.100.1", "10.0.0.2"),  # the node itself
            ("8075", "198.51.100.2", "10.0.0.3"),
            ("64500", LEFT4, "10.0.0.1"),
            ("64500", "2001:db8::", "10.0.0.1"),
        ]
        seen = [
            (f"{record['prefix']}/{record['length']}", [entry["peer_index"] for entry in record["rib_entries"]])
            for record in table
        ]
        assert seen == [("198.51.100.0/25", [0]), ("203.0.113.0/24", [2, 1]), ("2001:db8:a::/48", [3])]
        best = values(table[1]["rib_entries"][0]["path_attributes"])
        assert (best[2][0]["value"], best[3], best[4], best[5]) == (["64500"], LEFT4, 7, 100)  # type: ignore[index]
        six = values(table[2]["rib_entries"][0]["path_attributes"])[14]
        assert six["next_hop"] == ["2001:db8::", "fe80::1"]  # type: ignore[index]
        assert {only(record["subtype"]) for record in table} == {2, 4}

    def test_only_nodes_with_routes_are_dumped(self) -> None:
        assert dumped_nodes(self.SNAPSHOT) == ("right",)


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the routing archive's samples are not on this machine")
class TestLikeTheArchives:
    """Our records have the keys that records of RouteViews and RIPE RIS have."""

    def first(self, name: str, count: int, tmp_path: Path) -> list[dict]:  # type: ignore[type-arg]
        raw = (ARCHIVE / name).read_bytes()
        opened = gzip.decompress(raw) if name.endswith(".gz") else bz2.BZ2Decompressor().decompress(raw)
        head, at = b"", 0
        for _ in range(count):
            length = int.from_bytes(opened[at + 8 : at + 12], "big")
            head += opened[at : at + 12 + length]
            at += 12 + length
        return parsed(iter([head]), tmp_path)

    @pytest.mark.parametrize("name", ["rib.20140523.0600_firstMB.bz2", "rrc06.bview.20100701.0759.table_dump_v2.gz"])
    def test_a_table(self, name: str, tmp_path: Path) -> None:
        theirs = self.first(name, 2, tmp_path)
        ours = parsed(table_dump(TestTable.SNAPSHOT, "right", MODEL), tmp_path)
        for one, other in zip(theirs, (ours[0], ours[2]), strict=True):
            assert set(one) == set(other)
        assert set(theirs[1]["rib_entries"][0]) == set(ours[2]["rib_entries"][0])

    def test_updates(self, tmp_path: Path) -> None:
        capture = Capture()
        Connection(capture).establish()
        ours = parsed(bgp4mp(Trace.from_pcapng(capture.octets(), MODEL).messages, MODEL), tmp_path)
        (theirs,) = self.first("updates.20160811.1600.gz", 1, tmp_path)
        assert set(ours[0]) - set(theirs) == {"microsecond_timestamp"}
        assert set(theirs) - set(ours[0]) == set()
