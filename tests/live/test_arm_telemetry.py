"""What Microsoft's telemetry tells through the unmodified Azure SDK, on the reference lab: lines 48 to 54, 60 to 62, 64
and 65 of section 6, and the metrics of 1.8.

The partner's peerings are turned up once and two customers' prefixes activated; an hour of its clock is one second.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from arm_lab import GROUP, SUBSCRIPTION, ArmLab, direct, key_of, link, served
from azure.core.exceptions import HttpResponseError
from azure.mgmt.peering import models as arm
from product import ROOT, until

from peerlab.bgp.attributes import Address, PathAttributes, Prefix, Segment, SegmentType
from peerlab.controller.lab import Lab
from peerlab.controller.probing import PING
from peerlab.evidence.events import MailSent, SessionStateChanged
from peerlab.router.protocol import Announce, OpenSession, Withdraw
from peerlab.topology.load import load
from peerlab.topology.model import ConnectionRequest

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("telemetry")]

PARTNER = 64500
CONTOSO, LITWARE = Prefix("198.18.33.0/24"), Prefix("198.18.34.0/24")
CONTOSO_PC, LITWARE_PC = "198.18.33.2", "198.18.34.2"
HIJACKER = 64499
MODEL = load(ROOT / "topologies" / "peering-service.yaml")


def wires(peering: str) -> tuple[ConnectionRequest, ...]:
    return next(p.connections for p in MODEL.peerings if p.name == peering)


AMSTERDAM, DUBLIN = wires("fabrikam-amsterdam"), wires("fabrikam-dublin")
FIRST_V4 = next(name for name in AMSTERDAM[0].sessions if name.endswith(".v4"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    place = tmp_path_factory.mktemp("api")
    text = (ROOT / "topologies" / "peering-service.yaml").read_text()
    lower = text.replace(
        "second: {between: [ams-edge-2, fab-ams-2], peering-service: true}",
        "second: {between: [ams-edge-2, fab-ams-2], peering-service: true, "
        "session: {ends: {fab-ams-2: {max-prefix-v4: 250}}}}",
    )
    assert lower != text
    (place / "telemetry.yaml").write_text(lower)
    with served(place, str(place / "telemetry.yaml"), "--clock", "3600") as made:
        owner = made.associate(PARTNER)
        made.does("sign-agreement", str(PARTNER))
        for name, place, found, facility in (("ams", "Amsterdam", AMSTERDAM, 1001), ("dub", "Dublin", DUBLIN, 1002)):
            asked = [
                link(f"{name}-{wire.name}", wire.session_prefix_v4, wire.session_prefix_v6, facility=facility,
                     use_for_peering_service=True)
                for wire in found
            ]  # fmt: skip
            body = direct(owner, *asked, place=place, sku="Premium_Direct_Free")
            made.sdk.peerings.create_or_update(GROUP, name, body)
            made.turn_up(name)
        for service, prefix, backup in (("contoso", CONTOSO, "Dublin"), ("litware", LITWARE, "None")):
            activate(made, service, prefix, backup)
        until(lambda: len(events_of(made, "contoso")) >= 6, "the events of what stands already")
        yield made


def activate(lab: ArmLab, name: str, prefix: str, backup: str) -> None:
    registered = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix=prefix))
    key = lab.sdk.registered_prefixes.create_or_update(GROUP, "ams", name, registered).properties
    service = arm.PeeringService(
        location="westeurope",
        properties=arm.PeeringServiceProperties(
            peering_service_location="Amsterdam",
            peering_service_provider="fabrikam",
            provider_primary_peering_location="Amsterdam",
            provider_backup_peering_location=backup,
        ),
    )
    lab.sdk.peering_services.create_or_update(GROUP, name, service)
    add_prefix(lab, name, prefix, key.peering_service_prefix_key)


def add_prefix(lab: ArmLab, service: str, prefix: str, key: str | None) -> None:
    body = arm.PeeringServicePrefix(
        properties=arm.PeeringServicePrefixProperties(prefix=prefix, peering_service_prefix_key=key)
    )
    lab.sdk.prefixes.create_or_update(GROUP, service, "hq", body)
    until(
        lambda: lab.sdk.prefixes.get(GROUP, service, "hq").properties.prefix_validation_state == "Verified",
        f"the activation of {prefix}",
    )


def events_of(lab: ArmLab, service: str) -> list[arm.PeeringServicePrefixEvent]:
    return list(lab.sdk.prefixes.get(GROUP, service, "hq", expand="events").properties.events or [])


def raised(lab: ArmLab, after: int, service: str = "contoso") -> list[tuple[str, str]]:
    return [(e.event_type, e.event_level) for e in events_of(lab, service)[after:]]


def seen(lab: ArmLab, region: str, destination: str) -> str:
    """A traceroute from a region, as the looking glass prints it."""
    answer = lab.sdk.looking_glass.invoke(
        command="Traceroute", source_type="AzureRegion", source_location=region, destination_ip=destination
    )
    return answer.output


def leaves_by(lab: ArmLab, region: str, destination: str, wire: ConnectionRequest) -> bool:
    """Whether packets from a region leave the cloud over a connection: its peer's address is a hop."""
    return f" {wire.peer_v4} " in seen(lab, region, destination)


