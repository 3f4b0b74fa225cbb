"""The growing pcapng file of a lab's tap: blocks are written whole, or not at all."""

from __future__ import annotations

import os

from peerlab.errors import RuntimeFailure
from peerlab.evidence import pcapng


class CaptureStopped(RuntimeFailure):
    """The capture file does not take any more; the tap ends."""


class CaptureFile:
    """The growing pcapng file. Blocks are written whole, or taken back and reported."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.octets = self._whole_octets()
            os.ftruncate(self._descriptor, self.octets)
            os.lseek(self._descriptor, self.octets, os.SEEK_SET)
        except OSError as failure:
            raise RuntimeFailure(f"{path}: the capture cannot be opened: {failure.strerror}") from failure
        except pcapng.CaptureError as failure:
            raise RuntimeFailure(f"{path}: exists and is no capture ({failure}); move it away") from failure
        self._interfaces: dict[tuple[str, str], int] = {}
        self._declared = 0
        self.write([pcapng.section_header()])

    def _whole_octets(self) -> int:
        """Octets of an earlier tap's file up to its last whole block."""
        reader = pcapng.Reader()
        whole = 0
        while octets := os.read(self._descriptor, 1 << 22):
            whole += len(octets)
            for _ in reader.feed(octets):
                pass
        return whole - reader.pending()

    def write(self, blocks: list[bytes]) -> None:
        """Appends whole blocks. Raises CaptureStopped when the disk does not take them; none is then half there."""
        octets = b"".join(blocks)
        written = 0
        try:
            while written < len(octets):
                written += os.write(self._descriptor, octets[written:])
        except OSError as failure:
            os.ftruncate(self._descriptor, self.octets)
            raise CaptureStopped(
                f"{self.path}: the capture cannot be written: {failure.strerror}; what was captured before is kept"
            ) from failure
        self.octets += len(octets)

    def number_of(self, node: str, interface: str, since: int, blocks: list[bytes]) -> int:
        """The number of an interface; declares it in ``blocks`` when it is new."""
        key = node, interface
        number = self._interfaces.get(key)
        if number is None:
            number = self._interfaces[key] = self._declared
            self._declared += 1
            blocks.append(pcapng.interface_block(pcapng.Interface(name=f"{node}:{interface}", since=since)))
        return number

    def forget(self, node: str) -> None:
        """A node of this name that comes again has interfaces of its own."""
        for key in [key for key in self._interfaces if key[0] == node]:
            del self._interfaces[key]
