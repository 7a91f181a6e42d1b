"""Costs of the LMDB store, in microseconds an operation: python bench/storage.py [rows]

Absolute figures of one machine in one minute: compare only what one run printed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_store import LmdbStore

VALUE = bytes(84)
SEED = 1


def report(name: str, seconds: float, count: int) -> None:
    print(f"{name:58s} {seconds / count * 1e6:10.2f} us   ({count} in {seconds * 1e3:.1f} ms)")


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    begin = time.perf_counter()
    work()
    report(name, time.perf_counter() - begin, count)


def fill(store: LmdbStore, keys: list[bytes], *, rows_per_entry: int) -> None:
    put, index = store.put, store.applied_index
    for place in range(0, len(keys), rows_per_entry):
        for key in keys[place : place + rows_per_entry]:
            put(key, VALUE)
        index += 1
        store.end_entry(index)


def first_page(store: LmdbStore, *, is_reversed: bool = False) -> list[tuple[bytes, bytes]]:
    with store.view() as view:
        rows = view.scan(b"k", b"l", is_reversed=is_reversed)
        return [next(rows) for _ in range(100)]


def put_while_flushing(store: LmdbStore, keys: list[bytes]) -> None:
    """A loop that never waits, with a flush beside it: what each costs the other."""
    store.request_flush()
    target, entries, slowest = store.applied_index, 0, 0.0
    begin = time.perf_counter()
    while store.durable_index < target:
        before = time.perf_counter()
        for key in keys[entries * 100 % 100_000 :][:100]:
            store.put(b"w" + key, VALUE)
        entries += 1
        store.end_entry(target + entries)
        slowest = max(slowest, time.perf_counter() - before)
    seconds = time.perf_counter() - begin
    report("entry of 100 puts beside a flush of 100,000 rows", seconds, entries)
    print(f"{'':58s} slowest: {slowest * 1e3:.2f} ms")


def pace_beside_a_busy_loop(store: LmdbStore) -> None:
    """Rows a second of a flush beside a loop that works 5 ms and waits 0.3 ms."""
    done = threading.Event()
    store.request_flush()
    target = store.applied_index
    begin = time.perf_counter()
    while store.durable_index < target:
        until = time.perf_counter() + 0.005
        while time.perf_counter() < until:
            pass
        store.put(b"tick", b"")
        store.end_entry(store.applied_index + 1)
        done.wait(0.0003)
    report("flush beside a loop busy for 94 %, a row", time.perf_counter() - begin, 100_000)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sys.setswitchinterval(0.0005)
    source = random.Random(SEED)
    keys = [b"k" + source.randbytes(16) for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="replicante-bench-") as directory:
        store = LmdbStore.open(Path(directory) / "state", identity=b"bench")
        part = keys[:100_000]
        timed(
            "put, 1 row an entry, with end_entry",
            len(part),
            lambda: fill(store, part, rows_per_entry=1),
        )
        timed("get, in the memtable", len(part), lambda: [store.get(key) for key in part])
        timed(
            "put again, 1000 rows an entry",
            len(part),
            lambda: fill(store, part, rows_per_entry=1000),
        )
        timed("flush, a row", len(part), store.flush)
        timed("get, on disk", len(part), lambda: [store.get(key) for key in part])
        timed("get, absent", len(part), lambda: [store.get(key + b"x") for key in part])
        for place in range(100_000, count, 100_000):
            fill(store, keys[place : place + 100_000], rows_per_entry=1000)
            store.flush()
        print(f"-- {count} rows on disk")
        timed(
            "view, one get on disk",
            10_000,
            lambda: [store.view().get(key) for key in keys[:10_000]],
        )
        timed("first page of 100 rows", 100, lambda: [first_page(store) for _ in range(100)])
        timed(
            "last page of 100 rows",
            100,
            lambda: [first_page(store, is_reversed=True) for _ in range(100)],
        )
        timed(
            "scan of all rows, a row",
            count,
            lambda: sum(1 for _ in store.scan(b"", ABOVE_ALL_KEYS)),
        )
        more = [b"k" + source.randbytes(16) for _ in range(200_000)]
        fill(store, more, rows_per_entry=250)
        print("-- and 200,000 rows in the memtable")
        timed("first page of 100 rows, the first time", 1, lambda: first_page(store))
        timed("first page of 100 rows", 100, lambda: [first_page(store) for _ in range(100)])
        timed("scan of one row", 1000, lambda: [list(store.scan(k, k + b"x")) for k in keys[:1000]])
        store.flush()
        fill(store, [b"k" + source.randbytes(16) for _ in range(100_000)], rows_per_entry=1000)
        put_while_flushing(store, more)
        store.flush()
        fill(store, [b"k" + source.randbytes(16) for _ in range(100_000)], rows_per_entry=1000)
        pace_beside_a_busy_loop(store)
        store.close()


if __name__ == "__main__":
    main()
