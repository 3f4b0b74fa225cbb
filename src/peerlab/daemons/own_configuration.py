"""An engineer's own configuration against the topology: what each says of the same sessions, and what the lab needs.

The configuration is never changed. Where the two disagree nobody knows which one is wrong, so both sides are shown.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import msgspec

from peerlab.bgp.attributes import BgpRole
from peerlab.bgp.config import OwnConfiguration, RouterConfig
from peerlab.daemons.bird_own import bird_problems
from peerlab.daemons.bird_reading import read_bird
from peerlab.daemons.frr_own import frr_problems
from peerlab.daemons.frr_reading import read_frr
from peerlab.errors import InputError, Problem
from peerlab.topology.model import LabModel, Node, NodeKind, Session
from peerlab.topology.surround import NeighbourReading, RouterReading

_SWAPPED = {
    BgpRole.PROVIDER: BgpRole.CUSTOMER,
    BgpRole.CUSTOMER: BgpRole.PROVIDER,
    BgpRole.RS: BgpRole.RS_CLIENT,
    BgpRole.RS_CLIENT: BgpRole.RS,
    BgpRole.PEER: BgpRole.PEER,
}
"""A role, and the one that the other end must have (RFC 9234 section 4.2)."""


@functools.cache
def reading_of(kind: NodeKind, own: OwnConfiguration) -> RouterReading:
    """What the configuration says of its neighbours. Raises InputError when that cannot be read."""
    return read_bird(own.text, own.file) if kind is NodeKind.BIRD else read_frr(own.text, own.file)


def with_own(model: LabModel) -> LabModel:
    """The model with what own configurations say of their ends of sessions: roles, who connects, limits.

    Raises InputError with everything in which a configuration and the topology disagree, with both places.
    """
    problems: list[Problem] = []
    for node in model.nodes:
        if node.own is not None:
            try:
                problems += _problems(model, node, node.own)
            except InputError as error:
                problems += error.problems
    if problems:
        raise InputError(problems)
    own = {node.name: node for node in model.nodes if node.own is not None}
    if not own:
        return model
    sessions = tuple(_as_written(session, own) for session in model.sessions)
    return msgspec.structs.replace(model, sessions=sessions)


def _as_written(session: Session, own: Mapping[str, Node]) -> Session:
    ends = []
    for end in (session.left, session.right):
        node = own.get(end.node)
        if node is not None and node.own is not None:
            remote = str(session.other(end.node).address)
            said = next(one for one in reading_of(node.kind, node.own).neighbours if one.address == remote)
            end = msgspec.structs.replace(
                end,
                role=said.role,
                role_strict=said.role_strict,
                passive=said.passive,
                max_prefix=said.limits.get(session.family),
            )
        ends.append(end)
    return msgspec.structs.replace(session, left=ends[0], right=ends[1])


def neighbours_by_session(config: RouterConfig) -> Mapping[str, NeighbourReading]:
    """The neighbour of the own configuration behind each session of a router; none where there is no such neighbour."""
    if config.own is None:
        return {}
    reading = reading_of(NodeKind(config.kind), config.own)
    by_address = {one.address: one for one in reading.neighbours}
    return {
        peer.session: by_address[peer.peer_address] for peer in config.peers if str(peer.peer_address) in by_address
    }


def _problems(model: LabModel, node: Node, own: OwnConfiguration) -> Iterator[Problem]:
    reading = reading_of(node.kind, own)
    place = f"ases.{node.as_name}.routers.{node.name}"
    if reading.asn != node.asn:
        yield Problem(
            own.file,
            f"is AS{reading.asn}, and in the topology {node.name} is AS{node.asn} (ases.{node.as_name}.asn)",
            "make them the same",
        )
    if reading.router_id is None:
        yield Problem(own.file, f"has no router id, and {place} needs to know it", "state it")
    elif reading.router_id != node.router_id:
        yield Problem(
            own.file,
            f"has router id {reading.router_id}, and in the topology {node.name} has {node.router_id} ({place})",
            f"write `router-id: {reading.router_id}` there",
        )
    by_address = {one.address: one for one in reading.neighbours}
    for session in model.sessions_of(node.name):
        remote = session.other(node.name)
        neighbour = by_address.get(str(remote.address))
        if neighbour is None:
            known = ", ".join(f"{one.address} (AS{one.asn}, line {one.line})" for one in reading.neighbours)
            yield Problem(
                own.file,
                f"has no neighbour {remote.address}, which is {remote.node} of AS{remote.asn} in the topology "
                f"({_place(session)}); it has {known}",
                "write the addresses of the configuration there (prefix-v4, prefix-v6, v4, v6), or that one here",
            )
        else:
            yield from _of_session(node, own, session, neighbour)
    yield from (bird_problems if node.kind is NodeKind.BIRD else frr_problems)(model, node, own, reading)


def _of_session(node: Node, own: OwnConfiguration, session: Session, said: NeighbourReading) -> Iterator[Problem]:
    local, remote = session.end(node.name), session.other(node.name)
    where = f"{own.file}:{said.line}"

    def differ(what: str, here: object, there: object) -> Problem:
        return Problem(
            where,
            f"neighbour {said.name} has {what} {here}, and in the topology it is {there} ({_place(session)})",
            "make them the same",
        )

    if said.asn is not None and said.asn != remote.asn:
        yield differ("AS number", said.asn, remote.asn)
    if said.local_asn is not None and said.local_asn != local.asn:
        yield differ("local AS", said.local_asn, local.asn)
    if said.local_address is not None and said.local_address != str(local.address):
        yield differ("local address", said.local_address, local.address)
    if (said.md5 or None) != session.md5:
        yield differ("MD5 key", said.md5 or "none", session.md5 or "none")
    if said.disabled:
        yield Problem(where, f"neighbour {said.name} is disabled", "enable it: the lab does not change this file")
    if session.family not in said.carries:
        yield differ("channels for", ", ".join(said.carries) or "nothing", session.family.value)
    if said.role is not None and remote.role is not None and remote.role is not _SWAPPED[said.role]:
        yield differ("BGP role", said.role.value, f"{remote.role.value} at the other end")


def _place(session: Session) -> str:
    if session.connection is None:
        return f"session {session.id}"
    peering, _, connection = session.connection.partition("/")
    return f"peerings.{peering}.connections.{connection}"


