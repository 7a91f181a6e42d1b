"""The last that a Redis server told, on the disk: to be read while it is down, also by the agent's
next process. Called by `store`; run by the agent beside everything else.

Rule: nothing is decided on it, and no answer waits for the disk. What is settled is written as soon
as it changes, what moves now and then, and all of it when the server is found gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicante.agents.stores.redis.facts import Facts
from replicante.clock import Clock
from replicante.durable_file import PRIVATE, write_durably
from replicante.limits import REDIS_FACTS_KEPT_MS
from replicante.model.civil_time import format_rfc3339
from replicante.model.node import Attribute

_FILE = "last_facts.json"
_PREFIX = "redis.io/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """By the names of attributes."""

    version: str
    settled: dict[str, Attribute]
    moving: dict[str, Attribute]

    @property
    def attributes(self) -> dict[str, Attribute]:
        """Named as what was told last."""
        found = {**self.settled, **self.moving}
        return {name.replace(_PREFIX, f"{_PREFIX}last.", 1): it for name, it in found.items()}


class LastFacts:
    """A file that cannot be read counts as none; one that cannot be written is tried again."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._path = folder / _FILE
        self._clock = clock
        self.told = _read(self._path)
        self._kept = self.told
        self._woken = asyncio.Event()

    def saw(self, facts: Facts) -> None:
        """To be told what a look has found."""
        self.told = _told(facts, wall_ms=self._clock.wall_ms())
        if self._kept is None or self._kept.settled != self.told.settled:
            self._woken.set()

    def gone(self) -> None:
        """To be told that there was nobody to look at."""
        if self.told != self._kept:
            self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REDIS_FACTS_KEPT_MS / 1_000):
                    await self._woken.wait()
            self._woken.clear()
            told = self.told
            if told is not None and told != self._kept:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(_write, self._path, told)
                    self._kept = told


def _told(facts: Facts, *, wall_ms: int) -> Told:
    return Told(
        version=facts.version,
        settled={
            f"{_PREFIX}role": str(facts.role),
            f"{_PREFIX}replication-id": facts.history_id,
            f"{_PREFIX}replicas": len(facts.replicas),
            **facts.resources.attributes,
        },
        moving={
            f"{_PREFIX}at": format_rfc3339(wall_ms),
            f"{_PREFIX}offset": facts.offset,
            **facts.resources.readings,
        },
    )


def _write(path: Path, told: Told) -> None:
    value = {"version": told.version, "settled": told.settled, "moving": told.moving}
    write_durably(path, json.dumps(value), mode=PRIVATE)


def _read(path: Path) -> Told | None:
    try:
        found = json.loads(path.read_bytes())
        return Told(
            version=str(found["version"]),
            settled=_attributes(found["settled"]),
            moving=_attributes(found["moving"]),
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def _attributes(found: Any) -> dict[str, Attribute]:
    return {
        str(name): value
        for name, value in found.items()
        if value is None or isinstance(value, str | int | float | bool)
    }
