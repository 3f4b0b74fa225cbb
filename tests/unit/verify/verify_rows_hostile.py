"""SES and SEC of the hostile scene: ``attacker`` speaks to ams1 on sessions ``x-…`` that the model does not have."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from verify_model import CLOUD
from verify_row import Change, Row
from verify_scenario import Scenario, ns

from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix, RawAttribute, Segment, SegmentType
from peerlab.bgp.capability import Capability, multiprotocol
from peerlab.bgp.malformed_case import (
    CORE,
    UNPARSEABLE,
    Handling,
    Sender,
    good_update,
    malformed_update,
    unparseable_updates,
)
from peerlab.bgp.wire import (
    MessageType,
    encode_open,
    encode_updates,
    encode_withdrawals,
    frame,
    make_open,
)
from peerlab.evidence.connection_fact import Step
from peerlab.evidence.events import PhaseStarted, SessionStateChanged
from peerlab.evidence.message import ConnectionStep, Message
from peerlab.evidence.story import Phase
from peerlab.evidence.story_hostile import HostileStimulus
from peerlab.verify.session_hostile import OPEN_ANSWERS

BAD, EDGE, AS = "attacker", "ams1", 64511
VERSIONS = {"4": Family.IPV4, "6": Family.IPV6}
HOPS = {"4": Address("198.19.254.0"), "6": Address("2001:db8:ffff:fe00::")}
MARK = "64999:7606"
KEEPALIVE = frame(MessageType.KEEPALIVE, b"")


def _say(s: Scenario, session: str, sender: str, octets: bytes, at: float, connection: int = 1) -> None:
    s.say(session, sender, octets, at, receiver=EDGE if sender == BAD else BAD)
    s.messages[-1] = msgspec.structs.replace(s.messages[-1], connection=connection)


def _notify(s: Scenario, session: str, code: int, subcode: int, at: float, connection: int = 1) -> None:
    _say(s, session, EDGE, frame(MessageType.NOTIFICATION, bytes([code, subcode])), at, connection)


def _open(asn: int, identifier: str, *families: Capability) -> bytes:
    return frame(MessageType.OPEN, encode_open(make_open(asn, Address(identifier), 3, families)))


def _step(s: Scenario, session: str, source: str, step: Step, at: float, connection: int = 1) -> None:
    other = BAD if source == EDGE else EDGE
    s.steps.append(
        ConnectionStep(at=ns(at), session=session, connection=connection, step=step, source=source, destination=other)
    )


def _drop(s: Scenario, doomed: Callable[[Message], bool]) -> None:
    """Take messages off the trace. Fails when there is none."""
    kept = [message for message in s.messages if not doomed(message)]
    assert len(kept) < len(s.messages)
    s.messages = kept


def _swap(s: Scenario, chosen: Callable[[Message], bool], octets: bytes) -> None:
    """Put other octets into messages of the trace. Fails when there is none."""
    hit = [i for i, message in enumerate(s.messages) if chosen(message)]
    assert hit
    for i in hit:
        s.messages[i] = msgspec.structs.replace(s.messages[i], octets=octets)


def _is(session: str, sender: str, kind: MessageType) -> Callable[[Message], bool]:
    return lambda m: (m.session, m.source, m.kind) == (session, sender, kind)


def _notification(code: int, subcode: int) -> bytes:
    return frame(MessageType.NOTIFICATION, bytes([code, subcode]))


# ===== SES-04 =====


def bad_opens(s: Scenario) -> None:
    for v, family in VERSIONS.items():
        session = f"x-open-{v}"
        for number, (case, expected) in enumerate(OPEN_ANSWERS.items()):
            at = 50.0 + number
            octets = _open(AS, f"10.9.0.{number + 1}", multiprotocol(family))
            did: dict[str, object] = {"case": case, "trial": case, "octets": octets.hex()}
            s.trial(HostileStimulus.BAD_OPEN, BAD, session, did, {"trial": case, "session": session, "answered": True},
                    at=at, until=at + 0.9)  # fmt: skip
            _say(s, session, BAD, octets, at + 0.1, number)
            _say(s, session, EDGE, _open(CLOUD, "10.0.0.1", multiprotocol(family)), at + 0.2, number)
            if expected == "accepted":
                _say(s, session, EDGE, KEEPALIVE, at + 0.3, number)
            else:
                code, subcode = map(int, expected.split("/"))
                _notify(s, session, code, subcode, at + 0.3, number)


# ===== SES-07 =====


def collisions(s: Scenario) -> None:
    for v in VERSIONS:
        for case, identifier, wins in (("low", "0.0.0.1", False), ("high", "255.255.255.254", True)):
            session = f"x-{case}-{v}"
            trial = f"{case} {v}"
            saw: dict[str, object] = {"trial": trial, "session": session, "answered": True}
            s.trial(HostileStimulus.COLLISION, BAD, session, {"trial": trial}, saw, at=50.0, until=52.0)
            for connection, opener in ((1, EDGE), (2, BAD)):
                _step(s, session, opener, Step.ASKED, 50.1, connection)
                _say(s, session, BAD, _open(AS, identifier), 50.3, connection)
            _say(s, session, EDGE, _open(CLOUD, "10.0.0.1"), 50.2, 1)
            kept, lost = (2, 1) if wins else (1, 2)
            _notify(s, session, 6, 7, 50.4, lost)
            for node in (BAD, EDGE):
                _say(s, session, node, KEEPALIVE, 50.5, kept)


def _the_other_stays(s: Scenario) -> None:
    """Connections 1 and 2 of the examiner's lower identifier change places in the end."""
    for i, m in enumerate(s.messages):
        if m.session == "x-low-4" and m.kind in (MessageType.KEEPALIVE, MessageType.NOTIFICATION):
            s.messages[i] = msgspec.structs.replace(m, connection=3 - m.connection)


