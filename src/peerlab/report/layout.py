"""Where everything of a lab stands in its picture. Our own, deterministic: the same model gives the same picture.

ASes stand in rows by their distance from the cloud, in a row so that their links run short. An AS is a box with its
routers side by side; a router's hosts are lines in its box. An exchange is a box too, with its route servers inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from peerlab.topology.model import AsRole, LabModel, Link, LinkPurpose, Node, NodeKind

NODE_HEIGHT = 42
HOST_HEIGHT = 17
NODE_GAP = 26
METRO_GAP = 34
PADDING = 16
TITLE = 36
METRO_TITLE = 18
ROW_GAP = 96
LABELLED_ROW_GAP = 132
"""Below the cloud, where connections carry their names."""
BOX_GAP = 46
CHARACTER = 7.3
"""Width of a character of a router's name, in picture units."""
TITLE_CHARACTER = 8.2
"""Width of a character of a box's title."""


class Place(msgspec.Struct, frozen=True):
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """An AS or an exchange: its rectangle, the metros in it, and its routers' rectangles."""

    name: str
    title: str
    is_exchange: bool
    place: Place
    metros: tuple[tuple[str, Place], ...]
    nodes: dict[str, Place]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The whole picture. ``box_of`` tells the box of a router or a switch."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    box_of: dict[str, str]
    row_of: dict[str, int]

    def node(self, name: str) -> Place:
        """Where a router stands; for an exchange's switch the whole box. Raises KeyError."""
        box = next(box for box in self.boxes if box.name == self.box_of[name])
        return box.nodes.get(name, box.place)


class _Draft(msgspec.Struct, kw_only=True):
    """A box before it has a place: sizes and inner places relative to its corner."""

    name: str
    title: str
    is_exchange: bool
    width: float
    height: float
    metros: tuple[tuple[str, Place], ...]
    nodes: dict[str, Place]
    x: float = 0


def layout(model: LabModel) -> Layout:
    """Place every box of the lab."""
    drafts = _drafts(model)
    box_of = {node: name for name, draft in drafts.items() for node in draft.nodes}
    box_of |= {node.name: node.name for node in model.nodes if node.kind is NodeKind.SWITCH}
    links = [link for link in model.links if link.purpose is not LinkPurpose.ACCESS]
    row_of = _rows(model, drafts, box_of, links)
    rows: dict[int, list[_Draft]] = {}
    for name, draft in drafts.items():
        rows.setdefault(row_of[name], []).append(draft)
    _arrange(rows, drafts, box_of, links)
    boxes: list[Box] = []
    top, gap = float(PADDING), 0
    left = min((draft.x for draft in drafts.values()), default=0.0) - PADDING
    for number in sorted(rows):
        for draft in rows[number]:
            boxes.append(_placed(draft, draft.x - left, top))
        gap = LABELLED_ROW_GAP if number == 0 else ROW_GAP
        top += max(draft.height for draft in rows[number]) + gap
    width = max((box.place.x + box.place.width for box in boxes), default=0.0) + PADDING
    return Layout(width=width, height=top - gap + PADDING, boxes=tuple(boxes), box_of=box_of, row_of=row_of)


def hosts_of(model: LabModel) -> dict[str, list[Node]]:
    """The hosts behind each router."""
    kinds = {node.name: node for node in model.nodes}
    found: dict[str, list[Node]] = {}
    for link in model.links:
        if link.purpose is LinkPurpose.ACCESS:
            first, second = (kinds[end.node] for end in link.ends)
            host, router = (second, first) if first.is_router else (first, second)
            found.setdefault(router.name, []).append(host)
    return found


# -- boxes ---------------------------------------------------------------------------------------------------------


