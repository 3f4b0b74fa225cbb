"""What a PUT must satisfy: refusals with their exact texts (spec 1.6), updates, and what follows from them."""

from __future__ import annotations

import msgspec
import pytest
from office import AMSTERDAM, CATALOGUE, EXCHANGE, PASSED, SECOND, Office, direct, exchange, link, neighbor

from peerlab.bgp.attributes import Address, Prefix
from peerlab.errors import RefusedError
from peerlab.peering.command import (
    ApproveTypeChange,
    Command,
    Deprovision,
    FinishTypeChange,
    JudgeValidation,
    PutPeering,
    RejectTypeChange,
    SeedLegacy,
)
from peerlab.peering.enums import DirectPeeringType, Kind, SessionAddressProvider
from peerlab.peering.peering_resource import BgpSession, DirectConnection, Peering
from peerlab.peering.record import ConnectionRecord, FamilySession, LegacyRecord
from peerlab.peering.verdict import RuleVerdict
from peerlab.topology.model import PolicyStage

MICROSOFT, PEER = SessionAddressProvider.MICROSOFT, SessionAddressProvider.PEER
VOICE, IX_RS = DirectPeeringType.VOICE, DirectPeeringType.IX_RS


@pytest.fixture
def office() -> Office:
    office = Office()
    office.associate(agreement=True)
    return office


def refusal_of(office: Office, command: Command) -> RefusedError:
    before = msgspec.json.encode(office.desk.ledger)
    with pytest.raises(RefusedError) as caught:
        office.do(command)
    assert msgspec.json.encode(office.desk.ledger) == before
    return caught.value


def on_lan(
    v4: tuple[str, str, str] | None = ("80.249.208.0/21", "80.249.208.255", "80.249.209.20"),
    provider: SessionAddressProvider = PEER,
) -> DirectConnection:
    """A route-server connection: LAN, route server's address, Microsoft's address."""
    prefix, peer, microsoft = v4 or (None, None, None)
    return msgspec.structs.replace(
        link(provider=provider),
        bgp_session=BgpSession(
            session_prefix_v4=Prefix(prefix) if prefix else None,
            peer_session_ipv4_address=Address(peer) if peer else None,
            microsoft_session_ipv4_address=Address(microsoft) if microsoft else None,
            max_prefixes_advertised_v4=20000 if prefix else None,
        ),
    )


# request, message: every text of section 1.6 that a new request can meet, and the ones that are ours
REFUSED = [
    (direct(link(bandwidth=0)), "Bandwidth 0 must be greater than 0"),
    (direct(link(bandwidth=-1)), "Bandwidth -1 must be greater than 0"),
    (direct(link(bandwidth=15000)), "Bandwidth 15000 must have a multiple of 10000."),
    (direct(link(bandwidth=200000)), "Bandwidth:200000 is greater than 100000."),
    (direct(link(v4="10.0.0.0/29")), "Invalid Prefix: 10.0.0.0/29, must be either /30 or /31"),
    (direct(link(v4="10.0.0.1/31")), "Unrecognized routePrefix 10.0.0.1/31"),
    (direct(link(facility=0)), "peeringDBFacilityId 0 must be greater than 0"),
    (direct(link(facility=None)), "peeringDBFacilityId None must be greater than 0"),
    (direct(link(facility=4711)), "Facility 4711 is not offered for Direct peerings at Amsterdam"),
    (direct(link(), location="Atlantis"), "Peering location 'Atlantis' is unknown"),
    (direct(link(max_v4=0)), "maxPrefixesAdvertisedV4 0 must be greater than 0"),
    (
        direct(link(v4=None, v6=None)),
        "sessionPrefixV4 or sessionPrefixV6 must be given when sessionAddressProvider is Peer",
    ),
    (
        direct(msgspec.structs.replace(link(), bgp_session=None)),
        "bgpSession must not be null when sessionAddressProvider is Peer",
    ),
    (direct(), "A peering needs at least one connection"),
    (direct(link(), link()), "connectionIdentifier c1 is used twice"),
    (direct(link(), link("c2")), "Session 192.168.0.0 - 192.168.0.1 is asked for twice"),
    (direct(link(), name="a b"), "Resource name 'a b' must match the pattern [A-Za-z0-9_.-]{1,63}"),
    (direct(link(), name="x" * 64), f"Resource name '{'x' * 64}' must match the pattern [A-Za-z0-9_.-]{{1,63}}"),
    (direct(link(), sku="Basic_Exchange_Free"), "Sku 'Basic_Exchange_Free' is not for Direct peerings"),
    (
        direct(link(provider=MICROSOFT), kind=VOICE),
        "Peering type Voice needs sku 'Premium_Direct_Free', not 'Basic_Direct_Free'",
    ),
    (direct(on_lan(), kind=IX_RS), "Peering type IxRs needs sku 'Premium_Direct_Free', not 'Basic_Direct_Free'"),
    (
        direct(on_lan(provider=MICROSOFT), kind=IX_RS, sku="Premium_Direct_Free"),
        "sessionAddressProvider must be Peer for peering type IxRs",
    ),
    (
        direct(link(), kind=VOICE, sku="Premium_Direct_Free"),
        "sessionAddressProvider must be Microsoft for peering type Voice",
    ),
    (
        direct(on_lan(("80.249.208.0/21", "80.249.216.1", "80.249.209.20")), kind=IX_RS, sku="Premium_Direct_Free"),
        "80.249.216.1 is not inside 80.249.208.0/21",
    ),
    (exchange(neighbor(v4="80.249.211.62/24")), "80.249.211.62/24 is not in proper IP / CIDR notation."),
    (exchange(neighbor(v4=None)), "peerSessionIPv4Address or peerSessionIPv6Address must be given"),
    (exchange(neighbor(v4="10.0.0.1")), "10.0.0.1 is not inside 80.249.208.0/21"),
    (exchange(neighbor(v4="80.249.209.20")), "80.249.209.20 is Microsoft's address on 80.249.208.0/21"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "message"), REFUSED, ids=[m[:50] for _, m in REFUSED])
