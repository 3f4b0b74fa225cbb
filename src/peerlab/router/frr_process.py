"""FRR's processes in a lab: zebra and bgpd with directories, users and sockets of their own, as root or rootless.

FRR gives up its rights for the user ``frr``, whom the user namespace of a rootless lab does not have. So each process
gets a mount namespace in which ``frr`` is the lab's own root, and /var/tmp, where FRR leaves crash logs, is empty.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path, PurePath

from peerlab.daemons.frr import CONFIGURATION, ZEBRA
from peerlab.errors import RuntimeFailure, Unsupported
from peerlab.router.companion_child import Child, check
from peerlab.router.log_shelter import hide_logs
from peerlab.runtime.kernel import CLONE_NEWNS, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount, unshare

PLACES = ("/usr/lib/frr", "/usr/sbin", "/usr/local/sbin", "/usr/libexec/frr")

BGPD_LOG = "bgpd.log"
ZEBRA_LOG = "zebra.log"
STATICD_LOG = "staticd.log"
"""Where their own words are kept, in the node's directory."""

_USERS = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nfrr:x:0:0:FRR in a lab:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nfrr:x:0:\nfrrvty:x:0:frr\n",
}


def program(name: str) -> str:
    """Where one of FRR's daemons is. Raises Unsupported when it is nowhere.

    A ``bgpd`` in /usr/sbin may be OpenBGPD's: only one with a zebra beside it counts.
    """
    for place in PLACES:
        found = shutil.which(f"{place}/{name}")
        if found is not None and shutil.which(f"{place}/zebra"):
            return found
    raise Unsupported("FRR is not installed here; run `make daemons`, or install the package frr")


class FrrProcesses:
    """zebra and bgpd of one node."""

    def __init__(self, directory: Path, own: bool = False) -> None:
        """``own``: they run an engineer's own configuration, which may log where it likes.

        Raises RuntimeFailure when the files that describe its users cannot be written.
        """
        self._directory = directory
        self._own = own
        self._users = {target: directory / f"frr{target.replace('/', '-')}" for target in _USERS}
        try:
            for target, path in self._users.items():
                path.write_text(_USERS[target])
        except OSError as error:
            raise RuntimeFailure(f"cannot write into {directory}: {error.strerror}; is the disk full?") from error

    def check(self) -> None:
        """bgpd's own check of its file. Raises RuntimeFailure with bgpd's words."""
        command = [program("bgpd"), "-C", "-S", "-M", "bgpd_bmp", "-f", str(CONFIGURATION)]
        check("FRR", command, self._directory / CONFIGURATION, self._furnish)

    def zebra(self, heard: Callable[[str], None]) -> Child:
        """Start zebra, and wait until bgpd can speak to it."""
        child = self._start("zebra", ZEBRA, ZEBRA_LOG, [], heard)
        child.wait_until(lambda: (self._directory / "zserv.api").exists(), LOOK_EVERY)
        return child

    def bgpd(self, heard: Callable[[str], None], installs: bool) -> Child:
        """Start bgpd, and wait until it can be spoken to. ``installs``: its routes into the kernel."""
        child = self._start("bgpd", CONFIGURATION, BGPD_LOG, ["-M", "bgpd_bmp", *([] if installs else ["-n"])], heard)
        child.wait_until(lambda: (self._directory / "bgpd.vty").exists(), LOOK_EVERY)
        return child

    def staticd(self, heard: Callable[[str], None]) -> Child:
        """Start what keeps the static routes of an own configuration, which is one file for all of FRR's daemons."""
        child = self._start("staticd", CONFIGURATION, STATICD_LOG, [], heard)
        child.wait_until(lambda: (self._directory / "staticd.vty").exists(), LOOK_EVERY)
        return child

    def _start(self, name: str, file: PurePath, log: str, more: list[str], heard: Callable[[str], None]) -> Child:
        for left in (f"{name}.vty", f"{name}.pid", *(["zserv.api"] if name == "zebra" else [])):
            (self._directory / left).unlink(missing_ok=True)
        command = [program(name), "-f", str(file), "-i", f"{name}.pid", "-z", "zserv.api", "--vty_socket", ".",
                   "-A", "127.0.0.1", "-P", "0", "--log", "stdout", *more]  # fmt: skip
        return Child(f"FRR's {name}", command, self._directory, log, heard, self._furnish)

    def _furnish(self) -> None:
        """In the new process, before FRR's program."""
        unshare(CLONE_NEWNS)
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        for target, path in self._users.items():
            mount(str(path), target, "none", MS_BIND)
        mount("tmpfs", "/var/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        if self._own:
            hide_logs()


LOOK_EVERY = 0.005
"""Seconds between looks for a socket that a process makes at its start; it says nothing when it has."""
