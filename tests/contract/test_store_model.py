"""Every Store against a dictionary, under random writes, flushes, views and power cuts."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_disks import LmdbDisk, MemoryDisk, PlainLmdbDisk, rows_of

from replicante.limits import ROW_KEY_BYTES_MAX
from replicante.storage.keys import ABOVE_ALL_KEYS

keys = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b"a", b"a\x00", b"b", b"\xff", b"\x00", b"\xff" * ROW_KEY_BYTES_MAX]),
)
bounds = st.one_of(keys, st.sampled_from([b"", ABOVE_ALL_KEYS]))
values = st.binary(max_size=4)


class StoreMachine(RuleBasedStateMachine):
    """Random writes, flushes, views and power cuts; the model is one dict an index."""

    make_disk = MemoryDisk

    def __init__(self):
        super().__init__()
        self.disk = self.make_disk()
        self.store = self.disk.open()
        self.rows = {}
        self.ended = {0: {}}
        self.index = 0
        self.durable_index = 0
        self.is_in_entry = False

    def teardown(self):
        self.store.close()
        self.disk.remove()

    @rule(rows=st.dictionaries(keys, values, min_size=1, max_size=8))
    def put(self, rows):
        for key, value in rows.items():
            self.store.put(key, value)
        self.rows.update(rows)
        self.is_in_entry = True

    @rule(key=keys)
    def delete(self, key):
        self.store.delete(key)
        self.rows.pop(key, None)
        self.is_in_entry = True

    @rule(place=st.integers(0, 99))
    def delete_a_row(self, place):
        """Which rows there are depends on how far a flush came before a power cut, so nothing that
        is drawn may."""
        if self.rows:
            self.delete(sorted(self.rows)[place % len(self.rows)])
        self.is_in_entry = True

    @rule(step=st.integers(1, 3))
    def end_entry(self, step):
        self.index += step
        self.store.end_entry(self.index)
        self.ended[self.index] = dict(self.rows)
        self.is_in_entry = False

    @precondition(lambda self: not self.is_in_entry)
    @rule()
    def request_flush(self):
        self.store.request_flush()

    @precondition(lambda self: not self.is_in_entry)
    @rule()
    def flush(self):
        self.store.flush()
        assert self.store.durable_index == self.index

    @rule()
    def power_cut(self):
        known_durable = self.store.durable_index
        self.store = self.disk.power_cut(self.store)
        self.index = self.store.applied_index
        assert self.index >= known_durable
        self.rows = dict(self.ended[self.index])
        self.ended = {index: rows for index, rows in self.ended.items() if index <= self.index}
        self.is_in_entry = False
        assert rows_of(self.store) == sorted(self.rows.items())

    @rule(start=bounds, end=bounds, is_reversed=st.booleans())
    def scan(self, start, end, is_reversed):
        expected = sorted(row for row in self.rows.items() if start <= row[0] < end)
        found = rows_of(self.store, start, end, is_reversed=is_reversed)
        assert found == (expected[::-1] if is_reversed else expected)

    @precondition(lambda self: not self.is_in_entry)
    @rule(start=bounds, end=bounds, is_reversed=st.booleans(), key=keys)
    def view(self, start, end, is_reversed, key):
        expected = sorted(row for row in self.rows.items() if start <= row[0] < end)
        with self.store.view() as view:
            assert view.applied_index == self.index
            assert view.get(key) == self.rows.get(key)
            found = rows_of(view, start, end, is_reversed=is_reversed)
        assert found == (expected[::-1] if is_reversed else expected)

    @rule(key=keys)
    def get(self, key):
        assert self.store.get(key) == self.rows.get(key)

    @invariant()
    def indexes_agree(self):
        assert self.durable_index <= self.store.durable_index <= self.store.applied_index
        assert self.store.applied_index == self.index
        self.durable_index = min(self.store.durable_index, self.index)


class LmdbStoreMachine(StoreMachine):
    make_disk = LmdbDisk


class PlainLmdbStoreMachine(StoreMachine):
    make_disk = PlainLmdbDisk


short = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryStoreAgainstModel = StoreMachine.TestCase
TestMemoryStoreAgainstModel.settings = short
TestLmdbStoreAgainstModel = LmdbStoreMachine.TestCase
TestLmdbStoreAgainstModel.settings = short
TestPlainLmdbStoreAgainstModel = PlainLmdbStoreMachine.TestCase
TestPlainLmdbStoreAgainstModel.settings = short
