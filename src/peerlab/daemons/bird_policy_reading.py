"""What can be told of BIRD's filters without running them: all, some, nothing, and the prefixes they name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from peerlab.bgp.attributes import Prefix
from peerlab.daemons.bird_statement import Statement, Token, words_below
from peerlab.topology.surround import PolicyReading, Reach

_PATTERN = re.compile(r"(?P<prefix>[0-9A-Fa-f:.]+/\d+)(?:\{(?P<low>\d+),\s*(?P<high>\d+)\}|[+-])?")
DEEPEST = 8
"""Names that stand for names."""

Defines = Mapping[str, Sequence[Token]]
Bodies = Mapping[str, Sequence[Statement]]


class BirdPolicies:
    """Reads ``import`` and ``export`` statements; ``filters`` and ``defines`` are the file's, by name."""

    def __init__(self, filters: Bodies, defines: Defines) -> None:
        self._filters = filters
        self._defines = defines

    def read(self, statement: Statement) -> PolicyReading:
        """The policy of ``import …`` or ``export …``."""
        texts = statement.texts[1:]
        match texts[:1]:
            case ("all",):
                return PolicyReading(reach=Reach.ALL)
            case ("none",):
                return PolicyReading(reach=Reach.NONE)
            case ("where",):
                return self._where(statement.words[2:])
            case ("filter",) if statement.block is not None:
                return self._body(statement.block, ())
            case ("filter",) if len(texts) > 1:
                body = self._filters.get(texts[1])
                return PolicyReading(names=(texts[1],)) if body is None else self._body(body, (texts[1],))
        return PolicyReading()

    def _where(self, condition: Sequence[Token]) -> PolicyReading:
        texts = [token.text for token in condition]
        if texts == ["true"]:
            return PolicyReading(reach=Reach.ALL)
        if texts == ["false"]:
            return PolicyReading(reach=Reach.NONE)
        wanted, refused = self._sets(condition)
        names = tuple(_calls(texts))
        if wanted:
            return _some(wanted, names)
        if refused and not {"&&", "||"} & set(texts):
            return PolicyReading(reach=Reach.ALL, names=names)
        own = "source" in texts or "proto" in texts
        return PolicyReading(reach=Reach.SOME if own else Reach.UNKNOWN, names=names)

    def _body(self, body: Sequence[Statement], names: tuple[str, ...]) -> PolicyReading:
        accepted: list[Prefix] = []
        some = narrowed = False
        for statement in body:
            if not statement.starts("if"):
                continue
            texts = statement.texts
            then = texts.index("then") if "then" in texts else len(texts)
            done = {*texts[then:], *(word for inner in statement.block or () for word in words_below(inner))}
            wanted, refused = self._sets(statement.words[1:then])
            if "accept" in done and "reject" not in done:
                some = True
                accepted += wanted
            elif "reject" in done and "accept" not in done and refused:
                narrowed = True
                accepted += refused
        words = {word for statement in body for word in words_below(statement)}
        names = (*names, *_calls([word for s in body for word in words_below(s)]))
        last = body[-1].texts if body else ()
        if last[:1] == ("accept",) and not narrowed:
            return PolicyReading(reach=Reach.ALL, names=names)
        if some or narrowed:
            return _some(accepted, names)
        if last[:1] == ("reject",) and "accept" not in words:
            return PolicyReading(reach=Reach.NONE, names=names)
        return PolicyReading(reach=Reach.SOME if "accept" in words else Reach.UNKNOWN, names=names)

    def _sets(self, condition: Sequence[Token]) -> tuple[list[Prefix], list[Prefix]]:
        """Prefixes that ``net`` must be in, and those it must not be in, by this condition."""
        wanted: list[Prefix] = []
        refused: list[Prefix] = []
        texts = [token.text for token in condition]
        for place, text in enumerate(texts):
            if text not in ("~", "!~") or texts[max(0, place - 1)] != "net":
                continue
            before = texts[max(0, place - 3) : place - 1]
            negated = before[-1:] == ["!"] or before == ["!", "("]
            (refused if negated is (text == "~") else wanted).extend(self._prefixes(condition[place + 1 :]))
        return wanted, refused

    def _prefixes(self, words: Sequence[Token], depth: int = 0) -> list[Prefix]:
        """The set that begins here: written out, or by name."""
        if not words or depth > DEEPEST:
            return []
        if words[0].text != "[":
            return self._prefixes(self._defines.get(words[0].text, ()), depth + 1)
        found: list[Prefix] = []
        for token in words[1:]:
            if token.text == "]":
                break
            prefix = shortest(token.text)
            if prefix is not None:
                found.append(prefix)
            elif token.text in self._defines:
                found += self._prefixes(self._defines[token.text], depth + 1)
        return found


def shortest(pattern: str) -> Prefix | None:
    """The shortest prefix that BIRD's pattern matches (``10.0.0.0/8{16,24}``: 10.0.0.0/16); None for other words."""
    matched = _PATTERN.fullmatch(pattern)
    if matched is None:
        return None
    try:
        network = ip_network(matched["prefix"], strict=False)
    except ValueError:
        return None
    low = int(matched["low"] or 0)
    if network.prefixlen < low <= network.max_prefixlen:
        return Prefix(f"{network.network_address}/{low}")
    return Prefix(str(network))


def _some(prefixes: Sequence[Prefix], names: tuple[str, ...]) -> PolicyReading:
    kept = tuple(dict.fromkeys(prefix for prefix in prefixes if not prefix.endswith("/0")))
    return PolicyReading(reach=Reach.SOME, prefixes=kept, default=len(kept) < len(set(prefixes)), names=names)


def _calls(texts: Sequence[str]) -> Iterator[str]:
    """Functions called: their names often say whom the policy is for."""
    for place, text in enumerate(texts[:-1]):
        if texts[place + 1] == "(" and re.fullmatch(r"[A-Za-z_]\w*", text) and text not in ("if", "defined"):
            yield text
