"""`python -m peerlab.runtime.enclosure LAB READY_FD`: from an ordinary process to pid 1 of a cell.

In order: the lab's name is taken (an abstract socket of the host's network namespace, which is never left),
then a new user namespace unless root needs none, mount and pid namespace, a child that is pid 1, a private
/run on tmpfs, a /proc of its own, the supervisor. What happens is told on the ready descriptor, one JSON
object per line: ``{"pid": N}`` (in the starter's counting), ``{"ready": true}`` or ``{"fault": {...}}``.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import msgspec

from peerlab.errors import PeerlabError, RefusedError, Unsupported
from peerlab.runtime.cell import socket_name
from peerlab.runtime.kernel import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    rename_process,
    unshare,
)
from peerlab.runtime.language import as_fault
from peerlab.runtime.launch import NODES_DIRECTORY
from peerlab.runtime.supervisor import Supervisor, log_line

__all__ = ["enter_namespaces", "main"]

APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


def _take_name(lab: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(socket_name(os.getuid(), lab))
    except OSError as failure:
        if failure.errno != errno.EADDRINUSE:
            raise
        raise RefusedError(
            "LabExists",
            f"a lab {lab} runs already; attach to it, end it with `peerlab down {lab}`, or take another name",
        ) from failure
    return listener


def enter_namespaces() -> None:
    """Leaves the calling process in new namespaces; its next child is pid 1 of the cell."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        try:
            unshare(CLONE_NEWNS | CLONE_NEWPID)
            return
        except PermissionError:
            log_line("root without the right to make namespaces (a container?): trying a user namespace")
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as failure:
        why = "their limit is 0 or reached" if failure.errno == errno.ENOSPC else failure.strerror
        raise Unsupported(
            f"user namespaces are not allowed here ({why}); {_how_to_allow(failure.errno)}; "
            "`peerlab doctor` says what this machine can do"
        ) from failure


def _how_to_allow(number: int | None) -> str:
    if number == errno.ENOSPC:
        return "`sudo sysctl -w user.max_user_namespaces=15000`, or run as root"
    if APPARMOR.exists() and APPARMOR.read_text().strip() == "1":
        return (
            "AppArmor restricts them (Ubuntu 23.10 and later): `sudo sysctl -w "
            "kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
        )
    return "run as root"


def _furnish() -> None:
    """Mounts that only this cell sees. A kill leaves no file behind because there was never one outside."""
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    try:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError as failure:
        raise Unsupported(
            f"a cell cannot have a /proc of its own here ({failure.strerror}): this is most often a container that "
            "hides parts of /proc; start it with --privileged or --security-opt systempaths=unconfined"
        ) from failure
    NODES_DIRECTORY.mkdir()


def main(arguments: list[str]) -> int:
    """Starts the cell; the first process returns as soon as pid 1 exists."""
    lab, ready = arguments[0], int(arguments[1])
    os.set_inheritable(ready, False)

    def tell(word: object) -> None:
        os.write(ready, msgspec.json.encode(word) + b"\n")

    try:
        listener = _take_name(lab)
        enter_namespaces()
        pid = os.fork()
        if pid:
            tell({"pid": pid})
            return 0
        rename_process(f"cell {lab}")
        _furnish()

        def listening() -> None:
            tell({"ready": True})
            os.close(ready)

        log_line(f"the cell of lab {lab} is up")
        Supervisor(lab, listener).serve(listening)
        log_line(f"the cell of lab {lab} ends")
    except (PeerlabError, OSError) as failure:
        log_line(str(failure))
        tell({"fault": as_fault(failure)})
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
