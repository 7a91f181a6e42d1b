"""Takes the commands out of Markdown and judges their output against what the page shows. Pure.

A ```console block is commands (`$ `, continued by `> `) with the output that follows each; a
```bash block is one script. A comment directly above a block says what else holds:
`<!-- not run here: REASON; covered by TEST -->` or `<!-- stays up -->` (the command runs while the
rest of the page does). In shown output `…` stands for any text, alone on a line for any lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

WILDCARD = "…"
SHELL_LANGUAGES = {"console", "bash"}
DISGUISED_LANGUAGES = {"", "sh", "shell", "zsh", "text", "shell-session"}
"""A block of these that holds a prompt would escape the test: it must say `console`."""
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\s*$")
NOT_RUN = re.compile(r"<!-- not run here: (?P<reason>[^;]+); covered by (?P<test>\S+) -->")
STAYS_UP = "<!-- stays up -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    command: str
    """Text for the shell, several lines for a continued command or a script."""
    shown: tuple[str, ...] | None
    """Lines of output in the page; None when the page shows none, so that any output will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    document: str
    line: int
    steps: tuple[Step, ...]
    not_run_reason: str | None = None
    covered_by: str | None = None
    """`tests/…/test_x.py` or `tests/…/test_x.py::test_name`, when the block is not run."""
    stays_up: bool = False


class BadDocument(Exception):
    """A page that this test cannot judge; the message has the page and the line."""


def blocks(document: str, text: str) -> list[Block]:
    """document: its name, for messages. Raises BadDocument."""
    found: list[Block] = []
    lines = text.splitlines()
    for start, language, body in _fences(document, lines):
        if language in DISGUISED_LANGUAGES and any(line.startswith("$ ") for line in body):
            raise BadDocument(f"{document}:{start + 1} shows commands: call the block `console`")
        if language not in SHELL_LANGUAGES:
            continue
        above = lines[start - 1].strip() if start else ""
        skipped = NOT_RUN.fullmatch(above)
        if above.startswith("<!--") and not skipped and above != STAYS_UP:
            raise BadDocument(f"{document}:{start} is a comment that means nothing here")
        steps = _console_steps(document, start, body) if language == "console" else _script(body)
        found.append(
            Block(
                document=document,
                line=start + 1,
                steps=steps,
                not_run_reason=skipped["reason"] if skipped else None,
                covered_by=skipped["test"] if skipped else None,
                stays_up=above == STAYS_UP,
            )
        )
    return found


def output_matches(shown: tuple[str, ...], output: str) -> bool:
    """Whether all of the output is as shown, apart from wildcards and blanks at line ends."""
    parts = []
    for line in shown:
        if line.strip() == WILDCARD:
            parts.append(r"(?:[^\n]*\n)*")
        else:
            pieces = [re.escape(piece) for piece in line.rstrip().split(WILDCARD)]
            parts.append(r"[^\n]*".join(pieces) + r"\n")
    stripped = [line.rstrip() for line in output.rstrip().splitlines()]
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in stripped)) is not None


def with_ports(text: str, ports: Mapping[int, int]) -> str:
    """The text with each default port replaced by the one that this run uses."""
    names = "|".join(str(port) for port in ports)
    return re.sub(rf"(?<![\d.])({names})(?!\d)", lambda found: str(ports[int(found[1])]), text)


def _fences(document: str, lines: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(line of the opening fence from 0, language, body without indentation)."""
    opened: tuple[int, str, str] | None = None
    body: list[str] = []
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if opened is None:
            if fence:
                opened, body = (number, fence["language"], fence["indent"]), []
        elif fence and not fence["language"] and fence["indent"] == opened[2]:
            yield opened[0], opened[1], body
            opened = None
        else:
            body.append(line.removeprefix(opened[2]))
    if opened is not None:
        raise BadDocument(f"{document}:{opened[0] + 1} is never closed")


def _console_steps(document: str, start: int, body: list[str]) -> tuple[Step, ...]:
    steps: list[Step] = []
    command: list[str] = []
    shown: list[str] = []

    def finish() -> None:
        if command:
            text = "\n".join(command)
            steps.append(Step(command=text, shown=tuple(shown) if shown else None))

    for line in body:
        if line.startswith("$ "):
            finish()
            command, shown = [line[2:]], []
        elif line.startswith("> ") or line == ">":
            command.append(line[2:])
        elif command:
            shown.append(line)
        elif line.strip():
            raise BadDocument(f"{document}:{start + 1} shows output before its first command")
    finish()
    if not steps:
        raise BadDocument(f"{document}:{start + 1} is a console without a command")
    return tuple(steps)


def _script(body: list[str]) -> tuple[Step, ...]:
    return (Step(command="\n".join(body), shown=None),)
