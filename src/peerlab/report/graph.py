"""The picture of a lab as SVG. Needs no program but this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape

import msgspec

from peerlab.report.layout import (
    HOST_HEIGHT,
    NODE_HEIGHT,
    Box,
    Layout,
    Place,
    arc_height,
    hosts_of,
    layout,
)
from peerlab.topology.model import AsRole, LabModel, Link, LinkPurpose, Relation, Session

LEGEND_HEIGHT = 40

ROLE_COLOUR = {
    AsRole.CLOUD: "#e8f1fb",
    AsRole.ISP: "#eef7ee",
    AsRole.IXP: "#f3eefb",
    AsRole.CUSTOMER: "#fdf6e7",
    AsRole.TRANSIT: "#fbeee8",
    AsRole.OBSERVER: "#f2f2f2",
}

STYLE = """
text { font: 12px "Segoe UI", "DejaVu Sans", Verdana, sans-serif; fill: #222; }
.title { font-weight: 600; font-size: 13px; }
.small { font-size: 10.5px; fill: #555; }
.halo { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round; }
.over { paint-order: stroke; stroke-width: 4px; stroke-linejoin: round; }
.box { stroke: #9aa4af; stroke-width: 1; }
.lan { stroke: #6a4fb3; stroke-width: 2; }
.metro { fill: none; stroke: #9aa4af; stroke-dasharray: 2 3; }
.node { fill: #fff; stroke: #4a5563; stroke-width: 1.2; }
.host { fill: #f4f6f8; stroke: #9aa4af; stroke-width: 0.8; }
.wire { fill: none; }
.backbone { stroke: #8a929b; stroke-width: 1.6; }
.connection { stroke: #0067b8; stroke-width: 2.6; }
.provider { stroke: #b35900; stroke-width: 1.6; }
.peer { stroke: #2e7d32; stroke-width: 1.6; }
.port { stroke: #6a4fb3; stroke-width: 2.2; }
.session { stroke: #6a4fb3; stroke-width: 1.2; stroke-dasharray: 5 4; }
.asked { stroke: #0067b8; stroke-width: 1.4; stroke-dasharray: 5 4; }
"""

LEGEND = (
    ("connection", "Microsoft.Peering connection"),
    ("asked", "its session on a LAN"),
    ("provider", "transit, arrow to the provider"),
    ("peer", "peering"),
    ("port", "exchange port"),
    ("session", "session on a LAN"),
    ("backbone", "backbone with IGP cost"),
)


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line from one node to another. ``kind`` is its style; ``tip`` shows when a reader points at it."""

    first: str
    second: str
    kind: str
    label: str = ""
    tip: str = ""
    sessions: tuple[str, ...] = ()


def svg(model: LabModel, states: Mapping[str, str] | None = None) -> str:
    """The lab as one self-contained SVG document: boxes by AS and metro, wires and sessions, a legend.

    With ``states`` (session id to a word) the picture is made to stand in a page whose style sheet gives the colours,
    light and dark: it brings none, each line is of class ``state-WORD`` by the worst of its sessions (see
    ``worst_state``) and names them in ``data-sessions``.
    """
    places = layout(model)
    height = places.height + (LEGEND_HEIGHT if states is None else 0)
    wires = _wires(model)
    drawn = {line.kind for line in wires}
    drawn |= {"backbone"} if any(link.purpose is LinkPurpose.BACKBONE for link in model.links) else set()
    legend = [(kind, text) for kind, text in LEGEND if kind in drawn]
    width = max(places.width, sum(_legend_width(text) for _, text in legend) + 16 if states is None else 0)
    shift = (width - places.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'width="{_n(width)}" height="{_n(height)}" role="img">',
        f"<title>{escape(model.name)}</title>",
        f"<desc>{escape(model.description)}</desc>",
        *([f"<style>{STYLE}</style>"] if states is None else []),
        '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#b35900"/></marker></defs>',
        f'<rect class="paper" width="{_n(width)}" height="{_n(height)}" fill="#fff"/>',
        f'<g transform="translate({_n(shift)} 0)">',
        *(_box(box, model) for box in places.boxes),
        *_lines(wires, places, states),
        *_backbones(model, places),
        *(part for box in places.boxes for part in (*_titles(box, model), *_nodes(box, model))),
        "</g>",
        *(_legend(legend, places.height + 14) if states is None else ()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# -- what is drawn -------------------------------------------------------------------------------------------------


def _wires(model: LabModel) -> list[_Line]:
    """Links between ASes, ports of LANs, and the sessions on LANs. Both families of a session are one line."""
    link_at = {(end.node, end.interface): link for link in model.links for end in link.ends}
    on_link: dict[str, list[Session]] = {}
    on_lan: dict[tuple[str, str], list[Session]] = {}
    for session in model.sessions:
        link = link_at.get((session.left.node, session.left.interface or ""))
        if link is None:
            continue
        if link.purpose is LinkPurpose.LAN:
            on_lan.setdefault((session.left.node, session.right.node), []).append(session)
        else:
            on_link.setdefault(link.id, []).append(session)
    servers = {node.name for node in model.nodes if node.route_server}
    lines: list[_Line] = []
    for link in model.links:
        first, second = (end.node for end in link.ends)
        if link.purpose is LinkPurpose.LAN and first not in servers:
            lines.append(_Line(first=first, second=second, kind="port", tip=f"port of {first} on {second}"))
        elif link.purpose is LinkPurpose.INTERCONNECT:
            lines.append(_interconnect(link, on_link.get(link.id, [])))
    for (first, second), sessions in on_lan.items():
        kind = "asked" if sessions[0].connection else "session"
        lines.append(_Line(first=first, second=second, kind=kind, tip=_tip(sessions), sessions=_ids(sessions)))
    return lines


def _interconnect(link: Link, sessions: list[Session]) -> _Line:
    first, second = (end.node for end in link.ends)
    if not sessions:
        return _Line(first=first, second=second, kind="peer", tip=link.id)
    session, tip, ids = sessions[0], _tip(sessions), _ids(sessions)
    if session.connection is not None:
        label = session.connection
        return _Line(first=first, second=second, kind="connection", label=label, tip=tip, sessions=ids)
    relation = session.end(first).relation
    if relation is Relation.CUSTOMER:
        first, second = second, first
    if relation in (Relation.CUSTOMER, Relation.PROVIDER):
        return _Line(first=first, second=second, kind="provider", tip=tip, sessions=ids)
    return _Line(first=first, second=second, kind="peer", tip=tip, sessions=ids)


def _ids(sessions: list[Session]) -> tuple[str, ...]:
    return tuple(session.id for session in sessions)


def _tip(sessions: list[Session]) -> str:
    return "\n".join(f"{s.id}: {s.left.address} - {s.right.address}" for s in sessions)


# -- drawing -------------------------------------------------------------------------------------------------------


def _n(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _rect(place: Place, style: str, radius: int, fill: str = "") -> str:
    colour = f' fill="{fill}"' if fill else ""
    return (
        f'<rect class="{style}" x="{_n(place.x)}" y="{_n(place.y)}" width="{_n(place.width)}" '
        f'height="{_n(place.height)}" rx="{radius}"{colour}/>'
    )


def _role(box: Box, model: LabModel) -> AsRole:
    roles = {asys.name: asys.role for asys in model.ases}
    return AsRole.IXP if box.is_exchange else roles[box.name]


def _box(box: Box, model: LabModel) -> str:
    role = _role(box, model)
    frame = _rect(box.place, f"box {'lan ' if box.is_exchange else ''}role-{role}", 10, ROLE_COLOUR[role])
    return "\n".join([frame, *(_rect(place, "metro", 8) for _, place in box.metros)])


def _titles(box: Box, model: LabModel) -> Iterator[str]:
    """Written over the lines, in a halo of the box's colour."""
    locations = {metro.name: metro.peering_location for metro in model.metros}
    role = _role(box, model)
    yield f'<g class="over-{role}" stroke="{ROLE_COLOUR[role]}">'
    yield _text(box.place.x + 14, box.place.y + 20, box.title, "title over")
    for metro, place in box.metros:
        yield _text(place.x + 8, place.y + 13, locations.get(metro, metro), "small over")
    yield "</g>"


def _nodes(box: Box, model: LabModel) -> Iterator[str]:
    hosts = hosts_of(model)
    by_name = {node.name: node for node in model.nodes}
    for name, place in box.nodes.items():
        node = by_name[name]
        yield f"<g><title>{escape(name)}: {escape(str(node.kind))}, {escape(node.loopback_v6 or '')}</title>"
        yield _rect(place, "node", 6)
        yield _text(place.centre, place.y + 18, name, "title", "middle")
        yield _text(place.centre, place.y + 33, node.loopback_v4 or "", "small", "middle")
        for number, host in enumerate(hosts.get(name, [])):
            strip = Place(
                place.x + 6, place.y + NODE_HEIGHT - 2 + HOST_HEIGHT * number, place.width - 12, HOST_HEIGHT - 3
            )
            yield _rect(strip, "host", 4)
            yield _text(strip.centre, strip.y + 11, host.name, "small", "middle")
        yield "</g>"


def worst_state(states: Iterable[str]) -> str:
    """The state of a line with several sessions: down before partly up, before up, before not asked for yet."""
    found = set(states)
    return next((word for word in ("down", "partial", "up") if word in found), "absent")


def _stateful(line: _Line, states: Mapping[str, str]) -> str:
    """Class and data of a line of a page's picture."""
    if not line.sessions:
        return f'class="wire {line.kind}"'
    state = worst_state(states.get(session, "absent") for session in line.sessions)
    return f'class="wire {line.kind} state-{state}" data-sessions="{escape(" ".join(line.sessions))}"'


def _lines(lines: list[_Line], places: Layout, states: Mapping[str, str] | None) -> Iterator[str]:
    """Curves between nodes. On each side of a node they leave side by side, in the order of where they go."""
    sides: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
    for number, line in enumerate(lines):
        for end, (node, other) in enumerate(((line.first, line.second), (line.second, line.first))):
            side = _side(places, node, other)
            sides.setdefault((node, side), []).append((places.node(other).centre, number, end))
    anchors: dict[tuple[int, int], tuple[float, float]] = {}
    for (node, side), leaving in sides.items():
        place = places.node(node)
        y = place.y if side == "top" else place.bottom
        for position, (_, number, end) in enumerate(sorted(leaving)):
            anchors[number, end] = (place.x + place.width * (position + 1) / (len(leaving) + 1), y)
    labels: list[str] = []
    labelled: dict[str, int] = {}
    for number, line in enumerate(lines):
        (x1, y1), (x2, y2) = anchors[number, 0], anchors[number, 1]
        same_row = places.row_of[places.box_of[line.first]] == places.row_of[places.box_of[line.second]]
        if same_row:
            reach = 34 + 0.06 * abs(x1 - x2)
            c1, c2 = max(y1, y2) + reach, max(y1, y2) + reach
        else:
            reach = 0.45 * (y2 - y1)
            c1, c2 = y1 + reach, y2 - reach
        arrow = ' marker-end="url(#to)"' if line.kind == "provider" else ""
        style = f'class="wire {line.kind}"' if states is None else _stateful(line, states)
        yield (
            f'<path {style} d="M{_n(x1)} {_n(y1)} C{_n(x1)} {_n(c1)} {_n(x2)} {_n(c2)} '
            f'{_n(x2)} {_n(y2)}"{arrow}><title>{escape(line.tip)}</title></path>'
        )
        if line.label:
            turn = labelled.get(line.label.partition("/")[0], 0)
            labelled[line.label.partition("/")[0]] = turn + 1
            t = 0.36 + 0.24 * (turn % 2)
            x, y = (_bezier(t, *axis) for axis in ((x1, x1, x2, x2), (y1, c1, c2, y2)))
            labels.append(_text(x, y, line.label, "small halo", "middle"))
    yield from labels


def _side(places: Layout, node: str, other: str) -> str:
    """Which side of a node a line leaves: towards the other's row, downwards within a row."""
    mine, theirs = (places.row_of[places.box_of[name]] for name in (node, other))
    return "top" if theirs < mine else "bottom"


def _bezier(t: float, a: float, b: float, c: float, d: float) -> float:
    u = 1 - t
    return u * u * u * a + 3 * u * u * t * b + 3 * u * t * t * c + t * t * t * d


def _backbones(model: LabModel, places: Layout) -> Iterator[str]:
    """IGP links: straight between neighbours, else an arc over the routers between them, with the cost on top."""
    costs = {(node.name, i.link): i.igp_cost for node in model.nodes for i in node.interfaces}
    for link in model.links:
        if link.purpose is not LinkPurpose.BACKBONE:
            continue
        ends = sorted((end.node for end in link.ends), key=lambda name: places.node(name).x)
        left, right = (places.node(name) for name in ends)
        order = list(next(box for box in places.boxes if box.name == places.box_of[ends[0]]).nodes)
        apart = abs(order.index(ends[0]) - order.index(ends[1]))
        there, back = costs[link.ends[0].node, link.id], costs[link.ends[1].node, link.id]
        label = str(there) if there == back else f"{there}/{back}"
        if apart <= 1:
            y = left.y + NODE_HEIGHT / 2
            path = f"M{_n(left.x + left.width)} {_n(y)} L{_n(right.x)} {_n(y)}"
            at = ((left.x + left.width + right.x) / 2, y - 5)
        else:
            rise = arc_height(apart)
            x1, x2 = left.x + left.width * 0.62, right.x + right.width * 0.38
            low, high = _n(left.y), _n(left.y - rise)
            path = f"M{_n(x1)} {low} C{_n(x1)} {high} {_n(x2)} {high} {_n(x2)} {low}"
            at = ((x1 + x2) / 2, left.y - rise * 0.75 + 4)
        yield f'<path class="wire backbone" d="{path}"><title>{escape(link.id)}</title></path>'
        yield _text(*at, label, "small halo", "middle")


def _legend_width(text: str) -> float:
    return 46 + 6.2 * len(text)


def _legend(legend: list[tuple[str, str]], y: float) -> Iterator[str]:
    x = 16.0
    for kind, text in legend:
        arrow = ' marker-end="url(#to)"' if kind == "provider" else ""
        yield f'<path class="wire {kind}" d="M{_n(x)} {_n(y)} L{_n(x + 28)} {_n(y)}"{arrow}/>'
        yield _text(x + 34, y + 4, text, "small")
        x += _legend_width(text)
