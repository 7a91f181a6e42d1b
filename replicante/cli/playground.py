"""`replicante playground`: real data stores under their agents, on this machine."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replicante.cli.common import Command, example
from replicante.entropy import SystemEntropy
from replicante.errors import Unreachable
from replicante.model import action_kinds

if TYPE_CHECKING:
    from replicante.agents.by_hand import AgentsByHand
    from replicante.platforms.local import LocalNode, LocalPlatform

NODES_MAX = 9
GROUP = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    node: LocalNode
    status: str
    role: str
    follows: str


@click.group(epilog=example("replicante playground up redis", "replicante playground list"))
def playground() -> None:
    """Run a real data store on this machine, to try things on."""


def _directory(command: Command) -> Command:
    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("playground-data"),
        show_default=True,
        help="Where the nodes keep their data; it is also the local platform of that name.",
    )(command)


@playground.command(epilog=example("replicante playground up redis --nodes 3"))
@click.argument("store", type=click.Choice(["redis"]))
@click.option(
    "--nodes",
    "nodes_count",
    type=click.IntRange(1, NODES_MAX),
    default=3,
    show_default=True,
    help="How many; what is missing is made.",
)
@click.option("--cluster", "cluster_id", default="play", show_default=True, help="Its name.")
@_directory
def up(*, store: str, nodes_count: int, cluster_id: str, directory: Path) -> None:
    """Make nodes with their agents, and one cluster of them.

    The nodes go on when the command ends. After `down` the same ones are started again.
    """
    platform = _platform(directory)
    platform.revive()
    present = sum(node.cluster_id == cluster_id for node in platform.nodes())
    if present < nodes_count:
        definition = {"cluster_id": cluster_id, "store": store, "nodes": {GROUP: {}}}
        wanted = {"node_group_id": GROUP, "count": nodes_count - present}
        request = {"cluster": definition, "provision": wanted}
        platform.provision(request, request_id=SystemEntropy().token())
    nodes = [node for node in platform.nodes() if node.cluster_id == cluster_id]
    asyncio.run(_with_agents(lambda agents: _form(agents, nodes)))
    _print(platform)


@playground.command("list", epilog=example("replicante playground list"))
@_directory
def list_(*, directory: Path) -> None:
    """Show the nodes as their agents see them now."""
    _print(_platform(directory))


@playground.command(epilog=example("replicante playground kill play-1"))
@click.argument("node")
@_directory
def kill(*, node: str, directory: Path) -> None:
    """Kill the store of a node with SIGKILL; its agent stays."""
    _platform(directory).signal_store(node, signal.SIGKILL)


@playground.command(epilog=example("replicante playground pause play-1"))
@click.argument("node")
@_directory
def pause(*, node: str, directory: Path) -> None:
    """Stop the store of a node in its tracks, with SIGSTOP."""
    _platform(directory).signal_store(node, signal.SIGSTOP)


@playground.command(epilog=example("replicante playground resume play-1"))
@click.argument("node")
@_directory
def resume(*, node: str, directory: Path) -> None:
    """Let a paused store go on, with SIGCONT."""
    _platform(directory).signal_store(node, signal.SIGCONT)


@playground.command(epilog=example("replicante playground down"))
@_directory
def down(*, directory: Path) -> None:
    """End all agents and stores; their data stays for the next `up`."""
    _platform(directory).stop()


@playground.command(epilog=example("replicante playground clean"))
@_directory
def clean(*, directory: Path) -> None:
    """End all agents and stores, and remove their data."""
    _platform(directory).clean()


def _platform(directory: Path) -> LocalPlatform:
    from replicante.platforms.local import LocalPlatform

    return LocalPlatform(directory)


async def _with_agents(work: Callable[[AgentsByHand], Any]) -> Any:
    from replicante.agents.by_hand import AgentsByHand

    async with AgentsByHand() as agents:
        return await work(agents)


async def _form(agents: AgentsByHand, nodes: list[LocalNode]) -> None:
    """One cluster: the first is its primary, unless there is one; who follows nobody follows it."""
    for node in nodes:
        await agents.until_answers(node.agent_address)
    seen = await _see(agents, nodes)
    primary = next((it.node for it in seen if it.role == "primary"), None)
    addresses = {node.store_address for node in nodes}
    if primary is None:
        # After `down` nobody is: whoever follows none of the others was it.
        members = [it.node for it in seen if it.role and it.follows not in addresses]
        primary = members[0] if members else nodes[0]
        kind = action_kinds.STORE_PROMOTE if members else action_kinds.CLUSTER_INIT
        await agents.act(primary.agent_address, kind, {})
    for it in seen:
        if it.node != primary and it.follows != primary.store_address:
            kind = action_kinds.STORE_REJOIN if it.role else action_kinds.CLUSTER_JOIN
            await agents.act(it.node.agent_address, kind, {"node": primary.store_address})


async def _see(agents: AgentsByHand, nodes: list[LocalNode]) -> list[Seen]:
    return [await _look(agents, node) for node in nodes]


async def _look(agents: AgentsByHand, node: LocalNode) -> Seen:
    try:
        said = await agents.get(node.agent_address, "info/node")
        shards = await agents.get(node.agent_address, "info/shards")
    except Unreachable:
        return Seen(node=node, status="UNREACHABLE", role="", follows="")
    status = "" if said is None else str(said.get("node_status"))
    found = None if shards is None else shards.get("shards")
    shard = found[0] if isinstance(found, list) and found else {}
    upstream = shard.get("upstream") or {}
    return Seen(
        node=node,
        status=status,
        role=str(shard.get("role", "")),
        follows=str(upstream.get("address") or ""),
    )


def _print(platform: LocalPlatform) -> None:
    nodes = platform.nodes()
    seen = asyncio.run(_with_agents(lambda agents: _see(agents, nodes)))
    for it in seen:
        follows = f"  follows {it.follows}" if it.follows else ""
        words = f"{it.node.node_id}  {it.status}  {it.role or '-'}  {it.node.store_address}"
        click.echo(f"{words}  {it.node.agent_address}{follows}")
