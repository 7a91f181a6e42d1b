"""One cycle of one cluster: sync, orchestrator actions, converge, dispatch, report. Pure.

Called by `workers` with what is stored and what the agents answered; and by plan, with the mode set
aside. The result is to be committed as one write under the cycle's epoch; only then is anything
sent. Run again with the same inputs it gives the same result.

The original dispatches before it converges, so that what a cycle decides is sent by the next one.
Here dispatch comes last: a decision is carried out on the observation that it was made on, not on
one that is a cycle old.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from replicante.limits import ACTIONS_ENDED_KEPT_MAX, WATCHFUL_INTERVAL_MS
from replicante.model.actions import NAction, OAction, OActionPhase
from replicante.model.change import Change, ChangeCode
from replicante.model.cluster_declaration import Step
from replicante.model.cluster_spec import ClusterSpec
from replicante.model.converge_state import ConvergeState
from replicante.model.decision import ConditionRecord, Decision, IdleStep
from replicante.model.discovery import ClusterDiscovery
from replicante.model.modes import Mode, stricter
from replicante.model.namespace import Namespace, NamespaceStatus
from replicante.model.node import Node, StoreExtras
from replicante.model.observation import Observation
from replicante.model.report import OrchestrateReport
from replicante.model.shard import Shard
from replicante.orchestrate.actions.acting import Acting, derived_id
from replicante.orchestrate.actions.convergence import converge, wind_up
from replicante.orchestrate.actions.dispatch import Dispatched, dispatch
from replicante.orchestrate.actions.oaction_kinds import PlatformCall
from replicante.orchestrate.actions.oactions import OActionsRun, begin_wished, run_oactions
from replicante.orchestrate.conditions import condition_key, find_conditions
from replicante.orchestrate.looking.doubts import unsure, with_doubts
from replicante.orchestrate.looking.seen import seen_nodes
from replicante.orchestrate.looking.sync import Synced, sync_nodes
from replicante.orchestrate.looking.sync_actions import SyncedActions, sync_actions
from replicante.orchestrate.looking.trust import trusted
from replicante.orchestrate.memory.fences import with_fences
from replicante.orchestrate.memory.late_ends import late_ends, told_late
from replicante.orchestrate.memory.outlived import with_outlived
from replicante.orchestrate.memory.progress import (
    is_any_on_its_way,
    with_acts,
    with_controllers,
    with_ended,
    with_heard,
    with_led,
    with_sent,
    with_sights,
)
from replicante.orchestrate.memory.settling import just_over
from replicante.orchestrate.proposal import Situation, StepResult
from replicante.orchestrate.recording import change
from replicante.orchestrate.roles.claims import with_claims
from replicante.orchestrate.roles.primaries import assess_primaries
from replicante.orchestrate.telling import decisions_told, options_told
from replicante.orchestrate.view import ClusterView, build_view


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleInputs:
    namespace: Namespace
    spec: ClusterSpec
    discovery: ClusterDiscovery | None
    discovered_ms: int | None = None
    """Cluster clock at which the last discovery began; None: it failed, or there was none."""
    nodes: tuple[Node, ...] = ()
    extras: tuple[StoreExtras, ...] = ()
    shards: tuple[Shard, ...] = ()
    nactions: tuple[NAction, ...] = ()
    """Unfinished ones."""
    oactions: tuple[OAction, ...] = ()
    """Unfinished ones."""
    cancelled: tuple[NAction, ...] = ()
    """Cancelled ones that may still be at their agents."""
    finished_ids: frozenset[str] = frozenset()
    """Ids of finished node actions that are still stored."""
    ended_room_count: int = ACTIONS_ENDED_KEPT_MAX
    """Ended actions that may be kept besides those that are."""
    state: ConvergeState | None = None
    last_decision: Decision | None = None
    observations: tuple[Observation, ...] = ()
    is_platform_usable: bool = False
    """The platform of the spec exists and is active."""
    epoch: int
    """The fencing token of the lease on this cluster."""
    sent_ids: frozenset[str] = frozenset()
    """Node actions that left under this epoch: a copy may be on its way, whatever was answered."""
    now_ms: int
    """Cluster clock."""
    wall_now_ms: int
    """Civil time: it may withhold an act or end a mode, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleResult:
    changes: tuple[Change, ...] = ()
    """One write, under the epoch, before anything below is done."""
    submissions: tuple[NAction, ...] = ()
    """To send to their agents."""
    cancels: tuple[NAction, ...] = ()
    """To have cancelled by their agents."""
    calls: tuple[PlatformCall, ...] = ()
    is_epoch_spent: bool = False
    """The next cycle is to have another epoch: an action ends that was sent under this one."""
    decision: Decision | None
    """None: it did not come to decide."""
    report: OrchestrateReport
    conditions: tuple[ConditionRecord, ...] = ()
    next_look_ms: int
    """From now until the next cycle is wanted."""


