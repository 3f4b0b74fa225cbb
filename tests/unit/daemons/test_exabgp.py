"""What a session's settings become in ``exabgp.conf``."""

from __future__ import annotations

from typing import Any

import pytest

from peerlab.bgp.attributes import Address, BgpRole, Family
from peerlab.bgp.config import PeerConfig, RouterConfig
from peerlab.bgp.policy import DENY_ALL
from peerlab.daemons.exabgp import configuration, render
from peerlab.daemons.router_config import peer_config
from peerlab.topology.model import LabModel, Node, NodeKind, Relation, Session, SessionEnd


def text_of(**settings: Any) -> str:
    peer = PeerConfig(
        **{
            "session": "s",
            "peer": "b",
            "family": Family.IPV4,
            "local_address": Address("192.0.2.0"),
            "peer_address": Address("192.0.2.1"),
            "local_as": 64500,
            "peer_as": 64501,
            "import_policy": "deny-all",
            "export_policy": "deny-all",
        }
        | settings
    )
    return configuration(
        RouterConfig(node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/a", peers=(peer,))
    )


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, ["local-address 192.0.2.0;", "peer-as 64501;", "hold-time 9;", "passive false;", "connect 179;"]),
        ({}, ["manual-eor true;", "route-refresh enable;", "extended-message enable;", "ipv4 unicast;"]),
        ({"passive": True}, ["passive true;", "listen 179;"]),
        ({"family": Family.IPV6}, ["ipv6 unicast;"]),
        ({"hold_time": 0}, ["hold-time 0;"]),
        ({"gtsm": True}, ["incoming-ttl 255;", "outgoing-ttl 255;"]),
        ({"md5": "plain word"}, ['md5-password "plain word";']),
        ({"local_role": BgpRole.CUSTOMER}, ["# BGP role customer (RFC 9234)"]),
        ({"local_role": BgpRole.RS, "role_strict": True}, ["# BGP role rs, strictly (RFC 9234)"]),
        ({"max_prefix": 20}, ["# at most 20 routes are taken, then Cease/1 (RFC 4486)"]),
        ({}, ["asn4 enable;"]),
        ({"four_octet_as": False}, ["asn4 disable;", "# without capability 65: an OLD speaker (RFC 6793), on purpose"]),
        ({"multihop": True}, ["# between loopbacks, over the interior routes"]),
    ],
)
def test_a_setting_becomes_these_lines(settings: dict[str, Any], lines: list[str]) -> None:
    text = text_of(**settings)
    assert [line for line in lines if line not in text] == []


@pytest.mark.parametrize(
    "password",
    [
        'a "quoted" one',  # no way to escape a quote
        "back\\slash",  # an escape sequence to ExaBGP
        "two  spaces",  # would become one
        " outer ",
        "semi;colon",
        "list[1,2]",  # spaces would be put in
        "grüße",
    ],
)
def test_a_password_that_exabgp_would_garble_goes_in_as_base64(password: str) -> None:
    text = text_of(md5=password)
    assert "md5-base64 true;" in text
    assert password not in text


def test_a_router_without_sessions_has_a_file_that_is_not_empty() -> None:
    """ExaBGP refuses a file that has no section at all."""
    config = RouterConfig(node="a", asn=64500, router_id=Address("10.0.0.1"), directory="/run/a")
    assert "template {\n}" in configuration(config)


def model(**ends: Any) -> LabModel:
    left = {"node": "a", "asn": 64500, "address": Address("192.0.2.0"), "interface": "e0"} | ends.get("left", {})
    right = {"node": "b", "asn": 64501, "address": Address("192.0.2.1"), "interface": "e0"}
    session = Session(id="s", family=Family.IPV4, left=SessionEnd(**left), right=SessionEnd(**right))
    nodes = (
        Node(name="a", kind=NodeKind.EXABGP, asn=64500, router_id=Address("10.0.0.1")),
        Node(name="h", kind=NodeKind.HOST),
    )
    return LabModel(name="m", nodes=nodes, sessions=(session,))


@pytest.mark.parametrize(
    ("relation", "first_as", "client"),
    [
        (Relation.PEER, True, False),
        (Relation.ROUTE_SERVER, False, False),  # a route server leaves its AS out of the path (RFC 7947 section 2.2.2)
        (Relation.ROUTE_SERVER_CLIENT, True, True),
    ],
)
def test_who_the_remote_is_decides_what_is_expected_of_it(relation: Relation, first_as: bool, client: bool) -> None:
    lab = model(left={"relation": relation})
    peer = peer_config(lab, lab.session("s"), "a", "i", "e")
    assert (peer.enforce_first_as, peer.route_server_client) == (first_as, client)
    assert (peer.import_policy, peer.export_policy, peer.relation) == ("i", "e", relation.value)


def test_the_ends_of_a_session_mirror_each_other() -> None:
    lab = model()
    here, there = (peer_config(lab, lab.session("s"), node, "i", "e") for node in ("a", "b"))
    assert (here.local_address, here.local_as, here.peer) == (there.peer_address, there.peer_as, "b")
    assert (there.local_address, there.local_as, there.peer) == (here.peer_address, here.peer_as, "a")


def test_sessions_between_loopbacks_are_bound_to_no_interface() -> None:
    lab = model(left={"interface": None})
    peer = peer_config(lab, lab.session("s"), "a", "i", "e")
    assert (peer.multihop, peer.interface) == (True, None)


def test_only_the_sessions_asked_for_are_written() -> None:
    lab = model()
    files = {str(path): text for path, text in render(lab, lab.node("a"), {}).items()}
    assert "neighbor" not in files["exabgp.conf"]
    files = {str(path): text for path, text in render(lab, lab.node("a"), {"s": (DENY_ALL, DENY_ALL)}).items()}
    assert "neighbor 192.0.2.1 {" in files["exabgp.conf"]
    assert '"deny-all"' in files["router.json"]


def test_a_host_is_no_router() -> None:
    lab = model()
    with pytest.raises(ValueError, match="node h is no router"):
        render(lab, lab.node("h"), {})
