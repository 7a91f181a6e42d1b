"""A promotion that comes to its end after the primary that it was to replace was seen again."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import approve, ask, promote, the
from orchestrate_builders import (
    SHARD,
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.model.action_kinds import STORE_PROMOTE, STORE_REJOIN
from replicante.model.actions import NActionPhase
from replicante.model.converge_state import ConvergeState, SentAction
from replicante.model.modes import Mode
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight

BOUNDED = {"policies": {"confirmations": 3, "confirm_for": "3s", "data_loss_offset": 1000}}


def until_promoted(world: World) -> str:
    """n1 is cut off, with its agent; automation has n2 take over."""
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    hang_store(world)
    for _ in range(6):
        if (result := world.cycle()).submissions:
            break
    assert sent_kinds(result) == [(STORE_PROMOTE, "n2")]
    return result.submissions[0].action_id


def come_back(world: World, *, is_agent_back: bool = True) -> None:
    """n1, with all that it had, and whoever still follows it hears it."""
    node = world.nodes["n1"]
    node.contact = StoreContact.ANSWERS
    if is_agent_back:
        node.answer = AgentAnswer.ANSWERED
    for other in world.nodes.values():
        if other.follows == "n1":
            other.sight = Sight.UP


def outlive(world: World, *, looks: int = 3, is_agent_back: bool = True) -> None:
    """n2 and its agent are cut off; n1 is back, is seen, and takes writes."""
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    come_back(world, is_agent_back=is_agent_back)
    for _ in range(looks):
        for node_id in ("n1", "n3", "n4"):
            world.nodes[node_id].offset += 2_000
        assert world.cycle(after_ms=60_000).submissions == ()


def late(*, is_cancelled: bool = False, is_agent_back: bool = True) -> World:
    """n2's agent tells that it was promoted, past a primary that was there for three minutes."""
    world = replicated(4, spec=make_spec(**BOUNDED))
    action_id = until_promoted(world)
    world.work()
    if is_cancelled:
        action = the(world, action_id)
        ended = msgspec.structs.replace(action, phase=NActionPhase.CANCELLED, finished_ms=1)
        world.put(ended)
    outlive(world, is_agent_back=is_agent_back)
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    return world


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("is_agent_back", [True, False])
def test_nobody_follows_a_promotion_past_a_primary_that_was_seen_after_it_left(
    is_cancelled, is_agent_back
):
    world = late(is_cancelled=is_cancelled, is_agent_back=is_agent_back)
    for _ in range(40):
        assert world.cycle().submissions == ()
    assert world.state.appointed == {SHARD: "n1"}
    assert world.state.replaced == {} and "n2" in world.state.claimed[SHARD]
    assert world.nodes["n1"].role is ShardRole.PRIMARY


def test_a_person_decides_that_the_late_one_gives_up():
    world = late()
    world.cycle()
    result = world.cycle()
    assert outcomes(result, "rejoin") == ["awaits_approval"]
    assert against(result, "rejoin") == {"claims_respected"}
    (asked,) = (it for it in world.nactions if it.phase is NActionPhase.PENDING_APPROVE)
    assert (asked.kind, asked.node_id) == (STORE_REJOIN, "n2")
    approve(world, asked.action_id)
    assert sent_kinds(world.cycle()) == [(STORE_REJOIN, "n2")]
    world.work()
    world.cycle()
    assert world.cycle().decision.proposals == () and world.state.claimed == {}


def test_a_person_decides_that_the_late_one_is_right():
    world = late()
    world.cycle()
    args = {"shard_id": SHARD, "node_id": "n2", "node": "n2:6379"}
    action_id = ask(world, "n1", STORE_REJOIN, args=args)
    world.cycle()
    approve(world, action_id)
    assert (STORE_REJOIN, "n1") in sent_kinds(world.cycle())
    world.work()
    for _ in range(4):
        world.cycle()
    assert world.state.appointed == {SHARD: "n2"}


def test_the_late_one_is_primary_where_the_other_is_not_there_and_nothing_ends_unasked():
    world = late()
    kill_store(world)
    for _ in range(30):
        assert world.cycle().submissions == ()
    assert world.state.appointed == {SHARD: "n2"}
    assert world.state.replaced == {} and world.state.claimed == {SHARD: ("n1",)}
    asked = [it for it in world.nactions if it.phase is NActionPhase.PENDING_APPROVE]
    assert {it.kind for it in asked} == {STORE_REJOIN}


