"""Puts the API together: routes, dispatch, and the rooms behind them. Called by `server`."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

import replicante
from replicante.api.backend import PeerDoor, RoomDoor, StateDoor
from replicante.api.bodies import Bodies
from replicante.api.claim_waits import ClaimWaits
from replicante.api.context import ApiSettings, Context, PeerIdentity, Presence
from replicante.api.dispatch import Dispatcher
from replicante.api.event_feed import EventFeed
from replicante.api.lease_waits import LeaseWaits
from replicante.api.openapi import openapi_document
from replicante.api.routes import ROUTES
from replicante.api.routing import Router
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.limits import QUEUES_MEASURED_MAX
from replicante.state import queries, queue_queries
from replicante.state.consumers import consumer_list
from replicante.telemetry.metrics import Metrics, QueueFigures

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class Api:
    """The API of one peer. `handle` is what an HTTP server calls for each request."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._dispatcher = Dispatcher(ctx, Router(ROUTES))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._dispatcher.handle(request)

    def stop(self) -> None:
        """Streams end with a last word, long polls and waiting acquires answer; new ones are
        refused."""
        self.ctx.feed.stop()
        self.ctx.lease_waits.stop()
        self.ctx.claim_waits.stop()

    def close(self) -> None:
        """After the last request."""
        self.ctx.bodies.close()


def create_app(
    *,
    peer: PeerDoor,
    state: StateDoor,
    room: RoomDoor,
    clock: Clock,
    entropy: Entropy,
    metrics: Metrics,
    log: FilteringBoundLogger,
    settings: ApiSettings | None = None,
) -> Api:
    """state: the `ReplicatedState` that the peer replicates; room: its store."""
    chosen = settings or ApiSettings()
    metrics.sample_status(peer.status)
    metrics.sample_sizes(lambda: _sizes(state, room))
    metrics.sample_queues(lambda: _queue_figures(state, peer))
    ctx = Context(
        peer=peer,
        state=state,
        room=room,
        identity=PeerIdentity(
            version=replicante.__version__,
            python=platform.python_version(),
            pid=os.getpid(),
            started_wall_ms=clock.wall_ms(),
            started_monotonic_ms=clock.monotonic_ms(),
        ),
        settings=chosen,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
        log=log,
        presence=Presence(peer=peer, clock=clock),
        feed=EventFeed(peer=peer, state=state, log=log, streams_max=chosen.streams_max),
        lease_waits=LeaseWaits(peer=peer, state=state, log=log),
        claim_waits=ClaimWaits(peer=peer, state=state, log=log),
        bodies=Bodies(read_ms_max=chosen.body_read_ms_max),
        openapi_json=msgspec.json.encode(openapi_document(ROUTES, version=replicante.__version__)),
    )
    return Api(ctx)


def _sizes(state: StateDoor, room: RoomDoor) -> dict[str, float]:
    """For metrics: counters of one row, and the few consumers."""
    with state.view() as view:
        found = queries.summary(view)
        consumers = consumer_list(view, now=queries.counters(view))
    return {
        "kv_count": found.kv_count,
        "kv_bytes": found.kv_bytes,
        "objects_count": found.objects_count,
        "requests_count": found.requests_count,
        "events_count": found.events.count,
        "events_bytes": found.events.bytes,
        "consumers_count": len(consumers),
        "consumers_expired_count": sum(it.is_expired for it in consumers),
        "consumers_lag_count": max((it.lag_count for it in consumers), default=0),
        "used_fraction": room.used_fraction,
    }


def _queue_figures(state: StateDoor, peer: PeerDoor) -> QueueFigures:
    """For metrics: the first queues by name, and how much is left out."""
    with state.view() as view:
        survey = queue_queries.queue_survey(view, limit=QUEUES_MEASURED_MAX)
    found = survey.items
    now_ms = peer.status().clock_ms
    return QueueFigures(
        moves=state.job_moves(),
        jobs={
            (queue.name, name): count
            for queue in found
            for name, count in (
                ("waiting", queue.row.waiting_count),
                ("ready", queue.row.ready_count),
                ("claimed", queue.row.claimed_count),
                ("dead", queue.row.dead_count),
            )
        },
        oldest_age_ms={
            queue.name: max(0, now_ms - queue.oldest_ready_ms)
            for queue in found
            if queue.oldest_ready_ms is not None
        },
        left_out={
            "jobs": survey.left_out_count,
            "age": survey.left_out_count + survey.ages_left_out_count,
        },
    )
