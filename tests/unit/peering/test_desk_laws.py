"""Laws of the desk under any sequence of commands, sensible or not (Hypothesis stateful test)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from office import CATALOGUE, PASSED, SECOND, Office, direct, exchange, link, neighbor, peer_asn
from test_peering_service import put_service

from peerlab.errors import RefusedError
from peerlab.evidence.events import ConnectionStateChanged, Event, ValidationJudged
from peerlab.peering import command as ask
from peerlab.peering.desk import Desk, refused
from peerlab.peering.enums import ConnectionState
from peerlab.peering.ledger import Ledger
from peerlab.peering.states import REMOVED, TABLES, Trigger
from peerlab.peering.verdict import RuleVerdict
from peerlab.topology.model import PolicyStage

AT = st.sampled_from(
    [
        {"peering": peering, "connection": label}
        for peering, label in (("p1", "c1"), ("p1", "c2"), ("p1", "c3"), ("p2", "c3"), ("p2", "absent"))
    ]
)
FAILED = (*PASSED[1:], RuleVerdict(rule="SES-01", passed=False, message="session is Idle"))
VERDICTS = st.sampled_from([PASSED, FAILED, PASSED[1:], ()])

OF_A_CONNECTION = st.sampled_from(
    [
        ask.ApproveConnection,
        ask.NotifyReady,
        ask.ProvisionSessions,
        ask.OpenPolicy,
        ask.ClearBlocker,
        ask.ResumeProvisioning,
        ask.ProvisionBandwidth,
        ask.Deprovision,
        ask.CompleteRemoval,
        ask.StartLinkTest,
        ask.AssignAddresses,
        ask.ApproveTypeChange,
        ask.FinishTypeChange,
    ]
)
WITH_A_REASON = st.sampled_from(
    [ask.RejectConnection, ask.ReportSessionLost, ask.RaiseBlocker, ask.FailProvisioning, ask.RejectTypeChange]
)
PUTS = st.sampled_from(
    [
        direct(link(), SECOND),
        direct(link(), SECOND, link("c3", "192.168.0.4/31", None)),
        direct(link(service=True), msgspec.structs.replace(SECOND, use_for_peering_service=True)),
        direct(link(bandwidth=20000), SECOND),
        direct(link("c3", "192.168.0.0/31", None), name="p2", asn="fabrikam"),
        direct(link("c3", "192.168.0.8/31", None), name="p2"),
        direct(link(bandwidth=7)),
        exchange(neighbor("c3", microsoft_v4="80.249.209.20"), name="p2"),
        exchange(neighbor("c3", microsoft_v4="80.249.209.20", max_v4=5), name="p2"),
    ]
)
REGISTRATIONS = st.sampled_from(
    [
        ask.PutRegisteredPrefix(peering="p1", name="hq", prefix="203.0.113.0/24"),
        ask.PutRegisteredPrefix(peering="p2", name="hq", prefix="203.0.113.0/24"),
        ask.ValidateRegisteredPrefix(registered="p1/hq"),
        ask.JudgeRegisteredPrefix(registered="p1/hq", verdicts=(RuleVerdict(rule="VAL-08", passed=True),)),
        ask.DeleteRegisteredPrefix(registered="p1/hq"),
        put_service(),
        ask.PutServicePrefix(service="s1", name="hq", prefix="203.0.113.0/24"),
        ask.JudgeServicePrefix(prefix="s1/hq", verdicts=(RuleVerdict(rule="VAL-08", passed=True),)),
        ask.JudgeServicePrefix(prefix="s1/hq", verdicts=(RuleVerdict(rule="VAL-08", passed=None),)),
        ask.RevalidateServicePrefix(prefix="s1/hq"),
        ask.DeletePeeringService(service="s1"),
    ]
)
ASSOCIATIONS = st.sampled_from(
    [
        ask.PutPeerAsn(name="contoso", properties=peer_asn()),
        ask.PutPeerAsn(name="fabrikam", properties=peer_asn(64501)),
        ask.ApprovePeerAsn(peer_asn="contoso"),
        ask.ApprovePeerAsn(peer_asn="fabrikam"),
        ask.RejectPeerAsn(peer_asn="fabrikam", reason="no NOC"),
        ask.DeletePeerAsn(peer_asn="contoso"),
        ask.SignAgreement(asn=64500),
    ]
)


LONGEST_WAY = 30
"""Steps, at most, from anywhere to removal, for every connection of a peering together."""

WAY_OUT: dict[ConnectionState, Callable[[dict[str, str]], ask.Command]] = {
    ConnectionState.PROVISIONING_STARTED: lambda at: ask.FailProvisioning(**at, reason="out"),
    ConnectionState.APPROVED: lambda at: ask.FailProvisioning(**at, reason="out"),
    ConnectionState.EXTERNAL_BLOCKER: lambda at: ask.FailProvisioning(**at, reason="out"),
    ConnectionState.VALIDATING: lambda at: ask.FailProvisioning(**at, reason="out"),
    ConnectionState.PROVISIONING_COMPLETED: lambda at: ask.OpenPolicy(**at),
    ConnectionState.TYPE_CHANGE_REQUESTED: lambda at: ask.RejectTypeChange(**at, reason="out"),
    ConnectionState.TYPE_CHANGE_IN_PROGRESS: lambda at: ask.FinishTypeChange(**at),
    ConnectionState.ACTIVE: lambda at: ask.Deprovision(**at),
    ConnectionState.PENDING_REMOVE: lambda at: ask.CompleteRemoval(**at),
}
"""What leads towards removal, by state; the rest the owner deletes."""


class AnyOrder(RuleBasedStateMachine):
    """Whatever is asked, in whatever order."""

    tests = Bundle("tests")

    @initialize()
    def open_the_office(self) -> None:
        self.office = Office()
        self.looked_at, self.replayed = 0, Ledger()
        self.office.associate(agreement=True)
        self.office.associate(64501, "fabrikam")
        self.office.do(direct(link(), SECOND))

    def attempt(self, command: ask.Command) -> None:
        ledger = self.office.desk.ledger
        before = msgspec.json.encode(ledger)
        counted = len(self.office.log)
        try:
            events = self.office.desk.handle(command, now=counted, new_id=self.office.new_id)
        except RefusedError as error:
            assert error.code and error.message
            assert refused(command, error, now=1).request == type(command).__name__
            assert msgspec.json.encode(ledger) == before, "a refusal changes nothing"
            return
        assert msgspec.json.encode(ledger) == before, "deciding changes nothing"
        for event in events:
            self.office.desk.apply(event)
            self.office.log.append(event)

    @rule(kind=OF_A_CONNECTION, at=AT)
    def process(self, kind: type, at: dict[str, str]) -> None:
        self.attempt(kind(**at))

    @rule(kind=WITH_A_REASON, at=AT)
    def process_with_a_reason(self, kind: type, at: dict[str, str]) -> None:
        self.attempt(kind(**at, reason="because"))

    @rule(at=AT, verdicts=VERDICTS)
    def judge(self, at: dict[str, str], verdicts: tuple[RuleVerdict, ...]) -> None:
        self.attempt(ask.JudgeValidation(**at, verdicts=verdicts))

    @rule(at=AT, target=tests)
    def start_a_link_test(self, at: dict[str, str]) -> dict[str, str]:
        self.attempt(ask.StartLinkTest(**at))
        return at

    @rule(at=consumes(tests))
    def finish_a_link_test(self, at: dict[str, str]) -> None:
        self.attempt(ask.FinishLinkTest(**at, passed=True))

    @rule(command=st.one_of(PUTS, REGISTRATIONS, ASSOCIATIONS))
    def ask_anything(self, command: ask.Command) -> None:
        self.attempt(command)

    @rule(name=st.sampled_from(["p1", "p2", "absent"]))
    def delete(self, name: str) -> None:
        self.attempt(ask.DeletePeering(peering=name))

    @rule(at=AT, verdicts=VERDICTS)
    def go_on(self, at: dict[str, str], verdicts: tuple[RuleVerdict, ...]) -> None:
        """Take a connection as far as it goes, so that the late states are met often."""
        for kind in (ask.ApproveConnection, ask.NotifyReady, ask.ProvisionSessions):
            self.attempt(kind(**at))
        self.attempt(ask.JudgeValidation(**at, verdicts=verdicts))
        self.attempt(ask.OpenPolicy(**at))

    @rule()
    def two_ases_with_one_address(self) -> None:
        """Whoever is provisioned second fails."""
        self.attempt(direct(link("c3", "192.168.0.0/31", None), name="p2", asn="fabrikam"))
        for at in ({"peering": "p1", "connection": "c1"}, {"peering": "p2", "connection": "c3"}):
            for kind in (ask.ApproveConnection, ask.NotifyReady, ask.ProvisionSessions):
                self.attempt(kind(**at))

    @rule()
    def test_both_links_at_once(self) -> None:
        for label in ("c1", "c2"):
            at = {"peering": "p1", "connection": label}
            self.attempt(ask.ApproveConnection(**at))
            self.attempt(ask.StartLinkTest(**at))

    @invariant()
    def replay_gives_the_same_desk(self) -> None:
        if hasattr(self, "office"):
            log = msgspec.json.decode(msgspec.json.encode(self.office.log), type=list[Event])
            assert Desk(CATALOGUE, log).ledger == self.office.desk.ledger

    @invariant()
    def an_open_policy_has_been_validated(self) -> None:
        if hasattr(self, "office"):
            for peering in self.office.desk.ledger.peerings.values():
                for connection in peering.connections:
                    if connection.stage is PolicyStage.ALLOW:
                        assert validated(self.office.log, f"{peering.key}/{connection.label}")

    @invariant()
    def a_policy_opens_by_one_edge_only(self) -> None:
        """Replay, and look at every event at which a connection's policy becomes ALLOW."""
        if not hasattr(self, "office"):
            return
        for number, event in enumerate(self.office.log[self.looked_at :], self.looked_at):
            before = allowed(self.replayed)
            self.replayed.apply(event)
            for opened in allowed(self.replayed) - before:
                assert isinstance(event, ConnectionStateChanged), event
                assert (event.before, event.trigger) == (ConnectionState.PROVISIONING_COMPLETED, Trigger.ALLOW)
                assert f"{event.peering}/{event.connection}" == opened
                assert validated(self.office.log[: number + 1], opened)
        self.looked_at = len(self.office.log)

    @invariant()
    def names_keys_and_addresses_are_unique(self) -> None:
        if not hasattr(self, "office"):
            return
        ledger = self.office.desk.ledger
        keys = [r.prefix_key for r in (*ledger.registered_prefixes.values(), *ledger.registered_asns.values())]
        assert len(keys) == len(set(keys))
        owners: dict[str, int] = {}
        places = []
        for peering in ledger.peerings.values():
            assert len({c.identifier for c in peering.connections}) == len(peering.connections)
            assert len({c.label for c in peering.connections}) == len(peering.connections)
            places.append((peering.asn, peering.kind, peering.direct_type, peering.peering_location))
            for session in (s for c in peering.connections if c.stage is not None for s in (c.v4, c.v6)):
                if session is not None and session.peer is not None:
                    assert owners.setdefault(session.peer, peering.asn) == peering.asn, "an address of two ASes"
        assert len(places) == len(set(places)), "one peering of an AS, kind and type at a place"

    def teardown(self) -> None:
        """From wherever it got to, everything can be removed."""
        if not hasattr(self, "office"):
            return
        office = self.office
        for key in list(office.desk.ledger.peerings):
            for _ in range(LONGEST_WAY):
                standing = office.desk.ledger.peerings.get(key)
                waiting = [c for c in standing.connections if c.state in WAY_OUT] if standing else []
                if not waiting:
                    break
                at = {"peering": key, "connection": waiting[0].identifier}
                office.do(WAY_OUT[ConnectionState(waiting[0].state)](at))
            if key in office.desk.ledger.peerings:
                office.do(ask.DeletePeering(peering=key))
        assert not office.desk.ledger.peerings
        assert not office.desk.ledger.registered_prefixes
        for key in list(office.desk.ledger.peer_asns):
            office.do(ask.DeletePeerAsn(peer_asn=key))
        assert Desk(CATALOGUE, office.log).ledger == office.desk.ledger

    @invariant()
    def every_step_is_a_row_and_follows_from_the_last(self) -> None:
        if hasattr(self, "office"):
            check_steps(self.office)

    @invariant()
    def link_test_addresses_are_unique(self) -> None:
        if hasattr(self, "office"):
            running = [
                address
                for p in self.office.desk.ledger.peerings.values()
                for c in p.connections
                if c.link_test is not None and c.link_test.running
                for address in (c.link_test.addresses.peer, c.link_test.addresses.microsoft)
            ]
            assert len(running) == len(set(running))


