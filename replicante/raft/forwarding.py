"""How commands get from callers into the leader's log: own ones, and those that followers forward.

Pure; called by driver. A follower sends its own to the leader it knows; a leader fills one block a
step. Nothing here is remembered across a lost leadership but what the owner keeps: each
owner sends again (ADR 0014).
"""

from __future__ import annotations

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import FatalError, TooLarge
from replicante.raft import messages as m
from replicante.raft.engine import Engine
from replicante.raft.host import SessionOpened
from replicante.raft.inputs import Effects, Identity, ProposeInput
from replicante.raft.proposals import ProposalDone, Proposals
from replicante.raft.records import CommandItem, Item, OpenItem
from replicante.raft.served_time import Queue
from replicante.raft.taken_commands import TakenCommands

_CHANCE_BITS = 31


class Forwarding:
    def __init__(
        self, *, identity: Identity, engine: Engine, entropy: Entropy, resend_ms: int
    ) -> None:
        self.own = Proposals()
        self._identity = identity
        # With chance below the counter, two processes on copies of one directory, which count
        # alike, never number their commands in one session.
        self._boot = identity.boot << _CHANCE_BITS | int(entropy.fraction() * (1 << _CHANCE_BITS))
        self._engine = engine
        self._resend_ms = resend_ms
        self._forwarded: list[Item] = []
        self._forwarded_bytes = 0
        self._forwarded_count = 0
        """Of those that were ever taken."""
        self._taken = TakenCommands()
        self._is_own_turn = False
        """Own commands go first: the last block had no room for them."""
        self._asked_ms: int | None = None
        self._asked_term = 0

    def take(self, given: ProposeInput, effects: Effects) -> None:
        if len(given.data) > limits.COMMAND_BYTES_MAX:
            error = TooLarge(
                f"the proposal has {len(given.data)} bytes; at most {limits.COMMAND_BYTES_MAX} fit",
                bytes=len(given.data),
                bytes_max=limits.COMMAND_BYTES_MAX,
            )
            effects.proposals.append(ProposalDone(given.ticket, None, 0, error))
            return
        refusal = self.own.add(given.ticket, given.data, deadline_ms=given.deadline_ms)
        if refusal is not None:
            effects.proposals.append(refusal)

    def receive(self, key: str, message: m.Propose) -> None:
        """Proposals of a follower. A peer that does not lead drops them: their owner sends them
        again. A leader drops nothing that arrived, for the clock waits for it (ADR 0013), but for
        copies of what it took already: the clock waits for the first one."""
        engine, configuration = self._engine, self._engine.configuration
        member = configuration.find(key)
        if not engine.is_leader or member is None:
            return
        if message.boot:
            self._forwarded_count += 1
            self._forwarded.append(OpenItem(member.peer_id, member.incarnation, message.boot))
        for it in message.commands:
            if self._taken.take(key, it, term=engine.term, configuration=configuration):
                self._forwarded_count += 1
                self._forwarded_bytes += len(it.data)
                self._forwarded.append(CommandItem(it.session, it.sequence, it.floor, it.data))

    @property
    def queue(self) -> Queue:
        """Of the leader: commands of followers, own ones."""
        count, own = self._forwarded_count, self.own
        gone = (count - len(self._forwarded), own.gone_count(term=self._engine.term))
        return Queue((count, own.taken_count), gone)

    @property
    def _is_flooded(self) -> bool:
        is_long = len(self._forwarded) >= limits.FORWARDED_COMMANDS_MAX
        return is_long or self._forwarded_bytes >= limits.FORWARDED_BYTES_MAX

    def leadership_lost(self) -> None:
        """What followers sent is theirs to send again to the next leader."""
        self._forwarded.clear()
        self._forwarded_bytes = 0
        self._taken.forget()

    def link_restored(self) -> None:
        """What was sent over the old connection to the leader may be lost."""
        self._asked_ms = None
        self.own.send_again()

    def session_opened(self, opened: SessionOpened) -> None:
        """Raises FatalError when a later process of this directory has one: this is a copy."""
        own = (self._identity.peer_id, self._identity.incarnation)
        if (opened.peer_id, opened.incarnation) != own or opened.boot < self._boot:
            return
        if opened.boot > self._boot:
            raise FatalError(
                f"a later process has spoken for {self._identity.peer_id}: this data directory is"
                " an older state of that one, or a copy",
                hints=(
                    "stop this process: two of them would vote twice and forget what they promised",
                    "a peer whose directory was restored joins again with an empty one",
                ),
            )
        self.own.session_opened(opened.session)

    @property
    def has_session(self) -> bool:
        return self.own.session != 0

    def send(self, effects: Effects, *, now_ms: int) -> None:
        """A follower forwards; the leader's own wait for `_propose_block`."""
        engine = self._engine
        effects.is_flooded = self._is_flooded
        if engine.is_leader or self.own.is_idle:
            return
        leader_key = engine.leader_key
        if leader_key is None or leader_key not in engine.connected:
            return
        boot = self._boot_to_ask(now_ms)
        commands = self._take_own(now_ms)
        if commands or boot:
            engine.outbox.append((leader_key, m.Propose(commands=commands, boot=boot)))
        effects.has_more = self.own.may_send_more

    def _boot_to_ask(self, now_ms: int) -> int:
        """The boot counter when a session has to be asked for, else 0; asked again when the
        answer is overdue."""
        if self.has_session:
            return 0
        is_overdue = self._asked_ms is None or now_ms - self._asked_ms > self._resend_ms
        if not is_overdue and self._asked_term == self._engine.term:
            return 0
        self._asked_ms, self._asked_term = now_ms, self._engine.term
        return self._boot

    def _take_own(self, now_ms: int) -> list[m.WireCommand]:
        return self.own.take(
            term=self._engine.term,
            now_ms=now_ms,
            resend_after_ms=self._resend_ms,
            count_max=limits.ENTRY_COMMANDS_MAX,
            bytes_max=limits.COMMAND_BYTES_MAX,
        )

    def block(self, effects: Effects, *, now_ms: int) -> list[Item]:
        """As leader: everything that arrived since the last block, up to the bounds of an entry."""
        items: list[Item] = []
        boot = self._boot_to_ask(now_ms)
        if boot:
            items.append(OpenItem(self._identity.peer_id, self._identity.incarnation, boot))
        items += self._fill(now_ms)
        effects.has_more = bool(self._forwarded) or self.own.may_send_more
        effects.is_flooded = self._is_flooded
        return items

    def _fill(self, now_ms: int) -> list[Item]:
        """Of followers first. Where no room is left for own ones, these are first in the next
        block: each command waits for those before it only."""
        items: list[Item] = []
        if self._is_own_turn:
            self._add_forwarded(items, self._add_own(items, now_ms))
            self._is_own_turn = False
            return items
        size = self._add_forwarded(items, 0)
        if not self._forwarded and size <= limits.COMMAND_BYTES_MAX // 2:
            self._add_own(items, now_ms)
        self._is_own_turn = self.own.gone_count(term=self._engine.term) < self.own.taken_count
        return items

    def _add_forwarded(self, items: list[Item], size: int) -> int:
        """size: bytes of `items`; the result: afterwards. What was given up while it waited goes
        when it is the first: the clock counts those that are gone from the front (ADR 0013)."""
        taken = taken_bytes = given_up_bytes = 0
        for item in self._forwarded:
            item_bytes = len(item.data) if isinstance(item, CommandItem) else 0
            if isinstance(item, CommandItem) and self._taken.is_given_up(item):
                given_up_bytes += item_bytes
                taken += 1
                continue
            is_full = size + taken_bytes + item_bytes > limits.COMMAND_BYTES_MAX
            if items and (is_full or len(items) >= limits.ENTRY_COMMANDS_MAX):
                break
            items.append(item)
            taken_bytes += item_bytes
            taken += 1
        del self._forwarded[:taken]
        self._forwarded_bytes -= taken_bytes + given_up_bytes
        return size + taken_bytes

    def _add_own(self, items: list[Item], now_ms: int) -> int:
        """Bytes of what was added."""
        commands = self.own.take(
            term=self._engine.term,
            now_ms=now_ms,
            resend_after_ms=None,  # what this leader took in its term is in its log
            count_max=limits.ENTRY_COMMANDS_MAX - len(items),
            bytes_max=limits.ENTRY_BYTES_MAX // 2,
        )
        items.extend(CommandItem(it.session, it.sequence, it.floor, it.data) for it in commands)
        return sum(len(it.data) for it in commands)
