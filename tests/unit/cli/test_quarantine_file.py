"""``peerlab quarantine --pcap``: what a capture shows, which rules it breaks, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command

from peerlab.evidence import pcapng

CAPTURES = Path(__file__).parents[1] / "verify" / "captures"


def test_a_clean_port_ends_with_zero(peerlab: Command, tmp_path: Path) -> None:
    mac = "02:00:00:03:00:02"
    frames = [
        record
        for record in pcapng.read((CAPTURES / "clean.pcapng").read_bytes())
        if isinstance(record, pcapng.Frame) and record.octets[6:12].hex(":") == mac
    ]
    path = tmp_path / "port.pcapng"
    path.write_bytes(b"".join(pcapng.write(frames)))
    assert peerlab("quarantine", "--pcap", path, "--mac", mac.upper().replace(":", "-")) == 0
    assert "clean: every frame is one that an exchange allows" in peerlab.out


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("lldp_mudurl.pcap", ["PHY-10"]),
        ("ospf-ack.pcap", ["PHY-11"]),
        ("vrrp.pcap", ["PHY-07", "PHY-11"]),
        ("icmpv6-ra-pref64.pcap", ["PHY-12"]),
        ("rpvstp-trunk-native-vid5.pcap", ["PHY-08", "PHY-09", "PHY-10"]),
    ],
)
def test_a_port_that_breaks_rules_ends_with_one_and_names_them(peerlab: Command, name: str, checks: list[str]) -> None:
    assert peerlab("quarantine", "--pcap", CAPTURES / "l2noise" / name) == 1
    assert f"breaks {', '.join(checks)}" in peerlab.out
    assert peerlab("quarantine", "--pcap", CAPTURES / "l2noise" / name, "--json") == 1
    told = json.loads(peerlab.out)
    assert sorted({rule["check"] for one in told["seen"] for rule in one["breaks"]}) == checks


def test_the_registered_mac_is_asked_for(peerlab: Command) -> None:
    path = CAPTURES / "l2noise" / "icmpv6-ns-nonce.pcap"
    assert peerlab("quarantine", "--pcap", path) == 0
    assert peerlab("quarantine", "--pcap", path, "--mac", "02:00:00:00:00:01") == 1
    assert "PHY-07 one source MAC per port" in peerlab.out


def test_mld_may_pass_where_it_is_agreed(peerlab: Command) -> None:
    path = CAPTURES / "l2noise" / "icmpv6.pcap"
    peerlab("quarantine", "--pcap", path)
    assert "PHY-15" in peerlab.out
    peerlab("quarantine", "--pcap", path, "--allow-mld")
    assert "PHY-15" not in peerlab.out


def test_a_capture_with_nothing_in_it_proves_nothing(peerlab: Command, tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    path.write_bytes(pcapng.section_header())
    assert peerlab("quarantine", "--pcap", path) == 2
    assert "proves nothing" in peerlab.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "NODE INTERFACE: are needed"),
        (("--pcap", str(CAPTURES / "l2noise" / "isis_poi.pcap")), "link type 178"),
        (("--pcap", __file__), "is no capture"),
        (("--pcap", "/nowhere/port.pcap"), "cannot be read"),
        (("--pcap", __file__, "--mac", "north"), "is no MAC"),
        (("--pcap", __file__, "northwind-1"), "a file has no node"),
    ],
)
def test_bad_input_ends_with_three_and_says_why(peerlab: Command, words: tuple[str, ...], told: str) -> None:
    assert peerlab("quarantine", *words) == 3
    assert told in peerlab.err
