"""What real routers sent, decoded by us and by tcpdump: both must have read the same.

The captures and the text of ``tcpdump -v`` beside them come from tcpdump's own tests (see captures/ORIGIN.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest
from capture_file import CAPTURES, payloads

from peerlab.bgp.attributes import BgpRole, Family
from peerlab.bgp.capability import AddPathMode, CapabilityCode
from peerlab.bgp.nlri import nlri_split_add_path, nlri_text
from peerlab.bgp.wire import (
    Keepalive,
    Message,
    MessageType,
    Notification,
    Open,
    RouteRefresh,
    SessionContext,
    Update,
    decode,
    encode_open,
    negotiate,
    split,
)
from peerlab.errors import WireError


class Seen(msgspec.Struct):
    """What tcpdump printed of one message."""

    kind: str
    headline: str
    lines: list[str] = []

    def after(self, words: str) -> list[str]:
        """Whatever follows these words, wherever a line begins with them."""
        return [line[len(words) :] for line in self.lines if line.startswith(words)]

    def block(self, heading: str) -> list[str]:
        """The indented lines under a heading of two columns."""
        found: list[str] = []
        inside = False
        for line in self.lines:
            if inside and not line.startswith("    "):
                break
            if inside:
                found.append(line.strip())
            inside = inside or line == f"  {heading}"
        return found


def seen(name: str) -> list[Seen]:
    """Every message of a capture's text, in order."""
    messages: list[Seen] = []
    for line in (CAPTURES / f"{name}.out").read_text().splitlines():
        if match := re.match(r"\t(Open|Update|Notification|Keepalive|Route Refresh) Message \(\d\), (.*)", line):
            messages.append(Seen(match[1], match[2], []))
        elif line.startswith("\t") and messages:
            messages[-1].lines.append(line.removeprefix("\t"))
    return messages


def decoded(name: str, session: SessionContext) -> Iterator[Message]:
    """Every message of a capture, decoded as its session negotiated, or as ``session`` where no OPEN was captured."""
    opens: dict[bytes, Open] = {}
    (path,) = CAPTURES.glob(f"{name}.pcap*")
    for payload in payloads(path.name):
        messages, consumed = split(payload.octets)
        assert consumed == len(payload.octets)
        for kind, body in messages:
            sender, receiver = opens.get(payload.source), opens.get(payload.destination)
            context = negotiate(receiver, sender) if sender and receiver else session
            message = decode(kind, body, context)
            if isinstance(message, Open):
                opens[payload.source] = message
            yield message


TWO_OCTET = SessionContext(asn4=False)
FOUR_OCTET = SessionContext()


@pytest.mark.parametrize(
    ("name", "session"),
    [
        ("bgp-4byte-asn", FOUR_OCTET),  # OPENs of old and new speakers: AS_TRANS, AS4_PATH
        ("bgp-large-community", FOUR_OCTET),
        ("bgp-role", FOUR_OCTET),  # role capability, OTC, End-of-RIB
        ("bgp-extended-msg", FOUR_OCTET),
        ("bgp-enhanced-route-refresh-subtype", FOUR_OCTET),  # IPv4 routes over IPv6, BoRR and EoRR
        ("bgp-shutdown-communication", FOUR_OCTET),
        ("bgp-shutdown-msg-variations", FOUR_OCTET),
        ("bgp-extended-optional-parameters-length", FOUR_OCTET),
        ("bgp-cease-hard-reset", FOUR_OCTET),
        ("bgp-malformed-hard-reset", FOUR_OCTET),
        ("mpbgp-linklocal-nexthop", TWO_OCTET),
    ],
)
def test_we_read_what_tcpdump_reads(name: str, session: SessionContext) -> None:
    ours, theirs = list(decoded(name, session)), seen(name)
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        if isinstance(mine, Open):
            assert_same_open(mine, other)
        elif isinstance(mine, Update):
            assert_same_update(mine, other)
        elif isinstance(mine, Notification):
            assert_same_notification(mine, other)
        elif isinstance(mine, RouteRefresh):
            assert other.kind == "Route Refresh"
            assert other.lines == [line for line in other.lines if f"Subtype {SUBTYPES[mine.subtype]}" in line]
        else:
            assert isinstance(mine, Keepalive)
            assert other.kind == "Keepalive"


SUBTYPES = {
    0: "Normal route refresh request (0)",
    1: "Demarcation of the beginning of a route refresh (1)",
    2: "Demarcation of the ending of a route refresh (2)",
}


def assert_same_open(mine: Open, other: Seen) -> None:
    assert other.kind == "Open"
    head = f"  Version 4, my AS {mine.two_octet_as}, Holdtime {mine.hold_time}s, ID {mine.router_id}"
    assert other.lines[0] == head
    codes = [int(match[1]) for line in other.lines if (match := re.match(r"      \S.* \((\d+)\), length: \d+", line))]
    assert [capability.code for capability in mine.capabilities] == codes
    true = [int(line.removeprefix("\t 4 Byte AS ")) for line in other.lines if line.startswith("\t 4 Byte AS ")]
    assert mine.asn == (true[0] if true else mine.two_octet_as)


