"""RFC 9234 section 5, every row: what happens to a route by local role and OTC."""

from __future__ import annotations

import pytest
from back_to_back import attributes

from peerlab.bgp.attributes import BgpRole
from peerlab.bgp.role import leak_on_egress, leak_on_ingress, otc_on_egress, otc_on_ingress

LOCAL_AS, PEER_AS, FOREIGN_AS = 65000, 65001, 65007

INGRESS = [
    # local role, OTC received, eligible, OTC afterwards
    (BgpRole.PROVIDER, None, True, None),  # from a customer without OTC: nothing is added
    (BgpRole.PROVIDER, FOREIGN_AS, False, None),  # rule 1: a customer leaks
    (BgpRole.PROVIDER, PEER_AS, False, None),  # rule 1 holds for the customer's own number too
    (BgpRole.RS, None, True, None),  # from an RS-client
    (BgpRole.RS, FOREIGN_AS, False, None),  # rule 1: an RS-client leaks
    (BgpRole.PEER, None, True, PEER_AS),  # rule 3
    (BgpRole.PEER, PEER_AS, True, PEER_AS),  # set by the peer itself
    (BgpRole.PEER, FOREIGN_AS, False, None),  # rule 2: a peer leaks
    (BgpRole.CUSTOMER, None, True, PEER_AS),  # rule 3: from a provider
    (BgpRole.CUSTOMER, FOREIGN_AS, True, FOREIGN_AS),  # a provider may pass it down, unchanged
    (BgpRole.RS_CLIENT, None, True, PEER_AS),  # rule 3: from a route server
    (BgpRole.RS_CLIENT, FOREIGN_AS, True, FOREIGN_AS),  # unchanged
]


@pytest.mark.parametrize("role, otc, eligible, after", INGRESS)
def test_ingress(role: BgpRole, otc: int | None, eligible: bool, after: int | None) -> None:
    route = attributes(PEER_AS, otc=otc)
    assert (leak_on_ingress(role, route, PEER_AS) is None) is eligible
    if eligible:
        assert otc_on_ingress(role, route, PEER_AS) == after


EGRESS = [
    # local role, OTC of the route, may be sent, OTC sent
    (BgpRole.PROVIDER, None, True, LOCAL_AS),  # rule 1: to a customer
    (BgpRole.PROVIDER, FOREIGN_AS, True, FOREIGN_AS),  # unchanged
    (BgpRole.PEER, None, True, LOCAL_AS),  # rule 1: to a peer
    (BgpRole.PEER, FOREIGN_AS, False, None),  # rule 2
    (BgpRole.RS, None, True, LOCAL_AS),  # rule 1: to an RS-client
    (BgpRole.RS, FOREIGN_AS, True, FOREIGN_AS),
    (BgpRole.CUSTOMER, None, True, None),  # to a provider: nothing is added
    (BgpRole.CUSTOMER, FOREIGN_AS, False, None),  # rule 2
    (BgpRole.RS_CLIENT, None, True, None),
    (BgpRole.RS_CLIENT, FOREIGN_AS, False, None),  # rule 2
]


@pytest.mark.parametrize("role, otc, may, sent", EGRESS)
def test_egress(role: BgpRole, otc: int | None, may: bool, sent: int | None) -> None:
    route = attributes(PEER_AS, otc=otc)
    assert (leak_on_egress(role, route) is None) is may
    if may:
        assert otc_on_egress(role, route, LOCAL_AS) == sent
