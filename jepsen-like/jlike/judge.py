"""From the files of a run to its verdict. Called by `jlike.runner` and `jlike check`."""

from __future__ import annotations

import json
from pathlib import Path

from jlike import history_edn
from jlike.check import stats
from jlike.history import BrokenHistory, Operation, Value, pair, parse
from jlike.verdict import Finding, unknown
from jlike.workload.base import LOG_START
from jlike.workload.catalogue import WORKLOADS, made

HISTORY = "history"
"""In place of a checker: there is nothing for one."""


def operations_of(folder: Path, workload: str) -> list[Operation]:
    with (folder / f"history-{workload}.jsonl").open(encoding="utf-8") as lines:
        return pair(parse(lines))


def as_edn(folder: Path) -> list[Path]:
    """The files that were written, one beside each history. Raises BrokenHistory when none is
    there."""
    written = []
    for name in histories(folder):
        path = folder / f"history-{name}.edn"
        with (folder / f"history-{name}.jsonl").open(encoding="utf-8") as source:
            text = "".join(f"{it}\n" for it in history_edn.lines(name, parse(source)))
        path.write_text(text, encoding="utf-8")
        written.append(path)
    if not written:
        raise BrokenHistory(f"no history in {folder}")
    return written


def histories(folder: Path) -> list[str]:
    """Workloads that left one. Those of today's catalogue, so that old runs can be judged anew."""
    return [it for it in WORKLOADS if (folder / f"history-{it}.jsonl").exists()]


def findings_of(folder: Path) -> list[tuple[str, Finding]]:
    """(workload, finding) of every checker that has a history to judge, and of every workload that
    the run was to have and nobody can judge."""
    found: list[tuple[str, Finding]] = []
    told = _told(folder)
    # Runs that do not say where in the event log they began, began with it.
    begins = str(told.get("begins", LOG_START))
    for name in histories(folder):
        workload = made(name, scope="", begins=begins)
        operations = operations_of(folder, name)
        found += [(name, it) for it in workload.check(operations)]
        found.append((name, stats.check(operations, expected=workload.kinds)))
    for name in dict.fromkeys(told.get("workloads", ())):
        if name not in WORKLOADS:
            found.append((name, unknown(HISTORY, "no checker is named so")))
        elif not (folder / f"history-{name}.jsonl").exists():
            found.append((name, unknown(HISTORY, "no history")))
    return found


def _told(folder: Path) -> dict[str, Value]:
    """What the run was to be; empty when nobody says so."""
    path = folder / "test.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def as_json(findings: list[tuple[str, Finding]]) -> str:
    rows = [
        {
            "workload": workload,
            "checker": it.checker,
            "verdict": it.verdict.value,
            "reason": it.reason,
            "figures": dict(it.figures),
            "operations": [
                {
                    "process": op.process,
                    "f": op.f,
                    "value": op.value,
                    "result": op.result,
                    "peer": op.peer,
                    "kind": op.kind.value,
                    "called_ns": op.called_ns,
                    "returned_ns": op.returned_ns,
                }
                for op in it.operations
            ],
        }
        for workload, it in findings
    ]
    return json.dumps(rows, indent=1)
