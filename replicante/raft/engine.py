"""The Raft engine: append, acknowledge, commit on top of elections. Driven by `driver`, one
thread.

Messages in, `tick`, then `outbox` and the staged writes of `log` out. Append handling is figure
2 of the paper to the letter: truncation only on conflict, commit bounded by the last entry that
a message proved equal, acknowledgements of this term only, match only grows.
"""

from __future__ import annotations

from replicante.errors import FatalError
from replicante.raft import messages as m
from replicante.raft.engine_elections import ElectingEngine
from replicante.raft.records import make_record
from replicante.raft.replication import Progress, forget_rounds, next_entries, refusal_hint
from replicante.raft.state_machine import EntryKind
from replicante.raft.upstream_parts import MemberNode, StepTime, retimed

_become_leader = retimed("_SyncObj__onBecomeLeader")


class Engine(ElectingEngine):
    """Units: milliseconds outside, seconds only towards PySyncObj."""

    def _SyncObj__onBecomeLeader(self) -> None:
        last = self.log.last_index
        self.round, self.round_sent_ms = 0, {}
        self._pre_vote_until_ms = None  # answers to it are too old when this leader steps down
        self.progress = {
            member.key: Progress(next_index=last + 1, last_ack_ms=self._now_ms)
            for member in self.configuration.members
            if member.key != self.own_key
        }
        self._leaving = {}
        self._know_members()
        self._remember_leader(self.own_key)
        _become_leader(self)

    def _members_changed(self) -> None:
        """As leader: a new member is followed from now on, a former one only until it is told. What
        PySyncObj counts is kept for voters alone."""
        members = self.configuration.members
        self._leaving = {
            member.key: member
            for member in self.roster.known
            if self.is_leader
            and member.key in self.connected & self.progress.keys()
            and member not in members
        }
        if not self.is_leader:
            return
        # In the order of the configuration: a set of texts has another order in each process.
        followed = [member.key for member in members if member.key != self.own_key]
        fresh = {
            key: Progress(next_index=self.log.last_index + 1, last_ack_ms=self._now_ms)
            for key in followed
        }
        kept = {k: p for k, p in self.progress.items() if k in followed or k in self._leaving}
        self.progress = fresh | kept
        for numbers in (
            self._SyncObj__raftMatchIndex,
            self._SyncObj__raftNextIndex,
            self._SyncObj__lastResponseTime,
        ):
            numbers.clear()
        for node in self._SyncObj__otherNodes:
            self._tell_upstream(node, self.progress[node.id])

    def _tell_upstream(self, node: MemberNode, progress: Progress) -> None:
        self._SyncObj__lastResponseTime[node] = progress.last_ack_ms / 1000
        self._SyncObj__raftMatchIndex[node] = progress.match_index
        self._SyncObj__raftNextIndex[node] = progress.next_index

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = StepTime.now_s + self.conf.appendEntriesPeriod
        self.broadcast()

    def tick(self) -> None:
        was_leader = self.is_leader
        if not self._is_resting:
            self._onTick(0.0)
        self._is_transfer = False
        self._notice_commit()
        if self.is_leader:
            self.replicate()
        elif was_leader:
            self._restart_election_timer()

    def replicate(self) -> None:
        """Sends what followers lack, as far as their windows allow."""
        for key, progress in self.progress.items():
            if key not in self.connected:
                continue
            if progress.is_stuck(now_ms=self._now_ms, patience_ms=self._election_ms[0]):
                progress.rewind(last_index=self.log.last_index)
            while (batch := next_entries(progress, self.log)) is not None:
                prev_index, prev_term, entries, chain = batch
                progress.sent(prev_index + len(entries), now_ms=self._now_ms)
                self._send_append(key, progress, prev_index, prev_term, entries, chain)

    @property
    def owes_commits(self) -> bool:
        """As leader: a follower has entries of which it was not told that they are committed."""
        return any(self._is_owed(key, progress) for key, progress in self.progress.items())

    def tell_commits(self) -> None:
        """A follower with callers of its own waits for the commit, not for the heartbeat."""
        for key, progress in self.progress.items():
            if self._is_owed(key, progress):
                self._send_heartbeat(key, progress)

    def _is_owed(self, key: str, progress: Progress) -> bool:
        """Not to who waits for a copy of the state: no append can prove there what is committed, so
        it would stay owed, and each answer bring about another append."""
        proven_index = min(self.commit_index, progress.match_index)
        is_owed = progress.told_commit_index < proven_index and key in self.connected
        return is_owed and self.log.term_at(progress.match_index) is not None

    def broadcast(self) -> None:
        """One heartbeat to everyone, with a new round: its echoes prove that this peer still
        led when it was sent."""
        self.round += 1
        self.round_sent_ms[self.round] = self._now_ms
        forget_rounds(self.round_sent_ms, below=self.quorum_round())
        for key, progress in self.progress.items():
            if key in self.connected:
                self._send_heartbeat(key, progress)

    def quorum_round(self) -> int:
        """Newest round that a majority of voters echoed, this peer counted."""
        echoed = [
            self.round if voter.key == self.own_key else self.progress[voter.key].echoed_round
            for voter in self.configuration.voters
        ]
        return sorted(echoed)[-self._majority]

    def quorum_age_ms(self) -> int | None:
        """Age of the newest instant at which a majority certainly followed this leader."""
        if len(self.configuration.voters) == 1:
            return 0
        sent_ms = self.round_sent_ms.get(self.quorum_round())
        return None if sent_ms is None else self._now_ms - sent_ms

    def link_changed(self, key: str, *, is_up: bool) -> None:
        if is_up:
            self.connected.add(key)
        else:
            self.connected.discard(key)
        if key in self.progress:
            self.progress[key].rewind(last_index=self.log.last_index)
        if not is_up and self._leaving.pop(key, None) is not None:
            del self.progress[key]  # it knows, or learns it when it greets again
            self._know_members()

    def receive(self, key: str, message: m.Message) -> None:
        """key: member that the transport authenticated. Messages of strangers never get here."""
        match message:
            case m.Append():
                self._on_append(key, message)
            case m.AppendAck():
                self._on_append_ack(key, message)
            case m.PreVoteRequest():
                self._on_pre_vote(key, message)
            case m.PreVoteReply():
                self._on_pre_vote_reply(key, message)
            case m.VoteRequest():
                self._on_vote(key, message)
            case m.VoteReply():
                self._on_vote_reply(key, message)
            case m.TimeoutNow():
                self._on_timeout_now(key, message)
            case m.SnapshotAck() if message.term > self.term:
                self._adopt_term(message.term)
            case m.SnapshotAck():
                pass  # what it says is SnapshotDesk's
            case _:
                raise AssertionError(f"{type(message).__name__} is the driver's")

    def accepts_chunk(self, key: str, chunk: m.SnapshotChunk) -> bool:
        """A part of a snapshot is a word of the leader, as an append is; not of an old one."""
        if chunk.term < self.term:
            self._send(key, m.SnapshotAck(term=self.term, index=chunk.index, offset=0))
            return False
        if chunk.term > self.term:
            self._adopt_term(chunk.term)
        self._remember_leader(key)
        self._follow(key)
        return True

    def installed(self, index: int) -> None:
        """The state jumped to `index`, which the leader had committed, and the log with it."""
        self._commit_up_to(index)
        self.follow_log()
        self._SyncObj__raftLastApplied = max(self._SyncObj__raftLastApplied, index)

    def hand_over(self, key: str) -> bool:
        """Asks a follower that has everything to take over; False when it does not have it yet."""
        progress = self.progress.get(key)
        if progress is None or progress.match_index != self.log.last_index:
            return False
        if not self.configuration.is_voter(key) or key not in self.connected:
            return False
        if key in self.passed_over:
            return False
        self._send(key, m.TimeoutNow(term=self.term))
        return True

    # --- below -----------------------------------------------------------------------------

    def _on_append(self, key: str, append: m.Append) -> None:
        if append.term < self.term:
            # No echo: the sender may lead again by now, and counts rounds of its present term.
            self._send(key, m.AppendAck(term=self.term, round=0, is_success=False, match_index=0))
            return
        if append.term > self.term:
            self._adopt_term(append.term)
        self._remember_leader(key)
        self._follow(key)
        self.heard_clock_ms = max(self.heard_clock_ms, append.clock_ms)
        is_claim = bool(append.prev_index or append.entries)
        if self.log.is_trimmed and append.prev_index < self.log.first_index and is_claim:
            # That was trimmed here, so it was committed, and so is the base: whoever leads a later
            # term has both (leader completeness, figure 3).
            ack = m.AppendAck(
                term=self.term,
                round=append.round,
                is_success=True,
                match_index=self.log.first_index,
            )
        elif self.log.term_at(append.prev_index) != append.prev_term:
            hint_index, hint_term = refusal_hint(self.log, append)
            ack = m.AppendAck(
                term=self.term,
                round=append.round,
                is_success=False,
                match_index=0,
                hint_index=hint_index,
                hint_term=hint_term,
            )
        else:
            self._store(append)
            match_index = append.prev_index + len(append.entries)
            # Bounded by the last entry that this message proved equal, never by the log's end
            # (figure 2).
            self._commit_up_to(min(append.commit_index, match_index))
            ack = m.AppendAck(
                term=self.term, round=append.round, is_success=True, match_index=match_index
            )
        self._send(key, ack)

    def _remember_leader(self, key: str) -> None:
        """Election safety (figure 3) is proved, not hoped for: a second leader of one term means
        that a voter voted twice, as two processes on copies of one directory do."""
        term, known = self._term_leader
        if term == self.term and known != key:
            raise FatalError(
                f"two leaders in term {self.term}: {known} and {key}",
                hints=("look for a data directory that was copied or restored, and stop its peer",),
            )
        self._term_leader = (self.term, key)

    def _store(self, append: m.Append) -> None:
        """Appends what is new; drops the own tail only where it conflicts (paper §5.3)."""
        index = append.prev_index
        for wire in append.entries:
            index += 1
            present = self.log.term_at(index)
            if present == wire.term:
                continue
            if present is not None:
                self.log.truncate_from(index)
            last = self.log.last_record
            if wire.term < last.term or wire.clock_ms < last.clock_ms:
                raise _other_history(index)
            self.log.append(
                make_record(
                    index=index,
                    term=wire.term,
                    kind=_known_kind(wire.kind),
                    clock_ms=wire.clock_ms,
                    wall_ms=wire.wall_ms,
                    payload=wire.payload,
                    chain_before=self.log.chain,
                )
            )
        if append.entries and self.log.get(index).chain != append.chain:
            raise _other_history(index)
        self.follow_log()

    def _commit_up_to(self, index: int) -> None:
        if index > self.commit_index:
            self._SyncObj__raftCommitIndex = index
            self._facade.setRaftCommitIndex(index)
            self._notice_commit()

    def _on_append_ack(self, key: str, ack: m.AppendAck) -> None:
        if ack.term > self.term:
            self._adopt_term(ack.term)
        progress = self.progress.get(key)
        if not self.is_leader or ack.term != self.term or progress is None:
            return
        progress.acknowledged(ack, log=self.log, now_ms=self._now_ms)
        if self.configuration.is_voter(key):
            self._tell_upstream(self._SyncObj__otherNodes.by_key[key], progress)

    def _send_heartbeat(self, key: str, progress: Progress) -> None:
        """Built on what the follower is known to have, so that it always succeeds; on nothing
        where that was trimmed here."""
        prev_index, prev_term = progress.match_index, self.log.term_at(progress.match_index)
        if prev_term is None:
            prev_index, prev_term = 0, 0
        self._send_append(key, progress, prev_index, prev_term, [], b"")

    def _send_append(
        self,
        key: str,
        progress: Progress,
        prev_index: int,
        prev_term: int,
        entries: list[m.WireRecord],
        chain: bytes,
    ) -> None:
        # Before its no-op is committed, this commit index may be below what the last leader had
        # acknowledged: it proves nothing about the age of a copy.
        age_ms = self.quorum_age_ms() if self.is_own_term_committed else None
        proven_index = min(self.commit_index, prev_index + len(entries))
        progress.told_commit_index = max(progress.told_commit_index, proven_index)
        self._send(
            key,
            m.Append(
                term=self.term,
                prev_index=prev_index,
                prev_term=prev_term,
                commit_index=self.commit_index,
                clock_ms=self.entry_clock_ms,
                round=self.round,
                echoed_round=progress.echoed_round,
                quorum_age_ms=-1 if age_ms is None else age_ms,
                entries=entries,
                chain=chain,
            ),
        )


def _other_history(index: int) -> FatalError:
    return FatalError(
        f"entry {index} of the leader follows another history than the one here",
        hints=(
            "if an entry was skipped on other peers: replicante recover skip it here, same reason",
            "if the directory of any peer was copied or put back: that peer must go, and join anew",
            "compare the logs of all stopped peers: replicante recover inspect DATA_DIR…",
        ),
    )


def _known_kind(number: int) -> EntryKind:
    try:
        return EntryKind(number)
    except ValueError:
        raise FatalError(
            f"the leader sent an entry of kind {number}, which this version does not know",
            hints=("run the same version of Replicante on every peer",),
        ) from None
