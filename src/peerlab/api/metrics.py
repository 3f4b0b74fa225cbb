"""Metrics of section 1.8 in Prometheus' text format, read from routers, kernels and probes at each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec
from fastapi import APIRouter, Response

from peerlab.controller.office import Office
from peerlab.controller.probe_monitor import ProbeRecord, key_of_probe, key_of_test
from peerlab.controller.traffic_meter import Place
from peerlab.errors import PeerlabError
from peerlab.peering.enums import SessionState

TEXT = "text/plain; version=0.0.4; charset=utf-8"

TRAFFIC_CLASS = "BestEffort"
"""The one class of traffic that a lab's wires know."""

Labels = tuple[tuple[str, str], ...]


class Sample(msgspec.Struct, frozen=True):
    """One value of a metric with its dimensions, which are Azure Monitor's; ``resource`` is whose it is."""

    metric: str
    resource: str
    labels: Labels
    value: float


METRICS: dict[str, tuple[str, str, str]] = {
    "SessionAvailability": ("gauge", "Count", "1 while the session is Established."),
    "FlapCounts_total": ("counter", "Count", "Times the session went down since its router started."),
    "IngressTrafficRate": ("gauge", "BitsPerSecond", "What the edge received on the wire, over the last minute."),
    "EgressTrafficRate": ("gauge", "BitsPerSecond", "What the edge sent on the wire, over the last minute."),
    "PacketDropRate": ("gauge", "BitsPerSecond", "Packets that the edge's interface dropped, at their mean size."),
    "IngressTraffic_bytes_total": ("counter", "Bytes", "What the edge received on the wire."),
    "EgressTraffic_bytes_total": ("counter", "Bytes", "What the edge sent on the wire."),
    "PacketDrops_total": ("counter", "Count", "Packets that the edge's interface dropped."),
    "RegisteredPrefixLatency": ("gauge", "MilliSeconds", "Median round trip from the edge, by window."),
    "AverageCustomerPrefixLatency": ("gauge", "MilliSeconds", "Mean over the prefixes of a registered ASN."),
    "ConnectivityProbeAvailability": ("gauge", "Percent", "Connectivity probes that were answered."),
    "ConnectivityProbeLatency": ("gauge", "MilliSeconds", "Mean round trip of connectivity probes."),
    "ConnectivityProbeJitter": ("gauge", "MilliSeconds", "Mean difference of successive round trips."),
    "RoundTripTime": ("gauge", "MilliSeconds", "Mean round trip of a connection monitor test."),
}
"""Every metric: its type, its unit, and what it is."""


async def samples(office: Office) -> list[Sample]:
    """Every value there is now. What was not measured yet has none."""
    return [
        *await _sessions(office),
        *await _traffic(office),
        *_latencies(office),
        *_probes(office),
    ]


