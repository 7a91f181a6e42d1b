"""One process of a measured group: an unchanged PySyncObj with a null or an in-memory key/value
machine, and the callers that propose to it. Started by raft_group.

    python bench/raft_stock.py '{"peer_id": …, "data_dir": …, "peers": {…}, "machine": "null",
                                 "is_batching": true, "has_journal": false, "is_awaited": true}'

Awaited callers are coroutines, as ours are. The others are callbacks that propose again: nothing
crosses a thread or an event loop, which is what PySyncObj can reach at best, and no program that
waits for its answers can. Compaction is off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, replicated
from raft_load import Load, Meter, answer, key_of, new_event_loop, set_switch_interval, value_of

_NEVER = 1 << 60


class CutCounter(logging.Handler):
    """Counts how often PySyncObj says that it cuts entries which it has applied."""

    def __init__(self) -> None:
        super().__init__(logging.CRITICAL)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "truncating already-applied" in record.getMessage()


class StockPeer(SyncObj):  # type: ignore[misc]  # PySyncObj has no types
    def __init__(self, own: str, others: list[str], conf: SyncObjConf) -> None:
        super().__init__(own, others, conf)
        self.rows: dict[bytes, bytes] = {}

    @replicated  # type: ignore[untyped-decorator]
    def nothing(self, key: bytes, value: bytes) -> None:
        """The null machine."""

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: bytes, value: bytes) -> None:
        self.rows[key] = value


class Caller:
    """Proposes again from its own callback until the window is over."""

    def __init__(
        self, propose: Callable[..., None], meter: Meter, number: int, on_end: Callable[[], None]
    ) -> None:
        self._propose = propose
        self._meter = meter
        self._number = number
        self._on_end = on_end
        self._value = value_of(meter.load.command_bytes)

    def go(self) -> None:
        self._started_s = time.perf_counter()
        key = key_of(self._number)
        self._number += self._meter.load.callers
        self._propose(key, self._value, callback=self._answered)

    def _answered(self, result: object, failure: int) -> None:
        goes_on = self._meter.failed() if failure else self._meter.answered(self._started_s)
        if goes_on:
            self.go()
        else:
            self._on_end()


def run_load(propose: Callable[..., None], load: Load, *, is_awaited: bool) -> dict[str, Any]:
    if not is_awaited:
        return run_callbacks(propose, load)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(run_coroutines(propose, load))


def run_callbacks(propose: Callable[..., None], load: Load) -> dict[str, Any]:
    meter = Meter(load)
    ended = threading.Semaphore(0)
    callers = [Caller(propose, meter, number, ended.release) for number in range(load.callers)]
    for caller in callers:
        caller.go()
    for _ in callers:
        ended.acquire(timeout=load.seconds + load.warmup_seconds + 20)
    return meter.result()


async def run_coroutines(propose: Callable[..., None], load: Load) -> dict[str, Any]:
    meter = Meter(load)
    value = value_of(load.command_bytes)
    loop = asyncio.get_running_loop()

    async def caller(number: int) -> None:
        goes_on = True
        while goes_on:
            started_s = time.perf_counter()
            answered = loop.create_future()

            def hand_over(
                result: object, failure: int, answered: asyncio.Future[int] = answered
            ) -> None:
                loop.call_soon_threadsafe(answered.set_result, failure)

            propose(key_of(number), value, callback=hand_over)
            number += load.callers
            goes_on = meter.failed() if await answered else meter.answered(started_s)

    async with asyncio.timeout(load.seconds + load.warmup_seconds + 20):
        await asyncio.gather(*(caller(number) for number in range(load.callers)))
    return meter.result()


def main() -> None:
    set_switch_interval()
    given = json.loads(sys.argv[1])
    own = given["peers"][given["peer_id"]]
    others = [address for address in given["peers"].values() if address != own]
    journal = Path(given["data_dir"]) / "journal"
    journal.parent.mkdir(parents=True, exist_ok=True)
    conf = SyncObjConf(
        appendEntriesUseBatch=given["is_batching"],
        journalFile=str(journal) if given["has_journal"] else None,
        logCompactionMinEntries=_NEVER,
        logCompactionMinTime=_NEVER,
        connectionRetryTime=0.2,
    )
    cuts = CutCounter()
    logging.getLogger("pysyncobj").addHandler(cuts)
    peer = StockPeer(own, others, conf)
    propose = peer.put if given["machine"] == "kv" else peer.nothing
    answer(started=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order.pop("do") == "status":
            answer(is_ready=peer.isReady(), is_leader=peer._isLeader(), cuts=cuts.count)
        else:
            answer(**run_load(propose, Load(**order), is_awaited=given["is_awaited"]))
    peer.destroy_synchronous()


if __name__ == "__main__":
    main()
