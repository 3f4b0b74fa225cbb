"""The plan: desired minus observed, as steps with reasons. Pure; an empty plan means converged.

There is one path for the first deploy, a change and a repair: the first deploy is the difference to nothing.
``peerlab plan`` prints the very steps that ``controller.reconcile`` carries out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from peerlab.bgp.config import BfdConfig
from peerlab.bgp.policy import Policy
from peerlab.bgp.rtr_config import RtrServer
from peerlab.daemons.kinds import daemon_of, refuse_bfd, refuse_what_cannot_be_said
from peerlab.daemons.rpki import servers_of
from peerlab.errors import Unsupported
from peerlab.topology.model import LabModel, NodeKind, Session

End = tuple[str, str]
"""A session's end: node name and session id."""


class EndIntent(msgspec.Struct, frozen=True, kw_only=True):
    """That a session's end exists with these policies; overrides what the model says of the same end."""

    node: str
    session: str
    import_policy: Policy
    export_policy: Policy
    configuration: dict[str, Any] = {}
    """Fields of ``PeerConfig`` that differ from the model's, for an end that is wrong on purpose."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted beyond the model's own sessions: ends of connections, changed policies, ends taken out."""

    ends: tuple[EndIntent, ...] = ()
    absent: frozenset[End] = frozenset()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed: nodes, links, routers and RPKI caches that run, the policies in force at each end.

    ``asked`` are the caches that each running router asks.
    """

    nodes: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    routers: frozenset[str] = frozenset()
    ends: dict[str, dict[str, tuple[str, str]]] = {}
    caches: frozenset[str] = frozenset()
    asked: dict[str, tuple[RtrServer, ...]] = {}
    bfd: dict[End, BfdConfig] = {}
    """BFD as it is configured at each end that has it."""


class _Step(msgspec.Struct, frozen=True, kw_only=True, tag_field="step"):
    why: str


class CreateNode(_Step, frozen=True, kw_only=True, tag="create-node"):
    """Make a node's network namespace or container."""

    node: str


class DeleteNode(_Step, frozen=True, kw_only=True, tag="delete-node"):
    """Remove a node and everything in it."""

    node: str


class CreateLink(_Step, frozen=True, kw_only=True, tag="create-link"):
    """Lay a wire."""

    link: str


class DeleteLink(_Step, frozen=True, kw_only=True, tag="delete-link"):
    """Take a wire out."""

    link: str


class StartRouter(_Step, frozen=True, kw_only=True, tag="start-router"):
    """Start a router with all its sessions."""

    node: str


class StartCache(_Step, frozen=True, kw_only=True, tag="start-cache"):
    """Start an RPKI cache."""

    node: str


class ChangeCaches(_Step, frozen=True, kw_only=True, tag="change-caches"):
    """Have a router ask other RPKI caches, without a reset."""

    node: str


class AddSession(_Step, frozen=True, kw_only=True, tag="add-session"):
    """Configure a session's end on a running router."""

    node: str
    session: str


class RemoveSession(_Step, frozen=True, kw_only=True, tag="remove-session"):
    """Take a session's end out of a running router's configuration."""

    node: str
    session: str


class ChangePolicy(_Step, frozen=True, kw_only=True, tag="change-policy"):
    """Put other policies in force at a session's end, without a reset."""

    node: str
    session: str
    import_policy: str
    export_policy: str


class ChangeBfd(_Step, frozen=True, kw_only=True, tag="change-bfd"):
    """Begin, end or change BFD at a session's end, without a reset."""

    node: str
    session: str


Step = (
    CreateNode
    | DeleteNode
    | CreateLink
    | DeleteLink
    | StartRouter
    | StartCache
    | ChangeCaches
    | AddSession
    | RemoveSession
    | ChangePolicy
    | ChangeBfd
)


def versioned(policy: Policy) -> Policy:
    """The policy under a name that changes with its content, so that a changed policy is seen as another one."""
    base = policy.name.split("#", 1)[0]
    plain = msgspec.structs.replace(policy, name=base)
    digest = hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:8]
    return msgspec.structs.replace(plain, name=f"{base}#{digest}")


class DesiredEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A session's end as it should be, policies versioned. ``bfd`` is in force whatever ``configuration`` says."""

    import_policy: Policy
    export_policy: Policy
    bfd: BfdConfig | None = None
    configuration: dict[str, Any] = {}


def desired_ends(model: LabModel, intent: Intent) -> dict[End, DesiredEnd]:
    """Every session end that should exist and its policies.

    The model's sessions exist from the start unless they belong to a Microsoft.Peering connection: those exist only
    once an intent names their ends (spec S3: provisioned by Microsoft, configured by the peer).
    """
    ends: dict[End, DesiredEnd] = {}
    for session in model.sessions:
        if session.connection is not None:
            continue
        for end in (session.left, session.right):
            ends[end.node, session.id] = DesiredEnd(
                import_policy=versioned(model.policies[end.import_policy]),
                export_policy=versioned(model.policies[end.export_policy]),
                bfd=session.bfd,
            )
    bfd = {session.id: session.bfd for session in model.sessions}
    for wanted in intent.ends:
        ends[wanted.node, wanted.session] = DesiredEnd(
            import_policy=versioned(wanted.import_policy),
            export_policy=versioned(wanted.export_policy),
            bfd=wanted.configuration.get("bfd", bfd.get(wanted.session)),
            configuration=wanted.configuration,
        )
    for absent in intent.absent:
        ends.pop(absent, None)
    return ends


