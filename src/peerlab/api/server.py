"""Serves one lab's office over HTTPS until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvicorn

from peerlab.api.arm_app import application
from peerlab.api.certificate import certificates
from peerlab.api.token import Issuer
from peerlab.controller.auto_operator import AutoOperator
from peerlab.controller.office import Office
from peerlab.errors import RefusedError
from peerlab.evidence.store import LabStore

FOLDER = "api"
ENDPOINT = "endpoint.json"
LOOPBACK = "127.0.0.1"


class Endpoint(msgspec.Struct, frozen=True):
    """Where a lab is served: its URL and the authority to trust (None without TLS)."""

    url: str
    authority: str | None


class Service(msgspec.Struct, frozen=True):
    """How to serve: ``factor`` None leaves the operator's side to a person. ``port`` 0 takes any free one.

    ``clock`` is how many times faster than life measurements are made; None: as fast as the operator, or life.
    """

    lab: str
    host: str = LOOPBACK
    port: int = 8443
    tls: bool = True
    factor: float | None = None
    clock: float | None = None


def folder_of(lab: str) -> Path:
    """Where certificates, the issuer's secret and the endpoint of a lab stand. Raises RefusedError without a lab."""
    return LabStore.open(lab).path / FOLDER


def endpoint_of(lab: str) -> Endpoint:
    """Where a lab is served. Raises RefusedError when it is not."""
    path = folder_of(lab) / ENDPOINT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoint)
    except OSError as missing:
        raise RefusedError("NotServed", f"lab {lab} is not served; start `peerlab serve {lab}`") from missing


async def serve(service: Service, tell: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Raises RefusedError when the address or the lab is taken."""
    office = await Office.open(service.lab, tell, service.clock or service.factor or 1.0)
    try:
        await _serve(office, service, tell)
    finally:
        await office.close()


async def _serve(office: Office, service: Service, tell: Callable[[str], None]) -> None:
    folder = folder_of(service.lab)
    listening = _listen(service)
    port = listening.getsockname()[1]
    issuer = Issuer(folder, service.lab)
    hosts = dict.fromkeys((service.host, "localhost", LOOPBACK, "::1"))
    files = certificates(folder, service.lab, hosts) if service.tls else None
    config = uvicorn.Config(
        application(office, issuer),
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=5,
        ssl_certfile=files.server if files else None,
        ssl_keyfile=files.key if files else None,
    )
    server = uvicorn.Server(config)
    host = f"[{service.host}]" if ":" in service.host else service.host
    url = f"{'https' if files else 'http'}://{host}:{port}"
    endpoint = folder / ENDPOINT
    beside = endpoint.with_name(f".{ENDPOINT}.{os.getpid()}")
    beside.write_bytes(msgspec.json.encode(Endpoint(url, str(files.authority) if files else None)))
    beside.replace(endpoint)
    tell(f"lab {service.lab} is served at {url}")
    try:
        async with asyncio.TaskGroup() as group:
            behind = [group.create_task(office.keep_up()), group.create_task(office.monitoring.run())]
            if service.factor is not None:
                behind.append(group.create_task(AutoOperator(office, service.factor, tell).run()))
            await group.create_task(server.serve(sockets=[listening]))
            for task in behind:
                task.cancel()
    finally:
        endpoint.unlink(missing_ok=True)


def _listen(service: Service) -> socket.socket:
    """Bound before anything is said, so that the URL is true. Raises RefusedError."""
    try:
        version = ipaddress.ip_address(service.host).version
    except ValueError as wrong:
        raise RefusedError("BadHost", f"--host {service.host} is not an IP address; 127.0.0.1 is loopback") from wrong
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer waits 40 ms for an ACK.
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((service.host, service.port))
        listening.listen(128)
    except OSError as failure:
        listening.close()
        remedy = "; take another with --port" if failure.errno == errno.EADDRINUSE else ""
        raise RefusedError(
            "CannotListen", f"{service.host} port {service.port}: {failure.strerror}{remedy}"
        ) from failure
    return listening
