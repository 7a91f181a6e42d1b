"""Writes the parts of docs/ that are read off the code, so that the two cannot differ.

Run `python docs/generate.py` after a change to errors, limits, settings, room contracts, or after
adding an ADR; tests/architecture fails until it is done. Whole pages go to docs/reference/; inside
other pages the text between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from generate_decisions import decisions_page
from generate_interfaces import cli_page, events_page, http_page

from replicante import config, errors, limits
from replicante.agents import sdk
from replicante.limits import agents, client, orchestration, raft, requests, serving, state
from replicante.telemetry.diagnostics import Diagnostic
from replicante.telemetry.metrics import METRICS
from replicante.wire.problems import problem_kinds

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by docs/generate.py: do not edit by hand. -->\n"
ERRORS_INTRO = """# Errors

Every refusal is `application/problem+json` (RFC 9457) with one of these codes. *Definite* says
whether the refused operation certainly did not happen; only **no** leaves the outcome open. *Retry*
says whether the same may well succeed in a moment or at another peer: the SDK repeats it by itself,
and a problem says it as `retry`. A code is never reused for another meaning.
"""
START_INTRO = """
## A peer that does not start

These end the process with a message that says what to do, before the peer answers anything.

| code | meaning |
|---|---|"""
LIMITS_INTRO = """# Limits

Everything is bounded, and hitting a bound has an answer: 413 for a thing that is too large, 429
for too many at once, 503 or 507 with a hint for a peer that cannot take more."""
SETTINGS_INTRO = """# Settings

Of `replicante server`: a TOML file (`--config FILE`), then the environment
(`REPLICANTE_SECTION__KEY`), then flags; the later one wins. A name that is not in this list is an
error that proposes the nearest one."""
AGENT_SETTINGS_INTRO = """# Settings of agents

What a program that is written with `replicante.agents.sdk` may set up. `AgentSettings` and
`AgentTls` are given in Python; the others also as a map, as a configuration file has it:
`read_supervisor({"systemd": {"unit": "redis"}})`, `read_scripts({KIND: {"command": [WORD]}})`."""
LOGS_INTRO = """# Log lines

A line is an event name and keys, never a sentence; `peer`, `level` and `time` are on every line.
Log lines are for operators. Facts that programs follow are in the event log.

| name | keys | written when |
|---|---|---|"""
METRICS_INTRO = """# Metrics

At `/metrics`, in the Prometheus text format. `process_*` and `python_*` come on top.

| name | type | labels | meaning |
|---|---|---|---|"""
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every file that holds generated text → what it must contain now."""
    reference = ROOT / "docs" / "reference"
    whole = {
        reference / "agent-settings.md": agent_settings_page(),
        reference / "cli.md": cli_page(),
        reference / "decisions.md": decisions_page(),
        reference / "errors.md": errors_page(),
        reference / "events.md": events_page(),
        reference / "http.md": http_page(),
        reference / "limits.md": limits_page(),
        reference / "logs.md": logs_page(),
        reference / "metrics.md": metrics_page(),
        reference / "settings.md": settings_page(),
    }
    blocks = {"contracts": contracts_block(), "decisions": decisions_block()}
    partial = {
        path: BLOCK.sub(lambda found: found[1] + blocks[found[2]] + found[3], text)
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if path not in whole and BLOCK.search(text := path.read_text(encoding="utf-8"))
    }
    return {path: NOTE + text for path, text in whole.items()} | partial


def errors_page() -> str:
    kinds = sorted(problem_kinds().values(), key=lambda kind: (kind.status, kind.code))
    refuses_start = {kind.code: issubclass(kind.error, errors.StartRefused) for kind in kinds}
    definite = {True: "yes", False: "**no**"}
    again = {True: "yes", False: ""}
    answers = [
        f"| `{kind.code}` | {kind.status} | {definite[kind.is_definite]} | {again[kind.is_retry]} |"
        f" {kind.meaning} |"
        for kind in kinds
        if not refuses_start[kind.code]
    ]
    refusals = [f"| `{kind.code}` | {kind.meaning} |" for kind in kinds if refuses_start[kind.code]]
    head = "| code | status | definite | retry | meaning |\n|---|---|---|---|---|"
    return "\n".join([ERRORS_INTRO, head, *answers, START_INTRO, *refusals, ""])


