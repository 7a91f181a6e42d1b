"""Random worlds in which people ask for what they like: nothing leaves that a second, independent
reading forbids, unless one of them was told of it and approved.

As `test_orchestrate_properties`: the reading looks at the nodes as they are, and at what an action
says that was approved; it shares no code with the rules, and may forbid less, never more.
"""

from __future__ import annotations

import msgspec
from by_name_asks import ask, the
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrate_builders import FakeNode, World, kill_store, make_spec
from test_orchestrate_properties import BOUND, CONFIRMATIONS, Reader, bring_about, death, fault

from replicante.model.action_kinds import (
    SERVICE_RESTART,
    SERVICE_STOP,
    STORE_FENCE,
    STORE_PROMOTE,
)
from replicante.model.actions import NActionPhase, Requester
from replicante.model.node import NodeStatus, StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight

NODES = ("n1", "n2", "n3", "n4")
KINDS = (SERVICE_RESTART, SERVICE_STOP, STORE_PROMOTE)
# Nobody becomes primary behind the reader's back: who leads is known without a record.
quiet_fault = fault.filter(lambda it: it != ("role", ShardRole.PRIMARY))
event = st.tuples(st.sampled_from(NODES), quiet_fault)
# Few promotions may go, so more are asked for.
asking = st.tuples(st.sampled_from(NODES), st.sampled_from((*KINDS, *[STORE_PROMOTE] * 3)))
step = st.tuples(
    st.lists(event, max_size=2),
    st.lists(asking, max_size=2),
    st.booleans(),
    st.sampled_from([500, 2_000, 20_000]),
    st.booleans(),
)