def test_refused_requests(office: Office, request_: PutPeering, message: str) -> None:
    error = refusal_of(office, request_)
    assert (error.code, error.message) == ("BadArgument", message)


def test_peering_service_needs_the_signed_agreement() -> None:
    office = Office()
    office.associate()
    assert "signed Peering Service agreement" in refusal_of(office, direct(link(service=True))).message


def test_an_exchange_without_ipv6_cannot_have_an_ipv6_session() -> None:
    bare = [msgspec.structs.replace(f, lan_v6=None) if f.id == EXCHANGE else f for f in CATALOGUE.facilities]
    office = Office(msgspec.structs.replace(CATALOGUE, facilities=tuple(bare)))
    office.associate()
    assert refusal_of(office, exchange(neighbor(v6="2001:7f8:1::99"))).code == "BadArgument"


def test_the_canonical_body_of_the_specification_is_understood(office: Office) -> None:
    body = b"""{"kind":"Direct","location":"eastus","sku":{"name":"Basic_Direct_Free"},
     "properties":{"peeringLocation":"amsterdam",
      "direct":{"directPeeringType":"Edge","peerAsn":{"id":"/subscriptions/lab/providers/Microsoft.Peering/peerAsns/contoso"},
       "connections":[{"bandwidthInMbps":10000,"sessionAddressProvider":"Peer","useForPeeringService":false,
         "peeringDBFacilityId":99999,"connectionIdentifier":"5F4CB5C7-6B43-4444-9338-9ABC72606C16",
         "bgpSession":{"sessionPrefixV4":"192.168.0.0/31","sessionPrefixV6":"fd00::0/127",
           "maxPrefixesAdvertisedV4":1000,"maxPrefixesAdvertisedV6":100,"md5AuthenticationKey":"test-md5-auth-key"}}]}}}"""
    office.do(PutPeering(name="p1", peering=msgspec.json.decode(body, type=Peering)))
    connection = office.desk.ledger.peerings["p1"].connections[0]
    assert connection.state == "PendingApproval"
    assert connection.v4 == FamilySession(
        prefix=Prefix("192.168.0.0/31"),
        peer=Address("192.168.0.0"),
        microsoft=Address("192.168.0.1"),
        max_prefixes=1000,
    )
    assert connection.v6 is not None
    assert (connection.v6.prefix, connection.v6.microsoft) == ("fd00::/127", "fd00::1")
    assert connection.md5 == "test-md5-auth-key"
    assert office.desk.ledger.peerings["p1"].peering_location == AMSTERDAM


