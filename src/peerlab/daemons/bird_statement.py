"""BIRD's configuration language as a tree of statements, whatever the statements mean.

A statement is its words up to ``;``, with the block that follows where there is one. Comments are gone, sets keep
their brackets as words. Tolerant on purpose: an unknown statement is a statement too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from peerlab.errors import InputError, Problem

DEEPEST = 60
"""Blocks within blocks; BIRD's own configurations have five or six."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*|/\*(?:.*?\*/|.*))
    |"(?P<string>[^"]*)(?:"|\Z)
    |'(?P<quoted>[^'\n]*)'
    |(?P<word>
        [0-9]+(?:\.[0-9]+){3}(?:/[0-9]+(?:\{[0-9]+,\s*[0-9]+\}|[+-])?)?     # IPv4, a prefix, a prefix pattern
        |(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]*(?:/[0-9]+(?:\{[0-9]+,\s*[0-9]+\}|[+-])?)?   # IPv6 likewise
        |[A-Za-z_][A-Za-z0-9_.]*
        |[0-9]+[A-Za-z]*
    )
    |(?P<sign>!~|!=|<=|>=|&&|\|\||\.\.|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(msgspec.Struct, frozen=True):
    """A word, a sign, or the content of a string (``quoted``)."""

    text: str
    line: int
    quoted: bool = False


class Statement(msgspec.Struct, frozen=True):
    """Words up to the semicolon or the block; ``block`` None: there is none."""

    words: tuple[Token, ...]
    line: int
    block: tuple[Statement, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """The words as text."""
        return tuple(token.text for token in self.words)

    def starts(self, *texts: str) -> bool:
        """Whether the statement begins with these words."""
        return self.texts[: len(texts)] == texts


def statements(text: str, source: str) -> tuple[Statement, ...]:
    """The file's statements; ``source`` names it in messages. Raises InputError where braces do not match."""
    return _Parser(tuple(_tokens(text)), source).block(depth=0)


def words_below(statement: Statement) -> Iterator[str]:
    """Every word of the statement and of what is in its block."""
    yield from statement.texts
    for inner in statement.block or ():
        yield from words_below(inner)


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        if match["space"] is None:
            quoted = match["string"] if match["string"] is not None else None
            text_of = quoted if quoted is not None else match["quoted"] or match["word"] or match["sign"] or ""
            yield Token(text_of, line, quoted is not None)
        line += match[0].count("\n")


class _Parser:
    def __init__(self, tokens: tuple[Token, ...], source: str) -> None:
        self._tokens = tokens
        self._source = source
        self._at = 0

    def block(self, depth: int) -> tuple[Statement, ...]:
        """Statements up to the closing brace, which is taken; at depth 0 up to the end."""
        found: list[Statement] = []
        words: list[Token] = []
        brackets = 0
        opened = self._tokens[self._at - 1].line if depth else 0
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            sign = "" if token.quoted else token.text
            brackets = max(0, brackets + (sign == "[") - (sign == "]"))
            if sign == "{" and not brackets:
                if depth >= DEEPEST:
                    self._refuse(token.line, f"blocks are nested deeper than {DEEPEST}", "is it BIRD's configuration?")
                inner = self.block(depth + 1)
                found.append(Statement(tuple(words), words[0].line if words else token.line, inner))
                words = []
            elif sign == "}" and not brackets:
                if not depth:
                    self._refuse(token.line, "a closing brace without an opening one", "see what `bird -p` says")
                if words:
                    found.append(Statement(tuple(words), words[0].line))
                return tuple(found)
            elif sign == ";" and not brackets:
                # BIRD 2.0 declares a function's variables between its head and its block.
                if words and words[0].text == "function" and not depth:
                    continue
                if words:
                    found.append(Statement(tuple(words), words[0].line))
                words = []
            else:
                words.append(token)
        if depth:
            self._refuse(opened, "a block that is never closed", "see what `bird -p` says")
        if words:
            found.append(Statement(tuple(words), words[0].line))
        return tuple(found)

    def _refuse(self, line: int, what: str, remedy: str) -> None:
        raise InputError([Problem(f"{self._source}:{line}", what, remedy)])
