"""Agents of a simulated world: restarted, robbed of their folders, answered for by two, raised
by strangers. Not a test file."""

from __future__ import annotations

import random

from replicante.agents.protocol import Look, Sent
from replicante.model.actions import NAction
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import Observation
from replicante.testing.fake_agents import FakeAgent, FakeAgents

STRANGER = 1 << 62


class WorldAgents(FakeAgents):
    """`agents` holds, for each node, the process that answered last."""

    def __init__(self, *node_ids: str, chance: random.Random, are_marked: bool) -> None:
        """are_marked: they tell who they are; else they are as those of the original."""
        super().__init__(*map(FakeAgent, node_ids))
        self.chance = chance
        self.are_marked = are_marked
        self.marks_count = 0
        self.living = {node_id: [agent] for node_id, agent in self.agents.items()}
        self.dead: list[FakeAgent] = []
        for agent in self.agents.values():
            self._new_folder(agent)

    def everyone(self) -> list[FakeAgent]:
        """Of every node, those that were ended too."""
        return [*(it for living in self.living.values() for it in living), *self.dead]

    def run_actions(self) -> None:
        for living in self.living.values():
            for agent in living:
                agent.run_actions()

    def restart(self, node_id: str) -> None:
        """Its folder stays."""
        agent = self.chance.choice(self.living[node_id])
        agent.boot = self._mark("boot")

    def forget(self, node_id: str) -> None:
        """Its list of actions and its epoch are on one disk."""
        agent = self.chance.choice(self.living[node_id])
        agent.actions.clear()
        agent.epoch = 0
        self._new_folder(agent)

    def overtake(self, node_id: str) -> None:
        """Somebody calls it who knows no better, with an epoch above all of ours."""
        self.chance.choice(self.living[node_id]).epoch = STRANGER

    def forget_epoch(self, node_id: str) -> bool:
        """A person has it obey again, if a stranger raised it: it is another incarnation then."""
        raised = [it for it in self.living[node_id] if it.epoch == STRANGER]
        for agent in raised:
            agent.epoch = 0
            self._new_folder(agent)
        return bool(raised)

    def double(self, node_id: str) -> None:
        """Another process answers too, over a folder of its own."""
        if len(self.living[node_id]) == 1:
            second = FakeAgent(node_id)
            self._new_folder(second)
            self.living[node_id].append(second)

    def unite(self, node_id: str) -> None:
        """One of two ends, whichever."""
        living = self.living[node_id]
        if len(living) > 1:
            self.dead.append(living.pop(self.chance.randrange(2)))
            self.agents[node_id] = living[0]

    async def look(self, ask: Look, *, ca_bundle: str | None) -> Observation:
        self._choose(ask.node.node_id)
        return await super().look(ask, ca_bundle=ca_bundle)

    def arrive(self, action: NAction, node: DiscoveredNode, epoch: int) -> tuple[FakeAgent, Sent]:
        """Who got it, and what that one says."""
        self._choose(node.node_id)
        return self.agents[node.node_id], self._submit(action, node, epoch)

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None:
        self._choose(node.node_id)
        await super().cancel(action, node, epoch=epoch, ca_bundle=ca_bundle)

    def _choose(self, node_id: str) -> None:
        living = self.living[node_id]
        self.agents[node_id] = living[0] if len(living) == 1 else self.chance.choice(living)

    def _new_folder(self, agent: FakeAgent) -> None:
        agent.incarnation, agent.boot = self._mark("folder"), self._mark("boot")

    def _mark(self, what: str) -> str | None:
        if not self.are_marked:
            return None
        self.marks_count += 1
        return f"{what}{self.marks_count}"
