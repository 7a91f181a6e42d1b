"""Requests and answers of the kv paths."""

from __future__ import annotations

from replicante.wire.shapes import TokenText
from replicante.wire.values import Answer, Json, Request


class KvPutBody(Request, frozen=True, kw_only=True):
    """PUT /kv/{key}. lease: token of a lease that is held; the key vanishes when that grant ends.
    A put without it makes the key stay."""

    value: Json
    lease: TokenText | None = None


class KvItem(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """One record: the answer to GET and PUT (200, or 201 when the key is new). lease: token of the
    grant that it is bound to; left out when there is none."""

    key: str
    value: Json
    revision: str
    lease: str | None = None


class KvDeleted(Answer, frozen=True, kw_only=True):
    """DELETE /kv/{key}. revision: stamp of the deletion."""

    key: str
    revision: str


class KvPage(Answer, frozen=True, kw_only=True):
    """GET /kv?prefix=: records in byte order of their keys. next: cursor, null at the end."""

    items: tuple[KvItem, ...]
    next: str | None = None
