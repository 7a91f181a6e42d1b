"""What every agent promises, asked over HTTP of agents that are processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from agent_processes import CLUSTER_ID, INIT, AgentProcess, kill_redis, redis, toy

pytestmark = pytest.mark.processes

MEMBERS = {"HEALTHY", "UNHEALTHY", "JOINING_CLUSTER", "LEAVING_CLUSTER"}
AGENTS = {"redis": redis, "toy": toy}
LOOP = "agent.replicante.io/test.loop"
FAIL = "agent.replicante.io/test.fail"


@pytest.fixture(params=sorted(AGENTS))
def process(request, tmp_path) -> Iterator[AgentProcess]:
    try:
        yield AGENTS[request.param](tmp_path)
    finally:
        kill_redis(tmp_path)


async def test_a_node_is_in_no_cluster_until_it_is_initialised(process):
    async with process.calling() as agent:
        _, node, _ = await agent.get("info/node")
        assert (node["node_id"], node["node_status"]) == (process.node_id, "NOT_IN_CLUSTER")
        assert node["store_id"]
        await agent.submit(INIT, {"cluster_id": CLUSTER_ID}, action_id="init")
        assert (await agent.until_phase("init", "DONE", "FAILED"))["state"]["phase"] == "DONE"
        assert (await agent.get("info/node"))[1]["node_status"] in MEMBERS
        assert (await agent.get("info/store"))[1]["cluster_id"] == CLUSTER_ID
        _, found, _ = await agent.get("info/shards")
        (shard,) = found["shards"]
        assert shard["role"] == "primary"
        assert isinstance(shard["commit_offset"]["value"], int) and shard["commit_offset"]["unit"]


async def test_to_initialise_twice_changes_nothing(process):
    async with process.calling() as agent:
        for action_id in ("first", "second"):
            await agent.submit(INIT, {"cluster_id": CLUSTER_ID}, action_id=action_id)
            found = await agent.until_phase(action_id, "DONE", "FAILED")
            assert found["state"]["phase"] == "DONE"
        assert (await agent.get("info/store"))[1]["cluster_id"] == CLUSTER_ID


async def test_what_was_taken_and_what_was_fenced_outlives_a_kill(process):
    async with process.calling() as agent:
        assert await agent.submit(LOOP, {"target": 5}, action_id="a", epoch=9) == 200
    async with process.calling() as agent:
        assert (await agent.until_phase("a", "DONE"))["state"]["payload"]["count"] == 5
        assert await agent.submit(LOOP, {"target": 5}, action_id="a", epoch=9) == 409
        assert await agent.submit(FAIL, action_id="b", epoch=8) == 412
        assert (await agent.get("info/node", epoch=8))[0] == 412
        assert (await agent.get("action/b"))[0] == 404


async def test_finished_actions_are_listed_newest_first(process):
    async with process.calling() as agent:
        for action_id in ("a", "b"):
            await agent.submit(FAIL, action_id=action_id)
            await agent.until_phase(action_id, "FAILED")
        _, found, _ = await agent.get("actions/finished")
        assert [item["id"] for item in found["actions"]] == ["b", "a"]
