"""Queues, call by call. Reached as `client.queues`; `client.worker` is the easier way to work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import get_args

from msgspec.structs import replace as replace_struct

from replicante import limits
from replicante.client.call import Call
from replicante.client.calls import Calls
from replicante.client.encoding import (
    check_operations,
    check_value,
    encode_body,
    path_text,
    read_call,
    write_call,
)
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.pages import every_item
from replicante.errors import NotFound
from replicante.wire import headers, paths
from replicante.wire.batch import CarriedOperation
from replicante.wire.durations import format_duration_ms
from replicante.wire.queues import (
    AckBody,
    ClaimBody,
    Claimed,
    ExtendBody,
    JobAdded,
    JobBody,
    JobDone,
    JobExtended,
    JobItem,
    JobPage,
    JobsAdded,
    JobsClaimed,
    JobsMoved,
    NackBody,
    PauseBody,
    PurgeBody,
    QueueChanged,
    QueueItem,
    QueuePage,
    RedriveBody,
)
from replicante.wire.values import Json

Step = Callable[[int, str | None], Awaitable[JobsMoved]]
"""(how many at most, after which place) → what the portion moved."""


class Queues:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def send(
        self,
        queue: str,
        body: Json,
        *,
        delay_ms: int = 0,
        priority: int = 0,
        group: str | None = None,
        dedup: str | None = None,
        max_attempts: int | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobAdded:
        """Adds one job; durable on a majority when it returns.

        group: its jobs are claimed in order, one at a time. dedup: while a job with it waits or is
        claimed this returns that one, `is_new` False; an acknowledgement and a dead letter free it.
        To repeat a send, give the key of its `OutcomeUnknown` instead: the job may be done.
        body: at most 256 KiB; what bounds a request is its JSON, as with `kv.put`.
        Raises `Invalid`, `BodyTooLarge`, and as `kv.put`.
        """
        job = JobBody(
            body=body,
            delay=format_duration_ms(delay_ms),
            priority=priority,
            group=group,
            dedup=dedup,
            max_attempts=max_attempts,
        )
        (added,) = await self.send_many(queue, (job,), write=write)
        return added

    async def send_many(
        self, queue: str, jobs: Sequence[JobBody], *, write: Write = DEFAULT_WRITE
    ) -> tuple[JobAdded, ...]:
        """Adds up to 1000 jobs in one write: all of them or none. Raises as `send`."""
        for number, job in enumerate(jobs):
            check_value(job.body, path=f"[{number}].body")
        call = write_call(
            "POST",
            path_text(paths.queue_path, queue, "jobs"),
            encode_body(tuple(jobs), path="jobs"),
            headers={},
            write=write,
        )
        return (await self._calls.write_as(JobsAdded, call)).items

    async def claim(
        self,
        queue: str,
        *,
        max_jobs: int = 1,
        visibility_ms: int = limits.JOB_VISIBILITY_MS_DEFAULT,
        wait_ms: int = 0,
        worker: str = "",
        lease: str | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> tuple[Claimed, ...]:
        """Up to max_jobs jobs, empty when there is none within wait_ms. Count a claim lost at (your
        monotonic time before this call) + its `expires_in` − 5 % − 250 ms.

        A claim that came after a wait has run since it was made: extend it before you rely on it.
        lease: token of a lease; the claims end with it. It goes out without a key: a claim whose
        answer was lost (`OutcomeUnknown`) runs out by itself, and its jobs come again.
        Raises `StaleToken` for a lease that is over, and as `kv.put`.
        """
        body = ClaimBody(
            max=max_jobs,
            visibility_timeout=format_duration_ms(visibility_ms),
            wait=format_duration_ms(wait_ms),
            worker=worker,
            lease=lease,
        )
        call = write_call(
            "POST",
            path_text(paths.queue_path, queue, "claim"),
            encode_body(body, path="max"),
            headers={},
            write=write,
        )
        claimed = await self._calls.run_as(JobsClaimed, replace(call, wait_ms=wait_ms))
        return claimed.items

    async def ack(
        self,
        queue: str,
        job: str,
        token: str,
        *,
        operations: Sequence[CarriedOperation] = (),
        write: Write = DEFAULT_WRITE,
    ) -> JobDone:
        """The job is done. operations happen in the same write, so each effect is there exactly
        once. Raises `StaleToken` when the claim is lost (none of them happened then), `Invalid`
        for what is no operation or holds a value that JSON would bend, and as `kv.put`."""
        check_operations(operations, of=get_args(CarriedOperation))
        body = AckBody(token=token, operations=tuple(operations))
        return await self._calls.write_as(JobDone, self._of_job(queue, job, "ack", body, write))

    async def nack(
        self,
        queue: str,
        job: str,
        token: str,
        *,
        delay_ms: int = 0,
        reason: str = "",
        write: Write = DEFAULT_WRITE,
    ) -> JobDone:
        """Gives the job back, to be claimed again after the delay; a dead letter when its attempts
        are used up. Raises as `ack`."""
        body = NackBody(token=token, delay=format_duration_ms(delay_ms), reason=reason)
        return await self._calls.write_as(JobDone, self._of_job(queue, job, "nack", body, write))

    async def extend(
        self,
        queue: str,
        job: str,
        token: str,
        *,
        visibility_ms: int | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobExtended:
        """Begins the visibility timeout anew. It goes out without a key: to extend twice does no
        harm. Raises as `ack`."""
        timeout = None if visibility_ms is None else format_duration_ms(visibility_ms)
        body = ExtendBody(token=token, visibility_timeout=timeout)
        return await self._calls.run_as(
            JobExtended, self._of_job(queue, job, "extend", body, write)
        )

    async def pause(self, queue: str, *, reason: str, write: Write = DEFAULT_WRITE) -> QueueChanged:
        """Nothing is claimed until it is resumed; what is claimed goes on. Raises as `kv.put`."""
        call = self._of_queue(queue, "pause", PauseBody(reason=reason), write)
        return await self._calls.write_as(QueueChanged, call)

    async def resume(self, queue: str, *, write: Write = DEFAULT_WRITE) -> QueueChanged:
        """Jobs are claimed again; nothing happens when it is not paused. Raises as `kv.put`."""
        path = path_text(paths.queue_path, queue, "resume")
        call = write_call("POST", path, None, headers={}, write=write)
        return await self._calls.write_as(QueueChanged, call)

    async def redrive(
        self,
        queue: str,
        *,
        ids: Sequence[str] = (),
        max_jobs: int = limits.QUEUE_STEP_JOBS_MAX,
        after: str | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobsMoved:
        """Dead letters wait again: one portion of these, or of the oldest. after: `next` of the
        portion before. Raises `NotFound` when one of the ids is no dead letter (none was moved
        then), and as `kv.put`."""
        body = RedriveBody(ids=tuple(ids), max=max_jobs, after=after)
        call = self._of_queue(queue, "redrive", body, write)
        return await self._calls.write_as(JobsMoved, call)

    async def redrive_all(
        self,
        queue: str,
        *,
        ids: Sequence[str] = (),
        limit: int | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobsMoved:
        """As `redrive`, portion by portion: each of these, or each dead letter of the queue once,
        the oldest first, until none is left behind it or `limit` are moved.

        write: its time limit holds for each portion; each has a key of its own. Raises as
        `redrive`; the portions before are moved then.
        """
        named = list(ids)

        async def step(count: int, after: str | None) -> JobsMoved:
            own = replace(write, idempotency_key=None, first_attempt_ms=None)
            if not ids:
                return await self.redrive(queue, max_jobs=count, after=after, write=own)
            moved = await self.redrive(queue, ids=named[:count], write=own)
            del named[: moved.moved]
            return replace_struct(moved, next=named[0] if named else None)

        done = await _portions(step, limit=limit)
        return replace_struct(done, next=None) if ids else done

    async def purge(
        self,
        queue: str,
        *,
        reason: str,
        is_dead: bool = False,
        max_jobs: int = limits.QUEUE_STEP_JOBS_MAX,
        after: str | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobsMoved:
        """Removes a portion of the jobs that wait, or of the dead letters, the oldest first; `left`
        says how many are still there. after: `next` of the portion before; a portion among claimed
        jobs and dead letters may remove none. Raises as `kv.put`."""
        body = PurgeBody(reason=reason, dead=is_dead, max=max_jobs, after=after)
        call = self._of_queue(queue, "purge", body, write)
        return await self._calls.write_as(JobsMoved, call)

    async def purge_all(
        self,
        queue: str,
        *,
        reason: str,
        is_dead: bool = False,
        limit: int | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> JobsMoved:
        """As `purge`, portion by portion, until it has passed all or removed `limit`. A job that is
        given back behind its place stays, and `left` counts it. write, errors: as `redrive_all`."""
        own = replace(write, idempotency_key=None, first_attempt_ms=None)

        async def step(count: int, after: str | None) -> JobsMoved:
            return await self.purge(
                queue, reason=reason, is_dead=is_dead, max_jobs=count, after=after, write=own
            )

        return await _portions(step, limit=limit)

    async def get(self, queue: str, *, read: Read = LINEARIZABLE) -> QueueItem:
        """How much it holds. Raises `NotFound` when it is empty and not paused, and as `kv.get`."""
        call = read_call(path_text(paths.queue_path, queue), read)
        return await self._calls.run_as(QueueItem, call)

    async def find(self, queue: str, *, read: Read = LINEARIZABLE) -> QueueItem | None:
        """As `get`, None when it is empty and not paused."""
        try:
            return await self.get(queue, read=read)
        except NotFound as exc:
            if exc.code != NotFound.code:
                raise
            return None

    def list(self, prefix: str = "", *, read: Read = LINEARIZABLE) -> AsyncIterator[QueueItem]:
        """All queues that hold anything or are paused, page by page. Raises as `kv.get`."""

        async def page_at(cursor: str | None) -> QueuePage:
            query = [(headers.Q_PREFIX, prefix), (headers.Q_LIMIT, str(limits.PAGE_ITEMS_DEFAULT))]
            if cursor is not None:
                query.append((headers.Q_CURSOR, cursor))
            return await self._calls.run_as(QueuePage, read_call(paths.QUEUES, read, query=query))

        return every_item(page_at)

    async def job(self, queue: str, job: str, *, read: Read = LINEARIZABLE) -> JobItem:
        """One job with its attempts. Raises `NotFound` when it is done, and as `kv.get`."""
        call = read_call(path_text(paths.queue_path, queue, "jobs", job), read)
        return await self._calls.run_as(JobItem, call)

    async def peek(
        self,
        queue: str,
        *,
        is_dead: bool = False,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        cursor: str | None = None,
        read: Read = LINEARIZABLE,
    ) -> JobPage:
        """A page of jobs in the order of their arrival, without claiming them. `next` is the cursor
        of the page that follows, also of one that holds none. Raises as `kv.get`."""
        query = [(headers.Q_LIMIT, str(limit))]
        if is_dead:
            query.append(("dead", "true"))
        if cursor is not None:
            query.append((headers.Q_CURSOR, cursor))
        path = path_text(paths.queue_path, queue, "jobs")
        return await self._calls.run_as(JobPage, read_call(path, read, query=query))

    def jobs(
        self,
        queue: str,
        *,
        is_dead: bool = False,
        page_items: int = limits.PAGE_ITEMS_DEFAULT,
        read: Read = LINEARIZABLE,
    ) -> AsyncIterator[JobItem]:
        """As `peek`, page by page: all that wait or are claimed, or all dead letters."""
        return every_item(
            lambda cursor: self.peek(
                queue, is_dead=is_dead, limit=page_items, cursor=cursor, read=read
            )
        )

    def _of_job(
        self, queue: str, job: str, verb: str, body: AckBody | NackBody | ExtendBody, write: Write
    ) -> Call:
        path = path_text(paths.queue_path, queue, "jobs", job, verb)
        return write_call("POST", path, encode_body(body, path="token"), headers={}, write=write)

    def _of_queue(
        self, queue: str, verb: str, body: PauseBody | RedriveBody | PurgeBody, write: Write
    ) -> Call:
        path = path_text(paths.queue_path, queue, verb)
        return write_call("POST", path, encode_body(body, path="reason"), headers={}, write=write)


async def _portions(step: Step, *, limit: int | None) -> JobsMoved:
    """All portions as one."""
    moved, after = 0, None
    while True:
        count = limits.QUEUE_STEP_JOBS_MAX if limit is None else limit - moved
        done = await step(min(count, limits.QUEUE_STEP_JOBS_MAX), after)
        moved += done.moved
        if done.next is None or moved == limit:
            return replace_struct(done, moved=moved)
        after = done.next
