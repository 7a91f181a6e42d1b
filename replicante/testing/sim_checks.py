"""What must hold at every instant of a simulated run, judged from outside the peers.

Called by sim_cluster as the `Watcher` of its peers. Nothing here asks a peer what it believes
when a message, a disk or the log itself can tell. The first broken rule ends the run with
`Violation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.log import WriteSet
from replicante.raft.membership import Configuration, majority, read_configuration
from replicante.raft.records import CommandItem, Record, decode_items
from replicante.raft.state_machine import EntryKind
from replicante.testing.clock import Schedule
from replicante.testing.sim_birth import Birth
from replicante.testing.sim_disk import SimDisk
from replicante.testing.sim_peer import SimPeer


class Violation(Exception):
    """A promise was broken. `rule` names it; the text tells what was seen."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {text}")


@dataclass(frozen=True, slots=True)
class Committed:
    """One entry of the cluster's one history."""

    chain: bytes
    term: int
    clock_ms: int
    known_us: int
    """When a leader knew first that it is committed."""


class RaftChecks:
    """The rules of the log, of terms and of votes."""

    def __init__(
        self,
        schedule: Schedule,
        birth: Birth,
        *,
        drift: int,
        count: Callable[[str], None],
    ) -> None:
        self.ledger: dict[int, Committed] = {
            it.index: Committed(it.chain, it.term, it.clock_ms, schedule.now_us)
            for it in (birth.genesis, birth.first)
        }
        self.committed_index = birth.first.index
        self._schedule = schedule
        self._drift = drift
        self._count = count
        self.configuration = birth.configuration
        """The newest that is committed."""
        self._configuration_index = birth.first.index
        self._counted_by = birth.configuration  # of the newest committed entry
        self._leaders: dict[int, str] = {}
        self.handed_over: set[tuple[str, int]] = set()
        """(name, term) of who was told by a leader to take over."""
        self._votes: dict[tuple[str, int], str] = {}
        self._chains: dict[tuple[int, int], bytes] = {}
        self._sent_terms: dict[str, int] = {}
        self._commits: dict[str, tuple[int, int]] = {}
        """peer → (process, commit index seen last)"""
        self._peers: dict[str, SimPeer] = {}
        self._led: dict[str, int] = {}
        self._clocks: dict[tuple[str, int], int] = {}
        """(leader, term) → its cluster clock after its last step"""
        self._commands: set[tuple[int, int]] = set()

    def watch(self, peers: Sequence[SimPeer]) -> None:
        self._peers = {peer.key: peer for peer in peers}

    def started(self, peer: SimPeer) -> None:
        assert peer.driver is not None
        term = peer.driver.engine.term
        if term < self._sent_terms.get(peer.key, 0):
            self._fail(
                "term goes back",
                f"{peer.name} starts in {term} and has spoken in {self._sent_terms[peer.key]}",
            )

    def rewritten(self, index: int, disk: SimDisk) -> None:
        """From here on entries have other chains, everywhere, while nobody runs."""
        for place in range(index, self.committed_index + 1):
            chain = disk.chain_at(place)
            if chain is None:
                self._fail("all that follows a skip stays", f"entry {place} is gone")
            self.ledger[place] = replace(self.ledger[place], chain=chain)
        self._chains = {place: it for place, it in self._chains.items() if place[0] < index}

    # --- after a step ------------------------------------------------------------------------

    def stepped(self, peer: SimPeer) -> None:
        assert peer.driver is not None
        engine = peer.driver.engine
        if engine.is_leader:
            self._check_leader(peer, engine.term)
            self._check_served_time(peer)
        commit_index = engine.commit_index
        process, seen_index = self._commits.get(peer.key, (0, 0))
        if process != peer.process:
            seen_index = 0
        if commit_index != seen_index:
            if commit_index < seen_index:
                self._fail("commit goes back", f"{peer.name}: {seen_index} → {commit_index}")
            self._commits[peer.key] = (peer.process, commit_index)
            self._check_commit(peer, commit_index)
        self._check_applied(peer, peer.machine.applied_index)

    def _check_applied(self, peer: SimPeer, index: int) -> None:
        """The state is never ahead of the own log: a restart would find entries missing."""
        if index > self.committed_index:
            self._fail("applied is committed", f"{peer.name} applied {index}")
        if index > 0 and peer.disk.chain_at(index) != self.ledger[index].chain:
            self._fail("applied is durable", f"{peer.name} applied {index}")

    def _check_leader(self, peer: SimPeer, term: int) -> None:
        assert peer.driver is not None
        leader = self._leaders.setdefault(term, peer.key)
        if leader != peer.key:
            self._fail("one leader a term", f"{leader} and {peer.key} in term {term}")
        if self._led.get(peer.key) == term:
            return
        self._led[peer.key] = term
        self._count("leader_elected")
        self._check_elected(peer, term)
        last = self.ledger[self.committed_index]
        if last.term < term:
            chain = _chain_in_log(peer, self.committed_index)
            if chain != last.chain:
                self._fail(
                    "leader completeness",
                    f"{peer.name} leads term {term} without entry {self.committed_index}",
                )

    def _check_elected(self, peer: SimPeer, term: int) -> None:
        """Judged from the votes that were sent, not from those that were counted."""
        assert peer.driver is not None
        voters = peer.driver.engine.configuration.voter_keys - {peer.key}
        votes = 1 + sum(self._votes.get((key, term)) == peer.key for key in voters)
        if votes < majority(len(voters) + 1):
            self._fail("elected by a majority", f"{peer.name} leads term {term} with {votes} votes")

    def _check_served_time(self, peer: SimPeer) -> None:
        """A pause of the leader makes nothing expire (ADR 0013)."""
        assert peer.driver is not None
        engine = peer.driver.engine
        place = (peer.key, engine.term)
        before_ms = self._clocks.get(place, engine.entry_clock_ms)
        self._clocks[place] = engine.entry_clock_ms
        if engine.entry_clock_ms - before_ms > limits.CLOCK_STEP_MS_MAX:
            self._fail(
                "only served time counts",
                f"{peer.name} goes from {before_ms} to {engine.entry_clock_ms} ms in one step",
            )

    def _check_commit(self, peer: SimPeer, commit_index: int) -> None:
        driver = peer.driver
        assert driver is not None
        if commit_index > driver.log.last_index:
            self._fail("commit within the log", f"{peer.name} commits {commit_index}")
        known_index = min(commit_index, self.committed_index)
        if known_index in self.ledger and (
            _chain_in_log(peer, known_index) != self.ledger[known_index].chain
        ):
            self._fail(
                "committed prefix", f"{peer.name} has another entry at or below {known_index}"
            )
        if commit_index <= self.committed_index:
            return
        # A leader may find its last entries committed and step down in one step.
        if self._led.get(peer.key) != driver.engine.term:
            self._fail(
                "committed by a leader",
                f"{peer.name} commits {commit_index}, leaders only {self.committed_index}",
            )
        self._extend(peer, commit_index)

    def _extend(self, peer: SimPeer, commit_index: int) -> None:
        assert peer.driver is not None
        # No write was in flight in the step that found it committed: the disk has what counted.
        configuration = peer.disk.configuration[1]
        if _decides_alone(peer):
            # Who decides alone counts only what is on its own disk (it applies no more either).
            commit_index = min(commit_index, peer.disk.last_index)
        for index in range(self.committed_index + 1, commit_index + 1):
            record = peer.driver.log.get(index)
            self._count_repeats(record)
            if record.kind is EntryKind.CONFIGURATION:
                self._follow(record)
            before = self.ledger[index - 1]
            if record.clock_ms < before.clock_ms or record.term < before.term:
                self._fail("clock and term grow", f"entry {index}: {record} after {before}")
            self.ledger[index] = Committed(
                record.chain, record.term, record.clock_ms, self._schedule.now_us
            )
        if commit_index > self.committed_index:
            self.committed_index, self._counted_by = commit_index, configuration
            if not self._is_held(commit_index, configuration):
                self._fail("durable on a quorum", f"entry {commit_index} is committed too early")
            self._check_clock(commit_index)

    def _count_repeats(self, record: Record) -> None:
        """Commands that entered the history twice: what sessions are for."""
        if record.kind is not EntryKind.COMMANDS:
            return
        for item in decode_items(record.payload):
            if isinstance(item, CommandItem):
                place = (item.session, item.sequence)
                if place in self._commands:
                    self._count("command_repeated")
                self._commands.add(place)

    def _check_clock(self, index: int) -> None:
        now_ms = self._schedule.now_us / 1_000
        bound_ms = now_ms * (1 + self._drift / 1_000_000) + 2
        if self.ledger[index].clock_ms > bound_ms:
            self._fail(
                "clock no faster than time",
                f"entry {index} says {self.ledger[index].clock_ms} after {now_ms} ms",
            )

    def check_durable(self, index: int, why: str) -> None:
        """What was promised is on the disks of a majority at this very instant."""
        if index not in self.ledger:
            self._fail("durable on a quorum", f"entry {index} {why}, and is not committed")
        # A later configuration counts from its append (thesis §4.1), also if it was cut off since.
        found = [peer.disk.configuration for peer in self._peers.values()]
        counting = [it for place, it in found if place > self._configuration_index]
        counting += [self.configuration, self._counted_by]
        if not any(self._is_held(index, it) for it in counting):
            self._fail("durable on a quorum", f"entry {index} {why}, and is on too few disks")

    def _is_held(self, index: int, configuration: Configuration) -> bool:
        """A majority of these voters has the entry on disk."""
        chain = self.ledger[index].chain
        disks = [self._peers[voter.key].disk for voter in configuration.voters]
        return sum(disk.has(index, chain) for disk in disks) >= majority(len(disks))

    def _follow(self, record: Record) -> None:
        """Another configuration is committed; the next one may differ from it by one voter."""
        before, after = self.configuration, read_configuration(record.payload)
        self.configuration, self._configuration_index = after, record.index
        old, new = ({voter.key for voter in it.voters} for it in (before, after))
        if len(old ^ new) > 1:
            self._fail("one change at a time", f"entry {record.index}: {old} and then {new}")
        if new > old:
            self._count("member_promoted")
        elif new < old or len(after.learners) < len(before.learners):
            self._count("member_removed")
        else:
            self._count("member_added")

    # --- what is about to be written ---------------------------------------------------------

    def staged(self, peer: SimPeer, writes: WriteSet) -> None:
        assert peer.driver is not None
        if writes.truncate_from is not None:
            self._count("tail_truncated")
        engine = peer.driver.engine
        if engine.is_leader and engine.configuration_index > peer.disk.last_index:
            # Its own change, in this step: the one before, and an entry of its term, are committed.
            before_index = peer.disk.configuration[0]
            if before_index > engine.commit_index or not engine.is_own_term_committed:
                self._fail(
                    "one change at a time",
                    f"{peer.name} appends {engine.configuration_index} after {before_index},"
                    f" with {engine.commit_index} committed in term {engine.term}",
                )
        if writes.base is not None:
            self._count("log_trimmed")
            if writes.base.index > min(self.committed_index, peer.machine.durable_index):
                self._fail("trimmed is kept by the state", f"{peer.name} to {writes.base.index}")

    def synced(self, peer: SimPeer, writes: WriteSet) -> None:
        """`writes` are on its disk."""
        if writes.truncate_from is not None and writes.truncate_from <= self.committed_index:
            # Legal for a peer that was asleep and that nobody counted, never for one of a quorum.
            self.check_durable(self.committed_index, f"was dropped by {peer.name}")
        for index, _ in writes.records:
            record = peer.disk.read(index, index + 1)[0]
            self._check_match(peer, index, record.term, record.chain)
        assert peer.driver is not None
        engine = peer.driver.engine
        if engine.is_leader and _decides_alone(peer):
            self._extend(peer, engine.commit_index)

    def _check_match(self, peer: SimPeer, index: int, term: int, chain: bytes) -> None:
        """An index and a term name one entry for ever, and everything before it."""
        before = self._chains.setdefault((index, term), chain)
        if before != chain:
            self._fail("log matching", f"{peer.name}: another entry {index} of term {term}")

    # --- what leaves -------------------------------------------------------------------------

    def sent(self, peer: SimPeer, target: str, message: m.Message) -> None:
        term = getattr(message, "term", None)
        if term is None:
            return
        if term > peer.disk.hard.term:
            self._fail(
                "term is durable",
                f"{peer.name} tells term {term}, its disk knows {peer.disk.hard.term}",
            )
        if term > self._sent_terms.get(peer.key, 0):
            self._sent_terms[peer.key] = term
        match message:  # what is sent most often is asked for first
            case m.Append():
                leader = self._leaders.setdefault(term, peer.key)
                if leader != peer.key:
                    self._fail("one leader a term", f"{leader} and {peer.key} append in {term}")
                if message.commit_index > self.committed_index:
                    self._fail(
                        "told is committed",
                        f"{peer.name} tells of {message.commit_index}, not {self.committed_index}",
                    )
                if message.entries:
                    index = message.prev_index + len(message.entries)
                    self._check_match(peer, index, message.entries[-1].term, message.chain)
            case m.TimeoutNow():
                self.handed_over.add((target, term + 1))
            case m.VoteRequest():
                self._check_vote(peer, term, peer.key)
            case m.VoteReply(is_granted=True):
                self._check_vote(peer, term, self._key(target))
            case m.VoteReply():
                self._count("vote_denied")
            case m.AppendAck(is_success=True):
                self._check_acknowledgement(peer, message)
            case m.AppendAck():
                self._count("append_refused")
            case m.SnapshotAck(is_installed=True):
                self._check_installed(peer, message.index)

    def _check_installed(self, peer: SimPeer, index: int) -> None:
        is_here = peer.machine.applied_index >= index and peer.disk.last_index >= index
        if index > self.committed_index or not is_here:
            self._fail("installed is durable", f"{peer.name} says {index}")

    def _check_vote(self, peer: SimPeer, term: int, candidate: str) -> None:
        before = self._votes.setdefault((peer.key, term), candidate)
        if before != candidate:
            self._fail("one vote a term", f"{peer.name}: {before} and {candidate} in term {term}")
        hard = peer.disk.hard
        # A later term on disk keeps the promise too: nothing more can be voted in an older one.
        if hard.term == term and hard.voted_for != candidate:
            self._fail("vote is durable", f"{peer.name} votes {candidate} in {term}, has {hard}")

    def _check_acknowledgement(self, peer: SimPeer, ack: m.AppendAck) -> None:
        if peer.disk.hard.term > ack.term:
            return  # A leader of a later term may have had it cut since; then it never counts.
        chain = peer.disk.chain_at(ack.match_index)
        if chain is None and ack.match_index >= peer.disk.first_index:
            self._fail(
                "acknowledged is durable",
                f"{peer.name} acknowledges {ack.match_index}, has {peer.disk.last_index}",
            )
        leader = self._peers.get(self._leaders.get(ack.term, ""))
        if leader is None or leader.driver is None or ack.match_index == 0:
            return
        engine = leader.driver.engine
        if not engine.is_leader or engine.term != ack.term:
            return
        if chain is None or ack.match_index < engine.log.first_index:
            return  # trimmed, so committed, which is checked elsewhere
        if _chain_in_log(leader, ack.match_index) != chain:
            self._fail(
                "acknowledged is equal", f"{peer.name} acknowledges another {ack.match_index}"
            )

    def _key(self, name: str) -> str:
        return next(key for key, peer in self._peers.items() if peer.name == name)

    def _fail(self, rule: str, text: str) -> NoReturn:
        raise Violation(rule, text)


def _decides_alone(peer: SimPeer) -> bool:
    return len(peer.disk.configuration[1].voters) == 1


def _chain_in_log(peer: SimPeer, index: int) -> bytes | None:
    assert peer.driver is not None
    log = peer.driver.log
    return log.get(index).chain if log.first_index <= index <= log.last_index else None
