"""A cluster that is none: one state in memory behind three doors, sound, or broken in one way.

Started by `jlike.canary_servers` within its own loop. It answers as much of the API as the
workloads register, queue and events ask for, so that a whole run meets it: clients, last reads,
checkers. Each broken one is the sound one with one defect; its docstring says which.
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
OFTEN = 4
"""Of so many chances one is taken to break a promise: rarely enough to be overlooked by a reader,
often enough for a run of a second."""
NOTHING: dict[str, Any] = {}


@dataclass(slots=True, kw_only=True)
class Job:
    id: str
    body: str
    token: str = ""
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
        self._chances = 0

    def stamp(self) -> str:
        self._stamps += 1
        return f"{self._stamps << 16:019}"

    def is_taken(self) -> bool:
        """A chance to break a promise: every so manieth."""
        self._chances += 1
        return self._chances % OFTEN == 0

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

    def is_free(self, job: Job) -> bool:
        return job.until_s <= asyncio.get_running_loop().time()

    def acknowledge(self, job_id: str, *, token: str) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.token != token or self.is_free(job):
            return False
        del self.jobs[job_id]
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
            case "POST", "queues", _, "jobs", job_id, "ack":
                done = self.acknowledge(job_id, token=body["token"])
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
        given = [it for it in self.jobs.values() if self.is_free(it)][: order["max"]]
        for job in given:
            job.token = self.stamp()
            job.until_s = asyncio.get_running_loop().time() + seconds
        return [{"id": it.id, "token": it.token, "body": it.body} for it in given]


class StaleReads(Sound):
    """Its third door answers from a copy that is one write behind."""

    workload, says = "register", "key r0"

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        self._before = dict(self.kv)
        super().put(key, value)

    def read(self, key: str, *, peer: str) -> Any:
        return self._before.get(key) if peer == IDS[2] else self.kv.get(key)


class ForgetsWrites(Sound):
    """Acknowledges what it does not keep."""

    workload, says = "register", "key r0"

    def put(self, key: str, value: Any) -> None:
        if not self.is_taken():
            super().put(key, value)


class SwapsNothing(Sound):
    """Says that it swapped, and did not."""

    workload, says = "register", "key r0"

    def swap(self, key: str, *, old: Any, new: Any) -> bool:
        return bool(self.kv.get(key) == old)


class RefusesSwaps(Sound):
    """Refuses swaps of what is there."""

    workload, says = "register", "was refused at"

    def swap(self, key: str, *, old: Any, new: Any) -> bool:
        return not self.is_taken() and super().swap(key, old=old, new=new)


class ForgetsJobs(Sound):
    """Acknowledges jobs that it does not keep."""

    workload, says = "queue", "is lost"

    def send(self, body: str) -> str:
        return self.stamp() if self.is_taken() else super().send(body)


class GivesAgain(Sound):
    """Forgets that a job was done."""

    workload, says = "queue", "was acknowledged twice"

    def acknowledge(self, job_id: str, *, token: str) -> bool:
        job = self.jobs.get(job_id)
        done = super().acknowledge(job_id, token=token)
        if done and job is not None and self.is_taken():
            job.until_s = 0.0
            self.jobs[job_id] = job
        return done


class GivesTwice(Sound):
    """Gives a job that is claimed to somebody else as well."""

    workload, says = "queue", "was claimed again after"

    def is_free(self, job: Job) -> bool:
        return super().is_free(job) or (bool(job.token) and self.is_taken())


class HoldsForEver(Sound):
    """A claim of whoever does not come back is never over."""

    workload, says = "queue", "nobody is given it"

    def is_free(self, job: Job) -> bool:
        return not job.token


class LeavesGaps(Sound):
    """Leaves a number out."""

    workload, says = "events", "follows"

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0

    def tell(self, key: str) -> None:
        super().tell(key)
        self._left_out += self.is_taken()
        self.events[-1]["seq"] += self._left_out


class ForgetsEvents(Sound):
    """Changes a record and tells nobody."""

    workload, says = "events", "has no event"

    def tell(self, key: str) -> None:
        if not self.is_taken():
            super().tell(key)


class TellsTwice(Sound):
    """Tells of one write by two events."""

    workload, says = "events", "events of it: 2"

    def tell(self, key: str) -> None:
        super().tell(key)
        if self.is_taken():
            super().tell(key)


class PeersDiffer(Sound):
    """Its second door has another log."""

    workload, says = "events", "is one thing at"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        if peer == IDS[1] and found:
            found[-1] = {**found[-1], "chain": "another"}
        return found


class TellsWhatIsLost(Sound):
    """Tells of an event before it is kept, and then does not keep it."""

    workload, says = "events", "is one thing at"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        if not found and self.events:  # whoever has read all is told of more
            seq = self.events[-1]["seq"] + 1
            return [{"id": self.stamp(), "seq": seq, "chain": "lost", "key": "lost"}]
        return found


class TellsLate(Sound):
    """Its third door is some events behind, and says that it is not."""

    workload, says = "events", "does not tell of it"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        return found[:-3] if peer == IDS[2] and self.is_taken() else found


class Disorders(Sound):
    """Tells of a write only after the next one."""

    workload, says = "events", "its event comes after"

    def __init__(self) -> None:
        super().__init__()
        self._kept_back: list[str] = []

    def tell(self, key: str) -> None:
        if not self._kept_back and self.is_taken():
            self._kept_back.append(key)
            return
        super().tell(key)
        while self._kept_back:
            super().tell(self._kept_back.pop())


class Invents(Sound):
    """Tells of records that nobody wrote."""

    workload, says = "events", "nobody asked for"

    def tell(self, key: str) -> None:
        super().tell(key)
        if self.is_taken():
            super().tell(f"{key}-again")


BROKEN = (
    *(StaleReads, ForgetsWrites, SwapsNothing, RefusesSwaps),
    *(ForgetsJobs, GivesAgain, GivesTwice, HoldsForEver),
    *(LeavesGaps, ForgetsEvents, TellsTwice, PeersDiffer, TellsWhatIsLost),
    *(TellsLate, Disorders, Invents),
)


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
