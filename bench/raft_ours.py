"""One process of a measured group: a durable `replicante.raft.Peer` with a null machine, an
in-memory key/value machine or Replicante's own over LMDB, and the callers that propose to it.
Started by raft_group.

    python bench/raft_ours.py '{"peer_id": …, "data_dir": …, "peers": {…}, "machine": "null"}'
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from raft_group import CLUSTER
from raft_load import (
    KEY_BYTES,
    KEYS,
    Load,
    Meter,
    answer,
    key_of,
    new_event_loop,
    set_switch_interval,
    value_of,
)

from replicante import pki
from replicante.errors import QueueFull, ReplicanteError
from replicante.model.codec import encode_value
from replicante.raft import Entry, Peer, PeerOptions, Role
from replicante.raft.observations import CommitDone, RoleChanged, SnapshotInstalled, SnapshotMade
from replicante.state.commands import KvPut
from replicante.state.digest import row_hash
from replicante.state.machine import ReplicatedState
from replicante.storage.lmdb_store import LmdbStore
from replicante.testing.builders import envelope_bytes

PROPOSE_TIMEOUT_MS = 20_000
_SLICE = 100
"""Commands made without a turn for the peer that shares the loop: a heartbeat is never late."""


class NullMachine:
    def apply(self, entry: Entry) -> bytes:
        return b""

    def snapshot(self) -> Iterable[bytes]:
        return ()

    def restore(self, chunks: Iterator[bytes]) -> None:
        for _ in chunks:
            pass


class KvMachine(NullMachine):
    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def apply(self, entry: Entry) -> bytes:
        self.rows[entry.data[:KEY_BYTES]] = entry.data[KEY_BYTES:]
        return b""

    def snapshot(self) -> Iterable[bytes]:
        return [key + value for key, value in self.rows.items()]

    def restore(self, chunks: Iterator[bytes]) -> None:
        self.rows = {chunk[:KEY_BYTES]: chunk[KEY_BYTES:] for chunk in chunks}


def open_own(folder: Path) -> ReplicatedState:
    store = LmdbStore.open(folder / "state", identity=b"bench", row_hash=row_hash)
    return ReplicatedState(store)


def plain_command(number: int, command_bytes: int) -> bytes:
    return key_of(number) + value_of(command_bytes)


def own_command(number: int, command_bytes: int) -> bytes:
    """What the HTTP API would propose for a value of the same size: key, value, envelope."""
    put = KvPut(key_of(number), encode_value(value_of(command_bytes).decode()))
    return envelope_bytes(put)


class Bench:
    def __init__(self, peer: Peer, command: Callable[[int, int], bytes]) -> None:
        self._peer = peer
        self._command = command
        self._meter: Meter | None = None
        self._commands: dict[int, list[bytes]] = {}
        """By size; made once: ten thousand of them hold the leader's loop up for long."""
        self._seen: dict[str, Any] = {
            "made_bytes": 0,
            "made_at_s": 0.0,
            "installed_index": 0,
            "installed_at_s": 0.0,
            "commit_ms_max": 0.0,
            "elections": 0,
        }
        """Of snapshots and what they disturb; times are of the clock that all processes share."""
        peer.observe(self._observe)

    def _observe(self, observation: object) -> None:
        seen = self._seen
        match observation:
            case CommitDone(duration_ms=duration_ms):
                seen["commit_ms_max"] = max(seen["commit_ms_max"], duration_ms)
                if self._meter is not None:
                    self._meter.commit()
            case SnapshotMade(size_bytes=size_bytes):
                seen |= {"made_bytes": size_bytes, "made_at_s": time.monotonic()}
            case SnapshotInstalled(index=index):
                seen |= {"installed_index": index, "installed_at_s": time.monotonic()}
            case RoleChanged(after=Role.LEADER):
                seen["elections"] += 1

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "status":
                status = self._peer.status()
                return {"is_ready": status.is_ready, "is_leader": status.role is Role.LEADER}
            case "load":
                return await self._load(Load(**order))
            case "write":
                return await self._write()
            case "fill":
                return await self._fill(**order)
            case "invite":
                return {"token": await self._peer.invite(order["peer_id"])}
            case "snapshots":
                seen = dict(self._seen)
                self._seen["commit_ms_max"] = 0.0
                return seen
            case other:
                raise AssertionError(other)

    async def _load(self, load: Load) -> dict[str, Any]:
        commands = await self._commands_of(load.command_bytes)
        self._meter = meter = Meter(load)

        async def caller(number: int) -> None:
            goes_on = True
            while goes_on:
                started_s = time.perf_counter()
                number = (number + load.callers) % KEYS
                try:
                    await self._peer.propose(commands[number], timeout_ms=PROPOSE_TIMEOUT_MS)
                    goes_on = meter.answered(started_s)
                except ReplicanteError:
                    goes_on = meter.failed()

        await asyncio.gather(*(caller(number) for number in range(load.callers)))
        self._meter = None
        return meter.result()

    async def _commands_of(self, command_bytes: int) -> list[bytes]:
        made = self._commands.setdefault(command_bytes, [])
        while len(made) < KEYS:
            numbers = range(len(made), len(made) + _SLICE)
            made += [self._command(number, command_bytes) for number in numbers]
            await asyncio.sleep(0)
        return made

    async def _fill(
        self, *, first: int, until: int, value_bytes: int, callers: int
    ) -> dict[str, Any]:
        """Each key once, in our own machine."""
        value = encode_value("v" * value_bytes)

        async def caller(number: int) -> None:
            while number < until:
                command = envelope_bytes(KvPut(b"fill-%012d" % number, value))
                with contextlib.suppress(QueueFull):
                    await self._peer.propose(command, timeout_ms=PROPOSE_TIMEOUT_MS)
                    number += callers

        await asyncio.gather(*(caller(first + number) for number in range(callers)))
        return {"filled": until}

    async def _write(self) -> dict[str, Any]:
        """When this one write was accepted, on the clock that all processes share."""
        await self._peer.propose(self._command(1, 100), timeout_ms=PROPOSE_TIMEOUT_MS)
        return {"accepted_s": time.monotonic()}


def options_of(peer_id: str, *, join: str, folder: str | None) -> PeerOptions:
    if folder is None:
        return PeerOptions(cluster_name=CLUSTER, join=join)
    place = Path(folder, "peers", peer_id)
    files = pki.TlsFiles(
        certificate=place / "peer.crt", key=place / "peer.key", authority=place / "ca.crt"
    )
    now_ms = time.time_ns() // 1_000_000
    tls = pki.open_contexts(files, cluster=CLUSTER, peer_id=peer_id, now_ms=now_ms)
    return PeerOptions(
        cluster_name=CLUSTER, join=join, server_ssl=tls.server, client_ssl=tls.client
    )


async def main() -> None:
    given = json.loads(sys.argv[1])
    peer_id, data_dir = given["peer_id"], Path(given["data_dir"])
    address = given.get("listen") or given["peers"][peer_id]
    is_own = given["machine"] == "own"
    in_memory = KvMachine() if given["machine"] == "kv" else NullMachine()
    machine = (lambda incarnation: open_own(data_dir)) if is_own else in_memory
    options = options_of(peer_id, join=given.get("join", ""), folder=given.get("certificates"))
    peer = Peer(data_dir, peer_id, address, given["peers"], machine, options=options)
    bench = Bench(peer, own_command if is_own else plain_command)
    await peer.start()
    answer(started=True)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        answer(**await bench.obey(json.loads(line)))
    await peer.stop()


def run() -> None:
    set_switch_interval()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


if __name__ == "__main__":
    run()
