"""Random histories of a queue against a model that searches where the product has indexes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from replicante.model.codec import encode_value
from replicante.state import apply_queue, queue_queries, sweeps
from replicante.state.outcome import BatchApplied, JobsAdded, JobsMoved, Rejected
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.testing.builders import CheckedState

VISIBILITY_MS = 5_000
LOOKED_AT_MAX = 4
OF_ONE_CLAIM = (QueueAck, QueueNack, QueueExtend)
"""What became of a claim that ran out does not wait for the sweep."""
ATTEMPTS_MAX = 2


@dataclass
class Job:
    id: int
    priority: int
    group: str | None
    dedup: str | None
    not_before_ms: int
    state: str = "waiting"
    attempts: int = 0
    token: int = 0
    deadline_ms: int = 0


@dataclass
class Model:
    """Everything is looked for."""

    jobs: dict[int, Job] = field(default_factory=dict)
    is_paused: bool = False

    def sweep(self, clock_ms: int) -> None:
        for job in sorted(self.jobs.values(), key=lambda it: (it.deadline_ms, it.id)):
            if job.state == "claimed" and job.deadline_ms <= clock_ms:
                self.give_back(job, clock_ms)

    def give_back(self, job: Job, not_before_ms: int) -> None:
        job.state = "dead" if job.attempts >= ATTEMPTS_MAX else "waiting"
        job.token, job.not_before_ms = 0, not_before_ms

    def claimable(self, clock_ms: int) -> list[Job]:
        if self.is_paused:
            return []
        found = [job for job in self.jobs.values() if self._is_claimable(job, clock_ms)]
        return sorted(found, key=lambda it: (-it.priority, it.id))

    def _is_claimable(self, job: Job, clock_ms: int) -> bool:
        if job.state != "waiting" or job.not_before_ms > clock_ms:
            return False
        if job.group is None:
            return True
        alive = [it for it in self.jobs.values() if it.group == job.group and it.state != "dead"]
        is_busy = any(it.state == "claimed" for it in alive)
        return not is_busy and job.id == min(it.id for it in alive)

    def with_dedup(self, dedup: str | None) -> Job | None:
        alive = (it for it in self.jobs.values() if it.state != "dead")
        return None if dedup is None else next((it for it in alive if it.dedup == dedup), None)


class Queues(RuleBasedStateMachine):
    """CheckedState checks the invariants after every entry."""

    def __init__(self) -> None:
        super().__init__()
        self.state = CheckedState()
        self.model = Model()
        self.patches = ExitStack()
        small = mock.patch.object(apply_queue, "JOBS_LOOKED_AT_MAX", LOOKED_AT_MAX)
        self.patches.enter_context(small)

    def do(self, command):
        self.model.sweep(self.state.clock_ms)
        if not isinstance(command, OF_ONE_CLAIM):
            self.catch_up()
        return self.state.do(command)

    def catch_up(self):
        """As the leader does: it ticks again while more is due."""
        while (due_ms := self.state.machine.deadline_ms()) is not None:
            if due_ms > self.state.clock_ms:
                return
            self.state.tick()

    @rule(
        priority=st.integers(-2, 2),
        group=st.sampled_from([None, "a", "b"]),
        dedup=st.sampled_from([None, None, "x", "y"]),
        delay_ms=st.sampled_from([0, 0, 3_000]),
    )
    def enqueue(self, priority, group, dedup, delay_ms):
        job = NewJob(
            body=encode_value(1),
            priority=priority,
            group=group,
            dedup=dedup,
            delay_ms=delay_ms,
            attempts_max=ATTEMPTS_MAX,
        )
        outcome = self.do(QueueEnqueue("q", (job,)))
        assert isinstance(outcome, JobsAdded)
        (added,) = outcome.jobs
        present = self.model.with_dedup(dedup)
        assert added.is_new == (present is None)
        if present is not None:
            assert added.job == present.id
            return
        due_ms = self.state.clock_ms + delay_ms
        self.model.jobs[added.job] = Job(added.job, priority, group, dedup, due_ms)

    @rule(count=st.integers(1, 4))
    def claim(self, count):
        outcome = self.do(QueueClaim("q", count, VISIBILITY_MS, "w"))
        clock_ms = self.state.clock_ms
        expected = self.model.claimable(clock_ms)[:count]
        assert [one.job for one in outcome.jobs] == [job.id for job in expected]
        for one in outcome.jobs:
            job = self.model.jobs[one.job]
            job.state, job.attempts, job.token = "claimed", job.attempts + 1, one.token
            job.deadline_ms = clock_ms + VISIBILITY_MS
            assert one.attempt == job.attempts

    def pick(self, data) -> tuple[int, int, Job | None]:
        """(job, token, the job when the token holds it)"""
        self.model.sweep(self.state.clock_ms)
        tokens = [it.token for it in self.model.jobs.values() if it.token] or [1]
        job = data.draw(st.sampled_from(sorted(self.model.jobs) or [1]))
        own = self.model.jobs[job].token if job in self.model.jobs else 0
        token = own if own and data.draw(st.booleans()) else data.draw(st.sampled_from(tokens))
        holds = own == token
        return job, token, self.model.jobs[job] if holds else None

    @rule(data=st.data())
    def ack(self, data):
        job, token, held = self.pick(data)
        outcome = self.do(QueueAck("q", job, token))
        assert isinstance(outcome, BatchApplied if held else Rejected)
        if held:
            del self.model.jobs[job]

    @rule(data=st.data(), delay_ms=st.sampled_from([0, 2_000]))
    def nack(self, data, delay_ms):
        job, token, held = self.pick(data)
        outcome = self.do(QueueNack("q", job, token, delay_ms))
        assert isinstance(outcome, Rejected) == (held is None)
        if held:
            self.model.give_back(held, self.state.clock_ms + delay_ms)

    @rule(data=st.data())
    def extend(self, data):
        job, token, held = self.pick(data)
        outcome = self.do(QueueExtend("q", job, token))
        assert isinstance(outcome, Rejected) == (held is None)
        if held:
            held.deadline_ms = self.state.clock_ms + VISIBILITY_MS

    @rule(ms=st.sampled_from([500, 1_000, 3_000, 5_000]))
    def pass_time(self, ms):
        self.state.advance(ms)

    @rule()
    def pause_or_resume(self):
        paused = self.model.is_paused
        self.do(QueueResume("q") if paused else QueuePause("q", "why"))
        self.model.is_paused = not paused

    def place(self, data) -> int | None:
        return data.draw(st.sampled_from([None, *sorted(self.model.jobs)]))

    def behind(self, after, *, is_dead):
        """Ids of all jobs, or of the dead letters."""
        jobs = self.model.jobs.values()
        return sorted(
            it.id for it in jobs if it.id > (after or 0) and (it.state == "dead" or not is_dead)
        )

    @rule(data=st.data(), count=st.integers(1, 3))
    def redrive(self, data, count):
        after = self.place(data)
        outcome = self.do(QueueRedrive("q", count, (), after))
        dead = self.behind(after, is_dead=True)
        left_count = len(self.behind(None, is_dead=True)) - len(dead[:count])
        following = dead[count - 1] if len(dead) > count else None
        assert outcome == JobsMoved(len(dead[:count]), left_count, following)
        for place in dead[:count]:
            job = self.model.jobs[place]
            if self.model.with_dedup(job.dedup) is not None:
                job.dedup = None
            job.state, job.attempts = "waiting", 0
            job.not_before_ms = self.state.clock_ms

    @rule(data=st.data(), count=st.integers(1, 20), is_dead=st.booleans())
    def purge(self, data, count, is_dead):
        after = self.place(data)
        outcome = self.do(QueuePurge("q", count, is_dead, "why", after))
        doomed, place, is_more = [], None, False
        for number, job in enumerate(self.behind(after, is_dead=is_dead)):
            if len(doomed) == count or (number == LOOKED_AT_MAX and not is_dead):
                is_more = True
                break
            place = job
            if is_dead or self.model.jobs[job].state == "waiting":
                doomed.append(job)
        assert self._gone() == set(doomed)
        for job in doomed:
            del self.model.jobs[job]
        state = "dead" if is_dead else "waiting"
        left_count = sum(it.state == state for it in self.model.jobs.values())
        assert outcome == JobsMoved(len(doomed), left_count, place if is_more else None)

    def _gone(self):
        alive = set()
        for is_dead in (False, True):
            page = queue_queries.job_list(self.state.store, "q", limit=1_000, is_dead=is_dead)
            alive |= {it.id for it in page.items}
        return set(self.model.jobs) - alive

    def teardown(self):
        with self.patches:
            self.catch_up()
            self.compare()

    def compare(self):
        self.model.sweep(self.state.clock_ms)
        found = {it.id for it in queue_queries.job_list(self.state.store, "q", limit=1_000).items}
        alive = {it.id for it in self.model.jobs.values() if it.state != "dead"}
        assert found == alive


class QueuesSweptSlowly(Queues):
    """An entry gives back one job: of many that ran out together the others are over meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.patches.enter_context(mock.patch.object(sweeps, "CLAIM_BYTES_MAX", 1))


often = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestQueues = Queues.TestCase
TestQueues.settings = often
TestQueuesSweptSlowly = QueuesSweptSlowly.TestCase
TestQueuesSweptSlowly.settings = often
