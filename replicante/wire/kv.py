"""Requests and answers of the kv paths."""

from __future__ import annotations

import msgspec

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


class KvListed(Answer, frozen=True, kw_only=True, omit_defaults=True):
    """A KvItem of a page. value: left out with keys_only."""

    key: str
    value: Json = msgspec.UNSET
    revision: str
    lease: str | None = None


class KvListPage(Answer, frozen=True, kw_only=True):
    """GET /kv?prefix=: records in byte order of their keys. next: cursor, null at the end. A page
    may hold fewer than asked for and still have a next: rows are read whole, also for keys_only,
    and of no more than 4 MiB."""

    items: tuple[KvListed, ...]
    next: str | None = None


class KvPage(Answer, frozen=True, kw_only=True):
    """A KvListPage whose items have their values, as the SDK reads it."""

    items: tuple[KvItem, ...]
    next: str | None = None


class KvKey(Answer, frozen=True, kw_only=True):
    """A record without its value, as the SDK reads it with keys_only."""

    key: str
    revision: str
    lease: str | None = None


class KvKeyPage(Answer, frozen=True, kw_only=True):
    """A KvListPage without values, as the SDK reads it."""

    items: tuple[KvKey, ...]
    next: str | None = None
