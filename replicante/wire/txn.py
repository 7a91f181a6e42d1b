"""POST /txn: compare, then do all of one branch or nothing."""

from __future__ import annotations

from typing import Annotated

import msgspec

from replicante.limits import REQUEST_OPERATIONS_MAX
from replicante.wire.shapes import KvKey, TokenText, documented
from replicante.wire.values import Answer, Json, Request


class TxnAbsent(Request, frozen=True, kw_only=True, tag_field="check", tag="absent"):
    """There is no such key."""

    key: KvKey


class TxnPresent(Request, frozen=True, kw_only=True, tag_field="check", tag="present"):
    key: KvKey


class TxnRevisionEquals(
    Request, frozen=True, kw_only=True, tag_field="check", tag="revision_equals"
):
    """revision: a stamp. A key that is not there meets no check but `absent`."""

    key: KvKey
    revision: TokenText


class TxnRevisionLess(Request, frozen=True, kw_only=True, tag_field="check", tag="revision_less"):
    key: KvKey
    revision: TokenText


class TxnRevisionGreater(
    Request, frozen=True, kw_only=True, tag_field="check", tag="revision_greater"
):
    key: KvKey
    revision: TokenText


class TxnValueEquals(Request, frozen=True, kw_only=True, tag_field="check", tag="value_equals"):
    """The stored value is this one: 1 and 1.0 differ, the order of a map's keys does not count."""

    key: KvKey
    value: Json


TxnCompare = (
    TxnAbsent
    | TxnPresent
    | TxnRevisionEquals
    | TxnRevisionLess
    | TxnRevisionGreater
    | TxnValueEquals
)


class TxnPut(Request, frozen=True, kw_only=True, tag_field="op", tag="put"):
    """lease: token of a lease that is held; the key vanishes with it."""

    key: KvKey
    value: Json
    lease: TokenText | None = None


class TxnDelete(Request, frozen=True, kw_only=True, tag_field="op", tag="delete"):
    """To delete what is not there is no failure."""

    key: KvKey


class TxnGet(Request, frozen=True, kw_only=True, tag_field="op", tag="get"):
    """Sees the operations before it."""

    key: KvKey


_MANY = documented({"maxItems": REQUEST_OPERATIONS_MAX})

TxnOperation = TxnPut | TxnDelete | TxnGet


class TxnBody(Request, frozen=True, kw_only=True):
    """`then` is carried out when every comparison holds, else `otherwise`. Together at most
    REQUEST_OPERATIONS_MAX, at least one."""

    compares: Annotated[tuple[TxnCompare, ...], _MANY] = ()
    then: Annotated[tuple[TxnOperation, ...], _MANY] = ()
    otherwise: Annotated[tuple[TxnOperation, ...], _MANY] = ()


class TxnResult(Answer, frozen=True, kw_only=True):
    """revision: of the write, the removal or what a get found; null: there was no such key. value:
    of a get; left out when this is the answer to a repeat, which remembers revisions only."""

    op: str
    key: str
    revision: str | None
    value: Json = msgspec.UNSET


class TxnAnswer(Answer, frozen=True, kw_only=True):
    """is_success: every comparison held. results: one for each operation of the branch that was
    carried out, in order. index: the entry that holds it."""

    is_success: bool
    results: tuple[TxnResult, ...]
    index: int
