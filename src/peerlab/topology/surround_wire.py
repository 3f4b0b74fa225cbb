"""The wires of a topology around a router: LANs, links, and what is asked of Microsoft, with the sessions' options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from peerlab.bgp.attributes import Family
from peerlab.topology.pool import Network
from peerlab.topology.surround_device import Device, Lan, as_name
from peerlab.topology.surround_relation import CLOUD_ASN, Kind
from peerlab.topology.surround_scene import Scene
from peerlab.topology.surround_word import key, listing, scalar


class SurroundWires:
    """Writes the wires of a scene; what has to be made up is told to it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tell = scene.untold.append
        self._devices, self._lans = scene.devices, scene.lans
        self._names, self._router, self._own_as = scene.names, scene.router, scene.own_as
        self._metro = scene.wishes.metro

    def exchanges(self) -> tuple[list[str], list[str]]:
        """An AS that is made up per LAN whose route servers would have nobody else, and the LANs."""
        others: list[str] = []
        lines: list[str] = ["", "exchanges:"] if self._lans else []
        for number, lan in enumerate(self._lans):
            here = [(n, d) for n, d in enumerate(self._devices) if d.lan == number]
            servers = [(n, d) for n, d in here if d.kind is Kind.ROUTE_SERVER]
            clients = [d for _, d in here if d.kind is Kind.CLIENT]
            lines += [f"  lan-{number + 1}:", f"    metro: {self._scene.metro_of_lan(number)}"]
            if servers or clients:
                operator = as_name(servers[0][1]) if servers else self._own_as
                lines.append(f"    operator: {operator}")
            for family, network in lan.networks.items():
                lines.append(f"    {key(family)}: {scalar(str(network))}")
            lines += ["    members:", self._own_port(lan, servers, number)]
            for n, device in here:
                words = [f"{key(f)}: {scalar(one.neighbour.address)}" for f, one in device.sessions.items()
                         if one.neighbour.address is not None and one.place.network == lan.networks.get(f)]
                if device.kind is Kind.CLIENT:
                    words += self._session(device)
                lines.append(f"      {self._names[n]}: {{{', '.join(words)}}}")
            if servers and len({d.asn for _, d in here} - {servers[0][1].asn, CLOUD_ASN}) == 0:
                others += self._another(number)
                lines.append(f"      another-{number + 1}-1:")
            alone = {d.asn: d for _, d in here if d.kind in (Kind.PEER, Kind.PROVIDER, Kind.CUSTOMER)}
            if alone:
                lines.append("    bilateral:")
            for device in alone.values():
                words = self._session(device)
                options = f", {', '.join(words)}" if words else ""
                lines.append(f"      - {{between: [{self._own_as}, {as_name(device)}]{options}}}")
        return others, lines

    def _own_port(self, lan: Lan, servers: Sequence[tuple[int, Device]], number: int) -> str:
        words = [f"{key(family)}: {scalar(address)}" for family, address in lan.own.items()]
        for family in lan.networks.keys() - lan.own.keys():
            self._tell(f"our own {family.value} address on {lan.networks[family]} is made up; say --address")
        if servers:
            words += self._session(servers[0][1], [d for _, d in servers])
        return f"      {self._router}: {{{', '.join(words)}}}"

    def _another(self, number: int) -> list[str]:
        asn = self._scene.free_asn()
        self._tell(f"lan-{number + 1}: AS{asn} is made up, for the route servers have nobody else to speak of")
        return [
            "",
            f"  another-{number + 1}:  # made up, so that the route servers have something to say",
            f"    asn: {asn}",
            "    role: isp",
            f"    prefixes: {listing([self._scene.made_up(version) for version in (4, 6)])}",
            "    routers:",
            f"      another-{number + 1}-1:",
        ]

    def links(self) -> Iterator[str]:
        first = True
        for number, device in enumerate(self._devices):
            if device.lan is not None or device.kind in (Kind.MICROSOFT, Kind.INTERNAL):
                continue
            if first:
                yield from ("", "links:")
            first = False
            order = [self._router, self._names[number]]
            networks = self._networks(device)
            places = [one.place for f, one in device.sessions.items() if f in networks]
            if places and not places[0].first:
                order.reverse()
            words = [f"between: [{', '.join(order)}]"]
            words += [f"{key(family)}: {scalar(str(network))}" for family, network in networks.items()]
            words += self._session(device)
            yield f"  - {{{', '.join(words)}}}"

    def _networks(self, device: Device) -> dict[Family, Network]:
        found: dict[Family, Network] = {}
        sides: set[bool] = set()
        for family, one in device.sessions.items():
            if one.place.network is None or one.place.lan:
                continue
            if sides and one.place.first not in sides and device.kind is not Kind.MICROSOFT:
                said = "IPv4 and IPv6 are numbered from different ends: IPv6 is made up"
                self._tell(f"{one.neighbour.name}: {said}")
                continue
            sides.add(one.place.first)
            found[family] = one.place.network
        return found

    def peerings(self) -> Iterator[str]:
        edges = [(n, d) for n, d in enumerate(self._devices) if d.kind is Kind.MICROSOFT]
        direct = [(n, d) for n, d in edges if d.lan is None]
        lans = sorted({d.lan for _, d in edges if d.lan is not None})
        if edges:
            yield from ("", "peerings:")
        if direct:
            yield from (f"  {self._own_as}-direct:", f"    peer: {self._own_as}", f"    metro: {self._metro}")
            yield "    connections:"
            for position, (number, device) in enumerate(direct, 1):
                words = [f"between: [{self._names[number]}, {self._router}]"]
                words += [f"prefix-{key(f)}: {scalar(str(n))}" for f, n in self._networks(device).items()]
                words += self._session(device)
                yield f"      link-{position}: {{{', '.join(words)}}}"
        is_server = any(d.kind is Kind.CLIENT for d in self._devices)
        for lan in lans:
            kind = "type: IxRs" if is_server else "kind: Exchange"
            device = next(d for _, d in edges if d.lan == lan)
            words = [f"exchange: lan-{lan + 1}", *self._session(device)]
            yield from (f"  {self._own_as}-lan-{lan + 1}:", f"    peer: {self._own_as}", f"    {kind}")
            yield from (f"    metro: {self._scene.metro_of_lan(lan)}", "    connections:")
            yield f"      lan: {{{', '.join(words)}}}"

    def _session(self, device: Device, fellows: Sequence[Device] = ()) -> list[str]:
        """``session: {…}`` of what the configuration says of it; nothing where it says nothing."""
        all_devices = [device, *fellows]
        statements = [one.neighbour for d in all_devices for one in d.placed]
        families = [f for f in Family if any(f in d.sessions for d in all_devices)]
        words = [f"families: [{families[0].value}]"] if len(families) == 1 else []
        hold = next((one.hold_time for one in statements if one.hold_time is not None), None)
        if hold is not None and (hold == 0 or 3 <= hold <= 65535):
            words.append(f"hold-time: {hold}")
        md5 = next((one.md5 for one in statements if one.md5), None)
        if md5 is not None and 1 <= len(md5) <= 80:
            words.append(f"md5: {scalar(md5, quote=True)}")
        if any(one.gtsm for one in statements):
            words.append("gtsm: true")
        if any(one.bfd for one in statements):
            words.append("bfd: {}")
        end = [
            f"max-prefix-{key(family)}: {limit}"
            for family in Family
            for limit in [next((one.limits[family] for one in statements if family in one.limits), None)]
            if limit
        ]
        if any(one.passive for one in statements):
            end.append("passive: true")
        if any(one.role_strict for one in statements):
            end.append("role-strict: true")
        if end:
            words.append(f"ends: {{{self._router}: {{{', '.join(end)}}}}}")
        return [f"session: {{{', '.join(words)}}}"] if words else []
