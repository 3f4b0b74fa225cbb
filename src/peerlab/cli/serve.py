"""serve, token: Microsoft.Peering's API over a lab."""

from __future__ import annotations

import time

import click

from peerlab.api.server import LOOPBACK, Service, endpoint_of, folder_of, serve
from peerlab.api.token import LIFETIME, Issuer, Scope
from peerlab.cli.labs import chosen_lab, lab_argument
from peerlab.cli.output import run

AUTO_CLOCK = 43200.0
"""How many times faster than life --auto is by itself."""


@click.command("serve")
@lab_argument
@click.option("--host", default=LOOPBACK, show_default=True, help="IP address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 takes any free one.")
@click.option("--no-tls", is_flag=True, help="Plain HTTP; the SDK then needs enforce_https=False on every call.")
@click.option("--auto", is_flag=True, help="Play Microsoft's people and the peer's too.")
@click.option(
    "--clock",
    type=click.FloatRange(min=0.001),
    help="How many times faster than life time runs for measurements, and for people with --auto: 43200 makes 12 h one "
    "second, and is what --auto takes by itself.",
)
def serve_command(lab: str | None, host: str, port: int, no_tls: bool, auto: bool, clock: float | None) -> None:
    """Serve the Microsoft.Peering ARM API over a running lab.

    Until Ctrl-C; the lab stays up.

    \b
    Example:  peerlab serve peering-service --auto
    """
    name = chosen_lab(lab)
    factor = (clock or AUTO_CLOCK) if auto else None
    service = Service(lab=name, host=host, port=port, tls=not no_tls, factor=factor, clock=clock)

    def tell(text: str) -> None:
        click.echo(text)

    run(serve(service, tell))


@click.command()
@lab_argument
@click.option(
    "--hours",
    type=click.FloatRange(min=0.01, max=24 * 365),
    default=LIFETIME / 3600,
    show_default=True,
    help="How long it is good.",
)
@click.option("--ca", "show_authority", is_flag=True, help="Print the file of the authority to trust instead.")
def token(lab: str | None, hours: float, show_authority: bool) -> None:
    """Print a bearer token for a served lab's ARM API.

    \b
    Example:  peerlab token peering-service > token.txt
    """
    name = chosen_lab(lab)
    if show_authority:
        click.echo(endpoint_of(name).authority or "this lab is served without TLS", err=False)
        return
    click.echo(Issuer(folder_of(name), name).issue(Scope.ARM, int(time.time()), int(hours * 3600)))


COMMANDS = (serve_command, token)
