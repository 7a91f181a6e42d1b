"""Which events are wanted and how one is printed. Called by the commands on events."""

from __future__ import annotations

import functools
from typing import Any

import click

from replicante.cli import render
from replicante.cli.common import Command
from replicante.cli.render import Output
from replicante.client import EventFilter
from replicante.wire.events import Event

PAYLOAD_WIDTH_MAX = 60


def filter_options(command: Command) -> Command:
    """Adds which events are wanted; gives the command `wanted`."""

    @click.option("--code", metavar="PREFIX", help="Only events whose code starts with this.")
    @click.option("--ns", metavar="NAME", help="Only events of this namespace.")
    @click.option("--cluster", metavar="NAME", help="Only events of this cluster.")
    @click.option("--key", metavar="PREFIX", help="Only events whose key starts with this.")
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        code: str | None,
        ns: str | None,
        cluster: str | None,
        key: str | None,
        **kwargs: Any,
    ) -> Any:
        wanted = EventFilter(code=code, ns=ns, cluster=cluster, key=key)
        return command(*args, wanted=wanted, **kwargs)

    return wrapper


def event_line(event: Event, output: Output) -> str:
    if output is Output.JSON:
        return render.json_line(event)
    if output is Output.YAML:
        return "---\n" + render.yaml_text(event)
    place = "/".join(part for part in (event.ns, event.cluster) if part)
    words = [event.time, event.id, event.code, place, event.key or ""]
    payload = render.cut(render.json_line(event.payload), width_max=PAYLOAD_WIDTH_MAX)
    return render.GAP[1:].join(render.shown(word) for word in [*words, payload] if word)
