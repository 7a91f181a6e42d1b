"""Replays a golden history and prints what came of it; run by the tests of this folder, also in
processes of their own:  python tests/scenarios/golden/replay.py FILE…"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from replicante.state import queries
from replicante.state.apply_entry import EntryKind
from replicante.testing.builders import BuiltEntry, BuiltHeader, CheckedState


def entry_of(written: dict[str, Any]) -> BuiltEntry:
    header = BuiltHeader(
        index=written["index"],
        term=written["term"],
        clock_ms=written["clock_ms"],
        wall_ms=written["wall_ms"],
        kind=EntryKind[written["kind"]],
        detail=written["detail"],
    )
    return BuiltEntry(header=header, commands=tuple(map(bytes.fromhex, written["commands"])))


def results_of(entries: list[BuiltEntry]) -> list[dict[str, Any]]:
    """For each entry: its outcomes, and the digest and the chain after it."""
    state = CheckedState()
    results = []
    for entry in entries:
        outcomes = state.replay(entry)
        _, digest = state.machine.digest_at_applied()
        chain = queries.events_edge(state.store).chain
        results.append(
            {
                "outcomes": [outcome.hex() for outcome in outcomes],
                "digest": digest,
                "chain": chain.hex(),
            }
        )
    return results


def replay_file(path: Path) -> list[dict[str, Any]]:
    history = json.loads(path.read_text())
    return results_of([entry_of(written) for written in history["entries"]])


def main() -> None:
    for name in sys.argv[1:]:
        print(json.dumps(replay_file(Path(name))))


if __name__ == "__main__":
    main()
