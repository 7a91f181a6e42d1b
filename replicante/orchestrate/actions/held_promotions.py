"""Changes of roles that people asked for and that the primary's being there ends or holds. Pure.

Called by `dispatch` in every cycle, whatever holds them: a pause, an agent that has other things to
do, an orchestrator action.
"""

from __future__ import annotations

from replicante.model.action_kinds import STORE_PROMOTE, STORE_SWITCHOVER
from replicante.model.actions import NAction
from replicante.model.change import ChangeCode
from replicante.model.decision import Ruling
from replicante.orchestrate.actions.acting import Acting
from replicante.orchestrate.actions.by_name import APPROVAL_RULE, proposal_of
from replicante.orchestrate.actions.questions import asked_about, waiting_phase
from replicante.orchestrate.proposal import is_person_waiting
from replicante.orchestrate.roles.primaries import PrimaryVerdict
from replicante.orchestrate.safety.case import Case
from replicante.orchestrate.safety.rules import judge

_ENDS_A_REASON = {"failure_confirmed", "witnesses_agree"}
"""What is denied by these is denied because its reason is not there. A person whose word was that
the primary is gone is asked again, however the rules judge of a later death."""


def end_what_is_so(acting: Acting) -> None:
    """A node that is to become the primary by name, and is that already. What serves an
    orchestrator action ends with that one."""
    owners = {it.action_id for it in acting.situation.view.oactions}
    for action in acting.situation.view.nactions:
        if not is_person_waiting(action) or action.cause in owners:
            continue
        proposal = proposal_of(action, acting.situation)
        wanted = {STORE_PROMOTE: action.node_id, STORE_SWITCHOVER: proposal.args.get("node_id")}
        primary = acting.situation.primaries.get(proposal.shard_id or "")
        if primary is None or primary.verdict is not PrimaryVerdict.PRESENT:
            continue
        if wanted.get(action.kind) == primary.node_id:
            acting.withdraw(
                action, f"{primary.node_id} is the primary of shard {primary.shard_id} already"
            )


def mark_held(acting: Acting) -> None:
    """What waits beside the primary needs an approval from then on: the later death of that one
    must not set it off."""
    for action in acting.situation.view.nactions:
        is_marked = action.phase is waiting_phase(action) and APPROVAL_RULE in action.asked
        if is_person_waiting(action) and not is_marked and _denied(acting, action) & _ENDS_A_REASON:
            after = asked_about(action, {APPROVAL_RULE: {}})
            assert isinstance(after, NAction), "it is asked about as it is"
            acting.put_naction(action, after, ChangeCode.NACTION_ASK)


def _denied(acting: Acting, action: NAction) -> set[str]:
    proposal = proposal_of(action, acting.situation)
    case = Case(proposal=proposal, situation=acting.situation, earlier=(), doing=())
    return {it.rule for it in judge(case) if it.ruling is Ruling.DENY}
