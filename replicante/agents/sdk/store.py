"""What an agent's author implements: the three calls, and a check. Pure; called by `server`.

Rule: `node` answers whether the store runs or not; what it tells then must need no running store.
"""

from __future__ import annotations

import abc
from typing import ClassVar

import msgspec

from replicante.model.node import Attribute, NodeStatus, StoreContact, StoreVersion
from replicante.model.records import Record
from replicante.model.shard import Offset, ShardRole, Upstream


class StoreUnavailable(Exception):
    """The store process cannot be asked now. Raised by `store` and `shards`."""


class NodeSays(Record, frozen=True, kw_only=True):
    """The answer to `info/node`, without what the agent adds itself."""

    store_id: str
    node_status: NodeStatus
    status_reason: str | None = None
    address: dict[str, str] = msgspec.field(default_factory=dict)
    """`client`, `member` and whatever else the store has, each as host:port."""
    store_version: StoreVersion = StoreVersion()
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)
    """Facts that are known also while the store is stopped."""
    contact: StoreContact = StoreContact.UNKNOWN
    controllers: tuple[str, ...] = ()
    """Others that change roles of this store: `sentinel`, …"""


class StoreSays(Record, frozen=True, kw_only=True):
    cluster_id: str
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)
    """What is settled: each change of it is an event."""
    readings: dict[str, Attribute] = msgspec.field(default_factory=dict)
    """What moves all the time, such as memory in use: kept, and no event."""

    later: ClassVar[tuple[str, ...]] = ("readings",)


class ShardSays(Record, frozen=True, kw_only=True):
    shard_id: str
    role: ShardRole
    other_role: str | None = None
    commit_offset: Offset
    lag: Offset | None = None
    history_id: str | None = None
    """Which history of writes the offset counts in."""
    upstream: Upstream | None = None
    """Whom this copy follows and whether it hears it: the testimony of a witness."""


class CanStop(Record, frozen=True, kw_only=True):
    """Whether this node may be stopped now without harm, as far as it alone can tell."""

    can_stop: bool
    reason: str


class Store(abc.ABC):
    """Called on the agent's event loop; calls may overlap each other and one action. Each is given
    AGENT_STORE_CALL_MS_MAX, then it is cancelled and counts as unavailable."""

    @abc.abstractmethod
    async def node(self) -> NodeSays: ...

    @abc.abstractmethod
    async def store(self) -> StoreSays:
        """Raises StoreUnavailable."""

    @abc.abstractmethod
    async def shards(self) -> list[ShardSays]:
        """Raises StoreUnavailable."""

    async def can_stop(self) -> CanStop:
        """Raises StoreUnavailable. An agent that cannot tell says no."""
        return CanStop(can_stop=False, reason="this agent does not judge it")

    async def watch(self) -> None:
        """What the agent does besides answering, as long as it runs; it may return at any time.
        What it raises ends the agent."""
        return