def test_a_promotion_by_name_is_late_as_well():
    world = replicated(4, spec=make_spec(mode="observe"))
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    hang_store(world)
    for _ in range(4):
        world.cycle()
    action_id = promote(world)
    if world.cycle() and the(world, action_id).phase is NActionPhase.PENDING_APPROVE:
        approve(world, action_id)
        world.cycle()
    world.work()
    assert the(world, action_id).phase is not NActionPhase.PENDING_APPROVE
    outlive(world)
    world.nodes["n2"].answer = AgentAnswer.ANSWERED
    world.cycle()
    assert world.state.appointed == {SHARD: "n1"} and world.state.replaced == {}


def test_a_primary_that_comes_back_beside_its_successor_rejoins_by_itself():
    world = replicated(4, spec=make_spec(**BOUNDED))
    until_promoted(world)
    world.work()
    come_back(world)
    sent = []
    for _ in range(6):
        sent += sent_kinds(world.cycle(after_ms=12_000))
        world.work()
    assert (STORE_REJOIN, "n1") in sent
    assert world.state.appointed == {SHARD: "n2"} and world.state.claimed == {}


@pytest.mark.parametrize("phase", [SeenPhase.RUNNING, SeenPhase.NEW])
def test_one_that_is_seen_only_beside_its_successor_did_not_outlive_it(phase):
    """The agent tells of the end later than the store shows it."""
    world = replicated(4, spec=make_spec(**BOUNDED))
    action_id = until_promoted(world)
    world.work()
    world.nodes["n2"].end(action_id, phase)
    come_back(world)
    world.cycle()
    world.nodes["n2"].end(action_id)
    world.cycle()
    assert world.state.appointed == {SHARD: "n2"}
    assert world.state.replaced == {SHARD: {"n1": "n2"}}


def new_at_its_agent(**spec) -> tuple[World, str]:
    world = replicated(4, spec=make_spec(**BOUNDED, **spec))
    action_id = until_promoted(world)
    world.cycle()
    assert the(world, action_id).phase is NActionPhase.NEW
    return world, action_id


@pytest.mark.parametrize("is_agent_back", [True, False])
def test_a_promotion_that_did_not_begin_is_cancelled_at_its_agent_when_the_primary_is_seen(
    is_agent_back,
):
    world, action_id = new_at_its_agent()
    assert world.cycle().cancels == ()
    come_back(world, is_agent_back=is_agent_back)
    assert [it.action_id for it in world.cycle().cancels] == [action_id]
    world.nodes["n2"].end(action_id, SeenPhase.CANCELLED)
    assert world.cycle().cancels == ()
    assert the(world, action_id).phase is NActionPhase.CANCELLED


def test_what_runs_is_not_cancelled_at_its_agent():
    world, action_id = new_at_its_agent()
    world.nodes["n2"].end(action_id, SeenPhase.RUNNING)
    come_back(world)
    assert world.cycle().cancels == ()


def test_an_agent_that_is_silent_is_not_asked_to_cancel():
    """Each look would wait for it."""
    world, _ = new_at_its_agent()
    world.nodes["n2"].answer = AgentAnswer.TIMEOUT
    come_back(world)
    assert world.cycle().cancels == ()


def test_a_pause_cancels_nothing_at_an_agent():
    world, _ = new_at_its_agent()
    come_back(world)
    world.spec = make_spec(mode=str(Mode.PAUSED), **BOUNDED)
    assert world.cycle().cancels == ()


def test_the_next_death_of_that_primary_is_recovered_from():
    world, action_id = new_at_its_agent()
    come_back(world)
    world.cycle()
    world.nodes["n2"].end(action_id, SeenPhase.CANCELLED)
    world.cycle()
    world.cycle(after_ms=600_000)
    kill_store(world)
    sent = []
    for _ in range(12):
        sent += sent_kinds(world.cycle(after_ms=12_000))
        world.work()
    assert (STORE_PROMOTE, "n2") in sent and world.state.appointed == {SHARD: "n2"}


def test_a_memory_from_before_tells_of_none():
    row = {"node_id": "n2", "kind": STORE_PROMOTE}
    state = ConvergeState(
        ns_id="a", cluster_id="b", sent={"1": SentAction(node_id="n2", kind=STORE_PROMOTE)}
    )
    assert state.to_value()["sent"] == {"1": row}
    assert ConvergeState.from_value(state.to_value()) == state
