"""When no copy may take over by itself, each that could be forced is a question with a price."""

from __future__ import annotations

import msgspec
import pytest
from orchestrate_builders import (
    SHARD,
    World,
    condition_names,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_TEST_LOOP,
    PLATFORM_PROVISION,
    STORE_PROMOTE,
)
from replicante.model.actions import OAction, OActionPhase
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.explain import explain

KEPT_OUT = {"replicante.io/no-promote": True}


def behind(**spec) -> World:
    """n2 lacks 100, n3 lacks 150."""
    world = replicated(spec=make_spec(**spec))
    world.nodes["n1"].offset, world.nodes["n3"].offset = 200, 50
    world.cycle()
    kill_store(world)
    return world


def of_another_history() -> World:
    world = replicated()
    for node_id in ("n2", "n3"):
        world.nodes[node_id].history = "h2"
    kill_store(world)
    return world


def kept_out() -> World:
    world = replicated()
    for node_id in ("n2", "n3"):
        world.nodes[node_id].attributes = KEPT_OUT
    kill_store(world)
    return world


def waiting(world: World) -> dict[str, OAction]:
    """Node → the question whether it is to take over."""
    found = [it for it in world.oactions if it.phase is OActionPhase.PENDING_APPROVE]
    return {it.args["to"]: it for it in found}


def approve(world: World, *node_ids: str) -> None:
    for node_id in node_ids:
        question = waiting(world)[node_id]
        world.put(msgspec.structs.replace(question, phase=OActionPhase.PENDING_SCHEDULE))


@pytest.mark.parametrize("story", [behind, of_another_history, kept_out])
def test_it_stays_and_explains_every_way_out_with_its_price_and_its_action(story):
    world = story()
    result = world.cycle()
    assert result.submissions == () and set(waiting(world)) == {"n2", "n3"}
    told = explain(result.decision)
    assert [it.action_id for it in told.options] == [
        waiting(world)[it.args["to"]].action_id for it in told.options
    ]
    for option in told.options:
        assert option.price.text in option.text
        assert any(option.action_id in it and option.text in it for it in told.needs)
    assert "action_awaits_approval" in condition_names(result)


@pytest.mark.parametrize("story", [behind, of_another_history, kept_out])
def test_an_approval_makes_one_happen_and_withdraws_the_others(story):
    world = story()
    world.cycle()
    approve(world, "n3")
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n3")]
    world.work()
    for _ in range(3):
        world.cycle(after_ms=3_000)
        world.work()
    assert world.nodes["n3"].role is ShardRole.PRIMARY
    assert world.state.appointed == {SHARD: "n3"}
    ends = {it.args["to"]: it.phase for it in world.oactions}
    assert ends == {"n3": OActionPhase.DONE, "n2": OActionPhase.CANCELLED}


def test_of_two_that_are_approved_at_once_one_happens():
    world = behind()
    world.cycle()
    approve(world, "n2", "n3")
    for _ in range(4):
        world.cycle(after_ms=3_000)
        world.work()
    assert [it.kind for it in world.sent].count(STORE_PROMOTE) == 1


def test_the_price_is_part_of_what_is_approved():
    world = behind()
    world.cycle()
    assert waiting(world)["n2"].args["accepted_loss"] == 100
    assert waiting(world)["n3"].args["accepted_loss"] == 150
    approve(world, "n3")
    world.nodes["n3"].offset = 40
    assert world.cycle().submissions == ()
    assert waiting(world)["n3"].args["accepted_loss"] == 160


def test_what_stands_against_it_is_part_of_what_is_approved():
    world = of_another_history()
    world.cycle()
    assert waiting(world)["n2"].args["overrides"] == ["other_history"]
    approve(world, "n2")
    world.nodes["n2"].attributes = KEPT_OUT
    assert world.cycle().submissions == ()
    assert waiting(world)["n2"].args["overrides"] == ["kept_out", "other_history"]


def test_the_loss_of_a_copy_of_another_history_cannot_be_said():
    result = of_another_history().cycle()
    for option in result.decision.options:
        assert option.price.known_min is None
        assert option.args["accepted_loss"] == "unknown"
        assert option.overrides == ("its offset counts in another history of writes",)


def test_nothing_is_asked_while_the_death_is_not_believed():
    world = replicated()
    world.nodes["n1"].offset = 200
    world.cycle()
    hang_store(world)
    result = world.cycle()
    assert waiting(world) == {} and set(outcomes(result, "failover")) == {"denied"}


def test_no_approval_goes_past_a_primary_that_a_copy_hears_again():
    world = behind()
    world.cycle()
    approve(world, "n3")
    world.nodes["n2"].sight = Sight.UP
    assert world.cycle().submissions == ()
    assert waiting(world) == {}


def test_questions_are_withdrawn_when_a_copy_may_take_over_by_itself():
    world = kept_out()
    world.cycle()
    world.nodes["n3"].attributes = {}
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]
    assert waiting(world) == {}


def test_a_question_waits_as_itself_however_long_nobody_answers():
    world = behind()
    world.cycle()
    ids = {it.action_id for it in waiting(world).values()}
    for _ in range(10):
        world.cycle(after_ms=30_000)
    assert {it.action_id for it in world.oactions} == ids


def test_in_observe_mode_the_ways_out_are_told_and_nothing_waits():
    world = behind(mode="observe")
    result = world.cycle()
    assert [it.args["to"] for it in result.decision.options] == ["n2", "n3"]
    assert world.oactions == []


def test_a_copy_that_is_not_whole_is_no_way_out():
    world = replicated()
    for node_id in ("n2", "n3"):
        world.nodes[node_id].role = ShardRole.RECOVERING
        world.nodes[node_id].history = "h2"
    kill_store(world)
    result = world.cycle()
    assert result.decision.options == () and world.oactions == []


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({}, "another history"),
        ({"overrides": ["kept_out"]}, "another history"),
        ({"overrides": ["everything"]}, "args.overrides"),
        ({"overrides": "other_history"}, "args.overrides"),
    ],
)
def test_who_asks_by_name_says_what_to_set_aside(args, reason):
    world = of_another_history()
    world.put(
        OAction(
            ns_id="default",
            cluster_id="sessions",
            action_id="o1",
            kind=CORE_FAILOVER,
            args={"to": "n2", "accepted_loss": "unknown", **args},
            created_ms=1,
            created_wall_ms=1,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )
    assert world.cycle().submissions == ()
    (asked,) = [it for it in world.oactions if it.action_id == "o1"]
    assert asked.phase is OActionPhase.FAILED and reason in asked.error["error_msg"]


def test_an_approved_way_out_does_not_wait_for_a_platform_that_takes_its_time():
    nodes = {"data": {"desired_count": 4, "node_class": "small"}}
    definition = {"store": "redis", "store_version": "6.2", "nodes": nodes}
    world = behind(definition=definition)
    world.cycle()
    (order,) = [it for it in world.oactions if it.phase is OActionPhase.RUNNING]
    assert order.kind == PLATFORM_PROVISION
    approve(world, "n2")
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_change_of_roles_waits_for_any_other_action_of_the_orchestrator():
    world = behind()
    loop = OAction(
        ns_id="default",
        cluster_id="sessions",
        action_id="o0",
        kind=CORE_TEST_LOOP,
        args={"target": 4},
        created_ms=1,
        created_wall_ms=1,
        phase=OActionPhase.PENDING_SCHEDULE,
    )
    world.cycle()
    approve(world, "n2")
    world.put(loop)
    assert world.cycle().submissions == ()
