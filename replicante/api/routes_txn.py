"""POST /txn: a transaction over many keys in one log entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from replicante import errors
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import lease_token, write
from replicante.ids import format_stamp
from replicante.model.codec import encode_value, load_value
from replicante.state import commands
from replicante.state.commands import KvDelete, KvGet, KvPut, KvTxn
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.outcome import Applied, Got, TxnApplied
from replicante.wire import paths
from replicante.wire.txn import (
    TxnAbsent,
    TxnAnswer,
    TxnBody,
    TxnCompare,
    TxnDelete,
    TxnGet,
    TxnOperation,
    TxnPresent,
    TxnPut,
    TxnResult,
    TxnRevisionEquals,
    TxnRevisionGreater,
    TxnRevisionLess,
    TxnValueEquals,
)
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context


async def post_txn(ctx: Context, call: Call) -> Reply:
    written = await write(ctx, call, _build)
    outcome = written.outcome
    assert isinstance(outcome, TxnApplied), "a transaction has the outcome of one"
    branch = written.built.then if outcome.is_success else written.built.otherwise
    results = tuple(
        _result(operation, result)
        for operation, result in zip(branch, outcome.results, strict=True)
    )
    answer = TxnAnswer(is_success=outcome.is_success, results=results, index=written.index)
    return written.reply(answer)


def _build(body: Json) -> tuple[KvTxn, TxnBody]:
    request = to_request(body, TxnBody)
    command = KvTxn(
        tuple(_compare(one, f"compares[{i}]") for i, one in enumerate(request.compares)),
        tuple(_operation(one, ("then", i)) for i, one in enumerate(request.then)),
        tuple(_operation(one, ("otherwise", i)) for i, one in enumerate(request.otherwise)),
    )
    return command, request


def _compare(compare: TxnCompare, where: str) -> Compare:
    key = compare.key.encode()
    match compare:
        case TxnAbsent():
            return Compare(key, CompareKind.ABSENT)
        case TxnPresent():
            return Compare(key, CompareKind.PRESENT)
        case TxnValueEquals():
            value = encode_value(compare.value, path=(*_steps(where), "value"))
            return Compare(key, CompareKind.VALUE_EQUALS, value)
        case _:
            revision = q.stamp(compare.revision, path=f"{where}.revision")
            return Compare(key, _BY_REVISION[type(compare)], revision)


def _operation(operation: TxnOperation, steps: tuple[str, int]) -> commands.TxnOperation:
    key = operation.key.encode()
    match operation:
        case TxnPut():
            lease = lease_token(operation.lease, path=f"{steps[0]}[{steps[1]}].lease")
            return KvPut(key, encode_value(operation.value, path=(*steps, "value")), None, lease)
        case TxnDelete():
            return KvDelete(key)
        case TxnGet():
            return KvGet(key)


def _result(operation: TxnOperation, result: Applied | Got) -> TxnResult:
    revision = format_stamp(result.revision) if result.revision else None
    op = _NAMES[type(operation)]
    if isinstance(result, Applied):
        return TxnResult(op=op, key=operation.key, revision=revision)
    value: Json = None
    if result.value is not None:
        value = load_value(result.value)
    elif revision is not None:
        value = msgspec.UNSET
    return TxnResult(op=op, key=operation.key, revision=revision, value=value)


def _steps(where: str) -> tuple[str, int]:
    name, _, rest = where.partition("[")
    return name, int(rest.removesuffix("]"))


_NAMES: dict[type, str] = {TxnPut: "put", TxnDelete: "delete", TxnGet: "get"}
_BY_REVISION: dict[type, CompareKind] = {
    TxnRevisionEquals: CompareKind.REVISION_EQUALS,
    TxnRevisionLess: CompareKind.REVISION_LESS,
    TxnRevisionGreater: CompareKind.REVISION_GREATER,
}

ROUTES = (
    Route(
        method=Method.POST,
        path=paths.TXN,
        access=Access.WRITE,
        handler=post_txn,
        summary="Compares, then carries out all of one branch or nothing, in one entry.",
        body=TxnBody,
        answer=TxnAnswer,
        refuses=(errors.StaleToken, errors.AnswerTooLarge),
    ),
)