class PeoplesReader(Reader):
    """Knows also who leads, and what people approved."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lead = "n1"
        self.approved: set[str] = set()

    def under_way(self) -> set[str]:
        """Ids of what may be at an agent and has not ended there. A late fence at a silent one
        ends a process that answers nobody, and nothing else."""
        found = set()
        for node in self.world.nodes.values():
            is_silent = node.answer is not AgentAnswer.ANSWERED
            for seen in node.actions.values():
                if is_silent and seen.kind == STORE_FENCE:
                    continue
                if seen.phase in (SeenPhase.NEW, SeenPhase.RUNNING):
                    found.add(seen.action_id)
        return found

    def forbids_people(self, result) -> list[str]:
        disturbing = [it for it in result.submissions if it.action_id not in self.sent]
        self.sent |= {it.action_id for it in disturbing}
        found = [] if len(disturbing) <= 1 else ["two are disturbed in one cycle"]
        for action in disturbing:
            if action.requester is Requester.CORE_DECLARATIVE:
                continue
            target, asked = self.world.nodes[action.node_id], action.asked
            if target.answer is not AgentAnswer.ANSWERED:
                found.append("an agent is asked that is not right")
            if asked and action.action_id not in self.approved:
                found.append("what waits for a person is sent without one")
            others = self.under_way() - {action.action_id}
            if others - {*asked.get("one_disruption", {}).get("action_ids", [])}:
                found.append("two are disturbed at once")
            if action.kind == STORE_PROMOTE:
                found += self._promoted(action, target, asked)
            else:
                found += self._taken_out(target, asked)
        return found

    def _taken_out(self, target, asked):
        seen = {it.node_id for it in self.seen()}
        unseen = {*self.world.nodes} - seen - {target.node_id}
        if unseen - {*asked.get("information_complete", {}).get("nodes", [])}:
            yield "one is taken out while another is not seen"
        is_calling = target in self.seen() and target.role is ShardRole.PRIMARY
        is_primary = target.node_id == self.lead or is_calling
        if is_primary and "primary_not_removed" not in asked:
            yield "a primary is taken out"
        healthy = {it.node_id for it in self.seen() if it.status is NodeStatus.HEALTHY}
        copies, left = {*self.known}, (healthy & {*self.known}) - {target.node_id}
        missing = copies - left - {target.node_id}
        told = {*asked.get("majority_kept", {}).get("missing", [])}
        is_lost = target.node_id in healthy and 2 * len(left) <= len(copies)
        if is_lost and ("majority_kept" not in asked or missing - told):
            yield "no majority stays"

    def _promoted(self, action, target, asked):
        old = self.world.nodes[self.lead]
        if old in self.seen() and old.role is ShardRole.PRIMARY:
            yield "one is promoted beside the primary"
        followers = [it for it in self.seen() if it.follows == old.node_id and it is not old]
        if old not in self.seen() and any(it.sight is Sight.UP for it in followers):
            yield "one is promoted past a copy that hears the primary"
        if any(it.controllers for it in self.answering()):
            yield "roles are changed beside another controller"
        if target not in self.seen() or target.role is not ShardRole.SECONDARY:
            yield "one that is no proper copy is promoted"
        told = asked.get("loss_bounded", {}).get("known_min", 0)
        same = [it for it, history in self.known.values() if history == target.history]
        behind = max(same) - target.offset
        if told is not None and behind > max(BOUND, told):
            yield "more is lost than declared or approved"
        if "failure_confirmed" not in asked and old not in self.seen():
            proved = all(it.sight is Sight.REFUSED for it in followers)
            if not proved and self.absent_looks < CONFIRMATIONS:
                yield "a death is believed on the word of nobody"

    def worked(self) -> None:
        for node in self.world.nodes.values():
            for action_id in node.applied:
                if node.actions[action_id].kind == STORE_PROMOTE:
                    self.lead = node.node_id if node.role is ShardRole.PRIMARY else self.lead


def live_through(count: int, how: str, mode: str, steps) -> list[str]:
    """Every cycle of one random life is read a second time; kinds that people had sent."""
    policies = {"confirmations": CONFIRMATIONS, "confirm_for": "3s", "data_loss_offset": BOUND}
    nodes = [FakeNode("n1", role=ShardRole.PRIMARY)]
    nodes += [FakeNode(f"n{i}", follows="n1") for i in range(2, count + 1)]
    world = World(*nodes, spec=make_spec(mode=mode, policies=policies))
    reader, sent = PeoplesReader(world), []
    world.cycle()
    reader.look()
    bring_about(world, how)
    for number, (events, asks, is_approving, after_ms, is_working) in enumerate(steps):
        for node_id, (name, value) in events:
            if node_id in world.nodes:
                setattr(world.nodes[node_id], name, value)
        for i, (node_id, kind) in enumerate(asks):
            if node_id in world.nodes:
                ask(world, node_id, kind, action_id=f"p{number}-{i}", args={"shard_id": "0"})
        for action in [*world.nactions]:
            if is_approving and action.phase is NActionPhase.PENDING_APPROVE:
                reader.approved.add(action.action_id)
                world.put(msgspec.structs.replace(action, phase=NActionPhase.PENDING_SCHEDULE))
        world.now_ms += after_ms
        world.wall_ms += after_ms
        reader.look()
        result = world.cycle(after_ms=0, is_sent=False)
        assert reader.forbids_people(result) == []
        world.send(result)
        sent += [it.kind for it in result.submissions if it.action_id.startswith("p")]
        if is_working:
            world.work()
            reader.worked()
    for action in world.nactions:
        assert len([it for it in world.nodes[action.node_id].applied if it == action.action_id]) < 2
    return sent


def test_nothing_that_people_ask_for_leaves_past_a_second_reading_without_their_word():
    sent: list[str] = []

    @settings(max_examples=300, deadline=None)
    @given(
        st.integers(2, 4),
        death,
        st.sampled_from(["observe", "active"]),
        st.lists(step, min_size=1, max_size=8),
    )
    def holds(count, how, mode, steps):
        sent.extend(live_through(count, how, mode, steps))

    holds()
    for kind in KINDS:
        assert kind in sent, "a property of nothing proves nothing"


def test_the_second_reading_can_forbid():
    world = World(
        FakeNode("n1", role=ShardRole.PRIMARY),
        FakeNode("n2", follows="n1"),
        FakeNode("n3", follows="n1"),
        spec=make_spec(mode="observe"),
    )
    world.cycle()
    reader = PeoplesReader(world)
    reader.look()
    kill_store(world)
    ask(world, "n2", STORE_PROMOTE)
    result = world.cycle()
    assert [it.kind for it in result.submissions] == [STORE_PROMOTE]
    assert reader.forbids_people(result) == []
    reader.sent.clear()
    world.nodes["n1"].contact = StoreContact.ANSWERS
    assert "one is promoted beside the primary" in reader.forbids_people(result)
    ask(world, "n1", SERVICE_RESTART, action_id="p")
    taken = msgspec.structs.replace(the(world, "p"), asked={})
    assert "a primary is taken out" in [*reader._taken_out(world.nodes["n1"], taken.asked)]
