"""SES-12 and FLV-06: BFD's gate and the paths that it watches over, on examiners' sessions (``x-…``)."""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec
from verify_model import P4
from verify_row import Row
from verify_scenario import Scenario, ns

from peerlab.bgp.bfd_packet import BfdState, ControlPacket, encode
from peerlab.bgp.config import BfdConfig
from peerlab.evidence.events import BfdStateChanged, SessionStateChanged
from peerlab.evidence.snapshot import BfdFact
from peerlab.evidence.story import Moment
from peerlab.evidence.story_liveness import LivenessStimulus

EDGE, EXAM = "192.0.2.1", "192.0.2.0"
EDGE6, EXAM6 = "2001:db8:e::1", "2001:db8:e::"
AGREED = {"interval_ms": 300, "multiplier": 3, "peer": "exam"}
UP, DOWN, ADMIN = BfdState.UP, BfdState.DOWN, BfdState.ADMIN_DOWN
Frame = list[object]


def frame(
    at: float, source: str, state: BfdState, *, hops: int = 255, ports: tuple[int, int] = (49200, 3784), **more: object
) -> Frame:
    """A BFD packet as an Ethernet frame; by default as agreed."""
    v6 = ":" in source
    other = {EDGE: EXAM, EXAM: EDGE, EDGE6: EXAM6, EXAM6: EDGE6}[source]
    given = {
        "state": state,
        "my_discriminator": 1 if source in (EDGE, EDGE6) else 2,
        "your_discriminator": 3,
        "detect_mult": 3,
        "desired_min_tx": 300_000 if state is UP else 1_000_000,
        "required_min_rx": 300_000,
    }
    payload = encode(ControlPacket(**{**given, **more}))  # type: ignore[arg-type]
    datagram = b"".join(n.to_bytes(2, "big") for n in (*ports, 8 + len(payload), 0)) + payload
    if v6:
        ends = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in (source, other))
        packet = bytes.fromhex("60000000") + len(datagram).to_bytes(2, "big") + bytes([17, hops]) + ends + datagram
    else:
        ends = b"".join(map(socket.inet_aton, (source, other)))
        length = (20 + len(datagram)).to_bytes(2, "big")
        packet = bytes.fromhex("4500") + length + bytes(4) + bytes([hops, 17, 0, 0]) + ends + datagram
    octets = bytes(12) + (b"\x86\xdd" if v6 else b"\x08\x00") + packet
    return [ns(at), "out" if source in (EDGE, EDGE6) else "in", octets.hex()]


def rhythm(edge: str = EDGE, exam: str = EXAM) -> list[Frame]:
    """Down every 0.9 s, Up from 51.0 on every 0.28 s, at both ends; a Final in between counts for nothing."""
    found = [frame(50.1, edge, DOWN), frame(51.0, edge, UP, poll=True), frame(51.001, exam, UP, poll=True)]
    found += [frame(51.002, edge, UP, final=True), frame(51.003, exam, UP, final=True)]
    for n in range(1, 5):
        found += [frame(51.0 + 0.28 * n, edge, UP), frame(51.001 + 0.28 * n, exam, UP)]
    return found


def gate(s: Scenario) -> None:
    """BFD is Up at 51; the examiner had announced at 50.5, the edge announces at 51.1. AdminDown at 53, until 54.2."""
    for family, session, edge, exam, prefix in (
        ("ipv4", "x-gate-4", EDGE, EXAM, "198.19.128.0/24"),
        ("ipv6", "x-gate-6", EDGE6, EXAM6, "2001:db8:f000::/48"),
    ):
        told = P4 if family == "ipv4" else "2001:db8:100::/48"
        did = {**AGREED, "trial": family, "addresses": [edge, exam], "offered": prefix, "told": told}
        s.announce(session, "exam", [prefix], 50.5, receiver="ams1")
        s.announce(session, "ams1", [told], 51.1, receiver="exam")
        saw = {
            "trial": family,
            "session": session,
            "established": True,
            "held_received": 0,
            "held_advertised": 0,
            "bfd_up": True,
            "received": 1,
            "advertised": 1,
            "frames": rhythm(edge, exam),
        }
        s.trial(LivenessStimulus.BFD_GATE, "ams1", session, did, saw, at=50.0, until=52.5)  # type: ignore[arg-type]
        after = [frame(53.05, exam, ADMIN), frame(53.06, edge, DOWN), frame(54.0, exam, ADMIN)]
        s.trial(
            LivenessStimulus.BFD_ADMIN_DOWN,  # type: ignore[arg-type]
            "ams1",
            session,
            {**AGREED, "trial": family, "addresses": [edge, exam]},
            {"trial": family, "session": session, "state": "Down", "uptime_kept": True, "frames": after},
            at=53.0,
            until=54.2,
        )


