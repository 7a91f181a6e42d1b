"""The reference pages of what others see: HTTP paths, event codes, the command line.

Called by generate.py. Everything is read off the tables from which the program itself works.
"""

from __future__ import annotations

import ast
import itertools
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import click
import msgspec

from replicante.api.routes import ROUTES
from replicante.api.routing import ACCESS_PARAMETERS, Access, Parameter, Route
from replicante.cli.exits import Exit
from replicante.cli.root import COMMANDS, replicante
from replicante.model import change
from replicante.state import eventlog
from replicante.wire.events import Event

HTTP_INTRO = """# HTTP API

Any peer answers every path. Bodies are JSON, or msgpack when `Content-Type` and `Accept` say so;
`GET /openapi.json` has the same in OpenAPI 3.1. Refusals are problems: see [errors](errors.md).
[Consistency](../explanation/consistency.md) says what the headers of an answer mean. Stamps
(revisions, event ids) are texts of 19 digits, durations are texts as `30s`, times are RFC 3339 UTC.
An unknown field or parameter is an error that names it.
"""
ACCESS = {
    Access.READ: "**Reads** answer from the peer's tables and take:",
    Access.WRITE: "**Writes** go through the log. They take `Idempotency-Key`, and:",
    Access.OPERATE: "**Operations on peers** may be repeated. They take:",
    Access.STREAM: "**Streams** are pages, long polls, NDJSON or server-sent events, by `Accept`.",
    Access.LOCAL: "**Local** paths say what this peer knows by itself, also without a leader.",
}
EVENTS_INTRO = """# Events

Every change of state writes its event in the same log entry. Events are identical on all peers, in
one order, without gaps. A code is never reused; the last event of a record tells its present
revision.
"""
CLI_INTRO = """# Command line

`replicante`, or `python -m replicante`. Answers go to stdout, everything else to stderr. Each
command explains itself with `--help`.
"""


def http_page() -> str:
    parts = [HTTP_INTRO, "## Paths\n", "| request | kind | what it does |", "|---|---|---|"]
    parts += [
        f"| [`{route.method.value} {_path(route)}`](#{_anchor(route)})"
        f" | {route.access.value} | {_flat(route.summary)} |"
        for route in ROUTES
    ]
    parts.append("\n## Kinds\n")
    for access, text in ACCESS.items():
        parts += [text, *_parameters(ACCESS_PARAMETERS[access]), ""]
    parts.append("## Requests and answers\n")
    structs: dict[str, type] = {}
    for route in ROUTES:
        parts += [*_route(route), ""]
        for kind in (route.body, route.answer):
            structs |= _reachable(kind)
    parts.append("## Fields\n")
    for name in sorted(structs):
        parts += [*_struct(structs[name]), ""]
    return "\n".join(parts)


def events_page() -> str:
    texts = dict(_enum_texts(Path(eventlog.__file__), "EventCode"))
    texts |= dict(_enum_texts(Path(change.__file__), "ChangeCode"))
    codes = (*eventlog.EventCode, *change.ChangeCode)
    rows = [f"| `{code.value}` | {texts.get(code.name, '')} |" for code in codes]
    table = ["## Codes\n", "| code | meaning |", "|---|---|", *rows, ""]
    return "\n".join([EVENTS_INTRO, *_struct(Event), "", *table])


def cli_page() -> str:
    parts = [CLI_INTRO, "## Exit codes\n", "| code | meaning |", "|---|---|"]
    parts += [f"| {code.value} | {code.name.lower().replace('_', ' ')} |" for code in Exit]
    context = click.Context(replicante, info_name="replicante")
    for name in COMMANDS:
        command = replicante.get_command(context, name)
        assert command is not None
        for path, found in _commands(name, command):
            parts += ["", *_command(path, found)]
    return "\n".join([*parts, ""])


