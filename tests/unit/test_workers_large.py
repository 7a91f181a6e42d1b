"""Clusters that one write cannot hold, and agents that remember more than is kept here."""

from __future__ import annotations

import pytest
from work_bench import Crash, WorkBench

from replicante.limits import (
    ACTIONS_ENDED_KEPT_MAX,
    ACTIONS_ENDED_KEPT_MS,
    OBSERVED_SHARDS_MAX,
    RECORD_CHANGES_MAX,
    RECORD_PART_BYTES_MAX,
)
from replicante.model.change import ChangeCode, RecordKind
from replicante.model.objects import ObjectKind
from replicante.model.observation import SeenAction, SeenPhase, SeenShard
from replicante.model.shard import ShardRole
from replicante.platforms.client import PlatformSays
from replicante.state import queries, record_queries
from replicante.state.record_commands import RecordChange
from replicante.state.record_parts import cycle_parts, slices
from replicante.testing.fake_agents import FakeAgent

ID = "00000000-0000-8000-8000-999999999999"
SHARDS = tuple(
    SeenShard(shard_id=f"topic/{i:03}", role=ShardRole.SECONDARY)
    for i in range(OBSERVED_SHARDS_MAX)
)


def record(kind, name, after=b"x"):
    return RecordChange(kind, ("default", "r", name), None, after, ChangeCode.NODE_SYNC_UPDATE)


def seen(action_id, *, phase=SeenPhase.DONE, payload=None, ended_wall_ms=None):
    return SeenAction(
        action_id=action_id,
        kind="a/b",
        phase=phase,
        payload=payload,
        created_wall_ms=1,
        finished_wall_ms=ended_wall_ms,
    )


