"""Who is where in a document: every router, host and exchange by name, and what any two ASes are to each other."""

from __future__ import annotations

from functools import cached_property

from peerlab.topology.document import AsWords, ConnectionWords, Document, ExchangeWords, PeeringWords
from peerlab.topology.model import AsRole, PeeringKind, Relation


class Census:
    """Look-ups over a document. Tolerates wrong references: they are simply not found."""

    def __init__(self, document: Document) -> None:
        self.document = document

    @cached_property
    def as_of(self) -> dict[str, str]:
        """AS name of every router, host and cache."""
        ases = self.document.ases.items()
        return {node: name for name, words in ases for node in (*words.routers, *words.hosts, *words.caches)}

    @cached_property
    def router_as(self) -> dict[str, str]:
        """AS name of every router, in the document's order."""
        return {router: name for name, words in self.document.ases.items() for router in words.routers}

    @cached_property
    def cloud(self) -> str | None:
        """Name of the AS of role cloud."""
        return next((n for n, a in self.document.ases.items() if a.role is AsRole.CLOUD), None)

    def asys(self, router: str) -> AsWords:
        """The AS of a router. Raises KeyError."""
        return self.document.ases[self.router_as[router]]

    def metro_of(self, router: str) -> str | None:
        """The metro a router stands in, if stated."""
        return self.asys(router).routers[router].metro

    def route_servers(self, exchange: ExchangeWords) -> tuple[str, ...]:
        """The operator's routers that stand at this exchange (in its metro, or in none)."""
        operator = self.document.ases.get(exchange.operator or "")
        if operator is None or operator.role is not AsRole.IXP:
            return ()
        return tuple(
            name
            for name, router in operator.routers.items()
            if router.metro in (None, exchange.metro) or exchange.metro is None
        )

    def ports(self, exchange: ExchangeWords) -> tuple[str, ...]:
        """Every router with a port on the LAN: route servers first, then members."""
        servers = self.route_servers(exchange)
        return (*servers, *(m for m in exchange.members if m not in servers and m in self.router_as))

    def members_of(self, exchange: ExchangeWords, as_name: str | None) -> tuple[str, ...]:
        """The member routers that belong to an AS."""
        return tuple(m for m in exchange.members if self.router_as.get(m) == as_name)

    def is_route_server(self, router: str) -> bool:
        """Whether a router is an exchange operator's."""
        return self.asys(router).role is AsRole.IXP

    def relation(self, local: str, remote: str) -> Relation | None:
        """What the remote AS is to the local one; None when nothing is declared."""
        here, there = self.document.ases[local], self.document.ases[remote]
        if remote in here.providers:
            return Relation.PROVIDER
        if local in there.providers:
            return Relation.CUSTOMER
        if remote in here.peers or local in there.peers or frozenset((local, remote)) in self._peering_pairs:
            return Relation.PEER
        return None

    @cached_property
    def _peering_pairs(self) -> frozenset[frozenset[str]]:
        return frozenset(frozenset((p.peer, self.cloud or "")) for p in self.document.peerings.values())

    def is_for_voice(self, connection: str | None) -> bool:
        """Whether the connection (``PEERING/CONNECTION``) is one of a Voice peering."""
        peering = self.document.peerings.get((connection or "").partition("/")[0])
        return peering is not None and peering.type == "Voice"

    def exchange_of(self, connection: ConnectionWords) -> ExchangeWords | None:
        """The LAN of an Exchange or IxRs connection, if it exists."""
        return self.document.exchanges.get(connection.exchange or "")

    def exchange_router(self, peering: PeeringWords, connection: ConnectionWords) -> str | None:
        """The peer's router of an Exchange connection: as stated, or the only one on the LAN."""
        exchange = self.exchange_of(connection)
        if exchange is None:
            return None
        there = self.members_of(exchange, peering.peer)
        if connection.router is not None:
            return connection.router if connection.router in there else None
        return there[0] if len(there) == 1 else None


def is_route_server_peering(peering: PeeringWords) -> bool:
    """AS8075 with exchange route server: Direct in Microsoft's resource, a mesh on a LAN in the world."""
    return peering.kind is PeeringKind.DIRECT and peering.type == "IxRs"


def is_interconnect_peering(peering: PeeringWords) -> bool:
    """Direct over wires of its own."""
    return peering.kind is PeeringKind.DIRECT and not is_route_server_peering(peering)
