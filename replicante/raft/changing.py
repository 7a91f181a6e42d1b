"""Changes of the members on their way: who asked, what became of it (ADR 0021). Pure; called by
driver.

A peer sends its change to the leader it knows, and again to the next one, until its own log
shows it committed: no answer that says "done" travels, so none can be lost. A leader appends one
CONFIGURATION at a time, and only after the first entry of its term is committed (thesis §4.1 and
the correction of 2015 to it). It never removes itself: it hands over, and the next leader does it.

A change may be made, and undone by another one, before its asker's log shows either, and a copy of
the request be refused after that. So the asker looks at each configuration that is committed, and
believes a refusal when its log shows all that was committed when the leader refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from replicante import limits
from replicante.errors import MembershipRefused, NoLeader, OutcomeUnknown, ReplicanteError
from replicante.raft import messages as m
from replicante.raft.changes import (
    Change,
    ChangeDone,
    ChangeKind,
    changed,
    decode_change,
    encode_change,
    is_made,
)
from replicante.raft.engine import Engine
from replicante.raft.hand_over import HandOver
from replicante.raft.inputs import Effects
from replicante.raft.log import Log
from replicante.raft.membership import (
    Configuration,
    configuration_payload,
    majority,
    read_configuration,
)
from replicante.raft.observations import ConfigurationChanged
from replicante.raft.state_machine import EntryKind

Refuse = Callable[[MembershipRefused], None]


@dataclass(slots=True)
class _Own:
    ticket: int
    change: Change
    deadline_ms: int
    number: int = 0
    """Of the newest request that was sent; 0 when none was."""
    first_term: int = 0
    first_leader: str | None = None
    """Who was asked first, and in which term; a TRANSFER is done when another one leads later."""
    sent_term: int = 0
    sent_ms: int = 0
    looked_index: int = 0
    """Of the committed configurations that were looked at."""
    known: frozenset[tuple[int, bytes]] = frozenset()
    """In the log, and not committed, when it was asked: none of them is this change."""
    made_index: int = 0
    refusal: MembershipRefused | None = None
    refused_index: int = 0
    """What this peer's log has to show as committed before the refusal is believed."""
    is_doubtful: bool = False
    """It may have been made where this peer cannot see it."""

    def sent(self, number: int, *, engine: Engine, now_ms: int) -> None:
        if not self.number:
            self.first_term, self.first_leader = engine.term, engine.leader_key
        self.number, self.sent_term, self.sent_ms = number, engine.term, now_ms

    def look(self, log: Log, *, commit_index: int) -> None:
        """At each configuration that was committed since the last look."""
        if self.made_index or commit_index <= self.looked_index:
            return
        if log.oldest_configuration_index > self.looked_index:
            self.is_doubtful = True  # the log began anew, past some of them perhaps
        for index, payload in log.configurations_between(self.looked_index, commit_index):
            if is_made(read_configuration(payload), self.change):
                if (index, payload) not in self.known:
                    self.made_index = index
                    return
                self.is_doubtful = True  # unless another leader made the same entry in its place
        self.looked_index = commit_index

    def refuse(self, error: MembershipRefused, *, term: int, commit_index: int) -> None:
        """commit_index: of the leader that refused."""
        self.refusal, self.refused_index = error, commit_index
        if self.change.kind is ChangeKind.TRANSFER and term != self.first_term:
            self.is_doubtful = True  # an earlier leader may have handed over