def allowed(ledger: Ledger) -> set[str]:
    """Connections whose policy is open."""
    return {
        f"{peering.key}/{connection.label}"
        for peering in ledger.peerings.values()
        for connection in peering.connections
        if connection.stage is PolicyStage.ALLOW
    }


def validated(log: list[Event], subject: str) -> bool:
    """Whether the last verdicts before the last opening were complete and all passed."""
    peering, _, label = subject.partition("/")
    steps = [
        (number, event)
        for number, event in enumerate(log)
        if isinstance(event, ConnectionStateChanged) and (event.peering, event.connection) == (peering, label)
    ]
    opened = max(number for number, event in steps if event.trigger == Trigger.ALLOW)
    passed = max(number for number, event in steps if event.trigger == Trigger.VALIDATION_PASSED and number < opened)
    judged: list[ValidationJudged] = []
    for event in reversed(log[:passed]):
        if not isinstance(event, ValidationJudged) or event.subject != subject:
            break
        judged.append(event)
    rules = {v.rule for v in PASSED}
    return {e.rule for e in judged} >= rules and all(e.passed for e in judged if e.rule in rules)


def check_steps(office: Office) -> None:
    rows = {(r.before, r.trigger, r.after, r.actor) for table in TABLES.values() for r in table}
    last: dict[tuple[str, str], str] = {}
    for event in office.log:
        if not isinstance(event, ConnectionStateChanged):
            continue
        at = (event.peering, event.connection)
        assert (event.before, event.trigger, event.after, event.actor) in rows
        assert last.get(at, ConnectionState.NONE) == event.before
        last[at] = event.after if event.after != REMOVED else ConnectionState.NONE


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