def mails(lab: ArmLab, after: int = 0) -> list[MailSent]:
    return [e for e in lab.product.events(lab.name) if isinstance(e, MailSent)][after:]


def broken(lab: ArmLab, *wanted: ConnectionRequest) -> contextlib.ExitStack:
    """The wires of these connections are down until the block ends, and the sessions back when it has ended."""
    stack = contextlib.ExitStack()
    sessions = [name for wire in wanted for name in wire.sessions]
    stack.callback(lambda: until(lambda: established(lab, sessions), "the sessions coming back"))
    for wire in wanted:
        ends = f"{wire.edge}:{wire.peer}"
        lab.product.ok("fault", "link-down", ends, "--lab", lab.name)
        stack.callback(lab.product.ok, "fault", "link-up", ends, "--lab", lab.name)
    return stack


def established(lab: ArmLab, sessions: list[str]) -> bool:
    states: dict[str, str] = {}
    for event in lab.product.events(lab.name):
        if isinstance(event, SessionStateChanged):
            states[f"{event.session} {event.node}"] = event.after
    return all(state == "Established" for name, state in states.items() if name.split(" ")[0] in sessions)


def metric(lab: ArmLab, name: str) -> dict[str, float]:
    lines = lab.product.ok("metrics", lab.name).splitlines()
    return {text.rpartition(" ")[0]: float(text.rpartition(" ")[2]) for text in lines if text.startswith(name + "{")}


def test_48_49_traffic_moves_to_the_second_router_and_then_to_the_backup(lab: ArmLab) -> None:
    assert leaves_by(lab, "westus2", CONTOSO_PC, AMSTERDAM[0])
    before = len(events_of(lab, "contoso"))
    with broken(lab, AMSTERDAM[0]):
        until(lambda: leaves_by(lab, "westus2", CONTOSO_PC, AMSTERDAM[1]), "the second router of the same metro")
        with broken(lab, AMSTERDAM[1]):
            until(lambda: leaves_by(lab, "westus2", CONTOSO_PC, DUBLIN[0]), "the backup location")
            until(lambda: raised(lab, before).count(("PrefixActivePath", "Information")) >= 2, "both paths being told")
        assert ("PrefixWithdrawalEvent", "Warning") in raised(lab, before)
    until(lambda: leaves_by(lab, "westus2", CONTOSO_PC, AMSTERDAM[0]), "the primary location again")


def test_50_without_a_backup_traffic_takes_the_internet(lab: ArmLab) -> None:
    with broken(lab, *AMSTERDAM):
        until(lambda: reached(lab, LITWARE_PC), "another way")
        told = seen(lab, "westus2", LITWARE_PC)
        assert not any(f" {wire.peer_v4} " in told for wire in DUBLIN), told
    until(lambda: any(leaves_by(lab, "westus2", LITWARE_PC, wire) for wire in AMSTERDAM), "the primary location again")


