"""The one way to change the tables: admit, propose with a deadline, tell the outcome.

Called by every handler that writes. What is refused before the proposal is definite; a deadline
that passes after it is `outcome_unknown`, never a failure.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.call import Reply
from replicante.api.negotiate import Media
from replicante.api.rejections import rejection
from replicante.api.room import check_room
from replicante.api.strict_parse import parse_body
from replicante.state.commands import Command
from replicante.state.envelope import Envelope, admit
from replicante.state.expect import Expect
from replicante.state.outcome import Applied, Outcome, Rejected, decode_outcome
from replicante.wire import headers
from replicante.wire.paths import request_path
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.call import Call
    from replicante.api.context import Context

T = TypeVar("T")

Build = Callable[[Json], tuple[Command, T]]
"""A parsed body → the command, and what the handler needs for its answer. Pure: large bodies are
built on a thread. Raises Invalid."""

DEADLINE_MARGIN_MS = 1_000
"""The peer answers at its deadline; this much later the API does, so that nothing hangs."""

_IDEMPOTENCY_KEY = re.compile(headers.IDEMPOTENCY_KEY_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """How a request names itself, so that it can be asked for and repeated."""

    request_id: str
    idempotency_key: str | None
    first_attempt_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[T]):
    """outcome: never Rejected. index: the entry that carried the command."""

    outcome: Outcome
    index: int
    built: T

    @property
    def applied(self) -> Applied:
        """The outcome of a command that is no batch."""
        assert isinstance(self.outcome, Applied), "a single command has a single outcome"
        return self.outcome

    def reply(self, body: object, *, status: int = 200, revision: str | None = None) -> Reply:
        return Reply(
            status=status,
            body=body,
            index=self.index,
            is_write=True,
            revision=revision,
            is_replayed=self.outcome.is_replayed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Generic[T]):
    """A write that was admitted and may be proposed, also more than once."""

    sender: Sender
    encoded: bytes
    command: Command
    built: T
    timeout_ms: int


async def write(ctx: Context, call: Call, build: Build[T]) -> Written[T]:
    """Reads the body when the route takes one, and carries the write out.

    Raises Invalid and its like, the error of a Rejected outcome, StorageFull, what
    `PeerDoor.propose` raises.
    """
    return await carry_out(ctx, await prepare(ctx, call, build))


async def prepare(ctx: Context, call: Call, build: Build[T]) -> Prepared[T]:
    """The first half of `write`: nothing is proposed yet. Raises Invalid and its like."""
    timeout_ms = q.strict_duration_ms(
        call.query,
        headers.Q_TIMEOUT,
        default_ms=limits.REQUEST_DEADLINE_MS_DEFAULT,
        max_ms=limits.REQUEST_DEADLINE_MS_MAX,
    )
    sender = _sender(call)
    if not call.route.takes_match:
        _refuse_conditions(call)
    if call.route.body is None:
        command, built = build(None)
        encoded = admit(_envelope(sender, command))
    else:
        body, media = await call.body(ctx.bodies)
        prepare_body = _preparation(sender, media, build)
        encoded, command, built = await ctx.bodies.work(body, prepare_body)
    return Prepared(
        sender=sender, encoded=encoded, command=command, built=built, timeout_ms=timeout_ms
    )


async def carry_out(ctx: Context, prepared: Prepared[T]) -> Written[T]:
    """The second half of `write`."""
    check_room(ctx.room, prepared.command)
    with ctx.metrics.write_seconds.time():
        outcome, index = await _propose(
            ctx, prepared.encoded, prepared.sender, timeout_ms=prepared.timeout_ms
        )
    if isinstance(outcome, Rejected):
        ctx.metrics.writes.labels("rejected").inc()
        error = rejection(outcome, prepared.command)
        error.details["index"] = index
        raise error
    ctx.metrics.writes.labels("applied").inc()
    return Written(outcome=outcome, index=index, built=prepared.built)


def expectation(call: Call) -> Expect | None:
    """What If-Match and If-None-Match ask for. Raises Invalid."""
    match, none_match = call.header(headers.IF_MATCH), call.header(headers.IF_NONE_MATCH)
    if match is not None and none_match is not None:
        raise errors.Invalid("If-Match and If-None-Match exclude each other.", path="If-Match")
    if none_match is not None:
        if none_match.strip() != "*":
            raise errors.Invalid("If-None-Match takes * only.", path="If-None-Match")
        return Expect.absent()
    if match is None:
        return None
    text = match.strip()
    if text == "*":
        return Expect.present()
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise errors.Invalid(
            'If-Match takes one revision in quotes, as "0000000000000065537", or *.',
            path="If-Match",
        )
    return expect_revision(text[1:-1], path="If-Match")


def expect_revision(text: str, *, path: str) -> Expect:
    """Raises Invalid."""
    revision = q.stamp(text, path=path)
    if revision == 0:
        raise errors.Invalid("No thing has the revision 0.", path=path)
    return Expect.at(revision)


def lease_token(text: str | None, *, path: str) -> int | None:
    """The token of a lease, None for None. Raises Invalid."""
    if text is None:
        return None
    token = q.stamp(text, path=path)
    if token == 0:
        raise errors.Invalid("No lease has the token 0.", path=path)
    return token


def _sender(call: Call) -> Sender:
    key = call.header(headers.IDEMPOTENCY_KEY)
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise errors.Invalid(
            "An Idempotency-Key is 1 to 128 visible ASCII characters without space.",
            path=headers.IDEMPOTENCY_KEY,
            limit=limits.IDEMPOTENCY_KEY_BYTES_MAX,
        )
    first = call.header(headers.FIRST_ATTEMPT_MS)
    if first is None:
        return Sender(request_id=call.request_id, idempotency_key=key, first_attempt_ms=None)
    if key is None or not (first.isascii() and first.isdigit() and len(first) <= 18):
        raise errors.Invalid(
            "The first attempt is a cluster clock in ms, and goes with an Idempotency-Key.",
            path=headers.FIRST_ATTEMPT_MS,
        )
    return Sender(request_id=call.request_id, idempotency_key=key, first_attempt_ms=int(first))


def _refuse_conditions(call: Call) -> None:
    for name in (headers.IF_MATCH, headers.IF_NONE_MATCH):
        if call.header(name) is not None:
            raise errors.Invalid(f"This path takes no {name}; it would be ignored.", path=name)


def _envelope(sender: Sender, command: Command) -> Envelope:
    return Envelope(
        request_id=sender.request_id,
        command=command,
        idempotency_key=sender.idempotency_key,
        first_attempt_ms=sender.first_attempt_ms,
    )


def _preparation(
    sender: Sender, media: Media, build: Build[T]
) -> Callable[[bytes], tuple[bytes, Command, T]]:
    def prepare(body: bytes) -> tuple[bytes, Command, T]:
        command, built = build(parse_body(body, media))
        return admit(_envelope(sender, command)), command, built

    return prepare


async def _propose(
    ctx: Context, encoded: bytes, sender: Sender, *, timeout_ms: int
) -> tuple[Outcome, int]:
    try:
        async with asyncio.timeout((timeout_ms + DEADLINE_MARGIN_MS) / 1_000):
            proposed = await ctx.peer.propose(encoded, timeout_ms=timeout_ms)
    except (errors.OutcomeUnknown, TimeoutError) as exc:
        ctx.metrics.writes.labels("unknown").inc()
        raise _unknown(ctx, sender, exc, timeout_ms=timeout_ms) from exc
    except errors.ReplicanteError:
        ctx.metrics.writes.labels("refused").inc()
        raise
    return decode_outcome(proposed.outcome), proposed.index


def _unknown(
    ctx: Context, sender: Sender, cause: Exception, *, timeout_ms: int
) -> errors.OutcomeUnknown:
    key = sender.idempotency_key
    message = f"No answer within {timeout_ms} ms; the write may still happen."
    if isinstance(cause, errors.OutcomeUnknown):
        message = cause.message
    if key is None:
        hints = (
            "read the state to see whether it happened",
            "send an Idempotency-Key next time: repeating is then harmless",
        )
    else:
        hints = (
            "repeat with the same Idempotency-Key and body",
            f"or ask GET {request_path(key)}",
        )
    return errors.OutcomeUnknown(
        message,
        hints=hints,
        clock_ms=ctx.presence.status().clock_ms,
        **({} if key is None else {"idempotency_key": key}),
    )
