"""What happened in a lab, as frozen facts in the past tense.

``at`` is CLOCK_REALTIME in nanoseconds, the same clock as the packets on the taps. The event log is one JSON line
per event; a new controller rebuilds what it knows from it.
"""

from __future__ import annotations

import msgspec


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    at: int


class LabCreated(_Event, frozen=True, kw_only=True, tag="lab-created"):
    """The cell stands: every node and link exists."""

    lab: str
    nodes: int
    links: int


class LabConverged(_Event, frozen=True, kw_only=True, tag="lab-converged"):
    """Every session that should be up is Established and every End-of-RIB has come."""

    sessions: int


class LabStopped(_Event, frozen=True, kw_only=True, tag="lab-stopped"):
    """The cell was taken down on request."""

    lab: str


class PhaseStarted(_Event, frozen=True, kw_only=True, tag="phase-started"):
    """A phase of the rehearsal began."""

    phase: str


class PhaseEnded(_Event, frozen=True, kw_only=True, tag="phase-ended"):
    """A phase of the rehearsal ended; ``ok`` False when the story could not go on as told."""

    phase: str
    ok: bool = True
    why: str = ""


class ConnectionStateChanged(_Event, frozen=True, kw_only=True, tag="connection-state-changed"):
    """A Microsoft.Peering connection moved along its state table."""

    peering: str
    connection: str
    before: str
    after: str
    trigger: str
    actor: str
    reason: str = ""


class TransitionRefused(_Event, frozen=True, kw_only=True, tag="transition-refused"):
    """A request was refused; nothing changed."""

    resource: str
    request: str
    code: str
    message: str


class ResourceChanged(_Event, frozen=True, kw_only=True, tag="resource-changed"):
    """A Microsoft.Peering resource was created, changed or deleted. ``body`` is its serialised form."""

    kind: str
    name: str
    change: str
    body: dict[str, object] | None = None


class MailSent(_Event, frozen=True, kw_only=True, tag="mail-sent"):
    """A mail or notice of the real process, kept in the lab's outbox."""

    sender: str
    to: str
    subject: str
    text: str


class SessionStateChanged(_Event, frozen=True, kw_only=True, tag="session-state-changed"):
    """A router reports a change of a BGP session's FSM state (RFC 4271 section 8.2.2)."""

    node: str
    session: str
    before: str
    after: str
    reason: str = ""


class BfdStateChanged(_Event, frozen=True, kw_only=True, tag="bfd-state-changed"):
    """A router reports a change of a session's BFD state (RFC 5880: AdminDown, Down, Init, Up).

    ``remote`` is the peer's state as it said last. ``path_failed``: BGP was told that its path is broken (RFC 5882).
    """

    node: str
    session: str
    before: str
    after: str
    diagnostic: str = ""
    remote: str = ""
    path_failed: bool = False


class PolicyStageChanged(_Event, frozen=True, kw_only=True, tag="policy-stage-changed"):
    """An edge router confirmed that a session's policy stage is in force."""

    node: str
    sessions: tuple[str, ...]
    stage: str


class LinkTested(_Event, frozen=True, kw_only=True, tag="link-tested"):
    """Result of one direction of a link test in 169.254.0.0/16 (spec S3)."""

    link: str
    source_node: str
    source: str
    destination_node: str
    destination: str
    sent: int
    received: int
    rtt_min_ms: float | None = None
    rtt_avg_ms: float | None = None
    rtt_max_ms: float | None = None


class AddressesChanged(_Event, frozen=True, kw_only=True, tag="addresses-changed"):
    """Addresses were put on or taken off an interface by the controller."""

    node: str
    interface: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class ValidationJudged(_Event, frozen=True, kw_only=True, tag="validation-judged"):
    """One rule of the end-to-end validation was judged for a connection or prefix."""

    subject: str
    rule: str
    passed: bool
    message: str = ""


class FaultInjected(_Event, frozen=True, kw_only=True, tag="fault-injected"):
    """The lab broke something on purpose."""

    fault: str
    target: str
    detail: str = ""


class FaultCleared(_Event, frozen=True, kw_only=True, tag="fault-cleared"):
    """The lab mended what it had broken."""

    fault: str
    target: str


class StimulusApplied(_Event, frozen=True, kw_only=True, tag="stimulus-applied"):
    """Something was announced, withdrawn or sent on purpose to see a check judge it."""

    stimulus: str
    node: str
    session: str = ""
    detail: dict[str, object] = {}


