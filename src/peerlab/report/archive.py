"""A zip archive in memory: always the same octets for the same files, and nothing unpacked that could do harm.

Nothing is ever written below a name that an archive gives. What is refused is told in words (BundleDamaged).
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from peerlab.errors import BundleDamaged

MOST_FILES = 10_000
MOST_OCTETS = 1 << 29
"""Octets of all files of an archive together, unpacked; more is refused before anything is unpacked."""

LONGEST_NAME = 200
_PART = r"[A-Za-z0-9@_][A-Za-z0-9@_.,+=-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
_ENCRYPTED = 0x1
_UNIX = 3


def pack(files: Mapping[str, bytes]) -> bytes:
    """The files as a zip archive: sorted by name, without times or owners. Raises ValueError for an unsafe name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, octets in sorted(files.items()):
            if not is_safe(name):
                raise ValueError(f"{name!r} cannot name a file of an archive")
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = _READABLE
            archive.writestr(entry, octets, compresslevel=9)
    return packed.getvalue()


def unpack(octets: bytes) -> dict[str, bytes]:
    """Every file of an archive by name, in memory.

    Raises BundleDamaged for what is no zip archive, for names that lead out of it, for sizes beyond every reason, and
    for a file that cannot be unpacked or whose checksum is wrong.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            entries = archive.infolist()
            problems = list(_unacceptable(entries))
            if problems:
                raise BundleDamaged(problems)
            return {entry.filename: _read(archive, entry) for entry in entries}
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, EOFError, RuntimeError) as mistake:
        raise BundleDamaged([f"is no zip archive that can be read: {mistake}"]) from mistake


def is_safe(name: str) -> bool:
    """Whether a name stays where it is put: no absolute path, no ``..``, no hidden part, only plain characters."""
    return len(name) <= LONGEST_NAME and _NAME.fullmatch(name) is not None


def _unacceptable(entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    """What must not be unpacked, before anything is."""
    if len(entries) > MOST_FILES:
        yield f"holds {len(entries)} files, more than {MOST_FILES}"
        return
    total = sum(entry.file_size for entry in entries)
    if total > MOST_OCTETS:
        yield f"would unpack to {total} octets, more than {MOST_OCTETS}: it is refused unread"
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        if name != entry.filename or not is_safe(name):
            yield f"{name[:LONGEST_NAME]!r}: a file's name that leads out of the archive or is none of ours"
        elif name in seen:
            yield f"{name}: is in it twice"
        elif entry.flag_bits & _ENCRYPTED:
            yield f"{name}: is encrypted"
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            yield f"{name}: is packed by method {entry.compress_type}; only stored and deflated files are read"
        seen.add(name)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as file:
            octets = file.read(entry.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, EOFError, RuntimeError) as mistake:
        raise BundleDamaged([f"{entry.filename}: cannot be unpacked: {mistake}"]) from mistake
    if len(octets) != entry.file_size:
        raise BundleDamaged([f"{entry.filename}: has {len(octets)} octets or more, not {entry.file_size} as it says"])
    return octets