@dataclass(slots=True, kw_only=True)
class _Stages:
    """What the stages of one cycle left."""

    before: ClusterView
    synced: Synced
    actions: SyncedActions
    acting: Acting
    results: dict[Step, StepResult] = field(default_factory=dict)
    run: OActionsRun = field(default_factory=OActionsRun)
    sent: Dispatched = field(default_factory=Dispatched)


def run_cycle(inputs: CycleInputs) -> CycleResult:
    """Raises InconsistentRecords; any fault of the world is a value in the result."""
    overtaken = _overtaken(inputs)
    if overtaken is not None:
        # This one must not write, not even its report.
        return CycleResult(
            decision=None,
            report=_report(inputs, is_success=False, error=overtaken),
            next_look_ms=inputs.spec.interval_ms,
        )
    refusal = _refusal(inputs)
    if refusal is not None:
        report = _report(inputs, is_success=False, error=refusal)
        return CycleResult(
            decision=None,
            report=report,
            changes=(change(None, report, None),),
            next_look_ms=inputs.spec.interval_ms,
        )
    stages = _look(inputs)
    if _is_deleting(inputs.namespace):
        wind_up(stages.acting)
        return _finish(inputs, stages)
    view = stages.acting.situation.view
    was_exclusive = any(it.phase is OActionPhase.RUNNING for it in view.oactions)
    stages.run = run_oactions(stages.acting, stages.actions.ended)
    stages.results = converge(stages.acting)
    begin_wished(stages.acting, stages.run)
    stages.sent = dispatch(stages.acting, was_exclusive=was_exclusive)
    return _finish(inputs, stages)


def _look(inputs: CycleInputs) -> _Stages:
    """What was seen, taken into view and memory; nothing is decided yet."""
    before = build_view(
        spec=inputs.spec,
        discovery=inputs.discovery,
        nodes=inputs.nodes,
        extras=inputs.extras,
        shards=inputs.shards,
        nactions=inputs.nactions,
        oactions=inputs.oactions,
    )
    scope = (inputs.spec.ns_id, inputs.spec.cluster_id)
    observations = {it.node_id: trusted(it, scope=scope) for it in inputs.observations}
    now_ms, wall_ms = inputs.now_ms, inputs.wall_now_ms
    state = with_doubts(_state(inputs), before, before.nodes, observations, now_ms=now_ms)
    synced = sync_nodes(
        before, observations, discovered_ms=inputs.discovered_ms, now_ms=now_ms, wall_ms=wall_ms
    )
    actions = sync_actions(
        synced.view,
        observations,
        finished_ids=inputs.finished_ids,
        ended_room_count=inputs.ended_room_count,
        cancelled=inputs.cancelled,
        sent_ids=inputs.sent_ids,
        unsure=unsure(state, observations),
        now_ms=now_ms,
        wall_ms=wall_ms,
    )
    state = with_led(state, before, actions.view)
    state = with_controllers(state, actions.view, now_ms=now_ms)
    late = late_ends(state, actions.view, inputs.cancelled, observations)
    actions.notes += told_late(late)
    state = with_ended(state, actions.view, [*actions.ended, *late], now_ms=now_ms)
    state = with_sent(
        state,
        actions.view,
        [*actions.ended, *late],
        observations,
        at_agents=actions.to_cancel,
        sent_ids=inputs.sent_ids,
    )
    primaries = assess_primaries(actions.view, state, observations, now_ms=now_ms)
    state = with_sights(state, actions.view, primaries, now_ms=now_ms)
    state = with_fences(_state(inputs), state, before, primaries, now_ms=now_ms)
    state = with_outlived(with_heard(state, actions.view, primaries), primaries)
    state = with_claims(_state(inputs), state, actions.view)
    mode, mode_reason = _mode(inputs)
    situation = Situation(
        namespace=inputs.namespace,
        view=actions.view,
        state=msgspec.structs.replace(state, epoch=max(inputs.epoch, state.epoch)),
        observations=observations,
        primaries=primaries,
        mode=mode,
        mode_reason=mode_reason,
        is_platform_usable=inputs.is_platform_usable,
        epoch=inputs.epoch,
        sent_ids=inputs.sent_ids,
        cancelled_at_agents=tuple(actions.to_cancel),
        just_over=just_over(_state(inputs), state, actions.ended, inputs.cancelled),
        now_ms=now_ms,
        wall_now_ms=wall_ms,
    )
    decision_id = derived_id(*scope, str(inputs.epoch), str(now_ms), "decision")
    acting = Acting(situation=situation, decision_id=decision_id)
    return _Stages(before=before, synced=synced, actions=actions, acting=acting)


