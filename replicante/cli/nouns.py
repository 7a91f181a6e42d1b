"""`replicante namespace|platform|cluster`: declared objects by their kind, and what is known of
them."""

from __future__ import annotations

import click

from replicante.cli import render
from replicante.cli.common import (
    Target,
    client_options,
    example,
    namespace_option,
    read_options,
)
from replicante.cli.objects import delete_all, show_list, show_one
from replicante.client import Read
from replicante.wire.clusters import DiscoveryAnswer, ReportAnswer, WorkRequested

_LABELS = click.option("--labels", default="", help="Only those that have these: a=b,c!=d,e,!f.")
_IF_REVISION = click.option(
    "--if-revision", metavar="REVISION", help="Only when it has this revision."
)


@click.group(epilog=example("replicante namespace list"))
def namespace() -> None:
    """Namespaces: list, get, delete."""


@namespace.command("list", epilog=example("replicante namespace list"))
@_LABELS
@client_options
@read_options
def list_namespaces(*, labels: str, target: Target, read: Read) -> None:
    """Print all namespaces."""
    show_list("namespace", (), labels=labels, target=target, read=read)


@namespace.command("get", epilog=example("replicante namespace get default"))
@click.argument("name")
@client_options
@read_options
def get_namespace(name: str, *, target: Target, read: Read) -> None:
    """Print one namespace."""
    show_one("namespace", (name,), target=target, read=read)


@namespace.command("delete", epilog=example("replicante namespace delete default"))
@click.argument("name")
@_IF_REVISION
@client_options
def delete_namespace(name: str, *, if_revision: str | None, target: Target) -> None:
    """Ask for the end of a namespace; it goes when nothing lives in it any more."""
    delete_all([("namespace", (name,))], if_revision=if_revision, target=target)


@click.group(epilog=example("replicante platform list"))
def platform() -> None:
    """Platforms: list, get, delete."""


@platform.command("list", epilog=example("replicante platform list -n shop"))
@_LABELS
@namespace_option
@client_options
@read_options
def list_platforms(*, ns: str, labels: str, target: Target, read: Read) -> None:
    """Print the platforms of a namespace."""
    show_list("platform", (ns,), labels=labels, target=target, read=read)


