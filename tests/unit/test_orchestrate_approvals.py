"""An approval covers the rules that asked when it was given, as far as they asked, and no more."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import (
    World,
    against,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_PROMOTE
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase
from replicante.model.change import RecordKind
from replicante.model.observation import AgentAnswer
from replicante.orchestrate.safety.approvals import covers

ONE, BOTH = "approval_granted", "approval_granted,majority_kept"


def primary_lost(**spec) -> World:
    world = replicated(4, spec=make_spec(**{"approval": "required", **spec}))
    kill_store(world)
    return world


def silence(world: World, *node_ids: str) -> None:
    """Agents of copies that do not answer: one of two is enough to make a majority ask."""
    for node_id in ("n3", "n4"):
        is_silent = node_id in node_ids
        world.nodes[node_id].answer = AgentAnswer.TIMEOUT if is_silent else AgentAnswer.ANSWERED


def the_wish(world: World) -> NAction:
    (found,) = [it for it in world.nactions if not it.phase.is_final]
    return found


def names(action: NAction | OAction) -> str:
    return ",".join(sorted(action.asked))


def approve(world: World, action: NAction | OAction) -> None:
    """As the command does it: the record of this moment, in its next phase."""
    kind = type(action.phase)
    world.put(msgspec.structs.replace(action, phase=kind.PENDING_SCHEDULE))


def test_a_question_names_the_rules_that_ask():
    world = primary_lost()
    silence(world, "n3", "n4")
    result = world.cycle()
    assert names(the_wish(world)) == BOTH
    assert set(BOTH.split(",")) == against(result, "failover")


def test_a_rule_that_asks_after_the_approval_is_asked_about_and_then_answered():
    world = primary_lost()
    world.cycle()
    first = the_wish(world)
    assert names(first) == ONE
    approve(world, first)
    silence(world, "n3", "n4")
    result = world.cycle()
    assert result.submissions == () and outcomes(result, "failover") == ["awaits_approval"]
    second = the_wish(world)
    assert second.phase is NActionPhase.PENDING_APPROVE and names(second) == BOTH
    assert [it.phase for it in world.nactions if it.action_id == first.action_id] == ["CANCELLED"]
    for _ in range(3):
        world.cycle()
    assert the_wish(world).action_id == second.action_id, "it is asked once, not in every cycle"
    approve(world, the_wish(world))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_what_is_asked_beyond_a_question_is_another_question():
    world = primary_lost()
    world.cycle()
    first = the_wish(world)
    silence(world, "n3", "n4")
    world.cycle()
    second = the_wish(world)
    assert second.action_id != first.action_id and names(second) == BOTH
    assert [it.phase for it in world.nactions if it.action_id == first.action_id] == ["CANCELLED"]


def test_a_question_of_which_less_is_left_is_the_same_one_and_says_so_without_an_event():
    world = primary_lost()
    silence(world, "n3", "n4")
    world.cycle()
    first = the_wish(world)
    silence(world)
    result = world.cycle()
    left = the_wish(world)
    assert left.action_id == first.action_id and names(left) == ONE
    assert [it.code for it in result.changes if it.kind is RecordKind.NACTION] == [None]
    # Who approves now was not asked about the majority.
    approve(world, left)
    silence(world, "n3", "n4")
    assert world.cycle().submissions == ()
    assert names(the_wish(world)) == BOTH


def test_an_approval_of_more_covers_less():
    world = primary_lost()
    silence(world, "n3", "n4")
    world.cycle()
    approve(world, the_wish(world))
    silence(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_question_that_is_unchanged_is_not_written_again():
    world = primary_lost()
    world.cycle()
    for _ in range(3):
        changes = world.cycle().changes
        assert RecordKind.NACTION not in {it.kind for it in changes}


def test_a_way_out_is_approved_as_far_as_it_was_asked_about():
    world = replicated(4, spec=make_spec(policies={"data_loss_offset": 0}))
    world.nodes["n1"].offset = 200
    world.cycle()
    kill_store(world)
    world.cycle()
    first = next(it for it in world.oactions if it.args["to"] == "n2")
    assert names(first) == "loss_bounded"
    approve(world, first)
    silence(world, "n3", "n4")
    assert world.cycle().submissions == ()
    (second,) = [it for it in world.oactions if it.args["to"] == "n2" and not it.phase.is_final]
    assert second.phase is OActionPhase.PENDING_APPROVE
    assert names(second) == "loss_bounded,majority_kept"
    approve(world, second)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def lose(world: World, bytes_count: int) -> None:
    """The copies lack so much; n2 is the best of them."""
    for node_id, more in (("n2", 0), ("n3", 5), ("n4", 5)):
        world.nodes[node_id].offset = 100 - bytes_count - more


def test_a_greater_loss_than_the_one_that_was_approved_is_asked_about_anew():
    world = primary_lost(policies={"data_loss_offset": 50})
    lose(world, 10)
    world.cycle()
    first = the_wish(world)
    assert first.asked["approval_granted"] == {"known_min": 10}
    approve(world, first)
    lose(world, 20)
    assert world.cycle().submissions == ()
    assert the_wish(world).asked["approval_granted"] == {"known_min": 20}
    approve(world, the_wish(world))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize("bytes_count", [0, 9, 10])
def test_an_equal_or_smaller_loss_stays_approved(bytes_count):
    world = primary_lost(policies={"data_loss_offset": 50})
    lose(world, 10)
    world.cycle()
    approve(world, the_wish(world))
    lose(world, bytes_count)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def of_six() -> World:
    """n3, n4 and n5 are not seen when the primary is lost."""
    world = replicated(6)
    kill_store(world)
    unseen(world, "n3", "n4", "n5")
    world.cycle()
    assert the_wish(world).asked == {"majority_kept": {"missing": ["n3", "n4", "n5"]}}
    approve(world, the_wish(world))
    return world


def unseen(world: World, *node_ids: str) -> None:
    for node in world.nodes.values():
        is_silent = node.node_id in node_ids
        node.answer = AgentAnswer.TIMEOUT if is_silent else AgentAnswer.ANSWERED


def test_other_nodes_than_those_that_were_named_are_asked_about_anew():
    world = of_six()
    unseen(world, "n4", "n5", "n6")
    assert world.cycle().submissions == ()
    assert the_wish(world).asked == {"majority_kept": {"missing": ["n4", "n5", "n6"]}}


@pytest.mark.parametrize("silent", [("n3", "n4", "n5"), ("n4", "n5"), ()])
def test_the_same_nodes_or_fewer_stay_approved(silent):
    world = of_six()
    unseen(world, *silent)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize(
    ("shown", "now", "is_covered"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": None}, {"a": 5}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": 5}, {"a": None}, False),
        ({"a": ["x", "y"]}, {"a": ["y"]}, True),
        ({"a": ["x"]}, {"a": ["x", "y"]}, False),
        ({"a": {"x": "UP"}}, {"a": {"x": "DOWN"}}, False),
        ({"a": {"x": "UP", "y": "UP"}}, {"a": {"x": "UP"}}, True),
        ({"a": "why"}, {"a": "why"}, True),
        ({"a": "why"}, {"a": "else"}, False),
        ({"a": "why"}, {"a": ""}, True),
        ({"a": 1}, {}, True),
        ({}, {"a": 1}, False),
        ({"a": 1}, {"a": "1"}, False),
    ],
)
def test_what_is_worse_than_what_was_shown_is_not_covered(shown, now, is_covered):
    assert covers({"rule": shown}, {"rule": now}) is is_covered
    assert not covers({"other": shown}, {"rule": now})


moment = st.tuples(
    st.sampled_from(["granted", "required"]),
    st.sampled_from([(), ("n3",), ("n4",), ("n3", "n4")]),
    st.sampled_from(["approves", "waits"]),
    st.sampled_from([0, 10, 20]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(moment, max_size=10))
def test_nothing_is_sent_past_what_no_approver_was_told_of(moments):
    """Of rules, of bytes, and of nodes."""
    bound = {"data_loss_offset": 50}
    world = primary_lost(approval="granted", policies=bound)
    told: dict[str, tuple[set[str], int, set[str]]] = {}
    shown: tuple[set[str], int, set[str]] = (set(), 0, set())
    for approval, silent, person, bytes_count in moments:
        for action in world.nactions:
            if person == "approves" and action.phase is NActionPhase.PENDING_APPROVE:
                told[action.action_id] = shown
                approve(world, action)
        world.spec = make_spec(approval=approval, policies=bound)
        silence(world, *silent)
        lose(world, bytes_count)
        result = world.cycle(is_sent=False)
        asking = against(result, "failover")
        shown = (asking, bytes_count, {*silent})
        for action in result.submissions:
            if action.kind == STORE_PROMOTE:
                rules, most, unseen_ids = told.get(action.action_id, (set(), 0, set()))
                assert asking <= rules
                assert "approval_granted" not in asking or bytes_count <= most
                assert "majority_kept" not in asking or {*silent} <= unseen_ids
                return
        waiting = [it for it in world.nactions if not it.phase.is_final]
        assert len(waiting) <= 1, "one promotion is wanted, and it is asked about once"


@pytest.mark.parametrize("shown", [ONE, BOTH])
def test_who_approves_what_was_shown_a_while_ago_never_approves_more(shown):
    """The names of one id only shrink: an id that grew is another one, and the old one is over."""
    world = primary_lost()
    silence(world, *(("n3", "n4") if shown == BOTH else ()))
    world.cycle()
    seen = the_wish(world)
    for silent in (("n3", "n4"), (), ("n3",), ("n3", "n4"), ()):
        silence(world, *silent)
        world.cycle()
        (stored,) = [it for it in world.nactions if it.action_id == seen.action_id]
        assert stored.phase.is_final or set(names(stored).split(",")) <= set(shown.split(","))