def _overtaken(inputs: CycleInputs) -> str | None:
    """An agent that knows a greater epoch does not show it: a stranger may have raised it, and a
    worker that was overtaken is refused by the write of its cycle, before it sends (ADR 0090)."""
    if inputs.state is not None and inputs.epoch < inputs.state.epoch:
        return f"another worker took over under epoch {inputs.state.epoch}"
    return None


def _refusal(inputs: CycleInputs) -> str | None:
    if inputs.namespace.status is NamespaceStatus.INACTIVE:
        return "the namespace is Inactive"
    if not inputs.spec.is_active and not _is_deleting(inputs.namespace):
        return "the cluster spec is not active"
    return None


def _is_deleting(namespace: Namespace) -> bool:
    return namespace.status in (NamespaceStatus.DELETING, NamespaceStatus.DELETED)


def _mode(inputs: CycleInputs) -> tuple[Mode, str]:
    """The stricter of what the cluster and its namespace say, and why."""
    own, shared = inputs.spec.mode, inputs.namespace.mode
    now_ms = inputs.wall_now_ms
    mode = own.in_force(wall_now_ms=now_ms)
    if inputs.namespace.status is not NamespaceStatus.ACTIVE:
        # Paused is the strictest: nothing is begun or sent, whoever asked.
        return Mode.PAUSED, f"the namespace is {inputs.namespace.status}"
    if shared is not None:
        both = stricter(mode, shared.in_force(wall_now_ms=now_ms))
        if both is not mode:
            return both, f"of the namespace: {shared.explained(wall_now_ms=now_ms)}"
    return mode, own.explained(wall_now_ms=now_ms)


def _state(inputs: CycleInputs) -> ConvergeState:
    if inputs.state is not None:
        return inputs.state
    return ConvergeState(ns_id=inputs.spec.ns_id, cluster_id=inputs.spec.cluster_id)


