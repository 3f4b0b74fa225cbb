"""From a YAML file to a ``LabModel``; every mistake of the file at once, each with its line.

YAML is read by YAML 1.2's core rules (``no`` is text, ``12:30`` is text): a topology is full of words with colons.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

import yaml

from peerlab.daemons import own_configuration
from peerlab.errors import InputError, Problem
from peerlab.topology.mistake import DocumentError, Mistake, Path, path_text
from peerlab.topology.model import LabModel, RuntimeKind
from peerlab.topology.own_file import with_own
from peerlab.topology.resolve import resolve
from peerlab.topology.schema import validate

SIZE_LIMIT = 4 * 1024 * 1024
"""Octets; a longer file is refused unread."""

VALUE_LIMIT = 500_000
"""Values after aliases are expanded; more is refused (an alias bomb)."""


def load(path: FilePath) -> LabModel:
    """The lab that a file describes. Raises InputError with every problem of the file."""
    return load_text(read_topology(path), str(path))


def read_topology(path: FilePath) -> str:
    """A topology's text, with the text of every router's own configuration in it: nothing else is needed any more.

    No line moves. Raises InputError when one of the files cannot be read.
    """
    text = _read(path)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        return text  # what is wrong with it is said when it is loaded
    return with_own(text, root, path)


def load_text(text: str, name: str) -> LabModel:
    """The lab that YAML text describes; ``name`` stands for the file in messages. Raises InputError."""
    reader = _Reader(name)
    data = reader.data(text)
    document, mistakes = validate(data)
    mistakes = (*reader.duplicates, *mistakes)
    model = None
    if document is not None:
        try:
            model = resolve(document)
        except DocumentError as error:
            mistakes = (*mistakes, *error.mistakes)
    if model is None or mistakes:
        raise InputError(reader.problem(mistake) for mistake in sorted(mistakes, key=reader.order))
    return own_configuration.with_own(model)


def in_runtime(text: str, runtime: RuntimeKind) -> str:
    """The same topology, its routers in another runtime than the file says."""
    line = f"runtime: {runtime.value}"
    changed, count = re.subn(r"^runtime:.*$", line, text, count=1, flags=re.MULTILINE)
    return changed if count else f"{text.rstrip()}\n\n{line}\n"


def _read(path: FilePath) -> str:
    def refuse(what: str, remedy: str) -> InputError:
        return InputError([Problem(str(path), what, remedy)])

    try:
        with path.open("rb") as stream:
            octets = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise refuse("no such file", "check the path; `ls topologies` shows what ships") from None
    except IsADirectoryError:
        raise refuse("is a directory", "name a .yaml file in it") from None
    except OSError as error:
        raise refuse(f"cannot be read ({error.strerror})", "make it readable for this user") from None
    if len(octets) > SIZE_LIMIT:
        raise refuse(f"is larger than {SIZE_LIMIT // 1024 // 1024} MiB", "give the file of one lab")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise refuse(f"line {line} is not UTF-8", "save the file as UTF-8") from None


_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_TAG}{kind}" for kind in ("str", "bool", "int", "float", "null", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema only."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(rf"(?:{_pattern})\Z"), [*_first.replace("\0", ""), ""])


class _Reader:
    """Plain data from YAML, remembering where each value stood and which keys stood twice."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.duplicates: list[Mistake] = []
        self._lines: dict[Path, int] = {}
        self._values = 0

    def data(self, text: str) -> object:
        """Raises InputError with one problem when the text is not YAML."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            problem = error.problem or error.context
            if problem and problem.startswith("but "):
                problem = f"{error.context} {problem}"
            self._refuse(f"{place}not valid YAML: {problem}", "look at brackets, quotes and indentation there")
        except yaml.reader.ReaderError as error:
            line = text[: error.position].count("\n") + 1
            self._refuse(f"line {line}: not valid YAML: a character that YAML forbids", "remove it")
        except RecursionError:
            self._refuse("nested too deeply", "a topology needs no more than eight levels")
        if node is None:
            self._refuse("the file is empty", "start with `name:` and `ases:`; see docs/topology.md")
        return self._value(node, (), ())

    def problem(self, mistake: Mistake) -> Problem:
        """The mistake with file and line."""
        path = path_text(mistake.path)
        return Problem(f"{self.name}:{self._line(mistake.path)}: {path}", mistake.what, mistake.remedy)

    def order(self, mistake: Mistake) -> tuple[int, str, str]:
        """Sort key: as in the file."""
        return (self._line(mistake.path), path_text(mistake.path), mistake.what)

    def _line(self, path: Path) -> int:
        while path not in self._lines and path:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _refuse(self, what: str, remedy: str) -> None:
        raise InputError([Problem(self.name, what, remedy)])

    def _value(self, node: Any, path: Path, above: tuple[int, ...]) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._values += 1
        if self._values > VALUE_LIMIT:
            self._refuse("aliases expand without end", "write the values out")
        if id(node) in above:
            self._refuse(
                f"line {node.start_mark.line + 1}: {path_text(path)} is an alias of something that holds it",
                "write the values out; a loop has no end",
            )
        if node.tag not in _TAGS:
            self._refuse(f"line {node.start_mark.line + 1}: the tag {node.tag} is not used here", "remove it")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        above = (*above, id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, i), above) for i, item in enumerate(node.value)]
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if key is None:
                self._refuse(f"line {line}: a key must be one word", "write KEY: VALUE")
                continue
            place = (*path, key)
            if key in found:
                first = self._lines[place]
                where = f"line {line}" if first == line else f"lines {first} and {line}"
                what = f"key {key!r} stands twice, in {where}"
                self.duplicates.append(Mistake(place, what, "remove one or rename it"))
                continue
            self._lines[place] = line
            found[key] = self._value(value_node, place, above)
        return found


def _scalar(node: yaml.ScalarNode) -> object:
    kind = node.tag.removeprefix(_TAG)
    text: str = node.value
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    try:
        return int(text) if kind == "int" else float(text) if kind == "float" else text
    except ValueError:
        return text
