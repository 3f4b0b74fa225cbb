"""What this machine can and cannot do for a lab, found out by trying, and how to mend what is missing.

`examine` starts this module once more as a process of its own, which goes into namespaces of its own and tries
the kernel there; nothing of the caller or the host changes.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from peerlab import __version__
from peerlab.evidence.versions import Versions
from peerlab.runtime import nfqueue, rtnetlink, shaping
from peerlab.runtime.base import derived_mac
from peerlab.runtime.enclosure import APPARMOR, enter_namespaces
from peerlab.runtime.impairment import NETLINK_NETFILTER
from peerlab.runtime.kernel import CLONE_NEWNET, unshare
from peerlab.runtime.netlink import Netlink, NetlinkRefused, Request

__all__ = ["Fact", "examine", "kernel_facts", "versions"]

TRY_SECONDS = 20.0
VERSION_SECONDS = 10.0
OLDEST_PYTHON = (3, 11)
OLDEST_KERNEL = (5, 4)
TCP_MD5SIG = 14
_VERSION = re.compile(r"\d+(\.\d+)+\S*")


class Fact(msgspec.Struct, frozen=True):
    """One thing found out. ``ok`` is None when it could not be found out; ``required`` without which no lab runs."""

    subject: str
    ok: bool | None
    found: str
    how_to_mend: str = ""
    required: bool = False


class _Daemon(msgspec.Struct, frozen=True):
    name: str
    programs: tuple[str, ...]
    version: tuple[str, ...]
    marker: str
    how_to_mend: str


_DAEMONS = (
    _Daemon("BIRD", ("bird", "/usr/sbin/bird"), ("--version",), "BIRD", "only for nodes of kind bird: install bird2"),
    _Daemon(
        "FRR",
        ("/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd"),
        ("--version",),
        "frr",
        "only for nodes of kind frr: install frr",
    ),
    _Daemon(
        "OpenBGPD",
        ("/usr/sbin/bgpd", "bgpd", "/usr/local/sbin/bgpd"),
        ("-V",),
        "OpenBGPD",
        "only for nodes of kind openbgpd: install openbgpd",
    ),
    _Daemon("GoBGP", ("gobgpd",), ("--version",), "gobgp", "only for nodes of kind gobgp: install gobgpd"),
)


def examine() -> tuple[Fact, ...]:
    """Everything, in the order in which a person wants to read it."""
    programs = (_exabgp(), *map(_daemon, _DAEMONS), _engine())
    return (_python(), _kernel_version(), *_user_namespaces(), *_in_namespaces(), *programs)


def _python() -> Fact:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    found = f"{platform.python_version()} at {sys.executable}"
    return Fact("Python", sys.version_info >= OLDEST_PYTHON, found, f"install Python {wanted} or later", True)


def _kernel_version() -> Fact:
    release = platform.release()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    known = numbers is not None and platform.system() == "Linux"
    ok = (int(numbers[1]), int(numbers[2])) >= OLDEST_KERNEL if known and numbers else None
    wanted = ".".join(map(str, OLDEST_KERNEL))
    return Fact("Linux", ok, f"{platform.system()} {release}", f"peerlab needs Linux {wanted} or later", True)


def _user_namespaces() -> tuple[Fact, ...]:
    limit = Path("/proc/sys/user/max_user_namespaces")
    try:
        most = int(limit.read_text())
        limits = Fact(
            "user namespace limit",
            most > 0 or os.getuid() == 0,
            f"{most} (user.max_user_namespaces)",
            "`sudo sysctl -w user.max_user_namespaces=15000`, or run as root",
        )
    except OSError as failure:
        limits = Fact("user namespace limit", None, f"{limit}: {failure.strerror}")
    restricted = APPARMOR.exists() and APPARMOR.read_text().strip() == "1"
    apparmor = Fact(
        "AppArmor restriction",
        not restricted or os.getuid() == 0,
        "restricts user namespaces" if restricted else "none",
        "`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run as root",
    )
    return limits, apparmor


def _in_namespaces() -> tuple[Fact, ...]:
    """Runs `kernel_facts` in a process of its own."""
    source = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "peerlab.runtime.machine"],
            capture_output=True,
            timeout=TRY_SECONDS,
            check=True,
            env={**os.environ, "PYTHONPATH": search},
        )
        return msgspec.json.decode(tried.stdout, type=tuple[Fact, ...])
    except subprocess.CalledProcessError as failure:
        words = failure.stderr.decode(errors="replace").strip().splitlines()
        found = words[-1] if words else f"the trial ended with {failure.returncode}"
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as failure:
        found = str(failure)
    return (Fact("namespaces", False, found, "see the lines above, or run as root", True),)


def _trial(
    subject: str, found: str, work: Callable[[], object], mend: str, required: bool = False
) -> Fact:
    try:
        work()
    except (OSError, NetlinkRefused) as failure:
        return Fact(subject, False, str(failure), mend, required)
    return Fact(subject, True, found, mend, required)


def kernel_facts(rootless: bool) -> tuple[Fact, ...]:
    """Tries the kernel in the namespaces of the calling process, which must be thrown away afterwards."""
    netlink = Netlink()
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY)
    near = rtnetlink.End("try0", derived_mac("try", "0"), 1500, 40, namespace)
    far = rtnetlink.End("try1", derived_mac("try", "1"), 1500, 41, namespace)

    def ask(*requests: Request) -> Callable[[], None]:
        return lambda: netlink.transact(requests)

    link = ask(rtnetlink.veth(near, far))
    lan = ask(rtnetlink.bridge("try2", 42, derived_mac("try", "2")))
    rule = ask(rtnetlink.rule(101, to="169.254.0.0/16"))
    delay = ask(shaping.netem(40, 1, 10, 0, "try0"))
    rate = ask(shaping.tbf(40, 1000, 1500, "try0"))
    return (
        Fact("namespaces", True, "without root" if rootless else "as root", required=True),
        _trial("veth", "works", link, _load("veth"), True),
        _trial("bridge", "works", lan, _load("bridge"), True),
        _trial("policy rules", "work", rule, "a kernel with CONFIG_IP_MULTIPLE_TABLES is needed", True),
        _trial("forwarding", "can be switched on", _switch_forwarding, "make /proc/sys writable (a container?)", True),
        _trial("IPv6", "works", _bind_ipv6, "boot without ipv6.disable=1", True),
        _trial("AF_PACKET", "works", _open_packet_socket, _load("af_packet"), True),
        _trial("TCP MD5", "works", _sign_tcp, "only for sessions with a password: CONFIG_TCP_MD5SIG is needed"),
        _delay(delay),
        _trial("tbf", "works", rate, "only for a rate: " + _load("sch_tbf")),
        _trial("random loss by nftables", "works", _lose, "only for loss without netem: " + _load("nft_numgen")),
    )


def _delay(netem: Callable[[], object]) -> Fact:
    """By which means a wire is given a delay here."""
    complaints = []
    for means, work in (
        ("netem", netem),
        ("nfqueue (nftables' queue)", lambda: _queue("queue")),
        ("nfqueue (xtables' NFQUEUE)", lambda: _queue("target")),
    ):
        try:
            work()
        except (OSError, NetlinkRefused) as failure:
            complaints.append(f"{means}: {failure}")
        else:
            return Fact("delay", True, f"by {means}")
    return Fact("delay", False, "; ".join(complaints), "only for delay: " + _load("sch_netem"))


def _queue(means: nfqueue.Means) -> None:
    with Netlink(NETLINK_NETFILTER) as netlink:
        netlink.transact([nfqueue.binding(1, "try0")])
    with Netlink(NETLINK_NETFILTER) as netlink:
        shaping.commit(netlink, nfqueue.queue_rules({nfqueue.Entrance(40, "try0"): 1}, False, means, "try0"))


def _load(module: str) -> str:
    return f"load the kernel module {module} (`sudo modprobe {module}`), or use the distribution's ordinary kernel"


def _switch_forwarding() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")


def _bind_ipv6() -> None:
    with Netlink() as netlink:
        netlink.transact([rtnetlink.link_set(1, True, "bring up lo")])
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as listener:
        listener.bind(("::1", 0))


def _open_packet_socket() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as watcher:
        watcher.bind(("lo", 3))


def _sign_tcp() -> None:
    """TCP_MD5SIG (linux/tcp.h): a sockaddr_storage of the peer, flags, prefix length, key length, index, key."""
    peer = struct.pack("=H2s4s120x", socket.AF_INET, b"\0\0", socket.inet_aton("192.0.2.1"))
    key = b"peerlab"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as signed:
        signed.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, peer + struct.pack("=BBHi80s", 0, 0, len(key), 0, key))


def _lose() -> None:
    with Netlink(NETLINK_NETFILTER) as netlink:
        shaping.commit(netlink, shaping.loss_rules("peerlab-try", "try0", shaping.HOOK_EGRESS, 10, "try0"))


def _exabgp() -> Fact:
    try:
        version = importlib.metadata.version("exabgp")
    except importlib.metadata.PackageNotFoundError:
        return Fact("ExaBGP", False, "not installed", "`pip install 'exabgp>=5.0.15,<5.1'`", True)
    return Fact("ExaBGP", version.startswith("5.0."), version, "`pip install 'exabgp>=5.0.15,<5.1'`", True)


def _daemon(daemon: _Daemon) -> Fact:
    for program in daemon.programs:
        path = shutil.which(program)
        if path is None:
            continue
        try:
            told = subprocess.run([path, *daemon.version], capture_output=True, timeout=VERSION_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as failure:
            return Fact(daemon.name, None, f"{path}: {failure}", daemon.how_to_mend)
        words = (told.stdout + told.stderr).decode(errors="replace")
        if daemon.marker.lower() not in words.lower():
            continue
        version = _VERSION.search(words)
        return Fact(daemon.name, True, f"{version[0] if version else 'unknown version'} at {path}")
    return Fact(daemon.name, False, "not found", daemon.how_to_mend)


def _engine() -> Fact:
    """The Docker engine, where one answers; only `runtime: docker` and `image:` need it."""
    import docker  # costs 0.1 s, which only this command spends
    from docker.errors import DockerException

    remedy = "only for `runtime: docker`: install Docker (docker.io), start dockerd, run peerlab as root"
    try:
        client = docker.from_env(timeout=int(VERSION_SECONDS))
        version = client.version()["Version"]
        client.close()
    except DockerException as failure:
        return Fact("Docker engine", False, f"does not answer ({failure})", remedy)
    if os.getuid() != 0:
        return Fact("Docker engine", False, f"{version}, but containers need root", remedy)
    return Fact("Docker engine", True, version)


def versions(kinds: Iterable[str]) -> Versions:
    """With what a lab with routers of these kinds runs here. What cannot be found out is said to be unknown."""
    tools = {tool.name.lower(): tool for tool in _DAEMONS}
    told = {kind: _daemon(tools[kind]).found if kind in tools else "unknown" for kind in sorted(set(kinds))}
    return Versions(
        peerlab=__version__,
        python=platform.python_version(),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        daemons=told | {"exabgp": _exabgp().found},
    )


def main() -> int:
    """Enters namespaces of its own, tries, and prints the facts as JSON."""
    rootless = os.getuid() != 0
    enter_namespaces()
    unshare(CLONE_NEWNET)
    sys.stdout.buffer.write(msgspec.json.encode(kernel_facts(rootless)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
