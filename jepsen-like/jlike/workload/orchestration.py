"""Actions for nodes of a cluster that does not exist: its agents are in this process, and tell.

People order actions by any peer; the control plane hands them to the agents. Agents come late, lose
answers and go away for a while; peers are killed in the middle of what they do for the others.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterable, Sequence

from jlike.agents import Agent
from jlike.check import orchestration
from jlike.check.orchestration import ENDS
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.sockets import owner
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage, Workload, outcome, read_outcome

NAMESPACE, CLUSTER, PLATFORM = "jlike", "orchestration", "agents"
NODES = 3
ORDERS_MAX = 200
"""Under load. The control plane forgets actions that ended long ago, from 256 on."""
LAST_ORDERS = 40
OPEN_MAX = 12
ORDER_SHARE = 0.2
ACTION = "jlike/mark"
INTERVAL = "500ms"
DISCOVERY = "1s"
AWAY_S = (0.5, 6.0)
QUIET_S = 100.0
"""Longer than an order is sent again."""
POLL_S = 0.5
PAGE = 1_000
AT_ONCE = {"orchestrate": {"max_naction_schedule_attempts": 0}}
"""An agent's refusal ends an action at once. No agent here refuses what is in order: it may only
be silent, and whoever takes silence for a refusal ends what is under way."""
VERSION = "replicante.io/v0"
PLACE = f"{VERSION}/naction/{NAMESPACE}/{CLUSTER}"


class Orchestration(Workload):
    name = "orchestration"
    kinds = ("order", "phase", "look", "obey", "carry", "phases")
    deeds = frozenset({"look", "obey", "carry"})
    needs_loopback = True
    needs_new_cluster = True

    def __init__(self) -> None:
        self._agents: list[Agent] = []
        self._orders: list[list[str]] = []
        self._open: set[str] = set()
        self._orders_max = ORDERS_MAX

    def next(self, chance: random.Random) -> tuple[str, Value]:
        may_order = len(self._open) < OPEN_MAX and len(self._orders) < self._orders_max
        if not self._orders or (may_order and chance.random() < ORDER_SHARE):
            action_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            self._orders.append([f"n{chance.randrange(NODES) + 1}", action_id])
            self._open.add(action_id)
            return "order", self._orders[-1]
        return "phase", chance.choice(self._orders[-2 * OPEN_MAX :])

    async def open(self, stage: Stage) -> None:
        def tell(f: str, value: Value) -> None:
            if f == "carry":
                self._open.discard(value[1])
            stage.tell(f, value)

        for number in range(1, NODES + 1):
            agent = Agent(
                node_id=f"n{number}",
                cluster_id=CLUSTER,
                tell=tell,
                caller=lambda connection: owner(connection, stage.peers.pids()) or "",
                chance=stage.chance,
            )
            self._agents.append(agent)
            await agent.open()

    async def setup(self, http: Http, url: str) -> bool:
        nodes = [
            {"agent_address": it.address, "node_class": "fake", "node_id": it.node_id}
            for it in self._agents
        ]
        known = [{"cluster_id": CLUSTER, "nodes": nodes}]
        for kind, name, spec in (
            ("Namespace", NAMESPACE, {"id": NAMESPACE, "settings": AT_ONCE}),
            (
                "Platform",
                PLATFORM,
                {
                    "name": PLATFORM,
                    "discovery": {"interval": DISCOVERY},
                    "transport": {"static": {"clusters": known}},
                },
            ),
            ("ClusterSpec", CLUSTER, {"cluster_id": CLUSTER, "interval": INTERVAL}),
        ):
            place = {} if kind == "Namespace" else {"ns_id": NAMESPACE}
            document = _document(kind, {**place, **spec}, name=name)
            if (await http.ask(url, "POST", f"{API}/apply", document)).kind is not Kind.OK:
                return False
        return True

    def forget(self) -> None:
        """Orders that nobody may have heard are waited for by nobody."""
        self._open.clear()

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "phases":
            return await self._when_quiet(http, url)
        node_id, action_id = value
        if f == "phase":
            answer = await http.ask(url, "GET", f"{API}/object/{PLACE}/{node_id}/{action_id}")
            is_there = answer.kind is Kind.OK
            return read_outcome(answer, answer.body["state"]["phase"] if is_there else None)
        spec = {
            "ns_id": NAMESPACE,
            "cluster_id": CLUSTER,
            "node_id": node_id,
            "action_id": action_id,
            "action": ACTION,
            "args": {"word": action_id[:8]},
        }
        found = outcome(await http.ask(url, "POST", f"{API}/apply", _document("NAction", spec)))
        if found.kind is not Kind.OK:
            self._open.discard(action_id)
        return Outcome(kind=found.kind, value=value, error=found.error)

    async def act(self, stage: Stage) -> None:
        """One agent after the other is away for a while."""
        while not stage.stop.is_set():
            await stage.pause(stage.chance.uniform(*AWAY_S))
            agent = stage.chance.choice(self._agents)
            agent.is_away = True
            await stage.pause(stage.chance.uniform(*AWAY_S))
            agent.is_away = False

    async def _when_quiet(self, http: Http, url: str) -> Outcome:
        """What is still under way when patience ends is told as it is: it never ended."""
        found = Outcome(kind=Kind.FAIL, error="nobody told")
        for _ in range(int(QUIET_S / POLL_S)):
            answer = await http.ask(url, "GET", f"{API}/list/{PLACE}?all=true&limit={PAGE}")
            items = answer.body["items"] if answer.kind is Kind.OK else ()
            found = read_outcome(answer, [[it["action_id"], it["phase"]] for it in items])
            if found.kind is Kind.OK and all(it["phase"] in ENDS for it in items):
                return found
            await asyncio.sleep(POLL_S)
        return found

    def calm(self) -> None:
        """Orders of the load that are still under way do not keep others back."""
        self._orders_max += LAST_ORDERS
        self._open.clear()

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("phases", None)]

    async def close(self) -> None:
        for agent in self._agents:
            await agent.close()

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [orchestration.check(operations)]


def _document(kind: str, spec: Value, *, name: str = "") -> Value:
    metadata = {"name": name} if name else {}
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}
