"""A state that lies on the disk, in SQLite. docs/howto/machine-on-disk.md."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import MutableMapping
from contextlib import closing
from pathlib import Path

from replicante.errors import CorruptData
from replicante.raft import Peer

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS applied (entry INTEGER);
CREATE TABLE IF NOT EXISTS sessions (key BLOB PRIMARY KEY, value BLOB);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT);
INSERT INTO applied SELECT 0 WHERE NOT EXISTS (SELECT * FROM applied);
"""


class Sessions(MutableMapping):
    """What makes a command happen once: rows beside the others, in the same transaction."""

    def __init__(self, machine):
        self._machine = machine

    def __getitem__(self, key):
        row = self._machine.ask("SELECT value FROM sessions WHERE key = ?", key)
        if row is None:
            raise KeyError(key)
        return row[0]

    def __setitem__(self, key, value):
        self._machine.db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (key, value))

    def __delitem__(self, key):
        if self._machine.db.execute("DELETE FROM sessions WHERE key = ?", (key,)).rowcount == 0:
            raise KeyError(key)

    def __iter__(self):
        return iter([key for (key,) in self._machine.db.execute("SELECT key FROM sessions")])

    def __len__(self):
        return self._machine.ask("SELECT count(*) FROM sessions")[0]


class SqliteNotes:
    level_max = 1
    is_full = False
    is_disk_full = False

    def __init__(self, path):
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.sessions = Sessions(self)
        self._open()

    def _open(self):
        self.db = sqlite3.connect(self._path, isolation_level=None)
        self.db.executescript(TABLES)
        self.applied_index = self.durable_index = self.ask("SELECT entry FROM applied")[0]

    def ask(self, query, *values):
        return self.db.execute(query, values).fetchone()

    # --- an entry -------------------------------------------------------------------------

    def begin(self, header):
        if not self.db.in_transaction:
            self.db.execute("BEGIN")
        self._index = header.index

    def apply(self, command):
        name, _, text = command.decode().partition("=")
        self.db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))
        return text.encode()

    def end(self):
        self.db.execute("UPDATE applied SET entry = ?", (self._index,))
        self.applied_index = self._index

    # --- to the disk ----------------------------------------------------------------------

    def flush(self):
        if self.db.in_transaction:
            self.db.execute("COMMIT")
        self.durable_index = self.applied_index

    request_flush = flush

    def close(self):
        self.db.close()

    # --- to other peers, into backups -------------------------------------------------------

    def export(self, path):
        with closing(sqlite3.connect(self._path)) as db:
            db.execute("VACUUM INTO ?", (str(path),))
        sync(path)
        return entry_of(path)

    def install(self, path, *, index):
        if entry_of(path) != index:
            raise CorruptData(f"{path} is not as of entry {index}")
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # no journal meets the other file
        self.db.close()
        os.replace(path, self._path)
        sync(self._path.parent)
        self._open()

    # --- what this machine does without -----------------------------------------------------

    def digests(self):
        return ()

    def deadline_ms(self):
        return None


def entry_of(path):
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
            return db.execute("SELECT entry FROM applied").fetchone()[0]
    except sqlite3.Error as error:
        raise CorruptData(f"{path} is no state: {error}") from error


def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def main(name, *members):
    peers = dict(member.split("=") for member in members)
    folder = Path("notes-data", name)
    machine = SqliteNotes(folder / "notes.sqlite")
    peer = Peer(folder, name, peers[name], peers, machine)
    await peer.start()
    try:
        answer = await peer.propose(f"{name}=hello".encode(), timeout_ms=30_000)
        await peer.read_barrier(timeout_ms=30_000)
        print(answer.outcome.decode(), machine.ask("SELECT count(*) FROM notes")[0], flush=True)
        await peer.wait_closed()
    finally:
        await peer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
