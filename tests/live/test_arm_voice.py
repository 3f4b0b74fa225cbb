"""Voice with BFD, and legacy peerings, through the unmodified Azure SDK on a real lab: lines 27, 31 and 32.

Every test has the lab for itself: wires, peerings and addresses are those of voice.yaml beside this file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from arm_lab import FIRST, GROUP, SECOND, ArmLab, direct, link, served, word
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.peering import models as arm
from product import until

from peerlab.bgp.attributes import Family
from peerlab.controller import fault, probing
from peerlab.controller.lab import Lab
from peerlab.errors import RefusedError
from peerlab.evidence.events import StreamMeasured
from peerlab.evidence.snapshot import SessionFact
from peerlab.router.protocol import ShutBfd
from peerlab.topology.load import load

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("api")]

T = TypeVar("T")
HERE = Path(__file__).parent
TOPOLOGY = HERE / "voice.yaml"
THIRD, FOURTH = "5F4CB5C7-6B43-4444-9338-9ABC72606C18", "5F4CB5C7-6B43-4444-9338-9ABC72606C19"
PARTNER = 64500
WITHIN = 10.0
"""Seconds in which anything in these tests must have happened."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArmLab]:
    with served(tmp_path_factory.mktemp("api"), str(TOPOLOGY)) as made:
        made.does("sign-agreement", str(PARTNER))
        yield made


@pytest.fixture(autouse=True)
def _tidy(lab: ArmLab) -> Iterator[None]:
    yield
    lab.clean()


def wire(peering: str, label: str, identifier: str, **more: Any) -> arm.DirectConnection:
    """A connection as somebody asks for it who knows its addresses."""
    asked = next(p for p in load(TOPOLOGY).peerings if p.name == peering)
    found = next(c for c in asked.connections if c.name == label)
    return link(identifier, found.session_prefix_v4, found.session_prefix_v6, **more)


def voice(*identifiers: str) -> tuple[arm.DirectConnection, ...]:
    """Connections of a Voice peering: Microsoft gives the addresses."""
    return tuple(link(one, None, None, provider="Microsoft") for one in identifiers)


def held(lab: ArmLab, work: Callable[[Lab], Awaitable[T]]) -> T:
    """Do something with the running lab itself, beside the server."""

    async def attached() -> T:
        taken = await Lab.attach(lab.name)
        try:
            return await work(taken)
        finally:
            await taken.close()

    return asyncio.run(attached())


def facts(lab: ArmLab, *nodes: str) -> dict[tuple[str, str], SessionFact]:
    """What routers say of their sessions now."""

    async def read(taken: Lab) -> dict[tuple[str, str], SessionFact]:
        answers = {node: await (await taken.router(node)).sessions() for node in nodes}
        return {(node, fact.session): fact for node, found in answers.items() for fact in found}

    return held(lab, read)


EDGES, PEERS = ("ams-edge-1", "ams-edge-2"), ("fab-ams-1", "fab-ams-2")
OF_FIRST = tuple(f"ams-edge-1--fab-ams-1.v{v}" for v in (4, 6))


def test_27_a_legacy_peering_is_listed_and_converted_without_touching_its_sessions(lab: ArmLab) -> None:
    owner = lab.associate(PARTNER)
    lab.does("seed-legacy", "old")
    (listed,) = lab.sdk.legacy_peerings.list(peering_location="Amsterdam", kind="Direct", asn=PARTNER)
    assert [listed.name for listed in lab.sdk.legacy_peerings.list(peering_location="amsterdam", kind="direct")]
    assert list(lab.sdk.legacy_peerings.list(peering_location="Amsterdam", kind="Direct", asn=64501)) == []
    assert list(lab.sdk.legacy_peerings.list(peering_location="Amsterdam", kind="Exchange", asn=PARTNER)) == []
    shown = listed.properties.direct.connections
    assert [word(c.connection_state) for c in shown] == ["Active", "Active"]
    states = {word(s) for c in shown for s in (c.bgp_session.session_state_v4, c.bgp_session.session_state_v6)}
    assert states == {"Established"}
    assert list(lab.sdk.peerings.list_by_subscription()) == [], "nobody has asked for it yet"
    before = {key: fact for key, fact in facts(lab, *EDGES, *PEERS).items() if fact.received}
    assert before

    new = wire("new", "third", THIRD)
    made = lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *shown, new))

    assert [word(c.connection_state) for c in made.properties.direct.connections] == [
        "Active",
        "Active",
        "PendingApproval",
    ]
    for connection in lab.connections()[:2]:
        session = connection.bgp_session
        assert {word(session.session_state_v4), word(session.session_state_v6)} == {"Established"}
        assert connection.provisioned_bandwidth_in_mbps == 10000
    assert list(lab.sdk.legacy_peerings.list(peering_location="Amsterdam", kind="Direct", asn=PARTNER)) == []
    for act in ("approve", "notify", "provision", "validate", "open"):
        lab.does(act, "p1", THIRD)
    assert lab.states() == ["Active", "Active", "Active"]
    after = facts(lab, *EDGES, *PEERS)
    kept = {key: (fact.since, fact.flaps) for key, fact in before.items()}
    assert {key: (after[key].since, after[key].flaps) for key in before} == kept, "same sessions, same uptime"


