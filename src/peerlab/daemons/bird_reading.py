"""A ``bird.conf`` (BIRD 2, tolerantly BIRD 1) read for its neighbours: protocols, templates, defines, filters.

Nothing is run. What decides a neighbour's nature is taken as it stands; the rest of the file is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from peerlab.bgp.attributes import BgpRole, Family, Prefix
from peerlab.daemons.bird_policy_reading import BirdPolicies, shortest
from peerlab.daemons.bird_statement import Statement, Token, statements
from peerlab.errors import InputError, Problem
from peerlab.topology.surround import NeighbourReading, PolicyReading, RouterReading

CHANNELS = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
ROLES = {
    "provider": BgpRole.PROVIDER,
    "rs_server": BgpRole.RS,
    "rs_client": BgpRole.RS_CLIENT,
    "customer": BgpRole.CUSTOMER,
    "peer": BgpRole.PEER,
}
LONGEST = {Family.IPV4: 24, Family.IPV6: 48}
"""Prefixes that are longer do not travel (RFC 7454 section 6.1.3)."""
DEEPEST = 8
"""Templates of templates, names that stand for names."""


def read_bird(text: str, source: str) -> RouterReading:
    """What the file says of its neighbours. Raises InputError: not BIRD's, an include, no neighbour at all."""
    tree = statements(text, source)
    includes = [statement for statement in tree if statement.starts("include")]
    if includes:
        raise InputError(
            Problem(
                f"{source}:{statement.line}",
                f"includes {' '.join(statement.texts[1:])}, and other files are not read",
                "put its text in the place of this line and name the whole file",
            )
            for statement in includes
        )
    return _Reader(tree, source).reading()


