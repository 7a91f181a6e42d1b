"""Builders of clusters as values, and a world that answers cycles. Used by the tests of decisions.

The world is as small as it can be: nodes with roles, offsets and faults; it applies what a cycle
writes to its records, and can carry out actions. It knows no rule.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import msgspec

from replicante.model import action_kinds
from replicante.model.actions import NAction, OAction
from replicante.model.change import RecordKind
from replicante.model.cluster_spec import ClusterSpec, read_cluster_spec
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import Decision
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode
from replicante.model.namespace import Namespace
from replicante.model.node import (
    WRITES_PROTECTED,
    Node,
    NodeDetails,
    NodeStatus,
    StoreContact,
    StoreExtras,
)
from replicante.model.observation import (
    AgentAnswer,
    Observation,
    SeenAction,
    SeenNode,
    SeenPhase,
    SeenShard,
)
from replicante.model.shard import Offset, Shard, ShardRole, Sight, Upstream
from replicante.model.violations import Violations
from replicante.orchestrate.cycle import CycleInputs, run_cycle
from replicante.orchestrate.gathering import actions_to_ask

NS, CLUSTER, SHARD = "default", "sessions", "0"
RECORDS = {
    RecordKind.NODE: Node,
    RecordKind.STORE_EXTRAS: StoreExtras,
    RecordKind.SHARD: Shard,
    RecordKind.NACTION: NAction,
    RecordKind.OACTION: OAction,
    RecordKind.CONVERGE_STATE: ConvergeState,
    RecordKind.DECISION: Decision,
    RecordKind.CLUSTER_DISCOVERY: ClusterDiscovery,
}


def make_spec(*, mode="active", **declaration) -> ClusterSpec:
    spec = {
        "cluster_id": CLUSTER,
        "mode": mode,
        "platform": {"name": "local"},
        "declaration": declaration,
    }
    violations = Violations()
    cluster = read_cluster_spec(spec, metadata_name=None, violations=violations)
    violations.raise_if_any()
    return cluster


def member(node_id: str) -> str:
    return f"{node_id}:6379"


@dataclass
class FakeNode:
    """One data store node and its agent, as they are."""

    node_id: str
    status: NodeStatus = NodeStatus.HEALTHY
    role: ShardRole | None = ShardRole.SECONDARY
    offset: int = 100
    follows: str | None = None
    sight: Sight = Sight.UP
    silent_ms: int | None = None
    contact: StoreContact = StoreContact.ANSWERS
    answer: AgentAnswer = AgentAnswer.ANSWERED
    is_fenced: bool = True
    controllers: tuple[str, ...] = ()
    attributes: dict = field(default_factory=dict)
    history: str | None = "h1"
    has_address: bool = True
    is_upstream_told: bool = True
    is_protecting: bool | None = None
    """None: it does not tell."""
    beside: tuple[SeenShard, ...] = ()
    """Copies of other shards."""
    group: str = "data"
    incarnation: str | None = None
    boot: str | None = None
    """None: its agent tells neither, as one of the original."""
    actions: dict[str, SeenAction] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    """Ids that had an effect here, in order."""

    def observe(self, at_ms: int, asked: tuple[str, ...]) -> Observation:
        if self.answer is not AgentAnswer.ANSWERED:
            return Observation(
                node_id=self.node_id, at_ms=at_ms, answer=self.answer, message="as the test says"
            )
        is_up = self.contact is StoreContact.ANSWERS
        shards = None
        if is_up:
            shards = () if self.role is None else (self._shard(), *self.beside)
        return Observation(
            node_id=self.node_id,
            at_ms=at_ms,
            answer=AgentAnswer.ANSWERED,
            is_fenced=self.is_fenced,
            node=SeenNode(
                status=self.status if is_up else NodeStatus.UNAVAILABLE,
                details=NodeDetails(
                    addresses={"member": member(self.node_id)} if self.has_address else {},
                    attributes=self.attributes,
                    store_id="redis",
                ),
                contact=self.contact,
                controllers=self.controllers,
            ),
            store_attributes=self._told() if is_up else None,
            store_error=None if is_up else "down",
            shards=shards,
            shards_error=None if is_up else "down",
            queue=tuple(
                it.action_id
                for it in self.actions.values()
                if it.phase in (SeenPhase.NEW, SeenPhase.RUNNING)
            ),
            finished=(),
            actions=tuple(self.actions.values()),
            unknown_actions=tuple(it for it in asked if it not in self.actions),
            incarnations=() if self.incarnation is None else (self.incarnation,),
            boots=() if self.boot is None else (self.boot,),
        )

    def _told(self) -> dict:
        return {} if self.is_protecting is None else {WRITES_PROTECTED: self.is_protecting}

    def _shard(self) -> SeenShard:
        upstream = None
        if self.follows is not None:
            upstream = Upstream(
                address=member(self.follows) if self.is_upstream_told else None,
                sight=self.sight,
                silent_ms=self.silent_ms,
            )
        return SeenShard(
            shard_id=SHARD,
            role=self.role,
            commit_offset=Offset(value=self.offset, unit="bytes"),
            history_id=self.history,
            upstream=upstream,
        )

    def take(self, action: NAction, phase: SeenPhase = SeenPhase.NEW) -> None:
        """What `POST action` does: a known id is left alone, one for another agent refused."""
        is_meant = self.incarnation is None or action.sent_to in (None, self.incarnation)
        if is_meant and action.action_id not in self.actions:
            self.actions[action.action_id] = SeenAction(
                action_id=action.action_id,
                kind=action.kind,
                phase=phase,
                args=action.args,
                metadata=action.metadata,
                created_wall_ms=action.created_wall_ms,
            )

    def end(self, action_id: str, phase: SeenPhase = SeenPhase.DONE) -> None:
        self.actions[action_id] = msgspec.structs.replace(self.actions[action_id], phase=phase)


class World:
    """Records as stored, nodes as they are, and the cycles between them."""

    def __init__(self, *nodes: FakeNode, spec: ClusterSpec | None = None) -> None:
        self.nodes = {node.node_id: node for node in nodes}
        self.spec = spec or make_spec()
        self.namespace = Namespace(name=NS)
        self.discovery = self._discover()
        self.records: dict = {}
        self.epoch, self.now_ms, self.wall_ms = 1, 1_000_000, 1_796_428_800_000
        self.is_platform_usable = True
        self.last_decision: Decision | None = None
        self.sent: list[NAction] = []
        self.log: list = []

    def _discover(self) -> ClusterDiscovery:
        return ClusterDiscovery(
            ns_id=NS,
            cluster_id=CLUSTER,
            platform="local",
            nodes=tuple(
                DiscoveredNode(
                    agent_address=f"http://{it}:8000",
                    node_class="small",
                    node_id=it,
                    node_group=self.nodes[it].group,
                )
                for it in sorted(self.nodes)
            ),
        )

    def rediscover(self) -> None:
        self.discovery = self._discover()

    def of(self, kind: RecordKind) -> list:
        return [it for (found, _), it in sorted(self.records.items()) if found is kind]

    @property
    def state(self) -> ConvergeState | None:
        found = self.of(RecordKind.CONVERGE_STATE)
        return found[0] if found else None

    @property
    def nactions(self) -> list[NAction]:
        return self.of(RecordKind.NACTION)

    @property
    def oactions(self) -> list[OAction]:
        return self.of(RecordKind.OACTION)

    def put(self, record) -> None:
        kind = next(it for it, cls in RECORDS.items() if cls is type(record))
        self.records[(kind, _key(record))] = record

    def inputs(self, **changes) -> CycleInputs:
        unfinished = [it for it in self.nactions if not it.phase.is_final]
        asked = actions_to_ask(unfinished, self.state)
        found = CycleInputs(
            namespace=self.namespace,
            spec=self.spec,
            discovery=self.discovery,
            nodes=tuple(self.of(RecordKind.NODE)),
            extras=tuple(self.of(RecordKind.STORE_EXTRAS)),
            shards=tuple(self.of(RecordKind.SHARD)),
            nactions=tuple(unfinished),
            oactions=tuple(it for it in self.oactions if not it.phase.is_final),
            cancelled=tuple(it for it in self.nactions if it.phase == "CANCELLED"),
            finished_ids=frozenset(it.action_id for it in self.nactions if it.phase.is_final),
            state=self.state,
            last_decision=self.last_decision,
            observations=tuple(
                node.observe(self.now_ms, asked.get(node.node_id, ()))
                for node in self.nodes.values()
                if node.node_id in {it.node_id for it in self.discovery.nodes}
            ),
            is_platform_usable=self.is_platform_usable,
            epoch=self.epoch,
            now_ms=self.now_ms,
            wall_now_ms=self.wall_ms,
        )
        return dataclasses.replace(found, **changes)

    def cycle(self, *, after_ms: int = 1_000, is_sent: bool = True, **changes):
        """One cycle, committed; is_sent: its submissions reach their agents."""
        self.now_ms += after_ms
        self.wall_ms += after_ms
        result = run_cycle(self.inputs(**changes))
        self.commit(result)
        if is_sent:
            self.send(result)
        return result

    def commit(self, result) -> None:
        for change in result.changes:
            key = (change.kind, change.key)
            if change.kind not in RECORDS:
                continue
            stored = self.records.get(key)
            held = None if stored is None else stored.to_value()
            assert change.kind is RecordKind.DECISION or held == change.before, change
            if change.after is None:
                del self.records[key]
            else:
                self.records[key] = RECORDS[change.kind].from_value(change.after)
        self.log += result.changes
        if any(it.kind is RecordKind.DECISION for it in result.changes):
            self.last_decision = result.decision

    def send(self, result) -> None:
        for action in result.submissions:
            self.sent.append(action)
            node = self.nodes[action.node_id]
            if node.answer is AgentAnswer.ANSWERED:
                node.take(action)

    def work(self) -> None:
        """The agents carry out what they have."""
        for node in list(self.nodes.values()):
            if node.answer is not AgentAnswer.ANSWERED:
                continue
            for action in list(node.actions.values()):
                if action.phase in (SeenPhase.NEW, SeenPhase.RUNNING):
                    node.applied.append(action.action_id)
                    self._carry_out(node, action)
                    node.end(action.action_id)

    def _carry_out(self, node: FakeNode, action: SeenAction) -> None:
        args = action.args or {}
        match action.kind:
            case action_kinds.STORE_PROMOTE | action_kinds.CLUSTER_INIT:
                node.status, node.role, node.follows = NodeStatus.HEALTHY, ShardRole.PRIMARY, None
                node.history = f"of-{node.node_id}"
            case action_kinds.STORE_REJOIN | action_kinds.CLUSTER_JOIN:
                primary = next(
                    it for it in self.nodes.values() if member(it.node_id) == args["node"]
                )
                node.status, node.role = NodeStatus.HEALTHY, ShardRole.SECONDARY
                node.contact, node.follows, node.sight = (
                    StoreContact.ANSWERS,
                    primary.node_id,
                    Sight.UP,
                )
                node.history, node.offset = primary.history, primary.offset
            case action_kinds.STORE_PROTECT:
                node.is_protecting = args["protect_writes"]
            case action_kinds.STORE_FENCE:
                kill_store(self, node.node_id)
            case action_kinds.STORE_SWITCHOVER:
                successor = self.nodes[args["node_id"]]
                successor.role, successor.follows = ShardRole.PRIMARY, None
                node.role, node.follows, node.sight = (
                    ShardRole.SECONDARY,
                    successor.node_id,
                    Sight.UP,
                )
                # Who followed the old primary goes on following it, as Redis has it.
            case _:
                pass


def _key(record) -> tuple:
    match record:
        case Shard():
            return record.ns_id, record.cluster_id, record.node_id, record.shard_id
        case Node() | StoreExtras():
            return record.ns_id, record.cluster_id, record.node_id
        case NAction() | OAction():
            return record.ns_id, record.cluster_id, record.action_id
        case _:
            return record.ns_id, record.cluster_id


def replicated(count: int = 3, *, spec: ClusterSpec | None = None, **fields) -> World:
    """n1 is primary, the others follow it; seen once."""
    nodes = [FakeNode("n1", role=ShardRole.PRIMARY, **fields)]
    nodes += [FakeNode(f"n{i}", follows="n1", **fields) for i in range(2, count + 1)]
    world = World(*nodes, spec=spec)
    world.cycle()
    return world


def kill_store(world: World, node_id: str = "n1") -> None:
    """The process is gone: refused everywhere."""
    world.nodes[node_id].contact = StoreContact.REFUSED
    for node in world.nodes.values():
        if node.follows == node_id:
            node.sight = Sight.REFUSED


def hang_store(world: World, node_id: str = "n1") -> None:
    """The process is stopped: silent everywhere."""
    world.nodes[node_id].contact = StoreContact.SILENT
    for node in world.nodes.values():
        if node.follows == node_id:
            node.sight = Sight.DOWN


def double_agent(world: World, node_id: str = "n2"):
    """Another process answers, and then the first one again: what the cycle came to."""
    for boot in ("2", "1"):
        world.nodes[node_id].boot = boot
        result = world.cycle()
    return result


def outcomes(result, step: str) -> list[str]:
    return [str(it.outcome) for it in result.decision.proposals if it.step == step]


def against(result, step: str) -> set[str]:
    """Rules that do not allow the first proposal of a step."""
    record = next(it for it in result.decision.proposals if it.step == step)
    return {it.rule for it in record.verdicts if it.ruling != "allow"}


def sent_kinds(result) -> list[tuple[str, str]]:
    return [(it.kind, it.node_id) for it in result.submissions]


def condition_names(result) -> set[str]:
    return {it.name for it in result.conditions}
