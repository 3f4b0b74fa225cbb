"""A tiny cell for the tap's live tests, run as a script of its own: ``tap_cell.py SCENARIO DIRECTORY``.

Makes a user namespace, a chain of network namespaces left - middle - right with veths, starts the tap in a forked
process, lets plain sockets talk on port 179, and prints what happened as JSON. Everything dies with the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pyroute2 import IPRoute

from peerlab.evidence.packet_ring import in_namespace_at
from peerlab.evidence.tap import run_forked

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
WAIT = 20.0
LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    if LIBC.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def enter_user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def new_namespace() -> int:
    """A descriptor of a new network namespace."""
    made: list[int] = []

    def make() -> None:
        unshare(CLONE_NEWNET)
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def path_of(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"


class Cell:
    """left (192.0.2.1) - middle (forwards) - right (198.51.100.1), and the same in IPv6."""

    def __init__(self) -> None:
        enter_user_namespace()
        self.nodes = {name: new_namespace() for name in ("left", "middle", "right")}
        self._wire("left", "to-middle", "middle", "to-left", "192.0.2", "2001:db8:1::")
        self._wire("right", "to-middle", "middle", "to-right", "198.51.100", "2001:db8:2::")
        self.inside("left", lambda: route("198.51.100.0/24", "192.0.2.2", "2001:db8:2::/64", "2001:db8:1::2"))
        self.inside("right", lambda: route("192.0.2.0/24", "198.51.100.2", "2001:db8:1::/64", "2001:db8:2::2"))
        self.inside("middle", forward)

    def inside(self, node: str, work: Callable[[], object]) -> object:
        return in_namespace_at(path_of(self.nodes[node]), work)

    def _wire(self, a: str, a_name: str, b: str, b_name: str, v4: str, v6: str) -> None:
        def make() -> None:
            with IPRoute() as netlink:
                peer = {"ifname": b_name, "net_ns_fd": self.nodes[b]}
                netlink.link("add", ifname=a_name, kind="veth", peer=peer)

        self.inside(a, make)
        for node, name, last in ((a, a_name, 1), (b, b_name, 2)):
            self.inside(node, lambda name=name, last=last: raise_interface(name, f"{v4}.{last}", f"{v6}{last}"))

    def paths(self, *names: str) -> dict[str, str]:
        return {name: path_of(self.nodes[name]) for name in names or self.nodes}


def raise_interface(name: str, v4: str, v6: str) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="lo")[0], state="up")
        index = netlink.link_lookup(ifname=name)[0]
        Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
        netlink.addr("add", index=index, address=v4, prefixlen=24)
        netlink.addr("add", index=index, address=v6, prefixlen=64, flags=0x02)
        netlink.link("set", index=index, state="up")


def route(v4: str, via4: str, v6: str, via6: str) -> None:
    with IPRoute() as netlink:
        netlink.route("add", dst=v4, gateway=via4)
        netlink.route("add", dst=v6, gateway=via6)


def forward() -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")


class RunningTap:
    """The tap in a forked process, and its control socket."""

    def __init__(self, cell: Cell, directory: Path, nodes: dict[str, str], **more: object) -> None:
        self.output, control = directory / "trace.pcapng", directory / "tap.sock"
        argument = {"nodes": nodes, "output": str(self.output), "control": str(control), **more}
        ready, awake = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(ready)
            os._exit(run_forked(json.dumps(argument).encode()))
        os.close(awake)
        self.connection = self._connect(control, ready)
        self.connection.settimeout(WAIT)
        self.number = 0

    def _connect(self, control: Path, ended: int) -> socket.socket:
        """Connects as soon as the tap listens; gives up when the tap's end of the pipe closes."""
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(control))
                return connection
            except OSError:
                connection.close()
            if select.select([ended], [], [], 0.01)[0]:
                raise RuntimeError("the tap ended before it listened")

    def ask(self, do: str, **arguments: object) -> dict[str, object]:
        self.number += 1
        octets = json.dumps({"id": self.number, "do": do, **arguments}).encode()
        self.connection.sendall(len(octets).to_bytes(4, "big") + octets)
        return json.loads(self._take(int.from_bytes(self._take(4), "big")))

    def _take(self, length: int) -> bytes:
        octets = b""
        while len(octets) < length:
            more = self.connection.recv(length - len(octets))
            if not more:
                raise RuntimeError("the tap closed the connection")
            octets += more
        return octets

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def listen(address: str, port: int = 179) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen()
    return listener


def dial(address: str, port: int = 179) -> socket.socket:
    return socket.create_connection((address, port), timeout=WAIT)


def talk(cell: Cell, client: str, server: str, address: str, said: bytes, answered: bytes = b"") -> None:
    """One TCP connection: the client says something, the server answers, both close."""
    listener = cell.inside(server, lambda: listen(address))
    ours = cell.inside(client, lambda: dial(address))
    theirs, _ = listener.accept()
    sender = threading.Thread(target=ours.sendall, args=(said,))
    sender.start()
    received = 0
    while received < len(said):
        received += len(theirs.recv(1 << 20))
    sender.join()
    theirs.sendall(answered)
    taken = 0
    while taken < len(answered):
        taken += len(ours.recv(1 << 20))
    for one in (ours, theirs, listener):
        one.close()


