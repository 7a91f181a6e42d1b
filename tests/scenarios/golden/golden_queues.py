"""The golden history of the work queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from golden_entries import Entry, birth, entry

from replicante.ids import make_stamp
from replicante.limits import CLAIM_BYTES_MAX
from replicante.model.codec import encode_value
from replicante.state.commands import Batch, Command
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease, LeaseRenew
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
from replicante.testing.builders import envelope_bytes, kv_put


def queues() -> Iterator[Entry]:
    """Every queue command done and refused; delays, timeouts, groups, dead letters, a lease."""

    def job(body: int, **fields: Any) -> NewJob:
        return NewJob(body=encode_value(body), **({"attempts_max": 2} | fields))

    def act(index: int, *commands: Command, clock_ms: int = 1_000) -> Entry:
        return entry(index, *map(envelope_bytes, commands), clock_ms=clock_ms)

    yield from birth()
    plain = (job(1), job(2, priority=5), job(3, delay_ms=4_000), job(4, dedup="d"))
    yield act(3, QueueEnqueue("q", plain), QueueEnqueue("q", (job(5, dedup="d"),)))
    yield act(4, QueueEnqueue("q", (job(6, group="g"), job(7, group="g", priority=9))))
    yield act(5, QueueClaim("q", 10, 30_000, "w"))
    first, second, token = make_stamp(3, 0), make_stamp(3, 2), make_stamp(5, 0)
    effects = (kv_put("done", 1), QueueEnqueue("next", (job(8),)))
    yield act(6, QueueAck("q", second, token, effects), QueueAck("q", second, token, effects))
    yield act(7, QueueNack("q", first, make_stamp(5, 2), 1_000, "busy"), QueueExtend("q", first, 1))
    yield act(8, LeaseAcquire("l", 5_000, encode_value({})), clock_ms=6_000)
    yield act(9, QueueClaim("q", 1, 60_000, "w", make_stamp(8, 0)), clock_ms=6_000)
    yield act(10, clock_ms=11_000)
    yield act(11, QueuePause("q", "why"), QueueClaim("q", 9, 1_000, "w"), clock_ms=11_000)
    yield act(12, QueueResume("q"), QueueResume("q"), clock_ms=12_000)
    yield act(13, clock_ms=40_000)
    yield act(14, QueueClaim("q", 10, 1_000, "w"), clock_ms=40_000)
    yield act(15, clock_ms=42_000)
    yield act(16, QueueRedrive("q", 1), QueueRedrive("q", 0, (first, 5)), clock_ms=42_000)
    yield act(17, QueuePurge("q", 2, False, "why"), QueuePurge("q", 9, True, "why"))


def batches() -> Iterator[Entry]:
    """Leases and claims within batches: done, refused, and two of a batch that meet each other."""

    def act(index: int, *commands: Command, clock_ms: int = 1_000) -> Entry:
        return entry(index, envelope_bytes(Batch(commands)), clock_ms=clock_ms)

    yield from birth()
    owner = encode_value({"host": "a"})
    acquired = (LeaseAcquire("l", 5_000, owner), LeaseAcquire("l", 5_000, owner))
    jobs = [QueueEnqueue("q", (NewJob(body=encode_value(n), attempts_max=2),)) for n in range(3)]
    yield act(3, *acquired, *jobs, LeaseAcquire("m", 1_000, owner))
    first, token = make_stamp(3, 2), make_stamp(4, 0)
    yield entry(4, envelope_bytes(QueueClaim("q", 3, 30_000, "w", make_stamp(3, 0))))
    second, third = make_stamp(3, 4), make_stamp(3, 6)
    yield act(
        5,
        QueueAck("q", first, token),
        QueueAck("q", first, token),
        QueueNack("q", second, make_stamp(4, 2), 500, "busy"),
        QueueExtend("q", third, make_stamp(4, 4), 60_000),
        QueueExtend("q", third, 1),
        kv_put("done", 1),
        LeaseRenew("m", make_stamp(3, 8), 9_000),
        LeaseRenew("m", 1),
    )
    yield act(6, LeaseRelease("l", make_stamp(3, 0)), QueueAck("q", third, make_stamp(4, 4)))
    yield act(7, LeaseAcquire("m", 1_000, owner), clock_ms=20_000)


def large_batches() -> Iterator[Entry]:
    """A batch extends and gives back as many bytes of jobs as one may; what is behind is refused,
    and enqueued as ever. Then claims that end together, with a lease and by time."""
    yield from birth()
    large = NewJob(body=encode_value("x" * 16_384), attempts_max=2)
    yield entry(3, envelope_bytes(QueueEnqueue("q", (large, large))))
    yield entry(4, envelope_bytes(LeaseAcquire("l", 5_000, encode_value({}))))
    yield entry(5, envelope_bytes(QueueClaim("q", 1, 9_000, "w", make_stamp(4, 0))))
    yield entry(6, envelope_bytes(QueueClaim("q", 1, 9_000, "w")))
    first, second = make_stamp(3, 0), make_stamp(3, 2)
    extend = QueueExtend("q", first, make_stamp(5, 0))
    nack = QueueNack("q", second, make_stamp(6, 0))
    stale = QueueNack("q", second, make_stamp(5, 0))
    small = QueueEnqueue("q", (NewJob(body=encode_value(1), attempts_max=2),))
    batch = Batch((*[extend] * (CLAIM_BYTES_MAX // 16_384 + 1), nack, stale, small))
    yield entry(7, envelope_bytes(batch))
    yield entry(8, envelope_bytes(Batch((nack, nack))))
    yield entry(9, envelope_bytes(QueueClaim("q", 9, 3_000, "w")))
    yield entry(10, clock_ms=9_000)
