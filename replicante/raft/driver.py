"""One peer's Raft as a step: inputs and time in, staged writes, messages and answers out. Pure.

`peer` drives it with asyncio and a disk, the simulator with a virtual clock and a simulated
disk. One step: messages → own proposals → engine tick (elections, commit, heartbeats, append) →
apply → reads and answers.

Order that the caller must keep (persist before promise): send `early`; make `log.take_writes()`
durable; call `persisted`; send `late`. The engine never runs while a write is in flight.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import PeerStopping
from replicante.raft import messages as m
from replicante.raft.changing import Changing
from replicante.raft.commit_notices import CommitNotices
from replicante.raft.comparing import Comparing
from replicante.raft.engine import Engine
from replicante.raft.forwarding import Forwarding
from replicante.raft.freshness import Freshness
from replicante.raft.hand_over import HandOver
from replicante.raft.host import CommandApplied, CommandRefused, MachineHost, SessionOpened
from replicante.raft.inputs import (
    ChangeInput,
    Effects,
    Identity,
    Input,
    LinkChanged,
    LinkRefused,
    ProposeInput,
    ReadInput,
    Received,
    TransferInput,
)
from replicante.raft.log import Base, Log
from replicante.raft.observations import LeaderChanged, RoleChanged
from replicante.raft.reading import Reading
from replicante.raft.records import encode_detail, encode_items
from replicante.raft.served_time import ServedTime
from replicante.raft.state_machine import EntryKind
from replicante.raft.status import Quarantine, Role

__all__ = [
    "ChangeInput",
    "Driver",
    "Effects",
    "Identity",
    "Input",
    "LinkChanged",
    "LinkRefused",
    "ProposeInput",
    "ReadInput",
    "Received",
    "TransferInput",
]


class Driver:
    def __init__(
        self,
        *,
        identity: Identity,
        log: Log,
        host: MachineHost,
        entropy: Entropy,
        now_ms: int,
        heartbeat_ms: int = limits.HEARTBEAT_MS,
        election_ms_min: int = limits.ELECTION_MS_MIN,
        election_ms_max: int = limits.ELECTION_MS_MAX,
        log_kept_bytes: int = limits.LOG_KEPT_BYTES_DEFAULT,
        quarantine: Quarantine | None = None,
    ) -> None:
        """quarantine: what an earlier process found out about the state of this directory."""
        self.identity = identity
        self.log = log
        self.host = host
        self.applied_index = host.machine.applied_index
        """Of the machine, as of the last entry that was applied here, or was `installed`."""
        self.engine = Engine(
            own_key=identity.key,
            log=log,
            applied_index=self.applied_index,
            entropy=entropy,
            now_ms=now_ms,
            heartbeat_ms=heartbeat_ms,
            election_ms_min=election_ms_min,
            election_ms_max=election_ms_max,
        )
        self.engine.own_key_payload = encode_detail({"leader": identity.peer_id})
        self._heartbeat_ms = heartbeat_ms
        self._log_kept_bytes = log_kept_bytes
        self._forwarding = Forwarding(
            identity=identity, engine=self.engine, entropy=entropy, resend_ms=limits.RESEND_MS
        )
        self._proposals = self._forwarding.own
        self._reading = Reading(self.engine, boot=identity.boot, resend_ms=election_ms_min)
        self._reads = self._reading.own
        self._freshness = Freshness(started_term=self.engine.term)
        self._served = ServedTime(now_ms)
        self._last_tick_entry_ms = now_ms
        self._notices = CommitNotices(self.engine)
        self._standing = self.engine.standing
        self._seen = (self.engine.role, self.engine.leader_key, self.engine.term)
        self._hand_over = HandOver(self.engine, heartbeat_ms=heartbeat_ms)
        self._changing = Changing(
            self.engine,
            self._hand_over,
            boot=identity.boot,
            resend_ms=election_ms_min,
            patience_ms=election_ms_min,
        )
        self._comparing = Comparing(
            self.engine,
            host.machine,
            self._hand_over,
            quarantine=quarantine,
            patience_ms=election_ms_max,
        )
        self.agreement = self._comparing.agreement
        self._now_ms = now_ms
        self.held_index: int | None = None
        self.held_bytes = 0
        """What follows is kept, within a bound, for a snapshot as of it, so far of this size."""

    # --- the step ----------------------------------------------------------------------------

    def step(self, inputs: Sequence[Input], *, now_ms: int, wall_ms: int) -> Effects:
        effects = Effects()
        engine = self.engine
        self._now_ms = now_ms
        engine.begin_step(now_ms)
        engine.entry_wall_ms, engine.entry_clock_ms = wall_ms, self.clock_ms
        for given in inputs:
            self._take(given, effects)
        self._notice_leadership(effects)
        is_late = self._proposals.is_late(now_ms)
        if is_late:
            effects.proposals += self._proposals.expire_waiting(now_ms)
        self._forwarding.send(effects, now_ms=now_ms)
        if engine.is_leader and not self._hand_over.is_under_way:
            self._propose_block(effects)
        self._changing.send(now_ms)
        if engine.is_leader and self._reading.wants_round(now_ms):
            engine.broadcast()
        engine.tick()
        self._notice_leadership(effects)
        self._apply(effects)
        self._notices.step(effects)
        self._reading.confirm(effects, now_ms=now_ms)
        self._reading.answer(effects, applied_index=self.applied_index, now_ms=now_ms)
        if is_late:
            effects.proposals += self._proposals.expire(now_ms)
        effects.changes += self._changing.finish(now_ms)
        self._changing.notice(effects)
        self._advance_clock(now_ms)
        self._comparing.step(effects, now_ms=now_ms)
        self._hand_over.step(now_ms)
        self._trim_log()
        self._sort_outbox(effects)
        return effects

    def persisted(self) -> None:
        self.log.persisted()

    def installed(self, base: Base, *, keeps_tail: bool) -> Effects:
        """The machine's state and the log on disk were replaced by those as of `base`, between two
        steps. Answers whom the jump decided; never moves the commit index beyond it."""
        self.log.reset_to(base, keeps_tail=keeps_tail)
        self.engine.installed(base.index)
        self.host.restored()
        self.applied_index = self.host.machine.applied_index
        own = self.host.sessions.find(self._proposals.session)
        done = self._proposals.jumped(own, index=base.index)
        self.engine.entry_clock_ms = self.clock_ms
        return Effects(proposals=done)

    @property
    def wants_step(self) -> bool:
        """A write that just became durable made work: something to apply, or to commit alone."""
        engine = self.engine
        is_sole = engine.is_leader and len(engine.configuration.voters) == 1
        return self.has_committed_work or (is_sole and engine.commit_index < self.log.durable_index)

    @property
    def has_committed_work(self) -> bool:
        """Entries are committed and durable here and not applied yet."""
        index = self.applied_index + 1  # of the entry that comes next
        is_committed = self.engine.commit_index >= index
        return is_committed and self.log.durable_index >= index and not self.host.machine.is_full

    def next_wake_ms(self) -> int:
        """Without input, the next step is due then."""
        engine = self.engine
        due_ms = engine.next_heartbeat_ms if engine.is_leader else engine.election_deadline_ms
        wake_ms = min(due_ms + 1, self._now_ms + self._heartbeat_ms)
        for deadline_ms in (
            self._proposals.earliest_deadline_ms,
            self._reads.next_deadline_ms(),
            self._changing.next_deadline_ms,
        ):
            if deadline_ms is not None and deadline_ms < wake_ms:
                wake_ms = deadline_ms
        return wake_ms

    def staleness_ms(self, now_ms: int) -> int | None:
        if self.agreement.quarantine is not None:
            return None
        engine = self.engine
        if engine.is_leader:
            if not engine.is_own_term_committed or self.applied_index < engine.commit_index:
                return None
            age_ms = engine.quorum_age_ms()
            return None if age_ms is None else age_ms + max(now_ms - self._now_ms, 0)
        return self._freshness.staleness_ms(applied_index=self.applied_index, now_ms=now_ms)

    @property
    def clock_ms(self) -> int:
        """The cluster clock as far as this peer knows it: a leader starts from it (ADR 0013)."""
        engine = self.engine
        return max(engine.entry_clock_ms, self.log.last_record.clock_ms, engine.heard_clock_ms)

    @property
    def pending_count(self) -> int:
        return self._proposals.count

    @property
    def has_session(self) -> bool:
        return self._forwarding.has_session

    def stop(self) -> Effects:
        """Answers everybody who still waits; nothing else is done after it."""
        effects = Effects()
        effects.proposals = self._proposals.fail_all(PeerStopping)
        effects.reads = self._reads.fail_all(PeerStopping)
        effects.changes = self._changing.fail_all(PeerStopping)
        return effects

    # --- inputs ------------------------------------------------------------------------------

    def _take(self, given: Input, effects: Effects) -> None:
        match given:
            case Received():
                self._receive(given.key, given.message, effects)
            case LinkChanged():
                self.engine.link_changed(given.key, is_up=given.is_up)
                if given.is_up:
                    self._comparing.link_up(given.key)
                if given.is_up and given.key == self.engine.leader_key:
                    self._forwarding.link_restored()
                    self._reads.ask_again()
                    self._changing.link_restored()
            case LinkRefused():
                if given.key == self.engine.leader_key:
                    self.engine.leader_is_gone()
            case ProposeInput():
                self._forwarding.take(given, effects)
            case ReadInput():
                refused = self._reads.add(given.ticket, deadline_ms=given.deadline_ms)
                if refused is not None:
                    effects.reads.append(refused)
            case TransferInput():
                self._hand_over.begin(until_ms=given.deadline_ms)
            case ChangeInput():
                self._changing.ask(given.ticket, given.change, deadline_ms=given.deadline_ms)

    def _receive(self, key: str, message: m.Message, effects: Effects) -> None:
        match message:  # what comes most often is asked for first
            case m.Append():
                self.engine.receive(key, message)
                if message.term == self.engine.term and key == self.engine.leader_key:
                    self._freshness.heard(message, now_ms=self._now_ms)
            case m.AppendAck():
                self.engine.receive(key, message)
            case m.Propose():
                self._forwarding.receive(key, message)
            case m.ReadIndexRequest():
                self._reads.requests.append((key, message.number))
            case m.ReadIndexReply():
                self._reads.known(message.number, message.index)
            case m.ChangeRequest():
                self._changing.receive(key, message)
            case m.ChangeReply():
                self._changing.refused(message)
            case m.Standing():
                self._comparing.heard(key, message)
            case m.BirthNotice():
                pass  # this peer was born; `birth` listens to these before
            case m.SnapshotChunk():
                if self.engine.accepts_chunk(key, message):
                    effects.chunks.append((key, message))
            case m.SnapshotAck() if self.engine.is_leader and message.term == self.engine.term:
                effects.snapshot_acks.append((key, message))
            case _:
                self.engine.receive(key, message)

    # --- proposing ---------------------------------------------------------------------------

    def _notice_leadership(self, effects: Effects) -> None:
        engine = self.engine
        if engine.standing == self._standing:
            return  # in nearly every step
        self._standing, now = engine.standing, (engine.role, engine.leader_key, engine.term)
        if now == self._seen:
            return
        role_before, leader_before, _ = self._seen
        self._seen = now
        if engine.role is not role_before:
            effects.observations.append(
                RoleChanged(before=role_before, after=engine.role, term=engine.term)
            )
            if engine.role is Role.LEADER:
                self._served.begin(self._now_ms)
                engine.entry_clock_ms = self.clock_ms
        if engine.leader_key != leader_before:
            effects.observations.append(
                LeaderChanged(leader_key=engine.leader_key, term=engine.term)
            )
        self._reads.ask_again()
        if not engine.is_leader:
            self._forwarding.leadership_lost()
            self._reads.confirmations.clear()

    def _tick_is_due(self) -> bool:
        deadline_ms = self.host.machine.deadline_ms()
        if deadline_ms is None or not self.engine.is_own_term_committed:
            return False
        if self.applied_index < self.log.last_index:
            return False  # what is on its way carries the clock too
        if self.engine.entry_clock_ms >= deadline_ms:
            return True
        return self._now_ms - self._last_tick_entry_ms >= limits.CLOCK_TICK_MS

    def _propose_block(self, effects: Effects) -> None:
        """As leader. One entry a step: everything that arrived since the last one."""
        items = self._forwarding.block(effects, now_ms=self._now_ms)
        if items or self._tick_is_due():
            self._last_tick_entry_ms = self._now_ms
            self.engine.propose(EntryKind.COMMANDS, encode_items(items))

    # --- applying ----------------------------------------------------------------------------

    def _apply(self, effects: Effects) -> None:
        """Applies a bounded slice."""
        commands_count = 0
        while self.has_committed_work:
            if commands_count >= limits.APPLY_COMMANDS_MAX:
                effects.has_more = True
                return
            record = self.log.get(self.applied_index + 1)
            fates = self.host.apply(record)
            self.applied_index = self.host.machine.applied_index
            for fate in fates:
                commands_count += 1
                match fate:
                    case CommandApplied():
                        if fate.session == self._proposals.session:
                            done = self._proposals.applied(fate.sequence, fate.outcome, fate.index)
                            if done is not None:
                                effects.proposals.append(done)
                    case CommandRefused():
                        if fate.session == self._proposals.session:
                            self._proposals.session_opened(0)
                    case SessionOpened():
                        self._forwarding.session_opened(fate)
            commands_count += 1

    # --- the log's beginning, clock, transfer, outbox ----------------------------------------

    def _trim_log(self) -> None:
        """Drops one segment a step of what the state machine has durably (ADR 0019)."""
        if not self.log.is_longer_than(self._log_kept_bytes):
            return  # in nearly every step
        kept_bytes, applied_index = self._log_kept_bytes, self.host.machine.durable_index
        held_bytes = max(kept_bytes * limits.LOG_HELD_FACTOR, self.held_bytes)
        if self.held_index is not None and self.log.size_bytes <= held_bytes:
            applied_index = min(applied_index, self.held_index)
        point = self.log.trim_point(kept_bytes=kept_bytes, applied_index=applied_index)
        if point is not None:
            self.log.trim_to(point)

    def _advance_clock(self, now_ms: int) -> None:
        """After the step: no deadline passes what arrived. Who hands over proposes nothing."""
        if self.engine.is_leader:
            serves, queue = not self._hand_over.is_under_way, self._forwarding.queue
            self.engine.entry_clock_ms += self._served.until(now_ms, queue, is_serving=serves)

    def _sort_outbox(self, effects: Effects) -> None:
        # Nobody may hear of a term, of its first entry (who decides alone leads in the step that
        # began it), or of new members (ADR 0076) before the disk has them.
        if not self.engine.outbox:
            return
        may_hurry = not (self.log.is_promise_staged or self.log.is_configuration_staged)
        for key, message in self.engine.outbox:
            is_early = may_hurry and isinstance(message, m.Append)
            (effects.early if is_early else effects.late).append((key, message))
        self.engine.outbox.clear()