def test_27_a_changed_or_missing_legacy_connection_is_refused(lab: ArmLab) -> None:
    owner = lab.associate(PARTNER)
    lab.does("seed-legacy", "old")
    with pytest.raises(RefusedError, match="belong to a connection already"):
        lab.does("seed-legacy", "old")
    with pytest.raises(RefusedError, match="there are: old, new"):
        lab.does("seed-legacy", "older")
    (listed,) = lab.sdk.legacy_peerings.list(peering_location="Amsterdam", kind="Direct", asn=PARTNER)
    shown = listed.properties.direct.connections
    with pytest.raises(Exception, match="Microsoft might already have a peering with ASN 64500 at Amsterdam"):
        lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, shown[0]))
    shown[0].bgp_session.max_prefixes_advertised_v4 = 7
    with pytest.raises(Exception, match="cannot be changed while it is converted"):
        lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *shown))
    shown[0].bgp_session.max_prefixes_advertised_v4 = 1000
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *shown))


def convert(lab: ArmLab, name: str, *identifiers: str) -> None:
    for identifier in identifiers:
        lab.does("approve-conversion", name, identifier)
        lab.does("convert", name, identifier)


def test_31_voice_carries_traffic_only_under_bgp_and_bfd_and_fails_over_within_a_second(lab: ArmLab) -> None:
    owner = lab.associate(PARTNER)
    asked = (wire("old", "first", FIRST), wire("old", "second", SECOND))
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *asked))
    lab.turn_up()
    to_voice = direct(owner, *voice(FIRST, SECOND), kind="Voice", sku="Premium_Direct_Free")
    lab.sdk.peerings.create_or_update(GROUP, "p1", to_voice)
    assert lab.states() == ["TypeChangeRequested", "TypeChangeRequested"]
    lab.does("approve-conversion", "p1", FIRST)
    until(lambda: all(f.bfd for k, f in facts(lab, *EDGES, *PEERS).items() if k[1] in OF_FIRST), "BFD at both ends")
    lab.tells("fab-ams-1", *(ShutBfd(session=session) for session in OF_FIRST))

    with pytest.raises(RefusedError, match="no traffic is allowed before both BGP and BFD are up"):
        lab.does("convert", "p1", FIRST)

    assert lab.states() == ["TypeChangeInProgress", "TypeChangeRequested"]
    for session in OF_FIRST:
        waiting = facts(lab, "ams-edge-1")["ams-edge-1", session]
        assert (waiting.state, waiting.received, waiting.advertised) == ("Established", 0, 0)
        assert waiting.bfd is not None and waiting.bfd.waits
    assert not any(r for r in received(lab) if r.next_hop == asked_next_hop()), "no route of this connection"
    lab.tells("fab-ams-1", *(ShutBfd(session=session, down=False) for session in OF_FIRST))
    lab.does("convert", "p1", FIRST)
    convert(lab, "p1", SECOND)
    assert lab.states() == ["Active", "Active"]
    direct_half = lab.sdk.peerings.get(GROUP, "p1").properties.direct
    assert word(direct_half.direct_peering_type) == "Voice"
    assert all(c.use_for_peering_service for c in direct_half.connections)
    for key, fact in facts(lab, *EDGES).items():
        if fact.peer_as == PARTNER:
            assert fact.bfd is not None and (fact.bfd.state, fact.bfd.waits) == ("Up", False), key
            assert fact.received, key

    measured = held(lab, lose_the_first_link)

    assert len(measured) == 4, "both ways, both families"
    for stream in measured:
        longest = max((end - start for start, end, _ in stream.gaps), default=0) / 1e9
        assert longest < 1.0, (stream.name, longest)
        assert stream.sent - stream.received < 1000, stream.name
    lost = [max((end - start for start, end, _ in s.gaps), default=0) / 1e9 for s in measured]
    print("longest gap of each stream, seconds:", [round(one, 3) for one in lost])
    assert max(lost) > 0.3, f"the failure must have hit some stream, or nothing was measured: {lost}"