def message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + bytes([kind]) + body


KEEPALIVE = message(4)


def scenario_talk(cell: Cell, directory: Path) -> dict[str, object]:
    """One hop and two hops, both families, and a port that is none of the tap's business."""
    tap = RunningTap(cell, directory, cell.paths())
    talk(cell, "left", "middle", "192.0.2.2", KEEPALIVE, KEEPALIVE * 2)
    talk(cell, "left", "middle", "2001:db8:1::2", KEEPALIVE, KEEPALIVE * 2)
    talk(cell, "left", "right", "198.51.100.1", message(2, b"\0\0\0\0"), KEEPALIVE)
    talk(cell, "left", "right", "2001:db8:2::1", message(2, b"\0\0\0\0"), KEEPALIVE)
    listener = cell.inside("middle", lambda: listen("192.0.2.2", 180))
    cell.inside("left", lambda: dial("192.0.2.2", 180))
    listener.close()
    flushed = tap.ask("flush")
    return {"flushed": flushed, "size": tap.output.stat().st_size, "exit": tap.stop()}


def scenario_join(cell: Cell, directory: Path) -> dict[str, object]:
    """A node that comes later, an address that comes later still, a node that goes, and a wrong request."""
    tap = RunningTap(cell, directory, cell.paths("left"))
    added = tap.ask("add-nodes", nodes=cell.paths("middle"))
    again = tap.ask("add-nodes", nodes=cell.paths("middle"))
    nowhere = tap.ask("add-nodes", nodes={"ghost": "/proc/self/fd/999"})
    wrong = tap.ask("dance")

    def late_address() -> None:
        with IPRoute() as netlink:
            netlink.addr("add", index=netlink.link_lookup(ifname="to-left")[0], address="192.0.2.77", prefixlen=32)

    cell.inside("middle", late_address)
    talk(cell, "left", "middle", "192.0.2.77", KEEPALIVE, KEEPALIVE)
    removed = tap.ask("remove-nodes", nodes=["middle"])
    flushed = tap.ask("flush")
    return {
        "added": added, "again": again, "nowhere": nowhere, "wrong": wrong, "removed": removed,
        "flushed": flushed, "exit": tap.stop(),
    }  # fmt: skip


def scenario_bulk(cell: Cell, directory: Path) -> dict[str, object]:
    """A megabyte at once, in the super-frames of an offloading sender, all of it captured."""
    tap = RunningTap(cell, directory, cell.paths())
    talk(cell, "left", "middle", "192.0.2.2", message(2, bytes(4077)) * 1000, KEEPALIVE)
    return {"flushed": tap.ask("flush"), "exit": tap.stop()}


def scenario_loss(cell: Cell, directory: Path) -> dict[str, object]:
    """The tap is stopped while more is sent than its ring holds."""
    tap = RunningTap(cell, directory, cell.paths(), ring_octets=1)
    talk(cell, "left", "middle", "192.0.2.2", KEEPALIVE, KEEPALIVE)
    before = tap.ask("flush")
    tap.freeze()
    talk(cell, "left", "middle", "192.0.2.2", message(2, bytes(4077)) * 1000, KEEPALIVE)
    tap.thaw()
    after = tap.ask("flush")
    return {"before": before, "after": after, "exit": tap.stop()}


def scenario_killed(cell: Cell, directory: Path) -> dict[str, object]:
    """kill -9 of the tap, a torn last block, and another tap that goes on in the same file."""
    tap = RunningTap(cell, directory, cell.paths())
    talk(cell, "left", "middle", "192.0.2.2", KEEPALIVE, KEEPALIVE)
    first = tap.ask("flush")
    os.kill(tap.pid, signal.SIGKILL)
    os.waitpid(tap.pid, 0)
    with tap.output.open("ab") as torn:
        torn.write(b"\x06\0\0\0\x40\0\0\0torn")
    tap = RunningTap(cell, directory, cell.paths())
    talk(cell, "left", "middle", "192.0.2.2", KEEPALIVE, KEEPALIVE)
    return {"first": first, "second": tap.ask("flush"), "exit": tap.stop()}


def scenario_full(cell: Cell, directory: Path) -> dict[str, object]:
    """The file may not grow any more (RLIMIT_FSIZE stands for a full disk)."""
    import resource

    limit = 3000
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    tap = RunningTap(cell, directory, cell.paths())
    talk(cell, "left", "middle", "192.0.2.2", KEEPALIVE * 1000, KEEPALIVE)
    return {"exit": os.waitstatus_to_exitcode(os.waitpid(tap.pid, 0)[1])}


if __name__ == "__main__":
    scenario, where = sys.argv[1:]
    outcome = globals()[f"scenario_{scenario}"](Cell(), Path(where))
    print(json.dumps(outcome))
    sys.stdout.flush()
    os._exit(0)
