"""What a step wants to do, and everything it may look at before it wants. Pure.

Called by the steps (which make proposals), the safety rules (which judge them) and the cycle (which
turns the allowed ones into actions).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from replicante.model.action_kinds import (
    CLUSTER_JOIN,
    CORE_FAILOVER,
    DISRUPTIVE_KINDS,
    ROLE_KINDS,
    SERVICE_START,
    STORE_REJOIN,
)
from replicante.model.actions import NAction, OAction, OActionPhase, Requester
from replicante.model.cluster_declaration import Step
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.codec import Value, encode_value
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import CandidateRecord, ForcedOption, Loss
from replicante.model.modes import Mode
from replicante.model.namespace import Namespace
from replicante.model.observation import Observation
from replicante.orchestrate.roles.primaries import Primary
from replicante.orchestrate.view import ClusterView

NO_LOSS = Loss(is_none=True, text="none")
ASKED_STEP = "asked"
"""In records, in place of a step of convergence."""


class Purpose(enum.StrEnum):
    """Why something is done: a recovery may not wait for what planned work waits for."""

    RECOVERY = "recovery"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    step: Step | None
    """None: a person asks for the very action."""
    serves: Step | None = None
    """The step as whose act it counts all the same: an orchestrator action has it done."""
    action_kind: str
    node_id: str | None
    """Where the node action runs; None for an orchestrator action."""
    args: dict[str, Value]
    touches: tuple[str, ...] = ()
    """Other nodes that it speaks of: their identity must be right too."""
    spared: tuple[str, ...] = ()
    """Nodes whose bad state is the very reason: missing facts of theirs do not forbid it."""
    shard_id: str | None = None
    effect: str
    loss: Loss = NO_LOSS
    purpose: Purpose = Purpose.PLANNED
    requester: Requester = Requester.CORE_DECLARATIVE
    accepted_loss: int | None = None
    """What the person who asks for it accepts; None: the declared bound counts."""
    is_any_loss_accepted: bool = False
    """That person accepts also a loss that cannot be said."""
    overrides: tuple[str, ...] = ()
    """What that person sets aside that stands against the node."""
    cause: str | None = None
    """The orchestrator action that it serves."""
    grace_subject: str = ""
    """The grace counts for this subject of the step alone; empty: for the whole step."""
    action_id: str | None = None
    """The action that is to be sent; None: one that convergence wishes, or that is made yet."""
    is_by_name: bool = False
    """A person named this action and its node, and nobody looked whether it fits: that one may set
    aside, knowingly, what stands against it."""
    is_approval_wanted: bool = False
    """Whoever asked for it wants another one to approve it, or did so long ago."""
    wanted_ms: int | None = None
    """Cluster clock: when a person asked for it or approved it last, if that is long ago."""

    @property
    def step_name(self) -> str:
        return ASKED_STEP if self.step is None else str(self.step)

    @property
    def is_disruptive(self) -> bool:
        is_start = self.is_by_name and is_start_as_copy(self.action_kind, self.args)
        return is_start or self.action_kind in DISRUPTIVE_KINDS

    @property
    def changes_roles(self) -> bool:
        return self.action_kind in ROLE_KINDS or self.is_question

    @property
    def is_question(self) -> bool:
        """Whether a person wants to force something: nothing is done before one approves it, and
        then that one asked for it."""
        return self.action_kind == CORE_FAILOVER

    @property
    def grace_key(self) -> str | None:
        """None: nothing waits to see its effect."""
        step = self.step or self.serves
        if step is None:
            return None
        return f"{step}:{self.grace_subject}" if self.grace_subject else str(step)

    @property
    def is_asked_for(self) -> bool:
        return self.requester is not Requester.CORE_DECLARATIVE

    def identity(self) -> tuple[str, str | None, bytes]:
        """Two proposals with the same one want the same. The offset at which a node was chosen is
        evidence of the choice, not part of it."""
        return self.action_kind, self.node_id, _lasting(self.args)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that steps and rules look at."""

    namespace: Namespace
    view: ClusterView
    """After sync."""
    state: ConvergeState
    """As the cycle before left it, with what sync added."""
    observations: Mapping[str, Observation]
    primaries: Mapping[str, Primary]
    mode: Mode
    mode_reason: str
    is_platform_usable: bool
    epoch: int
    sent_ids: frozenset[str]
    """Node actions that left under this epoch."""
    cancelled_at_agents: tuple[NAction, ...] = ()
    """Cancelled ones that their agents have still: they may be in the middle of it."""
    just_over: Mapping[str, str | None] = field(default_factory=dict)
    """Changes of a primary whose end was seen in this look → shard; None: it may be any."""
    now_ms: int
    wall_now_ms: int

    @property
    def is_begun(self) -> bool:
        """Somebody told of a copy, or was primary once."""
        return bool(self.primaries or self.state.appointed)

    def is_denied(self, action: NAction) -> bool:
        """Its agent itself says that it does not have it."""
        observation = self.observations.get(action.node_id)
        return observation is not None and action.action_id in observation.unknown_actions

    def never_arrives(self, action: NAction) -> bool:
        """Its agent does not have it, and refuses whatever of it comes later (ADR 0070)."""
        observation = self.observations.get(action.node_id)
        is_fenced = observation is not None and observation.is_fenced
        return is_fenced and self.is_denied(action) and action.action_id not in self.sent_ids

    def may_be_on_its_way(self, action: NAction) -> bool:
        """A copy of it may still arrive and be obeyed. An agent that keeps epochs refuses what left
        under older ones: it was looked at under this one."""
        observation = self.observations.get(action.node_id)
        is_fenced = observation is not None and observation.is_fenced
        return is_fenced and action.action_id in self.sent_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step found: proposals in their order, or the reason why there are none."""

    proposals: tuple[Proposal, ...] = ()
    idle: str = ""
    """Only when there are no proposals."""
    candidates: tuple[CandidateRecord, ...] = ()
    options: tuple[ForcedOption, ...] = ()
    """Ways out for a person when the step itself may not go on."""
    stuck: Mapping[str, str] = field(default_factory=dict)
    """Shard → why a recovery that is needed finds no way."""


def idle(reason: str) -> StepResult:
    return StepResult(idle=reason)


def protection(spec: ClusterSpec) -> dict[str, Value]:
    """What the declared policy adds to the args of actions that give a node its role."""
    return {"protect_writes": True} if spec.declaration.policies.is_protecting_writes else {}


def is_start_as_copy(kind: str, args: Value) -> bool:
    """Whoever is started so follows the node that is named, and gives up what that one lacks."""
    node = args.get("node") if isinstance(args, dict) else None
    return kind == SERVICE_START and isinstance(node, str)


def gives_up(proposal: Proposal, view: ClusterView) -> bool:
    """Its node follows another one from then on, under whatever name, and loses what it has beyond
    that one. Steps start only who was replaced."""
    kind = proposal.action_kind
    is_start = proposal.is_by_name and is_start_as_copy(kind, proposal.args)
    if kind != CLUSTER_JOIN and not is_start:
        return kind == STORE_REJOIN
    return not view.is_blank(proposal.node_id or "")


def does_disturb(action: NAction | OAction) -> bool:
    """As `Proposal.is_disruptive`: before it leaves, under way, and once it is remembered alone."""
    return action.kind in DISRUPTIVE_KINDS or (
        action.requester is not Requester.CORE_DECLARATIVE
        and is_start_as_copy(action.kind, action.args)
    )


def is_persons_disruption(action: NAction | OAction) -> bool:
    """What disturbs and somebody asked for."""
    return action.requester is not Requester.CORE_DECLARATIVE and does_disturb(action)


def is_person_waiting(action: NAction | OAction) -> bool:
    """One that did not begin: it is judged when its turn has come."""
    if not is_persons_disruption(action):
        return False
    if isinstance(action, OAction):
        return action.phase in (OActionPhase.PENDING_APPROVE, OActionPhase.PENDING_SCHEDULE)
    return action.phase.is_pending and action.sent_epoch is None


def is_wish(action: NAction | OAction) -> bool:
    """Convergence created it and nobody began it: it lives only as long as it is proposed."""
    if action.requester is not Requester.CORE_DECLARATIVE:
        return False
    if isinstance(action, OAction):
        return action.phase in (OActionPhase.PENDING_APPROVE, OActionPhase.PENDING_SCHEDULE)
    return action.phase.is_pending and action.sent_epoch is None


def is_open_order(action: NAction | OAction) -> bool:
    """A call of a platform that convergence wished and that nobody is known to have taken. It may
    have left before a crash; it is made again, under the same id, where the rules allow it still.
    """
    return (
        isinstance(action, OAction)
        and action.requester is Requester.CORE_DECLARATIVE
        and action.phase is OActionPhase.RUNNING
        and isinstance(action.payload, dict)
        and action.payload.get("requested") is False
    )


def wish_identity(action: NAction | OAction) -> tuple[str, str | None, bytes]:
    """As `Proposal.identity`."""
    node_id = action.node_id if isinstance(action, NAction) else None
    return action.kind, node_id, _lasting(action.args if isinstance(action.args, dict) else {})


def _lasting(args: Mapping[str, Value]) -> bytes:
    return encode_value({name: value for name, value in args.items() if name != "offset"})