def plan(model: LabModel, intent: Intent, view: View) -> tuple[Step, ...]:
    """The steps from what is observed to what is desired, in the order in which they are safe.

    Raises Unsupported when a daemon cannot be run or cannot express a policy that it shall have, naming it.
    """
    ends = desired_ends(model, intent)
    _refuse_what_cannot_be_said(model, ends)
    steps: list[Step] = []
    steps.extend(_sessions_to_remove(ends, view))
    node_names = {node.name for node in model.nodes}
    link_ids = {link.id for link in model.links}
    steps.extend(DeleteLink(link=link, why="not in the topology") for link in sorted(view.links - link_ids))
    steps.extend(DeleteNode(node=node, why="not in the topology") for node in sorted(view.nodes - node_names))
    steps.extend(
        CreateNode(node=node.name, why="does not exist") for node in model.nodes if node.name not in view.nodes
    )
    steps.extend(CreateLink(link=link.id, why="does not exist") for link in model.links if link.id not in view.links)
    starting = [node.name for node in model.nodes if node.is_router and node.name not in view.routers]
    steps.extend(
        StartCache(node=cache.node, why="does not run") for cache in model.caches if cache.node not in view.caches
    )
    steps.extend(
        ChangeCaches(node=node.name, why="asks other caches")
        for node in model.nodes
        if node.name in view.asked and view.asked[node.name] != servers_of(model, node)
    )
    steps.extend(_session_changes(model, ends, view, starting))
    steps.extend(
        StartRouter(node=name, why="its router does not run" if name in view.nodes else "new node") for name in starting
    )
    return tuple(steps)


def _refuse_what_cannot_be_said(model: LabModel, ends: Mapping[End, DesiredEnd]) -> None:
    """The model's own policies count too: a connection's ends get them when it is turned up."""
    for node in model.nodes:
        if node.is_router:
            daemon_of(node.kind)
            if node.kind is NodeKind.FRR and servers_of(model, node):
                raise Unsupported(
                    f"{node.name} is to ask an RPKI cache, which needs FRR's module bgpd_rpki, and Debian's package "
                    "frr does not have it; run it on ExaBGP or BIRD"
                )
            if node.kind is NodeKind.OPENBGPD and servers_of(model, node):
                raise Unsupported(
                    f"{node.name} is to ask an RPKI cache, but OpenBGPD does not show which ROAs it holds; "
                    "run it on ExaBGP or BIRD"
                )
    kinds = {node.name: node.kind for node in model.nodes}
    own = {node.name for node in model.nodes if node.own is not None}
    for session in model.sessions:
        for end in (session.left, session.right):
            if kinds[end.node] is NodeKind.EXABGP or end.node in own:
                continue
            if session.graceful_restart is not None:
                raise Unsupported(
                    f"{end.node} is to run graceful restart on {session.id}, which only ExaBGP routers can; "
                    "leave graceful-restart: out, or run the router on ExaBGP"
                )
            wanted = ends.get((end.node, session.id))
            if (session.bfd if wanted is None else wanted.bfd) is not None:
                refuse_bfd(kinds[end.node], session.id)
            policies = [model.policies[name] for name in (end.import_policy, end.export_policy)]
            for policy in policies if wanted is None else (wanted.import_policy, wanted.export_policy):
                refuse_what_cannot_be_said(kinds[end.node], policy, session.family)


def _sessions_to_remove(ends: Mapping[End, DesiredEnd], view: View) -> Iterable[Step]:
    for node, sessions in sorted(view.ends.items()):
        for session in sorted(sessions):
            if (node, session) not in ends:
                yield RemoveSession(node=node, session=session, why="no longer wanted")


def _session_changes(
    model: LabModel, ends: Mapping[End, DesiredEnd], view: View, starting: Iterable[str]
) -> Iterable[Step]:
    newborn = set(starting)
    additions: list[tuple[bool, AddSession]] = []
    for (node, session_id), wanted in ends.items():
        if node in newborn:
            continue
        names = (wanted.import_policy.name, wanted.export_policy.name)
        observed = view.ends.get(node, {}).get(session_id)
        if observed is None:
            active = not _is_passive(model.session(session_id), node)
            additions.append((active, AddSession(node=node, session=session_id, why="not configured")))
            continue
        if observed != names:
            yield ChangePolicy(
                node=node,
                session=session_id,
                import_policy=names[0],
                export_policy=names[1],
                why=f"in force: import {observed[0]}, export {observed[1]}",
            )
        has = view.bfd.get((node, session_id))
        if has != wanted.bfd:
            yield ChangeBfd(node=node, session=session_id, why=f"in force: {bfd_words(has)}")
    yield from (step for _, step in sorted(additions, key=lambda pair: pair[0]))


def bfd_words(bfd: BfdConfig | None) -> str:
    """BFD's configuration for people: ``300 ms x 3, strict``."""
    if bfd is None:
        return "no BFD"
    return f"{bfd.interval_ms} ms x {bfd.multiplier}" + (", strict" if bfd.strict else "")


def _is_passive(session: Session, node: str) -> bool:
    return session.end(node).passive
