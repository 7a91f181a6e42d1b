"""Proves that the simulator can fail: makes every mutant of `mutant_list` and lets it be found.

    .venv/bin/python tests/sim/mutants.py [NAME…] [--jobs N] [--page]

Each mutant is made in a copy of the package in a temporary folder and meets the seeds 0, 1, 2, …
until a promise is broken, or a named test that has to fail. The true code meets the same first.
Prints the table of killers; --page puts it into the documentation when all of them were made. Exit
code 1: a mutant survived, or an edit no longer fits the code, or the true code was found guilty.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutant_list import MUTANTS
from mutant_parts import Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "replicante"
PAGE = ROOT / "docs" / "explanation" / "mutants.md"
_PAGE_HEAD = (
    "# Mutants\n\n"
    "Each row is a defect that somebody could put into the code in good faith. `make mutants`"
    " makes it in a copy of the\npackage and lets the simulator meet it, from seed 0 on, until a"
    " promise is broken; where a seed would be too rare, a named test has to fail.\nThe code"
    " without the defect passed the same seeds before.\n\n"
    "Written by `make mutants ARGS=--page` on {day}: all {count} were killed. Times are of a shared"
    " machine.\n\n"
    "| mutant | promise that it breaks | killed by | seed | time |\n|---|---|---|---|---|"
)
_BASELINE_SEEDS = 200
_LIMIT_S = 1_800


@dataclass(frozen=True, slots=True)
class Fate:
    mutant: str
    rule: str
    """What was broken; empty when nothing was."""
    seed: int
    elapsed_ms: int


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="mutants; all of them when none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--page", action="store_true", help=f"writes {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.page and options.names:
        parser.error("the page holds all mutants: name none")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        guilt = _guilt(Path(folder) / "true", chosen, options.jobs)
        if guilt is not None:
            print(f"the true code breaks {guilt}: mend that first")
            return 1
        fates = []
        for mutant in chosen:
            fates.append(_kill(mutant, Path(folder) / mutant.name, options.jobs))
            shutil.rmtree(Path(folder) / mutant.name)
            print(_row(fates[-1], mutant), flush=True)
    survivors = [fate.mutant for fate in fates if not fate.rule]
    print(f"{len(fates) - len(survivors)} of {len(fates)} mutants are killed")
    if survivors:
        print(f"survivors: {', '.join(survivors)}")
    if options.page and not survivors:
        PAGE.write_text(_page(fates, chosen), encoding="utf-8")
    return 1 if survivors else 0


def _page(fates: Sequence[Fate], mutants: Sequence[Mutant]) -> str:
    rows = [_row(fate, mutant) for fate, mutant in zip(fates, mutants, strict=True)]
    head = _PAGE_HEAD.format(count=len(rows), day=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}")
    return "\n".join([head, *rows, ""])


def _guilt(folder: Path, mutants: Sequence[Mutant], jobs: int) -> str | None:
    """What the code without any defect breaks of all that the mutants are to meet."""
    _copy(folder, ())
    if any(not mutant.test for mutant in mutants):
        found = _simulate(folder, _BASELINE_SEEDS, jobs)
        if found is not None:
            return f"{found[0]!r} at seed {found[1]}"
    tests = list(dict.fromkeys(mutant.test for mutant in mutants if mutant.test))
    return f"one of {', '.join(tests)}" if tests and _fails(folder, *tests) else None


def _kill(mutant: Mutant, folder: Path, jobs: int) -> Fate:
    _copy(folder, mutant.edits)
    if mutant.test:
        started_s = time.monotonic()
        is_found = _fails(folder, mutant.test)
        elapsed_ms = round((time.monotonic() - started_s) * 1_000)
        return Fate(mutant.name, mutant.test if is_found else "", -1, elapsed_ms)
    found = _simulate(folder, mutant.seeds_max, jobs)
    if found is None:
        return Fate(mutant.name, "", -1, 0)
    rule, seed, elapsed_ms = found
    return Fate(mutant.name, rule, seed, elapsed_ms)


def _copy(folder: Path, edits: Sequence[Edit]) -> None:
    copy = folder / "replicante"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in mutated(PACKAGE, edits).items():
        (copy / path).write_text(text, encoding="utf-8")


def _simulate(folder: Path, seeds: int, jobs: int) -> tuple[str, int, int] | None:
    """(rule, seed, elapsed ms) of the first violation."""
    arguments = ["--seeds", str(seeds), "--jobs", str(jobs), "--first-only", "--json"]
    done = _python(folder, ["-m", "replicante.testing.sim", *arguments], cwd=folder)
    if not done.stdout.strip():
        raise SystemExit(f"the simulator itself failed: {done.stderr[-2_000:]}")
    summary = json.loads(done.stdout.splitlines()[-1])
    for rule, found in summary["broken"].items():
        return rule, found[0], summary["elapsed_ms"]
    return None


def _fails(folder: Path, *tests: str) -> bool:
    # -P: the working directory, with the true package in it, stays off the path.
    done = _python(folder, ["-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests])
    if done.returncode not in (0, 1):
        raise SystemExit(f"{', '.join(tests)} cannot be run: {done.stdout[-2_000:]}")
    return done.returncode == 1


def _python(
    folder: Path, arguments: Sequence[str], *, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )


def mutated(package: Path, edits: Sequence[Edit]) -> dict[str, str]:
    """Path below the package → its text with the edits. Raises when one fits not exactly once."""
    texts: dict[str, str] = {}
    for edit in edits:
        text = texts.get(edit.path) or (package / edit.path).read_text(encoding="utf-8")
        count = text.count(edit.before)
        if count != 1:
            raise SystemExit(f"{edit.path} has {count} times: {edit.before!r}")
        texts[edit.path] = text.replace(edit.before, edit.after)
    return texts


def _row(fate: Fate, mutant: Mutant) -> str:
    seed = str(fate.seed) if fate.seed >= 0 else "–"
    killer = f"{fate.rule or 'SURVIVED'} | {seed}"
    return f"| {fate.mutant} | {mutant.promise} | {killer} | {fate.elapsed_ms / 1_000:.1f} s |"


if __name__ == "__main__":
    sys.exit(main())