def frames(
    change: Callable[[list[Frame]], list[Frame]], stimulus: LivenessStimulus = LivenessStimulus.BFD_GATE
) -> object:
    """What was seen of BFD on the wire, otherwise."""

    def apply(s: Scenario) -> None:
        hit = False
        for i, event in enumerate(s.events):
            if getattr(event, "stimulus", None) == stimulus and "frames" in event.detail:  # type: ignore[attr-defined]
                detail = {**event.detail, "frames": change(list(event.detail["frames"]))}  # type: ignore[attr-defined]
                s.events[i] = msgspec.structs.replace(event, detail=detail)
                hit = True
        assert hit

    return apply


def strict_session(fact: BfdFact | None) -> object:
    """A session of the lab's own demands BFD, which is as this fact says at both ends."""

    def apply(s: Scenario) -> None:
        changed = next(x for x in s.model.sessions if x.id == "c1-4")
        demanded = msgspec.structs.replace(changed, bfd=BfdConfig(strict=True))
        sessions = tuple(demanded if x.id == "c1-4" else x for x in s.model.sessions)
        s.model = msgspec.structs.replace(s.model, sessions=sessions)
        for end in (changed.left, changed.right):
            facts = s.node(Moment.ALLOWED, end.node).sessions
            told = tuple(msgspec.structs.replace(f, bfd=fact) if f.session == "c1-4" else f for f in facts)
            s.change(Moment.ALLOWED, end.node, sessions=told)

    return apply


def both(*changes: object) -> object:
    def apply(s: Scenario) -> None:
        for change in changes:
            change(s)  # type: ignore[operator]

    return apply


G, A = LivenessStimulus.BFD_GATE, LivenessStimulus.BFD_ADMIN_DOWN

SES_12 = Row(
    "SES-12",
    given=both(gate, strict_session(BfdFact(state="Up", detection_ms=900))),  # type: ignore[arg-type]
    breaks={
        "the edge announces before BFD is Up": lambda s: s.announce("x-gate-4", "ams1", [P4], 50.9, receiver="exam"),
        "the edge has taken a route meanwhile": lambda s: s.resee(G, held_received=1),
        "the edge has told a route meanwhile": lambda s: s.resee(G, held_advertised=1),
        "a packet with TTL 254": frames(lambda f: [*f, frame(52.4, EXAM, UP, hops=254)]),
        "an IPv6 packet with hop limit 64": frames(lambda f: [*f, frame(52.4, EXAM6, UP, hops=64)]),
        "from a port that is not BFD's": frames(lambda f: [*f, frame(52.4, EXAM, UP, ports=(1024, 3784))]),
        "rubbish on BFD's port": frames(lambda f: [*f, [ns(52.4), "in", str(f[-1][2])[:-16] + "00" * 4]]),
        "another multiplier than agreed": frames(lambda f: [*f, frame(52.42, EDGE, UP, detect_mult=5)]),
        "another interval than agreed": frames(lambda f: [*f, frame(52.42, EDGE, UP, desired_min_tx=500_000)]),
        "sent sooner than jitter allows": frames(lambda f: [*f, frame(52.2, EDGE, UP), frame(52.2, EDGE6, UP)]),
        "sent too often while Down": frames(lambda f: [*f, frame(50.5, EDGE, DOWN)]),
        "silent for longer than the detection time while Up": frames(lambda f: [*f, frame(53.2, EDGE, UP)]),
        "half as often as agreed": frames(
            lambda f: [x for x in f if not ns(51.1) < int(str(x[0])) < ns(51.3)]
            and [*rhythm()[:5], *(frame(51.0 + 0.6 * n, e, UP) for n in (1, 2, 3) for e in (EDGE, EXAM))]
        ),
        "AdminDown ends BGP": lambda s: s.notify("x-gate-6", "ams1", 6, 10, 53.5, receiver="exam"),
        "BGP was reset through AdminDown": lambda s: s.resee(A, uptime_kept=False),
        "a session that demands BFD is up without": strict_session(BfdFact(state="Down")),
        "a session that demands BFD has none": strict_session(None),
    },  # type: ignore[arg-type]
    lacks={
        "the gate was not tried": lambda s: s.untry(G),
        "AdminDown was not tried": lambda s: s.untry(A),
        "BGP was not up, so nothing had to wait": lambda s: s.resee(G, established=False),
        "BFD never came up": lambda s: s.resee(G, bfd_up=False),
        "BFD was not seen Up on the wire": frames(lambda f: [x for x in f if int(str(x[0])) < ns(50.9)]),
        "no frames were kept": lambda s: s.resee(G, frames=None),
        "the peer had nothing to tell": lambda s: s.silence("x-gate-4", sender="exam"),
        "nothing passed afterwards either": lambda s: s.resee(G, received=0),
        "the edge told nothing afterwards either": lambda s: s.silence("x-gate-4", sender="ams1"),
        "the capture lost octets": lambda s: s.lose("x-gate-6"),
        "what was agreed is not logged": lambda s: s.redo(G, interval_ms=None),
        "too few packets to see a rhythm": frames(lambda f: f[:4]),
        "AdminDown not seen on the wire": frames(lambda f: [x for x in f if x[1] == "out"], A),
        "watched for less than the detection time": frames(
            lambda f: [frame(53.6, EXAM, ADMIN), frame(53.6, EXAM6, ADMIN), f[1]], A
        ),
        "BFD did not follow the peer's AdminDown": lambda s: s.resee(A, state="Up"),
        "the lab was not read when it was allowed": lambda s: s.snapshots.pop(Moment.ALLOWED),
    },  # type: ignore[arg-type]
)