def _drafts(model: LabModel) -> dict[str, _Draft]:
    """One box per AS with routers and one per exchange; route servers stand in their exchange's box."""
    hosts = hosts_of(model)
    switch_of_server = _switch_of_servers(model)
    drafts: dict[str, _Draft] = {}
    for asys in model.ases:
        routers = [n for n in model.nodes if n.as_name == asys.name and n.is_router and n.name not in switch_of_server]
        if routers:
            span = _longest_backbone(model, [router.name for router in routers])
            title = f"{asys.name} · AS{asys.asn} · {asys.role}"
            drafts[asys.name] = _draft(asys.name, title, routers, hosts, span, is_exchange=False)
    for switch in model.nodes:
        if switch.kind is not NodeKind.SWITCH:
            continue
        servers = [n for n in model.nodes if switch_of_server.get(n.name) == switch.name]
        operator = f" · {servers[0].as_name} AS{servers[0].asn}" if servers else ""
        title = f"{switch.name}{operator} · exchange"
        drafts[switch.name] = _draft(switch.name, title, servers, hosts, 0, is_exchange=True)
    return drafts


def _switch_of_servers(model: LabModel) -> dict[str, str]:
    servers = {node.name for node in model.nodes if node.route_server}
    found: dict[str, str] = {}
    for link in model.links:
        if link.purpose is LinkPurpose.LAN:
            router, switch = (end.node for end in link.ends)
            if router in servers:
                found.setdefault(router, switch)
    return found


def _longest_backbone(model: LabModel, order: list[str]) -> int:
    """How many places the longest backbone link spans: arcs need that much room above the routers."""
    position = {name: number for number, name in enumerate(order)}
    spans = [
        abs(position[link.ends[0].node] - position[link.ends[1].node])
        for link in model.links
        if link.purpose is LinkPurpose.BACKBONE and all(end.node in position for end in link.ends)
    ]
    return max(spans, default=0)


def arc_height(places_apart: int) -> float:
    """Height of the arc of a backbone link between routers so many places apart; neighbours get a straight line."""
    return 0.0 if places_apart <= 1 else 16.0 + 15.0 * (places_apart - 1)


def _draft(
    name: str,
    title: str,
    routers: list[Node],
    hosts: Mapping[str, list[Node]],
    span: int,
    *,
    is_exchange: bool,
) -> _Draft:
    with_metros = not is_exchange and any(router.metro for router in routers)
    top = TITLE + arc_height(span) * 0.75 + (METRO_TITLE if with_metros else 0)
    tallest = max((len(hosts.get(router.name, [])) for router in routers), default=0)
    x = float(PADDING)
    nodes: dict[str, Place] = {}
    metros: list[tuple[str, Place]] = []
    previous: str | None = None
    for position, router in enumerate(routers):
        if position and with_metros and router.metro != previous:
            x += METRO_GAP - NODE_GAP
        previous = router.metro
        lines = [router.name, *(host.name + "   " for host in hosts.get(router.name, []))]
        width = max(96.0, 24 + CHARACTER * max(len(line) for line in lines))
        nodes[router.name] = Place(x, top, width, NODE_HEIGHT + HOST_HEIGHT * len(hosts.get(router.name, [])))
        x += width + NODE_GAP
    height = top + NODE_HEIGHT + HOST_HEIGHT * tallest + PADDING if routers else TITLE + PADDING
    if with_metros:
        metros = _metro_places(routers, nodes)
        height += 8
    width = max(x - NODE_GAP + PADDING, 2 * PADDING + TITLE_CHARACTER * len(title), 200.0 if is_exchange else 0.0)
    spare = (width - (x - NODE_GAP + PADDING)) / 2 if nodes else 0.0
    if spare > 0:
        nodes = {n: Place(p.x + spare, p.y, p.width, p.height) for n, p in nodes.items()}
        metros = _metro_places(routers, nodes) if with_metros else []
    return _Draft(
        name=name,
        title=title,
        is_exchange=is_exchange,
        width=width,
        height=height,
        metros=tuple(metros),
        nodes=nodes,
    )


def _metro_places(routers: list[Node], nodes: Mapping[str, Place]) -> list[tuple[str, Place]]:
    """A frame around each run of routers of one metro."""
    found: list[tuple[str, Place]] = []
    deepest = max(place.height for place in nodes.values())
    run: list[Node] = []
    for router in [*routers, None]:
        if run and (router is None or router.metro != run[0].metro):
            first, last = nodes[run[0].name], nodes[run[-1].name]
            if run[0].metro:
                frame = Place(first.x - 9, first.y - METRO_TITLE, last.x + last.width - first.x + 18, 0)
                found.append((run[0].metro, Place(frame.x, frame.y, frame.width, deepest + METRO_TITLE + 9)))
            run = []
        if router is not None:
            run.append(router)
    return found


