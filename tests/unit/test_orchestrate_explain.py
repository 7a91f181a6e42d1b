"""Explain and plan: pure, over HTTP and at the command line, from decisions as cycles make them."""

from __future__ import annotations

import json

import pytest
from cli_harness import Terminal, api_in_thread
from orchestrate_builders import World, hang_store, kill_store, make_spec, replicated

from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.shard import ShardRole
from replicante.orchestrate.explain import explain, plan
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire
from replicante.state.record_commands import RecordCycle, record_change
from replicante.testing.builders import cluster_document, put_namespace, put_object
from replicante.testing.fake_peer import FakePeer


def behind(**spec) -> World:
    world = replicated(spec=make_spec(**spec))
    world.nodes["n1"].offset = 200
    world.cycle()
    kill_store(world)
    return world


def test_what_may_not_be_done_says_what_would_have_to_change_and_what_it_costs():
    told = explain(behind().cycle().decision)
    assert told.summary.startswith("it waits for an approval to do this: fail over to n2")
    step, *questions = told.steps
    assert step.outcome == "denied" and len(questions) == 2
    assert [it.rule for it in step.blocked_by] == ["loss_bounded"]
    assert "at least 100 bytes" in step.worst_loss
    assert any("at least 100 bytes would be lost, 0 are accepted" in it for it in told.needs)
    assert any(it.startswith("a person may fail over to n2") for it in told.needs)


def test_the_quiet_case_says_why_nothing_is_done():
    told = explain(replicated().cycle().decision)
    assert told.summary == "nothing is to be done"
    assert told.needs == () and {it.step for it in told.idle} == {
        "failover",
        "rejoin",
        "scale_up",
        "cluster_init",
        "cluster_expand",
        "protect_writes",
        "replace_node",
        "scale_down",
    }
    assert [it.roles for it in told.seen] == [
        ("0: primary at 100 bytes",),
        ("0: secondary at 100 bytes, hears n1:6379",),
        ("0: secondary at 100 bytes, hears n1:6379",),
    ]


def test_in_observe_mode_it_says_what_it_would_have_done():
    world = replicated(spec=make_spec(mode="observe"))
    kill_store(world)
    told = explain(world.cycle().decision)
    assert told.summary.startswith("in observe mode it does nothing; it would do this: make n2")
    assert [it.rule for it in told.steps[0].blocked_by] == ["mode_active"]


def test_nobody_eligible_is_the_summary():
    world = replicated()
    for node_id in ("n2", "n3"):
        world.nodes[node_id].role = ShardRole.RECOVERING
    kill_store(world)
    told = explain(world.cycle().decision)
    assert told.summary.startswith("nobody may take shard 0 over")
    assert told.needs and told.needs[0].startswith("failover: nobody may take")


def test_equal_steps_are_one_plan_whenever_they_are_looked_at():
    world = replicated(spec=make_spec(mode="observe"))
    hang_store(world)
    first, second = plan(world.cycle().decision), plan(world.cycle().decision)
    assert first.plan_id == second.plan_id and first.decision_id != second.decision_id
    world.nodes["n3"].offset = 101
    assert plan(world.cycle().decision).plan_id != first.plan_id


CLUSTER = ("default", "sessions")


class Stored:
    """A peer that holds the decisions of a world."""

    def __init__(self, world: World) -> None:
        self.peer, self.world = FakePeer(), world
        self.peer.do(put_namespace("default"))
        self.peer.do(put_object(cluster_document("sessions")))
        name = lease_name(FenceOn.CLUSTER, *CLUSTER)
        token = self.peer.do(LeaseAcquire(name, 60_000, encode_value({}))).revision
        self.fence = Fence(FenceOn.CLUSTER, *CLUSTER, token)

    def keep(self, decision) -> str:
        """Its event id."""
        change = Change(
            kind=RecordKind.DECISION,
            key=(*CLUSTER, decision.decision_id),
            before=None,
            after=decision.to_value(),
            code=ChangeCode.DECISION,
        )
        outcome = self.peer.do(RecordCycle(self.fence, (record_change(change, {}),)))
        return f"{outcome.revision:019d}"


@pytest.fixture
def stored():
    return Stored(behind())


@pytest.fixture
def terminal(stored, capsys, monkeypatch):
    with api_in_thread(stored.peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def test_before_the_first_cycle_there_is_nothing_to_tell(terminal):
    assert terminal.run("explain", "cluster", *CLUSTER).code == 3
    assert terminal.run("plan", "cluster", *CLUSTER).code == 3


def test_the_command_line_prints_rules_prices_and_ways_out(stored, terminal):
    stored.keep(stored.world.cycle().decision)
    said = terminal.run("explain", "cluster", *CLUSTER)
    assert said.code == 0, said.err
    for words in (
        "default/sessions: it waits for an approval to do this: fail over to n2",
        "1. make n2 the primary of shard 0 instead of n1: denied",
        "n1     answered   UNAVAILABLE   0: primary at 200 bytes (as last known)",
        "is refused by n1:6379",
        "primary_gone",
        "loss_bounded forbids: at least 100 bytes would be lost",
        "a person may fail over to n2",
        "; approve orchestrator action ",
    ):
        assert words in said.out, said.out
    said = terminal.run("plan", "cluster", *CLUSTER)
    assert "1. make n2 the primary of shard 0 instead of n1: denied" in said.out
    assert "worst loss: at least 100 bytes" in said.out


def test_programs_get_all_of_it(stored, terminal):
    decision = stored.world.cycle().decision
    stored.keep(decision)
    told = json.loads(terminal.run("explain", "cluster", *CLUSTER, "-o", "json").out)
    assert told == json.loads(json.dumps(explain(decision).to_value()))
    told = json.loads(terminal.run("plan", "cluster", *CLUSTER, "-o", "json").out)
    assert told == json.loads(json.dumps(plan(decision).to_value()))


def test_the_past_can_be_explained(stored, terminal):
    first = stored.keep(stored.world.cycle().decision)
    stored.world.nodes["n2"].offset = 200
    stored.keep(stored.world.cycle(after_ms=20_000).decision)
    now = terminal.run("explain", "cluster", *CLUSTER).out
    then = terminal.run("explain", "cluster", *CLUSTER, "--at", first).out
    assert "it does this" in now and "it waits for an approval" in then
    before = terminal.run("explain", "cluster", *CLUSTER, "--at", "0000000000000000001")
    assert before.code == 3 and "no decision kept" in before.err
    assert terminal.run("explain", "cluster", *CLUSTER, "--at", "yesterday").code == 2
