"""`replicante events retention`: how much of the event log all peers keep."""

from __future__ import annotations

from typing import Any

import click

from replicante.cli import render
from replicante.cli.common import Duration, Target, client_options, example, read_options
from replicante.client import Client, Read
from replicante.config_schema import parse_bytes
from replicante.wire.durations import parse_duration_ms
from replicante.wire.events import Retention, RetentionSet


class Size(click.ParamType[int]):
    """A number of bytes, or as `512MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value)
        except ValueError as exc:
            self.fail(f"{value!r} {exc}", param, ctx)


@click.group(epilog=example("replicante events retention get"))
def retention() -> None:
    """How much of the event log is kept."""


@retention.command(epilog=example("replicante events retention get -o json"))
@client_options
@read_options
def get(*, target: Target, read: Read) -> None:
    """Print the bounds, and how much is kept now."""
    found = target.run(lambda client: client.events.retention(read=read))
    target.show(found, text=lambda: _text(found))


@retention.command(
    "set",
    epilog=example(
        "replicante events retention set --age 90d",
        "replicante events retention set --count 1000000 --bytes 2GiB --age 7d",
    ),
)
@click.option("--count", type=int, metavar="N", help="Keep at most so many events.")
@click.option("--bytes", "size", type=Size(), help="Keep at most so many bytes, as 512MiB.")
@click.option("--age", type=Duration(), help="Keep events at most so long, by the cluster clock.")
@client_options
def set_(*, count: int | None, size: int | None, age: int | None, target: Target) -> None:
    """Change how much all peers keep; what is not given stays as it is.

    Each bound on its own removes the oldest events, some with every entry. A named consumer keeps
    what it has not read.
    """
    if count is None and size is None and age is None:
        raise click.UsageError("Give at least one of --count, --bytes and --age.")

    async def work(client: Client) -> RetentionSet:
        now = await client.events.retention(read=Read(timeout_ms=target.timeout_ms))
        return await client.events.set_retention(
            count=now.count if count is None else count,
            bytes=now.bytes if size is None else size,
            age_ms=(parse_duration_ms(now.age) or 0) if age is None else age,
            write=target.write,
        )

    done = target.run(work)
    target.show(done, text=lambda: _bounds(done))


def _bounds(found: Retention | RetentionSet) -> str:
    rows = [("count", found.count), ("bytes", found.bytes), ("age", found.age)]
    return render.pairs(rows)


def _text(found: Retention) -> str:
    return render.pairs(
        [
            ("count", f"{found.kept_count} of {found.count}"),
            ("bytes", f"{found.kept_bytes} of {found.bytes}"),
            ("age", found.age),
            ("floor", found.floor),
            ("head", found.head),
            ("held by", found.held_by),
        ]
    )
