"""The Raft engine's ground: PySyncObj's SyncObj with its unsafe parts closed off (ADR 0001).

PySyncObj keeps: roles and their changes, the election timer, term and vote, starting an
election, the commit rule (only entries of the own term are counted, paper §5.4.2), the no-op of
a new leader, stepping down without a quorum, the command queue. Replaced: both wire functions,
apply, persistence, snapshots, transport, time and chance. Why, and which test shows it:
docs/explanation/divergence.md.

Elections are in `engine_elections`, replication in `engine`. camelCase ends in these three
files.
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
from replicante.raft.membership import NOBODY, Member, Roster, majority, read_configuration
from replicante.raft.records import make_record
from replicante.raft.replication import Progress
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

FOLLOWER, _CANDIDATE, _LEADER = 0, 1, 2
"""PySyncObj's numbers of the roles."""

_ROLES = {FOLLOWER: Role.FOLLOWER, _CANDIDATE: Role.CANDIDATE, _LEADER: Role.LEADER}

_start = retimed("__init__")
_append_queued = retimed("_checkCommandsToApply")


class _Upstream(upstream.SyncObj):  # type: ignore[misc]
    """SyncObj with places of their own for what every step reads many times."""

    __slots__ = ("_SyncObj__raftCommitIndex", "_SyncObj__raftCurrentTerm")

    def __dir__(self) -> list[str]:
        """PySyncObj's constructor looks in here for replicated methods, of which there are none,
        and reads everything that it finds: most of the time that a start takes in memory."""
        return []


