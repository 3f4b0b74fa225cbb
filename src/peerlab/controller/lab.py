"""A lab as the controller holds it: the composition root of model, runtime, routers and evidence.

Any number of controllers may come and go: what a lab is stands in its state directory and in the cell itself, so
``Lab.attach`` after a ``kill -9`` of the last controller carries on from there.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec

from peerlab.controller.observe import is_running, read_snapshot, read_view
from peerlab.controller.plan import Intent, Step, View, desired_ends, plan
from peerlab.controller.reconcile import CACHE_PROCESS, ROUTER_PROCESS, carry_out
from peerlab.controller.router_client import RouterClient
from peerlab.controller.settling import settle
from peerlab.controller.site import attach_runtime, start_runtime
from peerlab.controller.wiretap import Wiretap
from peerlab.daemons.kinds import daemon_of
from peerlab.errors import LabBroken, PeerlabError, RuntimeFailure, TimedOut
from peerlab.evidence.events import (
    BfdStateChanged,
    Event,
    LabConverged,
    LabCreated,
    LabStopped,
    ProcessExited,
    RouteChanged,
    RouterNotice,
    SessionStateChanged,
    SnapshotTaken,
)
from peerlab.evidence.log import EventLog
from peerlab.evidence.snapshot import SessionFact, Snapshot
from peerlab.evidence.store import LabStore
from peerlab.evidence.story import TAP_PROCESS
from peerlab.evidence.trace import Trace
from peerlab.runtime.base import CELL, ProcessExit, Runtime
from peerlab.runtime.machine import versions
from peerlab.topology.model import LabModel

ESTABLISH_WITHIN = 20.0
"""Seconds in which sessions that should come up have to."""

CONNECT_WITHIN = 15.0
"""Seconds in which a router just forked has to open its control socket."""

ENDS_WITHIN = 10.0
"""Seconds that work on a lab that broke has to let go of it."""

ROUTER_SOCKET = "router.sock"

SUPERVISOR_PROCESS = "supervisor"
"""Name of the cell's first process in ``ProcessExited``; with it ended all of the lab."""

LASTING_PROCESSES = frozenset({ROUTER_PROCESS, CACHE_PROCESS, TAP_PROCESS})
"""Processes whose end is an event; commands that a person or a probe runs come and go."""

T = TypeVar("T")


def now_ns() -> int:
    """CLOCK_REALTIME in nanoseconds, the clock of the taps."""
    return time.time_ns()


