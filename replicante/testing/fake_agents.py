"""Agents without processes: each keeps its epoch and its actions, and can be told to misbehave.

For tests of the workers. Fits `workers.doors.AgentDoor`; an agent that is told nothing keeps every
promise of the protocol.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from replicante.agents.protocol import Look, SendAnswer, Sent
from replicante.model.actions import NAction
from replicante.model.discovery import DiscoveredNode
from replicante.model.node import NodeDetails, NodeStatus
from replicante.model.observation import (
    AgentAnswer,
    Observation,
    SeenAction,
    SeenNode,
    SeenPhase,
    SeenShard,
)
from replicante.model.shard import Offset, ShardRole


class Manner(enum.Enum):
    """How an agent misbehaves from now on."""

    HONEST = "honest"
    DEAF = "deaf"
    """Answers nothing; what it is sent it does not get."""
    MUTE = "mute"
    """Gets what it is sent and answers nothing."""
    REFUSING = "refusing"
    """Takes no action."""
    LYING = "lying"
    """Speaks for another node."""
    FORGETFUL = "forgetful"
    """Has lost its actions and says so."""


_SHARDS = (SeenShard(shard_id="0", role=ShardRole.PRIMARY, commit_offset=Offset(value=1)),)


@dataclass(slots=True)
class FakeAgent:
    node_id: str
    status: NodeStatus = NodeStatus.HEALTHY
    manner: Manner = Manner.HONEST
    shards: tuple[SeenShard, ...] = _SHARDS
    is_fenced: bool = True
    """It repeats the epoch of a call."""
    epoch: int = 0
    """The greatest that it ever saw."""
    incarnation: str | None = None
    boot: str | None = None
    """None: it tells neither, as an agent of the original."""
    actions: dict[str, SeenAction] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    """Ids of the actions that it carried out, as often as it did."""
    told_within_ms: list[int | None] = field(default_factory=list)
    """In what time each submission was to begin, whatever became of it."""
    calls_count: int = 0

    def run_actions(self) -> None:
        """Ends everything that waits."""
        for action_id, action in self.actions.items():
            if action.phase in (SeenPhase.NEW, SeenPhase.RUNNING):
                self.effects.append(action_id)
                self.actions[action_id] = _in_phase(action, SeenPhase.DONE)


class FakeAgents:
    """All agents of a test, by node id; of one cluster. step: called before each call and after
    it, so that a test may stop the world there."""

    def __init__(self, *agents: FakeAgent, step: Callable[[str], None] = lambda _: None) -> None:
        self.agents = {agent.node_id: agent for agent in agents}
        self.step = step

    async def look(self, ask: Look, *, ca_bundle: str | None) -> Observation:
        self.step("before look")
        await asyncio.sleep(0)
        found = self._look(ask)
        self.step("after look")
        return found

    async def submit(
        self,
        action: NAction,
        node: DiscoveredNode,
        *,
        epoch: int,
        begin_within_ms: int | None,
        ca_bundle: str | None,
    ) -> Sent:
        self.step("before submit")
        self.agents[node.node_id].told_within_ms.append(begin_within_ms)
        await asyncio.sleep(0)
        sent = self._submit(action, node, epoch)
        self.step("after submit")
        return sent

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None:
        self.step("before cancel")
        agent = self.agents[node.node_id]
        known = agent.actions.get(action.action_id)
        if agent.manner is Manner.HONEST and epoch >= agent.epoch and known is not None:
            agent.actions[action.action_id] = _in_phase(known, SeenPhase.CANCELLED)

    def _look(self, ask: Look) -> Observation:
        agent = self.agents[ask.node.node_id]
        agent.calls_count += 1
        nothing = Observation(node_id=ask.node.node_id, at_ms=ask.at_ms, answer=AgentAnswer.TIMEOUT)
        if agent.manner in (Manner.DEAF, Manner.MUTE):
            return nothing
        if agent.manner is Manner.LYING:
            return _replaced(nothing, answer=AgentAnswer.WRONG_IDS)
        if ask.epoch < agent.epoch:
            return _replaced(nothing, answer=AgentAnswer.STALE_EPOCH)
        agent.epoch = ask.epoch
        if agent.manner is Manner.FORGETFUL:
            agent.actions.clear()
        waiting = (SeenPhase.NEW, SeenPhase.RUNNING)
        queue = tuple(it.action_id for it in agent.actions.values() if it.phase in waiting)
        finished = tuple(it for it in agent.actions if it not in queue)
        history = finished if ask.is_history_wanted else ()
        asked = dict.fromkeys((*ask.wanted, *queue, *history))
        return Observation(
            node_id=ask.node.node_id,
            at_ms=ask.at_ms,
            answer=AgentAnswer.ANSWERED,
            is_fenced=agent.is_fenced,
            node=SeenNode(status=agent.status, details=NodeDetails(store_id="fake")),
            store_attributes={},
            shards=agent.shards,
            queue=queue,
            finished=finished,
            actions=tuple(
                agent.actions[it]
                for it in asked
                if it in agent.actions and (it in ask.wanted or it not in ask.settled)
            ),
            unknown_actions=tuple(it for it in asked if it not in agent.actions),
            incarnations=() if agent.incarnation is None else (agent.incarnation,),
            boots=() if agent.boot is None else (agent.boot,),
        )

    def _submit(self, action: NAction, node: DiscoveredNode, epoch: int) -> Sent:
        agent = self.agents[node.node_id]
        agent.calls_count += 1
        if agent.manner in (Manner.DEAF, Manner.LYING):
            return Sent(answer=SendAnswer.UNKNOWN, message="no answer in time")
        if agent.manner is Manner.REFUSING:
            return Sent(answer=SendAnswer.REFUSED, message="status 400: no such kind")
        if agent.incarnation is not None and action.sent_to not in (None, agent.incarnation):
            return Sent(answer=SendAnswer.REFUSED, message="status 421: for another incarnation")
        if epoch < agent.epoch:
            return Sent(answer=SendAnswer.STALE_EPOCH, message="it knows a greater epoch")
        agent.epoch = epoch
        if action.action_id not in agent.actions:
            agent.actions[action.action_id] = SeenAction(
                action_id=action.action_id,
                kind=action.kind,
                phase=SeenPhase.NEW,
                args=action.args,
                metadata=action.metadata,
                created_wall_ms=action.created_wall_ms,
            )
        if agent.manner is Manner.MUTE:
            return Sent(answer=SendAnswer.UNKNOWN, message="no answer in time")
        return Sent(answer=SendAnswer.TAKEN)


def _in_phase(action: SeenAction, phase: SeenPhase) -> SeenAction:
    return SeenAction.from_value({**action.to_value(), "phase": str(phase)})


def _replaced(observation: Observation, *, answer: AgentAnswer) -> Observation:
    return Observation(
        node_id=observation.node_id, at_ms=observation.at_ms, answer=answer, message="on purpose"
    )
