"""Gives what clients did in simulated runs to the checkers of the real ones.

    .venv/bin/python tests/sim/judged.py --seeds 500 [--first 1000]      (make sim-judged)

The simulator judges each answer when it is given; the fault suite judges histories as a whole.
Both must come to the same: a seed that the simulator lets pass and a checker calls invalid is a
defect of one of the three. Only runs with the product's own state machine have such histories,
three in ten; of these, none that ends in a disaster, of which no history tells. Exit code 1: a
checker or the simulator says that a promise is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from jlike.check import bank, events, lock, queue
from jlike.history import pair, parse
from jlike.verdict import Finding, Verdict
from replicante.testing.sim_cluster import run_seed
from replicante.testing.sim_options import Options, draw
from replicante.testing.sim_work_bank import ACCOUNTS, BALANCE

JUDGES = {
    "queue": lambda found, sure_ns: queue.check(found, visibility_ns=sure_ns),
    "lease": lambda found, _: lock.check(found),
    "bank": lambda found, _: bank.check(found, setup=dict.fromkeys(ACCOUNTS, BALANCE)),
    "follow": lambda found, _: events.check(found),
}


def sure_ns(options: Options) -> int:
    """What is left of a claim for certain: less a step of the cluster clock and the rates of
    clocks."""
    least_ns = (options.held_ms - options.election_ms_min) * 1_000_000
    return least_ns * (1_000_000 - options.drift) // 1_000_000


def judged(seed: int) -> Iterator[tuple[str, Finding]]:
    """(kind of work, what its checker says) of a run. Raises AssertionError when the simulator
    itself says that a promise is broken."""
    verdict = run_seed(seed)
    assert verdict.rule is None, f"seed {seed}: {verdict.violation}"
    for name, lines in verdict.works.items():
        yield name, JUDGES[name](pair(parse(lines)), sure_ns(verdict.options))


def can_be_judged(seed: int) -> bool:
    options = draw(seed)
    return bool(options.works) and options.disaster is None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    counts: Counter[str] = Counter()
    for seed in filter(can_be_judged, seeds):
        for name, finding in judged(seed):
            counts[f"{name} {finding.verdict}"] += 1
            if finding.verdict is Verdict.INVALID:
                print(f"seed {seed}, {name}: {finding.reason}")
                return 1
    said = ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))
    print(f"{options.seeds} seeds from {options.first}: {said or 'none with a history'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
