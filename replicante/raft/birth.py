"""How a cluster is born, and how a data directory is kept from pretending (ADR 0012). Pure;
called by peer.

An empty directory mints an incarnation and shows it. Birth has two steps, so that no two peers
can be born into different clusters while a disk is replaced under their feet:
1. Who has seen every listed peer, all listing the same ones, *locks*: it stores the genesis
with exactly these incarnations durably, then announces it. A lock is never changed.
2. Who has seen the same lock from every listed peer writes it as the first entry. A peer with
an empty log adopts a genesis that names exactly its incarnation: it cannot have voted or
acknowledged anything before. Everybody else starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from replicante.errors import WrongIdentity
from replicante.raft.frames import Hello, Refusal
from replicante.raft.link_observations import HelloRefused
from replicante.raft.log_store import LogHeader
from replicante.raft.membership import (
    Configuration,
    Member,
    cluster_id_of,
    configuration_of,
    genesis_payload,
)
from replicante.raft.records import BadRecord, decode_detail
from replicante.raft.welcome import judge_listed

_START_OVER = (
    "nothing is lost, no cluster exists yet: stop all, remove their data directories, start again",
)


@dataclass(frozen=True, slots=True)
class BirthNote:
    """What an unborn or born peer tells others."""

    expected: tuple[str, ...]
    locked: bytes = b""
    """Genesis payload that this peer locked; empty before."""
    is_born: bool = False
    """`locked` is the first entry of its log."""

    def encode(self) -> bytes:
        packed: bytes = msgpack.packb((self.expected, self.locked, self.is_born))
        return packed


def decode_note(body: bytes) -> BirthNote | None:
    """None when the bytes are no note."""
    try:
        expected, locked, is_born = msgpack.unpackb(body, use_list=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    if not isinstance(expected, tuple) or not all(isinstance(name, str) for name in expected):
        return None
    if not isinstance(locked, bytes) or not isinstance(is_born, bool):
        return None
    return BirthNote(expected, locked, is_born)


class Birth:
    """One unborn peer. When `lock_wanted` is set, store it durably and call `locked`; when
    `genesis` is set, it is born."""

    def __init__(
        self, *, cluster_name: str, own: Member, expected: Mapping[str, str], locked: bytes
    ) -> None:
        """expected: peer id → address, this peer included. locked: what an earlier start
        stored, or empty. Raises WrongIdentity when the list was changed after that."""
        assert own.peer_id in expected
        self._cluster_name = cluster_name
        self._own = own
        self._expected = tuple(sorted(expected))
        self._seen: dict[str, Member] = {own.peer_id: own}
        self._locked = b""
        self._agreed: set[str] = set()
        self.lock_wanted: bytes | None = None
        self.genesis: bytes | None = None
        self.generation, self.lineage = 0, ""
        if locked:
            self._check_list(locked)
            self.lock(locked)
        self._advance()

    @property
    def note(self) -> BirthNote:
        return BirthNote(self._expected, self._locked, self.genesis is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Listed peers that birth still waits for."""
        done = self._agreed if self._locked else self._seen
        return tuple(peer_id for peer_id in self._expected if peer_id not in done)

    def judge(self, hello: Hello, header: LogHeader) -> Refusal | None:
        """Whether this one is welcome before birth."""
        return judge_listed(hello, header, expected=self._expected)

    def wrong(self, refused: HelloRefused) -> None:
        """This peer is free to be of any cluster: the other one decides."""

    def lock(self, payload: bytes) -> None:
        """`payload` is durable here now."""
        self._locked = payload
        self.lock_wanted = None
        self._agreed.add(self._own.peer_id)
        self._advance()

    def meet(self, member: Member, note: BirthNote) -> None:
        """Another peer told its note. Raises WrongIdentity when this peer must not start."""
        if self.genesis is not None:
            return
        if note.is_born:
            self._adopt(note.locked, of=member.peer_id)
            return
        if tuple(sorted(note.expected)) != self._expected:
            raise WrongIdentity(
                f"{member.peer_id} expects the peers {', '.join(note.expected)};"
                f" this peer expects {', '.join(self._expected)}",
                hints=("list the same peers in [raft] peers of every peer, then start again",),
            )
        before = self._seen.get(member.peer_id)
        if before is not None and before.incarnation != member.incarnation:
            raise WrongIdentity(
                f"{member.peer_id} came back with another data directory before the cluster was "
                f"born",
                hints=_START_OVER,
            )
        self._seen[member.peer_id] = member
        if note.locked:
            self._hear_lock(member, note.locked)
        self._advance()

    def _check_list(self, locked: bytes) -> None:
        """With a shorter list this peer would be born by fewer than all that it agreed with, and
        the others could be born without it."""
        configuration, _ = self._read(locked, of="this data directory")
        agreed = tuple(sorted(member.peer_id for member in configuration.voters))
        if agreed != self._expected:
            raise WrongIdentity(
                f"this data directory agreed on a cluster of {', '.join(agreed)};"
                f" now the peers are {', '.join(self._expected)}",
                hints=("set [raft] peers back until the cluster is born", *_START_OVER),
            )

    def _hear_lock(self, member: Member, locked: bytes) -> None:
        if self._locked and locked != self._locked:
            raise WrongIdentity(
                f"{member.peer_id} and this peer agreed on different first configurations:"
                " a data directory was replaced before the cluster was born",
                hints=_START_OVER,
            )
        if not self._locked:
            configuration, _ = self._read(locked, of=member.peer_id)
            if not configuration.is_voter(self._own.key):
                raise WrongIdentity(
                    f"{member.peer_id} agreed on a first configuration with another data "
                    f"directory"
                    f" of {self._own.peer_id}",
                    hints=_START_OVER,
                )
            self.lock_wanted = locked
            return
        self._agreed.add(member.peer_id)

    def _advance(self) -> None:
        if self.genesis is not None:
            return
        if self._locked:
            if set(self._expected) <= self._agreed:
                self.genesis = self._locked
        elif self.lock_wanted is None and not self.missing:
            self.lock_wanted = genesis_payload(
                cluster_name=self._cluster_name, voters=self._seen.values()
            )

    def _adopt(self, genesis: bytes, *, of: str) -> None:
        configuration, detail = self._read(genesis, of=of)
        is_foreign = bool(self._locked) and self._locked != genesis
        if (
            is_foreign
            or detail.get("cluster") != self._cluster_name
            or not configuration.is_voter(self._own.key)
        ):
            raise WrongIdentity(
                f"{of} belongs to a cluster (id {cluster_id_of(genesis)}) that was born without "
                f"this"
                f" data directory: it does not know incarnation {self._own.incarnation} of"
                f" {self._own.peer_id}",
                hints=(
                    "if this peer lost its disk, remove it and join it as a new learner",
                    "if the old data directory still exists, start the peer on it",
                ),
            )
        self.genesis = genesis

    def _read(self, payload: bytes, *, of: str) -> tuple[Configuration, dict[str, Any]]:
        try:
            detail = decode_detail(payload)
            return configuration_of(detail), detail
        except (BadRecord, KeyError, TypeError) as error:
            raise WrongIdentity(f"{of} sent a genesis that cannot be read: {error}") from error
