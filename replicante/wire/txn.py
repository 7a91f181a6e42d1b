"""POST /txn: compare, then do all of one branch or nothing."""

from __future__ import annotations

import msgspec

from replicante.wire.values import Answer, Json, Request


class TxnAbsent(Request, frozen=True, kw_only=True, tag_field="check", tag="absent"):
    """There is no such key."""

    key: str


class TxnPresent(Request, frozen=True, kw_only=True, tag_field="check", tag="present"):
    key: str


class TxnRevisionEquals(
    Request, frozen=True, kw_only=True, tag_field="check", tag="revision_equals"
):
    """revision: a stamp. A key that is not there meets no check but `absent`."""

    key: str
    revision: str


class TxnRevisionLess(Request, frozen=True, kw_only=True, tag_field="check", tag="revision_less"):
    key: str
    revision: str


class TxnRevisionGreater(
    Request, frozen=True, kw_only=True, tag_field="check", tag="revision_greater"
):
    key: str
    revision: str


class TxnValueEquals(Request, frozen=True, kw_only=True, tag_field="check", tag="value_equals"):
    """The stored value is this one: 1 and 1.0 differ, the order of a map's keys does not count."""

    key: str
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

    key: str
    value: Json
    lease: str | None = None


class TxnDelete(Request, frozen=True, kw_only=True, tag_field="op", tag="delete"):
    """To delete what is not there is no failure."""

    key: str


class TxnGet(Request, frozen=True, kw_only=True, tag_field="op", tag="get"):
    """Sees the operations before it."""

    key: str


TxnOperation = TxnPut | TxnDelete | TxnGet


class TxnBody(Request, frozen=True, kw_only=True):
    """`then` is carried out when every comparison holds, else `otherwise`. Together at most
    REQUEST_OPERATIONS_MAX, at least one."""

    compares: tuple[TxnCompare, ...] = ()
    then: tuple[TxnOperation, ...] = ()
    otherwise: tuple[TxnOperation, ...] = ()


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
