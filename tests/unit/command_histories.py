"""Histories of every kind of command. For test_state_histories.py, and a program of its own:

    python tests/unit/command_histories.py SEED…

prints what came of each history, so that processes can be compared.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from random import Random

from command_drawer import NS, WORK_LEASES, Drawer

from replicante.errors import RequestError
from replicante.limits import CONSUMER_SILENCE_MS_MAX
from replicante.model.codec import encode_value
from replicante.state import queries
from replicante.state.commands import (
    Command,
    SetEventRetention,
)
from replicante.state.envelope import Envelope, admit
from replicante.state.lease_commands import (
    LeaseAcquire,
)
from replicante.state.outcome import (
    decode_outcome,
)
from replicante.testing.builders import (
    BuiltEntry,
    CheckedState,
    cluster_document,
    platform_document,
    put_namespace,
    put_object,
)

THEMES = tuple(
    kinds.split()
    for kinds in (
        """kv_put kv_put kv_put kv_delete kv_txn kv_txn batch lease_acquire lease_renew
        lease_release lease_force_release""",
        """put_consumer put_consumer delete_consumer kv_put set_event_retention
        set_feature_level note_quarantine""",
        """put_object put_object delete_object create_action move_action request_work drop_records
        lease_acquire""",
        """lease_acquire lease_acquire record_cycle record_cycle record_cycle record_cycle
        confirm_discovery create_action move_action put_object drop_records""",
        """queue_enqueue queue_enqueue queue_claim queue_claim queue_claim queue_ack queue_ack
        queue_nack queue_nack queue_extend queue_extend queue_resume""",
        """queue_pause queue_resume queue_redrive queue_purge queue_claim queue_enqueue
        lease_acquire""",
    )
)
"""Methods of the drawer, by what meets what; one theme stays for about ten commands."""
ROUNDS = 40
ROUND_COMMANDS_MAX = 5
PAUSES_MS = (*[0] * 14, 500, 1_000, 3_000, 3_000, 9_000, 61_000)


@dataclass
class Round:
    """Commands that are drawn together, before any of them is answered, and their answers."""

    commands: list[Command]
    admitted: list[bytes]
    pause_ms: int
    outcomes: list[bytes] = field(default_factory=list)


def birth() -> Round:
    """What the rest lives in, and the right to work on it."""
    owner = encode_value({})
    commands: list[Command] = [
        put_namespace(NS),
        put_object(cluster_document("r", ns=NS)),
        put_object(platform_document("f", ns=NS)),
        *[LeaseAcquire(name, 60_000, owner) for name in WORK_LEASES],
    ]
    return Round(commands, [admit(Envelope(request_id="", command=it)) for it in commands], 0)


def draw_round(drawer: Drawer, *, is_trimming: bool = True) -> Round:
    """is_trimming: with commands that shorten the event log."""
    random = drawer.random
    commands, admitted = [], []
    for _ in range(random.randrange(ROUND_COMMANDS_MAX + 1)):
        if not drawer.theme or random.random() < 0.1:
            drawer.theme = random.choice(THEMES)
        command = getattr(drawer, random.choice(drawer.theme))()
        key = random.choice([None] * 30 + ["k1", "k2", "k3"])
        first_ms = random.choice([None, drawer.state.clock_ms, drawer.state.clock_ms + 99])
        envelope = Envelope(
            request_id=random.choice(["", "r", "é"]),
            actor=random.choice(["", "ann"]),
            command=command,
            idempotency_key=key,
            first_attempt_ms=None if key is None else first_ms,
        )
        if not is_trimming and isinstance(command, SetEventRetention):
            continue
        try:
            admitted.append(admit(envelope))
        except RequestError:
            continue
        commands.append(command)
    is_long = random.random() < 0.02
    pause_ms = CONSUMER_SILENCE_MS_MAX if is_long else random.choice(PAUSES_MS)
    return Round(commands, admitted, pause_ms)


def carry_out(drawer: Drawer, one: Round, *, is_apart: bool) -> None:
    """Applies the round as one entry, or each of its commands as an entry of its own."""
    state = drawer.state
    state.advance(one.pause_ms)
    if is_apart and one.admitted:
        for command in one.admitted:
            one.outcomes += state.propose_together([command])
    else:
        one.outcomes = state.propose_together(one.admitted)
    drawer.outcomes += one.outcomes
    for asked, outcome in zip(one.commands, one.outcomes, strict=True):
        drawer.learn(asked, decode_outcome(outcome))


class Recorder(CheckedState):
    """Keeps the entries."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[BuiltEntry] = []

    def replay(self, entry: BuiltEntry) -> list[bytes]:
        self.entries.append(entry)
        return super().replay(entry)


@dataclass
class History:
    state: Recorder
    rounds: list[Round]

    @property
    def outcomes(self) -> list[bytes]:
        return [outcome for one in self.rounds for outcome in one.outcomes]


def history(seed: int, *, is_apart: bool = False) -> History:
    """Every invariant is checked after every entry: with is_apart after every command."""
    state = Recorder()
    drawer = Drawer(Random(seed), state)
    rounds = [birth()]
    carry_out(drawer, rounds[0], is_apart=is_apart)
    for _ in range(ROUNDS):
        one = draw_round(drawer)
        carry_out(drawer, one, is_apart=is_apart)
        rounds.append(one)
    return History(state, rounds)


def main() -> None:
    for seed in map(int, sys.argv[1:]):
        made = history(seed)
        state = made.state
        result = {
            "seed": seed,
            "entries": [[command.hex() for command in one.commands] for one in state.entries],
            "outcomes": [outcome.hex() for outcome in made.outcomes],
            "digest": state.machine.digest_at_applied(),
            "chain": queries.events_edge(state.store).chain.hex(),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
