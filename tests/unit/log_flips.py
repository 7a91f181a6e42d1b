"""Flips single bits of a log's file and says what became of each. A program of its own, since LMDB
ends the process on some of them when nobody looks before. Not a test file.

    python tests/unit/log_flips.py FOLDER COUNT SEED
"""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from raft_builders import history

from replicante import limits
from replicante.errors import CorruptData, UnsupportedFormat
from replicante.raft.log import HardState, WriteSet
from replicante.raft.log_store import LmdbLog
from replicante.raft.records import encode_record

PAGE_BYTES = 4_096
META_PAGES = 2
HARD = HardState(term=4, voted_for="a")


def open_log(folder: Path) -> LmdbLog:
    return LmdbLog(folder, map_bytes=64 * limits.MIB)


def fill(folder: Path) -> None:
    """More entries than one page holds, written more than once."""
    log = open_log(folder)
    records = [(it.index, encode_record(it)) for it in history("abc", [1] * 60)]
    log.write(WriteSet(None, tuple(records[:40]), HardState(term=1)))
    log.write(WriteSet(None, tuple(records[40:]), HARD))
    log.close()


def what_becomes_of(folder: Path) -> str:
    try:
        log = open_log(folder)
        try:
            loaded = log.load()
            found = None if loaded is None else (loaded.hard, loaded.last.index)
        finally:
            log.close()
    except (CorruptData, UnsupportedFormat):
        return "refused"
    return "the same" if found == (HARD, 61) else f"another log: {found}"


def main(folder: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    fill(folder / "whole")
    whole = (folder / "whole" / "data.mdb").read_bytes()
    seen: Counter[str] = Counter()
    for _ in range(count):
        place = chance.randrange(META_PAGES * PAGE_BYTES, len(whole))
        bit = chance.randrange(8)
        print(f"byte {place} bit {bit}", file=sys.stderr)
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        shutil.rmtree(folder / "flipped", ignore_errors=True)
        (folder / "flipped").mkdir()
        (folder / "flipped" / "data.mdb").write_bytes(flipped)
        seen[what_becomes_of(folder / "flipped")] += 1
    for what, times in sorted(seen.items()):
        print(times, what)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
