"""What one agent answered in one cycle, or how it failed to. Pure.

Made by `workers` from what `agents` returns; the decisions read nothing else of the world. A failed
look is a fact like any other: it says what was seen of the agent, not that the node is dead.
"""

from __future__ import annotations

import enum

import msgspec

from replicante.model.codec import Value
from replicante.model.node import Attribute, NodeDetails, NodeStatus, StoreContact
from replicante.model.records import Record
from replicante.model.shard import Offset, ShardRole, Upstream


class AgentAnswer(enum.StrEnum):
    """How the call for `info/node` ended."""

    ANSWERED = "answered"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """The connection was refused: the machine is there, nobody listens."""
    UNREACHABLE = "unreachable"
    """No route, reset, name unknown, TLS failed."""
    GARBAGE = "garbage"
    """Something answered that does not speak the protocol."""
    WRONG_IDS = "wrong_ids"
    """Another cluster or node than discovery says: a hard stop for this node."""
    STALE_EPOCH = "stale_epoch"
    """The agent knows a greater epoch: another worker took over, whose lease refuses what this one
    would write; or a stranger raised it, and this agent alone obeys nobody (ADR 0090)."""
    BAD_ADDRESS = "bad_address"
    """Its address cannot be used (unknown scheme, not a URL)."""


class SeenNode(Record, frozen=True, kw_only=True):
    """`info/node`."""

    status: NodeStatus
    status_reason: str | None = None
    details: NodeDetails
    contact: StoreContact = StoreContact.UNKNOWN
    controllers: tuple[str, ...] = ()


class SeenShard(Record, frozen=True, kw_only=True):
    """One item of `info/shards`."""

    shard_id: str
    role: ShardRole
    other_role: str | None = None
    commit_offset: Offset | None = None
    lag: Offset | None = None
    history_id: str | None = None
    upstream: Upstream | None = None


class SeenPhase(enum.StrEnum):
    """Phases as an agent speaks of them."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class SeenAction(Record, frozen=True, kw_only=True):
    """`action/{id}`: one action as its agent keeps it."""

    action_id: str
    kind: str
    phase: SeenPhase
    args: Value = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    created_wall_ms: int
    scheduled_wall_ms: int | None = None
    finished_wall_ms: int | None = None
    error: Value = None
    payload: Value = None


class Observation(Record, frozen=True, kw_only=True):
    node_id: str
    """As discovery says."""
    at_ms: int
    """Cluster clock when the look began."""
    answer: AgentAnswer
    message: str = ""
    """For people: what went wrong."""
    is_fenced: bool = False
    """The agent took note of the epoch of this look."""
    node: SeenNode | None = None
    """None unless ANSWERED."""
    store_attributes: dict[str, Attribute] | None = None
    """`info/store`; None: that call failed, see `store_error`."""
    store_readings: dict[str, Attribute] = msgspec.field(default_factory=dict)
    """Of the same call: what moves all the time."""
    store_error: str | None = None
    shards: tuple[SeenShard, ...] | None = None
    """`info/shards`; None: that call failed, see `shards_error`."""
    shards_error: str | None = None
    queue: tuple[str, ...] | None = None
    """Ids in `actions/queue`, oldest first; None: not known. Read before `finished`: an action that
    ends between the two calls is then in both or in the second, never in neither."""
    finished: tuple[str, ...] | None = None
    """Ids in `actions/finished`."""
    actions: tuple[SeenAction, ...] = ()
    """Details of what was asked for one by one."""
    unknown_actions: tuple[str, ...] = ()
    """Ids that the agent was asked for and answered 404: it does not have them."""
    incarnations: tuple[str, ...] = ()
    """Of what the agent keeps on its disk, as the answers of this look told it: one, or none where
    agents tell nothing, or several where several processes answered."""
    boots: tuple[str, ...] = ()
    """Of the processes that answered, in the order in which they did."""

    @property
    def incarnation(self) -> str | None:
        return self.incarnations[-1] if self.incarnations else None
