"""`replicante n-action|o-action`: what is done to nodes, and by the orchestrator."""

from __future__ import annotations

from collections.abc import Callable

import click

from replicante.cli import render
from replicante.cli.common import (
    Target,
    client_options,
    example,
    namespace_option,
    read_options,
)
from replicante.client import Client, Read
from replicante.client.actions import Actions
from replicante.wire.actions import ActionMoved, ActionSummary

_CLUSTER = click.option(
    "-c",
    "--cluster",
    required=True,
    envvar="REPLICANTE_CLUSTER",
    help="Cluster. Also REPLICANTE_CLUSTER.",
)
_REASON = click.option("--reason", default="", help="Why; an event keeps it.")
_NO_ALL = click.option("--no-all", is_flag=True, help="Only those that are not finished.")


@click.group("n-action", epilog=example("replicante n-action list -c redis-main"))
def n_action() -> None:
    """Actions on nodes: list, get, approve, reject, cancel. They begin with `apply`."""


@n_action.command("list", epilog=example("replicante n-action list -c redis-main --node r1"))
@_CLUSTER
@click.option("--node", help="Only those of this node.")
@_NO_ALL
@namespace_option
@client_options
@read_options
def list_nactions(
    *, cluster: str, node: str | None, no_all: bool, ns: str, target: Target, read: Read
) -> None:
    """Print the node actions of a cluster."""

    async def collect(client: Client) -> list[ActionSummary]:
        found = client.nactions.list(
            ns, cluster, node_id=node, is_ended_wanted=not no_all, read=read
        )
        return [item async for item in found]

    items = target.run(collect)
    target.show(
        items,
        text=lambda: render.table(
            ("NODE", "ACTION", "KIND", "PHASE", "CREATED", "FINISHED"),
            [
                (it.node_id, it.action_id, it.kind, it.phase, it.created_time, it.finished_time)
                for it in items
            ],
        ),
    )


@n_action.command("get", epilog=example("replicante n-action get -c redis-main r1 ID"))
@click.argument("node")
@click.argument("action_id", metavar="ID")
@_CLUSTER
@namespace_option
@client_options
@read_options
def get_naction(
    node: str, action_id: str, *, cluster: str, ns: str, target: Target, read: Read
) -> None:
    """Print the action ID of NODE with its history."""
    _show(lambda client: client.nactions, (ns, cluster, node, action_id), target, read)


@click.group("o-action", epilog=example("replicante o-action list -c redis-main"))
def o_action() -> None:
    """Actions of the orchestrator: list, get, approve, reject, cancel. They begin with `apply`."""


@o_action.command("list", epilog=example("replicante o-action list -c redis-main"))
@_CLUSTER
@_NO_ALL
@namespace_option
@client_options
@read_options
def list_oactions(*, cluster: str, no_all: bool, ns: str, target: Target, read: Read) -> None:
    """Print the orchestrator actions of a cluster."""

    async def collect(client: Client) -> list[ActionSummary]:
        found = client.oactions.list(ns, cluster, is_ended_wanted=not no_all, read=read)
        return [item async for item in found]

    items = target.run(collect)
    target.show(
        items,
        text=lambda: render.table(
            ("ACTION", "KIND", "PHASE", "CREATED", "FINISHED"),
            [(it.action_id, it.kind, it.phase, it.created_time, it.finished_time) for it in items],
        ),
    )


@o_action.command("get", epilog=example("replicante o-action get -c redis-main ID"))
@click.argument("action_id", metavar="ID")
@_CLUSTER
@namespace_option
@client_options
@read_options
def get_oaction(action_id: str, *, cluster: str, ns: str, target: Target, read: Read) -> None:
    """Print the action ID with its history."""
    _show(lambda client: client.oactions, (ns, cluster, action_id), target, read)


def _show(
    noun: Callable[[Client], Actions], scope: tuple[str, ...], target: Target, read: Read
) -> None:
    found = target.run(lambda client: noun(client).get(*scope, read=read))
    target.show(found, text=lambda: render.yaml_text(found))


def _add_verbs() -> None:
    """approve, reject and cancel of both nouns: six commands that differ in a word."""
    meanings = {
        "approve": "Let an action begin that waits for it.",
        "reject": "End an action that waits for approval.",
        "cancel": "End an action that is not finished.",
    }
    for verb, meaning in meanings.items():
        n_action.add_command(_node_verb(verb, meaning))
        o_action.add_command(_cluster_verb(verb, meaning))


def _node_verb(verb: str, meaning: str) -> click.Command:
    @click.command(
        verb, help=meaning, epilog=example(f"replicante n-action {verb} -c redis-main r1 ID")
    )
    @click.argument("node")
    @click.argument("action_id", metavar="ID")
    @_CLUSTER
    @_REASON
    @namespace_option
    @client_options
    def move(
        node: str, action_id: str, *, cluster: str, reason: str, ns: str, target: Target
    ) -> None:
        scope = (ns, cluster, node, action_id)
        moved = target.run(
            lambda client: getattr(client.nactions, verb)(*scope, reason=reason, write=target.write)
        )
        _report(moved, target)

    return move


def _cluster_verb(verb: str, meaning: str) -> click.Command:
    @click.command(
        verb, help=meaning, epilog=example(f"replicante o-action {verb} -c redis-main ID")
    )
    @click.argument("action_id", metavar="ID")
    @_CLUSTER
    @_REASON
    @namespace_option
    @client_options
    def move(action_id: str, *, cluster: str, reason: str, ns: str, target: Target) -> None:
        scope = (ns, cluster, action_id)
        moved = target.run(
            lambda client: getattr(client.oactions, verb)(*scope, reason=reason, write=target.write)
        )
        _report(moved, target)

    return move


def _report(moved: ActionMoved, target: Target) -> None:
    rows = [("action", moved.action_id), ("phase", moved.phase), ("revision", moved.revision)]
    target.show(moved, text=lambda: render.pairs(rows))


_add_verbs()