def _both_stay(s: Scenario) -> None:
    for node in (BAD, EDGE):
        _say(s, "x-low-4", node, KEEPALIVE, 50.6, 2)


# ===== SES-13 =====


def _pool(v: str, number: int) -> Prefix:
    if v == "4":
        return Prefix(f"198.19.{224 + number // 16}.{number % 16 * 16}/28")
    return Prefix(f"2001:db8:f1{number:02x}::/48")


def _passed(s: Scenario, session: str, v: str, prefix: Prefix, at: float, community: str = "") -> None:
    """The edge tells the witness of a route."""
    attributes = PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, (CLOUD, AS)),),
        next_hop=HOPS[v],
        communities=(community,) if community else (),
    )
    for octets in encode_updates(attributes, [prefix], VERSIONS[v], ebgp=True):
        _say(s, session, EDGE, octets, at)


def malformed(s: Scenario) -> None:
    for v in VERSIONS:
        session, witness = f"x-mal-{v}", f"x-wit-{v}"
        sender = Sender(asn=AS, address=HOPS[v])
        for number, case in enumerate(CORE):
            prefix, sentinel = _pool(v, 2 * number), _pool(v, 2 * number + 1)
            octets = malformed_update(case, sender, prefix, MARK)
            trial = f"{case.name} {prefix}"
            did: dict[str, object] = {
                "trial": trial, "witness": witness, "case": case.name, "prefix": prefix, "sentinel": sentinel,
                "octets": octets.hex(), "community": MARK,
            }  # fmt: skip
            saw: dict[str, object] = {"trial": trial, "session": session, "sent": True, "stopped": ""}
            s.trial(HostileStimulus.MALFORMED_UPDATE, BAD, session, did, saw, at=50.0, until=60.0)
            at = 52.0 + number / 10
            _passed(s, witness, v, prefix, 51.0)
            _say(s, session, BAD, octets, at)
            _say(s, session, BAD, good_update(sender, sentinel), at + 0.01)
            if case.expect is Handling.DISCARD:
                _passed(s, witness, v, prefix, at + 0.02, MARK)
            else:
                for octets in encode_withdrawals([prefix], VERSIONS[v]):
                    _say(s, witness, EDGE, octets, at + 0.02)
            _passed(s, witness, v, sentinel, at + 0.03)
        _passed(s, witness, v, _pool(v, 200), 59.0)


def _case_at(name: str) -> float:
    return 52.0 + [case.name for case in CORE].index(name) / 10


def _of_case(name: str, v: str = "4") -> Callable[[Message], bool]:
    """What the witness is told right after a case."""
    at = ns(_case_at(name) + 0.02)
    return lambda m: m.session == f"x-wit-{v}" and m.at == at


def _reset(s: Scenario) -> None:
    """The edge answers a case with a NOTIFICATION; nothing behind it is passed on."""
    at = _case_at("med-len-5")
    _notify(s, "x-mal-4", 3, 5, at + 0.005)
    _drop(s, lambda m: m.session == "x-wit-4" and m.at > ns(at))


