"""Keeps the agent's actions, their history, and the epoch, durably in SQLite. Called by `server`
and `runner`.

Rules: one thread owns the connection, so that each method is one transaction after another; a
method returns when its change is on the disk; the epoch is compared within the transaction that it
guards, so that nothing of an older epoch gets in behind a newer one.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from replicante.agents.sdk.values import KeptAction, Order, Phase, Refusal, Step
from replicante.limits import (
    AGENT_ACTIONS_KEPT_MS,
    AGENT_ACTIONS_LISTED_MAX,
    AGENT_ACTIONS_WAITING_MAX,
)
from replicante.model.civil_time import format_rfc3339
from replicante.model.codec import Value

T = TypeVar("T")

FILE = "agent.db"
_LOCK = "LOCK"
STALE_EPOCH_STATUS = 412
_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS action (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, args TEXT NOT NULL, metadata TEXT NOT NULL,
    created_ms INTEGER NOT NULL, deadline_ms INTEGER, scheduled_ms INTEGER NOT NULL,
    finished_ms INTEGER, phase TEXT NOT NULL, error TEXT NOT NULL DEFAULT 'null',
    payload TEXT NOT NULL DEFAULT 'null', cancel_asked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS action_by_end ON action (finished_ms, place);
CREATE TABLE IF NOT EXISTS history (
    place INTEGER NOT NULL REFERENCES action (place) ON DELETE CASCADE,
    phase TEXT NOT NULL, at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS history_of_action ON history (place);
CREATE TABLE IF NOT EXISTS fence (
    only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL
);
INSERT OR IGNORE INTO fence VALUES (1, 0);
CREATE TABLE IF NOT EXISTS identity (
    only INTEGER PRIMARY KEY CHECK (only = 1), incarnation TEXT NOT NULL
);
"""
_COLUMNS = (
    "id, kind, args, metadata, created_ms, deadline_ms, scheduled_ms, finished_ms, phase, error,"
    " payload, cancel_asked"
)


