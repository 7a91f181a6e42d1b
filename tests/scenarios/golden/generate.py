"""Writes golden histories: entries, and what apply made of them at one feature level.

    python tests/scenarios/golden/generate.py

A file that exists is never overwritten: the histories of a level are what its apply does, for
ever. If one of them fails, apply has changed: undo that, or make it a new feature level
(replicante/state/levels.py), with a folder `level-N` of its own beside this one. New histories may
be added to the newest level at any time; before its first release a file may be deleted and
written anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from golden_entries import Entry, birth, entry
from golden_queues import batches, large_batches, queues
from golden_records import confirmations
from golden_recovery import quarantines, recovery
from golden_rest import batched_consumers, rest
from replay import entry_of, results_of

from replicante.ids import make_index, make_stamp
from replicante.limits import CONSUMER_SILENCE_MS_MAX, EVENT_VALUE_BYTES_MAX, IDEMPOTENCY_WINDOW_MS
from replicante.model.action_requests import ActionOn
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.commands import (
    Batch,
    Command,
    DeleteObject,
    Expect,
    KvGet,
    KvPut,
    KvTxn,
    SetEventRetention,
    SetFeatureLevel,
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.record_commands import DropRecords, RecordChange, RecordCycle
from replicante.testing.builders import (
    cluster_document,
    envelope_bytes,
    kv_delete,
    kv_put,
    platform_document,
    put_namespace,
    put_object,
)

LEVEL = 1
FOLDER = Path(__file__).parent / f"level-{LEVEL}"
NOTE = (
    "What apply does at this feature level, for ever. A difference is a new feature level, never "
    "a new version of this file: see generate.py."
)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for make in HISTORIES:
        path = FOLDER / f"{make.__name__}.json"
        if path.exists():
            print(f"kept     {path.name}")
            continue
        entries = list(make())
        history = {
            "note": NOTE,
            "about": make.__doc__,
            "level": LEVEL,
            "entries": entries,
            "results": results_of([entry_of(entry) for entry in entries]),
        }
        path.write_text(json.dumps(history, indent=1, ensure_ascii=True) + "\n")
        print(f"written  {path.name}")


def raft_facts() -> Iterator[Entry]:
    """Genesis, terms, membership, a skipped entry, an empty tick, a clock that goes back."""
    yield from birth()
    members = {"voters": ["p1", "p2", "p3"], "learners": ["p4"]}
    yield entry(3, kind="CONFIGURATION", detail=members)
    yield entry(4, kind="SKIPPED", detail={"reason": "declared void"})
    yield entry(5, clock_ms=10)
    yield entry(9, clock_ms=20, kind="TERM_STARTED", detail={"leader": "p2"}, term=7)


def kv_commands() -> Iterator[Entry]:
    """Puts, deletions, every expectation met and not met, large values, batches."""
    yield from birth()
    yield entry(
        3,
        envelope_bytes(kv_put("a", {"b": [1, -1, 1.5, -0.0, None, True], "a": "é"})),
        envelope_bytes(kv_put("a", 2, expect=Expect.at(make_stamp(3, 0)))),
        envelope_bytes(kv_put("a", 3, expect=Expect.at(make_stamp(3, 0)))),
        envelope_bytes(kv_put("b", 1, expect=Expect.present())),
        envelope_bytes(kv_put("b", 1, expect=Expect.absent()), actor="ann"),
        envelope_bytes(kv_put("b", 2, expect=Expect.absent())),
    )
    yield entry(4, envelope_bytes(kv_delete("b")), envelope_bytes(kv_delete("b")))
    yield entry(5, envelope_bytes(kv_put("é\x00𐀀", "x" * (EVENT_VALUE_BYTES_MAX + 1))))
    yield entry(
        6,
        envelope_bytes(
            Batch((kv_put("c", 1), kv_put("c", 2), kv_delete("d"), kv_delete("c"))),
            request_id="batch",
        ),
    )


def namespaces() -> Iterator[Entry]:
    """Life of namespaces with and without finalisers."""

    def delete(name: str) -> bytes:
        return envelope_bytes(DeleteObject(ObjectKind.NAMESPACE, (name,)))

    def put(name: str, **fields: Any) -> bytes:
        return envelope_bytes(put_namespace(name, **fields))

    yield from birth()
    yield entry(3, put("a"), put("a"), put("a", spec={"status": "Observed"}))
    yield entry(4, delete("a"), delete("a"), put("a"))
    yield entry(5, put("h", finalisers=("x", "y")), delete("h"), delete("h"))
    yield entry(6, put("h", finalisers=("x", "y", "z")), put("h", spec={"status": "Inactive"}))
    yield entry(7, put("h", finalisers=("y",)))
    yield entry(8, put("h"))


def idempotency() -> Iterator[Entry]:
    """Repeats, reuse of a key, first attempts, the end of the window."""

    def put(value: int, key: str, first_ms: int | None = None) -> bytes:
        return envelope_bytes(kv_put("a", value), idempotency_key=key, first_attempt_ms=first_ms)

    yield from birth()
    yield entry(3, put(1, "k", 900), put(1, "k", 900), put(2, "k"), put(3, "l", 5_000))
    yield entry(4, put(1, "k"), clock_ms=2_000)
    late_ms = 1_000 + IDEMPOTENCY_WINDOW_MS
    yield entry(5, put(1, "k", 900), put(4, "m", late_ms), clock_ms=late_ms)
    yield entry(6, put(1, "k"), clock_ms=late_ms)


def settings() -> Iterator[Entry]:
    """Retention of events by count and by age, the feature level."""
    yield from birth()
    yield entry(3, *(envelope_bytes(kv_put(f"k{i}", i)) for i in range(8)))
    yield entry(4, envelope_bytes(SetEventRetention(4, 1 << 40, 50)))
    yield entry(5, envelope_bytes(kv_put("a", 1)), clock_ms=1_049)
    yield entry(6, clock_ms=1_050)
    yield entry(7, envelope_bytes(SetFeatureLevel(1)), clock_ms=1_060)


def generations() -> Iterator[Entry]:
    """The index leaps to the next generation; stamps go on rising."""
    yield from birth()
    yield entry(3, envelope_bytes(kv_put("a", 1)))
    index = make_index(1, 1)
    yield entry(index, envelope_bytes(kv_put("a", 2, expect=Expect.at(make_stamp(3, 0)))))


def leases() -> Iterator[Entry]:
    """Grants, renewals, every way to end, refusals, records bound to a grant, two in one entry."""

    def acquire(name: str, duration_ms: int = 5_000) -> bytes:
        return envelope_bytes(LeaseAcquire(name, duration_ms, encode_value({"host": name})))

    def bound(key: str, token: int) -> bytes:
        return envelope_bytes(KvPut(key.encode(), encode_value(1), None, token))

    yield from birth()
    l_token, m_token = make_stamp(3, 0), make_stamp(3, 2)
    yield entry(3, acquire("l"), acquire("m"), acquire("l"))
    yield entry(4, bound("a", l_token), bound("b", l_token), bound("c", m_token), bound("d", 1))
    yield entry(5, envelope_bytes(LeaseRenew("l", l_token)), clock_ms=3_000)
    yield entry(6, envelope_bytes(LeaseRenew("m", l_token)), clock_ms=3_000)
    yield entry(7, clock_ms=6_000)
    yield entry(8, envelope_bytes(LeaseRenew("m", m_token)), acquire("m", 1_000), clock_ms=6_000)
    yield entry(9, envelope_bytes(kv_put("b", 2)), envelope_bytes(kv_delete("a")), clock_ms=6_001)
    yield entry(10, bound("e", l_token), bound("b", l_token), clock_ms=6_002)
    yield entry(11, envelope_bytes(LeaseRelease("l", l_token), actor="ann"), clock_ms=6_003)
    yield entry(12, envelope_bytes(LeaseForceRelease("m", "stuck"), actor="ann"), clock_ms=6_004)
    yield entry(13, envelope_bytes(LeaseForceRelease("m", "again")), acquire("m"), clock_ms=90_000)


def transactions() -> Iterator[Entry]:
    """Every comparison met and not met, both branches, gets, two writes to one key, a repeat."""
    revision = make_stamp(3, 0)
    one = encode_value(1)
    asked = (
        (CompareKind.ABSENT, None),
        (CompareKind.PRESENT, None),
        (CompareKind.REVISION_EQUALS, revision),
        (CompareKind.REVISION_LESS, revision),
        (CompareKind.REVISION_GREATER, revision),
        (CompareKind.VALUE_EQUALS, one),
    )
    yield from birth()
    yield entry(3, envelope_bytes(kv_put("a", 1)))
    for index, (kind, operand) in enumerate(asked, start=4):
        for_a = Compare(b"a", kind, operand)
        for_b = Compare(b"b", kind, operand)
        yield entry(
            index,
            envelope_bytes(KvTxn((for_a,), (KvGet(b"a"),), (KvGet(b"b"),))),
            envelope_bytes(KvTxn((for_b,), (KvGet(b"a"),), (KvGet(b"b"),))),
        )
    writes = (kv_put("a", 2), KvGet(b"a"), kv_put("a", 3), kv_delete("z"), kv_delete("a"))
    both = KvTxn((Compare(b"a", CompareKind.PRESENT),), writes, (kv_put("b", 1),))
    yield entry(20, envelope_bytes(both, idempotency_key="k"), envelope_bytes(both))
    yield entry(21, envelope_bytes(both, idempotency_key="k"))
    refused = KvTxn((), (kv_put("c", 1), KvPut(b"d", one, None, 1)))
    yield entry(22, envelope_bytes(refused))


def consumers() -> Iterator[Entry]:
    """Made, moved, clamped, refused; trimming stops at the one that is furthest behind until it is
    deleted; one is silent for too long, and is told so."""
    yield from birth()
    yield entry(3, *[envelope_bytes(kv_put(f"k{i}", i)) for i in range(6)])
    low, high = make_stamp(3, 3), make_stamp(3, 7)
    yield entry(
        4,
        envelope_bytes(PutConsumer("a", low), actor="ann"),
        envelope_bytes(PutConsumer("b"), request_id="r"),
        envelope_bytes(PutConsumer("a", high, Expect.absent())),
        envelope_bytes(PutConsumer("c", make_stamp(99, 0))),
        envelope_bytes(DeleteConsumer("d")),
    )
    yield entry(5, envelope_bytes(SetEventRetention(1, 1 << 40, 1 << 40)))
    yield entry(6, envelope_bytes(kv_put("k", 1)))
    yield entry(7, envelope_bytes(PutConsumer("a", 1)), envelope_bytes(PutConsumer("a", high)))
    yield entry(8, envelope_bytes(PutConsumer("a", low)), envelope_bytes(PutConsumer("a")))
    later_ms = 1_000 + CONSUMER_SILENCE_MS_MAX
    yield entry(9, envelope_bytes(PutConsumer("b")), clock_ms=later_ms - 1)
    yield entry(10, envelope_bytes(PutConsumer("a")), clock_ms=later_ms)
    yield entry(
        11,
        envelope_bytes(DeleteConsumer("a")),
        envelope_bytes(PutConsumer("a")),
        envelope_bytes(DeleteConsumer("b", Expect.at(1))),
        envelope_bytes(DeleteConsumer("c")),
        clock_ms=later_ms,
    )


def mixture() -> Iterator[Entry]:
    """Four hundred commands drawn by a fixed seed."""
    chance = random.Random(20_260_101)
    yield from birth()
    for index in range(3, 63):
        commands = [_drawn(chance) for _ in range(chance.randrange(14))]
        yield entry(index, *commands, clock_ms=1_000 + index * 7)


def _drawn(chance: random.Random) -> bytes:
    operations = [_drawn_operation(chance) for _ in range(chance.randrange(1, 4))]
    command: Command = (
        operations[0] if chance.random() < 0.8 else Batch(tuple(operations))  # type: ignore[arg-type]
    )
    key = f"key-{chance.randrange(40)}" if chance.random() < 0.3 else None
    return envelope_bytes(command, request_id=f"r{chance.randrange(9)}", idempotency_key=key)


def _drawn_operation(chance: random.Random) -> Command:
    name = f"n{chance.randrange(6)}"
    expect = chance.choice((None, None, None, Expect.absent(), Expect.present()))
    finalisers = chance.choice(((), (), ("x",)))
    return chance.choice(
        (
            kv_put(name, chance.randrange(1 << 40), expect=expect),
            kv_put(name, {"z": name, "a": [None] * chance.randrange(3)}),
            kv_delete(name, expect=expect),
            put_namespace(name, finalisers=finalisers, expect=expect),
            DeleteObject(ObjectKind.NAMESPACE, (name,)),
        )
    )


def objects() -> Iterator[Entry]:
    """Platforms and clusters in a namespace, labels, refusals, and an end that waits for theirs."""

    def drop(kind: ObjectKind, *scope: str) -> bytes:
        return envelope_bytes(DeleteObject(kind, scope), actor="ann")

    cluster = put_object(cluster_document("r", ns="a", labels={"tier": "cache"}))
    moved = put_object(cluster_document("r", ns="a", labels={"tier": "main", "zone": "1"}))
    platform = put_object(platform_document("p", ns="a"))
    yield from birth()
    yield entry(3, envelope_bytes(cluster), envelope_bytes(put_namespace("a")))
    yield entry(4, envelope_bytes(cluster), envelope_bytes(platform), envelope_bytes(moved))
    yield entry(5, envelope_bytes(moved), drop(ObjectKind.NAMESPACE, "a"))
    yield entry(6, envelope_bytes(put_object(cluster_document("late", ns="a"))))
    yield entry(7, drop(ObjectKind.PLATFORM, "a", "p"))
    yield entry(8, drop(ObjectKind.CLUSTER_SPEC, "a", "r"), drop(ObjectKind.CLUSTER_SPEC, "a", "r"))


def orchestration() -> Iterator[Entry]:
    """Actions that people steer, cycles under a fence that is held and lost, what they refuse, and
    the end of a cluster with its records."""
    ids = [f"{number:08x}-0000-8000-8000-000000000000" for number in range(3)]

    def create(action_id: str, *, is_approved: bool, on: ActionOn = ActionOn.NODE) -> bytes:
        body = {"kind": "a/b", "args": {"x": 1}, "metadata": {}, "requester": "CORE_API"}
        if on is ActionOn.NODE:
            body["node_id"] = "n1"
        names = ("a", "r", action_id)
        return envelope_bytes(CreateAction(on, names, encode_value(body), is_approved))

    def move(action_id: str, verb: ActionVerb) -> bytes:
        names = ("a", "r", "n1", action_id)
        return envelope_bytes(MoveAction(ActionOn.NODE, names, verb, "why"), actor="ann")

    def cycle(token: int, *changes: RecordChange) -> bytes:
        return envelope_bytes(RecordCycle(Fence(FenceOn.CLUSTER, "a", "r", token), changes))

    def node(seen: int | None, status: str) -> RecordChange:
        value = {"ns_id": "a", "cluster_id": "r", "node_id": "n1", "node_status": status}
        code = ChangeCode.NODE_SYNC_NEW if seen is None else ChangeCode.NODE_SYNC_UPDATE
        names = ("a", "r", "n1")
        return RecordChange(RecordKind.NODE, names, seen, encode_value(value), code, "d1")

    lease = LeaseAcquire(lease_name(FenceOn.CLUSTER, "a", "r"), 30_000, encode_value({}))
    decided = RecordChange(
        RecordKind.DECISION, ("a", "r", "d1"), None, encode_value({}), ChangeCode.DECISION
    )
    yield from birth()
    yield entry(3, envelope_bytes(put_namespace("a")), create(ids[0], is_approved=True))
    yield entry(4, envelope_bytes(put_object(cluster_document("r", ns="a"))))
    yield entry(5, create(ids[0], is_approved=False), create(ids[1], is_approved=True))
    yield entry(6, create(ids[2], is_approved=True, on=ActionOn.CLUSTER))
    yield entry(7, move(ids[0], ActionVerb.APPROVE), move(ids[1], ActionVerb.REJECT))
    yield entry(8, move(ids[1], ActionVerb.CANCEL), envelope_bytes(lease))
    token = make_stamp(8, 2)
    yield entry(9, cycle(token, node(None, "HEALTHY"), decided), cycle(1, node(None, "HEALTHY")))
    seen = make_stamp(9, 0)
    yield entry(10, cycle(token, node(seen, "UNREACHABLE")), cycle(token, node(seen, "HEALTHY")))
    yield entry(11, envelope_bytes(DropRecords("a", "r")))
    yield entry(12, envelope_bytes(DeleteObject(ObjectKind.CLUSTER_SPEC, ("a", "r"))))
    yield entry(13, cycle(token, decided), envelope_bytes(DropRecords("a", "r")))


HISTORIES: tuple[Callable[[], Iterator[Entry]], ...] = (
    raft_facts,
    kv_commands,
    namespaces,
    idempotency,
    settings,
    generations,
    leases,
    transactions,
    objects,
    orchestration,
    consumers,
    mixture,
    queues,
    confirmations,
    recovery,
    quarantines,
    batches,
    large_batches,
    batched_consumers,
    rest,
)


if __name__ == "__main__":
    main()
