"""kill -9 at any moment leaves rows and index of one and the same flush."""

from __future__ import annotations

import random
import subprocess
import sys

from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_store import LmdbStore

MAP_BYTES = 1 << 30
ROUNDS = 30

WRITER = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from test_storage_crash import MAP_BYTES, changes
from replicante.storage.lmdb_store import LmdbStore

sys.setswitchinterval(0.0005)
store = LmdbStore.open(pathlib.Path(sys.argv[1]), identity=b"p1", map_bytes=MAP_BYTES)
index = store.applied_index
while True:
    index += 1
    for key, value in changes(index):
        if value is None:
            store.delete(key)
        else:
            store.put(key, value)
    store.end_entry(index)
    store.request_flush()
    print(store.durable_index, flush=True)
"""


def changes(index):
    """The rows that an entry changes, from its index alone: overwrites, deletes, big values."""
    source = random.Random(index)
    rows = [(b"n%d" % source.randrange(500), b"%d" % index) for _ in range(20)]
    rows += [(b"n%d" % source.randrange(500), None) for _ in range(5)]
    rows.append((b"big%d" % (index % 3), b"%d" % index * 5_000))
    rows.append((b"e%08d" % index, b""))
    return rows


def test_a_killed_writer_leaves_the_rows_of_exactly_one_index(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    model, at = {}, 0
    for _ in range(ROUNDS):
        lines = chance.randrange(1, 3_000)
        command = [sys.executable, "-c", WRITER, str(tmp_path), __file__.rpartition("/")[0]]
        known_durable = at
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            for _ in range(lines):
                known_durable = int(writer.stdout.readline())
            writer.kill()
            writer.wait(timeout=20)
        store = LmdbStore.open(tmp_path, identity=b"p1", map_bytes=MAP_BYTES)
        assert store.applied_index == store.durable_index >= known_durable >= at
        while at < store.applied_index:
            at += 1
            for key, value in changes(at):
                if value is None:
                    model.pop(key, None)
                else:
                    model[key] = value
        assert dict(store.scan(b"", ABOVE_ALL_KEYS)) == model
        store.close()
    print(f"{at} entries survived {ROUNDS} kills")
    assert at > 0
