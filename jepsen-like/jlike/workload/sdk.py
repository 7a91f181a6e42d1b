"""The SDK as the subject: it repeats, goes elsewhere and waits, and its word must still be true.

Registers and jobs, asked through a process that uses the SDK as its users do. Registers are
linearizable; a job that was sent is there once, however often the SDK had to send it. The process
goes on and answers everything: an error that the SDK does not tell as its own is a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from jlike import subjects
from jlike.check import register, requests, sdk
from jlike.history import Kind, Operation, Value
from jlike.http import Http
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage
from jlike.workload.register import Register
from jlike.workload.requests import jobs_of

PROGRAM = Path(subjects.__file__).with_name("sdk_client.py")
QUEUE = "sdk"
ANSWER_S = 60.0
"""Longer than any deadline of the SDK."""
END_S = 20.0
LINE_BYTES_MAX = 1024 * 1024
LOG = "sdk.log"


class Sdk(Register):
    name = "sdk"
    kinds = ("read", "write", "cas", "append", "final")
    needs_loopback = True

    def __init__(self) -> None:
        super().__init__()
        self._program: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._urls: list[str] = []
        self._log: Path | None = None
        self._waiting: dict[int, asyncio.Future[Value]] = {}
        self._has_ended = False
        self._asked = 0
        self._sent = 0

    def next(self, chance: random.Random) -> tuple[str, Value]:
        if chance.random() < 0.75:
            return super().next(chance)
        self._sent += 1
        return "append", [QUEUE, f"s{self._sent}"]

    async def open(self, stage: Stage) -> None:
        # Who is a spare now may be a member later, and asked.
        self._urls = [it.url for it in stage.peers.everybody]
        self._log = stage.recorder.folder / LOG
        with self._log.open("wb") as log:
            self._program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(PROGRAM), *self._urls),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
            )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._program is not None and self._program.stdout is not None
        while line := await self._program.stdout.readline():
            told = json.loads(line)
            waiting = self._waiting.pop(told["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(told)
        self._has_ended = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result({"kind": Kind.INFO, "error": sdk.ENDED})

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        if f == "final":
            return await jobs_of(http, url, QUEUE, scope=self.scope)
        key, argument = value
        name = self.own(key if f == "append" else f"{self.name}/{key}")
        told = await self._asked_of_the_sdk(url, f, name, argument)
        kind = Kind(told["kind"])
        if kind is not Kind.OK:
            return Outcome(kind=Kind.FAIL if f == "read" else kind, error=told["error"])
        match f:
            case "read":
                return Outcome(kind=kind, value=[value[0], told["value"]])
            case "append":
                return Outcome(kind=kind, value=[told["value"]])
            case "cas" if not told["value"]:
                return Outcome(kind=Kind.FAIL, error="differs")
        self._written[value[0]] = argument if f == "write" else argument[1]
        return Outcome(kind=kind, value=value)

    async def _asked_of_the_sdk(self, url: str, f: str, key: str, argument: Value) -> Value:
        """What it told; of itself when it told nothing."""
        assert self._program is not None and self._program.stdin is not None
        if self._has_ended:
            return {"kind": Kind.FAIL, "error": sdk.ENDED}
        self._asked += 1
        peer = self._urls.index(url)
        order = {"id": self._asked, "peer": peer, "f": f, "key": key, "value": argument}
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[self._asked] = waiting
        self._program.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await waiting
        except TimeoutError:
            return {"kind": Kind.INFO, "error": sdk.SILENT}

    def logs(self) -> Sequence[Path]:
        return [] if self._log is None else [self._log]

    def final(self) -> Sequence[tuple[str, Value]]:
        return [*super().final(), ("final", None)]

    async def close(self) -> None:
        if self._program is None or self._reading is None:
            return
        assert self._program.stdin is not None
        self._program.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._program.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._program.kill()
            await self._program.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._program = None

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        found = list(operations)
        return [register.check(found), requests.check(found), sdk.check(found)]
