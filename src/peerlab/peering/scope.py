"""Where a resource lives (subscription, resource group) and what it is called: keys and ARM ids.

A *key* is the short text by which the desk and the event log know a resource. In the lab's own scope it is the plain
name (``isp-ams``, ``isp-ams/prefix1``), elsewhere it is preceded by the scope (``sub/group/isp-ams``). Names are
case-insensitive in Azure, so keys are lower case; resources keep the spelling they were created with.
"""

from __future__ import annotations

import re

import msgspec

from peerlab.errors import RefusedError

PROVIDER = "Microsoft.Peering"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}\Z")


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription and a resource group; the default is what a topology's requests live in."""

    subscription: str = "lab"
    resource_group: str = "lab"

    def peer_asn_key(self, name: str) -> str:
        """Key of a PeerAsn, a resource of the subscription."""
        return _join(() if self.subscription.lower() == LAB.subscription else (self.subscription,), name)

    def key(self, *names: str) -> str:
        """Key of a resource of the group; children name their parents first."""
        here = (self.subscription, self.resource_group)
        at_home = tuple(part.lower() for part in here) == (LAB.subscription, LAB.resource_group)
        return _join(() if at_home else here, *names)

    def peer_asn_id(self, name: str) -> str:
        """ARM id of a PeerAsn."""
        return f"/subscriptions/{self.subscription}/providers/{PROVIDER}/peerAsns/{name}"

    def id(self, *parts: str) -> str:
        """ARM id of a resource of the group; ``parts`` alternate type and name: ``peerings, isp-ams``."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/{'/'.join(parts)}"
        )


LAB = Scope()
"""The scope of everything that a topology file asks for."""


def _join(scope: tuple[str, ...], *names: str) -> str:
    return "/".join((*scope, *names)).lower()


def check_name(name: str) -> None:
    """Refuse a resource name outside ``[A-Za-z0-9_.-]{1,63}`` (spec 1.1). Raises RefusedError(BadArgument)."""
    if not _NAME.match(name):
        raise RefusedError("BadArgument", f"Resource name '{name}' must match the pattern [A-Za-z0-9_.-]{{1,63}}")


def peer_asn_key_of(resource_id: str) -> str:
    """Key of the PeerAsn with this ARM id. Raises RefusedError(BadArgument) when it is no such id."""
    parts = resource_id.strip("/").split("/")
    words = [part.lower() for part in parts[::2]]
    if len(parts) != 6 or words != ["subscriptions", "providers", "peerasns"] or parts[3].lower() != PROVIDER.lower():
        raise RefusedError("BadArgument", f"'{resource_id}' is not the id of a PeerAsn")
    subscription, name = parts[1], parts[5]
    return Scope(subscription=subscription).peer_asn_key(name)
