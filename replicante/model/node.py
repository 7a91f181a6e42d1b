"""The node: a data store process as its agent tells of it; and what the store adds. Pure.

Called by `orchestrate` and `state`. Fields and statuses are those of the original.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, TypeAlias

import msgspec

from replicante.model.records import Record

Attribute: TypeAlias = str | int | float | bool | None
"""Attributes do not nest."""
CONTROLLER_PRIMARY: Final = "replicante.io/controller.primary"
"""Attribute of a node that another controller rules: the member address of the primary, by the word
of that controller."""
WRITES_PROTECTED: Final = "replicante.io/store.writes-protected"
"""Attribute of a store: as a primary this node refuses writes that no copy hears of."""
WRITES_REFUSED: Final = "replicante.io/store.writes-refused"
"""Attribute of a store: why this primary refuses every write and goes on to. None: it does not."""


class NodeStatus(enum.StrEnum):
    """Stored: a text is never reused."""

    UNAVAILABLE = "UNAVAILABLE"
    """The agent cannot talk to the store process."""
    NOT_IN_CLUSTER = "NOT_IN_CLUSTER"
    """The process is up but not a member of any cluster."""
    JOINING_CLUSTER = "JOINING_CLUSTER"
    LEAVING_CLUSTER = "LEAVING_CLUSTER"
    UNHEALTHY = "UNHEALTHY"
    """A member in a state where it cannot do its job."""
    HEALTHY = "HEALTHY"
    UNKNOWN = "UNKNOWN"
    """The agent could not map the store's state; `status_reason` says why."""
    UNREACHABLE = "UNREACHABLE"
    """Ours: the agent gave no usable answer."""
    INCOMPLETE = "INCOMPLETE"
    """Ours: HEALTHY by its agent, but store or shards could not be read."""


MEMBERS = (
    NodeStatus.JOINING_CLUSTER,
    NodeStatus.LEAVING_CLUSTER,
    NodeStatus.UNHEALTHY,
    NodeStatus.HEALTHY,
    NodeStatus.INCOMPLETE,
)
"""Statuses in which the node said that it belongs to a cluster."""


class StoreContact(enum.StrEnum):
    """How the store process answers its own agent, beside it on the machine."""

    ANSWERS = "answers"
    REFUSED = "refused"
    """A connection was refused: no process listens there. Needs no time-out."""
    SILENT = "silent"
    """No answer in time: hung, stopped, or overloaded."""
    UNKNOWN = "unknown"
    """The agent does not say (original agents)."""


class AgentVersion(Record, frozen=True, kw_only=True):
    number: str = ""
    checkout: str = ""
    taint: str = ""


class StoreVersion(Record, frozen=True, kw_only=True):
    number: str = ""
    checkout: str | None = None
    extra: str | None = None


class NodeDetails(Record, frozen=True, kw_only=True):
    """What only an answer of the agent can tell."""

    addresses: dict[str, str] = msgspec.field(default_factory=dict)
    """`client`, `member` and whatever else the store has."""
    agent_version: AgentVersion = AgentVersion()
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)
    store_id: str = ""
    store_version: StoreVersion = StoreVersion()

    @property
    def member_address(self) -> str | None:
        return self.addresses.get("member") or None


class Node(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    node_id: str
    node_status: NodeStatus
    status_reason: str | None = None
    details: NodeDetails | None = None
    """The last that the agent told; None: it never answered. Not fresh while UNREACHABLE."""
    contact: StoreContact = StoreContact.UNKNOWN
    controllers: tuple[str, ...] = ()
    """Foreign controllers that the agent sees in charge of the store, sorted: `sentinel`, …"""
    is_fenced: bool = False
    """The agent keeps the epoch and refuses older ones."""
    seen_ms: int | None = None
    """Cluster clock of the last usable answer; no event tells of it."""
    incarnation: str | None = None
    """Of what the agent keeps on its disk: another one after that was lost. None: it tells none."""
    boots: tuple[str, ...] = ()
    """The last processes that answered for the agent, the newest last; no event tells of them."""

    later: ClassVar[tuple[str, ...]] = ("incarnation", "boots")

    @property
    def member_address(self) -> str | None:
        return None if self.details is None else self.details.member_address


class StoreExtras(Record, frozen=True, kw_only=True):
    """What needs the store process to be up."""

    ns_id: str
    cluster_id: str
    node_id: str
    attributes: dict[str, Attribute] = msgspec.field(default_factory=dict)
    is_fresh: bool = True
    """False: the last known ones, after a refresh that failed."""
    readings: dict[str, Attribute] = msgspec.field(default_factory=dict)
    """What moves all the time, such as memory in use; no event tells of it."""

    later: ClassVar[tuple[str, ...]] = ("readings",)

    def is_same_for_events(self, other: StoreExtras) -> bool:
        return (self.attributes, self.is_fresh) == (other.attributes, other.is_fresh)
