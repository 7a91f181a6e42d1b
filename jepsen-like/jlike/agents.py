"""Agents of data store nodes that do not exist: they keep an epoch and a list of actions, and tell.

Run by `jlike.workload.orchestration`. An agent does as the protocol of agents says: it repeats the
epoch of each call, refuses a call whose epoch is lower than one that it knows (412), takes an
action once under its id, carries it out, and keeps what came of it. Its network is bad on purpose:
orders arrive late, answers get lost, and at times it is away. What it did is told at the instant of
doing it. Questions are told only when they raise the epoch: each cycle asks many.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jlike import serve
from jlike.history import Value

HOST = "127.0.0.1"
PREFIX = "/api/unstable"
EPOCH = "replicante-epoch"
LATE_S = 3.0
"""Longer than a peer is paused, or a leader is missed."""
LATE_SHARE = 0.3
LOST_SHARE = 0.15
WORK_S = 0.5
TIME = "2000-01-01T00:00:00Z"
Tell = Callable[[str, Value], None]
"""(what was done, its facts)."""


@dataclass(slots=True, kw_only=True)
class Agent:
    """caller: the connection of a call → the peer that called, empty when nobody knows."""

    node_id: str
    cluster_id: str
    tell: Tell
    caller: Callable[[asyncio.StreamWriter], str]
    chance: random.Random
    epoch: int = 0
    actions: dict[str, Value] = field(default_factory=dict)
    address: str = ""
    is_away: bool = False
    """Nobody is heard or answered; what was taken goes on."""
    _server: asyncio.Server | None = None
    _work: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.address = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One call a connection."""
        if self.is_away:
            writer.close()
            return
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                caller = self.caller(writer)
                method, path, headers, body = await serve.request(reader)
                is_order = method == "POST"
                if is_order and self.chance.random() < LATE_SHARE:
                    await asyncio.sleep(self.chance.uniform(0, LATE_S))
                status, answer = self.answer(method, path, headers, body, caller=caller)
                if is_order and self.chance.random() < LOST_SHARE:
                    return
                writer.write(serve.response(status, answer, {EPOCH: headers.get(EPOCH, "")}))
                await writer.drain()
        finally:
            writer.close()

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: Value, *, caller: str
    ) -> tuple[int, Value]:
        """Judges the epoch before all else; decides and tells without a pause in between."""
        place = path.removeprefix(PREFIX)
        epoch = int(headers.get(EPOCH) or -1)
        if epoch < self.epoch:
            self.tell("refuse", [self.node_id, epoch, caller, place])
            return 412, {"error": "a greater epoch is known"}
        is_new, self.epoch = epoch > self.epoch, epoch
        if method == "GET":
            if is_new:
                self.tell("look", [self.node_id, epoch, caller])
            return self._look(place)
        if place == "/action":
            return self._take(body, epoch=epoch, caller=caller)
        return 404, {"error": "not known"}

    def _take(self, order: Value, *, epoch: int, caller: str) -> tuple[int, Value]:
        action_id = order["id"]
        self.tell("obey", [self.node_id, epoch, caller, action_id, order["kind"], order["args"]])
        if action_id in self.actions:
            return 409, {"error": "it is here already"}
        self.actions[action_id] = {
            **{name: order[name] for name in ("id", "kind", "args", "metadata", "created_time")},
            "state": {"phase": "NEW"},
            "scheduled_time": TIME,
            "finished_time": None,
        }
        task = asyncio.get_running_loop().create_task(self._carry_out(action_id))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return 200, {"id": action_id}

    async def _carry_out(self, action_id: str) -> None:
        await asyncio.sleep(self.chance.uniform(0, WORK_S))
        self.actions[action_id]["state"] = {"phase": "RUNNING"}
        await asyncio.sleep(self.chance.uniform(0, WORK_S))
        self.tell("carry", [self.node_id, action_id])
        self.actions[action_id] |= {"state": {"phase": "DONE"}, "finished_time": TIME}

    def _look(self, place: str) -> tuple[int, Value]:
        ended = {it: found["state"]["phase"] == "DONE" for it, found in self.actions.items()}
        match place:
            case "/info/node":
                return 200, {"node_id": self.node_id, "node_status": "HEALTHY", "store_id": "jlike"}
            case "/info/store":
                return 200, {"cluster_id": self.cluster_id, "attributes": {}}
            case "/info/shards":
                shard = {"shard_id": "0", "role": "primary", "commit_offset": {"value": 1}}
                return 200, {"shards": [shard]}
            case "/actions/queue":
                return 200, {
                    "actions": [{"id": it} for it, is_over in ended.items() if not is_over]
                }
            case "/actions/finished":
                return 200, {"actions": [{"id": it} for it, is_over in ended.items() if is_over]}
            case _:
                found = self.actions.get(place.removeprefix("/action/"))
                return (404, {"error": "not known"}) if found is None else (200, found)
