"""Keys and values. Reached as `client.kv`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import (
    check_value,
    encode_body,
    encode_value,
    path_text,
    precondition,
    read_call,
    write_call,
)
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.pages import every_item
from replicante.errors import NotFound
from replicante.wire import headers, paths
from replicante.wire.kv import KvDeleted, KvItem, KvKey, KvKeyPage, KvPage
from replicante.wire.txn import (
    TxnAnswer,
    TxnBody,
    TxnCompare,
    TxnOperation,
    TxnPut,
    TxnValueEquals,
)
from replicante.wire.values import Json


class Kv:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, key: str, *, read: Read = LINEARIZABLE) -> KvItem:
        """The record of a key.

        Consistency: as `read` says; linearizable by default, and never older than what this
        client has seen. Raises `NotFound`, `Invalid` for a key that cannot be one, and when no
        peer could answer in time `Unreachable`, `NoLeader`, `ReadTimeout` or `StaleRead`.
        """
        return await self._calls.run_as(KvItem, read_call(path_text(paths.kv_path, key), read))

    async def find(self, key: str, *, read: Read = LINEARIZABLE) -> KvItem | None:
        """As `get`, None when there is no such key."""
        try:
            return await self.get(key, read=read)
        except NotFound as exc:
            if exc.code != NotFound.code:
                raise
            return None

    async def put(
        self,
        key: str,
        value: Json,
        *,
        expect_revision: str | None = None,
        must_not_exist: bool = False,
        lease: str | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> KvItem:
        """Sets a key, whatever it held, or only under a condition.

        expect_revision: only when the key has this revision now. must_not_exist: only when there
        is no such key. value: what bounds it is the JSON of the request, 1 MiB, in which a quote
        takes two bytes and a control character six. lease: token of a lease; the key vanishes when
        that grant ends, and without it stays. Durable on a majority of the peers when it returns,
        and seen by every linearizable read that begins afterwards.
        Raises `RevisionMismatch` when the condition does not hold (`details["revision"]` is the
        present one), `StaleToken` when the lease is over, `Invalid`, `BodyTooLarge`, `StorageFull`,
        `OutcomeUnknown` when the deadline ended before an answer (repeat with its
        `details["idempotency_key"]`), and when it certainly did not happen `Unreachable`,
        `NoLeader`, `QueueFull` or `DiskFull`.
        """
        bound = b"" if lease is None else b',"lease":' + encode_value(lease, path="lease")
        body = b'{"value":' + encode_value(value) + bound + b"}"
        condition = precondition(expect_revision=expect_revision, must_not_exist=must_not_exist)
        call = write_call(
            "PUT", path_text(paths.kv_path, key), body, headers=condition, write=write
        )
        return await self._calls.write_as(KvItem, call)

    async def delete(
        self, key: str, *, expect_revision: str | None = None, write: Write = DEFAULT_WRITE
    ) -> KvDeleted:
        """Removes a key. Raises `NotFound` when there is none, else as `put`."""
        condition = precondition(expect_revision=expect_revision, must_not_exist=False)
        call = write_call(
            "DELETE", path_text(paths.kv_path, key), None, headers=condition, write=write
        )
        return await self._calls.write_as(KvDeleted, call)

    async def txn(
        self,
        *,
        compares: Sequence[TxnCompare] = (),
        then: Sequence[TxnOperation] = (),
        otherwise: Sequence[TxnOperation] = (),
        write: Write = DEFAULT_WRITE,
    ) -> TxnAnswer:
        """Compares, then carries out all of `then` when every comparison holds, else all of
        `otherwise`, in one log entry: nobody ever sees half of it.

        `is_success` says which; `results` has one for each operation of that branch. Gets see the
        operations before them; the answer to a repeat has their revisions without values.
        Raises `StaleToken` when a put names a lease that is over, `AnswerTooLarge` when the gets
        find too much, and as `put`; then nothing was written.
        """
        for name, items in (("compares", compares), ("then", then), ("otherwise", otherwise)):
            for number, item in enumerate(items):
                if isinstance(item, TxnPut | TxnValueEquals):
                    check_value(item.value, path=f"{name}[{number}].value")
        request = TxnBody(compares=tuple(compares), then=tuple(then), otherwise=tuple(otherwise))
        body = encode_body(request, path="then")
        call = write_call("POST", paths.TXN, body, headers={}, write=write)
        return await self._calls.write_as(TxnAnswer, call)

    async def page(
        self,
        prefix: str = "",
        *,
        from_key: str | None = None,
        to_key: str | None = None,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        cursor: str | None = None,
        read: Read = LINEARIZABLE,
    ) -> KvPage:
        """Records whose keys start with a prefix, in byte order; `next` is the cursor of the rest,
        None at the end. from_key, to_key: only keys that are not below the one and below the other.
        A page shows one instant, two pages may show two. Raises as `get`."""
        query = _range_query(prefix, from_key=from_key, to_key=to_key, limit=limit, cursor=cursor)
        return await self._calls.run_as(KvPage, read_call(paths.KV, read, query=query))

    def list(
        self,
        prefix: str = "",
        *,
        from_key: str | None = None,
        to_key: str | None = None,
        page_items: int = limits.PAGE_ITEMS_DEFAULT,
        read: Read = LINEARIZABLE,
    ) -> AsyncIterator[KvItem]:
        """All records that `page` would show, page by page. Each page is at least as new as the one
        before. Raises as `get`."""
        return every_item(
            lambda cursor: self.page(
                prefix,
                from_key=from_key,
                to_key=to_key,
                limit=page_items,
                cursor=cursor,
                read=read,
            )
        )

    def keys(
        self,
        prefix: str = "",
        *,
        from_key: str | None = None,
        to_key: str | None = None,
        page_items: int = limits.PAGE_ITEMS_MAX,
        read: Read = LINEARIZABLE,
    ) -> AsyncIterator[KvKey]:
        """As `list`, without the values, which are not sent. Raises as `get`."""

        async def page_at(cursor: str | None) -> KvKeyPage:
            query = _range_query(
                prefix, from_key=from_key, to_key=to_key, limit=page_items, cursor=cursor
            )
            query.append((headers.Q_KEYS_ONLY, "true"))
            return await self._calls.run_as(KvKeyPage, read_call(paths.KV, read, query=query))

        return every_item(page_at)


def _range_query(
    prefix: str, *, from_key: str | None, to_key: str | None, limit: int, cursor: str | None
) -> list[tuple[str, str]]:
    bounds = {headers.Q_FROM: from_key, headers.Q_TO: to_key, headers.Q_CURSOR: cursor}
    query = [(headers.Q_PREFIX, prefix), (headers.Q_LIMIT, str(limit))]
    return query + [(name, text) for name, text in bounds.items() if text is not None]
