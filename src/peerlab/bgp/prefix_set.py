"""A set of prefixes with ranges of lengths, asked by text or by raw NLRI (as policies and filters need it)."""

from __future__ import annotations

from collections.abc import Iterable

from peerlab.bgp.address import address_bytes
from peerlab.bgp.attributes import Address, Family, Prefix
from peerlab.bgp.nlri import BITS, family_of_prefix, nlri_bytes, nlri_text
from peerlab.bgp.policy import PrefixRange


class PrefixSet:
    """Prefixes built from ranges; immutable. A question costs one dictionary look-up per distinct base length.

    A range without bounds holds exactly its prefix; ``ge`` alone opens it up to the host, ``le`` alone begins at
    its own length. A range of which no length is left raises ValueError.
    """

    def __init__(self, ranges: Iterable[PrefixRange]) -> None:
        self.ranges = tuple(ranges)
        self._tables: dict[Family, dict[int, dict[int, list[tuple[int, int]]]]] = {
            Family.IPV4: {},
            Family.IPV6: {},
        }
        for one in self.ranges:
            self._add(one)
        # Longest base first, so that the first hit of ``longest`` is the answer.
        for family, table in self._tables.items():
            self._tables[family] = dict(sorted(table.items(), reverse=True))

    @classmethod
    def exactly(cls, prefixes: Iterable[Prefix]) -> PrefixSet:
        """A set of these prefixes and no others."""
        return cls(PrefixRange(prefix=prefix) for prefix in prefixes)

    @classmethod
    def covering(cls, prefixes: Iterable[Prefix]) -> PrefixSet:
        """A set of these prefixes and everything more specific, down to hosts."""
        return cls(PrefixRange(prefix=prefix, ge=int(prefix.rpartition("/")[2])) for prefix in prefixes)

    def _add(self, one: PrefixRange) -> None:
        raw = nlri_bytes(one.prefix)
        family = family_of_prefix(one.prefix)
        base, bits = raw[0], BITS[family]
        low = base if one.ge is None else one.ge
        high = one.le if one.le is not None else (base if one.ge is None else bits)
        if not base <= low <= high <= bits:
            raise ValueError(f"{one.prefix} with lengths {low} to {high}: they have to lie between {base} and {bits}")
        by_network = self._tables[family].setdefault(base, {})
        by_network.setdefault(_number(raw, bits) >> bits - base, []).append((low, high))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, prefix: object) -> bool:
        return isinstance(prefix, str) and self.contains(Prefix(prefix))

    def contains(self, prefix: Prefix) -> bool:
        """Whether this prefix lies in one of the ranges. Raises ValueError when it is no prefix."""
        return self.contains_raw(nlri_bytes(prefix), family_of_prefix(prefix))

    def contains_raw(self, raw: bytes, family: Family) -> bool:
        """As ``contains``, for raw NLRI."""
        bits = BITS[family]
        length = raw[0]
        number = _number(raw, bits)
        for base, networks in self._tables[family].items():
            if base <= length:
                for low, high in networks.get(number >> bits - base, ()):
                    if low <= length <= high:
                        return True
        return False

    def contains_address(self, address: Address) -> bool:
        """Whether an address lies under one of the prefixes, whatever their ranges of lengths."""
        return self.longest_address(address) is not None

    def longest_address(self, address: Address) -> Prefix | None:
        """The longest prefix of the set over this address. Raises ValueError when it is no address."""
        octets = address_bytes(address)
        return self.longest_raw(bytes([len(octets) * 8]) + octets, Family.IPV4 if len(octets) == 4 else Family.IPV6)

    def longest(self, prefix: Prefix) -> Prefix | None:
        """The longest prefix of the set that equals or covers this one, whatever its range of lengths."""
        return self.longest_raw(nlri_bytes(prefix), family_of_prefix(prefix))

    def longest_raw(self, raw: bytes, family: Family) -> Prefix | None:
        """As ``longest``, for raw NLRI."""
        bits = BITS[family]
        number = _number(raw, bits)
        for base, networks in self._tables[family].items():
            if base <= raw[0] and number >> bits - base in networks:
                network = (number >> bits - base << bits - base).to_bytes(bits // 8, "big")
                return nlri_text(bytes([base]) + network[: base + 7 >> 3], family)
        return None


def _number(raw: bytes, bits: int) -> int:
    """The address of a raw prefix as a number of ``bits`` bits."""
    return int.from_bytes(raw[1:], "big") << bits - 8 * (len(raw) - 1)