class StimulusObserved(_Event, frozen=True, kw_only=True, tag="stimulus-observed"):
    """What a stimulus led to, as observed (not judged)."""

    stimulus: str
    node: str
    detail: dict[str, object] = {}


class StreamMeasured(_Event, frozen=True, kw_only=True, tag="stream-measured"):
    """A UDP stream between two hosts was measured through a change.

    ``gaps`` are (start ns, end ns, packets lost) with times of the last packet before and the first after. ``last`` is
    when the last packet arrived (0: none did, or nobody wrote it down): what was sent after it is lost too and in no
    gap. ``stale`` packets belong to an earlier stream to the same port and came out of some queue since; they count
    for nothing.
    """

    name: str
    source: str
    destination: str
    family: str
    rate_hz: float
    sent: int
    received: int
    duplicated: int = 0
    reordered: int = 0
    started: int = 0
    ended: int = 0
    last: int = 0
    stale: int = 0
    gaps: tuple[tuple[int, int, int], ...] = ()


class PathTraced(_Event, frozen=True, kw_only=True, tag="path-traced"):
    """A traceroute: hop addresses (None = silent hop), the node names they belong to, and the address family."""

    name: str
    source: str
    destination: str
    hops: tuple[str | None, ...]
    nodes: tuple[str | None, ...]
    reached: bool
    rtts_ms: tuple[float | None, ...] = ()
    family: str = ""


class ProbeAnswered(_Event, frozen=True, kw_only=True, tag="probe-answered"):
    """A reachability probe (ICMP or TCP) between two nodes."""

    name: str
    source: str
    destination: str
    protocol: str
    sent: int
    received: int
    detail: str = ""


class SnapshotTaken(_Event, frozen=True, kw_only=True, tag="snapshot-taken"):
    """The whole lab was read at one moment; the snapshot itself is stored beside the log under ``label``."""

    label: str


class ProcessExited(_Event, frozen=True, kw_only=True, tag="process-exited"):
    """A process in a node ended."""

    node: str
    process: str
    code: int | None = None
    signal: int | None = None


class RouterNotice(_Event, frozen=True, kw_only=True, tag="router-notice"):
    """A router says something a person should know (treat-as-withdraw, max-prefix warning, FIB refusal...)."""

    node: str
    session: str
    kind: str
    text: str
    message: str = ""


class RouteChanged(_Event, frozen=True, kw_only=True, tag="route-changed"):
    """A router tells what it holds now of a watched prefix on one external session, because that changed.

    ``held`` False means that Adj-RIB-In has no route for it any more. ``origin`` is the origin AS, None for a path
    without one. ``accepted`` and ``reason`` are what import policy said; ``best`` whether this router's decision took
    it. ``received_at`` is when the UPDATE came (ns); ``at`` is when the change had been decided.
    """

    node: str
    session: str
    prefix: str
    held: bool
    as_path: str = ""
    origin: int | None = None
    accepted: bool = False
    best: bool = False
    reason: str = ""
    received_at: int = 0


class PrefixEventRaised(_Event, frozen=True, kw_only=True, tag="prefix-event-raised"):
    """An event of a Peering Service prefix (spec 3.9). ``name`` is the prefix resource's key, ``alarm`` says what it is
    a sign of: hijack, leak, withdrawal or nothing (''). ``caused_at`` is when the router saw its cause (ns).
    ``announced`` is the more specific prefix that the event is about, '' when it is about the prefix itself.
    """

    name: str
    prefix: str
    kind: str
    level: str
    summary: str
    description: str = ""
    node: str = ""
    session: str = ""
    origin: int | None = None
    alarm: str = ""
    caused_at: int = 0
    announced: str = ""


Event = (
    LabCreated
    | LabConverged
    | LabStopped
    | PhaseStarted
    | PhaseEnded
    | ConnectionStateChanged
    | TransitionRefused
    | ResourceChanged
    | MailSent
    | SessionStateChanged
    | BfdStateChanged
    | PolicyStageChanged
    | LinkTested
    | AddressesChanged
    | ValidationJudged
    | FaultInjected
    | FaultCleared
    | StimulusApplied
    | StimulusObserved
    | StreamMeasured
    | PathTraced
    | ProbeAnswered
    | SnapshotTaken
    | ProcessExited
    | RouterNotice
    | RouteChanged
    | PrefixEventRaised
)
