"""`replicante events`: the event log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Target, client_options, example
from replicante.cli.consumers import consumer
from replicante.cli.event_checks import export, verify
from replicante.cli.event_options import event_line, filter_options
from replicante.cli.render import Output
from replicante.cli.retention import retention
from replicante.client import STALE, Client, EventFilter, Read
from replicante.wire.events import Event, EventsPage

LOOK_BACK_PAGES_MAX = 2_000
"""Where `tail` with a filter that little passes stops to look back: a million events."""


@click.group(epilog=example("replicante events tail -f"))
def events() -> None:
    """The log of everything that happened."""


events.add_command(consumer)
events.add_command(retention)
events.add_command(export)
events.add_command(verify)


@events.command(
    epilog=example(
        "replicante events tail -n 20",
        "replicante events tail -f --code KV_",
        "replicante events tail -f --after 0000000000001245184 -o json",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on with events as they happen.")
@click.option(
    "-n",
    "--last",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Begin with so many of the newest events.",
)
@click.option("--after", metavar="ID", help="Begin after this event instead; 0 is the beginning.")
@filter_options
@client_options
def tail(
    *,
    follow: bool,
    last: int,
    after: str | None,
    wanted: EventFilter,
    target: Target,
) -> None:
    """Print events, oldest first, one a line.

    With -f, the events go on at another peer when the one that is asked is lost, without a gap and
    without a duplicate. With -o json every line is an object, with -o yaml every event a document.
    """
    log = _Log(
        wanted=wanted,
        read=replace(STALE, timeout_ms=target.timeout_ms),
    )

    def say(event: Event) -> None:
        click.echo(event_line(event, target.output))

    async def work(client: Client) -> None:
        position = after
        if after is None:
            newest, position = await log.newest(client, last)
            for event in newest:
                say(event)
        elif not follow:
            await log.each(client, after, await client.events.head(read=log.read), say)
        if follow:
            async with aclosing(client.events.follow(after=position, wanted=log.wanted)) as stream:
                async for event in stream:
                    say(event)

    target.run(work)


@events.command(
    "list",
    epilog=example(
        "replicante events list --code KV_ -n 50",
        "replicante events list --before 0000000000001245184",
    ),
)
@click.option("--before", metavar="ID", help="Only events before this one.")
@click.option("--after", metavar="ID", help="Only events after this one, oldest first.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1, max=limits.PAGE_ITEMS_MAX),
    default=20,
    show_default=True,
    help="Items of a page.",
)
@filter_options
@client_options
def list_(
    *,
    before: str | None,
    after: str | None,
    limit: int,
    wanted: EventFilter,
    target: Target,
) -> None:
    """Print one page of events, newest first, and how to get the next.

    With a filter a page may hold fewer than asked for, and still have a next one. With -o json the
    page as the API gives it: `next` is the --before (or --after) of the page that follows.
    """
    if before is not None and after is not None:
        raise click.UsageError("Give --before or --after, not both: a page goes one way.")
    read = replace(STALE, timeout_ms=target.timeout_ms)

    async def ask(client: Client) -> EventsPage:
        if after is not None:
            return await client.events.page(after=after, limit=limit, wanted=wanted, read=read)
        return await client.events.page_back(before=before, limit=limit, wanted=wanted, read=read)

    page = target.run(ask)
    if target.output is not Output.TABLE:
        click.echo(render.document(page, target.output))
        return
    for event in page.items:
        click.echo(event_line(event, target.output))
    if after is not None:
        click.echo(f"newer: --after {page.next}", err=True)
    elif page.next > page.floor:
        click.echo(f"older: --before {page.next}", err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """The events that are wanted, and how they are read."""

    wanted: EventFilter
    read: Read

    async def newest(self, client: Client, count: int) -> tuple[list[Event], str]:
        """At most `count`, oldest first, and where to go on after them."""
        found: list[Event] = []
        before, head = None, None
        for _ in range(LOOK_BACK_PAGES_MAX):
            page = await client.events.page_back(
                before=before,
                limit=min(max(1, count - len(found)), limits.PAGE_ITEMS_MAX),
                wanted=self.wanted,
                read=self.read,
            )
            head = head or page.head
            found += page.items
            if len(found) >= count or page.next <= page.floor:
                break
            before = page.next
        assert head is not None, "at least one page was read"
        return found[:count][::-1], head

    async def each(
        self, client: Client, after: str, head: str, take: Callable[[Event], None]
    ) -> str:
        """Hands over what comes after an event, up to `head` at least; where to go on from."""
        position = after
        while True:
            page = await client.events.page(
                after=position, limit=limits.PAGE_ITEMS_MAX, wanted=self.wanted, read=self.read
            )
            for event in page.items:
                take(event)
            if page.next >= head or page.next == position:
                return page.next
            position = page.next
