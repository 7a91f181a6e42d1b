"""Measures failovers of Redis: under Replicante, and under three Sentinels beside it.

    python bench/failover.py [kill] [stop] [planned] [--trials N] [--protect] [--out FILE]
                             [--folder DIR]

Both systems run at the same time on this machine, and each trial hurts both in the same moment. In
each, one client writes numbered increments through the primary and looks it up again after an
error; another one stays pinned to the address that was the primary's when the trial began.

kill     kill -9 of the primary; two seconds after the failover it is started again.
stop     SIGSTOP of the primary; two seconds after the failover it goes on.
planned  a switchover that somebody asks for, while all is well.

After each trial everything is read back: an acknowledged number that is not there is lost. Writes
that the old address acknowledges after the failover are counted by themselves. Figures are for
comparing the columns of one run. Results are added to FILE, so a run may be made in pieces.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from failover_clients import Client
from failover_systems import System, replicante, sentinel

from replicante.clock import Clock, SystemClock

CASES = ("kill", "stop", "planned")
WARM_UP_SECONDS = 1.5
RETURN_SECONDS = 2.0
WATCH_SECONDS = 12.0
"""From the failover on: Sentinel lets a returned primary be for ten seconds."""
FAILOVER_SECONDS_MAX = 40.0
_HEAD = (
    "| case | system | trials | ms to writable | longest pause, ms | lost"
    " | lost by the pinned client | accepted by the old primary | explained |"
)
RESULTS = Path(__file__).parent / "results" / "failover.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    case: str
    system: str
    is_protecting: bool
    to_writable_ms: int | None
    """From the fault to the first write that another server acknowledged; None: none came."""
    pause_ms: int
    """The longest time without an acknowledged write of the client that looks up."""
    lost: int
    lost_pinned: int
    accepted_by_old: int
    """Writes that the old address acknowledged after another one had taken over."""
    is_explained: bool | None
    """Replicante: a decision with the word of each rule stands in the event log. None: nothing is
    written to look at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--protect", action="store_true", help="declare protect_writes")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    unknown = sorted(set(options.cases) - set(CASES))
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        asyncio.run(_run(options, Path(folder)))
    print(table(_read(options.out)))


async def _run(options: argparse.Namespace, folder: Path) -> None:
    clock = SystemClock()
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    async with AsyncExitStack() as stack:
        ours = replicante(folder / "ours", is_protecting=options.protect, clock=clock)
        systems: list[System] = [
            await stack.enter_async_context(ours),
            await stack.enter_async_context(sentinel(folder / "theirs")),
        ]
        for case in options.cases:
            for number in range(options.trials):
                trials = await asyncio.gather(
                    *(_trial(it, case, options.protect, clock) for it in systems)
                )
                _add(options.out, trials)
                for it in trials:
                    print(
                        f"{case} {number + 1}: {it.system}: writable after {it.to_writable_ms} ms,"
                        f" pause {it.pause_ms} ms, lost {it.lost}, of the pinned {it.lost_pinned},"
                        f" accepted by the old {it.accepted_by_old}",
                        flush=True,
                    )


async def _trial(system: System, case: str, is_protecting: bool, clock: Clock) -> Trial:
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
                await system.hurt(old, signal.SIGKILL)
            case "stop":
                await system.hurt(old, signal.SIGSTOP)
            case _:
                await system.hand_over()
        taken_over = await _first_elsewhere(follower, hurt_ms, old)
        await asyncio.sleep(RETURN_SECONDS)
        if case == "stop":
            await system.hurt(old, signal.SIGCONT)
        await system.bring_back(old)
        await asyncio.sleep(WATCH_SECONDS - RETURN_SECONDS)
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
        is_explained=await system.explained(hurt_wall_ms),
    )


async def _first_elsewhere(client: Client, moment_ms: int, old: str) -> int | None:
    try:
        async with asyncio.timeout(FAILOVER_SECONDS_MAX):
            while (found := client.first_after(moment_ms, not_at=old)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        return None
    return found.at_ms


def table(trials: Sequence[Trial]) -> str:
    """A row a case and system, in Markdown. Times as median and worst; counts as median and worst
    of a trial."""
    lines = [
        _HEAD,
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Trial]] = {}
    for it in trials:
        name = f"{it.system}, protected" if it.is_protecting else it.system
        if not (it.is_protecting and it.system == "Sentinel"):
            groups.setdefault((it.case, name), []).append(it)
    for (case, name), found in sorted(groups.items(), key=lambda it: CASES.index(it[0][0])):
        times = [it.to_writable_ms for it in found if it.to_writable_ms is not None]
        missing = len(found) - len(times)
        cells = [
            case,
            name,
            str(len(found)),
            _times(times) + (f", never {missing}" if missing else ""),
            _times([it.pause_ms for it in found]),
            _counts([it.lost for it in found]),
            _counts([it.lost_pinned for it in found]),
            _counts([it.accepted_by_old for it in found]),
            _explained(found),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(found: Sequence[int]) -> str:
    return f"{round(statistics.median(found)):,} ({max(found):,})" if found else "–"


def _counts(found: Sequence[int]) -> str:
    return f"{round(statistics.median(found)):,} ({max(found):,})" if any(found) else "0"


def _explained(found: Sequence[Trial]) -> str:
    told = [it.is_explained for it in found if it.is_explained is not None]
    return f"{sum(told)} of {len(told)}" if told else "–"


def _read(path: Path) -> list[Trial]:
    return [Trial(**it) for it in json.loads(path.read_text())] if path.exists() else []


def _add(path: Path, trials: Sequence[Trial]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    all_of_them = [*_read(path), *trials]
    path.write_text(json.dumps([asdict(it) for it in all_of_them], indent=1) + "\n")


if __name__ == "__main__":
    main()
