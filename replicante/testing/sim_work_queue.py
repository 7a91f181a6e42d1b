"""Workers of a queue that die, come back late, and do what they were given once.

Called by sim_state_clients. Promises: a job that was taken in is done; a claim lasts as long as was
said; a token that is over acknowledges nothing; a job that is done never comes back; what an
acknowledgement writes is there exactly when the job is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from replicante.model.codec import encode_value, load_value
from replicante.state import queries, queue_queries
from replicante.state.commands import KvPut
from replicante.state.outcome import JobsAdded, JobsClaimed, Outcome, Rejected
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
)
from replicante.storage.kv import View
from replicante.testing.sim_peer import SimPeer
from replicante.testing.sim_work import FINISHER, Asked, Question, Work

QUEUE = "q"
_OPEN_MAX = 12
"""Jobs that may be there at a time: the second phase has to get them all done."""


@dataclass(slots=True)
class _Claimed:
    job: int
    token: int
    body: str
    told_at: int
    since_us: int
    """When it was asked for, or prolonged with an answer."""
    is_given_back: bool = False


class QueueWork(Work):
    name = "queue"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bodies: dict[int, str] = {}
        """job → body, of every job that somebody was told of"""
        self._sent: dict[str, str] = {}
        """body → ok, info or fail"""
        self._open_count = 0
        self._held: dict[int, list[_Claimed]] = {}
        self._late: dict[int, list[_Claimed]] = {}
        """What a worker forgot when it died, and comes back with."""
        self._newest: dict[int, _Claimed] = {}
        """job → its claim with the greatest token that anybody was told of"""
        self._done_at: dict[int, int] = {}
        self._acks: dict[int, set[int]] = {}
        """job → tokens of acknowledgements that were not refused"""

    # --- asking --------------------------------------------------------------------------------

    def next(self, client: int, peer: SimPeer) -> Question | None:
        held = self._held.setdefault(client, [])
        late = self._late.setdefault(client, [])
        if self._open_count < _OPEN_MAX and self.chance.happens(0.35):
            return self._enqueue()
        # First those whose job another has by now: a fault that what was just promised triggers.
        late.sort(key=lambda it: self._newest[it.job].token <= it.token)
        if late and self.comes_back(is_replaced=self._newest[late[0].job].token > late[0].token):
            return self._go_on_with(late.pop(0), is_late=True)
        if held and self.chance.happens(0.6):
            return None  # work takes time
        if held and self.chance.happens(0.6):
            return self._go_on_with(held.pop(0), is_late=False)
        if held:
            self.count("worker_died")
            late.extend(held)
            held.clear()
        return self._claim()

    def finish(self, peer: SimPeer) -> Question | None:
        held = self._held.setdefault(FINISHER, [])
        if held:
            return self._ack(held.pop(0))
        state = peer.home.state
        assert state is not None
        with state.view() as view:
            if queue_queries.queue_get(view, QUEUE) is None:
                return None
        return self._claim()

    def _enqueue(self) -> Question:
        body = f"b{len(self._sent)}"
        self._sent[body] = "info"
        self._open_count += 1
        job = NewJob(
            body=encode_value(body),
            delay_ms=self.chance.pick([0, 0, 0, self.options.held_ms // 4]),
            priority=self.chance.pick([0, 0, 1]),
            group=self.chance.pick([None, None, "g"]),
            attempts_max=1_000,
        )
        return Question("enqueue", body, QueueEnqueue(QUEUE, (job,)))

    def _claim(self) -> Question:
        count = self.chance.between(1, 3)
        return Question("claim", None, QueueClaim(QUEUE, count, self.options.held_ms, "w"))

    def _go_on_with(self, it: _Claimed, *, is_late: bool) -> Question:
        if is_late:
            self.count("late_token_used")
        how = self.chance.pick(["ack", "ack", "nack", "extend"])
        if how == "ack":
            return self._ack(it)
        value = [str(it.job), _text(it.token), it.body]
        if how == "nack":
            it.is_given_back = True
            return Question("nack", value, QueueNack(QUEUE, it.job, it.token))
        return Question("extend", value, QueueExtend(QUEUE, it.job, it.token))

    def _ack(self, it: _Claimed) -> Question:
        written = KvPut(_done_key(it.job), encode_value(_text(it.token)))
        command = QueueAck(QUEUE, it.job, it.token, (written,))
        self._acks.setdefault(it.job, set()).add(it.token)
        return Question("ack", [str(it.job), _text(it.token), it.body], command)

    # --- answers -------------------------------------------------------------------------------

    def done(self, asked: Asked, outcome: Outcome, view: View) -> tuple[bool, Any]:
        match asked.question.command:
            case QueueEnqueue():
                assert isinstance(outcome, JobsAdded)
                self._sent[asked.question.value] = "ok"
                self._bodies[outcome.jobs[0].job] = asked.question.value
                return True, asked.question.value
            case QueueClaim():
                assert isinstance(outcome, JobsClaimed)
                taken = (self._take(asked, it.job, it.token, view) for it in outcome.jobs)
                return True, [it for it in taken if it is not None]
            case QueueAck(_, job, token):
                return self._acknowledged(asked, job, token, outcome), asked.question.value
            case QueueNack(_, job, token) | QueueExtend(_, job, token):
                if isinstance(outcome, Rejected):
                    return False, None
                self._check_newest(asked, job, token)
                self._go_on(asked, job, token)
        return True, asked.question.value

    def lost(self, asked: Asked) -> None:
        if isinstance(asked.question.command, QueueEnqueue):
            self._open_count -= 1

    def refused(self, asked: Asked) -> None:
        match asked.question.command:
            case QueueEnqueue():
                self._sent[asked.question.value] = "fail"
                self._open_count -= 1
            case QueueAck(_, job, token):
                self._acks[job].discard(token)

    def _take(self, asked: Asked, job: int, token: int, view: View) -> list[str] | None:
        """None: it ran out, and another has done it since."""
        done_at = self._done_at.get(job)
        if done_at is not None and done_at < asked.asked_at:
            self.fail("what is done stays done", f"job {job} is claimed again by {token}")
        before = self._newest.get(job)
        if before is not None and before.told_at < asked.asked_at and token <= before.token:
            self.fail("tokens grow", f"job {job}: {token} after {before.token}")
        if before is not None and before.token < token and not before.is_given_back:
            self.count("claim_ran_out")
            elapsed_us = self.schedule.now_us - before.since_us
            if elapsed_us < self.lasts_us():
                text = f"job {job}: {elapsed_us} of {self.options.held_ms * 1_000} µs"
                self.fail("a claim lasts", text)
        row = queue_queries.job_get(view, QUEUE, job)
        if row is None:
            return None
        body = str(load_value(row.body))
        if self._bodies.setdefault(job, body) != body or body not in self._sent:
            self.fail("a job is what was sent", f"job {job} is {body}")
        it = _Claimed(job, token, body, self.at + 1, asked.asked_us)
        if before is None or before.token < token:
            self._newest[job] = it
        self._held.setdefault(asked.client, []).append(it)
        return [str(job), _text(token), body]

    def _acknowledged(self, asked: Asked, job: int, token: int, outcome: Outcome) -> bool:
        if isinstance(outcome, Rejected):
            self.refused(asked)
            return False
        self._check_newest(asked, job, token)
        if job in self._done_at:
            self.fail("a job is done once", f"job {job} is acknowledged again, with {token}")
        self._done_at[job] = self.at + 1
        if self._sent[self._bodies[job]] == "ok":
            self._open_count -= 1
        self.count("job_done")
        return True

    def _check_newest(self, asked: Asked, job: int, token: int) -> None:
        newest = self._newest.get(job)
        if newest is not None and newest.token > token and newest.told_at < asked.asked_at:
            text = f"{asked.question.f} of job {job} with {token}, {newest.token} holds it"
            self.fail("an old token does nothing", text)

    def _go_on(self, asked: Asked, job: int, token: int) -> None:
        newest = self._newest.get(job)
        if asked.question.f != "extend" or newest is None or newest.token != token:
            return
        newest.since_us = max(newest.since_us, asked.asked_us)
        self._held.setdefault(asked.client, []).append(newest)

    # --- the end -------------------------------------------------------------------------------

    def check_end(self, views: Sequence[tuple[str, View]]) -> None:
        for name, view in views:
            self.note(FINISHER, "drain", None, [], peer=name)
            for job, body in self._bodies.items():
                self._check_fate(name, view, job, body)

    def _check_fate(self, name: str, view: View, job: int, body: str) -> None:
        """The queue is empty: each job was done, and what its acknowledgement wrote is there."""
        found = queries.kv_get(view, _done_key(job))
        if job in self._done_at and found is None:
            self.fail("an acknowledgement is one write", f"{name}: nothing of job {job} ({body})")
        if found is None:
            self.fail("no job is lost", f"{name}: job {job} ({body}) is gone and was not done")
        tokens = {encode_value(_text(token)) for token in self._acks.get(job, ())}
        if found.value not in tokens:
            text = f"{name}: job {job} was done with {found.value!r}"
            self.fail("an acknowledgement is one write", text)


def _done_key(job: int) -> bytes:
    return b"done/%d" % job


def _text(token: int) -> str:
    return f"{token:019d}"
