"""Registration by partners and Peering Service of customers, at the desk (spec 2.5, 3.4 to 3.6)."""

from __future__ import annotations

import msgspec
import pytest
from office import AMSTERDAM, LONDON, Office, direct, link
from test_peering_requests import on_lan, refusal_of

from peerlab.peering.command import (
    CompleteRemoval,
    DeletePeeringService,
    DeleteRegisteredPrefix,
    Deprovision,
    JudgeRegisteredPrefix,
    JudgeServicePrefix,
    PutPeeringService,
    PutRegisteredAsn,
    PutRegisteredPrefix,
    PutServicePrefix,
    RecordPrefixEvents,
    RevalidateServicePrefix,
    TagPeeringService,
    ValidateRegisteredPrefix,
)
from peerlab.peering.enums import DirectPeeringType, LearnedType, PrefixEventType, PrefixValidationState
from peerlab.peering.peering_service import PeeringService, PeeringServiceProperties
from peerlab.peering.prefix_event import PrefixEvent
from peerlab.peering.verdict import RuleVerdict

PREMIUM = {"sku": "Premium_Direct_Free"}
CUSTOMER_PREFIX = "203.0.113.0/24"
HQ = PutRegisteredPrefix(peering="p1", name="hq", prefix=CUSTOMER_PREFIX)
GOOD = (RuleVerdict(rule="VAL-08", passed=True),)
BAD = (RuleVerdict(rule="VAL-08", passed=False, message="Prefix not received from IP 192.0.2.2"),)


@pytest.fixture
def office() -> Office:
    """A partner with an Active connection for Peering Service."""
    office = Office()
    office.associate(agreement=True)
    office.do(direct(link(service=True), **PREMIUM))
    office.turn_up("c1")
    return office


def put_service(name: str = "s1", backup: str | None = LONDON, provider: str = "contoso") -> PutPeeringService:
    properties = PeeringServiceProperties(
        peering_service_location="Noord-Holland",
        peering_service_provider=provider,
        provider_primary_peering_location="amsterdam",
        provider_backup_peering_location=backup,
    )
    return PutPeeringService(name=name, service=PeeringService(location="westeurope", properties=properties))


