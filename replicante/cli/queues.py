"""`replicante queue`: what waits, sending and receiving by hand, dead letters, pause, purge."""

from __future__ import annotations

from collections.abc import Sequence

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import (
    Duration,
    Target,
    client_options,
    example,
    parse_json,
    read_options,
)
from replicante.client import Client, Read
from replicante.wire.durations import format_duration_ms
from replicante.wire.queues import Claimed, JobItem, JobsMoved, QueueItem


@click.group(epilog=example("replicante queue list", "replicante queue send mail '\"hello\"'"))
def queue() -> None:
    """Queues of work: list, peek, send, receive, dead letters, redrive, pause, resume, purge."""


@queue.command("list", epilog=example("replicante queue list", "replicante queue list mail"))
@click.argument("prefix", default="")
@client_options
@read_options
def list_(prefix: str, *, target: Target, read: Read) -> None:
    """Print the queues that hold anything or are paused, and whose names start with PREFIX.

    A job is counted once. READY: claimed next. LATER: waits for its delay, or for another job of
    its group. OLDEST: since when the oldest of those that are ready was sent.
    """

    async def collect(client: Client) -> list[QueueItem]:
        return [item async for item in client.queues.list(prefix, read=read)]

    items = target.run(collect)
    target.show(items, text=lambda: _queues(items))


_shown_limit = click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="How many at most; a line says when there are more.",
)
_moved_limit = click.option(
    "--limit", type=click.IntRange(1), help="How many at most.  [default: all]"
)


@queue.command(epilog=example("replicante queue peek mail", "replicante queue peek mail --limit 5"))
@click.argument("name")
@_shown_limit
@client_options
@read_options
def peek(name: str, *, limit: int, target: Target, read: Read) -> None:
    """Print the oldest jobs of the queue NAME without claiming them."""
    _show_jobs(name, limit=limit, is_dead=False, target=target, read=read)


@queue.command(epilog=example("replicante queue dlq mail", "replicante queue dlq mail --limit 500"))
@click.argument("name")
@_shown_limit
@client_options
@read_options
def dlq(name: str, *, limit: int, target: Target, read: Read) -> None:
    """Print the dead letters of the queue NAME, with how their last attempt ended."""
    _show_jobs(name, limit=limit, is_dead=True, target=target, read=read)


@queue.command(
    epilog=example(
        'replicante queue send mail \'{"to": "ada"}\'',
        "replicante queue send mail later --text --delay 10m --priority 5 --dedup digest",
    )
)
@click.argument("name")
@click.argument("body")
@click.option("--text", is_flag=True, help="BODY is a text, not JSON.")
@click.option("--delay", type=Duration(), default="0s", help="Not claimed before.")
@click.option("--priority", type=int, default=0, help="The highest is claimed first.")
@click.option("--group", help="Its jobs are claimed in order, one at a time.")
@click.option("--dedup", help="While a job with it waits or is claimed, no other is added.")
@click.option("--max-attempts", type=int, help="Claims before it is a dead letter.")
@client_options
def send(
    name: str,
    body: str,
    *,
    text: bool,
    delay: int,
    priority: int,
    group: str | None,
    dedup: str | None,
    max_attempts: int | None,
    target: Target,
) -> None:
    """Add a job with BODY, which is JSON, to the queue NAME, and print its id."""
    value = body if text else parse_json(body, name="BODY", may_be_text=True)
    added = target.run(
        lambda client: client.queues.send(
            name,
            value,
            delay_ms=delay,
            priority=priority,
            group=group,
            dedup=dedup,
            max_attempts=max_attempts,
            write=target.write,
        )
    )
    target.show(
        added, text=lambda: render.pairs([("id", added.id), ("new", str(added.is_new).lower())])
    )


@queue.command(
    epilog=example("replicante queue receive mail", "replicante queue receive mail --keep 5m")
)
@click.argument("name")
@click.option("--wait", type=Duration(), default="0s", help="How long to wait for a job.")
@click.option("--keep", type=Duration(), help="Keep the claim so long instead of acknowledging.")
@client_options
def receive(name: str, *, wait: int, keep: int | None, target: Target) -> None:
    """Take one job of the queue NAME, print it, and acknowledge it.

    What could not be printed is not acknowledged: it comes again. With --keep it is only claimed:
    whoever has its token may acknowledge it within that time.
    """
    if wait > limits.CLAIM_WAIT_MS_MAX:
        longest = format_duration_ms(limits.CLAIM_WAIT_MS_MAX)
        raise click.UsageError(f"--wait is at most {longest}.")

    async def take(client: Client) -> None:
        claimed = await client.queues.claim(
            name,
            wait_ms=wait,
            visibility_ms=limits.JOB_VISIBILITY_MS_DEFAULT if keep is None else keep,
            worker="replicante queue receive",
            write=target.write,
        )
        # Printed first: nobody has seen a job that was acknowledged when the pipe is closed or the
        # answer is lost; one that was printed and comes again says so by its number of attempts.
        target.show(list(claimed), text=lambda: _claimed(claimed))
        if keep is None:
            for job in claimed:
                await client.queues.ack(name, job.id, job.token, write=target.write)

    target.run(take)


