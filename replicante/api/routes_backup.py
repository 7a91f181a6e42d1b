"""A backup of the peer that is asked, onto its own disk (ADR 0060).

The caller names a folder, never a path: nobody writes elsewhere on a peer's disk over HTTP.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from replicante import errors, limits
from replicante.api import query as q
from replicante.api.bodies import to_request
from replicante.api.call import Call, Reply
from replicante.api.routing import Access, Method, Route
from replicante.api.strict_parse import parse_body
from replicante.wire import headers, paths
from replicante.wire.backups import BackupAnswer, BackupBody

if TYPE_CHECKING:
    from replicante.api.context import Context


async def back_up(ctx: Context, call: Call) -> Reply:
    body, media = await call.body(ctx.bodies)
    request = to_request(parse_body(body, media), BackupBody)
    if not re.fullmatch(limits.NAME_PATTERN, request.name):
        raise errors.Invalid("A backup has a name like 2026-11-27 or before-upgrade.", path="name")
    timeout_ms = q.strict_duration_ms(
        call.query,
        headers.Q_TIMEOUT,
        default_ms=limits.REQUEST_DEADLINE_MS_DEFAULT,
        max_ms=limits.REQUEST_DEADLINE_MS_MAX,
    )
    await ctx.peer.read_barrier(timeout_ms=timeout_ms)  # whatever was acknowledged is in it
    made = await ctx.peer.backup(Path(request.name), timeout_ms=timeout_ms)
    answer = BackupAnswer(
        peer=made.made_by,
        folder=made.folder,
        index=made.index,
        state_bytes=made.state_bytes,
        digest=made.state_digest,
    )
    return Reply(body=answer, index=made.index, is_write=True)


ROUTES = (
    Route(
        method=Method.POST,
        path=paths.RAFT_BACKUP,
        access=Access.OPERATE,
        handler=back_up,
        summary="Copy the whole state into a new folder on the disk of the peer that answers.",
        body=BackupBody,
        answer=BackupAnswer,
        refuses=(errors.Conflict,),
    ),
)
