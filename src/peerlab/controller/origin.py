"""The scene about route origins: test ROAs by RTR, ROAs that come and go, a cache that is lost, a forger, blackholes.

An examiner brings a cache that the edge asks instead of the lab's own, so that test ROAs touch no real route: a ROA of
the scene is for a prefix that nobody in the lab uses. Routes stand announced while ROAs change under them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from peerlab.bgp.attributes import Family, PathAttributes, Prefix
from peerlab.bgp.origin_validation import INVALID, NOT_FOUND, VALID, Vrp
from peerlab.controller import rpki
from peerlab.controller.cast import connections
from peerlab.controller.exam import ANSWERED_WITHIN, Exam, sequence
from peerlab.controller.examiner import free_asns
from peerlab.controller.lab import now_ns
from peerlab.controller.origin_cases import (
    ACCEPT,
    REJECT,
    BlackholeCase,
    EgressCase,
    IngressCase,
    roa_text,
)
from peerlab.controller.origin_exam import AGREED, ANY, FAR, FORGER, INSIDE, OUT, PEER, STRIP, cache_of, posts, want
from peerlab.controller.origin_exam import with_cache as model_with_cache
from peerlab.controller.origin_scene import Cast, OriginScene, cast_of, fate_of
from peerlab.controller.rehearsal import Rehearsal
from peerlab.evidence.events import RouterNotice
from peerlab.evidence.story_origin import Ingress, OriginStimulus
from peerlab.peering.origin_monitor import OriginAlarmKind
from peerlab.peering.policy import BLACKHOLE
from peerlab.router.protocol import Announce
from peerlab.runtime.base import KernelRoute
from peerlab.topology.model import NodeKind

EXPIRE = 3
"""Seconds for which a cache that is about to be lost lets its data be used."""
EXPIRY_MARGIN = 10.0
"""Seconds beyond that in which the edge has to have forgotten them."""

_WITH_SETS = (Ingress.SET_COVERED, Ingress.SET_FREE)
"""Rejected whatever their state is."""


async def validate_origins(rehearsal: Rehearsal) -> None:
    """Play all of it at the first edge, and take examiners and cache away again."""
    edges = [connection.edge for _, connection in connections(rehearsal)]
    if not edges:
        return
    foreign = free_asns(rehearsal.model)
    forger, victim, other = next(foreign), next(foreign), next(foreign)
    cloud = rehearsal.model.node(edges[0]).asn or 0
    exam = await Exam.begin(rehearsal, posts(edges[0], cloud, forger))
    try:
        await rehearsal.lab.use_model(model_with_cache(rehearsal.lab.model, edges[0]))
        peer = exam[PEER].asn
        casts = [cast_of(exam, family, peer, cloud, victim, other) for family in Family]
        scene = OriginScene(exam, edges[0], victim, other, casts)
        for cast in casts:
            inside = [case.prefix for case in cast.egress if not case.path]
            stripped = [case.prefix for case in cast.egress if case.path]
            want(exam, cast.family, cast.objects, inside, stripped)
        await exam.realise()
        cases = (PEER, AGREED, FORGER, ANY, INSIDE, OUT, STRIP)
        await asyncio.gather(*(exam.is_up(exam[case], f) for case in cases for f in Family))
        await scene.serve({vrp for cast in casts for vrp in cast.vrps()})
        await announce_under_roas(scene)
        await change_roas(scene)
        await lose_cache(scene)
    finally:
        await exam.end()


async def announce_under_roas(scene: OriginScene) -> None:
    """POL-19, 20, 22 and the first half of SEC-06: everything is announced, then all answers are read."""
    for cast in scene.casts:
        for route in cast.ingress:
            _apply_ingress(scene, cast, route)
            await _announce(scene, PEER, cast.family, (route.prefix,), as_path=route.path)
        for out in cast.egress:
            await _announce_out(scene, cast, out)
        for hole in cast.blackholes:
            await _announce_hole(scene, cast, hole)
        await _announce_forgery(scene, cast)
        await scene.exam.announce(scene.exam[PEER], cast.family, (cast.live,))
    await scene.exam.rehearsal.lab.wait_quiet()
    vrps = await scene.vrps_in_force()
    for cast in scene.casts:
        seen = await scene.judged(PEER, cast.family)
        for route in cast.ingress:
            scene.exam.observed(
                OriginStimulus.VALIDATED,
                scene.exam[PEER].node,
                scene.exam[PEER].sessions[cast.family],
                prefix=route.prefix,
                vrps=vrps,
                **fate_of(seen, route.prefix),
            )
        await _observe_out(scene, cast)
        await _observe_holes(scene, cast)


async def change_roas(scene: OriginScene) -> None:
    """POL-21 and the second half of SEC-06: ROAs come and go under routes that stand."""
    other, peer = scene.other, scene.exam[PEER].asn
    before = set(scene.served)
    first = {Vrp(cast.live, other) for cast in scene.casts}
    both = first | {Vrp(cast.live, peer) for cast in scene.casts}
    await _change(scene, before | first, "a ROA for another AS is added", INVALID, REJECT)
    await _change(scene, before | both, "a ROA for the origin is added", VALID, ACCEPT)
    await _change(scene, before, "both ROAs are removed", NOT_FOUND, ACCEPT)
    loose = {cast.family: await _forgery_now(scene, cast) for cast in scene.casts}
    alarms = await watch(scene)
    minimal = {vrp for vrp in scene.served if vrp not in {cast.forgery.loose for cast in scene.casts}}
    await scene.serve(minimal | {cast.forgery.minimal for cast in scene.casts})
    for cast in scene.casts:
        now = await _forgery_now(scene, cast)
        covering = fate_of(await scene.judged(AGREED, cast.family), cast.forgery.covering)
        scene.exam.observed(
            OriginStimulus.FORGED,
            scene.exam[FORGER].node,
            scene.exam[FORGER].sessions[cast.family],
            prefix=cast.forgery.prefix,
            loose=loose[cast.family],
            minimal=now,
            alarms=alarms,
            covering=covering,
        )


async def watch(scene: OriginScene) -> list[str]:
    """Have the monitor look at the edge; its findings are written down, and the forged prefixes answered."""
    lab = scene.exam.rehearsal.lab
    found = await rpki.watch(lab, scene.edge, scene.served)
    for alarm in found:
        lab.record(
            RouterNotice(at=now_ns(), node=scene.edge, session="", kind=alarm.kind.value, text=alarm.text)
        )
    return [alarm.prefix for alarm in found if alarm.kind is OriginAlarmKind.FORGED_ORIGIN]


async def lose_cache(scene: OriginScene) -> None:
    """POL-21: the only cache dies; its data are used until they expire, then nothing is Invalid; then it comes back."""
    lab, exam = scene.exam.rehearsal.lab, scene.exam
    cache = cache_of(lab.model)
    if lab.model.node(scene.edge).kind is not NodeKind.EXABGP:
        _excuse(scene)
        return
    routes = {
        cast.family: {case.prefix: case.state for case in cast.ingress if case.vrps and case.case not in _WITH_SETS}
        for cast in scene.casts
    }
    await rpki.set_intervals(lab, cache, refresh=1, retry=1, expire=EXPIRE)
    marker = Vrp(scene.casts[0].live, scene.exam[PEER].asn)
    await scene.serve(scene.served | {marker})
    before = await scene.flaps()
    began = now_ns()
    for cast in scene.casts:
        exam.applied(
            OriginStimulus.CACHE_LOST,
            exam[PEER].node,
            exam[PEER].sessions[cast.family],
            expire=EXPIRE,
            routes=routes[cast.family],
        )
    await rpki.kill_cache(lab, cache)
    held = {cast.family: await _answers(scene, cast, routes[cast.family]) for cast in scene.casts}
    held_after = (now_ns() - began) / 1e9
    router = await exam.router(scene.edge)
    await router.validates_by((), EXPIRE + EXPIRY_MARGIN)
    seconds = (now_ns() - began) / 1e9
    vrps = await scene.vrps_in_force()
    expired = {cast.family: await _answers(scene, cast, routes[cast.family]) for cast in scene.casts}
    await rpki.restart_cache(lab, cache)
    await router.validates_by(scene.served, ANSWERED_WITHIN)
    await lab.wait_quiet((scene.edge,))
    after = await scene.flaps()
    for cast in scene.casts:
        session = exam[PEER].sessions[cast.family]
        exam.observed(
            OriginStimulus.CACHE_LOST,
            exam[PEER].node,
            session,
            held=held[cast.family],
            held_after=held_after,
            expired=expired[cast.family],
            back=await _answers(scene, cast, routes[cast.family]),
            vrps=vrps,
            seconds=seconds,
            reset=before.get(session) != after.get(session),
        )


def _excuse(scene: OriginScene) -> None:
    why = f"{scene.edge} takes no expiry below 600 s from a cache, which is too long to wait for"
    for cast in scene.casts:
        examiner = scene.exam[PEER]
        session = examiner.sessions[cast.family]
        scene.exam.applied(OriginStimulus.CACHE_LOST, examiner.node, session, expire=EXPIRE)
        scene.exam.observed(OriginStimulus.CACHE_LOST, examiner.node, session, unsupported=why)


# -- announcing ----------------------------------------------------------------------------------------------------


async def _announce(
    scene: OriginScene, case: str, family: Family, prefixes: tuple[Prefix, ...], **changes: object
) -> PathAttributes:
    """Announce past all policy with a path written out. Returns the attributes."""
    examiner = scene.exam[case]
    given = PathAttributes(as_path=sequence(examiner.asn), next_hop=examiner.addresses[family])
    made: PathAttributes = msgspec.structs.replace(given, **changes)
    await scene.exam.is_open(examiner, family)
    router = await scene.exam.router(examiner.node)
    await router.ask(Announce(session=examiner.sessions[family], prefixes=prefixes, attributes=made))
    return made


def _apply_ingress(scene: OriginScene, cast: Cast, route: IngressCase) -> None:
    examiner = scene.exam[PEER]
    scene.exam.applied(
        OriginStimulus.VALIDATED,
        examiner.node,
        examiner.sessions[cast.family],
        prefix=route.prefix,
        as_path=PathAttributes(as_path=route.path).path_text(),
        case=route.case,
        roas=[roa_text(vrp) for vrp in route.vrps],
        state=route.state,
        expected=route.expected,
    )


async def _announce_out(scene: OriginScene, cast: Cast, out: EgressCase) -> None:
    heard, told = (ANY, STRIP) if out.path else (INSIDE, OUT)
    examiner = scene.exam[heard]
    front = (examiner.asn,) if out.path else ()
    scene.exam.applied(
        OriginStimulus.EXPORTED,
        examiner.node,
        examiner.sessions[cast.family],
        out=scene.exam[told].sessions[cast.family],
        prefix=out.prefix,
        as_path=PathAttributes(as_path=sequence(*front, *out.path)).path_text(),
        case=out.case,
        origin=out.origin,
        roas=[roa_text(vrp) for vrp in out.vrps],
        expected=out.expected,
    )
    await scene.exam.announce(examiner, cast.family, (out.prefix,), out.path)


async def _announce_hole(scene: OriginScene, cast: Cast, hole: BlackholeCase) -> None:
    examiner = scene.exam[AGREED if hole.agreed else PEER]
    scene.exam.applied(
        OriginStimulus.BLACKHOLE,
        examiner.node,
        examiner.sessions[cast.family],
        prefix=hole.prefix,
        case=hole.case,
        marked=hole.marked,
        agreed=hole.agreed,
        covered=hole.covered,
        expected=hole.expected,
    )
    communities = (BLACKHOLE,) if hole.marked else ()
    await scene.exam.announce(examiner, cast.family, (hole.prefix,), communities=communities)


async def _announce_forgery(scene: OriginScene, cast: Cast) -> None:
    """The victim's prefix comes by an AS beside it; its sub-prefix by the forger, with the victim at the path's end."""
    forger = scene.exam[FORGER]
    await scene.exam.announce(scene.exam[AGREED], cast.family, (cast.forgery.covering,), (scene.victim,))
    scene.exam.applied(
        OriginStimulus.FORGED,
        forger.node,
        forger.sessions[cast.family],
        prefix=cast.forgery.prefix,
        covering=cast.forgery.covering,
        as_path=PathAttributes(as_path=sequence(forger.asn, scene.victim)).path_text(),
        victim=scene.victim,
    )
    await _announce(
        scene, FORGER, cast.family, (cast.forgery.prefix,), as_path=sequence(forger.asn, scene.victim)
    )


# -- looking -------------------------------------------------------------------------------------------------------


async def _answers(scene: OriginScene, cast: Cast, prefixes: Iterable[Prefix]) -> dict[str, dict[str, object]]:
    seen = await scene.judged(PEER, cast.family)
    return {prefix: fate_of(seen, prefix) for prefix in prefixes}


async def _forgery_now(scene: OriginScene, cast: Cast) -> dict[str, object]:
    return fate_of(await scene.judged(FORGER, cast.family), cast.forgery.prefix)


async def _change(scene: OriginScene, vrps: set[Vrp], change: str, state: str, expected: str) -> None:
    exam = scene.exam
    before, flaps = {}, await scene.flaps()
    for cast in scene.casts:
        before[cast.family] = fate_of(await scene.judged(PEER, cast.family), cast.live)
        exam.applied(
            OriginStimulus.VRP_CHANGED,
            exam[PEER].node,
            exam[PEER].sessions[cast.family],
            prefix=cast.live,
            trial=change,
            change=change,
            state=state,
            expected=expected,
        )
    await scene.serve(vrps)
    after = await scene.flaps()
    for cast in scene.casts:
        session = exam[PEER].sessions[cast.family]
        exam.observed(
            OriginStimulus.VRP_CHANGED,
            exam[PEER].node,
            session,
            prefix=cast.live,
            trial=change,
            before=before[cast.family],
            reset=flaps.get(session) != after.get(session),
            **fate_of(await scene.judged(PEER, cast.family), cast.live),
        )


async def _observe_out(scene: OriginScene, cast: Cast) -> None:
    far = await scene.exam.router(FAR)
    heard = {
        case: {route.prefix: route for route in await far.rib("adj-rib-in-pre", scene.exam[case].sessions[cast.family])}
        for case in (OUT, STRIP)
    }
    for out in cast.egress:
        source = scene.exam[ANY if out.path else INSIDE]
        best = await scene.exam.best(scene.edge, out.prefix)
        told = heard[STRIP if out.path else OUT].get(out.prefix)
        scene.exam.observed(
            OriginStimulus.EXPORTED,
            source.node,
            source.sessions[cast.family],
            prefix=out.prefix,
            held=best is not None,
            announced=told is not None,
            as_path="" if told is None else told.attributes.path_text(),
        )


async def _observe_holes(scene: OriginScene, cast: Cast) -> None:
    lab, router = scene.exam.rehearsal.lab, await scene.exam.router(scene.edge)
    kernel = {route.destination: route for route in await lab.runtime.kernel_routes(scene.edge, cast.family.value)}
    after = {
        case: {r.prefix: r for r in await router.rib("adj-rib-in-post", scene.exam[case].sessions[cast.family])}
        for case in (PEER, AGREED)
    }
    running = {fact.session for fact in await router.sessions()}
    told = {
        session.id: {route.prefix for route in await router.rib("adj-rib-out", session.id)}
        for session in lab.model.sessions_of(scene.edge)
        if session.id in running and not session.is_internal and session.family is cast.family
    }
    for hole in cast.blackholes:
        case = AGREED if hole.agreed else PEER
        taken = after[case].get(hole.prefix)
        scene.exam.observed(
            OriginStimulus.BLACKHOLE,
            scene.exam[case].node,
            scene.exam[case].sessions[cast.family],
            prefix=hole.prefix,
            kernel=_kind(kernel.get(hole.prefix)),
            communities=[] if taken is None else list(taken.attributes.communities),
            told=sorted(session for session, prefixes in told.items() if hole.prefix in prefixes),
            **fate_of(await scene.judged(case, cast.family), hole.prefix),
        )


def _kind(route: KernelRoute | None) -> str:
    return "" if route is None else route.kind
