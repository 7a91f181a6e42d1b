"""Turns proposals into verdicts and records: judge, create, keep, withdraw. Pure.

Called by the cycle, by `oactions` and by `dispatch`. A wish of convergence lives only as long as it
is proposed and not denied: one that waits for approval is withdrawn when its reason is gone, so
nobody approves the answer to yesterday's question. Nor does an approval answer what nobody was
asked about: a question names the rules that ask and what they ask for, under one id only ever less,
so who approves an id approves at most what was shown of it. A call of a platform that may have left
cannot be withdrawn by a rule; it is held, and not made again. What a person asked for is never
withdrawn: it waits, or waits to be approved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import msgspec

from replicante.model.actions import (
    NAction,
    NActionPhase,
    OAction,
    OActionPhase,
    move_naction,
    move_oaction,
)
from replicante.model.change import Change, ChangeCode
from replicante.model.codec import Value
from replicante.model.decision import Outcome, ProposalRecord, Verdict
from replicante.orchestrate.actions.by_name import proposal_of
from replicante.orchestrate.actions.questions import (
    ask_code,
    asked_about,
    released,
    taken_back,
    turned,
    waiting_phase,
)
from replicante.orchestrate.memory.progress import STEP_METADATA, with_attempt
from replicante.orchestrate.named_args import as_judged
from replicante.orchestrate.proposal import (
    Proposal,
    Purpose,
    Situation,
    is_open_order,
    is_wish,
    wish_identity,
)
from replicante.orchestrate.recording import change
from replicante.orchestrate.safety.approvals import Asked, asking, covers
from replicante.orchestrate.safety.case import Case
from replicante.orchestrate.safety.rules import judge, outcome_of


@dataclass(slots=True)
class Acting:
    """What the cycle does so far; it grows proposal by proposal."""

    situation: Situation
    decision_id: str
    changes: list[Change] = field(default_factory=list)
    records: list[ProposalRecord] = field(default_factory=list)
    acts: list[Proposal] = field(default_factory=list)
    """Proposals that became actions in this cycle."""
    kept: list[Proposal] = field(default_factory=list)
    """Proposals whose action exists since an earlier cycle and may go on."""
    doing: list[Proposal] = field(default_factory=list)
    """Those of both that wait for nobody."""
    recovery_ids: set[str] = field(default_factory=set)
    """Actions of recoveries that go ahead."""
    begun: set[str] = field(default_factory=set)
    """Graces that begin in this cycle, by their keys."""
    proposals: dict[str, Proposal] = field(default_factory=dict)
    """Action → as what it was judged in this cycle."""
    settled_ids: set[str] = field(default_factory=set)
    """Wishes that a proposal of this cycle answers for; two proposals may read alike."""
    ids_count: int = 0

    def fresh_id(self) -> str:
        """The same cycle run again, after a crash, gives the same ids."""
        self.ids_count += 1
        spec, situation = self.situation.view.spec, self.situation
        return derived_id(
            spec.ns_id,
            spec.cluster_id,
            str(situation.epoch),
            str(situation.now_ms),
            str(self.ids_count),
        )

    def may_go(self, proposal: Proposal) -> bool:
        """Now, or when a person approves; nothing is recorded of it."""
        return outcome_of(self._judge(proposal)) in (Outcome.DONE, Outcome.AWAITS_APPROVAL)

    def settle(self, proposal: Proposal) -> ProposalRecord:
        """Judge a proposal and make its action true: create, approve, keep or withdraw."""
        verdicts = self._judge(proposal)
        outcome = outcome_of(verdicts)
        asked = asking(verdicts)
        wish = self._wish(proposal)
        if wish is not None:
            self.settled_ids.add(wish.action_id)
            if outcome is Outcome.AWAITS_APPROVAL and _is_approved(wish, asked):
                # A person did: that is what these very rules asked for.
                outcome = Outcome.DONE
            elif outcome is Outcome.AWAITS_APPROVAL and is_open_order(wish):
                # What has begun cannot be approved; it is held until the rule allows it again.
                outcome = Outcome.DENIED
        action_id = self._settled(proposal, wish, outcome, asked)
        if outcome is Outcome.DONE and not proposal.is_question:
            self.doing.append(proposal)
            if proposal.purpose is Purpose.RECOVERY and action_id is not None:
                self.recovery_ids.add(action_id)
        return self._record(proposal, verdicts, outcome, action_id)

    def settle_asked(self, action: NAction | OAction) -> Outcome:
        """Judge what somebody asked for and what did not begin, and make its record true: it may
        begin now, as it was judged, waits to be approved, or waits. What left waits as one that
        never did, once it is sure not to arrive; until then its record stays as it is."""
        proposal = proposal_of(action, self.situation)
        verdicts = self._judge(proposal)
        outcome, asked, after = outcome_of(verdicts), asking(verdicts), action
        if action.phase is not waiting_phase(action):
            if outcome is Outcome.AWAITS_APPROVAL and covers(action.asked, asked):
                outcome = Outcome.DONE
            elif outcome is Outcome.AWAITS_APPROVAL and action.phase is OActionPhase.RUNNING:
                # As above: a question that nobody can answer is none.
                outcome = Outcome.DENIED
            elif outcome is Outcome.AWAITS_APPROVAL:
                after = asked_about(action, asked)
        elif outcome is Outcome.DONE:
            after = released(action)
        elif outcome is Outcome.AWAITS_APPROVAL and covers(action.asked or asked, asked):
            # Of more, whoever approves what was shown of it is asked afterwards.
            after = msgspec.structs.replace(action, asked=asked)
        if outcome is Outcome.DONE:
            after = as_judged(after, proposal)
        if isinstance(action, NAction) and action.sent_epoch is not None:
            if outcome is Outcome.DONE or not self.situation.never_arrives(action):
                after = action
            else:
                # A change of its own: of what left nobody is asked.
                unsent, after = taken_back(action), taken_back(after)
                self._put(action, unsent, ChangeCode.NACTION_DISPATCH_FAIL)
                action = unsent
        code = turned(action, after)
        if outcome is Outcome.DONE:
            self.doing.append(proposal)
        elif after != action:
            code = code or ask_code(after)
        if after != action:
            self._put(action, after, code)
        self._record(proposal, verdicts, outcome, action.action_id)
        return outcome

    def record_held(self, proposal: Proposal, action_id: str, *, has_left: bool = False) -> None:
        """What waits, with what it waits for. has_left: nobody could approve it."""
        verdicts = self._judge(proposal)
        outcome = outcome_of(verdicts)
        if has_left and outcome is Outcome.AWAITS_APPROVAL:
            outcome = Outcome.DENIED
        self._record(proposal, verdicts, outcome, action_id)

    def _judge(self, proposal: Proposal) -> tuple[Verdict, ...]:
        return judge(
            Case(
                proposal=proposal,
                situation=self.situation,
                earlier=(*self.kept, *self.acts),
                doing=tuple(self.doing),
            )
        )

    def _record(
        self,
        proposal: Proposal,
        verdicts: tuple[Verdict, ...],
        outcome: Outcome,
        action_id: str | None,
    ) -> ProposalRecord:
        record = ProposalRecord(
            step=proposal.step_name,
            action_kind=proposal.action_kind,
            node_id=proposal.node_id,
            args=proposal.args,
            effect=proposal.effect,
            loss=proposal.loss,
            is_disruptive=proposal.is_disruptive,
            outcome=outcome,
            verdicts=verdicts,
            action_id=action_id,
        )
        self.records.append(record)
        if action_id is not None:
            self.proposals[action_id] = proposal
        return record

    def _settled(
        self,
        proposal: Proposal,
        wish: NAction | OAction | None,
        outcome: Outcome,
        asked: dict[str, dict[str, Value]],
    ) -> str | None:
        """The action by which it is so; None: there is none, or none any more."""
        if wish is not None and is_open_order(wish):
            self.kept.append(proposal)
            return wish.action_id
        if outcome not in (Outcome.DONE, Outcome.AWAITS_APPROVAL):
            if wish is not None:
                self.withdraw(wish, "its reason is gone or a rule forbids it now")
            return None
        if wish is not None and outcome is Outcome.AWAITS_APPROVAL:
            if wish.phase is not waiting_phase(wish):
                self.withdraw(wish, "nobody approved what a rule asks for now")
                wish = None
            elif not covers(wish.asked, asked):
                # Under its id somebody may be approving what was shown before.
                self.withdraw(wish, "more is asked now than this question named")
                wish = None
        if wish is None:
            return self._create(proposal, outcome, asked)
        return self._settle_wish(proposal, wish, outcome, asked)

    def withdraw(self, wish: NAction | OAction, why: str) -> None:
        error = {"error_msg": why}
        now_ms, wall_ms = self.situation.now_ms, self.situation.wall_now_ms
        view = self.situation.view
        if isinstance(wish, NAction):
            ended = move_naction(wish, NActionPhase.CANCELLED, now_ms=now_ms, wall_ms=wall_ms)
            assert isinstance(ended, NAction), "what is pending may be cancelled"
            ended = msgspec.structs.replace(ended, error=error)
            code = ChangeCode.NACTION_CANCEL
            view = view.with_nactions(it for it in view.nactions if it is not wish)
            self.changes.append(change(wish, ended, code, cause=self.decision_id))
        else:
            done = move_oaction(wish, OActionPhase.CANCELLED, now_ms=now_ms, wall_ms=wall_ms)
            assert isinstance(done, OAction), "what is pending may be cancelled"
            done = msgspec.structs.replace(done, error=error)
            view = view.with_oactions(it for it in view.oactions if it is not wish)
            code = ChangeCode.OACTION_CANCEL
            self.changes.append(change(wish, done, code, cause=self.decision_id))
        self._look_at(replace(self.situation, view=view))

    def put_naction(self, before: NAction | None, after: NAction, code: ChangeCode | None) -> None:
        """code: as for every change, None is bookkeeping: no event tells of it."""
        view = self.situation.view
        others = (it for it in view.nactions if it.action_id != after.action_id)
        self.changes.append(change(before, after, code, cause=after.cause or self.decision_id))
        view = view.with_nactions((*others, after))
        self._look_at(replace(self.situation, view=view))

    def put_oaction(self, before: OAction | None, after: OAction, code: ChangeCode | None) -> None:
        view = self.situation.view
        others = (it for it in view.oactions if it.action_id != after.action_id)
        self.changes.append(change(before, after, code, cause=self.decision_id))
        view = view.with_oactions((*others, after))
        self._look_at(replace(self.situation, view=view))

    def remember_sent(self, action: NAction) -> None:
        """It leaves for its agent for the first time: from now on its effect may be seen."""
        if (proposal := self.proposals.get(action.action_id)) is not None:
            self._begin_grace(proposal)

    def _begin_grace(self, proposal: Proposal) -> None:
        if proposal.grace_key is not None:
            self.begun.add(proposal.grace_key)

    def remember_end(self, action: OAction) -> None:
        """A failure of convergence's own orchestrator action counts, as that of a node action."""
        now_ms = self.situation.now_ms
        state = with_attempt(self.situation.state, action, now_ms=now_ms)
        self._look_at(replace(self.situation, state=state))

    def _look_at(self, situation: Situation) -> None:
        self.situation = situation

    def _wish(self, proposal: Proposal) -> NAction | OAction | None:
        view, identity = self.situation.view, proposal.identity()
        unfinished: tuple[NAction | OAction, ...] = (*view.nactions, *view.oactions)
        found = [
            it
            for it in unfinished
            if it.action_id not in self.settled_ids
            and (is_wish(it) or is_open_order(it))
            and wish_identity(it) == identity
        ]
        return found[0] if found else None

    def _settle_wish(
        self,
        proposal: Proposal,
        wish: NAction | OAction,
        outcome: Outcome,
        asked: dict[str, dict[str, Value]],
    ) -> str:
        after = wish
        if outcome is Outcome.AWAITS_APPROVAL:
            # It names what is asked now: who approves answers what `explain` shows.
            after = msgspec.structs.replace(after, asked=asked)
        elif wish.phase is waiting_phase(wish):
            # No rule asks any more; if one does again before it is begun, nobody has answered that.
            after = released(after)
        if proposal.cause is not None:
            # A person wants what convergence wished: it ends with what that person asked for.
            after = msgspec.structs.replace(
                after, requester=proposal.requester, cause=proposal.cause
            )
        if after != wish:
            self._put(wish, after, turned(wish, after))
        if not proposal.is_question:
            self.kept.append(proposal)
        return wish.action_id

    def _put(
        self, before: NAction | OAction, after: NAction | OAction, code: ChangeCode | None
    ) -> None:
        if isinstance(before, NAction) and isinstance(after, NAction):
            self.put_naction(before, after, code)
        elif isinstance(before, OAction) and isinstance(after, OAction):
            self.put_oaction(before, after, code)

    def _create(
        self, proposal: Proposal, outcome: Outcome, asked: dict[str, dict[str, Value]]
    ) -> str:
        situation, spec = self.situation, self.situation.view.spec
        is_granted = outcome is Outcome.DONE
        action_id = self.fresh_id()
        metadata = {STEP_METADATA: proposal.step_name}
        asked = {} if is_granted else asked
        if proposal.node_id is None:
            oaction = OAction(
                ns_id=spec.ns_id,
                cluster_id=spec.cluster_id,
                action_id=action_id,
                kind=proposal.action_kind,
                args=proposal.args,
                metadata=metadata,
                requester=proposal.requester,
                cause=proposal.cause or self.decision_id,
                created_ms=situation.now_ms,
                created_wall_ms=situation.wall_now_ms,
                phase=OActionPhase.PENDING_SCHEDULE if is_granted else OActionPhase.PENDING_APPROVE,
                asked=asked,
            )
            self.put_oaction(None, oaction, ChangeCode.OACTION_CREATE)
        else:
            naction = NAction(
                ns_id=spec.ns_id,
                cluster_id=spec.cluster_id,
                node_id=proposal.node_id,
                action_id=action_id,
                kind=proposal.action_kind,
                args=proposal.args,
                metadata=metadata,
                requester=proposal.requester,
                cause=proposal.cause or self.decision_id,
                created_ms=situation.now_ms,
                created_wall_ms=situation.wall_now_ms,
                phase=NActionPhase.PENDING_SCHEDULE if is_granted else NActionPhase.PENDING_APPROVE,
                asked=asked,
            )
            self.put_naction(None, naction, ChangeCode.NACTION_CREATE)
        if not proposal.is_question:
            self.acts.append(proposal)
        if not proposal.is_question and not proposal.is_asked_for:
            # So that what is withdrawn is not wished anew in each cycle.
            self._begin_grace(proposal)
        self.settled_ids.add(action_id)
        return action_id


def derived_id(*parts: str) -> str:
    """A UUID of version 8 (RFC 9562): its bits come from what it stands for."""
    digest = hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).digest()
    number = int.from_bytes(digest, "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _is_approved(wish: NAction | OAction, asked: Asked) -> bool:
    return wish.phase is not waiting_phase(wish) and covers(wish.asked, asked)
