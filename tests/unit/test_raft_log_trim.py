"""A log that forgets what the state machine has, and one that begins anew after a snapshot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from raft_builders import genesis_record, history
from raft_harness import MemoryBackend

from replicante import limits
from replicante.errors import CorruptData
from replicante.raft.driver import Driver
from replicante.raft.log import Base, HardState, Log, WriteSet
from replicante.raft.log_sizes import LogSizes
from replicante.raft.log_store import LmdbLog
from replicante.raft.records import encode_record

MIB = 1 << 20


def long_log(count: int = 40) -> tuple[Log, MemoryBackend, list]:
    """All of it committed and durable."""
    records = history("abc", [1] * count)
    backend = MemoryBackend(records, HardState(term=1))
    log = Log(backend, backend.load())
    log.commit_floor = log.last_index
    return log, backend, records


def persist(log: Log, backend: MemoryBackend) -> None:
    backend.write(log.take_writes())
    log.persisted()


def trimmed(*, kept_bytes: int = 0, applied_index: int = 1_000) -> tuple[Log, MemoryBackend, list]:
    log, backend, records = long_log()
    while (point := log.trim_point(kept_bytes=kept_bytes, applied_index=applied_index)) is not None:
        log.trim_to(point)
        persist(log, backend)
    return log, backend, records


def test_a_log_is_trimmed_down_to_the_bytes_that_it_keeps():
    log, backend, records = trimmed(kept_bytes=1_000)
    assert log.first_index > 1
    assert 1_000 <= log.size_bytes < 1_000 + 2 * 300 + 200
    assert min(backend.stored) == log.first_index
    assert log.term_at(log.first_index) == 1
    assert log.term_at(log.first_index - 1) is None
    assert log.get(log.first_index) == records[log.first_index - 1]


def test_nothing_is_trimmed_that_the_state_machine_lacks():
    log, _, _ = trimmed(applied_index=7)
    assert log.first_index <= 7
    assert trimmed(applied_index=0)[0].first_index == 1


@pytest.mark.parametrize(("held_bytes", "is_kept"), [(0, False), (1_000, False), (1_000_000, True)])
def test_the_log_is_held_for_a_copy_as_long_as_it_is_smaller_than_the_copy(held_bytes, is_kept):
    """A large state takes long to arrive, and what is written meanwhile is needed with it."""
    log, _, _ = long_log()
    kept_bytes = 100
    assert limits.LOG_HELD_FACTOR * kept_bytes < log.size_bytes < 1_000_000
    driver = SimpleNamespace(
        log=log,
        host=SimpleNamespace(machine=SimpleNamespace(durable_index=1_000)),
        held_index=1,
        held_bytes=held_bytes,
        _log_kept_bytes=kept_bytes,
    )
    Driver._trim_log(driver)
    assert (log.first_index == 1) == is_kept


def test_nothing_is_trimmed_that_is_not_committed():
    log, _, _ = long_log()
    log.commit_floor = 1
    assert log.trim_point(kept_bytes=0, applied_index=1_000) is None


def test_a_trimmed_log_starts_again_where_it_began():
    log, backend, _ = trimmed()
    again = Log(backend, backend.load())
    assert (again.first_index, again.last_index) == (log.first_index, log.last_index)
    assert again.configuration == log.configuration
    assert again.configuration[0] == 1, "the configuration outlives the entry that made it"


def test_a_log_after_trimming_can_send_only_what_follows_a_known_entry():
    log, _, _ = trimmed()
    assert not log.can_send_from(log.first_index)
    assert log.can_send_from(log.first_index + 1)
    assert long_log()[0].can_send_from(1), "nothing was ever before the first entry"


def test_truncation_after_trimming_keeps_the_configuration_of_what_is_left():
    log, backend, _ = trimmed()
    log.commit_floor = log.first_index
    log.truncate_from(log.first_index + 1)
    assert log.configuration[0] == 1
    persist(log, backend)
    assert Log(backend, backend.load()).last_index == log.first_index


# --- after a snapshot ----------------------------------------------------------------------------


def base_of(records: list, index: int) -> Base:
    record = records[index - 1]
    return Base(
        index=index,
        term=record.term,
        clock_ms=record.clock_ms,
        chain=record.chain,
        configuration_index=1,
        configuration=records[0].payload,
    )


def test_a_log_keeps_what_follows_the_very_entry_of_the_snapshot():
    log, _, records = long_log(10)
    log.reset_to(base_of(records, 6), keeps_tail=True)
    assert (log.first_index, log.last_index) == (6, 11)


def test_a_log_of_another_history_begins_with_the_snapshot_alone():
    log, _, _ = long_log(10)
    others = history("abc", [2] * 20)
    log.reset_to(base_of(others, 15), keeps_tail=False)
    assert (log.first_index, log.last_index, log.durable_index) == (15, 15, 15)
    assert (log.last_term, log.chain) == (2, others[14].chain)
    assert log.commit_floor >= 15


# --- on disk ----------------------------------------------------------------------------------


def stored(tmp_path, records) -> LmdbLog:
    store = LmdbLog(tmp_path / "log", map_bytes=64 * MIB)
    rows = tuple((record.index, encode_record(record)) for record in records)
    store.write(WriteSet(None, rows, HardState(term=9)))
    return store


def test_trimming_is_on_disk_together_with_where_the_log_begins(tmp_path):
    records = history("abc", [1] * 10)
    store = stored(tmp_path, records)
    store.write(WriteSet(None, (), None, base_of(records, 6)))
    store.close()
    again = LmdbLog(tmp_path / "log", map_bytes=64 * MIB)
    loaded = again.load()
    assert loaded is not None
    assert (loaded.first_index, loaded.last.index) == (6, 11)
    assert loaded.configurations == [(1, records[0].payload)]
    again.close()


def test_a_log_that_lost_its_first_entry_is_refused(tmp_path):
    records = history("abc", [1] * 10)
    store = stored(tmp_path, records)
    store.write(WriteSet(None, (), None, base_of(records, 6)))
    store._transact({}, None, (), trim_to=7)
    with pytest.raises(CorruptData, match="entry 6 is missing"):
        store.load()
    store.close()


def test_a_first_entry_of_another_history_is_refused(tmp_path):
    records, others = history("abc", [1] * 10), history("abc", [2] * 10)
    store = stored(tmp_path, records)
    store.write(WriteSet(None, (), None, base_of(others, 6)))
    with pytest.raises(CorruptData):
        store.load()
    store.close()


@pytest.mark.parametrize("follows", [True, False])
def test_an_installation_is_ended_in_one_transaction(tmp_path, follows):
    records, others = history("abc", [1] * 10), history("abc", [2] * 20)
    base = base_of(records, 8) if follows else base_of(others, 15)
    store = stored(tmp_path, records)
    store.write_marker(base)
    assert store.marker() == base
    assert store.reset_to(base) is follows
    assert store.marker() is None
    loaded = store.load()
    assert loaded is not None
    assert loaded.first_index == base.index
    assert loaded.last.index == (11 if follows else 15)
    store.close()


def test_an_installation_that_changed_nothing_is_dropped(tmp_path):
    store = stored(tmp_path, history("abc", [1] * 3))
    store.write_marker(base_of(history("abc", [2] * 20), 15))
    store.drop_marker()
    assert store.marker() is None
    assert store.load().last.index == 4
    store.close()


# --- sizes --------------------------------------------------------------------------------------


def test_sizes_add_up_through_additions_truncations_and_trims():
    sizes = LogSizes(100)
    for index in range(1, 11):
        sizes.add(index, 60)
    assert sizes.total_bytes == 600
    sizes.truncate_from(8)
    assert sizes.total_bytes == 420
    sizes.drop_below(3)
    assert sizes.total_bytes == 300
    sizes.drop_below(100)
    assert sizes.total_bytes == 0


def test_the_last_segment_always_stays():
    sizes = LogSizes(100)
    sizes.add(1, 1_000)
    assert sizes.trim_point(kept_bytes=0, limit=10) is None


def test_a_genesis_is_the_first_configuration():
    log, _, _ = long_log(3)
    assert log.configuration == (1, genesis_record("abc").payload)
