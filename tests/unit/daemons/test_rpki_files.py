"""Caches: their files, and who asks which."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from peerlab.bgp.attributes import Prefix
from peerlab.bgp.origin_validation import Vrp
from peerlab.bgp.rtr_config import RtrServer
from peerlab.controller.examiner import Post, add_examiners, remove_examiners
from peerlab.controller.origin_exam import CACHE_NODE, with_cache
from peerlab.controller.plan import Intent, StartCache, View, plan
from peerlab.daemons import bird, rpki
from peerlab.daemons.router_config import router_config
from peerlab.errors import InputError, Unsupported
from peerlab.topology.load import load, load_text
from peerlab.topology.model import LabModel, NodeKind

TOPOLOGY = Path(__file__).parents[3] / "topologies" / "rpki.yaml"
ROA = Vrp(Prefix("192.0.2.0/24"), 64500)


def lab(*changes: tuple[str, str]) -> LabModel:
    text = TOPOLOGY.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return load_text(text, "rpki.yaml")


def test_vrps_survive_their_file_each_once_with_its_max_length() -> None:
    text = rpki.vrps_json([ROA, ROA, Vrp(Prefix("2001:db8::/32"), 0, 48)])
    assert rpki.read_vrps(text) == (Vrp(ROA.prefix, 64500, 24), Vrp(Prefix("2001:db8::/32"), 0, 48))


def test_an_export_of_rpki_client_can_be_read() -> None:
    text = '{"metadata": {"x": 1}, "roas": [{"asn": 64500, "prefix": "192.0.2.0/24", "maxLength": 24, "ta": "ripe"}]}'
    assert rpki.read_vrps(text) == (Vrp(ROA.prefix, 64500, 24),)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"roas": [{"asn": 1}]}',
        '{"roas": [{"asn": "ASx", "prefix": "192.0.2.0/24", "maxLength": 24}]}',
        '{"roas": [{"asn": 1, "prefix": "192.0.2.1/24", "maxLength": 24}]}',
        '{"roas": [{"asn": 1, "prefix": "192.0.2.0/24", "maxLength": 23}]}',
    ],
)
def test_a_file_that_holds_no_vrps_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        rpki.read_vrps(text)


def test_a_cache_begins_with_the_roas_of_the_registry_and_not_with_mere_route_objects() -> None:
    model = load(TOPOLOGY)
    (cache,) = model.caches
    served = rpki.read_vrps(rpki.files_of(model, cache)[rpki.VRPS])
    assert {vrp.prefix for vrp in served} == {e.prefix for e in model.registry if e.max_length is not None}
    assert "198.18.33.0/24" not in {vrp.prefix for vrp in served}


def test_every_router_of_the_as_asks_from_its_loopback_ipv6_first_and_no_other_does() -> None:
    model = load(TOPOLOGY)
    (far,) = rpki.servers_of(model, model.node("ams-edge-2"))
    assert [":" in address for address in far.addresses] == [True, False]
    assert far.sources == (model.node("ams-edge-2").loopback_v6, model.node("ams-edge-2").loopback_v4)
    assert rpki.servers_of(model, model.node("ams-edge-1"))[0].sources == (), "on its own wire it needs no loopback"
    assert rpki.servers_of(model, model.node("fab-ams-1")) == ()


def test_an_examiners_cache_stands_in_for_the_labs_own_and_leaves_it_as_it_was() -> None:
    model = load(TOPOLOGY)
    extended, _ = add_examiners(model, [Post(case="cache", examiner=CACHE_NODE, at="ams-edge-1")])
    extended = with_cache(extended, "ams-edge-1")

    def asked(one: LabModel, node: str) -> list[str]:
        return [server.name for server in rpki.servers_of(one, one.node(node))]

    assert asked(extended, "ams-edge-1") == [CACHE_NODE]
    assert asked(extended, "ams-edge-2") == ["rpki-ams"]
    assert extended.node(CACHE_NODE).kind is NodeKind.RPKI_CACHE
    assert rpki.read_vrps(rpki.files_of(extended, extended.caches[-1])[rpki.VRPS]) == ()
    assert asked(remove_examiners(extended), "ams-edge-1") == ["rpki-ams"]


def test_the_plan_starts_caches_and_tells_routers_of_others() -> None:
    model = load(TOPOLOGY)
    assert [step.node for step in plan(model, Intent(), View()) if isinstance(step, StartCache)] == ["rpki-ams"]
    wrong = (RtrServer(name="old", addresses=()),)
    view = View(caches=frozenset(["rpki-ams"]), routers=frozenset(["ams-edge-1"]), asked={"ams-edge-1": wrong})
    steps = [type(step).__name__ for step in plan(model, Intent(), view)]
    assert steps.count("ChangeCaches") == 1
    assert "StartCache" not in steps


def test_a_bird_is_told_of_its_caches_and_refuses_to_prefer_one() -> None:
    model = lab(("ams-edge-2: {metro: amsterdam}", "ams-edge-2: {metro: amsterdam, kind: bird}"))
    config = router_config(model, model.node("ams-edge-2"), {})
    text = bird.configuration(config)
    assert "protocol rpki 'rpki-rpki-ams'" in text
    assert f"remote {config.caches[0].addresses[0]} port 323;" in text
    other = msgspec.structs.replace(config.caches[0], name="other", preference=2)
    with pytest.raises(Unsupported, match="cannot prefer one RPKI cache"):
        bird.configuration(msgspec.structs.replace(config, caches=(*config.caches, other)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("router: nobody, expire: 9000", "no router of 'microsoft' called 'nobody'"),
        ("router: ams-edge-1, kind: bird", "there is no kind of cache 'bird'"),
        ("router: ams-edge-1, preference: 256", "256 is no preference"),
        ("router: ams-edge-1, refresh: 0", "0 s cannot be"),
        ("router: ams-edge-1, expire: 600", "600 s is not longer than refresh and retry"),
    ],
)
def test_a_mistaken_cache_is_explained(change: str, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", "\\(")):
        lab(("router: ams-edge-1, refresh: 60, retry: 10, expire: 600", change))
