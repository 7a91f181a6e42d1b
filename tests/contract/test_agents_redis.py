"""The Redis agent on real Redis servers: roles change as asked, and one that was replaced takes no
write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_harness import POLL_SECONDS, WAIT_SECONDS, Caller
from agent_processes import CLUSTER_ID, INIT, AgentProcess, free_port, kill_redis, redis
from redis import asyncio as redis_asyncio
from redis import exceptions

from replicante.agents.stores.redis.facts import NOWHERE, text
from replicante.model import action_kinds as kinds
from replicante.model.node import WRITES_PROTECTED

pytestmark = pytest.mark.processes

IDS = ("n1", "n2", "n3")


class Node:
    def __init__(self, folder: Path, node_id: str) -> None:
        self.port = free_port()
        self.process: AgentProcess = redis(folder, node_id=node_id, port=self.port)
        self.pid_file = folder / node_id / "redis" / "redis.pid"
        self.agent: Caller
        self._count = 0

    @property
    def member(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def does(self, kind: str, **args) -> dict:
        """The ended action."""
        self._count += 1
        action_id = f"a{self._count}"
        assert await self.agent.submit(kind, args, action_id=action_id) == 200
        return await self.agent.until_phase(action_id, "DONE", "FAILED")

    async def succeeds(self, kind: str, **args) -> None:
        ended = await self.does(kind, **args)
        assert ended["state"]["phase"] == "DONE", ended

    async def fails(self, kind: str, **args) -> str:
        ended = await self.does(kind, **args)
        assert ended["state"]["phase"] == "FAILED", ended
        return ended["state"]["error"]["error_msg"]

    async def shard(self) -> dict:
        status, body, _ = await self.agent.get("info/shards")
        assert status == 200, body
        return body["shards"][0]

    async def says(self) -> dict:
        return (await self.agent.get("info/node"))[1]

    async def command(self, *words):
        client = redis_asyncio.Redis(port=self.port, decode_responses=True)
        try:
            return await client.execute_command(*words)
        finally:
            await client.aclose()

    def signal_machine(self, number: signal.Signals) -> None:
        """The server and its agent."""
        self.signal(number)
        self.process.signal(number)

    def signal(self, number: signal.Signals) -> None:
        os.kill(int(self.pid_file.read_text()), number)


async def until(is_so) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await is_so():
                return
            await asyncio.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[tuple[Node, ...]]:
    """n1 is the primary, the others follow it."""
    try:
        async with contextlib.AsyncExitStack() as stack:
            nodes = tuple(Node(folder, node_id) for node_id in IDS)
            for node in nodes:
                node.agent = await stack.enter_async_context(node.process.calling())
            await nodes[0].succeeds(INIT)
            for node in nodes[1:]:
                await node.succeeds(kinds.CLUSTER_JOIN, node=nodes[0].member)
            yield nodes
    finally:
        kill_redis(folder)


async def accepts_writes(node: Node) -> bool:
    try:
        await node.command("SET", "stray", "1")
    except exceptions.ReadOnlyError:
        return False
    return True


async def test_replicas_tell_whom_they_follow_and_that_they_hear_it(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        primary = await n1.shard()
        assert primary["role"] == "primary"
        assert primary["lag"] is None
        readings = (await n1.agent.get("info/store"))[1]["readings"]
        assert readings["redis.io/memory.used"] > 0
        assert readings["redis.io/snapshot.last-save"].startswith("20")
        for node in (n2, n3):
            shard = await node.shard()
            assert shard["role"] == "secondary"
            assert shard["history_id"] == primary["history_id"]
            assert shard["upstream"]["address"] == n1.member
            assert shard["upstream"]["sight"] == "up"
            assert (await node.agent.get("info/store"))[1]["cluster_id"] == CLUSTER_ID
            await until(lambda node=node: _tells_its_lag(node))
        assert (await n1.agent.get("checks/can-stop"))[1]["can_stop"] is False
        assert (await n2.agent.get("checks/can-stop"))[1]["can_stop"] is True


async def test_progress_alone_changes_no_attribute(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        nodes = [await node.says() for node in (n1, n2)]
        stores = [await _settled(node) for node in (n1, n2)]
        offset = (await n2.shard())["commit_offset"]["value"]
        await n1.command("SET", "more", "x" * 100_000)
        await n1.command("WAIT", 2, 0)
        assert (await n2.shard())["commit_offset"]["value"] > offset
        assert [await node.says() for node in (n1, n2)] == nodes
        assert [await _settled(node) for node in (n1, n2)] == stores


async def test_an_action_does_not_wait_for_a_primary_that_is_gone(tmp_path):
    async with cluster(tmp_path) as (_, n2, n3):
        nobody = f"127.0.0.1:{free_port()}"
        assert "refuses connections" in await n2.fails(kinds.STORE_REJOIN, node=nobody)
        assert (await n2.shard())["upstream"]["sight"] == "refused"
        n3.signal(signal.SIGSTOP)
        assert "does not hear" in await n2.fails(kinds.STORE_REJOIN, node=n3.member)


async def test_a_switchover_loses_no_acknowledged_write(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        acknowledged = 0

        async def write() -> None:
            nonlocal acknowledged
            with contextlib.suppress(exceptions.RedisError):
                while True:
                    acknowledged = await n1.command("INCR", "count")

        writing = asyncio.create_task(write())
        await until(lambda: _is(lambda: acknowledged >= 20))
        await n1.succeeds(kinds.STORE_SWITCHOVER, node=n2.member)
        async with asyncio.timeout(WAIT_SECONDS):
            await writing
        assert (await n2.shard())["role"] == "primary"
        assert (await n1.shard())["upstream"]["address"] == n2.member
        assert int(await n2.command("GET", "count")) >= acknowledged >= 20
        # Redis tells nobody else: the third one follows the former primary until it is told.
        assert (await n3.shard())["upstream"]["address"] == n1.member
        await n3.succeeds(kinds.STORE_REJOIN, node=n2.member)
        assert (await n3.shard())["history_id"] == (await n2.shard())["history_id"]
        await n1.succeeds(kinds.STORE_SWITCHOVER, node=n2.member)


async def test_a_successor_that_was_killed_comes_back_as_nobodys_copy(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        await n1.succeeds(kinds.STORE_SWITCHOVER, node=n2.member)
        assert [(await n2.says())["node_status"] for _ in range(2)] == ["HEALTHY"] * 2
        n2.signal(signal.SIGKILL)
        await until(lambda: _is_told(n2, "refused"))
        await n2.succeeds(kinds.SERVICE_START)
        assert (await n2.shard())["upstream"]["address"] == text(NOWHERE)


async def test_a_primary_that_was_killed_comes_back_as_a_replica_and_takes_no_write(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        await n1.command("SET", "kept", "1")
        await n1.command("WAIT", 2, 0)
        assert (await n1.shard())["role"] == "primary"
        n1.signal(signal.SIGKILL)
        says = {}

        async def is_down() -> bool:
            says.update(await n1.says())
            return says["contact"] == "refused"

        await until(is_down)
        assert says["node_status"] == "UNAVAILABLE"
        assert says["attributes"]["redis.io/member"] is True
        assert says["attributes"]["redis.io/last.role"] == "primary"

        async def is_refused() -> bool:
            return (await n2.shard())["upstream"]["sight"] == "refused"

        await until(is_refused)
        offset = (await n2.shard())["commit_offset"]["value"]
        assert "behind" in await n3.fails(kinds.STORE_PROMOTE, offset=offset + 1_000_000)
        await n2.succeeds(kinds.STORE_PROMOTE, shard_id="all", offset=offset, replaces="n1")
        await n3.succeeds(kinds.STORE_REJOIN, node=n2.member)

        await n1.succeeds(kinds.SERVICE_START)
        assert not await accepts_writes(n1)
        await n1.succeeds(kinds.STORE_REJOIN, node=n2.member)
        assert not await accepts_writes(n1)
        assert await n1.command("GET", "kept") == "1"
        assert (await n1.shard())["history_id"] == (await n2.shard())["history_id"]


async def test_a_stopped_primary_is_not_heard_though_its_links_stay_open(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        for node in (n2, n3):
            await node.command("CONFIG", "SET", "repl-timeout", 3_600)
        n1.signal(signal.SIGSTOP)
        for node in (n2, n3):
            await until(lambda node=node: _is_seen_as(node, "down"))
            info = await node.command("INFO", "replication")
            assert info["master_link_status"] == "up"
        n1.signal(signal.SIGCONT)
        for node in (n2, n3):
            await until(lambda node=node: _is_seen_as(node, "up"))


async def test_a_busy_primary_that_says_so_is_heard(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        await n1.command("CONFIG", "SET", "lua-time-limit", 1)
        endless = asyncio.create_task(n1.command("EVAL", "while true do end", 0))
        await until(lambda: _is_heard_long_ago(n2))
        assert (await n2.shard())["upstream"]["sight"] == "up"
        says = await n1.says()
        assert (says["node_status"], says["contact"]) == ("UNKNOWN", "answers")
        assert "BUSY" in says["status_reason"]
        for path in ("info/store", "info/shards", "checks/can-stop"):
            status, body, _ = await n1.agent.get(path)
            assert status == 503 and "BUSY" in body["error_msg"]
        await n1.command("SCRIPT", "KILL")
        with contextlib.suppress(exceptions.ResponseError):
            await endless


async def test_a_stopped_primary_that_was_fenced_never_goes_on(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        await n1.command("SET", "count", "0")
        await n1.command("WAIT", 2, 0)
        assert "it answers" in await n1.fails(kinds.STORE_FENCE)
        n1.signal(signal.SIGSTOP)
        # Redis would carry out what waits in its connection the moment it goes on.
        reader, writer = await asyncio.open_connection("127.0.0.1", n1.port)
        writer.write(b"INCR count\r\n")
        await n1.succeeds(kinds.STORE_FENCE, shard_id="all", replaces="n1")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b"", "it took a write"
        writer.close()
        with contextlib.suppress(ProcessLookupError):
            n1.signal(signal.SIGCONT)
        await n1.succeeds(kinds.STORE_FENCE)

        await n2.succeeds(kinds.STORE_PROMOTE, shard_id="all", replaces="n1")
        await n3.succeeds(kinds.STORE_REJOIN, node=n2.member)
        await n1.succeeds(kinds.STORE_REJOIN, node=n2.member)
        assert not await accepts_writes(n1)
        assert await n1.command("GET", "count") == "0"


async def test_no_process_is_ended_that_only_has_the_number_of_the_server(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        n1.signal(signal.SIGSTOP)
        right = n1.pid_file.read_text()
        n1.pid_file.write_text(n2.pid_file.read_text())
        assert "not this server" in await n1.fails(kinds.STORE_FENCE)
        assert await _answers(n2)
        n1.pid_file.write_text(right)
        await n1.succeeds(kinds.STORE_FENCE)


async def test_an_agent_that_finds_its_server_dead_starts_it_without_writes(tmp_path):
    async with cluster(tmp_path) as (n1, _, _):
        n1.signal(signal.SIGKILL)
        await n1.process.kill()
        async with redis(tmp_path, node_id="n1", port=n1.port).calling() as n1.agent:
            await until(lambda: _answers(n1))
            assert not await accepts_writes(n1)
            assert (await n1.shard())["role"] == "secondary"


async def test_an_agent_that_ends_leaves_its_server_alone(tmp_path):
    async with cluster(tmp_path) as (n1, _, _):
        await n1.process.kill()
        assert await accepts_writes(n1)
        async with redis(tmp_path, node_id="n1", port=n1.port).calling() as n1.agent:
            assert (await n1.shard())["role"] == "primary"
            assert await accepts_writes(n1)


async def test_a_protected_primary_takes_no_write_without_a_replica_that_keeps_up(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3):
        await n1.succeeds(INIT, protect_writes=True)
        await n1.command("SET", "a", "1")
        assert await _may_stop(n2)
        n3.signal(signal.SIGKILL)
        await until(lambda: _may_not_stop(n2))
        n2.signal(signal.SIGKILL)

        async def is_refused() -> bool:
            try:
                await n1.command("SET", "a", "2")
            except exceptions.ResponseError as exc:
                return "NOREPLICAS" in str(exc)
            return False

        await until(is_refused)


async def test_a_copy_that_is_started_anew_is_protected_before_it_could_be_handed_the_role(
    tmp_path,
):
    async with cluster(tmp_path) as (n1, n2, n3):
        for node in (n2, n3):
            await node.succeeds(kinds.STORE_REJOIN, node=n1.member, protect_writes=True)
            assert await is_protected(node)
        n2.signal(signal.SIGKILL)
        await n2.succeeds(kinds.STORE_REJOIN, node=n1.member, protect_writes=True)
        assert await is_protected(n2)
        # Started by somebody who knows of no policy.
        n3.signal(signal.SIGKILL)
        await n3.succeeds(kinds.SERVICE_START)
        assert await is_protected(n3)
        await until(lambda: is_linked(n3))
        await n1.succeeds(kinds.STORE_SWITCHOVER, node=n3.member)
        assert await is_protected(n3)
        await n2.succeeds(kinds.STORE_REJOIN, node=n3.member)
        assert not await is_protected(n2)
        # A policy that was declared later, in both directions.
        for is_wanted in (True, False):
            await n2.succeeds(kinds.STORE_PROTECT, protect_writes=is_wanted)
            assert await is_protected(n2) is is_wanted
            assert (await _settled(n2))[WRITES_PROTECTED] is is_wanted


async def is_protected(node: Node) -> bool:
    found = await node.command("CONFIG", "GET", "min-replicas-*")
    return found == {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}


async def is_linked(node: Node) -> bool:
    return (await node.command("INFO", "replication"))["master_link_status"] == "up"


async def _is(claim) -> bool:
    return claim()


async def _is_seen_as(node: Node, sight: str) -> bool:
    return (await node.shard())["upstream"]["sight"] == sight


async def _is_heard_long_ago(node: Node) -> bool:
    """Nothing came on its link for two seconds, though it is open."""
    info = await node.command("INFO", "replication")
    assert info["master_link_status"] == "up"
    return info["master_last_io_seconds_ago"] >= 2


async def _tells_its_lag(node: Node) -> bool:
    """Where its primary was busy for a moment, it tells none."""
    lag = (await node.shard())["lag"]
    return lag is not None and lag["unit"] == "bytes"


async def _settled(node: Node) -> dict:
    return (await node.agent.get("info/store"))[1]["attributes"]


async def _may_stop(node: Node) -> bool:
    return (await node.agent.get("checks/can-stop"))[1]["can_stop"]


async def _may_not_stop(node: Node) -> bool:
    return not await _may_stop(node)


async def _answers(node: Node) -> bool:
    return (await node.says())["contact"] == "answers"


async def _is_told(node, contact: str) -> bool:
    return (await node.says())["contact"] == contact
