"""UPDATE messages in bulk: NLRI stays raw, and each distinct set of attributes is decoded once.

This is the speaker's receiving path, and ``update.decode_update`` is the same with everything put into text. A
full table has ten times fewer attribute sets than prefixes, and each set comes from a peer many times; decoding
one costs some microseconds, finding it again a fraction of one.
"""

from __future__ import annotations

import msgspec

from peerlab.bgp.attribute_decode import DecodedAttributes, NextHop, Tlv, interpret, scan
from peerlab.bgp.attribute_type import EXTENDED_LENGTH, FLAG_MASK, OPTIONAL, AttributeType, attribute_name
from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.nlri import AFI, OPTIONAL_ATTRIBUTE_ERROR, family_of, nlri_split, nlri_split_add_path
from peerlab.bgp.session_context import SessionContext
from peerlab.errors import WireError

MALFORMED_ATTRIBUTE_LIST = 1

_IPV4, _IPV6 = Family.IPV4, Family.IPV6

# Plain integers, for looking up an enum's member costs more than the comparison it is for.
_MP_REACH, _MP_UNREACH = int(AttributeType.MP_REACH_NLRI), int(AttributeType.MP_UNREACH_NLRI)
_MULTIPROTOCOL = (_MP_REACH, _MP_UNREACH)
_REACH_HEADS = (bytes([OPTIONAL, _MP_REACH]), bytes([OPTIONAL | EXTENDED_LENGTH, _MP_REACH]))


class BulkUpdate(msgspec.Struct, frozen=True, gc=False):
    """What an UPDATE does to the routes of one family. First take ``withdrawn`` out, then put ``announced`` in.

    Both hold raw NLRI. Routes that must be treated as withdrawn (RFC 7606) are in ``withdrawn`` already, with the
    reason in ``treat_as_withdraw``. The path identifiers of ADD-PATH stand beside their prefixes, and are empty on
    a session without it. ``ignored`` says which routes were left out because their family was not agreed on.
    """

    family: Family
    withdrawn: list[bytes]
    announced: list[bytes]
    decoded: DecodedAttributes | None = None
    end_of_rib: bool = False
    withdrawn_path_ids: tuple[int, ...] = ()
    announced_path_ids: tuple[int, ...] = ()
    ignored: str | None = None

    @property
    def attributes(self) -> PathAttributes | None:
        """Attributes of every announced prefix; None when nothing is announced. The same object for equal octets."""
        return None if self.decoded is None else self.decoded.attributes

    @property
    def key(self) -> bytes:
        """Stands for ``attributes`` wherever equality and a hash are needed cheaply; empty when there are none."""
        return b"" if self.decoded is None else self.decoded.key

    @property
    def treat_as_withdraw(self) -> str | None:
        """Why routes of this message were treated as withdrawn."""
        return None if self.decoded is None else self.decoded.treat_as_withdraw

    @property
    def discarded(self) -> tuple[str, ...]:
        """Attributes that were dropped, and why."""
        return () if self.decoded is None else self.decoded.discarded