def asked_next_hop() -> str:
    return str(next(p for p in load(TOPOLOGY).peerings if p.name == "old").connections[0].peer_v4)


def received(lab: ArmLab) -> list[arm.PeeringReceivedRoute]:
    return list(lab.sdk.received_routes.list_by_peering(GROUP, "p1"))


async def lose_the_first_link(taken: Lab) -> list[StreamMeasured]:
    """Everything on the first connection's wire is lost, its carrier stays; packets at 1 kHz see for how long."""
    wanted = fault.find_link(taken, "ams-edge-1:fab-ams-1")
    pairs = [("svc-ams", "contoso-pc"), ("contoso-pc", "svc-ams")]
    edge = await taken.router("ams-edge-1")
    async with probing.streams(taken, probing.stream_plans("voice", pairs, Family)) as measured:
        await fault.silence(taken, wanted)
        for session in OF_FIRST:
            assert await edge.wait("down", WITHIN, session=session)
        await taken.wait_quiet()
    reasons = {f.last_error for f in await edge.sessions() if f.session in OF_FIRST}
    assert all("BFD" in reason for reason in reasons), reasons
    await fault.clear(taken, wanted)
    for session in OF_FIRST:
        assert await edge.wait("end-of-rib", WITHIN, session=session)
    return measured


def test_32_voice_conversion_into_an_existing_voice_peering_takes_the_old_resource_away(lab: ArmLab) -> None:
    owner = lab.associate(PARTNER)
    made = direct(owner, *voice(FIRST, SECOND), kind="Voice", sku="Premium_Direct_Free")
    lab.sdk.peerings.create_or_update(GROUP, "calls", made)
    lab.turn_up("calls")
    assert lab.states("calls") == ["Active", "Active"]
    asked = [
        wire("new", label, one, use_for_peering_service=True) for label, one in (("third", THIRD), ("fourth", FOURTH))
    ]
    lab.sdk.peerings.create_or_update(GROUP, "p1", direct(owner, *asked, sku="Premium_Direct_Free"))
    lab.turn_up("p1")
    body = arm.PeeringRegisteredPrefix(properties=arm.PeeringRegisteredPrefixProperties(prefix="198.18.33.0/24"))
    key = lab.sdk.registered_prefixes.create_or_update(GROUP, "p1", "hq", body).properties.peering_service_prefix_key
    to_voice = direct(owner, *voice(THIRD, FOURTH), kind="Voice", sku="Premium_Direct_Free")
    lab.sdk.peerings.create_or_update(GROUP, "p1", to_voice)
    convert(lab, "p1", THIRD)
    assert lab.states("p1") == ["Active", "TypeChangeRequested"]
    assert len(lab.connections("calls")) == 2, "it moves when all of it is converted"
    before = facts(lab, *EDGES)

    convert(lab, "p1", FOURTH)

    with pytest.raises(ResourceNotFoundError):
        lab.sdk.peerings.get(GROUP, "p1")
    assert [c.connection_identifier for c in lab.connections("calls")] == [FIRST, SECOND, THIRD, FOURTH]
    assert lab.states("calls") == ["Active"] * 4
    for connection in lab.connections("calls"):
        session = connection.bgp_session
        assert {word(session.session_state_v4), word(session.session_state_v6)} == {"Established"}
    after = facts(lab, *EDGES)
    untouched = [k for k, f in before.items() if f.peer_as == PARTNER and not k[1].startswith("ams-edge-2--fab-ams-1")]
    assert len(untouched) == 6
    assert {k: after[k].since for k in untouched} == {k: before[k].since for k in untouched}, "no session was reset"
    moved = lab.sdk.registered_prefixes.get(GROUP, "calls", "hq").properties
    assert moved.peering_service_prefix_key == key
    assert "Peering p1 removed" in {mail["subject"] for mail in outbox(lab)}
    until(lambda: {f.bfd.state for f in facts(lab, *EDGES).values() if f.bfd} == {"Up"}, "BFD everywhere")


def outbox(lab: ArmLab) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(lab.product.ok("outbox", lab.name, "--json"))
    return told
