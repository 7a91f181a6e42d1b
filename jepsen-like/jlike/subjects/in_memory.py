"""A cluster that is none: one state in memory behind three doors.

Started by `jlike.canary_servers` within its own loop. It answers as much of the API as the
workloads register, queue and events ask for, so that a whole run meets it: clients, last reads,
checkers. `jlike.subjects.broken` has those that break a promise each.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from jlike import serve
from jlike.http import API

IDS = ("p1", "p2", "p3")
NOTHING: dict[str, Any] = {}


@dataclass(slots=True, kw_only=True)
class Job:
    id: str
    body: str
    token: str = ""
    attempts: int = 0
    until_s: float = 0.0
    """Of the loop's clock, when its claim is over."""


Answer = tuple[int, Any]


class Sound:
    """Keeps every promise."""

    workload: ClassVar[str] = "register,queue,events"
    """What finds it out; of the sound one, what must not."""
    says: ClassVar[str] = ""
    """Part of the reason."""

    def __init__(self) -> None:
        self.kv: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.jobs: dict[str, Job] = {}
        self._stamps = 0

    def stamp(self) -> str:
        self._stamps += 1
        return f"{self._stamps << 16:019}"

    # --- what a defect may change

    def read(self, key: str, *, peer: str) -> Any:
        return self.kv.get(key)

    def put(self, key: str, value: Any) -> None:
        self.kv[key] = value
        self.tell(key)

    def swap(self, key: str, *, old: Any, new: Any) -> bool:
        if self.kv.get(key) != old:
            return False
        self.put(key, new)
        return True

    def tell(self, key: str) -> None:
        seq = len(self.events) + 1
        chain = hashlib.sha256(f"{seq} {key}".encode()).hexdigest()[:16]
        self.events.append({"id": self.stamp(), "seq": seq, "chain": chain, "key": key})

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        return [it for it in self.events if it["id"] > after]

    def send(self, body: str) -> str:
        job = Job(id=self.stamp(), body=body)
        self.jobs[job.id] = job
        return job.id

    def in_turn(self) -> list[Job]:
        return sorted(self.jobs.values(), key=lambda it: it.id)

    def is_free(self, job: Job) -> bool:
        return job.until_s <= asyncio.get_running_loop().time()

    def acknowledge(self, job_id: str, *, token: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.token != token or self.is_free(job):
            return False
        del self.jobs[job_id]
        return True

    def give_back(self, job_id: str, *, token: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.token != token or self.is_free(job):
            return False
        job.token, job.until_s = "", 0.0
        return True

    # --- the API

    def answer(self, peer: str, *, method: str, target: str, body: Any) -> Answer:
        place = urlsplit(target)
        query = {name: found[0] for name, found in parse_qs(place.query).items()}
        parts = place.path.removeprefix(API).strip("/").split("/")
        match method, *parts:
            case "GET", "introspect", "ready":
                return 200, NOTHING
            case "GET", "raft", "status":
                return 200, self._status(peer)
            case "PUT", "kv", *rest:
                self.put(_key(rest), body["value"])
                return 200, NOTHING
            case "GET", "kv", *rest:
                found = self.read(_key(rest), peer=peer)
                return (200, {"value": found}) if found is not None else _problem(404, "not_found")
            case "POST", "txn":
                (compare,), (put,) = body["compares"], body["then"]
                done = self.swap(compare["key"], old=compare["value"], new=put["value"])
                return 200, {"is_success": done}
            case "GET", "events":
                return 200, self._page(peer, query)
            case "POST", "queues", _, "jobs":
                return 200, {"items": [{"id": self.send(body["body"])}]}
            case "GET", "queues", _, "jobs":
                there = [{"body": it.body} for it in self.jobs.values()]
                return 200, {"items": there, "next": None}
            case "POST", "queues", _, "claim":
                return 200, {"items": self._claim(body)}
            case "POST", "queues", _, "jobs", job_id, ("ack" | "nack") as how:
                finish = self.acknowledge if how == "ack" else self.give_back
                done = finish(job_id, token=body["token"])
                return (200, NOTHING) if done else _problem(409, "stale_token")
        return _problem(404, "no_such_path")

    def _status(self, peer: str) -> Any:
        role = "leader" if peer == IDS[0] else "follower"
        digest = {"index": self._stamps, "value": f"{self._stamps}"}
        return {"role": role, "term": 1, "digest": digest, "digests": []}

    def _page(self, peer: str, query: dict[str, str]) -> Any:
        head = self.events[-1]["id"] if self.events else f"{0:019}"
        after = head if query["after"] == "head" else query["after"]
        items = self.told(after, peer=peer)[: int(query["limit"])]
        return {"items": items, "next": items[-1]["id"] if items else after, "head": head}

    def _claim(self, order: Any) -> list[Any]:
        seconds = int(order["visibility_timeout"].removesuffix("ms")) / 1_000
        given = [it for it in self.in_turn() if self.is_free(it)][: order["max"]]
        for job in given:
            job.token = self.stamp()
            job.attempts += 1
            job.until_s = asyncio.get_running_loop().time() + seconds
        return [
            {"id": it.id, "token": it.token, "body": it.body, "attempt": it.attempts}
            for it in given
        ]


@asynccontextmanager
async def serving(cluster: Sound) -> AsyncIterator[list[str]]:
    """Its URLs, as those of three peers."""
    async with contextlib.AsyncExitStack() as stack:
        urls = []
        for peer in IDS:
            door = _Door(cluster, peer)
            server = await asyncio.start_server(door.serve, "127.0.0.1", 0)
            stack.callback(server.close)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield urls


@dataclass(slots=True)
class _Door:
    cluster: Sound
    peer: str

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, _, body = await serve.request(reader)
            answer = self.cluster.answer(self.peer, method=method, target=target, body=body)
            writer.write(serve.response(*answer))
            await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            return  # who asked is gone
        finally:
            writer.close()


def _key(parts: list[str]) -> str:
    return unquote("/".join(parts))


def _problem(status: int, code: str) -> Answer:
    return status, {"code": code, "definite": True}