class Changing:
    def __init__(
        self,
        engine: Engine,
        hand_over: HandOver,
        *,
        boot: int,
        resend_ms: int,
        patience_ms: int,
    ) -> None:
        """resend_ms: a leader may have dropped what came too early; it is asked again after so
        long. patience_ms: how long a leader tries to hand over, and a voter may stay silent."""
        self._engine = engine
        self._hand_over = hand_over
        self._resend_ms = resend_ms
        self._patience_ms = patience_ms
        self._seen_configuration = engine.log.configuration
        self._own: list[_Own] = []
        self._requests: list[tuple[str, m.ChangeRequest]] = []
        self._newest: dict[str, int] = {}
        """requester → greatest number seen in this term: a copy that comes late does nothing."""
        self._newest_term = 0
        self._number = boot << 32
        self._proposed: Configuration | None = None
        """By this step: it is in the log after the engine's tick, if this peer still leads then."""
        self._done: list[ChangeDone] = []

    def notice(self, effects: Effects) -> None:
        """Reports another configuration in the log than at the last step."""
        engine = self._engine
        if self._seen_configuration == engine.log.configuration:
            return
        self._seen_configuration = engine.log.configuration
        effects.observations.append(
            ConfigurationChanged(
                index=engine.configuration_index,
                voters=tuple(it.peer_id for it in engine.configuration.voters),
                learners=tuple(it.peer_id for it in engine.configuration.learners),
            )
        )

    # --- what arrives ------------------------------------------------------------------------

    def ask(self, ticket: int, change: Change, *, deadline_ms: int) -> None:
        if len(self._own) >= limits.CHANGES_PENDING_MAX:
            error = MembershipRefused("too many changes wait on this peer; make them one by one")
            self._done.append(ChangeDone(ticket, 0, error))
            return
        log, commit_index = self._engine.log, self._engine.commit_index
        known = frozenset(log.configurations_between(commit_index, log.last_index))
        own = _Own(ticket, change, deadline_ms, looked_index=commit_index, known=known)
        self._own.append(own)

    def receive(self, key: str, request: m.ChangeRequest) -> None:
        if not self._engine.is_leader or request.term != self._engine.term:
            return
        if self._newest_term != request.term:
            self._newest, self._newest_term = {}, request.term
        is_late = request.number <= self._newest.get(key, 0)
        if not is_late and len(self._requests) < limits.CHANGES_PENDING_MAX:
            self._newest[key] = request.number
            self._requests.append((key, request))

    def refused(self, reply: m.ChangeReply) -> None:
        """The leader of this term has committed an entry of it and lacks the change: no copy of
        the request can happen any more. One may have happened before."""
        for own in self._own:
            if reply.term == self._engine.term == own.sent_term and own.number == reply.number:
                error = MembershipRefused(reply.message)
                own.refuse(error, term=reply.term, commit_index=reply.commit_index)
                return

    def link_restored(self) -> None:
        """What was sent over the old connection to the leader may be lost."""
        for own in self._own:
            own.sent_term = 0

    # --- in a step, before the engine's tick -------------------------------------------------

    def send(self, now_ms: int) -> None:
        if not self._own and not self._requests:
            return  # in nearly every step
        engine = self._engine
        if engine.is_leader:
            self._decide_all(now_ms)
            return
        self._requests.clear()
        if engine.leader_key is None or engine.leader_key not in engine.connected:
            return
        for own in self._own:
            is_recent = own.sent_term == engine.term and now_ms - own.sent_ms < self._resend_ms
            if is_recent or own.refusal is not None:
                continue
            self._number += 1
            own.sent(self._number, engine=engine, now_ms=now_ms)
            request = encode_change(own.change, term=engine.term, number=own.number)
            engine.outbox.append((engine.leader_key, request))

    def _decide_all(self, now_ms: int) -> None:
        if not self._engine.is_own_term_committed or self._hand_over.is_under_way:
            return
        for own in [it for it in self._own if it.refusal is None]:
            own.sent(own.number or self._number, engine=self._engine, now_ms=now_ms)
            self._decide(own.change, now_ms, refuse=self._refusal_here(own))
        requests, self._requests = self._requests, []
        for key, request in requests:
            self._decide(decode_change(request), now_ms, refuse=self._refusal_to(key, request))

    def _decide(self, change: Change | None, now_ms: int, *, refuse: Refuse) -> None:
        """Appends it, or refuses, or does nothing yet: who asked asks again."""
        try:
            if change is None:
                raise MembershipRefused("the leader is older and does not know this kind of change")
            if change.kind is ChangeKind.TRANSFER:
                self._transfer(change, now_ms)
            elif not self._is_under_way(change):
                self._propose(change, now_ms)
        except MembershipRefused as error:
            refuse(error)

    def _is_under_way(self, change: Change) -> bool:
        """In the log, or about to be: a copy of a request that came in the same step is not refused
        by what the other copy brought about."""
        if self._proposed is not None and is_made(self._proposed, change):
            return True
        return is_made(self._engine.configuration, change)

    def _propose(self, change: Change, now_ms: int) -> None:
        """Raises MembershipRefused. What is committed now holds all that may have made it: what
        is in the log and what this step proposed lack it."""
        engine = self._engine
        if self._proposed is not None or not engine.is_configuration_committed:
            raise MembershipRefused(
                "another change of the members is under way: one at a time",
                hints=("repeat this when it is done",),
            )
        is_own_end = change.kind is ChangeKind.REMOVE and change.key == engine.own_key
        if is_own_end and len(engine.configuration.voters) > 1:
            self._hand_over.begin(until_ms=now_ms + self._patience_ms)
            return  # the next leader is asked again
        if change.kind is ChangeKind.ADD_LEARNER:
            self._check_never_removed(change)
        if change.kind is ChangeKind.PROMOTE:
            self._check_caught_up(change)
        configuration = changed(engine.configuration, change, clock_ms=engine.entry_clock_ms)
        self._check_quorum(configuration, now_ms)
        engine.propose(EntryKind.CONFIGURATION, configuration_payload(configuration))
        self._proposed = configuration

    def _check_never_removed(self, change: Change) -> None:
        """Who lags and is let in again meets its removal in the log and ends itself, perhaps when
        a majority needs it; a later leader may have it in its log though this one has not."""
        known = map(read_configuration, self._engine.log.configurations_from(0))
        is_former = change.incarnation in self._engine.configuration.former
        if is_former or any(it.find(change.key) is not None for it in known):
            raise MembershipRefused(
                f"{change.peer_id} was a member with this data directory and was removed",
                hints=("give it an empty data directory, and join it again with a token",),
            )

    def _check_caught_up(self, change: Change) -> None:
        progress = self._engine.progress.get(change.key)
        if progress is None:
            return  # `changed` tells what it is
        lag = self._engine.log.last_index - progress.match_index
        if change.key not in self._engine.connected or not progress.match_index:
            raise MembershipRefused(
                f"{change.peer_id} is not connected, or has nothing of the log yet"
            )
        if lag > limits.PROMOTE_LAG_ENTRIES_MAX:
            raise MembershipRefused(
                f"{change.peer_id} lacks {lag} entries; it may lack"
                f" {limits.PROMOTE_LAG_ENTRIES_MAX}, so that commits do not wait for it",
                hints=("repeat this in a moment",),
            )

    def _check_quorum(self, configuration: Configuration, now_ms: int) -> None:
        """A majority of the voters afterwards must be there now, or nothing would be committed any
        more, this change included."""
        engine = self._engine
        there = [
            voter.peer_id
            for voter in configuration.voters
            if voter.key == engine.own_key or self._answers(voter.key, now_ms)
        ]
        if len(there) < majority(len(configuration.voters)):
            names = ", ".join(sorted(voter.peer_id for voter in configuration.voters))
            raise MembershipRefused(
                f"the voters would be {names}, and of them only {', '.join(sorted(there))} answer",
                hints=("start the others first, or remove one that does not answer",),
            )

    def _answers(self, key: str, now_ms: int) -> bool:
        progress = self._engine.progress.get(key)
        if progress is None or key not in self._engine.connected:
            return False
        return now_ms - progress.last_ack_ms < self._patience_ms

    def _transfer(self, change: Change, now_ms: int) -> None:
        engine = self._engine
        if not change.peer_id:
            if len(engine.configuration.voters) == 1:
                raise MembershipRefused("there is no other voter that could lead")
            self._hand_over.begin(until_ms=now_ms + self._patience_ms)
        elif not engine.configuration.is_voter(change.key):
            raise MembershipRefused(f"{change.peer_id} is no voter: it cannot lead")
        elif change.key != engine.own_key:
            self._hand_over.begin(until_ms=now_ms + self._patience_ms, to=change.key)

    # --- after the engine's tick -------------------------------------------------------------

    def finish(self, now_ms: int) -> list[ChangeDone]:
        """Which of this peer's own changes are decided."""
        self._proposed = None
        if not self._own and not self._done:
            return []  # in nearly every step
        engine = self._engine
        for own in list(self._own):
            if own.change.kind is ChangeKind.TRANSFER:
                is_done, index = self._is_transferred(own), 0
            else:
                own.look(engine.log, commit_index=engine.commit_index)
                is_so = engine.is_configuration_committed and is_made(
                    engine.configuration, own.change
                )
                is_done = is_so or own.made_index > 0
                index = own.made_index or engine.configuration_index
            if is_done:
                self._finish(own, index=index)
            elif own.refusal is not None and engine.commit_index >= own.refused_index:
                self._finish(own, error=OutcomeUnknown() if own.is_doubtful else own.refusal)
            elif now_ms >= own.deadline_ms:
                self._finish(own, error=OutcomeUnknown() if own.number else NoLeader())
        done, self._done = self._done, []
        return done

    def fail_all(self, error: type[ReplicanteError]) -> list[ChangeDone]:
        for own in list(self._own):
            self._finish(own, error=OutcomeUnknown() if own.number else error())
        done, self._done = self._done, []
        return done

    @property
    def next_deadline_ms(self) -> int | None:
        if not self._own:
            return None
        return min(own.deadline_ms for own in self._own)

    def _is_transferred(self, own: _Own) -> bool:
        leader_key = self._engine.leader_key
        if own.change.peer_id:
            return leader_key == own.change.key
        if not own.number or leader_key in (None, own.first_leader):
            return False
        return self._engine.term > own.first_term

    def _finish(self, own: _Own, *, index: int = 0, error: ReplicanteError | None = None) -> None:
        self._own.remove(own)
        self._done.append(ChangeDone(own.ticket, index, error))

    def _refusal_here(self, own: _Own) -> Refuse:
        engine = self._engine
        return lambda error: own.refuse(error, term=engine.term, commit_index=engine.commit_index)

    def _refusal_to(self, key: str, request: m.ChangeRequest) -> Refuse:
        def reply(error: MembershipRefused) -> None:
            message = " ".join((error.message, *(f"({hint})" for hint in error.hints)))
            message = message[: limits.REFUSAL_MESSAGE_BYTES_MAX]
            answer = m.ChangeReply(
                term=request.term,
                number=request.number,
                message=message,
                commit_index=self._engine.commit_index,
            )
            self._engine.outbox.append((key, answer))

        return reply
