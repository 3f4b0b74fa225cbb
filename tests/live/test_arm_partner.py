"""Peering Service through the unmodified Azure SDK on the reference lab: lines 34 to 37 and 42 to 47 of section 6.

The partner's peerings at Amsterdam (two connections) and Dublin are turned up once; every test registers for itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from arm_lab import GROUP, ArmLab, direct, link, served
from azure.core.exceptions import HttpResponseError
from azure.mgmt.peering import models as arm
from product import ROOT, until

from peerlab.bgp.attributes import Address, PathAttributes, Prefix, Segment, SegmentType
from peerlab.router.protocol import Announce, RefreshSession, SendRaw, Withdraw
from peerlab.topology.load import load
from peerlab.topology.model import ConnectionRequest

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]

CUSTOMER = Prefix("198.18.33.0/24")
PARTNER, ITS_CUSTOMER = 64500, 64501
MAPS = "8075:8007"


def wires(peering: str) -> tuple[ConnectionRequest, ...]:
    model = load(ROOT / "topologies" / "peering-service.yaml")
    return next(p.connections for p in model.peerings if p.name == peering)


AMSTERDAM, DUBLIN = wires("fabrikam-amsterdam"), wires("fabrikam-dublin")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), "peering-service.yaml") as made:
        owner = made.associate(PARTNER)
        made.does("sign-agreement", str(PARTNER))
        for name, place, found, facility in (
            ("ams", "Amsterdam", AMSTERDAM, 1001),
            ("dub", "Dublin", DUBLIN, 1002),
        ):
            asked = [
                link(
                    f"{name}-{wire.name}",
                    wire.session_prefix_v4,
                    wire.session_prefix_v6,
                    facility=facility,
                    use_for_peering_service=True,
                )
                for wire in found
            ]
            made.sdk.peerings.create_or_update(
                GROUP, name, direct(owner, *asked, place=place, sku="Premium_Direct_Free")
            )
            made.turn_up(name)
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    for service in list(lab.sdk.peering_services.list_by_subscription()):
        lab.sdk.peering_services.delete(GROUP, service.name)
    for peering in ("ams", "dub"):
        for registered in list(lab.sdk.registered_prefixes.list_by_peering(GROUP, peering)):
            lab.sdk.registered_prefixes.delete(GROUP, peering, registered.name)


def refused(call: Callable[[], object]) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        call()
    return caught.value


def register(
    lab: ArmLab, prefix: str = CUSTOMER, peering: str = "ams", name: str = "hq"
) -> arm.PeeringRegisteredPrefix:
    body = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix=prefix))
    return lab.sdk.registered_prefixes.create_or_update(GROUP, peering, name, body)


def registered(lab: ArmLab, name: str = "hq") -> arm.PeeringRegisteredPrefixProperties:
    """The registered prefix once its validation is over."""
    until(lambda: read(lab, name).prefix_validation_state != "Pending", f"the validation of {name}")
    return read(lab, name)


def read(lab: ArmLab, name: str) -> arm.PeeringRegisteredPrefixProperties:
    return lab.sdk.registered_prefixes.get(GROUP, "ams", name).properties


def path(*asns: int, communities: tuple[str, ...] = (MAPS,), wire: ConnectionRequest = AMSTERDAM[0]) -> PathAttributes:
    return PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, asns),),
        next_hop=Address(str(wire.peer_v4)),
        communities=communities,
    )


def session_v4(wire: ConnectionRequest) -> str:
    return next(name for name in wire.sessions if name.endswith(".v4"))


WITHDRAWAL = "ff" * 16 + "001b" + "02" + "0004" + "18c61221" + "0000"
"""An UPDATE that withdraws the customer's prefix and says nothing else (RFC 4271 section 4.3)."""


def spoil(lab: ArmLab, attributes: PathAttributes | None) -> None:
    """The peer announces the prefix with these attributes on its first session, or not at all, past its policy."""
    session = session_v4(AMSTERDAM[0])
    if attributes is None:
        lab.tells(AMSTERDAM[0].peer, SendRaw(session=session, message=WITHDRAWAL))
        until(lambda: len(received(lab)) == 1, "the withdrawal")
    else:
        lab.tells(AMSTERDAM[0].peer, Announce(session=session, prefixes=(CUSTOMER,), attributes=attributes))


