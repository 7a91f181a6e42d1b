"""Whole stories with the replicated state in place of the builders' records: what a cycle writes is
taken as it is, and what is read back is what it wrote."""

from __future__ import annotations

import dataclasses

from orchestrate_builders import (
    CLUSTER,
    NS,
    FakeNode,
    World,
    hang_store,
    kill_store,
    make_spec,
)

from replicante.model.action_kinds import (
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_REJOIN,
)
from replicante.model.action_requests import ActionOn
from replicante.model.actions import NActionPhase, OActionPhase
from replicante.model.change import Change, ChangeCode, RecordKind
from replicante.model.codec import encode_value
from replicante.model.node import StoreContact
from replicante.model.observation import AgentAnswer, SeenPhase
from replicante.model.shard import ShardRole, Sight
from replicante.orchestrate.cycle import run_cycle
from replicante.orchestrate.gathering import Moment, actions_to_ask, cycle_inputs
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.fences import Fence, FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.record_commands import RecordCycle, record_change
from replicante.testing.builders import (
    CheckedState,
    cluster_document,
    put_namespace,
    put_object,
)

SCOPE = (NS, CLUSTER)
ID = "00000000-0000-8000-8000-000000000001"


class StateWorld(World):
    """A world whose records are those of a real state machine, with every invariant asserted."""

    def __init__(self, *nodes, spec=None):
        super().__init__(*nodes, spec=spec)
        self.state_machine = CheckedState()
        self.state_machine.do(put_namespace(NS))
        self.state_machine.do(put_object(cluster_document(CLUSTER)))
        lease = LeaseAcquire(lease_name(FenceOn.CLUSTER, *SCOPE), 86_400_000, encode_value({}))
        token = self.state_machine.do(lease).revision
        self.fence = Fence(FenceOn.CLUSTER, *SCOPE, token)
        self.epoch = token
        self.revisions = {}
        self._store_discovery()

    def _store_discovery(self):
        change = Change(
            kind=RecordKind.CLUSTER_DISCOVERY,
            key=SCOPE,
            before=None,
            after=self.discovery.to_value(),
            code=ChangeCode.CLUSTER_DISCOVERY_NEW,
        )
        self.propose((change,), {})

    def propose(self, changes, revisions):
        made = tuple(record_change(change, revisions) for change in changes)
        return self.state_machine.do(RecordCycle(self.fence, made))

    def stored(self):
        return record_queries.cluster_records(self.state_machine.store, *SCOPE)

    def inputs(self, **changes):
        asked = actions_to_ask(self.stored().nactions)
        observations = tuple(
            node.observe(self.now_ms, list(asked.get(node.node_id, ())))
            for node in self.nodes.values()
        )
        found, self.revisions = cycle_inputs(
            self.state_machine.store,
            namespace=self.namespace,
            spec=self.spec,
            is_platform_usable=self.is_platform_usable,
            observations=observations,
            moment=Moment(epoch=self.epoch, now_ms=self.now_ms, wall_now_ms=self.wall_ms),
        )
        return dataclasses.replace(found, **changes)

    def commit(self, result):
        outcome = self.propose(result.changes, self.revisions)
        assert isinstance(outcome, Applied), outcome
        self.log += result.changes

    def actions(self, on=ActionOn.NODE):
        page = record_queries.action_list(self.state_machine.store, on, *SCOPE)
        return [it.action for it in page.items]

    def codes(self):
        events = queries.events_after(self.state_machine.store, 0, limit=1_000).items
        return [it.code for it in events]


def replicated(**spec):
    world = StateWorld(
        FakeNode("n1", role=ShardRole.PRIMARY),
        FakeNode("n2", follows="n1"),
        FakeNode("n3", follows="n1"),
        spec=make_spec(**spec),
    )
    world.cycle()
    return world


def test_a_failover_with_its_rejoins_is_stored_step_by_step():
    world = replicated()
    kill_store(world)
    for _ in range(10):
        world.cycle(after_ms=3_000)
        world.work()
    assert [(it.kind, it.node_id) for it in world.sent] == [
        (STORE_PROMOTE, "n2"),
        (STORE_REJOIN, "n3"),
        (STORE_REJOIN, "n1"),
    ]
    assert {it.phase for it in world.actions()} == {NActionPhase.DONE}
    assert world.stored().state.appointed == {"0": "n2"}
    codes = world.codes()
    story = ["NODE_DOWN", "NACTION_CREATE", "NACTION_DISPATCH", "NACTION_FINISH", "NODE_UP"]
    assert [codes.index(it) for it in story] == sorted(codes.index(it) for it in story)


def test_a_quiet_cluster_emits_no_events():
    world = replicated()
    before = len(world.codes())
    for _ in range(5):
        for node in world.nodes.values():
            node.offset += 7
        world.cycle()
    assert len(world.codes()) == before