def _passed_whole(s: Scenario) -> None:
    """A discard case is passed on with an aggregator in it."""
    prefix = _pool("4", 2 * [case.name for case in CORE].index("aggregator-len-5"))
    attributes = PathAttributes(
        as_path=(Segment(SegmentType.AS_SEQUENCE, (CLOUD, AS)),),
        next_hop=HOPS["4"],
        communities=(MARK,),
        unknown=(RawAttribute(0xC0, 254, b"left in"),),
    )
    _swap(s, _of_case("aggregator-len-5"), encode_updates(attributes, [prefix], Family.IPV4, ebgp=True)[0])


def _as_it_came() -> bytes:
    """What a router says that lets a malformed attribute through."""
    case = next(case for case in CORE if case.name == "large-comm-len-13")
    prefix = _pool("4", 2 * CORE.index(case))
    return malformed_update(case, Sender(asn=CLOUD, address=HOPS["4"]), prefix, MARK)


# ===== SES-14 =====


def unparseable(s: Scenario) -> None:
    for v in VERSIONS:
        session, witness = f"x-rub-{v}", f"x-rwit-{v}"
        for number, name in enumerate(UNPARSEABLE):
            prefix = _pool(v, number)
            octets = unparseable_updates(Sender(asn=AS, address=HOPS[v]), prefix)[name]
            did: dict[str, object] = {
                "trial": name, "witness": witness, "case": name, "prefix": prefix, "octets": octets.hex(),
            }  # fmt: skip
            saw: dict[str, object] = {"trial": name, "session": session, "sent": True}
            s.trial(HostileStimulus.UNPARSEABLE_UPDATE, BAD, session, did, saw, at=50.0, until=60.0)
            _say(s, session, BAD, octets, 51.0 + number, number)
            _notify(s, session, 3, 10, 51.1 + number, number)
        _say(s, witness, EDGE, KEEPALIVE, 50.5)


# ===== SES-17 =====


def blocked(s: Scenario) -> None:
    for v in VERSIONS:
        session = f"x-stall-{v}"
        did: dict[str, object] = {"trial": v, "send_hold": 3.5, "hold_time": 3}
        saw: dict[str, object] = {"trial": v, "session": session, "stalled_at": ns(51.0)}
        s.trial(HostileStimulus.SEND_BLOCKED, EDGE, session, did, saw, at=50.0, until=60.0)
        for number in range(9):
            _say(s, session, BAD, KEEPALIVE, 50.5 + number / 2)
        _step(s, session, EDGE, Step.RESET, 54.8)
        s.tell(
            SessionStateChanged(
                at=ns(54.8), node=EDGE, session=session, before="Established", after="Idle",
                reason="send hold timer expired: nothing got through to the peer for 3.5 s",
            )
        )  # fmt: skip


def _move_steps(s: Scenario, session: str, at: float) -> None:
    s.steps = [msgspec.structs.replace(x, at=ns(at)) if x.session == session else x for x in s.steps]


# ===== SES-18 =====

KINDS = ["ACK in mid-stream", "SYN-ACK without its SYN"]
WAYS = ("svc>pc ipv4", "svc>pc ipv6", "pc>svc ipv4", "pc>svc ipv6")


def passage(s: Scenario) -> None:
    for way in WAYS:
        saw: dict[str, object] = {"trial": way, "arrived": dict.fromkeys(KINDS, 20), "missed": 0}
        s.trial(HostileStimulus.MID_STREAM, "host-svc", "", {"trial": way, "kinds": KINDS, "each": 20}, saw)
        rate: dict[str, object] = {"trial": way, "sent": 4000, "received": 4000, "overflowed": 0}
        s.trial(HostileStimulus.RATE_TEST, "host-svc", "", {"trial": way, "mbps": 46.0}, rate)


# ===== SEC-02 =====


def flood(s: Scenario) -> None:
    for v in VERSIONS:
        session, flooded = f"x-held-{v}", f"x-flood-{v}"
        did: dict[str, object] = {"trial": v, "edge": EDGE, "hold_time": 3, "flooded": flooded}
        saw: dict[str, object] = {
            "trial": v, "session": session, "seconds": 3.5, "received": 99_000, "others_down": [],
            "sent": {"segment": 3000, "echo": 100_000, "keepalive": 5000},
        }  # fmt: skip
        s.trial(HostileStimulus.FLOOD, BAD, session, did, saw, at=50.0, until=55.0)
        for one in (session, flooded):
            for number in range(5):
                _say(s, one, EDGE, KEEPALIVE, 50.5 + number)


