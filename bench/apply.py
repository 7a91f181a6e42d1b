"""Measures apply: microseconds of CPU for one kv put with its event and chain, by entry size.

    python bench/apply.py [--puts N] [--store memory|lmdb]

The log, the network and the flush are left out; with --store lmdb the flush runs on its thread
meanwhile, as in a peer. The parts of a put are measured one by one over the same commands, beside
a yardstick that no version of ours changes: on a shared machine processor time itself is dear and
cheap in turn. Figures are for comparing two versions in one run on one machine.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from replicante.ids import Stamp, format_stamp
from replicante.model.codec import encode_value
from replicante.state import apply_kv
from replicante.state.apply_entry import EntryKind
from replicante.state.commands import Batch, KvPut
from replicante.state.digest import row_hash
from replicante.state.envelope import unpack_envelope
from replicante.state.eventlog import EventCode
from replicante.state.machine import ReplicatedState
from replicante.state.outcome import Applied, encode_outcome
from replicante.state.queue_tally import QueueTally
from replicante.state.tables import Counters, Retention
from replicante.state.writer import Writer
from replicante.storage.kv import Store
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore
from replicante.testing.builders import BuiltHeader, envelope_bytes

ENTRY_SIZES = (1, 16, 256)
VALUE_BYTES = 100
KEYS = 10_000
ROUNDS = 3
FLUSH_EVERY_PUTS = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--puts", type=int, default=30_000)
    parser.add_argument("--store", choices=("memory", "lmdb"), default="memory")
    options = parser.parse_args()
    commands = _commands(options.puts)
    keyed = _commands(options.puts, is_keyed=True)
    print(f"store {options.store}, {options.puts} puts of {VALUE_BYTES} bytes on {KEYS} keys")
    for size in ENTRY_SIZES:
        _report(f"{size:>4} puts an entry", options, commands, entry_size=size)
    _report(" 256, each with an Idempotency-Key", options, keyed, entry_size=256)
    batches = _batches(options.puts)
    _report(" one batch of 256 an entry", options, batches, entry_size=1, weight=256)
    _report_parts(commands)


def _report(
    title: str,
    options: argparse.Namespace,
    commands: list[bytes],
    *,
    entry_size: int,
    weight: int = 1,
) -> None:
    applying, in_all = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            open_store = _lmdb(Path(folder)) if options.store == "lmdb" else _memory
            apply_us, all_us = _run(open_store(), commands, entry_size=entry_size)
            applying.append(apply_us / weight)
            in_all.append(all_us / weight)
    print(
        f"{title:<36} {statistics.median(applying):6.2f} µs a put (best {min(applying):5.2f}),"
        f" with flush and digest {statistics.median(in_all):6.2f}"
    )


def _run(store: Store, commands: list[bytes], *, entry_size: int) -> tuple[float, float]:
    """Microseconds of CPU for one command: of the loop's thread, and of the whole process until
    everything is flushed and digested."""
    machine = ReplicatedState(store)
    starts = range(0, len(commands), entry_size)
    headers = [
        BuiltHeader(index=index, clock_ms=index, kind=EntryKind.COMMANDS)
        for index in range(1, len(starts) + 1)
    ]
    since_flush = 0
    gc.collect()
    began, began_process = time.thread_time(), time.process_time()
    for header, start in zip(headers, starts, strict=True):
        machine.begin(header)
        for command in commands[start : start + entry_size]:
            machine.apply(command)
        machine.end()
        since_flush += entry_size
        if since_flush >= FLUSH_EVERY_PUTS:
            machine.request_flush()
            since_flush = 0
    took = time.thread_time() - began
    machine.flush()
    took_process = time.process_time() - began_process
    machine.close()
    return took / len(commands) * 1e6, took_process / len(commands) * 1e6


def _report_parts(commands: list[bytes]) -> None:
    """In memory, in entries of 256."""
    rounds = [_parts(commands) for _ in range(ROUNDS)]
    for name in rounds[0]:
        took_us = sorted(one[name] for one in rounds)
        print(f"  {name:<34} {statistics.median(took_us):6.2f} µs (best {took_us[0]:5.2f})")


def _parts(commands: list[bytes]) -> dict[str, float]:
    """Part → microseconds of CPU of one."""
    puts = [unpack_envelope(command).command for command in commands]
    applied = Applied(Stamp(1 << 20))
    payload = encode_value(
        {"previous": None, "revision": format_stamp(1 << 20), "value": "v" * 100}
    )
    block = bytes(300)

    def put(writer: Writer, i: int) -> None:
        one = puts[i]
        assert isinstance(one, KvPut)
        apply_kv.put(writer, one)

    return {
        "read the envelope": _each(commands, lambda _, i: unpack_envelope(commands[i])),
        "row, event and chain": _each(commands, put),
        "of these, event and chain": _each(
            commands, lambda writer, _: writer.emit(EventCode.KV_PUT, payload, key="bench/key-1")
        ),
        "write the answer": _each(commands, lambda _writer, _i: encode_outcome(applied)),
        "yardstick: blake2b of 300 bytes": _each(
            commands, lambda _writer, _i: blake2b(block, digest_size=16).digest()
        ),
    }


def _each(commands: list[bytes], do: Callable[[Writer, int], object]) -> float:
    store = _memory()
    writer = Writer(store, Counters(), Retention(), QueueTally())
    size = ENTRY_SIZES[-1]
    gc.collect()
    began = time.thread_time()
    for index, start in enumerate(range(0, len(commands), size), start=1):
        writer.begin_entry(index=index, wall_ms=index)
        for i in range(start, min(start + size, len(commands))):
            do(writer, i)
        store.end_entry(index)
    return (time.thread_time() - began) / len(commands) * 1e6


def _commands(count: int, *, is_keyed: bool = False) -> list[bytes]:
    return [
        envelope_bytes(
            _put(i), request_id=f"r-{i:08d}", idempotency_key=f"k-{i:08d}" if is_keyed else None
        )
        for i in range(count)
    ]


def _batches(count: int) -> list[bytes]:
    return [
        envelope_bytes(Batch(tuple(_put(start + i) for i in range(256))))
        for start in range(0, count, 256)
    ]


def _put(i: int) -> KvPut:
    return KvPut(b"bench/key-%08d" % (i * 7919 % KEYS), encode_value("v" * VALUE_BYTES))


def _memory() -> Store:
    return MemoryStore(row_hash=row_hash)


def _lmdb(folder: Path) -> Callable[[], Store]:
    return lambda: LmdbStore.open(folder / "state", identity=b"bench", row_hash=row_hash)


if __name__ == "__main__":
    main()