class AttributeCache:
    """Decoded attribute sets by their octets, for all sessions with the same context; bounded.

    Two generations stand in for exact least-recently-used order: what was not asked for during a whole generation
    is forgotten. At most ``limit`` sets are held.
    """

    def __init__(self, session: SessionContext, limit: int = 131072) -> None:
        self.session = session
        self.plain = tuple(family for family in session.families if family not in session.add_path)
        self.plain_ipv4 = _IPV4 in self.plain
        self._half = max(limit // 2, 1)
        self._young: dict[bytes, DecodedAttributes] = {}
        self._old: dict[bytes, DecodedAttributes] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, key: bytes) -> DecodedAttributes | None:
        """The decoded set of these octets, None when it is not (or no longer) known."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: bytes, decoded: DecodedAttributes) -> None:
        """Remember a decoded set."""
        if len(self._young) >= self._half:
            self._old = self._young
            self._young = {}
        self._young[key] = decoded


def decode_bulk(body: bytes, cache: AttributeCache) -> tuple[BulkUpdate, ...]:
    """What the body of one UPDATE does, by family: one element as a rule, more when it mixes families.

    Raises WireError when the session cannot go on: 3/1 for lengths that contradict each other, for MP_REACH_NLRI
    given twice or with a wrong next hop length (RFC 7606 sections 3 g, 7.11), 3/2 for an unknown well-known
    attribute, 3/9 and 3/10 for NLRI that cannot be cut (section 5.3).
    """
    size = len(body)
    if size < 4:
        raise WireError(3, MALFORMED_ATTRIBUTE_LIST, what=f"an UPDATE of {size} octets is too short")
    start = 2 + (body[0] << 8 | body[1])
    if start + 2 > size:
        raise WireError(3, MALFORMED_ATTRIBUTE_LIST, what="the withdrawn routes run past the end of the UPDATE")
    end = start + 2 + (body[start] << 8 | body[start + 1])
    if end > size:
        raise WireError(3, MALFORMED_ATTRIBUTE_LIST, what="the attributes run past the end of the UPDATE")
    key = body[start:end]
    if cache.plain_ipv4 and size > 4:
        decoded = cache.find(key)
        if decoded is not None:
            withdrawn = nlri_split(body[2:start], _IPV4) if start > 2 else []
            announced = nlri_split(body[end:], _IPV4) if end < size else []
            return (_part(_IPV4, withdrawn, announced, decoded),)
    if end == size and start == 2 and key[2:4] in _REACH_HEADS:
        part = _reach_alone(key, cache)
        if part is not None:
            return (part,)
    return _decode(body, start, end, key, cache)


def _part(family: Family, withdrawn: list[bytes], announced: list[bytes], decoded: DecodedAttributes) -> BulkUpdate:
    if not announced:
        if decoded.malformed:
            raise _nothing_reachable(decoded)
        return BulkUpdate(family, withdrawn, announced)
    if decoded.attributes is None:
        return BulkUpdate(family, withdrawn + announced, [], decoded)
    return BulkUpdate(family, withdrawn, announced, decoded)


def _reach_alone(key: bytes, cache: AttributeCache) -> BulkUpdate | None:
    """The quick way for an attribute field that begins with MP_REACH_NLRI, when all that follows is known.

    None when it is not known, or when anything is out of the ordinary: then the general way decides. ``key`` is the
    attribute field with its length in front.
    """
    at = 6 if key[2] & EXTENDED_LENGTH else 5
    end = at + int.from_bytes(key[4:at], "big")
    if end > len(key) or end - at < 5:
        return None
    family = family_of(key[at] << 8 | key[at + 1], key[at + 2])
    first = at + 5 + key[at + 3]
    if family is None or first >= end or family not in cache.plain:
        return None
    others = key[end:]
    decoded = cache.find(_reach_key(family, key[at + 4 : first - 1], _field_key(others)))
    if decoded is None:
        return None
    return _part(family, [], nlri_split(key[first:end], family, OPTIONAL_ATTRIBUTE_ERROR), decoded)


def _field_key(field: bytes) -> bytes:
    """The key of attributes without MP_REACH_NLRI: their octets with the length in front, as in the message."""
    return len(field).to_bytes(2, "big") + field


def _reach_key(family: Family, next_hop: bytes, field_key: bytes) -> bytes:
    """The key of attributes with the next hop of an MP_REACH_NLRI. No field is as long as the first two octets say."""
    return b"\xff\xff%c%c%b%b" % (AFI[family], len(next_hop), next_hop, field_key)


def _nothing_reachable(decoded: DecodedAttributes) -> WireError:
    """RFC 7606 section 5.2: an error that would withdraw, but no route in sight: they may be what was damaged."""
    return WireError(3, MALFORMED_ATTRIBUTE_LIST, what=f"{decoded.treat_as_withdraw}; and the UPDATE announces nothing")


class _Routes(msgspec.Struct, gc=False):
    """Raw prefixes and, with ADD-PATH, their path identifiers."""

    prefixes: list[bytes]
    path_ids: tuple[int, ...] = ()

    def __add__(self, other: _Routes) -> _Routes:
        return _Routes(self.prefixes + other.prefixes, self.path_ids + other.path_ids)


def _routes(octets: bytes, family: Family, session: SessionContext, subcode: int = 10) -> _Routes:
    if family in session.add_path:
        found = nlri_split_add_path(octets, family, subcode)
        return _Routes([raw for _, raw in found], tuple(path_id for path_id, _ in found))
    return _Routes(nlri_split(octets, family, subcode))


def _decode(body: bytes, start: int, end: int, key: bytes, cache: AttributeCache) -> tuple[BulkUpdate, ...]:
    """The general case: attributes not seen before, multiprotocol ones, ADD-PATH, or a session without IPv4."""
    session = cache.session
    field = key[2:]
    tlvs, broken = scan(field)
    reach, unreach, others, broken = _set_apart(tlvs, broken)
    multiprotocol = reach is not None or unreach is not None
    if multiprotocol:
        kept = b"".join([field[first:last] for _, _, _, first, last in others])
        key = _field_key(kept)
    withdrawals: dict[Family, _Routes] = {}
    announcements: list[tuple[Family, _Routes, DecodedAttributes]] = []
    ignored: list[str] = []
    end_of_rib: Family | None = None

    if start > 2 or end < len(body):
        if _IPV4 in session.families:
            if start > 2:
                withdrawals[_IPV4] = _routes(body[2:start], _IPV4, session)
            if end < len(body):
                decoded = _interpret(others, None, broken, key, multiprotocol, cache)
                announcements.append((_IPV4, _routes(body[end:], _IPV4, session), decoded))
        else:
            ignored.append("IPv4 routes, which were not agreed on")
    elif not field:
        end_of_rib = _IPV4

    if unreach is not None:
        family, octets = _read_unreach(unreach[2])
        if family is None or family not in session.families:
            _check_ignored(family, octets, session)
            ignored.append(_not_agreed(unreach))
        elif not octets and len(tlvs) == 1 and broken is None and start == 2 and end == len(body):
            end_of_rib = family
        else:
            routes = _routes(octets, family, session, OPTIONAL_ATTRIBUTE_ERROR)
            withdrawals[family] = withdrawals[family] + routes if family in withdrawals else routes

    if reach is not None:
        family, next_hop, octets = _read_reach(reach[2], session)
        if family is None or family not in session.families:
            _check_ignored(family, octets, session)
            ignored.append(_not_agreed(reach))
        elif octets:
            routes = _routes(octets, family, session, OPTIONAL_ATTRIBUTE_ERROR)
            decoded = _interpret(others, (family, next_hop), broken, key, multiprotocol, cache)
            announcements.append((family, routes, decoded))

    if not announcements and (others or broken or not multiprotocol):
        decoded = _interpret(others, None, broken, key, multiprotocol, cache)
        if decoded.malformed and not ignored:
            raise _nothing_reachable(decoded)
    return _assemble(withdrawals, announcements, end_of_rib, "; ".join(ignored) or None)


def _set_apart(tlvs: list[Tlv], broken: str | None) -> tuple[Tlv | None, Tlv | None, list[Tlv], str | None]:
    """MP_REACH_NLRI, MP_UNREACH_NLRI, all other attributes, and what is wrong with the list."""
    special: dict[int, Tlv] = {}
    others = []
    for tlv in tlvs:
        kind = tlv[1]
        if kind not in _MULTIPROTOCOL:
            others.append(tlv)
            continue
        if kind in special:
            raise WireError(3, MALFORMED_ATTRIBUTE_LIST, what=f"{attribute_name(kind)} is given twice")
        special[kind] = tlv
        flags = tlv[0] & FLAG_MASK
        if flags != OPTIONAL:
            what = f"{attribute_name(kind)}: flags {flags:#04x} are wrong for it"
            broken = what if broken is None else f"{broken}; {what}"
    return special.get(_MP_REACH), special.get(_MP_UNREACH), others, broken


def _read_reach(value: bytes, session: SessionContext) -> tuple[Family | None, bytes, bytes]:
    """Family, next hop and NLRI of an MP_REACH_NLRI (RFC 4760 section 3); no family for one that is not carried."""
    if len(value) < 5 or 5 + value[3] > len(value):
        raise WireError(3, MALFORMED_ATTRIBUTE_LIST, value, "MP_REACH_NLRI ends inside its next hop")
    length = value[3]
    family = family_of(value[0] << 8 | value[1], value[2])
    if family is None:
        return None, b"", b""
    legal = (16, 32) if family is _IPV6 else (4, 16, 32) if family in session.extended_next_hop else (4,)
    if length not in legal:
        what = f"MP_REACH_NLRI: a next hop of {length} octets for {family} routes"
        raise WireError(3, MALFORMED_ATTRIBUTE_LIST, value, what)
    return family, value[4 : 4 + length], value[5 + length :]


def _check_ignored(family: Family | None, octets: bytes, session: SessionContext) -> None:
    """Routes of a family that was not agreed on are passed over, but not when they cannot be read (RFC 7606 5.3)."""
    if family is not None:
        _routes(octets, family, session, OPTIONAL_ATTRIBUTE_ERROR)


def _read_unreach(value: bytes) -> tuple[Family | None, bytes]:
    """Family and NLRI of an MP_UNREACH_NLRI (RFC 4760 section 4)."""
    if len(value) < 3:
        raise WireError(3, OPTIONAL_ATTRIBUTE_ERROR, value, "MP_UNREACH_NLRI ends inside its AFI and SAFI")
    return family_of(value[0] << 8 | value[1], value[2]), value[3:]


def _not_agreed(tlv: Tlv) -> str:
    _, kind, value, _, _ = tlv
    afi, safi = value[0] << 8 | value[1], value[2]
    return f"{attribute_name(kind)} for AFI {afi} SAFI {safi}, which was not agreed on"


def _interpret(
    others: list[Tlv],
    mp_next_hop: tuple[Family, bytes] | None,
    broken: str | None,
    key: bytes,
    multiprotocol: bool,
    cache: AttributeCache,
) -> DecodedAttributes:
    """The verdict on these attributes, from the cache where it can be."""
    next_hop = None
    if mp_next_hop is not None:
        family, octets = mp_next_hop
        key = _reach_key(family, octets, key)
        next_hop = NextHop(octets)
    if broken is not None and multiprotocol:
        # What is broken is not part of the key.
        return interpret(others, cache.session, next_hop=next_hop, broken=broken)
    decoded = cache.find(key)
    if decoded is None:
        decoded = interpret(others, cache.session, next_hop=next_hop, broken=broken, key=key)
        cache.keep(key, decoded)
    return decoded


def _assemble(
    withdrawals: dict[Family, _Routes],
    announcements: list[tuple[Family, _Routes, DecodedAttributes]],
    end_of_rib: Family | None,
    ignored: str | None,
) -> tuple[BulkUpdate, ...]:
    parts = []
    for family, routes, decoded in announcements:
        gone = withdrawals.pop(family, None) or _Routes([])
        if decoded.attributes is None:
            gone, routes = gone + routes, _Routes([])
        parts.append(
            BulkUpdate(
                family,
                gone.prefixes,
                routes.prefixes,
                decoded,
                withdrawn_path_ids=gone.path_ids,
                announced_path_ids=routes.path_ids,
            )
        )
    for family, routes in withdrawals.items():
        parts.append(BulkUpdate(family, routes.prefixes, [], withdrawn_path_ids=routes.path_ids))
    if end_of_rib is not None:
        parts.append(BulkUpdate(end_of_rib, [], [], end_of_rib=True))
    if ignored is not None:
        parts.append(BulkUpdate(_IPV4, [], [], ignored=ignored))
    return tuple(parts)
