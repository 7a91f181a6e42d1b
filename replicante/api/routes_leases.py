"""The lease paths: acquire with or without waiting, renew, release, look, take away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_scope_cursor, write_cursor
from replicante.api.reads import read
from replicante.api.repeats import was_answered
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.writes import Prepared, Written, carry_out, lease_token, prepare, write
from replicante.ids import format_stamp
from replicante.model.codec import encode_value, load_value
from replicante.state import lease_queries
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.lease_queries import LeaseRecord
from replicante.wire import headers, paths
from replicante.wire.durations import format_duration_ms, parse_duration_ms
from replicante.wire.leases import (
    LeaseAcquireBody,
    LeaseGrant,
    LeaseItem,
    LeasePage,
    LeaseReleaseBody,
    LeaseReleased,
    LeaseRenewBody,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

_CURSOR = "leases"


async def acquire(ctx: Context, call: Call) -> Reply:
    name = call.name("name")

    def build(body: Json) -> tuple[LeaseAcquire, int]:
        request = to_request(body, LeaseAcquireBody)
        duration_ms = _duration_ms(request.duration, path="duration")
        wait_ms = _duration_ms(request.wait, path="wait")
        if wait_ms > limits.LEASE_WAIT_MS_MAX:
            raise errors.Invalid(
                f"An acquire waits at most {format_duration_ms(limits.LEASE_WAIT_MS_MAX)}.",
                path="wait",
                limit=limits.LEASE_WAIT_MS_MAX,
            )
        owner = encode_value(request.owner, path=("owner",))
        return LeaseAcquire(name, duration_ms, owner), wait_ms

    prepared = await prepare(ctx, call, build)
    command = prepared.command
    assert isinstance(command, LeaseAcquire), "built above"
    try:
        written = await _acquire(ctx, prepared, name, wait_ms=prepared.built)
    except errors.LeaseHeld as exc:
        raise _held(ctx, name, exc) from None
    return _granted(ctx, written, name, duration_ms=command.duration_ms)


async def renew(ctx: Context, call: Call) -> Reply:
    name = call.name("name")

    def build(body: Json) -> tuple[LeaseRenew, None]:
        request = to_request(body, LeaseRenewBody)
        duration_ms = None
        if request.duration is not None:
            duration_ms = _duration_ms(request.duration, path="duration")
        return LeaseRenew(name, _token(request.token), duration_ms), None

    prepared = await prepare(ctx, call, build)
    command = prepared.command
    assert isinstance(command, LeaseRenew), "built above"
    written = await carry_out(ctx, prepared)
    left_ms = _left_ms(ctx, name, token=command.token)
    if not written.outcome.is_replayed and command.duration_ms is not None:
        left_ms = command.duration_ms
    token = format_stamp(command.token)
    return written.reply(LeaseGrant(name=name, token=token, expires_in=format_duration_ms(left_ms)))


async def release(ctx: Context, call: Call) -> Reply:
    name = call.name("name")

    def build(body: Json) -> tuple[LeaseRelease, None]:
        request = to_request(body, LeaseReleaseBody)
        return LeaseRelease(name, _token(request.token)), None

    written = await write(ctx, call, build)
    revision = format_stamp(written.applied.revision)
    return written.reply(LeaseReleased(name=name, revision=revision))


async def force_release(ctx: Context, call: Call) -> Reply:
    name = call.name("name")
    reason = call.query.get(headers.Q_REASON, "")
    if not reason:
        raise errors.Invalid(
            "Say why the lease is taken from its holder; the event keeps it.",
            path=f"?{headers.Q_REASON}",
        )
    command = LeaseForceRelease(name, reason)
    written = await write(ctx, call, lambda _body: (command, None))
    revision = format_stamp(written.applied.revision)
    return written.reply(LeaseReleased(name=name, revision=revision))


async def get_lease(ctx: Context, call: Call) -> Reply:
    name = call.name("name")
    seen = await read(ctx, call, lambda view: (lease_queries.lease_get(view, name), _now_ms(ctx)))
    record, now_ms = seen.value
    if record is None:
        raise errors.NotFound(f"Nobody holds the lease {name!r}.", index=seen.index)
    return seen.reply(_item(record, now_ms))


async def list_leases(ctx: Context, call: Call) -> Reply:
    prefix = q.name_prefix(call.query, headers.Q_PREFIX)
    after = read_scope_cursor(_CURSOR, call.query.get(headers.Q_CURSOR), names_count=1)
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    seen = await read(
        ctx,
        call,
        lambda view: lease_queries.lease_list(
            view, prefix=prefix, after=None if after is None else after[0], limit=limit
        ),
    )
    now_ms = _now_ms(ctx)
    page = seen.value
    items = tuple(_item(record, now_ms) for record in page.items)
    cursor = None if page.next is None else write_cursor(_CURSOR, (page.next,))
    return seen.reply(LeasePage(items=items, next=cursor))


async def _acquire(
    ctx: Context, prepared: Prepared[int], name: str, *, wait_ms: int
) -> Written[int]:
    """Proposes when the lease seems free to this peer, or at once when nothing is to be waited
    for. Raises LeaseHeld when the time is over, without an entry of its own if there was none."""
    until_ms = ctx.clock.monotonic_ms() + wait_ms
    if wait_ms and await was_answered(ctx, prepared):
        wait_ms = 0
    while True:
        is_turn = False
        if wait_ms and not ctx.lease_waits.is_free(name):
            left_ms = until_ms - ctx.clock.monotonic_ms()
            if left_ms <= 0 or not await ctx.lease_waits.park(name, timeout_ms=left_ms):
                raise errors.LeaseHeld()
            is_turn = True
        try:
            return await carry_out(ctx, prepared)
        except errors.LeaseHeld:
            if ctx.clock.monotonic_ms() >= until_ms:
                raise
        finally:
            if is_turn:
                ctx.lease_waits.took(name)


def _held(ctx: Context, name: str, refusal: errors.LeaseHeld) -> errors.LeaseHeld:
    """With who holds it. A holder that has left since is no longer known."""
    details = {k: v for k, v in refusal.details.items() if k not in ("token", "left_ms")}
    with ctx.state.view() as view:
        record = lease_queries.lease_get(view, name)
    if record is not None:
        item = _item(record, _now_ms(ctx))
        details |= {"owner": item.owner, "token": item.token, "expires_in": item.expires_in}
    return errors.LeaseHeld(
        f"The lease {name!r} is held.",
        hints=("wait for it with `wait`", "follow its events: GET /events?code=LEASE"),
        **details,
    )


def _granted(ctx: Context, written: Written[int], name: str, *, duration_ms: int) -> Reply:
    token = written.applied.revision
    left_ms = duration_ms
    if written.outcome.is_replayed:
        left_ms = min(duration_ms, _left_ms(ctx, name, token=token))
    grant = LeaseGrant(name=name, token=format_stamp(token), expires_in=format_duration_ms(left_ms))
    return written.reply(grant, status=200)


def _left_ms(ctx: Context, name: str, *, token: int) -> int:
    """0 when the grant is over."""
    with ctx.state.view() as view:
        record = lease_queries.lease_get(view, name)
    if record is None or record.token != token:
        return 0
    return min(record.duration_ms, max(0, record.deadline_ms - _now_ms(ctx)))


def _now_ms(ctx: Context) -> int:
    """The cluster clock, as this peer knows it: of the last entry, or of what was heard since."""
    return ctx.peer.status().clock_ms


def _item(record: LeaseRecord, now_ms: int) -> LeaseItem:
    return LeaseItem(
        name=record.name,
        token=format_stamp(record.token),
        owner=load_value(record.owner),
        duration=format_duration_ms(record.duration_ms),
        expires_in=format_duration_ms(max(0, record.deadline_ms - now_ms)),
        held_for=format_duration_ms(max(0, now_ms - record.acquired_ms)),
    )


def _token(text: str) -> int:
    token = lease_token(text, path="token")
    assert token is not None, "a token was given"
    return token


def _duration_ms(text: str, *, path: str) -> int:
    duration_ms = parse_duration_ms(text)
    if duration_ms is None:
        raise errors.Invalid(
            f"{text[:50]!r} is no duration; write it as 30s, 250ms or 1m.", path=path
        )
    return duration_ms


_LEASE = f"{paths.LEASES}/{{name}}"

ROUTES = (
    Route(
        method=Method.POST,
        path=f"{_LEASE}/acquire",
        access=Access.WRITE,
        handler=acquire,
        summary="Takes a lease; 409 lease_held while somebody holds it.",
        body=LeaseAcquireBody,
        answer=LeaseGrant,
        refuses=(errors.LeaseHeld, errors.TooManyStreams),
        may_wait=True,
    ),
    Route(
        method=Method.POST,
        path=f"{_LEASE}/renew",
        access=Access.WRITE,
        handler=renew,
        summary="Begins the duration of a lease anew; 409 stale_token when it is lost.",
        body=LeaseRenewBody,
        answer=LeaseGrant,
        refuses=(errors.StaleToken,),
    ),
    Route(
        method=Method.POST,
        path=f"{_LEASE}/release",
        access=Access.WRITE,
        handler=release,
        summary="Gives a lease back; 409 stale_token when it is lost.",
        body=LeaseReleaseBody,
        answer=LeaseReleased,
        refuses=(errors.StaleToken,),
    ),
    Route(
        method=Method.GET,
        path=_LEASE,
        access=Access.READ,
        handler=get_lease,
        summary="Who holds a lease; 404 when nobody does.",
        answer=LeaseItem,
    ),
    Route(
        method=Method.DELETE,
        path=_LEASE,
        access=Access.WRITE,
        handler=force_release,
        summary="Takes a lease from its holder, with an event that says why.",
        answer=LeaseReleased,
        parameters=(
            Parameter(name=headers.Q_REASON, meaning="Why; 1 to 1024 bytes.", is_needed=True),
        ),
    ),
    Route(
        method=Method.GET,
        path=paths.LEASES,
        access=Access.READ,
        handler=list_leases,
        summary="Lists the leases that are held, by name.",
        answer=LeasePage,
        parameters=(
            Parameter(name=headers.Q_PREFIX, meaning="Only names that begin with this."),
            Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
            Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
        ),
    ),
)