def reached(lab: ArmLab, destination: str) -> bool:
    return seen(lab, "westus2", destination).endswith("reached")


def test_51_no_third_party_hears_a_peering_service_prefix_from_microsoft(lab: ArmLab) -> None:
    """The observer beyond the transits knows the prefix, and nobody's path to it goes over Microsoft; the partner's
    other neighbours hear none of Microsoft's routes from the partner."""

    async def heard() -> tuple[list[str], list[str]]:
        held = await Lab.attach(lab.name)
        try:
            observer = await (await held.router("adatum-1")).rib("loc-rib", prefix=CONTOSO)
            transit = await held.router("woodgrove-1")
            session = next(f.session for f in await transit.sessions() if f.peer == "fab-ams-1" and ".v4" in f.session)
            return (
                [route.attributes.path_text() for route in observer],
                [route.attributes.path_text() for route in await transit.rib("adj-rib-in-pre", session)],
            )
        finally:
            await held.close()

    paths, from_partner = asyncio.run(heard())
    assert paths and not any("8075" in path.split() for path in paths)
    assert from_partner and not any("8075" in path.split() for path in from_partner)


def test_52_cold_potato_falls_when_the_prefix_is_deactivated(lab: ArmLab) -> None:
    assert leaves_by(lab, "westus2", CONTOSO_PC, AMSTERDAM[0])
    properties = lab.sdk.prefixes.get(GROUP, "contoso", "hq").properties
    lab.sdk.prefixes.delete(GROUP, "contoso", "hq")
    until(lambda: leaves_by(lab, "westus2", CONTOSO_PC, DUBLIN[0]), "the exit that is nearest to Seattle")
    add_prefix(lab, "contoso", CONTOSO, properties.peering_service_prefix_key)
    until(lambda: leaves_by(lab, "westus2", CONTOSO_PC, AMSTERDAM[0]), "the designated exit")


def test_53_a_hijack_is_critical_and_its_withdrawal_a_warning(lab: ArmLab) -> None:
    """Announced by the transit: no import policy has to let it in to be told."""
    model = MODEL
    session = next(s for s in model.sessions if {s.left.node, s.right.node} == {"sea-core-1", "woodgrove-1"}
                   and s.id.endswith(".v4"))  # fmt: skip
    attributes = PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, (64506, HIJACKER)),), next_hop=session.end("woodgrove-1").address
    )
    before = len(events_of(lab, "contoso"))
    asked = time.monotonic()
    lab.tells("woodgrove-1", Announce(session=session.id, prefixes=(CONTOSO,), attributes=attributes))
    until(lambda: ("PrefixOriginAsChangeEvent", "Critical") in raised(lab, before), "the hijack being told")
    assert time.monotonic() - asked < 10
    told = next(e for e in events_of(lab, "contoso")[before:] if e.event_level == "Critical")
    assert f"AS{HIJACKER}" in told.event_summary and "AS64501" in told.event_summary
    assert session.id in told.event_description
    assert lab.sdk.prefixes.get(GROUP, "contoso", "hq").properties.events is None
    lab.tells("woodgrove-1", Withdraw(session=session.id, prefixes=(CONTOSO,)))
    until(lambda: ("PrefixWithdrawalEvent", "Warning") in raised(lab, before), "the end of the hijack being told")
    assert "Critical" in lab.product.ok("events", CONTOSO, "--lab", lab.name)


