"""What INFO of a Redis server says of its memory and of what it writes to the disk. Pure; part of
what `facts` reads, told by `store`.

Rule: what moves all the time is a reading, the rest an attribute: a change of that is an event.
What a server does not say (a fork, a service of a cloud) is not told; nothing is decided on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replicante.model.civil_time import format_rfc3339
from replicante.model.node import Attribute

_PREFIX = "redis.io/"
_Told = dict[str, Attribute]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    attributes: _Told
    readings: _Told


def read_resources(info: Mapping[str, Any]) -> Resources:
    """info: as the `redis` package reads the answer to INFO."""
    attributes: _Told = {
        # 0: no bound.
        "memory.max": _whole(info, "maxmemory"),
        "memory.policy": _text(info, "maxmemory_policy"),
        "append-only": _flag(info, "aof_enabled"),
        "append-only.last-write-ok": _is_ok(info, "aof_last_write_status"),
        "append-only.last-rewrite-ok": _is_ok(info, "aof_last_bgrewrite_status"),
        "snapshot.last-save-ok": _is_ok(info, "rdb_last_bgsave_status"),
    }
    saved = _whole(info, "rdb_last_save_time")
    readings: _Told = {
        "memory.used": _whole(info, "used_memory"),
        "memory.fragmentation": _ratio(info, "mem_fragmentation_ratio"),
        "append-only.is-rewriting": _flag(info, "aof_rewrite_in_progress"),
        "snapshot.is-saving": _flag(info, "rdb_bgsave_in_progress"),
        "snapshot.last-save": saved and format_rfc3339(saved * 1_000),
        "snapshot.changes-since": _whole(info, "rdb_changes_since_last_save"),
    }
    return Resources(attributes=_told(attributes), readings=_told(readings))


def _told(found: _Told) -> _Told:
    return {f"{_PREFIX}{name}": value for name, value in found.items() if value is not None}


def _whole(info: Mapping[str, Any], name: str) -> int | None:
    value = info.get(name)
    return value if type(value) is int else None


def _ratio(info: Mapping[str, Any], name: str) -> float | None:
    value = info.get(name)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _flag(info: Mapping[str, Any], name: str) -> bool | None:
    value = _whole(info, name)
    return None if value is None else value != 0


def _text(info: Mapping[str, Any], name: str) -> str | None:
    value = info.get(name)
    return value if isinstance(value, str) else None


def _is_ok(info: Mapping[str, Any], name: str) -> bool | None:
    value = _text(info, name)
    return None if value is None else value == "ok"
