"""A large state on its way to a new learner while writes go on: MB/s, and what it costs the writes.

    python bench/stream.py [--mib N] [--callers N] [--seconds S] [--folder DIR]

Three processes on loopback with Replicante's own machine are filled; writes are measured without
and then with a fourth process that joins by token. All share the cores and the disk, which a real
learner would not: the rate of writes is a lower bound. Compare the figures of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from raft_group import Group, Member, fsync_ms, running

_PATIENCE_S = 300.0
_MIB = 1 << 20
_PIECE_KEYS = 5_000
"""Filled by one order, so that each is answered soon."""


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-stream-") as name,
        running("raft_ours.py", Path(name) / "group", machine="own") as group,
    ):
        syncs = fsync_ms(Path(name))
        report = measure(group, options)
    report |= {
        "load_1_minute": round(os.getloadavg()[0], 2),
        "fdatasync_4kib_p50_ms": round(syncs[len(syncs) // 2], 3),
    }
    print(json.dumps(report, indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024, help="values in the state")
    parser.add_argument("--value-bytes", type=int, default=10_240)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0, help="of writes without a learner")
    parser.add_argument("--folder", type=Path, help="where data directories go; a real disk")
    return parser.parse_args()


def measure(group: Group, options: argparse.Namespace) -> dict[str, Any]:
    leader = group.ready_leader()
    keys = options.mib * _MIB // options.value_bytes
    for first in range(0, keys, _PIECE_KEYS):
        until = min(first + _PIECE_KEYS, keys)
        leader.ask(do="fill", first=first, until=until, value_bytes=options.value_bytes, callers=64)
    leader = group.ready_leader()
    alone = _load(leader, options, seconds=options.seconds)
    before = {member.peer_id: member.ask(do="snapshots") for member in group.members}
    token = leader.ask(do="invite", peer_id="d")["token"]
    until_installed = _Learner(group, token)
    during = []
    while until_installed.is_under_way:
        during.append(_load(leader, options, seconds=1.0))
    after = {member.peer_id: member.ask(do="snapshots") for member in group.members}
    made, took_s = max(after.values(), key=lambda it: it["made_at_s"]), until_installed.took_s
    rate_during = sum(load["writes"] for load in during) / sum(load["seconds"] for load in during)
    return {
        "state_mib": round(made["made_bytes"] / _MIB),
        "took_s": round(took_s, 2),
        "of_it_until_made_s": round(made["made_at_s"] - until_installed.began_s, 2),
        "mb_per_s": round(made["made_bytes"] / 1e6 / took_s, 1),
        "leader_changes": sum(
            after[peer_id]["elections"] - before[peer_id]["elections"] for peer_id in before
        ),
        "writes_per_s_alone": alone["writes_per_s"],
        "writes_per_s_during": round(rate_during, 1),
        "writes_per_s_by_second": [load["writes_per_s"] for load in during],
        "share_of_writes_kept": round(rate_during / alone["writes_per_s"], 2),
        "p99_ms_alone": alone["p99_ms"],
        "p99_ms_during": max(load["p99_ms"] or 0 for load in during),
        "commit_ms_max_alone": before[leader.peer_id]["commit_ms_max"],
        "commit_ms_max_during": {
            peer_id: round(seen["commit_ms_max"]) for peer_id, seen in after.items()
        },
    }


class _Learner:
    """Joins on a thread of its own: the orders of the leader are answered meanwhile."""

    def __init__(self, group: Group, token: str) -> None:
        self._group, self._token = group, token
        self.began_s = time.monotonic()
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_under_way(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        """From the start of its process until the state is its own."""
        learner = self._group.join("d", self._token)
        while (installed_s := learner.ask(do="snapshots")["installed_at_s"]) == 0:
            if time.monotonic() - self.began_s > _PATIENCE_S:
                raise TimeoutError("the learner did not receive the state")
            time.sleep(0.05)
        self.took_s = installed_s - self.began_s


def _load(leader: Member, options: argparse.Namespace, *, seconds: float) -> dict[str, Any]:
    return leader.ask(
        do="load", callers=options.callers, command_bytes=100, seconds=seconds, warmup_seconds=0.1
    )


if __name__ == "__main__":
    main()