def test_what_a_person_did_meanwhile_refuses_the_whole_cycle_and_is_judged_by_the_next():
    world = replicated(approval="required")
    kill_store(world)
    world.cycle()
    (waiting,) = world.actions()
    world.nodes["n1"].contact = StoreContact.ANSWERS
    world.nodes["n2"].sight = world.nodes["n3"].sight = Sight.UP
    decided = run_cycle(world.inputs(now_ms=world.now_ms + 1_000))
    seen = world.revisions
    names = (*SCOPE, "n2", waiting.action_id)
    world.state_machine.do(MoveAction(ActionOn.NODE, names, ActionVerb.APPROVE))
    refused = world.propose(decided.changes, seen)
    assert isinstance(refused, Rejected) and refused.code is RejectCode.RECORD_CHANGED
    assert world.actions()[0].phase is NActionPhase.PENDING_SCHEDULE
    assert world.cycle().submissions == (), "its reason is gone: an approval does not bring it back"
    assert world.actions()[0].phase is NActionPhase.CANCELLED


def test_an_approval_by_a_person_is_carried_out_by_the_next_cycle():
    world = replicated(approval="required")
    kill_store(world)
    world.cycle()
    (waiting,) = world.actions()
    names = (*SCOPE, "n2", waiting.action_id)
    world.state_machine.do(MoveAction(ActionOn.NODE, names, ActionVerb.APPROVE))
    (sent,) = world.cycle().submissions
    assert (sent.action_id, sent.kind) == (waiting.action_id, STORE_PROMOTE)


def approve(world, action):
    names = (*SCOPE, action.node_id, action.action_id)
    return world.state_machine.do(MoveAction(ActionOn.NODE, names, ActionVerb.APPROVE))


def test_the_event_of_an_approval_names_the_rules_that_it_answers():
    world = replicated(approval="required")
    kill_store(world)
    world.cycle()
    approve(world, *world.actions())
    event = queries.events_after(world.state_machine.store, 0, limit=1_000).items[-1]
    assert event.code == "NACTION_APPROVE"
    assert event.payload_value()["after"]["asked"] == {"approval_granted": {"known_min": 0}}


def test_an_approval_given_while_more_is_asked_is_of_what_was_shown():
    world = replicated(approval="required")
    kill_store(world)
    world.cycle()
    (shown,) = world.actions()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    decided = run_cycle(world.inputs(now_ms=world.now_ms + 1_000))
    seen = world.revisions
    approve(world, shown)
    refused = world.propose(decided.changes, seen)
    assert isinstance(refused, Rejected) and refused.code is RejectCode.RECORD_CHANGED
    assert world.cycle().submissions == ()
    (asked_anew,) = [it for it in world.actions() if not it.phase.is_final]
    assert [*asked_anew.asked] == ["approval_granted", "majority_kept"]


def test_an_approval_given_after_more_was_asked_is_refused():
    world = replicated(approval="required")
    kill_store(world)
    world.cycle()
    (shown,) = world.actions()
    world.nodes["n3"].answer = AgentAnswer.TIMEOUT
    world.cycle()
    late = approve(world, shown)
    assert isinstance(late, Rejected) and late.code is RejectCode.WRONG_PHASE
    assert world.cycle().submissions == ()


def test_a_switchover_that_a_person_cancels_is_not_sent_again():
    world = replicated(mode="observe")
    body = {"kind": CORE_SWITCHOVER, "args": {"to": "n3"}, "metadata": {}}
    world.state_machine.do(CreateAction(ActionOn.CLUSTER, (*SCOPE, ID), encode_value(body), True))
    (lost,) = world.cycle(is_sent=False).submissions
    world.state_machine.do(MoveAction(ActionOn.CLUSTER, (*SCOPE, ID), ActionVerb.CANCEL))
    assert world.cycle().submissions == ()
    assert [it.phase for it in world.actions()] == [NActionPhase.CANCELLED]
    world.nodes["n1"].take(lost)
    assert [it.action_id for it in world.cycle().cancels] == [lost.action_id]


def test_a_cancelled_action_that_its_agent_has_is_found_by_its_id():
    world = replicated()
    body = {"kind": "example.com/backup", "args": None, "metadata": {}, "node_id": "n2"}
    world.state_machine.do(CreateAction(ActionOn.NODE, (*SCOPE, ID), encode_value(body), True))
    world.cycle()
    names = (*SCOPE, "n2", ID)
    world.state_machine.do(MoveAction(ActionOn.NODE, names, ActionVerb.CANCEL))
    result = world.cycle()
    assert [it.action_id for it in result.cancels] == [ID]
    assert world.actions()[0].phase is NActionPhase.CANCELLED
    world.nodes["n2"].end(ID, SeenPhase.CANCELLED)
    assert world.cycle().cancels == ()


def test_a_switchover_that_people_ask_for_is_stored_with_its_node_action():
    world = replicated(mode="observe")
    body = {"kind": CORE_SWITCHOVER, "args": {"to": "n3"}, "metadata": {}}
    world.state_machine.do(CreateAction(ActionOn.CLUSTER, (*SCOPE, ID), encode_value(body), True))
    for _ in range(3):
        world.cycle()
        world.work()
    (asked,) = world.actions(ActionOn.CLUSTER)
    assert asked.phase is OActionPhase.DONE
    assert world.stored().state.appointed == {"0": "n3"}


def test_suspicions_survive_in_the_records():
    world = replicated()
    hang_store(world)
    for _ in range(3):
        result = world.cycle(after_ms=2_000)
    assert [it.kind for it in result.submissions] == [STORE_FENCE]
    assert world.nodes["n2"].sight is Sight.DOWN
