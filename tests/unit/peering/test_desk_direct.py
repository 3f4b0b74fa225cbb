"""A Direct peering's life at the desk, from PeerAsn to removal, told in order."""

from __future__ import annotations

import msgspec
import pytest
from office import AMSTERDAM, CATALOGUE, PASSED, SECOND, Office, asn_id, direct, link, peer_asn

from peerlab.errors import RefusedError
from peerlab.evidence.events import ConnectionStateChanged, MailSent, ValidationJudged
from peerlab.peering.command import (
    ApproveConnection,
    ApprovePeerAsn,
    AssignAddresses,
    ClearBlocker,
    CompleteRemoval,
    ConfiguredNeighbor,
    DeletePeerAsn,
    DeletePeering,
    Deprovision,
    FailProvisioning,
    FinishLinkTest,
    JudgeValidation,
    NotifyReady,
    OpenPolicy,
    ProvisionBandwidth,
    ProvisionSessions,
    PutPeerAsn,
    RaiseBlocker,
    RejectConnection,
    RejectPeerAsn,
    ReportSessionLost,
    ResumeProvisioning,
    StartLinkTest,
    TagPeering,
)
from peerlab.peering.desk import Desk, refused
from peerlab.peering.enums import SessionAddressProvider, ValidationState
from peerlab.peering.verdict import RuleVerdict
from peerlab.topology.model import PolicyStage

C1 = {"peering": "p1", "connection": "c1"}


def refusal_of(office: Office, command: object) -> RefusedError:
    """The refusal of a command; nothing may have changed."""
    before = msgspec.json.encode(office.desk.ledger)
    with pytest.raises(RefusedError) as caught:
        office.do(command)  # type: ignore[arg-type]
    assert msgspec.json.encode(office.desk.ledger) == before
    return caught.value


@pytest.fixture
def office() -> Office:
    office = Office()
    office.associate()
    return office


def test_from_peer_asn_to_active() -> None:
    office = Office()
    office.do(PutPeerAsn(name="contoso", properties=peer_asn()))
    assert office.desk.ledger.peer_asns["contoso"].state is ValidationState.PENDING
    office.do(ApprovePeerAsn(peer_asn="contoso"))
    assert office.desk.ledger.peer_asns["contoso"].state is ValidationState.APPROVED

    office.do(direct(link(), SECOND))
    assert office.states() == ["PendingApproval", "PendingApproval"]
    assert office.connection().provisioned_bandwidth == 0

    office.do(ApproveConnection(**C1, loa="LOA-1"))
    assert office.states() == ["ProvisioningStarted", "PendingApproval"]
    assert office.connection().loa == "LOA-1"

    office.do(StartLinkTest(**C1))
    assert office.connection().link_test.addresses.peer == "169.254.1.0"
    office.do(FinishLinkTest(**C1, passed=True, detail="100/100"))

    office.do(NotifyReady(**C1))
    assert (office.connection().state, office.connection().notified) == ("ProvisioningStarted", True)

    office.do(ProvisionSessions(**C1))
    assert (office.connection().state, office.connection().stage) == ("Validating", PolicyStage.DENY)

    office.do(JudgeValidation(**C1, verdicts=PASSED))
    assert (office.connection().state, office.connection().stage) == ("ProvisioningCompleted", PolicyStage.DENY)

    office.do(OpenPolicy(**C1))
    assert (office.connection().state, office.connection().stage) == ("Active", PolicyStage.ALLOW)
    assert office.connection().provisioned_bandwidth == 10000
    assert office.connection("c2").stage is None, "the other connection is not concerned"

    assert [e.subject for e in office.log if isinstance(e, MailSent)] == [
        "PeerAsn contoso (AS64500) approved",
        "Letter of Authorization: peering p1, connection c1",
        "Connection active: peering p1, connection c1",
    ]
    assert {(e.sender, e.to) for e in office.log if isinstance(e, MailSent)} == {
        ("peer8075@microsoft.com", "noc@contoso.example")
    }


def test_replaying_the_log_gives_the_same_desk(office: Office) -> None:
    office.do(direct(link(), SECOND))
    office.turn_up("c1")
    assert Desk(CATALOGUE, office.log).ledger == office.desk.ledger


