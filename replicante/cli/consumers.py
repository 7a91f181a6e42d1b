"""`replicante events consumer`: who reads the event log, and how far each is."""

from __future__ import annotations

from collections.abc import Sequence

import click

from replicante.cli import render
from replicante.cli.common import Target, client_options, example, read_options
from replicante.client import Read
from replicante.wire.consumers import Consumer


@click.group(epilog=example("replicante events consumer list"))
def consumer() -> None:
    """Named readers of the event log: what they have not read is kept for them."""


@consumer.command("list", epilog=example("replicante events consumer list"))
@client_options
@read_options
def list_(*, target: Target, read: Read) -> None:
    """Print all consumers, how far each is, and how long it was silent."""
    found = target.run(lambda client: client.consumers.list(read=read))
    target.show(found, text=lambda: _table(found))


@consumer.command(epilog=example("replicante events consumer get billing"))
@click.argument("name")
@client_options
@read_options
def get(name: str, *, target: Target, read: Read) -> None:
    """Print how far the consumer NAME is."""
    found = target.run(lambda client: client.consumers.get(name, read=read))
    target.show(found, text=lambda: _table((found,)))


@consumer.command(
    epilog=example(
        "replicante events consumer put billing",
        "replicante events consumer put billing 0000000000001245184",
    )
)
@click.argument("name")
@click.argument("position", required=False)
@client_options
def put(name: str, position: str | None, *, target: Target) -> None:
    """Say that NAME has handled everything up to the event POSITION.

    Without POSITION: that it is alive; a new consumer begins at the newest event.
    """
    found = target.run(lambda client: client.consumers.put(name, position, write=target.write))
    target.show(found, text=lambda: _table((found,)))


@consumer.command(epilog=example("replicante events consumer delete billing"))
@click.argument("name")
@client_options
def delete(name: str, *, target: Target) -> None:
    """End the consumer NAME: the log is no longer kept for it."""
    gone = target.run(lambda client: client.consumers.delete(name, write=target.write))
    target.show(gone, text=lambda: f"{gone.name} ended, revision {gone.revision}")


def _table(found: Sequence[Consumer]) -> str:
    rows = [
        (it.name, "expired" if it.expired else "live", it.position, it.lag, it.silent_for)
        for it in found
    ]
    return render.table(("NAME", "STATE", "POSITION", "LAG", "SILENT"), rows)
