"""All workloads by name. Called by `jlike.runner` and `jlike.judge`."""

from __future__ import annotations

from collections.abc import Callable

from jlike.workload.bank import Bank
from jlike.workload.base import Workload
from jlike.workload.events import Events
from jlike.workload.lock import Lock
from jlike.workload.queue import Queue
from jlike.workload.register import Register
from jlike.workload.sets import Sets

WORKLOADS: dict[str, Callable[[], Workload]] = {
    "register": Register,
    "set": Sets,
    "bank": Bank,
    "queue": Queue,
    "lock": Lock,
    "events": Events,
}
