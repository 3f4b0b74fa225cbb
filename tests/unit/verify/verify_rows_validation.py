"""VAL: the paper, the routes of service/cust-v4 (primary amsterdam, backup london), and the packets."""

from __future__ import annotations

import msgspec
from verify_model import CUSTOMER, ISP, P4, session_id
from verify_row import Row, nothing
from verify_scenario import MAPS, Scenario, ns, path, route

from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import (
    ConnectionStateChanged,
    PathTraced,
    ProbeAnswered,
    ResourceChanged,
    TransitionRefused,
    ValidationJudged,
)
from peerlab.evidence.snapshot import KernelRoute
from peerlab.evidence.story import Moment

SERVICE = "service/cust-v4"


def held_back(s: Scenario) -> None:
    """isp-lon/c3 fails once at 28 and is judged again with the others at 29.1."""
    no = "20.0.0.0/8 is a default route"
    s.tell(ValidationJudged(at=ns(28.0), subject="isp-lon/c3", rule="POL-10", passed=False, message=no))


def _offer(s: Scenario, **changed: object) -> None:
    """Change what ams2 received of the service prefix when it was activated."""
    rib = s.node(Moment.ACTIVATED, "ams2").adj_rib_in_pre["c2-4"]
    worse = msgspec.structs.replace(rib[0], attributes=msgspec.structs.replace(rib[0].attributes, **changed))
    s.hold(Moment.ACTIVATED, "ams2", "adj_rib_in_pre", "c2-4", worse)


def _unreceived(s: Scenario) -> None:
    s.drop(Moment.ACTIVATED, "ams2", "adj_rib_in_pre", "c2-4", P4)


def _unread(s: Scenario) -> None:
    s.snapshots.pop(Moment.ACTIVATED)


def _body(s: Scenario, kind: str, name: str, **changed: object) -> None:
    """Change the body of a resource in every event about it."""
    hit = 0
    for i, event in enumerate(s.events):
        if isinstance(event, ResourceChanged) and (event.kind, event.name) == (kind, name) and event.body is not None:
            s.events[i] = msgspec.structs.replace(event, body={**event.body, **changed})
            hit += 1
    assert hit


def _facility(s: Scenario, value: int) -> None:
    labels = [{"label": "c3", "facility_id": value, "v4": {"max_prefixes": 9}, "v6": {"max_prefixes": 9}}]
    _body(s, "peerings", "isp-lon", connections=labels)


def _registry(s: Scenario, origin: int) -> None:
    entries = tuple(msgspec.structs.replace(e, origin_asn=origin) if e.prefix == P4 else e for e in s.model.registry)
    s.model = msgspec.structs.replace(s.model, registry=entries)


def _private_prefix(s: Scenario) -> None:
    service = s.model.services[0]
    request = msgspec.structs.replace(service.prefixes[0], prefix="10.1.0.0/16")
    changed = msgspec.structs.replace(service, prefixes=(request,))
    s.model = msgspec.structs.replace(s.model, services=(changed,))


def desk(rule: str) -> dict[str, object]:
    """Mutations of what the desk says of a rule."""
    return {
        "the desk did not judge it": lambda s: s.forget(ValidationJudged, subject=SERVICE, rule=rule),
    }


def desk_failed(rule: str) -> dict[str, object]:
    where = {"subject": SERVICE, "rule": rule}
    return {"the desk says it failed": lambda s: s.amend(ValidationJudged, where, passed=False, message="no")}


def _kernel(s: Scenario, node: str, prefix: str, **changed: object) -> None:
    kernel = s.node(Moment.ALLOWED, node).kernel
    hit = [k for k in kernel if k.prefix == prefix and k.protocol == 186]
    assert hit
    fresh = tuple(msgspec.structs.replace(k, **changed) if k in hit else k for k in kernel)
    s.change(Moment.ALLOWED, node, kernel=fresh)


def _uninstalled(s: Scenario) -> None:
    kernel = s.node(Moment.ALLOWED, "sin1").kernel
    s.change(Moment.ALLOWED, "sin1", kernel=tuple(k for k in kernel if k.prefix != P4))


def _leftover(s: Scenario) -> None:
    kernel = s.node(Moment.ALLOWED, "sin1").kernel
    stale = KernelRoute(prefix=Prefix("198.18.0.0/24"), gateway=Address("192.0.2.24"), protocol=186)
    s.change(Moment.ALLOWED, "sin1", kernel=(*kernel, stale))


def _around(s: Scenario) -> None:
    """The path from the service to the customer goes over transit."""
    where = {"name": "allowed", "source": "host-svc", "family": "ipv4"}
    s.amend(PathTraced, where, nodes=("sin1", "lon1", "transit", "isp1", "cust", "host-cust"))


