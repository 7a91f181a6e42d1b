"""Leases and transactions against a reference model that fits on one page, on both stores."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicante.model.codec import encode_value, load_value
from replicante.state import invariants, lease_queries, queries, sweeps
from replicante.state.commands import KvDelete, KvGet, KvPut, KvTxn
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.digest import row_hash
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.outcome import Applied, Got, Rejected, TxnApplied
from replicante.storage.lmdb_store import LmdbStore
from replicante.testing.builders import LoneState


@dataclass
class Held:
    token: int
    ends_ms: int
    duration_ms: int


@dataclass
class Model:
    """What is true, by the simplest means: everything that is over is thrown away at once."""

    leases: dict[str, Held] = field(default_factory=dict)
    records: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def pass_time(self, now_ms):
        over = {lease.token for lease in self.leases.values() if lease.ends_ms <= now_ms}
        self._drop(over)

    def end(self, name):
        self._drop({self.leases[name].token})

    def _drop(self, over):
        self.leases = {name: one for name, one in self.leases.items() if one.token not in over}
        self.records = {key: one for key, one in self.records.items() if one[1] not in over}

    @property
    def tokens(self):
        return {lease.token for lease in self.leases.values()}

    def holds(self, kind, key, value):
        found = self.records.get(key)
        if kind is CompareKind.ABSENT:
            return found is None
        if kind is CompareKind.PRESENT:
            return found is not None
        return found is not None and found[0] == value


NAMES = st.sampled_from(["l", "m"])
KEYS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 3)
WHICH = st.integers(0, 5)
"""Which of the tokens ever granted."""
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, NUMBERS, st.none() | WHICH),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("get"), KEYS),
    ),
    max_size=4,
)
KINDS = st.sampled_from([CompareKind.ABSENT, CompareKind.PRESENT, CompareKind.VALUE_EQUALS])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), NAMES, st.sampled_from([1_000, 2_000])),
        st.tuples(st.just("acquire"), NAMES, st.just(3_000)),
        st.tuples(st.just("renew"), NAMES, WHICH, st.sampled_from([None, 1_500])),
        st.tuples(st.just("release"), NAMES, WHICH),
        st.tuples(st.just("force"), NAMES),
        st.tuples(st.just("wait"), st.sampled_from([1, 500, 999, 1_000, 2_500])),
        st.tuples(
            st.just("txn"), st.lists(st.tuples(KINDS, KEYS, NUMBERS), max_size=2), OPERATIONS
        ),
        st.tuples(st.just("txn"), st.just([]), OPERATIONS),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


class Walk:
    def __init__(self, store=None):
        self.state = LoneState(store)
        self.model = Model()
        self.granted = [1]

    def token(self, which):
        return self.granted[-1 - which % len(self.granted)]

    def step(self, what, *args):
        getattr(self, what)(*args)
        self.compare()

    def wait(self, ms):
        self.state.advance(ms)
        self.state.tick()
        self.model.pass_time(self.state.clock_ms)

    def reopen(self):
        self.state = LoneState(self.state.store)

    def acquire(self, name, duration_ms):
        outcome = self.state.do(LeaseAcquire(name, duration_ms, encode_value({})))
        before = self.model.leases.get(name)
        if before is not None:
            left_ms = before.ends_ms - self.state.clock_ms
            assert outcome.details == {"token": before.token, "left_ms": left_ms}
            return
        assert outcome.revision > max(self.granted)
        self.granted.append(outcome.revision)
        ends_ms = self.state.clock_ms + duration_ms
        self.model.leases[name] = Held(outcome.revision, ends_ms, duration_ms)

    def renew(self, name, which, duration_ms):
        token = self.token(which)
        outcome = self.state.do(LeaseRenew(name, token, duration_ms))
        if self._is_refused(outcome, name, token):
            return
        held = self.model.leases[name]
        held.duration_ms = duration_ms or held.duration_ms
        held.ends_ms = self.state.clock_ms + held.duration_ms

    def release(self, name, which):
        token = self.token(which)
        outcome = self.state.do(LeaseRelease(name, token))
        if not self._is_refused(outcome, name, token):
            self.model.end(name)

    def force(self, name):
        outcome = self.state.do(LeaseForceRelease(name, "why"))
        assert isinstance(outcome, Applied) is (name in self.model.leases)
        if name in self.model.leases:
            self.model.end(name)

    def txn(self, compares, operations):
        is_success = all(self.model.holds(*one) for one in compares)
        built = [self._operation(one) for one in operations]
        outcome = self.state.do(
            KvTxn(
                tuple(
                    Compare(
                        key.encode(),
                        kind,
                        encode_value(number) if kind is CompareKind.VALUE_EQUALS else None,
                    )
                    for kind, key, number in compares
                ),
                tuple(built),
                (KvGet(b"a"),),
            )
        )
        leases = {one.lease for one in built if isinstance(one, KvPut)} - {None}
        if is_success and not leases <= self.model.tokens:
            assert isinstance(outcome, Rejected)
            return
        assert isinstance(outcome, TxnApplied)
        assert outcome.is_success is is_success
        if is_success:
            for one, result in zip(operations, outcome.results, strict=True):
                self._apply(one, result)

    def _operation(self, one):
        key = one[1].encode()
        if one[0] == "put":
            lease = None if one[3] is None else self.token(one[3])
            return KvPut(key, encode_value(one[2]), None, lease)
        return KvDelete(key) if one[0] == "delete" else KvGet(key)

    def _apply(self, one, result):
        records, key = self.model.records, one[1]
        if one[0] == "put":
            assert result.is_created is (key not in records)
            records[key] = (one[2], None if one[3] is None else self.token(one[3]))
        elif one[0] == "delete":
            assert result.is_removed is (key in records)
            records.pop(key, None)
        else:
            assert isinstance(result, Got)
            found = None if result.value is None else load_value(result.value)
            assert found == records.get(key, (None,))[0]

    def _is_refused(self, outcome, name, token):
        held = self.model.leases.get(name)
        if held is not None and held.token == token:
            assert isinstance(outcome, Applied)
            return False
        assert outcome.details == {"held": None if held is None else held.token}
        return True

    def compare(self):
        store = self.state.store
        found = {
            one.name: (one.token, one.deadline_ms) for one in lease_queries.lease_list(store).items
        }
        assert found == {name: (one.token, one.ends_ms) for name, one in self.model.leases.items()}
        records = {
            one.key.decode(): (load_value(one.value), one.lease)
            for one in queries.kv_range(store).items
        }
        assert records == self.model.records
        for key, (value, _) in records.items():
            assert load_value(queries.kv_get(store, key.encode()).value) == value
        with self.state.machine.view() as view:
            invariants.assert_holds(view)


@pytest.fixture(autouse=True, params=[1, 500])
def bound(request, monkeypatch):
    """Of what one entry sweeps: with 1, much is over that has not been swept."""
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", request.param)


many = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@many
@given(STEPS)
def test_the_state_does_what_the_model_does(steps):
    walk = Walk()
    for step in steps:
        walk.step(*step)


@settings(parent=many, max_examples=30)
@given(STEPS)
def test_the_state_on_disk_does_what_the_model_does(steps):
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbStore.open(
            Path(folder) / "state", identity=b"test", map_bytes=1 << 24, row_hash=row_hash
        )
        try:
            walk = Walk(store)
            for number, step in enumerate(steps):
                walk.step(*step)
                if number % 4 == 0:
                    walk.state.machine.flush()
        finally:
            store.close()
