"""The way from a peer of a simulated world to the agents: slow, lossy, echoing. Not a test file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from replicante.agents.protocol import Look, SendAnswer, Sent
from replicante.model.actions import NAction
from replicante.model.discovery import DiscoveredNode
from replicante.model.observation import AgentAnswer, Observation

if TYPE_CHECKING:
    from work_world import World

_HOLD_UPS = (0, 0, 50, 200, 500)
"""Turns of the loop for which the network may hold a submission up."""


class Wire:
    """The way of one peer to the agents. Fits `doors.AgentDoor`."""

    def __init__(self, world: World, peer: str) -> None:
        self.world = world
        self.peer = peer

    async def look(self, ask: Look, *, ca_bundle: str | None) -> Observation:
        await self.world.delay()
        found = await self.world.agents.look(ask, ca_bundle=ca_bundle)
        if found.answer is AgentAnswer.ANSWERED:
            self.world.hear(ask.node.node_id, ask.epoch)
        await self.world.delay()
        if self.world.happens(0.05):
            return Observation(node_id=found.node_id, at_ms=ask.at_ms, answer=AgentAnswer.TIMEOUT)
        self.world.delivered(self.peer, ask.at_ms, found)
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
        self.world.leaves(self.peer, action)

        async def arrive() -> Sent:
            await self.world.delay(_HOLD_UPS)
            return await self.world.arrive(self.peer, action, node, epoch)

        if self.world.happens(0.4):
            self.world.send(arrive)
        # Once on its way it arrives, whatever becomes of its sender.
        sent = await asyncio.shield(self.world.send(arrive))
        await self.world.delay()
        if self.world.happens(0.15):
            return Sent(answer=SendAnswer.UNKNOWN, message="the answer was lost")
        return sent

    async def cancel(
        self, action: NAction, node: DiscoveredNode, *, epoch: int, ca_bundle: str | None
    ) -> None:
        await self.world.delay()
        await self.world.agents.cancel(action, node, epoch=epoch, ca_bundle=ca_bundle)
