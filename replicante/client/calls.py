"""Carries a call over as many attempts as the rules and the deadline allow. Called by the nouns.

Rules: `retry` decides, this file obeys; an outcome in doubt stays in doubt whatever later attempts
answer, unless one of them answers under the same key; the newest index seen goes out with every
read, and an answer from before it is not taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from replicante import errors, limits
from replicante.client.call import Call, Reply
from replicante.client.endpoints import Endpoints, normalise
from replicante.client.notes import Note, NoteKind
from replicante.client.retry import Failure, FailureKind, Verdict, judge, pause_ms
from replicante.client.transport import Transport, bad_answer
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.wire import headers as names
from replicante.wire import paths

Observer = Callable[[Note], None]
T = TypeVar("T")


_SAYING = (FailureKind.PROBLEM, FailureKind.BAD_ANSWER)


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What the attempts of one call have shown so far."""

    tried: set[str] = field(default_factory=set)
    rounds_count: int = 0
    indefinite_count: int = 0
    is_in_doubt: bool = False
    failures: dict[str, Failure] = field(default_factory=dict)
    """The last one of each endpoint, the newest last."""
    began_ms: int
    """On this machine."""
    first_attempt_ms: int
    """Cluster clock before the first attempt, as far as this client knew it."""

    @property
    def last(self) -> Failure | None:
        return next(reversed(self.failures.values()), None)

    @property
    def reasons(self) -> dict[str, str]:
        return {url: _reason(failure) for url, failure in self.failures.items()}

    def failed(self, endpoint: str, failure: Failure) -> None:
        self.tried.add(endpoint)
        self.failures.pop(endpoint, None)
        self.failures[endpoint] = failure
        self.is_in_doubt = self.is_in_doubt or not failure.is_definite

    def told(self) -> errors.ReplicanteError | None:
        """What the last endpoint said that said anything: more than the silence of others."""
        said = [it for it in self.failures.values() if it.kind in _SAYING]
        if not said:
            return None
        silent = [url for url, it in self.failures.items() if it.kind not in _SAYING]
        error = said[-1].error
        error.hints += tuple(f"{url}: {_reason(self.failures[url])}" for url in silent)
        return error


