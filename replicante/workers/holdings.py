"""Holds the fences of this peer's targets: one lease each, kept from cycle to cycle.

Called by the jobs. The token is the epoch of all that is done under it. A worker that leads takes a
lease from whoever held it before: nobody waits for the dead, and the one that is only slow is
refused by its old token, here and at the agents. That is why no lease has to be waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

from replicante.clock import Clock
from replicante.limits import WORK_LEASE_MS, WORK_RENEW_MS
from replicante.model.codec import encode_value
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.outcome import Applied, RejectCode
from replicante.workers.scribe import Scribe

Target = tuple[FenceOn, str, str]
"""Of what, its namespace, its name."""


@dataclass(slots=True)
class _Held:
    token: int
    renewed_ms: int
    """Monotonic time before the request that renewed it left."""


class Holdings:
    """Of one peer; its targets are never worked on twice at once, which the supervisor sees to."""

    def __init__(self, *, scribe: Scribe, clock: Clock, peer_id: str) -> None:
        self._scribe = scribe
        self._clock = clock
        self._owner = encode_value({"peer": peer_id})
        self._peer_id = peer_id
        self._held: dict[Target, _Held] = {}

    async def hold(self, target: Target) -> Fence | None:
        """The fence, good for a cycle that begins now; None when somebody else took it in this
        very moment.  Raises as `Scribe.write`."""
        held = self._held.get(target)
        if held is not None and not await self._is_kept(target, held):
            held = None
        if held is None:
            held = await self._take(target)
        if held is None:
            return None
        on, ns, name = target
        return Fence(on, ns, name, held.token)

    def drop(self, target: Target) -> None:
        """It turned out to be lost, or its target is gone."""
        self._held.pop(target, None)

    async def release_all(self) -> None:
        """Best effort, at the end: what is not given back runs out.  Raises as `Scribe.write`."""
        for target, held in list(self._held.items()):
            self.drop(target)
            await self._scribe.write(
                LeaseRelease(lease_name(*target), held.token), why="worker stops"
            )

    async def _is_kept(self, target: Target, held: _Held) -> bool:
        now_ms = self._clock.monotonic_ms()
        if now_ms - held.renewed_ms < WORK_RENEW_MS:
            return True
        renewed = await self._scribe.write(
            LeaseRenew(lease_name(*target), held.token), why="worker goes on"
        )
        if not isinstance(renewed, Applied):
            self.drop(target)
            return False
        held.renewed_ms = now_ms
        return True

    async def _take(self, target: Target) -> _Held | None:
        name = lease_name(*target)
        now_ms = self._clock.monotonic_ms()
        acquire = LeaseAcquire(name, WORK_LEASE_MS, self._owner)
        granted = await self._scribe.write(acquire, why="worker begins")
        if not isinstance(granted, Applied) and granted.code is RejectCode.LEASE_HELD:
            reason = f"{self._peer_id} leads and works on it now"
            await self._scribe.write(LeaseForceRelease(name, reason), why="worker begins")
            now_ms = self._clock.monotonic_ms()
            granted = await self._scribe.write(acquire, why="worker begins")
        if not isinstance(granted, Applied):
            return None
        held = _Held(granted.revision, now_ms)
        self._held[target] = held
        return held
