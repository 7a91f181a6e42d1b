"""A cluster of peers as processes, for those who measure it: started, ready, ended.

Used by the benchmarks that ask over HTTP. Ports are free ones, so that two of them can run.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from replicante.clock import SystemClock
from replicante.demo.lookups import find_leader
from replicante.dev import LocalCluster, Voices
from replicante.dev_plan import plan_peers

HOST = "127.0.0.1"
QUIET = Voices(log=lambda _peer, _line: None, note=print)


@contextlib.asynccontextmanager
async def running_peers(
    folder: Path, *, count: int = 3, voices: Voices = QUIET
) -> AsyncIterator[tuple[LocalCluster, str]]:
    """The cluster, all of it ready, and the id of its leader. folder: of the data directories."""
    first = free_port_row(2 * count)
    plans = plan_peers(
        peers_count=count,
        data_dir=folder,
        http_port=first,
        raft_port=first + count,
        log_format="json",
    )
    cluster = LocalCluster(plans, voices=voices, clock=SystemClock())
    try:
        await cluster.start()
        yield cluster, await find_leader(await cluster.wait_ready())
    finally:
        await cluster.stop()


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
