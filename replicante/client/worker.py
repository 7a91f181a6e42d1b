"""Works on the jobs of queues. Reached as `client.worker`.

    worker = client.worker("mailer-1", concurrency=8)

    @worker.handler("mail")
    async def send(job: Job) -> list[CarriedOperation]:
        ...
        return [BatchKvPut(key=f"sent/{job.id}", value=True)]

    await worker.run(stop)

Promises: a job is handled at least once; the operations that a handler returns happen exactly
once, in the same write as the acknowledgement. Claims are bound to a lease of this worker, so that
its jobs go to others when it dies. Rule: a handler is cancelled when its claim must be counted
lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.client.margins import sure_ms
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.wire.batch import CarriedOperation
from replicante.wire.queues import Claimed
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.client.client import Client

CLAIM_WAIT_MS = 20_000
"""One request waits for so long for a job; then the next one does."""
SESSION_MS = 10_000
"""Duration of the worker's lease: after a crash its jobs are back within it."""
EXTENSIONS = 3
"""Of each visibility timeout; so two may fail in a row."""
BACKOFF_MS_MIN, BACKOFF_MS_MAX = 1_000, 5 * 60 * 1_000
"""Pause before a job that failed is tried again: doubled with each attempt."""
RETRY_MS = 1_000
"""Pause after a claim that failed as a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a handler gets."""

    queue: str
    id: str
    token: str
    """Of this claim: a fencing token for whatever the handler changes elsewhere."""
    attempt: int
    body: Json


