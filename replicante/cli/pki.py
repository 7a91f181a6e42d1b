"""`replicante pki`: the authority of a cluster and the certificates of its peers, made offline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Command, Failed, example
from replicante.cli.render import Output
from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import ReplicanteError

if TYPE_CHECKING:  # `cryptography` is large: it is loaded by a command that runs, not by --help
    from replicante.pki.folder import Entry, PkiFolder

FOLDER_DEFAULT = "pki"


def _folder_option(command: Command) -> Command:
    @click.option(
        "--dir",
        "root",
        type=click.Path(path_type=Path),
        default=FOLDER_DEFAULT,
        show_default=True,
        metavar="FOLDER",
        help="Where authority and certificates are kept.",
    )
    @functools.wraps(command)
    def wrapper(*args: Any, root: Path, **kwargs: Any) -> None:
        from replicante.pki.folder import PkiFolder

        folder = PkiFolder(root, clock=SystemClock(), entropy=SystemEntropy())
        command(*args, folder=folder, **kwargs)

    return wrapper


def _days_option(default: int | None, *, text: str) -> Callable[[Command], Command]:
    return click.option(
        "--days",
        type=click.IntRange(1, limits.CERTIFICATE_DAYS_MAX),
        default=default,
        show_default=default is not None,
        help=text,
    )


@click.group(
    epilog=example(
        "replicante pki init prod",
        "replicante pki issue p1 p2 p3",
        "replicante pki issue-agent n1 --host redis1.example.org",
        "replicante pki show",
    )
)
def pki() -> None:
    """Certificates, by which the peers of a cluster know each other.

    A folder holds one authority for one cluster, below peers/ a folder for each peer, and below
    agents/ one for each agent: that one goes to its machine. The key of the authority stays where
    it is.
    """


@pki.command(epilog=example("replicante pki init prod", "replicante pki init lab --dir lab-pki"))
@click.argument("cluster")
@_days_option(limits.AUTHORITY_DAYS_DEFAULT, text="How long the authority is valid.")
@_folder_option
def init(cluster: str, *, days: int, folder: PkiFolder) -> None:
    """Make the authority of CLUSTER, the name that its peers have as peer.cluster."""
    _tell("made", folder.init(cluster, days=days))


@pki.command(epilog=example("replicante pki issue p1 p2 p3", "replicante pki issue p4 --days 90"))
@click.argument("peers", metavar="PEER…", nargs=-1, required=True)
@_days_option(limits.CERTIFICATE_DAYS_DEFAULT, text="How long the certificates are valid.")
@_folder_option
def issue(peers: Sequence[str], *, days: int, folder: PkiFolder) -> None:
    """Make a key and a certificate for each PEER, by its id."""
    for peer_id in peers:
        _tell("made", folder.issue(peer_id, days=days))


@pki.command(epilog=example("replicante pki renew p1 p2 p3", "replicante pki renew --authority"))
@click.argument("peers", metavar="[PEER…]", nargs=-1)
@click.option("--authority", "is_authority", is_flag=True, help="Renew the authority instead.")
@_days_option(
    None,
    text=f"How long they are valid: {limits.CERTIFICATE_DAYS_DEFAULT} when not given, the"
    f" authority {limits.AUTHORITY_DAYS_DEFAULT}.",
)
@_folder_option
def renew(peers: Sequence[str], *, is_authority: bool, days: int | None, folder: PkiFolder) -> None:
    """Prolong the certificate of each PEER. Keys stay the same.

    A running peer takes the new certificate when it starts again; until then the old one counts.
    """
    if is_authority == bool(peers):
        raise click.UsageError("Name the peers, or say --authority.")
    if is_authority:
        _tell("renewed", folder.renew_authority(days=days or limits.AUTHORITY_DAYS_DEFAULT))
    for peer_id in peers:
        _tell("renewed", folder.renew(peer_id, days=days or limits.CERTIFICATE_DAYS_DEFAULT))


@pki.command(
    epilog=example(
        "replicante pki issue-agent n1 --host redis1.example.org",
        "replicante pki issue-agent n2 --host 10.0.0.2 --host redis2",
    )
)
@click.argument("name")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    help="Name or address in the agent's URL; may be given several times.",
)
@_days_option(limits.CERTIFICATE_DAYS_DEFAULT, text="How long the certificate is valid.")
@_folder_option
def issue_agent(name: str, *, hosts: Sequence[str], days: int, folder: PkiFolder) -> None:
    """Make a key and a certificate for the agent NAME, which answers under each HOST."""
    _tell("made", folder.issue_agent(name, hosts, days=days))


@pki.command(epilog=example("replicante pki renew-agent n1 n2"))
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@_days_option(limits.CERTIFICATE_DAYS_DEFAULT, text="How long the certificates are valid.")
@_folder_option
def renew_agent(names: Sequence[str], *, days: int, folder: PkiFolder) -> None:
    """Prolong the certificate of each agent NAME. Keys and hosts stay the same."""
    for name in names:
        _tell("renewed", folder.renew_agent(name, days=days))


@pki.command(epilog=example("replicante pki show", "replicante pki show peer.crt ca.crt -o json"))
@click.argument("files", metavar="[FILE…]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Choice([output.value for output in Output]),
    default=Output.TABLE.value,
    show_default=True,
    help="How they are printed.",
)
@_folder_option
def show(files: Sequence[Path], *, output: str, folder: PkiFolder) -> None:
    """Print whom each certificate is for, and until when; warn of those that end soon.

    Without a FILE: all of the folder.
    """
    chosen = Output(output)
    try:
        found = [folder.entry(path) for path in files] if files else folder.show()
    except ReplicanteError as exc:
        raise Failed(exc, chosen) from exc
    now_ms = SystemClock().wall_ms()
    rows = [_row(entry, now_ms=now_ms) for entry in found]
    if chosen is Output.TABLE:
        header = ("FOR", "CLUSTER", "UNTIL", "DAYS LEFT", "FILE")
        cells = [
            (row["for"], row["cluster"], row["until"], row["days_left"], row["file"])
            for row in rows
        ]
        click.echo(render.table(header, cells))
    else:
        click.echo(render.document(rows, chosen))
    for entry in found:
        _warn(entry, now_ms=now_ms)


def _row(entry: Entry, *, now_ms: int) -> dict[str, object]:
    facts = entry.facts
    return {
        "for": facts.peer_id or ", ".join(facts.hosts) or facts.kind.value,
        "kind": facts.kind.value,
        "cluster": facts.cluster or None,
        "until": facts.until_text,
        "days_left": facts.left_days(now_ms=now_ms),
        "serial": facts.serial,
        "file": str(entry.path),
    }


def _warn(entry: Entry, *, now_ms: int) -> None:
    facts = entry.facts
    if not facts.is_short(now_ms=now_ms):
        return
    is_over = facts.is_over(now_ms=now_ms)
    when = "is over" if is_over else f"ends in {facts.left_days(now_ms=now_ms)} days"
    command = f"replicante pki renew {facts.peer_id or '--authority'}"
    if facts.hosts:
        command = f"replicante pki renew-agent {entry.path.parent.name}"
    click.echo(f"warning: {render.shown(str(entry.path))} {when}: {command}", err=True)


def _tell(what: str, entry: Entry) -> None:
    facts = entry.facts
    whose = f"peer {facts.peer_id}" if facts.peer_id else "the authority"
    whose = f"{whose} of cluster {facts.cluster}"
    if facts.hosts:
        whose = f"an agent at {', '.join(facts.hosts)}"
    click.echo(
        f"{what}: {render.shown(str(entry.path))} for {whose}, valid until {facts.until_text}",
        err=True,
    )
