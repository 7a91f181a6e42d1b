"""Elections: pre-vote, stickiness, votes as a set of members, hand-over (ADR 0001).

Sources: thesis §3.10 (hand-over), §4.2.3 (stickiness), §9.6 (pre-vote).

A candidate first asks whether it would win; nobody leaves a leader that it hears; a voter
counts once; only voters of the candidate's newest configuration count. Whether this peer leaves a
leader early is evidence, never safety.
"""

from __future__ import annotations

from replicante.raft import messages as m
from replicante.raft.engine_core import FOLLOWER, EngineCore
from replicante.raft.status import Role
from replicante.raft.upstream_parts import MemberNode

_EVIDENCE_JITTER_MS = 150
"""After a refused redial to the leader, voters start their pre-votes spread over this time."""


class ElectingEngine(EngineCore):
    def _SyncObj__connectedToAnyone(self) -> bool:
        """Asked by _onTick when the election timer ran out: True only with a quorum of
        pre-votes."""
        if not self._may_stand:
            return False
        if self._is_transfer:
            return True
        if self._pre_vote_until_ms is not None:
            if len(self._pre_votes) >= self._majority:
                self._pre_vote_until_ms = None
                return True
            if self._now_ms < self._pre_vote_until_ms:
                return False
        self._begin_pre_vote()
        return len(self._pre_votes) >= self._majority

    def leader_is_gone(self) -> None:
        """The machine of the leader refused a connection: nobody listens there. Pre-votes start
        at once, spread."""
        if self.leader_key is None or self.is_leader or self._leader_heard_ms is None:
            return
        self._leader_heard_ms = None
        delay_ms = self._entropy.fraction() * _EVIDENCE_JITTER_MS
        soon = (self._now_ms + delay_ms) / 1000
        self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon)

    def request_vote(self, key: str) -> None:
        self._votes = {self.own_key}
        self._send(
            key,
            m.VoteRequest(
                term=self.term,
                last_index=self.log.last_index,
                last_term=self.log.last_term,
                is_transfer=self._is_transfer,
                configuration_index=self.configuration_index,
            ),
        )

    def resign(self) -> None:
        """Stops leading, in this term: its vote stays given."""
        self._SyncObj__setState(FOLLOWER)
        self._SyncObj__raftLeader = None
        self._restart_election_timer()

    def _begin_pre_vote(self) -> None:
        self._SyncObj__raftLeader = None  # silent for too long: nobody is sent there any more
        self._pre_votes = {self.own_key}
        self._pre_vote_until_ms = self._now_ms + int(self._SyncObj__generateRaftTimeout() * 1000)
        if len(self._pre_votes) >= self._majority:
            self._pre_vote_until_ms = None
            return
        request = m.PreVoteRequest(
            next_term=self.term + 1,
            last_index=self.log.last_index,
            last_term=self.log.last_term,
            configuration_index=self.configuration_index,
        )
        for voter in self.configuration.voters:
            if voter.key != self.own_key:
                self._send(voter.key, request)

    def _on_pre_vote(self, key: str, request: m.PreVoteRequest) -> None:
        is_granted = (
            self._may_ask(key, request.configuration_index)
            and request.next_term > self.term
            and not self._sticks_to_leader()
            and self._is_up_to_date(request.last_index, request.last_term)
        )
        self._send(
            key,
            m.PreVoteReply(term=self.term, next_term=request.next_term, is_granted=is_granted),
        )

    def _on_pre_vote_reply(self, key: str, reply: m.PreVoteReply) -> None:
        if not reply.is_granted and reply.term > self.term:
            self._adopt_term(reply.term)
            return
        if (
            reply.is_granted
            and self._pre_vote_until_ms is not None
            and reply.next_term == self.term + 1
            and self.configuration.is_voter(key)
        ):
            self._pre_votes.add(key)

    def _on_vote(self, key: str, request: m.VoteRequest) -> None:
        if not self._may_ask(key, request.configuration_index):
            return
        if not request.is_transfer and self._sticks_to_leader():
            return  # A live leader is not deposed by somebody who cannot hear it (thesis §4.2.3).
        if request.term > self.term:
            self._adopt_term(request.term)
        is_granted = (
            request.term == self.term
            and not self.is_leader
            and self.log.hard.voted_for in (None, key)
            and self._is_up_to_date(request.last_index, request.last_term)
        )
        if is_granted:
            self._SyncObj__setCurrentTerm(self.term, key)
            self._restart_election_timer()
        self._send(key, m.VoteReply(term=self.term, is_granted=is_granted))

    def _on_vote_reply(self, key: str, reply: m.VoteReply) -> None:
        if reply.term > self.term:
            self._adopt_term(reply.term)
        if self.role is not Role.CANDIDATE or reply.term != self.term or not reply.is_granted:
            return
        if self.configuration.is_voter(key):
            self._votes.add(key)
        if len(self._votes) >= self._majority:
            self._SyncObj__onBecomeLeader()

    def _on_timeout_now(self, key: str, message: m.TimeoutNow) -> None:
        if not self._may_stand or self.is_leader:
            return
        if message.term == self.term and key == self.leader_key:
            self._is_transfer = True
            self._SyncObj__raftElectionDeadline = -1.0  # earlier than any step

    def _sticks_to_leader(self) -> bool:
        """Within the minimal election timeout of hearing from a leader, or leading with a
        quorum."""
        if self.is_leader:
            # check-quorum ends this within one election timeout of losing the majority
            return True
        heard_ms = self._leader_heard_ms
        return heard_ms is not None and self._now_ms - heard_ms < self._election_ms[0]

    def _is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Paper §5.4.1."""
        return (last_term, last_index) >= (self.log.last_term, self.log.last_index)

    def _follow(self, key: str) -> None:
        if self.leader_key != key:
            self._SyncObj__raftLeader = MemberNode(key)
        if self._SyncObj__raftState != FOLLOWER:
            self._SyncObj__setState(FOLLOWER)
        self._leader_heard_ms = self._now_ms
        self._pre_vote_until_ms = None
        if not self._is_transfer:
            self._restart_election_timer()
