"""The workers over agents that are honest, deaf, mute, lying and forgetful."""

from __future__ import annotations

import pytest
from work_bench import CLUSTER, PLATFORM, WorkBench

from replicante.agents.protocol import SendAnswer
from replicante.model.action_requests import ActionOn
from replicante.model.codec import encode_value
from replicante.model.node import NodeStatus
from replicante.model.objects import ObjectKind
from replicante.platforms.client import PlatformSays
from replicante.state import queries, record_queries
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.fences import FenceOn, lease_name
from replicante.state.lease_commands import LeaseAcquire
from replicante.state.object_commands import DeleteObject
from replicante.state.record_commands import RequestWork
from replicante.testing.builders import cluster_document, platform_document, put_object
from replicante.testing.fake_agents import FakeAgent, Manner
from replicante.testing.fake_peer import Trouble

ID = "00000000-0000-8000-8000-000000000001"


async def test_a_declared_cluster_is_discovered_looked_at_and_reported():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    assert [node.node_id for node in bench.discovery().nodes] == ["n1", "n2"]
    records = bench.records()
    assert [node.node_status for node in records.nodes] == [NodeStatus.HEALTHY] * 2
    assert records.report.is_success
    assert bench.decision().mode == "active"
    assert {"CLUSTER_DISCOVERY_NEW", "NODE_SYNC_NEW", "SHARD_SYNC_NEW", "DECISION"} <= set(
        bench.codes()
    )


async def test_work_is_due_by_its_interval_and_not_before():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(3)
    assert await bench.turn(ms=1_000) == 0
    assert await bench.turn(ms=9_000) == 1


async def test_a_request_makes_work_due_at_once_and_is_answered_once():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(3)
    bench.lone.do(RequestWork(FenceOn.CLUSTER, *CLUSTER))
    bench.lone.do(RequestWork(FenceOn.PLATFORM, *PLATFORM))
    assert await bench.turn(ms=0) == 2
    assert await bench.turn(ms=0) == 0


async def test_who_does_not_lead_does_nothing():
    bench = WorkBench(FakeAgent("n1"))
    bench.view.is_leading = False
    assert await bench.turn() == 0
    assert bench.steps == []


async def test_an_action_is_sent_followed_and_ended():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    await bench.turn()
    assert bench.action(ID).phase == "NEW"
    agent.run_actions()
    await bench.turn()
    assert bench.action(ID).phase == "DONE"
    assert agent.effects == [ID]
    codes = [code for code in bench.codes() if code.startswith("NACTION")]
    assert codes == [
        "NACTION_CREATE",
        "NACTION_DISPATCH",
        "NACTION_SYNC_UPDATE",
        "NACTION_FINISH",
    ]


async def test_the_intent_is_recorded_before_the_agent_hears_of_it():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    bench.ask(ID)
    seen = []

    async def submit(action, node, **ways):
        seen.append((bench.action(ID).sent_epoch, ways["epoch"]))
        return await inner(action, node, **ways)

    inner, bench.agents.submit = bench.agents.submit, submit
    await bench.turn()
    ((recorded, used),) = seen
    assert recorded == used


async def test_in_observe_mode_nothing_is_begun_by_itself_and_what_would_be_is_said():
    bench = WorkBench(FakeAgent("n1", status=NodeStatus.NOT_IN_CLUSTER), mode="observe")
    await bench.turns(4)
    assert bench.agents.agents["n1"].actions == {}
    assert bench.decision().mode == "observe"


async def test_a_silent_agent_is_an_observation_and_holds_up_nobody():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    bench.agents.agents["n2"].manner = Manner.DEAF
    await bench.turn()
    statuses = {node.node_id: node.node_status for node in bench.records().nodes}
    assert statuses == {"n1": NodeStatus.HEALTHY, "n2": NodeStatus.UNREACHABLE}
    assert "AGENT_DOWN" in bench.codes()
    bench.agents.agents["n2"].manner = Manner.HONEST
    await bench.turn()
    assert "AGENT_UP" in bench.codes()


async def test_an_agent_that_stays_silent_is_waited_for_briefly_until_it_speaks():
    bench = WorkBench(FakeAgent("n1"))
    limits = []

    async def look(ask, *, ca_bundle):
        limits.append(ask.limit_ms)
        return await inner(ask, ca_bundle=ca_bundle)

    inner, bench.agents.look = bench.agents.look, look
    bench.agents.agents["n1"].manner = Manner.DEAF
    await bench.turns(10)
    bench.agents.agents["n1"].manner = Manner.HONEST
    await bench.turns(2)
    assert limits[0] > limits[3] == limits[5] == limits[6] == limits[7] > 0
    # Now and then it is waited for in full: it may only have become slow.
    assert limits[4] == limits[8] == limits[0]
    assert limits[-1] == limits[0]