# ===== SEC-07 =====

ENORMOUS = ("path of 300", "1000 communities", "attribute of 3900 octets", "attribute of 60000 octets")


def _enormous(v: str, name: str) -> PathAttributes:
    one = (Segment(SegmentType.AS_SEQUENCE, (AS,)),)
    path = (Segment(SegmentType.AS_SEQUENCE, tuple(range(64600, 64850))),) * 2
    return {
        "path of 300": PathAttributes(as_path=path, next_hop=HOPS[v]),
        "1000 communities": PathAttributes(
            as_path=one, next_hop=HOPS[v], communities=tuple(f"64999:{n}" for n in range(1000))
        ),
        "attribute of 3900 octets": PathAttributes(
            as_path=one, next_hop=HOPS[v], unknown=(RawAttribute(0xC0, 254, bytes(3900)),)
        ),
        "attribute of 60000 octets": PathAttributes(
            as_path=one, next_hop=HOPS[v], unknown=(RawAttribute(0xC0, 254, bytes(60000)),)
        ),
    }[name]


def resources(s: Scenario) -> None:
    for v, family in VERSIONS.items():
        session, witness = f"x-load-{v}", f"x-lwit-{v}"
        pieces = {name: _pool(v, number) for number, name in enumerate(ENORMOUS)}
        sentinel = _pool(v, 99)
        did: dict[str, object] = {"trial": v, "witness": witness, "pieces": pieces, "sentinel": sentinel}
        saw: dict[str, object] = {
            "trial": v, "session": session, "rss_before": 40_000, "rss_after": 44_000, "same_process": True,
            "updates": 500,
        }  # fmt: skip
        s.trial(HostileStimulus.RESOURCE_ATTACK, BAD, session, did, saw, at=50.0, until=60.0)
        for name, prefix in pieces.items():
            for octets in encode_updates(_enormous(v, name), [prefix], family, ebgp=True, maximum=65535):
                _say(s, session, BAD, octets, 51.0)
        storm = encode_updates(
            PathAttributes(as_path=(Segment(SegmentType.AS_SEQUENCE, (AS,)),), next_hop=HOPS[v]),
            [_pool(v, 98)],
            family,
            ebgp=True,
        )[0]
        for number in range(400):
            _say(s, session, BAD, storm, 52.0 + number / 1000)
        _passed(s, witness, v, sentinel, 55.0)


# ===== SEC-08 =====

OFFERED = ["1/133", "1/128", "25/70", "1/4"]
FLOWSPEC = Capability(1, bytes([0, 1, 0, 133]))


def families(s: Scenario) -> None:
    s.tell(PhaseStarted(at=ns(49.0), phase=Phase.HOSTILE))
    for v, family in VERSIONS.items():
        session = f"x-fam-{v}"
        octets = _open(AS, "10.9.0.9", multiprotocol(family), FLOWSPEC)
        did: dict[str, object] = {"trial": v, "octets": octets.hex(), "families": OFFERED}
        saw: dict[str, object] = {"trial": v, "session": session, "answered": True}
        s.trial(HostileStimulus.FAMILIES_OFFERED, BAD, session, did, saw, at=50.0, until=52.0)
        _say(s, session, BAD, octets, 50.1)
        _say(s, session, EDGE, _open(CLOUD, "10.0.0.1", multiprotocol(family)), 50.2)


def _peering_offers_flowspec(s: Scenario) -> None:
    s.silence("c1-4", MessageType.OPEN, "ams1")
    s.open("c1-4", "ams1", CLOUD, extra=(FLOWSPEC,))


def _untried(stimulus: HostileStimulus) -> dict[str, Change]:
    return {"never tried": lambda s: s.untry(stimulus)}


def _asked(stimulus: HostileStimulus) -> dict[str, Change]:
    return {"a person did it to some router": lambda s: s.redo(stimulus, asked=True)}


