"""Runs the simulation over many seeds: `python -m replicante.testing.sim --seeds 2000`.

Called by `make sim`, by the pipeline and by the mutant tool. Prints every violation with what is
needed to see it again, then one line for all. Exit codes: 0 nothing broken, 1 a promise was
broken, 3 a fault or event that must be met was never met.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from replicante.clock import SystemClock
from replicante.raft.engine_check import check_engine
from replicante.testing.sim_cluster import Verdict, run_seed

MUST_BE_MET = (
    "leader_elected",
    "tail_truncated",
    "vote_denied",
    "append_refused",
    "message_lost",
    "message_repeated",
    "crash_kept_write",
    "link_refused",
    "staleness_claimed",
    "write_ok",
    "write_fail",
    "write_info",
    "read_ok",
    "command_repeated",
    "state_lagged",
    "leader_replaced_fast",
    "log_trimmed",
    "snapshot_installed",
    "member_added",
    "member_promoted",
    "member_removed",
    "leader_to_be_removed",
    "removal_told",
    "change_made",
    "change_membership_refused",
    "change_outcome_unknown",
    "job_done",
    "claim_ran_out",
    "late_token_used",
    "lease_held",
    "lease_ran_out",
    "stale_token",
    "transferred",
    "transfer_was_late",
    "event_followed",
    "backup_restored",
    "force",
    "copy_compared",
    "former_peer_returned",
    "stranger_refused",
)
"""A campaign that never saw one of these has proved less than it says."""
_MUST_FROM_SEEDS = 100
"""Fewer seeds are a look at something, not a campaign."""
_CHUNK = 8


@dataclass(slots=True)
class Summary:
    """What a campaign adds up to."""

    seeds_count: int = 0
    events_count: int = 0
    entries_count: int = 0
    virtual_ms: int = 0
    trace_hash: int = 0
    counters: Counter[str] | None = None
    broken: dict[str, list[int]] | None = None
    """rule → seeds"""

    def add(self, verdict: Verdict) -> None:
        if self.counters is None or self.broken is None:
            self.counters, self.broken = Counter(), {}
        self.seeds_count += 1
        self.events_count += verdict.events_count
        self.entries_count += verdict.entries_count
        self.virtual_ms += verdict.virtual_ms
        # In the order of the seeds, so that one number stands for the whole campaign.
        self.trace_hash = zlib.crc32(b"%d" % verdict.trace_hash, self.trace_hash)
        self.counters.update(verdict.counters)
        if verdict.rule is not None:
            self.broken.setdefault(verdict.rule, []).append(verdict.options.seed)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    check_engine()
    if options.seed is not None:
        return _one(options.seed, keeps_lines=options.trace)
    return _many(
        range(options.first, options.first + options.seeds),
        jobs=options.jobs,
        is_first_enough=options.first_only,
        as_json=options.json,
    )


def _one(seed: int, *, keeps_lines: bool) -> int:
    verdict = run_seed(seed, keeps_lines=keeps_lines)
    for line in verdict.lines:
        _say(line)
    if keeps_lines:
        _say("history: invoked answered who what")
        for line in verdict.history:
            _say(line)
    _say(verdict.options.describe())
    _say(" ".join(f"{name}={count}" for name, count in sorted(verdict.counters.items())))
    _say(_verdict_line(verdict))
    return 0 if verdict.rule is None else 1


def _many(seeds: range, *, jobs: int, is_first_enough: bool, as_json: bool) -> int:
    clock = SystemClock()
    started_ms = clock.monotonic_ms()
    summary = Summary()
    with _verdicts(seeds, jobs=jobs) as verdicts:
        for verdict in verdicts:
            summary.add(verdict)
            if verdict.rule is None:
                continue
            if not as_json:
                _say(_verdict_line(verdict))
                _say(f"  {verdict.options.describe()}")
                _say(f"  make sim SEED={verdict.options.seed} TRACE=1")
            if is_first_enough:
                break
    elapsed_ms = max(clock.monotonic_ms() - started_ms, 1)
    counters, broken = summary.counters or Counter(), summary.broken or {}
    missing = []
    if summary.seeds_count >= _MUST_FROM_SEEDS:
        missing = [name for name in MUST_BE_MET if counters[name] == 0]
    if as_json:
        _say(json.dumps({"seeds": summary.seeds_count, "elapsed_ms": elapsed_ms, "broken": broken}))
        return 1 if broken else 0
    _say(" ".join(f"{name}={count}" for name, count in sorted(counters.items())))
    for rule, found in sorted(broken.items()):
        _say(f"BROKEN {rule}: {len(found)} seeds, {', '.join(map(str, found[:10]))}")
    if missing:
        _say(f"NEVER MET: {', '.join(missing)}")
    _say(
        f"{summary.seeds_count} seeds from {seeds.start}: {sum(map(len, broken.values()))} broken,"
        f" {summary.events_count} events, {summary.entries_count} entries,"
        f" {summary.virtual_ms // 1_000} s of virtual time in {elapsed_ms / 1_000:.1f} s"
        f" ({summary.seeds_count * 60_000 // elapsed_ms} seeds a minute),"
        f" trace {summary.trace_hash:08x}"
    )
    return 1 if broken else 3 if missing else 0


@contextmanager
def _verdicts(seeds: range, *, jobs: int) -> Iterator[Iterable[Verdict]]:
    """In the order of the seeds, whichever process is done first."""
    if jobs <= 1 or len(seeds) <= _CHUNK:
        _hush_collector()
        yield map(_run_and_collect, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_hush_collector) as pool:
        yield pool.imap(_run_and_collect, seeds, chunksize=_CHUNK)


def _hush_collector() -> None:
    """A run makes millions of objects that no cycle holds, and is thrown away as a whole: looking
    for cycles once a run costs a tenth less time than looking all the while."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _run_and_collect(seed: int) -> Verdict:
    verdict = run_seed(seed)
    gc.collect()
    return verdict


def _verdict_line(verdict: Verdict) -> str:
    said = "holds" if verdict.violation is None else f"BROKEN {verdict.violation}"
    return (
        f"seed {verdict.options.seed} trace {verdict.trace_hash:08x}"
        f" ({verdict.events_count} events, {verdict.entries_count} entries,"
        f" {verdict.virtual_ms} ms): {said}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m replicante.testing.sim")
    parser.add_argument("--seeds", type=int, default=150, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one run, told in full")
    parser.add_argument("--trace", action="store_true", help="with --seed: every event")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8))
    parser.add_argument("--first-only", action="store_true", help="stop at the first violation")
    parser.add_argument("--json", action="store_true", help="only a summary, for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
