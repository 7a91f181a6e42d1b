"""Tells the other members how this peer's state is, and draws the consequences of what is found by
comparing (ADR 0044). Pure; called by driver, once each a step.

A peer in quarantine keeps its log and acknowledges and votes as before: its log is proved equal by
chains, whatever its state is. It never stands for election, gives leadership away, hands on no
state and vouches for no age; its shell refuses callers.

A standing is told once to each link, and again only when it changes: one that comes before the
entry that makes its teller a member is kept until then.
"""

from __future__ import annotations

from collections.abc import Sequence

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.agreement import Agreement
from replicante.raft.engine import Engine
from replicante.raft.hand_over import HandOver
from replicante.raft.inputs import Effects
from replicante.raft.membership import Configuration
from replicante.raft.observations import Observation, StateQuarantined
from replicante.raft.state_machine import DurableStateMachine
from replicante.raft.status import Quarantine


class Comparing:
    def __init__(
        self,
        engine: Engine,
        machine: DurableStateMachine,
        hand_over: HandOver,
        *,
        quarantine: Quarantine | None,
        patience_ms: int,
    ) -> None:
        """patience_ms: how long a leader in quarantine tries to hand over before it just stops."""
        self.agreement = Agreement(own_key=engine.own_key, quarantine=quarantine)
        self._engine = engine
        self._machine = machine
        self._hand_over = hand_over
        self._patience_ms = patience_ms
        self._told: m.Standing | None = None
        self._told_digests: Sequence[tuple[int, str]] | None = None
        self._told_quarantine: Quarantine | None = None
        self._fresh_links: set[str] = set()
        self._early: dict[str, m.Standing] = {}
        """Of peers that are no members as far as is known here, by key, oldest first."""
        self._early_by: Configuration | None = None
        """By this one they are none; None: not looked at yet."""
        self._resigns_ms: int | None = None
        self._news: list[Observation] = []
        if quarantine is not None:
            self._news.append(StateQuarantined(quarantine=quarantine))
        self._obey()

    def heard(self, key: str, standing: m.Standing) -> None:
        if self._engine.configuration.find(key) is not None:
            self.agreement.heard(key, standing)
            return
        self._early.pop(key, None)
        self._early[key], self._early_by = standing, None
        if len(self._early) > limits.PEERS_MAX:
            del self._early[next(iter(self._early))]

    def link_up(self, key: str) -> None:
        self._fresh_links.add(key)

    def step(self, effects: Effects, *, now_ms: int) -> None:
        configuration = self._engine.configuration
        if self._early and configuration is not self._early_by:
            self._hear_early(configuration)
        digests = self._machine.digests()
        self._news += self.agreement.judge(digests, configuration)
        if self._news:
            effects.observations += self._news
            self._news = []
            self._obey()
        self._tell(digests)
        if self.agreement.quarantine is not None and self._engine.is_leader:
            self._give_way(now_ms)
        else:
            self._resigns_ms = None

    def _hear_early(self, configuration: Configuration) -> None:
        self._early_by = configuration
        for key in [key for key in self._early if configuration.find(key) is not None]:
            self.agreement.heard(key, self._early.pop(key))

    def _obey(self) -> None:
        self._engine.may_lead = self.agreement.quarantine is None
        self._engine.passed_over = frozenset(self.agreement.differs_at)

    def _tell(self, digests: Sequence[tuple[int, str]]) -> None:
        quarantine = self.agreement.quarantine
        is_known = digests is self._told_digests and quarantine is self._told_quarantine
        if is_known and not self._fresh_links:
            return  # in nearly every step
        self._told_digests, self._told_quarantine = digests, quarantine
        standing = m.Standing(
            level_max=self._machine.level_max,
            digests=list(digests),
            quarantined_index=0 if quarantine is None else quarantine.index,
        )
        everybody = self._engine.connected if standing != self._told else self._fresh_links
        # In an order of their own: a set of texts has another one in each process.
        for key in sorted(everybody & self._engine.connected):
            self._engine.outbox.append((key, standing))
        self._told = standing
        self._fresh_links.clear()

    def _give_way(self, now_ms: int) -> None:
        """Others have the majority, so one of them can lead."""
        if self._resigns_ms is None:
            self._resigns_ms = now_ms + self._patience_ms
            self._hand_over.begin(until_ms=self._resigns_ms)
        elif now_ms >= self._resigns_ms:
            self._engine.resign()
