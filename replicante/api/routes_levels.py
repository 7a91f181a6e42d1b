"""/raft/level: by which rules all peers apply; raised once every member knows them (ADR 0045).

Rule: a level is proposed only when each voter and learner said, on the link that it has now, that
it supports it. A peer that does not would stop at the entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.reads import read
from replicante.api.routing import Access, Method, Route
from replicante.api.writes import write
from replicante.ids import format_stamp
from replicante.state.commands import SetFeatureLevel
from replicante.state.queries import counters
from replicante.wire import paths
from replicante.wire.levels import LevelAnswer, LevelBody, LevelPeer, LevelRaised
from replicante.wire.values import Json

if TYPE_CHECKING:
    from replicante.api.context import Context
    from replicante.raft.status import PeerInfo, Status


async def get_level(ctx: Context, call: Call) -> Reply:
    seen = await read(ctx, call, counters)
    members = ctx.peer.status().peers
    known = [level for level in map(_level_max, members) if level is not None]
    is_complete = len(known) == len(members)
    return seen.reply(
        LevelAnswer(
            level=seen.value.feature_level,
            supported=min(known) if known and is_complete else None,
            peers=tuple(LevelPeer(peer=it.peer_id, level_max=_level_max(it)) for it in members),
        )
    )


async def put_level(ctx: Context, call: Call) -> Reply:
    status = ctx.peer.status()

    def build(body: Json) -> tuple[SetFeatureLevel, LevelBody]:
        asked = to_request(body, LevelBody)
        if asked.level < 1:
            raise errors.Invalid("The first feature level is 1.", path="level")
        _check_supported(status, asked.level)
        return SetFeatureLevel(asked.level), asked

    written = await write(ctx, call, build)
    revision = format_stamp(written.applied.revision)
    return written.reply(LevelRaised(level=written.built.level, revision=revision))


def _check_supported(status: Status, level: int) -> None:
    """Raises FeatureLevelUnsupported, which names who stands in the way."""
    lacking = {it.peer_id: _level_max(it) for it in status.peers}
    behind = {peer: found for peer, found in lacking.items() if found is None or found < level}
    if behind:
        said = ", ".join(
            f"{peer} supports {found}" if found is not None else f"{peer} is not heard"
            for peer, found in behind.items()
        )
        raise errors.FeatureLevelUnsupported(
            f"Level {level} is not supported by every member: {said}.",
            hints=("Upgrade and start these peers, or remove them, then ask again.",),
            unsupported_by=sorted(behind),
        )


def _level_max(member: PeerInfo) -> int | None:
    """What a member that is away supported before says nothing of what comes back."""
    return member.level_max if member.is_connected else None


ROUTES = (
    Route(
        method=Method.GET,
        path=paths.RAFT_LEVEL,
        access=Access.READ,
        handler=get_level,
        summary="By which feature level all peers apply, and which one each member supports.",
        answer=LevelAnswer,
    ),
    Route(
        method=Method.PUT,
        path=paths.RAFT_LEVEL,
        access=Access.WRITE,
        handler=put_level,
        summary="Raise the feature level of all peers; it never falls.",
        body=LevelBody,
        answer=LevelRaised,
        refuses=(errors.FeatureLevelUnsupported, errors.FeatureLevelNotAbove),
    ),
)
