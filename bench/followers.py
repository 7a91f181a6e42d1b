"""Measures the event feed: many followers of one peer while events come at a steady pace.

    python bench/followers.py [--followers N] [--rate PER_SECOND] [--seconds S] [--filters N]
                              [--readers PROCESSES] [--folder DIR]

Three durable peers as processes, all followers on one that does not lead, as server-sent events
over HTTP from processes of their own. Numbered records are put at the leader; latency is from the
moment before a put was sent until a follower has its event, so it holds the write as well. Every
follower must see every number once and in order. Figures are for comparing runs on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from peers import running_peers
from raft_load import new_event_loop, set_switch_interval

from replicante.client import Client
from replicante.dev import LocalCluster
from replicante.wire import headers, paths

CONNECTING_AT_ONCE = 50
KEY = "bench/followers/"
DRAIN_S = 20.0
OPENING_S = 60.0
_NUMBERED = re.compile(rb'"value":\{"n":(\d+),"sent":(\d+)\}')


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--followers", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--filters", type=int, default=1, help="different filters, each passes all")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    set_switch_interval()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        if options.read is not None:
            runner.run(_read_all(json.loads(options.read)))
            return
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            _tell(options, runner.run(_measure(options, Path(folder))))


# --- the followers, in processes of their own -----------------------------------------------------


class _Follower(asyncio.Protocol):
    """One connection, read with as little work as can be: the peer is measured, not its reader."""

    def __init__(self, request: bytes, latencies_us: array[int]) -> None:
        self._request = request
        self._latencies_us = latencies_us
        self._rest = b""
        self.next = 1
        self.is_lost = False
        self.fault = ""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports fit by shape only.
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if not self.opened.done():
            if not data.startswith(b"HTTP/1.1 200"):
                self.fault = data[:200].decode("utf-8", "replace")
            self.opened.set_result(None)
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        for found in _NUMBERED.finditer(data, 0, end):
            number = int(found[1])
            if number != self.next:
                self.fault = self.fault or f"{number} came instead of {self.next}"
            self.next = number + 1
            self._latencies_us.append((now_ns - int(found[2])) // 1_000)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_result(None)


async def _read_all(order: dict[str, Any]) -> None:
    """Says `open` when all follow; ends when stdin says how many numbers there were."""
    loop = asyncio.get_running_loop()
    latencies_us: array[int] = array("q")
    followers: list[_Follower] = []
    for start in range(0, order["followers"], CONNECTING_AT_ONCE):
        group = []
        for number in range(start, min(start + CONNECTING_AT_ONCE, order["followers"])):
            prefix = KEY[: len(KEY) - number % order["filters"]]
            target = f"{paths.EVENTS}?after=head&code=KV_&key={prefix}"
            head = f"Host: localhost\r\nAccept: {headers.EVENT_STREAM}\r\n\r\n"
            request = f"GET {target} HTTP/1.1\r\n{head}"
            group.append(
                loop.create_connection(
                    partial(_Follower, request.encode(), latencies_us),
                    order["host"],
                    order["port"],
                )
            )
        made = [follower for _, follower in await asyncio.gather(*group)]
        await asyncio.gather(*(follower.opened for follower in made))
        followers += made
    print("open", flush=True)
    count = int(await loop.run_in_executor(None, sys.stdin.readline))
    deadline_s = loop.time() + DRAIN_S
    while loop.time() < deadline_s and any(it.next <= count for it in followers):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    faults = [it.fault for it in followers if it.fault]
    report = {
        "latencies_us": sorted(latencies_us),
        "missed": sum(max(0, count + 1 - it.next) for it in followers),
        "lost": sum(it.is_lost for it in followers),
        "faults": faults[:3],
    }
    print(json.dumps(report), flush=True)


# --- the measurement ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usage:
    cpu_s: float
    anonymous_kib: int


async def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    readers: list[asyncio.subprocess.Process] = []
    async with running_peers(folder) as (cluster, leader), _ended(readers):
        plans = list(cluster.plans.values())
        followed = next(plan for plan in plans if plan.id != leader)
        before_any = _usage(cluster)
        readers = [await _start_reader(options, followed.http_port) for _ in range(options.readers)]
        for reader in readers:
            assert reader.stdout is not None
            async with asyncio.timeout(OPENING_S):
                said = await reader.stdout.readline()
            assert said.strip() == b"open", "a reader did not connect"
        async with Client([cluster.plans[leader].url]) as client:
            terms = [await _term(client, plan.url) for plan in plans]
            before, started_s = _usage(cluster), time.monotonic()
            written, failed = await _write(client, options)
            took_s, after = time.monotonic() - started_s, _usage(cluster)
            reports = await asyncio.gather(*(_end_reader(reader, written) for reader in readers))
            elections = max([await _term(client, plan.url) for plan in plans]) - max(terms)
    cpu = {peer: (after[peer].cpu_s - before[peer].cpu_s) / took_s for peer in after}
    grown_kib = after[followed.id].anonymous_kib - before_any[followed.id].anonymous_kib
    return {
        "leader": leader,
        "followed": followed.id,
        "written": written,
        "failed": failed,
        "took_s": took_s,
        "elections": elections,
        "cpu": cpu,
        "kib_per_follower": grown_kib / options.followers,
        "latencies_us": sorted(it for report in reports for it in report["latencies_us"]),
        "missed": sum(report["missed"] for report in reports),
        "lost": sum(report["lost"] for report in reports),
        "faults": [fault for report in reports for fault in report["faults"]],
    }


@asynccontextmanager
async def _ended(readers: list[asyncio.subprocess.Process]) -> AsyncIterator[None]:
    """Whatever happens, none of them is left."""
    try:
        yield
    finally:
        for reader in readers:
            if reader.returncode is None:
                reader.kill()
                await reader.wait()


async def _write(client: Client, options: argparse.Namespace) -> tuple[int, int]:
    """Numbered puts at the pace, one after the other so that the log has them in order. How many
    were written, and how many failed (which ends it: the followers count)."""
    count = int(options.rate * options.seconds)
    started_s = time.monotonic()
    for number in range(1, count + 1):
        await asyncio.sleep(max(0.0, started_s + number / options.rate - time.monotonic()))
        try:
            await client.kv.put(f"{KEY}{number % 100}", {"n": number, "sent": time.monotonic_ns()})
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is the result
            print(f"a put failed: {exc}")
            return number - 1, 1
    return count, 0


async def _start_reader(options: argparse.Namespace, port: int) -> asyncio.subprocess.Process:
    order = {
        "host": "127.0.0.1",
        "port": port,
        "followers": options.followers // options.readers,
        "filters": options.filters,
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "--read", json.dumps(order)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 30,
    )


async def _end_reader(reader: asyncio.subprocess.Process, written: int) -> dict[str, Any]:
    assert reader.stdin is not None and reader.stdout is not None
    reader.stdin.write(f"{written}\n".encode())
    await reader.stdin.drain()
    report: dict[str, Any] = json.loads(await reader.stdout.readline())
    await reader.wait()
    return report


async def _term(client: Client, url: str) -> int:
    return (await client.raft_status(url, timeout_ms=10_000)).term


def _usage(cluster: LocalCluster) -> dict[str, _Usage]:
    found = {}
    for peer in cluster.living:
        folder = Path(f"/proc/{cluster.pid(peer)}")
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        status = (folder / "status").read_text()
        anonymous = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert anonymous is not None
        found[peer] = _Usage(
            cpu_s=ticks / os.sysconf("SC_CLK_TCK"), anonymous_kib=int(anonymous[1])
        )
    return found


def _tell(options: argparse.Namespace, said: dict[str, Any]) -> None:
    found = said["latencies_us"]
    shares = ", ".join(
        f"{name} {found[int(len(found) * part)] / 1000:.1f}"
        for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))
    )
    print(
        f"{options.followers} followers, {options.filters} filters, {said['written']} events in "
        f"{said['took_s']:.1f} s, failed puts {said['failed']}\n"
        f"latency ms: {shares}, greatest {found[-1] / 1000:.1f}; {len(found)} receipts, "
        f"missed {said['missed']}, connections lost {said['lost']}, faults {said['faults']}\n"
        f"elections {said['elections']}; processor share: "
        + ", ".join(f"{peer}{_role(peer, said)} {share:.0%}" for peer, share in said["cpu"].items())
        + f"; followed peer grew by {said['kib_per_follower']:.0f} KiB a follower",
        flush=True,
    )


def _role(peer: str, said: dict[str, Any]) -> str:
    return {said["leader"]: " (leads)", said["followed"]: " (followed)"}.get(peer, "")


if __name__ == "__main__":
    main()
