"""Platforms that forget: what is held, who lets it through, and what was expected anyway."""

from __future__ import annotations

from work_bench import CLUSTER, PLATFORM, WorkBench

from replicante.platforms.client import PlatformSays
from replicante.state import record_queries
from replicante.state.fences import FenceOn
from replicante.state.record_commands import ConfirmDiscovery, RequestWork
from replicante.testing.fake_agents import FakeAgent, Manner

CALL = "00000000-0000-8000-8000-000000000002"


def node_ids(bench):
    return [node.node_id for node in bench.discovery().nodes]


async def discovers(bench):
    bench.lone.do(RequestWork(FenceOn.PLATFORM, *PLATFORM))
    await bench.turn(ms=1_000)


async def test_half_of_the_nodes_are_gone_once_a_person_says_so():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    bench.platform.names("n1")
    for _ in range(5):
        await discovers(bench)
    assert node_ids(bench) == ["n1", "n2"]
    assert bench.discovery().held is not None
    bench.lone.do(ConfirmDiscovery(*CLUSTER, ("n2",), "decommissioned"))
    await bench.turns(2)
    assert node_ids(bench) == ["n1"]
    assert [node.node_id for node in bench.records().nodes] == ["n1"]
    await discovers(bench)
    assert bench.discovery().held is None


async def test_a_node_that_we_had_taken_away_is_believed_to_be_gone_at_once():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    await bench.take_away(CALL, "n2")
    assert record_queries.nodes_taken_away(bench.lone.store, *CLUSTER) == frozenset()
    await bench.turn()
    assert record_queries.nodes_taken_away(bench.lone.store, *CLUSTER) == {"n2"}
    bench.platform.names("n1")
    await discovers(bench)
    assert (node_ids(bench), bench.discovery().held) == (["n1"], None)
    await bench.turns(2)
    assert bench.oaction(CALL).phase == "DONE"
    assert record_queries.nodes_taken_away(bench.lone.store, *CLUSTER) == frozenset()


async def test_another_node_that_is_missing_beside_it_is_held():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"), FakeAgent("n3"))
    await bench.turns(2)
    await bench.take_away(CALL, "n3")
    await bench.turn()
    bench.platform.names("n1")
    await discovers(bench)
    assert "n2" in node_ids(bench)
    assert bench.discovery().held is not None


async def test_a_primary_that_serves_is_not_given_up_because_its_platform_forgot_it():
    nodes = [FakeAgent(it) for it in ("n1", "n2", "n3")]
    bench = WorkBench(*nodes)
    await bench.turns(2)
    bench.platform.names("n1", "n2")
    for _ in range(6):
        await discovers(bench)
    assert node_ids(bench) == ["n1", "n2", "n3"]
    assert "n3 still serves as a primary" in bench.discovery().held.reason
    nodes[2].manner = Manner.DEAF
    await bench.turns(2)
    await discovers(bench)
    assert node_ids(bench) == ["n1", "n2"]


async def test_what_is_asked_of_a_node_that_no_discovery_names_ends():
    bench = WorkBench(FakeAgent("n1"), FakeAgent("n2"))
    await bench.turns(2)
    bench.ask(CALL, "n22")
    answer, bench.platform.answer = bench.platform.answer, PlatformSays(failure="it is down")
    await discovers(bench)
    await bench.turns(2)
    assert bench.action(CALL).phase == "PENDING_SCHEDULE"
    bench.platform.answer = answer
    await discovers(bench)
    await bench.turns(2)
    assert bench.action(CALL).phase == "CANCELLED"
