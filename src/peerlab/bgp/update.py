"""The UPDATE message in text, and its encoding with as many prefixes per message as fit (RFC 4271 section 4.3)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from peerlab.bgp.attribute_encode import encode_attributes, mp_reach_head
from peerlab.bgp.attribute_type import EXTENDED_LENGTH, OPTIONAL, AttributeType
from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.bulk import AttributeCache, decode_bulk
from peerlab.bgp.framing import HEADER_LENGTH, STANDARD_MAXIMUM, MessageType, frame
from peerlab.bgp.nlri import AFI, SAFI_UNICAST, nlri_bytes, nlri_text
from peerlab.bgp.session_context import SessionContext


class Update(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An UPDATE. ``withdrawn`` includes what RFC 7606 treats as withdrawn, with the reason in ``treat_as_withdraw``.

    ``attributes`` are those of ``announced``. Should a message announce routes both in the NLRI field and in
    MP_REACH_NLRI, the latter are also in ``mp_announced`` and have ``mp_attributes``; ``routes`` tells them apart.
    ``family`` is that of the routes (or of the End-of-RIB), None for an empty message. ``discarded`` names dropped
    attributes, ``ignored`` routes of families that were not agreed on. Path identifiers (RFC 7911) stand in the
    order of their prefixes, and are empty without ADD-PATH.
    """

    withdrawn: tuple[Prefix, ...] = ()
    announced: tuple[Prefix, ...] = ()
    attributes: PathAttributes | None = None
    family: Family | None = None
    end_of_rib: Family | None = None
    treat_as_withdraw: str | None = None
    discarded: tuple[str, ...] = ()
    ignored: str | None = None
    withdrawn_path_ids: tuple[int, ...] = ()
    announced_path_ids: tuple[int, ...] = ()
    mp_announced: tuple[Prefix, ...] = ()
    mp_attributes: PathAttributes | None = None

    def routes(self) -> Iterator[tuple[Prefix, PathAttributes]]:
        """Every announced prefix with its attributes."""
        first = len(self.announced) - len(self.mp_announced)
        for at, prefix in enumerate(self.announced):
            attributes = self.attributes if at < first else self.mp_attributes
            if attributes is not None:
                yield prefix, attributes


def decode_update(body: bytes, session: SessionContext) -> Update:
    """Decode the body of an UPDATE. Raises WireError as decode_bulk does."""
    parts = decode_bulk(body, AttributeCache(session, limit=4))
    withdrawn: list[Prefix] = []
    announced: list[list[Prefix]] = []
    attributes: list[PathAttributes] = []
    for part in parts:
        withdrawn += [nlri_text(raw, part.family) for raw in part.withdrawn]
        if part.attributes is not None and part.announced:
            announced.append([nlri_text(raw, part.family) for raw in part.announced])
            attributes.append(part.attributes)
    reasons = dict.fromkeys(part.treat_as_withdraw for part in parts if part.treat_as_withdraw)
    ignored = [part.ignored for part in parts if part.ignored]
    families = [part.family for part in parts if part.ignored is None]
    return Update(
        withdrawn=tuple(withdrawn),
        announced=tuple(prefix for prefixes in announced for prefix in prefixes),
        attributes=attributes[0] if attributes else None,
        family=families[0] if families else None,
        end_of_rib=next((part.family for part in parts if part.end_of_rib), None),
        treat_as_withdraw="; ".join(reasons) or None,
        discarded=tuple(dict.fromkeys(reason for part in parts for reason in part.discarded)),
        ignored=ignored[0] if ignored else None,
        withdrawn_path_ids=tuple(path_id for part in parts for path_id in part.withdrawn_path_ids),
        announced_path_ids=tuple(path_id for part in parts for path_id in part.announced_path_ids),
        mp_announced=tuple(announced[1]) if len(announced) > 1 else (),
        mp_attributes=attributes[1] if len(attributes) > 1 else None,
    )