@queue.command(
    epilog=example("replicante queue redrive mail", "replicante queue redrive mail --limit 100")
)
@click.argument("name")
@click.argument("ids", nargs=-1)
@_moved_limit
@client_options
def redrive(name: str, ids: tuple[str, ...], *, limit: int | None, target: Target) -> None:
    """Let dead letters of the queue NAME wait again: those with IDS, or each of them once.

    They go a portion at a time, the oldest first; a redrive that was cut off is simply repeated.
    """
    moved = target.run(
        lambda client: client.queues.redrive_all(name, ids=ids, limit=limit, write=target.write)
    )
    target.show(moved, text=lambda: _moved("redriven", moved))


@queue.command(epilog=example("replicante queue pause mail --reason 'the relay is down'"))
@click.argument("name")
@click.option("--reason", required=True, help="Why; an event keeps it.")
@client_options
def pause(name: str, *, reason: str, target: Target) -> None:
    """Let nothing be claimed from the queue NAME until it is resumed."""
    changed = target.run(
        lambda client: client.queues.pause(name, reason=reason, write=target.write)
    )
    target.show(changed, text=lambda: render.pairs([("paused", changed.name)]))


@queue.command(epilog=example("replicante queue resume mail"))
@click.argument("name")
@client_options
def resume(name: str, *, target: Target) -> None:
    """Let jobs of the queue NAME be claimed again."""
    changed = target.run(lambda client: client.queues.resume(name, write=target.write))
    target.show(changed, text=lambda: render.pairs([("resumed", changed.name)]))


@queue.command(
    epilog=example(
        "replicante queue purge mail --reason 'test data'",
        "replicante queue purge mail --dead --limit 100 --reason 'the oldest'",
    )
)
@click.argument("name")
@click.option("--dead", is_flag=True, help="The dead letters instead of what waits.")
@click.option("--reason", required=True, help="Why; an event keeps it.")
@_moved_limit
@client_options
def purge(name: str, *, dead: bool, reason: str, limit: int | None, target: Target) -> None:
    """Remove all jobs of the queue NAME that wait; what is claimed stays.

    They go a portion at a time, the oldest first; a purge that was cut off is simply repeated. What
    is given back meanwhile may stay: `left` says how much.
    """
    removed = target.run(
        lambda client: client.queues.purge_all(
            name, reason=reason, is_dead=dead, limit=limit, write=target.write
        )
    )
    target.show(removed, text=lambda: _moved("removed", removed))


def _show_jobs(name: str, *, limit: int, is_dead: bool, target: Target, read: Read) -> None:
    """One more is asked for than is shown, to know whether there is one."""

    async def collect(client: Client) -> list[JobItem]:
        found: list[JobItem] = []
        page_items = min(limit + 1, limits.PAGE_ITEMS_MAX)
        jobs = client.queues.jobs(name, is_dead=is_dead, page_items=page_items, read=read)
        async for item in jobs:
            found.append(item)
            if len(found) > limit:
                break
        return found

    found = target.run(collect)
    shown = found[:limit]
    target.show(shown, text=lambda: _jobs(shown))
    if len(found) > limit:
        click.echo(f"These are the oldest {limit}; for more: --limit {10 * limit}", err=True)


def _queues(items: list[QueueItem]) -> str:
    return render.table(
        ("QUEUE", "READY", "LATER", "CLAIMED", "DEAD", "OLDEST", "PAUSED"),
        [
            (
                item.name,
                str(item.ready),
                str(item.waiting - item.ready),
                str(item.claimed),
                str(item.dead),
                item.oldest_age or "-",
                item.paused_reason if item.paused else "-",
            )
            for item in items
        ],
    )


def _jobs(items: Sequence[JobItem]) -> str:
    return render.table(
        ("JOB", "STATE", "DUE IN", "ATTEMPTS", "LAST", "BODY"),
        [
            (
                item.id,
                item.state,
                item.due_in,
                f"{item.attempts}/{item.max_attempts}",
                _last(item),
                render.json_line(item.body),
            )
            for item in items
        ],
    )


def _last(item: JobItem) -> str:
    if not item.history:
        return "-"
    last = item.history[-1]
    return f"{last.how}: {last.reason}" if last.reason else last.how


def _claimed(jobs: Sequence[Claimed]) -> str:
    return render.table(
        ("JOB", "ATTEMPT", "TOKEN", "BODY"),
        [(job.id, str(job.attempt), job.token, render.json_line(job.body)) for job in jobs],
    )


def _moved(done: str, moved: JobsMoved) -> str:
    return render.pairs([(done, str(moved.moved)), ("left", str(moved.left))])