def test_54_latencies_by_window_with_small_prefixes_at_24(lab: ArmLab) -> None:
    def windows(name: str) -> dict[str, float]:
        found = metric(lab, "RegisteredPrefixLatency")
        return {label.partition('Window="')[2].partition('"')[0]: value for label, value in found.items()
                if f'RegisteredPrefixName="{name}"' in label}  # fmt: skip

    until(lambda: set(windows("contoso")) == {"6h", "12h", "1d", "7d", "30d"}, "every window")
    assert all(0 < value < 1000 for value in windows("contoso").values())
    small = Prefix("198.18.33.0/26")
    body = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix=small))
    lab.sdk.registered_prefixes.create_or_update(GROUP, "ams", "small", body)
    until(lambda: bool(windows("small")), "the latency of a small prefix")
    labels = [label for label in metric(lab, "RegisteredPrefixLatency") if '"small"' in label]
    assert all(f'Prefix="{CONTOSO}"' in label for label in labels)
    lab.sdk.registered_prefixes.delete(GROUP, "ams", "small")


def test_60_the_partners_own_limit_towards_microsoft(lab: ArmLab) -> None:
    """280 routes and 15 % more stay under the 400 of the first session; the second has 250 and is closed by the
    partner's router."""
    count = 322
    prefixes = tuple(Prefix(f"198.19.{128 + n // 128}.{n % 128 * 2}/31") for n in range(count))
    sessions = [next(name for name in wire.sessions if name.endswith(".v4")) for wire in AMSTERDAM]
    since = len(lab.product.events(lab.name))
    for wire, session in zip(AMSTERDAM, sessions, strict=True):
        attributes = PathAttributes(
            as_path=(Segment(SegmentType.AS_SEQUENCE, (8075,)),), next_hop=Address(str(wire.microsoft_v4))
        )
        lab.tells(wire.edge, Announce(session=session, prefixes=prefixes, attributes=attributes))

    def downs() -> list[SessionStateChanged]:
        events = [e for e in lab.product.events(lab.name)[since:] if isinstance(e, SessionStateChanged)]
        return [e for e in events if e.before == "Established" and e.session in sessions]

    ends = {AMSTERDAM[1].edge, AMSTERDAM[1].peer}
    until(lambda: {e.node for e in downs()} == ends, "the session with the lower limit")
    assert {e.session for e in downs()} == {sessions[1]}
    assert any("prefix" in e.reason.lower() for e in downs()), [e.reason for e in downs()]
    lab.tells(AMSTERDAM[0].edge, Withdraw(session=sessions[0], prefixes=prefixes))
    lab.tells(AMSTERDAM[1].peer, OpenSession(session=sessions[1]))
    until(lambda: established(lab, list(AMSTERDAM[1].sessions)), "the session coming back")


FIREWALL = """table inet firewall {
 chain entrance {
  type filter hook input priority 0;
  ct state new tcp flags & (fin|syn|rst|ack) != syn drop
 }
}"""
POLICER = """table inet policer {
 chain entrance {
  type filter hook input priority 0;
  udp dport 40950 limit rate over 100 kbytes/second drop
 }
}"""


def test_61_a_partners_defects_are_flagged(lab: ArmLab) -> None:
    """Both of Dublin's connections end on one router of the partner's; then a firewall, then a limited rate."""
    before = len(mails(lab))
    lab.does("inspect", "ams", "ams-first")
    assert mails(lab, before) == []
    lab.does("inspect", "dub", "dub-first")
    (told,) = mails(lab, before)
    assert told.subject.startswith("Action needed") and "fab-dub-1" in told.text
    lab.product.ok("exec", "--lab", lab.name, "fab-ams-1", "nft", FIREWALL)
    before = len(mails(lab))
    lab.does("inspect", "ams", "ams-first")
    assert ["stateful firewall" in mail.text for mail in mails(lab, before)] == [True]
    lab.product.ok("exec", "--lab", lab.name, "fab-ams-1", "nft", "flush", "ruleset")
    lab.product.ok("exec", "--lab", lab.name, "fab-ams-1", "nft", POLICER)
    before = len(mails(lab))
    lab.does("inspect", "ams", "ams-first")
    assert ["rate is limited" in mail.text for mail in mails(lab, before)] == [True]
    lab.product.ok("exec", "--lab", lab.name, "fab-ams-1", "nft", "flush", "ruleset")


