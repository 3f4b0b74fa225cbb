"""``connectionMonitorTests`` of a peering service, and ``initializeConnectionMonitor`` (spec 1.2, 1.4)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from peerlab.api.arm_body import body_of
from peerlab.api.arm_paging import by_key, page_of
from peerlab.api.arm_peerings import SUBSCRIPTION
from peerlab.api.arm_protocol import answer
from peerlab.api.arm_services import SERVICE, found_service
from peerlab.controller.office import Office
from peerlab.controller.probe_monitor import key_of_test
from peerlab.peering.command import DeleteMonitorTest, InitializeMonitor, PutMonitorTest
from peerlab.peering.received_route import ConnectionMonitorTest
from peerlab.peering.record import MonitorTestRecord, PeeringServiceRecord
from peerlab.peering.refusal import child_not_found
from peerlab.peering.scope import Scope
from peerlab.peering.view import monitor_test_resource

TESTS = SERVICE + "/connectionMonitorTests"


def connection_monitor_tests(office: Office) -> APIRouter:
    """The operations on tests; result and path are those of the last packets."""
    router = APIRouter(tags=["connectionMonitorTests"])

    def published(record: MonitorTestRecord, service: PeeringServiceRecord) -> ConnectionMonitorTest:
        run = office.monitoring.probes.records.get(key_of_test(record.key))
        return monitor_test_resource(record, service, run.success if run else None, run.path if run else ())

    @router.post(SUBSCRIPTION + "/initializeConnectionMonitor")
    async def initialize(subscription: str) -> Response:
        office.ask(InitializeMonitor(subscription=subscription))
        return Response(status_code=200)

    @router.get(TESTS)
    async def list_tests(subscription: str, group: str, service: str, request: Request) -> Response:
        parent = found_service(office, subscription, group, service)
        ours = {k: r for k, r in office.ledger.monitor_tests.items() if r.service == parent.key}
        return page_of(request, by_key({k: published(r, parent) for k, r in ours.items()}))

    @router.get(TESTS + "/{name}")
    async def get_test(subscription: str, group: str, service: str, name: str) -> Response:
        parent = found_service(office, subscription, group, service)
        record = office.ledger.monitor_tests.get(f"{parent.key}/{name}".lower())
        if record is None:
            raise child_not_found()
        return answer(published(record, parent))

    @router.put(TESTS + "/{name}")
    async def put_test(subscription: str, group: str, service: str, name: str, request: Request) -> Response:
        body = await body_of(request, ConnectionMonitorTest)
        parent = found_service(office, subscription, group, service)
        key = f"{parent.key}/{name}".lower()
        existed = key in office.ledger.monitor_tests
        office.ask(PutMonitorTest(service=parent.key, name=name, properties=body.properties))
        return answer(published(office.ledger.monitor_tests[key], parent), 200 if existed else 201)

    @router.delete(TESTS + "/{name}")
    async def delete_test(subscription: str, group: str, service: str, name: str) -> Response:
        key = f"{Scope(subscription=subscription, resource_group=group).key(service)}/{name}".lower()
        if key not in office.ledger.monitor_tests:
            return Response(status_code=204)
        office.ask(DeleteMonitorTest(test=key))
        return Response(status_code=200)

    return router
