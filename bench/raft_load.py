"""What both kinds of measured peer share: orders and answers over pipes, commands, percentiles.

Called by raft_ours and raft_stock inside the three processes of a group, and by raft_group, which
starts them. An order is one line of JSON on standard input, an answer one line on standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

KEY_BYTES = 16
KEYS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A closed loop: each caller proposes again as soon as it was answered."""

    callers: int
    command_bytes: int
    seconds: float
    warmup_seconds: float


@dataclass(slots=True)
class Meter:
    """Counts what ends inside the window; what began before it counts too."""

    load: Load
    began_s: float = field(default_factory=time.perf_counter)
    began_cpu_s: float = field(default_factory=time.process_time)
    latencies_s: list[float] = field(default_factory=list)
    answered_count: int = 0
    errors_count: int = 0
    commits_count: int = 0
    """Durable writes of the log; each is one transaction, synced."""

    @property
    def from_s(self) -> float:
        return self.began_s + self.load.warmup_seconds

    @property
    def until_s(self) -> float:
        return self.from_s + self.load.seconds

    def is_inside(self, now_s: float) -> bool:
        return self.from_s <= now_s < self.until_s

    def commit(self) -> None:
        self.commits_count += self.is_inside(time.perf_counter())

    def answered(self, started_s: float) -> bool:
        """False when the window is over: the caller stops."""
        now_s = time.perf_counter()
        self.answered_count += 1
        if self.is_inside(now_s):
            self.latencies_s.append(now_s - started_s)
        return now_s < self.until_s

    def failed(self) -> bool:
        self.errors_count += 1
        return time.perf_counter() < self.until_s

    def result(self) -> dict[str, Any]:
        cpu_s = time.process_time() - self.began_cpu_s
        ordered = sorted(self.latencies_s)
        count = len(ordered)
        return {
            **asdict(self.load),
            "writes": count,
            "errors": self.errors_count,
            "writes_per_s": round(count / self.load.seconds, 1),
            "p50_ms": percentile_ms(ordered, 0.50),
            "p99_ms": percentile_ms(ordered, 0.99),
            "commits_per_write": round(self.commits_count / count, 4) if count else None,
            "leader_cpu_us_per_write": round(cpu_s / max(self.answered_count, 1) * 1e6, 1),
        }


def percentile_ms(ordered_s: list[float], share: float) -> float | None:
    if not ordered_s:
        return None
    place = min(int(len(ordered_s) * share), len(ordered_s) - 1)
    return round(ordered_s[place] * 1_000, 3)


def key_of(number: int) -> bytes:
    return b"key-%012d" % (number * 7_919 % KEYS)


def value_of(command_bytes: int) -> bytes:
    return b"v" * (command_bytes - KEY_BYTES)


def answer(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The faster one where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def set_switch_interval() -> None:
    """As the server does: a thread that has something for the loop gets its turn soon."""
    sys.setswitchinterval(0.0005)
