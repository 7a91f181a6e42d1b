"""Who votes: voters and learners of one configuration, and the birth of the first one. Pure.

A voter is (peer id, incarnation): a data directory that was lost is another voter, so no vote
is ever cast twice by a peer that forgot the first (ADR 0012). What may follow a configuration is
decided in `changes`. Called by `driver`, `engine`, `birth`, `neighbours`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from replicante.raft.records import decode_detail, encode_detail


@dataclass(frozen=True, slots=True, order=True)
class Member:
    peer_id: str
    incarnation: str
    raft_address: str
    key: str = field(init=False, repr=False, compare=False)
    """Identity in votes and in the engine; the address may change, this may not."""

    def __post_init__(self) -> None:
        # Once here and not at each use: an engine asks for it several times a message.
        object.__setattr__(self, "key", f"{self.peer_id}/{self.incarnation}")


@dataclass(frozen=True, slots=True)
class Invitation:
    """An empty data directory that knows the secret may become a learner under this name, once."""

    peer_id: str
    digest: str
    """blake2b-128 of the secret that only the token holds (ADR 0022), in hex."""
    until_clock_ms: int
    """Of the cluster clock."""


@dataclass(frozen=True, slots=True)
class Configuration:
    voters: tuple[Member, ...]
    learners: tuple[Member, ...] = ()
    """They have the log and do not vote."""
    invited: tuple[Invitation, ...] = ()
    former: tuple[str, ...] = ()
    """Incarnations that were removed, oldest first: nobody comes back with one of these data
    directories, whatever the log still tells. The newest MEMBERS_FORMER_MAX of this generation."""
    voter_keys: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "voter_keys", frozenset(voter.key for voter in self.voters))

    @property
    def members(self) -> tuple[Member, ...]:
        return self.voters + self.learners

    def find(self, key: str) -> Member | None:
        for member in self.members:
            if member.key == key:
                return member
        return None

    def find_peer(self, peer_id: str) -> Member | None:
        return next((member for member in self.members if member.peer_id == peer_id), None)

    def is_voter(self, key: str) -> bool:
        return key in self.voter_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Who may speak to a peer, as far as its log tells."""

    configuration: Configuration
    """The newest."""
    index: int
    is_committed: bool
    known: tuple[Member, ...]
    """Members of the committed configuration and of every later one in the log, and who leaves
    and is still to be told: links to them stand, whoever of them will have counted."""
    was_member: bool
    """The peer itself, in a configuration that it has seen."""

    def knows(self, key: str) -> bool:
        return any(member.key == key for member in self.known)


NOBODY = Roster(
    configuration=Configuration(()), index=0, is_committed=False, known=(), was_member=False
)
"""Before birth."""


def majority(voters_count: int) -> int:
    return voters_count // 2 + 1


def genesis_detail(*, cluster_name: str, voters: Iterable[Member]) -> dict[str, Any]:
    """The same on every peer for the same voters: sorted by peer id."""
    return {
        "cluster": cluster_name,
        "voters": _rows(voters),
    }


def genesis_payload(*, cluster_name: str, voters: Iterable[Member]) -> bytes:
    return encode_detail(genesis_detail(cluster_name=cluster_name, voters=voters))


def cluster_id_of(payload: bytes) -> str:
    """The cluster id is the hash of the genesis payload: 32 hex digits."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def configuration_of(detail: Mapping[str, Any]) -> Configuration:
    """Reads the detail of a GENESIS or CONFIGURATION entry."""
    return Configuration(
        voters=tuple(Member(*row) for row in detail["voters"]),
        learners=tuple(Member(*row) for row in detail.get("learners", ())),
        invited=tuple(Invitation(*row) for row in detail.get("invited", ())),
        former=tuple(detail.get("former", ())),
    )


@functools.lru_cache(maxsize=32)
def read_configuration(payload: bytes) -> Configuration:
    """Of the payload of a GENESIS or CONFIGURATION entry, which passed its checksum. The same few
    are read again and again, and nobody changes what is read."""
    return configuration_of(decode_detail(payload))


def configuration_payload(configuration: Configuration) -> bytes:
    """What a CONFIGURATION entry holds; sorted, so that equal configurations are equal bytes."""
    return encode_detail(_configuration_detail(configuration))


def recovery_payload(configuration: Configuration, recovery: Mapping[str, Any]) -> bytes:
    """What a RECOVERED entry holds. recovery: see EntryKind."""
    return encode_detail({**_configuration_detail(configuration), "recovery": dict(recovery)})


def _configuration_detail(configuration: Configuration) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "voters": _rows(configuration.voters),
        "learners": _rows(configuration.learners),
        "invited": [
            [it.peer_id, it.digest, it.until_clock_ms]
            for it in sorted(configuration.invited, key=lambda it: it.peer_id)
        ],
    }
    if configuration.former:
        detail["former"] = list(configuration.former)
    return detail


def _rows(members: Iterable[Member]) -> list[list[str]]:
    return [[m.peer_id, m.incarnation, m.raft_address] for m in sorted(members)]
