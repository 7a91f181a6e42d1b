"""`replicante context`: names for clusters."""

from __future__ import annotations

import os

import click

from replicante.cli import render
from replicante.cli.common import example
from replicante.cli.contexts_file import (
    contexts_path,
    read_contexts,
    with_added,
    with_current,
    without,
    write_contexts,
)


@click.group(epilog=example("replicante context add prod --endpoints http://127.0.0.1:16016"))
def context() -> None:
    """Names for the clusters that you work with."""


@context.command(
    epilog=example(
        "replicante context add lab --endpoints http://127.0.0.1:16016,http://127.0.0.1:16017"
    )
)
@click.argument("name")
@click.option("--endpoints", metavar="URL,…", required=True, help="Its peers, with commas.")
def add(name: str, *, endpoints: str) -> None:
    """Remember a cluster under NAME; the first one becomes the current one."""
    path = contexts_path(os.environ)
    urls = tuple(item.strip() for item in endpoints.split(",") if item.strip())
    contexts = with_added(read_contexts(path), name, urls)
    write_contexts(path, contexts)
    click.echo(
        f"{name} is remembered in {path}; the current context is {contexts.current}.", err=True
    )


@context.command(epilog=example("replicante context use lab"))
@click.argument("name")
def use(name: str) -> None:
    """Make NAME the cluster that commands speak to."""
    path = contexts_path(os.environ)
    write_contexts(path, with_current(read_contexts(path), name))
    click.echo(f"The current context is {name}.", err=True)


@context.command(epilog=example("replicante context remove lab"))
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME."""
    path = contexts_path(os.environ)
    write_contexts(path, without(read_contexts(path), name))
    click.echo(f"{name} is forgotten.", err=True)


@context.command("list", epilog=example("replicante context list"))
def list_() -> None:
    """Print the known clusters; * marks the current one."""
    contexts = read_contexts(contexts_path(os.environ))
    rows = [
        ("*" if name == contexts.current else "", name, ",".join(known.endpoints))
        for name, known in sorted(contexts.contexts.items())
    ]
    click.echo(render.table(("CURRENT", "NAME", "ENDPOINTS"), rows))
