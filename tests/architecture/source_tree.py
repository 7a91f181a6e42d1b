"""Reads the repository for the tests of this folder: Python as syntax trees, the rest as text.

Called by every test here. Imports nothing of replicante, so that a broken module is still judged.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("replicante", "tests", "jepsen-like", "bench", "docs", ".ci")
"""Folders that belong to the project; virtual environments and data of a trial run do not."""
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".cfg", ".yaml", ".yml", ".json", ".sh", ".svg", ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    name: str
    """Qualified inside its file, as `Peer.start`."""
    first_line: int
    lines_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One Python file. `path` is relative to the repository, with forward slashes."""

    path: str
    text: str
    tree: ast.Module

    @property
    def has_code(self) -> bool:
        """False for a file with nothing but its docstring, such as the door of an empty room."""
        body = self.tree.body
        return any(not is_text(statement) for statement in body)

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def functions(self) -> Iterator[Function]:
        yield from _functions(self.tree, "")

    def imported(self) -> Iterator[tuple[int, str]]:
        """(line, dotted module) of every import that can run, also inside functions."""
        for node in _walk_what_runs(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield node.lineno, name.name
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.lineno, node.module

    def references(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of every use of an imported or built-in name, aliases resolved.

        `import time as t; t.monotonic()` gives `time.monotonic`. A local variable that
        shadows an import
        is taken for the import: rename the variable.
        """
        aliases = self._aliases()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                dotted = _dotted(node)
                if dotted:
                    head, _, rest = dotted.partition(".")
                    full = aliases.get(head, head)
                    yield node.lineno, f"{full}.{rest}" if rest else full

    def calls(self) -> Iterator[tuple[int, str]]:
        """(line, bare name) of calls to plain names, such as `print(…)`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.lineno, node.func.id

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    if name.asname:
                        aliases[name.asname] = name.name
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    aliases[name.asname or name.name] = f"{node.module}.{name.name}"
        return aliases


def parse(path: str, text: str) -> Source:
    return Source(path=path, text=text, tree=ast.parse(text, filename=path))


@cache
def python_files(*folders: str) -> tuple[Source, ...]:
    """All Python files below the folders, in path order; of every room without arguments."""
    return tuple(_parsed(path) for path in files(*folders) if path.suffix == ".py")


@cache
def _parsed(path: Path) -> Source:
    """Once, whichever folders a test asks for: parsing is most of what these tests cost."""
    return parse(_relative(path), path.read_text(encoding="utf-8"))


@cache
def files(*folders: str) -> tuple[Path, ...]:
    """Text files of the project; without arguments those at the root too."""
    found = [
        path
        for folder in folders or ROOMS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not _is_generated(path.relative_to(ROOT))
    ]
    if not folders:
        found += [path for path in ROOT.iterdir() if path.is_file() and path.name in root_names()]
    return tuple(sorted(path for path in found if path.suffix in TEXT_SUFFIXES))


@cache
def root_names() -> frozenset[str]:
    """Files at the root that belong to the project, whatever else a person keeps there."""
    return frozenset(
        path.name
        for path in ROOT.iterdir()
        if path.suffix in {".md", ".toml"}
        or path.name in {"Makefile", "LICENSE", "constraints.txt"}
    )


def markdown_files() -> tuple[Path, ...]:
    return tuple(path for path in files() if path.suffix == ".md")


def relative(path: Path) -> str:
    return _relative(path)


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def allowed() -> dict[str, dict[str, Any]]:
    """The exceptions to the rules, each with its reason: see allowed.toml."""
    return tomllib.loads((Path(__file__).parent / "allowed.toml").read_text(encoding="utf-8"))


def is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _walk_what_runs(node: ast.AST) -> Iterator[ast.AST]:
    """Every node outside of `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _dotted(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _walk_what_runs(child)


def _functions(node: ast.AST, prefix: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = prefix + child.name
            lines = (child.end_lineno or child.lineno) - child.lineno + 1
            yield Function(name=name, first_line=child.lineno, lines_count=lines)
            yield from _functions(child, f"{name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _is_generated(path: Path) -> bool:
    return any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts) or any(
        part.startswith(".") and part != ".ci" for part in path.parts
    )