def assert_same_update(mine: Update, other: Seen) -> None:
    assert other.kind == "Update"
    if other.lines and "End-of-Rib" in other.lines[0]:
        assert mine.end_of_rib is Family.IPV4
        return
    multiprotocol = [line.strip() for line in other.lines if re.match(r"      [0-9a-f:.]+/\d+$", line)]
    assert list(mine.announced) == other.block("Updated routes:") + multiprotocol
    assert list(mine.withdrawn) == other.block("Withdrawn routes:")
    if mine.attributes is None:
        assert mine.announced == ()
        return
    path, as4_path = (
        [int(asn) for line in other.after(f"  {what} (") for asn in line.partition("]: ")[2].split()]
        for what in ("AS Path", "AS4 Path")
    )
    assert list(mine.attributes.asns()) == path[: len(path) - len(as4_path)] + as4_path
    next_hops = [line.partition("]: ")[2] for line in other.after("  Next Hop (3)")]
    next_hops = [line.partition(",")[0] for line in other.after("    nexthop: ")] or next_hops
    assert [mine.attributes.next_hop] == next_hops
    assert [str(mine.attributes.med)] == ([m.partition("]: ")[2] for m in other.after("  Multi Exit")] or ["None"])
    assert [str(mine.attributes.otc)] == (other.after("    OTC ") or ["None"])
    large = [text for line in other.lines if re.match(r"    \d+:\d+:\d+", line) for text in line.strip().split(", ")]
    assert set(mine.attributes.large_communities) == set(large)


def assert_same_notification(mine: Notification, other: Seen) -> None:
    assert other.kind == "Notification"
    # tcpdump has older words for 6/3, so the codes are compared and not the words.
    codes = [int(code) for code in re.findall(r" \((\d+)\)", other.headline)]
    inner = mine.inner()
    assert [mine.code, mine.subcode] + ([inner.code, inner.subcode] if inner else []) == codes
    quoted = re.search(r'Shutdown Communication \(length: \d+\): "(.*)"', other.headline)
    assert mine.communication() == (quoted[1] if quoted else None)


def test_the_merged_path_of_an_old_speaker() -> None:
    """bgp-4byte-asn, message 5: AS_PATH 200 1 23456 23456 23456 with AS4_PATH 1 222222 333333 4294967290."""
    first = next(message for message in decoded("bgp-4byte-asn", FOUR_OCTET) if isinstance(message, Update))
    assert first.attributes is not None
    assert first.attributes.path_text() == "200 1 222222 333333 4294967290"


def test_both_next_hops_of_an_ipv6_route() -> None:
    """mpbgp-linklocal-nexthop: next hop dead:beef::1 with fe80::1ff:fe01:0 behind it, and a NEXT_HOP to be ignored."""
    (update,) = decoded("mpbgp-linklocal-nexthop", TWO_OCTET)
    assert isinstance(update, Update)
    assert update.attributes is not None
    assert update.attributes.next_hop == "dead:beef::1"
    assert update.attributes.link_local_next_hop == "fe80::1ff:fe01:0"
    assert update.family is Family.IPV6


def test_role_and_capabilities_of_frr() -> None:
    """bgp-role: role Customer, ADD-PATH receive, graceful restart 120 s, extended messages."""
    opened = next(decoded("bgp-role", FOUR_OCTET))
    assert isinstance(opened, Open)
    assert opened.role is BgpRole.CUSTOMER
    assert opened.add_path == {Family.IPV4: AddPathMode.RECEIVE}
    assert opened.restart_time == 120
    assert opened.extended_message
    assert opened.has_enhanced_route_refresh()
    assert opened.has(CapabilityCode.FQDN)


def test_an_extended_open_is_written_back_short_when_it_fits() -> None:
    """RFC 9072 section 2: the captured OPEN uses the extended form although 108 octets would not need it."""
    opened = next(decoded("bgp-extended-optional-parameters-length", FOUR_OCTET))
    assert isinstance(opened, Open)
    body = encode_open(opened)
    assert body[9] == len(body) - 10 < 255
    assert decode(MessageType.OPEN, body, FOUR_OCTET) == opened


def test_path_identifiers() -> None:
    """bgp-addpath: 8.2.0.0/24 Path Id 20 and 8.2.1.0/24 Path Id 21 are withdrawn; 6.2.0.0/24 and 6.2.1.0/24 are in."""
    ((_, body),), _ = split(payloads("bgp-addpath.pcap")[0].octets)
    length = int.from_bytes(body[:2], "big")
    withdrawn = nlri_split_add_path(body[2 : 2 + length], Family.IPV4)
    assert [(i, nlri_text(raw, Family.IPV4)) for i, raw in withdrawn] == [(20, "8.2.0.0/24"), (21, "8.2.1.0/24")]
    announced = nlri_split_add_path(body[-16:], Family.IPV4)
    assert [(i, nlri_text(raw, Family.IPV4)) for i, raw in announced] == [(10, "6.2.0.0/24"), (11, "6.2.1.0/24")]


def test_an_update_with_mp_reach_twice_is_refused() -> None:
    """bgp-addpath was made by hand: it has MP_REACH_NLRI for two families at once (RFC 7606 section 3 g)."""
    ((kind, body),), _ = split(payloads("bgp-addpath.pcap")[0].octets)
    with pytest.raises(WireError, match="MP_REACH_NLRI is given twice"):
        decode(kind, body, SessionContext(add_path=(Family.IPV4, Family.IPV6)))
