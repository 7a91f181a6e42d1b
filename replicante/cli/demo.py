"""`replicante demo`: shows what Replicante is for, and proves it.

Rule: whatever ends it, Ctrl-C, SIGTERM or a defect, its processes end before it does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
import msgspec

from replicante.cli import render
from replicante.cli.common import ENDPOINTS_VARIABLE, example
from replicante.cli.dev import watch_signals
from replicante.cli.exits import Exit
from replicante.client import DEFAULT_ENDPOINTS
from replicante.clock import Clock, SystemClock
from replicante.config import LogFormat
from replicante.demo.plan import CLUSTER_ID, NS
from replicante.demo.report import DemoReport, last_line
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import PeerPlan, plan_peers
from replicante.errors import ReplicanteError, StartRefused
from replicante.wire.events import Event

if TYPE_CHECKING:
    from replicante.demo.ground import Ground

PEERS_COUNT = 3
LOG_LINES_SHOWN = 15
_WIDE = (180, 24)
"""Of what is no terminal."""
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
    """Make a declared Redis cluster, kill the leader and the primary, and prove what came of it.

    The last line is `demo: ok`, or `demo: FAILED` with the reasons and an exit code other than 0.
    """
    ground = _ground(data_dir)
    plans = plan_peers(
        peers_count=PEERS_COUNT,
        data_dir=ground.data_dir,
        http_port=http_port,
        raft_port=raft_port,
        log_format=LogFormat.JSON.value,
    )
    report_path.unlink(missing_ok=True)
    ground.prepare(plans)
    sys.exit(asyncio.run(_run(plans, ground, report_path=report_path, seconds=seconds)))


def _ground(data_dir: Path) -> Ground:
    try:
        from replicante.agents.stores.redis.program import find_program
        from replicante.demo.ground import Ground
    except ModuleNotFoundError as exc:
        hint = "pip install 'replicante[playground]'"
        raise StartRefused(f"A package is missing: {exc.name}.", hints=(hint,)) from exc
    find_program()
    return Ground(data_dir)


async def _run(
    plans: tuple[PeerPlan, ...], ground: Ground, *, report_path: Path, seconds: int | None
) -> int:
    clock = SystemClock()
    ends_at_ms = None if seconds is None else clock.monotonic_ms() + seconds * 1000
    terminal = _Terminal(clock)
    stop, hurry = watch_signals()
    logs = _Logs(plans, ground.logs_dir)
    cluster = LocalCluster(plans, voices=Voices(log=logs.write, note=terminal.say), clock=clock)
    report: DemoReport | None = None
    reason = "it was interrupted"
    try:
        work = asyncio.create_task(_play(cluster, ground, terminal, clock))
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
        # Last: a peer that still ran might make another node.
        is_over = report is not None and report.is_ok
        await asyncio.to_thread(ground.clear, keeps_logs=not is_over)
    click.echo(last_line(report) if report is not None else f"demo: FAILED ({reason})")
    if report is None:
        return Exit.INTERRUPTED if stop.is_set() else Exit.FAILED
    return Exit.OK if report.is_ok else Exit.FAILED


async def _play(
    cluster: LocalCluster, ground: Ground, terminal: _Terminal, clock: Clock
) -> DemoReport:
    from replicante.demo.scenes import Demo, Stage

    terminal.say(f"starting {PEERS_COUNT} peers, each a process of its own")
    await cluster.start()
    urls = await cluster.wait_ready()
    terminal.say(f"the control plane is up at {' '.join(urls)}")
    stage = Stage(say=terminal.say, show=terminal.event)
    return await Demo(cluster, ground, stage=stage, clock=clock).run()


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
    """The story, and the events that are steps of it, each with its reason."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_ms = clock.monotonic_ms()

    def say(self, sentence: str) -> None:
        seconds = (self._clock.monotonic_ms() - self._began_ms) / 1000
        click.echo(f"{_bold(f'demo {seconds:5.1f}s')} | {sentence}")

    def event(self, event: Event, lines: tuple[str, ...]) -> None:
        """lines: a decision and its reason, as often as it decides something."""
        width = shutil.get_terminal_size(_WIDE).columns - len("       event | ")
        for number, line in enumerate(lines):
            is_reason = event.code == "DECISION" and number % 2 == 1
            head = "" if is_reason else f"{event.time[11:23]}  {event.code}"
            words = render.shown(f"{head:<38}  {'  ' * is_reason}{line}")
            click.echo(_dim(f"       event | {render.cut(words, width_max=width)}"))

    def findings(self, report: DemoReport, path: Path) -> None:
        click.echo()
        for check in report.checks:
            mark = "ok    " if check.is_ok else "FAILED"
            if _has_colours():
                mark = click.style(mark, fg="green" if check.is_ok else "red")
            click.echo(f"  {mark}  {check.name}: {check.detail}")
        click.echo("\nDecided, in this order:")
        for it in report.decisions:
            why = f", because {it.reason}" if it.reason else ""
            click.echo(render.shown(f"  {it.effect}{why} (worst loss: {it.worst_loss})"))
        click.echo(f"\nAll this is derived from {path}.")

    def invitation(self, plans: tuple[PeerPlan, ...]) -> None:
        urls = tuple(plan.url for plan in plans)
        click.echo("\nTry, in another terminal:")
        if urls != DEFAULT_ENDPOINTS:
            click.echo(f"  export {ENDPOINTS_VARIABLE}={','.join(urls)}")
        nodes = plans[0].data_dir.parent / "nodes"
        for command in (
            f"explain cluster {NS} {CLUSTER_ID}",
            f"playground list --dir {nodes}",
            "events tail -f",
        ):
            click.echo(f"  {_program()} {command}")


class _Logs:
    """The logs of the peers, a file each, and the last lines for when something fails."""

    def __init__(self, plans: tuple[PeerPlan, ...], folder: Path) -> None:
        self._folder = folder
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
