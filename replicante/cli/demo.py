"""`replicante demo`: shows what Replicante is for, and proves it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import IO

import click
import msgspec

from replicante.cli import render
from replicante.cli.common import ENDPOINTS_VARIABLE, example
from replicante.cli.dev import watch_signals
from replicante.cli.exits import Exit
from replicante.client import DEFAULT_ENDPOINTS
from replicante.clock import Clock, SystemClock
from replicante.config import LogFormat
from replicante.demo import Demo, Stage, prepare_folder
from replicante.demo_report import DemoReport, last_line
from replicante.demo_work import PREFIX
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import PeerPlan, plan_peers
from replicante.errors import ReplicanteError
from replicante.wire.events import Event

PEERS_COUNT = 3
SHOWN_EVENTS_EVERY_MS = 700
EVENT_WIDTH_MAX = 78
LOG_LINES_SHOWN = 15
SECONDS_MAX = 86_400


@click.command(epilog=example("replicante demo", "DEMO_SECONDS=45 replicante demo"))
@click.option(
    "--seconds",
    type=click.IntRange(0, SECONDS_MAX),
    envvar="DEMO_SECONDS",
    help="End by itself after so many; without it, it stays up until Ctrl-C. Also DEMO_SECONDS.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-data"),
    show_default=True,
    help="Emptied first, unless it holds anything else.",
)
@click.option("--http-port", type=int, default=16016, show_default=True, help="Of the first peer.")
@click.option("--raft-port", type=int, default=16116, show_default=True, help="Of the first peer.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("demo-report.json"),
    show_default=True,
    help="What was seen, and what follows from it.",
)
def demo(
    *, seconds: int | None, data_dir: Path, http_port: int, raft_port: int, report_path: Path
) -> None:
    """Start three peers, write, kill the leader, and read everything back from every peer.

    The last line is `demo: ok`, or `demo: FAILED` with the reasons and an exit code other than 0.
    """
    plans = plan_peers(
        peers_count=PEERS_COUNT,
        data_dir=data_dir,
        http_port=http_port,
        raft_port=raft_port,
        log_format=LogFormat.JSON.value,
    )
    report_path.unlink(missing_ok=True)
    prepare_folder(data_dir, plans)
    sys.exit(asyncio.run(_run(plans, report_path=report_path, seconds=seconds)))


async def _run(plans: tuple[PeerPlan, ...], *, report_path: Path, seconds: int | None) -> int:
    clock = SystemClock()
    ends_at_ms = None if seconds is None else clock.monotonic_ms() + seconds * 1000
    terminal = _Terminal(clock)
    stop, hurry = watch_signals()
    logs = _Logs(plans)
    cluster = LocalCluster(plans, voices=Voices(log=logs.write, note=terminal.say), clock=clock)
    report: DemoReport | None = None
    reason = "it was interrupted"
    try:
        work = asyncio.create_task(_play(cluster, terminal, clock))
        stopped = asyncio.create_task(_wait(stop))
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                report = work.result()
        except ReplicanteError as exc:
            reason = exc.message
            for hint in exc.hints:
                terminal.say(f"hint: {hint}")
        finally:
            work.cancel()
            stopped.cancel()
            await asyncio.gather(work, stopped, return_exceptions=True)
        if report is not None:
            _write(report_path, report)
            terminal.findings(report, report_path)
            if report.is_ok:
                terminal.invitation(plans)
                await _stay(stop, ends_at_ms, clock)
        if report is None or not report.is_ok:
            logs.show_last()
    finally:
        terminal.say("stopping")
        await cluster.stop(hurry=hurry)
        logs.close()
    click.echo(last_line(report) if report is not None else f"demo: FAILED ({reason})")
    if report is None:
        return Exit.INTERRUPTED if stop.is_set() else Exit.FAILED
    return Exit.OK if report.is_ok else Exit.FAILED


async def _play(cluster: LocalCluster, terminal: _Terminal, clock: Clock) -> DemoReport:
    terminal.say(f"starting {PEERS_COUNT} peers, each a process of its own")
    await cluster.start()
    urls = await cluster.wait_ready()
    terminal.say(f"writes are accepted at {' '.join(urls)}")
    stage = Stage(say=terminal.say, show=terminal.event)
    return await Demo(cluster, stage=stage, clock=clock).run()


async def _stay(stop: asyncio.Event, ends_at_ms: int | None, clock: Clock) -> None:
    if ends_at_ms is None:
        click.echo("It stays up for you until Ctrl-C.")
        await stop.wait()
        return
    left_ms = max(0, ends_at_ms - clock.monotonic_ms())
    try:
        async with asyncio.timeout(left_ms / 1000):
            await stop.wait()
    except TimeoutError:
        return


class _Terminal:
    """The story, and some of the events in between: all of them would hide it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_ms = clock.monotonic_ms()
        self._shown_ms = 0
        self._held_count = 0

    def say(self, sentence: str) -> None:
        seconds = (self._clock.monotonic_ms() - self._began_ms) / 1000
        click.echo(f"{_bold(f'demo {seconds:5.1f}s')} | {sentence}")

    def event(self, event: Event) -> None:
        """Shows what is not of the demo's own writes, and of those one now and then."""
        now_ms = self._clock.monotonic_ms()
        is_own = event.key is not None and event.key.startswith(PREFIX)
        if is_own and now_ms - self._shown_ms < SHOWN_EVENTS_EVERY_MS:
            self._held_count += 1
            return
        more = f"  (+{self._held_count})" if self._held_count else ""
        self._held_count, self._shown_ms = 0, now_ms
        words = (
            event.time[11:23],
            event.id,
            event.code,
            event.key or render.json_line(event.payload),
        )
        line = render.cut(render.shown("  ".join(words)), width_max=EVENT_WIDTH_MAX)
        click.echo(_dim(f"       event | {line}{more}"))

    def findings(self, report: DemoReport, path: Path) -> None:
        click.echo()
        for check in report.checks:
            mark = (
                click.style("ok    ", fg="green")
                if check.is_ok
                else click.style("FAILED", fg="red")
            )
            click.echo(
                f"  {mark if _has_colours() else click.unstyle(mark)}  {check.name}: {check.detail}"
            )
        click.echo(f"\nThe report is in {path}.")

    def invitation(self, plans: tuple[PeerPlan, ...]) -> None:
        urls = tuple(plan.url for plan in plans)
        click.echo("\nTry, in another terminal:")
        if urls != DEFAULT_ENDPOINTS:
            click.echo(f"  export {ENDPOINTS_VARIABLE}={','.join(urls)}")
        for command in ("kv put greeting '\"hello\"'", "events tail -f", "raft status"):
            click.echo(f"  {_program()} {command}")


