"""Makes a run again, and searches for a smaller one that is still invalid.

Called by `jlike replay`. A run is not repeated bit by bit: the seed fixes questions and faults, not
the kernel. So a run counts as innocent only after several tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from jlike.runner import Options

TIME_S_MIN = 5.0
Trial = Callable[[Options], Sequence[str]]
"""Makes the run, more than once if need be. Result: the guilty workloads; none: it was not
invalid. A violation that no workload saw is told by all workloads of the run."""


def shrunk(options: Options, guilty: Sequence[str], *, trial: Trial, trials_max: int) -> Options:
    """The smallest options found that are still invalid, after at most so many trials.

    Greedy: whatever is smaller and still invalid becomes the beginning of the next search."""
    left = trials_max
    while True:
        for candidate in smaller(options, guilty):
            if not left:
                return options
            left -= 1
            found = trial(candidate)
            if found:
                options, guilty = candidate, found
                break
        else:
            return options


def smaller(options: Options, guilty: Sequence[str]) -> Iterator[Options]:
    """Each with less of one thing, those that leave out most first. Ends: all are smaller."""
    if guilty and len(guilty) < len(options.workloads):
        yield replace(options, workloads=list(guilty))
    if len(guilty) > 1:
        for name in guilty:
            yield replace(options, workloads=[name])
    for nemeses in _fewer(options.nemeses):
        yield replace(options, nemeses=nemeses)
    if options.time_s > TIME_S_MIN:
        yield replace(options, time_s=max(TIME_S_MIN, round(options.time_s / 2, 1)))
    least = max(2, len(options.workloads))
    if options.clients > least:
        yield replace(options, clients=max(least, options.clients // 2))
    if options.peers > 3 and not options.urls:
        yield replace(options, peers=3)


def _fewer(names: Sequence[str]) -> Iterator[list[str]]:
    """None at all, each half, all but one."""
    if names:
        yield []
    half = len(names) // 2
    if half:
        yield list(names[:half])
        yield list(names[half:])
    if len(names) > 2:
        for at in range(len(names)):
            yield [*names[:at], *names[at + 1 :]]