@pytest.mark.parametrize(
    "review",
    [(), (RejectPeerAsn(peer_asn="contoso", reason="NOC contact missing"),)],
    ids=["pending", "failed"],
)
def test_an_asn_that_is_not_approved_cannot_request_a_peering(review: tuple) -> None:  # type: ignore[type-arg]
    office = Office()
    office.do(PutPeerAsn(name="contoso", properties=peer_asn()), *review)
    error = refusal_of(office, direct(link()))
    assert error.code == "BadArgument"
    assert "only an Approved PeerAsn can request a peering" in error.message


def test_a_private_asn_is_never_approved() -> None:
    office = Office()
    office.do(PutPeerAsn(name="contoso", properties=peer_asn(asn=64512)))
    assert refusal_of(office, ApprovePeerAsn(peer_asn="contoso")).code == "BadArgument"


def test_a_peer_asn_in_use_stays(office: Office) -> None:
    office.do(direct(link()))
    assert refusal_of(office, DeletePeerAsn(peer_asn="contoso")).message == "PeerAsn contoso is used by peering p1"
    assert refusal_of(office, PutPeerAsn(name="contoso", properties=peer_asn(asn=64501))).code == "Conflict"


def test_a_repeated_peer_asn_put_changes_nothing_and_a_new_name_is_reviewed_again(office: Office) -> None:
    assert office.do(PutPeerAsn(name="Contoso", properties=peer_asn())) == ()
    office.do(PutPeerAsn(name="contoso", properties=peer_asn(peer_name="Contoso BV")))
    assert office.desk.ledger.peer_asns["contoso"].state is ValidationState.PENDING


def test_a_missing_peer_asn_has_the_documented_text(office: Office) -> None:
    error = refusal_of(office, direct(link(), asn="nobody"))
    assert (error.code, error.message) == ("NotFound", "PeerAsn does not exist with the given name")


def test_a_missing_peering_has_the_documented_text(office: Office) -> None:
    error = refusal_of(office, DeletePeering(peering="sub1/rg1/absent"))
    assert (error.code, error.message) == (
        "ResourceNotFound",
        "The Resource 'Microsoft.Peering/peerings/absent' under resource group 'rg1' was not found.",
    )


def test_one_peering_per_asn_type_and_location(office: Office) -> None:
    office.do(direct(link()))
    error = refusal_of(office, direct(SECOND, name="p2"))
    assert (error.code, error.message) == (
        "BadArgument",
        "Microsoft might already have a peering with ASN 64500 at Amsterdam",
    )


def test_rejection_shows_its_reason_and_the_request_can_be_made_again(office: Office) -> None:
    office.do(direct(link()), RejectConnection(**C1, reason="no capacity at this facility"))
    assert (office.connection().state, office.connection().error) == (
        "ProvisioningFailed",
        "no capacity at this facility",
    )
    assert refusal_of(office, ResumeProvisioning(**C1)).code == "OperationNotSupported"
    office.do(direct(link(v4="192.168.0.4/31")))
    assert (office.connection().state, office.connection().error) == ("PendingApproval", None)


def test_an_address_of_another_asn_fails_provisioning_with_the_documented_text(office: Office) -> None:
    office.do(direct(link()), ApproveConnection(**C1), NotifyReady(**C1))
    office.do(ProvisionSessions(**C1, configured=(ConfiguredNeighbor("192.168.0.0", 64777),)))
    assert (office.connection().state, office.connection().stage, office.connection().error) == (
        "ProvisioningFailed",
        None,
        "IPv4 address is already configured with a different ASN",
    )
    office.do(ResumeProvisioning(**C1), ProvisionSessions(**C1))
    assert (office.connection().state, office.connection().error) == ("Validating", None)


def test_an_address_of_another_peering_fails_provisioning_too(office: Office) -> None:
    office.associate(64501, "fabrikam")
    office.do(direct(link()), direct(link("c9"), name="p9", asn="fabrikam"))
    office.turn_up("c1")
    office.turn_up("c9", "p9", until="Validating")
    assert office.connection("c9", "p9").error == "IPv4 address is already configured with a different ASN"


def test_provisioning_waits_for_the_notice_and_for_the_link_test(office: Office) -> None:
    office.do(direct(link()), ApproveConnection(**C1))
    assert "has not notified" in refusal_of(office, ProvisionSessions(**C1)).message
    office.do(StartLinkTest(**C1), NotifyReady(**C1))
    assert "still running" in refusal_of(office, ProvisionSessions(**C1)).message
    office.do(FinishLinkTest(**C1, passed=False), ProvisionSessions(**C1))
    assert office.connection().state == "Validating"


