"""The golden histories of what went wrong: what ends when a generation begins, and peers whose
state was found to be wrong."""

from __future__ import annotations

from collections.abc import Iterator

from golden_entries import Entry, birth, entry

from replicante.ids import make_index, make_stamp
from replicante.limits import QUARANTINES_KEPT_MAX
from replicante.model.codec import encode_value
from replicante.state.consumer_commands import PutConsumer
from replicante.state.lease_commands import LeaseAcquire, LeaseRenew
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import NewJob, QueueAck, QueueClaim, QueueEnqueue
from replicante.testing.builders import envelope_bytes, kv_put


def recovery() -> Iterator[Entry]:
    """Leases, claims, a delayed job and a skipped entry before; the same names after; a consumer
    that comes with a lost position; a second recovery that leaves a generation out."""
    jobs = tuple(
        NewJob(body=encode_value(body), attempts_max=attempts_max, delay_ms=delay_ms)
        for body, attempts_max, delay_ms in (("once", 1, 0), ("twice", 2, 0), ("later", 2, 90_000))
    )
    lease = LeaseAcquire("l", 60_000, encode_value({"who": "p1"}))
    yield from birth()
    yield entry(3, envelope_bytes(lease), envelope_bytes(QueueEnqueue("q", jobs)))
    yield entry(4, envelope_bytes(QueueClaim("q", 2, 60_000, "w", make_stamp(3, 0))))
    yield entry(5, kind="SKIPPED", detail={"reason": "poison", "chain": "ab" * 16})
    first = make_index(1, 1)
    yield entry(first, **_recovered(1, last_index=5))
    yield entry(
        first + 1,
        envelope_bytes(LeaseRenew("l", make_stamp(3, 0), None)),
        envelope_bytes(QueueAck("q", make_stamp(3, 3), make_stamp(4, 2), ())),
        envelope_bytes(lease),
        envelope_bytes(QueueClaim("q", 9, 60_000, "w")),
    )
    yield entry(
        first + 2,
        envelope_bytes(PutConsumer("c", make_stamp(6, 0), None)),
        envelope_bytes(PutConsumer("c", make_stamp(5, 0), None)),
    )
    second = make_index(3, 1)
    yield entry(second, **_recovered(3, last_index=first + 2))
    yield entry(
        second + 1,
        envelope_bytes(kv_put("after", 1)),
        envelope_bytes(PutConsumer("c", make_stamp(make_index(2, 1), 0), None)),
    )


def quarantines() -> Iterator[Entry]:
    """A peer is told of once for each of its incarnations, with and without evidence, whoever tells
    it; more of them than are remembered."""
    digests = (("p1", "aa" * 16), ("p2", "bb" * 16), ("p3", "aa" * 16))
    yield from birth()
    yield entry(
        3,
        envelope_bytes(NoteQuarantine("p2", "i1", 2_048, digests), actor="replicante"),
        envelope_bytes(NoteQuarantine("p2", "i1", 3_072)),
        envelope_bytes(NoteQuarantine("p2", "i2", 3_072)),
    )
    yield entry(4, envelope_bytes(NoteQuarantine("p2", "i1", 2_048, digests[:1])))
    many = (NoteQuarantine("p3", f"i{number}", 4_096) for number in range(QUARANTINES_KEPT_MAX))
    yield entry(5, *map(envelope_bytes, many))
    yield entry(6, envelope_bytes(NoteQuarantine("p2", "i1", 2_048)))


def _recovered(generation: int, *, last_index: int) -> Entry:
    recovery = {
        "how": "forced",
        "from": "p1",
        "generation": generation,
        "last_index": last_index,
        "last_term": 1,
        "reason": "the others burnt",
    }
    detail = {"voters": [["p1", "i3"]], "learners": [], "invited": [], "recovery": recovery}
    return {"kind": "RECOVERED", "detail": detail}
