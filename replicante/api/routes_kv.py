"""The kv paths: one record, and ranges by prefix."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.cursors import read_key_cursor, write_cursor
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.api.writes import expectation, lease_token, write
from replicante.ids import format_stamp
from replicante.model.codec import Value, encode_value, load_value
from replicante.state import queries
from replicante.state.commands import KvDelete, KvPut
from replicante.wire import headers, paths
from replicante.wire.kv import KvDeleted, KvItem, KvListed, KvListPage, KvPutBody
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context

_CURSOR = "kv"


async def get_record(ctx: Context, call: Call) -> Reply:
    key = _key(call)
    seen = await read(ctx, call, lambda view: queries.kv_get(view, key.encode()))
    record = seen.value
    if record is None:
        raise errors.NotFound(f"There is no key {key!r}.", index=seen.index)
    item = _item(record)
    return seen.reply(item, revision=item.revision)


async def put_record(ctx: Context, call: Call) -> Reply:
    key = _key(call)
    expect = expectation(call)

    def build(body: Json) -> tuple[KvPut, tuple[Value, int | None]]:
        request = to_request(body, KvPutBody)
        lease = lease_token(request.lease, path="lease")
        encoded = encode_value(request.value, path=("value",))
        return KvPut(key.encode(), encoded, expect, lease), (request.value, lease)

    written = await write(ctx, call, build)
    revision = format_stamp(written.applied.revision)
    value, lease = written.built
    return written.reply(
        KvItem(
            key=key,
            value=value,
            revision=revision,
            lease=None if lease is None else format_stamp(lease),
        ),
        status=201 if written.applied.is_created else 200,
        revision=revision,
    )


async def delete_record(ctx: Context, call: Call) -> Reply:
    key = _key(call)
    command = KvDelete(key.encode(), expectation(call))
    written = await write(ctx, call, lambda _body: (command, None))
    return written.reply(KvDeleted(key=key, revision=format_stamp(written.applied.revision)))


async def list_records(ctx: Context, call: Call) -> Reply:
    prefix = _bound(call, headers.Q_PREFIX) or b""
    within = (_bound(call, headers.Q_FROM) or b"", _bound(call, headers.Q_TO))
    after = read_key_cursor(_CURSOR, call.query.get(headers.Q_CURSOR))
    limit = q.page_limit(call.query, headers.Q_LIMIT)
    is_keys_only = q.flag(call.query, headers.Q_KEYS_ONLY)
    seen = await read(
        ctx,
        call,
        lambda view: queries.kv_range(view, prefix=prefix, within=within, after=after, limit=limit),
    )
    page = seen.value
    following = None if page.next is None else write_cursor(_CURSOR, page.next)
    items = tuple(map(_key_of, page.items)) if is_keys_only else await _items(page.items)
    return seen.reply(KvListPage(items=items, next=following))


def _bound(call: Call, name: str) -> bytes | None:
    """A key, or the beginning of one, of the query. Raises Invalid."""
    text = call.query.get(name)
    if text is None:
        return None
    found = text.encode()
    if len(found) > limits.KV_KEY_BYTES_MAX:
        raise errors.Invalid(
            f"A key has at most {limits.KV_KEY_BYTES_MAX} bytes.",
            path=f"?{name}",
            limit=limits.KV_KEY_BYTES_MAX,
        )
    return found


async def _items(records: Sequence[queries.KvRecord]) -> tuple[KvListed, ...]:
    """In slices: decoding a page of large values takes longer than the loop may be held."""
    items: list[KvListed] = []
    slice_bytes = 0
    for record in records:
        items.append(replace(_key_of(record), value=load_value(record.value)))
        slice_bytes += len(record.value)
        if slice_bytes > limits.HTTP_PAGE_SLICE_BYTES_MAX:
            slice_bytes = 0
            await asyncio.sleep(0)
    return tuple(items)


def _key(call: Call) -> str:
    key = call.arguments["key"]
    size = len(key.encode())
    if not 1 <= size <= limits.KV_KEY_BYTES_MAX:
        raise errors.Invalid(
            f"A key is 1 to {limits.KV_KEY_BYTES_MAX} bytes, not {size}.",
            path="key",
            limit=limits.KV_KEY_BYTES_MAX,
        )
    return key


def _item(record: queries.KvRecord) -> KvItem:
    return KvItem(
        key=record.key.decode(),
        value=load_value(record.value),
        revision=format_stamp(record.revision),
        lease=None if record.lease is None else format_stamp(record.lease),
    )


def _key_of(record: queries.KvRecord) -> KvListed:
    return KvListed(
        key=record.key.decode(),
        revision=format_stamp(record.revision),
        lease=None if record.lease is None else format_stamp(record.lease),
    )


_RECORD = f"{paths.KV}/{{key...}}"

ROUTES = (
    Route(
        method=Method.GET,
        path=_RECORD,
        access=Access.READ,
        handler=get_record,
        summary="Reads one record.",
        answer=KvItem,
    ),
    Route(
        method=Method.PUT,
        path=_RECORD,
        access=Access.WRITE,
        handler=put_record,
        summary="Writes one record; 201 when it is new.",
        body=KvPutBody,
        answer=KvItem,
        refuses=(errors.StaleToken,),
        statuses=(200, 201),
        takes_match=True,
    ),
    Route(
        method=Method.DELETE,
        path=_RECORD,
        access=Access.WRITE,
        handler=delete_record,
        summary="Removes one record; 404 when there is none.",
        answer=KvDeleted,
        takes_match=True,
    ),
    Route(
        method=Method.GET,
        path=paths.KV,
        access=Access.READ,
        handler=list_records,
        summary="Lists records in byte order of their keys.",
        answer=KvListPage,
        parameters=(
            Parameter(name=headers.Q_PREFIX, meaning="Only keys that begin with this."),
            Parameter(name=headers.Q_FROM, meaning="Only keys that are this or above it."),
            Parameter(name=headers.Q_TO, meaning="Only keys below this."),
            Parameter(name=headers.Q_KEYS_ONLY, meaning="true: without the values."),
            Parameter(name=headers.Q_LIMIT, meaning="Items of a page, 1 to 1000. Default 100."),
            Parameter(name=headers.Q_CURSOR, meaning="`next` of the page before."),
        ),
    ),
)
