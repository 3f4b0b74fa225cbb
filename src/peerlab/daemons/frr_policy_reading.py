"""What can be told of FRR's route-maps and prefix lists without running them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from peerlab.bgp.attributes import Family, Prefix
from peerlab.topology.surround import PolicyReading, Reach

WORDS = {"ip": Family.IPV4, "ipv6": Family.IPV6}


class FrrPolicies:
    """Collects the file's lists and maps line by line, then reads a neighbour's ``in`` and ``out``."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Family, str], list[Sequence[str]]] = {}
        self._maps: dict[str, list[tuple[str, list[Sequence[str]]]]] = {}

    def take_list(self, words: Sequence[str]) -> None:
        """``ip prefix-list NAME [seq N] permit|deny PREFIX [ge N] [le N]``."""
        rest = list(words[3:])
        if rest[:1] == ["seq"]:
            rest = rest[2:]
        self._lists.setdefault((WORDS[words[0]], words[2]), []).append(rest)

    def open_map(self, words: Sequence[str]) -> None:
        """``route-map NAME permit|deny N``: its lines follow."""
        self._maps.setdefault(words[1], []).append((words[2], []))

    def take_map_line(self, name: str, words: Sequence[str]) -> None:
        """A line of the entry that was opened last."""
        self._maps[name][-1][1].append(words)

    def read(self, route_map: str | None, prefix_list: str | None, family: Family) -> PolicyReading:
        """What both together let through; neither: everything."""
        names = tuple(name for name in (route_map, prefix_list) if name is not None)
        reaches, prefixes, default = [Reach.ALL], list[Prefix](), False
        if prefix_list is not None:
            reach, found, default = self._list(prefix_list, family)
            reaches.append(reach)
            prefixes += found
        if route_map is not None:
            reach, found, named_default = self._map(route_map, family)
            reaches.append(reach)
            prefixes += found
            default |= named_default
        least = next(r for r in (Reach.NONE, Reach.SOME, Reach.UNKNOWN, Reach.ALL) if r in reaches)
        kept = tuple(dict.fromkeys(prefixes)) if least is Reach.SOME else ()
        return PolicyReading(reach=least, prefixes=kept, default=default and least is Reach.SOME, names=names)

    def _list(self, name: str, family: Family) -> tuple[Reach, list[Prefix], bool]:
        entries = self._lists.get((family, name))
        if entries is None:
            return Reach.UNKNOWN, [], False
        found: list[Prefix] = []
        default = False
        for entry in entries:
            if entry[:1] != ["permit"] or len(entry) < 2:
                continue
            if entry[1] == "any" or (entry[1].endswith("/0") and "le" in entry):
                return Reach.ALL, [], False
            if entry[1].endswith("/0"):
                default = True
                continue
            try:
                network = ip_network(entry[1], strict=False)
            except ValueError:
                continue
            found.append(Prefix(str(network)))
        return (Reach.SOME if found or default else Reach.NONE), found, default

    def _map(self, name: str, family: Family) -> tuple[Reach, list[Prefix], bool]:
        entries = self._maps.get(name)
        if entries is None:
            return Reach.UNKNOWN, [], False
        some = default = False
        found: list[Prefix] = []
        for verdict, lines in entries:
            matches = [line for line in lines if line[0] == "match"]
            if verdict == "permit" and not matches:
                return Reach.ALL, [], False
            for match in matches if verdict == "permit" else ():
                some = True
                if len(match) > 4 and match[1] in WORDS and match[3] == "prefix-list" and WORDS[match[1]] is family:
                    reach, listed, named_default = self._list(match[4], family)
                    if reach is Reach.ALL and len(matches) == 1:
                        return Reach.ALL, [], False
                    found += listed
                    default |= named_default
        return (Reach.SOME if some else Reach.NONE), found, default
