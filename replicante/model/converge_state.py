"""What the decisions of one cluster remember from cycle to cycle. Pure.

Called by `orchestrate`; stored by `state`. Starts are kept, not ends: a changed length in the
declaration takes effect at once.
"""

from __future__ import annotations

import enum
from typing import ClassVar

import msgspec

from replicante.model.codec import Value
from replicante.model.records import Record
from replicante.model.shard import Shard


class Suspicion(Record, frozen=True, kw_only=True):
    """Something seen in several cycles in a row; it is forgotten in the first one without it."""

    since_ms: int
    count: int
    last_ms: int


class Attempts(Record, frozen=True, kw_only=True):
    """Failures in a row of one step."""

    count: int
    last_ms: int


class DoubtReason(enum.StrEnum):
    """Stored: a text is never reused."""

    DENIED = "denied"
    """It does not know an action that it had taken."""
    FORGOT = "forgot"
    """It lost what it kept, while it may have had an action."""
    DOUBLED = "doubled"
    """Two processes answer for it."""


class Doubt(Record, frozen=True, kw_only=True):
    """Why the word of an agent about its actions is not believed for a while."""

    reason: DoubtReason
    since_ms: int
    last_ms: int
    """When it was seen last."""
    evidence: dict[str, Value] = msgspec.field(default_factory=dict)


class Heard(Record, frozen=True, kw_only=True):
    """Who heard a primary in the last look that saw it as one."""

    primary: str
    by: tuple[str, ...] = ()
    """Nodes of copies, sorted."""


class SentAction(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An action that disturbs and that may be at its agent."""

    node_id: str
    kind: str
    shard_id: str | None = None
    """None: it names none, and it may be any."""
    is_outlived: bool = False
    """Of a promotion: a primary of its shard was seen without it after it left."""


class ConvergeState(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    graces: dict[str, int] = msgspec.field(default_factory=dict)
    """Step → cluster ms at which it acted last."""
    suspicions: dict[str, Suspicion] = msgspec.field(default_factory=dict)
    """Subject, as `primary-down:0` → how often it was seen."""
    attempts: dict[str, Attempts] = msgspec.field(default_factory=dict)
    """Step → its failures in a row; a success takes it away."""
    recovered_ms: int | None = None
    """When the roles were changed last: a quiet period follows."""
    appointed: dict[str, str] = msgspec.field(default_factory=dict)
    """Shard → the node that is its primary by our own act or by long and undisputed sight. Another
    node that calls itself primary is a claim, not a fact."""
    conditions: dict[str, int] = msgspec.field(default_factory=dict)
    """Condition that holds → cluster ms since when."""
    epoch: int = 0
    """The greatest fencing token under which this state was written."""
    doubts: dict[str, Doubt] = msgspec.field(default_factory=dict)
    """Node → what its agent said or did that cannot be."""

    led: dict[str, Shard] = msgspec.field(default_factory=dict)
    """Shard → what its appointed primary told last while it was one, kept while it is none: one
    that was started anew counts in another history, and its successor is measured by what it had.
    """

    heard: dict[str, Heard] = msgspec.field(default_factory=dict)
    """Shard → which copies heard its primary when that was seen last."""

    removed: dict[str, int] = msgspec.field(default_factory=dict)
    """Node that its cluster was made to forget → cluster ms when. What it told last, as a member,
    keeps it no more; what it tells now does."""

    controllers: dict[str, int] = msgspec.field(default_factory=dict)
    """Another controller of roles → cluster ms at which an agent saw it, the last or nearly."""

    sent: dict[str, SentAction] = msgspec.field(default_factory=dict)
    """Action that disturbs and left for its agent, until it ends there: also when a person
    cancelled it meanwhile, whom an agent that is silent did not hear."""

    replaced: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    """Shard → former primary → the successor that an act of ours gave its role to; until it follows
    the appointed one. These alone are told to follow, whatever they call themselves."""

    claimed: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Shard → nodes that called themselves primary, are neither appointed nor known as replaced,
    and do not follow the appointed one: each may hold what nobody else has."""

    later: ClassVar[tuple[str, ...]] = (
        *("doubts", "led", "heard", "removed", "controllers", "sent", "replaced", "claimed"),
    )
