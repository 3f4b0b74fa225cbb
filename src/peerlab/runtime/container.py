"""A container as the supervisor holds it, and how a process of the cell gets inside.

A process of a container node lives in the container's network, mounts and host name, with the container's bounded
capabilities; its pid is the cell's, so the supervisor signals and buries it like any other, and it dies with the lab.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from peerlab.runtime.kernel import (
    CLONE_NEWNS,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    drop_from_bounding_set,
    mount,
    setns,
    unshare,
)

__all__ = ["CAPABILITIES", "INSIDE", "SEARCH_PATH", "Container", "find_program"]

INSIDE = "/run/peerlab"
"""Where a container has its node's directory, below its name, as the cell has it."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr"
"""Where programs are looked for in a container."""

CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
}
"""What routing daemons need, by name and number (linux/capability.h): ports below 1024, routes and raw sockets, and to
become another user with files of its own. Everything else is taken away."""


class Container:
    """The descriptors of a container's namespaces, and of the pipe that ends it when the supervisor ends."""

    __slots__ = ("_hold", "_mounts", "_names", "directory")

    def __init__(self, mounts: int, names: int, hold: int, directory: str) -> None:
        self._mounts = mounts
        self._names = names
        self._hold = hold
        self.directory = directory

    def enter(self, inside: str) -> None:
        """Moves the calling, single-threaded process into the container; ``inside`` becomes its directory.

        /proc is that of the cell, where its pids are; what the host shares in it can only be read.
        """
        setns(self._mounts, CLONE_NEWNS)
        setns(self._names, CLONE_NEWUTS)
        unshare(CLONE_NEWNS)
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("/proc/sys", "/proc/sys", "none", MS_BIND)
        mount("none", "/proc/sys", "none", MS_BIND | MS_REMOUNT | MS_RDONLY)
        os.chdir(inside)
        drop_from_bounding_set(CAPABILITIES.values())

    def close(self) -> None:
        """Lets go; the container's first process reads the end of its pipe and ends."""
        for descriptor in (self._mounts, self._names, self._hold):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def find_program(name: str) -> str:
    """The program of that name, seen from where the process is now. Raises FileNotFoundError."""
    places = [Path(name)] if "/" in name else [Path(place, name) for place in SEARCH_PATH.split(":")]
    for place in places:
        if os.access(place, os.X_OK) and not place.is_dir():
            return str(place)
    raise FileNotFoundError(f"{name} is not a program of this image (looked in {SEARCH_PATH})")
