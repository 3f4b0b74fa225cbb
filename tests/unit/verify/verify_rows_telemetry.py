"""TEL: what the log and the capture say about the plain story."""

from __future__ import annotations

import msgspec
from verify_model import C4, CLOUD, P4
from verify_row import Row, nothing
from verify_scenario import OPENED, Scenario, ns, path, route

from peerlab.bgp.wire import MessageType
from peerlab.evidence.events import ConnectionStateChanged, RouterNotice, SessionStateChanged, SnapshotTaken
from peerlab.evidence.story import Moment

AS_ZERO = (64511, 0)


def malformed(s: Scenario) -> None:
    """A path with AS 0 at 300: treated as a withdrawal, and told (RFC 7607)."""
    s.announce("c1-4", "isp1", ["198.51.100.0/24"], 300.0, as_path=path(*AS_ZERO))
    octets = s.messages[-1].octets.hex()
    s.tell(RouterNotice(at=ns(300.1), node="ams1", session="c1-4", kind="withdrawn", text="AS 0", message=octets))


def _reasonless(s: Scenario) -> None:
    rib = s.node(Moment.UNDER_DENY, "ams1").adj_rib_in_post["c1-4"]
    s.hold(Moment.UNDER_DENY, "ams1", "adj_rib_in_post", "c1-4", msgspec.structs.replace(rib[0], reason=""))


def _nothing_rejected(s: Scenario) -> None:
    for moment in (Moment.UNDER_DENY, Moment.UNDER_DENY_STIMULATED):
        for name in list(s.snapshots[moment]):
            s.change(moment, name, adj_rib_in_pre={}, adj_rib_in_post={})


TELEMETRY_ROWS = (
    Row(
        "TEL-01",
        nothing,
        breaks={
            "a connection's step is left out": lambda s: s.forget(
                ConnectionStateChanged, connection="c1", after="Validating"
            ),
            "a session's step is told twice": lambda s: s.tell(
                SessionStateChanged(
                    at=ns(OPENED + 0.5), node="ams1", session="c1-4", before="OpenConfirm", after="Established"
                )
            ),
            "Established, and nobody says so": lambda s: s.forget(
                SessionStateChanged, node="isp1", session="c1-4", after="Established"
            ),
            "published three seconds late": lambda s: s.amend(
                SessionStateChanged, {"node": "isp1", "session": "c1-4", "after": "Established"}, at=ns(OPENED + 3.1)
            ),
        },
        lacks={
            "one connection is not in the log": lambda s: s.forget(ConnectionStateChanged, connection="c4"),
            "one session is not on the wire": lambda s: s.silence("c4-4"),
            "the trace has a gap": lambda s: s.lose("c3-4"),
        },
    ),
    Row(
        "TEL-06",
        malformed,
        breaks={
            "rejected without a reason": _reasonless,
            "received, and nothing became of it": lambda s: s.drop(
                Moment.UNDER_DENY, "ams1", "adj_rib_in_post", "c1-4", P4
            ),
            "treated as a withdrawal in silence": lambda s: s.forget(RouterNotice, node="ams1"),
        },
        lacks={
            "nothing was rejected": _nothing_rejected,
            "not read": lambda s: s.snapshots.pop(Moment.UNDER_DENY),
        },
    ),
    Row(
        "TEL-08",
        nothing,
        breaks={
            "a snapshot was not stored": lambda s: s.forget(SnapshotTaken, label="primary-lost"),
            "the wire says more than the RIB": lambda s: s.announce(
                "c1-4", "ams1", ["20.1.128.0/17"], 33.0, as_path=path(CLOUD)
            ),
            "the RIB says more than the wire": lambda s: s.hold(
                Moment.ALLOWED, "isp2", "adj_rib_in_pre", "c3-4", route("20.1.128.0/17", "c3-4", CLOUD)
            ),
            "a withdrawal is missing in the RIB": lambda s: s.withdraw("c1-4", "ams1", [C4], 33.0),
        },
        lacks={
            "the trace has a gap": lambda s: s.lose("c1-4"),
            "a message cannot be decoded": lambda s: s.say(
                "c1-4", "isp1", b"\xff" * 16 + (23).to_bytes(2, "big") + bytes([MessageType.UPDATE]) + b"\xff" * 4, 33.0
            ),
            "not read": lambda s: s.snapshots.pop(Moment.ALLOWED),
        },
    ),
)
