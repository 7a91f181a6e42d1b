"""The Redis agent on real servers: a primary admits others, and settings are changed by name."""

from __future__ import annotations

import signal

import pytest
from agent_processes import free_port
from test_agents_redis import Node, accepts_writes, cluster, is_protected, kill_redis, until

from replicante.model import action_kinds as kinds

pytestmark = pytest.mark.processes


async def test_a_server_that_the_primary_admits_is_a_member_and_stays_one_and_nobody_loses_by_it(
    tmp_path,
):
    async with cluster(tmp_path) as (n1, n2, n3):
        node = Node(tmp_path, "n4")
        async with node.process.calling() as node.agent:
            assert (await node.says())["node_status"] == "NOT_IN_CLUSTER"
            assert "only the primary" in await n2.fails(kinds.CLUSTER_ADD, node=node.member)
            await n1.command("SET", "kept", "1")
            await n1.succeeds(kinds.CLUSTER_ADD, node=node.member, protect_writes=True)
            await until(lambda: _is_member(node))
            assert (await node.shard())["upstream"]["address"] == n1.member
            assert await node.command("CONFIG", "GET", "min-replicas-to-write") == {
                "min-replicas-to-write": "1"
            }
            await n1.succeeds(kinds.CLUSTER_ADD, node=node.member)
            node.signal(signal.SIGKILL)
            await node.succeeds(kinds.SERVICE_START)
            assert not await accepts_writes(node)
            assert await is_protected(node)
            await until(lambda: _holds(node, "kept", "1"))
        # Nobody is admitted who would lose something by it.
        await n3.command("REPLICAOF", "NO", "ONE")
        await n3.command("SET", "own", "1")
        assert "with data" in await n1.fails(kinds.CLUSTER_ADD, node=n3.member)
        assert await n3.command("GET", "own") == "1"
        nobody = f"127.0.0.1:{free_port()}"
        assert nobody in await n1.fails(kinds.CLUSTER_ADD, node=nobody)


async def test_a_server_with_data_of_its_own_does_not_join_and_keeps_it(tmp_path):
    async with cluster(tmp_path) as (n1, *_):
        node = Node(tmp_path, "n4")
        async with node.process.calling() as node.agent:
            await node.command("REPLICAOF", "NO", "ONE")
            await node.command("SET", "own", "1")
            assert "with data" in await node.fails(kinds.CLUSTER_JOIN, node=n1.member)
            assert await node.command("GET", "own") == "1"
            await node.command("FLUSHALL")
            await node.succeeds(kinds.CLUSTER_JOIN, node=n1.member)


async def test_a_cluster_whose_beginning_was_cut_off_can_be_begun_anew(tmp_path):
    node = Node(tmp_path, "n1")
    try:
        async with node.process.calling() as node.agent:
            await node.command("ACL", "SETUSER", "default", "-replicaof")
            await node.fails(kinds.CLUSTER_INIT)
            assert (await node.says())["node_status"] == "NOT_IN_CLUSTER"
            await node.command("ACL", "SETUSER", "default", "+replicaof")
            await node.succeeds(kinds.CLUSTER_INIT)
            assert await accepts_writes(node)
    finally:
        kill_redis(tmp_path)


async def test_settings_are_changed_all_or_none_and_hold_after_a_start(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        wanted = {"maxmemory": 200_000_000, "maxmemory-policy": "allkeys-lru"}
        dry = await n2.does(kinds.STORE_CONFIGURE, settings=wanted, dry_run=True)
        assert dry["state"]["payload"] == {
            "previous": {"maxmemory": "0", "maxmemory-policy": "noeviction"},
            "settings": {"maxmemory": "200000000", "maxmemory-policy": "allkeys-lru"},
            "changed": ["maxmemory", "maxmemory-policy"],
            "dry_run": True,
            "persistent": False,
        }
        assert await _setting(n2, "maxmemory") == "0"

        told = await n2.does(kinds.STORE_CONFIGURE, settings=wanted)
        assert told["state"]["payload"]["persistent"] is True
        assert told["state"]["payload"]["previous"]["maxmemory"] == "0"
        fleeting = {"settings": {"hz": 50}, "persistent": False}
        await n2.succeeds(kinds.STORE_CONFIGURE, **fleeting)
        assert await _setting(n2, "hz") == "50"
        n2.signal(signal.SIGKILL)
        await n2.succeeds(kinds.SERVICE_START)
        assert await _setting(n2, "maxmemory-policy") == "allkeys-lru"
        assert await _setting(n2, "hz") == "10"

        # The server itself refuses the second one: more clients than files it may open.
        unfit = {"hz": 60, "maxclients": 1_000_000}
        said = await n2.fails(kinds.STORE_CONFIGURE, settings=unfit)
        assert said.startswith("maxclients: ") and "as it was" in said
        assert await _setting(n2, "hz") == "10"
        for settings in ({"requirepass": "x"}, {"hz": "fast"}, {"appendfsync": "never"}):
            (name,) = settings
            assert name in await n1.fails(kinds.STORE_CONFIGURE, settings=settings)


async def _setting(node: Node, name: str) -> str:
    return (await node.command("CONFIG", "GET", name))[name]


async def _holds(node: Node, key: str, value: str) -> bool:
    return (await node.command("GET", key)) == value


async def _is_member(node: Node) -> bool:
    return (await node.says())["node_status"] == "HEALTHY"
