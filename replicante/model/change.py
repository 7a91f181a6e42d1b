"""One change of one record together with the fact that tells of it. Pure.

Made by `orchestrate`, carried by commands, applied by `state`: the record and its event are written
at once, so there is no event without its change and no change without its event (design R7).
"""

from __future__ import annotations

import enum

from replicante.model.codec import Value
from replicante.model.records import Record


class RecordKind(enum.StrEnum):
    """Stored in commands: a text is never reused. Below each: the names of its key."""

    CLUSTER_DISCOVERY = "cluster_discovery"
    """ns, cluster"""
    NODE = "node"
    """ns, cluster, node"""
    STORE_EXTRAS = "store_extras"
    """ns, cluster, node"""
    SHARD = "shard"
    """ns, cluster, node, shard"""
    NACTION = "naction"
    """ns, cluster, action"""
    OACTION = "oaction"
    """ns, cluster, action"""
    CONVERGE_STATE = "converge_state"
    """ns, cluster"""
    DECISION = "decision"
    """ns, cluster, decision"""
    REPORT = "report"
    """ns, cluster. The latest replaces the one before; its `before` is always None."""


class ChangeCode(enum.StrEnum):
    """The event of a change. Codes of the original where it has one; never reused."""

    CLUSTER_DISCOVERY_NEW = "CLUSTER_DISCOVERY_NEW"
    CLUSTER_DISCOVERY_UPDATE = "CLUSTER_DISCOVERY_UPDATE"
    CLUSTER_DISCOVERY_HELD = "CLUSTER_DISCOVERY_HELD"
    """The platform's answer is not believed yet."""
    CLUSTER_DISCOVERY_LOST = "CLUSTER_DISCOVERY_LOST"
    """The cluster left discovery, confirmed."""
    NODE_SYNC_NEW = "NODE_SYNC_NEW"
    NODE_SYNC_UPDATE = "NODE_SYNC_UPDATE"
    NODE_UP = "NODE_UP"
    NODE_DOWN = "NODE_DOWN"
    AGENT_UP = "AGENT_UP"
    AGENT_DOWN = "AGENT_DOWN"
    NODE_DELETE = "NODE_DELETE"
    STORE_EXTRAS_SYNC_NEW = "STORE_EXTRAS_SYNC_NEW"
    STORE_EXTRAS_SYNC_UPDATE = "STORE_EXTRAS_SYNC_UPDATE"
    STORE_EXTRAS_DELETE = "STORE_EXTRAS_DELETE"
    SHARD_SYNC_NEW = "SHARD_SYNC_NEW"
    SHARD_SYNC_UPDATE = "SHARD_SYNC_UPDATE"
    SHARD_DELETE = "SHARD_DELETE"
    NACTION_CREATE = "NACTION_CREATE"
    NACTION_ASK = "NACTION_ASK"
    """A rule asks a person about an action that was to be sent."""
    NACTION_APPROVE = "NACTION_APPROVE"
    NACTION_REJECT = "NACTION_REJECT"
    NACTION_CANCEL = "NACTION_CANCEL"
    NACTION_SYNC_NEW = "NACTION_SYNC_NEW"
    NACTION_SYNC_UPDATE = "NACTION_SYNC_UPDATE"
    NACTION_DISPATCH = "NACTION_DISPATCH"
    """Intent: it is about to be sent to its agent."""
    NACTION_DISPATCH_FAIL = "NACTION_DISPATCH_FAIL"
    NACTION_FINISH = "NACTION_FINISH"
    NACTION_LOST = "NACTION_LOST"
    OACTION_CREATE = "OACTION_CREATE"
    OACTION_ASK = "OACTION_ASK"
    """As NACTION_ASK."""
    OACTION_APPROVE = "OACTION_APPROVE"
    OACTION_REJECT = "OACTION_REJECT"
    OACTION_CANCEL = "OACTION_CANCEL"
    OACTION_UPDATE = "OACTION_UPDATE"
    OACTION_SUCCESS = "OACTION_SUCCESS"
    OACTION_FAIL = "OACTION_FAIL"
    DECISION = "DECISION"
    ORCHESTRATE_REPORT = "ORCHESTRATE_REPORT"


class Change(Record, frozen=True, kw_only=True):
    kind: RecordKind
    key: tuple[str, ...]
    """From the namespace downwards."""
    before: dict[str, Value] | None
    """None: the record is new. Stored records are compared with it by whoever writes."""
    after: dict[str, Value] | None
    """None: the record goes."""
    code: ChangeCode | None
    """None: bookkeeping that is no news (an offset, a time)."""
    cause: str | None = None
    """Id of the action or decision that brought it about; None: the world did."""
