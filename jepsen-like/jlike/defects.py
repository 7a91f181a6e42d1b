"""Defects of the product that the suite must find with real processes, and how one is put in. Pure
but for the files of the copy.

Used by `jlike.mutants`. A defect is what somebody could write in good faith. It is made in a copy
of the package, never in the product: there is no switch for it. An edit whose text is not found
exactly once breaks the harness: the code moved, and the defect has to move with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jlike.product import PACKAGE
from jlike.runner import HARNESS, HarnessBroken


@dataclass(frozen=True, slots=True)
class Edit:
    path: str
    """Below the package."""
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """promise: that it breaks. workload: that meets it, under these faults. judge: whose checkers
    must say so; empty: the workload's."""

    name: str
    promise: str
    edits: Sequence[Edit]
    workload: str
    nemeses: Sequence[str]
    judge: str = ""
    seed: int = 1
    clients: int = 12
    rate: float = 150.0


DEFECTS = (
    Defect(
        name="read_asks_nobody",
        promise="a linearizable read holds every write that was acknowledged before it was asked",
        edits=(
            Edit(
                "raft/peer.py",
                "        self._refuse_when_behind()\n        deadline_ms",
                "        self._refuse_when_behind()\n        return self.applied_index\n"
                "        deadline_ms",
            ),
        ),
        workload="register",
        nemeses=("partition",),
    ),
    Defect(
        name="log_is_not_synced",
        promise="what was acknowledged is on the disks of a majority",
        edits=(
            Edit(
                "raft/log_store.py",
                "                sync=True,\n                metasync=True,\n",
                "                sync=False,\n                metasync=False,\n",
            ),
        ),
        workload="set",
        nemeses=("power",),
        judge=HARNESS,  # such a log does not even open any more: its peer never comes back
    ),
    Defect(
        name="any_token_acknowledges",
        promise="a job that was given to another worker is not done by the first one's token",
        edits=(
            Edit(
                "state/apply_queue.py",
                "if is_over or row.token != token:",
                "if is_over:",
            ),
        ),
        workload="queue",
        nemeses=("pause", "kill"),
    ),
    Defect(
        name="lease_is_free_at_half_time",
        promise="nobody else holds a lease while it lasts",
        edits=(
            Edit(
                "state/apply_leases.py",
                "if before.deadline_ms > clock_ms:",
                "if before.deadline_ms > clock_ms + before.duration_ms // 2:",
            ),
        ),
        workload="lock",
        nemeses=("kill",),
    ),
    Defect(
        name="lease_of_the_past_writes",
        promise="a record that is bound to a lease is written by its holder alone",
        edits=(
            Edit(
                "state/apply_kv.py",
                "if lease is not None and (refusal := not_held(writer, lease)):",
                "if lease == 0 and (refusal := not_held(writer, lease)):",
            ),
        ),
        workload="lock",
        nemeses=("pause",),
    ),
    Defect(
        name="repeat_is_applied_again",
        promise="a request that is repeated under its key has one effect",
        edits=(
            Edit(
                "state/dedupe.py",
                "    if record is not None:\n",
                "    if record is not None and record.fingerprint != fingerprint:\n",
            ),
        ),
        workload="requests",
        nemeses=("kill",),
    ),
    Defect(
        name="transaction_compares_nothing",
        promise="a transaction happens only where what it read still stands",
        edits=(
            Edit(
                "state/apply_txn.py",
                "is_success = all(_holds(writer, compare) for compare in command.compares)",
                "is_success = True",
            ),
        ),
        workload="bank",
        nemeses=("kill",),
    ),
    Defect(
        name="silence_is_taken_for_refusal",
        promise="an action whose agent did not answer may be under way: it has not failed",
        edits=(
            Edit(
                "agents/client.py",
                "answer = SendAnswer.REFUSED if is_known else SendAnswer.UNKNOWN",
                "answer = SendAnswer.REFUSED",
            ),
        ),
        workload="orchestration",
        nemeses=("kill",),
        clients=6,
        rate=30.0,
    ),
)


def put_in(edits: Sequence[Edit], package: Path, into: Path) -> None:
    """A copy of the package below the folder `into`, with the edits; without any it is the product
    itself. Raises HarnessBroken when an edit does not fit exactly once."""
    copy = into / PACKAGE
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        path = copy / edit.path
        text = path.read_text("utf-8") if path.exists() else ""
        count = text.count(edit.before)
        if count != 1:
            raise HarnessBroken(f"{edit.path} has {count} times: {edit.before!r}")
        path.write_text(text.replace(edit.before, edit.after), encoding="utf-8")
