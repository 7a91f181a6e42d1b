"""The Raft engine: a subclass of PySyncObj's SyncObj that keeps its roles, timers and commit
rule and replaces the rest.

PySyncObj keeps: roles and their changes, the election timer, term and vote, starting an
election, the commit rule
(only entries of the own term are counted, paper §5.4.2), the no-op of a new leader, stepping
down without a quorum,
the command queue. Replaced: both wire functions, apply, persistence, snapshots, transport,
time and chance. Why, and
which test shows it: docs/explanation/divergence.md. camelCase and private names of PySyncObj
end in this file.

Driven by `driver` on one thread: messages in, `tick`, then `outbox` and the staged writes of
`log` out.
"""

from __future__ import annotations

from typing import Any

from pysyncobj import SyncObjConf
from pysyncobj import syncobj as upstream

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import FatalError
from replicante.raft import messages as m
from replicante.raft.log import Log
from replicante.raft.membership import Configuration, majority
from replicante.raft.records import make_record
from replicante.raft.replication import Progress, next_entries, refusal_hint
from replicante.raft.state_machine import EntryKind
from replicante.raft.status import Role
from replicante.raft.upstream_parts import (
    EngineLog,
    EngineTransport,
    MemberNode,
    NullPoller,
    OrderedNodes,
    StepTime,
    retimed,
)

NO_OP = b"\x01"
"""What PySyncObj appends when it becomes leader: command type 1 without a body."""
_EVIDENCE_JITTER_MS = 150
"""After a refused redial to the leader, voters start their pre-votes spread over this time."""

_ROLES = {0: Role.FOLLOWER, 1: Role.CANDIDATE, 2: Role.LEADER}


