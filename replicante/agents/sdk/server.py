"""Answers the agent protocol over HTTP. Called by `agent`.

Paths and fields are those of the original's newer generation. Ours beside them: the epoch of every
call, which is on the disk before the call is answered and is repeated in the answer; the cluster
that a call is for; who answers, by the incarnation of what it keeps and by its boot, and whom a
submission is for; the catalogue,
`deadline_time`, `begin_within_ms`, history and cancel of actions; the check `can-stop`.

Rule: an epoch raises the fence only when its call passed every other check. Whoever raises it locks
out all that are below, so it must be somebody who could have acted here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from replicante.agents.sdk.action_store import ActionStore
from replicante.agents.sdk.catalogue import Catalogue
from replicante.agents.sdk.metrics import AgentMetrics
from replicante.agents.sdk.settings import AgentSettings
from replicante.agents.sdk.store import Store, StoreUnavailable
from replicante.agents.sdk.supervision.values import SupervisionFailed, Supervisor
from replicante.agents.sdk.values import KeptAction, Order, Refusal
from replicante.clock import Clock
from replicante.entropy import Entropy
from replicante.limits import (
    AGENT_ACTIONS_KEPT_MS,
    AGENT_REQUEST_BYTES_MAX,
    AGENT_STORE_CALL_MS_MAX,
    INTEGER_MAX,
    NAME_BYTES_MAX,
    SERVICE_GLANCE_MS_MAX,
)
from replicante.model.civil_time import parse_rfc3339_ms
from replicante.model.codec import Value
from replicante.model.node import NodeStatus

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFIX = "/api/unstable"
EPOCH_HEADER = "Replicante-Epoch"
INCARNATION_HEADER = "Replicante-Agent-Incarnation"
BOOT_HEADER = "Replicante-Agent-Boot"
CLUSTER_HEADER = "Replicante-Cluster"
BEGIN_WITHIN = "begin_within_ms"
SERVICE_STATE = "replicante.io/service.state"
SERVICE_DETAIL = "replicante.io/service.detail"
"""Attributes of a node whose store cannot be asked."""


class AgentServer:
    def __init__(
        self,
        *,
        settings: AgentSettings,
        store: Store,
        supervisor: Supervisor | None,
        actions: ActionStore,
        catalogue: Catalogue,
        metrics: AgentMetrics,
        clock: Clock,
        entropy: Entropy,
        wake: Callable[[], None],
    ) -> None:
        """wake: called when there may be something to do."""
        self._settings = settings
        self._store = store
        self._supervisor = supervisor
        self._actions = actions
        self._catalogue = catalogue
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._marks = {INCARNATION_HEADER: actions.incarnation, BOOT_HEADER: entropy.token()}
        self._wake = wake

    def application(self) -> web.Application:
        reads = {
            "info/node": self._node,
            "info/store": self._store_info,
            "info/shards": self._shards,
            "checks/can-stop": self._can_stop,
            "action/{id}": self._action,
            "actions/available": self._available,
            "actions/queue": self._queue,
            "actions/finished": self._finished,
        }
        app = web.Application(middlewares=[self._guarded], client_max_size=AGENT_REQUEST_BYTES_MAX)
        app.add_routes(
            [
                *(web.get(f"{PREFIX}/{path}", self._fenced(read)) for path, read in reads.items()),
                web.post(f"{PREFIX}/action", self._submit),
                web.post(f"{PREFIX}/action/{{id}}/cancel", self._cancel),
                web.get("/metrics", self._scrape),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turns refusals into answers, and tells who answers."""
        try:
            response = await handler(request)
        except Refusal as exc:
            response = _error(exc.status, exc.message)
        except web.HTTPException as exc:
            response = _error(exc.status, exc.reason)
        response.headers.update(self._marks)
        route = request.match_info.route.resource
        name = "none" if route is None else route.canonical
        self._metrics.requests.labels(route=name, status=str(response.status)).inc()
        return response

    def _fenced(self, read: Handler) -> Handler:
        async def fenced(request: web.Request) -> web.StreamResponse:
            told = await self._fence(request)
            response = await read(request)
            response.headers.update(told)
            return response

        return fenced

    async def _fence(self, request: web.Request) -> dict[str, str]:
        """The last check of a call: remembers its epoch; what the answer tells of it. Who takes no
        action from anybody has nothing to fence, and who calls there is not known.

        Raises Refusal."""
        epoch = _epoch_of(request.headers)
        self._expect_ours(request.headers)
        if epoch is None or not self._settings.takes_actions:
            return {}
        await self._actions.raise_epoch(epoch)
        return {EPOCH_HEADER: str(epoch)}

    async def _node(self, _request: web.Request) -> web.Response:
        asked = await self._ask("node", self._store.node)
        said = asked.to_value()
        if asked.node_status is NodeStatus.UNAVAILABLE and self._supervisor is not None:
            said["attributes"] = {**asked.attributes, **await self._service(self._supervisor)}
        version = {"number": self._settings.version, "checkout": "", "taint": ""}
        return _answer({**said, "agent_version": version, "node_id": self._settings.node_id})

    async def _store_info(self, _request: web.Request) -> web.Response:
        return _answer((await self._ask("store", self._store.store)).to_value())

    async def _shards(self, _request: web.Request) -> web.Response:
        shards = await self._ask("shards", self._store.shards)
        return _answer({"shards": [shard.to_value() for shard in shards]})

    async def _can_stop(self, _request: web.Request) -> web.Response:
        return _answer((await self._ask("can_stop", self._store.can_stop)).to_value())

    async def _submit(self, request: web.Request) -> web.Response:
        self._expect_taken()
        self._expect_meant(request.headers)
        order = _order(await _body(request), entropy=self._entropy, clock=self._clock)
        self._catalogue.check(order.kind, order.args)
        told = await self._fence(request)
        now_ms = self._clock.wall_ms()
        await self._actions.submit(order, epoch=_epoch_of(request.headers), now_ms=now_ms)
        self._wake()
        return _answer({"id": order.action_id}, told)

    async def _cancel(self, request: web.Request) -> web.Response:
        self._expect_taken()
        told = await self._fence(request)
        action = await self._actions.cancel(
            request.match_info["id"], epoch=_epoch_of(request.headers), now_ms=self._clock.wall_ms()
        )
        self._wake()
        return _answer(_line(action), told)

    async def _action(self, request: web.Request) -> web.Response:
        found = await self._actions.get(request.match_info["id"])
        if found is None:
            return web.Response(status=404)
        action, history = found
        return _answer(action.to_wire(history))

    async def _available(self, _request: web.Request) -> web.Response:
        return _answer(self._catalogue.to_wire())

    async def _queue(self, _request: web.Request) -> web.Response:
        return _answer({"actions": [_line(item) for item in await self._actions.unfinished()]})

    async def _finished(self, _request: web.Request) -> web.Response:
        return _answer({"actions": [_line(item) for item in await self._actions.finished()]})

    async def _scrape(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), content_type="text/plain")

    async def _service(self, supervisor: Supervisor) -> dict[str, Value]:
        """What a store that cannot be asked is to its supervisor, told beside what its author
        knows of it."""
        try:
            with self._metrics.store_seconds.labels(op="service").time():
                async with asyncio.timeout(SERVICE_GLANCE_MS_MAX / 1_000):
                    found = await supervisor.status()
        except (SupervisionFailed, TimeoutError) as exc:
            self._metrics.store_errors.labels(op="service").inc()
            text = str(exc) or f"no answer within {SERVICE_GLANCE_MS_MAX} ms"
            return {SERVICE_STATE: "unknown", SERVICE_DETAIL: text[:300]}
        return {SERVICE_STATE: str(found.state), SERVICE_DETAIL: found.detail[:300]}

    async def _ask(self, op: str, call: Callable[[], Awaitable[T]]) -> T:
        """Raises Refusal when the store does not answer in time."""
        try:
            with self._metrics.store_seconds.labels(op=op).time():
                async with asyncio.timeout(AGENT_STORE_CALL_MS_MAX / 1_000):
                    return await call()
        except (StoreUnavailable, TimeoutError) as exc:
            self._metrics.store_errors.labels(op=op).inc()
            text = str(exc) or f"no answer within {AGENT_STORE_CALL_MS_MAX} ms"
            raise Refusal(503, f"the store is unavailable: {text}") from exc

    def _expect_meant(self, headers: Mapping[str, str]) -> None:
        """What was sent to another one, as before a disk was lost, may have been done by that."""
        meant = headers.get(INCARNATION_HEADER)
        if meant is not None and meant != self._marks[INCARNATION_HEADER]:
            raise Refusal(421, "it is for another incarnation of this agent")

    def _expect_ours(self, headers: Mapping[str, str]) -> None:
        """A wrong discovery would have the epochs of two clusters meet at one agent."""
        meant, own = headers.get(CLUSTER_HEADER), self._settings.cluster_id
        if meant is not None and own is not None and unquote(meant) != own:
            raise Refusal(421, f"it is the agent of a node of the cluster {own}")

    def _expect_taken(self) -> None:
        if not self._settings.takes_actions:
            raise Refusal(403, "actions are taken over mutual TLS or on this machine only")


