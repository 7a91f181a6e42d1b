"""A fence that does not arrive, is refused, or does not end holds no failover up for long; and
nothing is ended that takes a shard away that nobody else has."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import ask, by_hand, the
from by_name_order_asks import order, the_order
from orchestrate_builders import (
    World,
    hang_store,
    make_spec,
    replicated,
    sent_kinds,
)

from replicante.limits import FENCE_MS_MAX, SUCCESSOR_MS_MAX
from replicante.model.action_kinds import (
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
)
from replicante.model.actions import NAction, NActionPhase, OActionPhase
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase, SeenShard
from replicante.model.shard import Offset, ShardRole, Sight
from replicante.orchestrate.actions.dispatch import submission_failed
from replicante.orchestrate.actions.questions import taken_back

FENCE, PROMOTE = (STORE_FENCE, "n1"), (STORE_PROMOTE, "n2")


def look(world: World, *, after_ms: int, fate: str) -> list[tuple[str, str]]:
    """One cycle. fate: of the fence; `lost` on its way, `refused` by its agent, or its phase there
    for ever. What was sent under this epoch is told to the cycles."""
    sent_ids = frozenset(getattr(world, "sent_ids", ()))
    result = world.cycle(after_ms=after_ms, is_sent=False, sent_ids=sent_ids)
    if result.is_epoch_spent:
        world.epoch, sent_ids = world.epoch + 1, frozenset()
    world.sent_ids = sent_ids | {it.action_id for it in result.submissions}
    for action in result.submissions:
        if action.kind != STORE_FENCE:
            world.nodes[action.node_id].take(action)
        elif fate == "refused":
            refused = submission_failed(action, message="status 400: no such kind", is_refused=True)
            world.put(NAction.from_value(refused.after))
        elif fate != "lost":
            world.nodes["n1"].take(action, SeenPhase(fate))
    return sent_kinds(result)


def looks_until_promoted(world: World, *, after_ms: int, fate: str) -> list:
    """What was sent in each look from the first fence to the promotion."""
    found: list = []
    for _ in range(200):
        sent = look(world, after_ms=after_ms, fate=fate)
        if sent or found:
            found.append(sent)
        if any(kind == STORE_PROMOTE for kind, _ in sent):
            return found
    raise AssertionError("nobody was promoted")


@pytest.mark.parametrize("fate", ["lost", str(SeenPhase.NEW), str(SeenPhase.RUNNING)])
@pytest.mark.parametrize("after_ms", [1_000, 5_000, 10_000, 30_000])
def test_a_fence_that_nobody_carries_out_holds_automation_up_for_so_long(fate, after_ms):
    world = replicated()
    hang_store(world)
    found = looks_until_promoted(world, after_ms=after_ms, fate=fate)
    looks_count = max(2, -(-FENCE_MS_MAX // after_ms))
    assert len(found) == looks_count + 1
    assert (found[0], found[-1]) == ([FENCE], [PROMOTE])
    for _ in range(20):
        assert FENCE not in look(world, after_ms=after_ms, fate=fate)


def test_who_takes_over_past_a_process_that_cannot_be_ended_gets_its_copies():
    world = replicated()
    hang_store(world)
    looks_until_promoted(world, after_ms=5_000, fate="RUNNING")
    world.nodes["n2"].role, world.nodes["n2"].follows = ShardRole.PRIMARY, None
    world.nodes["n2"].end(next(iter(world.nodes["n2"].actions)))
    sent = [look(world, after_ms=12_000, fate="RUNNING") for _ in range(3)]
    assert [(STORE_REJOIN, "n3")] in sent


@pytest.mark.parametrize("after_ms", [1_000, 5_000, 10_000, 30_000])
def test_an_agent_that_refuses_the_fence_is_asked_twice(after_ms):
    world = replicated()
    hang_store(world)
    found = looks_until_promoted(world, after_ms=after_ms, fate="refused")
    assert found == [[FENCE], [FENCE], [PROMOTE]]


def test_an_agent_that_is_busy_with_something_else_is_waited_for_as_long():
    world = replicated()
    backup = ask(world, "n1", "test.example.com/backup", phase=NActionPhase.RUNNING, sent_epoch=1)
    world.nodes["n1"].take(the(world, backup), SeenPhase.RUNNING)
    hang_store(world)
    sent = [look(world, after_ms=1_000, fate="lost") for _ in range(FENCE_MS_MAX // 1_000 + 1)]
    assert (sent[:-1], sent[-1]) == ([[]] * (FENCE_MS_MAX // 1_000), [PROMOTE])


def test_an_agent_that_was_busy_is_asked_as_soon_as_it_is_free():
    world = replicated()
    backup = ask(world, "n1", "test.example.com/backup", phase=NActionPhase.RUNNING, sent_epoch=1)
    world.nodes["n1"].take(the(world, backup), SeenPhase.RUNNING)
    hang_store(world)
    for _ in range(10):
        assert look(world, after_ms=1_000, fate="lost") == []
    world.nodes["n1"].end(backup)
    assert look(world, after_ms=1_000, fate="lost") == [FENCE]


def test_a_fence_that_was_refused_ends_with_the_words_of_its_agent():
    world = replicated()
    hang_store(world)
    looks_until_promoted(world, after_ms=1_000, fate="refused")
    for _ in range(2):
        look(world, after_ms=1_000, fate="refused")
    (fence,) = [it for it in world.nactions if it.kind == STORE_FENCE]
    assert fence.phase is NActionPhase.FAILED
    assert "no such kind" in str(fence.error)


def test_a_suspicion_has_one_fence_however_long_it_takes_to_promote():
    world = replicated()
    hang_store(world)
    sent: list = []
    while not sent:
        sent = look(world, after_ms=1_000, fate="lost")
    copies = (world.nodes["n2"], world.nodes["n3"])
    for copy in copies:
        copy.status = NodeStatus.UNHEALTHY
    for _ in range(10):
        look(world, after_ms=5_000, fate="lost")
    (fence,) = world.nactions
    assert fence.phase is NActionPhase.CANCELLED
    for copy in copies:
        copy.status = NodeStatus.HEALTHY
    assert look(world, after_ms=5_000, fate="lost") == [PROMOTE]


def test_a_fence_that_is_lost_once_is_sent_again():
    world = replicated()
    hang_store(world)
    sent: list = []
    while not sent:
        sent = look(world, after_ms=30_000, fate="lost")
    assert look(world, after_ms=30_000, fate="RUNNING") == [FENCE], "as late as that look is"
    assert world.nodes["n1"].actions


def test_a_fence_of_an_earlier_silence_is_not_one_of_this():
    world = replicated()
    hang_store(world)
    looks_until_promoted(world, after_ms=5_000, fate="lost")
    world.nodes["n2"].actions.clear()
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    for _ in range(10):
        look(world, after_ms=12_000, fate="lost")
    hang_store(world)
    assert looks_until_promoted(world, after_ms=5_000, fate="lost")[0] == [FENCE]


def asked(mode: str = "observe") -> World:
    world = replicated(spec=make_spec(mode=mode))
    hang_store(world)
    look(world, after_ms=1_000, fate="lost")
    order(world, CORE_FAILOVER, to="n3", accepted_loss=0)
    return world


@pytest.mark.parametrize("mode", ["observe", "active"])
@pytest.mark.parametrize("fate", ["lost", str(SeenPhase.NEW), str(SeenPhase.RUNNING)])
def test_a_fence_that_nobody_carries_out_holds_a_person_up_for_so_long(mode, fate):
    found = looks_until_promoted(asked(mode), after_ms=5_000, fate=fate)
    assert (found[0], found[-1]) == ([FENCE], [(STORE_PROMOTE, "n3")])
    assert len(found) == FENCE_MS_MAX // 5_000 + 1


@pytest.mark.parametrize("mode", ["observe", "active"])
def test_a_person_waits_for_an_agent_that_refuses_for_two_looks(mode):
    found = looks_until_promoted(asked(mode), after_ms=1_000, fate="refused")
    assert found == [[FENCE], [FENCE], [(STORE_PROMOTE, "n3")]]


def test_a_failover_does_not_wait_for_what_an_earlier_one_left_that_does_not_end():
    world = asked()
    assert look(world, after_ms=1_000, fate="RUNNING") == [FENCE]
    world.put(msgspec.structs.replace(the_order(world), phase=OActionPhase.CANCELLED))
    look(world, after_ms=FENCE_MS_MAX, fate="RUNNING")
    order(world, CORE_FAILOVER, action_id="o2", to="n3", accepted_loss=0)
    assert look(world, after_ms=5_000, fate="RUNNING") == [(STORE_PROMOTE, "n3")]


def test_a_fence_that_was_lost_is_no_question_about_a_primary_that_is_there():
    world = by_hand()
    hang_store(world)
    world.cycle()
    order(world, CORE_FAILOVER, to="n3", accepted_loss=0)
    assert sent_kinds(world.cycle(is_sent=False)) == [FENCE]
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    for _ in range(3):
        assert world.cycle(after_ms=5_000).submissions == ()
    assert the_order(world).phase is OActionPhase.FAILED
    assert "n1 is there again" in str(the_order(world).error)
    order(world, CORE_SWITCHOVER, action_id="o2", to="n3")
    assert len(world.cycle().submissions) == 1


def ended_for_n3() -> World:
    """The process of n1 was ended for a person, and the agent of n3 misses the next look."""
    world = asked()
    assert look(world, after_ms=1_000, fate="NEW") == [FENCE]
    world.work()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    assert look(world, after_ms=1_000, fate="lost") == []
    return world


def test_one_lost_answer_of_the_successor_does_not_end_a_failover_that_ended_a_process():
    world = ended_for_n3()
    assert the_order(world).phase is OActionPhase.RUNNING
    world.nodes["n3"].answer = AgentAnswer.ANSWERED
    assert look(world, after_ms=1_000, fate="lost") == [(STORE_PROMOTE, "n3")]
    world.work()
    look(world, after_ms=1_000, fate="lost")
    assert the_order(world).phase is OActionPhase.DONE


def test_a_rule_that_stands_against_the_successor_for_a_look_does_not_end_it():
    world = asked()
    assert look(world, after_ms=1_000, fate="NEW") == [FENCE]
    world.work()
    world.nodes["n2"].sight = Sight.UP
    assert look(world, after_ms=1_000, fate="lost") == []
    assert the_order(world).phase is OActionPhase.RUNNING
    world.nodes["n2"].sight = Sight.REFUSED
    assert look(world, after_ms=1_000, fate="lost") == [(STORE_PROMOTE, "n3")]


def test_a_failover_without_a_successor_says_that_a_process_was_ended():
    world = ended_for_n3()
    for _ in range(SUCCESSOR_MS_MAX // 5_000 + 1):
        look(world, after_ms=5_000, fate="lost")
    assert the_order(world).phase is OActionPhase.FAILED
    assert "n3: it is UNREACHABLE" in str(the_order(world).error)
    assert "the process of n1 was ended" in str(the_order(world).error)


def of_two_shards(mode: str, *, is_copied: bool = False) -> World:
    """n1 is the primary of both; the other one is on n2, too, or nowhere else."""
    world = replicated(spec=make_spec(mode=mode))
    own = SeenShard(
        shard_id="1",
        role=ShardRole.PRIMARY,
        commit_offset=Offset(value=50, unit="bytes"),
        history_id="x1",
        upstream=None,
    )
    world.nodes["n1"].beside = (own,)
    if is_copied:
        follower = world.nodes["n2"]._shard().upstream
        copy = msgspec.structs.replace(own, role=ShardRole.SECONDARY, upstream=follower)
        world.nodes["n2"].beside = (copy,)
    for _ in range(2):
        world.cycle()
    assert world.state.appointed == {"0": "n1", "1": "n1"}
    hang_store(world)
    if is_copied:
        cut = msgspec.structs.replace(follower, sight=Sight.DOWN)
        world.nodes["n2"].beside = (msgspec.structs.replace(copy, upstream=cut),)
    return world


def test_automation_ends_no_process_that_has_a_shard_which_nobody_may_replace():
    world = of_two_shards("active")
    assert looks_until_promoted(world, after_ms=2_000, fate="lost") == [[PROMOTE]]


def test_a_person_ends_no_process_that_has_a_shard_which_nobody_may_replace():
    world = of_two_shards("observe")
    world.cycle()
    order(world, CORE_FAILOVER, shard_id="0", to="n3", accepted_loss=0)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n3")]


def test_a_process_is_ended_that_can_be_replaced_for_each_of_its_shards():
    world = of_two_shards("active", is_copied=True)
    assert looks_until_promoted(world, after_ms=2_000, fate="lost")[0] == [FENCE]


def test_what_a_failover_left_behind_and_a_rule_holds_is_withdrawn():
    world = asked()
    assert look(world, after_ms=1_000, fate="lost") == [FENCE]
    (fence,) = world.nactions
    look(world, after_ms=1_000, fate="lost")
    held = msgspec.structs.replace(taken_back(fence), phase=NActionPhase.PENDING_APPROVE)
    world.put(msgspec.structs.replace(held, asked={"approval_granted": {}}))
    found = looks_until_promoted(world, after_ms=5_000, fate="lost")
    assert found == [[(STORE_PROMOTE, "n3")]], "a person need not answer about the fence"
    assert world.now_ms - fence.created_ms >= FENCE_MS_MAX
    (fence,) = [it for it in world.nactions if it.kind == STORE_FENCE]
    assert fence.phase is NActionPhase.CANCELLED