class Lab:
    """A running lab. Make one with ``up`` or ``attach``; end it with ``down`` or let go of it with ``close``."""

    def __init__(self, model: LabModel, runtime: Runtime, store: LabStore, log: EventLog) -> None:
        self.model = model
        self.runtime = runtime
        self.store = store
        self.log = log
        self.intent = Intent()
        self.snapshots: dict[str, Snapshot] = {}
        self.listeners: list[Callable[[Event], None]] = []
        self.tap = Wiretap(runtime, store.trace_path)
        self.captured = b""
        """The capture as ``trace`` last read it."""
        self._routers: dict[str, RouterClient] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._learnt = 0
        self._ended: set[str] = set()
        self._watch: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[LabBroken] = asyncio.get_running_loop().create_future()
        self._lost = False

    @classmethod
    async def up(cls, model: LabModel, topology_text: str, name: str | None = None) -> Lab:
        """Build the lab from nothing and wait until its own sessions are Established.

        Raises RefusedError when a lab of that name runs, Unsupported or RuntimeFailure when this machine cannot,
        TimedOut, LabBroken. A lab that did not come up is ended, and what it has shown is kept.
        """
        lab_name = name or model.name
        plan(model, Intent(), View())  # what no daemon can do is refused before anything exists
        store = LabStore.create(lab_name, topology_text, model)
        try:
            store.save_versions(versions(node.kind.value for node in model.nodes if node.is_router))
            runtime = await start_runtime(lab_name, store, model)
        except BaseException:
            store.remove_if_new()
            raise
        lab = cls(model, runtime, store, store.log())
        lab._start_watching()
        try:
            await lab.while_it_lasts(lab._build())
        except BaseException as failure:
            await lab.down_after(failure)
        return lab

    async def _build(self) -> None:
        await self.reconcile()
        nodes, links = len(self.model.nodes), len(self.model.links)
        self.record(LabCreated(at=now_ns(), lab=self.store.name, nodes=nodes, links=links))
        await self.wait_established(self.expected_sessions(), ESTABLISH_WITHIN)
        self.record(LabConverged(at=now_ns(), sessions=len(self.expected_sessions())))

    @classmethod
    async def attach(cls, name: str) -> Lab:
        """Take hold of a lab that runs. Raises RefusedError when there is none of that name.

        What is wanted of it beyond its model is not known yet: ``attached.attach_desk`` learns it from the event log.
        """
        store = LabStore.open(name)
        model = store.model()
        runtime = await attach_runtime(name, store, model)
        lab = cls(model, runtime, store, store.log())
        lab.snapshots = store.snapshots()
        lab._start_watching()
        state = await runtime.observe()
        tapped = any(process.name == TAP_PROCESS for process in state.processes)
        lab.tap = Wiretap(runtime, store.trace_path, running=tapped)
        return lab

    def record(self, event: Event) -> None:
        """Append a fact to the event log and tell whoever watches.

        Raises RuntimeFailure when the log does not take it: the lab counts as broken from then on.
        """
        try:
            self.log.append(event)
        except RuntimeFailure as failure:
            self._break(str(failure))
            raise
        for listener in self.listeners:
            listener(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The whole event log, in order."""
        return self.log.read()

    async def router(self, node: str) -> RouterClient:
        """The control connection to a router, opened on first use and again when it was lost."""
        lock = self._locks.setdefault(node, asyncio.Lock())
        async with lock:
            client = self._routers.get(node)
            if client is None or not client.is_connected:
                connection = await self._connect(node)
                client = await RouterClient.over(node, connection)
                self._routers[node] = client
                await client.subscribe(
                    lambda facts: self._note_sessions(node, facts), lambda notice: self._noticed(node, notice)
                )
            return client

    async def _connect(self, node: str) -> socket.socket:
        """Connect to a router that may just have been forked; its end is noticed at once, with its last words.

        Whether a router that is known to have ended runs again is asked first: nobody answers on a dead one's socket.
        """
        if node in self._ended:
            await self._check_runs(node)
            self._ended.discard(node)
        exits = self.runtime.exits()
        connecting = asyncio.ensure_future(self.runtime.connect(node, ROUTER_SOCKET, within=CONNECT_WITHIN))

        async def ended() -> ProcessExit | None:
            async for one in exits:
                if one.node == node and one.process == ROUTER_PROCESS:
                    return one
            return None

        ending = asyncio.ensure_future(ended())
        try:
            await asyncio.wait((connecting, ending), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done() or connecting.exception() is not None:
                await self._check_runs(node)
            return await connecting
        except TimedOut as error:
            raise RuntimeFailure(
                f"router {node} runs but does not answer on its control socket: {await self.router_log(node)}"
            ) from error
        finally:
            connecting.cancel()
            ending.cancel()
            await asyncio.gather(connecting, ending, return_exceptions=True)

    async def _check_runs(self, node: str) -> None:
        if not is_running(await self.runtime.observe(), node):
            raise RuntimeFailure(
                f"router {node} does not run (`peerlab fault restart-router {node}` starts it); "
                f"its last words: {await self.router_log(node)}"
            )

    async def router_log(self, node: str) -> str:
        """The last line that a router wrote to its log, for people."""
        return await self._last_words(node, ROUTER_PROCESS)

    async def _last_words(self, node: str, process: str) -> str:
        try:
            lines = (await self.runtime.read_file(node, f"{process}.log")).decode(errors="replace").split("\n")
        except PeerlabError as error:
            return f"its log cannot be read ({error})"
        return next((line for line in reversed(lines) if line.strip()), "it wrote nothing to its log")

    def _noticed(self, node: str, notice: dict[str, Any]) -> None:
        event = msgspec.convert(notice, SessionStateChanged | BfdStateChanged | RouterNotice | RouteChanged)
        if isinstance(event, SessionStateChanged):
            self._states[node, event.session] = event.after
        self._record_unasked(event)

    def _record_unasked(self, event: Event) -> None:
        """Record what came by itself, once: every controller that is attached hears of it.

        Nobody waits for it here, so a log that does not take it breaks the lab and raises nothing.
        """
        try:
            self.log.append_once(event)
        except RuntimeFailure as failure:
            self._break(str(failure))
        for listener in self.listeners:
            listener(event)

    def _note_sessions(self, node: str, facts: Iterable[SessionFact]) -> None:
        """What changed while no controller was attached is written down when it is seen."""
        self._learn_states()
        for fact in facts:
            before = self._states.get((node, fact.session))
            if before is not None and before != fact.state:
                self.record(
                    SessionStateChanged(
                        at=now_ns(),
                        node=node,
                        session=fact.session,
                        before=before,
                        after=fact.state,
                        reason="seen on attach",
                    )
                )
            self._states[node, fact.session] = fact.state

    def _learn_states(self) -> None:
        """The session states that the log tells, other controllers' events included."""
        events = self.log.read()
        for event in events[self._learnt :]:
            if isinstance(event, SessionStateChanged):
                self._states[event.node, event.session] = event.after
        self._learnt = len(events)

    def _start_watching(self) -> None:
        exits = self.runtime.exits()

        async def watch() -> None:
            async for ended in exits:
                if ended.process not in LASTING_PROCESSES:
                    continue
                self._record_unasked(
                    ProcessExited(
                        at=ended.at_ns,
                        node=ended.node,
                        process=ended.process,
                        code=ended.code,
                        signal=ended.signal,
                    )
                )
                if ended.process == ROUTER_PROCESS:
                    self._ended.add(ended.node)
                if ended.process == TAP_PROCESS:
                    why = await self._last_words(ended.node, TAP_PROCESS)
                    self._break(f"the tap of lab {self.store.name} ended, the wires are no longer seen: {why}")
            self._lose()

        self._watch = asyncio.ensure_future(watch())

    def _break(self, why: str) -> None:
        """From now on nothing that is done with this lab can end well."""
        if not self._broken.done():
            self._broken.set_result(LabBroken(f"{why}; {self._kept()}"))

    def _kept(self) -> str:
        name = self.store.name
        return (
            f"what lab {name} has shown is kept in {self.store.path}: "
            f"`peerlab check {name}` judges it, `peerlab down {name}` removes it"
        )

    def _lose(self) -> None:
        """The supervisor is gone, and not because we asked."""
        if not self._lost:
            self._lost = True
            self._record_unasked(ProcessExited(at=now_ns(), node=CELL, process=SUPERVISOR_PROCESS))
            self._break(f"the supervisor of lab {self.store.name} is gone, and the lab with it")

    async def while_it_lasts(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and end it at once when the lab breaks under it.

        Raises LabBroken when supervisor, tap or event log were lost meanwhile, else what the work raises.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._broken), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (task.cancelled() or isinstance(task.exception(), PeerlabError | OSError)):
                await self._check_supervisor()
            if self._broken.done():
                raise self._broken.result()
            return task.result()
        finally:
            task.cancel()
            # What letting go of a broken lab raises besides says nothing that the lab's own end does not.
            await asyncio.wait((asyncio.gather(task, return_exceptions=True),), timeout=ENDS_WITHIN)

    async def _check_supervisor(self) -> None:
        """Work failed: was it because the lab is gone? The connections of a dying lab end in any order."""
        try:
            await self.runtime.observe()
        except RuntimeFailure:
            self._lose()

    async def plan(self) -> tuple[Step, ...]:
        """What a reconcile would do now, with reasons; empty when the lab is as it should be."""
        return plan(self.model, self.intent, await read_view(self.runtime, self.router))

    async def reconcile(self, intent: Intent | None = None, communication: str = "") -> tuple[Step, ...]:
        """Make the lab what model and intent say. Returns the steps that were carried out."""
        if intent is not None:
            self.intent = intent
        steps = await self.plan()
        ends = desired_ends(self.model, self.intent)
        await carry_out(steps, self.model, ends, self.runtime, self.router, self.tap, communication)
        return steps

    def expected_sessions(self) -> tuple[str, ...]:
        """Sessions whose both ends should be configured now."""
        ends = desired_ends(self.model, self.intent)
        return tuple(
            session.id
            for session in self.model.sessions
            if (session.left.node, session.id) in ends and (session.right.node, session.id) in ends
        )

    async def wait_established(self, sessions: Iterable[str], within: float) -> None:
        """Return when both ends of every session are Established and have received End-of-RIB.

        From a daemon that does not tell it, the other end waits until it has nothing left to send. Raises TimedOut
        naming each session that is not.
        """
        ends: dict[str, list[tuple[str, str]]] = {"end-of-rib": [], "established": []}
        silent: set[str] = set()
        for session in map(self.model.session, sessions):
            for end, teller in ((session.left, session.right), (session.right, session.left)):
                tells = daemon_of(self.model.node(teller.node).kind).TELLS_END_OF_RIB
                ends["end-of-rib" if tells else "established"].append((end.node, session.id))
                if not tells:
                    silent.add(teller.node)
        answers = await asyncio.gather(*(self._not_reached(pairs, what, within) for what, pairs in ends.items()))
        missing = [pair for pairs in answers for pair in pairs]
        if missing:
            names = ", ".join(f"{session} at {node}" for node, session in missing)
            raise TimedOut(f"Established with End-of-RIB of {names}", within)
        if silent:
            await self.wait_quiet(sorted(silent), within)

    async def wait_down(self, sessions: Iterable[str], within: float) -> None:
        """Return when both ends of every session are down. Raises TimedOut naming each that is not."""
        ends = [
            (end.node, session_id)
            for session_id in sessions
            for end in (self.model.session(session_id).left, self.model.session(session_id).right)
        ]
        missing = await self._not_reached(ends, "down", within)
        if missing:
            names = ", ".join(f"{session} at {node}" for node, session in missing)
            raise TimedOut(f"going down of {names}", within)

    async def _not_reached(self, ends: Iterable[tuple[str, str]], what: str, within: float) -> list[tuple[str, str]]:
        async def reached(node: str, session: str) -> bool:
            return await (await self.router(node)).wait(what, within, session=session)

        pairs = list(ends)
        answers = await asyncio.gather(*(reached(node, session) for node, session in pairs))
        return [pair for pair, answer in zip(pairs, answers, strict=True) if not answer]

    async def wait_quiet(self, nodes: Iterable[str] | None = None, within: float = ESTABLISH_WITHIN) -> None:
        """Return when no router has anything left to send or decide, twice around the lab.

        One quiet router may still be waiting for what its neighbour is about to send; asking every router again
        after all were quiet closes that gap for messages already on a wire. Where the topology gives wires a delay,
        what is on its way is waited for first (``settling``).
        """
        names = list(nodes) if nodes is not None else [n.name for n in self.model.nodes if n.is_router]
        if any(link.delay_ms for link in self.model.links):
            await settle(self.runtime, names, lambda: self._ask_quiet(names, within), within)
        for _ in range(2):
            await self._ask_quiet(names, within)

    async def _ask_quiet(self, names: Sequence[str], within: float) -> None:
        clients = await asyncio.gather(*(self.router(name) for name in names))
        answers = await asyncio.gather(*(client.wait("quiet", within) for client in clients))
        noisy = [name for name, quiet in zip(names, answers, strict=True) if not quiet]
        if noisy:
            raise TimedOut(f"quiet at {', '.join(noisy)}", within)

    async def look(self, label: str = "now") -> Snapshot:
        """Read the whole lab as it is, without keeping it."""
        return await read_snapshot(label, now_ns(), self.model, self.runtime, self.router)

    async def snapshot(self, label: str) -> Snapshot:
        """Read the whole lab, keep it under ``label`` and on disk."""
        taken = await self.look(label)
        self.snapshots[label] = taken
        self.store.save_snapshot(taken)
        self.record(SnapshotTaken(at=now_ns(), label=label))
        return taken

    async def trace(self, model: LabModel | None = None) -> Trace:
        """Everything captured up to now, decoded; ``model`` names the wires when the lab has had more than now."""
        complete_until = now_ns()
        await self.tap.flush()
        self.captured = self.store.trace_path.read_bytes()
        return Trace.from_pcapng(self.captured, model or self.model, until=complete_until)

    async def use_model(self, model: LabModel) -> None:
        """Work with a changed model from now on (an examiner was added); ``reconcile`` makes it so."""
        self.model = model
        self.store.save_model(model)

    async def close(self) -> None:
        """Let go of the lab; it keeps running."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for client in self._routers.values():
            await client.close()
        self._routers.clear()
        await self.tap.close()
        await self.runtime.close()

    async def down(self, keep_evidence: bool = False) -> None:
        """End the lab: processes, namespaces, and unless kept its state directory.

        Raises RuntimeFailure, when all else is done, if the kept event log did not take the last event.
        """
        unwritten = await self._end()
        if not keep_evidence:
            self.store.remove()
        elif unwritten is not None:
            raise unwritten

    async def down_after(self, failure: BaseException) -> NoReturn:
        """End a lab whose work failed, and raise why.

        What the lab has shown is kept when it is the lab that failed (LabBroken says where), and removed when the
        work was refused or interrupted.
        """
        await self._end()
        if not isinstance(failure, RuntimeFailure | TimedOut):
            self.store.remove()
            raise failure
        if isinstance(failure, LabBroken):
            raise failure
        raise LabBroken(f"{failure}; {self._kept()}") from failure

    async def _end(self) -> RuntimeFailure | None:
        """Ends all that runs; gives what the event log had against being told."""
        unwritten: RuntimeFailure | None = None
        if not self._lost:
            try:
                self.record(LabStopped(at=now_ns(), lab=self.store.name))
            except RuntimeFailure as failure:
                unwritten = failure
        for client in self._routers.values():
            await client.close()
        self._routers.clear()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.tap.end()
        await self.runtime.shutdown()
        return unwritten
