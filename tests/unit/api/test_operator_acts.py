"""Microsoft's side: every act says what it is for, and acts on connections say so."""

from __future__ import annotations

from peerlab.api.operator_acts import ACTS, AGREEMENT, CONNECTION, PEER_ASN


def test_every_act_of_the_real_desk_is_there() -> None:
    by_subject = {about: {name for name, act in ACTS.items() if act.about == about} for about in (PEER_ASN, AGREEMENT)}
    assert by_subject == {PEER_ASN: {"approve-asn", "reject-asn"}, AGREEMENT: {"sign-agreement"}}
    assert {name for name, act in ACTS.items() if act.about == CONNECTION} >= {
        "approve", "reject", "loa", "assign-addresses", "block", "unblock", "notify", "provision", "validate", "open",
        "deprovision", "remove", "approve-conversion", "reject-conversion", "convert", "link-test",
    }  # fmt: skip
