"""First pass, wires: links, exchanges and the options of the sessions on them."""

from __future__ import annotations

from collections.abc import Iterator

from peerlab.topology.census import Census
from peerlab.topology.document import BfdWords, EndWords, LinkWords, SessionWords
from peerlab.topology.mistake import Mistakes, Path, did_you_mean
from peerlab.topology.model import AsRole

HOLD_TIME_LIMIT = 65535
PREPEND_LIMIT = 10
RESTART_TIME_LIMIT = 4095
BFD_INTERVALS = (10, 60_000)
"""Milliseconds that a router process can keep to, and that still find a failure before BGP does."""
BFD_MULTIPLIER_LIMIT = 255
MD5_LIMIT = 80
"""Octets of a TCP-MD5 key that Linux accepts."""


def check_wires(census: Census, mistakes: Mistakes) -> None:
    """Note every mistake in links, exchanges and session options."""
    _check_links(census, mistakes)
    _check_exchanges(census, mistakes)
    _check_sessions(census, mistakes)


def _check_links(census: Census, mistakes: Mistakes) -> None:
    for position, link in enumerate(census.document.links):
        path: Path = ("links", position)
        if not mistakes.known_pair(link.between, census.router_as, "router", (*path, "between")):
            continue
        left, right = (census.router_as[router] for router in link.between)
        if left == right:
            mistakes.add(
                (*path, "between"), f"both routers belong to {left!r}", f"move the link to ases.{left}.backbone"
            )
        elif census.relation(left, right) is None:
            mistakes.add(
                (*path, "between"),
                f"nothing says what {left!r} and {right!r} are to each other",
                f"add providers: [{right}] or peers: [{right}] to ases.{left}",
            )
        _check_capacity(link, path, mistakes)


def _check_capacity(link: LinkWords, path: Path, mistakes: Mistakes) -> None:
    if link.bandwidth_mbps is not None and link.bandwidth_mbps < 1:
        mistakes.add((*path, "bandwidth-mbps"), f"{link.bandwidth_mbps} is no bandwidth", "use 1 or more")
    if link.delay_ms is not None and link.delay_ms < 0:
        mistakes.add((*path, "delay-ms"), f"{link.delay_ms:g} is no delay", "use 0 or more")


def _check_exchanges(census: Census, mistakes: Mistakes) -> None:
    document = census.document
    for name, exchange in document.exchanges.items():
        at: Path = ("exchanges", name)
        if exchange.metro is not None:
            mistakes.known(exchange.metro, document.metros, "metro", (*at, "metro"))
        if exchange.operator is not None:
            operators = [n for n, a in document.ases.items() if a.role is AsRole.IXP]
            mistakes.known(exchange.operator, operators, "AS of role ixp called", (*at, "operator"))
        for router, member in exchange.members.items():
            path = (*at, "members", router)
            mistakes.known(router, census.router_as, "router", path)
            if member.route_servers and not census.route_servers(exchange):
                mistakes.add(
                    (*path, "route-servers"),
                    f"there are no route servers on {name!r}",
                    "state operator: of the exchange",
                )
        for position, pair in enumerate(exchange.bilateral):
            path = (*at, "bilateral", position, "between")
            if not mistakes.known_pair(pair.between, document.ases, "AS", path):
                continue
            for side, as_name in enumerate(pair.between):
                if not census.members_of(exchange, as_name):
                    mistakes.add(
                        (*path, side),
                        f"no router of {as_name!r} has a port on {name!r}, so these two share no link",
                        f"add one to exchanges.{name}.members",
                    )
            if census.relation(*pair.between) is None:
                first, second = pair.between
                mistakes.add(
                    path,
                    f"nothing says what {first!r} and {second!r} are to each other",
                    f"add peers: [{second}] to ases.{first}",
                )
            elif census.cloud in pair.between:
                mistakes.add(path, "sessions with Microsoft are asked for", "write a peering of kind Exchange instead")


def _session_words(census: Census) -> Iterator[tuple[Path, SessionWords, set[str]]]:
    """Every ``session:`` block: its place, itself, and the routers that may stand under ``ends``."""
    document = census.document
    for position, link in enumerate(document.links):
        yield ("links", position, "session"), link.session, set(link.between)
    for name, exchange in document.exchanges.items():
        servers = set(census.route_servers(exchange))
        for router, member in exchange.members.items():
            yield ("exchanges", name, "members", router, "session"), member.session, {router, *servers}
        for position, pair in enumerate(exchange.bilateral):
            routers = {r for as_name in pair.between for r in census.members_of(exchange, as_name)}
            yield ("exchanges", name, "bilateral", position, "session"), pair.session, routers
    for name, peering in document.peerings.items():
        for label, connection in peering.connections.items():
            lan = census.exchange_of(connection)
            routers = set(connection.between or ()) | (set(census.ports(lan)) if lan else set())
            yield ("peerings", name, "connections", label, "session"), connection.session, routers


