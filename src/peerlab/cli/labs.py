"""up, down, ls, inspect, plan, validate: a lab's life."""

from __future__ import annotations

from pathlib import Path

import click

from peerlab.cli.output import json_option, print_json, print_table, run
from peerlab.controller.attached import attach_desk
from peerlab.controller.configuration import keep_configurations
from peerlab.controller.kept_resources import drop_resources, kept_names, place_of, restore_resources
from peerlab.controller.lab import Lab
from peerlab.controller.plan import Intent, View, plan
from peerlab.errors import InputError, Problem, RefusedError
from peerlab.evidence.snapshot import NodeSnapshot
from peerlab.evidence.store import LabStore
from peerlab.runtime.namespaces import list_labs
from peerlab.topology.load import in_runtime, load, load_text, read_topology
from peerlab.topology.mistake import no_such
from peerlab.topology.model import LabModel, Node, RuntimeKind

topology_argument = click.argument("topology", type=click.Path(path_type=Path, readable=False))
lab_argument = click.argument("lab", required=False)
runtime_option = click.option(
    "--runtime",
    type=click.Choice([kind.value for kind in RuntimeKind]),
    help="Where routers run, whatever the topology says.",
)


def chosen_topology(path: Path, runtime: str | None) -> tuple[LabModel, str]:
    """A topology and its text, its routers moved into another runtime when one is named. Raises InputError."""
    text = read_topology(path)
    if runtime is not None:
        text = in_runtime(text, RuntimeKind(runtime))
    return load_text(text, str(path)), text


def running_labs() -> tuple[str, ...]:
    """The labs that run and keep their evidence here; those under another ``PEERLAB_STATE`` are left alone."""
    return tuple(name for name in list_labs() if LabStore.exists(name))


def chosen_lab(name: str | None) -> str:
    """The named lab, or the only one that runs. Raises RefusedError when that is ambiguous."""
    if name:
        return name
    running = running_labs()
    if len(running) == 1:
        return running[0]
    if not running:
        raise RefusedError("NoLab", "no lab runs; start one with `peerlab up topologies/direct.yaml`")
    raise RefusedError("WhichLab", f"several labs run ({', '.join(running)}); name one")


@click.command()
@topology_argument
@click.option("--name", help="Run it under another name than the topology's.")
@runtime_option
@json_option
def up(topology: Path, name: str | None, runtime: str | None, as_json: bool) -> None:
    """Build a lab and leave it running.

    Every session is Established but those of Microsoft.Peering connections: nothing has been asked of Microsoft
    yet. `peerlab rehearse` does that.

    \b
    Example:  peerlab up topologies/direct.yaml --name direct-2
    """
    model, text = chosen_topology(topology, runtime)

    async def work() -> None:
        lab = await Lab.up(model, text, name)
        try:
            restored = restore_resources(lab.store.name)
            if as_json:
                told = {"lab": lab.store.name, "nodes": len(model.nodes), "sessions": lab.expected_sessions()}
                print_json({**told, "resources": restored})
            else:
                sessions = len(lab.expected_sessions())
                click.echo(f"lab {lab.store.name} is up: {len(model.nodes)} nodes, {sessions} sessions Established")
                if restored:
                    click.echo(f"resources:     kept from the lab before it; `peerlab serve {lab.store.name}` has them")
                click.echo(f"look around:   peerlab sessions {lab.store.name}")
                click.echo(f"take it down:  peerlab down {lab.store.name}")
        finally:
            await lab.close()

    run(work())


@click.command()
@lab_argument
@click.option("--all", "every", is_flag=True, help="Every lab of yours.")
@click.option("--keep-evidence", is_flag=True, help="Leave the event log, trace and snapshots in place.")
@click.option("--keep-resources", is_flag=True, help="Keep what `peerlab serve` holds for the next `up` of that name.")
def down(lab: str | None, every: bool, keep_evidence: bool, keep_resources: bool) -> None:
    """Take a lab down, with its evidence and resources unless kept.

    \b
    Example:  peerlab down direct
              peerlab down azure --keep-resources
              peerlab down --all --keep-evidence
    """

    if keep_evidence and keep_resources:
        raise click.UsageError(
            "--keep-resources makes room for the next lab of that name, --keep-evidence does not; "
            "`peerlab bundle LAB` keeps the evidence elsewhere"
        )

    from peerlab.controller import suspension  # the desk would cost every command 0.2 s

    async def end(name: str) -> None:
        held = await Lab.attach(name)
        try:
            if keep_evidence:
                await keep_configurations(held)
                await held.tap.flush()
        finally:
            await held.down(keep_evidence or keep_resources)

    def leave(name: str) -> str:
        """What becomes of the directory of a lab that has ended."""
        if keep_evidence:
            return "kept"
        if keep_resources:
            suspension.keep_resources(name)
        else:
            drop_resources(name)
        LabStore.open(name).remove()
        return "removed but for its resources" if keep_resources else "removed"

    running = running_labs()
    names = running if every else [lab or chosen_lab(None)]
    for name in names:
        if name in running and keep_resources:
            with suspension.unserved(name):
                run(end(name))
            leave(name)
            click.echo(f"lab {name} is down; the next `peerlab up` of that name has its resources")
        elif name in running:
            run(end(name))
            drop_resources(name)
            click.echo(f"lab {name} is down")
        elif LabStore.exists(name):
            click.echo(f"lab {name} was not running; what it had left is {leave(name)}")
        elif name in kept_names() and not keep_resources:
            drop_resources(name)
            click.echo(f"lab {name} was not running; the resources that were kept of it are removed")
        else:
            known = sorted({*running, *LabStore.names()})
            if not known:
                raise RefusedError("NoSuchLab", f"there is no lab {name}, and no other; nothing is to be taken down")
            raise no_such("lab", name, known)
    if every:
        for name in LabStore.names():
            if name not in running and not keep_evidence:
                click.echo(f"what lab {name} had left is {leave(name)}")