Handler = Callable[[Job], Awaitable[Sequence[CarriedOperation] | None]]
Observe = Callable[[Job, str], None]
"""(job, what became of it: done, failed, lost): for logs and metrics; must not block or raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Duty:
    queue: str
    handle: Handler
    visibility_ms: int


class Worker:
    def __init__(
        self,
        client: Client,
        clock: Clock,
        entropy: Entropy,
        name: str,
        *,
        concurrency: int,
        grace_ms: int,
        observe: Observe | None,
    ) -> None:
        self.name = name
        self._client = client
        self._clock = clock
        self._session = f"worker/{name}/{entropy.token()[:12]}"
        self._concurrency = concurrency
        self._grace_ms = grace_ms
        self._observe = observe or (lambda _job, _fate: None)
        self._duties: list[_Duty] = []
        self._running: set[asyncio.Task[None]] = set()

    def handler(
        self, queue: str, *, visibility_ms: int = limits.JOB_VISIBILITY_MS_DEFAULT
    ) -> Callable[[Handler], Handler]:
        """Registers a coroutine function for the jobs of a queue. It returns operations for the
        acknowledgement, or None; whatever it raises gives the job back with a growing delay, and
        so does what it returns when that is refused. Asks nobody yet and never raises."""

        def register(handle: Handler) -> Handler:
            self._duties.append(_Duty(queue=queue, handle=handle, visibility_ms=visibility_ms))
            return handle

        return register

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then claims nothing more and gives what runs grace_ms to end;
        what does not is cancelled and given back. Each queue has `concurrency` jobs at most.

        What a handler returns is durable on a majority with the acknowledgement, or not there at
        all. Fails over and tries again by itself; raises only for a defect of this class.
        """
        while not stop.is_set():
            try:
                async with self._client.lock(self._session, duration_ms=SESSION_MS) as session:
                    await self._serve(session.token, stop)
            except errors.LeaseLost:
                continue  # the claims under it are lost; a new session begins
            except errors.ReplicanteError:
                await _sleep_until(stop, RETRY_MS)

    async def _serve(self, lease: str, stop: asyncio.Event) -> None:
        fetchers = [
            asyncio.create_task(self._fetch(duty, lease, stop), name=f"queue {duty.queue}")
            for duty in self._duties
        ]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopped, *fetchers), return_when=asyncio.FIRST_COMPLETED)
            for fetcher in fetchers:
                if fetcher.done():
                    fetcher.result()
            for fetcher in fetchers:
                fetcher.cancel()
            if self._running:
                await asyncio.wait(self._running, timeout=self._grace_ms / 1_000)
        finally:
            tasks = [stopped, *fetchers, *self._running]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, duty: _Duty, lease: str, stop: asyncio.Event) -> None:
        slots = _Slots(self._concurrency)
        while not stop.is_set():
            free_count = min(await slots.some(), limits.CLAIM_JOBS_MAX)
            sent_ms = self._clock.monotonic_ms()
            try:
                claimed = await self._client.queues.claim(
                    duty.queue,
                    max_jobs=free_count,
                    visibility_ms=duty.visibility_ms,
                    wait_ms=CLAIM_WAIT_MS,
                    worker=self.name,
                    lease=lease,
                )
            except errors.ReplicanteError:
                await _sleep_until(stop, RETRY_MS)
                continue
            for one in claimed:
                self._begin(duty, one, sent_ms, slots)

    def _begin(self, duty: _Duty, claimed: Claimed, sent_ms: int, slots: _Slots) -> None:
        slots.take()
        task = asyncio.create_task(self._work(duty, claimed, sent_ms), name=f"job {claimed.id}")
        self._running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            slots.give()

        task.add_done_callback(ended)

    async def _work(self, duty: _Duty, claimed: Claimed, sent_ms: int) -> None:
        job = Job(
            queue=duty.queue,
            id=claimed.id,
            token=claimed.token,
            attempt=claimed.attempt,
            body=claimed.body,
        )
        handling = asyncio.ensure_future(duty.handle(job))
        keeping = asyncio.create_task(self._keep(duty, job, sent_ms))
        try:
            await asyncio.wait((handling, keeping), return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():
                self._observe(job, "lost")
                return
            keeping.cancel()
            await self._finish(job, handling)
        except asyncio.CancelledError:
            with contextlib.suppress(errors.ReplicanteError):
                await self._client.queues.nack(
                    job.queue, job.id, job.token, reason="the worker stops"
                )
            raise
        finally:
            for task in (handling, keeping):
                task.cancel()
            await asyncio.gather(handling, keeping, return_exceptions=True)

    async def _finish(
        self, job: Job, handling: asyncio.Future[Sequence[CarriedOperation] | None]
    ) -> None:
        failure = handling.exception()
        try:
            if failure is None:
                failure = await self._acknowledge(job, handling.result())
            if failure is None:
                self._observe(job, "done")
                return
            delay_ms = min(BACKOFF_MS_MIN << min(job.attempt - 1, 20), BACKOFF_MS_MAX)
            reason = _reason(failure)
            await self._client.queues.nack(
                job.queue, job.id, job.token, delay_ms=delay_ms, reason=reason
            )
            self._observe(job, "failed")
        except errors.ReplicanteError:
            self._observe(job, "lost")  # the claim runs out, and the job comes again

    async def _acknowledge(
        self, job: Job, operations: Sequence[CarriedOperation] | None
    ) -> errors.ReplicanteError | None:
        """What was refused for what the handler returned: the same would be refused again, and the
        claim is still held. Raises what says nothing about that."""
        carried = () if operations is None else operations
        try:
            await self._client.queues.ack(job.queue, job.id, job.token, operations=carried)
        except (errors.StaleToken, errors.Unreachable):
            raise
        except errors.ReplicanteError as exc:
            if not exc.definite or exc.retry:
                raise
            return exc
        return None

    async def _keep(self, duty: _Duty, job: Job, sent_ms: int) -> None:
        """Extends until it is cancelled; returns when the claim must be counted lost."""
        lost_after_ms = sure_ms(duty.visibility_ms)
        lost_ms = sent_ms + lost_after_ms
        while True:
            now_ms = self._clock.monotonic_ms()
            if now_ms >= lost_ms:
                return
            pause_ms = min(duty.visibility_ms // EXTENSIONS, lost_ms - now_ms)
            await asyncio.sleep(pause_ms / 1_000)
            sent_ms = self._clock.monotonic_ms()
            try:
                async with asyncio.timeout(max(lost_ms - sent_ms, 1) / 1_000):
                    await self._client.queues.extend(job.queue, job.id, job.token)
            except errors.StaleToken:
                return
            except (errors.ReplicanteError, TimeoutError):
                continue
            lost_ms = sent_ms + lost_after_ms


class _Slots:
    """So many jobs of one queue at a time."""

    def __init__(self, count: int) -> None:
        self._free_count = count
        self._changed = asyncio.Event()

    async def some(self) -> int:
        """How many are free, once one is."""
        while not self._free_count:
            self._changed.clear()
            await self._changed.wait()
        return self._free_count

    def take(self) -> None:
        self._free_count -= 1

    def give(self) -> None:
        self._free_count += 1
        self._changed.set()


def _reason(failure: BaseException) -> str:
    """As much of it as may be stored."""
    text = f"{type(failure).__name__}: {failure}".encode(errors="replace")
    return text[: limits.JOB_REASON_BYTES_MAX].decode("utf-8", "ignore")


async def _sleep_until(stop: asyncio.Event, ms: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ms / 1_000):
            await stop.wait()
