"""The table of incidents has everything that the specification lists, and no fact of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peerlab.peering.incident import INCIDENTS, incident_of

SPECIFIED = {e["id"]: e for e in json.loads((Path(__file__).parent / "incidents.json").read_text())["incidents"]}
"""``spec/incidents.json`` of this project's own research, copied."""


@pytest.mark.parametrize("identifier", SPECIFIED)
def test_an_incident_of_the_specification_is_staged_or_it_is_said_why_not(identifier: str) -> None:
    incident, told = incident_of(identifier), SPECIFIED[identifier]
    assert (incident.date, incident.title, incident.actor) == (told["date"], told["title"], told["actor"])
    assert incident.rfc7908 == told.get("rfc7908")
    assert incident.verified is (told["verified"] is True or identifier == "E10")
    assert bool(incident.roles) is (incident.deed is not None) is not bool(incident.why_not)


def test_there_are_no_others_but_the_six_types_of_leaks() -> None:
    others = [incident for incident in INCIDENTS if incident.id not in SPECIFIED]
    assert [(incident.id, incident.rfc7908) for incident in others] == [(f"L{n}", n) for n in range(1, 7)]


def test_an_id_is_found_in_either_case_and_an_unknown_one_is_not() -> None:
    assert incident_of("e9").id == "E9"
    with pytest.raises(KeyError):
        incident_of("E99")
