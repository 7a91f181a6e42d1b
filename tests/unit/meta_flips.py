"""Flips every bit of what LMDB's two meta pages hold, one at a time, and says what became of each.
A program of its own, since LMDB ends the process on some of them when nobody looks before. Not a
test file.

    python tests/unit/meta_flips.py log|state FOLDER
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import log_flips
from raft_builders import history
from storage_builders import open_store

from replicante.errors import CorruptData
from replicante.raft.log import HardState, WriteSet
from replicante.raft.records import encode_record

META_BYTES = 152
"""Of a meta page that mean something."""
PAGE_BYTES = 4_096
ROWS = {b"k%d" % number: b"v" * number for number in range(200)}
LAST_TERM = 9


def fill_log(folder: Path) -> None:
    """Of commits whose numbers become their neighbours' by one bit."""
    log_flips.fill(folder)
    log = log_flips.open_log(folder)
    for term in (8, LAST_TERM):
        log.write(WriteSet(None, (), HardState(term=term, voted_for="b")))
    record = history("abc", [1] * 61)[-1]
    log.write(WriteSet(None, ((record.index, encode_record(record)),), None))
    log.close()


def open_log(folder: Path) -> object:
    log = log_flips.open_log(folder)
    try:
        loaded = log.load()
        return None if loaded is None else (loaded.hard, loaded.last.index)
    finally:
        log.close()


def fill_state(folder: Path) -> None:
    store = open_store(folder)
    for index, (key, value) in enumerate(ROWS.items(), 1):
        store.put(key, value)
        store.end_entry(index)
        if index % 50 == 0:
            store.flush()
    store.close()


def open_state(folder: Path) -> object:
    store = open_store(folder)
    try:
        return store.applied_index, [store.get(key) for key in ROWS]
    finally:
        store.close()


def main(part: str, folder: Path) -> None:
    fill, opened = (fill_log, open_log) if part == "log" else (fill_state, open_state)
    (folder / "flipped").mkdir(parents=True)
    data = folder / "flipped" / "data.mdb"
    fill(folder / "whole")
    whole = (folder / "whole" / "data.mdb").read_bytes()
    expected = opened(folder / "whole")
    seen: Counter[str] = Counter()
    for place in (*range(META_BYTES), *range(PAGE_BYTES, PAGE_BYTES + META_BYTES)):
        for bit in range(8):
            print(f"byte {place} bit {bit}", file=sys.stderr)
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            data.write_bytes(flipped)
            try:
                found = opened(folder / "flipped")
            except CorruptData as error:
                assert error.hints, "no way out"
                seen["refused"] += 1
            else:
                seen["the same" if found == expected else f"byte {place} bit {bit}: {found}"] += 1
    for what, times in sorted(seen.items()):
        print(times, what)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