def test_62_connectivity_probes_by_icmp_and_tcp(lab: ArmLab) -> None:
    peering = lab.sdk.peerings.get(GROUP, "ams")
    peering.properties.connectivity_probes = [
        arm.ConnectivityProbe(endpoint=CONTOSO_PC, azure_region="westeurope", protocol="ICMP"),
        arm.ConnectivityProbe(endpoint=f"{LITWARE_PC}:9", azure_region="westus2", protocol="TCP"),
    ]
    made = lab.sdk.peerings.create_or_update(GROUP, "ams", peering).properties.connectivity_probes
    assert [probe.prefixes_to_accesslist for probe in made] == [["198.18.1.0/24"], ["198.18.0.0/24"]]

    def found(name: str) -> dict[str, float]:
        return {"TCP" if "TCP" in label else "ICMP": value for label, value in metric(lab, name).items()}

    until(lambda: found("ConnectivityProbeAvailability") == {"ICMP": 100.0, "TCP": 0.0}, "both probes")
    until(lambda: "ICMP" in found("ConnectivityProbeJitter"), "a second answer")
    assert 0 < found("ConnectivityProbeLatency")["ICMP"] < 1000
    assert lab.client(api_version="2022-10-01").peerings.get(GROUP, "ams").properties.connectivity_probes is None
    peering.properties.connectivity_probes = [
        arm.ConnectivityProbe(endpoint="nowhere", azure_region="westeurope", protocol="ICMP")
    ]
    assert refused(lambda: lab.sdk.peerings.create_or_update(GROUP, "ams", peering)).status_code == 400
    peering.properties.connectivity_probes = []
    lab.sdk.peerings.create_or_update(GROUP, "ams", peering)


def refused(call: Callable[[], object]) -> HttpResponseError:
    with pytest.raises(HttpResponseError) as caught:
        call()
    return caught.value


def test_connection_monitor_tests_send_packets(lab: ArmLab) -> None:
    tests = lab.sdk.connection_monitor_tests
    lab.sdk.peering_services.initialize_connection_monitor()
    workspace = lab.sdk.peering_services.get(GROUP, "contoso").properties.log_analytics_workspace_properties
    assert "contoso-pc" in workspace.connected_agents

    def put(name: str, agent: str, destination: str, port: int | None = None) -> None:
        properties = arm.ConnectionMonitorTestProperties(
            source_agent=agent, destination=destination, destination_port=port, test_frequency_in_sec=30
        )
        tests.create_or_update(GROUP, "contoso", name, arm.ConnectionMonitorTest(properties=properties))

    put("good", "contoso-pc", "198.18.1.2")
    put("closed", "contoso-pc", "198.18.1.2", 9)
    put("nobody", "no-such-agent", "198.18.1.2")

    def results() -> dict[str, bool | None]:
        return {t.name: t.properties.is_test_successful for t in tests.list_by_peering_service(GROUP, "contoso")}

    until(lambda: results() == {"good": True, "closed": False, "nobody": False}, "the tests")
    assert tests.get(GROUP, "contoso", "good").properties.path[-1] == "198.18.1.2"
    assert len(metric(lab, "RoundTripTime")) == 1
    for name in results():
        tests.delete(GROUP, "contoso", name)
    assert results() == {}
    assert refused(lambda: put("bad", "contoso-pc", "nowhere")).status_code == 400


def test_64_maintenance_is_told_at_its_start_and_end(lab: ArmLab) -> None:
    before = len(mails(lab))
    lab.does("start-maintenance", "ams", "ams-first")
    assert not established(lab, [FIRST_V4])
    lab.does("end-maintenance", "ams", "ams-first")
    until(lambda: established(lab, list(AMSTERDAM[0].sessions)), "the sessions coming back")
    begun, ended = mails(lab, before)
    assert "has started" in begun.subject and "has ended" in ended.subject
    for mail in (begun, ended):
        assert SUBSCRIPTION in mail.text and "westeurope" in mail.text and "Amsterdam" in mail.text


