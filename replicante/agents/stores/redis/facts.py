"""What INFO of a Redis server means in the words of the model. Pure; called by `store`, `actions`.

The offset is the position in the replication stream, in bytes, and counts in the history that the
replication id names: a promoted replica begins a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from replicante.agents.sdk import NodeStatus, Offset, ShardRole, ShardSays, Sight, Upstream
from replicante.agents.stores.redis.resources import Resources, read_resources

SHARD_ID = "all"
UNIT = "bytes"
NOWHERE = ("127.0.0.1", 1)
"""Whom a server follows that nobody has told whom to follow: a port that nobody listens on. It
serves what it has, and takes no write."""

_SENTINEL_CLIENT = "sentinel-"
"""Sentinel names its connections so."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One reading of INFO."""

    version: str
    is_primary: bool
    history_id: str
    offset: int
    follows: Address | None
    """None: it is primary."""
    is_link_up: bool
    is_syncing: bool
    """A full copy is under way: what it holds is not whole."""
    is_loading: bool
    silent_ms: int | None
    replicas: tuple[Address, ...]
    """Who follows this one and is heard of."""
    is_handing_over: bool
    is_asking_for_replicas: bool
    """As a primary it refuses writes beside too few of them, for whatever reason."""
    resources: Resources

    def is_heard_within(self, limit_ms: int) -> bool:
        """Whether something came from its primary on an open link less than so long ago."""
        is_recent = self.silent_ms is not None and self.silent_ms < limit_ms
        return self.is_link_up and is_recent

    @property
    def status(self) -> tuple[NodeStatus, str | None]:
        """Of a member. A copy whose link is down is healthy: its primary may be what is not."""
        if self.is_loading:
            return NodeStatus.UNHEALTHY, "it is loading its data"
        if self.is_syncing:
            return NodeStatus.JOINING_CLUSTER, "a full copy is under way"
        return NodeStatus.HEALTHY, None

    @property
    def role(self) -> ShardRole:
        if self.is_primary:
            return ShardRole.PRIMARY
        is_whole = not (self.is_syncing or self.is_loading)
        return ShardRole.SECONDARY if is_whole else ShardRole.RECOVERING


def read_facts(info: Mapping[str, Any]) -> Facts:
    """info: as the `redis` package reads the answer to INFO.  Raises KeyError, TypeError,
    ValueError for what no Redis from 6.2 on answers."""
    is_primary = info["role"] == "master"
    is_link_up = is_primary or info["master_link_status"] == "up"
    silent = "master_last_io_seconds_ago" if is_link_up else "master_link_down_since_seconds"
    seconds = None if is_primary else int(info.get(silent, -1))
    return Facts(
        version=str(info["redis_version"]),
        is_primary=is_primary,
        history_id=str(info["master_replid"]),
        offset=int(info["master_repl_offset" if is_primary else "slave_repl_offset"]),
        follows=None if is_primary else (str(info["master_host"]), int(info["master_port"])),
        is_link_up=is_link_up,
        is_syncing=not is_primary and bool(int(info["master_sync_in_progress"])),
        is_loading=bool(int(info["loading"])),
        silent_ms=None if seconds is None or seconds < 0 else seconds * 1_000,
        replicas=tuple(_replicas(info)),
        is_handing_over=info["master_failover_state"] != "no-failover",
        is_asking_for_replicas="min_slaves_good_slaves" in info,
        resources=read_resources(info),
    )


def shard(facts: Facts, sight: Sight, *, lag_bytes: int | None = None) -> ShardSays:
    """sight: what a replica sees of its primary. lag_bytes: what it lacks; None: not known."""
    upstream = None
    if facts.follows is not None:
        upstream = Upstream(address=text(facts.follows), sight=sight, silent_ms=facts.silent_ms)
    return ShardSays(
        shard_id=SHARD_ID,
        role=facts.role,
        commit_offset=Offset(value=facts.offset, unit=UNIT),
        lag=None if lag_bytes is None else Offset(value=lag_bytes, unit=UNIT),
        history_id=facts.history_id,
        upstream=upstream,
    )


def address(value: str) -> Address:
    """Of `host:port`.  Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{value[:200]} is not host:port")
    return host, int(port)


def text(value: Address) -> str:
    return f"{value[0]}:{value[1]}"


def ruled_by(clients: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Others that change the roles of a server, by who is connected to it (CLIENT LIST)."""
    is_ruled = any(str(it.get("name", "")).startswith(_SENTINEL_CLIENT) for it in clients)
    return ("sentinel",) if is_ruled else ()


def reported_offset(info: Mapping[str, Any], copy: Address) -> int | None:
    """How far a replica has read, by its last report to this primary. None: it is not online."""
    found = (it for it in _online(info) if (str(it["ip"]), int(it["port"])) == copy)
    return next((int(it["offset"]) for it in found), None)


def _replicas(info: Mapping[str, Any]) -> list[Address]:
    return sorted((str(it["ip"]), int(it["port"])) for it in _online(info))


def _online(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        value
        for name, value in info.items()
        if name.startswith("slave")
        and name[5:].isdigit()
        and isinstance(value, dict)
        and value["state"] == "online"
    ]