class TestRegisteredPrefix:
    def test_key_at_once_failure_keeps_it_and_validate_starts_again(self, office: Office) -> None:
        office.do(HQ)
        record = office.desk.ledger.registered_prefixes["p1/hq"]
        assert record.state is PrefixValidationState.PENDING
        office.do(JudgeRegisteredPrefix(registered="p1/hq", verdicts=BAD))
        failed = office.desk.ledger.registered_prefixes["p1/hq"]
        assert (failed.state, failed.error, failed.prefix_key) == ("Failed", BAD[0].message, record.prefix_key)
        office.do(ValidateRegisteredPrefix(registered="p1/hq"))
        pending = office.desk.ledger.registered_prefixes["p1/hq"]
        assert (pending.state, pending.error, pending.prefix_key) == ("Pending", BAD[0].message, record.prefix_key)
        office.do(JudgeRegisteredPrefix(registered="p1/hq", verdicts=GOOD))
        verified = office.desk.ledger.registered_prefixes["p1/hq"]
        assert (verified.state, verified.error) == ("Verified", None)

    def test_no_evidence_is_an_internal_error_not_a_pass(self, office: Office) -> None:
        office.do(HQ, JudgeRegisteredPrefix(registered="p1/hq", verdicts=()))
        record = office.desk.ledger.registered_prefixes["p1/hq"]
        assert (record.state, record.error) == ("Failed", "Internal server error")

    def test_the_wrong_type_has_the_documented_text(self, office: Office) -> None:
        office.associate(64501, "fabrikam")
        office.do(direct(link("x", "192.168.9.0/31", None), name="plain", asn="fabrikam"))
        office.turn_up("x", "plain")
        error = refusal_of(office, msgspec.structs.replace(HQ, peering="plain"))
        assert (error.code, error.message) == (
            "OperationNotSupported",
            "Operation is not supported for this peering type",
        )
        error = refusal_of(office, PutRegisteredAsn(peering="p1", name="a", asn=64510))
        assert error.message == "Operation is not supported for this peering type"

    def test_a_connection_must_be_active(self) -> None:
        office = Office()
        office.associate(agreement=True)
        office.do(direct(link(service=True), **PREMIUM))
        assert "no Active connection" in refusal_of(office, HQ).message

    def test_a_prefix_belongs_to_one_peering(self, office: Office) -> None:
        office.associate(64501, "fabrikam", agreement=True)
        office.do(direct(link("x", "192.168.9.0/31", None, service=True), name="p2", asn="fabrikam", **PREMIUM), HQ)
        office.turn_up("x", "p2")
        error = refusal_of(office, msgspec.structs.replace(HQ, peering="p2", name="other"))
        assert error.message == "Prefix 203.0.113.0/24 is registered already under peering p1"

    def test_a_prefix_is_not_edited_and_a_repeated_put_changes_nothing(self, office: Office) -> None:
        office.do(HQ)
        assert office.do(HQ) == ()
        assert "cannot be changed" in refusal_of(office, msgspec.structs.replace(HQ, prefix="198.51.100.0/24")).message

    def test_registrations_go_with_their_peering(self, office: Office) -> None:
        at = {"peering": "p1", "connection": "c1"}
        office.do(HQ, Deprovision(**at), CompleteRemoval(**at))
        assert office.desk.ledger.registered_prefixes == {}

    def test_a_revoked_key_activates_nothing_any_more(self, office: Office) -> None:
        office.do(HQ, put_service())
        key = office.desk.ledger.registered_prefixes["p1/hq"].prefix_key
        other = PutServicePrefix(service="s1", name="other", prefix="198.51.100.0/24", prefix_key="another-key")
        office.do(PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX, prefix_key=key), other)
        for name in ("s1/hq", "s1/other"):
            office.do(JudgeServicePrefix(prefix=name, verdicts=GOOD, learned=LearnedType.VIA_SERVICE_PROVIDER))
        office.do(DeleteRegisteredPrefix(registered="p1/hq"))
        record = office.desk.ledger.prefixes["s1/hq"]
        assert (record.state, record.error, record.activated) == ("Failed", "Peering service provider not found", False)
        assert office.desk.ledger.prefixes["s1/other"].activated

    def test_a_missing_one_has_the_documented_text(self, office: Office) -> None:
        error = refusal_of(office, DeleteRegisteredPrefix(registered="p1/none"))
        assert (error.code, error.message) == ("NotFound", "Resource does not exist.")


def test_a_route_server_partner_registers_asns_and_no_prefixes() -> None:
    office = Office()
    office.associate(agreement=True)
    office.do(direct(on_lan(), kind=DirectPeeringType.IX_RS, **PREMIUM))
    office.turn_up("c1")
    office.do(PutRegisteredAsn(peering="p1", name="customer", asn=64510))
    assert office.desk.ledger.registered_asns["p1/customer"].prefix_key
    again = PutRegisteredAsn(peering="p1", name="twice", asn=64510)
    assert refusal_of(office, again).message == "AS64510 is registered already under peering p1"
    assert refusal_of(office, HQ).message == "Operation is not supported for this peering type"


