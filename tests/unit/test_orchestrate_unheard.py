"""What a primary wrote after it was seen last is bounded by the links of its copies, or asked
about."""

from __future__ import annotations

import msgspec
import pytest
from by_name_asks import approve, promote
from orchestrate_builders import (
    World,
    against,
    hang_store,
    kill_store,
    make_spec,
    outcomes,
    replicated,
    sent_kinds,
)

from replicante.limits import UNSEEN_MS_MAX
from replicante.model.action_kinds import CORE_FAILOVER, STORE_PROMOTE
from replicante.model.actions import NActionPhase, OAction, OActionPhase
from replicante.model.observation import AgentAnswer
from replicante.model.shard import Sight


def cut_off(world: World, *node_ids: str) -> None:
    """Their links are down while the primary goes on."""
    for node_id in node_ids:
        world.nodes[node_id].sight = Sight.DOWN


def lost_before(**policies) -> World:
    """Both copies lost the primary, then it was seen once more, then it died."""
    world = replicated(spec=make_spec(policies=policies))
    cut_off(world, "n2", "n3")
    world.cycle()
    kill_store(world)
    return world


def test_a_copy_that_lost_the_primary_before_it_was_seen_last_asks_and_says_why():
    result = lost_before().cycle()
    assert result.submissions == () and outcomes(result, "failover") == ["awaits_approval"]
    assert against(result, "failover") == {"loss_bounded"}
    (record,) = [it for it in result.decision.proposals if it.step == "failover"]
    (verdict,) = [it for it in record.verdicts if it.rule == "loss_bounded"]
    assert "n2 had lost n1 already when that was seen last" in verdict.reason
    assert verdict.evidence["blind_ms"] == 1_000
    assert "n2 had lost n1" in record.loss.text


