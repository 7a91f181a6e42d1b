"""What goes into one step of a driver and what comes out: plain values. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from replicante.raft import messages as m
from replicante.raft.changes import Change, ChangeDone
from replicante.raft.observations import Observation
from replicante.raft.proposals import ProposalDone
from replicante.raft.reads import ReadDone


class Received(msgspec.Struct, frozen=True):
    key: str
    message: m.Message


@dataclass(frozen=True, slots=True)
class LinkChanged:
    key: str
    is_up: bool


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """Nobody listens where this member was: evidence that its process is gone."""

    key: str


class ProposeInput(msgspec.Struct, frozen=True):
    ticket: int
    data: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class ReadInput:
    ticket: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class TransferInput:
    """Hand leadership over if this peer has it; give up at the deadline."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class ChangeInput:
    """ticket 0: nobody waits for what becomes of it."""

    ticket: int
    change: Change
    deadline_ms: int


Input = (
    Received | LinkChanged | LinkRefused | ProposeInput | ReadInput | TransferInput | ChangeInput
)


class Effects(msgspec.Struct):
    early: list[tuple[str, m.Message]] = []
    """A leader's appends: they may leave before the own write, because no answer is read before
    it is done."""
    late: list[tuple[str, m.Message]] = []
    proposals: list[ProposalDone] = []
    reads: list[ReadDone] = []
    changes: list[ChangeDone] = []
    observations: list[Observation] = []
    chunks: list[tuple[str, m.SnapshotChunk]] = []
    snapshot_acks: list[tuple[str, m.SnapshotAck]] = []
    """What the leader of this term sent, and what followers answered in it: for SnapshotDesk."""
    is_flooded: bool = False
    """So many commands of followers wait here that no more are to be read meanwhile."""
    has_more: bool = False
    """Another step has work at once, without new input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    peer_id: str
    key: str
    incarnation: str
    boot: int
