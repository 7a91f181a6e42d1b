"""Shows a Raft peer to the workers as they want to see it. Created by `server`."""

from __future__ import annotations

from collections.abc import Sequence

from replicante.limits import PEERS_MAX
from replicante.raft import Peer
from replicante.raft.status import PeerInfo, Role
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.workers.doors import Proposed


class PeerView:
    """Fits `doors.PeerDoor` and `quarantines.ComparingPeer`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def propose(self, command: bytes, *, timeout_ms: int) -> Proposed:
        return await self._peer.propose(command, timeout_ms=timeout_ms)

    async def read_barrier(self, *, timeout_ms: int) -> int:
        return await self._peer.read_barrier(timeout_ms=timeout_ms)

    @property
    def peer_id(self) -> str:
        return self._peer.status().peer_id

    @property
    def is_leading(self) -> bool:
        status = self._peer.status()
        return status.role is Role.LEADER and status.is_ready

    @property
    def clock_ms(self) -> int:
        return self._peer.status().clock_ms

    @property
    def found_wrong(self) -> Sequence[NoteQuarantine]:
        status = self._peer.status()
        if status.quarantine is not None:
            return ()
        return [
            _note(member, index=member.differs_at)
            for member in status.peers
            if member.differs_at is not None
        ]


def _note(member: PeerInfo, *, index: int) -> NoteQuarantine:
    evidence = tuple(sorted(member.evidence.items())[:PEERS_MAX])
    return NoteQuarantine(member.peer_id, member.incarnation, index, evidence)
