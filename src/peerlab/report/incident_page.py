"""``docs/incidents.md``: every incident that a lab can play, generated from the table."""

from __future__ import annotations

from peerlab.peering.incident import INCIDENTS, Incident

_HEAD = """# Incidents

Generated from `peerlab.peering.incident`; `make golden` writes it anew.

`peerlab incident E9 LAB` plays an incident of the past on a lab that runs, says what became of it, and takes everything
back. `peerlab incident --list` has the table below. The lab's own ASes play the roles with the lab's own prefixes: the
real ones are nobody's to announce, not even in a laboratory. A role is looked for among the routers of `kind: exabgp`
with an Established session; an incident whose role nobody has is refused by name.

For each expectation there is a verdict: was it kept out of Microsoft's routers, where, and by which statement of a
policy; was it told as a prefix event, and how many seconds after the announcement; did every session stay up. Exit
codes are those of `peerlab check`: 0 stopped and told, 1 not, 2 nothing can be said, 3 it cannot be staged here.

    peerlab rehearse topologies/peering-service.yaml --keep --name pool
    peerlab incident E9 pool

Prefix events exist for Peering Service prefixes only, so that what has to be told is judged where the lab has an
activated one that the actor is not an upstream of; else the line says n/a. More-specifics up to two bits longer than
such a prefix are watched with it. A lab announces at most 200 routes for a mass origination or a table, and never more
than half of the session's limit: what a limit does is judged by POL-15.

The same is part of the conformance suite: the scene `incident` of `rehearse --conformance` hijacks prefixes under the
desk's policy and where nothing filters them (SEC-04), sends packets with sources that are not the sender's into every
peering interface (SEC-03, [decision 0024](decisions/0024-sources-are-guarded-by-the-registry.md)), and commands a route
server by communities (POL-25).

## What a route server does for its clients

A client says by communities who is to be told of a route; `RS` is the server's AS number, `CLIENT` the other client's.
The large ones (RFC 8092) work for every AS number, the standard ones where both numbers fit two octets. They are taken
off before a route is passed on.

| large | standard | meaning |
|---|---|---|
| `RS:0:CLIENT` | `0:CLIENT` | not to that client |
| `RS:0:0` | `0:RS` | to no client but those that are named |
| `RS:1:CLIENT` | `RS:CLIENT` | to that client, in spite of `RS:0:0` |
| `RS:101:CLIENT`, `RS:102:CLIENT`, `RS:103:CLIENT` | - | the announcer's AS once, twice, three times more towards it |
| `RS:101:0`, `RS:102:0`, `RS:103:0` | - | the same towards all clients |

Extended communities are not read for this. Where the best route is kept from a client it gets the next best (RFC 7947
section 2.3): ExaBGP-kind servers choose per client, BIRD's have sorted tables and `secondary`, OpenBGPD's `rde
evaluate
all`. FRR has no such choice; on a route server of `kind: frr` a withheld best path hides the others, and POL-25 says so.
"""


def incident_page() -> str:
    """The page. A golden test holds the file against this text."""
    rows = [_row(incident) for incident in INCIDENTS]
    return "\n".join(
        [
            _HEAD,
            "## The table\n",
            "Facts with a * were not read again in a public source.\n",
            "| id | date | incident | what happened | RFC 7908 | in a lab | told as |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _row(one: Incident) -> str:
    deed = f"{' or '.join(one.roles)}: {one.deed}" if one.deed is not None else f"not staged: {one.why_not}"
    doubt = "" if one.verified else " *"
    return (
        f"| {one.id} | {one.date or '-'} | {one.title} | {one.what}{doubt} | {one.rfc7908 or '-'} | {deed} | "
        f"{one.alarm or '-'} |"
    )
