"""`replicante recover`: data directories from a backup, made offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from replicante.cli import render
from replicante.cli.common import example
from replicante.clock import SystemClock
from replicante.config import parse_peer
from replicante.disk_room import NO_ROOM
from replicante.entropy import SystemEntropy
from replicante.errors import DiskFull, FatalError


@click.group(epilog=example("replicante recover restore backup --into restored p1=127.0.0.1:16116"))
def recover() -> None:
    """What is done when too few peers are left; nothing of it needs a running peer."""


@recover.command(
    epilog=example(
        "replicante recover restore backup --into restored p1=10.0.0.1:16116 p2=10.0.0.2:16116"
        " p3=10.0.0.3:16116"
    )
)
@click.argument("backup", type=click.Path(path_type=Path))
@click.argument("members", metavar="ID=HOST:PORT…", nargs=-1, required=True)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where the data directories are made, one a member.",
)
def restore(backup: Path, members: Sequence[str], *, into: Path) -> None:
    """Make a data directory for each member, that begins with BACKUP.

    Name all members at once: directories of two restorations do not know each other. Move each one
    to its machine, and start the peers only then. Whatever was written after the backup is lost;
    peers of before are not let in.
    """
    from replicante.raft.restoring import prepare_directories  # the engine: not for --help

    chosen: dict[str, str] = {}
    for text in members:
        try:
            peer_id, address = parse_peer(text)
        except ValueError as exc:
            raise click.UsageError(f"{text}: {exc}") from exc
        if peer_id in chosen:
            raise click.UsageError(f"{peer_id} is named twice.")
        chosen[peer_id] = str(address)
    try:
        paths = prepare_directories(
            backup, into, members=chosen, clock=SystemClock(), entropy=SystemEntropy()
        )
    except OSError as exc:
        kind = DiskFull if exc.errno in NO_ROOM else FatalError
        raise kind(f"The directories cannot be made: {exc.strerror} ({exc.filename}).") from exc
    for path in paths:
        click.echo(f"made: {render.shown(str(path))}", err=True)
