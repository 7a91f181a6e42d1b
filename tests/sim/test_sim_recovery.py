"""Generations that begin in the simulator hold, and it sees what is broken of them on purpose."""

from __future__ import annotations

import dataclasses

import pytest

from replicante.raft import generations, skip_rules, survivors
from replicante.raft.sessions import SessionTable
from replicante.state import apply_leases, queue_moves
from replicante.testing import sim_greeting, sim_peer, sim_recovery, sim_skip
from replicante.testing.sim_cluster import run_seed
from replicante.testing.sim_options import Disaster, draw


def seeds_with(disaster, *, has_real_state=None):
    for seed in range(1_000):
        options = draw(seed)
        if options.disaster is disaster and has_real_state in (None, bool(options.works)):
            yield seed


POISONED = sorted(seeds_with(Disaster.POISON, has_real_state=True))


def first_broken_rule(seeds, *, runs_max=12):
    for seed, _ in zip(seeds, range(runs_max), strict=False):
        verdict = run_seed(seed)
        if verdict.rule is not None:
            return verdict.rule
    return None


@pytest.mark.parametrize("disaster", [Disaster.BACKUP, Disaster.LOST_MAJORITY])
def test_what_begins_after_a_disaster_holds(disaster):
    runs = [run_seed(seed) for seed, _ in zip(seeds_with(disaster), range(8), strict=False)]
    assert not [it.violation for it in runs if it.rule]
    begun = "backup_restored" if disaster is Disaster.BACKUP else "force"
    met = {name for it in runs for name, count in it.counters.items() if count}
    assert {begun, "copy_compared", "stranger_refused", "former_peer_returned"} <= met


def test_a_generation_that_lets_everybody_in_is_seen(monkeypatch):
    monkeypatch.setattr(sim_greeting, "judge_member", lambda hello, header, roster: None)
    assert first_broken_rule(seeds_with(Disaster.BACKUP)) == "generations never meet"


def test_sessions_that_live_on_are_seen(monkeypatch):
    monkeypatch.setattr(SessionTable, "end_all", lambda self: None)
    assert first_broken_rule(seeds_with(Disaster.BACKUP)) == "sessions end with their generation"


def test_leases_and_claims_that_live_on_are_seen(monkeypatch):
    monkeypatch.setattr(apply_leases, "cut_short", lambda writer, name: None)
    monkeypatch.setattr(queue_moves, "cut_short", lambda writer, queue, job, row: None)
    begun = (Disaster.BACKUP, Disaster.LOST_MAJORITY)
    seeds = sorted(seed for it in begun for seed in seeds_with(it, has_real_state=True))
    rule = first_broken_rule(seeds, runs_max=40)
    assert rule == "what is held ends with its generation"


def test_a_survivor_that_is_worse_than_another_is_seen(monkeypatch):
    def worst_first(found):
        return tuple(reversed(survivors.rank(found)))

    monkeypatch.setattr(sim_recovery, "rank", worst_first)
    rule = first_broken_rule(seeds_with(Disaster.LOST_MAJORITY), runs_max=40)
    assert rule in {"the best has most", "nothing acknowledged is lost"}


def test_a_loss_that_is_not_told_is_seen(monkeypatch):
    def hopeful(ranked):
        return dataclasses.replace(survivors.advise(ranked), way=survivors.Way.FORCE_WITHOUT_LOSS)

    monkeypatch.setattr(sim_recovery, "advise", hopeful)
    rule = first_broken_rule(seeds_with(Disaster.LOST_MAJORITY), runs_max=40)
    assert rule == "nothing acknowledged is lost"


def test_a_copy_that_lacks_the_end_of_the_log_is_seen(monkeypatch):
    def nothing(records, loaded, machine, *, whose):
        machine.applied_index = loaded.last.index

    monkeypatch.setattr(sim_recovery, "replay", nothing)
    assert first_broken_rule(seeds_with(Disaster.LOST_MAJORITY), runs_max=20) is not None


def test_a_first_start_that_forgets_its_backup_is_seen(monkeypatch):
    def forgetful(shelf, loaded, machine):
        goes_on = generations.take_step(shelf, loaded, machine)
        shelf.drop()
        return goes_on

    monkeypatch.setattr(sim_peer, "take_step", forgetful)
    assert first_broken_rule(seeds_with(Disaster.BACKUP)) == "log behind the state"


def test_peers_go_on_alike_after_an_entry_was_skipped_and_tell_of_it():
    runs = [run_seed(seed) for seed, _ in zip(POISONED, range(12), strict=False)]
    assert not [it.violation for it in runs if it.rule]
    met = {name for it in runs for name, count in it.counters.items() if count}
    assert {"poison_met", "entry_skipped", "skip_told"} <= met


def test_a_skip_that_one_log_lacks_is_seen(monkeypatch):
    def treat_all_but_one(it, index, reason, *, is_fresh):
        return treat(it, index, reason, is_fresh=is_fresh and it.header.peer_id != "p3")

    treat = skip_rules._treat
    monkeypatch.setattr(skip_rules, "_treat", treat_all_but_one)
    assert first_broken_rule(POISONED, runs_max=40) == "skipped alike"


def test_a_skip_that_nobody_tells_of_is_seen(monkeypatch):
    monkeypatch.setattr(sim_skip, "events_of", lambda view: iter(()))
    assert first_broken_rule(POISONED, runs_max=40) == "a skip is told of"
