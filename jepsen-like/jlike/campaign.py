"""Many runs: every workload with every kind of fault, in company and options that a seed draws.

Called by `jlike all`. What was not valid keeps its folder; of valid runs the newest keep theirs.
Rule: a run is a function of the campaign's seed and its number, so that any can be made again.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jlike import report
from jlike import store as stores
from jlike.runner import Options
from jlike.verdict import Verdict
from jlike.workload.catalogue import WORKLOADS

COMPANY_MAX = 2
"""Workloads and faults at most that a run has besides the pair that it is about."""
BROKEN_IN_A_ROW_MAX = 3
SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What is drawn from. run_s: the longest run, under load; the shortest is a third of it."""

    workloads: Sequence[str]
    nemeses: Sequence[str]
    seed: int
    run_s: float = 60.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a campaign came to. pairs: (workload, fault) → how many runs had both."""

    verdicts: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def exit_code(self) -> int:
        """A violation outweighs a broken run, a broken run outweighs the unknown."""
        for name, code in ((Verdict.INVALID, 1), (stores.BROKEN, 3), (Verdict.UNKNOWN, 2)):
            if self.verdicts[name]:
                return code
        return 0 if self.verdicts[Verdict.VALID] else 2


def pairs_of(matrix: Matrix) -> list[tuple[str, str]]:
    """(workload, fault) that can be judged together."""
    return [
        (one, other) for one in matrix.workloads for other in matrix.nemeses if _fit([one], other)
    ]


def plans(matrix: Matrix) -> Iterator[Options]:
    """Without end. Each pair comes once before any comes twice."""
    number = 0
    for turn in range(SEEDS):
        pairs = pairs_of(matrix)
        random.Random(f"{matrix.seed} turn {turn}").shuffle(pairs)
        for workload, nemesis in pairs:
            yield _plan(matrix, workload, nemesis, number=number)
            number += 1


def _plan(matrix: Matrix, workload: str, nemesis: str, *, number: int) -> Options:
    chance = random.Random(f"{matrix.seed} run {number}")
    fit = [it for it in matrix.workloads if _fit([it], nemesis)]
    workloads = [workload, *_company(chance, fit, workload)]
    fit = [it for it in matrix.nemeses if _fit(workloads, it)]
    return Options(
        workloads=workloads,
        nemeses=[nemesis, *_company(chance, fit, nemesis)],
        peers=chance.choice((3, 3, 5)),
        time_s=round(matrix.run_s * chance.choice((1, 2, 3, 3)) / 3, 1),
        clients=len(workloads) * chance.choice((2, 4, 6)),
        rate=float(chance.choice((40, 80, 150, 250))),
        seed=chance.randrange(SEEDS),
    )


def _fit(workloads: Sequence[str], nemesis: str) -> bool:
    return not any(nemesis in WORKLOADS[it]().unfit for it in workloads)


def _company(chance: random.Random, names: Sequence[str], chosen: str) -> list[str]:
    others = [it for it in names if it != chosen]
    return chance.sample(others, min(len(others), chance.randrange(COMPANY_MAX + 1)))


def campaign(
    matrix: Matrix,
    store: Path,
    *,
    conduct: Callable[[Options, Path], stores.Run],
    has_time: Callable[[], bool],
    tell: Callable[[str], None],
    keep: int,
) -> Tally:
    """Runs until `has_time` says no. keep: folders of valid runs that stay.

    Raises what broke when nothing but broken runs come: then it is the harness."""
    tally = Tally()
    broken = 0
    kept: list[Path] = []
    for options in plans(matrix):
        if not has_time():
            return tally
        tell(stores.command_of(options))
        try:
            run = conduct(options, store)
        except Exception as error:
            broken += 1
            tally.verdicts[stores.BROKEN] += 1
            tell(f"harness broke: {error}")
            if broken == BROKEN_IN_A_ROW_MAX:
                raise
            continue
        broken = 0
        tally.verdicts[run.verdict] += 1
        tally.pairs.update((one, it) for one in options.workloads for it in options.nemeses)
        tell(f"{run.verdict.upper()} {run.folder.name}")
        if run.verdict is Verdict.VALID:
            kept.append(run.folder)
            _tidy(kept, store, keep=keep)
    return tally


def _tidy(kept: list[Path], store: Path, *, keep: int) -> None:
    """The index must not lead to what is gone."""
    while len(kept) > keep:
        shutil.rmtree(kept.pop(0), ignore_errors=True)  # somebody may have tidied up
        if (store / "index.html").exists():
            report.write_index(store)
