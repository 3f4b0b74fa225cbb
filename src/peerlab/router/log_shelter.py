"""A mount namespace in which a daemon's logging stays inside the lab, whatever its configuration says."""

from __future__ import annotations

from pathlib import Path

from peerlab.runtime.kernel import CLONE_NEWNS, MS_BIND, MS_NODEV, MS_NOSUID, MS_PRIVATE, MS_REC, mount, unshare

_SYSLOG = Path("/dev/log")


def shelter() -> None:
    """In a new process, before the daemon's program."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    hide_logs()


def hide_logs() -> None:
    """In a mount namespace of its own: /var/log is empty and its own, syslog's socket leads nowhere."""
    mount("tmpfs", "/var/log", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    if _SYSLOG.exists():
        mount("/dev/null", str(_SYSLOG.resolve()), "none", MS_BIND)
