"""What one caller's durable write is made of, each piece alone, beside the whole, in one run.

    python bench/budget.py [--seconds S] [--folder DIR]

Pieces are of one process, except the round trip, whose other end is a process of its own. The
whole is p50 of a lone caller at the leader of three processes with a machine that does nothing:
ours durable, and PySyncObj's in memory, at once. Compare the figures of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from raft_group import fsync_ms, running
from raft_load import new_event_loop, set_switch_interval

from replicante.raft.commit_thread import CommitThread
from replicante.raft.log import WriteSet
from replicante.raft.log_store import LmdbLog

_COUNT = 400
_ECHO = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as link:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := link.recv(65536):
        link.sendall(data)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each of the two wholes")
    parser.add_argument("--folder", type=Path, help="where data directories go; a real disk")
    options = parser.parse_args()
    set_switch_interval()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-budget-") as name:
        report = measure(Path(name), seconds=options.seconds)
    print(json.dumps(report, indent=1))


def measure(folder: Path, *, seconds: float) -> dict[str, Any]:
    syncs = fsync_ms(folder, count=_COUNT)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        hand_overs = runner.run(_hand_overs())
    pieces = {
        "one fdatasync of 4 KiB": statistics.median(syncs),
        "one commit of the log (two syncs)": statistics.median(_commits(folder / "log")),
        "loop to commit thread and back": statistics.median(hand_overs),
        "loopback round trip, one end a loop": statistics.median(_round_trips()),
    }
    plain = {"is_batching": False, "has_journal": False, "is_awaited": True}
    wholes = {
        "stock, in memory, at once": _lone("raft_stock.py", folder / "stock", plain, seconds),
        "ours, durable": _lone("raft_ours.py", folder / "ours", {}, seconds),
    }
    return {
        "pieces_p50_ms": {what: round(took, 3) for what, took in pieces.items()},
        "lone_caller": wholes,
        "load_1_minute": round(os.getloadavg()[0], 2),
    }


def _commits(path: Path) -> list[float]:
    store = LmdbLog(path, map_bytes=1 << 30)
    took = []
    for number in range(1, _COUNT + 1):
        writes = WriteSet(truncate_from=None, records=((number, b"x" * 160),), hard=None)
        began_s = time.perf_counter()
        store.write(writes)
        took.append((time.perf_counter() - began_s) * 1_000)
    store.close()
    return took


async def _hand_overs() -> list[float]:
    thread, took = CommitThread("budget"), []
    for _ in range(_COUNT):
        began_s = time.perf_counter()
        await thread.run(lambda: None)
        took.append((time.perf_counter() - began_s) * 1_000)
    thread.stop()
    return took


def _round_trips() -> list[float]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", _ECHO, port]) as other:
            link, _ = server.accept()
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                took = runner.run(_echoed(link))
            other.wait(10)
    return took


async def _echoed(link: socket.socket) -> list[float]:
    reader, writer = await asyncio.open_connection(sock=link)
    took = []
    for _ in range(_COUNT):
        began_s = time.perf_counter()
        writer.write(b"x" * 200)
        await reader.readexactly(200)
        took.append((time.perf_counter() - began_s) * 1_000)
    writer.close()
    await writer.wait_closed()
    return took


def _lone(program: str, folder: Path, given: dict[str, Any], seconds: float) -> dict[str, Any]:
    with running(program, folder, machine="null", **given) as group:
        leader = group.ready_leader()
        load = {"callers": 1, "command_bytes": 100, "warmup_seconds": 0.5}
        said = leader.ask(do="load", seconds=seconds, **load)
    return {name: said[name] for name in ("p50_ms", "p99_ms", "writes_per_s")}


if __name__ == "__main__":
    main()