class _Logs:
    """The logs of the peers, a file each, and the last lines for when something fails."""

    def __init__(self, plans: tuple[PeerPlan, ...]) -> None:
        self._folder = plans[0].data_dir.parent / "logs"
        self._files: dict[str, IO[str]] = {}
        self._last: dict[str, deque[str]] = {
            plan.id: deque(maxlen=LOG_LINES_SHOWN) for plan in plans
        }

    def write(self, peer_id: str, line: str) -> None:
        self._last[peer_id].append(line)
        file = self._files.get(peer_id)
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{peer_id}.log"
            file = self._files[peer_id] = path.open("a", encoding="utf-8", buffering=1)
        file.write(line + "\n")

    def show_last(self) -> None:
        for peer_id, lines in self._last.items():
            click.echo(f"\nThe last lines of {peer_id} (all are in {self._folder}):", err=True)
            for line in lines:
                click.echo(f"  {line}", err=True)

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _write(path: Path, report: DemoReport) -> None:
    body = msgspec.json.format(msgspec.json.encode(report), indent=2)
    try:
        path.write_bytes(body + b"\n")
    except OSError as exc:
        raise ReplicanteError(f"The report {path} cannot be written: {exc.strerror}.") from exc


def _program() -> str:
    """How the person at this terminal starts the command line."""
    own = Path(sys.argv[0]).resolve().parent / "replicante"
    if not own.exists():
        own = Path(sys.executable).parent / "replicante"
    if shutil.which("replicante") == str(own) or not own.exists():
        return "replicante"
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)


def _has_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _bold(text: str) -> str:
    return click.style(text, bold=True) if _has_colours() else text


def _dim(text: str) -> str:
    return click.style(text, dim=True) if _has_colours() else text


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
