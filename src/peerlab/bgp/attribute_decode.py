"""Path attributes from octets, with the error handling of RFC 7606.

Three things can come of a malformed attribute, from weak to strong: the attribute is discarded, the routes of
the message are treated as withdrawn, or the session ends (WireError). The strongest that any attribute of the
message asks for is done (RFC 7606 section 3 h).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from peerlab.bgp.address import address_text, is_link_local, is_martian
from peerlab.bgp.as_path_codec import AS_TRANS, CONFEDERATION, decode_as_path, merge_as4_path
from peerlab.bgp.attribute_type import (
    ATTRIBUTE_FLAGS,
    EXTENDED_LENGTH,
    FLAG_MASK,
    OPTIONAL,
    PARTIAL,
    TRANSITIVE,
    AttributeType,
    attribute_name,
)
from peerlab.bgp.attributes import Aggregator, Origin, PathAttributes, RawAttribute, Segment
from peerlab.bgp.communities import communities_text, large_communities_text
from peerlab.bgp.foreign_attribute import FOREIGN
from peerlab.bgp.session_context import SessionContext
from peerlab.errors import WireError

Tlv = tuple[int, int, bytes, int, int]
"""One attribute as on the wire: flags, type, value, and where it starts and ends in the attribute field.

A plain tuple, because millions of them are made on the speaker's receiving path.
"""


class NextHop(NamedTuple):
    """The next hop field of an MP_REACH_NLRI, already known to have a legal length."""

    octets: bytes


class DecodedAttributes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one set of attributes says about the routes that it is announced with.

    ``attributes`` is None exactly when the routes must be treated as withdrawn, for the reason in
    ``treat_as_withdraw``. ``malformed`` tells whether that is due to a malformed attribute rather than a missing
    one. ``discarded`` names every attribute that was dropped, and why. ``key`` is the same octets for the same
    attributes on the same kind of session; it is empty where none was computed.
    """

    attributes: PathAttributes | None
    treat_as_withdraw: str | None = None
    malformed: bool = False
    discarded: tuple[str, ...] = ()
    key: bytes = b""


class _Withdraw(Exception):
    """This attribute makes the routes unusable."""


class _Discard(Exception):
    """This attribute is dropped and the route goes on without it."""


def scan(field: bytes) -> tuple[list[Tlv], str | None]:
    """Cut the attribute field into attributes; the second part says where it breaks off (RFC 7606 section 4)."""
    found: list[Tlv] = []
    at, end = 0, len(field)
    while at < end:
        if at + 3 > end:
            return found, "the attributes end inside a header"
        flags = field[at]
        if flags & EXTENDED_LENGTH:
            if at + 4 > end:
                return found, "the attributes end inside a header"
            value_at = at + 4
            after = value_at + (field[at + 2] << 8 | field[at + 3])
        else:
            value_at = at + 3
            after = value_at + field[at + 2]
        if after > end:
            return found, f"{attribute_name(field[at + 1])} runs past the end of the attributes"
        found.append((flags, field[at + 1], field[value_at:after], at, after))
        at = after
    return found, None


def interpret(
    tlvs: Iterable[Tlv],
    session: SessionContext,
    *,
    next_hop: NextHop | None = None,
    broken: str | None = None,
    key: bytes = b"",
) -> DecodedAttributes:
    """Judge and decode attributes other than MP_REACH_NLRI and MP_UNREACH_NLRI.

    With ``next_hop`` the routes are those of an MP_REACH_NLRI and a NEXT_HOP attribute is ignored (RFC 4760
    section 3). ``broken`` is what ``scan`` found wrong. Raises WireError 3/2 for an unknown well-known attribute.
    """
    fields: dict[str, Any] = {}
    unknown: list[RawAttribute] = []
    discarded: list[str] = []
    reasons = [] if broken is None else [broken]
    seen: set[int] = set()
    for flags, kind, value, _, _ in tlvs:
        if kind in seen:
            discarded.append(f"{attribute_name(kind)}: given twice, the first one counts")
            continue
        seen.add(kind)
        if kind == _NEXT_HOP_TYPE and next_hop is not None:
            continue
        expected = ATTRIBUTE_FLAGS.get(kind)
        if expected is None:
            _keep_unknown(flags, kind, value, unknown)
            continue
        try:
            if flags & FLAG_MASK != expected and not _partial_is_legal(flags, expected):
                raise _flags_error(kind, flags)
            decoder = _DECODERS.get(kind)
            if decoder is not None:
                decoder(value, session, fields)
            else:
                _keep_foreign(flags, kind, value, unknown)
        except _Withdraw as reason:
            reasons.append(f"{attribute_name(kind)}: {reason}")
        except _Discard as reason:
            discarded.append(f"{attribute_name(kind)}: {reason}")
    if next_hop is not None:
        _take_next_hop(next_hop, fields, reasons)
    malformed = bool(reasons)
    if not malformed:
        reasons.extend(f"{name} is missing" for name, field in _MANDATORY if field not in fields)
    if reasons:
        return DecodedAttributes(
            attributes=None,
            treat_as_withdraw="; ".join(reasons),
            malformed=malformed,
            discarded=tuple(discarded),
            key=key,
        )
    if not session.asn4:
        _merge_four_octet(fields)
    if unknown:
        fields["unknown"] = tuple(unknown)
    return DecodedAttributes(attributes=PathAttributes(**fields), discarded=tuple(discarded), key=key)


