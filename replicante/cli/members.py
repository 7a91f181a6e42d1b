"""`replicante raft peers` and its siblings: the members of the control plane itself."""

from __future__ import annotations

import click

from replicante import limits
from replicante.cli import render
from replicante.cli.common import Duration, Target, client_options, example, read_options
from replicante.client import Read
from replicante.wire.durations import format_duration_ms
from replicante.wire.members import ChangeAnswer, MembersAnswer


@click.command(epilog=example("replicante raft peers", "replicante raft peers -o json"))
@client_options
def peers(*, target: Target) -> None:
    """Print voters and learners, as one peer sees them."""
    found = target.run(lambda client: client.members.list(read=Read(timeout_ms=target.timeout_ms)))
    target.show(found, text=lambda: _rows(found))


@click.command(epilog=example("replicante raft token p4", "replicante raft token p4 --valid 10m"))
@click.argument("peer_id", metavar="ID")
@click.option(
    "--valid",
    type=Duration(),
    default=format_duration_ms(limits.JOIN_VALID_MS_DEFAULT),
    show_default=True,
    help="How long it is good.",
)
@client_options
def token(peer_id: str, *, valid: int, target: Target) -> None:
    """Print a token with which an empty data directory joins as the learner ID, once.

    Start it with `replicante server --peer-id ID --raft-join TOKEN --raft-peers MEMBER=ADDRESS`.
    """
    made = target.run(
        lambda client: client.members.token(peer_id, valid_ms=valid, write=target.write)
    )
    target.show(made, text=lambda: made.token)


@click.command(
    epilog=example(
        "replicante raft add p4 3f0c9a1d5b7e42688d1f0a2b3c4d5e6f 127.0.0.1:16119",
    )
)
@click.argument("peer_id", metavar="ID")
@click.argument("incarnation")
@click.argument("address")
@client_options
def add(peer_id: str, incarnation: str, address: str, *, target: Target) -> None:
    """Add the learner ID without a token; you vouch for its data directory, INCARNATION."""
    done = target.run(
        lambda client: client.members.add(
            peer_id, incarnation=incarnation, address=address, write=target.write
        )
    )
    target.show(done, text=lambda: _changed("added", done))


@click.command(epilog=example("replicante raft promote p4"))
@click.argument("peer_id", metavar="ID")
@client_options
def promote(peer_id: str, *, target: Target) -> None:
    """Let the learner ID vote; refused with the reason until it has the log."""
    done = target.run(lambda client: client.members.promote(peer_id, write=target.write))
    target.show(done, text=lambda: _changed("promoted", done))


@click.command(epilog=example("replicante raft remove p4"))
@click.argument("peer_id", metavar="ID")
@client_options
def remove(peer_id: str, *, target: Target) -> None:
    """Remove the member ID; a leader hands over first. The removed peer ends."""
    done = target.run(lambda client: client.members.remove(peer_id, write=target.write))
    target.show(done, text=lambda: _changed("removed", done))


@click.command(epilog=example("replicante raft transfer", "replicante raft transfer p2"))
@click.argument("peer_id", metavar="[ID]", required=False)
@client_options
def transfer(peer_id: str | None, *, target: Target) -> None:
    """Hand leadership over to the voter ID, or to whoever is most complete."""
    done = target.run(lambda client: client.members.transfer(peer_id, write=target.write))
    target.show(done, text=lambda: render.pairs([("leader", done.leader)]))


@click.command(epilog=example("replicante raft backup before-upgrade"))
@click.argument("name")
@client_options
def backup(name: str, *, target: Target) -> None:
    """Copy the whole state into the new folder NAME on the disk of the peer that answers.

    `replicante recover restore` makes a cluster of it.
    """
    made = target.run(lambda client: client.members.backup(name, write=target.write))
    rows = [("peer", made.peer), ("folder", made.folder), ("index", made.index)]
    target.show(made, text=lambda: render.pairs([*rows, ("bytes", made.state_bytes)]))


@click.command(epilog=example("replicante raft level"))
@client_options
@read_options
def level(*, target: Target, read: Read) -> None:
    """Print by which feature level all peers apply, and which one each of them supports."""
    found = target.run(lambda client: client.members.level(read=read))
    rows = [("level", found.level), ("supported by all", found.supported)]
    said = [(it.peer, "not heard" if it.level_max is None else it.level_max) for it in found.peers]
    target.show(found, text=lambda: render.pairs([*rows, *said]))


@click.command("raise-level", epilog=example("replicante raft raise-level 2"))
@click.argument("wanted", metavar="LEVEL", type=click.IntRange(min=1))
@client_options
def raise_level(wanted: int, *, target: Target) -> None:
    """Raise the feature level of all peers, once every one of them supports it.

    It never falls again: a peer of an older version then refuses to start.
    """
    done = target.run(lambda client: client.members.raise_level(wanted, write=target.write))
    target.show(done, text=lambda: render.pairs([("level", done.level)]))


COMMANDS = (peers, token, add, promote, remove, transfer, backup, level, raise_level)


def _changed(what: str, done: ChangeAnswer) -> str:
    return render.pairs([(what, done.id), ("index", done.index)])


def _rows(found: MembersAnswer) -> str:
    return render.table(
        ("PEER", "ROLE", "CONNECTED", "HAS UP TO", "ADDRESS", "INCARNATION"),
        [
            (
                it.peer,
                "leader" if it.peer == found.leader else "voter" if it.is_voter else "learner",
                "yes" if it.is_connected else "no",
                it.match_index,
                it.raft_address,
                it.incarnation,
            )
            for it in found.peers
        ],
    )
