"""Measures the work queue: what a claim costs at different depths, and whole round trips.

    python bench/work_queue.py [claims] [apply] [peers] [http] [--depths 1000 1000000]
                               [--cases ready …] [--seconds S] [--callers N] [--folder DIR]

claims: microseconds of CPU of one claim in apply over LMDB, while so many other jobs are ready,
delayed, behind one claimed job of their group, or in a paused queue. apply: microseconds of CPU of
a whole round trip there, many callers side by side. peers and http: enqueue,
claim, acknowledge, one after the other in each caller; in the leader's process of three durable
peers, and through the SDK and HTTP. Figures are for comparing the rows of one run on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import raft_group
from peers import running_peers
from raft_load import Load, Meter, new_event_loop, set_switch_interval
from work_queue_peer import QUEUE, VISIBILITY_MS, enqueue

from replicante.client import Client
from replicante.errors import ReplicanteError
from replicante.limits import JOB_DELAY_MS_MAX, QUEUE_STEP_JOBS_MAX
from replicante.state.commands import Command
from replicante.state.digest import row_hash
from replicante.state.outcome import JobsClaimed, Outcome, decode_outcome
from replicante.state.queue_commands import QueueAck, QueueClaim, QueuePause
from replicante.storage.lmdb_store import LmdbStore
from replicante.testing.builders import LoneState, envelope_bytes

CASES = ("ready", "delayed", "group", "paused")
CLAIMS = 1_000
FLUSH_EVERY_JOBS = 20_000
ROUNDS, FLUSH_EVERY_ROUNDS = 400, 20
"""Flushed as often as a peer does at a good thousand round trips/s."""
STEP_MS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["claims", "apply", "peers", "http"])
    parser.add_argument("--depths", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if "claims" in options.parts:
            _claims(options, Path(folder))
        if "apply" in options.parts:
            _round_trips(Path(folder) / "apply", callers=options.callers)
        load = Load(
            callers=options.callers, command_bytes=100, seconds=options.seconds, warmup_seconds=1.0
        )
        if "peers" in options.parts:
            _tell("in the leader's process", _in_process(load, Path(folder) / "peers"))
        if "http" in options.parts:
            set_switch_interval()
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                _tell("SDK over HTTP", runner.run(_over_http(load, Path(folder) / "http")))


def _tell(title: str, said: dict[str, object]) -> None:
    print(
        f"{title:<24} {said['callers']} callers: {said['writes_per_s']} round trips/s,"
        f" p50 {said['p50_ms']} ms, p99 {said['p99_ms']} ms, errors {said['errors']}",
        flush=True,
    )


# --- claims --------------------------------------------------------------------------------------


def _claims(options: argparse.Namespace, folder: Path) -> None:
    print(f"{CLAIMS} claims of one job, each an entry of its own; µs of CPU in apply")
    for case in options.cases:
        for depth in options.depths:
            state = LoneState(
                LmdbStore.open(folder / f"{case}-{depth}", identity=b"bench", row_hash=row_hash)
            )
            _fill(state, case, depth)
            took_us = sorted(_claim(state) for _ in range(CLAIMS))
            state.machine.close()
            print(
                f"{case:>8} {depth:>9} jobs: median {statistics.median(took_us):6.1f},"
                f" p99 {took_us[CLAIMS * 99 // 100]:7.1f}",
                flush=True,
            )


def _fill(state: LoneState, case: str, depth: int) -> None:
    """depth jobs of the case, and as many ready ones behind them as will be claimed."""
    match case:
        case "ready":
            _send(state, depth)
        case "delayed":
            _send(state, depth, delay_ms=JOB_DELAY_MS_MAX)
        case "group":
            _send(state, depth, group="one")
            _claim(state)
        case "paused":
            _send(state, depth, queue="paused")
            state.do(QueuePause("paused", "bench"))
    _send(state, CLAIMS)
    state.machine.flush()


def _send(
    state: LoneState,
    count: int,
    *,
    queue: str = QUEUE,
    delay_ms: int = 0,
    group: str | None = None,
) -> None:
    for start in range(0, count, QUEUE_STEP_JOBS_MAX):
        jobs = min(QUEUE_STEP_JOBS_MAX, count - start)
        state.do(enqueue(jobs, queue=queue, delay_ms=delay_ms, group=group))
        if start % FLUSH_EVERY_JOBS == 0:
            state.machine.flush()


def _claim(state: LoneState) -> float:
    began = time.thread_time()
    outcome = state.do(QueueClaim(QUEUE, 1, VISIBILITY_MS, "bench"))
    took_us = (time.thread_time() - began) * 1e6
    assert isinstance(outcome, JobsClaimed), outcome
    assert len(outcome.jobs) == 1, outcome
    return took_us


def _round_trips(folder: Path, *, callers: int) -> None:
    state = LoneState(LmdbStore.open(folder, identity=b"bench", row_hash=row_hash))
    took_s = 0.0
    for round_number in range(ROUNDS):
        took_s += _step(state, [enqueue()] * callers)[0]
        claims = [QueueClaim(QUEUE, 1, VISIBILITY_MS, "bench")] * callers
        step_s, claimed = _step(state, claims)
        jobs = [one.jobs[0] for one in claimed if isinstance(one, JobsClaimed)]
        took_s += (
            step_s + _step(state, [QueueAck(QUEUE, job.job, job.token, ()) for job in jobs])[0]
        )
        if round_number % FLUSH_EVERY_ROUNDS == 0:
            state.machine.request_flush()
    state.machine.close()
    print(
        f"apply                    {callers} callers: {took_s / ROUNDS / callers * 1e6:.1f} µs"
        " of CPU a round trip",
        flush=True,
    )


def _step(state: LoneState, commands: Sequence[Command]) -> tuple[float, list[Outcome]]:
    """One entry of all callers; seconds of CPU in apply, and what came of it."""
    encoded = [envelope_bytes(command) for command in commands]
    state.advance(STEP_MS)
    began = time.thread_time()
    outcomes = state.propose_together(encoded)
    took_s = time.thread_time() - began
    return took_s, [decode_outcome(outcome) for outcome in outcomes]


# --- round trips ---------------------------------------------------------------------------------


def _in_process(load: Load, folder: Path) -> dict[str, object]:
    with raft_group.running("work_queue_peer.py", folder) as group:
        return group.ready_leader().ask(do="load", **asdict(load))


async def _over_http(load: Load, folder: Path) -> dict[str, object]:
    async with (
        running_peers(folder) as (cluster, leader),
        Client([cluster.plans[leader].url]) as client,
    ):
        meter = Meter(load)
        await asyncio.gather(*(_caller(client, meter) for _ in range(load.callers)))
        return meter.result()


async def _caller(client: Client, meter: Meter) -> None:
    body = "v" * meter.load.command_bytes
    goes_on = True
    while goes_on:
        started_s = time.perf_counter()
        try:
            await client.queues.send(QUEUE, body)
            (job,) = await client.queues.claim(QUEUE, visibility_ms=VISIBILITY_MS, wait_ms=10_000)
            await client.queues.ack(QUEUE, job.id, job.token)
            goes_on = meter.answered(started_s)
        except ReplicanteError:
            goes_on = meter.failed()


if __name__ == "__main__":
    main()
