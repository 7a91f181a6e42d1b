"""Looks at all agents of a cluster at once, within a time limit each. Called by `orchestrate_job`.

A silent agent costs its own cluster a wait and nobody else anything. It is waited for briefly from
then on, and still looked at in every cycle: evidence is never older than its cycle, and the return
of an agent is seen at once. Now and then it is waited for as long as before, or one that only
became slow would be silent for ever.
"""

from __future__ import annotations

import asyncio

from replicante.agents.protocol import Look
from replicante.limits import (
    ACTIONS_ENDED_KEPT_MAX,
    AGENT_CALL_MS_MAX,
    AGENT_SILENCES_FULL_EVERY,
    AGENT_SILENCES_MAX,
    AGENT_SUSPECT_MS_MAX,
)
from replicante.model.observation import AgentAnswer, Observation
from replicante.orchestrate.gathering import actions_to_ask
from replicante.state.record_queries import ClusterRecords
from replicante.workers.doors import AgentDoor

_SILENT = (AgentAnswer.TIMEOUT, AgentAnswer.UNREACHABLE)


class Gatherer:
    """One a peer: it remembers who was silent."""

    def __init__(self, agents: AgentDoor) -> None:
        self._agents = agents
        self._silences: dict[tuple[str, str, str], int] = {}
        """Namespace, cluster, node → looks in a row without an answer."""

    async def gather(
        self, records: ClusterRecords, *, epoch: int, at_ms: int, ca_bundle: str | None
    ) -> tuple[Observation, ...]:
        """One observation a discovered node, in the order of the discovery."""
        discovery = records.discovery
        if discovery is None:
            return ()
        scope = (discovery.ns_id, discovery.cluster_id)
        wanted = actions_to_ask(records.nactions, records.state)
        self._forget(scope, {node.node_id for node in discovery.nodes})
        asks = [
            Look(
                cluster_id=discovery.cluster_id,
                node=node,
                epoch=epoch,
                at_ms=at_ms,
                limit_ms=self._limit_ms((*scope, node.node_id)),
                is_suspect=self._is_suspect((*scope, node.node_id)),
                wanted=wanted.get(node.node_id, ()),
                settled=records.ended_ids,
                is_history_wanted=records.ended_count < ACTIONS_ENDED_KEPT_MAX,
            )
            for node in discovery.nodes
        ]
        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(self._agents.look(ask, ca_bundle=ca_bundle)) for ask in asks]
        found = [look.result() for look in looks]
        for node, observation in zip(discovery.nodes, found, strict=True):
            assert observation.node_id == node.node_id, "an agent answers for its node"
            key = (*scope, node.node_id)
            if observation.answer in _SILENT:
                self._silences[key] = self._silences.get(key, 0) + 1
            else:
                self._silences.pop(key, None)
        return tuple(found)

    def _limit_ms(self, key: tuple[str, str, str]) -> int:
        is_patient = self._silences.get(key, 0) % AGENT_SILENCES_FULL_EVERY == 0
        is_brief = self._is_suspect(key) and not is_patient
        return AGENT_SUSPECT_MS_MAX if is_brief else AGENT_CALL_MS_MAX

    def _is_suspect(self, key: tuple[str, str, str]) -> bool:
        return self._silences.get(key, 0) >= AGENT_SILENCES_MAX

    def keep_only(self, clusters: set[tuple[str, str]]) -> None:
        """Forgets the nodes of all others."""
        for key in [key for key in self._silences if key[:2] not in clusters]:
            del self._silences[key]

    def _forget(self, scope: tuple[str, str], node_ids: set[str]) -> None:
        """Nodes that left the cluster."""
        gone = [key for key in self._silences if key[:2] == scope and key[2] not in node_ids]
        for key in gone:
            del self._silences[key]
