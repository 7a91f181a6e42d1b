"""Workers over a replicated store at its worst: servers, machines, links and peers fail together.
Not a test file.

    world = await StoreWorld.run_stores(seed)
    judge(world)

Half of the worlds declare `protect_writes` and have every fault; in the others only the processes
of servers fail, because a primary without protection that is cut off with its clients takes writes
whatever anybody decides.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from store_nodes import Server, Stores
from work_agents import WorldAgents
from work_bench import CLUSTER
from work_world import NODES, PEERS, World, WorldPeer

from replicante.agents.protocol import Look
from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.actions import NAction
from replicante.model.observation import AgentAnswer, Observation, SeenAction, SeenPhase
from replicante.model.shard import ShardRole, Sight
from replicante.state import record_queries
from replicante.testing.builders import (
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)
from replicante.testing.fake_agents import FakeAgent, Manner

LOSS_MAX = 2
QUIET_MS = 120_000
STEPS = 110
CALM_STEPS = 60
_PAUSES_MS = (0, 250, 1_000, 1_000, 2_500, 10_000)


class StoreAgents(WorldAgents):
    """Each tells what its server is, and changes it."""

    def __init__(self, stores: Stores, chance: random.Random) -> None:
        super().__init__(*NODES, chance=chance, are_marked=True)
        self.stores = stores

    def _look(self, ask: Look) -> Observation:
        found = super()._look(ask)
        if found.answer is not AgentAnswer.ANSWERED:
            return found
        shards = self.stores.shards(found.node_id)
        values = {
            **found.to_value(),
            "node": self.stores.node(found.node_id).to_value(),
            "shards": None if shards is None else [it.to_value() for it in shards],
            "store_attributes": self.stores.attributes(found.node_id),
        }
        return Observation.from_value(values)

    def run_actions(self) -> None:
        for living in self.living.values():
            for agent in living:
                self._run(agent)

    def _run(self, agent: FakeAgent) -> None:
        """One action, the oldest."""
        waiting = (SeenPhase.NEW, SeenPhase.RUNNING)
        action = next((it for it in agent.actions.values() if it.phase in waiting), None)
        if action is not None:
            is_done = self.stores.carry_out(agent.node_id, action)
            agent.effects.append(action.action_id)
            phase = SeenPhase.DONE if is_done else SeenPhase.FAILED
            ended = {**action.to_value(), "phase": str(phase)}
            agent.actions[action.action_id] = SeenAction.from_value(ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One that left for its agent."""

    action_id: str
    peer: str
    at_ms: int
    loss: int
    """What was ever recorded of the history of the copy, beyond what it has."""
    is_primary_seen: bool
    """In the looks that it was decided on, the old primary or one of its copies spoke for it."""


