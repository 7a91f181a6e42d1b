"""Shows a Raft peer to the workers as they want to see it. Created by `server`."""

from __future__ import annotations

from replicante.raft import Peer
from replicante.raft.status import Role
from replicante.workers.doors import Proposed


class PeerView:
    """Fits `doors.PeerDoor`."""

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
