"""A declared cluster of real Redis servers, which the peers make, begin, expand and look after.

Clients write numbers to its primary, wherever that is. Servers and their agents are killed and
paused, one node at a time, while faults hit the peers; somebody who is not in charge any more gives
orders to agents under an epoch that is over. Nodes live on the local platform, in the folder of the
run. Their processes are found and hurt by `jlike.node_processes`; their servers are asked
themselves, so that what the control plane says is compared with what is.
"""

from __future__ import annotations

import asyncio
import random
import signal
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jlike import node_processes, redis_cluster, resp
from jlike.check import redis
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.node_processes import AGENT, STORE, Lifeline, NodeProcess
from jlike.redis_cluster import AGENT_PATH, CLUSTER, NAMESPACE, NODES, STORE_S, VERSION
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage, Workload

PLATFORM = "here"
POLICY = {"protect_writes": True, "data_loss_offset": 0}
EPOCH = "Replicante-Epoch"
KEY = "jlike"
LOG = "agents.log"
"""Of agents that came back after they were killed."""
REST_S = (0.5, 4.0)
AWAY_S = (0.0, 5.0)
QUIET_S = 150.0
"""Longer than an order is sent again, and a copy is made."""
POLL_S = 0.5
HURTS = ("kill store", "pause store", "kill agent", "pause agent", "kill node")


