"""Who votes: voters and learners of one configuration, and the birth of the first one. Pure.

A voter is (peer id, incarnation): a data directory that was lost is another voter, so no vote
is ever cast twice by a peer that forgot the first (ADR 0012). Called by `driver`, `engine`,
`birth`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from replicante.raft.records import encode_detail


@dataclass(frozen=True, slots=True, order=True)
class Member:
    peer_id: str
    incarnation: str
    raft_address: str

    @property
    def key(self) -> str:
        """Identity in votes and in the engine; the address may change, this may not."""
        return f"{self.peer_id}/{self.incarnation}"


@dataclass(frozen=True, slots=True)
class Configuration:
    voters: tuple[Member, ...]
    learners: tuple[Member, ...] = ()

    @property
    def members(self) -> tuple[Member, ...]:
        return self.voters + self.learners

    def find(self, key: str) -> Member | None:
        return next((member for member in self.members if member.key == key), None)

    def find_peer(self, peer_id: str) -> Member | None:
        return next((member for member in self.members if member.peer_id == peer_id), None)

    def is_voter(self, key: str) -> bool:
        return any(member.key == key for member in self.voters)


def majority(voters_count: int) -> int:
    return voters_count // 2 + 1


def genesis_detail(*, cluster_name: str, voters: Iterable[Member]) -> dict[str, Any]:
    """The same on every peer for the same voters: sorted by peer id."""
    return {
        "cluster": cluster_name,
        "voters": [[m.peer_id, m.incarnation, m.raft_address] for m in sorted(voters)],
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
    )
