"""Peers with workers, agents and a platform, all of them at their worst. Not a test file.

    world = await World.run(seed)
    judge(world)

Each peer has a copy of the state of its own, which lags while the peer is cut off; a peer that was
deposed while cut off goes on believing that it leads, and still reaches the agents. Peers are
killed at any point and come back. Messages to agents are slow, are lost, arrive again later, and
outlive the process that sent them. Agents are deaf, mute, lying, refusing, and in some worlds lose
their folders or are two; the platform answers garbage or leaves out most nodes. One loop, one
source of randomness: a seed repeats itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from work_agents import WorldAgents
from work_bench import CLUSTER, FakePlatform
from work_wire import Wire

from replicante import errors
from replicante.agents.protocol import Sent
from replicante.model.action_kinds import SERVICE_RESTART
from replicante.model.action_requests import ActionOn
from replicante.model.actions import NAction, NActionPhase
from replicante.model.codec import encode_value
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import Observation
from replicante.platforms.client import PlatformSays
from replicante.state import record_queries
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.telemetry.logs import silent_logger
from replicante.telemetry.metrics import Metrics
from replicante.testing.builders import (
    BuiltEntry,
    LoneState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)
from replicante.testing.clock import ManualClock
from replicante.testing.fake_agents import Manner
from replicante.testing.fake_peer import FakeProposed
from replicante.workers.doors import Rooms
from replicante.workers.supervisor import Workers

NODES = ("n1", "n2", "n3")
PEERS = ("p1", "p2", "p3")
ACTIONS_MAX = 12
STEPS = 60
CALM_STEPS = 40
_MANNERS = (*[Manner.HONEST] * 4, Manner.DEAF, Manner.MUTE, Manner.LYING, Manner.REFUSING)
_PAUSES_MS = (0, 250, 1_000, 2_500, 10_000, 30_000)
_DELAYS = (0, 0, 0, 0, 0, 1, 3, 40)
_TURNS = (0, 5, 20, 60)
"""Of the loop: what a call takes, and how much happens between two steps."""


class Log(LoneState):
    """What is committed, entry by entry."""

    def __init__(self) -> None:
        self.entries: list[BuiltEntry] = []
        super().__init__()

    def replay(self, entry: BuiltEntry) -> list[bytes]:
        self.entries.append(entry)
        return super().replay(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A submission reached an agent."""

    peer: str
    node_id: str
    action_id: str
    epoch: int
    newest_epoch: int
    """The greatest that this agent had answered to before."""
    was_recorded: bool
    """The log held the intent already."""
    was_ended: bool
    """The log said already that the action had ended."""
    was_taken: bool


