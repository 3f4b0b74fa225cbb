"""Fifth pass: which policy each end of each session has, and the table of policies that are used."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.policy import DENY_ALL, Policy, Statement
from peerlab.topology.addressing import AddressPlan
from peerlab.topology.census import Census, is_route_server_peering
from peerlab.topology.document import EndWords
from peerlab.topology.model import AsRole, Relation, Session, SessionEnd
from peerlab.topology.relation import (
    INTERNAL,
    Adjustment,
    Neighbour,
    Source,
    export_policy,
    import_policy,
    maps_marks,
    route_server_export,
    route_server_import,
)
from peerlab.topology.session import Pairing
from peerlab.topology.statement import policy as written_policy

SOURCE = {
    Relation.CUSTOMER: Source.CUSTOMER,
    Relation.PROVIDER: Source.PROVIDER,
    Relation.PEER: Source.PEER,
    Relation.ROUTE_SERVER: Source.ROUTE_SERVER,
}


class Assignment:
    """Gives every session its policies and keeps each policy once."""

    def __init__(self, census: Census, plan: AddressPlan) -> None:
        self._census = census
        self._lans = tuple(plan.lans.values())
        self._asns = frozenset(a.asn for a in census.document.ases.values())
        self.policies: dict[str, Policy] = {DENY_ALL.name: DENY_ALL}

    def assign(self, session: Session, pair: Pairing) -> Session:
        """The session with import and export policies at both ends."""
        return msgspec.structs.replace(
            session,
            left=self._end(session.left, session.right.asn, pair),
            right=self._end(session.right, session.left.asn, pair),
        )

    def _end(self, end: SessionEnd, other: int, pair: Pairing) -> SessionEnd:
        words = pair.words.ends.get(end.node, EndWords())
        derived_import, derived_export = self._derived(end, other, pair, words)
        into = self._written(words.import_policy, end) if words.import_policy else derived_import
        out = self._written(words.export_policy, end) if words.export_policy else derived_export
        for policy in (into, out):
            self.policies[policy.name] = policy
        return msgspec.structs.replace(end, import_policy=into.name, export_policy=out.name)

    def _written(self, name: str, end: SessionEnd) -> Policy:
        """A policy of the file as this AS runs it; only ``prepend`` makes it differ between ASes."""
        if name == DENY_ALL.name:
            return DENY_ALL
        statements = self._census.document.policies[name]
        prepends = any(s.set.prepend is not None for s in statements)
        full_name = f"{name}@{self._census.router_as[end.node]}" if prepends else name
        return written_policy(full_name, statements, end.asn)

    def _derived(self, end: SessionEnd, other: int, pair: Pairing, words: EndWords) -> tuple[Policy, Policy]:
        local = self._local(end)
        role = self._census.document.ases[local.name].role
        if end.relation is Relation.INTERNAL:
            return INTERNAL, INTERNAL
        if pair.connection is not None and role is AsRole.CLOUD:
            return DENY_ALL, DENY_ALL
        if end.relation is Relation.ROUTE_SERVER_CLIENT:
            return route_server_import(local), route_server_export(local, other)
        source = SOURCE[end.relation]
        if source is Source.PEER and pair.on_lan:
            source = Source.EXCHANGE_PEER
        change = Adjustment(
            local_pref=words.local_pref, med=words.med, prepend=words.prepend, communities=words.communities
        )
        return import_policy(local, source, change), export_policy(local, source, change, self._marks(local, end, pair))

    def _local(self, end: SessionEnd) -> Neighbour:
        name = self._census.router_as[end.node]
        asys = self._census.document.ases[name]
        peerings = self._census.document.peerings.values()
        return Neighbour(
            name=name,
            asn=asys.asn,
            prefixes=asys.prefixes,
            lans=self._lans,
            registered=tuple(p for each in peerings if each.peer == name for p in each.registered_prefixes.values()),
            lab_asns=self._asns,
        )

    def _marks(self, local: Neighbour, end: SessionEnd, pair: Pairing) -> tuple[Statement, ...]:
        """Where 8075:8007 is put on: by the partner towards Microsoft, by members towards the route servers."""
        prefixes: list[Prefix] = []
        asns: list[int] = []
        for peering in self._census.document.peerings.values():
            if is_route_server_peering(peering):
                exchanges = {connection.exchange for connection in peering.connections.values()}
                here = pair.right_wire is not None and pair.right_wire.exchange in exchanges
                if end.relation is Relation.ROUTE_SERVER and here:
                    asns.extend(peering.registered_asns.values())
            elif peering.peer == local.name and pair.asked is not None and pair.asked.peering_service:
                prefixes.extend(peering.registered_prefixes.values())
        return maps_marks(prefixes, asns, local)
