"""What the commands share: where to, how to print, how to fail. Called by every command file."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.contexts_file import contexts_path, read_contexts
from replicante.cli.render import Output
from replicante.client import DEFAULT_ENDPOINTS, Client, Consistency, Note, NoteKind, Read, Write
from replicante.errors import LeaseHeld, ReplicanteError, RevisionMismatch
from replicante.wire.durations import parse_duration_ms
from replicante.wire.values import Json

T = TypeVar("T")
Command = Callable[..., Any]

ENDPOINTS_VARIABLE = "REPLICANTE_ENDPOINTS"
CONTEXT_VARIABLE = "REPLICANTE_CONTEXT"
NAMESPACE_VARIABLE = "REPLICANTE_NAMESPACE"


class Failed(Exception):
    """A command failed; `main` prints the error in the output that the user asked for."""

    def __init__(self, error: ReplicanteError, output: Output) -> None:
        super().__init__(error.message)
        self.error = error
        self.output = output


class Duration(click.ParamType[int]):
    """`250ms`, `30s`, `1m30s`, as milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        duration_ms = parse_duration_ms(value)
        if duration_ms is None:
            self.fail(f"{value!r} is no duration; write it as 30s, 250ms or 1m.", param, ctx)
        return duration_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which cluster, how long, and how the answer is printed."""

    endpoints: tuple[str, ...]
    output: Output
    timeout_ms: int

    @property
    def write(self) -> Write:
        return Write(timeout_ms=self.timeout_ms)

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """The result of the work with a client of this cluster."""

        async def with_client() -> T:
            async with Client(self.endpoints, observe=_tell) as client:
                return await work(client)

        return asyncio.run(with_client())

    def show(self, value: object, *, text: Callable[[], str]) -> None:
        """On stdout: the text for people, or the value for programs."""
        click.echo(text() if self.output is Output.TABLE else render.document(value, self.output))


def example(*lines: str) -> str:
    """The last part of a command's help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def client_options(command: Command) -> Command:
    """Adds what every command that speaks to a cluster takes; gives it `target`."""

    @click.option(
        "--endpoints",
        metavar="URL,…",
        help=f"Peers to ask, separated by commas. Also {ENDPOINTS_VARIABLE}.",
    )
    @click.option(
        "--context",
        metavar="NAME",
        help=f"Cluster to ask, as `context add` named it. Also {CONTEXT_VARIABLE}.",
    )
    @click.option(
        "-o",
        "--output",
        type=click.Choice([output.value for output in Output]),
        default=Output.TABLE.value,
        show_default=True,
        help="How the answer is printed.",
    )
    @click.option(
        "--timeout",
        type=Duration(),
        default=f"{limits.REQUEST_DEADLINE_MS_DEFAULT // 1000}s",
        show_default=True,
        help="Deadline of the whole command.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any,
        endpoints: str | None,
        context: str | None,
        output: str,
        timeout: int,
        **kwargs: Any,
    ) -> Any:
        chosen = Output(output)
        try:
            target = Target(
                endpoints=resolve_endpoints(endpoints, context=context, environment=os.environ),
                output=chosen,
                timeout_ms=timeout,
            )
            return command(*args, target=target, **kwargs)
        except ReplicanteError as exc:
            raise Failed(exc, chosen) from exc

    return wrapper


def read_options(command: Command) -> Command:
    """Adds how fresh a read must be; gives the command `read`, for a `target` of client_options."""

    @click.option(
        "--consistency",
        type=click.Choice([consistency.value for consistency in Consistency]),
        default=Consistency.LINEARIZABLE.value,
        show_default=True,
        help="Confirmed by a majority, or from one peer's copy.",
    )
    @click.option(
        "--max-stale",
        type=Duration(),
        help="With bounded: the oldest copy that is good enough.",
    )
    @functools.wraps(command)
    def wrapper(
        *args: Any, consistency: str, max_stale: int | None, target: Target, **kwargs: Any
    ) -> None:
        chosen = Consistency(consistency)
        if max_stale is not None and chosen is not Consistency.BOUNDED:
            raise click.UsageError("--max-stale goes with --consistency bounded only.")
        read = Read(consistency=chosen, max_stale_ms=max_stale, timeout_ms=target.timeout_ms)
        command(*args, target=target, read=read, **kwargs)

    return wrapper


def namespace_option(command: Command) -> Command:
    """Adds which namespace is meant; gives the command `ns`."""
    option = click.option(
        "-n",
        "--namespace",
        "ns",
        default="default",
        show_default=True,
        envvar=NAMESPACE_VARIABLE,
        help=f"Namespace. Also {NAMESPACE_VARIABLE}.",
    )
    return option(command)


def resolve_endpoints(
    endpoints: str | None, *, context: str | None, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """What was said in the command, else in the environment, else the current context, else the
    peers of `replicante dev`. Raises `NotFound` for a context that is none."""
    if endpoints:
        return _split(endpoints)
    if not context:
        if environment.get(ENDPOINTS_VARIABLE):
            return _split(environment[ENDPOINTS_VARIABLE])
        context = environment.get(CONTEXT_VARIABLE) or None
    known = read_contexts(contexts_path(environment))
    name = context or known.current
    return known.get(name).endpoints if name else DEFAULT_ENDPOINTS


def error_text(error: ReplicanteError) -> str:
    """For people: the message, and below it what may help."""
    hints = list(error.hints)
    if isinstance(error, RevisionMismatch) and error.details.get("revision"):
        hints.append(f"its revision is now {error.details['revision']}")
    if isinstance(error, LeaseHeld) and "owner" in error.details:
        owner = error.details["owner"]
        by = f"by {render.json_line(owner)}" if owner else "by somebody who gave no name"
        hints.insert(0, f"held {by}, for {error.details['expires_in']} unless it is renewed")
    lines = [f"error: {error.message}", *(f"  hint: {hint}" for hint in hints)]
    return "\n".join(lines)


def error_document(error: ReplicanteError, output: Output) -> str:
    """For programs: the same fields as a problem."""
    body = {
        "code": error.code,
        "definite": error.definite,
        "retry": error.retry,
        "detail": error.message,
        "hints": list(error.hints),
        "details": {name: value for name, value in error.details.items() if value is not None},
    }
    return render.document(body, output)


def _split(endpoints: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in endpoints.split(",") if item.strip())


def _tell(note: Note) -> None:
    """Only what changes what the user sees: a followed stream moved."""
    if note.kind is NoteKind.STREAM_LOST:
        click.echo(f"lost {note.endpoint}: {note.detail}", err=True)
    elif note.kind is NoteKind.STREAM_RESUMED:
        click.echo(f"goes on at {note.endpoint} {note.detail}", err=True)


def parse_json(content: str, *, name: str, may_be_text: bool = False) -> Json:
    """The value of the argument `name`. may_be_text: the command takes --text, too. Raises
    click.UsageError."""
    try:
        return json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        way_out = " For a plain text, add --text." if may_be_text else ""
        raise click.UsageError(f"{name} is not JSON ({exc}).{way_out}") from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