class Redis(Workload):
    name = "redis"
    kinds = ("write", "hurt", "probe", "seen", "end", "read")
    deeds = frozenset({"hurt", "probe", "seen"})
    # Agents and servers are started by peers, and are loaded with the library that these are.
    unfit = frozenset({"slowsync", "failsync", "clock"})
    needs_loopback = True
    needs_processes = True

    def __init__(self) -> None:
        self._written = 0
        self._folder = Path()
        self._lifeline: Lifeline | None = None
        self._primary: str | None = None
        """Where the last write went; kept until it says no, as clients do."""
        self._stores: dict[str, str] = {}
        """Node → address of its server, of those that were ever known."""
        self._agents: dict[str, str] = {}

    def lacks(self) -> str:
        return redis_cluster.why_no_redis()

    def next(self, chance: random.Random) -> tuple[str, Value]:
        self._written += 1
        return "write", self._written

    async def open(self, stage: Stage) -> None:
        self._folder = (stage.recorder.folder / "nodes").resolve()
        self._lifeline = Lifeline(self._folder)

    async def setup(self, http: Http, url: str) -> bool:
        """Only what is wanted is said: to make it is what the faults are to hit."""
        declaration = {
            "definition": {
                "cluster_id": CLUSTER,
                "store": "redis",
                "store_version": "6.2",
                "nodes": {"main": {"desired_count": NODES, "node_class": "small"}},
            },
            "expand": {"mode": "Join"},
            "initialise": {"mode": "SingleNode"},
            "graces": {"expand": "1s", "init": "1s", "scale_up": "1s"},
            "policies": {**POLICY, "confirmations": 2, "confirm_for": "1s", "quiet_period": "1s"},
        }
        documents = (
            ("Namespace", {"id": NAMESPACE}),
            (
                "Platform",
                {
                    "ns_id": NAMESPACE,
                    "name": PLATFORM,
                    "discovery": {"interval": "1s"},
                    "transport": {"local": {"directory": str(self._folder)}},
                },
            ),
            (
                "ClusterSpec",
                {
                    "ns_id": NAMESPACE,
                    "cluster_id": CLUSTER,
                    "interval": "500ms",
                    "platform": {"name": PLATFORM},
                    "mode": "active",
                    "declaration": declaration,
                },
            ),
        )
        for kind, spec in documents:
            name = spec.get("cluster_id") or spec.get("name") or spec["id"]
            document = {
                "apiVersion": VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec,
            }  # fmt: skip
            if (await http.ask(url, "POST", f"{API}/apply", document)).kind is not Kind.OK:
                return False
        return True

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        match f:
            case "write":
                return await self._write(value)
            case "end":
                return await self._end(http, url)
            case _:
                return await self._read()

    async def act(self, stage: Stage) -> None:
        """One node after the other is hurt; its server only while the cluster is whole, because
        the end of all copies at once is for a person to decide about."""
        while not stage.stop.is_set():
            await stage.pause(stage.chance.uniform(*REST_S))
            await self._look_around(stage)
            primary = await self._whole()
            if primary is not None:
                stage.tell("seen", primary)
            await self._probe(stage)
            hurt = _choose(stage.chance, self._running(), primary=primary)
            if hurt is not None and not stage.stop.is_set():
                what, victims = hurt
                await stage.deed("hurt", [what, victims[0].node], self._hurt(stage, what, victims))

    def logs(self) -> Sequence[Path]:
        """Of agents: the platform keeps one beside each node."""
        if self._folder == Path():
            return []
        return [self._folder / LOG, *sorted(self._folder.glob("*/*/agent.log"))]

    def final(self) -> Sequence[tuple[str, Value]]:
        return [("end", None), ("read", None)]

    async def close(self) -> None:
        if self._lifeline is not None:
            await node_processes.end_all(self._folder)
            self._lifeline.cut()

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        return [redis.check(operations)]

    # --- clients

    async def _write(self, number: int) -> Outcome:
        address = self._primary or await self._look_up()
        if address is None:
            return Outcome(kind=Kind.FAIL, error="no_primary")
        try:
            await resp.command(address, "SADD", KEY, number, seconds=STORE_S)
        except resp.Refused as refused:
            # Not while it is a copy, and not while no copy keeps up.
            self._forget(address)
            return Outcome(kind=Kind.FAIL, error=refused.code)
        except ConnectionRefusedError:
            self._forget(address)
            return Outcome(kind=Kind.FAIL, error="refused")
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            self._forget(address)
            return Outcome(kind=Kind.INFO, error=type(error).__name__)
        return Outcome(kind=Kind.OK, value=number)

    def _forget(self, address: str) -> None:
        if self._primary == address:
            self._primary = None

    async def _look_up(self) -> str | None:
        for address in self._stores.values():
            if (await redis_cluster.ask_role(address))[:1] == ["master"]:
                self._primary = address
                return address
        return None

    async def _read(self) -> Outcome:
        address = await self._look_up()
        if address is None:
            return Outcome(kind=Kind.FAIL, error="no_primary")
        try:
            found = await resp.command(address, "SMEMBERS", KEY, seconds=10 * STORE_S)
        except (resp.Refused, TimeoutError, OSError, EOFError, ValueError) as error:
            return Outcome(kind=Kind.FAIL, error=type(error).__name__)
        return Outcome(kind=Kind.OK, value=sorted(map(int, found)))

    # --- deeds

    async def _look_around(self, stage: Stage) -> None:
        """Where servers and agents are, says any peer that answers."""
        for peer_id in stage.chance.sample(stage.peers.ids, len(stage.peers.ids)):
            view = await redis_cluster.ask_view(stage.http, stage.peers[peer_id].url)
            if view is not None:
                self._learn(view)
                return

    def _learn(self, view: Mapping[str, Value]) -> None:
        self._agents |= redis_cluster.agents_of(view)
        self._stores |= redis_cluster.stores_of(view)

    def _running(self) -> list[NodeProcess]:
        return node_processes.find(self._folder)

    async def _hurt(self, stage: Stage, what: str, victims: Sequence[NodeProcess]) -> Outcome:
        """Whatever was stopped goes on at the end, and a killed agent is back."""
        has_effect = True
        log = self._folder / LOG
        try:
            if what.startswith("pause"):
                for it in victims:
                    it.signal(signal.SIGSTOP)
                await asyncio.sleep(POLL_S / 10)
                has_effect = all(it.state == "T" for it in victims)
            else:
                for it in victims:
                    has_effect &= await it.kill()
            await stage.pause(stage.chance.uniform(*AWAY_S))
        finally:
            for it in victims:
                if what.startswith("pause"):
                    it.signal(signal.SIGCONT)
                elif it.part == AGENT:
                    await asyncio.to_thread(it.start_again, log)
        kind = Kind.OK if has_effect else Kind.FAIL
        return Outcome(kind=kind, value=[what, victims[0].node])

    async def _probe(self, stage: Stage) -> None:
        """An order under an epoch that is over, or under none, to an agent that has met a newer
        one: it has an action that was sent under that."""
        url = stage.peers[stage.chance.choice(stage.peers.ids)].url
        records = await redis_cluster.ask_records(stage.http, url)
        log = await redis_cluster.ask_events(stage.http, url)
        epochs: dict[str, int] = {}
        for it in records or ():
            if log is not None and it["phase"] == "DONE" and it["id"] in log["epochs"]:
                epochs[it["node"]] = max(epochs.get(it["node"], 0), log["epochs"][it["id"]])
        if not epochs:
            return
        node = stage.chance.choice(sorted(epochs))
        epoch = stage.chance.choice((epochs[node] - 1, None))
        await stage.deed("probe", [node, epoch, None], self._order(stage.http, node, epoch))

    async def _order(self, http: Http, node: str, epoch: int | None) -> Outcome:
        headers = {} if epoch is None else {EPOCH: str(epoch)}
        body = {"id": str(uuid.uuid4()), "kind": "agent.replicante.io/test.success"}
        answer = await http.ask(
            self._agents[node], "POST", f"{AGENT_PATH}/action", body, headers=headers
        )
        if not answer.status:
            return Outcome(kind=Kind.FAIL, error=answer.code)
        return Outcome(kind=Kind.OK, value=[node, epoch, answer.status])

    # --- the end

    async def _end(self, http: Http, url: str) -> Outcome:
        """What is not as it should be when patience ends is told as it is."""
        found = Outcome(kind=Kind.FAIL, error="nobody told")
        for _ in range(int(QUIET_S / POLL_S)):
            found = await self._state(http, url)
            if found.kind is Kind.OK and found.value["is_whole"]:
                return found
            await asyncio.sleep(POLL_S)
        return found

    async def _state(self, http: Http, url: str) -> Outcome:
        """Of one moment: what was read first is read once more at the end."""
        view = await redis_cluster.ask_view(http, url)
        records = await redis_cluster.ask_records(http, url)
        log = await redis_cluster.ask_events(http, url)
        if view is None or records is None or log is None:
            return Outcome(kind=Kind.FAIL, error="nobody told")
        self._learn(view)
        real = await self._roles()
        ids = [it["id"] for it in records]
        agents = {
            node: await redis_cluster.ask_agent(http, address, ids)
            for node, address in self._agents.items()
        }
        why = redis_cluster.why_not_whole(view, records, agents, real, self._stores)
        if not why and await redis_cluster.ask_records(http, url) != records:
            why = "actions go on"
        state = {
            "is_whole": not why,
            "why": why,
            "told": redis_cluster.roles_of(view),
            "real": {node: redis_cluster.word(role) for node, role in real.items()},
            "records": records,
            "agents": {node: actions or [] for node, actions in agents.items()},
            "log": log,
            "policy": POLICY,
        }
        return Outcome(kind=Kind.OK, value=state)

    async def _whole(self) -> str | None:
        """The primary, when three servers say that they are it and its copies."""
        return redis_cluster.primary_of(await self._roles(), self._stores)

    async def _roles(self) -> dict[str, list[Value]]:
        """Node → what its server says of itself."""
        return {node: await redis_cluster.ask_role(it) for node, it in self._stores.items()}


def _choose(
    chance: random.Random, running: Sequence[NodeProcess], *, primary: str | None
) -> tuple[str, list[NodeProcess]] | None:
    """What is done to whom; half the time to the primary."""
    nodes = sorted({it.node for it in running})
    if not nodes:
        return None
    is_whole = primary is not None
    what = chance.choice(HURTS if is_whole else [it for it in HURTS if it.endswith("agent")])
    node = primary if primary in nodes and chance.random() < 0.5 else chance.choice(nodes)
    parts = {"agent": (AGENT,), "store": (STORE,), "node": (AGENT, STORE)}[what.split()[1]]
    victims = [it for it in running if it.node == node and it.part in parts]
    return (what, victims) if victims else None
