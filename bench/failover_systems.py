"""What bench/failover.py asks of each system that it compares, and what they have in common.

Rule: everything that is waited for has a time limit; every process ends by its own id.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from failover_clients import CALL_MS_MAX, FAILURES

from replicante.demo.writer import open_redis

DOWN_AFTER_MS = 1_500
STEADY_SECONDS_MAX = 60
POLL_MS = 50


class System(Protocol):
    name: str

    async def primary(self) -> str | None:
        """host:port, as the clients of this system are told; None: nobody knows now."""
        ...

    async def hurt(self, address: str, number: signal.Signals, *, is_whole_machine: bool) -> None:
        """Sends a signal to the server at this address; also to what stands beside it there."""
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
    async with open_redis(address, call_ms=CALL_MS_MAX) as redis:
        return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


def spawn(words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(words),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
