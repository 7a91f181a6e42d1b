"""The same entries give the same state, whatever the machine: the promise that apply makes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicante.errors import RequestError
from replicante.ids import make_stamp
from replicante.model.codec import load_value
from replicante.model.objects import ObjectKind
from replicante.state import dedupe, invariants, lease_admission, queries, sweeps
from replicante.state.apply_entry import EntryKind
from replicante.state.commands import (
    Batch,
    DeleteObject,
    KvDelete,
    KvGet,
    KvPut,
    KvTxn,
    PutObject,
    SetEventRetention,
    SetFeatureLevel,
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.digest import row_hash
from replicante.state.envelope import Envelope, admit
from replicante.state.expect import Expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore
from replicante.testing.builders import (
    BuiltEntry,
    BuiltHeader,
    CheckedState,
    LoneState,
    envelope_bytes,
    kv_put,
    put_namespace,
)

# Few names, so that commands meet each other; a few that admission refuses.
KEYS = st.sampled_from([b"a", b"b", b"a/b", b"a\x00", "é".encode(), b"\xff", b""])
VALUES = st.sampled_from(
    [b"\x01", b"\xc0", b"\x93\x01\x02\x03", b"\xa1x", b"\xcc\x01", b"", b"\x81"]
)
STAMPS = st.builds(make_stamp, st.integers(1, 6), st.integers(0, 6)).filter(bool)
PLAIN_EXPECTATIONS = st.sampled_from([None, None, Expect.absent(), Expect.present()])
EXPECTATIONS = PLAIN_EXPECTATIONS | st.builds(Expect.at, STAMPS)
SPECS = st.sampled_from(
    [put_namespace("n").spec, put_namespace("n", spec={"status": "Inactive"}).spec]
)
FINALISERS = st.sampled_from([(), (), ("x",), ("x", "y"), ("y", "x")])
SCOPE = st.just(("n",))


def operations(expectations):
    return st.one_of(
        st.builds(KvPut, KEYS, VALUES, expectations),
        st.builds(KvPut, KEYS, VALUES, expectations),
        st.builds(KvDelete, KEYS, expectations),
        st.builds(PutObject, st.just(ObjectKind.NAMESPACE), SCOPE, SPECS, FINALISERS, expectations),
        st.builds(DeleteObject, st.just(ObjectKind.NAMESPACE), SCOPE, expectations),
    )


LEASES = st.sampled_from(["l", "m"])
COMPARES = st.one_of(
    st.builds(Compare, KEYS, st.sampled_from([CompareKind.ABSENT, CompareKind.PRESENT])),
    st.builds(Compare, KEYS, st.just(CompareKind.REVISION_GREATER), STAMPS),
    st.builds(Compare, KEYS, st.just(CompareKind.VALUE_EQUALS), VALUES),
)
TXN_OPERATIONS = st.lists(
    st.one_of(
        st.builds(KvPut, KEYS, VALUES, st.none(), st.none() | STAMPS),
        st.builds(KvDelete, KEYS),
        st.builds(KvGet, KEYS),
    ),
    max_size=3,
).map(tuple)
LEASE_AND_TXN_COMMANDS = st.one_of(
    st.builds(KvPut, KEYS, VALUES, EXPECTATIONS, STAMPS),
    st.builds(LeaseAcquire, LEASES, st.sampled_from([20, 40, 0]), st.sampled_from([b"\x80", b""])),
    st.builds(LeaseAcquire, LEASES, st.just(60), st.just(b"\x81\xa1h\x01")),
    st.builds(LeaseRenew, LEASES, STAMPS, st.sampled_from([None, 50])),
    st.builds(LeaseRelease, LEASES, STAMPS),
    st.builds(LeaseForceRelease, LEASES, st.just("why")),
    st.builds(KvTxn, st.lists(COMPARES, max_size=2).map(tuple), TXN_OPERATIONS, TXN_OPERATIONS),
)


def commands(expectations):
    return st.one_of(
        operations(expectations),
        st.builds(Batch, st.lists(operations(expectations), max_size=4).map(tuple)),
    )


SETTINGS_COMMANDS = st.one_of(
    st.builds(
        SetEventRetention, st.integers(0, 6), st.just(1 << 40), st.sampled_from([0, 30, 1 << 40])
    ),
    st.builds(SetFeatureLevel, st.integers(0, 2)),
)
ENVELOPES = st.builds(
    Envelope,
    request_id=st.sampled_from(["", "r1", "é"]),
    actor=st.sampled_from(["", "ann"]),
    command=commands(EXPECTATIONS) | SETTINGS_COMMANDS | LEASE_AND_TXN_COMMANDS,
    idempotency_key=st.sampled_from([None, None, "k1", "k2", "k3", "k4"]),
    first_attempt_ms=st.sampled_from([None, None, 0, 5, 50, 500]),
)


@st.composite
def histories(draw):
    """Entries of every kind, with what admission lets through; clocks go back now and then."""
    entries = []
    index, clock_ms = 0, 0
    for _ in range(draw(st.integers(1, 8))):
        index += draw(st.sampled_from([1, 1, 1, 5]))
        clock_ms += draw(st.sampled_from([0, 1, 20, 60, -3]))
        kind = draw(st.sampled_from([EntryKind.COMMANDS] * 4 + list(EntryKind)))
        header = BuiltHeader(
            index=index,
            clock_ms=max(clock_ms, 0),
            wall_ms=draw(st.integers(0, 10)),
            kind=kind,
            detail={} if kind is EntryKind.COMMANDS else {"z": [1], "a": {"c": 1, "b": 2}},
        )
        admitted = []
        if kind is EntryKind.COMMANDS:
            for envelope in draw(st.lists(ENVELOPES, max_size=5)):
                try:
                    admitted.append(admit(envelope))
                except RequestError:
                    continue
        entries.append(BuiltEntry(header=header, commands=tuple(admitted)))
    return entries


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    """So small that short histories reach them."""
    monkeypatch.setattr(dedupe, "IDEMPOTENCY_WINDOW_MS", 100)
    monkeypatch.setattr(sweeps, "IDEMPOTENCY_WINDOW_MS", 100)
    monkeypatch.setattr(dedupe, "REQUESTS_KEPT_MAX", 2)
    monkeypatch.setattr(dedupe, "EXPIRE_BATCH_MAX", 1)
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 1)
    monkeypatch.setattr(sweeps, "CLAIM_BYTES_MAX", 1)
    monkeypatch.setattr(lease_admission, "LEASE_MS_MIN", 1)


def replay(state, entries):
    return [state.replay(entry) for entry in entries]


def rows(store):
    return dict(store.scan(b"", b"\xff" * 512))


fast = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fast
@given(histories())
def test_every_state_on_the_way_is_sound(entries):
    replay(CheckedState(), entries)


@fast
@given(histories(), st.data())
def test_flushes_and_power_cuts_do_not_show(entries, data):
    steady = LoneState()
    outcomes = replay(steady, entries)
    store = MemoryStore(row_hash=row_hash)
    shaken = LoneState(store)
    position = 0
    while position < len(entries):
        entry = entries[position]
        assert shaken.replay(entry) == outcomes[position]
        position += 1
        what = data.draw(st.sampled_from(["go on", "flush", "reopen", "power cut"]))
        if what == "flush":
            shaken.machine.request_flush()
        elif what == "reopen":
            shaken = LoneState(store)
        elif what == "power cut":
            store = store.crashed_copy()
            shaken = LoneState(store)
            durable = store.applied_index
            position = sum(1 for one in entries if one.header.index <= durable)
    assert rows(shaken.store) == rows(steady.store)
    assert shaken.machine.digest_at_applied() == steady.machine.digest_at_applied()


@settings(parent=fast, max_examples=25)
@given(histories())
def test_the_store_does_not_show(entries):
    memory = LoneState()
    outcomes = replay(memory, entries)
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbStore.open(
            Path(folder) / "state", identity=b"test", map_bytes=1 << 24, row_hash=row_hash
        )
        try:
            half = len(entries) // 2
            lone = LoneState(store)
            assert replay(lone, entries[:half]) == outcomes[:half]
            lone.machine.flush()
            assert replay(lone, entries[half:]) == outcomes[half:]
            assert lone.machine.digest_at_applied() == memory.machine.digest_at_applied()
            with store.view() as view:
                invariants.assert_holds(view)
        finally:
            store.close()


@fast
@given(
    st.lists(commands(PLAIN_EXPECTATIONS), max_size=10),
    st.lists(st.booleans(), min_size=10, max_size=10),
)
def test_how_commands_share_entries_shows_in_stamps_only(wanted, cuts):
    admitted = []
    for command in wanted:
        try:
            admitted.append(envelope_bytes(command))
        except RequestError:
            continue
    apart, together = LoneState(), LoneState()
    for command in admitted:
        apart.propose(command)
    waiting = []
    for command, is_cut in zip(admitted, cuts, strict=False):
        waiting.append(command)
        if is_cut:
            together.propose_together(waiting)
            waiting = []
    together.propose_together(waiting)
    assert _seen(apart) == _seen(together)


def _seen(state):
    """What people see, without stamps."""
    events = queries.events_after(state.store, 0, limit=1_000, scan_max=1_000).items
    records = queries.kv_range(state.store).items
    found = queries.object_list(state.store, ObjectKind.NAMESPACE).items
    return (
        [
            (event.seq, event.code, event.key, event.payload_value().get("value"))
            for event in events
        ],
        [(record.key, load_value(record.value)) for record in records],
        [(one.scope, one.status, one.spec, one.finalisers) for one in found],
    )


@fast
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0, 0, 1, 40, 100])), max_size=20)
)
def test_a_truthful_client_never_has_a_request_applied_twice(steps):
    """Each key is one request that is sent again and again, saying when it was first sent, while
    other requests push it out of the memory and time out of the window."""
    state = CheckedState()
    first_sent_ms = {}
    for key, pause_ms in steps:
        state.advance(pause_ms)
        first_ms = first_sent_ms.setdefault(key, state.machine.clock_ms)
        state.do(kv_put(key, 1), idempotency_key=key, first_attempt_ms=first_ms)
    events = queries.events_after(state.store, 0, limit=1_000, scan_max=1_000).items
    keys = [event.key for event in events]
    assert len(keys) == len(set(keys))
