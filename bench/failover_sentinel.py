"""Three Redis beside three Sentinels, for bench/failover.py: alone, and under Replicante too.

Rule: as that of `failover_systems`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from failover_clients import FAILURES
from failover_replicante import Replicante, replicante
from failover_systems import (
    DOWN_AFTER_MS,
    POLL_MS,
    STEADY_SECONDS_MAX,
    ask,
    follow_fully,
    spawn,
)
from peers import HOST, free_ports

from replicante.agents.stores.redis.program import find_program

SENTINEL_PATIENCE_MS = 7_000
"""`failover-timeout`. Sentinel begins no second failover of a primary within twice of it, and each
trial is one."""


class Sentinel:
    name = "Sentinel"

    def __init__(self, folder: Path, *, is_protecting: bool) -> None:
        self._folder = folder
        self._is_protecting = is_protecting
        self._program = find_program()
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._sentinels: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self) -> None:
        ports = free_ports(6)
        first = f"{HOST}:{ports[0]}"
        for port in ports[:3]:
            follows = () if port == ports[0] else ("--replicaof", HOST, str(ports[0]))
            self._start_server(f"{HOST}:{port}", follows)
        self._sentinels = start_sentinels(self._folder, ports[3:], primary=first)
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while not await self._knows_all(first):  # noqa: ASYNC110
                await asyncio.sleep(POLL_MS / 1_000)

    def stop(self) -> None:
        for process in (*self._sentinels.values(), *self._servers.values()):
            process.kill()
            process.wait()

    async def primary(self) -> str | None:
        return await primary_by_any(self._sentinels)

    async def hurt(self, address: str, number: signal.Signals, *, is_whole_machine: bool) -> None:
        process = self._servers[address]
        process.send_signal(number)
        if is_whole_machine:
            place = list(self._servers).index(address)
            list(self._sentinels.values())[place].send_signal(number)
        if number is signal.SIGKILL:
            await asyncio.to_thread(process.wait)

    async def bring_back(self, address: str) -> None:
        if self._servers[address].poll() is not None:
            self._start_server(address, ())

    async def hand_over(self) -> None:
        await ask(next(iter(self._sentinels)), "SENTINEL", "FAILOVER", "main")

    async def steady(self) -> str:
        """Also that no Sentinel is in TILT, so that none of them sits out the next failover."""
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while True:
                primary = await self.primary()
                if (
                    primary is not None
                    and await follow_fully(primary, list(self._servers))
                    and await all_take_part(self._sentinels)
                ):
                    return primary
                await asyncio.sleep(POLL_MS / 1_000)

    async def explained(self, since_ms: int) -> list[str] | None:
        """It writes a log of what it does, which has no reasons to compare with."""
        return None

    async def _knows_all(self, primary: str) -> bool:
        are_ready = await know_all(self._sentinels)
        return are_ready and await follow_fully(primary, list(self._servers))

    def _start_server(self, address: str, more: Sequence[str]) -> None:
        port = address.rpartition(":")[2]
        folder = self._folder / f"server-{port}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "redis.conf"
        if not path.exists():
            # As the agent of Replicante writes it; Sentinel changes the file later.
            path.write_text(
                f"bind {HOST}\nport {port}\nreplica-announce-ip {HOST}\n"
                f"replica-announce-port {port}\ndir ./\nlogfile redis.log\nappendonly yes\n"
                "appendfsync everysec\nrepl-timeout 10\nrepl-ping-replica-period 1\n"
                "repl-diskless-sync yes\nrepl-diskless-sync-delay 0\n"
                f"min-replicas-to-write {int(self._is_protecting)}\nmin-replicas-max-lag 2\n"
            )
        self._servers[address] = spawn([self._program, "redis.conf", *more], folder)


@asynccontextmanager
async def sentinel(folder: Path, *, is_protecting: bool) -> AsyncIterator[Sentinel]:
    """is_protecting: its servers have what `protect_writes` gives to ours."""
    made = Sentinel(folder, is_protecting=is_protecting)
    try:
        await made.start()
        yield made
    finally:
        made.stop()


class ThroughSentinel:
    """Three Redis under Replicante with Sentinels beside them, which it asks to change roles. Its
    clients ask Sentinel, as they do without it."""

    name = "Replicante through Sentinel"

    def __init__(self, under: Replicante, folder: Path) -> None:
        self._under = under
        self._folder = folder
        self._sentinels: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self) -> None:
        first = await self._under.steady()
        self._sentinels = start_sentinels(self._folder, free_ports(3), primary=first)
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while not await know_all(self._sentinels):  # noqa: ASYNC110
                await asyncio.sleep(POLL_MS / 1_000)

    def stop(self) -> None:
        for process in self._sentinels.values():
            process.kill()
            process.wait()

    async def primary(self) -> str | None:
        return await primary_by_any(self._sentinels)

    async def hurt(self, address: str, number: signal.Signals, *, is_whole_machine: bool) -> None:
        await self._under.hurt(address, number, is_whole_machine=is_whole_machine)

    async def bring_back(self, address: str) -> None:
        """As under Replicante alone."""

    async def hand_over(self) -> None:
        await self._under.hand_over()

    async def steady(self) -> str:
        """Also that all name the same one, in the records as by the word of each Sentinel."""
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while True:
                found = await self._under.steady()
                with contextlib.suppress(*FAILURES):
                    if {await primary_by(it) for it in self._sentinels} == {found}:
                        return found
                await asyncio.sleep(POLL_MS / 1_000)

    async def explained(self, since_ms: int) -> list[str] | None:
        """What Sentinel does before we decide has no reason of ours."""
        return await self._under.explained(since_ms) or None


@asynccontextmanager
async def through_sentinel(folder: Path, *, is_protecting: bool) -> AsyncIterator[ThroughSentinel]:
    under = replicante(folder, is_protecting=is_protecting, through=True)
    async with under as found:
        made = ThroughSentinel(found, folder)
        try:
            await made.start()
            yield made
        finally:
            made.stop()


def start_sentinels(
    folder: Path, ports: Sequence[int], *, primary: str
) -> dict[str, subprocess.Popen[bytes]]:
    """Address → process."""
    started = {}
    for port in ports:
        place = folder / f"sentinel-{port}"
        place.mkdir(parents=True)
        (place / "sentinel.conf").write_text(
            f"port {port}\nbind {HOST}\ndir ./\nlogfile sentinel.log\n"
            f"sentinel monitor main {HOST} {primary.rpartition(':')[2]} 2\n"
            f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout main {SENTINEL_PATIENCE_MS}\n"
        )
        started[f"{HOST}:{port}"] = spawn([find_program(), "sentinel.conf", "--sentinel"], place)
    return started


async def primary_by(sentinel: str) -> str:
    """Raises FAILURES."""
    found = await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
    return f"{found[0]}:{found[1]}"


async def primary_by_any(sentinels: Iterable[str]) -> str | None:
    """As the first that answers says; None: nobody does."""
    for sentinel in sentinels:
        with contextlib.suppress(*FAILURES):
            return await primary_by(sentinel)
    return None


async def all_take_part(sentinels: Iterable[str]) -> bool:
    """Whether none is in TILT: one that hung counts for nothing in the 30 s after it went on."""
    try:
        return not any([int((await _info(it))["sentinel_tilt"]) for it in sentinels])
    except FAILURES:
        return False


async def _info(sentinel: str) -> dict[str, Any]:
    """Raises FAILURES."""
    found = await ask(sentinel, "INFO", "sentinel")
    assert isinstance(found, dict)
    return found


async def know_all(sentinels: Iterable[str]) -> bool:
    """Whether each knows the others and both replicas."""
    for sentinel in sentinels:
        try:
            found = await ask(sentinel, "SENTINEL", "MASTER", "main")
        except FAILURES:
            return False
        facts = found if isinstance(found, dict) else dict(zip(*[iter(found)] * 2, strict=True))
        if (int(facts["num-slaves"]), int(facts["num-other-sentinels"])) != (2, 2):
            return False
    return True
