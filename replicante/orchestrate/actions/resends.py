"""Decides whether what convergence sent, and what was not heard of since, is sent again. Pure.
Called by `dispatch`.

It was decided on looks of before, maybe by a worker that died before it sent it. So the rules judge
it again, as they would judge a new one; what they deny is held until they allow it or its grace is
over. It is not ended before: its step would wait for that grace all the same.
A promotion past a primary ends when that one, or another in its place, is seen: there is nothing
left that it would be for.
"""

from __future__ import annotations

from dataclasses import replace

from replicante.model.action_kinds import (
    DISRUPTIVE_KINDS,
    STORE_FENCE,
    STORE_PROMOTE,
    TAKE_OVER_KINDS,
)
from replicante.model.actions import NAction, NActionPhase, Requester
from replicante.model.cluster_declaration import Step
from replicante.model.decision import Outcome
from replicante.model.modes import Mode
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.by_name import proposal_of, served_step
from replicante.orchestrate.converge.failover import fence_subject
from replicante.orchestrate.memory.outlived import shard_of
from replicante.orchestrate.proposal import Proposal, Situation
from replicante.orchestrate.roles.primaries import PrimaryVerdict
from replicante.orchestrate.safety.approvals import asking, covers
from replicante.orchestrate.safety.case import Case
from replicante.orchestrate.safety.rules import judge, outcome_of


def may_go_again(acting: Acting, action: NAction) -> bool:
    """action: sent before; of convergence, or of a person and one that disturbs nothing. What
    disturbs counts from now on as done in this cycle. Where automation only looks nothing of its
    own goes again."""
    if action.requester is not Requester.CORE_DECLARATIVE:
        # No mode of automation and no rule is about it.
        return True
    proposal, is_active = _as_wished(acting.situation, action), acting.situation.mode is Mode.ACTIVE
    if is_active and action.kind not in DISRUPTIVE_KINDS:
        return True
    is_only_told = is_active and is_carried_out(acting.situation, action)
    doing = tuple(acting.doing)
    case = Case(proposal=proposal, situation=acting.situation, earlier=(), doing=doing)
    verdicts = judge(case)
    outcome, asking_now = outcome_of(verdicts), asking(verdicts)
    is_approved = outcome is Outcome.AWAITS_APPROVAL and covers(action.asked, asking_now)
    if is_only_told or outcome is Outcome.DONE or is_approved:
        acting.doing.append(proposal)
        return True
    acting.record_held(proposal, action.action_id, has_left=True)
    return False


def is_in_its_grace(situation: Situation, action: NAction) -> bool:
    """Its step, which acted with it, wishes nothing new yet."""
    return _as_wished(situation, action).grace_key in situation.state.graces


def _as_wished(situation: Situation, action: NAction) -> Proposal:
    """As its step proposed it, but that it is the action by now."""
    proposal, step = proposal_of(action, situation), served_step(action)
    subject = proposal.grace_subject
    if action.kind == STORE_FENCE and step is Step.FAILOVER:
        subject = fence_subject(action.node_id, proposal.shard_id or "")
    return replace(
        proposal,
        step=step,
        is_by_name=False,
        is_approval_wanted=False,
        grace_subject=subject,
        effect=f"send {action.kind} to {action.node_id} again, which did not arrive",
    )


def is_carried_out(situation: Situation, action: NAction) -> bool:
    """Its node is the primary that it was to be, and no other node is: its agent, which lost its
    list, says so when it is asked again, and then that one is appointed."""
    args = action.args if isinstance(action.args, dict) else {}
    primary = situation.primaries.get(str(args.get("shard_id")))
    if action.kind != STORE_PROMOTE or primary is None:
        return False
    return primary.claimants == (action.node_id,)


def is_past_its_reason(situation: Situation, action: NAction) -> bool:
    """A promotion of convergence past a primary that is there, or that another one replaced."""
    args = action.args if isinstance(action.args, dict) else {}
    is_ours = action.requester is Requester.CORE_DECLARATIVE and action.kind in TAKE_OVER_KINDS
    primary = situation.primaries.get(str(args.get("shard_id")))
    if not is_ours or primary is None:
        return False
    if primary.is_seen_by_a_copy:
        return True
    if is_carried_out(situation, action):
        return False
    is_missed = primary.verdict in (PrimaryVerdict.SUSPECT, PrimaryVerdict.GONE)
    return not is_missed or primary.node_id != args.get("replaces")


def needless_at_agents(situation: Situation) -> list[NAction]:
    """Promotions of convergence that their agents told in this look that they have and did not
    begin, past a primary that is seen. What runs there cannot be stopped."""
    found = []
    for action in situation.view.nactions:
        primary = situation.primaries.get(shard_of(action) or "")
        is_seen = primary is not None and (primary.is_seen_by_a_copy or bool(primary.claimants))
        observation = situation.observations.get(action.node_id)
        is_told = observation is not None and action.action_id in (observation.queue or ())
        is_waiting = is_told and action.phase is NActionPhase.NEW
        if is_waiting and is_seen and is_past_its_reason(situation, action):
            found.append(action)
    return found
