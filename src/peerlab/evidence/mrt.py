"""MRT export (RFC 6396): what the lab saw, in the format that every routing archive and its tools use.

Two kinds of files. `bgp4mp` writes messages and session changes with microseconds (BGP4MP_ET), each message as its
receiver would have recorded it: the peer is the sender. `table_dump` writes one node's Loc-RIB (TABLE_DUMP_V2), every
candidate of it, as that node would have dumped it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from peerlab.bgp.address import address_bytes
from peerlab.bgp.as_path_codec import AS_TRANS
from peerlab.bgp.attribute_encode import encode_attribute, encode_attributes
from peerlab.bgp.attribute_type import OPTIONAL, AttributeType
from peerlab.bgp.attributes import Address, Family, PathAttributes, Prefix
from peerlab.bgp.nlri import family_of_prefix, nlri_bytes
from peerlab.evidence.events import SessionStateChanged
from peerlab.evidence.message import Message
from peerlab.evidence.snapshot import RouteFact, Snapshot
from peerlab.topology.model import LabModel, Session, SessionEnd

TABLE_DUMP_V2 = 13
BGP4MP_ET = 17

PEER_INDEX_TABLE = 1
RIB_IPV4_UNICAST = 2
RIB_IPV6_UNICAST = 4

BGP4MP_MESSAGE = 1
BGP4MP_MESSAGE_AS4 = 4
BGP4MP_STATE_CHANGE_AS4 = 5

_PEER_IPV6 = 1
_PEER_AS4 = 2
_NANOSECONDS = 1_000_000_000
_UNKNOWN_ADDRESS = Address("0.0.0.0")

_FSM_STATES = {"idle": 1, "connect": 2, "active": 3, "opensent": 4, "openconfirm": 5, "established": 6}
"""RFC 6396 section 4.4.1."""


def _record(at: int, kind: int, subtype: int, body: bytes) -> bytes:
    return struct.pack(">IHHI", at // _NANOSECONDS, kind, subtype, len(body)) + body


def _extended_record(at: int, subtype: int, body: bytes) -> bytes:
    microseconds = struct.pack(">I", at % _NANOSECONDS // 1000)
    return _record(at, BGP4MP_ET, subtype, microseconds + body)


def _pair(peer_as: int, local_as: int, peer: Address, local: Address, *, asn4: bool = True) -> bytes:
    """Both ends of a session: AS numbers, interface index (0: not told), AFI, addresses."""
    peer_octets, local_octets = address_bytes(peer), address_bytes(local)
    if asn4:
        head = struct.pack(">II", peer_as, local_as)
    else:
        head = struct.pack(">HH", *(asn if asn <= 0xFFFF else AS_TRANS for asn in (peer_as, local_as)))
    return head + struct.pack(">HH", 0, 1 if len(peer_octets) == 4 else 2) + peer_octets + local_octets


def message_record(message: Message, model: LabModel) -> bytes:
    """One message. AS numbers come from the model, 0 where the message belongs to no session of it.

    On a session without four octet AS numbers the record is a BGP4MP_MESSAGE, so that AS_PATH is read rightly.
    """
    asns: dict[Address, int] = {}
    if message.session is not None:
        session = model.session(message.session)
        asns = {end.address: end.asn for end in (session.left, session.right)}
    asn4 = message.context.asn4
    pair = _pair(
        asns.get(message.source_address, 0),
        asns.get(message.destination_address, 0),
        message.source_address,
        message.destination_address,
        asn4=asn4,
    )
    return _extended_record(message.at, BGP4MP_MESSAGE_AS4 if asn4 else BGP4MP_MESSAGE, pair + message.octets)


def state_record(change: SessionStateChanged, session: Session) -> bytes:
    """A change of the session's FSM state as one end reports it. Raises ValueError for a state RFC 4271 has not."""
    local, peer = session.end(change.node), session.other(change.node)
    states = struct.pack(">HH", _state(change.before), _state(change.after))
    pair = _pair(peer.asn, local.asn, peer.address, local.address)
    return _extended_record(change.at, BGP4MP_STATE_CHANGE_AS4, pair + states)


def _state(name: str) -> int:
    number = _FSM_STATES.get(name.lower().replace("-", "").replace("_", ""))
    if number is None:
        raise ValueError(f"{name!r} is no state of a BGP session (RFC 4271 section 8.2.2)")
    return number


