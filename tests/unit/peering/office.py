"""A desk with something on offer, for tests: one metro with a facility and an exchange, and a few words to drive it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from peerlab.bgp.attributes import Address, Prefix
from peerlab.evidence.events import Event
from peerlab.peering.catalogue import Catalogue, Facility, MicrosoftRouter, PeeringPlace, ServiceProvider
from peerlab.peering.command import (
    ApproveConnection,
    ApprovePeerAsn,
    Command,
    JudgeValidation,
    NotifyReady,
    OpenPolicy,
    ProvisionSessions,
    PutPeerAsn,
    PutPeering,
    SignAgreement,
)
from peerlab.peering.desk import Desk
from peerlab.peering.enums import DirectPeeringType, Kind, Role, SessionAddressProvider
from peerlab.peering.peer_asn import ContactDetail, PeerAsnProperties
from peerlab.peering.peering_resource import (
    BgpSession,
    DirectConnection,
    ExchangeConnection,
    Peering,
    PeeringProperties,
    PeeringPropertiesDirect,
    PeeringPropertiesExchange,
    PeeringSku,
    SubResource,
)
from peerlab.peering.record import ConnectionRecord
from peerlab.peering.validation import SESSION_RULES
from peerlab.peering.verdict import RuleVerdict

AMSTERDAM, LONDON = "Amsterdam", "London"
FACILITY, EXCHANGE, LONDON_FACILITY = 99999, 64, 34

CATALOGUE = Catalogue(
    places=(PeeringPlace(name=AMSTERDAM, azure_region="westeurope"), PeeringPlace(name=LONDON, azure_region="uksouth")),
    facilities=(
        Facility(
            id=FACILITY,
            name="Equinix AM1",
            peering_location=AMSTERDAM,
            kind=Kind.DIRECT,
            direct_types=(DirectPeeringType.EDGE, DirectPeeringType.VOICE, DirectPeeringType.IX_RS),
        ),
        Facility(id=LONDON_FACILITY, name="Telehouse", peering_location=LONDON, kind=Kind.DIRECT),
        Facility(
            id=EXCHANGE,
            name="AMS-IX",
            peering_location=AMSTERDAM,
            kind=Kind.EXCHANGE,
            lan_v4=Prefix("80.249.208.0/21"),
            lan_v6=Prefix("2001:7f8:1::/64"),
            microsoft=(
                MicrosoftRouter(router="ams1", v4=Address("80.249.209.20"), v6=Address("2001:7f8:1::20")),
                MicrosoftRouter(router="ams2", v4=Address("80.249.209.21"), v6=Address("2001:7f8:1::21")),
            ),
        ),
    ),
    providers=(ServiceProvider(name="contoso", asn=64500, peering_locations=(AMSTERDAM, LONDON)),),
    pool_v4=Prefix("20.0.0.0/29"),
    pool_v6=Prefix("2620:1ec::/124"),
)

NOC = ContactDetail(role=Role.NOC, email="noc@contoso.example", phone="+31 20 000 0000")


class Office:
    """A desk whose events are stored and applied, with a counter for GUIDs and for time."""

    def __init__(self, catalogue: Catalogue = CATALOGUE) -> None:
        self.desk = Desk(catalogue)
        self.log: list[Event] = []
        self._ids = itertools.count(1)
        self._clock = itertools.count(1)

    def new_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._ids):012d}"

    def do(self, *commands: Command) -> tuple[Event, ...]:
        """Handle and apply; the events of the last command."""
        events: tuple[Event, ...] = ()
        for command in commands:
            events = self.desk.handle(command, now=next(self._clock), new_id=self.new_id)
            for event in events:
                self.desk.apply(event)
                self.log.append(event)
        return events

    def connection(self, label: str = "c1", peering: str = "p1") -> ConnectionRecord:
        connection = self.desk.ledger.peerings[peering].connection(label)
        assert connection is not None
        return connection

    def states(self, peering: str = "p1") -> list[str]:
        return [c.state for c in self.desk.ledger.peerings[peering].connections]

    def associate(self, asn: int = 64500, name: str = "contoso", *, agreement: bool = False) -> None:
        self.do(PutPeerAsn(name=name, properties=peer_asn(asn)), ApprovePeerAsn(peer_asn=name))
        if agreement:
            self.do(SignAgreement(asn=asn))

    def turn_up(self, label: str, peering: str = "p1", *, until: str = "Active") -> None:
        """Take a connection from PendingApproval as far as ``until``."""
        at = {"peering": peering, "connection": label}
        waiting = (NotifyReady(**at), ProvisionSessions(**at))
        ways: dict[str, tuple[Command, ...]] = {
            "PendingApproval": (ApproveConnection(**at, loa="LOA-1"),),
            "ProvisioningStarted": waiting,
            "Approved": waiting,
            "Validating": (JudgeValidation(**at, verdicts=PASSED),),
            "ProvisioningCompleted": (OpenPolicy(**at),),
        }
        while (state := self.connection(label, peering).state) not in (until, "ProvisioningFailed"):
            self.do(*ways[state])


PASSED = tuple(RuleVerdict(rule=rule, passed=True) for rule in SESSION_RULES)


def peer_asn(
    asn: int = 64500, peer_name: str = "Contoso", contacts: Iterable[ContactDetail] = (NOC,)
) -> PeerAsnProperties:
    return PeerAsnProperties(peer_asn=asn, peer_name=peer_name, peer_contact_detail=tuple(contacts))


def asn_id(name: str = "contoso") -> str:
    return f"/subscriptions/lab/providers/Microsoft.Peering/peerAsns/{name}"


def link(
    identifier: str | None = "c1",
    v4: str | None = "192.168.0.0/31",
    v6: str | None = "fd00::/127",
    *,
    bandwidth: int | None = 10000,
    service: bool | None = None,
    provider: SessionAddressProvider | None = SessionAddressProvider.PEER,
    facility: int | None = FACILITY,
    max_v4: int | None = 1000,
    max_v6: int | None = 100,
    md5: str | None = None,
) -> DirectConnection:
    """A Direct connection of a PUT; without ``v6`` its limit goes too."""
    session = BgpSession(
        session_prefix_v4=Prefix(v4) if v4 else None,
        session_prefix_v6=Prefix(v6) if v6 else None,
        max_prefixes_advertised_v4=max_v4 if v4 else None,
        max_prefixes_advertised_v6=max_v6 if v6 else None,
        md5_authentication_key=md5,
    )
    return DirectConnection(
        connection_identifier=identifier,
        bandwidth_in_mbps=bandwidth,
        session_address_provider=provider,
        use_for_peering_service=service,
        peering_db_facility_id=facility,
        bgp_session=None if provider is SessionAddressProvider.MICROSOFT else session,
    )


SECOND = link("c2", "192.168.0.2/31", "fd00::2/127")


def direct(
    *connections: DirectConnection,
    name: str = "p1",
    asn: str = "contoso",
    location: str = AMSTERDAM,
    kind: DirectPeeringType | None = DirectPeeringType.EDGE,
    sku: str = "Basic_Direct_Free",
    tags: dict[str, str] | None = None,
) -> PutPeering:
    body = Peering(
        kind=Kind.DIRECT,
        location="westeurope",
        sku=PeeringSku(name=sku),
        tags=tags or {},
        properties=PeeringProperties(
            peering_location=location,
            direct=PeeringPropertiesDirect(
                connections=connections, peer_asn=SubResource(id=asn_id(asn)), direct_peering_type=kind
            ),
        ),
    )
    return PutPeering(name=name, peering=body)


def neighbor(
    identifier: str | None = None,
    v4: str | None = "80.249.211.62",
    v6: str | None = None,
    *,
    facility: int = EXCHANGE,
    max_v4: int | None = 1000,
    max_v6: int | None = 100,
    md5: str | None = None,
    microsoft_v4: str | None = None,
) -> ExchangeConnection:
    return ExchangeConnection(
        connection_identifier=identifier,
        peering_db_facility_id=facility,
        bgp_session=BgpSession(
            peer_session_ipv4_address=Address(v4) if v4 else None,
            peer_session_ipv6_address=Address(v6) if v6 else None,
            microsoft_session_ipv4_address=Address(microsoft_v4) if microsoft_v4 else None,
            max_prefixes_advertised_v4=max_v4 if v4 else None,
            max_prefixes_advertised_v6=max_v6 if v6 else None,
            md5_authentication_key=md5,
        ),
    )


def exchange(*connections: ExchangeConnection, name: str = "p1", asn: str = "contoso") -> PutPeering:
    body = Peering(
        kind=Kind.EXCHANGE,
        location="westeurope",
        sku=PeeringSku(name="Basic_Exchange_Free"),
        properties=PeeringProperties(
            peering_location=AMSTERDAM,
            exchange=PeeringPropertiesExchange(connections=connections, peer_asn=SubResource(id=asn_id(asn))),
        ),
    )
    return PutPeering(name=name, peering=body)
