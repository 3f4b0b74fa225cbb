"""The few system calls that Python 3.11 does not offer, by ctypes, with errors as `OSError`.

`unshare` and `setns` concern the calling *thread*: a thread that entered a node's network namespace cannot
come back to the host's without privilege there. So whoever must enter one does it in a thread that is thrown
away afterwards (`in_namespace`), and the caller never moves.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Collection
from typing import TypeVar

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "die_with_parent",
    "drop_from_bounding_set",
    "in_namespace",
    "in_throwaway_thread",
    "mount",
    "rename_process",
    "set_timer_slack",
    "setns",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 0x20, 0x1000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_TIMERSLACK = 29
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)

Result = TypeVar("Result")


def _checked(outcome: int, call: str) -> None:
    if outcome != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Moves the calling thread into new namespaces (unshare(2))."""
    _checked(_libc.unshare(flags), "unshare")


def setns(namespace: int, kind: int) -> None:
    """Moves the calling thread into the namespace behind a file descriptor (setns(2))."""
    _checked(_libc.setns(namespace, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()), f"mount {target}")


def rename_process(name: str) -> None:
    """The name that ps shows for the calling thread; the kernel keeps 15 bytes of it."""
    _checked(_libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0), "prctl")


def set_timer_slack(nanoseconds: int) -> None:
    """How late the kernel may wake the calling thread, to save power; ordinarily 50 microseconds (prctl(2))."""
    _checked(_libc.prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0), "prctl")


def in_throwaway_thread(work: Callable[[], Result]) -> Result:
    """Runs ``work`` in a new thread, waits for it, and gives its answer or raises what it raised."""
    answers: list[Result] = []
    failures: list[BaseException] = []

    def carry() -> None:
        try:
            answers.append(work())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=carry, name="throwaway")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def in_namespace(namespace: int, work: Callable[[], Result]) -> Result:
    """Runs ``work`` inside the network namespace behind a file descriptor, without moving the caller."""

    def enter() -> Result:
        setns(namespace, CLONE_NEWNET)
        return work()

    return in_throwaway_thread(enter)


def die_with_parent(number: int) -> None:
    """Has the kernel send the calling process a signal when the thread that forked it ends (prctl(2))."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")


def drop_from_bounding_set(kept: Collection[int]) -> None:
    """Takes every capability but those from what the calling process and its programs can ever have (prctl(2))."""
    number = 0
    while _libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        if number not in kept:
            _checked(_libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), "prctl")
        number += 1
