"""Holds the fences of this peer's targets: one lease each, kept from cycle to cycle.

Called by the supervisor, which renews them while work is under way, and by the jobs, which ask
before everything that leaves this peer. The token is the epoch of all that is done under it. A
worker that leads takes a lease from whoever held it before: nobody waits for the dead, and the one
that is only slow is refused by its old token, here and at the agents. That is why no lease has to
be waited for.
"""

from __future__ import annotations

import asyncio

from replicante import errors
from replicante.clock import Clock
from replicante.limits import (
    WORK_LEASE_MS,
    WORK_LEASE_SURE_MS,
    WORK_RELEASES_MS_MAX,
    WORK_RENEW_MS,
)
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


class Hold:
    """The right to work on one target: what is done under `fence` may leave this peer while
    `is_sure`."""

    def __init__(self, target: Target, token: int, *, scribe: Scribe, clock: Clock) -> None:
        self.fence = Fence(*target, token)
        self._scribe = scribe
        self._clock = clock
        self._renewed_ms = 0
        """Monotonic time before the request that granted or renewed it left."""

        self._is_lost = False
        self._sent_ids: frozenset[str] = frozenset()
        """Of actions that have not ended; at most those of one cluster."""

    @property
    def sent_ids(self) -> frozenset[str]:
        """Actions that left under this fence."""
        return self._sent_ids

    def sends(self, action_id: str) -> None:
        """Before it leaves: whatever is answered, a copy may arrive while this fence is newest."""
        self._sent_ids |= {action_id}

    def keep_sent(self, action_ids: set[str]) -> None:
        """The others have ended."""
        self._sent_ids &= action_ids

    @property
    def is_sure(self) -> bool:
        """Nobody else can have it by the mere passing of time. Somebody who leads may have taken it
        by force: who must know that too asks `confirm`."""
        age_ms = self._clock.monotonic_ms() - self._renewed_ms
        return not self._is_lost and age_ms < WORK_LEASE_SURE_MS

    @property
    def is_aging(self) -> bool:
        return self._clock.monotonic_ms() - self._renewed_ms >= WORK_RENEW_MS

    async def confirm(self) -> bool:
        """Renews it; False: it is lost.  Raises as `Scribe.write`."""
        asked_ms = self._clock.monotonic_ms()
        name = lease_name(self.fence.on, self.fence.ns, self.fence.name)
        renewed = await self._scribe.write(LeaseRenew(name, self.fence.token), why="worker goes on")
        if isinstance(renewed, Applied):
            self.renewed(asked_ms=asked_ms)
        else:
            self.lose()
        return not self._is_lost

    def renewed(self, *, asked_ms: int) -> None:
        self._renewed_ms = max(self._renewed_ms, asked_ms)

    def lose(self) -> None:
        self._is_lost = True


class Holdings:
    """Of one peer; its targets are never worked on twice at once, which the supervisor sees to."""

    def __init__(self, *, scribe: Scribe, clock: Clock, peer_id: str) -> None:
        self._scribe = scribe
        self._clock = clock
        self._owner = encode_value({"peer": peer_id})
        self._peer_id = peer_id
        self._held: dict[Target, Hold] = {}
        """At most one a target that exists: `keep_only` forgets the others."""

    async def hold(self, target: Target) -> Hold | None:
        """Good for a cycle that begins now; None when somebody else took it in this very moment.
        Raises as `Scribe.write`."""
        held = self._held.get(target)
        if held is not None and held.is_aging and not await held.confirm():
            self.drop(target)
            held = None
        return held or await self._take(target)

    def aging(self, target: Target) -> Hold | None:
        """What is to be renewed while work on the target is under way."""
        held = self._held.get(target)
        return held if held is not None and held.is_sure and held.is_aging else None

    def drop(self, target: Target) -> None:
        """It turned out to be lost, or its target is gone."""
        held = self._held.pop(target, None)
        if held is not None:
            held.lose()

    async def give_back(self, target: Target) -> None:
        """What is done next on it is done under another epoch.  Raises as `Scribe.write`."""
        held = self._held.get(target)
        self.drop(target)
        if held is not None:
            name = lease_name(held.fence.on, held.fence.ns, held.fence.name)
            await self._scribe.write(LeaseRelease(name, held.fence.token), why="another epoch")

    def drop_all(self) -> None:
        """This peer does not lead any more: whoever does takes them all."""
        for target in list(self._held):
            self.drop(target)

    def keep_only(self, targets: set[Target]) -> None:
        for target in self._held.keys() - targets:
            self.drop(target)

    async def release_all(self) -> None:
        """Best effort, at the end and not for long: what is not given back runs out."""
        held = [it.fence for it in self._held.values()]
        self.drop_all()
        try:
            async with asyncio.timeout(WORK_RELEASES_MS_MAX / 1_000):
                for fence in held:
                    name = lease_name(fence.on, fence.ns, fence.name)
                    await self._scribe.write(LeaseRelease(name, fence.token), why="worker stops")
        except (errors.ReplicanteError, TimeoutError):
            # Whoever leads next takes them by force.
            return

    async def _take(self, target: Target) -> Hold | None:
        name = lease_name(*target)
        asked_ms = self._clock.monotonic_ms()
        acquire = LeaseAcquire(name, WORK_LEASE_MS, self._owner)
        granted = await self._scribe.write(acquire, why="worker begins")
        if not isinstance(granted, Applied) and granted.code is RejectCode.LEASE_HELD:
            reason = f"{self._peer_id} leads and works on it now"
            await self._scribe.write(LeaseForceRelease(name, reason), why="worker begins")
            asked_ms = self._clock.monotonic_ms()
            granted = await self._scribe.write(acquire, why="worker begins")
        if not isinstance(granted, Applied):
            return None
        held = Hold(target, granted.revision, scribe=self._scribe, clock=self._clock)
        held.renewed(asked_ms=asked_ms)
        self._held[target] = held
        return held