class TestExchange:
    """Exchange peerings (spec 3.3)."""

    def test_one_address_becomes_one_connection_per_microsoft_router(self, office: Office) -> None:
        office.do(exchange(neighbor("mine", v6="2001:7f8:1::99")))
        connections = office.desk.ledger.peerings["p1"].connections
        assert [(c.v4.peer, c.v4.microsoft, c.v4.prefix) for c in connections if c.v4] == [
            ("80.249.211.62", "80.249.209.20", "80.249.208.0/21"),
            ("80.249.211.62", "80.249.209.21", "80.249.208.0/21"),
        ]
        assert [c.v6.microsoft for c in connections if c.v6] == ["2001:7f8:1::20", "2001:7f8:1::21"]
        assert len({c.identifier for c in connections} | {"mine"}) == 3, "identifiers are new"

    def test_it_is_approved_and_then_active(self, office: Office) -> None:
        office.do(exchange(neighbor()))
        label = office.desk.ledger.peerings["p1"].connections[0].label
        office.turn_up(label, until="Approved")
        assert office.connection(label).state == "Approved"
        office.turn_up(label)
        assert (office.connection(label).state, office.connection(label).stage) == ("Active", PolicyStage.ALLOW)

    @pytest.mark.parametrize(
        "change", [{"max_v4": 2000}, {"md5": "secret"}, {"v4": "80.249.211.63"}], ids=["max-prefix", "md5", "address"]
    )
    def test_an_existing_connection_is_not_changed(self, office: Office, change: dict) -> None:  # type: ignore[type-arg]
        office.do(exchange(neighbor("one", microsoft_v4="80.249.209.20")))
        office.turn_up("one")
        error = refusal_of(office, exchange(neighbor("one", **change)))
        assert (error.code, error.message) == (
            "OperationNotSupported",
            "Md5AuthenticationKey and MaxPrefix updates are not yet supported",
        )

    def test_a_connection_can_be_removed_but_not_the_last(self, office: Office) -> None:
        office.do(exchange(neighbor()))
        first, second = (c.identifier for c in office.desk.ledger.peerings["p1"].connections)
        office.turn_up(first)
        office.do(exchange(neighbor(second)))
        assert (office.connection(first).state, office.connection(second).state) == ("PendingRemove", "PendingApproval")
        assert refusal_of(office, exchange()).message == "A peering needs at least one connection"


class TestRouteServer:
    """IxRs peerings (spec 3.5)."""

    def test_explicit_addresses_and_peering_service_by_itself(self, office: Office) -> None:
        office.do(direct(on_lan(), kind=IX_RS, sku="Premium_Direct_Free"))
        connection = office.connection()
        assert connection.v4 == FamilySession(
            prefix=Prefix("80.249.208.0/21"),
            peer=Address("80.249.208.255"),
            microsoft=Address("80.249.209.20"),
            max_prefixes=20000,
        )
        assert (connection.v6, connection.use_for_peering_service) == (None, True)


class TestUpdate:
    """What a second PUT may change (spec 3.2)."""

    def test_the_same_put_changes_nothing(self, office: Office) -> None:
        office.do(direct(link(), SECOND))
        office.turn_up("c1")
        assert office.do(direct(link(), SECOND)) == ()

    def test_a_connection_can_be_added_and_not_removed(self, office: Office) -> None:
        office.do(direct(link()))
        office.turn_up("c1")
        office.do(direct(link(), SECOND))
        assert office.states() == ["Active", "PendingApproval"]
        assert "cannot be removed from a Direct peering" in refusal_of(office, direct(link())).message

    @pytest.mark.parametrize(("asked", "allowed"), [(20000, True), (10000, True)], ids=["up", "down"])
    def test_bandwidth_goes_up_and_down_on_active(self, office: Office, asked: int, allowed: bool) -> None:
        office.do(direct(link(bandwidth=20000 if asked == 10000 else 10000)))
        office.turn_up("c1")
        office.do(direct(link(bandwidth=asked)))
        assert office.connection().bandwidth == asked

    def test_bandwidth_does_not_go_down_before_active(self, office: Office) -> None:
        office.do(direct(link(bandwidth=20000)))
        error = refusal_of(office, direct(link(bandwidth=10000)))
        assert error.message == "Downgrading bandwidth from 20000 to 10000 not supported."

    def test_a_session_prefix_is_fixed_once_approved(self, office: Office) -> None:
        office.do(direct(link()))
        office.turn_up("c1")
        error = refusal_of(office, direct(link(v6="fd00::8/127")))
        assert error.message == "Input prefix fd00::8/127 does not match existing fd00::/127"

    def test_a_request_can_be_rewritten_before_approval(self, office: Office) -> None:
        office.do(direct(link()), direct(link(v4="192.168.7.0/31", v6=None)))
        assert office.connection().v4.prefix == "192.168.7.0/31"
        assert office.connection().v6 is None

    def test_an_added_family_is_denied_until_it_is_validated(self, office: Office) -> None:
        office.do(direct(link(v6=None)))
        office.turn_up("c1")
        office.do(direct(link()))
        assert (office.connection().state, office.connection().v6.unvalidated) == ("Active", True)
        bad = RuleVerdict(rule="SES-01", passed=False, message="session with fd00:: is Idle, not Established")
        office.do(JudgeValidation(peering="p1", connection="c1", verdicts=(*PASSED[1:], bad)))
        assert (office.connection().state, office.connection().v6.unvalidated) == ("Active", True)
        office.do(JudgeValidation(peering="p1", connection="c1", verdicts=PASSED))
        assert (office.connection().stage, office.connection().v6.unvalidated) == (PolicyStage.ALLOW, False)
        assert "cannot be removed" in refusal_of(office, direct(link(v6=None))).message

    @pytest.mark.parametrize(
        "change",
        [direct(link(facility=34), location="London"), exchange(neighbor())],
        ids=["peeringLocation", "kind"],
    )
    def test_basics_cannot_be_changed(self, office: Office, change: PutPeering) -> None:
        office.do(direct(link()))
        assert "cannot be changed" in refusal_of(office, change).message