class _Reader:
    def __init__(self, tree: Sequence[Statement], source: str) -> None:
        self._source = source
        self._tree = tree
        self._skipped: list[str] = []
        self._defines: dict[str, Sequence[Token]] = {}
        for statement in tree:
            if statement.starts("define") and len(statement.words) > 3:
                self._defines[statement.texts[1]] = statement.words[3:]
        filters = {s.texts[1]: s.block for s in tree if s.starts("filter") and len(s.words) > 1 and s.block is not None}
        self._templates = {s.texts[2]: s for s in tree if s.starts("template", "bgp") and len(s.words) > 2}
        self._policies = BirdPolicies(filters, self._defines)

    def reading(self) -> RouterReading:
        found = [self._neighbour(s) for s in self._tree if s.starts("protocol", "bgp") and s.block is not None]
        neighbours = tuple(one for one in found if one is not None)
        if not neighbours:
            said = "; ".join(self._skipped)
            what = f"names no neighbour that could be used ({said})" if said else "names no BGP neighbour"
            remedy = "name a configuration with `protocol bgp … { neighbor … as …; }`"
            raise InputError([Problem(self._source, what, remedy)])
        numbers = [one.local_asn for one in neighbours if one.local_asn is not None]
        if not numbers:
            problem = Problem(self._source, "never says its own AS number", "write `local as ASN;` in the protocols")
            raise InputError([problem])
        return RouterReading(
            daemon="bird",
            source=self._source,
            name=next((s.texts[1] for s in self._tree if s.starts("hostname") and len(s.words) > 1), ""),
            asn=max(numbers, key=numbers.count),
            router_id=self._router_id(),
            addresses=(),
            originated=tuple(dict.fromkeys(self._originated())),
            neighbours=neighbours,
            skipped=tuple(self._skipped),
        )

    def _skip(self, line: int, what: str) -> None:
        self._skipped.append(f"line {line}: {what}")

    def _meaning(self, word: str, depth: int = 0) -> str:
        """What a word stands for: a name of ``define`` is replaced by its single value."""
        value = self._defines.get(word, ())
        return self._meaning(value[0].text, depth + 1) if len(value) == 1 and depth < DEEPEST else word

    def _number(self, words: Sequence[str], after: str) -> int | None:
        if after in words[:-1]:
            text = self._meaning(words[words.index(after) + 1])
            if text.isdecimal() and 0 < int(text[:11]) < 1 << 32:
                return int(text)
        return None

    def _address(self, words: Iterable[str]) -> str | None:
        for word in words:
            try:
                return str(ip_address(self._meaning(word)))
            except ValueError:
                continue
        return None

    def _router_id(self) -> str | None:
        for statement in self._tree:
            if statement.starts("router", "id"):
                address = self._address(statement.texts[2:])
                return address if address and ":" not in address else None
        return None

    def _originated(self) -> Iterable[Prefix]:
        """Static routes that lead nowhere: how an AS announces its own aggregates."""
        for statement in self._tree:
            if not statement.starts("protocol", "static"):
                continue
            for route in statement.block or ():
                words = route.texts
                if not route.starts("route") or not {"blackhole", "reject", "unreachable", "prohibit"} & set(words):
                    continue
                prefix = shortest(self._meaning(words[1]))
                if prefix is None or prefix.endswith("/0"):
                    continue
                if int(prefix.partition("/")[2]) > LONGEST[Family.IPV6 if ":" in prefix else Family.IPV4]:
                    self._skip(route.line, f"{prefix} is too long to be announced to others")
                else:
                    yield prefix

    def _inherited(self, statement: Statement) -> tuple[list[Statement], tuple[str, ...]]:
        """The protocol's statements after those of its templates, and the templates' names, nearest first."""
        found = list(statement.block or ())
        names: list[str] = []
        words = statement.texts
        while "from" in words[:-1] and len(names) < DEEPEST:
            name = words[words.index("from") + 1]
            template = self._templates.get(name)
            if template is None or name in names:
                self._skip(statement.line, f"the template {name} is not in this file")
                break
            names.append(name)
            found = [*(template.block or ()), *found]
            words = template.texts
        return found, tuple(names)

    def _neighbour(self, protocol: Statement) -> NeighbourReading | None:
        named = len(protocol.words) > 2 and protocol.texts[2] != "from"
        label = protocol.texts[2] if named else f"line {protocol.line}"
        inside, groups = self._inherited(protocol)
        said: dict[str, Statement] = {}
        for statement in inside:
            said[_key(statement.texts)] = statement
        neighbour = said["neighbor"].texts[1:] if "neighbor" in said else ()
        if not neighbour or "range" in neighbour:
            why = "takes whoever comes from a range" if neighbour else "has no neighbor statement"
            self._skip(protocol.line, f"protocol {label} {why}: nobody is named")
            return None
        local = said["local"].texts[1:] if "local" in said else ()
        local_asn = self._number(local, "as")
        internal = "internal" in neighbour
        asn = local_asn if internal else self._number(neighbour, "as")
        if asn is None and "external" not in neighbour:
            said_of_it = " ".join(neighbour)
            self._skip(protocol.line, f"protocol {label}: the neighbour's AS number cannot be read: {said_of_it!r}")
            return None
        address = self._address(neighbour)
        if address is not None and ip_address(address).is_link_local:
            address = None
        if address is None:
            self._skip(protocol.line, f"protocol {label} names no global address; one is made up")
        family = None if address is None else Family.IPV6 if ":" in address else Family.IPV4
        source = said["source"].texts[1:] if "source" in said else ()
        role = said["local role"].texts[2:3] if "local role" in said else ()
        channels = self._channels(inside, family)
        policies = {direction: self._directions(channels, direction) for direction in ("import", "export")}
        return NeighbourReading(
            name=label,
            line=protocol.line,
            asn=asn,
            address=address,
            family=family,
            carries=tuple(channels),
            keeps=tuple(family for family, channel in channels.items() if _has_import_table(channel)),
            local_asn=local_asn,
            local_address=self._address(local) or self._address(source),
            internal=internal or asn == local_asn,
            description=said["description"].texts[1] if len(said.get("description", protocol).texts) == 2 else "",
            groups=groups,
            role=ROLES.get(role[0]) if role else None,
            role_strict=_on(said, "require roles"),
            route_server_client=_on(said, "rs client"),
            reflector_client=_on(said, "rr client"),
            multihop=_on(said, "multihop"),
            passive=_on(said, "passive"),
            disabled=_on(said, "disabled"),
            gtsm=_on(said, "ttl security"),
            bfd=_on(said, "bfd") or ("bfd" in said and said["bfd"].block is not None),
            md5=said["password"].texts[1] if len(said.get("password", protocol).texts) == 2 else None,
            hold_time=self._number(said["hold time"].texts, "time") if "hold time" in said else None,
            limits=self._limits(channels),
            imports=policies["import"],
            exports=policies["export"],
        )

    def _channels(self, inside: Sequence[Statement], family: Family | None) -> dict[Family, list[Statement]]:
        """What stands in the channels; templates' first. BIRD 1 has none: its statements are the address's family."""
        channels: dict[Family, list[Statement]] = {}
        for statement in inside:
            known = CHANNELS.get(statement.texts[0]) if len(statement.words) == 1 else None
            if known is not None:
                channels.setdefault(known, []).extend(statement.block or ())
            elif statement.texts[:1] in (("import",), ("export",)) and family is not None:
                channels.setdefault(family, []).append(statement)
        return channels

    def _directions(self, channels: dict[Family, list[Statement]], direction: str) -> dict[Family, PolicyReading]:
        found: dict[Family, PolicyReading] = {}
        for family, channel in channels.items():
            for statement in channel:
                word = statement.texts[1:2]
                if statement.starts(direction) and word not in (("limit",), ("keep",), ("table",)):
                    found[family] = self._policies.read(statement)
        return found

    def _limits(self, channels: dict[Family, list[Statement]]) -> dict[Family, int]:
        found: dict[Family, int] = {}
        for family, channel in channels.items():
            for statement in channel:
                if statement.starts("import", "limit") or statement.starts("receive", "limit"):
                    limit = self._number(statement.texts, "limit")
                    if limit is not None:
                        found[family] = limit
        return found


def _key(words: Sequence[str]) -> str:
    """By what a later statement replaces an earlier one: its first word, or two where one does not tell."""
    if words[:1] in (("rs",), ("rr",), ("hold",), ("ttl",), ("require",)) or words[:2] == ("local", "role"):
        return " ".join(words[:2])
    return words[0] if words else ""


def _has_import_table(channel: Sequence[Statement]) -> bool:
    stated = [one.texts[-1] for one in channel if one.starts("import", "table")]
    return bool(stated) and stated[-1] not in ("off", "no", "false")


def _on(said: dict[str, Statement], key: str) -> bool:
    """Whether a switch is stated and not off."""
    return key in said and said[key].texts[-1] not in ("off", "no", "false") and said[key].block is None
