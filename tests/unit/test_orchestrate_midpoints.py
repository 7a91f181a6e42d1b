"""Every cycle of four stories is cut off at every point where a worker can die; the next worker
must come to the same end, with every effect once."""

from __future__ import annotations

import enum

import pytest
from orchestrate_builders import FakeNode, World, kill_store, make_spec, replicated

from replicante.model.action_kinds import CORE_SWITCHOVER
from replicante.model.actions import OAction, OActionPhase
from replicante.model.change import RecordKind
from replicante.model.node import NodeStatus
from replicante.orchestrate.cycle import run_cycle


class Cut(enum.Enum):
    BEFORE_COMMIT = "decided, not committed"
    BEFORE_SEND = "committed, not sent"
    SENT_TWICE = "committed, sent, and sent again by a worker that did not hear the answer"
    REPLAYED = "the same inputs run again before the commit"


def failover() -> World:
    world = replicated()
    kill_store(world)
    return world


def building() -> World:
    nodes = [FakeNode(f"n{i}", status=NodeStatus.NOT_IN_CLUSTER, role=None) for i in (1, 2, 3)]
    declared = {"initialise": {"mode": "SingleNode"}, "expand": {"mode": "Join"}}
    graces = {"graces": {"init": "1s", "expand": "1s"}}
    return World(*nodes, spec=make_spec(**declared, **graces))


def switchover() -> World:
    world = replicated()
    world.put(
        OAction(
            ns_id="default",
            cluster_id="sessions",
            action_id="o1",
            kind=CORE_SWITCHOVER,
            args={"to": "n3"},
            created_ms=1,
            created_wall_ms=1,
            phase=OActionPhase.PENDING_SCHEDULE,
        )
    )
    return world


def protecting() -> World:
    spec = make_spec(policies={"protect_writes": True})
    return replicated(spec=spec, is_protecting=False)


STORIES = (failover, building, switchover, protecting)
CYCLES = 12


def tell(story, *, cut_at: int | None = None, cut: Cut | None = None) -> World:
    world = story()
    for i in range(CYCLES):
        if i != cut_at:
            world.cycle(after_ms=3_000)
        else:
            _cut_off(world, cut)
        if i % 2:
            world.work()
    return world


def _cut_off(world: World, cut: Cut) -> None:
    match cut:
        case Cut.BEFORE_COMMIT:
            run_cycle(world.inputs())
        case Cut.BEFORE_SEND:
            world.cycle(after_ms=3_000, is_sent=False)
        case Cut.SENT_TWICE:
            world.send(world.cycle(after_ms=3_000))
        case Cut.REPLAYED:
            assert run_cycle(world.inputs()) == run_cycle(world.inputs())
    world.epoch += 1


def effects(world: World) -> list[tuple[str, str]]:
    found = []
    for node in world.nodes.values():
        assert len(node.applied) == len(set(node.applied)), "an action had its effect twice"
        found += [(node.node_id, node.actions[it].kind) for it in node.applied]
    return sorted(found)


def roles(world: World) -> dict:
    return {it.node_id: (it.role, it.follows) for it in world.nodes.values()}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("cut_at", range(CYCLES - 3))
def test_a_worker_that_dies_anywhere_changes_nothing_twice_and_forgets_nothing(story, cut, cut_at):
    whole = tell(story)
    assert effects(whole), "the story has effects"
    broken = tell(story, cut_at=cut_at, cut=cut)
    for _ in range(4):
        broken.cycle(after_ms=3_000)
        broken.work()
    assert effects(broken) == effects(whole)
    assert roles(broken) == roles(whole)
    assert all(it.phase.is_final for it in broken.nactions + broken.oactions)


def test_an_older_worker_that_wakes_up_later_changes_nothing():
    world = failover()
    old = world.inputs()
    world.epoch += 1
    world.cycle()
    decided_late = run_cycle(old)
    # Its write carries the older epoch; the records it was decided on are no longer the stored.
    stored = {(kind, key) for kind, key in world.records if kind is RecordKind.NACTION}
    created = {
        (it.kind, it.key)
        for it in decided_late.changes
        if it.kind is RecordKind.NACTION and it.before is None
    }
    assert created and not created & stored, "ids of two workers never meet"
    assert world.state.epoch > old.epoch
