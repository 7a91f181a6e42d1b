"""Which settings of a running Redis may be changed by an action, to what, and those that are kept.
Called by `configure` and by `server` starts.

Rule: nothing stands here that decides about roles, reach, passwords or files: those are the agent's
own. What is kept goes into the configuration of every later start, because the agent writes that
file anew each time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replicante.durable_file import PRIVATE, write_durably
from replicante.limits import INTEGER_MAX

_FILE = "settings.json"
Wanted = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number within bounds."""

    lowest: int = 0
    highest: int = INTEGER_MAX

    def text(self, value: Wanted) -> str | None:
        is_whole = type(value) is int and self.lowest <= value <= self.highest
        return str(value) if is_whole else None

    def __str__(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    choices: tuple[str, ...]

    def text(self, value: Wanted) -> str | None:
        return value if isinstance(value, str) and value in self.choices else None

    def __str__(self) -> str:
        return f"one of {', '.join(self.choices)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNo:
    def text(self, value: Wanted) -> str | None:
        return ("yes" if value else "no") if type(value) is bool else None

    def __str__(self) -> str:
        return "true or false"


_POLICIES = (
    *("noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random"),
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
)
ALLOWED: Mapping[str, Whole | OneOf | YesNo] = {
    "activedefrag": YesNo(),
    "appendfsync": OneOf(choices=("always", "everysec", "no")),
    "auto-aof-rewrite-min-size": Whole(),
    "auto-aof-rewrite-percentage": Whole(highest=INTEGER_MAX),
    "hz": Whole(lowest=1, highest=500),
    "latency-monitor-threshold": Whole(),
    "loglevel": OneOf(choices=("debug", "verbose", "notice", "warning")),
    "lua-time-limit": Whole(highest=60_000),
    "maxclients": Whole(lowest=64, highest=1_000_000),
    "maxmemory": Whole(),
    "maxmemory-policy": OneOf(choices=_POLICIES),
    "repl-backlog-size": Whole(lowest=16_384),
    "repl-backlog-ttl": Whole(),
    "replica-priority": Whole(highest=1_000_000),
    "slowlog-log-slower-than": Whole(lowest=-1),
    "slowlog-max-len": Whole(highest=1_000_000),
    "tcp-keepalive": Whole(highest=86_400),
    "timeout": Whole(highest=31_536_000),
}
"""By the names of Redis; sizes in bytes, times in its own units."""
PROTECTION = ("min-replicas-to-write", "min-replicas-max-lag")
"""Set by the actions that are told of the policy, never by name."""


def read_wanted(settings: Mapping[str, Wanted]) -> dict[str, str]:
    """As Redis takes them.  Raises ValueError that names what is wrong and what would be right."""
    found: dict[str, str] = {}
    for name, value in sorted(settings.items()):
        rule = ALLOWED.get(name)
        if rule is None:
            raise ValueError(f"{name[:100]} is not among {', '.join(ALLOWED)}")
        text = rule.text(value)
        if text is None:
            raise ValueError(f"{name} must be {rule}, not {value!r}"[:300])
        found[name] = text
    return found


class KeptSettings:
    """Raises OSError, ValueError for a file that cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        folder.mkdir(parents=True, exist_ok=True)
        self.values: dict[str, str] = {}
        if self._path.exists():
            self.values = _read(self._path)

    @property
    def is_protecting(self) -> bool:
        """By the policy, not for a moment."""
        wanted, _ = PROTECTION
        return self.values.get(wanted, "0") != "0"

    def save(self, changed: Mapping[str, str]) -> None:
        values = self.values | dict(changed)
        if values == self.values:
            return
        write_durably(self._path, json.dumps(values), mode=PRIVATE)
        self.values = values


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return {str(name): str(found[name]) for name in (*ALLOWED, *PROTECTION) if name in found}
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{path} is not what an agent wrote: {exc!r}") from exc
