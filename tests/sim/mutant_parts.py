"""What a mutant is made of: files of the product, edits, and the promise that it breaks."""

from __future__ import annotations

from dataclasses import dataclass

AGREEMENT = "raft/agreement.py"
CHANGES = "raft/changes.py"
CHANGING = "raft/changing.py"
COMPARING = "raft/comparing.py"
DRIVER = "raft/driver.py"
COMMIT_NOTICES = "raft/commit_notices.py"
ELECTIONS = "raft/engine_elections.py"
ENGINE = "raft/engine.py"
ENGINE_CORE = "raft/engine_core.py"
FORWARDING = "raft/forwarding.py"
FRESHNESS = "raft/freshness.py"
LOG = "raft/log.py"
NEIGHBOURS = "raft/neighbours.py"
PEER = "raft/peer.py"
PROPOSALS = "raft/proposals.py"
READING = "raft/reading.py"
READS = "raft/reads.py"
REPLICATION = "raft/replication.py"
SERVED_TIME = "raft/served_time.py"
SESSIONS = "raft/sessions.py"
SNAPSHOTS = "raft/snapshots.py"
UPSTREAM_PARTS = "raft/upstream_parts.py"


@dataclass(frozen=True, slots=True)
class Edit:
    path: str
    """Below the package."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    promise: str
    """What it breaks, in the words of the paper or of a decision record."""
    edits: tuple[Edit, ...]
    seeds_max: int = 2_000
    test: str = ""
    """A test of one peer that finds it in place of the simulator, which meets it too seldom."""


def early(kinds: str) -> Edit:
    return Edit(
        DRIVER,
        "is_early = may_hurry and isinstance(message, m.Append)\n",
        f"is_early = isinstance(message, m.Append | {kinds})\n",
    )


def unit_test(file: str, claim: str) -> str:
    """The id of a test in `tests/unit/test_{file}.py`."""
    return f"tests/unit/test_{file}.py::test_{claim}"
