"""A lab that is served, and the unmodified Azure SDK pointed at it; the operator's side as a person has it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.peering import PeeringManagementClient
from azure.mgmt.peering import models as arm
from product import ROOT, WITHIN, Product, product, until

from peerlab.api.operator_api import ROOT as ROOT_OF_OPERATOR
from peerlab.cli.operator import call
from peerlab.controller.lab import Lab
from peerlab.router.protocol import Request

SUBSCRIPTION, GROUP = "6b24ad28-0000-4000-8000-000000000001", "turn-up"
FIRST, SECOND = "5F4CB5C7-6B43-4444-9338-9ABC72606C16", "5F4CB5C7-6B43-4444-9338-9ABC72606C17"

_numbers = itertools.count(1)


class Token:
    """A credential that has one token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


class ArmLab:
    """A served lab with its SDK client."""

    def __init__(self, made: Product, topology: str, *options: str) -> None:
        self.product = made
        self.name = f"api-{os.getpid()}-{next(_numbers)}"
        made.names.append(self.name)
        made.ok("up", ROOT / "topologies" / topology, "--name", self.name)
        self._options = options
        self.serve()

    def serve(self) -> None:
        """Start the server and point the SDK at it."""
        self.process = self.product.start("serve", self.name, "--port", "0", *self._options)
        until(lambda: self.endpoint_file.exists() or self.process.poll() is not None, "serving")
        assert self.process.poll() is None, self.process.communicate()
        self.endpoint = json.loads(self.endpoint_file.read_text())
        self.token = self.product.ok("token", self.name).strip()
        self.sdk = self.client()

    def client(self, token: str | None = None, **options: Any) -> PeeringManagementClient:
        return PeeringManagementClient(
            Token(self.token if token is None else token),
            SUBSCRIPTION,
            base_url=self.endpoint["url"],
            connection_verify=self.endpoint["authority"],
            retry_total=0,
            **options,
        )

    @property
    def endpoint_file(self) -> Path:
        return self.product.state / self.name / "api" / "endpoint.json"

    def kill(self) -> None:
        """kill -9 of the server; its endpoint stays written and is taken away here."""
        self.process.kill()
        self.process.communicate(timeout=WITHIN)
        self.endpoint_file.unlink()

    def does(self, act: str, on: str, connection: str = "", reason: str = "") -> None:
        """An act of the operator's; ``on`` is a name in the subscription or group of these tests. RefusedError."""
        key = on if act in ("sign-agreement", "seed-legacy") else key_of(on, asn=act.endswith("-asn"))
        call(self.name, "POST", f"{ROOT_OF_OPERATOR}/{act}", {"on": key, "connection": connection, "reason": reason})

    def associate(self, asn: int = 64500, name: str = "fabrikam") -> str:
        """An approved PeerAsn's id."""
        made = self.sdk.peer_asns.create_or_update(name, peer_asn(asn))
        self.does("approve-asn", name)
        return made.id

    def connections(self, name: str = "p1") -> Sequence[Any]:
        properties = self.sdk.peerings.get(GROUP, name).properties
        return (properties.direct or properties.exchange).connections or []

    def states(self, name: str = "p1") -> list[str]:
        return [word(c.connection_state) for c in self.connections(name)]

    def turn_up(self, name: str = "p1") -> None:
        """From PendingApproval to Active, every connection."""
        for act in ("approve", "notify", "provision", "validate", "open"):
            self.does(act, name)
            assert act != "validate" or set(self.states(name)) == {"ProvisioningCompleted"}, [
                connection.error_message for connection in self.connections(name)
            ]

    def tells(self, node: str, *requests: Request) -> None:
        """A stimulus: a router is told something past all policy, and the lab comes to rest."""

        async def work() -> None:
            held = await Lab.attach(self.name)
            try:
                for request in requests:
                    await (await held.router(node)).ask(request)
                await held.wait_quiet()
            finally:
                await held.close()

        asyncio.run(work())

    def clean(self) -> None:
        """Take away whatever a test has left on the desk."""
        for peering in list(self.sdk.peerings.list_by_subscription()):
            for connection in self.connections(peering.name):
                self._end(peering.name, connection.connection_identifier)
            with contextlib.suppress(HttpResponseError):
                self.sdk.peerings.delete(GROUP, peering.name)
        for known in list(self.sdk.peer_asns.list_by_subscription()):
            self.sdk.peer_asns.delete(known.name)

    def _end(self, name: str, identifier: str) -> None:
        ways = {
            "ProvisioningStarted": "fail",
            "Approved": "fail",
            "Validating": "fail",
            "ExternalBlocker": "fail",
            "ProvisioningCompleted": "open",
            "TypeChangeRequested": "reject-conversion",
            "TypeChangeInProgress": "convert",
            "Active": "deprovision",
            "PendingRemove": "remove",
        }
        while True:
            try:
                mine = [c for c in self.connections(name) if c.connection_identifier == identifier]
            except HttpResponseError:
                return
            state = word(mine[0].connection_state) if mine else ""
            if state not in ways:
                return
            self.does(ways[state], name, identifier, "cleaned up")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            out, err = self.process.communicate(timeout=WITHIN)
            assert "Traceback" not in out + err, out + err


