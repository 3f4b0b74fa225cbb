"""The life of a router process, from its configuration to SIGTERM."""

from __future__ import annotations

import gc
import signal
import sys
import time
from pathlib import Path

import msgspec

from peerlab.bgp.config import RouterConfig
from peerlab.daemons import rpki
from peerlab.errors import InputError, PeerlabError, Problem, RuntimeFailure
from peerlab.evidence.events import BfdStateChanged, RouteChanged, RouterNotice, SessionStateChanged
from peerlab.router import rpki_cache
from peerlab.router.answers import Answers
from peerlab.router.companion import Companion
from peerlab.router.companion_answers import CompanionAnswers
from peerlab.router.companion_kinds import DRIVERS
from peerlab.router.control import Control
from peerlab.router.loop import Loop
from peerlab.router.router import Router
from peerlab.router.speaker_answers import SpeakerAnswers

_decode = msgspec.json.Decoder(RouterConfig).decode

_GARBAGE_THRESHOLD = 50_000
"""Routes are not garbage: looking for cycles after every 700 of them would take a sixth of the time (measured)."""


def read_config(path: Path) -> RouterConfig:
    """The configuration in ``router.json``; the folder it lies in is the router's directory.

    Raises InputError when it is no router configuration, RuntimeFailure when it cannot be read.
    """
    try:
        config = _decode(path.read_bytes())
    except OSError as error:
        raise RuntimeFailure(f"cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise InputError([Problem(str(path), str(error), "let peerlab write this file")]) from error
    return msgspec.structs.replace(config, directory=str(path.parent.resolve()))


def run(config: RouterConfig) -> int:
    """Be this router until SIGTERM or SIGINT; answers the process's exit code.

    Raises PeerlabError when the router cannot start.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD, 20, 20)
    loop = Loop()
    told: list[Control] = []

    def tell(event: SessionStateChanged | BfdStateChanged | RouterNotice | RouteChanged) -> None:
        _log(event)
        for control in told:
            control.notice(event)

    router: Router | Companion
    answers: Answers
    if config.kind in DRIVERS:
        router = companion = Companion(loop, config, tell, DRIVERS[config.kind])
        answers = CompanionAnswers(companion)
    else:
        router = speaking = Router(loop, config, tell)
        answers = SpeakerAnswers(speaking)
    try:
        control = Control(loop, Path(config.directory), answers.answer, answers.holds)
    except OSError as error:
        raise RuntimeFailure(f"cannot listen on {config.directory}/router.sock: {error.strerror}") from error
    told.append(control)

    def look_at_waits() -> None:
        if control.has_waits and router.is_settled:
            control.look_at_waits()

    def end() -> None:
        router.stop(f"router {config.node} stops")
        control.close()
        loop.stop()

    loop.after_each_turn(look_at_waits)
    if isinstance(router, Companion):
        router.poke_while(lambda: control.has_waits)
    loop.stop_on((signal.SIGTERM, signal.SIGINT), end)
    loop.run()
    return router.exit_code


def run_forked(argument: bytes) -> int:
    """Entry for a zygote's child that is in its node already.

    ``argument`` is the path of ``router.json``, or of a cache's ``cache.json``.
    """
    path = Path(argument.decode())
    try:
        return rpki_cache.run(path) if path.name == rpki.CONFIGURATION.name else run(read_config(path))
    except PeerlabError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


def _log(event: SessionStateChanged | BfdStateChanged | RouterNotice | RouteChanged) -> None:
    """One line per event for the process's log."""
    when = time.strftime("%H:%M:%S", time.gmtime(event.at // 1_000_000_000))
    stamp = f"{when}.{event.at // 1_000_000 % 1000:03d}"
    if isinstance(event, SessionStateChanged):
        why = f": {event.reason}" if event.reason else ""
        text = f"{event.session}: {event.before} -> {event.after}{why}"
    elif isinstance(event, BfdStateChanged):
        text = f"{event.session}: BFD {event.before} -> {event.after}: {event.diagnostic}, peer {event.remote}"
    elif isinstance(event, RouteChanged):
        text = f"{event.session}: {event.prefix} {event.as_path if event.held else 'is gone'}"
    else:
        text = f"{event.session or event.node}: {event.kind}: {event.text}"
    print(stamp, text, file=sys.stderr, flush=True)