class WorldPeer:
    """Fits `doors.PeerDoor`."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.peer_id = name
        self.copy = LoneState()
        self.position = 0
        self.is_leading = False
        self.is_cut = False
        self.workers: Workers | None = None

    @property
    def clock_ms(self) -> int:
        return self.world.log.clock_ms

    def catch_up(self) -> None:
        entries = self.world.log.entries
        while self.position < len(entries):
            self.copy.replay(entries[self.position])
            self.position += 1

    async def propose(self, command: bytes, *, timeout_ms: int) -> FakeProposed:
        await self.world.delay()
        if self.is_cut:
            raise errors.OutcomeUnknown()
        outcome, index = self.world.log.propose(command)
        await self.world.delay()
        if self.is_cut or self.world.happens(0.03):
            # It happened, and the answer was lost.
            raise errors.OutcomeUnknown()
        self.catch_up()
        return FakeProposed(outcome=outcome, index=index)

    async def read_barrier(self, *, timeout_ms: int) -> int:
        await self.world.delay()
        if self.is_cut:
            raise errors.ReadTimeout()
        self.catch_up()
        return self.copy.applied_index

    def start(self) -> None:
        """A new process over the copy that is there."""
        world = self.world
        self.is_leading = False
        self.workers = Workers(
            Rooms(
                peer=self,
                state=self.copy.machine,
                agents=Wire(world, self.peer_id),
                platforms=world.platform,
                clock=world.clock,
                metrics=Metrics(peer_id=self.peer_id, version="test"),
                log=silent_logger(),
            )
        )

    async def kill(self) -> None:
        """No handler of its own goes on, and nothing is given back."""
        if self.workers is None:
            return
        tasks = [*self.workers._running.values(), *self.workers._renewing.values()]
        for task in tasks:
            task.cancel()
        self.is_cut, was_cut = True, self.is_cut
        await asyncio.gather(*tasks, return_exceptions=True)
        self.is_cut = was_cut
        self.workers, self.is_leading = None, False


@dataclass(slots=True)
class World:
    seed: int
    random: random.Random
    agents: WorldAgents
    log: Log = field(default_factory=Log)
    clock: ManualClock = field(default_factory=ManualClock)
    platform: FakePlatform = field(default_factory=FakePlatform)
    peers: dict[str, WorldPeer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    newest_epochs: dict[str, int] = field(default_factory=dict)
    known_nodes: set[str] = field(default_factory=set)
    forgotten_nodes: set[str] = field(default_factory=set)
    """Believed to be gone, on the platform's word alone."""
    is_calm: bool = False
    do_agents_forget: bool = False
    are_agents_doubled: bool = False
    are_epochs_raised: bool = False
    """By strangers: it is nobody's lease that is greater."""
    forgotten: Counter[str] = field(default_factory=Counter)
    """Node → how often its agent lost its folder."""
    messages: set[asyncio.Task[Sent]] = field(default_factory=set)

    @classmethod
    async def run(
        cls,
        seed: int,
        *,
        do_agents_forget: bool = False,
        are_agents_doubled: bool = False,
        are_epochs_raised: bool = False,
        are_agents_marked: bool = True,
    ) -> World:
        """A wild time, and a calm one in which everything can be finished."""
        chance = random.Random(seed)
        world = cls(
            seed=seed,
            random=chance,
            agents=WorldAgents(*NODES, chance=chance, are_marked=are_agents_marked),
            do_agents_forget=do_agents_forget,
            are_agents_doubled=are_agents_doubled,
            are_epochs_raised=are_epochs_raised,
        )
        world.log.do(put_namespace("default"))
        platform = platform_document("p")
        platform["spec"]["discovery"] = {"interval": "20s"}
        world.log.do(put_object(platform))
        spec = {"interval": "10s", "mode": "active", "platform": {"name": "p"}}
        world.log.do(put_object(cluster_document("r", spec=spec)))
        world.platform.names(*NODES)
        world.peers = {name: WorldPeer(world, name) for name in PEERS}
        for peer in world.peers.values():
            peer.start()
        world.peers["p1"].is_leading = True
        for _ in range(STEPS):
            await world.fault()
            await world.step(world.random.choice(_PAUSES_MS))
        await world.calm_down()
        for _ in range(CALM_STEPS):
            await world.step(10_000)
            world.agents.run_actions()
            world.approve()
        await asyncio.gather(*(peer.kill() for peer in world.peers.values()), *world.messages)
        return world

    def happens(self, chance: float) -> bool:
        return not self.is_calm and self.random.random() < chance

    async def delay(self, turns: tuple[int, ...] = _DELAYS) -> None:
        for _ in range(0 if self.is_calm else self.random.choice(turns)):
            await asyncio.sleep(0)

    async def step(self, pause_ms: int) -> None:
        self.log.advance(pause_ms)
        self.clock.advance(pause_ms)
        for peer in self.peers.values():
            if peer.workers is not None:
                peer.workers.start_due()
        for _ in range(max(_TURNS) if self.is_calm else self.random.choice(_TURNS)):
            await asyncio.sleep(0)
        found = record_queries.discovery(self.log.store, *CLUSTER)
        now_known = set() if found is None else {node.node_id for node in found.nodes}
        self.forgotten_nodes |= self.known_nodes - now_known
        self.known_nodes |= now_known

    async def fault(self) -> None:
        if self.do_agents_forget and self.happens(0.15):
            self.forget(self.random.choice(NODES))
        if self.are_agents_doubled and self.happens(0.3):
            change = self.random.choice((self.agents.double, self.agents.unite))
            change(self.random.choice(NODES))
        if self.are_epochs_raised and self.happens(0.2):
            change = self.random.choice((self.agents.overtake, self.forget_epoch))
            change(self.random.choice(NODES))
        if self.happens(0.3):
            self.ask(self.random.choice(NODES))
        if self.happens(0.4):
            return
        peer = self.random.choice(list(self.peers.values()))
        agent = self.random.choice(list(self.agents.agents.values()))
        match self.random.randrange(10):
            case 0:
                await peer.kill()
            case 1:
                if peer.workers is None:
                    peer.start()
            case 2:
                peer.is_cut = True
            case 3:
                self.heal(peer)
            case 4 | 5:
                self.elect()
            case 6:
                agent.manner = self.random.choice(_MANNERS)
                self.agents.restart(agent.node_id)
            case 7:
                agent.run_actions()
            case 8:
                self.misinform()
            case _:
                self.ask(agent.node_id)

    def elect(self) -> None:
        """Whoever is cut off does not hear of it."""
        able = [it for it in self.peers.values() if it.workers is not None and not it.is_cut]
        if not able:
            return
        for peer in self.peers.values():
            peer.is_leading = peer.is_leading and peer.is_cut
        leader = self.random.choice(able)
        leader.catch_up()
        leader.is_leading = True

    def heal(self, peer: WorldPeer) -> None:
        if peer.is_cut:
            peer.is_cut, peer.is_leading = False, False

    def forget(self, node_id: str) -> None:
        self.agents.forget(node_id)
        self.forgotten[node_id] += 1

    def forget_epoch(self, node_id: str) -> None:
        """Nothing that it answered to before is known to it any more."""
        if self.agents.forget_epoch(node_id):
            self.newest_epochs.pop(node_id, None)

    def misinform(self) -> None:
        """The platform is wrong about which nodes there are, or right again."""
        match self.random.randrange(4):
            case 0:
                self.platform.names()
            case 1:
                self.platform.names(NODES[0])
            case 2:
                self.platform.answer = PlatformSays(value={"clusters": "none"})
            case _:
                self.platform.names(*NODES)

    def ask(self, node_id: str) -> None:
        """A person asks for an action."""
        if len(self.asked) >= ACTIONS_MAX:
            return
        action_id = f"00000000-0000-8000-8000-{len(self.asked):012}"
        # Where strangers raise epochs, hardly anything that disturbs would be sent.
        is_restart = len(self.asked) % 3 == 2 and not self.are_epochs_raised
        kind = SERVICE_RESTART if is_restart else "a/b"
        body = {"kind": kind, "args": None, "metadata": {}, "node_id": node_id}
        body["requester"] = "CORE_API"
        names = (*CLUSTER, action_id)
        self.log.do(CreateAction(ActionOn.NODE, names, encode_value(body), True))
        self.asked.append(action_id)

    def approve(self) -> None:
        """Whoever is asked about something approves it."""
        for action_id, action in ((it, self.action(it)) for it in self.asked):
            if action is not None and action.phase is NActionPhase.PENDING_APPROVE:
                names = (*CLUSTER, action.node_id, action_id)
                self.log.do(MoveAction(ActionOn.NODE, names, ActionVerb.APPROVE))

    async def calm_down(self) -> None:
        self.is_calm = True
        self.platform.names(*NODES)
        for agent in self.agents.everyone():
            agent.manner = Manner.HONEST
            self.agents.unite(agent.node_id)
            self.forget_epoch(agent.node_id)
        for peer in self.peers.values():
            self.heal(peer)
            if peer.workers is None:
                peer.start()
        # Nobody leads for a moment, and everybody notices.
        await self.step(0)
        self.elect()

    def send(self, message: Callable[[], Awaitable[Sent]]) -> asyncio.Task[Sent]:
        task = asyncio.ensure_future(message())
        self.messages.add(task)
        task.add_done_callback(self.messages.discard)
        return task

    async def arrive(self, peer: str, action: NAction, node: DiscoveredNode, epoch: int) -> Sent:
        recorded = self.action(action.action_id)
        newest_epoch = self.newest_epochs.get(node.node_id, 0)
        there = {id(it) for it in self.agents.everyone() if action.action_id in it.actions}
        agent, sent = self.agents.arrive(action, node, epoch)
        was_there = id(agent) in there
        was_taken = action.action_id in agent.actions and not was_there
        self.arrivals.append(
            Arrival(
                peer=peer,
                node_id=node.node_id,
                action_id=action.action_id,
                epoch=epoch,
                newest_epoch=newest_epoch,
                was_recorded=recorded is not None and recorded.sent_epoch is not None,
                was_ended=recorded is None or recorded.phase.is_final,
                was_taken=was_taken,
            )
        )
        if was_taken:
            self.hear(node.node_id, epoch)
        return sent

    def delivered(self, peer: str, at_ms: int, found: Observation) -> None:
        """A look reached who asked for it.  at_ms: of all looks of one cycle."""

    def leaves(self, peer: str, action: NAction) -> None:
        """A submission left its peer."""

    def hear(self, node_id: str, epoch: int) -> None:
        self.newest_epochs[node_id] = max(epoch, self.newest_epochs.get(node_id, 0))

    def action(self, action_id: str) -> NAction | None:
        found = record_queries.action_get(self.log.store, ActionOn.NODE, *CLUSTER, action_id)
        assert found is None or isinstance(found.action, NAction)
        return None if found is None else found.action