def _astray(s: Scenario) -> None:
    where = {"name": "allowed", "source": "ams1", "family": "ipv4"}
    s.amend(PathTraced, where, nodes=("ams2", "isp1", "cust", "host-cust"))


def _silent(s: Scenario) -> None:
    s.amend(PathTraced, {"name": "allowed", "destination": "host-cust"}, nodes=(None, None, None, None, None))


def _other_at_london(s: Scenario) -> None:
    s.hold(Moment.ALLOWED, "lon1", "adj_rib_in_pre", "c3-4", route(P4, "c3-4", ISP, ISP, CUSTOMER, communities=(MAPS,)))


def _nothing_at_all(s: Scenario) -> None:
    for edge, name in (("ams1", "c1"), ("ams2", "c2"), ("lon1", "c3")):
        for family in Family:
            ribs = dict(s.node(Moment.ALLOWED, edge).adj_rib_in_pre)
            s.change(Moment.ALLOWED, edge, adj_rib_in_pre={**ribs, session_id(name, family): ()})


PAPER_ROWS = (
    Row(
        "VAL-01",
        nothing,
        breaks={
            "straight to Active": lambda s: s.forget(
                ConnectionStateChanged, connection="c2", after="ProvisioningCompleted"
            ),
            "a move that is in no table": lambda s: s.amend(
                ConnectionStateChanged, {"connection": "c1", "after": "Validating"}, after="PendingRemove"
            ),
        },
        lacks={
            "one connection is not in the log": lambda s: s.forget(ConnectionStateChanged, connection="c4"),
            "nothing illegal was tried": lambda s: [
                s.forget(TransitionRefused, request=request)
                for request in ("PutPeering", "DeletePeering", "PutRegisteredPrefix")
            ],
        },
    ),
    Row(
        "VAL-02",
        held_back,
        breaks={
            "Active while a rule fails": lambda s: s.amend(
                ValidationJudged, {"subject": "isp-ams/c1", "rule": "POL-12"}, passed=False, message="AS 12076"
            ),
            "Active while a rule was not run": lambda s: s.forget(
                ValidationJudged, subject="isp-ams/c1", rule="POL-13"
            ),
        },
        lacks={
            "nobody was ever seen failing": lambda s: s.forget(ValidationJudged, subject="isp-lon/c3", passed=False),
            "one never became Active": lambda s: s.forget(ConnectionStateChanged, connection="c4", after="Active"),
        },
    ),
    Row(
        "VAL-03",
        nothing,
        breaks={
            "taken while Pending": lambda s: s.amend(
                ResourceChanged, {"kind": "peerAsns", "name": "isp", "at": ns(1.8)}, at=ns(2.5)
            ),
        },
        lacks={
            "never refused before approval": lambda s: s.forget(TransitionRefused, request="PutPeering"),
            "the PeerAsn is not in the log": lambda s: s.forget(ResourceChanged, kind="peerAsns", name="ixp"),
        },
    ),
    Row(
        "VAL-04",
        nothing,
        breaks={
            "no phone": lambda s: _body(
                s, "peerAsns", "isp", contacts=[{"role": "Noc", "email": "noc@example.net", "phone": ""}]
            ),
            "no NOC": lambda s: _body(
                s, "peerAsns", "isp", contacts=[{"role": "Policy", "email": "a@example.net", "phone": "1"}]
            ),
            "no facility": lambda s: _facility(s, 0),
        },
        lacks={
            "the PeerAsn is not in the log": lambda s: s.forget(ResourceChanged, kind="peerAsns", name="isp"),
            "the peering is not in the log": lambda s: s.forget(ResourceChanged, kind="peerings", name="ix"),
        },
    ),
    Row(
        "VAL-07",
        nothing,
        breaks={"verified with a wrong key": lambda s: _body(s, "prefixes", SERVICE, prefix_key="wrong")},
        lacks={
            "no wrong key was tried": lambda s: s.forget(ValidationJudged, rule="VAL-07", passed=False),
            "never verified": lambda s: s.forget(ResourceChanged, kind="prefixes", at=ns(84.0)),
        },
    ),
    Row(
        "VAL-13",
        nothing,
        breaks={
            "registered under two peerings": lambda s: s.tell(
                ResourceChanged(
                    at=ns(85.0),
                    kind="registeredPrefixes",
                    name="isp-lon/cust-v4",
                    change="created",
                    body={"prefix": P4, "prefix_key": "key-3"},
                )
            ),
        },
        lacks={"nobody tried": lambda s: s.forget(TransitionRefused, request="PutRegisteredPrefix")},
    ),
)

