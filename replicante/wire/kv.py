"""Requests and answers of the kv paths."""

from __future__ import annotations

from replicante.wire.values import Answer, Json, Request


class KvPutBody(Request, frozen=True, kw_only=True):
    """PUT /kv/{key}. `lease` binds the key to a lease; leases are not offered yet, so only
    null."""

    value: Json
    lease: str | None = None


class KvItem(Answer, frozen=True, kw_only=True):
    """One record: the answer to GET and PUT (200, or 201 when the key is new)."""

    key: str
    value: Json
    revision: str


class KvDeleted(Answer, frozen=True, kw_only=True):
    """DELETE /kv/{key}. revision: stamp of the deletion."""

    key: str
    revision: str


class KvPage(Answer, frozen=True, kw_only=True):
    """GET /kv?prefix=: records in byte order of their keys. next: cursor, null at the end."""

    items: tuple[KvItem, ...]
    next: str | None = None
