"""The picture of a lab as Mermaid text, for a README or a ticket."""

from __future__ import annotations

from peerlab.topology.model import LabModel, Link, LinkPurpose, Node, NodeKind, Relation


def mermaid(model: LabModel) -> str:
    """A flowchart: subgraphs by AS and metro, a line per wire; connections thick, transit pointing to the provider."""
    ids = {node.name: f"n{number}" for number, node in enumerate(model.nodes)}
    lines = ["flowchart TB"]
    for asys in model.ases:
        members = [node for node in model.nodes if node.as_name == asys.name]
        if not members:
            continue
        lines.append(f'  subgraph as{asys.asn}["{asys.name} AS{asys.asn} {asys.role}"]')
        metros = list(dict.fromkeys(node.metro for node in members))
        for metro in metros:
            inside = [node for node in members if node.metro == metro]
            if metro is None or metros == [metro]:
                lines.extend(f"    {_shape(node, ids)}" for node in inside)
                continue
            lines.append(f'    subgraph as{asys.asn}m{metros.index(metro)}["{metro}"]')
            lines.extend(f"      {_shape(node, ids)}" for node in inside)
            lines.append("    end")
        lines.append("  end")
    lines.extend(f"  {_shape(node, ids)}" for node in model.nodes if node.kind is NodeKind.SWITCH)
    lines.extend(f"  {_edge(model, link, ids)}" for link in model.links)
    return "\n".join(lines) + "\n"


def _shape(node: Node, ids: dict[str, str]) -> str:
    if node.kind is NodeKind.SWITCH:
        return f'{ids[node.name]}{{{{"{node.name}"}}}}'
    if node.is_cache:
        return f'{ids[node.name]}[("{node.name}")]'
    if node.kind is NodeKind.HOST:
        return f'{ids[node.name]}(["{node.name}"])'
    return f'{ids[node.name]}["{node.name}"]'


def _edge(model: LabModel, link: Link, ids: dict[str, str]) -> str:
    first, second = (end.node for end in link.ends)
    left, right = ids[first], ids[second]
    if link.purpose is LinkPurpose.BACKBONE:
        there, back = (
            next(i.igp_cost for i in model.node(end.node).interfaces if i.link == link.id) for end in link.ends
        )
        return f"{left} ---|{there if there == back else f'{there}/{back}'}| {right}"
    if link.purpose is not LinkPurpose.INTERCONNECT:
        return f"{left} --- {right}"
    ends = {(end.node, end.interface) for end in link.ends}
    session = next((s for s in model.sessions if (s.left.node, s.left.interface or "") in ends), None)
    if session is None:
        return f"{left} --- {right}"
    if session.connection is not None:
        return f"{left} ===|{session.connection}| {right}"
    relation = session.end(first).relation
    if relation is Relation.CUSTOMER:
        left, right = right, left
    return f"{left} --> {right}" if relation in (Relation.CUSTOMER, Relation.PROVIDER) else f"{left} --- {right}"