def _route(route: Route) -> Iterator[str]:
    yield f"### {route.method.value} {_path(route)}\n"
    yield f"{_flat(route.summary)} ({route.access.value})\n"
    if get_args(route.body):
        one = get_args(route.body)[0]
        yield f"- body: [{one.__name__}](#{one.__name__.lower()}), or a list of them"
    elif route.body is not None:
        yield f"- body: [{route.body.__name__}](#{route.body.__name__.lower()})"
    if route.takes_match:
        yield '- takes `If-Match: "<revision>"` and `If-None-Match: *`'
    statuses = " or ".join(map(str, route.statuses))
    if route.answer is not None:
        yield f"- answers {statuses}: [{route.answer.__name__}](#{route.answer.__name__.lower()})"
    elif route.answer_text is not None:
        yield f"- answers {statuses}: `{route.answer_text}`"
    if route.refuses:
        yield f"- may refuse with {', '.join(f'`{kind.code}`' for kind in route.refuses)}"
    yield from _parameters(route.parameters)
    if route.aliases:
        yield f"- also: {', '.join(f'`{alias}`' for alias in route.aliases)}"


def _parameters(parameters: Iterable[Parameter]) -> Iterator[str]:
    for parameter in parameters:
        yield f"- `?{parameter.name}=` {_flat(parameter.meaning)}"


def _struct(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    if kind.__doc__:
        yield f"{_flat(kind.__doc__)}\n"
    yield "| field | type | |"
    yield "|---|---|---|"
    for field in msgspec.structs.fields(kind):
        needed = "" if field.required else "optional"
        yield f"| `{field.encode_name}` | {_type(field.type)} | {needed} |"


def _reachable(kind: Any) -> dict[str, type]:
    """The structs of which a type is made, by name."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        found = {kind.__name__: kind}
        for field in msgspec.structs.fields(kind):
            found |= _reachable(field.type)
        return found
    return {name: part for item in get_args(kind) for name, part in _reachable(item).items()}


PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any JSON"}


def _type(kind: Any) -> str:
    if kind in PLAIN:
        return PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(arguments[0]) + _shape(arguments[1].extra_json_schema)
    if origin in (types.UnionType, Union):
        return " or ".join("null" if it is type(None) else _type(it) for it in arguments)
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return f"`{kind}`"


def _shape(shape: dict[str, Any]) -> str:
    """Bounds in words, after the type. Only what a reader cannot guess."""
    if "maxItems" in shape:
        return f", {shape.get('minItems', 0)} to {shape['maxItems']}"
    if "maximum" in shape:
        return f" from {shape['minimum']} to {shape['maximum']}"
    name = shape.get("format", "")
    if name.startswith("duration:"):
        _, low, high = name.split(":")
        return f", a duration from {low} to {high}"
    if "maxLength" in shape:
        return f" of {shape['minLength']} to {shape['maxLength']} bytes"
    return f" ({name})" if name else ""


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from _commands(f"{path} {name}", command.commands[name])


def _command(path: str, command: click.Command) -> Iterator[str]:
    yield f"## replicante {path}\n"
    yield _flat((command.help or "").replace("\b", ""))
    if isinstance(command, click.Group):
        return
    rows = [
        f"| `{', '.join(option.opts)}` | {_default(option)} | {_flat(option.help)} |"
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    usage = " ".join(
        argument.human_readable_name if argument.required else f"[{argument.human_readable_name}]"
        for argument in command.params
        if isinstance(argument, click.Argument)
    )
    yield f"\nUsage: `replicante {path} [OPTIONS]{' ' + usage if usage else ''}`\n"
    if rows:
        yield "| option | default | meaning |\n|---|---|---|"
        yield from rows
    examples = [line.strip() for line in (command.epilog or "").splitlines()[2:] if line.strip()]
    if examples:
        yield "\nFor example: " + ", ".join(f"`{line}`" for line in examples)


def _default(option: click.Option) -> str:
    value = option.default
    if option.is_flag or value is None or callable(value) or not str(value):
        return ""
    return f"`{value}`" if option.show_default else ""


def _path(route: Route) -> str:
    return route.path


def _anchor(route: Route) -> str:
    heading = f"{route.method.value} {_path(route)}".lower()
    kept = (c for c in heading if c.isalnum() or c in "-_ ")
    return "".join(kept).replace(" ", "-")


def _enum_texts(path: Path, name: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = next(it.body for it in tree.body if isinstance(it, ast.ClassDef) and it.name == name)
    for statement, after in itertools.pairwise(body):
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield statement.targets[0].id, _flat(str(after.value.value))


def _flat(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
