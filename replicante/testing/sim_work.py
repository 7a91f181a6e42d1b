"""What clients do with the product's own state machine, one kind of work a file: the ground.

Called by sim_state_clients; the kinds are sim_work_queue, sim_work_lease, sim_work_bank and
sim_work_follow. A work asks, keeps what it was told, and judges each answer when it is given. It
also writes its history as maps of the form that the fault suite judges (`jlike.history`): tests
give them to the checkers of the real runs (ADR 0061).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgpack

from replicante import limits
from replicante.state.command_bytes import pack_command
from replicante.state.commands import Command
from replicante.state.envelope import VERSION, bytes_least
from replicante.state.outcome import Outcome
from replicante.storage.kv import View
from replicante.testing.clock import Schedule
from replicante.testing.entropy import Chance
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_options import Options
from replicante.testing.sim_peer import SimPeer

FINISHER = -2
"""The client that does what is left when the others ask no more."""
_RETIRED = 1_000
"""First number of processes that take the place of those whose answer never came."""


@dataclass(frozen=True, slots=True)
class Question:
    f: str
    """Its name in the history."""
    value: Any
    command: Command | None
    """None: a linearizable read of the peer's state."""


@dataclass(slots=True)
class Asked:
    """One question on its way, or answered."""

    question: Question
    client: int
    peer: str
    asked_at: int
    """Place in the order of everything that was asked and told."""
    asked_us: int


class Work:
    """One kind. Answers: (is it done, what the history says of it)."""

    name = ""

    def __init__(
        self, options: Options, schedule: Schedule, *, count: Callable[[str], None]
    ) -> None:
        self.lines: list[str] = []
        self.at = 0
        self.options = options
        self.schedule = schedule
        self.count = count
        self.chance = Chance(options.seed, f"work {self.name}")
        self._processes: dict[int, int] = {}
        self._retired = _RETIRED

    # --- what a kind decides -------------------------------------------------------------------

    def next(self, client: int, peer: SimPeer) -> Question | None:
        """None: nothing to ask now."""
        raise NotImplementedError

    def done(self, asked: Asked, outcome: Outcome, view: View) -> tuple[bool, Any]:
        """The command was applied; the state of the peer as of then or later. Raises Violation."""
        raise NotImplementedError

    def read(self, asked: Asked, view: View) -> tuple[bool, Any]:
        """The peer may answer from its state now. Raises Violation."""
        return True, None

    def refused(self, asked: Asked) -> None:
        """It was certainly not done."""

    def lost(self, asked: Asked) -> None:
        """Nobody knows what became of it."""

    def finish(self, peer: SimPeer) -> Question | None:
        """What is left to do, asked again and again when faults are over; None: nothing is."""
        return None

    def check_end(self, views: Sequence[tuple[str, View]]) -> None:
        """(peer, its state) of those that are healed, as of one entry. Raises Violation."""

    # --- below ---------------------------------------------------------------------------------

    def begin(self, question: Question, *, client: int, peer: str) -> Asked:
        self._write(client, "invoke", question.f, question.value, peer)
        return Asked(question, client, peer, self.at, self.schedule.now_us)

    def end(self, asked: Asked, kind: str, result: Any) -> None:
        """kind: ok, fail or info."""
        value = result if kind == "ok" else asked.question.value
        self._write(asked.client, kind, asked.question.f, value, asked.peer)
        if kind == "info":
            self._retired += 1
            self._processes[asked.client] = self._retired

    def note(self, client: int, f: str, value: Any, result: Any, *, peer: str) -> None:
        """A question that was answered at once."""
        self._write(client, "invoke", f, value, peer)
        self._write(client, "ok", f, result, peer)

    def _write(self, client: int, kind: str, f: str, value: Any, peer: str) -> None:
        self.at += 1
        line = {
            "process": self._processes.get(client, client + 100),
            "type": kind,
            "f": f,
            "value": value,
            "time": self.schedule.now_us * 1_000,
            "peer": peer,
        }
        self.lines.append(json.dumps(line, separators=(",", ":")))

    def comes_back(self, *, is_replaced: bool) -> bool:
        """Whether who fell asleep with something goes on with it now: when another has it, else
        seldom."""
        return self.chance.happens(0.7 if is_replaced else 0.02)

    def lasts_us(self) -> int:
        """For so long nobody else gets what was given for `held_ms`, counted from before it was
        asked for: less what the leader's clock catches up in the step after the grant, and less
        what clocks differ by."""
        sure_ms = self.options.held_ms - limits.CLOCK_STEP_MS_MAX
        return sure_ms * (1_000_000 - self.options.drift) // 1_000 - 4_000

    def fail(self, rule: str, text: str) -> NoReturn:
        raise Violation(rule, text)


def command_bytes(command: Command, *, number: int) -> bytes:
    """As `envelope.admit`, but for the least durations: a run lasts seconds, and apply's decoder
    knows no least duration."""
    fields = [VERSION, str(number), "", None, pack_command(command)]
    encoded: bytes = msgpack.packb([*fields, None])
    missing = bytes_least(command) - len(encoded)
    if missing > 0:
        encoded = msgpack.packb([*fields, bytes(missing)])
    return encoded