def _check_sessions(census: Census, mistakes: Mistakes) -> None:
    _check_hold_time(census.document.hold_time, ("hold-time",), mistakes)
    for path, words, routers in _session_words(census):
        if words.hold_time is not None:
            _check_hold_time(words.hold_time, (*path, "hold-time"), mistakes)
        if words.md5 is not None and not 1 <= len(words.md5.encode()) <= MD5_LIMIT:
            mistakes.add(
                (*path, "md5"), f"{len(words.md5.encode())} octets are no TCP-MD5 key", f"use 1 to {MD5_LIMIT}"
            )
        if words.bfd is not None:
            voice = path[0] == "peerings" and census.is_for_voice(f"{path[1]}/{path[3]}")
            _check_bfd(words.bfd, (*path, "bfd"), voice, mistakes)
        if words.graceful_restart is not None and not 1 <= words.graceful_restart.time <= RESTART_TIME_LIMIT:
            what = f"a restart time of {words.graceful_restart.time} s does not fit 12 bits (RFC 4724 section 3)"
            mistakes.add((*path, "graceful-restart", "time"), what, f"use 1 to {RESTART_TIME_LIMIT}")
        if not words.families or len(set(words.families)) < len(words.families):
            mistakes.add((*path, "families"), "each family once, at least one", "write [ipv4, ipv6]")
        for router, end in words.ends.items():
            at = (*path, "ends", router)
            if router not in routers:
                what = f"{router!r} is at neither end, it shares no link with this session"
                mistakes.add(at, what, did_you_mean(router, sorted(routers)))
            else:
                _check_policy_options(census, router, end, at, mistakes)
            _check_values(end, at, mistakes)
        stated = {router: end.passive for router, end in words.ends.items() if end.passive is not None}
        if len(stated) > 1 and len(set(stated.values())) == 1:
            word = "listen" if all(stated.values()) else "connect"
            mistakes.add((*path, "ends"), f"both ends only {word}", "let one end be passive: true and leave the other")


def _check_bfd(bfd: BfdWords, at: Path, voice: bool, mistakes: Mistakes) -> None:
    low, high = BFD_INTERVALS
    if not low <= bfd.interval_ms <= high:
        mistakes.add((*at, "interval-ms"), f"{bfd.interval_ms} ms is not sensible", f"use {low} to {high}")
    if not 1 <= bfd.multiplier <= BFD_MULTIPLIER_LIMIT:
        what = f"{bfd.multiplier} does not fit a control packet (RFC 5880 section 4.1)"
        mistakes.add((*at, "multiplier"), what, f"use 1 to {BFD_MULTIPLIER_LIMIT}")
    if voice and bfd.strict is False:
        mistakes.add((*at, "strict"), "for Voice no route is exchanged before BFD is Up", "remove it")


def _check_values(end: EndWords, at: Path, mistakes: Mistakes) -> None:
    for key, limit in (("max-prefix-v4", end.max_prefix_v4), ("max-prefix-v6", end.max_prefix_v6)):
        if limit is not None and limit < 1:
            mistakes.add((*at, key), f"{limit} is no limit", "use 1 or more")
    if end.prepend is not None and not 1 <= end.prepend <= PREPEND_LIMIT:
        mistakes.add((*at, "prepend"), f"{end.prepend} times is not sensible", f"use 1 to {PREPEND_LIMIT}")
    for community in end.communities:
        if "*" in community:
            mistakes.add((*at, "communities"), f"{community!r} has a '*'", "write the number out")
    for key, value in (("local-pref", end.local_pref), ("med", end.med)):
        if value is not None and not 0 <= value < 1 << 32:
            mistakes.add((*at, key), f"{value} does not fit in 4 octets", "use 0 to 4294967295")


def _check_policy_options(census: Census, router: str, end: EndWords, at: Path, mistakes: Mistakes) -> None:
    """Policies that exist, in force where they are stated, and no adjustment of what is replaced."""
    adjusted_in = [key for key, value in (("local-pref", end.local_pref),) if value is not None]
    adjusted_out = [key for key, value in (("med", end.med), ("prepend", end.prepend)) if value is not None]
    adjusted_out += ["communities"] if end.communities else []
    role = census.asys(router).role
    named = [(k, p) for k, p in (("import-policy", end.import_policy), ("export-policy", end.export_policy)) if p]
    if role is AsRole.CLOUD and at[0] == "peerings":
        for key in (*(k for k, _ in named), *adjusted_in, *adjusted_out):
            mistakes.add((*at, key), "Microsoft's end of a connection has Microsoft's policy", "remove it")
        return
    for key, policy in named:
        if policy != "deny-all":
            mistakes.known(policy, census.document.policies, "policy", (*at, key))
    for key in adjusted_in:
        if end.import_policy:
            mistakes.add((*at, key), "import-policy replaces what this would change", "state one of the two")
    for key in adjusted_out:
        if end.export_policy:
            mistakes.add((*at, key), "export-policy replaces what this would change", "state one of the two")
    if role is AsRole.IXP:
        for key in (*adjusted_in, *adjusted_out):
            mistakes.add((*at, key), "a route server changes nothing (RFC 7947)", "remove it, or write a policy")


def _check_hold_time(seconds: int, path: Path, mistakes: Mistakes) -> None:
    if seconds != 0 and not 3 <= seconds <= HOLD_TIME_LIMIT:
        mistakes.add(path, f"{seconds} s is not a hold time (RFC 4271 section 4.2)", "use 0, or 3 and more")
