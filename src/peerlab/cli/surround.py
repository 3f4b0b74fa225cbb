"""surround: a topology in which every neighbour of a router's own configuration exists."""

from __future__ import annotations

import re
from ipaddress import ip_interface
from pathlib import Path

import click

from peerlab.cli.output import check_writable, command_word, save
from peerlab.daemons.bird_reading import read_bird
from peerlab.daemons.frr_reading import read_frr
from peerlab.errors import InputError, Problem
from peerlab.topology.load import load_text
from peerlab.topology.surround import RouterReading
from peerlab.topology.surround_relation import CLOUD_ASN, Kind
from peerlab.topology.surround_scene import Wishes
from peerlab.topology.surround_topology import surround

LARGEST = 4 * 1024 * 1024
"""Octets of a configuration; a longer file is refused unread."""

READERS = {"bird": read_bird, "frr": read_frr}
ROLES = {
    "transit": Kind.PROVIDER,
    "provider": Kind.PROVIDER,
    "customer": Kind.CUSTOMER,
    "peer": Kind.PEER,
    "route-server": Kind.ROUTE_SERVER,
}


@click.command("surround")
@click.argument("configuration", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write to this file instead of the terminal.")
@click.option("--daemon", type=click.Choice(list(READERS)), help="Whose configuration it is, where that is not plain.")
@click.option(
    "--role", "roles", multiple=True, metavar="ASN=ROLE", help="What an AS is: transit, customer, peer or route-server."
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS/LENGTH",
    help="An address of the router's own that the configuration does not state, e.g. on a LAN.",
)
@click.option("--metro", default="metro", show_default=True, help="Name of the metro in the topology.")
@click.option("--location", default="Amsterdam", show_default=True, help="Microsoft's name of the peering location.")
@click.option("--region", default="westeurope", show_default=True, help="Azure's name of the region.")
def surround_(
    configuration: Path,
    output: Path | None,
    daemon: str | None,
    roles: tuple[str, ...],
    addresses: tuple[str, ...],
    metro: str,
    location: str,
    region: str,
) -> None:
    """Write the lab around a router from its configuration.

    Reads a bird.conf or an frr.conf alone. Every neighbour that the file names exists in the lab, with its address and AS number, and behaves as what it is:
    Microsoft, a transit, a customer, a peer, a route server. What each was taken for and why stands in the topology and
    on standard error, and so does what could not be told. The file is read, not run.

    \b
    Example:  peerlab surround /etc/bird/bird.conf -o around.yaml
              peerlab surround frr.conf --role 64510=transit -o around.yaml
    """
    check_writable(output)
    wishes = Wishes(
        metro=metro,
        location=location,
        region=region,
        roles=dict(_role(text) for text in roles),
        addresses=tuple(_address(text) for text in addresses),
    )
    reading = _read(configuration, daemon)
    found = surround(reading, wishes)
    model = load_text(found.text, str(output or "topology"))
    missing = sorted(wishes.roles.keys() - {one.asn for one in reading.neighbours})
    for taken in found.taken:
        click.echo(f"{configuration}: {taken}", err=True)
    for untold in found.untold:
        click.echo(f"{configuration}: not certain: {untold}", err=True)
    for asn in missing:
        click.echo(f"{configuration}: not certain: --role {asn}=…: no neighbour is in AS{asn}", err=True)
    if output is None:
        click.echo(found.text, nl=False)
    else:
        save(output, found.text)
        click.echo(f"{output}: {len(model.nodes)} nodes, {len(model.sessions)} sessions")
        click.echo(f"next: {command_word()} rehearse {output}")


def _read(path: Path, daemon: str | None) -> RouterReading:
    text = _text(path)
    if daemon is None:
        if re.search(r"^\s*protocol\s+bgp\b", text, re.MULTILINE):
            daemon = "bird"
        elif re.search(r"^router bgp\b", text, re.MULTILINE):
            daemon = "frr"
        elif re.search(r"^\s*include\b", text, re.MULTILINE):
            daemon = "bird"
        else:
            what = "has neither `protocol bgp` (BIRD) nor `router bgp` (FRR)"
            raise InputError([Problem(str(path), what, "name a bird.conf or an frr.conf, or say --daemon")])
    return READERS[daemon](text, path.name)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            what = f"is larger than {LARGEST} octets"
            raise InputError([Problem(str(path), what, "name one router's configuration")])
        return path.read_bytes().decode()
    except OSError as error:
        raise InputError([Problem(str(path), f"cannot be read ({error.strerror})", "check the path")]) from error
    except UnicodeDecodeError as error:
        raise InputError([Problem(str(path), "is no text in UTF-8", "name a bird.conf or an frr.conf")]) from error


def _role(text: str) -> tuple[int, Kind]:
    asn, _, word = text.partition("=")
    number = asn.upper().removeprefix("AS")
    if not number.isdecimal() or not 0 < int(number[:11]) < 1 << 32 or word not in ROLES:
        problem = Problem("--role", f"{text!r} is not ASN=ROLE", f"write e.g. 64500=transit; roles: {', '.join(ROLES)}")
        raise InputError([problem])
    if int(number) == CLOUD_ASN:
        raise InputError([Problem("--role", "AS8075 is Microsoft", "leave it out")])
    return int(number), ROLES[word]


def _address(text: str) -> str:
    try:
        interface = ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text:
        raise InputError([Problem("--address", f"{text!r} is no address with length", "write e.g. 203.0.113.10/24")])
    return str(interface)


COMMANDS = (surround_,)