def word(value: Any) -> str:
    """An enum of the SDK's as text; ``PendingRemove`` is documented but in none of its enums, so it comes as text."""
    return str(getattr(value, "value", value))


def key_of(name: str, *, asn: bool = False) -> str:
    """A resource's key on the desk."""
    return f"{SUBSCRIPTION}/{name}" if asn else f"{SUBSCRIPTION}/{GROUP}/{name}"


@contextlib.contextmanager
def served(place: Path, topology: str, *options: str) -> Iterator[ArmLab]:
    """A lab of that topology, served; nothing of it outlives the block."""
    with product(place) as made:
        before = os.environ.get("PEERLAB_STATE")
        os.environ["PEERLAB_STATE"] = str(made.state)
        try:
            lab = ArmLab(made, topology, *options)
            try:
                yield lab
            finally:
                lab.close()
        finally:
            if before is None:
                del os.environ["PEERLAB_STATE"]
            else:
                os.environ["PEERLAB_STATE"] = before


def peer_asn(asn: int = 64500, peer_name: str = "Fabrikam") -> arm.PeerAsn:
    contact = arm.ContactDetail(role="Noc", email="noc@fabrikam.example", phone="+31 20 000 0000")
    return arm.PeerAsn(
        properties=arm.PeerAsnProperties(peer_asn=asn, peer_name=peer_name, peer_contact_detail=[contact])
    )


def link(
    identifier: str | None, v4: str | None, v6: str | None, *, bandwidth: int = 10000, **more: Any
) -> arm.DirectConnection:
    """A Direct connection with peer-provided addresses."""
    session = arm.BgpSession(
        session_prefix_v4=v4,
        session_prefix_v6=v6,
        max_prefixes_advertised_v4=more.pop("limit_v4", 1000) if v4 else None,
        max_prefixes_advertised_v6=more.pop("limit_v6", 100) if v6 else None,
        md5_authentication_key=more.pop("md5", None),
    )
    return arm.DirectConnection(
        connection_identifier=identifier,
        bandwidth_in_mbps=bandwidth,
        session_address_provider=more.pop("provider", "Peer"),
        peering_db_facility_id=more.pop("facility", 1001),
        bgp_session=session if v4 or v6 else None,
        **more,
    )


def direct(owner: str, *connections: arm.DirectConnection, **more: Any) -> arm.Peering:
    """A Direct peering's PUT body."""
    return arm.Peering(
        kind="Direct",
        location="westeurope",
        sku=arm.PeeringSku(name=more.pop("sku", "Basic_Direct_Free")),
        tags=more.pop("tags", None),
        properties=arm.PeeringProperties(
            peering_location=more.pop("place", "Amsterdam"),
            direct=arm.PeeringPropertiesDirect(
                connections=list(connections),
                peer_asn=arm.SubResource(id=owner),
                direct_peering_type=more.pop("kind", "Edge"),
            ),
        ),
    )


def neighbour(v4: str | None, v6: str | None = None, **more: Any) -> arm.ExchangeConnection:
    """An exchange connection's PUT body: the peer's addresses on the LAN."""
    return arm.ExchangeConnection(
        connection_identifier=more.get("identifier"),
        peering_db_facility_id=5001,
        bgp_session=arm.BgpSession(
            peer_session_i_pv4_address=v4,
            peer_session_i_pv6_address=v6,
            max_prefixes_advertised_v4=more.get("limit_v4", 1000) if v4 else None,
            max_prefixes_advertised_v6=100 if v6 else None,
            md5_authentication_key=more.get("md5"),
        ),
    )


def exchange(owner: str, *connections: arm.ExchangeConnection) -> arm.Peering:
    """An Exchange peering's PUT body."""
    return arm.Peering(
        kind="Exchange",
        location="westeurope",
        sku=arm.PeeringSku(name="Basic_Exchange_Free"),
        properties=arm.PeeringProperties(
            peering_location="Amsterdam",
            exchange=arm.PeeringPropertiesExchange(connections=list(connections), peer_asn=arm.SubResource(id=owner)),
        ),
    )
