"""Draws single commands of every kind that mean something to one machine. For command_histories.py.

A draw depends on the seed and on what the machine answered before, never on anything of this
process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from replicante.ids import Stamp
from replicante.limits import INTEGER_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.actions import NActionPhase
from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.discovery import ClusterDiscovery, DiscoveredNode, HeldDiscovery
from replicante.model.node import Node, NodeStatus
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.commands import (
    Batch,
    Command,
    KvDelete,
    KvGet,
    KvPut,
    KvTxn,
    SetEventRetention,
    SetFeatureLevel,
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    JobsAdded,
    JobsClaimed,
    Outcome,
    TxnApplied,
)
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordCycle,
    RequestWork,
    record_change,
)
from replicante.state.record_tables import find_record
from replicante.testing.builders import (
    LoneState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)

NS = "n"
CLUSTERS = ("r", "s")
QUEUES = ("q", "p")
BATCHED = ("kv_put", "kv_put", "kv_delete", "put_object", "delete_object", "lease_acquire",
           "lease_renew", "lease_release", "queue_nack", "queue_extend", "put_consumer",
           "delete_consumer")  # fmt: skip
ACTION_IDS = tuple(f"{digit}0000000-0000-8000-8000-000000000000" for digit in "123")


@dataclass
class Drawer:
    """Draws what makes sense to one machine: it knows the stamps that this machine gave away.

    Two machines that answer alike lead their drawers to the same draws.
    """

    random: Random
    state: LoneState
    stamps: list[int] = field(default_factory=lambda: [1])
    """Of every kind, as they were answered."""
    leases: list[tuple[str, int]] = field(default_factory=lambda: [("l", 1)])
    fences: list[tuple[FenceOn, str, int]] = field(
        default_factory=lambda: [(FenceOn.CLUSTER, "r", 1)]
    )
    """Leases of the control plane's own work: target and token."""
    claims: list[tuple[str, int, int]] = field(default_factory=lambda: [("q", 1, 1)])
    actions: list[tuple[ActionOn, str, str]] = field(
        default_factory=lambda: [(ActionOn.NODE, "r", ACTION_IDS[0])]
    )
    """Where, cluster and id."""
    theme: list[str] = field(default_factory=list)
    """Names of the methods below that are drawn from now."""
    outcomes: list[bytes] = field(default_factory=list)
    """Everything that was answered."""

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def recent(self, given: list[Any]) -> Any:
        """Mostly the last one, whose time is not over yet."""
        return self.pick(given[-1], given[-1], self.random.choice(given[-4:]))

    def stamp(self) -> int:
        return self.random.choice(self.stamps[-12:])

    def expect(self) -> Expect | None:
        at = Expect.at(Stamp(self.stamp()))
        return self.pick(None, None, None, Expect.absent(), Expect.present(), at)

    def key(self) -> bytes:
        return self.pick(b"a", b"a", b"b", b"a/b", b"c\x00", "é".encode())

    def value(self) -> bytes:
        return encode_value(self.pick(1, None, "x", [1, {"a": 2.5}], {"z": "é", "a": -1}))

    def token(self) -> int:
        _, token = self.recent(self.leases)
        return self.pick(token, token, self.stamp())

    # What is written below is one kind of command each, by the name of its struct.

    def kv_put(self) -> Command:
        return KvPut(self.key(), self.value(), self.expect(), self.pick(None, None, self.token()))

    def kv_delete(self) -> Command:
        return KvDelete(self.key(), self.expect())

    def kv_txn(self) -> Command:
        compares = tuple(self._compare() for _ in range(self.random.randrange(3)))
        branches = [
            tuple(self._txn_operation() for _ in range(self.random.randrange(4))) for _ in "ab"
        ]
        return KvTxn(compares, *branches)

    def _compare(self) -> Compare:
        kind = self.random.choice(list(CompareKind))
        if kind in (CompareKind.ABSENT, CompareKind.PRESENT):
            return Compare(self.key(), kind)
        operand = self.value() if kind is CompareKind.VALUE_EQUALS else self.stamp()
        return Compare(self.key(), kind, operand)

    def _txn_operation(self) -> Any:
        put = KvPut(self.key(), self.value(), None, self.pick(None, None, self.token()))
        return self.pick(put, put, KvDelete(self.key()), KvGet(self.key()))

    def put_object(self) -> Command:
        mode = self.pick("observe", "paused")
        status = self.pick("Inactive", "Active", "Active")
        finalisers = self.pick((), (), (), ("x",), ("x", "y"))
        cluster = cluster_document(self.pick(*CLUSTERS), ns=NS, spec={"mode": mode})
        return self.pick(
            put_namespace(NS, spec={"status": status}, finalisers=finalisers, expect=self.expect()),
            put_object(cluster, expect=self.expect()),
            put_object(cluster),
            put_object(platform_document("f", ns=NS), expect=self.expect()),
        )

    def delete_object(self) -> Command:
        kind, scope = self.pick(
            (ObjectKind.NAMESPACE, (NS,)),
            (ObjectKind.CLUSTER_SPEC, (NS, self.pick(*CLUSTERS))),
            (ObjectKind.CLUSTER_SPEC, (NS, self.pick(*CLUSTERS))),
            (ObjectKind.PLATFORM, (NS, "f")),
        )
        return DeleteObject(kind, scope, self.expect())

    def batch(self) -> Command:
        return Batch(tuple(self._operation() for _ in range(self.random.randrange(1, 5))))

    def _operation(self) -> Any:
        one_job, ack = QueueEnqueue(self.pick(*QUEUES), (self._job(),)), QueueAck(*self._claim())
        return self.pick(one_job, ack, *[getattr(self, name)() for name in BATCHED])

    def set_feature_level(self) -> Command:
        return SetFeatureLevel(1)

    def note_quarantine(self) -> Command:
        return NoteQuarantine(self.pick("p1", "p2"), self.pick("i", "j"), 1_024, (("p1", "d"),))

    def set_event_retention(self) -> Command:
        return SetEventRetention(self.pick(20, 60, 1 << 40), 1 << 40, self.pick(60_000, 1 << 40))

    def lease_acquire(self) -> Command:
        name = self.pick("l", "m", *WORK_LEASES, *WORK_LEASES)
        owner = encode_value(self.pick({}, {"host": "é"}))
        return LeaseAcquire(name, self.pick(2_000, 60_000, 60_000, 60_000), owner)

    def lease_renew(self) -> Command:
        name, token = self._lease()
        return LeaseRenew(name, token, self.pick(None, 4_000))

    def lease_release(self) -> Command:
        return LeaseRelease(*self._lease())

    def lease_force_release(self) -> Command:
        return LeaseForceRelease(self.recent(self.leases)[0], "why")

    def _lease(self) -> tuple[str, int]:
        name, token = self.recent(self.leases)
        return name, self.pick(token, token, self.stamp())

    def put_consumer(self) -> Command:
        position = self.pick(None, 0, self.stamp(), INTEGER_MAX)
        return PutConsumer(self.pick("c", "d"), position, self.expect())

    def delete_consumer(self) -> Command:
        return DeleteConsumer(self.pick("c", "d"), self.expect())

    def create_action(self) -> Command:
        on = self.random.choice(list(ActionOn))
        names = (NS, self.pick(*CLUSTERS), self.pick(*ACTION_IDS))
        body = {"kind": "a/b", "args": self.pick(None, 1), "metadata": {}, "requester": "CORE_API"}
        if on is ActionOn.NODE:
            body["node_id"] = "n1"
        return CreateAction(on, names, encode_value(body), self.pick(True, False))

    def move_action(self) -> Command:
        on, cluster, action_id = self.recent(self.actions)
        middle = (self.pick("n1", "n1", "n2"),) if on is ActionOn.NODE else ()
        names = (NS, cluster, *middle, action_id)
        return MoveAction(on, names, self.random.choice(list(ActionVerb)), self.pick("", "why"))

    def record_cycle(self) -> Command:
        on, name, granted = self.recent(self.fences)
        fence = Fence(on, NS, name, self.pick(*[granted] * 9, self.stamp()))
        if on is FenceOn.PLATFORM:
            found = encode_value(cluster_document("s", ns=NS)["spec"])
            return RecordCycle(fence, (), (("s", found),), self.pick(None, encode_value({"a": 1})))
        makers = (self._node, self._node, self._discovery, self._step, self._other)
        wanted = [self.random.choice(makers)(name) for _ in range(self.random.randrange(4))]
        changes = [change for change in wanted if change is not None]
        seen = {
            (change.kind, change.key): self._revision(change.kind, change.key) for change in changes
        }
        known = {place: revision for place, revision in seen.items() if revision is not None}
        carried = tuple(record_change(change, known) for change in changes)
        return RecordCycle(fence, carried, answers=self.pick(None, self.stamp()))

    def _revision(self, kind: RecordKind, key: tuple[str, ...]) -> int | None:
        row = find_record(self.state.store, kind, key)
        return self.pick(*[None if row is None else row.revision] * 7, self.stamp())

    def _node(self, cluster: str) -> Change:
        name, status = self.pick("n1", "n2"), self.random.choice(list(NodeStatus))
        node = Node(ns_id=NS, cluster_id=cluster, node_id=name, node_status=status)
        after = self.pick(node.to_value(), node.to_value(), None)
        code = ChangeCode.NODE_DELETE if after is None else ChangeCode.NODE_SYNC_UPDATE
        return Change(
            kind=RecordKind.NODE, key=(NS, cluster, name), before=None, after=after, code=code
        )

    def _discovery(self, cluster: str) -> Change:
        one, two = (
            DiscoveredNode(agent_address=f"http://127.0.0.1/{n}", node_class="x", node_id=n)
            for n in ("n1", "n2")
        )
        held = HeldDiscovery(nodes=(one,), reason="many", since_ms=1, seen_count=3)
        record = ClusterDiscovery(
            ns_id=NS, cluster_id=cluster, nodes=(one, two), platform="f", held=held
        )
        return Change(
            kind=RecordKind.CLUSTER_DISCOVERY,
            key=(NS, cluster),
            before=None,
            after=record.to_value(),
            code=ChangeCode.CLUSTER_DISCOVERY_HELD,
        )

    def _other(self, cluster: str) -> Change:
        """Of a kind whose value means nothing to apply."""
        kind, *more = self.pick(
            (RecordKind.SHARD, "n1", "x"),
            (RecordKind.STORE_EXTRAS, "n1"),
            (RecordKind.CONVERGE_STATE,),
            (RecordKind.DECISION, "d"),
            (RecordKind.REPORT,),
        )
        after = {"number": self.random.randrange(3)}
        return Change(
            kind=kind, key=(NS, cluster, *more), before=None, after=after, code=ChangeCode.DECISION
        )

    def _step(self, cluster: str) -> Change | None:
        """One that an agent reports of an action; None when there is no such action."""
        key = (NS, cluster, self.pick(*ACTION_IDS))
        phase = str(self.random.choice(list(NActionPhase)))
        row = find_record(self.state.store, RecordKind.NACTION, key)
        if row is None:
            return None
        after = {**row.load(), "phase": phase}
        code = ChangeCode.NACTION_SYNC_UPDATE
        return Change(kind=RecordKind.NACTION, key=key, before=None, after=after, code=code)

    def drop_records(self) -> Command:
        return DropRecords(NS, self.pick(*CLUSTERS))

    def request_work(self) -> Command:
        clusters = [(FenceOn.CLUSTER, name) for name in CLUSTERS]
        on, name = self.pick(*clusters, (FenceOn.PLATFORM, "f"))
        return RequestWork(on, NS, name)

    def confirm_discovery(self) -> Command:
        return ConfirmDiscovery(NS, self.pick(*CLUSTERS), self.pick(("n2",), ("n1", "n2")), "why")

    def queue_enqueue(self) -> Command:
        jobs = tuple(self._job() for _ in range(self.random.randrange(1, 4)))
        return QueueEnqueue(self.pick(*QUEUES), jobs)

    def _job(self) -> NewJob:
        return NewJob(
            body=self.value(),
            delay_ms=self.pick(0, 0, 0, 2_000),
            priority=self.pick(0, 0, 3, -1),
            group=self.pick(None, None, "g"),
            dedup=self.pick(None, None, None, "d"),
            attempts_max=self.pick(1, 2),
        )

    def queue_claim(self) -> Command:
        lease = self.pick(None, None, None, self.token())
        return QueueClaim(self.pick(*QUEUES), self.random.randrange(1, 4), 9_000, "w", lease)

    def _claim(self) -> tuple[str, int, int]:
        queue, job, token = self.recent(self.claims)
        return queue, job, self.pick(token, token, token, self.stamp())

    def queue_ack(self) -> Command:
        carried = (KvPut(self.key(), self.value()), QueueEnqueue("p", (self._job(),)))
        return QueueAck(*self._claim(), self.pick((), carried))

    def queue_nack(self) -> Command:
        return QueueNack(*self._claim(), self.pick(0, 1_500), "busy")

    def queue_extend(self) -> Command:
        return QueueExtend(*self._claim(), self.pick(None, 9_000))

    def queue_pause(self) -> Command:
        return QueuePause(self.pick(*QUEUES), "why")

    def queue_resume(self) -> Command:
        return QueueResume(self.pick(*QUEUES))

    def queue_redrive(self) -> Command:
        job = self.recent(self.claims)[1]
        return QueueRedrive(self.pick(*QUEUES), 2, *self.pick(((), None), ((), job), ((job,),)))

    def queue_purge(self) -> Command:
        place = self.claims[-1][1] if len(self.claims) % 4 == 0 else None
        return QueuePurge(self.pick(*QUEUES), 2, self.pick(True, False), "why", place)

    def learn(self, command: Command, outcome: Outcome) -> None:
        """Notes the stamps that an answer gave away."""
        match outcome:
            case Applied(revision) if revision:
                self.stamps.append(revision)
                if isinstance(command, LeaseAcquire):
                    self.leases.append((command.name, revision))
                    if command.name in WORK_LEASES:
                        self.fences.append((*WORK_LEASES[command.name], revision))
                elif isinstance(command, CreateAction):
                    self.actions.append((command.on, *command.names[1:]))
            case BatchApplied(outcomes=results) | TxnApplied(results=results):
                written = [it.revision for it in results if isinstance(it, Applied)]
                self.stamps += [revision for revision in written if revision > 0]
            case JobsAdded(jobs):
                self.stamps += [added.job for added in jobs]
            case JobsClaimed(jobs):
                assert isinstance(command, QueueClaim)
                self.claims += [(command.queue, it.job, it.token) for it in jobs]
                self.stamps += [it.token for it in jobs]


WORK_LEASES = {
    lease_name(on, NS, name): (on, name)
    for on, name in (
        (FenceOn.CLUSTER, "r"),
        (FenceOn.CLUSTER, "s"),
        (FenceOn.PLATFORM, "f"),
    )
}
