"""What a cycle saw, what it would do, and which rule said what: the stored record. Pure.

Made by `orchestrate`, stored by `state`, turned into answers by `orchestrate.explain`. It is made
by every cycle, also by one that does nothing: "why did it do nothing?" is what people ask most.
"""

from __future__ import annotations

import enum

import msgspec

from replicante.model.codec import Value
from replicante.model.records import Record


class Ruling(enum.StrEnum):
    """What a rule says of a proposal; the gravest of all rulings counts."""

    ALLOW = "allow"
    NEED_APPROVAL = "need_approval"
    DENY = "deny"


class Verdict(Record, frozen=True, kw_only=True):
    rule: str
    ruling: Ruling
    reason: str
    """One sentence; for anything but allow also what would have to change."""
    evidence: dict[str, Value] = msgspec.field(default_factory=dict)


class Unheard(enum.StrEnum):
    """Why more may be lost than was seen; in records that people approve: a text is never reused.
    The worst first: each may lose what those after it may lose."""

    UNKNOWN = "unknown"
    """Nobody knows what the primary had."""
    LOST_BEFORE = "lost_before"
    """The copy had lost the primary before that was seen last."""
    UNLOOKED = "unlooked"
    """For long nobody looked before the primary was missed."""

    @property
    def lesser(self) -> tuple[Unheard, ...]:
        """With itself."""
        found = tuple(Unheard)
        return found[found.index(self) :]


class Loss(Record, frozen=True, kw_only=True):
    """The price of a proposal in acknowledged writes."""

    is_none: bool
    """True: nothing acknowledged can be lost."""
    known_min: int | None = None
    """At least so much by what was seen, in `unit`; None: it cannot be said."""
    unit: str | None = None
    blind_ms: int | None = None
    """Time before the failure of which nothing was seen: what was written then is not counted."""
    text: str
    unheard: str = ""
    """Why more may be lost than was seen: until its end the primary was heard by nobody, neither by
    us nor by the copy. Empty: the copy heard it, but for what was on its way."""
    unheard_of: tuple[str, ...] = ()
    """The kinds of that, each with the primary, as an approval is of them: of `unheard` the figures
    move with each look, as a copy tells its silence in whole seconds."""


class Outcome(enum.StrEnum):
    DONE = "done"
    """The action was created and may be sent."""
    AWAITS_APPROVAL = "awaits_approval"
    """The action was created and waits for a person."""
    WOULD_DO = "would_do"
    """Nothing but the mode stands against it."""
    DENIED = "denied"


class ProposalRecord(Record, frozen=True, kw_only=True):
    step: str
    """`failover`, `scale_up`, …"""
    action_kind: str
    node_id: str | None
    """Where the node action runs; None for an orchestrator action."""
    args: Value = None
    effect: str
    """One sentence in the future tense."""
    loss: Loss
    is_disruptive: bool
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    action_id: str | None = None
    """The action that was created, or that waits already."""


class CandidateRecord(Record, frozen=True, kw_only=True):
    """One node that could be chosen, and why it is or is not."""

    step: str
    node_id: str
    is_eligible: bool
    reasons: tuple[str, ...] = ()
    offset: int | None = None
    loss: Loss | None = None


class ForcedOption(Record, frozen=True, kw_only=True):
    """A way out that only a person may take."""

    verb: str
    """The action kind to ask for."""
    args: Value
    price: Loss
    text: str
    overrides: tuple[str, ...] = ()
    """What stands against it and is set aside, one sentence each."""
    action_id: str | None = None
    """The orchestrator action that waits for this to be approved; None: it can be asked for."""


class ConditionRecord(Record, frozen=True, kw_only=True):
    """Something that holds now. It clears by itself: it is not in the next record."""

    name: str
    subject: str
    """Node id, `shard/ID`, or empty for the cluster."""
    message: str
    since_ms: int
    evidence: dict[str, Value] = msgspec.field(default_factory=dict)


class IdleStep(Record, frozen=True, kw_only=True):
    """A step that had nothing to propose, and why."""

    step: str
    reason: str


class SeenNode(Record, frozen=True, kw_only=True):
    """One node as the cycle saw it, short enough to be kept with the decision."""

    node_id: str
    answer: str
    """How its agent answered: AgentAnswer, or `no look`."""
    status: str
    roles: tuple[str, ...] = ()
    """As `0: primary at 4711 bytes`, or `0: secondary at 4700 bytes, hears n1:6379`."""
    is_fresh: bool
    """False: roles are what was known before."""


class Decision(Record, frozen=True, kw_only=True):
    ns_id: str
    cluster_id: str
    decision_id: str
    epoch: int
    now_ms: int
    wall_now_ms: int
    mode: str
    """`active`, `observe`, `paused` or `delete`, as it was in force."""
    mode_reason: str
    conditions: tuple[ConditionRecord, ...] = ()
    proposals: tuple[ProposalRecord, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    options: tuple[ForcedOption, ...] = ()
    idle: tuple[IdleStep, ...] = ()
    unfenced: tuple[str, ...] = ()
    """Nodes whose agents keep no epoch."""
    seen: tuple[SeenNode, ...] = ()
    """Every discovered node."""
    sent: tuple[str, ...] = ()
    """Node actions that this cycle submits."""

    def essence(self) -> dict[str, Value]:
        """What was decided, without times, ids and wording: two records that agree here need not
        both be kept."""
        return {
            "mode": self.mode,
            "conditions": [[it.name, it.subject] for it in self.conditions],
            "proposals": [
                [
                    str(it.step),
                    it.action_kind,
                    it.node_id,
                    str(it.outcome),
                    {verdict.rule: str(verdict.ruling) for verdict in it.verdicts},
                ]
                for it in self.proposals
            ],
            "options": [[it.verb, it.args] for it in self.options],
            "unfenced": list(self.unfenced),
            "sent": list(self.sent),
        }
