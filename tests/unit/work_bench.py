"""A control plane with workers over fake agents, that may crash at any step. Not a test file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from replicante.model.action_requests import ActionOn
from replicante.model.codec import encode_value
from replicante.model.discovery import ClusterDiscovery
from replicante.platforms.client import PlatformSays
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.fences import Fence, FenceOn
from replicante.telemetry.logs import silent_logger
from replicante.telemetry.metrics import Metrics
from replicante.testing.builders import (
    LoneState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)
from replicante.testing.clock import ManualClock
from replicante.testing.fake_agents import FakeAgent, FakeAgents
from replicante.testing.fake_peer import FakePeer
from replicante.workers.doors import AgentDoor, Rooms
from replicante.workers.supervisor import Workers

CLUSTER = ("default", "r")
PLATFORM = ("default", "p")
TARGET = (FenceOn.CLUSTER, *CLUSTER)


class Crash(asyncio.CancelledError):
    """The process ends here: no handler of its own goes on."""


class WorkPeer:
    """A FakePeer as the workers see it: `step` is called before and after each of its calls."""

    def __init__(self, peer: FakePeer, name: str, step: Callable[[str], None]) -> None:
        self.peer = peer
        self.peer_id = name
        self.is_leading = True
        self.step = step

    async def propose(self, command: bytes, *, timeout_ms: int):
        self.step("before propose")
        proposed = await self.peer.propose(command, timeout_ms=timeout_ms)
        self.step("after propose")
        return proposed

    async def read_barrier(self, *, timeout_ms: int) -> int:
        self.step("before barrier")
        return await self.peer.read_barrier(timeout_ms=timeout_ms)

    @property
    def clock_ms(self) -> int:
        return self.peer.lone.clock_ms


class FakePlatform:
    """answer: what `/discover` gives. calls: ids of what it was asked to make or remove."""

    def __init__(self) -> None:
        self.answer = PlatformSays(value={"clusters": []})
        self.calls: list[str] = []
        self.asked_count = 0

    def names(self, *node_ids: str, cluster: str = "r", address: str | None = None) -> None:
        """address: of all their agents; None: one that only fakes answer."""
        nodes = [
            {
                "agent_address": address or f"http://127.0.0.1/{it}",
                "node_class": "x",
                "node_id": it,
            }
            for it in node_ids
        ]
        self.answer = PlatformSays(value={"clusters": [{"cluster_id": cluster, "nodes": nodes}]})

    async def discover(self, platform) -> PlatformSays:
        self.asked_count += 1
        return self.answer

    async def carry_out(self, platform, call) -> PlatformSays:
        self.calls.append(call.action_id)
        return PlatformSays(value={"count": 1})


class WorkBench:
    """One state; any number of workers that come and go."""

    def __init__(self, *agents: FakeAgent, mode: str = "active") -> None:
        self.lone = LoneState()
        self.peer = FakePeer(self.lone)
        self.clock = ManualClock()
        self.steps: list[str] = []
        self.crash_at: int | None = None
        self.agents = FakeAgents(*agents, step=self.step)
        self.platform = FakePlatform()
        self.platform.names(*self.agents.agents)
        self.lone.do(put_namespace("default"))
        self.lone.do(put_object(platform_document("p")))
        self.declare("r", mode=mode)
        self.workers = self.new_workers()

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.crash_at is not None and len(self.steps) > self.crash_at:
            raise Crash(name)

    def new_workers(self, name: str = "p1") -> Workers:
        self.view = WorkPeer(self.peer, name, self.step)
        metrics = Metrics(peer_id=name, version="test")
        if name == "p1":
            self.metrics = metrics
        return Workers(
            Rooms(
                peer=self.view,
                state=self.lone.machine,
                agents=self.agents,
                platforms=self.platform,
                clock=self.clock,
                metrics=metrics,
                log=silent_logger(),
            )
        )

    def declare(self, cluster: str, *, mode: str = "active") -> None:
        spec = {"interval": "10s", "mode": mode, "platform": {"name": "p"}}
        self.lone.do(put_object(cluster_document(cluster, spec=spec)))

    def use_agents(self, agents: AgentDoor) -> None:
        """In the place of the fakes, for workers that begin now."""
        self.agents = agents
        self.workers = self.new_workers()

    def counted(self, result: str, *, kind: str = "orchestrate") -> float:
        """Cycles of the first worker that ended so."""
        labels = {"kind": kind, "result": result}
        return self.metrics.registry.get_sample_value("replicante_work_total", labels) or 0.0

    def pass_time(self, ms: int) -> None:
        self.lone.advance(ms)
        self.clock.advance(ms)

    async def turn(self, workers: Workers | None = None, *, ms: int = 10_000) -> int:
        """Time passes, and everything that is due is done."""
        self.pass_time(ms)
        chosen = workers or self.workers
        started = chosen.start_due()
        await chosen.settle()
        return started

    async def settle_renewals(self) -> None:
        while self.workers._renewing:
            await asyncio.wait(self.workers._renewing.values())

    async def never(self) -> None:
        await asyncio.Event().wait()

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await self.turn()

    def ask(
        self, action_id: str, node_id: str = "n1", kind: str = "a/b", *, cluster: str = "r"
    ) -> None:
        body = {"kind": kind, "args": None, "metadata": {}, "node_id": node_id}
        body["requester"] = "CORE_API"
        names = ("default", cluster, action_id)
        self.lone.do(CreateAction(ActionOn.NODE, names, encode_value(body), True))

    async def take_away(self, action_id: str, node_id: str) -> None:
        """A person asks the platform for it, is asked about it, and approves."""
        kind = "core.replicante.io/platform.deprovision"
        body = {"kind": kind, "args": {"node_id": node_id}, "metadata": {}}
        names = (*CLUSTER, action_id)
        self.lone.do(CreateAction(ActionOn.CLUSTER, names, encode_value(body), True))
        await self.turn()
        self.lone.do(MoveAction(ActionOn.CLUSTER, names, ActionVerb.APPROVE))

    def action(self, action_id: str, *, cluster: str = "r"):
        names = ("default", cluster, action_id)
        found = record_queries.action_get(self.lone.store, ActionOn.NODE, *names)
        return None if found is None else found.action

    def oaction(self, action_id: str):
        on = ActionOn.CLUSTER
        found = record_queries.action_get(self.lone.store, on, *CLUSTER, action_id)
        return None if found is None else found.action

    def report_of(self, cluster: str):
        return record_queries.report(self.lone.store, "default", cluster)

    def records(self):
        return record_queries.cluster_records(self.lone.store, *CLUSTER)

    def discovery(self) -> ClusterDiscovery | None:
        return record_queries.discovery(self.lone.store, *CLUSTER)

    def decision(self):
        return record_queries.decisions(self.lone.store, *CLUSTER)[-1]

    def events(self):
        return queries.events_after(self.lone.store, 0, limit=1_000).items

    def codes(self) -> list[str]:
        return [event.code for event in self.events()]

    def all_codes(self) -> list[str]:
        """Of a history that one page does not hold."""
        codes: list[str] = []
        after = 0
        while items := queries.events_after(self.lone.store, after, limit=1_000).items:
            codes += [event.code for event in items]
            after = items[-1].id
        return codes

    def fence(self, token: int) -> Fence:
        return Fence(FenceOn.CLUSTER, *CLUSTER, token)
