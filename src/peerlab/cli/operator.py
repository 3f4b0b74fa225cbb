"""operator, outbox, metrics: Microsoft's side of the desk of a lab that is served."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import click

from peerlab.api.operator_acts import ACTS, AGREEMENT, CONNECTION, TOPOLOGY
from peerlab.api.operator_api import ROOT
from peerlab.api.server import endpoint_of, folder_of
from peerlab.api.token import Issuer, Scope
from peerlab.cli.labs import chosen_lab, lab_argument
from peerlab.cli.output import json_option, print_json, print_table
from peerlab.errors import RefusedError, RuntimeFailure
from peerlab.evidence.events import MailSent
from peerlab.evidence.store import LabStore

WITHIN = 120.0
"""Seconds in which an act is done; a validation waits for sessions."""


def call(lab: str, method: str, path: str, body: dict[str, str] | None = None, scope: Scope = Scope.OPERATOR) -> bytes:
    """Ask a served lab. Raises RefusedError with the lab's words, RuntimeFailure when nobody answers."""
    endpoint = endpoint_of(lab)
    target = urlsplit(endpoint.url)
    connection: http.client.HTTPConnection
    if endpoint.authority is None:
        connection = http.client.HTTPConnection(target.netloc, timeout=WITHIN)
    else:
        trust = ssl.create_default_context(cafile=endpoint.authority)
        connection = http.client.HTTPSConnection(target.netloc, timeout=WITHIN, context=trust)
    token = Issuer(folder_of(lab), lab).issue(scope, int(time.time()), 60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answered = connection.getresponse()
        text = answered.read()
    except OSError as failure:
        raise RuntimeFailure(
            f"{endpoint.url} does not answer: {failure}; is `peerlab serve {lab}` running?"
        ) from failure
    finally:
        connection.close()
    if answered.status >= 300:
        told = json.loads(text)
        error = told.get("error", told)
        raise RefusedError(error["code"], error["message"])
    return text


@click.group()
def operator() -> None:
    """Play Microsoft's people: review, approve, provision.

    RESOURCE is a key as `peerlab operator desk` prints it: NAME in the lab's own scope, else SUBSCRIPTION/NAME for a
    PeerAsn and SUBSCRIPTION/GROUP/NAME for a peering.

    \b
    Example:  peerlab operator approve fabrikam-amsterdam
    """


@operator.command()
@lab_argument
@json_option
def desk(lab: str | None, as_json: bool) -> None:
    """What stands on the desk, and in which state.

    \b
    Example:  peerlab operator desk peering-service
    """
    told: dict[str, Any] = json.loads(call(chosen_lab(lab), "GET", f"{ROOT}/desk"))
    if as_json:
        print_json(told)
        return
    print_table(
        ("RESOURCE", "CONNECTION", "STATE", "ERROR"),
        [
            *((r["on"], f"AS{r['asn']}", r["state"], r["error"] or "") for r in told["peerAsns"]),
            *((r["on"], r["connection"], r["state"], r["error"] or "") for r in told["connections"]),
        ],
    )


def _act_command(name: str) -> click.Command:
    act = ACTS[name]

    def work(resource: str, lab: str | None, reason: str, connection: str = "") -> None:
        body = {"on": resource, "connection": connection, "reason": reason}
        told = json.loads(call(chosen_lab(lab), "POST", f"{ROOT}/{name}", body))
        click.echo(f"{told['done']}: {told['on']} {' '.join(told['connections'])}".rstrip())

    peering = "fabrikam-amsterdam"
    about = {CONNECTION: peering, TOPOLOGY: peering, AGREEMENT: "64500"}.get(act.about, "fabrikam")
    example = f"Example:  peerlab operator {name} {about}"
    parameters: list[click.Parameter] = [
        click.Argument(["resource"]),
        click.Option(["--lab"], help="Which lab; the only one that runs if left out."),
        click.Option(["--reason"], default="", help="Text that goes with it."),
    ]
    if act.about == CONNECTION:
        parameters.append(click.Option(["--connection"], default="", help="Only this connection; all if left out."))
    return click.Command(name, params=parameters, callback=work, help=f"{act.help}\n\n\b\n{example}")


for _name in ACTS:
    operator.add_command(_act_command(_name))


@click.command()
@lab_argument
@json_option
def outbox(lab: str | None, as_json: bool) -> None:
    """The mails and notices of the real process, as they were sent.

    \b
    Example:  peerlab outbox direct
    """
    mails = [e for e in LabStore.open(lab or chosen_lab(None)).log().read() if isinstance(e, MailSent)]
    if as_json:
        print_json(mails)
        return
    for mail in mails:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(mail.at / 1e9))
        click.echo(f"{when}  {mail.sender} -> {mail.to}\n  {click.style(mail.subject, bold=True)}\n  {mail.text}\n")


@click.command()
@lab_argument
def metrics(lab: str | None) -> None:
    """Sessions, traffic, latencies, probes, in Prometheus' format.

    \b
    Example:  peerlab metrics direct
    """
    click.echo(call(chosen_lab(lab), "GET", "/metrics", scope=Scope.ARM).decode(), nl=False)


COMMANDS = (operator, outbox, metrics)
