"""`replicante events`: the event log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Target, client_options, example
from replicante.cli.consumers import consumer
from replicante.cli.render import Output
from replicante.client import STALE, Client, EventFilter, Read
from replicante.ids import format_stamp, make_stamp, parse_stamp, stamp_index
from replicante.wire.events import Event

PAYLOAD_WIDTH_MAX = 60
LOOK_BACK_ENTRIES_MAX = 1 << 20


@click.group(epilog=example("replicante events tail -f"))
def events() -> None:
    """The log of everything that happened."""


events.add_command(consumer)


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
@click.option("--code", metavar="PREFIX", help="Only events whose code starts with this.")
@click.option("--ns", metavar="NAME", help="Only events of this namespace.")
@click.option("--cluster", metavar="NAME", help="Only events of this cluster.")
@click.option("--key", metavar="PREFIX", help="Only events whose key starts with this.")
@client_options
def tail(
    *,
    follow: bool,
    last: int,
    after: str | None,
    code: str | None,
    ns: str | None,
    cluster: str | None,
    key: str | None,
    target: Target,
) -> None:
    """Print events, oldest first, one a line.

    With -f, the events go on at another peer when the one that is asked is lost, without a gap and
    without a duplicate. With -o json every line is an object, with -o yaml every event a document.
    """
    log = _Log(
        wanted=EventFilter(code=code, ns=ns, cluster=cluster, key=key),
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


def event_line(event: Event, output: Output) -> str:
    if output is Output.JSON:
        return render.json_line(event)
    if output is Output.YAML:
        return "---\n" + render.yaml_text(event)
    place = "/".join(part for part in (event.ns, event.cluster) if part)
    words = [event.time, event.id, event.code, place, event.key or ""]
    payload = render.cut(render.json_line(event.payload), width_max=PAYLOAD_WIDTH_MAX)
    return render.GAP[1:].join(render.shown(word) for word in [*words, payload] if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """The events that are wanted, and how they are read."""

    wanted: EventFilter
    read: Read

    async def newest(self, client: Client, count: int) -> tuple[list[Event], str]:
        """At most `count`, and where to go on after them.

        Ids are stamps of log entries, so how far to look back is a guess, enlarged until it was
        enough, until everything was seen, or until it would take too long.
        """
        edge = await client.events.page(limit=1, read=self.read)
        if count == 0:
            return [], edge.head
        newest = stamp_index(parse_stamp(edge.head) or 0)
        entries_count = max(64, 2 * count)
        while True:
            after = max(edge.floor, format_stamp(make_stamp(max(0, newest - entries_count), 0)))
            found: deque[Event] = deque(maxlen=count)
            position = await self.each(client, after, edge.head, found.append)
            is_enough = len(found) == count or entries_count >= LOOK_BACK_ENTRIES_MAX
            if is_enough or after == edge.floor:
                return list(found), position
            entries_count *= 8

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
