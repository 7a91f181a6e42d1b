"""`replicante dev`: a whole local cluster as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from replicante import limits
from replicante.cli.common import example
from replicante.cli.exits import Exit
from replicante.clock import SystemClock
from replicante.config import LogFormat
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import PeerPlan, plan_peers
from replicante.errors import ReplicanteError

COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(epilog=example("replicante dev", "replicante dev --peers 5 --data-dir /tmp/trial"))
@click.option(
    "--peers",
    "peers_count",
    type=click.IntRange(1, limits.PEERS_MAX),
    default=3,
    show_default=True,
    help="How many.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("dev-data"),
    show_default=True,
    help="Where they keep their data; the same directory later starts the same cluster.",
)
@click.option("--http-port", type=int, default=16016, show_default=True, help="Of the first one.")
@click.option("--raft-port", type=int, default=16116, show_default=True, help="Of the first one.")
@click.option(
    "--log-format",
    type=click.Choice([member.value for member in LogFormat]),
    default=LogFormat.CONSOLE.value,
    show_default=True,
    help="Of the lines that the peers log.",
)
def dev(
    *, peers_count: int, data_dir: Path, http_port: int, raft_port: int, log_format: str
) -> None:
    """Run a cluster of peers on this machine until Ctrl-C.

    Prints `ready:` and the addresses when writes are accepted; the logs of the peers go to stderr.
    A peer that ends is reported, and not started again by itself.
    """
    plans = plan_peers(
        peers_count=peers_count,
        data_dir=data_dir,
        http_port=http_port,
        raft_port=raft_port,
        log_format=log_format,
    )
    sys.exit(asyncio.run(run_cluster(plans)))


async def run_cluster(plans: tuple[PeerPlan, ...]) -> int:
    """The exit code. Ends when it is told to, or when no peer is left."""
    cluster = LocalCluster(plans, voices=voices(), clock=SystemClock())
    stop, hurry = watch_signals()
    try:
        code = await _until_over(cluster, stop)
    finally:
        if cluster.living:
            click.echo("dev: stopping", err=True)
        await cluster.stop(hurry=hurry)
    click.echo("dev: stopped", err=True)
    return code


async def _until_over(cluster: LocalCluster, stop: asyncio.Event) -> int:
    await cluster.start()
    ready = asyncio.create_task(cluster.wait_ready())
    stopped = asyncio.create_task(_wait(stop))
    try:
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            return Exit.OK
        try:
            urls = ready.result()
        except ReplicanteError as exc:
            click.echo(f"error: {exc.message}", err=True)
            return Exit.FAILED
        click.echo(f"ready: {' '.join(urls)}")
        sys.stdout.flush()
        return await _look_after(cluster, stop)
    finally:
        ready.cancel()
        stopped.cancel()
        await asyncio.gather(ready, stopped, return_exceptions=True)


async def _look_after(cluster: LocalCluster, stop: asyncio.Event) -> int:
    while cluster.living:
        stopped = asyncio.create_task(_wait(stop))
        changed = asyncio.create_task(_wait(cluster.changed))
        await asyncio.wait({stopped, changed}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        changed.cancel()
        if stop.is_set():
            return Exit.OK
        cluster.changed.clear()
    click.echo("error: no peer is left.", err=True)
    return Exit.FAILED


def watch_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """(stop, hurry): set by the first and by the second signal to stop."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, signalled)
    return stop, hurry


def voices(*, is_quiet: bool = False) -> Voices:
    """Speaks on stderr: a coloured label before each line of a peer. is_quiet: without those."""
    paint = painter()

    def log(peer_id: str, line: str) -> None:
        if not is_quiet:
            click.echo(f"{paint(peer_id, peer_id)} | {line}", err=True)

    def note(sentence: str) -> None:
        click.echo(f"{paint('dev', 'dev')} | {sentence}", err=True)

    return Voices(log=log, note=note)


def painter() -> Callable[[str, str], str]:
    """(peer id, text) → the text in the colour of the peer, where colours are wanted."""
    has_colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def paint(peer_id: str, text: str) -> str:
        if not has_colours:
            return text
        number = int(peer_id[1:]) if peer_id[1:].isdigit() else 0
        if number == 0:
            return click.style(text, bold=True)
        return click.style(text, fg=COLOURS[(number - 1) % len(COLOURS)])

    return paint


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