def _epoch_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get(EPOCH_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > INTEGER_MAX:
        raise Refusal(400, f"{EPOCH_HEADER} must be an integer of 63 bits")
    return int(text)


async def _body(request: web.Request) -> dict[str, Value]:
    try:
        found = json.loads(await request.read())
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, "the body must be JSON") from exc
    if not isinstance(found, dict):
        raise Refusal(400, "the body must be a map")
    return found


def _order(body: dict[str, Value], *, entropy: Entropy, clock: Clock) -> Order:
    kind, action_id = body.get("kind"), body.get("id")
    if not isinstance(kind, str):
        raise Refusal(400, "kind must be text")
    if action_id is None:
        action_id = entropy.token()
    elif not isinstance(action_id, str) or not 0 < len(action_id.encode()) <= NAME_BYTES_MAX:
        raise Refusal(400, f"id must be text of at most {NAME_BYTES_MAX} bytes")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(it, str) for it in metadata.values()):
        raise Refusal(400, "metadata must be a map of texts")
    created_ms = _time(body, "created_time")
    now_ms = clock.wall_ms()
    return Order(
        action_id=action_id,
        kind=kind,
        args=body.get("args"),
        metadata=metadata,
        created_wall_ms=now_ms if created_ms is None else created_ms,
        deadline_wall_ms=_deadline_ms(body, now_ms=now_ms),
    )


def _deadline_ms(body: Mapping[str, Value], *, now_ms: int) -> int | None:
    """The earlier of a time of day and a duration that counts from now."""
    within_ms = body.get(BEGIN_WITHIN)
    ends = [_time(body, "deadline_time")]
    if within_ms is not None:
        if type(within_ms) is not int or not 0 <= within_ms <= AGENT_ACTIONS_KEPT_MS:
            bound = f"a whole number of milliseconds up to {AGENT_ACTIONS_KEPT_MS}"
            raise Refusal(400, f"{BEGIN_WITHIN} must be {bound}")
        ends.append(now_ms + within_ms)
    return min((it for it in ends if it is not None), default=None)


def _time(body: Mapping[str, Value], name: str) -> int | None:
    text = body.get(name)
    if text is None:
        return None
    found = parse_rfc3339_ms(text) if isinstance(text, str) else None
    if found is None:
        raise Refusal(400, f"{name} must be a time in UTC as RFC 3339 writes it")
    return found


def _line(action: KeptAction) -> dict[str, Value]:
    order = action.order
    return {"id": order.action_id, "kind": order.kind, "phase": str(action.phase)}


def _answer(value: dict[str, Value], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(value, headers=headers)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": True, "error_msg": message}, status=status)