ROUTE_ROWS = (
    Row(
        "VAL-05",
        nothing,
        breaks={"a private prefix": _private_prefix, **desk_failed("VAL-05")},  # type: ignore[dict-item]
        lacks=desk("VAL-05"),  # type: ignore[arg-type]
    ),
    Row(
        "VAL-06",
        nothing,
        breaks={
            "the registry names another origin": lambda s: _registry(s, ISP),
            "another AS is the origin": lambda s: _offer(s, as_path=path(ISP)),
            **desk_failed("VAL-06"),  # type: ignore[dict-item]
        },
        lacks={"not received": _unreceived, "not read": _unread, **desk("VAL-06")},  # type: ignore[dict-item]
    ),
    Row(
        "VAL-08",
        nothing,
        breaks={"missing on one session": _unreceived, **desk_failed("VAL-08")},  # type: ignore[dict-item]
        lacks={
            "not on the wire": lambda s: s.silence("c2-4", MessageType.UPDATE, "isp1"),
            "the trace has a gap": lambda s: [s.silence("c2-4", MessageType.UPDATE, "isp1"), s.lose("c2-4")],
            "not read": _unread,
            **desk("VAL-08"),  # type: ignore[dict-item]
        },
    ),
    Row(
        "VAL-09",
        nothing,
        breaks={"without the community": lambda s: _offer(s, communities=()), **desk_failed("VAL-09")},  # type: ignore[dict-item]
        lacks={"not received": _unreceived, "not read": _unread, **desk("VAL-09")},  # type: ignore[dict-item]
    ),
    Row(
        "VAL-10",
        nothing,
        breaks={
            "four AS": lambda s: _offer(s, as_path=path(ISP, 64499, 64498, CUSTOMER)),
            "a private AS": lambda s: _offer(s, as_path=path(ISP, 65000)),
            "prepended": lambda s: _offer(s, as_path=path(ISP, CUSTOMER, CUSTOMER)),
            **desk_failed("VAL-10"),  # type: ignore[dict-item]
        },
        lacks={"not received": _unreceived, "not read": _unread, **desk("VAL-10")},  # type: ignore[dict-item]
    ),
    Row(
        "VAL-11",
        nothing,
        breaks={
            "one router at the primary location": lambda s: s.fact(Moment.ACTIVATED, "ams2", "c2-4", state="Idle"),
            "no session at the backup location": lambda s: s.fact(Moment.ACTIVATED, "lon1", "c3-4", state="Idle"),
            **desk_failed("VAL-11"),  # type: ignore[dict-item]
        },
        lacks={"not read": _unread, **desk("VAL-11")},  # type: ignore[dict-item]
    ),
    Row(
        "VAL-12",
        nothing,
        breaks={
            "another path at the other location": _other_at_london,
            "missing at the other location": lambda s: s.drop(
                Moment.ALLOWED, "lon1", "adj_rib_in_pre", "c3-6", "2001:db8:10::/48"
            ),
        },
        lacks={
            "nothing announced anywhere": _nothing_at_all,
            "not read": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
)

PACKET_ROWS = (
    Row(
        "VAL-14",
        nothing,
        breaks={
            "no answer over TCP and IPv6": lambda s: s.amend(ProbeAnswered, {"protocol": "tcp-ipv6"}, received=0),
            "the path goes around": _around,
            "the path ends early": lambda s: s.amend(
                PathTraced, {"name": "allowed", "source": "host-cust", "family": "ipv6"}, reached=False
            ),
        },
        lacks={
            "one protocol was not tried": lambda s: s.forget(ProbeAnswered, protocol="icmp-ipv6"),
            "one direction was not tried": lambda s: s.forget(ProbeAnswered, source="host-cust"),
            "one family was not traced": lambda s: s.forget(PathTraced, name="allowed", family="ipv6"),
            "silent hops": _silent,
        },
    ),
    Row(
        "VAL-15",
        nothing,
        breaks={
            "told, not heard": lambda s: s.drop(Moment.ALLOWED, "ams2", "adj_rib_in_pre", "c2-4", P4),
            "heard, not told": lambda s: s.drop(Moment.ALLOWED, "isp1", "adj_rib_out", "c2-4", P4),
            "heard otherwise": lambda s: s.hold(
                Moment.ALLOWED, "ams2", "adj_rib_in_pre", "c2-4", route(P4, "c2-4", ISP, 64499, CUSTOMER)
            ),
            "best, not in the kernel": _uninstalled,
            "in the kernel, not best": _leftover,
            "another gateway": lambda s: _kernel(s, "ams1", P4, gateway=Address("192.0.2.21")),
            "the packet went elsewhere": _astray,
        },
        lacks={
            "nothing was traced": lambda s: s.forget(PathTraced, name="allowed"),
            "a router is missing": lambda s: s.snapshots[Moment.ALLOWED].pop("isp2"),
            "not read": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
)

VALIDATION_ROWS = (*PAPER_ROWS, *ROUTE_ROWS, *PACKET_ROWS)
