"""One simulated run: a whole cluster from a seed, first with every fault, then with a majority
healed.

Called by `sim` and by tests. Phase one asks for safety alone; in some runs another generation of
the cluster begins in the middle of it, from a backup or from a survivor (`sim_recovery`). Phase
two heals a random majority, leaves the others broken in a random way, and asks for progress: a
leader, answers, convergence, and that the leader stays.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from replicante import limits
from replicante.ids import position_of
from replicante.testing.entropy import Chance
from replicante.testing.sim_birth import first_birth
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_generation import Generation, Ground
from replicante.testing.sim_options import Disaster, Options, draw
from replicante.testing.sim_progress import Progress
from replicante.testing.sim_recovery import recover
from replicante.testing.sim_skip import check_told, poison


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    options: Options
    violation: str | None
    rule: str | None
    trace_hash: int
    events_count: int
    entries_count: int
    virtual_ms: int
    counters: Counter[str]
    lines: list[str]
    """The whole trace, when it was asked for."""
    history: list[str]
    works: dict[str, list[str]]
    """What clients of the product's state machine did, by kind of work: lines as `jlike.history`
    reads them."""


def run_seed(seed: int, *, keeps_lines: bool = False) -> Verdict:
    """The same seed on the same code gives the same trace hash, in any process."""
    return run_options(draw(seed), keeps_lines=keeps_lines)


def run_options(options: Options, *, keeps_lines: bool = False) -> Verdict:
    ground = Ground(options, keeps_lines=keeps_lines)
    first = Generation(options, ground, first_birth(options))
    generations = [first]
    violation, rule = None, None
    with _bounds(options.bounds):
        try:
            _play(first, generations)
        except Violation as error:
            violation, rule = str(error), error.rule
        except Exception as error:  # noqa: BLE001 - whatever a peer raised would have ended its process
            violation = f"{type(error).__name__}: {error}"
            rule = f"no peer fails: {_place(error)}"
    return Verdict(
        options=options,
        violation=violation,
        rule=rule,
        trace_hash=ground.trace.hash,
        events_count=ground.schedule.done_count,
        entries_count=sum(position_of(it.raft.committed_index) for it in generations),
        virtual_ms=ground.schedule.now_us // 1_000,
        counters=ground.counters,
        lines=ground.trace.lines,
        history=[str(operation) for it in generations for operation in it.history.operations],
        works=first.clients.works_told(),
    )


def _play(first: Generation, generations: list[Generation]) -> None:
    """generations: filled as they begin. Raises Violation, or whatever a peer raised."""
    end_us = first.options.safety_ms * 1_000
    first.begin()
    newest = first
    if first.options.disaster is not None:
        first.live(until_us=end_us // 2)
        later = None
        if first.options.disaster is Disaster.POISON:
            poison(first)
        else:
            later = recover(first)
        if later is not None:
            newest = later
            generations.append(later)
            later.begin()
    newest.live(until_us=end_us)
    newest.calm()
    Progress(newest, Chance(newest.options.seed, "progress")).demand()
    check_told(newest)


@contextlib.contextmanager
def _bounds(bounds: tuple[tuple[str, int], ...]) -> Iterator[None]:
    """replicante.limits as this run wants them; one run at a time in a process."""
    before = {name: getattr(limits, name) for name, _ in bounds}
    try:
        for name, value in bounds:
            setattr(limits, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


def _place(error: BaseException) -> str:
    """Where it came from: file and function, so that equal failures look equal."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    code = trace.tb_frame.f_code
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_name}"
