"""Writes histories, one file a workload, and gives the run its one clock.

Used by `jlike.clients` and `jlike.nemesis`. Everything runs in one loop, so the order of the lines
is the order in which things happened.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import IO

from jlike.history import Kind, Op, Value


class Recorder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, IO[str]] = {}
        self._started_ns = time.monotonic_ns()
        self._processes = 0
        self.acknowledged = asyncio.Event()
        """Set by each operation that is answered ok; faults wait for it."""
        self.succeeded: set[tuple[str, str]] = set()
        """(workload, f) of every kind of operation that was answered ok."""

    def now_ns(self) -> int:
        return time.monotonic_ns() - self._started_ns

    def new_process(self) -> int:
        self._processes += 1
        return self._processes

    def add(
        self,
        workload: str,
        kind: Kind,
        *,
        process: int,
        f: str,
        value: Value,
        peer: str,
        error: str = "",
    ) -> None:
        op = Op(
            process=process,
            type=kind,
            f=f,
            value=value,
            time=self.now_ns(),
            peer=peer,
            error=error,
        )
        self._file(f"history-{workload}.jsonl").write(op.line() + "\n")
        if kind is Kind.OK:
            self.acknowledged.set()
            self.succeeded.add((workload, f))

    def note(self, name: str, **fields: Value) -> None:
        """A line of another file: faults, what peers said of themselves."""
        self._file(f"{name}.jsonl").write(json.dumps({"time": self.now_ns(), **fields}) + "\n")

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _file(self, name: str) -> IO[str]:
        if name not in self._files:
            self._files[name] = (self.folder / name).open("w", encoding="utf-8", buffering=1)
        return self._files[name]
