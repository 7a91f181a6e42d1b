"""Clusters in memory that break a promise each: the sound one with one defect.

Run by `jlike.canary_servers`. The docstring of each says what it does.
"""

from __future__ import annotations

from typing import Any

from jlike.subjects.in_memory import IDS, Job, Sound

OFTEN = 4
"""Of so many chances one is taken to break a promise: rarely enough to be overlooked by a reader,
often enough for a run of a second."""


class Broken(Sound):
    def __init__(self) -> None:
        super().__init__()
        self._chances = 0

    def is_taken(self) -> bool:
        """A chance to break a promise: every so manieth."""
        self._chances += 1
        return self._chances % OFTEN == 0


class StaleReads(Broken):
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


class ForgetsWrites(Broken):
    """Acknowledges what it does not keep."""

    workload, says = "register", "key r0"

    def put(self, key: str, value: Any) -> None:
        if not self.is_taken():
            super().put(key, value)


class SwapsNothing(Broken):
    """Says that it swapped, and did not."""

    workload, says = "register", "key r0"

    def swap(self, key: str, *, old: Any, new: Any) -> bool:
        return bool(self.kv.get(key) == old)


class RefusesSwaps(Broken):
    """Refuses swaps of what is there."""

    workload, says = "register", "was refused at"

    def swap(self, key: str, *, old: Any, new: Any) -> bool:
        return not self.is_taken() and super().swap(key, old=old, new=new)


class ForgetsJobs(Broken):
    """Acknowledges jobs that it does not keep."""

    workload, says = "queue", "is lost"

    def send(self, body: str) -> str:
        return self.stamp() if self.is_taken() else super().send(body)


class GivesAgain(Broken):
    """Forgets that a job was done."""

    workload, says = "queue", "was acknowledged twice"

    def acknowledge(self, job_id: str, *, token: str) -> bool:
        job = self.jobs.get(job_id)
        done = super().acknowledge(job_id, token=token)
        if done and job is not None and self.is_taken():
            job.until_s = 0.0
            self.jobs[job_id] = job
        return done


class GivesTwice(Broken):
    """Gives a job that is claimed to somebody else as well."""

    workload, says = "queue", "was claimed again after"

    def is_free(self, job: Job) -> bool:
        return super().is_free(job) or (bool(job.token) and self.is_taken())


class RefusesHolders(Broken):
    """Tells who holds a job that it does not."""

    workload, says = "queue", "its holder was told"

    def acknowledge(self, job_id: str, *, token: str) -> bool:
        return not self.is_taken() and super().acknowledge(job_id, token=token)


class GivesTheYoungest(Broken):
    """Gives what came last first."""

    workload, says = "queue", "was there before it was sent"

    def in_turn(self) -> list[Job]:
        return super().in_turn()[::-1]


class GivesNothing(Broken):
    """Says that there is nothing while something is there."""

    workload, says = "queue", "waited, and a claim"

    def in_turn(self) -> list[Job]:
        return [] if self.is_taken() else super().in_turn()


class HoldsForEver(Broken):
    """A claim of whoever does not come back is never over."""

    workload, says = "queue", "nobody is given it"

    def is_free(self, job: Job) -> bool:
        return not job.token


class LeavesGaps(Broken):
    """Leaves a number out."""

    workload, says = "events", "follows"

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0

    def tell(self, key: str) -> None:
        super().tell(key)
        self._left_out += self.is_taken()
        self.events[-1]["seq"] += self._left_out


class ForgetsEvents(Broken):
    """Changes a record and tells nobody."""

    workload, says = "events", "has no event"

    def tell(self, key: str) -> None:
        if not self.is_taken():
            super().tell(key)


class TellsTwice(Broken):
    """Tells of one write by two events."""

    workload, says = "events", "events of it: 2"

    def tell(self, key: str) -> None:
        super().tell(key)
        if self.is_taken():
            super().tell(key)


class PeersDiffer(Broken):
    """Its second door has another log."""

    workload, says = "events", "is one thing at"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        if peer == IDS[1] and found:
            found[-1] = {**found[-1], "chain": "another"}
        return found


class TellsWhatIsLost(Broken):
    """Tells of an event before it is kept, and then does not keep it."""

    workload, says = "events", "is one thing at"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        if not found and self.events:  # whoever has read all is told of more
            seq = self.events[-1]["seq"] + 1
            return [{"id": self.stamp(), "seq": seq, "chain": "lost", "key": "lost"}]
        return found


class TellsLate(Broken):
    """Its third door is some events behind, and says that it is not."""

    workload, says = "events", "does not tell of it"

    def told(self, after: str, *, peer: str) -> list[dict[str, Any]]:
        found = super().told(after, peer=peer)
        return found[:-3] if peer == IDS[2] and self.is_taken() else found


class Disorders(Broken):
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


class Invents(Broken):
    """Tells of records that nobody wrote."""

    workload, says = "events", "nobody asked for"

    def tell(self, key: str) -> None:
        super().tell(key)
        if self.is_taken():
            super().tell(f"{key}-again")


BROKEN = (
    *(StaleReads, ForgetsWrites, SwapsNothing, RefusesSwaps),
    *(ForgetsJobs, GivesAgain, GivesTwice, HoldsForEver),
    *(RefusesHolders, GivesTheYoungest, GivesNothing),
    *(LeavesGaps, ForgetsEvents, TellsTwice, PeersDiffer, TellsWhatIsLost),
    *(TellsLate, Disorders, Invents),
)