@click.command()
@json_option
def ls(as_json: bool) -> None:
    """Your labs: those that run and those that left evidence.

    \b
    Example:  peerlab ls --json
    """
    running, kept = set(list_labs()), kept_names()
    rows = [
        {
            "lab": name,
            "state": "running" if name in running else "evidence only",
            "directory": str(LabStore.where(name)) if LabStore.exists(name) else "under another PEERLAB_STATE",
        }
        for name in sorted(running | set(LabStore.names()))
    ]
    rows += [
        {"lab": name, "state": "resources only", "directory": str(place_of(name))}
        for name in kept
        if name not in {row["lab"] for row in rows}
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(("LAB", "STATE", "DIRECTORY"), [tuple(row.values()) for row in rows])
    else:
        click.echo("no labs; start one with `peerlab up topologies/direct.yaml`")


@click.command()
@lab_argument
@click.option("--node", help="Only this node.")
@json_option
def inspect(lab: str | None, node: str | None, as_json: bool) -> None:
    """What a lab is now: nodes, addresses, sessions, routes.

    All of it is read from the routers and kernels of the lab, nothing from the topology. --json holds the whole
    snapshot, every RIB included.

    \b
    Example:  peerlab inspect peering-service --node ams-edge-1
    """

    async def read() -> tuple[LabModel, dict[str, NodeSnapshot]]:
        held = await Lab.attach(chosen_lab(lab))
        try:
            if node is not None and node not in (names := [known.name for known in held.model.nodes]):
                raise no_such("node", node, names)
            return held.model, (await held.look()).nodes
        finally:
            await held.close()

    model, every = run(read())
    nodes = every if node is None else {node: every[node]}
    if as_json:
        print_json(nodes)
        return
    for name, seen in nodes.items():
        _print_node(model.node(name), seen)


def _print_node(node: Node, seen: NodeSnapshot) -> None:
    """One node as read from the lab. Addresses that every interface has (loopback, link-local) are left out."""
    what = " ".join(filter(None, (node.kind.value, f"AS{node.asn}" if node.asn else "", node.metro)))
    dead = click.style(f"  DEAD: {seen.dead}", fg="red") if seen.dead else ""
    click.echo(f"{click.style(node.name, bold=True)}  {what}{dead}")
    for interface, addresses in sorted(seen.addresses.items()):
        told = [one for one in addresses if one not in ("127.0.0.1/8", "::1/128") and not one.startswith("fe80:")]
        down = "" if seen.carrier.get(interface, True) else click.style("  NO CARRIER", fg="red")
        if told or down:
            click.echo(f"  {interface:<15} {' '.join(told)}{down}")
    width = max((len(fact.session) for fact in seen.sessions), default=0)
    for fact in seen.sessions:
        click.echo(
            f"  {fact.session:<{width}} {fact.state:<11} recv {fact.received} acc {fact.accepted} adv {fact.advertised}"
        )
    if node.is_router and not seen.dead:
        best = sum(1 for route in seen.loc_rib if route.best)
        click.echo(f"  {best} best routes in Loc-RIB, {len(seen.kernel)} routes in the kernel")


@click.command("plan")
@topology_argument
@click.option("--lab", help="Compare with this running lab instead of with nothing.")
@json_option
def plan_command(topology: Path, lab: str | None, as_json: bool) -> None:
    """The steps that `up` would carry out, with reasons.

    Nothing is carried out. With --lab: the steps from that running lab to the topology.

    \b
    Example:  peerlab plan topologies/direct.yaml
              peerlab plan topologies/direct.yaml --lab direct
    """
    model = load(topology)

    async def against(name: str) -> tuple[object, ...]:
        held = (await attach_desk(name)).lab
        try:
            held.model = model
            return await held.plan()
        finally:
            await held.close()

    steps = run(against(lab)) if lab else plan(model, Intent(), View())
    if as_json:
        print_json(steps)
    elif not steps:
        click.echo("nothing to do")
    else:
        for step in steps:
            fields = {k: getattr(step, k) for k in step.__struct_fields__}  # type: ignore[attr-defined]
            why = fields.pop("why")
            kind = step.__struct_config__.tag  # type: ignore[attr-defined]
            click.echo(f"{kind:<16} {' '.join(str(value) for value in fields.values())}  ({why})")


@click.command()
@click.argument("topologies", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
def validate(topologies: tuple[Path, ...]) -> None:
    """Check topologies; report every mistake at once.

    Starts nothing. Ends with 3 when one of the files is wrong, after all have been read.

    \b
    Example:  peerlab validate topologies/*.yaml
    """
    problems: list[Problem] = []
    for topology in topologies:
        try:
            model = load(topology)
        except InputError as error:
            problems += error.problems
            continue
        click.echo(
            f"{topology}: {len(model.nodes)} nodes, {len(model.links)} links, {len(model.sessions)} sessions, "
            f"{len(model.peerings)} peering{'' if len(model.peerings) == 1 else 's'}"
        )
    if problems:
        raise InputError(problems)


COMMANDS = (up, down, ls, inspect, plan_command, validate)
