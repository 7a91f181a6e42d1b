"""The leader loop: finds due work and runs it, each target once at a time. Created by `server`.

It works where this peer leads. That is no promise: two peers may both believe so for a moment, and
then the fence of each target decides, in the log and at the agents.

Rules: a target's failure is that target's own, with a pause that doubles; who waits longest is
next; the loop outlives every failure, and renews the fences of what runs; on request it stops
after what runs was cancelled, which is the same as a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from replicante import errors
from replicante.limits import (
    WORK_LOOP_MS,
    WORK_RETRY_MS_MAX,
    WORK_RETRY_MS_MIN,
    WORK_TARGETS_INFLIGHT_MAX,
)
from replicante.model.objects import ObjectKind
from replicante.state.fences import FenceOn
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_commands import DropRecords
from replicante.storage.kv import Reader
from replicante.telemetry.diagnostics import Diagnostic
from replicante.workers import due
from replicante.workers.discover_job import discover
from replicante.workers.doors import Rooms
from replicante.workers.due import Wanted, Work, WorkKind, jitter_ms
from replicante.workers.gather import Gatherer
from replicante.workers.holdings import Hold, Holdings, Target
from replicante.workers.orchestrate_job import orchestrate
from replicante.workers.scribe import Scribe

_LOST = (RejectCode.STALE_TOKEN, RejectCode.NOT_FOUND, RejectCode.BEING_DELETED)


class Workers:
    """One a peer: `run` until cancelled."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._scribe = Scribe(peer=rooms.peer, state=rooms.state)
        self._gatherer = Gatherer(rooms.agents)
        self._holdings = Holdings(
            scribe=self._scribe, clock=rooms.clock, peer_id=rooms.peer.peer_id
        )
        self._running: dict[Target, asyncio.Task[None]] = {}
        self._renewing: dict[Target, asyncio.Task[None]] = {}
        """At most one a target that is worked on."""

        self._waiting: dict[Target, Work] = {}
        """Due and not begun, who waits longest first. Made anew by each pass over the targets."""

        self._pauses: dict[Target, tuple[int, int]] = {}
        """Target → failures in a row, monotonic time before which it is left alone."""

        self._wanted: dict[Target, Wanted] = {}
        """Of clusters that this worker has looked at."""

    async def run(self) -> None:
        try:
            while True:
                try:
                    for _ in self._steps():
                        await asyncio.sleep(0)
                except (errors.FatalError, errors.PeerStopping):
                    return  # The peer ends, and says why itself.
                except Exception:
                    self._rooms.log.error(
                        Diagnostic.WORK_UNEXPECTED, work="loop", target="", exc_info=True
                    )
                await asyncio.sleep(WORK_LOOP_MS / 1_000)
        finally:
            await self._stop()

    def start_due(self) -> int:
        """Starts what is due and not under way, and renews the fences of what is; how many were
        started."""
        return sum(self._steps())

    async def settle(self) -> None:
        """Returns when nothing runs."""
        while self._running or self._renewing:
            await asyncio.wait([*self._running.values(), *self._renewing.values()])

    def _steps(self) -> Iterator[int]:
        """One pass over all targets, each step short enough for the loop."""
        if not self._rooms.peer.is_leading:
            self._wanted.clear()
            self._waiting.clear()
            # What failed may have failed because others lead: who leads again begins afresh.
            self._pauses.clear()
            # What still runs sends nothing more: whoever leads now takes every fence anew.
            self._holdings.drop_all()
            return
        self._renew_fences()
        found: dict[Target, Work] = {}
        known: set[Target] = set()
        for kind in (ObjectKind.PLATFORM, ObjectKind.CLUSTER_SPEC):
            after: tuple[str, ...] | None = None
            while True:
                after = self._scribe.look(
                    partial(self._judge, found=found, known=known, kind=kind, after=after)
                )
                yield 0
                if after is None:
                    break
        self._forget_all_but(known)
        waited = {it: found[it] for it in self._waiting if it in found}
        self._waiting = waited | found
        yield self._start()

    def _judge(
        self,
        view: Reader,
        *,
        found: dict[Target, Work],
        known: set[Target],
        kind: ObjectKind,
        after: tuple[str, ...] | None,
    ) -> tuple[str, ...] | None:
        """Adds the targets of one slice to `known`, and to `found` those that are due; where the
        next slice begins."""
        now_ms = self._rooms.peer.clock_ms
        page = due.targets(view, kind, after=after)
        for stored in page.items:
            target = due.target_of(stored)
            known.add(target)
            if target in self._running or self._is_paused(target):
                continue
            try:
                work = due.due_work(view, stored, wanted=self._wanted.get(target), now_ms=now_ms)
            except (errors.FatalError, errors.PeerStopping):
                raise
            except Exception:
                self._pause(target)
                self._rooms.log.error(
                    Diagnostic.WORK_UNEXPECTED,
                    work="due",
                    target="/".join(target[1:]),
                    exc_info=True,
                )
                continue
            if work is not None:
                found[target] = work
        return page.next

    def _start(self) -> int:
        started = 0
        while self._waiting and len(self._running) < WORK_TARGETS_INFLIGHT_MAX:
            target = next(iter(self._waiting))
            work = self._waiting.pop(target)
            if target in self._running:
                continue
            self._running[target] = asyncio.create_task(self._carry_out(work))
            started += 1
        return started

    def _renew_fences(self) -> None:
        """A cycle may take longer than its lease: many nodes, slow agents, a platform that asks a
        cloud."""
        for target in self._running:
            hold = self._holdings.aging(target)
            if hold is not None and target not in self._renewing:
                self._renewing[target] = asyncio.create_task(self._renew(target, hold))

    async def _renew(self, target: Target, hold: Hold) -> None:
        outcome = "failed"
        try:
            outcome = "done" if await hold.confirm() else "refused"
        except errors.ReplicanteError:
            # The next pass asks again; until then the hold says by itself how long it is sure.
            pass
        finally:
            self._rooms.metrics.work.labels("renew", outcome).inc()
            self._renewing.pop(target, None)

    def _forget_all_but(self, known: set[Target]) -> None:
        """Nothing is kept in memory of targets that are gone."""
        for target in self._pauses.keys() - known:
            del self._pauses[target]
        for target in self._wanted.keys() - known:
            del self._wanted[target]
        self._holdings.keep_only(known | self._running.keys())
        self._gatherer.keep_only({it[1:] for it in known if it[0] is FenceOn.CLUSTER})

    async def _carry_out(self, work: Work) -> None:
        """One piece of work from lease to record; whatever it raises is told and paused for."""
        metrics = self._rooms.metrics
        outcome = "failed"
        try:
            with metrics.work_seconds.labels(work.kind.value).time():
                refusal = await self._work(work)
            outcome = "done" if refusal is None else "refused"
            if refusal is None:
                self._pauses.pop(work.target, None)
            else:
                self._pause(work.target)
                if refusal.code in _LOST:
                    self._holdings.drop(work.target)
                self._tell(work, f"refused: {refusal.code}")
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except errors.ReplicanteError as exc:
            self._pause(work.target)
            self._tell(work, f"{exc.code}: {exc.message}")
        except Exception:
            self._pause(work.target)
            self._rooms.log.error(
                Diagnostic.WORK_UNEXPECTED,
                work=work.kind.value,
                target="/".join(work.target[1:]),
                exc_info=True,
            )
        finally:
            metrics.work.labels(work.kind.value, outcome).inc()
            self._running.pop(work.target, None)

    async def _work(self, work: Work) -> Rejected | None:
        if work.kind is WorkKind.DROP:
            return await self._drop(work.target)
        hold = await self._holdings.hold(work.target)
        if hold is None:
            return Rejected(RejectCode.LEASE_HELD)
        if work.kind is WorkKind.DISCOVER:
            return await discover(self._rooms, self._scribe, hold.fence)
        began_ms = self._rooms.peer.clock_ms
        done = await orchestrate(self._rooms, self._scribe, self._gatherer, hold)
        if done.result is not None and done.refusal is None:
            pause_ms = done.result.next_look_ms
            at_ms = began_ms + pause_ms - jitter_ms(work.target, pause_ms)
            self._wanted[work.target] = Wanted(revision=done.revision, at_ms=at_ms)
            if done.result.is_epoch_spent:
                await self._holdings.give_back(work.target)
        return done.refusal

    async def _drop(self, target: Target) -> Rejected | None:
        """Goes on with the end of what is Deleting: the object itself, then its records in slices.
        Needs no fence: nothing of a cluster that is Deleting is written by anybody else."""
        on, ns, name = target
        self._holdings.drop(target)
        self._wanted.pop(target, None)
        kind = ObjectKind.CLUSTER_SPEC if on is FenceOn.CLUSTER else ObjectKind.PLATFORM
        why = f"end of {ns}/{name}"
        asked = await self._scribe.write(DeleteObject(kind, (ns, name)), why=why)
        if not isinstance(asked, Applied) or asked.is_removed:
            return None
        if on is FenceOn.CLUSTER:
            dropped = await self._scribe.write(DropRecords(ns, name), why=why)
            if not isinstance(dropped, Applied) or dropped.is_changed:
                return None
        # A finaliser of somebody else holds it: come back later, and later again.
        return Rejected(RejectCode.BEING_DELETED)

    def _is_paused(self, target: Target) -> bool:
        _, until_ms = self._pauses.get(target, (0, 0))
        return self._rooms.clock.monotonic_ms() < until_ms

    def _pause(self, target: Target) -> None:
        failures, _ = self._pauses.get(target, (0, 0))
        pause_ms = min(WORK_RETRY_MS_MAX, WORK_RETRY_MS_MIN << min(failures, 16))
        self._pauses[target] = (failures + 1, self._rooms.clock.monotonic_ms() + pause_ms)

    def _tell(self, work: Work, detail: str) -> None:
        self._rooms.log.warning(
            Diagnostic.WORK_FAILED,
            work=work.kind.value,
            target="/".join(work.target[1:]),
            detail=detail,
        )

    async def _stop(self) -> None:
        tasks = [*self._running.values(), *self._renewing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._holdings.release_all()
