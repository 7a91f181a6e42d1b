"""What a program does with the directories of its peers when too few are left, or none can go on.
IO; offline: every peer that is left is stopped first.

The door to `inspecting`, `restoring`, `forcing` and `skipping`; `replicante recover` comes through
it too, for peers of Replicante itself. `open_copy` and `state_index` say where a machine has its
state: one in memory has it where `in_memory` and `on_shelf` look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import Conflict
from replicante.raft.forcing import OpenCopy, force_directories
from replicante.raft.forcing import copy_in_memory as in_memory
from replicante.raft.generations import How, Recovery
from replicante.raft.inspecting import StateIndex, inspect_directories
from replicante.raft.inspecting import state_on_shelf as on_shelf
from replicante.raft.restoring import prepare_directories
from replicante.raft.skip_rules import SkipReport
from replicante.raft.skipping import skip_entry
from replicante.raft.survivors import Advice, Survivor, Way, advise, rank

__all__ = [
    "Advice",
    "OpenCopy",
    "SkipReport",
    "StateIndex",
    "Survivor",
    "Way",
    "force",
    "in_memory",
    "inspect",
    "on_shelf",
    "restore",
    "skip",
]


def inspect(
    folders: Sequence[Path], *, state_index: StateIndex = on_shelf
) -> tuple[tuple[Survivor, ...], Advice]:
    """What each directory holds, the best one first, and what to do with them. Changes nothing.

    Raises NotFound, DataDirInUse, CorruptData, UnsupportedFormat; see `inspect_directories`.
    """
    ranked = rank(inspect_directories(folders, state_index))
    return ranked, advise(ranked)


def restore(
    backup: Path, into: Path, *, members: Mapping[str, str], generation: int | None = None
) -> list[Path]:
    """A data directory below `into` for each member of a new cluster that begins with the backup,
    made by `Peer.backup`. Whatever was written after it is lost; peers of before are not let in.

    members: peer id → address, all of them at once. generation: None for the next one; a backup
    that was restored before needs one above that of every cluster made from it. Raises
    InvalidConfig, CorruptData, UnsupportedFormat, DiskFull, OSError.
    """
    return prepare_directories(
        backup,
        into,
        members=members,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        recovery=Recovery(how=How.RESTORED, generation=generation),
    )


def force(
    survivor: Path,
    into: Path,
    *,
    members: Mapping[str, str],
    reason: str,
    open_copy: OpenCopy,
    state_index: StateIndex = on_shelf,
    accepts_data_loss: bool = False,
) -> list[Path]:
    """As `restore`, from the directory of a stopped peer: the one that `inspect` names.

    members: the survivor among them. open_copy: `in_memory(MyMachine)`, or one's own.
    accepts_data_loss: what was acknowledged and reached only peers that are lost is gone.
    Raises Conflict with that price when it is not accepted; else as `force_directories`.
    """
    if not accepts_data_loss:
        _, price = inspect([survivor], state_index=state_index)
        raise Conflict(
            " ".join(price.said),
            hints=(
                "inspect every directory that is left: another one may know more",
                "to go on at this price, say accepts_data_loss=True",
            ),
        )
    return force_directories(
        survivor,
        into,
        members=members,
        reason=reason,
        open_copy=open_copy,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )


def skip(
    folders: Sequence[Path],
    index: int,
    *,
    reason: str,
    open_copy: OpenCopy,
    state_index: StateIndex = on_shelf,
    scratch: Path | None = None,
) -> SkipReport:
    """Makes the entry at `index`, which breaks `apply` on every peer, a no-op in all logs.

    folders: of all peers, or those on this machine; the others are treated by the same call, with
    the same reason, before any peer starts. scratch: where a copy of one state is made; None: the
    system's folder for temporary files. Raises as `skip_entry`.
    """
    return skip_entry(
        folders,
        index,
        reason=reason,
        open_copy=open_copy,
        state_index=state_index,
        scratch=scratch,
    )
