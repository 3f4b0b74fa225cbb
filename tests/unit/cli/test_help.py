"""Every command explains itself: a line that fits, an example that is true, JSON where there is something to read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from command import ROOT, Command

from peerlab.cli.main import SECTIONS, cli
from peerlab.topology.load import load

PROMISED = [
    "bundle",
    "capture",
    "check",
    "checks",
    "doctor",
    "down",
    "events",
    "exec",
    "explain",
    "explain-check",
    "fault",
    "graph",
    "hostile",
    "import",
    "incident",
    "inspect",
    "ls",
    "metrics",
    "operator",
    "outbox",
    "plan",
    "quarantine",
    "rehearse",
    "replay",
    "routes",
    "rpki",
    "schema",
    "serve",
    "sessions",
    "shell",
    "surround",
    "sweep",
    "token",
    "trace",
    "up",
    "validate",
]
"""What the product promises (issue 2, section 5; issues 3 to 5)."""

READS = {
    "check",
    "checks",
    "doctor",
    "events",
    "explain",
    "hostile",
    "incident",
    "inspect",
    "ls",
    "outbox",
    "plan",
    "quarantine",
    "replay",
    "routes",
    "sessions",
    "sweep",
    "trace",
    "up",
}
"""Commands that tell something which a program may want to read."""


def commands(group: click.Group = cli, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield (*before, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))


EVERY = [pytest.param(words, command, id=" ".join(words)) for words, command in commands()]


def examples(command: click.Command) -> list[list[str]]:
    """The example lines of a command's help, as words without ``peerlab``; a redirection is the shell's."""
    told = (command.help or "").partition("Example:")[2]
    lines = re.findall(r"peerlab ([^\n]+)", told)
    return [shlex.split(line.partition(" > ")[0]) for line in lines]


def test_every_promised_command_exists_and_no_other() -> None:
    assert sorted(cli.commands) == sorted(PROMISED)
    assert sorted(str(command.name) for _, section in SECTIONS for command in section) == sorted(PROMISED)


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_the_first_sentence_fits_beside_the_name(words: tuple[str, ...], command: click.Command) -> None:
    assert 10 < len(command.get_short_help_str(200)) <= 80 - 2 - 16


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_an_example_can_be_typed(words: tuple[str, ...], command: click.Command) -> None:
    """It names this very command, and click takes its words and options."""
    told = examples(command)
    assert told
    for line in told:
        assert tuple(line[: len(words)]) == words or isinstance(command, click.Group)
        context = click.Context(cli, **cli.context_settings)
        rest, chosen = line, cli
        while isinstance(chosen, click.Group):
            _, found, rest = chosen.resolve_command(context, rest)
            assert found is not None
            chosen = found
        chosen.make_context("example", list(rest), parent=context)


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_an_example_names_what_the_shipped_labs_have(words: tuple[str, ...], command: click.Command) -> None:
    """Nodes, links, sessions, metros and prefixes of the examples are those of the reference lab."""
    model = load(ROOT / "topologies" / "peering-service.yaml")
    prefixes = [prefix for known in model.ases for prefix in known.prefixes]
    known = {node.name for node in model.nodes} | {session.id for session in model.sessions}
    known |= {metro.name for metro in model.metros} | {str(prefix) for prefix in prefixes}
    known |= {interface.name for node in model.nodes for interface in node.interfaces}
    known |= {f"{one.node}:{other.node}" for link in model.links for one in link.ends for other in link.ends}
    shaped = re.compile(r"[a-z]+-[a-z]+-\d\S*|to-\S+|adatum-\d|\S+/\d+|amsterdam")
    told = [word for line in examples(command) for word in line if shaped.fullmatch(word)]
    assert [word for word in told if word not in known and word != "198.18.33.2"] == []


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_whatever_can_be_read_can_be_read_as_json(words: tuple[str, ...], command: click.Command) -> None:
    has_json = any("--json" in parameter.opts for parameter in command.params)
    assert has_json == (words[0] in READS | {"rehearse"} or words in (("operator", "desk"), ("rpki", "list")))


def test_every_option_says_what_it_does() -> None:
    silent = [
        (words, parameter.name)
        for words, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and parameter.name not in ("help", "view", "form")
    ]
    assert not silent


@pytest.mark.parametrize("asked", [["--help"], ["-h"], ["explain", "-h"], ["fault", "leak", "--help"]])
def test_help_is_no_error(peerlab: Command, asked: list[str]) -> None:
    assert peerlab(*asked) == 0
    assert peerlab.out.startswith("Usage: peerlab ")
    assert not peerlab.err


def test_the_version(peerlab: Command) -> None:
    assert peerlab("--version") == 0
    assert re.fullmatch(r"peerlab, version \d+\.\d+\.\d+\n", peerlab.out)
