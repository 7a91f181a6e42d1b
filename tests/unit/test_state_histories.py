"""Histories of every kind of command mean the same on every machine, whatever it is and whatever
befalls it: the promise that apply makes (ADR 0004, ADR 0005)."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import typing
from collections import Counter
from pathlib import Path
from random import Random

import command_histories
import msgspec
import pytest
from command_drawer import Drawer
from command_histories import birth, carry_out, draw_round, history
from hostile_commands import hostile_commands

from replicante.errors import BodyTooLarge, Invalid
from replicante.ids import format_stamp
from replicante.state import commands, invariants, queries, tables
from replicante.state.commands import Batch, SetEventRetention, SetFeatureLevel
from replicante.state.digest import row_hash
from replicante.state.envelope import Envelope, admit
from replicante.state.outcome import Rejected, decode_outcome
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import QueueEnqueue, QueuePause, QueuePurge, QueueResume
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore
from replicante.testing.builders import CheckedState, LoneState

SEEDS = range(40)
NEVER_REFUSED = {
    Batch,
    NoteQuarantine,
    QueueEnqueue,
    QueuePause,
    QueuePurge,
    QueueResume,
    SetEventRetention,
}
"""Of operations of a batch each has its own answer; the others are always possible."""
OF_THE_REQUEST = {"idempotency_key_reused", "outcome_expired", "first_attempt_in_future"}
STAMPS = {
    "revision",
    "job",
    "token",
    "held",
    "floor",
    "head",
    "last_common",
    "first_new",
    "next",
}

drawn = functools.cache(history)


def kinds_of_commands():
    return set(typing.get_args(commands.Command))


def test_the_histories_hold_every_kind_of_command_done_and_refused():
    done, refused = set(), set()
    for seed in SEEDS:
        for one in drawn(seed).rounds:
            for command, encoded in zip(one.commands, one.outcomes, strict=True):
                outcome = decode_outcome(encoded)
                if not isinstance(outcome, Rejected):
                    done.add(type(command))
                elif outcome.code not in OF_THE_REQUEST:
                    refused.add(type(command))
    assert done == kinds_of_commands() - {SetFeatureLevel}, "there is one level only"
    assert refused == kinds_of_commands() - NEVER_REFUSED


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_every_state_is_sound_after_every_command(seed):
    """CheckedState asserts every invariant after every entry; here each holds one command."""
    assert all(len(entry.commands) <= 1 for entry in history(seed, is_apart=True).state.entries[1:])


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_how_commands_share_entries_shows_in_stamps_only(seed):
    """Each machine is asked with the stamps that it gave itself."""
    together, apart = (Drawer(Random(seed), CheckedState()) for _ in "ab")
    together.state.jumps = apart.state.jumps = False
    first, second = birth(), birth()
    for _ in range(command_histories.ROUNDS):
        carry_out(together, first, is_apart=False)
        carry_out(apart, second, is_apart=True)
        first = draw_round(together, is_trimming=False)
        second = draw_round(apart, is_trimming=False)
        assert [type(one) for one in first.commands] == [type(one) for one in second.commands]
    assert without_stamps(together) == without_stamps(apart)


def without_stamps(drawer):
    """What people see, with every stamp replaced by the order of its appearance: outcomes in
    their order, records, and events in any order, for an entry drops what a lease held at its
    end."""
    names: dict[str, str] = {}

    def named(text: str) -> str:
        return re.sub(r"\d{19}", lambda hit: names.setdefault(hit[0], f"#{len(names)}"), text)

    def masked(text: str) -> str:
        return re.sub(r"\d{19}", "#", text)

    outcomes = [named(json.dumps(readable(decode_outcome(raw)))) for raw in drawer.outcomes]
    store = drawer.state.store
    events = queries.events_after(store, 0, limit=1_000).items
    assert len(events) == queries.events_edge(store).count
    seen = Counter(
        (it.code, it.ns, it.cluster, it.key, masked(json.dumps(it.payload_value())))
        for it in events
    )
    records = [(it.key, it.value, it.lease is None) for it in queries.kv_range(store).items]
    return outcomes, records, seen


def readable(value):
    """Plain values with stamps as text."""
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return readable(fields)
    if isinstance(value, dict):
        return {
            key: format_stamp(one) if key in STAMPS and isinstance(one, int) else readable(one)
            for key, one in value.items()
        }
    if isinstance(value, tuple | list):
        return [readable(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


@pytest.mark.parametrize("seed", SEEDS)
def test_flushes_restarts_and_power_cuts_do_not_show(seed):
    steady = drawn(seed)
    random = Random(seed)
    store = MemoryStore(row_hash=row_hash)
    shaken, position, entries = LoneState(store), 0, steady.state.entries
    answered = {}
    while position < len(entries):
        answered[position] = shaken.replay(entries[position])
        position += 1
        what = random.choice(["go on", "go on", "flush", "reopen", "power cut"])
        if what == "flush":
            shaken.machine.request_flush()
        elif what == "reopen":
            shaken = LoneState(store)
        elif what == "power cut":
            store = store.crashed_copy()
            shaken = LoneState(store)
            position = sum(one.header.index <= store.applied_index for one in entries)
    assert [one for at in sorted(answered) for one in answered[at]] == steady.outcomes
    assert rows(store) == rows(steady.state.store)
    assert shaken.machine.digest_at_applied() == steady.state.machine.digest_at_applied()


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_the_disk_does_not_show(seed, tmp_path):
    """Flushed by its thread at other entries than in memory, and opened again midway."""
    steady = drawn(seed)
    entries, random = steady.state.entries, Random(seed)
    outcomes = []
    half = len(entries) // 2
    for part in (entries[:half], entries[half:]):
        store = open_store(tmp_path)
        try:
            lone = LoneState(store)
            for entry in part:
                outcomes += lone.replay(entry)
                if random.random() < 0.2:
                    lone.machine.request_flush()
            lone.machine.flush()
            digest = lone.machine.digest_at_applied()
            with store.view() as view:
                invariants.assert_holds(view)
                found = rows(view)
        finally:
            store.close()
    assert outcomes == steady.outcomes
    assert found == rows(steady.state.store)
    assert digest == steady.state.machine.digest_at_applied()


def open_store(folder):
    return LmdbStore.open(folder / "state", identity=b"test", map_bytes=1 << 24, row_hash=row_hash)


def rows(reader):
    return dict(reader.scan(b"", b"\xff" * 511))


def test_the_hash_seed_of_a_process_does_not_show():
    def printed(hash_seed):
        program = Path(command_histories.__file__)
        done = subprocess.run(
            [sys.executable, str(program), *map(str, SEEDS[:5])],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    first = printed("1")
    assert first == printed("2")
    here = [[encoded.hex() for encoded in drawn(seed).outcomes] for seed in SEEDS[:5]]
    assert [one["outcomes"] for one in first] == here


HOSTILE = hostile_commands()


@pytest.mark.parametrize("command", HOSTILE, ids=lambda it: type(it).__name__)
def test_hostile_commands_are_refused_at_the_gate(command):
    with pytest.raises((Invalid, BodyTooLarge)):
        admit(Envelope(request_id="", command=command))


def test_every_kind_of_command_has_a_hostile_one():
    assert {type(one) for one in HOSTILE} == kinds_of_commands()


class Forgetful(MemoryStore):
    """Loses one row's write, in one entry; no code above it knows."""

    def __init__(self, *, lost: tuple[int, bytes] | None = None) -> None:
        super().__init__(row_hash=row_hash)
        self.lost = lost
        self.before: dict[bytes, bytes | None] = {}
        """Of the rows that this entry wrote."""
        self.changed: list[tuple[int, bytes]] = []
        """(index of the entry, key) of every write that changed a row."""

    def put(self, key, value):
        self.before.setdefault(key, self.get(key))
        super().put(key, value)

    def delete(self, key):
        self.before.setdefault(key, self.get(key))
        super().delete(key)

    def end_entry(self, index):
        for key, old in self.before.items():
            if old == self.get(key):
                continue
            self.changed.append((index, key))
            if self.lost == (index, key):
                self._change(key, old)
        self.before.clear()
        super().end_entry(index)


def test_one_lost_write_of_any_table_is_seen_by_the_digest():
    tried = set()
    for seed in SEEDS:
        entries = drawn(seed).state.entries
        whole = Forgetful()
        digests = dict(digests_of(whole, entries))
        random = Random(seed)
        random.shuffle(whole.changed)
        for index, key in {key[:1]: (index, key) for index, key in whole.changed}.values():
            if key[:1] in tried:
                continue
            tried.add(key[:1])
            short = [entry for entry in entries if entry.header.index <= index]
            (*_, last) = digests_of(Forgetful(lost=(index, key)), short)
            assert last[0] == index
            assert last[1] != digests[index], f"the loss of {key!r} at {index} is not seen"
    # Sessions are written by raft; a grant that is over leaves few records, gone within the entry.
    assert tried == set(tables.ALL_TABLES) - {tables.SESSIONS, tables.LEASES_ENDED}


def digests_of(store, entries):
    state = LoneState(store)
    for entry in entries:
        state.replay(entry)
        yield state.machine.digest_at_applied()
