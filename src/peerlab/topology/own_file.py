"""An engineer's own configurations, read into the topology that names them.

``config: ./bird.conf`` becomes the same value with the file's text behind the path's line. So everything that keeps a
topology (a lab's directory, a bundle, a sweep's worker) keeps the configurations with it. No line moves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

import yaml

from peerlab.errors import InputError, Problem
from peerlab.topology.mistake import Path, path_text

SIZE_LIMIT = 1024 * 1024
"""Octets of one configuration."""

_BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")


def with_own(text: str, root: yaml.Node | None, path: FilePath) -> str:
    """The topology's text with every router's own configuration in it. ``root`` is the YAML's node.

    Raises InputError for every file that cannot be read, with the line that names it.
    """
    problems: list[Problem] = []
    values: dict[int, tuple[int, str]] = {}
    for place, node in _named(root):
        if "\n" in node.value or not node.value.strip():
            continue
        try:
            content = _content(path.parent / node.value)
        except ValueError as error:
            what, _, remedy = str(error).partition("; ")
            where = f"{path}:{node.start_mark.line + 1}: {path_text(place)}"
            problems.append(Problem(where, f"{node.value}: {what}", remedy))
            continue
        values[node.start_mark.index] = (node.end_mark.index, _quoted(f"{node.value}\n{content}"))
    if problems:
        raise InputError(problems)
    for start in sorted(values, reverse=True):
        end, quoted = values[start]
        text = text[:start] + quoted + text[end:]
    return text


def _named(root: yaml.Node | None) -> Iterator[tuple[Path, yaml.ScalarNode]]:
    """Every ``ases.*.routers.*.config`` that is text."""
    for as_name, asys in _items(_under(root, "ases")):
        for router, words in _items(_under(asys, "routers")):
            named = _under(words, "config")
            if isinstance(named, yaml.ScalarNode) and named.tag.endswith(":str"):
                yield ("ases", as_name, "routers", router, "config"), named


def _items(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield key.value, value


def _under(node: yaml.Node | None, key: str) -> yaml.Node | None:
    return next((value for name, value in _items(node) if name == key), None)


def _content(path: FilePath) -> str:
    """Raises ValueError with what is wrong and what to do."""
    try:
        with path.open("rb") as stream:
            octets = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise ValueError(f"no such file ({path}); write the path from the topology's own directory") from None
    except IsADirectoryError:
        raise ValueError("is a directory; name the configuration in it") from None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"cannot be read ({words}); make it readable for this user") from None
    if len(octets) > SIZE_LIMIT:
        raise ValueError(f"is larger than {SIZE_LIMIT // 1024} KiB; name one router's configuration")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8; save the file as UTF-8") from None


def _quoted(text: str) -> str:
    """A YAML scalar of one line that is this text, octet for octet."""
    line = json.dumps(text, ensure_ascii=False)
    return _BEYOND_ASCII.sub(lambda match: f"\\U{ord(match[0]):08x}", line)
