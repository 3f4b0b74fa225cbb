"""The malformed UPDATEs that are sent on purpose: what is wrong with each is what its name says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.framing import HEADER_LENGTH
from peerlab.bgp.malformed_case import (
    CORE,
    MALFORMED,
    UNPARSEABLE,
    Handling,
    MalformedCase,
    Sender,
    good_update,
    malformed_update,
    unparseable_updates,
)
from peerlab.bgp.wire import SessionContext, decode_update
from peerlab.errors import WireError

FILE = json.loads((Path(__file__).parent / "rfc7606_cases.json").read_text())["cases"]
SENDERS = {
    Family.IPV4: (Sender(asn=64511, address=Address("192.0.2.1")), Prefix("198.51.100.0/28")),
    Family.IPV6: (Sender(asn=64511, address=Address("2001:db8::1")), Prefix("2001:db8:f100::/48")),
}
EBGP = SessionContext(ebgp=True)


def test_39_cases_are_core() -> None:
    assert len(CORE) == 39
    names = [case.name for case in MALFORMED] + list(UNPARSEABLE)
    assert len(set(names)) == len(names)
    assert all(case.expect is not Handling.RESET for case in CORE)


@pytest.mark.parametrize("written", FILE, ids=lambda case: case["name"])
def test_every_case_of_the_file_is_here_with_its_values(written: dict[str, Any]) -> None:
    case = next(case for case in MALFORMED if case.name == written["name"])
    if written["next_hop"] is None:
        assert (case.kind, case.flags) == (written["attr_type"], int(written["flags"], 16))
        assert case.value == written["value_hex"]
    else:
        assert case.value == bytes(map(int, written["next_hop"].split("."))).hex()
    assert case.core == written["core_turnup"]
    if case.expect is Handling.KEEP:  # the file calls it a discard; docs/decisions/0021
        assert case.name == "unknown-fe-transitive"
    elif "ebgp" not in written["skip_for"]:
        assert written["expect"]["ebgp"].endswith(case.expect)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_our_own_decoder_handles_every_case_as_prescribed(case: MalformedCase, family: Family) -> None:
    sender, prefix = SENDERS[family]
    body = malformed_update(case, sender, prefix, "64999:1")[HEADER_LENGTH:]
    if case.expect is Handling.RESET:
        with pytest.raises(WireError) as caught:
            decode_update(body, EBGP)
        assert caught.value.code == 3
        return
    decoded = decode_update(body, EBGP)
    if case.expect is Handling.WITHDRAW:
        assert (decoded.announced, decoded.withdrawn) == ((), (prefix,))
        return
    assert (decoded.announced, decoded.withdrawn) == ((prefix,), ())
    good = decode_update(good_update(sender, prefix, "64999:1")[HEADER_LENGTH:], EBGP)
    if case.expect is Handling.DISCARD:
        assert decoded.attributes == good.attributes


@pytest.mark.parametrize("family", Family)
def test_routes_that_cannot_be_read_end_the_session_with_an_update_error(family: Family) -> None:
    sender, prefix = SENDERS[family]
    updates = unparseable_updates(sender, prefix)
    assert set(updates) == set(UNPARSEABLE)
    for name, octets in updates.items():
        with pytest.raises(WireError) as caught:
            decode_update(octets[HEADER_LENGTH:], EBGP)
        assert caught.value.code == 3, name


@pytest.mark.parametrize("family", Family)
def test_a_good_update_is_good(family: Family) -> None:
    sender, prefix = SENDERS[family]
    decoded = decode_update(good_update(sender, prefix)[HEADER_LENGTH:], EBGP)
    assert decoded.announced == (prefix,)
    assert decoded.attributes is not None
    assert decoded.attributes.asns() == (64511,)
