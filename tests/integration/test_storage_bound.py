"""A real peer with a real store that has a small bound: writes are refused before they are ordered,
reads go on, and so do writes once there is room."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

from cluster_http import Http
from cluster_peer import HOST, PORTS, WAIT_SECONDS, eventually

from replicante.config import (
    HttpSection,
    PeerConfig,
    PeerSection,
    RaftSection,
    StorageSection,
    WorkersMode,
    WorkersSection,
)
from replicante.server import PeerServer
from replicante.telemetry.logs import silent_logger

BOUND_BYTES = 8 << 20
VALUE = "x" * 60_000
"""So large that its event names its size alone."""
PUTS_MAX = 2 * BOUND_BYTES // len(VALUE)


class Peer:
    def __init__(self, http: Http, url: str) -> None:
        self.http, self.url = http, url

    async def ask(self, method: str, key: str, **kwargs):
        return await self.http.ask(self.url, method, f"/api/v0/kv/{key}", **kwargs)

    async def put(self, key: str):
        return await self.ask("PUT", key, json={"value": VALUE})

    async def fill(self) -> list[str]:
        """Keys that were accepted before the first refusal, which is definite and 507."""
        keys: list[str] = []
        while len(keys) < PUTS_MAX:
            key = f"k{len(keys):04}"
            answer = await self.put(key)
            if answer.status != 201:
                assert (answer.status, answer.code, answer.definite) == (507, "storage_full", True)
                return keys
            keys.append(key)
        raise AssertionError("the bound was never met")


@asynccontextmanager
async def running(folder):
    place = f"{HOST}:{PORTS.take()}"
    config = PeerConfig(
        peer=PeerSection(id="p1", data_dir=folder / "p1"),
        raft=RaftSection(listen=place, peers=(f"p1={place}",)),
        http=HttpSection(listen=f"{HOST}:{PORTS.take()}"),
        storage=StorageSection(
            state_map_bytes=BOUND_BYTES, log_reserve_bytes=0, flush_interval_ms=20
        ),
        workers=WorkersSection(mode=WorkersMode.OFF),
    )
    server = PeerServer(config, logs=SimpleNamespace(logger=silent_logger(), dropped_count=0))
    async with Http() as http:
        await server.start()
        try:

            async def is_ready() -> bool:
                return (await http.ask(server.url, "GET", "/introspect/ready")).status == 200

            await eventually(is_ready, "the peer to be ready", seconds=WAIT_SECONDS)
            yield Peer(http, server.url)
        finally:
            await server.stop()


async def test_writes_end_at_the_bound_reads_go_on_and_writes_return_with_room(tmp_path):
    async with running(tmp_path) as peer:
        keys = await peer.fill()
        assert (await peer.ask("GET", keys[0])).json["value"] == VALUE
        assert (await peer.ask("GET", "k9999")).status == 404, "nothing of a refusal is written"
        for key in keys[: len(keys) // 2]:
            assert (await peer.ask("DELETE", key)).status == 200, "deletions make room"

        async def is_accepted() -> bool:
            return (await peer.put("again")).status in (200, 201)

        await eventually(is_accepted, "writes to be accepted again", seconds=WAIT_SECONDS)
        assert (await peer.ask("GET", keys[-1])).json["value"] == VALUE
        assert (await peer.ask("GET", keys[0])).status == 404


async def test_a_peer_that_is_full_starts_again_and_is_full_still(tmp_path):
    async with running(tmp_path) as peer:
        keys = await peer.fill()
    async with running(tmp_path) as peer:
        assert (await peer.ask("GET", keys[-1])).json["value"] == VALUE
        assert (await peer.put("more")).code == "storage_full"


async def test_a_state_in_pieces_takes_large_values_and_recovers_when_all_is_deleted(tmp_path):
    """Half of it is free, and no hole is as large as a value."""
    async with running(tmp_path) as peer:

        async def batch(operations: list[dict]) -> int:
            body = {"operations": operations}
            return (await peer.http.ask(peer.url, "POST", "/api/v0/batch", json=body)).status

        small = 0
        while (
            await batch(
                [
                    {"op": "kv.put", "key": f"s{small + place:05}", "value": "x" * 9_000}
                    for place in range(10)
                ]
            )
            == 200
        ):
            small += 10
        for place in range(0, small, 20):
            keys = [f"s{it:05}" for it in range(place, min(place + 20, small), 2)]
            assert await batch([{"op": "kv.delete", "key": key} for key in keys]) == 200
        large = 0
        while (
            answer := await peer.ask("PUT", f"l{large}", json={"value": "y" * 500_000})
        ).status == 201:
            large += 1
        assert answer.code == "storage_full" and large >= 3
        for number in range(large):
            assert (await peer.ask("DELETE", f"l{number}")).status == 200

        async def is_accepted() -> bool:
            return (await peer.put("again")).status in (200, 201)

        await eventually(is_accepted, "writes to be accepted again", seconds=WAIT_SECONDS)

        async def is_durable() -> bool:
            status = (await peer.http.ask(peer.url, "GET", "/api/v0/raft/status")).json
            return status["durable_index"] >= status["applied_index"] - 1

        await eventually(is_durable, "the state to be on the disk", seconds=WAIT_SECONDS)
