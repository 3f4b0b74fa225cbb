"""Every check of the catalogue is seen passing, failing for one changed fact, and inconclusive without its evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from verify_model import bare
from verify_row import Change, Row
from verify_rows_deprovision import DEPROVISION_ROWS
from verify_rows_failover import FAILOVER_ROWS
from verify_rows_hostile import HOSTILE_ROWS
from verify_rows_incident import INCIDENT_ROWS
from verify_rows_link import LINK_ROWS
from verify_rows_liveness import LIVENESS_ROWS
from verify_rows_monitoring import MONITORING_ROWS
from verify_rows_origin import ORIGIN_ROWS
from verify_rows_own import OWN_ROWS
from verify_rows_physical import PHYSICAL_ROWS
from verify_rows_policy import POLICY_ROWS, pressed
from verify_rows_restart import RESTART_ROWS
from verify_rows_routing import ROUTING_ROWS
from verify_rows_security import SECURITY_ROWS
from verify_rows_session import SESSION_ROWS
from verify_rows_telemetry import TELEMETRY_ROWS
from verify_rows_validation import VALIDATION_ROWS
from verify_scenario import Scenario, path, plain_story

from peerlab.evidence.events import Event
from peerlab.evidence.story import Stimulus
from peerlab.evidence.trace import Trace
from peerlab.verify.catalogue import CATALOGUE, check_of, judge_all
from peerlab.verify.evidence import Evidence
from peerlab.verify.finding import Finding, Outcome

ROWS: tuple[Row, ...] = (
    *PHYSICAL_ROWS,
    *LINK_ROWS,
    *SESSION_ROWS,
    *POLICY_ROWS,
    *ORIGIN_ROWS,
    *VALIDATION_ROWS,
    *ROUTING_ROWS,
    *FAILOVER_ROWS,
    *LIVENESS_ROWS,
    *RESTART_ROWS,
    *SECURITY_ROWS,
    *INCIDENT_ROWS,
    *TELEMETRY_ROWS,
    *MONITORING_ROWS,
    *DEPROVISION_ROWS,
    *HOSTILE_ROWS,
    *OWN_ROWS,
)


def found(row: Row, change: Change | None = None) -> Finding:
    scenario: Scenario = plain_story()
    row.given(scenario)
    if change is not None:
        change(scenario)
    (finding,) = judge_all(scenario.evidence(), only=[row.check])
    assert not finding.broke, finding.summary
    return finding


def changes(kind: str) -> list[object]:
    return [
        pytest.param(row, change, id=f"{row.check}: {name}")
        for row in ROWS
        for name, change in getattr(row, kind).items()
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.check)
def test_passes_when_all_is_well_and_says_why(row: Row) -> None:
    finding = found(row)
    assert (finding.outcome, finding.missing) == (Outcome.PASS, ()), finding.summary
    assert finding.exhibits


@pytest.mark.parametrize(("row", "change"), changes("breaks"))
def test_fails_when_one_fact_is_wrong_and_shows_it(row: Row, change: Change) -> None:
    finding = found(row, change)
    assert finding.outcome is Outcome.FAIL, finding.summary
    assert finding.witness is not None
    assert finding.witness.what in finding.summary


@pytest.mark.parametrize(("row", "change"), changes("lacks"))
def test_is_inconclusive_without_its_evidence_and_names_it(row: Row, change: Change) -> None:
    finding = found(row, change)
    assert finding.outcome is Outcome.INCONCLUSIVE, finding.summary
    assert finding.missing


def _no_trace(evidence: Evidence) -> Evidence:
    return replace(evidence, trace=Trace())


def _no_snapshots(evidence: Evidence) -> Evidence:
    return replace(evidence, snapshots={})


def _no_events(evidence: Evidence) -> Evidence:
    return replace(evidence, events=())


EVENTS = (*(kind.__name__ for kind in get_args(Event)), "trial")
WITHOUT = (
    # how an entry of ``consumes`` begins, how to take it all away
    (("trace",), _no_trace),
    (("snapshot", "every snapshot"), _no_snapshots),
    (EVENTS, _no_events),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.check)
def test_does_not_pass_without_what_it_says_it_consumes(row: Row) -> None:
    """``consumes`` is a promise: take all of a kind away and the check cannot pass."""
    scenario = plain_story()
    row.given(scenario)
    for words, strip in WITHOUT:
        if any(item.startswith(words) for item in check_of(row.check).consumes):
            (finding,) = judge_all(strip(scenario.evidence()), only=[row.check])
            assert not finding.broke, finding.summary
            assert finding.outcome is not Outcome.PASS, (strip.__name__, finding.summary)


@pytest.mark.parametrize("check", CATALOGUE, ids=lambda check: check.id)
def test_has_been_seen_passing_failing_and_inconclusive(check: object) -> None:
    rows = [row for row in ROWS if row.check == check.id]  # type: ignore[attr-defined]
    assert len(rows) == 1
    assert rows[0].breaks
    assert rows[0].lacks


@pytest.mark.parametrize("check", CATALOGUE, ids=lambda check: check.id)
def test_never_passes_on_an_empty_log(check: object) -> None:
    """A lab of which nothing was recorded proves nothing, and a lab without a subject says so."""
    scenario = Scenario()
    (finding,) = judge_all(scenario.evidence(), only=[check.id])  # type: ignore[attr-defined]
    assert not finding.broke, finding.summary
    assert finding.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE)
    scenario.model = bare()
    (finding,) = judge_all(scenario.evidence(), only=[check.id])  # type: ignore[attr-defined]
    assert not finding.broke, finding.summary
    assert finding.outcome in (Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE)


def test_ids_titles_and_severities_are_the_catalogues() -> None:
    written = {
        entry["id"]: (entry["title"], entry["severity"])
        for entry in json.loads((Path(__file__).parent / "catalogue.json").read_text())
    }
    assert [check.id for check in CATALOGUE] == sorted({c.id for c in CATALOGUE}, key=[c.id for c in CATALOGUE].index)
    for check in CATALOGUE:
        if not check.id.startswith("BYO-"):  # the family of own configurations is ours, not the catalogue's
            assert (check.title, check.severity.value) == written[check.id]
    assert [c.id for c in CATALOGUE if c.id not in written] == [f"BYO-0{n}" for n in range(1, 6)]


def test_a_check_that_breaks_is_loud_and_never_a_pass() -> None:
    def broken(_: object) -> object:
        raise ZeroDivisionError("division by zero")

    check = check_of("SES-01")
    bad = type(check)(**{**{f: getattr(check, f) for f in check.__slots__}, "judge": broken})
    (finding,) = judge_all(plain_story().evidence(), catalogue=(bad,))
    assert finding.broke
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert finding.summary.startswith("THE CHECK BROKE: ZeroDivisionError")


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(KeyError, match="XYZ-99"):
        judge_all(plain_story().evidence(), only=["SES-01", "XYZ-99"])


def test_findings_survive_a_round_trip_through_json() -> None:
    findings = judge_all(plain_story().evidence())
    again = msgspec.json.decode(msgspec.json.encode(findings), type=tuple[Finding, ...])
    assert again == findings


def test_a_members_new_prefix_counts_when_the_route_server_brings_it_under_deny() -> None:
    """A route server originates nothing: what its member announces is what the edge gets to refuse."""

    scenario = plain_story()
    pressed(scenario)
    scenario.untry(Stimulus.NEW_ANNOUNCEMENT)
    for v, prefix in (("4", "198.51.100.0/25"), ("6", "2001:db8:20::/49")):
        scenario.trial(Stimulus.NEW_ANNOUNCEMENT, "member", f"mb-{v}", {"prefix": prefix}, at=21.0)
    (finding,) = judge_all(scenario.evidence(), only=["POL-03"])
    assert finding.outcome is Outcome.INCONCLUSIVE, "it has not come through the route server yet"
    for v, prefix in (("4", "198.51.100.0/25"), ("6", "2001:db8:20::/49")):
        scenario.announce(f"c4-{v}", "rs1", [prefix], 21.5, as_path=path(64505))
    (finding,) = judge_all(scenario.evidence(), only=["POL-03"])
    assert finding.outcome is Outcome.PASS, finding.summary
