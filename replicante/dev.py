"""Runs a whole local cluster as real processes, and looks after them until it is told to stop.

Called by the command line and by the demo. Rules: a peer that ends by itself is reported, with its
exit code and how to start it again, and never started silently; whatever happens to this process,
no peer outlives it (lifeline.py); a stop has a bound, and says when it was needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from replicante import errors
from replicante.client import Call, Client
from replicante.clock import Clock
from replicante.dev_plan import HOST, LIFELINE_OPTION, PeerPlan, check_folders
from replicante.wire import paths

READY_MS_MAX = 120_000
STILL_WAITING_MS = 10_000
STOP_SECONDS_MAX = 15
LINE_BYTES_MAX = 65_536
PROBE_KEY = "replicante/dev/probe"
"""Deleting a key that nobody has goes through the log like any write, and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voices:
    """Where a local cluster speaks. log: (peer id, line) of a peer's output. note: a sentence of
    the supervisor."""

    log: Callable[[str, str], None]
    note: Callable[[str], None]


@dataclass(slots=True)
class _Running:
    process: asyncio.subprocess.Process
    reader: asyncio.Task[None]
    watcher: asyncio.Task[None]
    is_wanted_to_end: bool = False


class LocalCluster:
    """Peer processes on this machine. Use on one event loop; always `stop` it."""

    def __init__(
        self,
        plans: Sequence[PeerPlan],
        *,
        voices: Voices,
        clock: Clock,
        program: Sequence[str] = (sys.executable, "-m", "replicante"),
    ) -> None:
        """program: what takes the arguments of a plan and runs a peer."""
        self.plans = {plan.id: plan for plan in plans}
        self._voices = voices
        self._clock = clock
        self._program = tuple(program)
        self._running: dict[str, _Running] = {}
        self.changed = asyncio.Event()
        """Set whenever a peer ended; whoever waits clears it first."""

    @property
    def urls(self) -> list[str]:
        return [plan.url for plan in self.plans.values()]

    @property
    def living(self) -> list[str]:
        """Ids of the peers whose process runs."""
        return [peer for peer, it in self._running.items() if it.process.returncode is None]

    def pid(self, peer_id: str) -> int | None:
        running = self._running.get(peer_id)
        return (
            None
            if running is None or running.process.returncode is not None
            else (running.process.pid)
        )

    async def start(self) -> None:
        """Starts every peer. Raises `Invalid`, `AddressInUse` with the port and the option, and
        `StartRefused` when the data directory cannot be made."""
        plans = list(self.plans.values())
        check_ports(plans)
        for plan in plans:
            try:
                plan.data_dir.parent.mkdir(parents=True, exist_ok=True)
                found = os.listdir(plan.data_dir.parent)
            except OSError as exc:
                raise errors.StartRefused(
                    f"The data directory {plan.data_dir.parent} cannot be used: {exc.strerror}.",
                    hints=["Choose another one with --data-dir."],
                ) from exc
            check_folders(found, plans, plan.data_dir.parent)
        for plan in plans:
            await self.start_peer(plan.id)

    async def start_peer(self, peer_id: str) -> None:
        assert self.pid(peer_id) is None, f"{peer_id} runs"
        plan = self.plans[peer_id]
        process = await asyncio.create_subprocess_exec(
            *self._program,
            *plan.arguments,
            LIFELINE_OPTION,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(),
            # Ctrl-C at a terminal reaches the whole foreground group; the peers are asked to stop
            # by this process alone, once.
            start_new_session=True,
            limit=LINE_BYTES_MAX,
        )
        reader = asyncio.create_task(self._read(plan, process))
        watcher = asyncio.create_task(self._watch(plan, process, reader))
        self._running[peer_id] = _Running(process, reader, watcher)

    async def kill_peer(self, peer_id: str) -> None:
        """SIGKILL, and wait until it is gone."""
        running = self._running[peer_id]
        running.is_wanted_to_end = True
        with contextlib.suppress(ProcessLookupError):
            running.process.kill()
        await running.watcher

    async def wait_ready(self) -> list[str]:
        """URLs of the living peers once a write was accepted through each of them.

        Raises `StartRefused` when a majority of the peers ended, or nothing was accepted in time.
        """
        deadline_ms = self._clock.monotonic_ms() + READY_MS_MAX
        patience_ms = self._clock.monotonic_ms() + STILL_WAITING_MS
        waiting = dict(self.plans)
        reason = "nothing was tried"
        async with Client(self.urls, mints_keys=False) as client:
            while True:
                waiting = {peer: plan for peer, plan in waiting.items() if peer in self.living}
                if 2 * len(self.living) <= len(self.plans):
                    raise errors.StartRefused(
                        "Too many peers ended before a write was accepted; their last lines say "
                        "why."
                    )
                if not waiting:
                    return [self.plans[peer].url for peer in self.plans if peer in self.living]
                peer, plan = next(iter(waiting.items()))
                try:
                    await _probe(client, plan.url)
                    del waiting[peer]
                    continue
                except errors.ReplicanteError as exc:
                    reason = f"{peer}: {exc.message}"
                now_ms = self._clock.monotonic_ms()
                if now_ms >= deadline_ms:
                    raise errors.StartRefused(
                        f"No write was accepted within {READY_MS_MAX // 1000} s ({reason})."
                    )
                if now_ms >= patience_ms:
                    patience_ms = now_ms + STILL_WAITING_MS
                    self._voices.note(f"still waiting until writes are accepted ({reason})")

    async def stop(self, *, hurry: asyncio.Event | None = None) -> None:
        """Ends every peer: SIGTERM, and SIGKILL for those that take too long or when `hurry` is
        set meanwhile. Cleans up also when it is cancelled."""
        alive = [it for it in self._running.values() if it.process.returncode is None]
        try:
            for running in alive:
                running.is_wanted_to_end = True
                with contextlib.suppress(ProcessLookupError):
                    running.process.terminate()
            await self._wait_for_end([it.watcher for it in alive], hurry)
        finally:
            for running in self._running.values():
                if running.process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        running.process.kill()
        await asyncio.gather(*(it.watcher for it in self._running.values()))

    async def _wait_for_end(
        self, watchers: list[asyncio.Task[None]], hurry: asyncio.Event | None
    ) -> None:
        if not watchers:
            return
        ended = asyncio.create_task(_all_done(watchers))
        hurried = asyncio.create_task(_set(hurry or asyncio.Event()))
        try:
            await asyncio.wait(
                {ended, hurried}, timeout=STOP_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()
            hurried.cancel()
        slow = ", ".join(self.living)
        if slow:
            self._voices.note(f"did not stop in time, so killed with SIGKILL: {slow}")

    async def _read(self, plan: PeerPlan, process: asyncio.subprocess.Process) -> None:
        """Hands on the output line by line; a line without end is cut, never kept."""
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(LINE_BYTES_MAX):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) >= LINE_BYTES_MAX:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._voices.log(plan.id, line.decode("utf-8", "replace").rstrip())
        if rest:
            self._voices.log(plan.id, rest.decode("utf-8", "replace").rstrip())

    async def _watch(
        self,
        plan: PeerPlan,
        process: asyncio.subprocess.Process,
        reader: asyncio.Task[None],
    ) -> None:
        code = await process.wait()
        with contextlib.suppress(TimeoutError):
            # What it said last is worth waiting for, unless a child of its own holds the pipe.
            async with asyncio.timeout(2):
                await asyncio.shield(reader)
        if not reader.done():
            reader.cancel()
        running = self._running.get(plan.id)
        if running is not None and not running.is_wanted_to_end:
            self._voices.note(
                f"{plan.id} ended {describe_exit(code)}. It is not started again by itself; "
                f"this starts it: {plan.command_line}"
            )
        self.changed.set()


def check_ports(plans: Sequence[PeerPlan]) -> None:
    """Raises `AddressInUse` for the first port that is taken, with the option that moves it."""
    for plan in plans:
        for option, port in (("--http-port", plan.http_port), ("--raft-port", plan.raft_port)):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as exc:
                    raise errors.AddressInUse(
                        f"Port {port}, wanted by {plan.id}, cannot be used: {exc.strerror}.",
                        hints=[f"Choose other ports with {option}, or end what uses this one."],
                    ) from exc


def describe_exit(code: int) -> str:
    """Of a process: `with exit code 3`, or `by SIGKILL`."""
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


async def _all_done(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Unlike gather, leaves the tasks alone when it is cancelled."""
    await asyncio.wait(tasks)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _probe(client: Client, url: str) -> None:
    """Returns when a write through this peer was accepted. Raises the reason when it was not."""
    call = Call(
        method="DELETE",
        path=paths.kv_path(PROBE_KEY),
        is_write=True,
        timeout_ms=2_000,
        endpoint=url,
    )
    with contextlib.suppress(errors.NotFound):
        await client.call(call)


def _environment() -> dict[str, str]:
    """Settings in the environment are for one peer; here they would reach all of them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("REPLICANTE_") and "__" in name)
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}