class ActionStore:
    """`await ActionStore.open(folder)`. Methods are called on the loop and may overlap; an
    sqlite3.Error from any of them means that nothing was promised."""

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        db: sqlite3.Connection,
        *,
        lock: IO[str],
        incarnation: str,
    ) -> None:
        self._thread = thread
        self._db = db
        self._lock = lock
        self.incarnation = incarnation
        """Of what is kept here: another one after the folder was lost."""

    @classmethod
    async def open(cls, folder: Path, *, fresh_incarnation: str) -> ActionStore:
        """fresh_incarnation: of a folder that has none; it stays as long as the folder does.

        Raises OSError, also when another process works in this folder; sqlite3.Error."""
        lock = _locked(folder)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agent-store")
        loop = asyncio.get_running_loop()
        try:
            db, kept = await loop.run_in_executor(thread, _open, folder, fresh_incarnation)
        except BaseException:
            thread.shutdown(wait=False)
            lock.close()
            raise
        return cls(thread, db, lock=lock, incarnation=kept)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=False)
        self._lock.close()

    async def raise_epoch(self, epoch: int | None) -> None:
        """Remembers a greater epoch.  Raises Refusal for one that is older than the greatest; None
        is a caller that takes no part in fencing: it may read."""
        await self._do(lambda: self._fence(epoch))

    async def forget_epoch(self, *, fresh_incarnation: str) -> int:
        """Obeys whoever calls next; the epoch that was known. It is another incarnation from then
        on: what was sent to the one before, under whichever epoch, is refused."""
        held = await self._do(lambda: self._forget(fresh_incarnation))
        self.incarnation = fresh_incarnation
        return held

    async def submit(self, order: Order, *, epoch: int | None, now_ms: int) -> None:
        """Raises Refusal: an older epoch, none where one was seen, an id that exists, a full
        queue."""
        await self._do(lambda: self._submit(order, epoch, now_ms))

    async def cancel(self, action_id: str, *, epoch: int | None, now_ms: int) -> KeptAction:
        """A new action is cancelled at once, a running one after its step.  Raises Refusal as
        `submit`, or 404."""
        return await self._do(lambda: self._cancel(action_id, epoch, now_ms))

    async def next(self) -> KeptAction | None:
        """The one to go on with: what runs, before what is new, oldest first."""
        where = "finished_ms IS NULL ORDER BY phase = 'RUNNING' DESC, place LIMIT 1"
        found = await self._do(lambda: self._select(where))
        return found[0] if found else None

    async def get(self, action_id: str) -> tuple[KeptAction, list[dict[str, Value]]] | None:
        return await self._do(lambda: self._get(action_id))

    async def unfinished(self) -> list[KeptAction]:
        """Oldest first."""
        where = f"finished_ms IS NULL ORDER BY place LIMIT {AGENT_ACTIONS_LISTED_MAX}"
        return await self._do(lambda: self._select(where))

    async def finished(self) -> list[KeptAction]:
        """Newest first."""
        order = f"ORDER BY finished_ms DESC, place DESC LIMIT {AGENT_ACTIONS_LISTED_MAX}"
        return await self._do(lambda: self._select(f"finished_ms IS NOT NULL {order}"))

    async def record(self, action_id: str, step: Step, *, now_ms: int) -> KeptAction:
        """Where the action is now; also, whether it is to be cancelled instead of going on."""
        return await self._do(lambda: self._record(action_id, step, now_ms))

    async def _do(self, work: Callable[[], T]) -> T:
        def transaction() -> T:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                return work()

        # Shielded: a caller that hangs up must not leave the thread's result without an owner.
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, transaction))

    def _fence(self, epoch: int | None) -> int:
        (held,) = self._db.execute("SELECT epoch FROM fence").fetchone()
        if epoch is None or epoch == held:
            return int(held)
        if epoch < held:
            raise Refusal(STALE_EPOCH_STATUS, f"epoch {epoch} is older than {held}, which is known")
        self._db.execute("UPDATE fence SET epoch = ?", (epoch,))
        return epoch

    def _forget(self, fresh_incarnation: str) -> int:
        (held,) = self._db.execute("SELECT epoch FROM fence").fetchone()
        self._db.execute("UPDATE fence SET epoch = 0")
        self._db.execute("UPDATE identity SET incarnation = ?", (fresh_incarnation,))
        return int(held)

    def _fence_change(self, epoch: int | None) -> None:
        if self._fence(epoch) > 0 and epoch is None:
            raise Refusal(
                STALE_EPOCH_STATUS, "this node is led under epochs: name one to change it"
            )

    def _submit(self, order: Order, epoch: int | None, now_ms: int) -> None:
        self._fence_change(epoch)
        if self._select("id = ?", order.action_id):
            raise Refusal(409, f"there is an action {order.action_id} already")
        (waiting,) = self._db.execute(
            "SELECT count(*) FROM action WHERE finished_ms IS NULL"
        ).fetchone()
        if waiting >= AGENT_ACTIONS_WAITING_MAX:
            raise Refusal(429, f"{AGENT_ACTIONS_WAITING_MAX} actions wait already")
        place = self._db.execute(
            "INSERT INTO action (id, kind, args, metadata, created_ms, deadline_ms, scheduled_ms,"
            " phase) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                order.action_id,
                order.kind,
                json.dumps(order.args),
                json.dumps(order.metadata),
                order.created_wall_ms,
                order.deadline_wall_ms,
                now_ms,
                Phase.NEW,
            ),
        ).lastrowid
        self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (place, Phase.NEW, now_ms))

    def _cancel(self, action_id: str, epoch: int | None, now_ms: int) -> KeptAction:
        self._fence_change(epoch)
        found = self._select("id = ?", action_id)
        if not found:
            raise Refusal(404, f"there is no action {action_id[:200]}")
        if found[0].phase is Phase.NEW:
            self._move(action_id, Step(phase=Phase.CANCELLED), now_ms)
        elif found[0].phase is Phase.RUNNING:
            self._db.execute("UPDATE action SET cancel_asked = 1 WHERE id = ?", (action_id,))
        return self._select("id = ?", action_id)[0]

    def _record(self, action_id: str, step: Step, now_ms: int) -> KeptAction:
        (before,) = self._select("id = ?", action_id)
        if before.phase.is_final:
            return before
        self._move(action_id, step, now_ms)
        if step.phase.is_final:
            oldest_ms = now_ms - AGENT_ACTIONS_KEPT_MS
            self._db.execute("DELETE FROM action WHERE finished_ms < ?", (oldest_ms,))
        return self._select("id = ?", action_id)[0]

    def _move(self, action_id: str, step: Step, now_ms: int) -> None:
        place, phase = self._db.execute(
            "SELECT place, phase FROM action WHERE id = ?", (action_id,)
        ).fetchone()
        self._db.execute(
            "UPDATE action SET phase = ?, error = ?, payload = ?, finished_ms = ? WHERE place = ?",
            (
                step.phase,
                json.dumps(step.error),
                json.dumps(step.payload),
                now_ms if step.phase.is_final else None,
                place,
            ),
        )
        if phase != step.phase:
            self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (place, step.phase, now_ms))

    def _get(self, action_id: str) -> tuple[KeptAction, list[dict[str, Value]]] | None:
        found = self._select("id = ?", action_id)
        if not found:
            return None
        rows = self._db.execute(
            "SELECT h.phase, h.at_ms FROM history h JOIN action a ON a.place = h.place"
            " WHERE a.id = ? ORDER BY h.rowid",
            (action_id,),
        )
        return found[0], [{"phase": phase, "time": format_rfc3339(at)} for phase, at in rows]

    def _select(self, where: str, *values: str) -> list[KeptAction]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM action WHERE {where}", values)
        return [_kept(row) for row in rows.fetchall()]


def _locked(folder: Path) -> IO[str]:
    """Held until it is closed: two agents over one list would carry out everything twice."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / _LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        lock.close()
        raise BlockingIOError(f"another agent works in {folder}") from exc
    return lock


def _open(folder: Path, fresh_incarnation: str) -> tuple[sqlite3.Connection, str]:
    db = sqlite3.connect(folder / FILE, isolation_level=None)
    # FULL in WAL mode: a commit returns after its fsync.
    db.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
    )
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found not in (0, _FORMAT):
        db.close()
        raise sqlite3.DatabaseError(
            f"{folder / FILE} has format {found}; this agent reads {_FORMAT}"
        )
    db.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
    db.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (fresh_incarnation,))
    (kept,) = db.execute("SELECT incarnation FROM identity").fetchone()
    return db, str(kept)


def _kept(row: tuple[str | int | None, ...]) -> KeptAction:
    (action_id, kind, args, metadata, created, deadline, scheduled, ended, phase, error, payload,
     cancel) = row  # fmt: skip
    return KeptAction(
        order=Order(
            action_id=str(action_id),
            kind=str(kind),
            args=json.loads(str(args)),
            metadata=json.loads(str(metadata)),
            created_wall_ms=int(created or 0),
            deadline_wall_ms=None if deadline is None else int(deadline),
        ),
        phase=Phase(str(phase)),
        scheduled_wall_ms=int(scheduled or 0),
        finished_wall_ms=None if ended is None else int(ended),
        error=json.loads(str(error)),
        payload=json.loads(str(payload)),
        is_cancel_asked=bool(cancel),
    )