class TestConversion:
    """Peering Service per connection, Voice per peering, legacy peerings (spec 2.7, 3.4, 3.7)."""

    def active(self, office: Office, *connections: DirectConnection) -> None:
        office.do(direct(*connections))
        for connection in connections:
            office.turn_up(str(connection.connection_identifier))

    def test_peering_service_is_enabled_one_connection_at_a_time(self, office: Office) -> None:
        self.active(office, link(), SECOND)
        office.do(direct(link(service=True), msgspec.structs.replace(SECOND, use_for_peering_service=True)))
        assert office.states() == ["TypeChangeRequested", "TypeChangeRequested"]
        office.do(ApproveTypeChange(peering="p1", connection="c1"))
        error = refusal_of(office, ApproveTypeChange(peering="p1", connection="c2"))
        assert error.message == "One connection is converted at a time; still in progress: c1 (TypeChangeInProgress)"
        office.do(FinishTypeChange(peering="p1", connection="c1"))
        assert (office.connection("c1").state, office.connection("c1").use_for_peering_service) == ("Active", True)
        office.do(RejectTypeChange(peering="p1", connection="c2", reason="agreement not signed"))
        second = office.connection("c2")
        assert (second.state, second.use_for_peering_service, second.error) == ("Active", False, "agreement not signed")

    @pytest.mark.parametrize(
        ("connections", "words"),
        [
            ((link(),), "conversion needs at least two"),
            ((link(bandwidth=20000), SECOND), "equal bandwidth"),
        ],
    )
    def test_preconditions(self, office: Office, connections: tuple[DirectConnection, ...], words: str) -> None:
        self.active(office, *connections)
        wanted = [msgspec.structs.replace(c, use_for_peering_service=True) for c in connections]
        assert words in refusal_of(office, direct(*wanted)).message

    def test_every_connection_must_be_active(self, office: Office) -> None:
        office.do(direct(link(), SECOND))
        office.turn_up("c1")
        error = refusal_of(office, direct(link(service=True), SECOND))
        assert error.message == "Conversion needs every connection Active: c2 (PendingApproval)"

    def test_nothing_else_changes_while_converting(self, office: Office) -> None:
        self.active(office, link(), SECOND)
        office.do(direct(link(service=True), SECOND))
        third = link("c3", "192.168.0.4/31", "fd00::4/127")
        assert (
            "while a connection is converted" in refusal_of(office, direct(link(service=True), SECOND, third)).message
        )
        wider = msgspec.structs.replace(SECOND, bandwidth_in_mbps=20000)
        assert "while a connection is converted" in refusal_of(office, direct(link(service=True), wider)).message

    def test_the_whole_peering_becomes_voice(self, office: Office) -> None:
        self.active(office, link(), SECOND)
        voice = [
            msgspec.structs.replace(c, session_address_provider=MICROSOFT, bgp_session=None) for c in (link(), SECOND)
        ]
        office.do(direct(*voice, kind=VOICE, sku="Premium_Direct_Free"))
        assert office.states() == ["TypeChangeRequested", "TypeChangeRequested"]
        for label in ("c1", "c2"):
            assert office.desk.ledger.peerings["p1"].direct_type is DirectPeeringType.EDGE
            office.do(
                ApproveTypeChange(peering="p1", connection=label), FinishTypeChange(peering="p1", connection=label)
            )
        assert office.do(direct(*voice, kind=VOICE, sku="Premium_Direct_Free")) == (), "the same PUT changes nothing"
        peering = office.desk.ledger.peerings["p1"]
        assert (peering.direct_type, peering.wanted_type) == (VOICE, None)
        assert all(c.use_for_peering_service and c.state == "Active" for c in peering.connections)

    def to_voice(self, office: Office, *connections: DirectConnection, name: str = "p1") -> None:
        """Convert a peering of these connections, every one of them, to Voice."""
        asked = [
            msgspec.structs.replace(c, session_address_provider=MICROSOFT, bgp_session=None) for c in connections
        ]
        office.do(direct(*asked, kind=VOICE, sku="Premium_Direct_Free", name=name))
        for one in asked:
            label = str(one.connection_identifier)
            office.do(ApproveTypeChange(peering=name, connection=label))
            office.do(FinishTypeChange(peering=name, connection=label))

    def test_a_voice_connection_needs_bfd_from_the_moment_its_conversion_is_approved(self, office: Office) -> None:
        self.active(office, link(), SECOND)
        asked = [
            msgspec.structs.replace(c, session_address_provider=MICROSOFT, bgp_session=None) for c in (link(), SECOND)
        ]
        office.do(direct(*asked, kind=VOICE, sku="Premium_Direct_Free"))
        assert [office.connection(c).needs_bfd for c in ("c1", "c2")] == [False, False]
        office.do(ApproveTypeChange(peering="p1", connection="c1"))
        assert [office.connection(c).needs_bfd for c in ("c1", "c2")] == [True, False]
        office.do(FinishTypeChange(peering="p1", connection="c1"))
        office.do(RejectTypeChange(peering="p1", connection="c2", reason="agreement not signed"))
        assert [office.connection(c).needs_bfd for c in ("c1", "c2")] == [True, False]

    def test_a_second_voice_peering_at_a_place_becomes_part_of_the_first(self, office: Office) -> None:
        self.active(office, link(), SECOND)
        self.to_voice(office, link(), SECOND)
        others = (link("c3", "192.168.0.4/31", "fd00::4/127"), link("c4", "192.168.0.6/31", "fd00::6/127"))
        office.do(direct(*others, name="p2"))
        for label in ("c3", "c4"):
            office.turn_up(label, peering="p2")
        self.to_voice(office, *others, name="p2")
        ledger = office.desk.ledger
        assert list(ledger.peerings) == ["p1"]
        assert [(c.label, c.state, c.needs_bfd) for c in ledger.peerings["p1"].connections] == [
            (label, "Active", True) for label in ("c1", "c2", "c3", "c4")
        ]

    def legacy(self) -> LegacyRecord:
        return LegacyRecord(
            key="as64500-amsterdam",
            asn=64500,
            kind=Kind.DIRECT,
            peering_location=AMSTERDAM,
            direct_type=DirectPeeringType.EDGE,
            connections=(
                ConnectionRecord(
                    identifier="old",
                    label="old",
                    stage=PolicyStage.ALLOW,
                    bandwidth=10000,
                    facility_id=99999,
                    v4=FamilySession(
                        prefix=Prefix("12.90.152.60/30"),
                        peer=Address("12.90.152.61"),
                        microsoft=Address("12.90.152.62"),
                        max_prefixes=20000,
                    ),
                ),
            ),
        )

    def test_a_legacy_peering_is_converted_without_a_session_reset(self, office: Office) -> None:
        office.do(SeedLegacy(legacy=self.legacy()))
        old = link("new-guid", "12.90.152.60/30", None, max_v4=20000)
        office.do(direct(old, SECOND))
        assert office.states() == ["Active", "PendingApproval"]
        assert office.connection("new-guid").stage is PolicyStage.ALLOW
        assert office.desk.ledger.legacy == {}

    def test_a_legacy_connection_must_come_along_unchanged(self, office: Office) -> None:
        office.do(SeedLegacy(legacy=self.legacy()))
        assert (
            "Microsoft might already have a peering with ASN 64500 at Amsterdam"
            in refusal_of(office, direct(link())).message
        )
        changed = link("x", "12.90.152.60/30", None, max_v4=100)
        assert "cannot be changed while it is converted" in refusal_of(office, direct(changed)).message

    def test_an_active_connection_is_deprovisioned_not_deleted(self, office: Office) -> None:
        self.active(office, link())
        office.do(Deprovision(peering="p1", connection="c1"))
        assert office.do(direct(link())) == (), "a PUT does not bring a leaving connection back"
