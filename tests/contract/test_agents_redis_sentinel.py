"""The Redis agent beside three real Sentinels: it knows them, and changes roles through them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from agent_harness import POLL_SECONDS
from agent_processes import free_port, redis
from redis import asyncio as redis_asyncio
from redis import exceptions
from test_agents_redis import Node, accepts_writes, cluster, until

from replicante.agents.stores.redis.program import find_program
from replicante.model import action_kinds as kinds
from replicante.model.node import CONTROLLER_PRIMARY

pytestmark = pytest.mark.processes

GROUP = "main"
DOWN_AFTER_MS = 3_000
"""A loaded machine may be silent for a while."""


class Sentinels:
    def __init__(self, ports: list[int]) -> None:
        self.ports = ports

    async def ask(self, port: int, *words):
        client = redis_asyncio.Redis(port=port, decode_responses=True)
        try:
            return await client.execute_command("SENTINEL", *words)
        finally:
            await client.aclose()

    async def primaries(self, *, of: Sequence[int] = ()) -> set[int]:
        """The port of the primary by the word of each."""
        ports = of or self.ports
        found = [await self.ask(it, "GET-MASTER-ADDR-BY-NAME", GROUP) for it in ports]
        return {int(port) for _, port in found}

    async def agree_on(self, node: Node) -> bool:
        return await self.primaries() == {node.port}

    async def take_for_dead(self, node: Node) -> bool:
        """Each of them."""
        for port in self.ports:
            rows = [_facts(it) for it in await self.ask(port, "REPLICAS", GROUP)]
            flags = next((it["flags"] for it in rows if int(it["port"]) == node.port), "")
            if "s_down" not in flags:
                return False
        return True

    async def know_all(self) -> bool:
        for port in self.ports:
            facts = _facts(await self.ask(port, "MASTER", GROUP))
            if (facts["num-slaves"], facts["num-other-sentinels"]) != ("2", "2"):
                return False
        return True


def _facts(found) -> dict[str, str]:
    return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))


@contextlib.asynccontextmanager
async def sentinels(folder: Path, primary: Node) -> AsyncIterator[Sentinels]:
    """Three, once they know each other and both replicas."""
    started = []
    try:
        ports = [free_port() for _ in range(3)]
        for port in ports:
            place = folder / f"sentinel-{port}"
            place.mkdir()
            (place / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir ./\n"
                f"sentinel monitor {GROUP} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {GROUP} {DOWN_AFTER_MS}\n"
            )
            started.append(
                await asyncio.create_subprocess_exec(
                    *(find_program(), "sentinel.conf", "--sentinel"),
                    cwd=place,
                    stdout=asyncio.subprocess.DEVNULL,
                )
            )
        found = Sentinels(ports)

        async def are_ready() -> bool:
            try:
                return await found.know_all()
            except exceptions.RedisError:
                return False

        await until(are_ready)
        yield found
    finally:
        for process in started:
            process.kill()
            await process.wait()


class Writer:
    """A client that asks Sentinel for the primary after each error, as clients of Sentinel do, and
    remembers what was acknowledged."""

    def __init__(self, watchers: Sentinels) -> None:
        self._watchers = watchers
        self._is_ending = False
        self.acknowledged: list[int] = []
        self.port = 0
        """Where the last was acknowledged."""

    async def run(self) -> None:
        number = 0
        while not self._is_ending:
            (port,) = await self._watchers.primaries(of=self._watchers.ports[:1])
            client = redis_asyncio.Redis(port=port, decode_responses=True)
            try:
                while not self._is_ending:
                    number += 1
                    await client.sadd("numbers", number)
                    self.acknowledged.append(number)
                    self.port = port
            except exceptions.RedisError:
                await asyncio.sleep(POLL_SECONDS)
            finally:
                await client.aclose()

    async def writes(self, count: int) -> None:
        """Returns when so many more were acknowledged."""
        enough = len(self.acknowledged) + count
        await until(lambda: _is(len(self.acknowledged) >= enough))

    async def lost(self, node: Node) -> int:
        return len(set(self.acknowledged) - await numbers(node))

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self._is_ending = True
            await task


async def numbers(node: Node) -> set[int]:
    return {int(it) for it in await node.command("SMEMBERS", "numbers")}


async def test_roles_changed_by_hand_beside_sentinel_cost_what_a_healthy_primary_acknowledged(
    tmp_path,
):
    """The reason for all of this: nothing here is ours but the processes."""
    async with cluster(tmp_path) as (n1, n2, n3), sentinels(tmp_path, n1) as watchers:
        await n1.command("FAILOVER", "TO", "127.0.0.1", n2.port, "TIMEOUT", 10_000)
        await until(lambda: _has_role(n2, "master"))
        await until(lambda: _has_role(n1, "slave"))
        assert await watchers.primaries() == {n1.port}, "Sentinel knows nothing of it"
        n1.signal(signal.SIGKILL)
        acknowledged = 0

        async def is_read_only() -> bool:
            nonlocal acknowledged
            try:
                await n2.command("SADD", "numbers", acknowledged + 1)
            except exceptions.ReadOnlyError:
                return True
            acknowledged += 1
            return False

        await until(is_read_only)
        await until(lambda: _has_role(n3, "master"))
        assert len(set(range(1, acknowledged + 1)) - await numbers(n3)) > 0


async def test_roles_changed_through_sentinel_cost_nothing_and_all_agree(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3), sentinels(tmp_path, n1) as watchers:
        nodes = {node.member: node for node in (n1, n2, n3)}
        await until(lambda: _name(nodes.values(), n1.member))
        found = (await n1.says())["attributes"]
        assert found["redis.io/sentinel.group"] == GROUP
        addresses = found["redis.io/sentinel.addresses"].split(",")
        assert addresses == sorted(f"127.0.0.1:{it}" for it in watchers.ports)

        # Who is no primary has nothing to be replaced in.
        await n2.succeeds(kinds.CONTROLLER_SWITCHOVER)
        writer = Writer(watchers)
        async with writer.writing(), contextlib.AsyncExitStack() as stack:
            await writer.writes(50)
            assert await n1.agent.submit(kinds.CONTROLLER_SWITCHOVER, action_id="planned") == 200
            await n1.agent.until("planned", lambda it: it["state"]["payload"] is not None)
            # Wherever it is: the next process goes on.
            await n1.process.kill()
            n1.process = redis(tmp_path, node_id="n1", port=n1.port)
            n1.agent = await stack.enter_async_context(n1.process.calling())
            ended = await n1.agent.until_phase("planned", "DONE", "FAILED")
            assert ended["state"]["phase"] == "DONE", ended
            primary = ended["state"]["payload"]["primary"]
            successor = nodes[primary]
            assert successor is not n1
            await writer.writes(50)
            assert writer.port == successor.port
            assert (await n1.shard())["upstream"]["address"] == primary
            guard = await n1.command("CONFIG", "GET", "min-replicas-to-write")
            assert guard == {"min-replicas-to-write": "0"}, "it is put back"
            await until(lambda: _name(nodes.values(), primary))
            # An agent that died before it could say that it was done, says it now.
            await n1.succeeds(kinds.CONTROLLER_SWITCHOVER)
            # The death that costs so much after a change by hand.
            n1.signal(signal.SIGKILL)
            await until(lambda: watchers.take_for_dead(n1))
            await writer.writes(50)
        assert await watchers.primaries() == {successor.port}
        assert await writer.lost(successor) == 0


async def test_under_sentinel_no_role_is_changed_by_us(tmp_path):
    async with cluster(tmp_path) as (n1, n2, _):
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(f"port {free_port()}\nsentinel monitor c1 127.0.0.1 {n1.port} 2\n")
        sentinel = await asyncio.create_subprocess_exec(
            find_program(),
            str(configuration),
            "--sentinel",
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:

            async def is_seen() -> bool:
                found = [(await node.says())["controllers"] for node in (n1, n2)]
                return found == [["sentinel"], ["sentinel"]]

            await until(is_seen)
            # A FAILOVER by hand, then the death of the old primary, and Sentinel demotes the new
            # one: what was acknowledged meanwhile is gone.
            assert "sentinel" in await n1.fails(kinds.STORE_SWITCHOVER, node=n2.member)
            assert (await n1.shard())["role"] == "primary"
            n1.signal(signal.SIGSTOP)
            assert "sentinel" in await n1.fails(kinds.STORE_FENCE)
            n1.signal(signal.SIGCONT)
            assert "sentinel" in await n2.fails(kinds.STORE_PROMOTE, offset=0)
            assert (await n2.shard())["role"] == "secondary"
        finally:
            sentinel.kill()
            await sentinel.wait()


async def test_a_dead_primary_is_left_to_sentinel_until_it_does_nothing(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3), sentinels(tmp_path, n1) as watchers:
        nodes = {node.member: node for node in (n1, n2, n3)}
        await until(lambda: _name(nodes.values(), n1.member))
        n1.signal(signal.SIGKILL)
        ended = await n2.does(kinds.CONTROLLER_FAILOVER, shard_id="all", node=n1.member)
        assert ended["state"]["phase"] == "DONE", ended
        payload = ended["state"]["payload"]
        successor = nodes[payload["primary"]]
        assert (await successor.shard())["role"] == "primary"
        assert payload["epoch"] == 1, "Sentinel's own failover, and no second one"
        await until(lambda: watchers.agree_on(successor))
        # One that comes back under its agent takes no write.
        await n1.succeeds(kinds.SERVICE_START, node=successor.member)
        assert not await accepts_writes(n1)
        await until(lambda: _follows(n1, successor))


async def test_a_switchover_that_is_cancelled_leaves_no_limit_on_writes(tmp_path):
    async with cluster(tmp_path) as (n1, n2, n3), sentinels(tmp_path, n1) as watchers:
        await until(lambda: _name((n1, n2, n3), n1.member))
        assert await n1.agent.submit(kinds.CONTROLLER_SWITCHOVER, action_id="planned") == 200
        await until(lambda: _has_limit(n1, "1000000"))
        await n1.agent.post("action/planned/cancel", {})
        await n1.agent.until_phase("planned", "CANCELLED")
        await until(lambda: _has_limit(n1, "0"))
        (primary,) = await watchers.primaries()
        assert (await n1.command("INFO", "replication")).get("master_port", n1.port) == primary


async def _is(claim: bool) -> bool:
    return claim


async def _has_role(node: Node, role: str) -> bool:
    return (await node.command("INFO", "replication"))["role"] == role


async def _has_limit(node: Node, limit: str) -> bool:
    found = await node.command("CONFIG", "GET", "min-replicas-to-write")
    return found["min-replicas-to-write"] == limit


async def _follows(node: Node, primary: Node) -> bool:
    return (await node.command("INFO", "replication")).get("master_port") == primary.port


async def _name(nodes: Iterable[Node], primary: str) -> bool:
    """Each agent heard all three Sentinels, and that they name this primary."""
    for node in nodes:
        found = (await node.says())["attributes"]
        if found.get("redis.io/sentinel.addresses", "").count(",") != 2:
            return False
        if found[CONTROLLER_PRIMARY] != primary:
            return False
    return True