def metrics(office: Office) -> APIRouter:
    """The scrape."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics")
    async def scrape() -> Response:
        return Response(prometheus(await samples(office)), media_type=TEXT)

    return router


def prometheus(found: Iterable[Sample]) -> str:
    """The exposition, every metric with its description."""
    by_metric: dict[str, list[Sample]] = {}
    for sample in found:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines = []
    for metric, (kind, unit, text) in METRICS.items():
        lines += [f"# HELP {metric} {text} ({unit})", f"# TYPE {metric} {kind}"]
        lines += [f"{metric}{_labelled(sample.labels)} {sample.value:g}" for sample in by_metric.get(metric, ())]
    return "\n".join(lines) + "\n"


async def _sessions(office: Office) -> list[Sample]:
    """Availability and flaps of every session on the edge; one that its router does not report is not available."""
    sessions = [(p, *found) for p in office.ledger.peerings.values() for found in office.sessions_of(p)]
    nodes = sorted({node for _, _, _, node in sessions})
    answers = await asyncio.gather(*(office.session_facts(node) for node in nodes))
    facts = {(fact.node, fact.session): fact for answer in answers for fact in answer}
    found = []
    for peering, connection, session, node in sessions:
        fact = facts.get((node, session))
        labels = _session_labels(peering.key, connection.identifier, _peer_address(office, session, node))
        up = fact is not None and fact.state == SessionState.ESTABLISHED
        found.append(Sample("SessionAvailability", peering.key, labels, float(up)))
        found.append(Sample("FlapCounts_total", peering.key, labels, float(fact.flaps if fact is not None else 0)))
    return found


async def _traffic(office: Office) -> list[Sample]:
    """Octets and rates of every session's wire; nothing when the cell does not answer."""
    known: list[tuple[str, Labels, Place]] = []
    for peering in office.ledger.peerings.values():
        for connection, session, node in office.sessions_of(peering):
            end, family = office.lab.model.session(session).end(node), office.lab.model.session(session).family
            if end.interface is None:
                continue
            labels = _session_labels(peering.key, connection.identifier, _peer_address(office, session, node))
            known.append((peering.key, (*labels, ("TrafficClass", TRAFFIC_CLASS)), (node, end.interface, family)))
    meter = office.monitoring.traffic
    try:
        counted = await meter.look(place for _, _, place in known)
    except PeerlabError:
        return []
    found = []
    for key, labels, place in known:
        octets, rates = counted.get(place), meter.rates(place)
        if octets is not None:
            found.append(Sample("IngressTraffic_bytes_total", key, labels, octets.received))
            found.append(Sample("EgressTraffic_bytes_total", key, labels, octets.sent))
            found.append(Sample("PacketDrops_total", key, labels, octets.dropped))
        if rates is not None:
            found.append(Sample("IngressTrafficRate", key, labels, rates.ingress))
            found.append(Sample("EgressTrafficRate", key, labels, rates.egress))
            found.append(Sample("PacketDropRate", key, labels, rates.drops))
    return found


def _latencies(office: Office) -> Iterator[Sample]:
    """By window; prefixes longer than /24 are told at /24."""
    ledger, latency = office.ledger, office.monitoring.latency
    for record in ledger.registered_prefixes.values():
        for line in latency.report(record.prefix):
            if line.median_ms is not None:
                labels: Labels = (
                    ("Peering", record.peering),
                    ("RegisteredPrefixName", record.name),
                    ("Prefix", line.reported_as),
                    ("Window", line.window),
                )
                yield Sample("RegisteredPrefixLatency", record.peering, labels, line.median_ms)
    for customer in ledger.registered_asns.values():
        prefixes = [p.prefix for p in ledger.prefixes.values() if p.prefix_key == customer.prefix_key]
        by_window: dict[str, list[float]] = {}
        for line in (line for prefix in prefixes for line in latency.report(prefix)):
            if line.median_ms is not None:
                by_window.setdefault(line.window, []).append(line.median_ms)
        for window, medians in by_window.items():
            labels = (("Peering", customer.peering), ("RegisteredAsnName", customer.name), ("Window", window))
            yield Sample("AverageCustomerPrefixLatency", customer.peering, labels, sum(medians) / len(medians))


def _probes(office: Office) -> Iterator[Sample]:
    records = office.monitoring.probes.records
    for peering in office.ledger.peerings.values():
        for number, asked in enumerate(peering.probes):
            record = records.get(key_of_probe(peering.key, number))
            aim, protocol = asked.endpoint or "", str(asked.protocol or "ICMP")
            labels: Labels = (("Peering", peering.key), ("Endpoint", aim), ("Protocol", protocol))
            if record is not None:
                yield from _probe(record, peering.key, labels)
    for key, test in office.ledger.monitor_tests.items():
        record = records.get(key_of_test(key))
        if record is not None and record.latency is not None:
            labels = (("PeeringService", test.service), ("ConnectionMonitorTestName", test.name))
            yield Sample("RoundTripTime", test.service, labels, record.latency)


def _probe(record: ProbeRecord, key: str, labels: Labels) -> Iterator[Sample]:
    for metric, value in (
        ("ConnectivityProbeAvailability", record.availability),
        ("ConnectivityProbeLatency", record.latency),
        ("ConnectivityProbeJitter", record.jitter),
    ):
        if value is not None:
            yield Sample(metric, key, labels, value)


def _session_labels(peering: str, connection: str, address: str) -> Labels:
    return (("Peering", peering), ("ConnectionId", connection), ("SessionIp", address))


def _peer_address(office: Office, session: str, node: str) -> str:
    return office.lab.model.session(session).other(node).address


def _labelled(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
