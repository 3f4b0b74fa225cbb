"""An ``frr.conf`` read for the neighbours of its ``router bgp``, line by line as FRR reads it.

Only the default VRF. A neighbour's settings are its peer group's with its own on top.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network

import msgspec

from peerlab.bgp.attributes import BgpRole, Family, Prefix
from peerlab.daemons.frr_policy_reading import WORDS, FrrPolicies
from peerlab.errors import InputError, Problem
from peerlab.topology.surround import NeighbourReading, PolicyReading, Reach, RouterReading

ROLES = {
    "provider": BgpRole.PROVIDER,
    "rs-server": BgpRole.RS,
    "rs-client": BgpRole.RS_CLIENT,
    "customer": BgpRole.CUSTOMER,
    "peer": BgpRole.PEER,
}
UNICAST = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
LONGEST = {Family.IPV4: 24, Family.IPV6: 48}
"""Prefixes that are longer do not travel (RFC 7454 section 6.1.3)."""
TOP = (
    "access-list", "agentx", "bfd", "bgp", "debug", "enable", "frr", "hostname", "interface", "ip", "ipv6", "key",
    "line", "log", "mpls", "nht", "no", "password", "rpki", "route-map", "router", "router-id", "service", "vni", "vrf",
    "zebra",
)  # fmt: skip
"""Words that begin a line outside of a block (of the blocks' own words, those that could be both are told apart)."""

Settings = dict[str, tuple[str, ...]]


def read_frr(text: str, source: str) -> RouterReading:
    """What the file says of its neighbours. Raises InputError when it has no ``router bgp`` or names nobody."""
    reader = _Reader(source)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and words[0][0] not in "!#":
            reader.take(number, tuple(words))
    return reader.reading()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._name = ""
        self._asn: int | None = None
        self._router_id: str | None = None
        self._block = ""
        self._family: Family | None = None
        self._map = ""
        self._ipv4_by_default = True
        self._policy_required = True
        self._first_as_checked = True
        self._redistributes: set[Family] = set()
        self._policies = FrrPolicies()
        self._addresses: dict[str, list[str]] = {}
        self._interface = ""
        self._networks: list[Prefix] = []
        self._static: list[Prefix] = []
        self._skipped: list[str] = []
        self._said: dict[str, Settings] = {}
        self._said_of: dict[tuple[str, Family], Settings] = {}
        self._lines: dict[str, int] = {}
        self._groups: set[str] = set()

    def take(self, number: int, words: tuple[str, ...]) -> None:
        """One line that says something."""
        first = words[0]
        if self._block == "bgp" and first in ("neighbor", "no", "bgp", "network", "redistribute", "aggregate-address"):
            self._in_bgp(number, words)
        elif self._block in ("bgp", "other af") and first in ("address-family", "exit-address-family"):
            self._enter_family(number, words)
        elif self._block == "map" and first in ("match", "set", "on-match", "call", "continue", "description"):
            self._policies.take_map_line(self._map, words)
        elif self._block == "interface" and first in WORDS and words[1:2] == ("address",) and len(words) > 2:
            self._own_address(words[2])
        elif first in ("exit", "end"):
            self._block = ""
        elif first in TOP:
            self._at_top(number, words)

    def _at_top(self, number: int, words: tuple[str, ...]) -> None:
        self._block = ""
        match words:
            case ("hostname", name, *_):
                self._name = name
            case ("router", "bgp", asn, *rest):
                if rest[:1] in (["vrf"], ["view"]):
                    self._skipped.append(f"line {number}: {' '.join(words)}: only the default VRF is read")
                elif asn.isdecimal() and 0 < int(asn[:11]) < 1 << 32:
                    self._block, self._family, self._asn = "bgp", None, int(asn)
            case ("interface", name, *_):
                self._block, self._interface = "interface", name
            case ("route-map", name, "permit" | "deny", *_):
                self._block, self._map = "map", name
                self._policies.open_map(words)
            case ("ip" | "ipv6", "prefix-list", _, _, *_):
                self._policies.take_list(words)
            case ("ip" | "ipv6", "route", prefix, target, *_) if target in ("Null0", "blackhole", "reject"):
                self._originate(number, prefix, self._static)
            case ("ip" | "ipv6", "router-id", address, *_) | ("router-id", address, *_):
                self._router_id = self._router_id or _global(address)

    def _own_address(self, text: str) -> None:
        try:
            interface = ip_interface(text)
        except ValueError:
            return
        if not interface.ip.is_link_local:
            self._addresses.setdefault(self._interface, []).append(str(interface))

    def _originate(self, number: int, text: str, into: list[Prefix]) -> None:
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            return
        if network.prefixlen > LONGEST[Family.IPV6 if network.version == 6 else Family.IPV4]:
            self._skipped.append(f"line {number}: {network} is too long to be announced to others")
        elif network.prefixlen:
            into.append(Prefix(str(network)))

    def _enter_family(self, number: int, words: tuple[str, ...]) -> None:
        self._block, self._family = "bgp", None
        if words[0] == "exit-address-family":
            return
        self._family = UNICAST.get(words[1]) if words[1:] and words[2:3] in ((), ("unicast",)) else None
        if self._family is None:
            self._block = "other af"
            self._skipped.append(f"line {number}: {' '.join(words)}: only IPv4 and IPv6 unicast are read")

    def _in_bgp(self, number: int, words: tuple[str, ...]) -> None:
        match words:
            case ("bgp", "router-id", address, *_):
                self._router_id = _global(address)
            case ("bgp", "listen", "range", *_):
                self._skipped.append(f"line {number}: {' '.join(words)}: nobody is named")
            case ("no", "bgp", "default", "ipv4-unicast"):
                self._ipv4_by_default = False
            case ("no", "bgp", "ebgp-requires-policy"):
                self._policy_required = False
            case ("no", "bgp", "enforce-first-as"):
                self._first_as_checked = False
            case ("network" | "aggregate-address", prefix, *_):
                self._originate(number, prefix, self._networks)
            case ("redistribute", "static", *_):
                self._redistributes.add(self._family or Family.IPV4)
            case ("neighbor", who, *rest) if rest:
                self._neighbour_line(number, who, tuple(rest), stated=True)
            case ("no", "neighbor", who, *rest) if rest:
                self._neighbour_line(number, who, tuple(rest), stated=False)

    def _neighbour_line(self, number: int, who: str, words: tuple[str, ...], *, stated: bool) -> None:
        self._lines.setdefault(who, number)
        if words[0] == "peer-group" and len(words) == 1:
            self._groups.add(who)
            return
        directed = words[0] in ("route-map", "prefix-list", "filter-list", "distribute-list") and len(words) > 2
        key = f"{words[0]} {words[2]}" if directed else words[0]
        if self._family is None:
            into = self._said.setdefault(who, {})
            if words[0] == "interface":
                key, rest = "interface", words[1:]
                for inner in ("remote-as", "peer-group"):
                    if inner in rest[:-1]:
                        into[inner] = (rest[rest.index(inner) + 1],)
        else:
            into = self._said_of.setdefault((who, self._family), {})
        if directed and self._family is None:
            into = self._said_of.setdefault((who, Family.IPV4), {})
        into[key] = words[1:] if stated else ("no",)

    # -- after the last line -----------------------------------------------------------------------------------------

    def reading(self) -> RouterReading:
        if self._asn is None:
            problem = Problem(self._source, "has no `router bgp` of the default VRF", "name a router's frr.conf")
            raise InputError([problem])
        found = [self._neighbour(who) for who in self._lines if who not in self._groups]
        neighbours = tuple(one for one in found if one is not None)
        if not neighbours:
            said = "; ".join(self._skipped)
            what = f"names no neighbour that could be used ({said})" if said else "names no BGP neighbour"
            raise InputError([Problem(self._source, what, "write `neighbor ADDRESS remote-as ASN`")])
        static = [p for p in self._static if (Family.IPV6 if ":" in p else Family.IPV4) in self._redistributes]
        return RouterReading(
            daemon="frr",
            source=self._source,
            name=self._name,
            asn=self._asn,
            router_id=self._router_id,
            addresses=tuple(address for one in self._addresses.values() for address in one),
            originated=tuple(dict.fromkeys([*self._networks, *static])),
            neighbours=neighbours,
            skipped=tuple(self._skipped),
        )

    def _neighbour(self, who: str) -> NeighbourReading | None:
        own = self._said.get(who, {})
        groups = [own.get("peer-group", ()), *self._of_families(who, "peer-group")]
        group = next((words[0] for words in groups if words), "")
        said = ChainMap(own, self._said.get(group, {}))
        asn, internal = self._remote(said.get("remote-as", ()))
        line = self._lines[who]
        if asn is None and said.get("remote-as", ("",))[0] != "external":
            self._skipped.append(f"line {line}: neighbor {who} has no remote-as that can be read")
            return None
        address = _global(who)
        if address is None:
            self._skipped.append(f"line {line}: neighbor {who} has no global address; one is made up")
        family = None if address is None else Family.IPV6 if ":" in address else Family.IPV4
        of = {f: ChainMap(self._said_of.get((who, f), {}), self._said_of.get((group, f), {})) for f in Family}
        carries = tuple(f for f in Family if self._active(of[f], f, family))
        source = said.get("update-source", ("",))[0]
        policies = {
            way: {f: self._policy(of[f], f, way, internal) for f in carries} for way in ("in", "out")
        }
        if "default-originate" in of[family or Family.IPV4]:
            policies["out"] = {f: msgspec.structs.replace(p, default=True) for f, p in policies["out"].items()}
        role = said.get("local-role", ())
        hold = said.get("timers", ())
        return NeighbourReading(
            name=who,
            line=line,
            asn=asn,
            address=address,
            family=family,
            carries=carries,
            keeps=tuple(f for f in carries if _is_on(of[f], "soft-reconfiguration")),
            local_asn=_asn(said.get("local-as", ("",))[0]) or self._asn,
            local_address=_global(source) or self._of_interface(source, family),
            internal=internal,
            description=" ".join(said.get("description", ())),
            groups=(group,) if group else (),
            role=ROLES.get(role[0]) if role else None,
            role_strict="strict-mode" in role,
            route_server_client=any(_is_on(of[f], "route-server-client") for f in Family),
            reflector_client=any(_is_on(of[f], "route-reflector-client") for f in Family),
            unchecked_first_as=not self._first_as_checked or said.get("enforce-first-as") == ("no",),
            multihop=_is_on(said, "ebgp-multihop"),
            passive=_is_on(said, "passive"),
            disabled=_is_on(said, "shutdown"),
            gtsm=_is_on(said, "ttl-security"),
            bfd=_is_on(said, "bfd"),
            md5=(said.get("password") or (None,))[0] if _is_on(said, "password") else None,
            hold_time=int(hold[1]) if len(hold) == 2 and hold[1].isdecimal() and len(hold[1]) < 6 else None,
            limits={
                f: int(of[f]["maximum-prefix"][0])
                for f in Family
                if of[f].get("maximum-prefix", ("",))[0].isdecimal() and len(of[f]["maximum-prefix"][0]) < 10
            },
            imports=policies["in"],
            exports=policies["out"],
        )

    def _remote(self, words: Sequence[str]) -> tuple[int | None, bool]:
        if words[:1] == ("internal",):
            return self._asn, True
        asn = _asn(words[0]) if words else None
        return asn, asn == self._asn

    def _of_families(self, who: str, key: str) -> list[tuple[str, ...]]:
        return [self._said_of.get((who, family), {}).get(key, ()) for family in Family]

    def _active(self, said: ChainMap[str, tuple[str, ...]], family: Family, own: Family | None) -> bool:
        """Whether the family is exchanged: when it is activated, IPv4 by default.

        FRR's default is IPv4 towards IPv6 addresses too, where nobody means it.
        """
        stated = said.get("activate")
        if stated is not None:
            return stated != ("no",)
        return family is Family.IPV4 and self._ipv4_by_default and own is not Family.IPV6

    def _policy(
        self, said: ChainMap[str, tuple[str, ...]], family: Family, way: str, internal: bool
    ) -> PolicyReading:
        names = [(said.get(f"{kind} {way}") or (None,))[0] for kind in ("route-map", "prefix-list")]
        route_map, prefix_list = (None if name == "no" else name for name in names)
        other = [key for key in ("filter-list", "distribute-list") if f"{key} {way}" in said]
        if route_map is None and prefix_list is None:
            if other:
                return PolicyReading(names=tuple(said[f"{key} {way}"][0] for key in other))
            nothing = self._policy_required and not internal
            return PolicyReading(reach=Reach.NONE if nothing else Reach.ALL)
        return self._policies.read(route_map, prefix_list, family)

    def _of_interface(self, name: str, family: Family | None) -> str | None:
        for text in self._addresses.get(name, ()):
            if (":" in text) is (family is Family.IPV6):
                return text.partition("/")[0]
        return None


def _is_on(said: ChainMap[str, tuple[str, ...]], key: str) -> bool:
    return key in said and said[key] != ("no",)


def _asn(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < int(text[:11]) < 1 << 32 else None


def _global(text: str) -> str | None:
    """An address in canonical text, unless it is none or link-local."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if address.is_link_local else str(address)
