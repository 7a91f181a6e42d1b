"""Work with the product's own state machine in simulated clusters: the rules refuse bad answers,
and the checkers of the real runs agree with them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from judged import judged

from jlike.verdict import Verdict
from replicante.model.codec import encode_value
from replicante.state import queries
from replicante.state.commands import KvPut
from replicante.state.outcome import Applied, Got, TxnApplied, decode_outcome
from replicante.testing.builders import LoneState
from replicante.testing.clock import Schedule
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_files import SimFiles
from replicante.testing.sim_options import WorkKind, draw
from replicante.testing.sim_states import SimStore
from replicante.testing.sim_work import Question, command_bytes
from replicante.testing.sim_work_bank import ACCOUNTS, BALANCE, BankWork
from replicante.testing.sim_work_follow import FollowWork
from replicante.testing.sim_work_lease import LeaseWork
from replicante.testing.sim_work_queue import QueueWork

SEED = 1
"""All four kinds of work at once."""


class World:
    """One work over one state, whose answers a test may bend."""

    def __init__(self, kind):
        self.schedule = Schedule()
        options = replace(draw(SEED), held_ms=10_000)
        self.work = kind(options, self.schedule, count=Counter().update)
        self.state = LoneState()

    def ask(self, question: Question, client: int = 0):
        asked = self.work.begin(question, client=client, peer="p1")
        outcome, _ = self.state.propose(command_bytes(question.command, number=1))
        return asked, decode_outcome(outcome)

    def tell(self, asked, outcome):
        with self.state.machine.view() as view:
            answer = self.work.done(asked, outcome, view)
        self.work.end(asked, "ok" if answer[0] else "fail", answer[1])
        return answer

    def do(self, question: Question, client: int = 0):
        return self.tell(*self.ask(question, client))


def test_a_seed_with_works_holds_and_the_checkers_of_real_runs_agree():
    for seed in (SEED, 22, 40):
        found = dict(judged(seed))
        assert set(found) == {kind.value for kind in draw(seed).works}
        for name, finding in found.items():
            assert finding.verdict is not Verdict.INVALID, (seed, name, finding)


def test_runs_differ_in_what_their_clients_work_at():
    drawn = [frozenset(draw(seed).works) for seed in range(200)]
    assert {frozenset(), frozenset(WorkKind)} < set(drawn)


def sent(world):
    """A job that is ready, whatever delay was drawn for it."""
    world.do(world.work._enqueue())
    world.state.advance(world.work.options.held_ms)


def claimed(world, client):
    return world.ask(world.work._claim(), client)


def test_a_claim_before_the_one_before_it_is_over_is_refused():
    world = World(QueueWork)
    sent(world)
    world.tell(*claimed(world, 0))
    world.state.advance(world.work.options.held_ms)  # the clock of a leader that runs too fast
    with pytest.raises(Violation, match="a claim lasts"):
        world.tell(*claimed(world, 1))


def test_an_acknowledgement_with_a_token_that_is_over_is_refused():
    world = World(QueueWork)
    sent(world)
    world.tell(*claimed(world, 0))
    (old,) = world.work._held[0]
    world.state.advance(world.work.options.held_ms)
    world.schedule.now_us += world.work.options.held_ms * 1_000
    world.tell(*claimed(world, 1))
    asked, outcome = world.ask(world.work._ack(old))
    assert world.tell(asked, outcome)[0] is False
    asked, _ = world.ask(world.work._ack(old))
    with pytest.raises(Violation, match="an old token does nothing"):
        world.tell(asked, Applied(1))


def test_a_job_that_is_gone_and_was_not_done_is_lost():
    world = World(QueueWork)
    world.do(world.work._enqueue())
    with world.state.machine.view() as view, pytest.raises(Violation, match="no job is lost"):
        world.work.check_end([("p1", view)])


def test_two_holders_of_one_lease_are_refused():
    world = World(LeaseWork)
    world.do(world.work._acquire("a"), 0)
    world.state.advance(world.work.options.held_ms)
    with pytest.raises(Violation, match="a lease has one holder"):
        world.do(world.work._acquire("a"), 1)


def test_money_that_is_made_is_refused():
    world = World(BankWork)
    world.do(world.work._open())
    asked, outcome = world.ask(world.work._look(is_transaction=True))
    assert world.tell(asked, outcome) == (True, dict.fromkeys(ACCOUNTS, BALANCE))
    rich = Got(1, encode_value(BALANCE + 1))
    with pytest.raises(Violation, match="money is moved, not made"):
        world.tell(asked, TxnApplied(True, (rich, *outcome.results[1:])))


def test_an_event_that_is_left_out_is_missed():
    world = World(FollowWork)
    for key in (b"a", b"b", b"c"):
        world.state.do(KvPut(key, encode_value(1)))
    with world.state.machine.view() as view:
        world.work.check_end([("p1", view)])
        first, _, third = queries.events_after(view, 0, limit=10).items
        with pytest.raises(Violation, match="events are dense and in order"):
            world.work._follow(7, [first, third], peer="p1")
        world.work.expected[1] = 1
        with pytest.raises(Violation, match="a change and its event are one"):
            world.work.check_end([("p1", view), ("p2", view)])


def test_a_store_finds_again_what_its_last_finished_flush_held():
    store = SimStore(SimFiles(), unflushed_max=9)
    store.put(b"a", b"1")
    store.end_entry(1)
    store.request_flush()
    store.put(b"a", b"2")
    store.put(b"b", b"1")
    store.end_entry(2)
    before = store.digest
    store.finish_flush()
    store.request_flush()  # this one never finishes
    store.put(b"b", b"2")
    store.end_entry(3)
    assert store.export(Path("copy")) == 1
    store.lose_unflushed()
    assert (store.applied_index, store.get(b"a"), store.get(b"b")) == (1, b"1", None)
    store.put(b"a", b"2")
    store.put(b"b", b"1")
    assert store.digest == before
