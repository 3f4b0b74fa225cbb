"""OpenBGPD's process in a lab, as root or rootless: a user of its own, and a place to be locked into.

OpenBGPD gives up its rights for the user ``_openbgpd``, whom the user namespace of a rootless lab does not have. So it
gets a mount namespace in which that user is the lab's own root, with an empty directory as its home. It insists on
giving up groups, which a user namespace made without privilege forbids: there a filter answers that call.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from peerlab.daemons.openbgpd import CONFIGURATION, CONTROL_SOCKET
from peerlab.errors import RuntimeFailure, Unsupported
from peerlab.router.companion_child import Child, check
from peerlab.runtime.kernel import CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare
from peerlab.runtime.seccomp import keep_groups, knows_this_machine

PLACES = ("/usr/sbin", "/usr/local/sbin")

LOG = "bgpd.log"
"""Where OpenBGPD's own words are kept, in the node's directory."""

_HOME = "openbgpd-home"


def program(name: str) -> str:
    """Where one of OpenBGPD's programs is. Raises Unsupported when it is nowhere.

    A ``bgpd`` may be FRR's: only one with a bgpctl beside it counts.
    """
    for place in PLACES:
        found = shutil.which(f"{place}/{name}")
        if found is not None and shutil.which(f"{place}/bgpctl"):
            return found
    raise Unsupported("OpenBGPD is not installed here; run `make daemons`, or install the package openbgpd")


class OpenBgpdProcess:
    """bgpd of one node."""

    def __init__(self, directory: Path) -> None:
        """Raises RuntimeFailure when the files that describe its user cannot be written."""
        self._directory = directory
        home = directory / _HOME
        users = {
            "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n_openbgpd:x:0:0:in a lab:{home}:/usr/sbin/nologin\n",
            "/etc/group": "root:x:0:\n_openbgpd:x:0:\n",
        }
        self._users = {target: directory / f"openbgpd{target.replace('/', '-')}" for target in users}
        try:
            home.mkdir(mode=0o755, exist_ok=True)
            for target, path in self._users.items():
                path.write_text(users[target])
        except OSError as error:
            raise RuntimeFailure(f"cannot write into {directory}: {error.strerror}; is the disk full?") from error

    def check(self) -> None:
        """bgpd's own check of its file. Raises RuntimeFailure with bgpd's words."""
        path = self._directory / CONFIGURATION
        path.chmod(0o600)  # it reads no other
        check("OpenBGPD", [program("bgpd"), "-n", "-f", str(CONFIGURATION)], path, self._furnish)

    def start(self, heard: Callable[[str], None], ready: Callable[[], bool]) -> Child:
        """Start bgpd, and wait until ``ready``."""
        if self._groups_are_fixed and not knows_this_machine():
            raise Unsupported(
                "OpenBGPD cannot give up its rights in a lab without root on this machine; start the lab as root, or "
                "run this router on ExaBGP, BIRD or FRR"
            )
        (self._directory / CONTROL_SOCKET).unlink(missing_ok=True)
        command = [program("bgpd"), "-d", "-v", "-f", str(CONFIGURATION)]
        child = Child("OpenBGPD", command, self._directory, LOG, heard, self._furnish)
        child.wait_until(ready)
        return child

    def _furnish(self) -> None:
        """In the new process, before OpenBGPD's program."""
        unshare(CLONE_NEWNS)
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        for target, path in self._users.items():
            mount(str(path), target, "none", MS_BIND)
        if self._groups_are_fixed and knows_this_machine():
            keep_groups()

    @property
    def _groups_are_fixed(self) -> bool:
        """Whether this user namespace was made without privilege (user_namespaces(7))."""
        return Path("/proc/self/setgroups").read_text().strip() == "deny"