def test_link_test_addresses_are_distinct_and_a_range_outside_is_refused(office: Office) -> None:
    office.do(direct(link(), SECOND), ApproveConnection(**C1), ApproveConnection(peering="p1", connection="c2"))
    office.do(StartLinkTest(**C1), StartLinkTest(peering="p1", connection="c2"))
    first, second = office.connection("c1").link_test.addresses, office.connection("c2").link_test.addresses
    assert len({first.peer, first.microsoft, second.peer, second.microsoft}) == 4
    office.do(FinishLinkTest(**C1, passed=True))
    assert "outside 169.254.0.0/16" in refusal_of(office, StartLinkTest(**C1, within="10.0.0.0/24")).message


@pytest.mark.parametrize("missing", [rule.rule for rule in PASSED])
def test_a_rule_that_failed_or_was_not_judged_keeps_deny(office: Office, missing: str) -> None:
    office.do(direct(link()))
    office.turn_up("c1", until="Validating")
    office.do(JudgeValidation(**C1, verdicts=tuple(v for v in PASSED if v.rule != missing)))
    assert (office.connection().state, office.connection().stage, office.connection().error) == (
        "Validating",
        PolicyStage.DENY,
        f"{missing} was not judged",
    )
    assert refusal_of(office, OpenPolicy(**C1)).code == "OperationNotSupported"
    bad = RuleVerdict(rule=missing, passed=False, message="0.0.0.0/0 from 192.168.0.0 is a default route")
    office.do(JudgeValidation(**C1, verdicts=(*(v for v in PASSED if v.rule != missing), bad)))
    assert (office.connection().stage, office.connection().error) == (PolicyStage.DENY, bad.message)
    judged = [e for e in office.log if isinstance(e, ValidationJudged) and e.rule == missing]
    assert [e.passed for e in judged] == [False, False]


def test_a_session_lost_before_the_policy_opens_starts_validation_again(office: Office) -> None:
    office.do(direct(link()))
    office.turn_up("c1", until="ProvisioningCompleted")
    office.do(ReportSessionLost(**C1, reason="Hold timer expired"))
    assert (office.connection().state, office.connection().stage) == ("Validating", PolicyStage.DENY)
    assert refusal_of(office, OpenPolicy(**C1)).code == "OperationNotSupported"


def test_a_failed_check_on_an_active_connection_closes_it(office: Office) -> None:
    office.do(direct(link()))
    office.turn_up("c1")
    office.do(JudgeValidation(**C1, verdicts=(RuleVerdict(rule="POL-12", passed=False, message="AS12076 in path"),)))
    assert (office.connection().state, office.connection().stage) == ("Validating", PolicyStage.DENY)


def test_the_external_blocker_comes_and_goes(office: Office) -> None:
    office.do(direct(link()), ApproveConnection(**C1), RaiseBlocker(**C1, reason="cross-connect not patched"))
    assert (office.connection().state, office.connection().error) == ("ExternalBlocker", "cross-connect not patched")
    office.do(ClearBlocker(**C1))
    assert (office.connection().state, office.connection().error) == ("ProvisioningStarted", None)


def test_microsoft_provided_addresses_come_later_and_run_out(office: Office) -> None:
    provided = [link(f"c{n}", provider=SessionAddressProvider.MICROSOFT) for n in range(1, 6)]
    office.do(direct(*provided))
    assert (office.connection().v4, office.connection().v6) == (None, None)
    for number in range(1, 5):
        office.do(AssignAddresses(peering="p1", connection=f"c{number}"))
    assert [office.connection(f"c{n}").v4.microsoft for n in range(1, 5)] == [
        "20.0.0.1",
        "20.0.0.3",
        "20.0.0.5",
        "20.0.0.7",
    ]
    assert "No subnet is left" in refusal_of(office, AssignAddresses(peering="p1", connection="c5")).message


# What DELETE answers in each state: the guards of spec 2.1.
DELETES = [
    ("PendingApproval", True),
    ("ProvisioningStarted", False),  # documented
    ("Validating", False),  # between two documented refusals
    ("ProvisioningCompleted", False),  # documented
    ("Active", False),  # must be asked of peeringexperience@microsoft.com
]


