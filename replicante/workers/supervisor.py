"""The leader loop: finds due work and runs it, each target once at a time. Created by `server`.

It works where this peer leads. That is no promise: two peers may both believe so for a moment, and
then the fence of each target decides, in the log and at the agents.

Rules: a target's failure is that target's own, with a pause that doubles; the loop outlives every
failure; on request it stops after what runs was cancelled, which is the same as a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from replicante.telemetry.diagnostics import Diagnostic
from replicante.workers.discover_job import discover
from replicante.workers.doors import Rooms
from replicante.workers.due import Work, WorkKind, due_clusters, due_platforms, jitter_ms
from replicante.workers.gather import Gatherer
from replicante.workers.holdings import Holdings, Target
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
        self._pauses: dict[Target, tuple[int, int]] = {}
        """Target → failures in a row, monotonic time before which it is left alone."""

        self._wanted: dict[Target, int] = {}
        """Cluster → cluster clock at which it wants to be looked at again."""

    async def run(self) -> None:
        try:
            while True:
                try:
                    self.start_due()
                except Exception:
                    self._rooms.log.error(
                        Diagnostic.WORK_UNEXPECTED, work="loop", target="", exc_info=True
                    )
                await asyncio.sleep(WORK_LOOP_MS / 1_000)
        finally:
            await self._stop()

    def start_due(self) -> int:
        """Starts what is due and not under way; how many."""
        if not self._rooms.peer.is_leading:
            self._wanted.clear()
            return 0
        started = 0
        for work in self._due():
            if len(self._running) >= WORK_TARGETS_INFLIGHT_MAX:
                break
            if work.target in self._running or self._is_paused(work.target):
                continue
            task = asyncio.create_task(self._carry_out(work))
            self._running[work.target] = task
            started += 1
        return started

    async def settle(self) -> None:
        """Returns when nothing runs."""
        while self._running:
            await asyncio.wait(self._running.values())

    def _due(self) -> list[Work]:
        found: list[Work] = []
        now_ms = self._rooms.peer.clock_ms
        for find in (due_platforms, partial(due_clusters, wanted=self._wanted)):
            after: tuple[str, ...] | None = None
            while True:
                page = self._scribe.look(partial(find, now_ms=now_ms, after=after))
                found += page.work
                if page.next is None:
                    break
                after = page.next
        return found

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
        fence = await self._holdings.hold(work.target)
        if fence is None:
            return Rejected(RejectCode.LEASE_HELD)
        if work.kind is WorkKind.DISCOVER:
            return await discover(self._rooms, self._scribe, fence)
        began_ms = self._rooms.peer.clock_ms
        done = await orchestrate(self._rooms, self._scribe, self._gatherer, fence)
        if done.result is not None and done.refusal is None:
            pause_ms = done.result.next_look_ms
            self._wanted[work.target] = began_ms + pause_ms - jitter_ms(work.target, pause_ms)
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
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(errors.ReplicanteError, TimeoutError):
            # Whoever leads next does not have to take them by force.
            await self._holdings.release_all()
