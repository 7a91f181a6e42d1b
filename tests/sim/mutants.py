"""Proves that the simulator can fail: makes every mutant of `mutant_list` and lets it be found.

    .venv/bin/python tests/sim/mutants.py [NAME…] [--jobs N] [--since COMMIT] [--page]

Each mutant is made in a copy of the package in a temporary folder and meets the seeds 0, 1, 2, …
until a promise is broken, or a named test that has to fail. The true code meets the same first, and
afterwards every seed that killed. What was found is kept (`mutant_results`): who is interrupted and
begins again on the same commit goes on from there; --since believes what older commits have shown.
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
from dataclasses import replace
from pathlib import Path

from mutant_list import MUTANTS
from mutant_parts import Edit, Mutant
from mutant_results import TRUE_CODE, Fate, Results

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "replicante"
PAGE = ROOT / "docs" / "explanation" / "mutants.md"
KEPT = ROOT / ".mutants.jsonl"
_PAGE_HEAD = (
    "# Mutants\n\n"
    "Each row is a defect that somebody could put into the code in good faith. `make mutants`"
    " makes it in a copy of the\npackage and lets the simulator meet it, from seed 0 on, until a"
    " promise is broken; where a seed would be too rare, a named test has to fail.\nThe code"
    " without the defect passed that test, or that seed and the first {seeds}.\n\n"
    "Written by `make mutants ARGS=--page` on {day}: all {count} were killed. The code was that of"
    " the\ncommits {commits}; what one of them has shown counts until the mutant is changed. Times"
    " are of a shared machine.\n\n"
    "| mutant | promise that it breaks | killed by | seed | time |\n|---|---|---|---|---|"
)
_BASELINE_SEEDS = 200
_LIMIT_S = 1_800


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="mutants; all of them when none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--since", metavar="COMMIT", help="believes results from then on")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where results are kept")
    parser.add_argument("--page", action="store_true", help=f"writes {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.page and options.names:
        parser.error("the page holds all mutants: name none")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    results = Results(options.kept, ROOT, since=options.since)
    fates = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        proof = _Proof(Path(folder), results, options.jobs)
        for mutant in chosen:
            fates.append(results.find(mutant) or proof.kill(mutant))
            print(_row(fates[-1], mutant), flush=True)
    survivors = [fate.mutant for fate in fates if not fate.rule]
    print(f"{len(fates) - len(survivors)} of {len(fates)} mutants are killed")
    if survivors:
        print(f"survivors: {', '.join(survivors)}")
    for guilt in proof.guilt:
        print(f"the true code breaks {guilt}: mend that first")
    if options.page and not survivors:
        PAGE.write_text(_page(fates, chosen), encoding="utf-8")
    return 1 if survivors else 0


class _Proof:
    """Makes mutants, and the code without any defect, below `folder`. What breaks the true code
    kills nobody."""

    def __init__(self, folder: Path, results: Results, jobs: int) -> None:
        self.guilt: list[str] = []
        self._folder = folder
        self._results = results
        self._jobs = jobs
        self._true = folder / "true"
        _copy(self._true, ())

    def kill(self, mutant: Mutant) -> Fate:
        met = mutant.test or f"{_BASELINE_SEEDS} seeds from 0"
        if not self._holds(met):
            return Fate(mutant=mutant.name, rule="")
        folder = self._folder / mutant.name
        _copy(folder, mutant.edits)
        fate = replace(self._met(mutant, folder), commit=self._results.commit)
        shutil.rmtree(folder)
        if fate.seed >= _BASELINE_SEEDS and not self._holds(f"1 seeds from {fate.seed}"):
            return replace(fate, rule="")
        self._results.keep(fate, mutant)
        return fate

    def _holds(self, met: str) -> bool:
        """The true code passes it: a test, or seeds."""
        if self._results.find(TRUE_CODE, met) is not None:
            return True
        if met.startswith("tests/"):
            found = "the test" if _fails(self._true, met) else ""
        else:
            count, _, _, first = met.split()
            broken = _simulate(self._true, int(count), self._jobs, first=int(first))
            found = "" if broken is None else f"{broken[0]!r} at seed {broken[1]}"
        if found:
            self.guilt.append(f"{met} ({found})")
            return False
        held = Fate(mutant=TRUE_CODE.name, rule="none", commit=self._results.commit)
        self._results.keep(held, TRUE_CODE, met)
        return True

    def _met(self, mutant: Mutant, folder: Path) -> Fate:
        if mutant.test:
            started_s = time.monotonic()
            is_found = _fails(folder, mutant.test)
            elapsed_ms = round((time.monotonic() - started_s) * 1_000)
            rule = mutant.test if is_found else ""
            return Fate(mutant=mutant.name, rule=rule, elapsed_ms=elapsed_ms)
        found = _simulate(folder, mutant.seeds_max, self._jobs)
        if found is None:
            return Fate(mutant=mutant.name, rule="")
        rule, seed, elapsed_ms = found
        return Fate(mutant=mutant.name, rule=rule, seed=seed, elapsed_ms=elapsed_ms)


def _page(fates: Sequence[Fate], mutants: Sequence[Mutant]) -> str:
    rows = [_row(fate, mutant) for fate, mutant in zip(fates, mutants, strict=True)]
    head = _PAGE_HEAD.format(
        count=len(rows),
        day=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        seeds=_BASELINE_SEEDS,
        commits=", ".join(sorted({fate.commit[:7] for fate in fates})),
    )
    return "\n".join([head, *rows, ""])


def _copy(folder: Path, edits: Sequence[Edit]) -> None:
    copy = folder / "replicante"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in mutated(PACKAGE, edits).items():
        (copy / path).write_text(text, encoding="utf-8")


def _simulate(
    folder: Path, seeds: int, jobs: int, *, first: int = 0
) -> tuple[str, int, int] | None:
    """(rule, seed, elapsed ms) of the first violation."""
    which = ["--seeds", str(seeds), "--first", str(first)]
    arguments = [*which, "--jobs", str(jobs), "--first-only", "--json"]
    done = _python(folder, ["-m", "replicante.testing.sim", *arguments], cwd=folder)
    if not done.stdout.strip():
        raise SystemExit(f"the simulator itself failed: {done.stderr[-2_000:]}")
    summary = json.loads(done.stdout.splitlines()[-1])
    for rule, found in summary["broken"].items():
        return rule, found[0], summary["elapsed_ms"]
    return None


def _fails(folder: Path, *tests: str) -> bool:
    done = _python(folder, ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests])
    if done.returncode not in (0, 1):
        raise SystemExit(f"{', '.join(tests)} cannot be run: {done.stdout[-2_000:]}")
    return done.returncode == 1


def _python(
    folder: Path, arguments: Sequence[str], *, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    # The working directory, with the true package in it, stays off the path: of whatever the tests
    # start, too.
    apart = {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **apart},
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