def bgp4mp(
    messages: Iterable[Message], model: LabModel, changes: Iterable[SessionStateChanged] = ()
) -> Iterator[bytes]:
    """Records of messages and state changes, by time. Changes of sessions that the model has not are left out."""
    sessions = {session.id: session for session in model.sessions}
    dated = [(message.at, message_record(message, model)) for message in messages]
    dated += [
        (change.at, state_record(change, sessions[change.session])) for change in changes if change.session in sessions
    ]
    yield from (octets for _, octets in sorted(dated, key=lambda one: one[0]))


def table_dump(snapshot: Snapshot, node: str, model: LabModel) -> Iterator[bytes]:
    """A node's Loc-RIB at a snapshot: a peer index table, then a record per prefix with every candidate.

    Routes that the node originates itself belong to peer 0, the node. Raises KeyError for a node that the snapshot has
    not.
    """
    seen = snapshot.nodes[node]
    sessions = sorted({route.session for route in seen.loc_rib if route.session is not None})
    index = {session: number for number, session in enumerate(sessions, start=1)}
    yield _record(snapshot.at, TABLE_DUMP_V2, PEER_INDEX_TABLE, _peer_index(snapshot.label, node, sessions, model))
    by_prefix: dict[Prefix, list[RouteFact]] = {}
    for route in seen.loc_rib:
        by_prefix.setdefault(route.prefix, []).append(route)
    ordered = sorted(by_prefix, key=lambda prefix: (family_of_prefix(prefix), nlri_bytes(prefix)[1:], prefix))
    for number, prefix in enumerate(ordered):
        subtype = RIB_IPV4_UNICAST if family_of_prefix(prefix) is Family.IPV4 else RIB_IPV6_UNICAST
        routes = sorted(by_prefix[prefix], key=lambda route: not route.best)
        body = struct.pack(">I", number) + nlri_bytes(prefix) + struct.pack(">H", len(routes))
        body += b"".join(_rib_entry(route, index, snapshot.at) for route in routes)
        yield _record(snapshot.at, TABLE_DUMP_V2, subtype, body)


def _peer_index(label: str, node: str, sessions: list[str], model: LabModel) -> bytes:
    own = model.node(node)
    view = f"{node} {label}".encode()
    body = address_bytes(own.router_id or _UNKNOWN_ADDRESS) + struct.pack(">H", len(view)) + view
    body += struct.pack(">H", len(sessions) + 1)
    body += _peer(own.router_id, own.loopback_v4 or own.loopback_v6 or _UNKNOWN_ADDRESS, own.asn or 0)
    for session in sessions:
        end: SessionEnd = model.session(session).other(node)
        body += _peer(model.node(end.node).router_id, end.address, end.asn)
    return body


def _peer(router_id: Address | None, address: Address, asn: int) -> bytes:
    octets = address_bytes(address)
    kind = _PEER_AS4 | (_PEER_IPV6 if len(octets) == 16 else 0)
    return bytes([kind]) + address_bytes(router_id or _UNKNOWN_ADDRESS) + octets + struct.pack(">I", asn)


def _rib_entry(route: RouteFact, index: dict[str, int], taken: int) -> bytes:
    """RFC 6396 section 4.3.4: AS_PATH has four octets per AS, and MP_REACH_NLRI only its next hop."""
    peer = 0 if route.session is None else index[route.session]
    attributes = _attributes(route.attributes, family_of_prefix(route.prefix))
    received = (route.received_at or taken) // _NANOSECONDS
    return struct.pack(">HIH", peer, received, len(attributes)) + attributes


def _attributes(attributes: PathAttributes, family: Family) -> bytes:
    if family is Family.IPV4 and attributes.next_hop is not None and ":" not in attributes.next_hop:
        return encode_attributes(attributes, asn4=True, ebgp=False, next_hop=True)
    rest = encode_attributes(attributes, asn4=True, ebgp=False, next_hop=False)
    if attributes.next_hop is None:
        return rest
    hop = address_bytes(attributes.next_hop)
    if attributes.link_local_next_hop is not None:
        hop += address_bytes(attributes.link_local_next_hop)
    return encode_attribute(OPTIONAL, AttributeType.MP_REACH_NLRI, bytes([len(hop)]) + hop) + rest


def dumped_nodes(snapshot: Snapshot) -> tuple[str, ...]:
    """Nodes of a snapshot that have a Loc-RIB to dump."""
    return tuple(name for name, seen in sorted(snapshot.nodes.items()) if seen.loc_rib)
