"""import: topologies from what others publish."""

from __future__ import annotations

import json
from pathlib import Path

import click

from peerlab.cli.output import check_writable, command_word, save
from peerlab.errors import InputError, Problem
from peerlab.topology.ixf import read_export
from peerlab.topology.ixf_topology import OPERATOR_ASN, Wishes, ixf_topology
from peerlab.topology.load import load_text
from peerlab.topology.model import NodeKind

LARGEST = 64 * 1024 * 1024
"""Octets of an export; a longer file is refused unread."""


@click.group("import")
def import_() -> None:
    """Write a topology from what others publish.

    \b
    Example:  peerlab import ixf members.json -o ixp.yaml
    """


@import_.command()
@click.argument("export", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
@click.option("--ixp", "ixp_id", type=int, help="The exchange's ixp_id, where the export has several.")
@click.option("--vlan", "vlan_id", type=int, help="The LAN's id, where the exchange has several.")
@click.option("--only", type=int, multiple=True, metavar="ASN", help="Only this member; may be given several times.")
@click.option("--members", "at_most", type=click.IntRange(min=1), help="At most so many members, in the file's order.")
@click.option("--operator-asn", type=int, default=OPERATOR_ASN, show_default=True, help="AS number of the exchange.")
@click.option(
    "--route-servers",
    "kind",
    type=click.Choice([kind.value for kind in NodeKind if kind not in (NodeKind.HOST, NodeKind.SWITCH)]),
    default="exabgp",
    show_default=True,
    help="The daemon of the route servers.",
)
@click.option("--metro", default="metro", show_default=True, help="Name of the metro in the topology.")
@click.option("--location", default="Amsterdam", show_default=True, help="Microsoft's name of the peering location.")
@click.option("--region", default="westeurope", show_default=True, help="Azure's name of the region.")
def ixf(
    export: Path,
    output: Path | None,
    ixp_id: int | None,
    vlan_id: int | None,
    only: tuple[int, ...],
    at_most: int | None,
    operator_asn: int,
    kind: str,
    metro: str,
    location: str,
    region: str,
) -> None:
    """Turn an IX-F member export into a lab of its LAN.

    Members keep AS numbers, addresses and limits; two route servers and two edge routers of Microsoft are added where
    the export has none. What the members announce is made up, an export does not say it.

    \b
    Example:  peerlab import ixf members.json -o ixp.yaml --members 20
              peerlab import ixf members.json --only 64500 --route-servers bird
    """
    check_writable(output)
    exchange = read_export(_read(export), str(export), ixp_id, vlan_id)
    wishes = Wishes(
        metro=metro,
        location=location,
        region=region,
        operator_asn=operator_asn,
        kind=kind,
        only=only,
        at_most=at_most,
    )
    text = ixf_topology(exchange, wishes, export.name)
    model = load_text(text, str(output or "topology"))
    for skipped in exchange.skipped:
        click.echo(f"{export}: left out: {skipped}", err=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        save(output, text)
        click.echo(f"{output}: {len(model.nodes)} nodes, {len(model.sessions)} sessions")
        click.echo(f"next: {command_word()} rehearse {output}")


def _read(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError([Problem(str(path), f"is larger than {LARGEST} octets", "cut the export")])
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be read ({error.strerror})", "check the path")]) from error
    except ValueError as error:
        raise InputError([Problem(str(path), f"is no JSON: {error}", "name an IX-F member export")]) from error
    except RecursionError as error:
        raise InputError([Problem(str(path), "is nested too deep", "name an IX-F member export")]) from error


COMMANDS = (import_,)
