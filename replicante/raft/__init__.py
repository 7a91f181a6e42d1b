"""Replicate anything: implement three functions, call `propose` on any peer.

A library of its own: nothing else of Replicante is needed. `StateMachine` says which three
functions; `Peer` takes one, a directory and the addresses. Errors are in `replicante.errors`.
"""

from __future__ import annotations

from replicante.raft.callers import Proposed
from replicante.raft.peer import Peer
from replicante.raft.settings import PeerOptions
from replicante.raft.state_machine import (
    DurableStateMachine,
    Entry,
    EntryHeader,
    EntryKind,
    StateMachine,
)
from replicante.raft.status import PeerInfo, Role, Status

__all__ = [
    "DurableStateMachine",
    "Entry",
    "EntryHeader",
    "EntryKind",
    "Peer",
    "PeerInfo",
    "PeerOptions",
    "Proposed",
    "Role",
    "StateMachine",
    "Status",
]