def repair(lab: ArmLab) -> None:
    """The peer announces what its policy says again."""
    session = session_v4(AMSTERDAM[0])
    lab.tells(AMSTERDAM[0].peer, Withdraw(session=session, prefixes=(CUSTOMER,)))
    lab.tells(AMSTERDAM[0].edge, RefreshSession(session=session))
    until(lambda: received(lab) == [f"{PARTNER} {ITS_CUSTOMER}"] * 2, "the prefix on both sessions")


def received(lab: ArmLab) -> list[str]:
    """AS paths of the customer's prefix as Amsterdam's edges have received it."""
    return [route.as_path for route in lab.sdk.received_routes.list_by_peering(GROUP, "ams", prefix=CUSTOMER)]


def test_33_34_37_a_prefix_is_registered_once_and_verified(lab: ArmLab) -> None:
    made = register(lab)
    assert (made.properties.prefix_validation_state, made.properties.provisioning_state) == ("Pending", "Updating")
    key = made.properties.peering_service_prefix_key
    assert uuid.UUID(key)
    assert registered(lab).prefix_validation_state == "Verified"
    error = refused(lambda: register(lab, peering="dub", name="again"))
    assert (error.status_code, error.error.code) == (400, "BadArgument")
    lab.sdk.registered_prefixes.validate(GROUP, "ams", "hq")
    assert registered(lab).peering_service_prefix_key == key


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        # line 35: the documented failures of a registered prefix, line 36: each has its own message
        (path(PARTNER, ITS_CUSTOMER, communities=()), "Advertisement missing MAPS community"),
        (path(PARTNER, 64502, 64503, ITS_CUSTOMER), "AS path isn't correct"),
        (path(PARTNER, 64512, ITS_CUSTOMER), "AS path isn't correct"),
        (path(PARTNER, ITS_CUSTOMER, ITS_CUSTOMER), "AS path isn't correct"),
        (None, f"Prefix not received from IP {AMSTERDAM[0].peer_v4}"),
    ],
    ids=["no community", "path of four", "private ASN", "prepending", "missing on one session"],
)
def test_35_36_37_a_failure_names_its_cause_and_is_repaired(
    lab: ArmLab, attributes: PathAttributes | None, told: str
) -> None:
    spoil(lab, attributes)
    try:
        key = register(lab).properties.peering_service_prefix_key
        failed = registered(lab)
        assert (failed.prefix_validation_state, failed.error_message) == ("Failed", told)
        assert failed.peering_service_prefix_key == key
    finally:
        repair(lab)
    pending = lab.sdk.registered_prefixes.validate(GROUP, "ams", "hq").properties
    assert (pending.prefix_validation_state, pending.error_message) == ("Pending", told)
    verified = registered(lab)
    assert (verified.prefix_validation_state, verified.peering_service_prefix_key) == ("Verified", key)


def test_36_a_private_prefix(lab: ArmLab) -> None:
    register(lab, "10.1.0.0/24", name="private")
    assert "private range" in registered(lab, "private").error_message


def service(
    primary: str = "Amsterdam", backup: str | None = "Dublin", provider: str = "Fabrikam"
) -> arm.PeeringService:
    return arm.PeeringService(
        location="westeurope",
        properties=arm.PeeringServiceProperties(
            peering_service_location=primary,
            peering_service_provider=provider,
            provider_primary_peering_location=primary,
            provider_backup_peering_location=backup,
        ),
    )


def customer(prefix: str, key: str | None) -> arm.PeeringServicePrefix:
    return arm.PeeringServicePrefix(
        properties=arm.PeeringServicePrefixProperties(prefix=prefix, peering_service_prefix_key=key)
    )


def judged(lab: ArmLab, name: str = "hq", within: str = "ps") -> arm.PeeringServicePrefixProperties:
    """The customer's prefix once its validation is over."""

    def now() -> arm.PeeringServicePrefixProperties:
        return lab.sdk.prefixes.get(GROUP, within, name).properties

    until(lambda: now().prefix_validation_state != "Pending", f"the validation of {name}")
    return now()


