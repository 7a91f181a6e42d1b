"""What is compared by bench/failover.py: three Redis under Replicante, three under Sentinel.
Each is started, hurt, asked and ended in the same words.

Rule: everything that is waited for has a time limit; every process ends by its own id.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from failover_clients import FAILURES, open_redis

from replicante.agents.stores.redis.program import find_program
from replicante.client import STALE, Client
from replicante.clock import Clock
from replicante.demo.lookups import copies, find_primary, wait_formed
from replicante.demo.plan import CLUSTER_ID, NS, documents
from replicante.demo.sightings import event_ms
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers
from replicante.errors import Conflict, ReplicanteError
from replicante.model.action_kinds import (
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
)
from replicante.platforms.local import LocalPlatform

HOST = "127.0.0.1"
_FOLLOWED = ("DECISION", "NACTION_CREATE")
DOWN_AFTER_MS = 1_500
CONFIRM_MS = 500
"""A replica that heard nothing for a second begins the suspicion: 1,500 ms of silence at the least,
as DOWN_AFTER_MS."""
LOSS_OFFSET_MAX = 1_000_000
"""In bytes of the replication stream: Sentinel has no bound, so ours must not stand in the way."""
SENTINEL_PATIENCE_MS = 7_000
"""`failover-timeout`. Sentinel begins no second failover of a primary within twice of it, and each
trial is one."""
STEADY_SECONDS_MAX = 60
POLL_MS = 50


class System(Protocol):
    name: str

    async def primary(self) -> str | None:
        """host:port, as the clients of this system are told; None: nobody knows now."""
        ...

    async def hurt(self, address: str, number: signal.Signals) -> None:
        """Sends a signal to the server at this address."""
        ...

    async def bring_back(self, address: str) -> None:
        """As the init system of a machine would: starts a server that was killed. What the
        orchestration starts itself stays as it is."""
        ...

    async def hand_over(self) -> None:
        """Asks for a planned change of the primary. Returns when it was accepted."""
        ...

    async def steady(self) -> str:
        """The primary, once both others follow it with everything. Within a minute, or
        TimeoutError."""
        ...

    async def explained(self, since_ms: int) -> list[str] | None:
        """The recorded reason of each change of roles since a moment of the wall clock; an empty
        text for one without. None: this is not looked at."""
        ...


class Replicante:
    name = "Replicante"

    def __init__(self, client: Client, platform: LocalPlatform) -> None:
        self._client = client
        self._platform = platform
        self._changes: list[tuple[int, str]] = []
        """Wall milliseconds and id of each action that changes who is primary."""
        self._reasons: dict[str, str] = {}
        """Action → what is done, and why; nothing for one of which a rule said nothing."""

    async def follow(self) -> None:
        """Reads the event log, until it is cancelled."""
        async for event in self._client.events.follow():
            after = (event.payload or {}).get("after") if event.code in _FOLLOWED else None
            if not after:
                continue
            if event.code == "DECISION":
                for it in after["proposals"]:
                    self._reasons.setdefault(str(it["action_id"]), _told(it))
            elif after["kind"] in (STORE_FENCE, STORE_PROMOTE, STORE_SWITCHOVER):
                self._changes.append((event_ms(event), after["action_id"]))

    async def primary(self) -> str | None:
        try:
            found = await find_primary(self._client)
        except ReplicanteError:
            return None
        return None if found is None else found.address

    async def hurt(self, address: str, number: signal.Signals) -> None:
        with contextlib.suppress(Conflict):  # what does not run cannot be hurt, nor go on
            await asyncio.to_thread(self._platform.signal_store, self._node(address), number)

    async def bring_back(self, address: str) -> None:
        """Its own work: the step `rejoin`."""

    async def hand_over(self) -> None:
        await self._client.objects.apply(
            {
                "apiVersion": "replicante.io/v0",
                "kind": "OAction",
                "spec": {
                    "ns_id": NS,
                    "cluster_id": CLUSTER_ID,
                    "action": CORE_SWITCHOVER,
                    "args": {},
                },
            }
        )
        await self._client.clusters.orchestrate(NS, CLUSTER_ID)

    async def steady(self) -> str:
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while True:
                formed = await wait_formed(self._client)
                view = await self._client.clusters.view(NS, CLUSTER_ID, read=STALE)
                addresses = [it.address for it in copies(view)]
                if await follow_fully(formed.address, addresses):
                    return formed.address
                await asyncio.sleep(POLL_MS / 1_000)

    async def explained(self, since_ms: int) -> list[str]:
        """From the decisions in the event log."""
        changes = [action_id for at_ms, action_id in self._changes if at_ms >= since_ms]
        return [self._reasons.get(it, "") for it in changes]

    def _node(self, address: str) -> str:
        return next(it.node_id for it in self._platform.nodes() if it.store_address == address)


@asynccontextmanager
async def replicante(
    folder: Path, *, is_protecting: bool, clock: Clock
) -> AsyncIterator[Replicante]:
    """Three peers and three nodes. A failure without proof is believed after the same time as
    Sentinel's; the pauses that keep a real cluster from flapping are short, for each trial is a new
    failure."""
    http, raft = free_port_row(3), free_port_row(3)
    plans = plan_peers(
        peers_count=3, data_dir=folder / "peers", http_port=http, raft_port=raft, log_format="json"
    )
    platform = LocalPlatform(folder / "nodes")
    with (folder / "peers.log").open("w") as log:
        voices = Voices(log=lambda peer, line: _write(log, peer, line), note=print)
        cluster = LocalCluster(plans, voices=voices, clock=clock)
        try:
            await cluster.start()
            urls = await cluster.wait_ready()
            async with Client(urls) as client:
                for document in _declared(platform.directory, is_protecting=is_protecting):
                    await client.objects.apply(document)
                system = Replicante(client, platform)
                reading = asyncio.create_task(system.follow())
                try:
                    await system.steady()
                    yield system
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        finally:
            await cluster.stop()
            await asyncio.to_thread(platform.clean)


def _declared(directory: Path, *, is_protecting: bool) -> tuple[dict[str, Any], ...]:
    namespace, platform, cluster = documents(directory)
    declaration = cluster["spec"]["declaration"]
    declaration["policies"] = {
        "confirmations": 2,
        "confirm_for": f"{CONFIRM_MS}ms",
        "quiet_period": "1s",
        "protect_writes": is_protecting,
        "data_loss_offset": LOSS_OFFSET_MAX,
    }
    declaration["graces"] |= {"failover": "1s", "rejoin": "1s"}
    return namespace, platform, cluster


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
        for port in ports[3:]:
            folder = self._folder / f"sentinel-{port}"
            folder.mkdir(parents=True)
            (folder / "sentinel.conf").write_text(
                f"port {port}\nbind {HOST}\ndir ./\nlogfile sentinel.log\n"
                f"sentinel monitor main {HOST} {ports[0]} 2\n"
                f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout main {SENTINEL_PATIENCE_MS}\n"
            )
            words = [self._program, "sentinel.conf", "--sentinel"]
            self._sentinels[f"{HOST}:{port}"] = _spawn(words, folder)
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while not await self._knows_all(first):  # noqa: ASYNC110
                await asyncio.sleep(POLL_MS / 1_000)

    def stop(self) -> None:
        for process in (*self._sentinels.values(), *self._servers.values()):
            process.kill()
            process.wait()

    async def primary(self) -> str | None:
        for sentinel in self._sentinels:
            with contextlib.suppress(*FAILURES):
                found = await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
                return f"{found[0]}:{found[1]}"
        return None

    async def hurt(self, address: str, number: signal.Signals) -> None:
        process = self._servers[address]
        process.send_signal(number)
        if number is signal.SIGKILL:
            await asyncio.to_thread(process.wait)

    async def bring_back(self, address: str) -> None:
        if self._servers[address].poll() is not None:
            self._start_server(address, ())

    async def hand_over(self) -> None:
        await ask(next(iter(self._sentinels)), "SENTINEL", "FAILOVER", "main")

    async def steady(self) -> str:
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while True:
                primary = await self.primary()
                if primary is not None and await follow_fully(primary, list(self._servers)):
                    return primary
                await asyncio.sleep(POLL_MS / 1_000)

    async def explained(self, since_ms: int) -> list[str] | None:
        """It writes a log of what it does, which has no reasons to compare with."""
        return None

    async def _knows_all(self, primary: str) -> bool:
        for sentinel in self._sentinels:
            try:
                found = await ask(sentinel, "SENTINEL", "MASTER", "main")
            except FAILURES:
                return False
            facts = found if isinstance(found, dict) else dict(zip(*[iter(found)] * 2, strict=True))
            if (int(facts["num-slaves"]), int(facts["num-other-sentinels"])) != (2, 2):
                return False
        return await follow_fully(primary, list(self._servers))

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
        self._servers[address] = _spawn([self._program, "redis.conf", *more], folder)


@asynccontextmanager
async def sentinel(folder: Path, *, is_protecting: bool) -> AsyncIterator[Sentinel]:
    """is_protecting: its servers have what `protect_writes` gives to ours."""
    made = Sentinel(folder, is_protecting=is_protecting)
    try:
        await made.start()
        yield made
    finally:
        made.stop()


async def follow_fully(primary: str, addresses: Sequence[str]) -> bool:
    """Whether this is a primary whose two replicas, all of these addresses, are online and have
    everything."""
    try:
        info = await ask(primary, "INFO", "replication")
        others = [await ask(it, "INFO", "replication") for it in addresses if it != primary]
    except FAILURES:
        return False
    return (
        info["role"] == "master"
        and int(info["connected_slaves"]) == 2
        and all(info[f"slave{it}"]["state"] == "online" for it in (0, 1))
        and len(others) == 2
        and all(it["role"] == "slave" and it["master_link_status"] == "up" for it in others)
    )


async def ask(address: str, *words: str) -> Any:
    """Raises FAILURES."""
    async with open_redis(address) as redis:
        return await redis.execute_command(*words)


def _told(proposal: dict[str, Any]) -> str:
    """What a proposal would do, and the words that let it: each rule must have said something."""
    reasons = {it["rule"]: it["reason"] for it in proposal["verdicts"]}
    if not all(reasons.values()):
        return ""
    return f"{proposal['effect']}: {reasons['failure_confirmed']}; {reasons['witnesses_agree']}"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_port_row(count: int) -> int:
    """The first of so many neighbours that nobody listens on."""
    while True:
        (first,) = free_ports(1)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind((HOST, port))
            return first


def _spawn(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(words),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _write(log: IO[str], peer: str, line: str) -> None:
    log.write(f"{peer} {line}\n")
