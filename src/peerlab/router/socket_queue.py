"""What lies in the kernel's queues of BGP's connections, as proc(5) shows it."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection
from pathlib import Path

_BGP_PORT = 179


def octets_waiting(peers: Collection[str]) -> bool:
    """Whether a BGP connection with one of these holds octets that nobody has read or acknowledged (proc(5), net/tcp).

    Not any connection: one whose other end will not answer, as with GTSM at one end only, keeps them for long.
    """
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            ports = {int(end.rpartition(":")[2], 16) for end in fields[1:3]}
            waiting = fields[3] == "01" and fields[4] != "00000000:00000000"
            if waiting and _BGP_PORT in ports and _address(fields[2].partition(":")[0]) in peers:
                return True
    return False


def _address(text: str) -> str:
    """An address of /proc/net/tcp: words of four octets, each in the machine's order."""
    words = bytes.fromhex(text)
    ordered = b"".join(words[at : at + 4][:: 1 if sys.byteorder == "big" else -1] for at in range(0, len(words), 4))
    found = ipaddress.ip_address(ordered)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