class Calls:
    """The one door of a client to its peers. Used on one event loop."""

    def __init__(
        self,
        *,
        endpoints: Endpoints,
        transport: Transport,
        clock: Clock,
        entropy: Entropy,
        observe: Observer,
        mints_keys: bool = True,
    ) -> None:
        self.endpoints = endpoints
        self.transport = transport
        self.clock = clock
        self.entropy = entropy
        self.observe = observe
        self.mints_keys = mints_keys
        self.seen_index = 0
        """Newest index that any answer showed; reads of older states are refused."""

        self.seen_clock_ms = 0
        """Newest cluster clock that any answer told: never later than the next attempt."""

    def see(self, index: int | None) -> None:
        if index is not None and index > self.seen_index:
            self.seen_index = index

    async def run_as(self, answer_type: type[T], call: Call) -> T:
        """`run`, with the body read as this type."""
        return read_as(answer_type, await self.run(call))

    async def write_as(self, answer_type: type[T], call: Call) -> T:
        """`run_as` for a write, under a fresh key unless the caller brought one. All writes pass
        here: the place where calls that are made at once can share one `POST /batch`."""
        if call.idempotency_key is None and self.mints_keys:
            call = replace(call, idempotency_key=self.entropy.token())
        return await self.run_as(answer_type, call)

    async def run(self, call: Call) -> Reply:
        """The answer of the first attempt that succeeds.

        Raises the error of a peer, or when the deadline ends it: `OutcomeUnknown` when a write
        may still happen, else what a peer said last (`NoLeader`, `ReadTimeout`, …), and
        `Unreachable` when none said anything.
        """
        deadline_ms = self.clock.monotonic_ms() + call.timeout_ms + call.wait_ms
        progress = _Progress(
            began_ms=self.clock.monotonic_ms(), first_attempt_ms=self.seen_clock_ms
        )
        while True:
            now_ms = self.clock.monotonic_ms()
            endpoint = self._next(call, progress, now_ms)
            if endpoint is None:
                await self._pause(progress, deadline_ms - now_ms)
                continue
            if now_ms >= deadline_ms:
                raise self._gave_up(call, progress)
            if progress.is_in_doubt and call.is_write:
                call = await self._dated(call, endpoint, progress, left_ms=deadline_ms - now_ms)
                now_ms = self.clock.monotonic_ms()
                if now_ms >= deadline_ms:
                    raise self._gave_up(call, progress)
            result = await self._attempt(call, endpoint, deadline_ms - now_ms)
            if isinstance(result, Reply):
                self.endpoints.answered(endpoint)
                self.seen_clock_ms = max(self.seen_clock_ms, result.clock_ms or 0)
                if not call.is_local:
                    self.see(result.index)
                return result
            self._learn(call, progress, endpoint, result)
            self._raise_unless_repeated(call, progress, result)
            detail = result.error.message
            self.observe(Note(kind=NoteKind.TRIED_IN_VAIN, endpoint=endpoint, detail=detail))

    async def _dated(self, call: Call, endpoint: str, progress: _Progress, *, left_ms: int) -> Call:
        """The same write with the cluster clock of its first attempt: a peer that has forgotten
        keys of that time refuses it instead of doing it again. The clock that a peer knows now,
        less the time since, is never later than that; nor is the newest that was seen before."""
        if call.idempotency_key is None or names.FIRST_ATTEMPT_MS in call.headers:
            return call
        ask = Call(method="GET", path=paths.HEALTH, is_local=True)
        budget_ms = min(left_ms, limits.CLIENT_CONNECT_MS_MAX)
        told = await self.transport.send(ask, endpoint, budget_ms=budget_ms, after_index=0)
        if isinstance(told, Reply) and told.clock_ms:
            since_ms = self.clock.monotonic_ms() - progress.began_ms
            first_ms = max(told.clock_ms - since_ms, progress.first_attempt_ms)
            progress.first_attempt_ms = first_ms
        if progress.first_attempt_ms <= 0:
            return call
        first = {names.FIRST_ATTEMPT_MS: str(progress.first_attempt_ms)}
        return replace(call, headers={**call.headers, **first})

    async def _attempt(self, call: Call, endpoint: str, left_ms: int) -> Reply | Failure:
        budget_ms = min(left_ms, limits.CLIENT_ATTEMPT_MS_MAX + call.wait_ms)
        seen_index = self.seen_index
        result = await self.transport.send(
            call, endpoint, budget_ms=budget_ms, after_index=seen_index
        )
        if not isinstance(result, Reply) or call.is_write or call.is_local:
            return result
        if result.index is not None and result.index < seen_index:
            message = (
                f"{endpoint} answered from index {result.index}, before index {seen_index} "
                "that this client has seen."
            )
            return Failure(kind=FailureKind.PROBLEM, error=errors.StaleRead(message))
        return result

    def _next(self, call: Call, progress: _Progress, now_ms: int) -> str | None:
        if call.endpoint is not None:
            url = normalise(call.endpoint)
            return None if url in progress.tried else url
        return self.endpoints.next(progress.tried, now_ms=now_ms)

    def _learn(self, call: Call, progress: _Progress, endpoint: str, failure: Failure) -> None:
        if failure.kind is FailureKind.PROBLEM and failure.error.definite and not call.is_local:
            index = failure.error.details.get("index")
            self.see(index if isinstance(index, int) else None)  # "not found" shows a state too
        progress.failed(endpoint, failure)
        if failure.kind is not FailureKind.PROBLEM:
            self.endpoints.failed(endpoint, now_ms=self.clock.monotonic_ms())

    def _raise_unless_repeated(self, call: Call, progress: _Progress, failure: Failure) -> None:
        verdict = judge(failure, is_repeatable=call.is_repeatable)
        if verdict is Verdict.REPEAT_ONCE_EACH:
            progress.indefinite_count += 1
            if call.endpoint is not None or progress.indefinite_count >= len(self.endpoints.urls):
                verdict = Verdict.RAISE
        if verdict is not Verdict.RAISE:
            return
        error = failure.error
        if call.is_write and progress.is_in_doubt and not _tells_the_outcome(failure):
            raise self._unknown(call, progress) from error
        raise error

    async def _pause(self, progress: _Progress, left_ms: int) -> None:
        progress.tried.clear()
        progress.rounds_count += 1
        asked_ms = progress.last.retry_after_ms if progress.last is not None else 0
        wait_ms = pause_ms(
            progress.rounds_count, retry_after_ms=asked_ms, fraction=self.entropy.fraction()
        )
        await asyncio.sleep(max(0, min(wait_ms, left_ms)) / 1000)

    def _gave_up(self, call: Call, progress: _Progress) -> errors.ReplicanteError:
        if call.is_write and progress.is_in_doubt:
            return self._unknown(call, progress)
        told = progress.told()
        if told is not None:
            return told
        reasons = "; ".join(f"{url}: {reason}" for url, reason in progress.reasons.items())
        return errors.Unreachable(
            f"No endpoint answered within {call.timeout_ms} ms ({reasons or 'no time to ask'}).",
            hints=["Check the addresses (--endpoints), and that the peers run."],
            reasons=dict(progress.reasons),
        )

    def _unknown(self, call: Call, progress: _Progress) -> errors.OutcomeUnknown:
        reasons = "; ".join(f"{url}: {reason}" for url, reason in progress.reasons.items())
        hints = ["Read what is there now before you go on."]
        if call.idempotency_key is not None:
            hints.insert(0, f"Repeat with the Idempotency-Key {call.idempotency_key}: it is safe.")
        return errors.OutcomeUnknown(
            f"The write may or may not have happened ({reasons}).",
            hints=hints,
            idempotency_key=call.idempotency_key,
            first_attempt_ms=progress.first_attempt_ms or None,
            reasons=dict(progress.reasons),
        )


def _reason(failure: Failure) -> str:
    return str(failure.error.details.get("reason", failure.error.message))


def _tells_the_outcome(failure: Failure) -> bool:
    """Whether a refusal ends the doubt that an earlier attempt under the same key left. One below
    500 does: it is what became of the key, or what every attempt of this body gets. A peer that
    had no room for this attempt knows nothing about the earlier one."""
    if failure.kind is not FailureKind.PROBLEM:
        return False
    if isinstance(failure.error, errors.OutcomeUnknown):
        return True  # the peer's own words are the better ones
    if isinstance(failure.error, errors.OutcomeExpired):
        return False  # what became of the key is what the peers do not know any more
    return failure.error.definite and failure.error.http_status < 500


def read_as(answer_type: type[T], reply: Reply) -> T:
    """Raises as an answer that nobody could read."""
    try:
        return msgspec.json.decode(reply.body, type=answer_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise bad_answer(reply.endpoint, f"its answer cannot be read: {exc}").error from exc
