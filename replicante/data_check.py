"""Proves a data directory sound, or says what is wrong with it, while its peer does not run. IO.

Called by `replicante check`. Five questions, each on its own, so that one bad answer hides no
other: does every record of the log match its checksum and the chain; do the rows of the state hold
its invariants; are they the rows that the kept digest was made of; can the log's newer entries be
applied (on a copy); does the whole log, when it was never trimmed, lead to these very rows.

Rule: nothing in the directory is changed. Locks are taken, so a running peer refuses.
"""

from __future__ import annotations

import enum
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from replicante.dir_lock import DirLock
from replicante.errors import CorruptData, FatalError, NotFound, ReplicanteError
from replicante.limits import CHECK_VIOLATIONS_MAX, LOG_MAP_BYTES_DEFAULT
from replicante.raft.host import MachineHost
from replicante.raft.lmdb_file import find_damage
from replicante.raft.log_loading import LoadedLog
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.records import Record
from replicante.state import invariants
from replicante.state.digest import digest_rows, format_digest, row_hash
from replicante.state.machine import ReplicatedState
from replicante.storage.lmdb_environment import REMOVE_HINT
from replicante.storage.lmdb_store import LmdbStore, state_identity
from replicante.storage.memory import MemoryStore


class Question(enum.StrEnum):
    LOG = "log"
    INVARIANTS = "invariants"
    DIGEST = "digest"
    REPLAY = "replay"
    """The entries that the state lacks, applied to a copy of it."""
    HISTORY = "history"
    """The log from its first entry, applied to nothing."""


