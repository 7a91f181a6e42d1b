"""The members of the control plane: who they are, tokens, learners, promotion, removal, transfer.

Any peer takes these; a change is done when the log of the peer that was asked shows it (ADR 0021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.routes_status import raft_peers
from replicante.api.routing import Access, Method, Route
from replicante.api.strict_parse import parse_body
from replicante.wire import headers, paths
from replicante.wire.durations import format_duration_ms, parse_duration_ms
from replicante.wire.members import (
    ChangeAnswer,
    LearnerBody,
    MembersAnswer,
    TokenAnswer,
    TokenBody,
    TransferAnswer,
    TransferBody,
)

if TYPE_CHECKING:
    from replicante.api.context import Context

T = TypeVar("T")


async def get_peers(ctx: Context, call: Call) -> Reply:
    status = ctx.peer.status()
    return Reply(body=MembersAnswer(leader=status.leader_id, peers=raft_peers(status)))


async def make_token(ctx: Context, call: Call) -> Reply:
    request = await _body(ctx, call, TokenBody)
    valid_ms = parse_duration_ms(request.valid)
    if valid_ms is None:
        raise errors.Invalid("A duration is written as 30s, 5m or 1h.", path="valid")
    token = await ctx.peer.invite(request.id, valid_ms=valid_ms, timeout_ms=_timeout_ms(call))
    valid = format_duration_ms(valid_ms)
    return Reply(body=TokenAnswer(id=request.id, token=token, valid=valid), is_write=True)


async def add_learner(ctx: Context, call: Call) -> Reply:
    request = await _body(ctx, call, LearnerBody)
    index = await ctx.peer.add_learner(
        request.id,
        incarnation=request.incarnation,
        address=request.address,
        timeout_ms=_timeout_ms(call),
    )
    return _changed(request.id, index)


async def promote(ctx: Context, call: Call) -> Reply:
    peer_id = call.arguments["id"]
    return _changed(peer_id, await ctx.peer.promote(peer_id, timeout_ms=_timeout_ms(call)))


async def remove(ctx: Context, call: Call) -> Reply:
    peer_id = call.arguments["id"]
    return _changed(peer_id, await ctx.peer.remove(peer_id, timeout_ms=_timeout_ms(call)))


async def transfer(ctx: Context, call: Call) -> Reply:
    request = await _body(ctx, call, TransferBody)
    await ctx.peer.transfer_leadership(request.to, timeout_ms=_timeout_ms(call))
    return Reply(body=TransferAnswer(leader=ctx.peer.status().leader_id), is_write=True)


async def _body(ctx: Context, call: Call, kind: type[T]) -> T:
    body, media = await call.body(ctx.bodies)
    return to_request(parse_body(body, media), kind)


def _timeout_ms(call: Call) -> int:
    return q.strict_duration_ms(
        call.query,
        headers.Q_TIMEOUT,
        default_ms=limits.REQUEST_DEADLINE_MS_DEFAULT,
        max_ms=limits.REQUEST_DEADLINE_MS_MAX,
    )


def _changed(peer_id: str, index: int) -> Reply:
    return Reply(body=ChangeAnswer(id=peer_id, index=index), index=index, is_write=True)


ROUTES = (
    Route(
        method=Method.GET,
        path=paths.RAFT_PEERS,
        access=Access.LOCAL,
        handler=get_peers,
        summary="Voters and learners of the control plane, as this peer sees them.",
        answer=MembersAnswer,
    ),
    Route(
        method=Method.POST,
        path=paths.RAFT_PEERS,
        access=Access.OPERATE,
        handler=add_learner,
        summary="Add a learner whose data directory the caller vouches for; repeating is harmless.",
        body=LearnerBody,
        answer=ChangeAnswer,
        refuses=(errors.MembershipRefused,),
    ),
    Route(
        method=Method.POST,
        path=paths.RAFT_TOKENS,
        access=Access.OPERATE,
        handler=make_token,
        summary="A token with which an empty data directory joins as a learner, once.",
        body=TokenBody,
        answer=TokenAnswer,
        refuses=(errors.MembershipRefused,),
    ),
    Route(
        method=Method.DELETE,
        path=f"{paths.RAFT_PEERS}/{{id}}",
        access=Access.OPERATE,
        handler=remove,
        summary="Remove a member; a leader hands over first. Repeating is harmless.",
        answer=ChangeAnswer,
        refuses=(errors.MembershipRefused,),
    ),
    Route(
        method=Method.POST,
        path=f"{paths.RAFT_PEERS}/{{id}}/promote",
        access=Access.OPERATE,
        handler=promote,
        summary="Let a learner vote; refused with the reason until it has the log.",
        answer=ChangeAnswer,
        refuses=(errors.MembershipRefused, errors.NotFound),
    ),
    Route(
        method=Method.POST,
        path=paths.RAFT_TRANSFER,
        access=Access.OPERATE,
        handler=transfer,
        summary="Hand leadership over to a voter, or to whoever is most complete.",
        body=TransferBody,
        answer=TransferAnswer,
        refuses=(errors.MembershipRefused, errors.NotFound),
    ),
)
