"""An agent that forgets, or that two processes answer for, is seen, and not taken at its word."""

from __future__ import annotations

import pytest
from orchestrate_builders import (
    World,
    against,
    condition_names,
    double_agent,
    kill_store,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.limits import AGENT_BOOTS_KEPT_MAX, AGENT_DOUBT_MS
from replicante.model.action_kinds import SERVICE_RESTART, STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase, Requester
from replicante.orchestrate.explain import explain
from replicante.orchestrate.looking.doubts import boots_after

ID = "00000000-0000-8000-8000-000000000001"


def marked(**fields) -> World:
    return replicated(**{"incarnation": "a", "boot": "1", **fields})


def ask(world: World, node_id: str = "n2", kind: str = SERVICE_RESTART) -> None:
    """A person asks for an action."""
    world.put(
        NAction(
            ns_id="default",
            cluster_id="sessions",
            node_id=node_id,
            action_id=ID,
            kind=kind,
            requester=Requester.CORE_API,
            created_ms=world.now_ms,
            created_wall_ms=world.wall_ms,
            phase=NActionPhase.PENDING_SCHEDULE,
        )
    )


def asked(world: World) -> NAction:
    return next(it for it in world.nactions if it.action_id == ID)


def lose_folder(world: World, node_id: str = "n2") -> None:
    node = world.nodes[node_id]
    node.actions.clear()
    node.incarnation, node.boot = "b", "2"


def doubled(world: World) -> None:
    assert "agent_doubled" in condition_names(double_agent(world))


def evidence(result, name: str) -> dict:
    (found,) = [it for it in result.conditions if it.name == name]
    assert found.subject == "n2"
    return found.evidence


def test_a_restart_of_an_agent_that_keeps_its_folder_is_nothing():
    world = marked()
    ask(world)
    world.cycle()
    for boot in range(2, 2 * AGENT_BOOTS_KEPT_MAX):
        world.nodes["n2"].boot = str(boot)
        result = world.cycle()
        assert not {"agent_denies", "agent_doubled"} & condition_names(result)
    world.work()
    world.cycle()
    assert asked(world).phase == "DONE"
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("tells_who_it_is", [True, False])
def test_what_was_taken_and_is_denied_is_told_and_lost(tells_who_it_is):
    """At once where nobody else could be heard of, or else when nobody else was."""
    world = marked() if tells_who_it_is else replicated()
    ask(world)
    world.cycle()
    world.cycle()
    assert asked(world).phase == "NEW"
    world.nodes["n2"].actions.clear()
    result = world.cycle()
    assert evidence(result, "agent_denies") == {"reason": "denied", "actions": [ID]}
    assert asked(world).phase == ("NEW" if tells_who_it_is else "LOST")
    result = world.cycle(after_ms=AGENT_DOUBT_MS)
    assert asked(world).phase == "LOST"
    assert "agent_denies" not in condition_names(world.cycle())


def test_a_lost_folder_with_an_action_is_told_and_the_action_is_lost_when_that_is_certain():
    world = marked()
    ask(world)
    world.cycle()
    world.cycle()
    lose_folder(world)
    result = world.cycle()
    assert evidence(result, "agent_denies") == {
        "reason": "forgot",
        "incarnations": ["a", "b"],
        "actions": [ID],
    }
    assert asked(world).phase == "NEW", "the one that has it may come back"
    world.cycle(after_ms=AGENT_DOUBT_MS)
    assert asked(world).phase == "LOST"
    assert "agent_denies" not in condition_names(world.cycle())


def test_what_its_agent_may_have_had_before_it_lost_its_folder_is_never_sent_again():
    """It was sent, it was carried out, and nobody heard of that."""
    world = marked()
    ask(world)
    (sent,) = world.cycle(is_sent=False).submissions
    assert sent.sent_to == "a"
    lose_folder(world)
    for _ in range(5):
        assert world.cycle(after_ms=AGENT_DOUBT_MS // 2).submissions == ()
    assert asked(world).phase == "LOST"


def test_another_incarnation_takes_nothing_that_was_sent_to_the_first_one():
    world = marked()
    ask(world)
    result = world.cycle(is_sent=False)
    lose_folder(world)
    world.send(result)
    assert world.nodes["n2"].actions == {}


def test_a_lost_folder_without_any_action_is_nothing():
    """A node was set up anew: there is nothing that could be done twice."""
    world = marked()
    lose_folder(world)
    assert "agent_denies" not in condition_names(world.cycle())


def test_two_processes_are_told_apart_from_a_restart_by_the_first_one_coming_back():
    world = marked()
    world.nodes["n2"].boot = "2"
    assert "agent_doubled" not in condition_names(world.cycle())
    world.nodes["n2"].boot = "1"
    result = world.cycle()
    assert evidence(result, "agent_doubled")["boots"] == ["2", "1"]


def test_two_incarnations_in_one_look_are_two_processes():
    world = marked()
    inputs = world.inputs()
    seen = [
        type(it).from_value({**it.to_value(), "incarnations": ["a", "b"]})
        if it.node_id == "n2"
        else it
        for it in inputs.observations
    ]
    assert "agent_doubled" in condition_names(world.cycle(observations=tuple(seen)))


def test_nobody_is_believed_that_an_action_is_unknown_while_two_processes_answer():
    world = marked()
    ask(world)
    world.cycle()
    world.cycle()
    node = world.nodes["n2"]
    first, second = node.actions, {}
    for boot, actions in (("2", second), ("1", first), ("2", second), ("2", second)):
        node.boot, node.actions = boot, actions
        world.cycle()
        assert asked(world).phase == "NEW"
    assert world.state.doubts["n2"].reason == "doubled"
    node.boot, node.actions = "1", first
    world.work()
    world.cycle()
    assert asked(world).phase == "DONE"


def test_a_doubt_ends_by_itself_when_one_process_answers_long_enough():
    world = marked()
    doubled(world)
    assert "agent_doubled" in condition_names(world.cycle(after_ms=AGENT_DOUBT_MS - 1))
    assert "agent_doubled" not in condition_names(world.cycle(after_ms=1))


def test_silence_ends_no_doubt():
    world = marked()
    doubled(world)
    answer = world.nodes["n2"].answer
    world.nodes["n2"].answer = "timeout"
    assert "agent_doubled" in condition_names(world.cycle(after_ms=10 * AGENT_DOUBT_MS))
    world.nodes["n2"].answer = answer
    assert "agent_doubled" not in condition_names(world.cycle())


def test_what_acts_on_such_a_node_waits_for_a_person_and_explain_says_why():
    world = marked()
    doubled(world)
    kill_store(world)
    result = world.cycle()
    assert outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"agent_remembers"}
    told = explain(result.decision)
    assert any("answered for by two processes" in it for it in told.needs)
    (wish,) = [it for it in world.nactions if it.kind == STORE_PROMOTE]
    approved = type(wish).from_value({**wish.to_value(), "phase": "PENDING_SCHEDULE"})
    world.put(approved)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_what_waits_for_a_doubt_to_end_goes_on_by_itself():
    world = marked()
    doubled(world)
    kill_store(world)
    assert world.cycle().submissions == ()
    assert sent_kinds(world.cycle(after_ms=AGENT_DOUBT_MS)) == [(STORE_PROMOTE, "n2")]


def test_an_action_that_was_sent_is_not_sent_again_while_two_processes_answer():
    world = marked()
    ask(world)
    for boot, is_sent in (("1", True), ("2", True), ("1", False)):
        world.nodes["n2"].boot = boot
        sent = world.cycle(is_sent=False).submissions
        assert [it.action_id for it in sent] == [ID] * is_sent
    assert world.cycle(is_sent=False).submissions == ()
    (sent,) = world.cycle(after_ms=AGENT_DOUBT_MS).submissions
    assert (sent.action_id, sent.sent_to) == (ID, "a")


def test_doubts_of_nodes_that_left_are_forgotten():
    world = marked()
    doubled(world)
    del world.nodes["n2"]
    world.rediscover()
    world.cycle()
    assert world.state.doubts == {}


def test_who_answered_is_kept_in_their_order_and_not_for_ever():
    assert boots_after(("a", "b"), ("a",)) == ("b", "a")
    assert len(boots_after(tuple("abcdefghijkl"), ("m",))) == AGENT_BOOTS_KEPT_MAX