@platform.command("get", epilog=example("replicante platform get local"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def get_platform(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print one platform."""
    show_one("platform", (ns, name), target=target, read=read)


@platform.command("delete", epilog=example("replicante platform delete local"))
@click.argument("name")
@_IF_REVISION
@namespace_option
@client_options
def delete_platform(name: str, *, ns: str, if_revision: str | None, target: Target) -> None:
    """Ask for the end of a platform. Its clusters stay, and are no longer discovered."""
    delete_all([("platform", (ns, name))], if_revision=if_revision, target=target)


@platform.command(epilog=example("replicante platform discover local"))
@click.argument("name")
@namespace_option
@client_options
def discover(name: str, *, ns: str, target: Target) -> None:
    """Ask for a discovery now."""
    asked = target.run(lambda client: client.platforms.discover(ns, name, write=target.write))
    target.show(asked, text=lambda: _requested_text(asked))


@platform.command("discovery", epilog=example("replicante platform discovery local"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def platform_discovery(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print what became of the last discovery of a platform."""
    found = target.run(lambda client: client.platforms.discovery(ns, name, read=read))
    target.show(found, text=lambda: render.yaml_text(found))


@click.group(epilog=example("replicante cluster list"))
def cluster() -> None:
    """Clusters of data stores: list, get, delete, and what is known of them."""


@cluster.command("list", epilog=example("replicante cluster list --labels tier=cache"))
@_LABELS
@namespace_option
@client_options
@read_options
def list_clusters(*, ns: str, labels: str, target: Target, read: Read) -> None:
    """Print the clusters of a namespace."""
    show_list("clusterspec", (ns,), labels=labels, target=target, read=read)


@cluster.command("get", epilog=example("replicante cluster get redis-main"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def get_cluster(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print the declaration of one cluster."""
    show_one("clusterspec", (ns, name), target=target, read=read)


@cluster.command("delete", epilog=example("replicante cluster delete redis-main"))
@click.argument("name")
@_IF_REVISION
@namespace_option
@client_options
def delete_cluster(name: str, *, ns: str, if_revision: str | None, target: Target) -> None:
    """Ask for the end of a cluster's records. Its nodes and their data stay as they are."""
    delete_all([("clusterspec", (ns, name))], if_revision=if_revision, target=target)


@cluster.command(epilog=example("replicante cluster discovery redis-main"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def discovery(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print what its platform says of a cluster."""
    found = target.run(lambda client: client.clusters.discovery(ns, name, read=read))
    target.show(found, text=lambda: _discovery_text(name, found))


@cluster.command(
    "approve-discovery",
    epilog=example("replicante cluster approve-discovery redis-main --gone r2 --gone r3"),
)
@click.argument("name")
@click.option(
    "--gone", "gone", multiple=True, required=True, help="Node that is really gone; each of them."
)
@click.option("--reason", default="", help="Why; an event keeps it.")
@namespace_option
@client_options
def approve_discovery(
    name: str, *, gone: tuple[str, ...], reason: str, ns: str, target: Target
) -> None:
    """Believe an answer of a platform that is held because it leaves out too many nodes.

    `cluster discovery` prints which nodes those are; others than these are refused.
    """
    done = target.run(
        lambda client: client.clusters.approve_discovery(
            ns, name, gone=gone, reason=reason, write=target.write
        )
    )
    target.show(done, text=lambda: render.pairs([("approved", done.revision)]))


@cluster.command(epilog=example("replicante cluster orchestrate redis-main"))
@click.argument("name")
@namespace_option
@client_options
def orchestrate(name: str, *, ns: str, target: Target) -> None:
    """Ask for a cycle now; `cluster report` tells what came of it."""
    asked = target.run(lambda client: client.clusters.orchestrate(ns, name, write=target.write))
    target.show(asked, text=lambda: _requested_text(asked))


@cluster.command(epilog=example("replicante cluster view redis-main"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def view(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print everything that is known of a cluster."""
    found = target.run(lambda client: client.clusters.view(ns, name, read=read))
    target.show(found, text=lambda: render.yaml_text(found))


@cluster.command(epilog=example("replicante cluster report redis-main"))
@click.argument("name")
@namespace_option
@client_options
@read_options
def report(name: str, *, ns: str, target: Target, read: Read) -> None:
    """Print the report of the last cycle."""
    found = target.run(lambda client: client.clusters.report(ns, name, read=read))
    target.show(found, text=lambda: _report_text(found))


def _discovery_text(name: str, found: DiscoveryAnswer) -> str:
    columns = ("node_id", "node_class", "node_group", "agent_address")
    table = render.table(
        ("NODE", "CLASS", "GROUP", "AGENT"),
        [tuple(node.get(column) for column in columns) for node in found.nodes],
    )
    if found.held is None:
        return table
    left = {node["node_id"] for node in found.held["nodes"]}
    missing = [node["node_id"] for node in found.nodes if node["node_id"] not in left]
    how = " ".join(f"--gone {node_id}" for node_id in missing)
    held = render.pairs(
        [
            ("held", found.held["reason"]),
            ("if it is so", f"replicante cluster approve-discovery {name} {how}"),
        ]
    )
    return f"{table}\n\n{held}"


def _requested_text(asked: WorkRequested) -> str:
    was_known = "" if asked.is_new else "it was asked for already"
    return render.pairs([("asked for", asked.task_id), ("note", was_known or None)])


def _report_text(found: ReportAnswer) -> str:
    head = render.pairs(
        [
            ("mode", found.mode),
            ("success", found.is_success),
            ("error", found.error),
            ("nodes synced", found.nodes_synced_count),
            ("nodes failed", found.nodes_failed_count),
            ("actions sent", found.nactions_sent_count),
            ("decision", found.decision_id),
        ]
    )
    if not found.notes:
        return head
    rows = [(note.get("category"), note.get("message"), note.get("data")) for note in found.notes]
    return f"{head}\n\n{render.table(('CATEGORY', 'MESSAGE', 'DATA'), rows)}"
