"""Decides whether a Python file keeps the house rules that no linter knows. Pure; each rule takes
one source and yields sentences that begin with path and line. Called by test_style_modules.py on
the tree and by test_style_rules.py on bad samples: a rule nobody has seen fail proves nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from source_tree import Source

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

READS_TIME = {
    *(
        f"time.{name}{suffix}"
        for name in ("time", "monotonic", "perf_counter")
        for suffix in ("", "_ns")
    ),
    *(
        f"time.{name}"
        for name in ("clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "ctime")
    ),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
}
"""Only clock.py: everything else gets a `Clock` or plain milliseconds, so tests own the time."""
READS_CHANCE = {"random", "secrets", "uuid.uuid1", "uuid.uuid4", "os.urandom", "os.getrandom"}
"""Only entropy.py: everything else gets an `Entropy`, so that a seed repeats a run."""
RUNS_FOREIGN_BYTES = {"pickle", "cPickle", "marshal", "shelve", "dill"}
"""Nowhere: bytes from a disk or a wire must never choose what code runs."""
IMPURE = {
    *("asyncio", "threading", "time", "random", "os", "socket", "logging"),
    *(
        "secrets",
        "uuid",
        "subprocess",
        "selectors",
        "signal",
        "multiprocessing",
        "shutil",
    ),
    *("lmdb", "aiohttp", "structlog", "pysyncobj", "replicante.clock", "replicante.entropy"),
}
TOLD = {"replicante.clock", "replicante.entropy"}
"""Pure rooms may name the protocols of these, never what fulfils them."""
UNTOLD = {"replicante.clock.SystemClock", "replicante.entropy.SystemEntropy"}
PURE_FOLDERS = (
    "replicante/errors/",
    "replicante/limits/",
    "replicante/model/",
    "replicante/state/",
    "replicante/orchestrate/",
    "replicante/wire/",
)
PURE_FILES = {
    *(f"replicante/{name}.py" for name in ("ids", "config")),
    *(f"replicante/storage/{name}.py" for name in ("kv", "keys", "memory")),
    *(
        f"replicante/raft/{name}.py"
        for name in (
            *("state_machine", "driver", "sessions", "messages", "proposals", "reads"),
            *("membership", "status", "observations"),
        )
    ),
    "replicante/cli/render.py",
}
"""Besides these, a file whose docstring claims the word `Pure.` is held to it."""
DETERMINISTIC_FOLDERS = ("replicante/state/", "replicante/model/")
"""What apply may run: peers may differ in machine and in Python version."""


def lines(source: Source, allowed: Mapping[str, Any]) -> Iterator[str]:
    """A listed file must not grow, and leaves the list when it fits again."""
    count = len(source.text.splitlines())
    bound = allowed.get(source.path, {}).get("lines", FILE_LINES_MAX)
    if count > bound:
        yield f"{source.path}:1 has {count} lines, allowed are {bound}: one idea per file"
    elif source.path in allowed and count <= FILE_LINES_MAX:
        yield f"{source.path}:1 has {count} lines again: take it off allowed.toml"


def function_lines(source: Source, allowed: Mapping[str, Any]) -> Iterator[str]:
    for function in source.functions():
        name = f"{source.path}:{function.name}"
        bound = allowed.get(name, {}).get("lines", FUNCTION_LINES_MAX)
        if function.lines_count > bound:
            yield (
                f"{source.path}:{function.first_line} {function.name} has"
                f" {function.lines_count} lines, allowed are {bound}"
            )
        elif name in allowed and function.lines_count <= FUNCTION_LINES_MAX:
            yield f"{source.path}:{function.first_line} {function.name} is short: allowed.toml"


def docstring(source: Source) -> Iterator[str]:
    if not source.docstring:
        yield f"{source.path}:1 has no module docstring: what it decides or touches, who calls it"


def future_annotations(source: Source) -> Iterator[str]:
    if not source.has_code:
        return
    for node in source.tree.body:
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "__future__"
            and "annotations" in {name.name for name in node.names}
        ):
            return
    yield f"{source.path}:1 lacks `from __future__ import annotations`"


def reads_time(source: Source) -> Iterator[str]:
    yield from _named(source, READS_TIME, "time is read in clock.py only")


def reads_chance(source: Source) -> Iterator[str]:
    yield from _named(source, READS_CHANCE, "randomness comes from entropy.py only")
    yield from _imports(source, {"random", "secrets"}, "randomness comes from entropy.py only")


def runs_foreign_bytes(source: Source) -> Iterator[str]:
    yield from _imports(source, RUNS_FOREIGN_BYTES, "bytes must never choose what code runs")


def broad_excepts(source: Source, allowed: Collection[str]) -> Iterator[str]:
    """`except Exception` swallows our own bugs; supervisors may, by name."""
    for owner, handler in _handlers(source.tree, ""):
        if not _is_broad(handler.type) or _ends_in_raise(handler):
            continue
        if f"{source.path}:{owner}" not in allowed:
            yield f"{source.path}:{handler.lineno} catches everything in {owner or 'the module'}"


def prints(source: Source) -> Iterator[str]:
    for line, name in source.calls():
        if name == "print":
            yield f"{source.path}:{line} prints: only cli/ talks to a terminal"


def unfinished_marks(source: Source) -> Iterator[str]:
    marks = re.compile(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    for number, line in enumerate(source.text.splitlines(), 1):
        if marks.search(line):
            yield f"{source.path}:{number} postpones: do it, or say what holds today"


def impure_imports(source: Source) -> Iterator[str]:
    if is_pure(source):
        yield from _imports(source, IMPURE - TOLD, "this room is pure")
        yield from _named(source, UNTOLD, "a pure room is given its clock and entropy")


def foreign_imports(source: Source, library: str, rooms: tuple[str, ...]) -> Iterator[str]:
    if not source.path.startswith(rooms):
        yield from _imports(source, {library}, f"only {', '.join(rooms)} know it")


def is_pure(source: Source) -> bool:
    if source.path in PURE_FILES or source.path.startswith(PURE_FOLDERS):
        return True
    claim = re.search(r"(?:^|[.:;]\s+)Pure\b", source.docstring)
    return claim is not None and source.path.startswith("replicante/")


def machine_dependence(source: Source) -> Iterator[str]:
    """hash() is salted, float division rounds, and neither may reach a table."""
    if not source.path.startswith(DETERMINISTIC_FOLDERS):
        return
    for line, name in source.calls():
        if name in {"hash", "id"}:
            yield f"{source.path}:{line} calls {name}(), which differs between processes"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"{source.path}:{node.lineno} divides floats: use // on integers"


def sleeps(source: Source) -> Iterator[str]:
    yield from _named(source, {"time.sleep"}, "tests wait for a fact, never for time")


def _named(source: Source, banned: Iterable[str], reason: str) -> Iterator[str]:
    for line, name in source.references():
        if any(name == ban or name.startswith(f"{ban}.") for ban in banned):
            yield f"{source.path}:{line} uses {name}: {reason}"


def _imports(source: Source, banned: Iterable[str], reason: str) -> Iterator[str]:
    for line, module in _modules(source):
        if any(module == ban or module.startswith(f"{ban}.") for ban in banned):
            yield f"{source.path}:{line} imports {module}: {reason}"


def _modules(source: Source) -> Iterator[tuple[int, str]]:
    """What is imported when the program runs: names for the type checker alone do no harm."""
    yield from source.imported()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "replicante":
            for name in node.names:
                yield node.lineno, f"replicante.{name.name}"


def _handlers(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _handlers(child, f"{owner}.{child.name}" if owner else child.name)
            continue
        if isinstance(child, ast.ExceptHandler):
            yield owner, child
        yield from _handlers(child, owner)


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(element) for element in caught.elts)
    return isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}


def _ends_in_raise(handler: ast.ExceptHandler) -> bool:
    """A handler that cleans up or translates, and then raises, swallows nothing."""
    return isinstance(handler.body[-1], ast.Raise)
