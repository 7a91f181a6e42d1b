"""Swarm options: what one simulated run is made of, drawn from its seed.

Called by sim_cluster. Every run leaves out a random part of the faults, so that no fault always
hides behind another. Units: microseconds for what happens outside a peer, milliseconds for what
a peer is set to.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import TypeVar

from replicante.testing.entropy import Chance

_Choice = TypeVar("_Choice")


class Fault(enum.Enum):
    """What is done to the cluster at random moments."""

    CRASH = "crash"
    CRASH_LEADER = "crash_leader"
    CRASH_ALL = "crash_all"
    PAUSE = "pause"
    PAUSE_LEADER = "pause_leader"
    PARTITION = "partition"
    ISOLATE_LEADER = "isolate_leader"
    ONE_WAY = "one_way"
    RESET_LINK = "reset_link"
    HEAL = "heal"
    TRANSFER = "transfer"
    STOP = "stop"
    STALL_DISK = "stall_disk"
    JUMP_DATE = "jump_date"


class Site(enum.StrEnum):
    """What a peer has just done when a fault is triggered."""

    ASKED_FOR_VOTE = "asked_for_vote"
    VOTED = "voted"
    ACKNOWLEDGED = "acknowledged"
    APPENDED = "appended"
    TOLD_COMMIT = "told_commit"
    ANSWERED = "answered"
    ELECTED = "elected"
    HANDED_OVER = "handed_over"
    BEFORE_BARRIER = "before_barrier"
    AFTER_BARRIER = "after_barrier"
    STARTING = "starting"
    INSTALLING = "installing"
    """Between any two steps of the installation of a snapshot, or of a backup."""


class WorkKind(enum.Enum):
    """What a client of the product's own state machine does."""

    QUEUE = "queue"
    LEASE = "lease"
    BANK = "bank"
    FOLLOW = "follow"


class Disaster(enum.Enum):
    """Which only an operator ends; after the first two a cluster is in its next generation."""

    BACKUP = "backup"
    """Somebody begins again from what one peer had durably at some moment."""
    LOST_MAJORITY = "lost_majority"
    """Somebody forces the survivor that knows most."""
    POISON = "poison"
    """No peer can apply an entry, until it is skipped."""


class Reaction(enum.Enum):
    """What a triggered fault does to the peer."""

    CRASH = "crash"
    PAUSE = "pause"
    CUT = "cut"


SITE_PROBABILITY = {
    Site.ASKED_FOR_VOTE: 0.10,
    Site.VOTED: 0.15,
    Site.ACKNOWLEDGED: 0.006,
    Site.APPENDED: 0.006,
    Site.TOLD_COMMIT: 0.006,
    Site.ANSWERED: 0.02,
    Site.ELECTED: 0.20,
    Site.HANDED_OVER: 0.60,
    Site.BEFORE_BARRIER: 0.01,
    Site.AFTER_BARRIER: 0.01,
    Site.STARTING: 0.10,
    Site.INSTALLING: 0.10,
}
"""Rare promises are followed by a fault more often than frequent ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    seed: int
    voters_count: int
    learners_count: int
    safety_ms: int
    heartbeat_ms: int
    election_ms_min: int
    election_ms_max: int
    delay_us: tuple[int, int]
    spike: tuple[float, int]
    """(probability, longest extra delay in µs)"""
    loss: float
    duplication: float
    repeat_us: int
    """Longest delay of a repeated message behind the first."""
    is_ordered: bool
    """Messages of one link and channel arrive in the order of sending, as over TCP."""
    holds_when_cut: bool
    """What is sent into a cut waits and arrives after it, as under retransmission."""
    sync_us: tuple[int, int]
    loop_us: tuple[int, int]
    """From being woken to the step, and from the disk's answer to what follows it."""
    drift: int
    """Clocks differ by at most so many parts in a million."""
    clients_count: int
    keys_count: int
    think_us: int
    padding_bytes: int
    """Longest stretch of meaningless bytes in a command."""
    deadline_ms: tuple[int, int]
    reads_share: float
    probes: float
    """Share of answered writes after which somebody reads elsewhere at once."""
    fault_gap_us: int
    faults: tuple[Fault, ...]
    triggers: tuple[Site, ...]
    reactions: tuple[Reaction, ...]
    restart_us: tuple[int, int]
    durable_machines: int
    """So many peers keep their state on a disk that lags; the others keep it in memory."""
    flush_ms: int
    log_kept_bytes: int
    save_entries: int
    """Entries after which a machine in memory saves its state."""
    spares_count: int
    """Peers that are no members at the beginning, and may be added."""
    change_gap_us: int
    """Mean time between changes of the members; 0: they stay."""
    works: tuple[WorkKind, ...]
    """What clients do with the product's own state machine; none: the machines are registers."""
    held_ms: int
    """How long a claim or a lease lasts."""
    disaster: Disaster | None
    """In the middle of the first phase."""
    bounds: tuple[tuple[str, int], ...]
    """Names of replicante.limits and what they are in this run."""

    def describe(self) -> str:
        return " ".join(
            f"{field.name}={_shown(getattr(self, field.name))}" for field in fields(self)
        )