class EngineCore(_Upstream):
    """See the module. Units: milliseconds outside, seconds only towards PySyncObj."""

    _SyncObj__otherNodes: Any
    _SyncObj__raftElectionDeadline: Any
    _SyncObj__raftLeader: MemberNode | None
    _SyncObj__raftState: int
    # Each is one place with two names: PySyncObj's own, and that of everybody else, who only reads.
    term: int = _Upstream._SyncObj__raftCurrentTerm
    commit_index: int = _Upstream._SyncObj__raftCommitIndex
    is_leader = False

    _is_queued = False
    """PySyncObj's queue of commands holds some."""

    def __init__(
        self,
        *,
        own_key: str,
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
        self.configuration_index, payload = self._newest = log.configuration
        self.configuration = read_configuration(payload)
        self.roster = NOBODY
        """Another object whenever it changes."""
        self.was_member = any(
            read_configuration(each).find(own_key) for each in log.configurations_from(0)
        )
        """In a configuration that this peer has seen."""
        self._is_member = self.configuration.find(own_key) is not None
        self.may_lead = True
        """False: it never stands for election, whatever it hears (ADR 0044)."""
        self.passed_over: frozenset[str] = frozenset()
        """Voters that leadership is not handed to, by key."""
        self._leaving: dict[str, Member] = {}
        """A leader's former followers that are still to be told, by key."""
        self._entropy = entropy
        self._election_ms = (election_ms_min, election_ms_max)
        self._now_ms = now_ms
        self._votes: set[str] = set()
        self._pre_votes: set[str] = set()
        self._pre_vote_until_ms: int | None = None
        self._leader_heard_ms: int | None = None
        self._term_leader = (0, "")
        """The last term in which a leader was known, and that leader."""
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
        _start(self, MemberNode(own_key), [], conf, transport=EngineTransport(self))
        self._SyncObj__otherNodes = self._other_voters()
        self._SyncObj__raftLastApplied = applied_index
        self._poller = NullPoller()
        self._know_members()
        if [voter.key for voter in self.configuration.voters] == [own_key]:
            self._SyncObj__raftElectionDeadline = StepTime.now_s  # there is nobody to wait for

    # --- descriptors and hooks that PySyncObj's kept code meets -------------------------

    _SyncObj__raftLog = property(lambda self: self._facade, lambda self, value: None)

    def _SyncObj__generateRaftTimeout(self) -> float:
        low, high = self._election_ms
        return (low + (high - low) * self._entropy.fraction()) / 1000

    def _SyncObj__applyLogEntries(self) -> bool:
        """Committed entries are applied by the driver, up to what is durable here."""
        return False

    def _SyncObj__tryLogCompaction(self) -> None:
        """The driver trims the log (ADR 0019)."""

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:
        raise FatalError("PySyncObj's dump files are never used")

    def setCodeVersion(self, newVersion: int, callback: Any = None) -> None:
        raise FatalError("PySyncObj's code versions are pickled; feature levels replace them")

    def addNodeToCluster(self, node: Any, callback: Any = None) -> None:
        raise FatalError("PySyncObj's membership changes are unsafe; configurations replace them")

    removeNodeFromCluster = addNodeToCluster

    _onTick = retimed("_onTick")

    def _SyncObj__setState(self, newState: int) -> None:
        """The only place where the role changes."""
        super()._SyncObj__setState(newState)
        self.is_leader = newState == _LEADER

    @property
    def _is_resting(self) -> bool:
        """PySyncObj's tick would do nothing: a follower whose election timer still runs."""
        if self.is_leader or self._is_queued:
            return False
        is_due: bool = self._SyncObj__raftElectionDeadline < StepTime.now_s
        return not is_due

    def _checkCommandsToApply(self) -> None:
        """In nearly every step nothing is queued, and PySyncObj's queue says so by an exception."""
        if self._is_queued:
            self._is_queued = False
            _append_queued(self)

    # --- what it is ---------------------------------------------------------------------

    @property
    def role(self) -> Role:
        if not self.configuration.is_voter(self.own_key):
            return Role.LEARNER
        return _ROLES[self._SyncObj__raftState]

    @property
    def leader_key(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else leader.key

    @property
    def standing(self) -> tuple[object, ...]:
        """Another value whenever role, term or leader are others: for who asks in every step."""
        return (
            self._SyncObj__raftState,
            self._SyncObj__raftCurrentTerm,
            self._SyncObj__raftLeader,
            self.configuration,
        )

    @property
    def is_own_term_committed(self) -> bool:
        """The no-op of this leader's term is committed: its commit index is the cluster's
        (paper §8)."""
        return self.is_leader and self.log.term_at(self.commit_index) == self.term

    @property
    def election_deadline_ms(self) -> int:
        """When a follower has something to do although nobody says anything to it."""
        if not self._may_stand:
            return self._now_ms + self._election_ms[1]
        deadline_ms = int(self._SyncObj__raftElectionDeadline * 1000)
        if self._pre_vote_until_ms is None or len(self._pre_votes) >= self._majority:
            return deadline_ms
        return max(deadline_ms, self._pre_vote_until_ms)  # it has asked and waits for answers

    @property
    def next_heartbeat_ms(self) -> int:
        return int(self._SyncObj__newAppendEntriesTime * 1000)

    def begin_step(self, now_ms: int) -> None:
        self._now_ms = now_ms
        StepTime.now_s = now_ms / 1000

    def propose(self, kind: EntryKind, payload: bytes) -> None:
        """Queued; appended by this step's tick if this peer still leads then."""
        self._is_queued = True
        self._applyCommand(bytes((int(kind),)) + payload, None)

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
        self.follow_log()

    own_key_payload = b"\x80"
    """Detail of TERM_STARTED; the driver sets it to the encoded name of this peer."""

    # --- who counts ---------------------------------------------------------------------

    @property
    def is_configuration_committed(self) -> bool:
        return self.commit_index >= self.configuration_index

    @property
    def is_removed(self) -> bool:
        """Committed: this peer was a member and is none any more."""
        return self.was_member and not self._is_member and self.is_configuration_committed

    def follow_log(self) -> None:
        """The newest configuration in the log counts, committed or not (thesis §4.1). Called by
        whatever changed the log: an own append, a leader's, a truncation, a snapshot."""
        if self.log.configuration == self._newest:
            return
        self.configuration_index, payload = self._newest = self.log.configuration
        self.configuration = read_configuration(payload)
        self._is_member = self.configuration.find(self.own_key) is not None
        self.was_member |= self._is_member
        self._SyncObj__otherNodes = self._other_voters()
        self._members_changed()
        self._know_members()

    def _members_changed(self) -> None:
        """What a leader knows of each follower follows the configuration; see `engine`."""
        raise NotImplementedError

    def _other_voters(self) -> OrderedNodes:
        keys = (voter.key for voter in self.configuration.voters)
        return OrderedNodes(MemberNode(key) for key in keys if key != self.own_key)

    def _know_members(self) -> None:
        known = dict(self._leaving)
        for payload in self.log.configurations_from(self.commit_index):
            known |= {member.key: member for member in read_configuration(payload).members}
        self.roster = Roster(
            configuration=self.configuration,
            index=self.configuration_index,
            is_committed=self.is_configuration_committed,
            known=tuple(known[key] for key in sorted(known)),
            was_member=self.was_member,
        )

    def _notice_commit(self) -> None:
        """Once the newest configuration is committed, no older one comes back."""
        if self.is_configuration_committed and not self.roster.is_committed:
            self._know_members()

    def _may_ask(self, key: str, configuration_index: int) -> bool:
        """Whether this one may ask for a vote: a member, or who has a newer configuration than this
        peer and may be a member there (thesis §4.1). Whose vote counts, the candidate decides."""
        return configuration_index > self.configuration_index or self.roster.knows(key)

    # --- shared below -------------------------------------------------------------------

    @property
    def _may_stand(self) -> bool:
        return self.may_lead and self.configuration.is_voter(self.own_key)

    @property
    def _majority(self) -> int:
        return majority(len(self.configuration.voters))

    def _adopt_term(self, term: int) -> None:
        self._SyncObj__setCurrentTerm(term, None)
        self._SyncObj__setState(FOLLOWER)
        self._SyncObj__raftLeader = None
        self._leader_heard_ms = None
        self._is_transfer = False
        self._pre_vote_until_ms = None
        self._restart_election_timer()

    def _restart_election_timer(self) -> None:
        self._SyncObj__raftElectionDeadline = StepTime.now_s + self._SyncObj__generateRaftTimeout()

    def _send(self, key: str, message: m.Message) -> None:
        self.outbox.append((key, message))