H = HostileStimulus
HOSTILE_ROWS = (
    Row(
        "SES-04",
        bad_opens,
        breaks={
            "identifier 0 is taken": lambda s: _say(s, "x-open-4", EDGE, KEEPALIVE, 50.35, 0),
            "the wrong subcode": lambda s: _swap(
                s, lambda m: m.octets == _notification(2, 4) and m.session == "x-open-6", _notification(2, 0)
            ),
            "no answer to a hold time of 1 s": lambda s: _drop(
                s, lambda m: m.session == "x-open-6" and m.connection == 1 and m.kind == MessageType.NOTIFICATION
            ),
            "an unknown capability is refused": lambda s: _notify(s, "x-open-4", 2, 7, 54.25, 4),
            "an unknown capability keeps it down": lambda s: _drop(
                s, lambda m: m.session == "x-open-4" and m.kind == MessageType.KEEPALIVE
            ),
        },
        lacks={
            **_untried(H.BAD_OPEN),
            **_asked(H.BAD_OPEN),
            "the OPEN is not on the wire": lambda s: s.silence("x-open-4", MessageType.OPEN, BAD),
            "one family only": lambda s: s.silence("x-open-6"),
            "the trace has a gap": lambda s: s.lose("x-open-4"),
        },
    ),
    Row(
        "SES-07",
        collisions,
        breaks={
            "the lower one's connection stays": _the_other_stays,
            "both become sessions": _both_stay,
            "neither stays": lambda s: _drop(s, lambda m: m.session == "x-high-6" and m.kind == MessageType.KEEPALIVE),
            "the other one is not told": lambda s: s.silence("x-high-4", MessageType.NOTIFICATION),
        },
        lacks={
            **_untried(H.COLLISION),
            "one connection only": lambda s: _drop(s, lambda m: m.session == "x-low-4" and m.connection == 2),
            "nobody knows who opened": lambda s: setattr(s, "steps", []),
            "the trace has a gap": lambda s: s.lose("x-high-6"),
        },
    ),
    Row(
        "SES-13",
        malformed,
        breaks={
            "the session is reset": _reset,
            "the route is still used": lambda s: _drop(s, _of_case("origin-value-3")),
            "withdrawn instead of used": lambda s: _swap(
                s,
                _of_case("aggregator-len-9"),
                encode_withdrawals([_pool("4", 2 * [c.name for c in CORE].index("aggregator-len-9"))], Family.IPV4)[0],
            ),
            "passed on with more than it should": _passed_whole,
            "passed on, malformed as it came": lambda s: _swap(s, _of_case("large-comm-len-13"), _as_it_came()),
            "the connection is just closed": lambda s: (
                _drop(s, lambda m: m.session == "x-wit-6" and m.at > ns(_case_at("comm-len-0")))
                or _step(s, "x-mal-6", EDGE, Step.FINISHED, _case_at("comm-len-0") + 0.005)
            ),
        },
        lacks={
            **_untried(H.MALFORMED_UPDATE),
            **_asked(H.MALFORMED_UPDATE),
            "one case was not sent": lambda s: _drop(
                s, lambda m: m.session == "x-mal-4" and m.at == ns(_case_at("otc-len-3"))
            ),
            "the witness heard nothing": lambda s: s.silence("x-wit-6"),
            "the trace has a gap": lambda s: s.lose("x-wit-4"),
            "the route behind it never came": lambda s: _drop(
                s, lambda m: m.session == "x-wit-4" and m.at == ns(_case_at("otc-len-3") + 0.03)
            ),
        },
    ),
    Row(
        "SES-14",
        unparseable,
        breaks={
            "the session goes on": lambda s: _drop(
                s, lambda m: m.session == "x-rub-4" and m.connection == 0 and m.kind == MessageType.NOTIFICATION
            ),
            "another NOTIFICATION": lambda s: _swap(s, _is("x-rub-6", EDGE, MessageType.NOTIFICATION),
                                                    _notification(6, 5)),
            "a route is made of it": lambda s: _passed(s, "x-rwit-4", "4", _pool("4", 0), 51.05),
        },
        lacks={
            **_untried(H.UNPARSEABLE_UPDATE),
            **_asked(H.UNPARSEABLE_UPDATE),
            "it was not sent": lambda s: s.silence("x-rub-4", MessageType.UPDATE, BAD),
            "the witness has a gap": lambda s: s.lose("x-rwit-6"),
        },
    ),
    Row(
        "SES-17",
        blocked,
        breaks={
            "it is never dropped": lambda s: setattr(s, "steps", []),
            "it is dropped late": lambda s: (
                _move_steps(s, "x-stall-4", 57.0)
                or [_say(s, "x-stall-4", BAD, KEEPALIVE, 55.0 + n / 2) for n in range(4)]
            ),
            "the log does not say why": lambda s: s.amend(
                SessionStateChanged, {"session": "x-stall-6"}, reason="TCP connection closed by the peer"
            ),
            "the hold timer did it": lambda s: _notify(s, "x-stall-6", 4, 0, 54.7),
            "the limit is under the hold time": lambda s: s.redo(H.SEND_BLOCKED, hold_time=9),
        },
        lacks={
            **_untried(H.SEND_BLOCKED),
            "the peer was silent itself": lambda s: s.silence("x-stall-4", MessageType.KEEPALIVE, BAD)
            or _say(s, "x-stall-4", BAD, KEEPALIVE, 50.5),
            "the log does not tell": lambda s: s.forget(SessionStateChanged, session="x-stall-4"),
            "since when is not known": lambda s: s.resee(H.SEND_BLOCKED, stalled_at=None),
            "the trace has a gap": lambda s: s.lose("x-stall-6"),
        },
    ),
    Row(
        "SES-18",
        passage,
        breaks={
            "one kind is dropped": lambda s: s.resee(H.MID_STREAM, arrived={**dict.fromkeys(KINDS, 20), KINDS[1]: 0}),
            "the rate is limited": lambda s: s.resee(H.RATE_TEST, received=3000),
        },
        lacks={
            **_untried(H.MID_STREAM),
            "no rate was tried": lambda s: s.untry(H.RATE_TEST),
            "the watcher missed frames": lambda s: s.resee(H.MID_STREAM, missed=3),
            "the receiver could not keep up": lambda s: s.resee(H.RATE_TEST, received=3000, overflowed=1000),
            "hardly a rate": lambda s: s.redo(H.RATE_TEST, mbps=1.0),
        },
    ),
    Row(
        "SEC-02",
        flood,
        breaks={
            "the session is ended": lambda s: _notify(s, "x-held-4", 4, 0, 53.0),
            "the edge falls silent": lambda s: _drop(
                s, lambda m: m.session == "x-flood-6" and ns(51) < m.at < ns(54)
            ),
            "a peer's session goes down": lambda s: s.resee(H.FLOOD, others_down=["c1-4"]),
        },
        lacks={
            **_untried(H.FLOOD),
            "it was over too soon": lambda s: s.resee(H.FLOOD, seconds=2.0),
            "there was no ICMP": lambda s: s.resee(H.FLOOD, sent={"segment": 1, "echo": 0, "keepalive": 1}),
            "it did not arrive": lambda s: s.resee(H.FLOOD, received=100),
            "no KEEPALIVE is seen": lambda s: s.silence("x-held-4", MessageType.KEEPALIVE)
            or _say(s, "x-held-4", EDGE, KEEPALIVE, 50.5),
            "the trace has a gap": lambda s: s.lose("x-held-6"),
        },
    ),
    Row(
        "SEC-07",
        resources,
        breaks={
            "the session is reset": lambda s: _notify(s, "x-load-4", 3, 1, 51.5),
            "the router crashed": lambda s: s.resee(H.RESOURCE_ATTACK, same_process=False),
            "its memory grows": lambda s: s.resee(H.RESOURCE_ATTACK, rss_after=400_000),
            "nothing behind it is passed on": lambda s: s.silence("x-lwit-6")
            or _say(s, "x-lwit-6", EDGE, KEEPALIVE, 50.5),
        },
        lacks={
            **_untried(H.RESOURCE_ATTACK),
            "no extended message was sent": lambda s: _drop(s, lambda m: len(m.octets) > 4096),
            "no storm": lambda s: _drop(s, lambda m: m.session == "x-load-4" and m.at >= ns(52.0)),
            "memory is not known": lambda s: s.resee(H.RESOURCE_ATTACK, rss_before=0),
            "the trace has a gap": lambda s: s.lose("x-load-6"),
        },
    ),
    Row(
        "SEC-08",
        families,
        breaks={
            "the peering offers flowspec": _peering_offers_flowspec,
            "flowspec is agreed to": lambda s: _swap(
                s,
                _is("x-fam-4", EDGE, MessageType.OPEN),
                _open(CLOUD, "10.0.0.1", multiprotocol(Family.IPV4), FLOWSPEC),
            ),
            "the OPEN is refused": lambda s: _notify(s, "x-fam-6", 2, 7, 50.3),
        },
        lacks={
            "no OPEN of an end": lambda s: s.silence("c1-4", MessageType.OPEN, "isp1"),
            "others were not offered": lambda s: s.untry(H.FAMILIES_OFFERED),
            "the offer was not answered": lambda s: s.silence("x-fam-6", MessageType.OPEN, EDGE),
            "the trace has a gap": lambda s: s.lose("c1-4"),
        },
    ),
)
