"""Judges of the paper side of validation: states, approvals, keys, refusals (VAL-01 to 04, 07, 13)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import cast

from peerlab.evidence.events import ConnectionStateChanged, ResourceChanged, TransitionRefused, ValidationJudged
from peerlab.topology.model import PeeringKind
from peerlab.verify.docket import Docket, Judgement
from peerlab.verify.evidence import Evidence
from peerlab.verify.reading import events
from peerlab.verify.subject import connections

_COMMON = {
    ("None", "PendingApproval"),
    ("legacy", "Active"),
    ("PendingApproval", "ProvisioningFailed"),
    ("PendingApproval", "removed"),
    ("ExternalBlocker", "ProvisioningFailed"),
    ("ProvisioningFailed", "PendingApproval"),
    ("ProvisioningFailed", "removed"),
    ("Validating", "Validating"),
    ("Validating", "ProvisioningCompleted"),
    ("Validating", "ProvisioningFailed"),
    ("ProvisioningCompleted", "Active"),
    ("ProvisioningCompleted", "Validating"),
    ("Active", "Validating"),
    ("Active", "PendingRemove"),
    ("PendingRemove", "PendingRemove"),
    ("PendingRemove", "removed"),
}
_TYPE_CHANGE = {
    ("Active", "TypeChangeRequested"),
    ("TypeChangeRequested", "Active"),
    ("TypeChangeRequested", "TypeChangeInProgress"),
    ("TypeChangeRequested", "Validating"),
    ("TypeChangeInProgress", "Active"),
    ("TypeChangeInProgress", "Validating"),
}


def _waiting(state: str) -> set[tuple[str, str]]:
    return {
        ("PendingApproval", state),
        (state, state),
        (state, "Validating"),
        (state, "ExternalBlocker"),
        (state, "ProvisioningFailed"),
        ("ExternalBlocker", state),
        ("ProvisioningFailed", state),
    }


GRAPH: Mapping[PeeringKind, frozenset[tuple[str, str]]] = {
    PeeringKind.DIRECT: frozenset(_COMMON | _TYPE_CHANGE | _waiting("ProvisioningStarted")),
    PeeringKind.EXCHANGE: frozenset(_COMMON | _waiting("Approved") | {("Approved", "removed")}),
}
"""Moves a connection may make (spec 2.1, 2.2). Written down again: the judge does not ask the table of the judged."""

REQUIRED_RULES = ("SES-01", "POL-02", "VAL-05", "POL-10", "POL-12", "POL-13", "POL-15")
"""Rules without which no connection may become Active (spec S3, 3.0)."""

REGISTERING = ("PutRegisteredPrefix", "PutRegisteredAsn", "PutServicePrefix")
"""Requests by which a prefix or an AS is registered."""


def resources(evidence: Evidence, kind: str) -> Iterator[tuple[ResourceChanged, dict[str, object]]]:
    """Changes of one kind of resource that carry a body."""
    for event in events(evidence, ResourceChanged):
        if event.kind.lower() == kind.lower() and event.body is not None:
            yield event, event.body


def judge_state_order(evidence: Evidence) -> Judgement:
    docket = Docket()
    changes = events(evidence, ConnectionStateChanged)
    names = {p.name for p in evidence.model.peerings}
    for connection in connections(evidence.model):
        state = "None"
        mine = [c for c in changes if f"{c.peering}/{c.connection}" == connection.key]
        if not mine:
            docket.lacks(f"{connection.key}: no state of it was logged")
            continue
        for change in mine:
            known = (change.before, change.after) in GRAPH[connection.peering.kind]
            begins = state in ("None", "removed") and change.before in ("None", "legacy")
            if change.before != state and not begins:
                what = f"leaves {change.before} while it is in {state}"
                docket.breaks(change.at, connection.key, what)
                break
            if not known:
                what = f"{change.before} → {change.after} ({change.trigger}) is no move of the table"
                docket.breaks(change.at, connection.key, what)
                break
            state = change.after
        else:
            docket.proves(mine[-1].at, connection.key, " → ".join([mine[0].before, *(c.after for c in mine)]))
    refused = [e for e in events(evidence, TransitionRefused) if e.resource.split("/")[0] in names]
    for event in refused:
        docket.proves(event.at, event.resource, f"{event.request} refused: {event.code}: {event.message}")
    if not refused:
        docket.lacks("no illegal request was made of a peering, so nothing shows that one is refused")
    return docket.close(f"{len(changes)} moves, all along the table; {len(refused)} illegal requests refused")


def judge_active_implies_checks(evidence: Evidence) -> Judgement:
    docket = Docket()
    verdicts = events(evidence, ValidationJudged)
    held = False
    for connection in connections(evidence.model):
        changes = [
            c for c in events(evidence, ConnectionStateChanged) if f"{c.peering}/{c.connection}" == connection.key
        ]
        mine = [v for v in verdicts if v.subject == connection.key]
        opened = [c for c in changes if c.after == "Active" and c.before == "ProvisioningCompleted"]
        if not opened:
            docket.lacks(f"{connection.key}: never became Active")
        for active in opened:
            entered = [c.at for c in changes if c.at <= active.at and c.after == "Validating" != c.before]
            began = max(entered, default=0)
            last = {v.rule: v for v in mine if began <= v.at <= active.at}
            failed = [rule for rule, verdict in last.items() if not verdict.passed]
            unrun = [rule for rule in REQUIRED_RULES if rule not in last]
            if failed:
                what = f"became Active while {failed[0]} failed: {last[failed[0]].message}"
                docket.breaks(active.at, connection.key, what)
            elif unrun:
                docket.breaks(active.at, connection.key, f"became Active although {unrun[0]} was not judged")
            else:
                docket.proves(active.at, connection.key, f"Active after {len(last)} rules passed")
        for verdict in (v for v in mine if not v.passed):
            after = next((c for c in changes if c.at >= verdict.at and c.after == "Active"), None)
            mended = any(v.rule == verdict.rule and v.passed and v.at > verdict.at for v in mine)
            if after is None or mended:
                held = True
                docket.proves(verdict.at, connection.key, f"not Active while {verdict.rule} failed: {verdict.message}")
    if not held:
        docket.lacks("no connection was seen failing a rule, so nothing shows that a failing one is held back")
    return docket.close("every connection became Active only after every rule had passed; a failing one was held back")


def judge_approved_asn(evidence: Evidence) -> Judgement:
    docket = Docket()
    asns: dict[object, list[tuple[int, object]]] = defaultdict(list)
    for event, body in resources(evidence, "peerAsns"):
        asns[body.get("asn")].append((event.at, body.get("state")))
    refused = [e for e in events(evidence, TransitionRefused) if e.request == "PutPeering"]
    for peering in evidence.model.peerings:
        asked = [
            c.at
            for c in events(evidence, ConnectionStateChanged)
            if c.peering == peering.name and c.after == "PendingApproval"
        ]
        history = asns.get(peering.peer_asn, [])
        if not asked or not history:
            docket.lacks(f"{peering.name}: its PeerAsn or its request is not in the log")
            continue
        state = next((s for at, s in reversed(history) if at <= asked[0]), None)
        if state != "Approved":
            docket.breaks(asked[0], peering.name, f"was taken while AS {peering.peer_asn} was {state or 'unknown'}")
        else:
            docket.proves(asked[0], peering.name, f"requested with AS {peering.peer_asn} Approved")
        too_early = [e for e in refused if e.resource == peering.name and e.at <= asked[0]]
        for refusal in too_early[:1]:
            docket.proves(refusal.at, peering.name, f"refused before approval: {refusal.code}: {refusal.message}")
    if not refused:
        docket.lacks("no peering was asked for with an AS that is not approved")
    return docket.close(f"{len(evidence.model.peerings)} peerings requested with an approved AS; before it, refused")


def judge_profile(evidence: Evidence) -> Judgement:
    docket = Docket()
    contacts = {body.get("asn"): body.get("contacts") for _, body in resources(evidence, "peerAsns")}
    for peering in evidence.model.peerings:
        listed = contacts.get(peering.peer_asn)
        entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list | tuple) else []
        noc = [e for e in entries if e.get("role") == "Noc"]
        where = f"{peering.name} AS {peering.peer_asn}"
        if peering.peer_asn not in contacts:
            docket.lacks(f"{where}: its PeerAsn is not in the log")
        elif not any(e.get("email") and e.get("phone") for e in noc):
            docket.breaks(0, where, "has no NOC contact with mail and phone")
        else:
            docket.proves(0, where, f"NOC {noc[0].get('email')}, {noc[0].get('phone')}")
        bodies = [body for event, body in resources(evidence, "peerings") if event.name == peering.name]
        if not bodies:
            docket.lacks(f"{peering.name}: the log does not hold its record")
            continue
        for entry in cast("list[dict[str, object]]", bodies[-1].get("connections") or []):
            label = f"{peering.name}/{entry.get('label')}"
            limits = [f.get("max_prefixes") for f in (entry.get("v4"), entry.get("v6")) if isinstance(f, dict)]
            if not entry.get("facility_id"):
                docket.breaks(0, label, "names no facility")
            elif not limits or not all(limits):
                docket.breaks(0, label, "has a session without a prefix limit")
            else:
                docket.proves(0, label, f"facility {entry['facility_id']}, prefix limits {limits}")
    return docket.close("every peer has a NOC contact; every connection a facility and prefix limits")


def judge_prefix_key(evidence: Evidence) -> Judgement:
    docket = Docket()
    kinds = ("registeredPrefixes", "registeredAsns")
    keys = {str(body.get("prefix_key")) for kind in kinds for _, body in resources(evidence, kind)}
    wrong = 0
    for service in evidence.model.services:
        for request in service.prefixes:
            name = f"{service.name}/{request.name}".lower()
            bodies = [(e.at, b) for e, b in resources(evidence, "prefixes") if e.name == name]
            verified = [(at, b) for at, b in bodies if b.get("state") in ("Verified", "Warning")]
            verdicts = [v for v in events(evidence, ValidationJudged) if v.subject == name and v.rule == "VAL-07"]
            refused = [v for v in verdicts if not v.passed]
            for at, body in verified:
                if str(body.get("prefix_key")) not in keys:
                    docket.breaks(at, name, f"is {body.get('state')} with a key that was never handed out")
                else:
                    docket.proves(at, name, "Verified with the key of its registration")
            for verdict in refused:
                wrong += 1
                docket.proves(verdict.at, name, f"a wrong key failed: {verdict.message}")
            if not verified and request.key_from is not None:
                docket.lacks(f"{name}: the log does not show it Verified")
    if not wrong:
        docket.lacks("no prefix was tried with a wrong key")
    return docket.close("prefixes verify with the registered key only; a wrong key fails with its reason")


def judge_duplicates(evidence: Evidence) -> Judgement:
    docket = Docket()
    for kind, field in (("registeredPrefixes", "prefix"), ("registeredAsns", "asn"), ("prefixes", "prefix")):
        owners: dict[object, str] = {}
        standing: dict[str, object] = {}
        for event in events(evidence, ResourceChanged):
            if event.kind.lower() != kind.lower():
                continue
            if event.body is None:
                owners.pop(standing.pop(event.name, None), None)
                continue
            value = event.body.get(field)
            standing[event.name] = value
            if owners.setdefault(value, event.name) != event.name:
                what = f"{value} is registered twice: as {owners[value]} and as {event.name}"
                docket.breaks(event.at, kind, what)
                break
    refused = [e for e in events(evidence, TransitionRefused) if e.request in REGISTERING]
    for refusal in refused:
        what = f"{refusal.request} refused: {refusal.code}: {refusal.message}"
        docket.proves(refusal.at, refusal.resource, what)
    if not refused:
        docket.lacks("nobody tried to register a prefix or an AS a second time")
    return docket.close(f"{len(refused)} duplicate registrations refused, none stands twice")
