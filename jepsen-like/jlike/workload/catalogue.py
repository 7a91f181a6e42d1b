"""All workloads by name. Called by `jlike.runner` and `jlike.judge`."""

from __future__ import annotations

from collections.abc import Callable

from jlike.workload.append import Append
from jlike.workload.bank import Bank
from jlike.workload.base import Workload
from jlike.workload.consumers import Consumers
from jlike.workload.events import Events
from jlike.workload.levels import Levels
from jlike.workload.lock import Lock
from jlike.workload.members import Members
from jlike.workload.orchestration import Orchestration
from jlike.workload.queue import Queue
from jlike.workload.redis import Redis
from jlike.workload.register import Register
from jlike.workload.requests import Requests
from jlike.workload.rolling import Rolling
from jlike.workload.sdk import Sdk
from jlike.workload.sets import Sets
from jlike.workload.snapshots import Snapshots

BY_THEMSELVES = frozenset({"redis"})
"""Not part of a campaign unless it is asked for: not every machine has it, nor every fault."""
WORKLOADS: dict[str, Callable[[], Workload]] = {
    "register": Register,
    "set": Sets,
    "bank": Bank,
    "queue": Queue,
    "lock": Lock,
    "events": Events,
    "append": Append,
    "levels": Levels,
    "consumers": Consumers,
    "requests": Requests,
    "sdk": Sdk,
    "rolling": Rolling,
    "snapshots": Snapshots,
    "members": Members,
    "orchestration": Orchestration,
    "redis": Redis,
}


def made(name: str, *, scope: str, begins: str) -> Workload:
    """scope, begins: of the run, as `base.Workload` names them."""
    workload = WORKLOADS[name]()
    workload.scope, workload.begins = scope, begins
    return workload
