"""What the peer says of the group: /raft/status for machines, /status for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicante import errors
from replicante.api.call import Call, Reply
from replicante.api.routing import Access, Method, Parameter, Route
from replicante.ids import format_stamp
from replicante.raft.status import WAY_OUT, Status
from replicante.state import queries
from replicante.wire import paths
from replicante.wire.durations import format_duration_ms
from replicante.wire.status import (
    Digest,
    QuarantineAnswer,
    RaftPeer,
    RaftStatus,
    StatusAnswer,
    StatusPeer,
)

if TYPE_CHECKING:
    from replicante.api.context import Context

Q_DIGEST = "digest"
DIGEST_NOW = "now"
DIGEST_ROWS_MAX = 10_000
"""Rows that may be hashed in one slice of the loop."""
CAPABILITIES = ("kv", "batch", "namespaces", "events", "members")


async def get_raft_status(ctx: Context, call: Call) -> Reply:
    status = ctx.peer.status()
    digests = tuple(Digest(index=index, value=value) for index, value in ctx.state.digests())
    asked = call.query.get(Q_DIGEST)
    if asked not in (None, DIGEST_NOW):
        raise errors.Invalid("Only digest=now is known.", path=f"?{Q_DIGEST}")
    rows = _rows(ctx)
    if rows <= DIGEST_ROWS_MAX:
        index, value = ctx.state.digest_at_applied()
        newest: Digest | None = Digest(index=index, value=value)
    elif asked is None:
        newest = digests[-1] if digests else None
    else:
        raise errors.Conflict(
            f"The state has {rows} rows; up to {DIGEST_ROWS_MAX} are hashed on request.",
            hints=("compare `digests`, which every peer computes at the same indexes",),
        )
    return Reply(body=_raft_status(status, digest=newest, digests=digests))


async def get_status(ctx: Context, call: Call) -> Reply:
    status = ctx.peer.status()
    with ctx.state.view() as view:
        edge = queries.events_edge(view)
    uptime_ms = ctx.clock.monotonic_ms() - ctx.identity.started_monotonic_ms
    urls = {peer.peer_id: url_of(peer.http_address) for peer in status.peers}
    body = StatusAnswer(
        peer=status.peer_id,
        version=ctx.identity.version,
        cluster=status.cluster_name,
        role=status.role.value,
        leader=status.leader_id,
        leader_url=urls.get(status.leader_id or "") or None,
        term=status.term,
        applied_index=status.applied_index,
        commit_index=status.commit_index,
        staleness_ms=status.staleness_ms,
        is_ready=status.is_ready,
        not_ready_reason=not_ready_reason(status),
        durability=status.durability,
        uptime=format_duration_ms(uptime_ms // 1_000 * 1_000),
        peers=tuple(
            StatusPeer(
                peer=peer.peer_id,
                url=urls[peer.peer_id],
                is_leader=peer.peer_id == status.leader_id,
                is_voter=peer.is_voter,
                is_connected=peer.is_connected,
                differs_at=peer.differs_at,
            )
            for peer in status.peers
        ),
        events_floor=format_stamp(edge.floor),
        events_head=format_stamp(edge.head),
        capabilities=CAPABILITIES,
        quarantine=_quarantine(status),
        disputed_index=status.disputed_index,
    )
    return Reply(body=body)


def not_ready_reason(status: Status) -> str | None:
    """None when the peer is ready."""
    if status.is_ready:
        return None
    if status.quarantine is not None:
        return (
            f"QUARANTINED: its state at index {status.quarantine.index} is not what a majority of"
            f" the peers has. To get out: {'; '.join(WAY_OUT)}."
        )
    if not status.cluster_id:
        return "The cluster is not born yet: not every listed peer has been seen."
    if status.is_disk_full:
        return "The disk is full: writes stand still until there is room."
    if status.is_log_full:
        return "The log has reached storage.log_map_bytes: raise it and start this peer again."
    if status.leader_id is None:
        return "No leader is known: a majority of peers must run and reach each other."
    behind = max(0, status.commit_index - status.applied_index)
    return f"This peer catches up: {behind} entries are not applied here yet."


def url_of(http_address: str) -> str:
    return f"http://{http_address}" if http_address else ""


def _rows(ctx: Context) -> int:
    with ctx.state.view() as view:
        found = queries.summary(view)
    return found.kv_count + found.objects_count + found.requests_count * 2 + found.events.count


def _raft_status(
    status: Status, *, digest: Digest | None, digests: tuple[Digest, ...]
) -> RaftStatus:
    return RaftStatus(
        peer=status.peer_id,
        role=status.role.value,
        leader=status.leader_id,
        term=status.term,
        commit_index=status.commit_index,
        applied_index=status.applied_index,
        digest=digest,
        peers=raft_peers(status),
        clock_ms=status.clock_ms,
        durability=status.durability,
        digests=digests,
        incarnation=status.incarnation,
        cluster_name=status.cluster_name,
        cluster_id=status.cluster_id,
        generation=status.generation,
        durable_index=status.durable_index,
        first_index=status.first_index,
        last_index=status.last_index,
        staleness_ms=status.staleness_ms,
        is_ready=status.is_ready,
        is_disk_full=status.is_disk_full,
        pending_proposals_count=status.pending_proposals_count,
        quarantine=_quarantine(status),
        disputed_index=status.disputed_index,
    )


def _quarantine(status: Status) -> QuarantineAnswer | None:
    found = status.quarantine
    if found is None:
        return None
    return QuarantineAnswer(
        index=found.index, own_digest=found.own_digest, digest=found.digest, way_out=WAY_OUT
    )


def raft_peers(status: Status) -> tuple[RaftPeer, ...]:
    return tuple(
        RaftPeer(
            peer=peer.peer_id,
            incarnation=peer.incarnation,
            raft_address=peer.raft_address,
            http_address=peer.http_address,
            is_voter=peer.is_voter,
            is_connected=peer.is_connected,
            match_index=peer.match_index,
            level_max=peer.level_max,
            differs_at=peer.differs_at,
        )
        for peer in status.peers
    )


ROUTES = (
    Route(
        method=Method.GET,
        path=paths.RAFT_STATUS,
        access=Access.LOCAL,
        handler=get_raft_status,
        summary="The Raft group as this peer sees it, and digests to compare peers by.",
        answer=RaftStatus,
        refuses=(errors.Conflict,),
        parameters=(
            Parameter(
                name=Q_DIGEST,
                meaning="`now`: refuse (409) when the state is too large for a digest as it is.",
            ),
        ),
    ),
    Route(
        method=Method.GET,
        path=paths.STATUS,
        access=Access.LOCAL,
        handler=get_status,
        summary="The short picture for people.",
        answer=StatusAnswer,
    ),
)