def _finish(inputs: CycleInputs, stages: _Stages) -> CycleResult:
    acting, results, run, sent = stages.acting, stages.results, stages.run, stages.sent
    situation, state = acting.situation, acting.situation.state
    old_state = _state(inputs)
    conditions = find_conditions(
        before=stages.before,
        view=situation.view,
        observations=situation.observations,
        primaries=situation.primaries,
        stuck={it: why for result in results.values() for it, why in result.stuck.items()},
        doubts=state.doubts,
        since=old_state.conditions,
        now_ms=inputs.now_ms,
    )
    graces_ms = {str(it): ms for it, ms in inputs.spec.declaration.graces_ms.items()}
    state = with_acts(state, acting.begun, graces_ms=graces_ms, now_ms=inputs.now_ms)
    state = with_sent(
        state,
        situation.view,
        (),
        situation.observations,
        at_agents=situation.cancelled_at_agents,
        sent_ids=inputs.sent_ids,
    )
    state = msgspec.structs.replace(
        state,
        conditions={condition_key(it.name, it.subject): it.since_ms for it in conditions},
    )
    decision = _decision(inputs, stages, conditions)
    report = _report(
        inputs,
        is_success=True,
        notes=(*stages.synced.notes, *stages.actions.notes, *run.notes, *decisions_told(acting)),
        choices=tuple(sent.choices),
        nodes_synced_count=stages.synced.nodes_synced_count,
        nodes_failed_count=stages.synced.nodes_failed_count,
        nactions_sent_count=len(sent.submissions),
        nactions_lost_count=stages.actions.lost_count,
        decision_id=decision.decision_id,
    )
    last = inputs.last_decision
    is_news = last is None or last.essence() != decision.essence()
    changes = [*stages.synced.changes, *stages.actions.changes, *acting.changes]
    if state != inputs.state:
        changes.append(change(inputs.state, state, None))
    if is_news:
        changes.append(change(None, decision, ChangeCode.DECISION))
    code = ChangeCode.ORCHESTRATE_REPORT if is_news or run.notes else None
    changes.append(change(None, report, code, cause=decision.decision_id))
    return CycleResult(
        changes=tuple(changes),
        submissions=tuple(sent.submissions),
        cancels=(*stages.actions.to_cancel, *run.cancels, *sent.cancels),
        calls=tuple(run.calls),
        is_epoch_spent=sent.is_epoch_spent
        or stages.actions.is_epoch_spent
        or is_any_on_its_way(state, situation.view, situation.observations, inputs.sent_ids),
        decision=decision,
        report=report,
        conditions=conditions,
        next_look_ms=_next_look_ms(inputs.spec, situation.view, state),
    )


def _next_look_ms(spec: ClusterSpec, view: ClusterView, state: ConvergeState) -> int:
    """Soon while a suspicion needs more looks or an action moves; else as declared."""
    moves = any(it.may_be_at_agent for it in view.nactions) or any(
        it.phase is OActionPhase.RUNNING for it in view.oactions
    )
    if state.suspicions or moves:
        return min(spec.interval_ms, WATCHFUL_INTERVAL_MS)
    return spec.interval_ms


def _decision(
    inputs: CycleInputs, stages: _Stages, conditions: tuple[ConditionRecord, ...]
) -> Decision:
    acting, results = stages.acting, stages.results
    situation = acting.situation
    view = situation.view
    return Decision(
        ns_id=inputs.spec.ns_id,
        cluster_id=inputs.spec.cluster_id,
        decision_id=acting.decision_id,
        epoch=inputs.epoch,
        now_ms=inputs.now_ms,
        wall_now_ms=inputs.wall_now_ms,
        mode="delete" if _is_deleting(inputs.namespace) else str(situation.mode),
        mode_reason=situation.mode_reason,
        conditions=conditions,
        proposals=tuple(acting.records),
        candidates=tuple(it for result in results.values() for it in result.candidates),
        options=options_told(acting, results.values()),
        idle=tuple(
            IdleStep(step=str(step), reason=result.idle)
            for step, result in results.items()
            if result.idle
        ),
        unfenced=tuple(
            it for it in view.node_ids if it in view.nodes and not view.nodes[it].is_fenced
        ),
        seen=seen_nodes(view, situation.observations),
        sent=tuple(it.action_id for it in stages.sent.submissions),
    )


def _report(inputs: CycleInputs, *, is_success: bool, **fields: object) -> OrchestrateReport:
    if _is_deleting(inputs.namespace):
        mode = "delete"
    else:
        mode = "sync" if _mode(inputs)[0] is Mode.ACTIVE else "observe"
    report = OrchestrateReport(
        ns_id=inputs.spec.ns_id,
        cluster_id=inputs.spec.cluster_id,
        mode=mode,
        start_wall_ms=inputs.wall_now_ms,
        start_ms=inputs.now_ms,
        is_success=is_success,
    )
    return msgspec.structs.replace(report, **fields)
