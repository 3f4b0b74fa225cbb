"""OpenBGPD's record of received UPDATEs (MRT, RFC 6396), read for the one thing that OpenBGPD does not see itself.

OpenBGPD 7.7 takes End-of-RIB of IPv6 for an UPDATE without routes when roles were announced (RFC 9234).
"""

from __future__ import annotations

from peerlab.bgp.attributes import Address, Family
from peerlab.bgp.config import PeerConfig
from peerlab.bgp.framing import HEADER_LENGTH

_HEADER = 12
_BGP4MP, _BGP4MP_ET = 16, 17
_MICROSECONDS = 4
_PEERS = {0: 8, 1: 8, 4: 12, 5: 12}
"""Octets before the addresses of a BGP4MP record, by subtype of a state change or message, with 2 or 4-octet AS."""
_MESSAGES = (1, 4)
_ADDRESSES = {1: 8, 2: 32}
_END_OF_RIB_V6 = (bytes.fromhex("0000000680 0f03 000201"), bytes.fromhex("00000007 900f0003 000201"))
"""RFC 4724 section 2: nothing but an empty MP_UNREACH_NLRI, its length in one octet or in two."""


def file_name(peer: Address) -> str:
    """Where UPDATEs of that neighbour are kept, in the node's directory."""
    return f"updates-{peer.replace(':', '-')}.mrt"


def is_kept(peer: PeerConfig) -> bool:
    """Whether UPDATEs of a session are kept."""
    return peer.family is Family.IPV6 and peer.local_role is not None and peer.local_as != peer.peer_as


def ends_of_rib(octets: bytes) -> tuple[int, int]:
    """How many records tell of End-of-RIB of IPv6, and how many octets all whole records are.

    Raises ValueError for what is no such record.
    """
    found = at = 0
    while len(octets) - at >= _HEADER:
        kind, subtype = int.from_bytes(octets[at + 4 : at + 6], "big"), int.from_bytes(octets[at + 6 : at + 8], "big")
        length = int.from_bytes(octets[at + 8 : at + 12], "big")
        if kind not in (_BGP4MP, _BGP4MP_ET) or subtype not in _PEERS:
            raise ValueError(f"these octets begin no record of BGP messages: {octets[at : at + _HEADER].hex()}")
        end = at + _HEADER + length
        if len(octets) < end:
            break
        if subtype in _MESSAGES:
            found += _message(octets[at + _HEADER : end], kind, subtype) in _END_OF_RIB_V6
        at = end
    return found, at


def _message(body: bytes, kind: int, subtype: int) -> bytes:
    """A BGP message without its header."""
    start = _PEERS[subtype] + (_MICROSECONDS if kind == _BGP4MP_ET else 0)
    family = int.from_bytes(body[start - 2 : start], "big")
    return body[start + _ADDRESSES.get(family, 0) + HEADER_LENGTH :]
