"""Random worlds in which nodes leave: none goes that a second, independent reading keeps.

As `test_orchestrate_properties`: the reading looks at the nodes as they are and shares no code with
the rules; it may forbid less, never more.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import FakeNode, World, kill_store, make_spec
from test_orchestrate_properties import bring_about, death, step

from replicante.model.action_kinds import CLUSTER_REMOVE, SERVICE_STOP
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer
from replicante.model.shard import ShardRole
from replicante.orchestrate.actions.oaction_kinds import PlatformVerb

REPLACED_AFTER_MS = 2_000


class Reader:
    """Remembers what an observer may know, cycle by cycle."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.copies: set[str] = set()
        """Nodes that ever told of a copy."""
        self.answered_ms: dict[str, int] = {}

    def look(self) -> None:
        for node in self.world.nodes.values():
            if node.answer is AgentAnswer.ANSWERED:
                self.answered_ms[node.node_id] = self.world.now_ms
                if node.contact is StoreContact.ANSWERS and node.role is not None:
                    self.copies.add(node.node_id)

    def seen(self) -> list[FakeNode]:
        nodes = self.world.nodes.values()
        is_up = (AgentAnswer.ANSWERED, StoreContact.ANSWERS)
        return [it for it in nodes if (it.answer, it.contact) == is_up]

    def forbids(self, result) -> list[str]:
        found: list[str] = []
        for action in result.submissions:
            if action.attempts_count or action.requester != "CORE_DECLARATIVE":
                continue
            asked = self.world.nodes[action.node_id]
            if action.kind == SERVICE_STOP:
                found += self._goes(asked)
            if action.kind == CLUSTER_REMOVE:
                left = self.world.nodes[action.args["node_id"]]
                found += [*self._goes(left), *self._is_down(left)]
                if asked not in self.seen() or asked.role is not ShardRole.PRIMARY:
                    found.append("one that is no primary is asked to forget another")
        for call in result.calls:
            if call.verb is PlatformVerb.DEPROVISION:
                left = self.world.nodes[call.body["node_id"]]
                found += [*self._goes(left), *self._is_down(left)]
        return found

    def _goes(self, node: FakeNode):
        if node.node_id not in self.answered_ms:
            yield "one that was never seen goes"
        is_member = node in self.seen() and node.status is not NodeStatus.NOT_IN_CLUSTER
        if is_member and node.role is ShardRole.PRIMARY:
            yield "a primary goes"
        healthy = {it.node_id for it in self.seen() if it.status is NodeStatus.HEALTHY}
        if 2 * len((healthy & self.copies) - {node.node_id}) <= len(self.copies):
            yield "no majority stays"
        others = [it for it in self.world.nodes.values() if it is not node]
        if any(it.answer is not AgentAnswer.ANSWERED for it in others):
            yield "one goes while another is not seen"
        is_outside = node in self.seen() and node.status is NodeStatus.NOT_IN_CLUSTER
        has_primary = any(it.role is ShardRole.PRIMARY for it in self.seen())
        if self.copies and not has_primary and not is_outside:
            yield "one goes while nobody is primary"

    def _is_down(self, node: FakeNode):
        if node in self.seen() and node.role is not None:
            if node.status is not NodeStatus.NOT_IN_CLUSTER:
                yield "one that serves is forgotten or taken away"
        elif node.answer is not AgentAnswer.ANSWERED:
            gone_ms = self.world.now_ms - self.answered_ms.get(node.node_id, 0)
            if gone_ms < REPLACED_AFTER_MS:
                yield "one that was just seen is taken for gone"


class Shrinking(World):
    """A store that is told to stop does; a platform is asked and never answers."""

    def _carry_out(self, node, action) -> None:
        if action.kind == SERVICE_STOP:
            kill_store(self, node.node_id)
        super()._carry_out(node, action)


def shrinking(count: int) -> Shrinking:
    """One node less is declared than there are."""
    group = {"desired_count": count - 1, "node_class": "small"}
    graces = dict.fromkeys(("expand", "init", "failover", "rejoin", "scale_down"), "1s")
    spec = make_spec(
        definition={"store": "redis", "store_version": "6.2", "nodes": {"data": group}},
        steps={"scale_down": True, "replace_node": True},
        graces={**graces, "replace_node": f"{REPLACED_AFTER_MS // 1_000}s"},
        policies={"quiet_period": "0s"},
        initialise={"mode": "SingleNode"},
        expand={"mode": "Join"},
    )
    nodes = [FakeNode("n1", role=ShardRole.PRIMARY)]
    nodes += [FakeNode(f"n{i}", follows="n1") for i in range(2, count + 1)]
    return Shrinking(*nodes, spec=spec)


@settings(max_examples=150, deadline=None)
@given(st.integers(3, 4), death, st.lists(step, min_size=1, max_size=10))
def test_no_node_leaves_that_a_second_reading_keeps(count, how, steps):
    live_through(count, how, steps)


def test_in_calm_times_a_node_leaves_and_no_reading_keeps_it():
    kinds = live_through(4, "none", [([], 2_000, True)] * 6)
    assert {SERVICE_STOP, CLUSTER_REMOVE, PlatformVerb.DEPROVISION} <= {*kinds}


def live_through(count, how, steps) -> list[str]:
    kinds: list[str] = []
    world = shrinking(count)
    reader = Reader(world)
    bring_about(world, how)
    for events, after_ms, is_working in [([], 1_000, False), *steps]:
        for node_id, (name, value) in events:
            if node_id in world.nodes:
                setattr(world.nodes[node_id], name, value)
        world.now_ms += after_ms
        world.wall_ms += after_ms
        reader.look()
        result = world.cycle(after_ms=0, is_sent=False)
        assert reader.forbids(result) == []
        world.send(result)
        kinds += [*(it.kind for it in result.submissions), *(it.verb for it in result.calls)]
        if is_working:
            world.work()
    return kinds


def test_the_second_reading_can_keep_a_node():
    world = shrinking(3)
    reader = Reader(world)
    reader.look()
    result = world.cycle()
    assert [it.kind for it in result.submissions] == [SERVICE_STOP]
    assert reader.forbids(result) == []
    world.nodes["n3"].role = ShardRole.PRIMARY
    assert "a primary goes" in reader.forbids(result)