class Engine(upstream.SyncObj):  # type: ignore[misc]
    """See the module. Units: milliseconds outside, seconds only towards PySyncObj."""

    _SyncObj__otherNodes: Any
    _SyncObj__raftElectionDeadline: Any
    _SyncObj__raftLeader: Any
    _SyncObj__raftState: Any
    # PySyncObj's constructor reads every attribute that `dir` names, before it has set this one.
    _SyncObj__newAppendEntriesTime = 0.0

    def __init__(
        self,
        *,
        own_key: str,
        configuration: Configuration,
        log: Log,
        applied_index: int,
        entropy: Entropy,
        now_ms: int,
        heartbeat_ms: int = limits.HEARTBEAT_MS,
        election_ms_min: int = limits.ELECTION_MS_MIN,
        election_ms_max: int = limits.ELECTION_MS_MAX,
    ) -> None:
        self.own_key = own_key
        self.log = log
        self.outbox: list[tuple[str, m.Message]] = []
        self.entry_clock_ms = log.last_record.clock_ms
        self.entry_wall_ms = 0
        self.heard_clock_ms = 0
        self.round = 0
        self.round_sent_ms: dict[int, int] = {}
        self.progress: dict[str, Progress] = {}
        self.connected: set[str] = set()
        self.configuration = configuration
        self._entropy = entropy
        self._election_ms = (election_ms_min, election_ms_max)
        self._now_ms = now_ms
        self._votes: set[str] = set()
        self._pre_votes: set[str] = set()
        self._pre_vote_until_ms: int | None = None
        self._leader_heard_ms: int | None = None
        self._is_transfer = False
        self._facade = EngineLog(self, log, max(applied_index, log.first_index))
        log.commit_floor = max(applied_index, log.first_index)
        StepTime.now_s = now_ms / 1000
        conf = SyncObjConf(
            autoTick=False,
            dynamicMembershipChange=False,
            commandsWaitLeader=False,
            appendEntriesPeriod=heartbeat_ms / 1000,
            raftMinTimeout=election_ms_min / 1000,
            raftMaxTimeout=election_ms_max / 1000,
            leaderFallbackTimeout=election_ms_min / 1000,
            connectionTimeout=1e9,
            logCompactionMinEntries=1 << 62,
            useFork=False,
            pollerType="poll",
        )
        others = [MemberNode(v.key) for v in configuration.voters if v.key != own_key]
        _start(self, MemberNode(own_key), others, conf, transport=EngineTransport(self))
        self._SyncObj__otherNodes = OrderedNodes(self._SyncObj__otherNodes)
        self._SyncObj__raftLastApplied = applied_index
        self._poller = NullPoller()
        if [voter.key for voter in configuration.voters] == [own_key]:
            self._SyncObj__raftElectionDeadline = StepTime.now_s  # there is nobody to wait for

    # --- descriptors and hooks that PySyncObj's kept code meets ------------------------------

    _SyncObj__raftLog = property(lambda self: self._facade, lambda self, value: None)

    def _SyncObj__generateRaftTimeout(self) -> float:
        low, high = self._election_ms
        return (low + (high - low) * self._entropy.fraction()) / 1000

    def _SyncObj__connectedToAnyone(self) -> bool:
        """Asked by _onTick when the election timer ran out: True only with a quorum of
        pre-votes."""
        if not self.configuration.is_voter(self.own_key):
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

    def _SyncObj__applyLogEntries(self) -> bool:
        """Committed entries are applied by the driver, up to what is durable here."""
        return False

    def _SyncObj__tryLogCompaction(self) -> None:
        """Nothing is trimmed before snapshots exist."""

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:
        raise FatalError("PySyncObj's dump files are never used")

    def _SyncObj__onBecomeLeader(self) -> None:
        last = self.log.last_index
        self.round, self.round_sent_ms = 0, {}
        self.progress = {
            member.key: Progress(next_index=last + 1, last_ack_ms=self._now_ms)
            for member in self.configuration.members
            if member.key != self.own_key
        }
        _become_leader(self)

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = StepTime.now_s + self.conf.appendEntriesPeriod
        self.broadcast()

    def setCodeVersion(self, newVersion: int, callback: Any = None) -> None:
        raise FatalError("PySyncObj's code versions are pickled; feature levels replace them")

    def addNodeToCluster(self, node: Any, callback: Any = None) -> None:
        raise FatalError("PySyncObj's membership changes are unsafe; configurations replace them")

    removeNodeFromCluster = addNodeToCluster

    # --- what the driver asks and reads ------------------------------------------------------

    @property
    def role(self) -> Role:
        if not self.configuration.is_voter(self.own_key):
            return Role.LEARNER
        return _ROLES[self._SyncObj__raftState]

    @property
    def is_leader(self) -> bool:
        return bool(self._SyncObj__raftState == 2)

    @property
    def term(self) -> int:
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def leader_key(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    @property
    def commit_index(self) -> int:
        return int(self._SyncObj__raftCommitIndex)

    @property
    def is_own_term_committed(self) -> bool:
        """The no-op of this leader's term is committed: its commit index is the cluster's
        (paper §8)."""
        return self.is_leader and self.log.term_at(self.commit_index) == self.term

    @property
    def election_deadline_ms(self) -> int:
        return int(self._SyncObj__raftElectionDeadline * 1000)

    @property
    def next_heartbeat_ms(self) -> int:
        return int(self._SyncObj__newAppendEntriesTime * 1000)

    def begin_step(self, now_ms: int) -> None:
        self._now_ms = now_ms
        StepTime.now_s = now_ms / 1000

    def propose(self, kind: EntryKind, payload: bytes) -> None:
        """Queued; appended by this step's tick if this peer still leads then."""
        self._applyCommand(bytes((int(kind),)) + payload, None)

    def tick(self) -> None:
        was_leader = self.is_leader
        self._onTick(0.0)
        self._is_transfer = False
        if self.is_leader:
            self.replicate()
        elif was_leader:
            self._restart_election_timer()

    def append_own(self, command: bytes, index: int, term: int) -> None:
        assert index == self.log.last_index + 1
        if command == NO_OP:
            kind, payload = EntryKind.TERM_STARTED, self.own_key_payload
        else:
            kind, payload = EntryKind(command[0]), command[1:]
        self.log.append(
            make_record(
                index=index,
                term=term,
                kind=kind,
                clock_ms=max(self.entry_clock_ms, self.log.last_record.clock_ms),
                wall_ms=self.entry_wall_ms,
                payload=payload,
                chain_before=self.log.chain,
            )
        )

    own_key_payload = b"\x80"
    """Detail of TERM_STARTED; the driver sets it to the encoded name of this peer."""

    def replicate(self) -> None:
        """Sends what followers lack, as far as their windows allow."""
        for key, progress in self.progress.items():
            if key not in self.connected:
                continue
            if progress.is_stuck(now_ms=self._now_ms, patience_ms=self._election_ms[0]):
                progress.rewind()
            while (batch := next_entries(progress, self.log)) is not None:
                prev_index, prev_term, entries, chain = batch
                progress.sent(prev_index + len(entries), now_ms=self._now_ms)
                self._send_append(key, progress, prev_index, prev_term, entries, chain)
            if progress.told_commit_index < min(self.commit_index, progress.match_index):
                # A follower with callers of its own waits for the commit, not for the heartbeat.
                self._send_heartbeat(key, progress)

    def broadcast(self) -> None:
        """One heartbeat to everyone, with a new round: its echoes prove that this peer still
        led when it was sent."""
        self.round += 1
        self.round_sent_ms[self.round] = self._now_ms
        while len(self.round_sent_ms) > limits.ROUNDS_KEPT_MAX:
            del self.round_sent_ms[next(iter(self.round_sent_ms))]
        for key, progress in self.progress.items():
            if key in self.connected:
                self._send_heartbeat(key, progress)

    def quorum_round(self) -> int:
        """Newest round that a majority of voters echoed, this peer counted."""
        echoed = [
            self.round if voter.key == self.own_key else self.progress[voter.key].echoed_round
            for voter in self.configuration.voters
        ]
        return sorted(echoed, reverse=True)[self._majority - 1]

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
            self.progress[key].rewind()

    def leader_is_gone(self) -> None:
        """The machine of the leader refused a connection: nobody listens there. Pre-votes
        start at once, spread."""
        if self.leader_key is None or self.is_leader or self._leader_heard_ms is None:
            return
        self._leader_heard_ms = None
        delay_ms = self._entropy.fraction() * _EVIDENCE_JITTER_MS
        soon = (self._now_ms + delay_ms) / 1000
        self._SyncObj__raftElectionDeadline = min(self._SyncObj__raftElectionDeadline, soon)

    # --- messages ----------------------------------------------------------------------------

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
            case _:
                raise AssertionError(f"{type(message).__name__} is the driver's")

    def request_vote(self, key: str) -> None:
        self._votes = {self.own_key}
        self._send(
            key,
            m.VoteRequest(
                term=self.term,
                last_index=self.log.last_index,
                last_term=self.log.last_term,
                is_transfer=self._is_transfer,
            ),
        )

    def hand_over(self, key: str) -> bool:
        """Asks a follower that has everything to take over; False when it does not have it
        yet."""
        progress = self.progress.get(key)
        if progress is None or progress.match_index != self.log.last_index:
            return False
        if not self.configuration.is_voter(key) or key not in self.connected:
            return False
        self._send(key, m.TimeoutNow(term=self.term))
        return True

    def _on_append(self, key: str, append: m.Append) -> None:
        if append.term < self.term:
            self._send(
                key,
                m.AppendAck(term=self.term, round=append.round, is_success=False, match_index=0),
            )
            return
        if append.term == self.term and self.is_leader:
            raise FatalError(f"two leaders in term {self.term}: {self.own_key} and {key}")
        if append.term > self.term:
            self._adopt_term(append.term)
        self._follow(key)
        self.heard_clock_ms = max(self.heard_clock_ms, append.clock_ms)
        if self.log.term_at(append.prev_index) != append.prev_term:
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
            raise FatalError(
                f"entry {index} of the leader follows another history than the one here"
            )

    def _commit_up_to(self, index: int) -> None:
        if index > self.commit_index:
            self._SyncObj__raftCommitIndex = index
            self._facade.setRaftCommitIndex(index)

    def _on_append_ack(self, key: str, ack: m.AppendAck) -> None:
        if ack.term > self.term:
            self._adopt_term(ack.term)
        progress = self.progress.get(key)
        if not self.is_leader or ack.term != self.term or progress is None:
            return
        progress.acknowledged(ack, log=self.log, now_ms=self._now_ms)
        node = MemberNode(key)
        if self.configuration.is_voter(key):
            self._SyncObj__lastResponseTime[node] = StepTime.now_s
            self._SyncObj__raftMatchIndex[node] = progress.match_index
            self._SyncObj__raftNextIndex[node] = progress.next_index

    def _begin_pre_vote(self) -> None:
        self._pre_votes = {self.own_key}
        self._pre_vote_until_ms = self._now_ms + int(self._SyncObj__generateRaftTimeout() * 1000)
        if len(self._pre_votes) >= self._majority:
            self._pre_vote_until_ms = None
            return
        request = m.PreVoteRequest(
            next_term=self.term + 1, last_index=self.log.last_index, last_term=self.log.last_term
        )
        for voter in self.configuration.voters:
            if voter.key != self.own_key:
                self._send(voter.key, request)

    def _on_pre_vote(self, key: str, request: m.PreVoteRequest) -> None:
        is_granted = (
            self.configuration.is_voter(key)
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
        if not self.configuration.is_voter(key):
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
        if message.term == self.term and key == self.leader_key and not self.is_leader:
            self._is_transfer = True
            self._SyncObj__raftElectionDeadline = 0.0

    # --- below -------------------------------------------------------------------------------

    @property
    def _majority(self) -> int:
        return majority(len(self.configuration.voters))

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

    def _adopt_term(self, term: int) -> None:
        self._SyncObj__setCurrentTerm(term, None)
        self._SyncObj__setState(0)
        self._SyncObj__raftLeader = None
        self._leader_heard_ms = None
        self._is_transfer = False
        self._pre_vote_until_ms = None
        self._restart_election_timer()

    def _follow(self, key: str) -> None:
        if self.leader_key != key:
            self._SyncObj__raftLeader = MemberNode(key)
        self._SyncObj__setState(0)
        self._leader_heard_ms = self._now_ms
        self._pre_vote_until_ms = None
        if not self._is_transfer:
            self._restart_election_timer()

    def _restart_election_timer(self) -> None:
        self._SyncObj__raftElectionDeadline = StepTime.now_s + self._SyncObj__generateRaftTimeout()

    def _send_heartbeat(self, key: str, progress: Progress) -> None:
        """Built on what the follower is known to have, so that it always succeeds."""
        prev_term = self.log.term_at(progress.match_index)
        assert prev_term is not None
        self._send_append(key, progress, progress.match_index, prev_term, [], b"")

    def _send_append(
        self,
        key: str,
        progress: Progress,
        prev_index: int,
        prev_term: int,
        entries: list[m.WireRecord],
        chain: bytes,
    ) -> None:
        age_ms = self.quorum_age_ms()
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

    def _send(self, key: str, message: m.Message) -> None:
        self.outbox.append((key, message))


def _known_kind(number: int) -> EntryKind:
    try:
        return EntryKind(number)
    except ValueError:
        raise FatalError(
            f"the leader sent an entry of kind {number}, which this version does not know",
            hints=("run the same version of Replicante on every peer",),
        ) from None


_start = retimed("__init__")
_become_leader = retimed("_SyncObj__onBecomeLeader")
Engine._onTick = retimed("_onTick")
Engine._checkCommandsToApply = retimed("_checkCommandsToApply")