_NEXT_HOP_TYPE = int(AttributeType.NEXT_HOP)

_MANDATORY = (("ORIGIN", "origin"), ("AS_PATH", "as_path"), ("NEXT_HOP", "next_hop"))
"""RFC 4271 section 5. A missing LOCAL_PREF on an internal session is not fatal: a default takes its place."""

_DISCARD_ON_FLAGS = frozenset({AttributeType.AIGP, AttributeType.LINK_STATE, AttributeType.PREFIX_SID})
"""Attributes whose own document overrules RFC 7606 section 3 c (RFC 7311, 9552, 8669)."""


def _flags_error(kind: int, flags: int) -> Exception:
    what = f"flags {flags & FLAG_MASK:#04x} are wrong for it"
    return _Discard(what) if kind in _DISCARD_ON_FLAGS else _Withdraw(what)


def _partial_is_legal(flags: int, expected: int) -> bool:
    """The Partial bit is free on an optional transitive attribute and wrong on any other (RFC 4271 section 4.3)."""
    return expected == OPTIONAL | TRANSITIVE and flags & FLAG_MASK == expected | PARTIAL


def _keep_unknown(flags: int, kind: int, value: bytes, unknown: list[RawAttribute]) -> None:
    """RFC 4271 section 9: unknown well-known ends the session, transitive is passed on, the rest is ignored."""
    if not flags & OPTIONAL:
        size = len(value).to_bytes(2 if flags & EXTENDED_LENGTH else 1, "big")
        raise WireError(3, 2, bytes([flags, kind]) + size + value, f"well-known attribute {kind} is unknown")
    if flags & TRANSITIVE:
        unknown.append(RawAttribute(flags & FLAG_MASK, kind, value))


def _keep_foreign(flags: int, kind: int, value: bytes, unknown: list[RawAttribute]) -> None:
    """An attribute that is checked but not used: passed on when transitive, like an unknown one."""
    problem, withdraws = FOREIGN[kind](value)
    if problem:
        raise _Withdraw(problem) if withdraws else _Discard(problem)
    if flags & TRANSITIVE:
        unknown.append(RawAttribute(flags & FLAG_MASK, kind, value))