class TestService:
    def test_create_validate_and_delete(self, office: Office) -> None:
        office.do(HQ, put_service())
        service = office.desk.ledger.services["s1"]
        assert (service.primary, service.backup, service.provider) == (AMSTERDAM, LONDON, "contoso")
        key = office.desk.ledger.registered_prefixes["p1/hq"].prefix_key
        office.do(PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX, prefix_key=key))
        pending = office.desk.ledger.prefixes["s1/hq"]
        assert (pending.state, pending.learned, pending.activated) == ("Pending", LearnedType.NONE, False)
        seen = LearnedType.VIA_SERVICE_PROVIDER
        office.do(JudgeServicePrefix(prefix="s1/hq", verdicts=GOOD, learned=seen))
        verified = office.desk.ledger.prefixes["s1/hq"]
        assert (verified.state, verified.learned, verified.activated) == ("Verified", seen, True)
        office.do(RevalidateServicePrefix(prefix="s1/hq"))
        assert not office.desk.ledger.prefixes["s1/hq"].activated
        office.do(DeletePeeringService(service="s1"))
        assert (office.desk.ledger.services, office.desk.ledger.prefixes) == ({}, {})

    @pytest.mark.parametrize("backup", [None, "", "None", "none"])
    def test_backup_none_is_the_internet(self, office: Office, backup: str | None) -> None:
        office.do(put_service(backup=backup))
        assert office.desk.ledger.services["s1"].backup is None

    # verdict, state, errorMessage
    STATES = [
        (RuleVerdict(rule="VAL-09", passed=True), "Verified", None),
        (RuleVerdict(rule="VAL-07", passed=False, message="Peering service provider not found"), "Failed",
         "Peering service provider not found"),
        (RuleVerdict(rule="usable", passed=False, message="Peering service prefix is invalid"), "Invalid",
         "Peering service prefix is invalid"),
        (RuleVerdict(rule="VAL-12", passed=False, message="differ", warning=True), "Warning", "differ"),
        (RuleVerdict(rule="VAL-08", passed=None), "Failed", "Internal server error"),
    ]  # fmt: skip

    @pytest.mark.parametrize(("verdict", "state", "error"), STATES)
    def test_verdicts_decide_the_state(
        self, office: Office, verdict: RuleVerdict, state: str, error: str | None
    ) -> None:
        office.do(put_service(), PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX))
        office.do(JudgeServicePrefix(prefix="s1/hq", verdicts=(verdict,)))
        record = office.desk.ledger.prefixes["s1/hq"]
        assert (record.state, record.error) == (state, error)

    def test_one_provider_per_prefix_and_no_overlap(self, office: Office) -> None:
        catalogue = office.desk.catalogue
        second = msgspec.structs.replace(catalogue.providers[0], name="fabrikam", asn=64501)
        office.desk.catalogue = msgspec.structs.replace(catalogue, providers=(*catalogue.providers, second))
        office.do(put_service(), put_service("s2", provider="Fabrikam"))
        office.do(PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX))
        again = PutServicePrefix(service="s2", name="hq", prefix=CUSTOMER_PREFIX)
        assert "a prefix can have one provider only" in refusal_of(office, again).message
        part = PutServicePrefix(service="s1", name="part", prefix="203.0.113.128/25")
        assert refusal_of(office, part).message == (
            "Prefix 203.0.113.128/25 overlaps an existing prefix 203.0.113.0/24"
        )
        office.do(PutServicePrefix(service="s2", name="other", prefix="198.51.100.0/24"))

    def test_a_prefix_cannot_be_edited(self, office: Office) -> None:
        office.do(put_service(), PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX, prefix_key="a"))
        edit = PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX, prefix_key="b")
        assert refusal_of(office, edit).code == "OperationNotSupported"

    def test_locations_change_by_mail_only_and_tags_freely(self, office: Office) -> None:
        office.do(put_service())
        assert "mail peeringservice@microsoft.com" in refusal_of(office, put_service(backup=None)).message
        office.do(TagPeeringService(service="s1", tags={"a": "b"}))
        assert office.desk.ledger.services["s1"].tags == {"a": "b"}

    @pytest.mark.parametrize(
        ("put", "message"),
        [
            (put_service(provider="nobody"), "Peering service provider 'nobody' is not found"),
            (put_service(backup="Paris"), "Provider contoso is not available at location 'Paris'"),
            (
                put_service(backup=AMSTERDAM),
                "providerBackupPeeringLocation must differ from providerPrimaryPeeringLocation",
            ),
        ],
    )
    def test_refused_services(self, office: Office, put: PutPeeringService, message: str) -> None:
        assert refusal_of(office, put).message == message

    def test_a_missing_service_has_the_documented_text(self, office: Office) -> None:
        error = refusal_of(office, DeletePeeringService(service="none"))
        assert error.message == (
            "The Resource 'Microsoft.Peering/peeringServices/none' under resource group 'lab' was not found."
        )

    def test_events_are_kept_in_order(self, office: Office) -> None:
        office.do(put_service(), PutServicePrefix(service="s1", name="hq", prefix=CUSTOMER_PREFIX))
        for kind in (PrefixEventType.ANNOUNCEMENT, PrefixEventType.WITHDRAWAL):
            office.do(RecordPrefixEvents(prefix="s1/hq", events=(PrefixEvent(kind=kind, summary=""),)))
        assert [e.event_type for e in office.desk.ledger.prefixes["s1/hq"].events] == [
            PrefixEventType.ANNOUNCEMENT,
            PrefixEventType.WITHDRAWAL,
        ]