def draw(seed: int) -> Options:
    chance = Chance(seed, "options")
    voters_count = chance.weighted([(3, 55), (5, 20), (4, 12), (2, 8), (1, 5)])
    election_ms_min, election_ms_max = chance.weighted(
        [((100, 200), 3), ((120, 180), 3), ((100, 110), 3), ((80, 320), 3), ((600, 1_200), 2)]
    )
    # The last are the real ones: whatever outlasts a timeout has to grow with them.
    pace = max(election_ms_min // 100, 1)
    # Of their own stream: whoever changes members meets the faults of runs that do not.
    life = Chance(seed, "members")
    spares_count = life.weighted([(0, 60), (2, 15), (4, 25)])
    change_gap_us = pace * life.pick([30_000, 120_000, 400_000]) if spares_count else 0
    # Of its own as well: registers are asked the same in every run that has them.
    work = Chance(seed, "works")
    has_real_state = work.happens(0.3)
    works = _subset(work, list(WorkKind), 0.7) or (WorkKind.QUEUE,)
    # And so do runs of one generation.
    end = Chance(seed, "disaster")
    disaster = end.weighted(
        [
            (None, 80),
            (Disaster.BACKUP, 7),
            (Disaster.LOST_MAJORITY, 8),
            (Disaster.POISON, 5),
        ]
    )
    return Options(
        seed=seed,
        voters_count=voters_count,
        learners_count=chance.weighted([(0, 80), (1, 15), (2, 5)]) if voters_count < 5 else 0,
        safety_ms=pace * chance.pick([1_200, 2_400, 3_600]),
        heartbeat_ms=election_ms_min // chance.pick([4, 6]),
        election_ms_min=election_ms_min,
        election_ms_max=election_ms_max,
        delay_us=chance.pick([(100, 500), (100, 3_000), (500, 12_000)]),
        spike=chance.pick([(0.0, 0), (0.01, 60_000), (0.03, 200_000), (0.01, 600_000)]),
        loss=chance.pick([0.0, 0.0, 0.02, 0.20]),
        duplication=chance.pick([0.0, 0.0, 0.03, 0.20]),
        repeat_us=chance.pick([2_000, 150_000, 1_000_000]),
        is_ordered=chance.happens(0.5),
        holds_when_cut=chance.happens(0.5),
        sync_us=chance.pick([(200, 400), (200, 4_000), (1_000, 25_000)]),
        loop_us=chance.pick([(10, 50), (20, 1_500)]),
        drift=chance.pick([0, 1_000, 50_000]),
        clients_count=chance.between(2, 5),
        keys_count=chance.between(1, 4),
        think_us=pace * chance.pick([500, 3_000, 15_000]),
        padding_bytes=chance.pick([0, 0, 150]),
        deadline_ms=chance.pick([(20, 120), (60, 600), (1_000, 2_000)]),
        reads_share=chance.pick([0.2, 0.4, 0.7]),
        probes=chance.pick([0.0, 0.3, 1.0]),
        fault_gap_us=pace * chance.pick([30_000, 100_000, 300_000, 1_000_000]),
        faults=_subset(chance, list(Fault), 0.45),
        triggers=_subset(chance, list(Site), 0.45),
        reactions=_subset(chance, list(Reaction), 0.5) or (Reaction.CRASH,),
        restart_us=chance.pick([(0, 4_000), (0, 60_000), (0, 400_000)]),
        durable_machines=chance.between(0, voters_count),
        flush_ms=chance.pick([5, 40, 200]),
        log_kept_bytes=chance.pick([1, 1_500, 64 << 20]),
        save_entries=chance.pick([4, 30, 1 << 40]),
        works=works if has_real_state else (),
        held_ms=election_ms_min * work.pick([2, 4, 9]),
        disaster=disaster,
        bounds=_draw_bounds(chance, election_ms_min, has_real_state=has_real_state),
        spares_count=spares_count,
        change_gap_us=change_gap_us,
    )


def _subset(chance: Chance, choices: list[_Choice], share: float) -> tuple[_Choice, ...]:
    return tuple(choice for choice in choices if chance.happens(share))


def _draw_bounds(
    chance: Chance, election_ms_min: int, *, has_real_state: bool
) -> tuple[tuple[str, int], ...]:
    """Small bounds reach in a second what real ones reach in a month."""
    pending = chance.pick([2, 8, 4_096])
    command_bytes = chance.pick([60, 1_000, 1 << 20])
    if has_real_state:
        command_bytes = max(command_bytes, 1_000)  # its smallest command is longer than 60 bytes
    # Its state is so much larger: whoever takes it has to arrive before the log has moved on.
    size = 40 if has_real_state else 1
    drawn = {
        "APPEND_ENTRIES_MAX": chance.pick([1, 2, 256]),
        "APPEND_BYTES_MAX": chance.pick([1, 512 * 1_024]),
        "APPEND_INFLIGHT_MAX": chance.pick([1, 2, 8]),
        "ENTRY_COMMANDS_MAX": chance.pick([1, 2, 1_024]),
        "APPLY_COMMANDS_MAX": chance.pick([1, 3, 1_024]),
        "LOG_TAIL_BYTES_MAX": chance.pick([1, 600, 16 << 20]),
        "PROPOSALS_PENDING_MAX": pending,
        "SESSION_OUTCOMES_MAX": pending,
        "SESSION_OUTCOME_BYTES_MAX": chance.pick([0, 1_024, 1_024]),
        "COMMAND_BYTES_MAX": command_bytes,
        "FORWARDED_COMMANDS_MAX": chance.pick([2, 65_536]),
        "FORWARDED_BYTES_MAX": chance.pick([2, 1_000]) * command_bytes,
        "PROPOSALS_PENDING_BYTES_MAX": chance.pick([3, 1_000]) * command_bytes,
        "READS_PENDING_MAX": chance.pick([2, 16_384]),
        "ROUNDS_KEPT_MAX": chance.pick([2, 256]),
        "SNAPSHOT_CHUNK_BYTES": chance.pick([50, 1_000]) * size,
        "SNAPSHOT_WINDOW_BYTES": chance.pick([50, 4_000]) * size,
        "SNAPSHOT_RETRY_MS": election_ms_min,
        "LOG_HELD_FACTOR": chance.pick([1, 4]),
        "CLOCK_TICK_MS": chance.pick([50, 10_000]),
        "CLOCK_STEP_MS_MAX": election_ms_min,
        "RESEND_MS": election_ms_min,
    }
    return tuple(drawn.items())


def _shown(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return "(" + ",".join(_shown(part) for part in value) + ")"
    return str(value)