def _origin(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if len(value) != 1:
        raise _Withdraw(f"{len(value)} octets instead of 1")
    if value[0] > 2:
        raise _Withdraw(f"value {value[0]} is undefined")
    fields["origin"] = _ORIGINS[value[0]]


_ORIGINS = tuple(Origin)


def _as_path(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    try:
        path = decode_as_path(value, 4 if session.asn4 else 2)
    except ValueError as error:
        raise _Withdraw(str(error)) from None
    if session.ebgp and any(segment.kind in CONFEDERATION for segment in path):
        # RFC 5065 section 5.3: nothing of a confederation may leave it.
        raise _Withdraw("a confederation segment from another AS")
    fields["as_path"] = path


def _next_hop(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if len(value) != 4:
        raise _Withdraw(f"{len(value)} octets instead of 4")
    if is_martian(value):
        raise _Withdraw(f"{address_text(value)} cannot be a next hop")
    fields["next_hop"] = address_text(value)


def _four_octets(name: str) -> Callable[[bytes, SessionContext, dict[str, Any]], None]:
    def decode(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
        if len(value) != 4:
            raise _Withdraw(f"{len(value)} octets instead of 4")
        fields[name] = int.from_bytes(value, "big")

    return decode


_take_local_pref = _four_octets("local_pref")


def _local_pref(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if session.ebgp:
        raise _Discard("from another AS")
    _take_local_pref(value, session, fields)


def _atomic_aggregate(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if value:
        raise _Discard(f"{len(value)} octets instead of 0")
    fields["atomic_aggregate"] = True


def _read_aggregator(value: bytes, size: int) -> Aggregator:
    if len(value) != size + 4:
        raise _Discard(f"{len(value)} octets instead of {size + 4}")
    asn = int.from_bytes(value[:size], "big")
    if asn == 0:
        raise _Discard("AS 0 (RFC 7607)")
    return Aggregator(asn, address_text(value[size:]))


def _aggregator(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    fields["aggregator"] = _read_aggregator(value, 4 if session.asn4 else 2)


def _as4_aggregator(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    aggregator = _read_aggregator(value, 4)
    if session.asn4:
        raise _Discard("between speakers of four octet AS numbers (RFC 6793 section 4.1)")
    fields["as4_aggregator"] = aggregator


def _as4_path(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    try:
        path = decode_as_path(value, 4)
    except ValueError as error:
        # RFC 6793 section 6 would be content with a discard. Treat-as-withdraw is the stronger answer, and the
        # one that the project's conformance cases (rfc7606_cases.json) ask for.
        raise _Withdraw(str(error)) from None
    if session.asn4:
        raise _Discard("between speakers of four octet AS numbers (RFC 6793 section 4.1)")
    fields["as4_path"] = path


def _merge_four_octet(fields: dict[str, Any]) -> None:
    """RFC 6793 section 4.2.3: AGGREGATOR first, for it may say that both AS4 attributes are stale."""
    aggregator: Aggregator | None = fields.get("aggregator")
    as4_aggregator: Aggregator | None = fields.pop("as4_aggregator", None)
    as4_path: tuple[Segment, ...] | None = fields.pop("as4_path", None)
    if aggregator is not None and as4_aggregator is not None:
        if aggregator.asn != AS_TRANS:
            return
        fields["aggregator"] = as4_aggregator
    if as4_path is not None:
        fields["as_path"] = merge_as4_path(fields["as_path"], as4_path)


def _communities(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    fields["communities"] = communities_text(_units(value, 4))


def _extended_communities(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    value = _units(value, 8)
    fields["extended_communities"] = tuple(sorted({value[at : at + 8] for at in range(0, len(value), 8)}))


def _large_communities(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    fields["large_communities"] = large_communities_text(_units(value, 12))


def _units(value: bytes, size: int) -> bytes:
    if not value or len(value) % size:
        raise _Withdraw(f"{len(value)} octets are not a positive multiple of {size}")
    return value


def _originator_id(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if session.ebgp:
        raise _Discard("from another AS")
    if len(value) != 4:
        raise _Withdraw(f"{len(value)} octets instead of 4")
    fields["originator_id"] = address_text(value)


def _cluster_list(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if session.ebgp:
        raise _Discard("from another AS")
    value = _units(value, 4)
    fields["cluster_list"] = tuple(address_text(value[at : at + 4]) for at in range(0, len(value), 4))


def _otc(value: bytes, session: SessionContext, fields: dict[str, Any]) -> None:
    if len(value) != 4:
        raise _Withdraw(f"{len(value)} octets instead of 4")
    asn = int.from_bytes(value, "big")
    if asn == 0:
        raise _Withdraw("AS 0 (RFC 7607)")
    fields["otc"] = asn


def _take_next_hop(next_hop: NextHop, fields: dict[str, Any], reasons: list[str]) -> None:
    """The next hop of an MP_REACH_NLRI; with 32 octets a link-local one follows (RFC 2545 section 3)."""
    octets = next_hop.octets
    first = octets[:16] if len(octets) == 32 else octets
    if is_martian(first):
        reasons.append(f"MP_REACH_NLRI: {address_text(first)} cannot be a next hop")
        return
    fields["next_hop"] = address_text(first)
    if len(octets) == 32 and is_link_local(octets[16:]):
        fields["link_local_next_hop"] = address_text(octets[16:])


_DECODERS: dict[int, Callable[[bytes, SessionContext, dict[str, Any]], None]] = {
    AttributeType.ORIGIN: _origin,
    AttributeType.AS_PATH: _as_path,
    AttributeType.NEXT_HOP: _next_hop,
    AttributeType.MULTI_EXIT_DISC: _four_octets("med"),
    AttributeType.LOCAL_PREF: _local_pref,
    AttributeType.ATOMIC_AGGREGATE: _atomic_aggregate,
    AttributeType.AGGREGATOR: _aggregator,
    AttributeType.COMMUNITIES: _communities,
    AttributeType.ORIGINATOR_ID: _originator_id,
    AttributeType.CLUSTER_LIST: _cluster_list,
    AttributeType.EXTENDED_COMMUNITIES: _extended_communities,
    AttributeType.AS4_PATH: _as4_path,
    AttributeType.AS4_AGGREGATOR: _as4_aggregator,
    AttributeType.LARGE_COMMUNITIES: _large_communities,
    AttributeType.OTC: _otc,
}
