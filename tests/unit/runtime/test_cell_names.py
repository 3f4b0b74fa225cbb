"""Names of labs, sysctls of nodes, errors on their way between processes."""

from __future__ import annotations

import os

import pytest

from peerlab.errors import PeerlabError, RefusedError, RuntimeFailure, TimedOut, Unsupported
from peerlab.runtime.base import NodeSpec, derived_mac
from peerlab.runtime.cell import list_labs, socket_name
from peerlab.runtime.fabric import sysctls_of
from peerlab.runtime.language import as_error, as_fault
from peerlab.runtime.probe import internet_checksum


def test_a_lab_is_a_socket_that_listens_and_is_ours() -> None:
    mine, other = os.getuid(), os.getuid() + 1
    table = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        f"0000: 00000002 00000000 00010000 0001 01 100 @peerlab/{mine}/one\n"
        f"0000: 00000003 00000000 00000000 0001 03 101 @peerlab/{mine}/one\n"  # a connection to it
        f"0000: 00000002 00000000 00000000 0001 01 102 @peerlab/{mine}/bound-only\n"
        f"0000: 00000002 00000000 00010000 0001 01 103 @peerlab/{other}/theirs\n"
        f"0000: 00000002 00000000 00010000 0001 01 104 /run/peerlab/{mine}/file\n"
        "0000: 00000003 00000000 00000000 0001 03 105\n"
        f"0000: 00000002 00000000 00010000 0001 01 106 @peerlab/{mine}/another\n"
    )
    assert list_labs(table) == ("another", "one")


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "ä", "x" * 33, "a\n"])
def test_names_that_no_lab_can_have(name: str) -> None:
    with pytest.raises(RefusedError, match="BadLabName"):
        socket_name(1000, name)


def test_a_mac_is_local_unicast_and_belongs_to_its_names() -> None:
    mac = derived_mac("r1", "e0")
    assert mac.startswith("02:") and len(mac) == 17
    assert len({derived_mac(node, name) for node in ("r1", "r2") for name in ("e0", "e1")}) == 4


# node, sysctl, its value (None: not written)
SYSCTLS = [
    (NodeSpec("host"), "ipv4/ip_forward", None),
    (NodeSpec("host"), "ipv6/conf/default/addr_gen_mode", "1"),  # no fe80:: address unless wanted
    (NodeSpec("host", link_local_ipv6=True), "ipv6/conf/default/addr_gen_mode", None),
    (NodeSpec("router", forwarding=True), "ipv4/ip_forward", "1"),
    (NodeSpec("router", forwarding=True), "ipv6/conf/all/forwarding", "1"),
    (NodeSpec("router", forwarding=True), "ipv6/conf/default/addr_gen_mode", None),  # neighbour discovery needs one
    (NodeSpec("router", forwarding=True), "ipv4/conf/all/rp_filter", "0"),
    (NodeSpec("router", sysctls={"ipv4/conf/all/rp_filter": "2"}), "ipv4/conf/all/rp_filter", "2"),  # the last word
    (NodeSpec("lan", kind="switch"), "ipv6/conf/default/disable_ipv6", "1"),
]


@pytest.mark.parametrize(("spec", "path", "value"), SYSCTLS)
def test_what_a_node_is_told(spec: NodeSpec, path: str, value: str | None) -> None:
    assert dict(sysctls_of(spec)).get(path) == value


def test_options_come_after_forwarding_which_resets_some_of_them() -> None:
    order = [path for path, _ in sysctls_of(NodeSpec("r", forwarding=True))]
    assert order.index("ipv4/ip_forward") < order.index("ipv4/conf/all/accept_redirects")


ERRORS = [
    RefusedError("NodeExists", "a node r1 exists already"),
    Unsupported("delay needs netem"),
    RuntimeFailure("add the route"),
    TimedOut("an answer", 2.5),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_on_the_other_side(error: PeerlabError) -> None:
    received = as_error(as_fault(error))
    assert type(received) is type(error)
    assert (str(received), received.exit_code) == (str(error), error.exit_code)


def test_what_was_not_expected_is_still_told() -> None:
    assert "KeyError" in str(as_error(as_fault(KeyError("x"))))


def test_the_checksum_of_rfc_1071() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the RFC's example, complemented
    assert internet_checksum(b"\xff") == 0x00FF  # an odd octet is padded