def test_42_43_46_a_customer_activates_its_prefix_with_the_key(lab: ArmLab) -> None:
    key = register(lab).properties.peering_service_prefix_key
    assert registered(lab).prefix_validation_state == "Verified"
    lab.sdk.peering_services.create_or_update(GROUP, "ps", service())
    for wrong in (None, str(uuid.uuid4())):
        made = lab.sdk.prefixes.create_or_update(GROUP, "ps", "hq", customer(CUSTOMER, wrong))
        assert (made.properties.prefix_validation_state, made.properties.learned_type) == ("Pending", "None")
        failed = judged(lab)
        assert (failed.prefix_validation_state, failed.error_message) == (
            "Failed",
            "Peering service provider not found",
        )
        error = refused(lambda: lab.sdk.prefixes.create_or_update(GROUP, "ps", "hq", customer(CUSTOMER, key)))
        assert error.status_code == 405
        lab.sdk.prefixes.delete(GROUP, "ps", "hq")
    lab.sdk.prefixes.create_or_update(GROUP, "ps", "hq", customer(CUSTOMER, key))
    verified = judged(lab)
    assert (verified.prefix_validation_state, verified.learned_type) == ("Verified", "ViaServiceProvider")


def test_44_45_what_cannot_be_a_customers_prefix(lab: ArmLab) -> None:
    lab.sdk.peering_services.create_or_update(GROUP, "ps", service())
    lab.sdk.peering_services.create_or_update(GROUP, "other", service(backup=None, provider="tulip-ix"))
    lab.sdk.prefixes.create_or_update(GROUP, "ps", "hq", customer(CUSTOMER, None))
    other_provider = refused(lambda: lab.sdk.prefixes.create_or_update(GROUP, "other", "hq", customer(CUSTOMER, None)))
    assert "another provider" in other_provider.message
    overlapping = refused(
        lambda: lab.sdk.prefixes.create_or_update(GROUP, "ps", "half", customer("198.18.33.0/25", None))
    )
    assert "overlaps an existing prefix" in overlapping.message
    lab.sdk.prefixes.create_or_update(GROUP, "other", "web", customer("198.18.34.0/24", None))
    lab.sdk.prefixes.create_or_update(GROUP, "ps", "six", customer("2001:db8:2001::/48", None))
    six = judged(lab, "six")
    assert (six.prefix_validation_state, six.error_message) == ("Invalid", "Peering service prefix is invalid")


def test_26_a_service_has_tags_and_none_is_no_backup(lab: ArmLab) -> None:
    lab.sdk.peering_services.create_or_update(GROUP, "ps", service(backup="None"))
    made = lab.sdk.peering_services.get(GROUP, "ps")
    assert made.properties.provider_backup_peering_location is None
    patched = lab.sdk.peering_services.update(GROUP, "ps", {"tags": {"a": "b"}})
    assert patched.tags == {"a": "b"}
    assert [s.name for s in lab.sdk.peering_services.list_by_resource_group(GROUP)] == ["ps"]


def test_47_a_provider_without_redundancy(lab: ArmLab) -> None:
    """Last here: it takes the partner's connections away, first the backup location's, then one of the primary's."""
    key = register(lab).properties.peering_service_prefix_key
    lab.sdk.peering_services.create_or_update(GROUP, "ps", service())
    lab.does("deprovision", "dub")
    for gone, told in (
        ("", "Provider has no sessions in its backup location"),
        (
            lab.connections("ams")[1].connection_identifier,
            "Provider has fewer than two sessions in its primary location",
        ),
    ):
        if gone:
            lab.does("deprovision", "ams", gone)
        lab.sdk.prefixes.create_or_update(GROUP, "ps", "hq", customer(CUSTOMER, key))
        failed = judged(lab)
        assert failed.prefix_validation_state == "Failed"
        assert told in failed.error_message
        lab.sdk.prefixes.delete(GROUP, "ps", "hq")
