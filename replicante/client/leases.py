"""Leases, call by call. Reached as `client.leases`; `client.lock` is the easier way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import check_value, encode_body, path_text, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.pages import every_item
from replicante.errors import NotFound
from replicante.wire import headers, paths
from replicante.wire.durations import format_duration_ms
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


class Leases:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def acquire(
        self,
        name: str,
        *,
        duration_ms: int,
        owner: Mapping[str, Json] | None = None,
        wait_ms: int = 0,
        write: Write = DEFAULT_WRITE,
    ) -> LeaseGrant:
        """Takes a lease. Count it lost at (your monotonic time before this call) + duration − 5 %
        − 250 ms.

        owner: attributes for people. wait_ms: how long to wait while somebody holds it. A grant
        that came after a wait has run since it was made: renew it before you rely on it.
        Raises `LeaseHeld` (`details["owner"]` says by whom), `Invalid`, and as `kv.put`.
        """
        attributes = dict(owner or {})
        check_value(attributes, path="owner")
        body = LeaseAcquireBody(
            duration=format_duration_ms(duration_ms),
            owner=attributes,
            wait=format_duration_ms(wait_ms),
        )
        call = write_call(
            "POST",
            path_text(paths.lease_path, name, "acquire"),
            encode_body(body, path="owner"),
            headers={},
            write=write,
        )
        return await self._calls.write_as(LeaseGrant, replace(call, wait_ms=wait_ms))

    async def renew(
        self,
        name: str,
        token: str,
        *,
        duration_ms: int | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> LeaseGrant:
        """Begins the duration anew, with another length when one is given. It goes out without a
        key: to renew twice does no harm, and peers need not remember it.

        Raises `StaleToken` when the lease is lost, and as `kv.put`; `OutcomeUnknown` may simply be
        followed by another renewal.
        """
        duration = None if duration_ms is None else format_duration_ms(duration_ms)
        call = write_call(
            "POST",
            path_text(paths.lease_path, name, "renew"),
            encode_body(LeaseRenewBody(token=token, duration=duration), path="token"),
            headers={},
            write=write,
        )
        return await self._calls.run_as(LeaseGrant, call)

    async def release(
        self, name: str, token: str, *, write: Write = DEFAULT_WRITE
    ) -> LeaseReleased:
        """Gives the lease back. Raises `StaleToken` when it was lost before, and as `kv.put`."""
        call = write_call(
            "POST",
            path_text(paths.lease_path, name, "release"),
            encode_body(LeaseReleaseBody(token=token), path="token"),
            headers={},
            write=write,
        )
        return await self._calls.write_as(LeaseReleased, call)

    async def force_release(
        self, name: str, *, reason: str, write: Write = DEFAULT_WRITE
    ) -> LeaseReleased:
        """Takes the lease from whoever holds it; an event keeps the reason. The holder may not know
        it yet: what it writes elsewhere is fenced only where its token is checked.
        Raises `NotFound` when nobody holds it, and as `kv.put`."""
        call = write_call(
            "DELETE",
            path_text(paths.lease_path, name),
            None,
            headers={},
            write=write,
            query=[(headers.Q_REASON, reason)],
        )
        return await self._calls.write_as(LeaseReleased, call)

    async def get(self, name: str, *, read: Read = LINEARIZABLE) -> LeaseItem:
        """Who holds a lease. Raises `NotFound` when nobody does, and as `kv.get`."""
        call = read_call(path_text(paths.lease_path, name), read)
        return await self._calls.run_as(LeaseItem, call)

    async def find(self, name: str, *, read: Read = LINEARIZABLE) -> LeaseItem | None:
        """As `get`, None when nobody holds it."""
        try:
            return await self.get(name, read=read)
        except NotFound as exc:
            if exc.code != NotFound.code:
                raise
            return None

    async def page(
        self,
        prefix: str = "",
        *,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        cursor: str | None = None,
        read: Read = LINEARIZABLE,
    ) -> LeasePage:
        """Leases that are held, by name; `next` is the cursor of the rest. Raises as `kv.get`."""
        query = [(headers.Q_PREFIX, prefix), (headers.Q_LIMIT, str(limit))]
        if cursor is not None:
            query.append((headers.Q_CURSOR, cursor))
        return await self._calls.run_as(LeasePage, read_call(paths.LEASES, read, query=query))

    def list(self, prefix: str = "", *, read: Read = LINEARIZABLE) -> AsyncIterator[LeaseItem]:
        """All leases that are held, page by page. Raises as `kv.get`."""
        return every_item(lambda cursor: self.page(prefix, cursor=cursor, read=read))