def test_a_person_who_knows_approves_it():
    world = lost_before()
    world.cycle()
    (waiting,) = world.nactions
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE))
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_person_who_asks_for_a_failover_accepts_it():
    world = lost_before()
    world.put(
        OAction(
            ns_id="default",
            cluster_id="sessions",
            action_id="o1",
            kind=CORE_FAILOVER,
            args={"to": "n2", "accepted_loss": 0},
            created_ms=1,
            created_wall_ms=1,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_declaration_may_accept_it():
    assert sent_kinds(lost_before(accept_unheard_loss=True).cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize(
    ("told", "expected"), [(True, "done"), (False, "awaits_approval"), (None, "awaits_approval")]
)
def test_a_primary_that_told_that_it_refuses_what_no_copy_hears_has_lost_nothing(told, expected):
    world = replicated(spec=make_spec(steps={"protect_writes": False}))
    cut_off(world, "n2", "n3")
    world.nodes["n1"].is_protecting = told
    world.cycle()
    kill_store(world)
    assert outcomes(world.cycle(), "failover") == [expected]


def test_copies_that_heard_the_primary_to_its_end_take_over_at_once():
    world = replicated()
    kill_store(world)
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


def test_a_copy_that_was_not_seen_beside_the_primary_counts_by_what_it_read_since():
    world = lost_before()
    world.nodes["n2"].offset = 101
    assert sent_kinds(world.cycle()) == [(STORE_PROMOTE, "n2")]


@pytest.mark.parametrize(("silent_ms", "expected"), [(400, "done"), (1_400, "awaits_approval")])
def test_a_copy_that_was_not_seen_beside_the_primary_counts_by_its_link(silent_ms, expected):
    world = lost_before()
    world.nodes["n2"].silent_ms = world.nodes["n3"].silent_ms = silent_ms
    assert outcomes(world.cycle(after_ms=1_000), "failover") == [expected]


def test_a_link_to_somebody_else_tells_nothing_of_the_primary():
    world = replicated()
    cut_off(world, "n2", "n3")
    world.cycle()
    world.nodes["n2"].follows = "n3"
    world.nodes["n2"].silent_ms = 0
    kill_store(world)
    world.nodes["n3"].offset = 99
    assert "loss_bounded" in against(world.cycle(), "failover")


def test_a_long_time_in_which_nobody_looked_asks_unless_the_link_tells():
    world = replicated()
    blind_ms = world.spec.interval_ms + UNSEEN_MS_MAX + 1
    kill_store(world)
    result = world.cycle(after_ms=blind_ms)
    assert against(result, "failover") == {"loss_bounded"}
    (record,) = [it for it in result.decision.proposals if it.step == "failover"]
    assert f"nobody looked for {blind_ms} ms" in record.loss.unheard
    world.nodes["n2"].silent_ms = 2_000
    assert sent_kinds(world.cycle(after_ms=1_000)) == [(STORE_PROMOTE, "n2")]


FIRST_MS, NEXT_MS = 120_000, 1_337


def unlooked(mode: str) -> World:
    """Nobody looks for minutes, and the primary ends 5 s after it was seen last."""
    world = replicated(spec=make_spec(mode=mode))
    cut_off(world, "n2", "n3")
    world.cycle()
    kill_store(world)
    assert world.spec.interval_ms + UNSEEN_MS_MAX + 5_000 < FIRST_MS
    look(world, FIRST_MS, silent_ms=FIRST_MS - 5_000)
    return world


def look(world: World, after_ms: int = NEXT_MS, *, silent_ms: int = 0):
    """At no round times, at which copies tell their silence in whole seconds: when they heard the
    primary last moves from look to look."""
    for node_id in ("n2", "n3"):
        node = world.nodes[node_id]
        node.silent_ms = silent_ms or (node.silent_ms + after_ms) // 1000 * 1000
    return world.cycle(after_ms=after_ms)


def unheard_text(result) -> str:
    return next(it.loss.unheard for it in result.decision.proposals if it.loss.unheard)


def test_one_question_of_unheard_loss_stays_the_same_and_its_approval_counts():
    world = unlooked("active")
    (asked,) = world.nactions
    assert len({unheard_text(look(world)) for _ in range(5)}) > 1, "each look tells another time"
    (waiting,) = world.nactions
    assert waiting == asked and asked.asked == {
        "loss_bounded": {"known_min": 0, "unheard_of": ["unlooked n1"]}
    }
    world.put(msgspec.structs.replace(waiting, phase=NActionPhase.PENDING_SCHEDULE))
    assert sent_kinds(look(world)) == [(STORE_PROMOTE, "n2")]


def test_a_promotion_by_name_past_unheard_loss_is_approved_once():
    world = unlooked("observe")
    action_id = promote(world)
    look(world)
    approve(world, action_id)
    assert sent_kinds(look(world)) == [(STORE_PROMOTE, "n2")]


def test_who_approved_a_time_without_looks_did_not_approve_that_the_copy_was_cut_off():
    world = unlooked("active")
    (first,) = world.nactions
    world.put(msgspec.structs.replace(first, phase=NActionPhase.PENDING_SCHEDULE))
    assert look(world, silent_ms=FIRST_MS + 10_000).submissions == ()
    (second,) = [it for it in world.nactions if not it.phase.is_final]
    told = second.asked["loss_bounded"]["unheard_of"]
    assert told == ["lost_before n1", "unlooked n1"]
    # The graver of them covers the other one, so a link that ended at the very look settles.
    world.put(msgspec.structs.replace(second, phase=NActionPhase.PENDING_SCHEDULE))
    assert sent_kinds(look(world, silent_ms=FIRST_MS - 5_000)) == [(STORE_PROMOTE, "n2")]


def test_a_copy_that_lost_the_primary_while_another_heard_it_comes_after_that_one():
    world = replicated()
    world.nodes["n1"].answer = AgentAnswer.TIMEOUT
    cut_off(world, "n2")
    world.cycle()
    kill_store(world)
    world.nodes["n1"].answer = AgentAnswer.REFUSED
    result = world.cycle()
    assert sent_kinds(result) == [(STORE_PROMOTE, "n3")]
    (other,) = [it for it in result.decision.candidates if it.node_id == "n2"]
    assert "n2 had lost n1" in other.loss.unheard


def test_what_was_blind_stays_so_however_long_one_waits():
    world = lost_before()
    for _ in range(20):
        assert outcomes(world.cycle(after_ms=30_000), "failover") == ["awaits_approval"]
    assert len(world.nactions) == 1


def test_a_hung_primary_whose_copies_had_lost_it_is_not_ended_without_a_person():
    world = replicated()
    cut_off(world, "n2", "n3")
    world.cycle()
    hang_store(world)
    for _ in range(6):
        result = world.cycle()
        assert result.submissions == ()
    assert against(result, "failover") == {"loss_bounded"}


def test_the_memory_of_who_heard_the_primary_is_written_only_when_it_changes():
    world = replicated()
    before = world.state
    world.cycle()
    assert world.state == before
    assert world.state.heard["0"].by == ("n2", "n3")