class Verdict(enum.StrEnum):
    SOUND = "sound"
    BROKEN = "broken"
    SKIPPED = "skipped"
    """It could not be asked; `detail` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    question: Question
    verdict: Verdict
    detail: str


def check_data_dir(data_dir: Path, *, scratch: Path | None = None) -> list[Finding]:
    """One finding for each question.

    scratch: where the copy of the state is made; None: the system's folder for temporary files.
    Raises NotFound when the directory is no peer's, DataDirInUse when its peer runs, other
    StartRefused when it cannot be opened at all.
    """
    if not all((data_dir / part / "data.mdb").is_file() for part in ("log", "state")):
        raise NotFound(f"{data_dir} holds no log and no state of a peer")
    with ExitStack() as stack:
        stack.callback(DirLock.acquire(data_dir).release)
        log = LmdbLog(data_dir / "log", map_bytes=LOG_MAP_BYTES_DEFAULT)
        stack.callback(log.close)
        header = log.header()
        if header is None or not header.cluster_id:
            raise NotFound(f"the peer of {data_dir} never was part of a cluster")
        damage = find_damage(data_dir / "state")  # its pages are trusted by whoever opens it
        if damage is not None:
            what = f"The state in {data_dir / 'state'} is damaged: {damage}."
            raise CorruptData(what, hints=(REMOVE_HINT,))
        store = LmdbStore.open(data_dir / "state", identity=_identity(header), row_hash=row_hash)
        stack.callback(store.close)
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))
        return list(_Check(log, store, header, Path(folder)).findings())


def _identity(header: LogHeader) -> bytes:
    return state_identity(
        cluster=header.cluster_name, peer_id=header.peer_id, incarnation=header.incarnation
    )


class _Check:
    def __init__(self, log: LmdbLog, store: LmdbStore, header: LogHeader, folder: Path) -> None:
        self._log = log
        self._store = store
        self._header = header
        self._folder = folder
        self._index = store.applied_index
        """That the state on disk is as of."""
        self._loaded: LoadedLog | None = None
        """Set when the log is sound: then its entries may be applied."""

    def findings(self) -> Iterator[Finding]:
        yield self._finding(Question.LOG, self._ask_log)
        yield self._finding(Question.INVARIANTS, self._ask_invariants)
        yield self._finding(Question.DIGEST, self._ask_digest)
        if self._loaded is None:
            for question in (Question.REPLAY, Question.HISTORY):
                yield Finding(
                    question=question, verdict=Verdict.SKIPPED, detail="the log is broken"
                )
            return
        yield self._finding(Question.REPLAY, self._ask_replay)
        if self._log.is_trimmed:
            trimmed = f"the log begins at entry {self._loaded.first_index}"
            yield Finding(question=Question.HISTORY, verdict=Verdict.SKIPPED, detail=trimmed)
            return
        yield self._finding(Question.HISTORY, self._ask_history)

    def _finding(self, question: Question, ask: Callable[[], str]) -> Finding:
        try:
            return Finding(question=question, verdict=Verdict.SOUND, detail=ask())
        except ReplicanteError as exc:
            return Finding(question=question, verdict=Verdict.BROKEN, detail=str(exc))

    def _ask_log(self) -> str:
        loaded = self._log.load()
        if loaded is None:
            raise CorruptData("it has no entry")
        if not loaded.first_index - 1 <= self._index <= loaded.last.index:
            raise CorruptData(
                f"it has entries {loaded.first_index} to {loaded.last.index}, the state is as of"
                f" entry {self._index}"
            )
        self._loaded = loaded
        return (
            f"entries {loaded.first_index} to {loaded.last.index}, chain"
            f" {loaded.last.chain.hex()}, every checksum right"
        )

    def _ask_invariants(self) -> str:
        _assert_invariants(self._store)
        return f"as of entry {self._index}"

    def _ask_digest(self) -> str:
        with self._store.view() as view:
            found = format_digest(digest_rows(view))
        kept = self._store.digest_on_disk()
        if kept is None:
            return f"{found} of the rows; none was kept"
        if format_digest(kept) != found:
            raise CorruptData(f"the rows give {found}, kept was {format_digest(kept)}")
        return found

    def _ask_replay(self) -> str:
        place = self._folder / "state"
        place.mkdir()
        # The export is of what is on disk, with its identity; nothing was applied since it opened.
        self._store.export(self._folder / "copy")
        shutil.move(self._folder / "copy", place / "data.mdb")
        store = LmdbStore.open(place, identity=_identity(self._header), row_hash=row_hash)
        try:
            state = ReplicatedState(store)
            count = self._apply(state, above=self._index, to=None)
            _assert_invariants(store)
        finally:
            store.close()
        return f"{count} entries after {self._index} can be applied"

    def _ask_history(self) -> str:
        store = MemoryStore(row_hash=row_hash)
        count = self._apply(ReplicatedState(store), above=0, to=self._index)
        with store.view() as replayed, self._store.view() as view:
            led_to, found = digest_rows(replayed), digest_rows(view)
        if led_to != found:
            raise CorruptData(
                f"the first {count} entries lead to {format_digest(led_to)}, the rows give"
                f" {format_digest(found)}: something else has changed them"
            )
        return f"the first {count} entries lead to the same rows"

    def _apply(self, state: ReplicatedState, *, above: int, to: int | None) -> int:
        """How many entries were applied: those with an index above `above`, up to `to`."""
        host = MachineHost(state)
        count = 0
        for record in self._log.verified():
            if record.index <= above:
                continue
            if to is not None and record.index > to:
                break
            _apply_one(host, record)
            count += 1
            if state.is_full:
                state.flush()
        state.flush()
        return count


def _apply_one(host: MachineHost, record: Record) -> None:
    try:
        host.apply(record)
    except FatalError as exc:
        raise CorruptData(exc.message, index=record.index) from exc


def _assert_invariants(store: LmdbStore) -> None:
    with store.view() as view:
        found = list(islice(invariants.violations(view), CHECK_VIOLATIONS_MAX + 1))
    if not found:
        return
    shown = "; ".join(found[:CHECK_VIOLATIONS_MAX])
    more = " and more" if len(found) > CHECK_VIOLATIONS_MAX else ""
    raise CorruptData(shown + more)