def encode_updates(
    attributes: PathAttributes,
    prefixes: Iterable[Prefix],
    family: Family,
    *,
    asn4: bool = True,
    maximum: int = STANDARD_MAXIMUM,
    ebgp: bool = False,
) -> list[bytes]:
    """Whole UPDATE messages that announce ``prefixes``, as few as their ``maximum`` octets allow.

    IPv4 routes with an IPv4 next hop go into the NLRI field, all others into MP_REACH_NLRI (RFC 4760, RFC 8950).
    ``ebgp`` leaves out attributes that must not reach another AS. Raises ValueError when not even one prefix fits
    beside the attributes: the route cannot be announced on this session and has to be withdrawn instead (RFC 8654
    section 5).
    """
    raws = [nlri_bytes(prefix) for prefix in prefixes]
    return encode_raw_updates(attributes, raws, family, asn4=asn4, maximum=maximum, ebgp=ebgp)


def encode_raw_updates(
    attributes: PathAttributes,
    raws: Sequence[bytes],
    family: Family,
    *,
    asn4: bool = True,
    maximum: int = STANDARD_MAXIMUM,
    ebgp: bool = False,
) -> list[bytes]:
    """As ``encode_updates``, for prefixes that are raw NLRI already: the speaker's sending path."""
    classic = family is Family.IPV4 and attributes.next_hop is not None and ":" not in attributes.next_hop
    rest = encode_attributes(attributes, asn4=asn4, ebgp=ebgp, next_hop=classic)
    if classic:
        head = b"\0\0" + len(rest).to_bytes(2, "big") + rest
        return [_update(head + nlri) for nlri in _pack(raws, maximum - HEADER_LENGTH - len(head))]
    reach = mp_reach_head(attributes, family)
    room = maximum - HEADER_LENGTH - 8 - len(reach) - len(rest)
    messages = []
    for nlri in _pack(raws, room):
        # MP_REACH_NLRI comes first, so that a receiver finds the routes in a damaged message (RFC 7606 section 5.1).
        field = _long_attribute(AttributeType.MP_REACH_NLRI, reach + nlri) + rest
        messages.append(_update(b"\0\0" + len(field).to_bytes(2, "big") + field))
    return messages


def encode_withdrawals(prefixes: Iterable[Prefix], family: Family, maximum: int = STANDARD_MAXIMUM) -> list[bytes]:
    """Whole UPDATE messages that withdraw ``prefixes``: in MP_UNREACH_NLRI for IPv6."""
    return encode_raw_withdrawals([nlri_bytes(prefix) for prefix in prefixes], family, maximum)


def encode_raw_withdrawals(raws: Sequence[bytes], family: Family, maximum: int = STANDARD_MAXIMUM) -> list[bytes]:
    """As ``encode_withdrawals``, for raw NLRI."""
    if family is Family.IPV4:
        packed = _pack(raws, maximum - HEADER_LENGTH - 4)
        return [_update(len(nlri).to_bytes(2, "big") + nlri + b"\0\0") for nlri in packed]
    head = bytes([0, AFI[family], SAFI_UNICAST])
    messages = []
    for nlri in _pack(raws, maximum - HEADER_LENGTH - 8 - len(head)):
        field = _long_attribute(AttributeType.MP_UNREACH_NLRI, head + nlri)
        messages.append(_update(b"\0\0" + len(field).to_bytes(2, "big") + field))
    return messages


def end_of_rib(family: Family) -> bytes:
    """The End-of-RIB marker of a family, a whole message (RFC 4724 section 2)."""
    if family is Family.IPV4:
        return _update(bytes(4))
    field = bytes([OPTIONAL, AttributeType.MP_UNREACH_NLRI, 3, 0, AFI[family], SAFI_UNICAST])
    return _update(b"\0\0" + len(field).to_bytes(2, "big") + field)


def _update(body: bytes) -> bytes:
    return frame(MessageType.UPDATE, body)


def _long_attribute(kind: AttributeType, value: bytes) -> bytes:
    """An optional non-transitive attribute, always with a length of two octets: the room for it is then known."""
    return bytes([OPTIONAL | EXTENDED_LENGTH, kind]) + len(value).to_bytes(2, "big") + value


def _pack(raws: Sequence[bytes], room: int) -> Iterator[bytes]:
    """Join prefixes, in order, into fields of at most ``room`` octets each."""
    ends = list(accumulate(map(len, raws)))
    first, taken = 0, 0
    while first < len(raws):
        last = bisect_right(ends, taken + room, first)
        if last == first:
            raise ValueError(f"the attributes leave {max(room, 0)} octets of the message, too few for a single prefix")
        yield b"".join(raws[first:last])
        first, taken = last, ends[last - 1]
