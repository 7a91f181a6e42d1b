"""The shard on one node: its role, how far it is, and what it sees of its primary. Pure.

Called by `orchestrate` and `state`. An unsharded store is one shard.
"""

from __future__ import annotations

import enum

from replicante.model.records import Record


class ShardRole(enum.StrEnum):
    """Stored: a text is never reused."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    RECOVERING = "recovering"
    """Copies or repairs; not to be trusted with reads, never to be promoted."""
    OTHER = "other"
    """The store's own; `other_role` names it."""


class Sight(enum.StrEnum):
    """What a copy of a shard sees of the node it follows: the testimony of a second witness.

    It is about now. A link that is merely open proves nothing: a stopped process keeps it open for
    minutes. So whoever reports UP has heard from the other end within a second or two, or has just
    asked it and got an answer.
    """

    UP = "up"
    """It was heard just now, on the link or by asking."""
    DOWN = "down"
    """It is not heard; why is not known."""
    REFUSED = "refused"
    """It is not heard and a new connection was refused: no process listens there."""
    UNKNOWN = "unknown"
    """The agent does not say."""


class Offset(Record, frozen=True, kw_only=True):
    """A position or a distance; values compare within one unit only."""

    value: int
    unit: str = "offset"
    """`seconds`, `milliseconds`, or the store's own."""


class Upstream(Record, frozen=True, kw_only=True):
    """Whom this copy follows, and whether it still hears it."""

    address: str | None = None
    """The member address as the store knows it."""
    sight: Sight = Sight.UNKNOWN
    silent_ms: int | None = None
    """Time since it was last heard, as the store counts it."""


class Shard(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    node_id: str
    shard_id: str
    role: ShardRole
    other_role: str | None = None
    commit_offset: Offset | None = None
    lag: Offset | None = None
    history_id: str | None = None
    """Which history of writes the offset counts in; offsets of two histories do not compare. None:
    the store has one only."""
    upstream: Upstream | None = None
    is_fresh: bool = True
    """False: the last known state, after a refresh that failed."""
    offset_ms: int | None = None
    """Cluster clock when the offset was read."""

    def is_same_for_events(self, other: Shard) -> bool:
        """Progress alone is no news: offset, lag and their times are left out."""
        return self._settled() == other._settled()

    def _settled(self) -> tuple[object, ...]:
        upstream = None if self.upstream is None else (self.upstream.address, self.upstream.sight)
        return (self.role, self.other_role, self.history_id, upstream, self.is_fresh)