def limits_page() -> str:
    parts = [LIMITS_INTRO]
    for module in (requests, serving, client, state, raft, orchestration, agents):
        title = module.__name__.rpartition(".")[2].capitalize()
        about = _flat(module.__doc__).removesuffix(" Pure.")
        parts += [f"\n## {title}\n", f"{about}\n", "| name | value | reason |\n|---|---|---|"]
        parts += [
            f"| `{name}` | {_amount(name, value)} | {text} |"
            for name, value, text in _documented_constants(module)
        ]
    return "\n".join([*parts, ""])


def settings_page() -> str:
    parts = [SETTINGS_INTRO]
    defaults = config.PeerConfig()
    for section, kind in get_type_hints(config.PeerConfig).items():
        texts = dict(_field_texts(kind))
        values = getattr(defaults, section)
        head = "| name | default | meaning |\n|---|---|---|"
        parts += [f"\n## [{section}]\n", f"{_flat(kind.__doc__)}\n", head]
        for field in fields(kind):
            value = _setting(getattr(values, field.name))
            parts.append(f"| `{field.name}` | {value} | {texts.get(field.name, '')} |")
    return "\n".join([*parts, ""])


def agent_settings_page() -> str:
    parts = [AGENT_SETTINGS_INTRO]
    kinds = (sdk.AgentSettings, sdk.AgentTls, sdk.SystemdSettings, sdk.CommandSettings)
    for kind in (*kinds, sdk.ScriptSettings, sdk.ScriptArgument):
        parts += [f"\n## {kind.__name__}\n", f"{_flat(kind.__doc__)}\n"]
        parts.append("| name | default | meaning |\n|---|---|---|")
        defaults = {name: it.default for name, it in inspect.signature(kind).parameters.items()}
        for name, text in _field_texts(kind):
            is_needed = defaults[name] is inspect.Parameter.empty
            value = "required" if is_needed else _setting(defaults[name])
            parts.append(f"| `{name}` | {value} | {text} |")
    return "\n".join([*parts, ""])


def logs_page() -> str:
    rows = [
        f"| `{line.value}` | {_names(line.keys)} | {_flat(line.meaning)} |" for line in Diagnostic
    ]
    return "\n".join([LOGS_INTRO, *rows, ""])


def metrics_page() -> str:
    rows = [
        f"| `{spec.name}` | {spec.type.value} | {_names(spec.labels)} | {_flat(spec.help)} |"
        for spec in METRICS
    ]
    return "\n".join([METRICS_INTRO, *rows, ""])


def contracts_block() -> str:
    """The import-linter contracts of pyproject.toml, in words."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return "".join(
        f"- **{contract['name']}.** {_contract(contract)}\n"
        for contract in project["tool"]["importlinter"]["contracts"]
    )


def decisions_block() -> str:
    rows = []
    for path in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").strip()
        rows.append(f"- [{title}](adr/{path.name})\n")
    return "".join(rows)


def main() -> None:
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    names = ", ".join(path.relative_to(ROOT).as_posix() for path in stale)
    sys.stdout.write(f"wrote {names}\n" if stale else "all pages were fresh\n")


def _contract(contract: dict[str, Any]) -> str:
    if contract["type"] == "layers":
        layers = [_rooms(layer.strip("()")) for layer in contract["layers"]]
        return f"From the top: {' → '.join(layers)}."
    sources, forbidden = (
        ", ".join(_rooms(name) for name in contract[key])
        for key in ("source_modules", "forbidden_modules")
    )
    way = "directly" if contract.get("allow_indirect_imports") else "directly or through others"
    return f"{sources} never import, {way}: {forbidden}."


def _rooms(modules: str) -> str:
    return " | ".join(
        f"`{name.strip().removeprefix('replicante.')}`" for name in modules.split("|")
    )


def _documented_constants(module: Any) -> Iterator[tuple[str, Any, str]]:
    """(name, value, text below it) of the module's constants, in file order."""
    body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            yield name, getattr(module, name), _text_of(after)


def _field_texts(kind: type) -> Iterator[tuple[str, str]]:
    tree = ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8"))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, _text_of(after)


def _text_of(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return _flat(str(statement.value.value))
    return ""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _flat(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _amount(name: str, value: Any) -> str:
    if isinstance(value, int) and "BYTES" in name:
        for unit, size in (("GiB", limits.GIB), ("MiB", limits.MIB), ("KiB", limits.KIB)):
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
        return f"{value} bytes"
    if isinstance(value, int) and "MS" in name.split("_"):
        for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
            if value >= size and value % size == 0:
                return f"{value // size} {unit}"
        return f"{value} ms"
    return f"`{value}`".replace("|", "\\|") if isinstance(value, str) else str(value)


def _setting(value: Any) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple):
        return "`[]`" if not value else f"`{list(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    main()
