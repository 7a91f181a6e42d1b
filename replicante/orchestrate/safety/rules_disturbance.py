"""Rules about how much is done at once: graces, quiet, order, others' work, attempts. Pure.

Called by `safety.rules`. One small step, then its effect is observed.
"""

from __future__ import annotations

from replicante.limits import APPROVED_TURN_MS_MAX
from replicante.model.action_kinds import (
    CLUSTER_ADD,
    CLUSTER_INIT,
    CLUSTER_JOIN,
    CORE_FAILOVER,
    CORE_SWITCHOVER,
    HANDOVER_KINDS,
    MAKE_A_PRIMARY_KINDS,
    PAST_A_PRIMARY_KINDS,
    PLATFORM_DEPROVISION,
    PLATFORM_KINDS,
    PLATFORM_PROVISION,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_PROTECT,
)
from replicante.model.actions import NAction, NActionPhase, OAction, OActionPhase, Requester
from replicante.model.cluster_declaration import Step
from replicante.model.codec import Value
from replicante.model.converge_state import SentAction
from replicante.model.node import NodeStatus
from replicante.orchestrate.memory.fences import is_given_up
from replicante.orchestrate.memory.progress import may_arrive
from replicante.orchestrate.memory.settling import settling_in
from replicante.orchestrate.proposal import (
    Proposal,
    Purpose,
    does_disturb,
    is_open_order,
    is_person_waiting,
    is_wish,
    wish_identity,
)
from replicante.orchestrate.safety.case import Case, Finding, Rule, allow, ask, deny, refuse

_SAME_WORK = {
    Step.SCALE_UP: {PLATFORM_PROVISION, PLATFORM_DEPROVISION},
    Step.SCALE_DOWN: {PLATFORM_PROVISION, PLATFORM_DEPROVISION},
    Step.REPLACE_NODE: {PLATFORM_PROVISION, PLATFORM_DEPROVISION},
    Step.CLUSTER_INIT: {CLUSTER_INIT},
    Step.CLUSTER_EXPAND: {CLUSTER_ADD, CLUSTER_JOIN, CLUSTER_INIT},
}
_ROLE_WORK = {CORE_SWITCHOVER, CORE_FAILOVER}


def _one_small_step(case: Case) -> Finding:
    if case.proposal.is_asked_for:
        return allow("a person asked for it")
    if case.proposal.is_question:
        return allow("it only asks a person")
    for earlier in case.earlier:
        if earlier.step is case.proposal.step:
            return deny(
                f"this cycle does {earlier.effect} already; its effect is observed first",
            )
    return allow("nothing else of this step is done in this cycle")


