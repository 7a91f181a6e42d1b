"""`replicante recover`: what is done offline, when too few peers are left or none can go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from replicante.cli import render
from replicante.cli.common import Failed, example
from replicante.cli.exits import Exit
from replicante.cli.recover_text import advice_text, skip_text, survivor_text
from replicante.cli.render import Output
from replicante.config import parse_peer
from replicante.disk_room import NO_ROOM
from replicante.errors import Conflict, DiskFull, FatalError, ReplicanteError
from replicante.limits import RECOVERY_REASON_BYTES_MAX

_OUTPUT = click.option(
    "-o",
    "--output",
    "output_name",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    help="How the answer is printed.",
)


@click.group(epilog=example("replicante recover restore backup --into restored p1=127.0.0.1:16116"))
def recover() -> None:
    """What is done when too few peers are left; nothing of it needs a running peer."""


@recover.command(
    epilog=example(
        "replicante recover inspect dev-data/p1 dev-data/p2",
        "replicante recover inspect /mnt/p1 -o json",
    )
)
@click.argument(
    "folders", metavar="DATA_DIR…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@_OUTPUT
def inspect(folders: Sequence[Path], *, output_name: str) -> int:
    """Say what each data directory holds, which of them to go on with, and what is lost then.

    The best one comes first. Nothing is changed. Ends with 0 when the peers can simply be started,
    or nothing that was acknowledged is lost by going on; with 1 otherwise.
    """
    from replicante.raft import recovery
    from replicante.state_file import state_index

    output = Output(output_name)
    try:
        ranked, advice = recovery.inspect(folders, state_index=state_index)
    except ReplicanteError as exc:
        raise Failed(exc, output) from exc
    if output is Output.TABLE:
        for place, found in enumerate(ranked, 1):
            click.echo(survivor_text(place, found) + "\n")
        click.echo(advice_text(advice))
    else:
        click.echo(render.document({"directories": ranked, "advice": advice}, output))
    is_harmless = advice.way in (recovery.Way.START, recovery.Way.FORCE_WITHOUT_LOSS)
    return Exit.OK if is_harmless else Exit.FAILED


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
@click.option(
    "--generation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of the restored cluster; else the next after the backup's. A backup that was restored"
    " before needs one above that of every cluster made from it.",
)
def restore(backup: Path, members: Sequence[str], *, into: Path, generation: int | None) -> None:
    """Make a data directory for each member, that begins with BACKUP.

    Name all members at once: directories of two restorations do not know each other. Move each one
    to its machine, and start the peers only then. Whatever was written after the backup is lost;
    peers of before are not let in.
    """
    # The engine: not for --help.
    from replicante.raft import recovery

    chosen = _members(members)
    with _disk_errors():
        paths = recovery.restore(backup, into, members=chosen, generation=generation)
    _tell_made(paths)


@recover.command(
    epilog=example(
        "replicante recover force --from dev-data/p2 --into forced --reason 'p1 and p3 burnt'"
        " --accept-data-loss p2=10.0.0.2:16116",
    )
)
@click.argument("members", metavar="ID=HOST:PORT…", nargs=-1, required=True)
@click.option(
    "--from",
    "survivor",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DATA_DIR",
    help="Directory of the stopped peer to go on from: the one that `inspect` names.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where the new data directories are made, one a member.",
)
@click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    help="Why, for the event that tells of it for ever.",
)
@click.option(
    "--accept-data-loss",
    is_flag=True,
    help="Writes that were acknowledged and reached only peers that are lost are gone for good.",
)
def force(
    members: Sequence[str], *, survivor: Path, into: Path, reason: str, accept_data_loss: bool
) -> None:
    """Begin the next generation of a cluster from one survivor, when its majority is lost for good.

    Stop every peer that is left first. A data directory is made for each named member; the
    survivor must be among them, and its own directory stays as it is. Peers of before are not let
    in afterwards, whatever they have on their disks. Others join by a token, or are named here.
    """
    from replicante.raft import recovery
    from replicante.state_file import open_copy, state_index

    chosen = _members(members)
    _check_reason(reason)
    if not accept_data_loss:
        _, price = recovery.inspect([survivor], state_index=state_index)
        raise Conflict(
            " ".join(price.said),
            hints=(
                "give `recover inspect` every directory that is left: it may know better",
                "to go on at this price, say --accept-data-loss",
            ),
        )
    with _disk_errors():
        paths = recovery.force(
            survivor,
            into,
            members=chosen,
            reason=reason,
            open_copy=open_copy,
            accepts_data_loss=True,
        )
    _tell_made(paths)


def _check_reason(reason: str) -> None:
    """Raises UsageError."""
    if not reason.strip() or len(reason.encode()) > RECOVERY_REASON_BYTES_MAX:
        raise click.UsageError(f"A reason has 1 to {RECOVERY_REASON_BYTES_MAX} bytes.")


def _members(texts: Sequence[str]) -> dict[str, str]:
    """Peer id → address. Raises UsageError."""
    chosen: dict[str, str] = {}
    for text in texts:
        try:
            peer_id, address = parse_peer(text)
        except ValueError as exc:
            raise click.UsageError(f"{text}: {exc}") from exc
        if peer_id in chosen:
            raise click.UsageError(f"{peer_id} is named twice.")
        chosen[peer_id] = str(address)
    return chosen


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Raises DiskFull, FatalError for what the disk says."""
    try:
        yield
    except OSError as exc:
        kind = DiskFull if exc.errno in NO_ROOM else FatalError
        raise kind(f"The directories cannot be made: {exc.strerror} ({exc.filename}).") from exc


def _tell_made(paths: Sequence[Path]) -> None:
    for path in paths:
        click.echo(f"made: {render.shown(str(path))}", err=True)


@recover.command(
    epilog=example(
        "replicante recover skip 18424 --reason 'breaks apply, see the incident of May 3'"
        " dev-data/p1 dev-data/p2 dev-data/p3",
    )
)
@click.argument("index", type=click.IntRange(min=1))
@click.argument(
    "folders", metavar="DATA_DIR…", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--reason",
    required=True,
    metavar="TEXT",
    help="Why, for the event that tells of it for ever; the same words on every machine.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="Where a copy of one state is made for a while; else the folder for temporary files.",
)
@_OUTPUT
def skip(
    index: int, folders: Sequence[Path], *, reason: str, scratch: Path | None, output_name: str
) -> int:
    """Make entry INDEX, which no peer can apply, a no-op in the logs of all peers.

    Stop every peer first. The entry must break apply on a copy of the state, and no peer may have
    applied it. Whatever it asked for is never done; an event tells of it on every peer. Treat all
    directories, here or by the same command on their own machines, before any peer starts: one that
    was left out stops again. Ends with 1 when another entry breaks as well, and names it.
    """
    from replicante.raft import recovery
    from replicante.state_file import open_copy, state_index

    _check_reason(reason)
    output = Output(output_name)
    try:
        with _disk_errors():
            report = recovery.skip(
                folders,
                index,
                reason=reason,
                state_index=state_index,
                open_copy=open_copy,
                scratch=scratch,
            )
    except ReplicanteError as exc:
        raise Failed(exc, output) from exc
    is_table = output is Output.TABLE
    click.echo(skip_text(report) if is_table else render.document(report, output))
    return Exit.OK if report.next_broken is None else Exit.FAILED
