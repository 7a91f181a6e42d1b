"""Three measured processes on loopback: started, asked, killed, ended. Called by raft.

Whatever happens, each process that was started here is ended here, by its own id; one whose
parent dies reads the end of its orders and ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.pki import PkiFolder

PEER_IDS = ("a", "b", "c")
CLUSTER = "bench"
_HERE = Path(__file__).parent
_ANSWER_S_MAX = 60.0
_START_S_MAX = 40.0
_END_S_MAX = 5.0


class Member:
    def __init__(self, program: str, given: dict[str, Any], folder: Path) -> None:
        self._command = [sys.executable, str(_HERE / program), json.dumps(given)]
        self._log_path = folder / f"{given['peer_id']}.log"
        self.peer_id = given["peer_id"]
        self.start()

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._read()

    def ask(self, **order: Any) -> dict[str, Any]:
        self.tell(**order)
        return self._read()

    def tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(_ANSWER_S_MAX):
                raise TimeoutError(f"{self.peer_id} did not answer: {self._tail()}")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.peer_id} ended: {self._tail()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def await_answer(self) -> dict[str, Any]:
        return self._read()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def end(self) -> None:
        """Reads the end of its orders; killed when that does not help."""
        if self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            try:
                self._process.wait(_END_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()

    def _tail(self) -> str:
        return self._log_path.read_text(errors="replace")[-1_500:]


class Group:
    def __init__(self, program: str, folder: Path, **given: Any) -> None:
        self.addresses = dict(zip(PEER_IDS, _free_addresses(len(PEER_IDS)), strict=True))
        self.members: list[Member] = []
        self._program, self._folder, self._given = program, folder, given
        for peer_id in self.addresses:
            self._add(peer_id, peers=self.addresses)

    def _add(self, peer_id: str, **given: Any) -> Member:
        own = {"peer_id": peer_id, "data_dir": str(self._folder / peer_id)}
        member = Member(self._program, own | self._given | given, self._folder)
        self.members.append(member)
        return member

    def join(self, peer_id: str, token: str) -> Member:
        """One more, with an empty data directory."""
        address = _free_addresses(1)[0]
        return self._add(peer_id, peers=self.addresses, join=token, listen=address)

    def ready_leader(self) -> Member:
        """Waits until one leads and all are ready."""
        deadline_s = time.monotonic() + _START_S_MAX
        while time.monotonic() < deadline_s:
            said = [(member, member.ask(do="status")) for member in self.members]
            leaders = [member for member, status in said if status["is_leader"]]
            if len(leaders) == 1 and all(status["is_ready"] for _, status in said):
                return leaders[0]
            time.sleep(0.05)
        raise TimeoutError("the group did not become ready")

    def end(self) -> None:
        for member in self.members:
            member.end()


@contextlib.contextmanager
def running(program: str, folder: Path, **given: Any) -> Iterator[Group]:
    group = Group.__new__(Group)
    group.members = []
    try:
        folder.mkdir(parents=True)
        Group.__init__(group, program, folder, **given)
        yield group
    finally:
        group.end()


def make_certificates(folder: Path) -> Path:
    """An authority, and a folder with certificate and key for each of PEER_IDS."""
    made = PkiFolder(folder, clock=SystemClock(), entropy=SystemEntropy())
    made.init(CLUSTER, days=1)
    for peer_id in PEER_IDS:
        made.issue(peer_id, days=1)
    return folder


def fsync_ms(folder: Path, *, count: int = 200) -> list[float]:
    """Milliseconds of each 4 KiB write with fdatasync, ascending."""
    path = folder / "sync-probe"
    took = []
    with path.open("wb", buffering=0) as file:
        for number in range(count):
            began_s = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4_096, number * 4_096)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began_s) * 1_000)
    path.unlink()
    return sorted(took)


def _free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
