"""Measures failovers of Redis: under Replicante, and under three Sentinels beside it.

    python bench/failover.py [kill] [stop] [machine] [planned] [--trials N] [--seconds N]
                             [--protect] [--through] [--out FILE] [--folder DIR]

Both systems run at the same time on this machine, and each trial hurts both in the same moment. In
each, one client writes numbered increments through the primary and looks it up again after an
error; another one stays pinned to the address that was the primary's when the trial began.

kill     kill -9 of the primary; two seconds after the failover it is started again.
stop     SIGSTOP of the primary; two seconds after the failover it goes on.
machine  SIGSTOP of the primary and of what stands beside it: its agent, a Sentinel. As stop.
planned  a switchover that somebody asks for, while all is well.

After each trial everything is read back: an acknowledged number that is not there is lost. Writes
that the old address acknowledges after the failover are counted by themselves. Figures are for
comparing the columns of one run. Results are added to FILE, so a run may be made in pieces:
--seconds begins no trial after so long. --through gives Replicante Sentinels of its own, which it
asks. `bench/failover_page.py` makes the page of the results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from failover_clients import Client
from failover_page import CASES, Trial, read, table
from failover_replicante import replicante
from failover_sentinel import sentinel, through_sentinel
from failover_systems import System

from replicante.clock import Clock, SystemClock

WARM_UP_SECONDS = 1.5
RETURN_SECONDS = 2.0
WATCH_SECONDS = 12.0
"""From the failover on: Sentinel lets a returned primary be for ten seconds."""
WATCH_PLANNED_SECONDS = 4.0
"""Nobody returns; under Sentinel the clients change over when the old primary does."""
FAILOVER_SECONDS_MAX = 40.0
RESULTS = Path(__file__).parent / "results" / "failover.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=24 * 3_600)
    parser.add_argument("--protect", action="store_true", help="with protected writes")
    parser.add_argument("--through", action="store_true", help="through Sentinels beside it")
    parser.add_argument("--run", default="", help="the circumstances, for the page")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        try:
            asyncio.run(_run(options, Path(folder)))
        except (asyncio.CancelledError, KeyboardInterrupt):
            sys.exit(f"ended early: the trials that came to their end are in {options.out}")
    print(table(read(options.out)))


async def _run(options: argparse.Namespace, folder: Path) -> None:
    clock = SystemClock()
    ends_ms = clock.monotonic_ms() + options.seconds * 1_000
    this = asyncio.current_task()
    assert this is not None
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: nothing is left behind
        asyncio.get_running_loop().add_signal_handler(ending, this.cancel)
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack:
        begin = through_sentinel if options.through else replicante
        ours = begin(folder / "ours", is_protecting=options.protect)
        systems: list[System] = [
            await stack.enter_async_context(ours),
            await stack.enter_async_context(
                sentinel(folder / "theirs", is_protecting=options.protect)
            ),
        ]
        for number in range(options.trials):
            for case in options.cases:
                if clock.monotonic_ms() > ends_ms:
                    return
                trials = await asyncio.gather(
                    *(
                        _trial(
                            it,
                            case,
                            is_protecting=options.protect,
                            run=options.run,
                            clock=clock,
                        )
                        for it in systems
                    )
                )
                _add(options.out, trials)
                for it in trials:
                    print(
                        f"{case} {number + 1}: {it.system}: writable after {it.to_writable_ms} ms,"
                        f" pause {it.pause_ms} ms, lost {it.lost}, of the pinned {it.lost_pinned},"
                        f" accepted by the old {it.accepted_by_old}",
                        flush=True,
                    )


async def _trial(
    system: System, case: str, *, is_protecting: bool, run: str, clock: Clock
) -> Trial:
    old = await system.steady()

    async def pinned() -> str | None:
        return old

    began_ms = clock.wall_ms()
    clients = [
        Client(f"follower:{began_ms}", system.primary, clock),
        Client(f"pinned:{began_ms}", pinned, clock),
    ]
    follower, stubborn = clients
    stop = asyncio.Event()
    tasks = [asyncio.create_task(it.run(stop)) for it in clients]
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        hurt_ms, hurt_wall_ms = clock.monotonic_ms(), clock.wall_ms()
        match case:
            case "kill":
                await system.hurt(old, signal.SIGKILL, is_whole_machine=False)
            case "stop" | "machine":
                await system.hurt(old, signal.SIGSTOP, is_whole_machine=case == "machine")
            case _:
                await system.hand_over()
        taken_over = await _first_elsewhere(follower, hurt_ms, old)
        await asyncio.sleep(RETURN_SECONDS)
        if case in ("stop", "machine"):
            await system.hurt(old, signal.SIGCONT, is_whole_machine=case == "machine")
        await system.bring_back(old)
        watch_seconds = WATCH_PLANNED_SECONDS if case == "planned" else WATCH_SECONDS
        await asyncio.sleep(watch_seconds - RETURN_SECONDS)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    new = await system.steady()
    moment_ms = hurt_ms if taken_over is None else taken_over
    return Trial(
        case=case,
        system=system.name,
        is_protecting=is_protecting,
        to_writable_ms=None if taken_over is None else taken_over - hurt_ms,
        pause_ms=follower.longest_pause_ms(hurt_ms),
        lost=await follower.lost(new),
        lost_pinned=await stubborn.lost(new),
        accepted_by_old=sum(it.at_ms > moment_ms for it in stubborn.acks),
        explained=await system.explained(hurt_wall_ms),
        load=round(os.getloadavg()[0], 1),
        wall_ms=hurt_wall_ms,
        run=run,
    )


async def _first_elsewhere(client: Client, moment_ms: int, old: str) -> int | None:
    try:
        async with asyncio.timeout(FAILOVER_SECONDS_MAX):
            while (found := client.first_after(moment_ms, not_at=old)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        return None
    return found.at_ms


def _add(path: Path, trials: Sequence[Trial]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    all_of_them = [*read(path), *trials]
    path.write_text(json.dumps([asdict(it) for it in all_of_them], indent=1) + "\n")


if __name__ == "__main__":
    main()
