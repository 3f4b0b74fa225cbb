"""What every ARM call has in common, without a lab: paths, bodies, pages, and which refusal is which status."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from peerlab.api.arm_body import body_of
from peerlab.api.arm_operations import operation_names
from peerlab.api.arm_paging import filters_of, page_of
from peerlab.api.arm_protocol import canonical_path, refused_answer
from peerlab.errors import RefusedError
from peerlab.peering import refusal
from peerlab.peering.peering_resource import Peering


@pytest.mark.parametrize(
    ("given_path", "path"),
    [
        ("/SUBSCRIPTIONS/s/PROVIDERS/microsoft.PEERING/PEERASNS/MyAsn",
         "/subscriptions/s/providers/Microsoft.Peering/peerAsns/MyAsn"),
        # a name that is spelled like a word of ARM's stays as it is
        ("/subscriptions/PEERINGS/resourcegroups/PREFIXES/providers/Microsoft.Peering/peerings/PEERASNS",
         "/subscriptions/PEERINGS/resourceGroups/PREFIXES/providers/Microsoft.Peering/peerings/PEERASNS"),
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering/PEERINGS/p/REGISTEREDPREFIXES/x/VALIDATE",
         "/subscriptions/s/resourceGroups/g/providers/Microsoft.Peering/peerings/p/registeredPrefixes/x/validate"),
        ("/subscriptions/s/providers/microsoft.peering/CHECKSERVICEPROVIDERAVAILABILITY",
         "/subscriptions/s/providers/Microsoft.Peering/checkServiceProviderAvailability"),
        ("/", "/"),
        ("/nothing/of/ours", "/nothing/of/ours"),
    ],
)  # fmt: skip
def test_words_of_arm_have_any_case(given_path: str, path: str) -> None:
    assert canonical_path(given_path) == path


@pytest.mark.parametrize(
    ("method", "error", "status", "cause"),
    [
        ("PUT", refusal.bad_argument("no"), 400, "service"),
        ("GET", refusal.peering_not_found("p", "g"), 404, "gateway"),
        # documented for a PUT on the wrong peering type
        ("PUT", refusal.wrong_peering_type(), 405, "service"),
        # at the wrong time: spec 5b
        ("DELETE", refusal.not_supported("now"), 409, "service"),
        ("DELETE", RefusedError(refusal.CONFLICT, "used"), 409, "service"),
    ],
)
def test_each_refusal_has_its_status(method: str, error: RefusedError, status: int, cause: str) -> None:
    response = refused_answer(method, error)
    assert response.status_code == status
    assert response.headers["x-ms-failure-cause"] == cause
    assert json.loads(bytes(response.body)) == {"error": {"code": error.code, "message": error.message}}


def test_a_missing_child_has_the_flat_body() -> None:
    response = refused_answer("GET", refusal.child_not_found())
    assert (response.status_code, json.loads(bytes(response.body))) == (
        404,
        {"code": "NotFound", "message": "Resource does not exist."},
    )


def test_there_are_27_operations() -> None:
    names = [name for name, _, _ in operation_names()]
    assert len(set(names)) == len(names) == 27


def request(query: str = "", body: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http", "method": "GET", "path": "/x", "query_string": query.encode(), "headers": [],
        "scheme": "https", "server": ("127.0.0.1", 8443),
    }  # fmt: skip
    return Request(scope, receive)


def read(body: object) -> Peering:
    return asyncio.run(body_of(request(body=json.dumps(body).encode()), Peering))


def test_what_is_read_only_is_passed_over_whatever_it_says() -> None:
    plain = {"kind": "Direct", "properties": {"direct": {"connections": [{"useForPeeringService": True}]}}}
    loud: dict[str, Any] = {
        **plain,
        "id": 7,
        "name": ["x"],
        "systemData": {"createdBy": "me"},
        "unknown": {"a": 1},
        "tags": None,
        "sku": {"tier": "Nonsense"},
        "properties": {
            "provisioningState": "Nonsense",
            "direct": {
                "useForPeeringService": "nonsense",
                "connections": [
                    {"useForPeeringService": True, "connectionState": "Nonsense", "errorMessage": 5,
                     "provisionedBandwidthInMbps": "many", "microsoftTrackingId": 3}
                ],
            },
        },
    }  # fmt: skip
    assert read(loud) == read(plain)


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"\xff", b"[" * 100_000, b'{"kind": "Sideways"}', b"{}"])
def test_a_body_that_is_no_peering_is_a_bad_argument(body: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        asyncio.run(body_of(request(body=body), Peering))
    assert refused.value.code == "BadArgument"


@given(
    keys=st.sets(st.tuples(st.integers(0, 9), st.text("abc/ä", max_size=3)), max_size=30),
    size=st.integers(1, 7),
)
def test_pages_are_the_whole_list_in_order(keys: set[tuple[int, str]], size: int) -> None:
    """LAW: following nextLink gives every row once, in order, and the filters of the first call."""
    rows = [(key, list(key)) for key in sorted(keys)]
    seen: list[Any] = []
    query = "api-version=2025-05-01&asPath=1%202"
    while True:
        asked = request(query)
        filters = filters_of(asked, ("asPath",))
        assert filters == {"asPath": "1 2"}
        page = json.loads(bytes(page_of(asked, rows, filters, size).body))
        assert len(page["value"]) <= size
        seen += page["value"]
        if "nextLink" not in page:
            break
        query = page["nextLink"].partition("?")[2]
        assert query.startswith("api-version=2025-05-01&$skipToken=")
    assert seen == [list(key) for key in sorted(keys)]


@pytest.mark.parametrize("token", ["zz", "00", msgspec.json.encode([["a", 1], 5]).hex()])
def test_a_token_of_nobodys(token: str) -> None:
    with pytest.raises(RefusedError, match="skipToken"):
        page_of(request(f"$skipToken={token}"), [((1,), 1)])
