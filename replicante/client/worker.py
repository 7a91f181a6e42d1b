"""Works on the jobs of queues. Reached as `client.worker`.

    worker = client.worker("mailer-1", concurrency=8)

    @worker.handler("mail")
    async def send(job: Job) -> list[CarriedOperation]:
        ...
        return [BatchKvPut(key=f"sent/{job.id}", value=True)]

    await worker.run(stop)

Promises: a job is handled at least once; the operations that a handler returns happen exactly
once, in the same write as the acknowledgement. Claims are bound to a lease of this worker, so that
its jobs go to others when it dies. Rules: a handler begins under a claim that is fresh, and is
cancelled when the claim or the lease must be counted lost; a job is given back when its handler has
ended, not before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.client.locks import Lock
from replicante.client.margins import sure_ms
from replicante.client.options import Write
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
HANDLER_END_MS_MAX = 5_000
"""What a handler gets to end when it was cancelled because the worker stops or its lease is lost;
then it is left alone, and its job is not given back."""
GIVE_BACK_MS_MAX = 2_000
"""What the end of a worker waits for the peers; a claim that was not given back ends with the
lease."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    duty: _Duty
    session: Lock
    job: Job
    sent_ms: int
    """Monotonic time before the request that claimed it."""


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
        what does not is cancelled, and given back when it has ended. Each queue has `concurrency`
        jobs at most.

        What a handler returns is durable on a majority with the acknowledgement, or not there at
        all. Fails over and tries again by itself; raises only for a defect of this class.
        """
        while not stop.is_set():
            try:
                # Nobody else has this name; to wait for what a lost session left would hide `stop`.
                lock = self._client.lock(self._session, duration_ms=SESSION_MS, wait_ms=0)
                async with lock as session:
                    await self._serve(session, stop)
            except errors.LeaseLost:
                continue  # the claims under it are lost; a new session begins
            except errors.ReplicanteError:
                await _sleep_until(stop, RETRY_MS)

    async def _serve(self, session: Lock, stop: asyncio.Event) -> None:
        fetchers = [
            asyncio.create_task(self._fetch(duty, session, stop), name=f"queue {duty.queue}")
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

    async def _fetch(self, duty: _Duty, session: Lock, stop: asyncio.Event) -> None:
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
                    lease=session.token,
                )
            except errors.ReplicanteError:
                await _sleep_until(stop, RETRY_MS)
                continue
            for one in claimed:
                job = _job(duty, one)
                self._begin(_Claim(duty=duty, session=session, job=job, sent_ms=sent_ms), slots)

    def _begin(self, claim: _Claim, slots: _Slots) -> None:
        slots.take()
        task = asyncio.create_task(self._work(claim), name=f"job {claim.job.id}")
        self._running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            slots.give()

        task.add_done_callback(ended)

    async def _work(self, claim: _Claim) -> None:
        sent_ms = await self._made_sure_ms(claim)
        if sent_ms is None:
            self._observe(claim.job, "lost")
            return
        handling = asyncio.ensure_future(claim.duty.handle(claim.job))
        keeping = asyncio.create_task(self._keep(claim, sent_ms))
        try:
            await asyncio.wait((handling, keeping), return_when=asyncio.FIRST_COMPLETED)
            if handling.done():
                keeping.cancel()
                await self._finish(claim.job, handling)
                return
            self._observe(claim.job, "lost")
            # It keeps its place until it has ended: no more of them run than were asked for.
            await _has_ended(handling, within_ms=None)
        except asyncio.CancelledError:
            # The claim is kept meanwhile: nobody else gets the job while its handler runs.
            if await _has_ended(handling, within_ms=HANDLER_END_MS_MAX):
                await self._give_back(claim)
            else:
                self._observe(claim.job, "lost")
            raise
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _finish(
        self, job: Job, handling: asyncio.Future[Sequence[CarriedOperation] | None]
    ) -> None:
        failure = asyncio.CancelledError() if handling.cancelled() else handling.exception()
        try:
            if failure is None:
                failure = await self._acknowledge(job, handling.result())
            if failure is None:
                self._observe(job, "done")
                return
            if isinstance(failure, _LeftOut):
                self._observe(job, "failed")  # the job is gone, and cannot be given back
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
    ) -> Exception | None:
        """What was refused for what the handler returned: the same would be refused again, and the
        claim is still held. Raises what says nothing about that."""
        carried = () if operations is None else operations
        try:
            done = await self._client.queues.ack(job.queue, job.id, job.token, operations=carried)
        except errors.Unreachable:
            raise
        except errors.ReplicanteError as exc:
            if not exc.definite or exc.retry:
                raise
            if isinstance(exc, errors.StaleToken) and not _is_of_an_operation(exc):
                raise  # the claim's own
            return exc
        is_whole = all(it.problem is None or it.status == HTTPStatus.NOT_FOUND for it in done.items)
        return None if is_whole else _LeftOut()

    async def _give_back(self, claim: _Claim) -> None:
        """Of a worker that stops. A lost lease has taken the claim with it."""
        if claim.session.is_lost:
            return
        job, write = claim.job, Write(timeout_ms=GIVE_BACK_MS_MAX)
        with contextlib.suppress(errors.ReplicanteError):
            await self._client.queues.nack(
                job.queue, job.id, job.token, reason="the worker stops", write=write
            )

    async def _made_sure_ms(self, claim: _Claim) -> int | None:
        """Monotonic time from which the claim counts, None when it is lost. One that was waited for
        was made nobody knows when: it is extended before its job is begun. That is a write for a
        job that comes to an idle queue; shorter waits would have every idle worker ask more often,
        and an answer may be late for other reasons, too."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - claim.sent_ms < claim.duty.visibility_ms // EXTENSIONS:
            return claim.sent_ms
        return await self._extended_ms(claim, until_ms=now_ms + claim.duty.visibility_ms)

    async def _keep(self, claim: _Claim, sent_ms: int | None) -> None:
        """Extends until it is cancelled; returns when the claim must be counted lost."""
        while sent_ms is not None:
            lost_ms = sent_ms + sure_ms(claim.duty.visibility_ms)
            await self._pause(claim, until_ms=lost_ms)
            sent_ms = await self._extended_ms(claim, until_ms=lost_ms)

    async def _extended_ms(self, claim: _Claim, *, until_ms: int) -> int | None:
        """Monotonic time before the request that extended it; None when that cannot be had until
        then."""
        job = claim.job
        while (sent_ms := self._clock.monotonic_ms()) < until_ms:
            try:
                async with asyncio.timeout((until_ms - sent_ms) / 1_000):
                    await self._client.queues.extend(job.queue, job.id, job.token)
            except errors.StaleToken:
                return None
            except (errors.ReplicanteError, TimeoutError):
                await self._pause(claim, until_ms=until_ms)
            else:
                return sent_ms
        return None

    async def _pause(self, claim: _Claim, *, until_ms: int) -> None:
        left_ms = max(0, until_ms - self._clock.monotonic_ms())
        await asyncio.sleep(min(claim.duty.visibility_ms // EXTENSIONS, left_ms) / 1_000)


class _LeftOut(Exception):
    """An older peer acknowledged the job without an operation that it refused."""


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


def _job(duty: _Duty, claimed: Claimed) -> Job:
    return Job(
        queue=duty.queue,
        id=claimed.id,
        token=claimed.token,
        attempt=claimed.attempt,
        body=claimed.body,
    )


def _is_of_an_operation(refusal: errors.ReplicanteError) -> bool:
    """Whether an acknowledgement was refused for what it carries: then the answer says where."""
    return str(refusal.details.get("path", "")).startswith("operations")


async def _has_ended(
    handling: asyncio.Future[Sequence[CarriedOperation] | None], *, within_ms: int | None
) -> bool:
    """Cancels a handler; False when it still runs after this time. None waits for ever."""
    handling.cancel()
    await asyncio.wait((handling,), timeout=None if within_ms is None else within_ms / 1_000)
    if handling.done() and not handling.cancelled():
        handling.exception()  # else the loop would say that nobody asked for it
    return handling.done()


def _reason(failure: BaseException) -> str:
    """As much of it as may be stored."""
    text = f"{type(failure).__name__}: {failure}".encode(errors="replace")
    return text[: limits.JOB_REASON_BYTES_MAX].decode("utf-8", "ignore")


async def _sleep_until(stop: asyncio.Event, ms: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ms / 1_000):
            await stop.wait()
