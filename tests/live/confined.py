"""A place that is worse than this machine: no other user's directories, a tiny disk, no user namespaces.

Run as a program with an `Order` in JSON as its only argument: it makes mount (and, unprivileged, user) namespaces of
its own, changes only those, runs the commands there one after the other, and prints what became of them.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec

from peerlab.runtime.kernel import CLONE_NEWNS, CLONE_NEWUSER, MS_PRIVATE, MS_REC, mount, unshare

MS_BIND = 0x1000
SOME_USER = 1000
WITHIN = 300.0
"""Seconds after which the place is given up."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the place is like, and the commands to run there.

    ``disk`` is a directory that becomes a tmpfs of ``disk_octets``; ``user`` runs the commands (else the caller does)
    and ``reachable`` are directories that it has to be able to enter; ``user_namespaces`` False forbids them.
    """

    commands: tuple[tuple[str, ...], ...]
    environment: dict[str, str]
    disk: str = ""
    disk_octets: int = 0
    user: int | None = None
    reachable: tuple[str, ...] = ()
    user_namespaces: bool = True


class Outcome(msgspec.Struct, frozen=True):
    """What became of a command."""

    code: int
    out: str
    err: str


def confined(order: Order, environment: dict[str, str]) -> tuple[Outcome, ...]:
    """Carries the order out in a process of its own; that process imports peerlab by ``environment``."""
    done = subprocess.run(
        [sys.executable, __file__, msgspec.json.encode(order).decode()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = msgspec.json.decode(done.stdout, type=tuple[Outcome, ...])
    for outcome in outcomes:
        assert "Traceback" not in outcome.out + outcome.err, outcome
    return outcomes


def _carry_out(order: Order) -> list[Outcome]:
    unprivileged = os.getuid() != 0 or not order.user_namespaces
    user, group = os.getuid(), os.getgid()
    unshare(CLONE_NEWNS | (CLONE_NEWUSER if unprivileged else 0))
    if unprivileged:
        inside = 0 if order.user_namespaces else SOME_USER
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    if order.disk:
        mount("tmpfs", order.disk, "tmpfs", 0, f"size={order.disk_octets},mode=0755")
    _uncover([Path(path) for path in order.reachable])
    if not order.user_namespaces:
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    return [_run(command, order) for command in order.commands]


def _run(command: tuple[str, ...], order: Order) -> Outcome:
    identity = {} if order.user is None else {"user": order.user, "group": order.user, "extra_groups": ()}
    done = subprocess.run(
        command, env=order.environment, capture_output=True, text=True, cwd="/", check=False, timeout=WITHIN, **identity
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def _uncover(paths: list[Path]) -> None:
    """Makes directories reachable for everybody, here only, whatever stands above them: a suite may lie in /root."""
    blocked: dict[Path, list[tuple[Path, int]]] = {}
    for path in dict.fromkeys(path.resolve() for path in paths):
        for above in reversed(path.parents):
            if not above.stat().st_mode & stat.S_IXOTH:
                blocked.setdefault(above, []).append((path, os.open(path, os.O_PATH | os.O_DIRECTORY)))
                break
    for above, hidden in blocked.items():
        mount("tmpfs", str(above), "tmpfs", 0, "mode=0755")
        for path, descriptor in hidden:
            path.mkdir(parents=True, exist_ok=True)
            mount(f"/proc/self/fd/{descriptor}", str(path), "none", MS_BIND)
            os.close(descriptor)


if __name__ == "__main__":
    print(msgspec.json.encode(_carry_out(msgspec.json.decode(sys.argv[1], type=Order))).decode())