def _placed(draft: _Draft, x: float, y: float) -> Box:
    def moved(place: Place) -> Place:
        return Place(place.x + x, place.y + y, place.width, place.height)

    return Box(
        name=draft.name,
        title=draft.title,
        is_exchange=draft.is_exchange,
        place=Place(x, y, draft.width, draft.height),
        metros=tuple((name, moved(place)) for name, place in draft.metros),
        nodes={name: moved(place) for name, place in draft.nodes.items()},
    )


# -- rows and order ------------------------------------------------------------------------------------------------


def _rows(
    model: LabModel, drafts: Mapping[str, _Draft], box_of: Mapping[str, str], links: Iterable[Link]
) -> dict[str, int]:
    """Row of each box: links away from the cloud (or, without one, from the first AS). Strangers come last."""
    neighbours: dict[str, set[str]] = {name: set() for name in drafts}
    for link in links:
        first, second = (box_of[end.node] for end in link.ends)
        if first != second:
            neighbours[first].add(second)
            neighbours[second].add(first)
    clouds = [asys.name for asys in model.ases if asys.role is AsRole.CLOUD and asys.name in drafts]
    rows: dict[str, int] = {}
    for start in (*clouds, *drafts):
        if start in rows:
            continue
        base = max(rows.values(), default=-1) + 1
        frontier = [start]
        rows[start] = base
        while frontier:
            reached = sorted(
                {n for name in frontier for n in neighbours[name] if n not in rows}, key=list(drafts).index
            )
            for name in reached:
                rows[name] = rows[frontier[0]] + 1
            frontier = reached
    return rows


def _arrange(
    rows: Mapping[int, list[_Draft]],
    drafts: Mapping[str, _Draft],
    box_of: Mapping[str, str],
    links: list[Link],
) -> None:
    """Give every box its x: rows are ordered by the mean place of what they are linked to, then pushed apart."""
    pulls: dict[str, list[tuple[str, str]]] = {name: [] for name in drafts}
    for link in links:
        first, second = (end.node for end in link.ends)
        if box_of[first] != box_of[second]:
            pulls[box_of[first]].append((box_of[second], second))
            pulls[box_of[second]].append((box_of[first], first))
    number_of = {draft.name: number for number, row in rows.items() for draft in row}
    order = sorted(rows)
    for number in order:
        _spread(rows[number], {})
    sweeps = [*order[1:], *reversed(order[1:-1])] * 3 + order[1:]
    for number in sweeps:
        wanted: dict[str, float] = {}
        for draft in rows[number]:
            ends = [(box, node) for box, node in pulls[draft.name] if number_of[box] != number] or pulls[draft.name]
            above = [(box, node) for box, node in ends if number_of[box] < number] or ends
            if above:
                wanted[draft.name] = sum(_x(drafts[box], node) for box, node in above) / len(above)
        rows[number].sort(key=lambda d: (wanted.get(d.name, d.x + d.width / 2), d.name))
        _spread(rows[number], wanted)


def _x(draft: _Draft, node: str) -> float:
    place = draft.nodes.get(node)
    return draft.x + (place.centre if place else draft.width / 2)


def _spread(row: list[_Draft], wanted: Mapping[str, float]) -> None:
    """Each box near where it wants to be, none over another, the row as a whole neither left nor right of that."""
    edge = float("-inf")
    for draft in row:
        ideal = wanted.get(draft.name, 0.0) - draft.width / 2 if wanted else 0.0
        draft.x = max(ideal, edge)
        edge = draft.x + draft.width + BOX_GAP
    if wanted:
        drift = sum(d.x + d.width / 2 - wanted.get(d.name, d.x + d.width / 2) for d in row) / len(row)
        for draft in row:
            draft.x -= drift
