"""A zygote's work in a process of its own: for containers, into which nothing can be forked that was imported outside.

``python3 -m peerlab.runtime.alone SPECIFICATION ARGUMENT``: a zygote's specification as JSON, the argument in base64.
"""

from __future__ import annotations

import base64
import importlib
import signal
import sys

import msgspec

from peerlab.runtime.base import ZygoteSpec
from peerlab.runtime.zygote import Entry, resolve

__all__ = ["command", "main"]


def command(zygote: ZygoteSpec, argument: bytes) -> tuple[str, ...]:
    """The command that imports what the zygote does and calls its entry with the argument."""
    said = msgspec.json.encode(zygote).decode()
    return ("python3", "-m", "peerlab.runtime.alone", said, base64.b64encode(argument).decode())


def main(words: list[str]) -> int:
    """Call the entry; its answer is the exit code."""
    zygote = msgspec.json.decode(words[0], type=ZygoteSpec)
    for module in zygote.preload:
        importlib.import_module(module)
    entry: Entry = resolve(zygote.entry)  # type: ignore[assignment]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return entry(base64.b64decode(words[1]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