async def test_what_an_agent_got_without_saying_so_is_not_sent_twice_with_effect():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    agent.manner = Manner.MUTE
    # Its record is intact and looks end in silence: the node is unreachable, nothing is sent.
    await bench.turn()
    assert bench.action(ID).phase == "PENDING_SCHEDULE"
    agent.manner = Manner.HONEST
    await bench.turns(2)
    agent.run_actions()
    await bench.turns(2)
    assert bench.action(ID).phase == "DONE"
    assert agent.effects == [ID]


async def test_a_lost_answer_to_a_submission_is_found_by_the_next_look():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)

    async def submit(action, node, **ways):
        sent = await inner(action, node, **ways)
        assert sent.answer is SendAnswer.TAKEN
        return type(sent)(answer=SendAnswer.UNKNOWN, message="the answer was lost")

    inner, bench.agents.submit = bench.agents.submit, submit
    await bench.turn()
    assert bench.action(ID).attempts_count == 1
    bench.agents.submit = inner
    agent.run_actions()
    await bench.turn()
    assert (bench.action(ID).phase, agent.effects) == ("DONE", [ID])


async def test_an_action_is_lost_only_by_the_word_of_its_own_agent():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    await bench.turn()
    agent.manner = Manner.DEAF
    await bench.turns(3)
    assert bench.action(ID).phase == "NEW"
    agent.manner = Manner.FORGETFUL
    await bench.turns(2)  # the end is written under an epoch in which it was not sent
    assert bench.action(ID).phase == "LOST"


async def test_an_agent_that_refuses_fails_the_action_after_bounded_attempts():
    agent = FakeAgent("n1", manner=Manner.HONEST)
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    agent.manner = Manner.REFUSING
    await bench.turns(10)
    ended = bench.action(ID)
    assert ended.phase == "FAILED"
    assert ended.error["attempts"] == 6
    assert ended.error["last_error"] == "status 400: no such kind"


async def test_an_agent_of_another_node_is_never_acted_upon():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    agent.manner = Manner.LYING
    bench.ask(ID)
    await bench.turns(3)
    assert agent.actions == {}
    assert bench.action(ID).phase == "PENDING_SCHEDULE"


async def test_what_a_person_cancels_while_it_is_sent_stays_cancelled_and_is_called_back():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)

    async def submit(action, node, **ways):
        sent = await inner(action, node, **ways)
        bench.lone.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL))
        return sent

    inner, bench.agents.submit = bench.agents.submit, submit
    await bench.turns(3)
    assert bench.action(ID).phase == "CANCELLED"
    assert agent.actions[ID].phase == "CANCELLED"
    assert agent.effects == []


async def test_what_people_decide_during_the_look_counts():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    bench.ask(ID)

    async def look(ask, *, ca_bundle):
        bench.lone.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL))
        return await inner(ask, ca_bundle=ca_bundle)

    inner, bench.agents.look = bench.agents.look, look
    await bench.turn()
    assert bench.action(ID).phase == "CANCELLED"
    assert bench.agents.agents["n1"].actions == {}


async def test_a_change_between_decision_and_record_costs_the_cycle_and_is_kept():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(2)
    bench.ask(ID)
    before = bench.records().report

    async def propose(command, *, timeout_ms):
        if bench.action(ID).phase == "PENDING_SCHEDULE":
            bench.lone.do(MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL))
        return await inner(command, timeout_ms=timeout_ms)

    # The fence is held already: the first write of this turn is the record.
    inner, bench.peer.propose = bench.peer.propose, propose
    await bench.turn(ms=9_500)
    assert bench.records().report == before
    assert bench.agents.agents["n1"].actions == {}
    assert bench.counted("refused") == 1
    await bench.turn()
    assert bench.records().report != before
    assert bench.action(ID).phase == "CANCELLED"


async def test_a_new_leader_takes_over_in_the_middle_and_the_old_one_can_do_nothing():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    await bench.turns(2)
    bench.ask(ID)
    new = bench.new_workers("p2")

    async def look(ask, *, ca_bundle):
        bench.agents.look = inner
        found = await inner(ask, ca_bundle=ca_bundle)
        new.start_due()
        await new.settle()
        events.append(len(bench.events()))
        return found

    events = []
    inner, bench.agents.look = bench.agents.look, look
    await bench.turn()
    assert bench.action(ID).phase == "NEW"
    assert bench.codes()[events[0] :] == []
    assert bench.counted("refused") == 1