def _grace_over(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    started_ms = situation.state.graces.get(proposal.grace_key or "")
    is_asked = proposal.is_asked_for or proposal.is_question
    if is_asked or started_ms is None or proposal.step is None:
        return allow("no grace is running")
    grace_ms = situation.view.spec.declaration.graces_ms[proposal.step]
    if any(_is_own(case, action) for action in _unfinished(case)):
        return allow("the grace began with this very action, which is not carried out yet")
    rest_ms = started_ms + grace_ms - situation.now_ms
    if rest_ms > 0:
        return deny(
            f"it acted {situation.now_ms - started_ms} ms ago; {rest_ms} ms are left to see the"
            " effect",
            rest_ms=rest_ms,
        )
    return allow("the grace is over")


def _nobody_elses_work(case: Case) -> Finding:
    proposal, view = case.proposal, case.situation.view
    same = set() if proposal.step is None else _SAME_WORK.get(proposal.step, set())
    for action in _unfinished(case):
        if _is_own(case, action):
            continue
        if action.kind in same:
            return deny(
                f"{action.kind} {action.action_id} is unfinished ({action.phase})",
                action_id=action.action_id,
            )
    for oaction in view.oactions:
        if oaction.phase is not OActionPhase.RUNNING or _is_own(case, oaction):
            continue
        is_in_its_way = _is_in_the_way_of_roles(case, oaction)
        if proposal.purpose is Purpose.RECOVERY and not is_in_its_way:
            continue
        return deny(f"orchestrator action {oaction.kind} is running", action_id=oaction.action_id)
    return allow("no unfinished action is in its way")


def _one_disruption(case: Case) -> Finding:
    proposal, view = case.proposal, case.situation.view
    if not proposal.is_disruptive:
        return allow("it disturbs nothing that exists")
    for earlier in case.doing:
        if earlier.is_disruptive and not _goes_beside(case, earlier):
            return refuse(f"this cycle does {earlier.effect} already")
    settling = settling_in(case.situation.just_over, proposal.shard_id)
    if settling and proposal.action_kind in PAST_A_PRIMARY_KINDS:
        # Also for who asks by name: it is one look, and nobody could answer in it.
        told = (
            f"{', '.join(settling)} was seen to end in this look; the next one shows what it left"
        )
        return refuse(told, action_ids=list(settling))
    # All of them are named: an approval is of what was shown.
    under_way = {
        it.action_id: f"{it.kind} {it.action_id} was cancelled and is still at the agent of"
        f" {it.node_id}, which is asked to end it"
        for it in case.situation.cancelled_at_agents
        if _disturbs(case, it)
        if not _is_given_up(case, it)
    }
    is_rivalled = any(_is_rival(case, it) for it in case.situation.cancelled_at_agents)
    maybe: dict[str, SentAction] = {}
    for action in view.nactions:
        if not _disturbs(case, action) or _is_own(case, action):
            continue
        if is_wish(action) or (is_person_waiting(action) and not _waits_for_people(case)):
            # Nobody began it, and it is judged in this cycle like this one.
            continue
        if _is_fenced_before(case, action):
            continue
        if _is_given_up(case, action):
            continue
        node = view.nodes.get(action.node_id)
        is_answering = node is not None and node.node_status is not NodeStatus.UNREACHABLE
        if is_answering or not action.may_be_at_agent:
            told = f"{action.kind} {action.action_id} on {action.node_id} is unfinished"
            under_way[action.action_id] = told
            is_rivalled |= _is_rival(case, action)
        elif action.kind != STORE_FENCE:
            # A late fence ends a process that answers nobody, and nothing else.
            maybe[action.action_id] = SentAction(node_id=action.node_id, kind=action.kind)
    known = {it.action_id for it in view.nactions}
    for action_id, sent in case.situation.state.sent.items():
        if action_id in known or sent.kind == STORE_FENCE:
            continue
        observation = case.situation.observations.get(sent.node_id)
        if may_arrive(observation, action_id, case.situation.sent_ids):
            told = f"{sent.kind} {action_id} was cancelled and may be on its way to {sent.node_id}"
            under_way[action_id] = f"{told}, which refuses it from the next epoch on"
            is_rivalled |= _are_rivals(case, sent.kind)
        else:
            # A person cancelled it, and its agent did not hear of that.
            maybe[action_id] = sent
    told_maybe = [
        f"{sent.kind} {action_id} may still run on {sent.node_id}, which does not answer"
        for action_id, sent in maybe.items()
        if action_id not in under_way
    ]
    reason = "; ".join((*under_way.values(), *told_maybe))
    action_ids: list[Value] = [*sorted({*under_way, *maybe})]
    if is_rivalled:
        told = f"{reason}; another primary may come of it, so it ends first"
        return refuse(told, action_ids=action_ids)
    if under_way:
        return deny(reason, action_ids=action_ids)
    if maybe:
        return ask(f"{reason}; a person who looked may approve", action_ids=action_ids)
    return allow("nothing that disturbs is under way")


def _node_is_free(case: Case) -> Finding:
    node_id = case.proposal.node_id
    if node_id is None:
        return allow("no agent is asked")
    if case.proposal.action_id is not None:
        return allow("it is the first that its agent has to do")
    for action in case.situation.view.nactions_of(node_id):
        is_recovery = case.proposal.purpose is Purpose.RECOVERY
        has_begun = action.may_be_at_agent or is_wish(action)
        is_waiting = action.phase is NActionPhase.PENDING_APPROVE or not has_begun
        if is_recovery and is_waiting:
            # A forgotten approval must not cost a failover, nor what a rule or other work holds.
            continue
        if not _is_own_wish(case, action):
            return deny(
                f"{node_id} has {action.kind} to do first; an agent does one action at a time",
                action_id=action.action_id,
            )
    return allow(f"{node_id} has nothing else to do")


def _quiet_period(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    recovered_ms = situation.state.recovered_ms
    if not proposal.is_disruptive or proposal.step is Step.REJOIN:
        return allow("only what disturbs anew waits for quiet")
    if proposal.is_asked_for or recovered_ms is None:
        return allow("no roles were changed lately")
    rest_ms = recovered_ms + situation.view.spec.declaration.policies.quiet_ms - situation.now_ms
    if rest_ms > 0:
        return ask(
            f"roles changed {situation.now_ms - recovered_ms} ms ago; for {rest_ms} ms more a"
            " person approves what disturbs again",
            rest_ms=rest_ms,
            recovered_ms=recovered_ms,
        )
    return allow("the quiet period is over")


def _attempts_bounded(case: Case) -> Finding:
    proposal, situation = case.proposal, case.situation
    attempts = situation.state.attempts.get(proposal.step_name)
    failures_max = situation.view.spec.declaration.policies.failures_max
    if proposal.is_asked_for or attempts is None or attempts.count < failures_max:
        return allow("it did not fail too often")
    return ask(
        f"it failed {attempts.count} times in a row; a person approves the next attempt",
        failures_count=attempts.count,
    )


def _is_in_the_way_of_roles(case: Case, oaction: OAction) -> bool:
    """Also what takes away the very node that a person names."""
    proposal, args = case.proposal, oaction.args if isinstance(oaction.args, dict) else {}
    if proposal.is_by_name and oaction.kind == PLATFORM_DEPROVISION:
        return args.get("node_id") in (proposal.node_id, *proposal.touches)
    is_over = _only_asks(case, oaction) or _is_at_a_silent_primary(case, oaction)
    return oaction.kind in _ROLE_WORK and not is_over


def _only_asks(case: Case, oaction: OAction) -> bool:
    """Its node action waits for a person, or had its turn after one approved it and was held: it
    never left, and may never leave."""
    payload = oaction.payload if isinstance(oaction.payload, dict) else {}
    return any(
        it.action_id == payload.get("naction_id")
        and is_person_waiting(it)
        and (it.phase is NActionPhase.PENDING_APPROVE or not _has_its_turn(case, it))
        for it in case.situation.view.nactions
    )


def _is_at_a_silent_primary(case: Case, oaction: OAction) -> bool:
    """A switchover that left for a primary that is not there: nobody tells of it before its time is
    over, so a person is asked at once whether to go past it, by `one_disruption`."""
    payload = oaction.payload if isinstance(oaction.payload, dict) else {}
    nodes = case.situation.view.nodes
    is_ours = case.takes_for_dead and not case.proposal.is_asked_for
    return is_ours and any(
        it.action_id == payload.get("naction_id")
        and it.kind in HANDOVER_KINDS
        and it.may_be_at_agent
        and (it.node_id in nodes and nodes[it.node_id].node_status is NodeStatus.UNREACHABLE)
        for it in case.situation.view.nactions
    )


def _has_its_turn(case: Case, action: NAction) -> bool:
    """Who approved a successor has that one, not the one that automation would choose in the cycle
    in which both may go."""
    since_ms = action.created_ms if action.approved_ms is None else action.approved_ms
    turn_ms = min(case.situation.view.spec.interval_ms, APPROVED_TURN_MS_MAX)
    return case.situation.now_ms - since_ms < turn_ms


def _goes_beside(case: Case, earlier: Proposal) -> bool:
    """A recovery does not wait for a platform, unless it asks something of the very node, other
    than to end a process there. Of what people ask for only what goes past a primary is one."""
    proposal, kind = case.proposal, case.proposal.action_kind
    is_platform = earlier.action_kind in PLATFORM_KINDS
    is_recovery = proposal.purpose is Purpose.RECOVERY
    is_urgent = is_recovery and (not proposal.is_asked_for or kind in PAST_A_PRIMARY_KINDS)
    is_concerned = earlier.args.get("node_id") in (proposal.node_id, *proposal.touches)
    return is_platform and is_urgent and (kind == STORE_FENCE or not is_concerned)


def _is_fenced_before(case: Case, action: NAction) -> bool:
    """A promotion that automation sent past a primary whose process it can end by now, and that did
    not arrive. It is sent again after the fence, as it would leave for the first time; the one that
    arrives meanwhile is no worse for it."""
    proposal, situation = case.proposal, case.situation
    args = action.args if isinstance(action.args, dict) else {}
    is_one_recovery = (
        proposal.step is Step.FAILOVER
        and (action.kind, proposal.action_kind) == (STORE_PROMOTE, STORE_FENCE)
        and (args.get("replaces"), args.get("shard_id")) == (proposal.node_id, proposal.shard_id)
    )
    is_ours = action.requester is Requester.CORE_DECLARATIVE and not proposal.is_asked_for
    is_lacking = situation.is_denied(action) and action.node_id not in situation.state.doubts
    return is_one_recovery and is_ours and is_lacking and action.phase.is_pending


def _is_given_up(case: Case, action: NAction) -> bool:
    """As a fence at a silent agent: it ends a process that answers nobody, however late."""
    situation = case.situation
    return is_given_up(action, situation.state, now_ms=situation.now_ms)


def _is_rival(case: Case, action: NAction) -> bool:
    """Both make a primary of the same shard, as far as they tell, and its end is known soon: its
    agent answers. Where it does not, a person who looked decides."""
    args = action.args if isinstance(action.args, dict) else {}
    shard_id = args.get("shard_id")
    is_elsewhere = case.proposal.shard_id and shard_id and shard_id != case.proposal.shard_id
    return _are_rivals(case, action.kind) and not is_elsewhere


def _are_rivals(case: Case, kind: str) -> bool:
    return {kind, case.proposal.action_kind} <= MAKE_A_PRIMARY_KINDS


def _unfinished(case: Case) -> tuple[NAction | OAction, ...]:
    view = case.situation.view
    return (*view.nactions, *view.oactions)


def _waits_for_people(case: Case) -> bool:
    """What is planned lets them go first; a recovery does not wait for what may never begin."""
    return not case.proposal.is_asked_for and case.proposal.purpose is Purpose.PLANNED


def _disturbs(case: Case, action: NAction) -> bool:
    """A setting that is on its way stands in the way of no recovery: it changes no role, and is
    the same whenever it arrives."""
    is_setting = action.kind == STORE_PROTECT
    is_recovery = case.proposal.purpose is Purpose.RECOVERY
    return does_disturb(action) and not (is_setting and is_recovery)


def _is_own(case: Case, action: NAction | OAction) -> bool:
    """It is what this proposal is about, serves, or wished for."""
    is_named = action.action_id in (case.proposal.action_id, case.proposal.cause)
    return is_named or _is_own_wish(case, action)


def _is_own_wish(case: Case, action: NAction | OAction) -> bool:
    """The action that this very proposal created in an earlier cycle and that did not begin, or
    that no platform is known to have taken."""
    is_open = is_wish(action) or is_open_order(action)
    return is_open and wish_identity(action) == case.proposal.identity()


DISTURBANCE_RULES = (
    Rule(
        name="one_small_step",
        promise="A step does one thing a cycle.",
        judge=_one_small_step,
    ),
    Rule(
        name="grace_over",
        promise="A step waits until the effect of its last act could be seen.",
        judge=_grace_over,
    ),
    Rule(
        name="nobody_elses_work",
        promise="Unfinished work of anybody blocks the same work.",
        judge=_nobody_elses_work,
    ),
    Rule(
        name="one_disruption",
        promise="At most one action that disturbs is under way in a cluster.",
        judge=_one_disruption,
        measures=("action_ids",),
        is_yielding=True,
    ),
    Rule(
        name="node_is_free",
        promise="An agent does one action at a time, in their order.",
        judge=_node_is_free,
    ),
    Rule(
        name="quiet_period",
        promise="A flapping node costs one recovery, not many.",
        judge=_quiet_period,
        measures=("recovered_ms",),
    ),
    Rule(
        name="attempts_bounded",
        promise="What keeps failing is not repeated for ever.",
        judge=_attempts_bounded,
        measures=("failures_count",),
    ),
)
