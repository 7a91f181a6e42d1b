"""`replicante events export` and `events verify`: the log as a file, and whether it is one log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from replicante.cli import render
from replicante.cli.common import Target, client_options, example
from replicante.cli.event_options import filter_options
from replicante.cli.exits import Exit
from replicante.client import Client, EventFilter
from replicante.client.event_export import Exported
from replicante.client.event_verify import LogReport, PeerLog
from replicante.wire.events import Event

STDOUT = "-"
CHECKED_COUNT_DEFAULT = 10_000


@click.command(
    epilog=example(
        "replicante events export events.ndjson",
        "replicante events export events.ndjson --follow",
        "replicante events export --code KV_ | gzip > kv.ndjson.gz",
    )
)
@click.argument("file", default=STDOUT)
@click.option("-f", "--follow", is_flag=True, help="Go on with events as they happen.")
@click.option("--after", metavar="ID", help="Where a new file begins; else at the oldest event.")
@filter_options
@client_options
def export(
    file: str, *, follow: bool, after: str | None, wanted: EventFilter, target: Target
) -> int:
    """Write the event log to FILE, an event a line, and go on where FILE ends.

    Without FILE (or -) to stdout, from --after on. A run that was killed is simply run again: half
    a line at the end is cut off first. Unfiltered, every event is proved to follow the one before
    it, and nothing is written after one that does not. Use one filter for all runs on one file.
    """

    async def work(client: Client) -> Exported:
        if file == STDOUT:
            return await client.events.export_to(
                _StandardOutput(), after=after, wanted=wanted, is_followed=follow
            )
        return await client.events.export(
            Path(file), after=after, wanted=wanted, is_followed=follow
        )

    try:
        done = target.run(work)
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        click.echo(f"error: {file} cannot be written: {exc.strerror or exc}", err=True)
        return Exit.FAILED
    name = "stdout" if file == STDOUT else file
    last = "empty" if done.last is None else f"up to {done.last}"
    click.echo(f"exported {done.written_count} events to {name}, {last}", err=True)
    return Exit.OK


@click.command(epilog=example("replicante events verify", "replicante events verify --all -o json"))
@click.option(
    "--last",
    "count",
    type=click.IntRange(min=1),
    default=CHECKED_COUNT_DEFAULT,
    show_default=True,
    metavar="N",
    help="Hash so many of the newest events of each peer again.",
)
@click.option("--all", "is_all", is_flag=True, help="All that are kept.")
@client_options
def verify(*, count: int, is_all: bool, target: Target) -> int:
    """Prove that all peers have one event log, or say which has another, and from where.

    Asks the peers at the endpoints and all that they know of. The chains at the newest common event
    cover everything before it; then events are hashed again, back from there. Ends with 1 when a
    peer has another log or a broken chain, with 8 when not all could be asked.
    """
    report = target.run(
        lambda client: client.events.verify(
            count_max=None if is_all else count, timeout_ms=target.timeout_ms
        )
    )
    target.show(report, text=lambda: _table(report.peers))
    code, verdict = judge(report)
    click.echo(verdict, err=True)
    return code


def judge(report: LogReport) -> tuple[Exit, str]:
    """The exit code of a report, and in words."""
    if any(it.is_faulty for it in report.peers):
        return Exit.FAILED, "THE LOGS DIFFER, or one is broken: see the table, or -o json"
    unasked = [it for it in report.peers if it.error is not None]
    if unasked:
        names = ", ".join(f"{it.peer or it.endpoint} ({it.error})" for it in unasked)
        return Exit.UNREACHABLE, f"nothing differs, but not all could be asked: {names}"
    if not report.is_equal:
        return Exit.FAILED, "nothing to compare: fewer than two peers, or no common event"
    count = len(report.peers)
    return Exit.OK, f"{count} peers have one event log up to {report.common}"


class _StandardOutput:
    """Fits EventSink."""

    def __init__(self) -> None:
        self.last: Event | None = None

    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            click.echo(msgspec.json.encode(event))
        self.last = events[-1]

    def sync(self) -> None:
        sys.stdout.flush()


def _table(peers: Sequence[PeerLog]) -> str:
    header = ("PEER", "LOG", "FLOOR", "HEAD", "CHAIN", "HASHED", "URL")
    return render.table(header, [_row(it) for it in peers])


def _row(it: PeerLog) -> tuple[object, ...]:
    if it.fault is not None:
        state = it.fault
    elif it.parts_after is not None:
        state = f"another one after {it.parts_after}"
    elif it.error is not None:
        state = "not asked" if it.chain is None else "asked in part"
    else:
        state = "ok"
    return (it.peer, state, it.floor, it.head, it.chain, it.checked_count, it.endpoint)
