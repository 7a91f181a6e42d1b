"""The log as the engine sees it: a list that is cut only where it may be, and written in sets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raft_harness import HardState, MemoryBackend, genesis_record, history, record_after

from replicante import limits
from replicante.errors import FatalError
from replicante.raft.log import Log
from replicante.raft.log_store import LmdbLog


def opened(terms=(), *, tail_bytes_max=1_000_000):
    backend = MemoryBackend(history("abc", terms))
    return Log(backend, backend.load(tail_bytes_max=tail_bytes_max)), backend


def append(log, *, term=1, payload=b"\x90", clock_ms=0):
    log.append(record_after(log.last_record, term=term, payload=payload, clock_ms=clock_ms))


def persist(log, backend):
    backend.write(log.take_writes())
    log.persisted()


def test_an_appended_entry_is_readable_at_once_and_durable_after_its_write():
    log, backend = opened()
    append(log)
    assert (log.last_index, log.durable_index, log.has_writes) == (2, 1, True)
    assert log.get(2).term == 1
    persist(log, backend)
    assert (log.durable_index, log.has_writes) == (2, False)


def test_what_is_in_flight_is_not_durable():
    log, _ = opened()
    append(log)
    log.take_writes()
    assert log.durable_index == 1


def test_one_write_is_in_flight_at_a_time():
    log, _ = opened()
    append(log)
    log.take_writes()
    with pytest.raises(AssertionError):
        log.take_writes()


def test_terms_and_clocks_never_go_back_along_the_log():
    log, _ = opened([2])
    with pytest.raises(AssertionError):
        append(log, term=1)
    append(log, term=2, clock_ms=5)
    with pytest.raises(AssertionError):
        append(log, term=2, clock_ms=4)


def test_a_cut_of_durable_entries_leaves_with_what_replaces_them():
    log, backend = opened([1, 1, 1])
    log.truncate_from(3)
    append(log, term=2)
    assert log.durable_index == 2
    writes = log.take_writes()
    assert writes.truncate_from == 3
    assert [index for index, _ in writes.records] == [3]
    backend.write(writes)
    log.persisted()
    assert [record.term for record in backend.records()] == [0, 1, 2]


def test_two_cuts_in_one_step_leave_as_the_lower_one():
    log, backend = opened([1, 1, 1])
    log.truncate_from(4)
    append(log, term=2)
    log.truncate_from(3)
    append(log, term=3)
    persist(log, backend)
    assert [record.term for record in backend.records()] == [0, 1, 3]


def test_a_cut_of_entries_that_were_never_written_writes_no_cut():
    log, _ = opened()
    append(log)
    log.truncate_from(2)
    assert log.take_writes().truncate_from is None


def test_a_committed_entry_is_never_cut():
    log, _ = opened([1, 1, 1])
    log.commit_floor = 3
    for index in (1, 2, 3):
        with pytest.raises(FatalError):
            log.truncate_from(index)
    log.truncate_from(4)


def test_the_first_entry_is_never_cut():
    log, _ = opened([1])
    log.commit_floor = 0
    with pytest.raises(FatalError):
        log.truncate_from(1)


def test_a_vote_is_staged_once_and_only_when_it_changes():
    log, backend = opened()
    log.set_hard(HardState(term=1, voted_for="a"))
    assert log.take_writes().hard == HardState(term=1, voted_for="a")
    log.persisted()
    log.set_hard(HardState(term=1, voted_for="a"))
    assert not log.has_writes
    assert backend.hard == HardState()


def test_a_term_never_goes_back_and_a_vote_is_never_changed():
    log, _ = opened()
    log.set_hard(HardState(term=2, voted_for="a"))
    with pytest.raises(AssertionError):
        log.set_hard(HardState(term=1))
    for other in ("b", None):
        with pytest.raises(AssertionError):
            log.set_hard(HardState(term=2, voted_for=other))


def test_terms_outside_the_log_are_unknown_and_the_place_before_it_is_zero():
    log, _ = opened([1, 3])
    assert [log.term_at(index) for index in (0, 1, 2, 3, 4)] == [0, 0, 1, 3, None]


@given(terms=st.lists(st.integers(1, 5)), index=st.integers(0, 12), term=st.integers(0, 6))
def test_the_newest_place_of_a_term_is_what_a_search_finds(terms, index, term):
    log, _ = opened(sorted(terms))
    places = [
        place for place in range(1, min(index, log.last_index) + 1) if log.term_at(place) <= term
    ]
    assert log.newest_at_most(index=index, term=term) == max(places, default=0)


def test_a_read_ends_at_its_count_its_bytes_or_the_log(monkeypatch):
    log, _ = opened([1] * 9, tail_bytes_max=150)
    indexes = [record.index for record in log.read(2, count_max=4, bytes_max=1 << 20)]
    assert indexes == [2, 3, 4, 5]
    assert len(log.read(2, count_max=9, bytes_max=1)) == 1
    assert len(log.read(9, count_max=9, bytes_max=1 << 20)) == 2
    assert log.read(11, count_max=9, bytes_max=1 << 20) == []


def test_only_the_newest_bytes_stay_in_memory_and_older_entries_are_read_again(monkeypatch):
    monkeypatch.setattr(limits, "LOG_TAIL_BYTES_MAX", 500)
    log, backend = opened()
    for _ in range(20):
        append(log, payload=bytes(100))
    persist(log, backend)
    assert len(log._tail) < 5
    assert [record.index for record in log.read(1, count_max=30, bytes_max=1 << 20)] == [
        *range(1, 22)
    ]


# --- a model -------------------------------------------------------------------------------

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("truncate"), st.floats(0, 1)),
        st.tuples(st.just("commit"), st.floats(0, 1)),
        st.tuples(st.just("vote"), st.sampled_from("abc")),
        st.tuples(st.just("persist"), st.none()),
        st.tuples(st.just("restart"), st.none()),
    ),
    max_size=60,
)


class Model:
    """What a log must look like: a list of payloads and terms, and its durable copy."""

    def __init__(self):
        first = genesis_record("abc")
        self.entries = [(first.term, first.payload)]
        self.durable = list(self.entries)
        self.hard = self.durable_hard = HardState(term=1)
        self.floor = 1
        self.counter = 0

    def persist(self):
        self.durable, self.durable_hard = list(self.entries), self.hard

    def crash(self):
        self.entries, self.hard = list(self.durable), self.durable_hard
        self.floor = min(self.floor, len(self.entries))


def follow_model(operations, open_backend):
    model = Model()
    backend = open_backend()
    backend.write(_first_write(model))
    log = Log(backend, backend.load())
    for name, argument in operations:
        match name:
            case "append":
                for _ in range(argument):
                    model.counter += 1
                    payload = b"%d" % model.counter
                    term = model.hard.term
                    append(log, term=term, payload=payload)
                    model.entries.append((term, payload))
            case "truncate":
                low, high = model.floor + 1, len(model.entries)
                if low <= high:
                    index = low + int(argument * (high - low))
                    log.truncate_from(index)
                    del model.entries[index - 1 :]
                    model.hard = HardState(term=model.hard.term + 1)
                    log.set_hard(model.hard)
            case "commit":
                model.floor = max(model.floor, int(argument * len(model.durable)))
                model.floor = min(model.floor, len(model.entries))
                log.commit_floor = model.floor
            case "vote":
                model.hard = HardState(term=model.hard.term + 1, voted_for=argument)
                log.set_hard(model.hard)
            case "persist":
                if log.has_writes:
                    persist(log, backend)
                model.persist()
            case "restart":
                model.crash()
                log = Log(backend, backend.load())
        check(log, model)
    return backend


def _first_write(model):
    log = Log(MemoryBackend([genesis_record("abc")]), MemoryBackend([genesis_record("abc")]).load())
    log._staged = [genesis_record("abc")]
    log.set_hard(model.hard)
    return log.take_writes()


def check(log, model):
    assert log.last_index == len(model.entries)
    assert log.hard == model.hard
    found = [
        (record.term, record.payload) for record in log.read(1, count_max=1_000, bytes_max=1 << 30)
    ]
    assert found == model.entries
    assert [log.term_at(i) for i in range(1, log.last_index + 1)] == [t for t, _ in model.entries]
    assert log.durable_index <= log.last_index
    durable = list(zip(model.entries, model.durable, strict=False))
    assert all(ours == theirs for ours, theirs in durable[: log.durable_index])


@settings(max_examples=150, deadline=None)
@given(operations=OPERATIONS)
def test_a_log_is_the_list_that_was_written_through_cuts_and_restarts(operations):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOG_TAIL_BYTES_MAX", 200)
        follow_model(operations, MemoryBackend)


@settings(max_examples=12, deadline=None)
@given(operations=OPERATIONS)
def test_the_same_holds_on_disk(operations, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "LOG_TAIL_BYTES_MAX", 200)
        path = tmp_path_factory.mktemp("log")
        backend = follow_model(operations, lambda: LmdbLog(path, map_bytes=64 * limits.MIB))
        backend.close()
