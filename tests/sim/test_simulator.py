"""The simulator repeats itself, holds on the true code, and sees what is broken on purpose."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from replicante import limits
from replicante.raft import in_memory
from replicante.raft import messages as m
from replicante.raft.driver import Driver
from replicante.raft.engine import Engine
from replicante.raft.in_memory import encode_snapshot
from replicante.raft.reads import Reads
from replicante.raft.sessions import Session
from replicante.testing.sim_cluster import run_seed
from replicante.testing.sim_options import draw


def first_broken_rule(seeds):
    for seed in seeds:
        verdict = run_seed(seed)
        if verdict.rule is not None:
            return verdict.rule
    return None


def test_the_first_seeds_hold():
    broken = [verdict.violation for verdict in map(run_seed, range(12)) if verdict.rule]
    assert not broken


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(100_497, id="a file was made in the middle of an installation"),
        pytest.param(112_382, id="a backup was taken in the middle of an installation"),
        pytest.param(112_338, id="an order to take over was late"),
        pytest.param(134_816, id="half of four voters went on without the others"),
        pytest.param(141_802, id="half of four voters, of five before, went on without the others"),
        pytest.param(158_229, id="one of two voters promoted a third one"),
        pytest.param(154_853, id="the place was given to a voter that is half deaf"),
        pytest.param(164_619, id="what had committed an entry was cut off"),
        pytest.param(245_952, id="the survivor of the latest term lacks what is certain"),
    ],
)
def test_a_seed_that_did_not_hold_holds(seed):
    verdict = run_seed(seed)
    assert verdict.violation is None


def test_a_seed_repeats_itself_whatever_ran_before():
    first = run_seed(5)
    run_seed(6)
    again = run_seed(5, keeps_lines=True)
    assert (first.trace_hash, first.events_count, first.history) == (
        again.trace_hash,
        again.events_count,
        again.history,
    )


def test_a_seed_repeats_itself_in_another_process():
    done = subprocess.run(
        [sys.executable, "-m", "replicante.testing.sim", "--seed", "5"],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"trace {run_seed(5).trace_hash:08x}" in done.stdout


def test_a_run_leaves_the_bounds_as_it_found_them():
    before = {name: getattr(limits, name) for name, _ in draw(5).bounds}
    run_seed(5)
    assert {name: getattr(limits, name) for name in before} == before


def test_runs_differ_in_what_they_leave_out():
    faults = [set(draw(seed).faults) for seed in range(20)]
    assert not set.intersection(*faults)
    assert len({tuple(sorted(fault.value for fault in drawn)) for drawn in faults}) == 20


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (m.AppendAck, {"acknowledged is durable", "term is durable"}),
        (m.VoteReply, {"vote is durable", "term is durable"}),
    ],
)
def test_a_promise_before_the_barrier_is_seen(monkeypatch, kind, rules):
    def hurried(self, effects):
        for key, message in self.engine.outbox:
            is_early = isinstance(message, m.Append | kind)
            (effects.early if is_early else effects.late).append((key, message))
        self.engine.outbox.clear()

    monkeypatch.setattr(Driver, "_sort_outbox", hurried)
    assert first_broken_rule(range(10)) in rules


def test_a_command_that_is_applied_twice_is_seen(monkeypatch):
    monkeypatch.setattr(Session, "has_applied", lambda self, sequence: False)
    rules = {"applied once, alike everywhere", "no peer fails: host.py:apply"}
    assert first_broken_rule(range(40)) in rules  # the session's own assertion may come first


def test_a_machine_in_memory_that_is_saved_without_its_sessions_is_seen(monkeypatch):
    def forgetful(*, index, sessions, chunks):
        return encode_snapshot(index=index, sessions={}, chunks=chunks)

    monkeypatch.setattr(in_memory, "encode_snapshot", forgetful)
    assert first_broken_rule(range(10)) == "equal state at equal index"


def test_a_read_that_no_majority_confirmed_is_seen(monkeypatch):
    def confirmed(self, quorum_round):
        ready, self.confirmations = self.confirmations, []
        return ready

    monkeypatch.setattr(Reads, "confirmed", confirmed)
    assert first_broken_rule(range(385, 400)) == "linearizable"


def test_a_commit_beyond_what_was_proved_equal_is_seen(monkeypatch):
    def reckless(self, index):
        index = max(index, self.log.last_index)
        self._SyncObj__raftCommitIndex = max(index, self.commit_index)
        self._facade.setRaftCommitIndex(index)

    monkeypatch.setattr(Engine, "_commit_up_to", reckless)
    assert first_broken_rule(range(10)) in {"committed prefix", "committed by a leader"}


def test_a_peer_that_fails_ends_the_run_with_the_place(monkeypatch):
    def failing(self, key, message):
        raise ValueError("no such vote")

    monkeypatch.setattr(Engine, "_on_vote", failing)
    assert first_broken_rule(range(5)) == "no peer fails: test_simulator.py:failing"