def test_65_traffic_to_what_is_not_announced_is_flagged(lab: ArmLab) -> None:
    before = len(mails(lab))
    lab.does("audit-traffic", "ams", "ams-first", "1")
    assert mails(lab, before) == []
    stranger, wire = "198.18.200.1", AMSTERDAM[0]
    inside = ("exec", "--lab", lab.name, wire.peer)
    lab.product.ok(*inside, "ip", "route", "add", stranger, "via", str(wire.microsoft_v4))
    over = threading.Event()
    pinging = threading.Thread(target=pings, args=(lab, wire.peer, stranger, 100_000, 56, 0.02, over))
    pinging.start()

    def flagged() -> bool:
        lab.does("audit-traffic", "ams", "ams-first", "1")
        return len(mails(lab, before)) > 0

    try:
        until(flagged, "the traffic being flagged")
    finally:
        over.set()
        pinging.join()
        lab.product.ok(*inside, "ip", "route", "del", stranger)
    told = mails(lab, before)[0]
    assert stranger in told.text and "not announced" in told.text


def test_traffic_is_counted_on_the_wire(lab: ArmLab) -> None:
    """A known number of octets from the customer to a service shows at its connection, and at no other."""

    def sent() -> dict[str, float]:
        return {label: value for label, value in metric(lab, "IngressTraffic_bytes_total").items() if "ams" in label}

    before, count = sent(), 200
    pings(lab, "contoso-pc", "198.18.1.2", count, 1000, 0.002)
    grown = {label: value - before[label] for label, value in sent().items()}
    most = max(grown, key=lambda label: grown[label])
    assert count * 1028 <= grown[most] < count * 1028 + 20_000, grown
    assert str(AMSTERDAM[0].peer_v4) in most or str(AMSTERDAM[1].peer_v4) in most
    assert any(value > 0 for value in metric(lab, "IngressTrafficRate").values())
    assert set(metric(lab, "PacketDropRate").values()) == {0.0}


def pings(
    lab: ArmLab,
    node: str,
    destination: str,
    count: int,
    size: int,
    interval: float,
    over: threading.Event | None = None,
) -> None:
    """Echo requests from a node, answered or not; all of them, or until ``over``."""

    async def work() -> None:
        held = await Lab.attach(lab.name)
        try:
            about = {"destination": destination, "count": count, "size": size, "interval": interval, "wait": 0.2}
            task = await held.runtime.task(node, PING, about)
            if over is not None:
                await asyncio.to_thread(over.wait)
                task.close()
            else:
                await task.result()
        finally:
            await held.close()

    asyncio.run(work())


def test_cdn_prefixes_are_what_the_location_announces(lab: ArmLab) -> None:
    found = {p.properties.prefix: p.properties for p in lab.sdk.cdn_peering_prefixes.list(peering_location="Amsterdam")}
    assert found["198.18.1.0/24"].is_primary_region and not found["198.18.0.0/24"].is_primary_region
    assert found["198.18.0.0/24"].azure_region == "westus2"
    assert list(lab.sdk.cdn_peering_prefixes.list(peering_location="nowhere")) == []


def test_system_data_and_the_shapes_of_versions(lab: ArmLab) -> None:
    newest, before = lab.sdk, lab.client(api_version="2022-10-01")
    for made in (
        newest.peer_asns.get("fabrikam"),
        newest.peerings.get(GROUP, "ams"),
        newest.peering_services.get(GROUP, "contoso"),
        newest.prefixes.get(GROUP, "contoso", "hq"),
        newest.registered_prefixes.get(GROUP, "ams", "contoso"),
    ):
        data = made.system_data
        assert data.created_by_type == "Application"
        assert data.created_at <= data.last_modified_at
    assert before.peerings.get(GROUP, "ams").system_data is None
    old = lab.client(api_version="2019-08-01-preview")
    assert old.prefixes.get(GROUP, "contoso", "hq").properties.peering_service_prefix_key is None
    error = refused(lambda: list(old.registered_prefixes.list_by_peering(GROUP, "ams")))
    assert error.status_code == 404
    assert key_of("ams").endswith("ams")