@pytest.mark.parametrize(("state", "allowed"), DELETES)
def test_delete_guards(office: Office, state: str, allowed: bool) -> None:
    office.do(direct(link()))
    office.turn_up("c1", until=state)
    assert office.connection().state == state
    if allowed:
        office.do(DeletePeering(peering="p1"))
        assert office.desk.ledger.peerings == {}
    else:
        assert refusal_of(office, DeletePeering(peering="p1")).code == "OperationNotSupported"


def test_deprovisioning_shows_pending_remove_and_then_all_is_gone(office: Office) -> None:
    office.do(direct(link(), SECOND))
    office.turn_up("c1")
    office.turn_up("c2")
    office.do(Deprovision(**C1))
    assert (office.connection().state, office.connection().stage) == ("PendingRemove", PolicyStage.ALLOW)
    office.do(CompleteRemoval(**C1))
    assert office.states() == ["Active"]
    office.do(Deprovision(peering="p1", connection="c2"), CompleteRemoval(peering="p1", connection="c2"))
    assert office.desk.ledger.peerings == {}
    office.do(direct(link(), SECOND))
    assert office.states() == ["PendingApproval", "PendingApproval"], "the same peering can be asked for again"


def test_failing_from_validation_takes_the_sessions_away(office: Office) -> None:
    office.do(direct(link()))
    office.turn_up("c1", until="Validating")
    office.do(FailProvisioning(**C1, reason="port error"))
    assert (office.connection().state, office.connection().stage) == ("ProvisioningFailed", None)


def test_tags_are_patched(office: Office) -> None:
    office.do(direct(link()), TagPeering(peering="P1", tags={"owner": "noc"}))
    assert office.desk.ledger.peerings["p1"].tags == {"owner": "noc"}


def test_a_refusal_is_a_fact_too(office: Office) -> None:
    office.do(direct(link()))
    command = OpenPolicy(**C1)
    event = refused(command, refusal_of(office, command), now=7)
    assert (event.at, event.resource, event.request, event.code) == (7, "p1/c1", "OpenPolicy", "OperationNotSupported")


def test_every_step_is_an_event_with_its_row(office: Office) -> None:
    office.do(direct(link()))
    office.turn_up("c1")
    steps = [(e.before, e.trigger, e.after, e.actor) for e in office.log if isinstance(e, ConnectionStateChanged)]
    assert steps == [
        ("None", "request", "PendingApproval", "peer"),
        ("PendingApproval", "approve", "ProvisioningStarted", "Microsoft"),
        ("ProvisioningStarted", "notify", "ProvisioningStarted", "peer"),
        ("ProvisioningStarted", "provision", "Validating", "Microsoft"),
        ("Validating", "validation-passed", "ProvisioningCompleted", "Microsoft"),
        ("ProvisioningCompleted", "allow", "Active", "Microsoft"),
    ]


def test_ids_of_other_scopes_do_not_match(office: Office) -> None:
    body = direct(link())
    other = msgspec.convert(
        msgspec.to_builtins(body.peering)
        | {
            "properties": {
                "peeringLocation": AMSTERDAM,
                "direct": {"peerAsn": {"id": asn_id().replace("/lab/", "/other/")}},
            }
        },
        type(body.peering),
    )
    assert refusal_of(office, msgspec.structs.replace(body, peering=other)).code == "NotFound"


def test_another_bandwidth_carries_traffic_once_microsoft_has_provided_it(office: Office) -> None:
    office.do(direct(link()))
    office.turn_up("c1")
    assert "10000 Mbps already" in refusal_of(office, ProvisionBandwidth(**C1)).message
    office.do(direct(link(bandwidth=20000)))
    assert (office.connection().bandwidth, office.connection().provisioned_bandwidth) == (20000, 10000)
    told = office.do(ProvisionBandwidth(**C1))
    assert (office.connection().bandwidth, office.connection().provisioned_bandwidth) == (20000, 20000)
    assert [e.text for e in told if isinstance(e, MailSent)][-1].find("10000 Mbps became 20000 Mbps") >= 0
    office.do(Deprovision(**C1))
    assert "needs Active" in refusal_of(office, ProvisionBandwidth(**C1)).message
