"""Registers on stock PySyncObj, as its users build them: a class, a journal file, a dump file.

Started by `jlike canary` as a peer, with the words that start a peer of Replicante; answers as much
of the HTTP API as the workload `register` asks for. It is a fair subject: reads go through the log
too, for there is no other way to a linearizable one, and an outcome counts as definite only where
nothing can have been sent. What remains is what the library does with its disk: it never forces
anything to it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from jlike import serve
from jlike.http import API

DEFINITE = frozenset(
    {FAIL_REASON.QUEUE_FULL, FAIL_REASON.MISSING_LEADER, FAIL_REASON.REQUEST_DENIED}
)
ANSWER_S = 10.0
"""Longer than whoever asks is patient."""
ROLES = ("follower", "candidate", "leader")
KV = f"{API}/kv/"


class Registers(SyncObj):  # type: ignore[misc]  # the library has no types
    def __init__(self, place: str, partners: list[str], conf: SyncObjConf) -> None:
        super().__init__(place, partners, conf)
        self._values: dict[str, Any] = {}

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: str, value: Any) -> None:
        self._values[key] = value

    @replicated  # type: ignore[untyped-decorator]
    def swap(self, key: str, old: Any, new: Any) -> bool:
        if self._values.get(key) != old:
            return False
        self._values[key] = new
        return True

    @replicated  # type: ignore[untyped-decorator]
    def get(self, key: str) -> list[Any]:
        return [self._values[key]] if key in self._values else []

    def digest(self) -> str:
        text = json.dumps(dict(self._values), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Server:
    def __init__(self, registers: Registers) -> None:
        self._registers = registers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                method, path, _, body = await serve.request(reader)
                writer.write(serve.response(*await self._answer(method, path, body)))
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        place = path.partition("?")[0]
        key = unquote(place.removeprefix(KV))
        match method, place:
            case "GET", "/introspect/ready":
                is_ready = self._registers.isReady() and self._registers._getLeader() is not None
                return (200, {}) if is_ready else _problem(503, "not_ready", is_definite=True)
            case "GET", "/api/v0/raft/status":
                return 200, self._status()
            case "POST", "/api/v0/txn":
                (compare,), (put,) = body["compares"], body["then"]
                done, found = await self._through_the_log(
                    self._registers.swap, compare["key"], compare["value"], put["value"]
                )
                return (200, {"is_success": found}) if done else found
            case "PUT", _ if place.startswith(KV):
                done, found = await self._through_the_log(self._registers.put, key, body["value"])
                return (200, {"key": key}) if done else found
            case "GET", _ if place.startswith(KV):
                done, found = await self._through_the_log(self._registers.get, key)
                if done and not found:
                    return _problem(404, "not_found", is_definite=True)
                return (200, {"key": key, "value": found[0]}) if done else found
        return _problem(404, "no_such_path", is_definite=True)

    async def _through_the_log(self, method: Any, *arguments: Any) -> tuple[bool, Any]:
        """(True, result), or (False, the answer that says why not)."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Any, int]] = loop.create_future()

        def settle(found: tuple[Any, int]) -> None:
            if not done.done():
                done.set_result(found)

        def tell(result: Any, reason: int) -> None:
            """Called by the thread of the library."""
            loop.call_soon_threadsafe(settle, (result, reason))

        method(*arguments, callback=tell)
        try:
            async with asyncio.timeout(ANSWER_S):
                result, reason = await done
        except TimeoutError:
            return False, _problem(504, "timeout", is_definite=False)
        if reason == FAIL_REASON.SUCCESS:
            return True, result
        return False, _problem(503, f"reason_{reason}", is_definite=reason in DEFINITE)

    def _status(self) -> dict[str, Any]:
        """As far as the suite asks. A digest of a state that moves on meanwhile is of no index, and
        not told."""
        found = self._registers.getStatus()
        index, digest = found["last_applied"], self._registers.digest()
        is_one = self._registers.getStatus()["last_applied"] == index
        return {
            "role": ROLES[found["state"]],
            "term": found["raft_term"],
            "digest": {"index": index, "value": digest} if is_one else None,
            "digests": [],
        }


def _problem(status: int, code: str, *, is_definite: bool) -> tuple[int, Any]:
    return status, {"code": code, "definite": is_definite}


def _options(words: list[str]) -> dict[str, str]:
    """Of those that every peer gets; the others say how the product is to be, and it is not."""
    parser = argparse.ArgumentParser()
    for name in ("data-dir", "id"):
        parser.add_argument(f"--peer-{name}", required=True)
    for name in ("raft-listen", "raft-advertise", "raft-peers", "http-listen"):
        parser.add_argument(f"--{name}", required=True)
    return vars(parser.parse_known_args(words)[0])


def opened(options: dict[str, str]) -> Registers:
    data = Path(options["peer_data_dir"])
    data.mkdir(parents=True, exist_ok=True)
    places = dict(it.split("=", 1) for it in options["raft_peers"].split(","))
    conf = SyncObjConf(
        bindAddress=options["raft_listen"],
        journalFile=str(data / "journal"),
        fullDumpFile=str(data / "dump"),
        commandsWaitLeader=False,  # refused at once, for certain, while nobody leads
    )
    others = [place for name, place in sorted(places.items()) if name != options["peer_id"]]
    return Registers(options["raft_advertise"], others, conf)


async def main(words: list[str]) -> None:
    """Until its stdin closes."""
    options = _options(words)
    registers = opened(options)
    host, _, port = options["http_listen"].rpartition(":")
    await asyncio.start_server(Server(registers).serve, host, int(port))
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
