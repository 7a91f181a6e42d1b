"""A lease as a lock around a block of code. Reached as `client.lock` and `election.campaign`.

Rule: the lease counts as lost at (monotonic time before the request that granted or renewed it was
sent) + what `margins` says of its duration: by then the cluster has not given it away. The
block is cancelled at that moment, also while a renewal is still on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from replicante import errors, limits
from replicante.client.leases import Leases
from replicante.client.margins import sure_ms
from replicante.client.options import Write
from replicante.clock import Clock
from replicante.wire.values import Json

RENEWALS = 3
"""Of each duration; so two may fail in a row."""
WAIT_STEP_MS = 30_000
"""One request waits for so long; then the next one does."""
RETRY_PARTS = 20
"""After a failed renewal the next one is tried when 1/20 of the duration has passed."""
RELEASE_MS_MAX = 2_000
"""What the end of a block waits for the peers; a lease that was not given back runs out."""


class Lock:
    """Use as `async with client.lock("name") as lock:`, once or again, not by two tasks at once.

    While the block runs the lease is renewed in the background. When it must be counted lost the
    block is cancelled, and `LeaseLost` is raised instead. `lock.token` fences: hand it to whatever
    the block changes, which refuses smaller ones than it has seen.
    """

    def __init__(
        self,
        leases: Leases,
        clock: Clock,
        name: str,
        *,
        duration_ms: int,
        owner: Mapping[str, Json] | None,
        wait_ms: int | None,
    ) -> None:
        self.name = name
        self._leases = leases
        self._clock = clock
        self._duration_ms = duration_ms
        self._owner = owner
        self._wait_ms = wait_ms
        self._token: str | None = None
        self._sent_ms = 0
        """Monotonic time at which the last grant or renewal was asked for."""
        self._lost_ms = 0
        """Monotonic time at which the lease counts as lost."""
        self._reason: str | None = None
        """Why it is lost."""
        self._holder: asyncio.Task[object] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._cancelling_count = 0
        self._has_cancelled = False

    @property
    def token(self) -> str:
        """Fencing token of this grant. Asks nobody. RuntimeError when the lock is not held."""
        if self._token is None:
            raise RuntimeError(f"The lock {self.name!r} is not held.")
        return self._token

    @property
    def is_lost(self) -> bool:
        """Whether it must be counted lost by this machine's clock. Asks nobody and never raises."""
        return self._reason is not None

    async def __aenter__(self) -> Self:
        """Raises `LeaseHeld` when the wait is over, `Invalid`, and what `leases.acquire` raises."""
        if self._keeper is not None:
            raise RuntimeError(f"The lock {self.name!r} is held by this object already.")
        self._reason, self._has_cancelled = None, False
        self._token = await self._acquire()
        holder = asyncio.current_task()
        assert holder is not None, "a coroutine runs in a task"
        self._holder = holder
        self._cancelling_count = holder.cancelling()
        self._keeper = asyncio.create_task(self._keep(), name=f"lease {self.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        keeper, token = self._keeper, self._token
        assert keeper is not None and token is not None, "entered before"
        keeper.cancel()
        await asyncio.wait((keeper,))
        self._keeper = self._token = None
        if not self.is_lost:
            await self._give_back(token)
        if not self.is_lost:
            return
        lost = errors.LeaseLost(f"The lease {self.name!r} is lost: {self._reason}.", token=token)
        is_ours = False
        if self._has_cancelled:
            assert self._holder is not None, "entered before"
            # Somebody else's cancellation, at the same time, goes on.
            is_ours = self._holder.uncancel() <= self._cancelling_count
        if kind is None or (is_ours and issubclass(kind, asyncio.CancelledError)):
            raise lost from _defect_of(keeper) or error

    async def _acquire(self) -> str:
        """The token of a grant that is fresh."""
        begun_ms = self._clock.monotonic_ms()
        while True:
            sent_ms = self._clock.monotonic_ms()
            left_ms = None if self._wait_ms is None else begun_ms + self._wait_ms - sent_ms
            step_ms = WAIT_STEP_MS if left_ms is None else max(0, min(left_ms, WAIT_STEP_MS))
            try:
                grant = await self._leases.acquire(
                    self.name, duration_ms=self._duration_ms, owner=self._owner, wait_ms=step_ms
                )
            except errors.LeaseHeld:
                if left_ms is not None and left_ms <= step_ms:
                    raise
                continue
            self._count_from(sent_ms)
            if self._clock.monotonic_ms() - sent_ms < self._duration_ms // RENEWALS:
                return grant.token
            # It was waited for: nobody knows how long ago the grant was made.
            try:
                await self._renew(grant.token, timeout_ms=self._duration_ms)
            except errors.StaleToken:
                continue
            return grant.token

    async def _keep(self) -> None:
        """Renews until it is cancelled or the lease is lost; then it cancels the block."""
        reason = "its renewal ended by a defect"
        try:
            reason = await self._renew_until_lost()
        except asyncio.CancelledError:
            reason = ""
            raise
        finally:
            if reason:
                self._lose(reason)

    def _lose(self, reason: str) -> None:
        self._reason = reason
        assert self._holder is not None, "entered before"
        self._has_cancelled = True
        self._holder.cancel()

    async def _renew_until_lost(self) -> str:
        """Why it is lost."""
        token, reason = self.token, "it was not renewed in time"
        while self._clock.monotonic_ms() < self._lost_ms:
            due_ms = self._sent_ms + self._duration_ms // RENEWALS
            await self._sleep_until(min(due_ms, self._lost_ms))
            try:
                reason = await self._renew_or_retry(token) or reason
            except errors.StaleToken:
                return "somebody else holds it, it was taken away, or it ran out"
        return reason

    async def _renew_or_retry(self, token: str) -> str | None:
        """The reason of a failure; then some time has passed. Raises StaleToken."""
        left_ms = self._lost_ms - self._clock.monotonic_ms()
        if left_ms <= 0:
            return None
        try:
            async with asyncio.timeout(left_ms / 1_000):
                await self._renew(token, timeout_ms=left_ms)
        except TimeoutError:
            return "no peer answered a renewal in time"
        except errors.StaleToken:
            raise
        except errors.ReplicanteError as exc:
            # Tried again until the lease is lost, which says why.
            now_ms = self._clock.monotonic_ms()
            await self._sleep_until(min(now_ms + self._duration_ms // RETRY_PARTS, self._lost_ms))
            return f"it could not be renewed: {exc.message}"
        return None

    async def _renew(self, token: str, *, timeout_ms: int) -> None:
        sent_ms = self._clock.monotonic_ms()
        write = Write(timeout_ms=min(timeout_ms, limits.REQUEST_DEADLINE_MS_DEFAULT))
        await self._leases.renew(self.name, token, write=write)
        self._count_from(sent_ms)

    async def _give_back(self, token: str) -> None:
        try:
            await self._leases.release(self.name, token, write=Write(timeout_ms=RELEASE_MS_MAX))
        except errors.StaleToken:
            self._reason = "it was taken away or ran out while the block ran"
        except errors.ReplicanteError:
            # Nobody renews it, so it runs out; the client has told its observer of the attempts.
            return

    def _count_from(self, sent_ms: int) -> None:
        self._sent_ms = sent_ms
        self._lost_ms = sent_ms + sure_ms(self._duration_ms)

    async def _sleep_until(self, until_ms: int) -> None:
        await asyncio.sleep(max(0, until_ms - self._clock.monotonic_ms()) / 1_000)


def _defect_of(keeper: asyncio.Task[None]) -> BaseException | None:
    return None if keeper.cancelled() else keeper.exception()
