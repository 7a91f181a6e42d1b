"""What the control plane writes into its own log of a peer whose state is wrong (ADR 0044), as a
value, its bounds, and its fields packed. Pure.

Part of `commands`, which knows the tag.
"""

from __future__ import annotations

from typing import Any

import msgspec

from replicante.errors import Invalid
from replicante.limits import PEERS_MAX
from replicante.state.admission import check_name, check_positive


class NoteQuarantine(msgspec.Struct, frozen=True):
    """The state of a peer is not what a majority of the voters has. Said of one incarnation more
    than once, it changes nothing."""

    peer: str
    incarnation: str
    """Of its data directory, which never serves again; the peer may come back with another."""
    index: int
    """At which its digest was found to differ."""
    digests: tuple[tuple[str, str], ...] = ()
    """(peer, its digest at that index), in the order of the peers, as far as whoever says this has
    heard them; at most PEERS_MAX."""


def check_quarantine(command: NoteQuarantine) -> None:
    """Raises Invalid."""
    check_name(command.peer, "peer")
    check_name(command.incarnation, "incarnation")
    check_positive(command.index, "index", what="an index")
    peers = [peer for peer, _ in command.digests]
    if len(peers) > PEERS_MAX or peers != sorted(set(peers)):
        raise Invalid(
            f"at most {PEERS_MAX} peers, sorted, each with one digest",
            path="digests",
            limit=PEERS_MAX,
        )
    for peer, digest in command.digests:
        check_name(peer, "digests")
        check_name(digest, "digests")


def pack_note_fields(command: NoteQuarantine) -> list[Any]:
    return [command.peer, command.incarnation, command.index, command.digests]


def unpack_note(packed: list[Any]) -> NoteQuarantine:
    _, peer, incarnation, index, digests = packed
    if type(index) is not int or index < 1:
        raise ValueError("an index is a positive number")
    told = tuple((_text(name), _text(digest)) for name, digest in digests)
    return NoteQuarantine(_text(peer), _text(incarnation), index, told)


def _text(given: Any) -> str:
    if type(given) is not str:
        raise TypeError("names and digests are text")
    return given
