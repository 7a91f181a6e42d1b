"""Workers die again and again while nodes are ordered, taken away, replaced, and while a primary
leaves: the end is the same, and every effect happens once."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import FakeNode, World, make_spec

from replicante.model.action_kinds import CLUSTER_REMOVE, SERVICE_STOP
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.actions.oaction_kinds import PlatformVerb, platform_answered
from replicante.orchestrate.cycle import run_cycle

GRACES = {
    **dict.fromkeys(("scale_up", "scale_down", "replace_node"), "1s"),
    **dict.fromkeys(("init", "expand", "failover", "rejoin"), "1s"),
}


class Cut(enum.Enum):
    NOT = "the cycle ends"
    BEFORE_COMMIT = "decided, not committed"
    BEFORE_SEND = "committed, not sent"
    SENT_TWICE = "committed, sent, and sent again by a worker that did not hear the answer"
    UNHEARD = "committed and sent, and no answer was recorded"


class GrowingWorld(World):
    """Beside the nodes a platform that makes and removes them, once for each id of a request."""

    def __init__(self, *nodes: FakeNode, spec) -> None:
        super().__init__(*nodes, spec=spec)
        self.made: dict[str, str] = {}
        """Request → the node that it brought."""
        self.effects: list[tuple[str, str]] = []
        """What happened, and to which node."""

    def live(self, cut: Cut) -> None:
        self.rediscover()
        if cut is Cut.BEFORE_COMMIT:
            run_cycle(self.inputs())
            self.epoch += 1
            return
        result = self.cycle(after_ms=3_000, is_sent=cut is not Cut.BEFORE_SEND)
        if cut is Cut.SENT_TWICE:
            self.send(result)
            self.call(result, is_heard=False)
        if cut is not Cut.BEFORE_SEND:
            self.call(result, is_heard=cut is not Cut.UNHEARD)
        self.epoch += cut is not Cut.NOT

    def call(self, result, *, is_heard: bool) -> None:
        for call in result.calls:
            if call.verb is PlatformVerb.PROVISION and call.action_id not in self.made:
                node_id = f"m{len(self.made) + 1}"
                self.made[call.action_id] = node_id
                self.nodes[node_id] = FakeNode(node_id, status=NodeStatus.NOT_IN_CLUSTER, role=None)
                self.effects.append(("made", node_id))
            if call.verb is PlatformVerb.DEPROVISION and call.body["node_id"] in self.nodes:
                gone = self.nodes.pop(call.body["node_id"])
                assert gone.role is not ShardRole.PRIMARY, "a primary is taken away"
                self.effects.append(("taken", gone.node_id))
            (asked,) = [it for it in self.oactions if it.action_id == call.action_id]
            if is_heard:
                self.put(platform_answered(asked, expected=None))

    def _carry_out(self, node, action) -> None:
        self.effects.append((action.kind, node.node_id))
        if action.kind == SERVICE_STOP:
            assert node.role is not ShardRole.PRIMARY, "a primary is stopped"
            node.contact = StoreContact.REFUSED
        elif action.kind == CLUSTER_REMOVE:
            left = self.nodes.get(action.args["node_id"])
            is_alive = left is not None and left.answer is AgentAnswer.ANSWERED
            assert not (is_alive and left.contact is StoreContact.ANSWERS), "it follows still"
        else:
            super()._carry_out(node, action)

    def shape(self) -> dict:
        return {it.node_id: (it.role, it.follows, it.contact) for it in self.nodes.values()}


def definition(**counts: int) -> dict:
    nodes = {group: {"desired_count": it, "node_class": "small"} for group, it in counts.items()}
    return {"store": "redis", "store_version": "6.2", "nodes": nodes}


def spec_of(*steps: str, **counts: int):
    return make_spec(
        definition=definition(**counts),
        initialise={"mode": "SingleNode"},
        expand={"mode": "Join"},
        graces=GRACES,
        steps=dict.fromkeys(steps, True),
        policies={"quiet_period": "0s"},
    )


def grown(count: int, *, spec) -> GrowingWorld:
    """n1 is primary, the others follow it."""
    others = [FakeNode(f"n{i}", follows="n1") for i in range(2, count + 1)]
    return GrowingWorld(FakeNode("n1", role=ShardRole.PRIMARY), *others, spec=spec)


def scale_up() -> GrowingWorld:
    return GrowingWorld(spec=spec_of(data=2))


def scale_down() -> GrowingWorld:
    return grown(4, spec=spec_of("scale_down", data=3))


def replace() -> GrowingWorld:
    world = grown(3, spec=spec_of("replace_node", data=3))
    world.live(Cut.NOT)
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    return world


def primary_leaves() -> GrowingWorld:
    world = grown(3, spec=spec_of("scale_down", data=2, old=0))
    world.nodes["n1"].group = "old"
    return world


STORIES = (scale_up, scale_down, replace, primary_leaves)
CYCLES = 14


def tell(story, cuts: list[Cut]) -> GrowingWorld:
    world = story()
    for i in range(CYCLES):
        world.live(cuts[i] if i < len(cuts) else Cut.NOT)
        world.work()
    for _ in range(12):
        world.live(Cut.NOT)
        world.work()
    return world


def live_until(world: GrowingWorld, is_so: Callable[[], bool]) -> None:
    for _ in range(CYCLES):
        world.live(Cut.NOT)
        world.work()
        if is_so():
            return
    raise AssertionError("it never became so")


@functools.cache
def whole(story) -> GrowingWorld:
    """Nobody dies, and nothing changes it any more."""
    return tell(story, [])


def test_the_stories_come_to_their_ends():
    assert whole(scale_up).shape() == {
        "m1": (ShardRole.PRIMARY, None, StoreContact.ANSWERS),
        "m2": (ShardRole.SECONDARY, "m1", StoreContact.ANSWERS),
    }
    assert set(whole(scale_down).nodes) == {"n1", "n2", "n3"}
    assert [it for it, _ in whole(scale_down).effects] == [SERVICE_STOP, CLUSTER_REMOVE, "taken"]
    assert set(whole(replace).nodes) == {"n1", "n2", "m1"}
    assert whole(replace).nodes["m1"].follows == "n1"
    assert whole(primary_leaves).shape() == {
        "n2": (ShardRole.PRIMARY, None, StoreContact.ANSWERS),
        "n3": (ShardRole.SECONDARY, "n2", StoreContact.ANSWERS),
    }
    for world in map(whole, STORIES):
        assert all(it.phase.is_final for it in world.nactions + world.oactions)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(STORIES), st.lists(st.sampled_from(Cut), max_size=CYCLES))
def test_workers_that_die_anywhere_change_nothing_twice_and_forget_nothing(story, cuts):
    broken = tell(story, cuts)
    assert sorted(broken.effects) == sorted(whole(story).effects)
    assert broken.shape() == whole(story).shape()
    assert all(it.phase.is_final for it in broken.nactions + broken.oactions)


def test_a_node_that_comes_back_after_it_was_forgotten_is_a_member_again():
    world = replace()
    world.is_platform_usable = False
    live_until(world, lambda: "n3" in world.state.removed)
    world.nodes["n3"].answer = AgentAnswer.ANSWERED
    for _ in range(4):
        world.live(Cut.NOT)
        world.work()
    assert "n3" in world.nodes and "n3" not in world.state.removed


def test_a_node_that_comes_back_while_it_is_forgotten_is_not_taken_away():
    world = scale_down()
    live_until(world, lambda: CLUSTER_REMOVE in [it for it, _ in world.effects])
    world.nodes["n4"].contact = StoreContact.ANSWERS
    world.live(Cut.NOT)
    assert "n4" in world.nodes and world.state.removed == {}


def test_a_surplus_node_that_is_down_is_not_started_again():
    world = scale_down()
    live_until(world, lambda: world.nodes["n4"].contact is StoreContact.REFUSED)
    world.is_platform_usable = False
    world.nodes["n4"].sight = Sight.REFUSED
    for _ in range(12):
        world.live(Cut.NOT)
        world.work()
    assert [it.kind for it in world.sent if it.node_id == "n4"] == [SERVICE_STOP]


def test_a_surplus_node_in_no_cluster_is_not_taken_in_first():
    world = grown(3, spec=spec_of("scale_down", data=3))
    world.nodes["n4"] = FakeNode("n4", status=NodeStatus.NOT_IN_CLUSTER, role=None)
    for _ in range(8):
        world.live(Cut.NOT)
        world.work()
    assert set(world.nodes) == {"n1", "n2", "n3"} and world.sent == []


def test_nobody_is_stopped_or_handed_over_for_a_group_that_is_wanted_as_it_is():
    world = grown(3, spec=spec_of("scale_down", "replace_node", data=3))
    for _ in range(4):
        world.live(Cut.NOT)
    assert world.sent == [] and world.oactions == []
