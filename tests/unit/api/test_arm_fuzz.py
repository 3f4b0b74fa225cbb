"""Whatever is sent to the API: an answer that its own description allows, never a 5xx, never a torn store.

Schemathesis makes the requests from the document that the application itself gives; the deeper ones are good requests
with something changed in them. All run against the ASGI application of an office whose lab is on paper.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from paper_office import PaperOffice, ledger_octets

from peerlab.controller.office import PEER_STIMULI
from peerlab.controller.provision import new_guid
from peerlab.controller.store import is_of_the_desk
from peerlab.errors import RefusedError
from peerlab.peering import command as ask
from peerlab.peering.legacy import legacy_of
from peerlab.peering.validation import SESSION_RULES
from peerlab.peering.verdict import RuleVerdict

EXAMPLES = 5
"""Requests of each kind to each operation; the whole file has to stay under 25 s."""

LEAST_OPERATIONS = 49

SUBSCRIPTION, GROUP = "s", "g"
KNOWN = {"subscription": SUBSCRIPTION, "group": GROUP, "peering": "p1", "service": "ps", "name": "hq"}
"""Path parameters that name what the office holds."""

S = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Peering"
G = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Peering"

PEER_ASN = {
    "properties": {
        "peerAsn": 64500,
        "peerName": "Fabrikam",
        "peerContactDetail": [{"role": "Noc", "email": "noc@fabrikam.example", "phone": "+31 20 000 0000"}],
    }
}
PEERING: dict[str, Any] = {
    "kind": "Direct",
    "location": "westeurope",
    "sku": {"name": "Premium_Direct_Free"},
    "tags": {"a": "b"},
    "properties": {
        "peeringLocation": "Amsterdam",
        "direct": {
            "peerAsn": {"id": f"{S}/peerAsns/hq"},
            "directPeeringType": "Edge",
            "connections": [
                {
                    "bandwidthInMbps": 10000,
                    "sessionAddressProvider": "Peer",
                    "peeringDBFacilityId": 1001,
                    "connectionIdentifier": identifier,
                    "useForPeeringService": True,
                    "bgpSession": {
                        "sessionPrefixV4": v4,
                        "maxPrefixesAdvertisedV4": 1000,
                        "sessionPrefixV6": v6,
                        "maxPrefixesAdvertisedV6": 100,
                        "md5AuthenticationKey": "secret",
                    },
                }
                for identifier, v4, v6 in (
                    ("c1", "198.19.1.142/31", "2001:db8:f001:8000::e/127"),
                    ("c2", "198.19.1.144/31", "2001:db8:f001:8000::10/127"),
                )
            ],
        },
        "connectivityProbes": [{"endpoint": "198.51.100.7", "azureRegion": "westeurope", "protocol": "ICMP"}],
    },
}
SERVICE = {
    "location": "westeurope",
    "sku": {"name": "Residential_Free"},
    "properties": {
        "peeringServiceLocation": "Amsterdam",
        "peeringServiceProvider": "fabrikam",
        "providerPrimaryPeeringLocation": "Amsterdam",
    },
}
GOOD: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PUT", f"{S}/peerAsns/hq", PEER_ASN),
    ("PUT", f"{G}/peerings/p1", PEERING),
    ("PATCH", f"{G}/peerings/p1", {"tags": {"c": "d"}}),
    ("PUT", f"{G}/peerings/p1/registeredPrefixes/hq", {"properties": {"prefix": "203.0.113.0/24"}}),
    ("PUT", f"{G}/peerings/p1/registeredAsns/hq", {"properties": {"asn": 64501}}),
    ("PUT", f"{G}/peeringServices/ps", SERVICE),
    ("PUT", f"{G}/peeringServices/ps/prefixes/hq", {"properties": {"prefix": "203.0.113.0/24"}}),
    (
        "PUT",
        f"{G}/peeringServices/ps/connectionMonitorTests/hq",
        {"properties": {"sourceAgent": "a", "destination": "198.51.100.1", "testFrequencyInSec": 30}},
    ),
    ("POST", f"{S}/checkServiceProviderAvailability", {"peeringServiceProvider": "x", "peeringServiceLocation": "y"}),
    ("POST", "/operator/v1/approve", {"on": "s/g/p1", "connection": "c1"}),
    ("POST", "/operator/v1/sign-agreement", {"on": "64500"}),
    ("POST", "/operator/v1/seed-legacy", {"on": "nobody"}),
)

LONG_ASN = f"api-version=2025-05-01&peeringLocation=Dublin&kind=Direct&asn={'9' * 5000}"
"""More digits than Python turns into a number: it was a 500 once."""

HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 0, 2**31, 2**63, 2**64, 1e308, -0.0]),
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "\n", "/", "..", "a" * 5000, "é", "İ", "\U0010ffff", "0.0.0.0/0", "::/0", "1.2.3.4/31", "::1%eth0",
         "10.0.0.0/33", "192.0.2.1/", "1/2/3", "９", "9" * 5000, "-1", "Direct", "Exchange", "IxRs", "Voice"]
    ),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


class Held:
    """One office for the whole module, on an event loop of its own: every kind of resource is there, p1 is Active."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.office = self._open()
        self.furnish()

    def furnish(self) -> None:
        """What somebody has deleted comes back."""
        self.call("PUT", f"{S}/peerAsns/hq", PEER_ASN)
        self.call("POST", "/operator/v1/approve-asn", {"on": "s/hq"})
        self.call("POST", "/operator/v1/sign-agreement", {"on": "64500"})
        self.call("PUT", f"{G}/peerings/p1", PEERING)
        for label in ("c1", "c2"):
            at = {"peering": "s/g/p1", "connection": label}
            with contextlib.suppress(RefusedError):
                for command in (ask.ApproveConnection(**at), ask.NotifyReady(**at), ask.ProvisionSessions(**at)):
                    self.office.office.ask(command)
                self.office.office.ask(ask.JudgeValidation(**at, verdicts=PASSED))
                self.office.office.ask(ask.OpenPolicy(**at))
        office = self.office.office
        apart = next(p for p in office.base.peerings if p.peering_location == "Dublin")
        legacy = legacy_of(apart, office.catalogue, new_guid)
        if legacy.key not in office.ledger.legacy:
            with contextlib.suppress(RefusedError):
                office.ask(ask.SeedLegacy(legacy=legacy))
        for method, path, body in GOOD:
            if method == "PUT" and "/p" in path:
                self.call(method, path, body)

    def _open(self) -> PaperOffice:
        async def make() -> PaperOffice:
            return PaperOffice(self.directory, "peering-service.yaml")

        return self.loop.run_until_complete(make())

    def call(self, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
        return self.loop.run_until_complete(self.office.call(method, path, body, **more))

    def exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        return self.loop.run_until_complete(self.office.exchange(method, path, body, headers))

    def octets(self) -> bytes:
        return ledger_octets(self.office.office.ledger)

    def reopen(self) -> None:
        self.loop.run_until_complete(self.office.close())
        self.office = self._open()

    def close(self) -> None:
        self.loop.run_until_complete(self.office.close())
        self.loop.close()


PASSED = tuple(RuleVerdict(rule=rule, passed=True) for rule in SESSION_RULES)

@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    place = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEERLAB_STATE", str(place))
        made = Held(place)
        yield made
        made.close()


quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_operation_answers_as_described(held: Held, mode: str) -> None:
    import schemathesis  # two seconds, which those who only collect tests need not wait for

    schema = schemathesis.openapi.from_dict(held.call("GET", "/openapi.json")[1])
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= LEAST_OPERATIONS
    for operation in operations:
        hold(held, schema, operation, schemathesis.GenerationMode(mode))


def hold(held: Held, schema: Any, operation: Any, mode: Any) -> None:
    """Requests to one operation; half of them are about what there is."""
    from schemathesis import Response
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    known = {one: text for one, text in KNOWN.items() if f"{{{one}}}" in operation.path}
    anything = schema.get_case_strategy(operation, generation_mode=mode)
    cases = anything
    if known:
        cases = st.one_of(
            schema.get_case_strategy(operation, generation_mode=mode, path_parameters=known), anything
        )

    @quick
    @given(case=cases)
    def answers(case: Any) -> None:
        prepared = requests.Request(**_transport(case)).prepare()
        status, octets = send(held, prepared)
        told = (operation.method, prepared.url, prepared.body, octets)
        assert status < 500 or expected_of_paper(octets), told
        if operation.path != "/metrics":
            headers = {"content-type": ["application/json; charset=utf-8"]} if octets else {}
            answered = Response(status, headers, octets, prepared, 0.0, True)
            case.validate_response(answered, checks=[status_code_conformance, response_schema_conformance])

    answers()


def _transport(case: Any) -> dict[str, Any]:
    kwargs = case.as_transport_kwargs(base_url="https://127.0.0.1:8443")
    return {k: v for k, v in kwargs.items() if k in ("method", "url", "params", "headers", "json", "data", "cookies")}


def send(held: Held, prepared: requests.PreparedRequest) -> tuple[int, bytes]:
    """What would go over the wire, put to the application."""
    parts = urlsplit(str(prepared.url))
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    headers = {k: v if isinstance(v, str) else v.decode("latin-1") for k, v in prepared.headers.items()}
    headers.pop("Authorization", None)
    return held.exchange(str(prepared.method), unquote(parts.path) + "?" + parts.query, body or b"", headers)


def expected_of_paper(octets: bytes) -> bool:
    """On paper no router runs, and whoever asks for one is told so: that 500 is the lab's, not the API's."""
    return b"it is on paper" in octets or b"the fake runtime" in octets


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, the whole included."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from places(item, (*here, name))


def changed(body: Any, place: tuple[Any, ...], value: Any, how: str) -> Any:
    if not place:
        return value
    made = copy.deepcopy(body)
    around = made
    for name in place[:-1]:
        around = around[name]
    if how == "gone" and isinstance(around, dict):
        del around[place[-1]]
    elif how == "twice" and isinstance(around, list):
        around.append(copy.deepcopy(around[place[-1]]))
    else:
        around[place[-1]] = value
    return made


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A good request with one to three things changed; sometimes under another name."""
    method, path, body = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        if isinstance(body, dict | list):
            place = draw(st.sampled_from(list(places(body))))
            body = changed(body, place, draw(HOSTILE), draw(st.sampled_from(["set", "set", "gone", "twice"])))
    if draw(st.integers(0, 3)) == 0 and not path.startswith("/operator"):
        name = draw(st.text(st.characters(exclude_characters="/?", codec="utf-8"), min_size=1, max_size=8))
        path = f"{path.rpartition('/')[0]}/{name}"
    return method, path, body


@settings(quick, max_examples=400)
@given(asked=spoiled())
@example(asked=("POST", "/operator/v1/sign-agreement", {"on": "9" * 5000}))
def test_a_good_request_with_something_wrong_in_it(held: Held, asked: tuple[str, str, Any]) -> None:
    method, path, body = asked
    before = held.octets()
    try:
        octets = msgspec.json.encode(body)
    except (UnicodeEncodeError, OverflowError, msgspec.MsgspecError):
        octets = repr(body).encode("utf-8", "replace")
    status, answered = held.call(method, path, octets)
    if status >= 500:
        assert expected_of_paper(msgspec.json.encode(answered)), (method, path, octets, answered)
    if status >= 400:
        assert is_an_error(answered), answered
        assert held.octets() == before, "a refusal changes nothing"
    if status == 201:
        assert held.call("GET", path)[1] == answered, "what was answered is what is there"


@settings(quick, max_examples=150)
@given(
    headers=st.dictionaries(
        st.sampled_from(["host", "authorization", "content-length", "x-ms-correlation-request-id", "accept", "cookie",
                         "x-ms-client-request-id", "x-ms-return-client-request-id", "transfer-encoding", "expect"]),
        st.one_of(
            st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30),
            st.sampled_from(["[", "[::1", "a:b:c", "Bearer", "Bearer a.b.c", "Bearer ..", "Bearer é", "true", "-1"]),
        ),
        max_size=3,
    ),
    query=st.one_of(
        st.text(max_size=30),
        st.sampled_from(["api-version=2025-05-01&$skipToken=5b5d", "api-version=2025-05-01&api-version=",
                         "api-version=2025-05-01&$skipToken=" + b'[[1],{"a":"b"}]'.hex(),
                         "api-version=2019-03-01-preview", "API-VERSION=2025-05-01",
                         LONG_ASN,
                         "api-version=2025-05-01&peeringLocation=Amsterdam&kind=Direct&asn=٣"]),
    ),
    path=st.sampled_from([f"{S}/peerAsns", f"{S}/legacyPeerings", f"{G}/peerings", f"{G}/peerings/p1", "/x", "/", "//",
                          "/operator/v1/desk", "/metrics", f"{G}/peerings/p1/receivedRoutes", f"{S}/peerAsns/\ufffd"]),
    method=st.sampled_from(["GET", "PUT", "DELETE", "PATCH", "POST", "HEAD", "OPTIONS", "TRACE", "BREW"]),
)  # fmt: skip
@example(headers={}, query=LONG_ASN, path=f"{S}/legacyPeerings", method="GET")
@example(headers={"host": "["}, query="api-version=2025-05-01", path="/x", method="GET")
@example(headers={"host": "a:b:c"}, query="api-version=2025-05-01", path=f"{S}/x", method="PUT")
def test_hostile_headers_and_queries(
    held: Held, headers: dict[str, str], query: str, path: str, method: str
) -> None:
    status, octets = held.exchange(method, f"{path}?{query}", b"", headers)
    assert status < 500 or expected_of_paper(octets), octets
    if status >= 400 and method != "HEAD":
        assert is_an_error(msgspec.json.decode(octets)), octets


def is_an_error(answered: Any) -> bool:
    """Azure's nested body or its flat one, and nothing else."""
    if isinstance(answered, dict) and set(answered) == {"error"}:
        answered = answered["error"]
    return (
        isinstance(answered, dict)
        and set(answered) == {"code", "message"}
        and all(isinstance(text, str) and text for text in answered.values())
    )


def test_after_all_that_lists_are_the_sum_of_their_resources_and_the_store_opens_to_the_same(held: Held) -> None:
    held.furnish()
    for path in (f"{S}/peerAsns", f"{G}/peerings", f"{G}/peerings/p1/registeredPrefixes", f"{G}/peeringServices",
                 f"{G}/peeringServices/ps/prefixes", f"{G}/peeringServices/ps/connectionMonitorTests"):  # fmt: skip
        listed = held.call("GET", path)[1]["value"]
        assert listed, path
        for resource in listed:
            assert held.call("GET", resource["id"]) == (200, resource)
    before = held.octets()
    held.reopen()
    assert held.octets() == before
    log = held.office.office.lab.log
    assert [event for event in log.read() if is_of_the_desk(event, PEER_STIMULI)] == list(
        held.office.office.store.events()
    )