@dataclass(slots=True)
class StoreWorld(World):
    stores: Stores = field(default_factory=lambda: Stores("n1", chance=random.Random()))
    is_protecting: bool = True
    seen_up: dict[str, tuple[int, set[str]]] = field(default_factory=dict)
    """Peer → the clock of its last looks, and the primaries that they were told of."""
    promotions: list[Promotion] = field(default_factory=list)
    recorded: Counter[str | None] = field(default_factory=Counter)
    """History → the greatest offset in it that was ever recorded."""
    hung: set[str] = field(default_factory=set)

    @classmethod
    async def begin(cls, seed: int) -> StoreWorld:
        """In a calm time, with everybody well."""
        chance, is_protecting = random.Random(seed), seed % 2 == 1
        stores = Stores(*NODES, chance=chance)
        world = cls(
            seed=seed,
            random=chance,
            agents=StoreAgents(stores, chance),
            stores=stores,
            is_protecting=is_protecting,
        )
        world.declare()
        world.is_calm = True
        for _ in range(12):
            await world.pass_time(5_000)
        return world

    @classmethod
    async def run_stores(cls, seed: int) -> StoreWorld:
        world = await cls.begin(seed)
        world.is_calm = False
        for _ in range(STEPS):
            await world.store_fault()
            await world.pass_time(world.random.choice(_PAUSES_MS))
        await world.calm_stores()
        for _ in range(CALM_STEPS):
            await world.pass_time(10_000)
        await world.end()
        return world

    async def end(self) -> None:
        await asyncio.gather(*(peer.kill() for peer in self.peers.values()), *self.messages)

    def declare(self) -> None:
        self.log.do(put_namespace("default"))
        platform = platform_document("p")
        platform["spec"]["discovery"] = {"interval": "20s"}
        self.log.do(put_object(platform))
        policies = {
            "data_loss_offset": LOSS_MAX,
            "quiet_period": f"{QUIET_MS // 1_000}s",
            "protect_writes": self.is_protecting,
        }
        declaration = {"policies": policies}
        spec = {"interval": "5s", "mode": "active", "platform": {"name": "p"}}
        self.log.do(put_object(cluster_document("r", spec={**spec, "declaration": declaration})))
        self.platform.names(*NODES)
        self.peers = {name: WorldPeer(self, name) for name in PEERS}
        for peer in self.peers.values():
            peer.start()
        self.elect()

    async def pass_time(self, pause_ms: int) -> None:
        self.stores.tick()
        await self.step(pause_ms)
        for shard in record_queries.cluster_records(self.log.store, *CLUSTER).shards:
            offset = 0 if shard.commit_offset is None else shard.commit_offset.value
            self.recorded[shard.history_id] = max(offset, self.recorded[shard.history_id])
        self.stores.tick()
        if self.is_calm or self.happens(0.6):
            self.agents.run_actions()
        self.stores.tick()

    async def store_fault(self) -> None:
        if self.happens(0.35):
            await self.peer_fault()
        if self.happens(0.7):
            return
        servers = list(self.stores.servers.values())
        ill = [it for it in servers if not it.answers or it.node_id in self.hung]
        server = self.random.choice(ill or servers)
        if self.happens(0.4) and self.stores.primaries():
            server = self.stores.primaries()[0]
        if ill and self.happens(0.25):
            self.repair(self.random.choice(ill))
            return
        match self.random.randrange(9 if self.is_protecting else 6):
            case 0:
                self.stores.kill(server)
            case 1:
                self.stores.stop(server)
            case 2 | 3:
                self.repair(server)
            case 4:
                self.stores.come_back(server)
            case 5:
                self.stores.slow_down(self.random.choice(servers))
            case 6:
                other = self.random.choice(list(self.stores.servers.values()))
                self.stores.cut(server, other)
            case 7:
                self.agents.agents[server.node_id].manner = Manner.DEAF
            case _:
                self.hang(server)

    def repair(self, server: Server) -> None:
        self.stores.go_on(server)
        self.stores.heal()
        self.agents.agents[server.node_id].manner = Manner.HONEST
        if server.node_id in self.hung:
            # An agent that stood still has its server ask for a copy before it thinks (ADR 0068).
            server.is_protected = True
            self.hung.discard(server.node_id)

    def hang(self, server: Server) -> None:
        """The whole machine stands still."""
        self.stores.stop(server)
        self.agents.agents[server.node_id].manner = Manner.DEAF
        self.hung.add(server.node_id)

    async def peer_fault(self) -> None:
        peer = self.random.choice(list(self.peers.values()))
        match self.random.randrange(5):
            case 0:
                await peer.kill()
            case 1:
                if peer.workers is None:
                    peer.start()
            case 2:
                peer.is_cut = True
            case 3:
                self.heal(peer)
            case _:
                self.elect()

    async def calm_stores(self) -> None:
        for server in self.stores.servers.values():
            self.repair(server)
            self.stores.come_back(server)
            server.behind = 0
        await self.calm_down()

    def delivered(self, peer: str, at_ms: int, found: Observation) -> None:
        """What a look told of primaries, as its cycle will know it."""
        newest_ms, seen = self.seen_up.get(peer, (-1, set()))
        if newest_ms != at_ms:
            seen = set()
        for shard in found.shards or ():
            if shard.role is ShardRole.PRIMARY:
                seen.add(found.node_id)
            elif shard.upstream is not None and shard.upstream.sight is Sight.UP:
                seen.add(str(shard.upstream.address).partition(":")[0])
        self.seen_up[peer] = (at_ms, seen)

    def leaves(self, peer: str, action: NAction) -> None:
        if action.kind != STORE_PROMOTE:
            return
        args = action.args if isinstance(action.args, dict) else {}
        records = record_queries.cluster_records(self.log.store, *CLUSTER)
        own = next(it for it in records.shards if it.node_id == action.node_id)
        # One that is sent again may have read on since it was chosen.
        has = max(int(args["offset"]), 0 if own.commit_offset is None else own.commit_offset.value)
        _, seen = self.seen_up.get(peer, (0, set()))
        self.promotions.append(
            Promotion(
                action_id=action.action_id,
                peer=peer,
                at_ms=self.log.clock_ms,
                loss=self.recorded[own.history_id] - has,
                is_primary_seen=args["replaces"] in seen,
            )
        )
