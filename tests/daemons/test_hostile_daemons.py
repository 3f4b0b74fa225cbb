"""Hostile messages to real daemons: what each makes of every case is what was measured of it once; a drift has a name.

``rfc7606_measured.json`` is copied from the project's own measurement of 2026 (Debian bookworm: FRR 8.4.4, BIRD 2.0.12,
OpenBGPD 7.7, GoBGP 3.10; IPv4, ExaBGP 5 as sender, a fresh daemon per case). It is data of this project, under its
licence.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from peerlab.bgp.attributes import Family
from peerlab.bgp.malformed_case import MALFORMED, UNPARSEABLE
from peerlab.controller.hostile_examination import examine
from peerlab.controller.lab import Lab
from peerlab.controller.provision import Provisioner
from peerlab.topology.load import load
from peerlab.verify.case_seen import CaseSeen
from peerlab.verify.session_hostile import OPEN_ANSWERS

pytestmark = [pytest.mark.live, pytest.mark.daemons]

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "topologies" / "minimal.yaml"
DUT = "fab-ams-1"
MEASURED = json.loads((Path(__file__).parent / "rfc7606_measured.json").read_text())
WORDS = {"accepted": {"discard", "keep", "ignored"}, "withdrawn": {"withdraw"}, "RESET": {"reset"}}
"""What the measurement calls it, and how it looks from beside."""
WITHIN = 240.0


@dataclass(frozen=True)
class Known:
    """A daemon: its name in the measurement, and where it is right to differ from it, with why.

    ``ipv6`` are the cases that go otherwise on an IPv6 session, by what is seen there; ``unsteady``, those that go one
    way or the other there from run to run.
    """

    measured: str
    differs: dict[str, tuple[str, str]] = field(default_factory=dict)
    ipv6: dict[str, str] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()


OWN_AS = "the path has the speaker's own AS in front here, and another one in the measurement"
FIRST_AS = "the laboratory's routers insist on the neighbour's AS in front of the path, AS 0 is not it"
NEXT_HOPS = frozenset({"nexthop-zero", "nexthop-loopback"})
"""OpenBGPD takes them and finds them unreachable later, so that the route is mostly there and at times is not."""
KINDS = {
    "bird": Known(
        "bird",
        differs={"aspath-flag-partial": ("discard", OWN_AS), "aspath-as-zero": ("withdraw", FIRST_AS)},
        ipv6={"mp-reach-nexthop-len-bogus": "reset", "mp-unreach-truncated": "reset"},
    ),
    "openbgpd": Known("obgpd", ipv6={"nexthop-multicast": "discard"}, unsteady=NEXT_HOPS),
}
"""The daemons that are held against the measurement: a new kind is one line here."""


def seen_of(kind: str, name: str) -> dict[tuple[str, Family], CaseSeen]:
    """Everything that a router of this kind makes of every case."""
    text, changed = re.subn(rf"^      {DUT}:$", f"      {DUT}: {{kind: {kind}}}", MINIMAL.read_text(), flags=re.M)
    assert changed == 1

    async def story(file: Path) -> dict[tuple[str, Family], CaseSeen]:
        lab = await Lab.up(load(file), text, name)
        try:
            return {(one.case, one.family): one for one in await examine(Provisioner.of(lab), DUT)}
        finally:
            await lab.down()

    file = Path(os.environ["PEERLAB_STATE"]) / f"{kind}.yaml"
    file.write_text(text)
    return asyncio.run(asyncio.wait_for(story(file), WITHIN))


@pytest.mark.parametrize("kind", KINDS)
def test_a_daemon_makes_of_every_case_what_was_measured(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERLAB_STATE", str(tmp_path))
    known = KINDS[kind]
    seen = seen_of(kind, f"hostile-{kind}-{os.getpid()}")
    unclear = [f"{case} {family}: {one.what}" for (case, family), one in seen.items() if not one.seen]
    assert unclear == []
    assert {case for case, _ in seen} == {*OPEN_ANSWERS, *(case.name for case in MALFORMED), *UNPARSEABLE}

    measured = {row["case"]: row["observed"][known.measured] for row in MEASURED["rows"]}
    drift = []
    for case in MALFORMED:
        now = seen[case.name, Family.IPV4]
        if case.name in known.differs:
            expected, before = {known.differs[case.name][0]}, known.differs[case.name][0]
        elif case.name in measured:
            expected, before = WORDS[measured[case.name]], measured[case.name]
        else:
            continue
        if now.seen not in expected:
            drift.append(f"{case.name}: measured {before}, now {now.seen} ({now.what})")
    version = MEASURED["versions"][known.measured]
    assert drift == [], f"{kind} is not what {version} was; update the measurement or explain it in KINDS"

    other = {
        case.name: seen[case.name, Family.IPV6].seen
        for case in MALFORMED
        if seen[case.name, Family.IPV6].seen != seen[case.name, Family.IPV4].seen and case.name not in known.unsteady
    }
    assert {case: word for case, word in other.items() if known.ipv6.get(case) != word} == {}, "IPv6 differs from IPv4"

    rest = [one for (case, _), one in seen.items() if case in OPEN_ANSWERS or case in UNPARSEABLE]
    assert [f"{one.case} {one.family}: {one.what}" for one in rest if not one.conforms] == []
