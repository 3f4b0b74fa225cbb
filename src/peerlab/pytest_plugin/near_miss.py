"""Why a statement about a route does not hold, for people: the closest routes there were, and what was on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from peerlab.bgp.attributes import PathAttributes, Prefix
from peerlab.bgp.communities import matches
from peerlab.bgp.wire import Update
from peerlab.errors import WireError
from peerlab.evidence.message import Message
from peerlab.report.text import clock
from peerlab.verify.evidence import Evidence
from peerlab.verify.route_reading import RouteConditions, Where
from peerlab.verify.route_statement import RouteStatement
from peerlab.verify.temporal import Judgement, Quantifier, Statement

SHOWN = 3
"""Near misses shown."""

EXCERPT = 8
"""Messages of the trace shown."""

Seen = tuple[str, Prefix, PathAttributes]
"""Where a route was seen, and the route."""


def unmet(conditions: RouteConditions, prefix: Prefix, attributes: PathAttributes) -> tuple[str, ...]:
    """Each condition that a route does not meet, as "attribute: wanted, is"."""
    carried = attributes.communities + attributes.large_communities
    found: list[str] = []

    def compare(name: str, wanted: object, there: object) -> None:
        if wanted is not None and wanted != there:
            found.append(f"{name}: wanted {wanted}, is {there if there not in (None, '') else 'none'}")

    compare("prefix", conditions.prefix, prefix)
    compare("as_path", conditions.as_path, attributes.path_text())
    if conditions.contains_as is not None and conditions.contains_as not in attributes.asns():
        found.append(f"contains_as: wanted {conditions.contains_as}, path is {attributes.path_text() or 'empty'}")
    for wanted in conditions.communities:
        if not any(matches(wanted, one) for one in carried):
            found.append(f"communities: wanted {wanted}, are {' '.join(carried) or 'none'}")
    for name in ("next_hop", "med", "local_pref", "otc"):
        compare(name, getattr(conditions, name), getattr(attributes, name))
    return tuple(found)


def near_misses(statement: RouteStatement, evidence: Evidence) -> tuple[str, ...]:
    """The routes that came closest, those that differ in the fewest attributes first. A wrong prefix counts most."""
    ranked: dict[str, int] = {}
    for where, prefix, attributes in _seen(statement, evidence):
        differing = unmet(statement.pattern, prefix, attributes)
        if differing:
            far = len(differing) + (len(RouteConditions.__struct_fields__) if differing[0].startswith("prefix") else 0)
            line = f"{where}: {prefix} path {attributes.path_text() or 'empty'}; {'; '.join(differing)}"
            ranked[line] = min(far, ranked.get(line, far))
    return tuple(sorted(ranked, key=lambda line: (ranked[line], line))[:SHOWN])


def _seen(statement: RouteStatement, evidence: Evidence) -> Iterator[Seen]:
    if statement.where in (Where.SENT, Where.PRE_POLICY):
        sent = statement.where is Where.SENT
        sender, receiver = (statement.node, statement.peer) if sent else (statement.peer, statement.node)
        for message in evidence.trace:
            if sender in (None, message.source) and receiver in (None, message.destination):
                for prefix, attributes in _announced(message):
                    yield f"sent by {message.source} to {message.destination}", prefix, attributes
        return
    for taken in evidence.snapshots.values():
        node = taken.nodes.get(statement.node or "")
        if node is None:
            continue
        if statement.where is Where.BEST:
            for fact in node.loc_rib:
                note = "" if fact.best else f" (not best: {fact.reason})"
                yield f"Loc-RIB of {node.node}{note}", fact.prefix, fact.attributes
        else:
            for ribs, word in ((node.adj_rib_in_post, "accepted by"), (node.adj_rib_in_pre, "received by")):
                for facts in ribs.values():
                    for fact in facts:
                        note = "" if fact.accepted else f" (rejected: {fact.reason})"
                        yield f"{word} {node.node}{note}", fact.prefix, fact.attributes


def _announced(message: Message) -> Iterable[tuple[Prefix, PathAttributes]]:
    update = _update(message)
    return () if update is None else [(p, a) for p, a in update.routes() if a is not None]


def _update(message: Message) -> Update | None:
    try:
        said = message.decode()
    except WireError:
        return None
    return said if isinstance(said, Update) else None


def excerpt(statement: RouteStatement, evidence: Evidence) -> tuple[str, ...]:
    """The last UPDATEs on the wire that speak of the statement's prefix and nodes, with their times (UTC)."""
    sent = statement.where is Where.SENT
    sender, receiver = (statement.node, statement.peer) if sent else (statement.peer, statement.node)
    lines: list[str] = []
    for message in evidence.trace:
        update = _update(message)
        if update is None or sender not in (None, message.source) or receiver not in (None, message.destination):
            continue
        wanted = statement.pattern.prefix
        said = [(p, a) for p, a in update.routes() if a is not None and wanted in (None, p)]
        told = [f"announces {p} path {a.path_text() or 'empty'}" for p, a in said]
        told += [f"withdraws {p}" for p in update.withdrawn if wanted in (None, p)]
        lines += [f"{clock(message.at)} {message.source} > {message.destination} {word}" for word in told]
    return tuple(lines[-EXCERPT:])


def failure_text(statement: Statement, judgement: Judgement, evidence: Evidence, directory: str) -> str:
    """All that a person needs: the sentence, the reason, near misses, the wire, and where the evidence lies.

    What must never be and was has no near miss: the route itself is the reason.
    """
    lines = [f"{statement}{'' if judgement.holds is False else ' cannot be told'}: {judgement.why}"]
    parts = [("wire", excerpt(statement.about, evidence))]
    if statement.quantifier is not Quantifier.NEVER:
        parts.insert(0, ("nearest routes", near_misses(statement.about, evidence)))
    for title, found in parts:
        lines += [f"  {title}:", *(f"    {line}" for line in found)] if found else [f"  {title}: none"]
    return "\n".join([*lines, f"  evidence: {directory}"])