def losses(s: Scenario) -> None:
    """Three losses at 50, all found at 50.85 at both ends and mended at 53."""
    for direction in ("both", "to-edge", "from-edge"):
        session = f"x-{direction}"
        facts = {**AGREED, "addresses": [EDGE, EXAM], "direction": direction, "trial": direction, "prefix": P4}
        seen = []
        if direction == "to-edge":
            seen = [frame(50.3, EDGE, UP), frame(50.6, EDGE, UP)]
        elif direction == "from-edge":
            seen = [frame(50.3, EXAM, UP), frame(50.6, EXAM, UP)]
        saw = {
            "session": session,
            "trial": direction,
            "prefix": P4,
            "down_at_edge": True,
            "down_at_peer": True,
            "routes_left": 0,
            "kernel_left": 0,
            "frames": [frame(50.05, EXAM, UP), *seen],
        }
        s.trial(LivenessStimulus.PATH_LOST, "ams1", session, {**facts, "hold_time": 60}, saw, at=50.0, until=51.5)  # type: ignore[arg-type]
        for node in ("ams1", "exam"):
            common = {"node": node, "session": session}
            s.tell(BfdStateChanged(at=ns(50.85), before="Up", after="Down", path_failed=True, **common))
            s.tell(SessionStateChanged(at=ns(50.85), before="Established", after="Idle", reason="BFD", **common))
        again = {"session": session, "trial": direction, "prefix": P4, "established": True, "bfd_up": True}
        again["received"] = 1
        s.trial(LivenessStimulus.PATH_MENDED, "ams1", session, facts, again, at=52.0, until=53.0)  # type: ignore[arg-type]


L, M = LivenessStimulus.PATH_LOST, LivenessStimulus.PATH_MENDED
BFD_OF_EDGE = {"node": "ams1", "session": "x-to-edge"}

FLV_06 = Row(
    "FLV-06",
    given=losses,
    breaks={
        "one end stays up": lambda s: s.forget(SessionStateChanged, node="exam", session="x-from-edge"),
        "one end is down too late": lambda s: s.amend(
            SessionStateChanged, {"node": "exam", "session": "x-to-edge"}, at=ns(52.0 - 0.55)
        ) or s.redo(L, multiplier=1),
        "routes of the lost path stay": lambda s: s.resee(L, routes_left=1),
        "the kernel still forwards by the lost path": lambda s: s.resee(L, kernel_left=1),
        "it does not come back": lambda s: s.resee(M, established=False),
        "BFD does not come back": lambda s: s.resee(M, bfd_up=False),
        "the routes do not come back": lambda s: s.resee(M, received=0),
    },
    lacks={
        "no loss was tried": lambda s: s.untry(L),
        "nothing was mended": lambda s: s.untry(M),
        "the full failure is missing, so one way is held against nothing": lambda s: s.redo(L, direction="to-edge"),
        "BGP's hold time could have found it": lambda s: s.redo(L, hold_time=1),
        "BFD did not say that it was it": lambda s: s.forget(BfdStateChanged, **BFD_OF_EDGE),
        "packets of the peer still came in": frames(lambda f: [*f, frame(50.7, EXAM, UP)], L),
        "more was lost than one direction": frames(lambda f: f[:1], L),
        "what was agreed is not logged": lambda s: s.redo(L, interval_ms=None),
        "the answer has no frames": lambda s: s.resee(L, frames=None),
    },  # type: ignore[arg-type]
)

LIVENESS_ROWS: tuple[Row, ...] = (SES_12, FLV_06)