def large() -> WorkBench:
    """More nodes and shards than one write may hold."""
    agents = [FakeAgent(f"n{i:02}") for i in range(RECORD_CHANGES_MAX // OBSERVED_SHARDS_MAX + 2)]
    bench = WorkBench(*agents)
    for agent in agents:
        agent.shards = SHARDS
    return bench


async def test_a_cycle_that_one_write_cannot_hold_is_recorded_in_several():
    bench = large()
    await bench.turns(2)
    records = bench.records()
    assert len(records.shards) == len(records.nodes) * OBSERVED_SHARDS_MAX > RECORD_CHANGES_MAX
    assert records.report.is_success
    assert bench.counted("failed") == bench.counted("refused") == 0


@pytest.mark.parametrize("writes", range(5))
async def test_a_crash_between_two_parts_leaves_no_decision_without_what_it_saw(writes):
    bench = large()
    await bench.turn()
    recorded = bench.peer.propose
    left = writes

    async def propose(command, *, timeout_ms):
        nonlocal left
        left -= 1
        if left < 0:
            raise Crash("between two writes")
        return await recorded(command, timeout_ms=timeout_ms)

    bench.peer.propose = propose
    await bench.turn()
    if bench.records().report.start_ms == bench.lone.clock_ms:
        assert len(bench.records().nodes) == len(bench.agents.agents)
    bench.peer.propose = recorded
    bench.workers = bench.new_workers("p2")
    await bench.turns(2)
    assert bench.records().report.is_success
    shards = len(bench.records().shards)
    assert shards == len(bench.agents.agents) * OBSERVED_SHARDS_MAX
    assert bench.all_codes().count("SHARD_SYNC_NEW") == shards


async def test_what_cannot_be_recorded_at_all_is_not_done_and_said_in_the_report():
    n1, n2 = FakeAgent("n1"), FakeAgent("n2")
    bench = WorkBench(n1, n2)
    await bench.turns(2)
    for i in range(40):
        action_id = f"00000000-0000-8000-8000-{i:012}"
        bench.ask(action_id)
        n1.actions[action_id] = seen(action_id, phase=SeenPhase.RUNNING, payload="x" * 31_000)
    bench.ask(ID, node_id="n2")
    await bench.turn()
    report = bench.records().report
    assert not report.is_success
    assert report.error.startswith("the cycle cannot be recorded: ")
    assert n2.actions == {}
    # It is looked at again as often as is declared, and goes on by itself.
    n1.actions.clear()
    await bench.turns(2)
    assert bench.records().report.is_success
    assert list(n2.actions) == [ID]


async def test_an_agent_with_many_large_actions_is_taken_in_bit_by_bit():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    for i in range(60):
        agent.actions[f"old-{i}"] = seen(f"old-{i}", payload="x" * 31_000)
    await bench.turns(2)
    assert bench.records().report.is_success
    assert 0 < len(bench.records().ended_ids) < 60
    await bench.turns(10)
    assert len(bench.records().ended_ids) == 60


async def test_a_discovery_of_more_clusters_than_one_write_may_hold_is_taken_in():
    bench = WorkBench(FakeAgent("n1"))
    clusters = [{"cluster_id": f"c{i:04}", "nodes": []} for i in range(RECORD_CHANGES_MAX + 1)]
    bench.platform.answer = PlatformSays(value={"clusters": clusters})
    await bench.turn()
    found = record_queries.discoveries(bench.lone.store, "default").items
    assert len(found) == RECORD_CHANGES_MAX + 1
    assert record_queries.platform_run(bench.lone.store, "default", "p")["is_success"]
    last = queries.object_get(
        bench.lone.store, ObjectKind.CLUSTER_SPEC, ("default", f"c{RECORD_CHANGES_MAX}")
    )
    assert last.spec["mode"]["mode"] == "observe"


def test_a_small_cycle_is_one_write_in_its_own_order():
    changes = tuple(record(kind, "a") for kind in (RecordKind.NACTION, RecordKind.NODE))
    assert cycle_parts(changes) == (changes,)
    assert cycle_parts(()) == ((),)


def test_what_was_decided_is_written_last_and_together():
    nodes = [record(RecordKind.NODE, f"n{i}") for i in range(RECORD_CHANGES_MAX + 1)]
    actions = [record(RecordKind.NACTION, f"a{i}") for i in range(3)]
    *observed, decided = cycle_parts([*actions, *nodes])
    assert [it for part in observed for it in part] == nodes
    assert decided == tuple(actions)


def test_changes_of_one_record_are_never_parted():
    many = [record(RecordKind.NODE, f"n{i}") for i in range(RECORD_CHANGES_MAX - 1)]
    twice = [record(RecordKind.NODE, "twice"), record(RecordKind.NODE, "twice", b"y")]
    parts = [*slices([twice[0], *many, twice[1]])]
    assert [len(part) for part in parts] == [RECORD_CHANGES_MAX, 1]
    assert parts[0][:2] == tuple(twice)


def test_parts_are_bounded_by_their_bytes_too():
    half = b"x" * (RECORD_PART_BYTES_MAX // 2)
    parts = [*slices(record(RecordKind.NODE, f"n{i}", half) for i in range(3))]
    assert [len(part) for part in parts] == [1, 1, 1]


async def test_an_agent_that_remembers_more_than_is_kept_makes_no_events_for_ever():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    now_ms = bench.clock.wall_ms()
    for i in range(ACTIONS_ENDED_KEPT_MAX + 50):
        agent.actions[f"old-{i}"] = seen(f"old-{i}", ended_wall_ms=now_ms)
    await bench.turns(8)
    settled = len(bench.all_codes())
    await bench.turns(3)
    assert len(bench.all_codes()) == settled
    assert len(bench.records().ended_ids) == ACTIONS_ENDED_KEPT_MAX


async def test_what_ended_before_the_time_that_is_kept_is_not_taken_in():
    agent = FakeAgent("n1")
    bench = WorkBench(agent)
    bench.clock.advance(2 * ACTIONS_ENDED_KEPT_MS)
    bench.lone.advance(2 * ACTIONS_ENDED_KEPT_MS)
    wall_ms = bench.clock.wall_ms()
    for number, age_ms in enumerate((ACTIONS_ENDED_KEPT_MS + 60_000, 1_000)):
        agent.actions[f"old-{number}"] = seen(f"old-{number}", ended_wall_ms=wall_ms - age_ms)
    await bench.turns(2)
    assert bench.records().ended_ids == {"old-1"}
