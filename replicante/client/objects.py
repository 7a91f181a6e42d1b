"""Declared objects, as Namespace. Reached as `client.objects`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from replicante import limits
from replicante.client.calls import Calls
from replicante.client.encoding import encode_value, path_text, precondition, read_call, write_call
from replicante.client.options import DEFAULT_WRITE, LINEARIZABLE, Read, Write
from replicante.client.pages import every_item
from replicante.wire import headers, paths
from replicante.wire.objects import (
    ApplyAnswer,
    ObjectAnswer,
    ObjectDeleted,
    ObjectPage,
    ObjectSummary,
)
from replicante.wire.values import Json


class Objects:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def apply(
        self,
        document: Mapping[str, Json],
        *,
        expect_revision: str | None = None,
        must_not_exist: bool = False,
        is_dry_run: bool = False,
        write: Write = DEFAULT_WRITE,
    ) -> ApplyAnswer:
        """Declares an object: creates it, or replaces its spec.

        document: `apiVersion`, `kind`, `metadata`, `spec`. is_dry_run: checks only, writes
        nothing. Durable on a majority of the peers when it returns. Raises `Invalid` with the path
        of the fault, `RevisionMismatch`, and as `kv.put`.
        """
        call = write_call(
            "POST",
            paths.APPLY,
            encode_value(dict(document), path="document"),
            headers=precondition(expect_revision=expect_revision, must_not_exist=must_not_exist),
            write=write,
            query=[(headers.Q_DRY_RUN, "true")] if is_dry_run else [],
        )
        return await self._calls.write_as(ApplyAnswer, call)

    async def get(self, kind: str, *scope: str, read: Read = LINEARIZABLE) -> ObjectAnswer:
        """One object. scope: its name, after the names of what holds it. Consistency: as `read`
        says. Raises `NotFound`, `Invalid` for a kind that is none, and as `kv.get`."""
        path = path_text(paths.object_path, kind, *scope)
        return await self._calls.run_as(ObjectAnswer, read_call(path, read))

    async def delete(
        self,
        kind: str,
        *scope: str,
        expect_revision: str | None = None,
        write: Write = DEFAULT_WRITE,
    ) -> ObjectDeleted:
        """Asks for the end of an object; `status` of the answer tells whether it is gone at once.
        Raises `NotFound`, `RevisionMismatch`, and as `kv.put`."""
        call = write_call(
            "DELETE",
            path_text(paths.object_path, kind, *scope),
            None,
            headers=precondition(expect_revision=expect_revision, must_not_exist=False),
            write=write,
        )
        return await self._calls.write_as(ObjectDeleted, call)

    async def page(
        self,
        kind: str,
        *scope: str,
        limit: int = limits.PAGE_ITEMS_DEFAULT,
        cursor: str | None = None,
        labels: str = "",
        read: Read = LINEARIZABLE,
    ) -> ObjectPage:
        """Objects of a kind, in the order of their names; `next` is the cursor of the rest.
        labels: a selector, as `tier=cache,!old`. Raises as `kv.get`."""
        query = [(headers.Q_LIMIT, str(limit))]
        if cursor is not None:
            query.append((headers.Q_CURSOR, cursor))
        if labels:
            query.append((headers.Q_LABELS, labels))
        path = path_text(paths.list_path, kind, *scope)
        return await self._calls.run_as(ObjectPage, read_call(path, read, query=query))

    def list(
        self,
        kind: str,
        *scope: str,
        page_items: int = limits.PAGE_ITEMS_DEFAULT,
        labels: str = "",
        read: Read = LINEARIZABLE,
    ) -> AsyncIterator[ObjectSummary]:
        """All objects of a kind that the selector chooses, page by page. Raises as `kv.get`."""
        return every_item(
            lambda cursor: self.page(
                kind, *scope, limit=page_items, cursor=cursor, labels=labels, read=read
            )
        )