async def test_a_lease_held_by_a_stranger_is_taken_by_who_leads():
    bench = WorkBench(FakeAgent("n1"))
    name = lease_name(FenceOn.CLUSTER, *CLUSTER)
    bench.lone.do(LeaseAcquire(name, 600_000, encode_value({"peer": "dead"})))
    await bench.turns(2)
    assert bench.records().report.is_success
    assert "LEASE_FORCE_RELEASED" in bench.codes()


async def test_the_fence_is_kept_over_cycles_and_renewed_without_news():
    bench = WorkBench(FakeAgent("n1"))
    await bench.turns(6)
    assert bench.codes().count("LEASE_ACQUIRED") == 2
    epochs = {bench.agents.agents["n1"].epoch}
    await bench.turns(3)
    assert epochs == {bench.agents.agents["n1"].epoch}


@pytest.mark.parametrize(
    "answer",
    [
        PlatformSays(failure="it is down"),
        PlatformSays(value=None),
        PlatformSays(value={"clusters": [{"cluster_id": "no name"}]}),
        PlatformSays(value={"clusters": []}),
    ],
)
async def test_a_platform_that_fails_or_forgets_takes_nothing_away(answer):
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    known = bench.discovery().nodes
    bench.platform.answer = answer
    bench.lone.do(RequestWork(FenceOn.PLATFORM, *PLATFORM))
    await bench.turn()
    assert bench.discovery().nodes == known
    run = record_queries.platform_run(bench.lone.store, *PLATFORM)
    assert run["is_success"] is (answer.value == {"clusters": []})
    assert (run["error"] is None) is run["is_success"]


async def test_a_cluster_that_nobody_declared_gets_a_spec_in_observe_mode():
    bench = WorkBench(FakeAgent("n1"))
    bench.platform.names("n1", cluster="found")
    await bench.turns(2)
    stored = queries.object_get(bench.lone.store, ObjectKind.CLUSTER_SPEC, ("default", "found"))
    assert stored.spec["mode"]["mode"] == "observe"
    assert stored.spec["platform"] == {"ns_id": "default", "name": "p"}
    assert "CLUSTER_DISCOVERY_SYNTHETIC" in bench.codes()


async def test_a_namespace_goes_with_everything_that_lives_in_it():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    bench.ask(ID)
    bench.lone.do(DeleteObject(ObjectKind.NAMESPACE, ("default",)))
    await bench.turns(3)
    assert queries.object_get(bench.lone.store, ObjectKind.NAMESPACE, ("default",)) is None
    assert bench.codes()[-1] == "NAMESPACE_DELETED"
    assert {"NODE_DELETE", "SHARD_DELETE", "NACTION_CANCEL"} <= set(bench.codes())


async def test_what_a_finaliser_holds_is_asked_for_ever_more_seldom():
    bench = WorkBench(FakeAgent("n1"))
    document = platform_document("held")
    document["metadata"]["finalisers"] = ["somebody"]
    bench.lone.do(put_object(document))
    bench.lone.do(DeleteObject(ObjectKind.PLATFORM, ("default", "held")))
    started = [await bench.turn(ms=1_000) for _ in range(20)]
    assert sum(started) < 15
    bench.lone.do(put_object(platform_document("held")))
    assert queries.object_get(bench.lone.store, ObjectKind.PLATFORM, ("default", "held")) is None


async def test_a_failure_of_one_cluster_is_its_own():
    bench = WorkBench(FakeAgent("n1"))
    bench.lone.do(put_object(cluster_document("other", spec={"interval": "10s"})))
    await bench.turns(2)

    async def look(ask, *, ca_bundle):
        raise ZeroDivisionError("a defect, on purpose")

    bench.agents.look = look
    await bench.turn()
    other = record_queries.report(bench.lone.store, "default", "other")
    assert other.start_ms == bench.lone.clock_ms
    assert bench.counted("failed") == 1


async def test_without_a_leader_nothing_is_done_and_later_everything():
    bench = WorkBench(FakeAgent("n1"))
    bench.peer.trouble = Trouble.NO_LEADER
    await bench.turn()
    assert bench.records().report is None
    bench.peer.trouble = Trouble.NONE
    await bench.turns(2)
    assert bench.records().report.is_success
