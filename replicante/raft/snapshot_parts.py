"""The copy of a state that is arriving: made durable part by part on a thread of its own, and found
again by the next process. Touches files and a thread; used by snapshot_files.

Two files: the copy, and the list of its parts. The list begins with what the copy is; a part enters
it, with its checksum, after the part itself is durable.

Rule: nothing counts because it is there. A start reads every listed part again and keeps those
before the first that is not what the list says; a copy goes on only under the very name that the
list has.
"""

from __future__ import annotations

import contextlib
import os
import queue
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from replicante import limits
from replicante.raft.lmdb_file import sync_directories
from replicante.raft.snapshot_digest import DIGEST_BYTES, new_digest
from replicante.raft.snapshots import CopyName, Kept

_MAGIC = b"RPLCPRT1"
_NAME = struct.Struct(">8sQQ16sQ16s")
_PART = struct.Struct(f">I{DIGEST_BYTES}s")
_HEAD_BYTES = _NAME.size + DIGEST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an earlier process received of a copy, read and found sound."""

    name: CopyName
    kept: Kept


def find_parts(
    copy: Path, parts: Path, *, is_given_up: Callable[[], bool] = lambda: False
) -> Found | None:
    """The sound beginning of a copy; whatever follows it is cut off. None when nothing of it can
    be used. Reads all of it, unless it is given up meanwhile: then None, and nothing is changed.
    Raises OSError."""
    if not (copy.exists() and parts.exists()):
        return None
    stored = parts.read_bytes()
    name = _decode_name(stored)
    if name is None:
        return None
    whole, offset, count = new_digest(), 0, 0
    with copy.open("r+b") as stream:
        for length, digest in _listed(stored):
            if is_given_up():
                return None
            data = stream.read(length)
            if len(data) != length or new_digest(data).digest() != digest:
                break
            whole.update(data)
            offset, count = offset + length, count + 1
        stream.truncate(offset)
    with parts.open("r+b") as stream:
        stream.truncate(_HEAD_BYTES + count * _PART.size)
    if offset == 0 or offset > name.size_bytes:
        return None
    return Found(name=name, kept=Kept(offset=offset, digest=whole))


class IncomingCopy:
    """Every call is on the loop and waits for nothing, `close` excepted: the thread does what is
    asked of it in that order."""

    def __init__(self, folder: Path, *, wake: Callable[[], None]) -> None:
        """wake: called on the thread when something became durable, failed or was found."""
        self.path = folder / "incoming"
        self._parts_path = folder / "incoming.parts"
        self._wake = wake
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._writing: _Writing | None = None
        self._is_looking = True
        self._is_closing = False
        self._found: Found | None = None
        self._thread = threading.Thread(target=self._run, name="raft-incoming", daemon=True)
        self._thread.start()
        self._work.put(self._look)

    @property
    def is_looking(self) -> bool:
        """Whether it is still being read what an earlier process left."""
        return self._is_looking

    @property
    def found_index(self) -> int | None:
        return None if self._found is None else self._found.name.index

    @property
    def unsynced_bytes(self) -> int:
        """Taken and not durable yet. Raises OSError: what was taken cannot be kept."""
        writing = self._writing
        if writing is None:
            return 0
        assert self._thread.is_alive(), "a bug ended the thread: nothing becomes durable any more"
        if writing.failure is not None:
            raise writing.failure
        return writing.taken_bytes - writing.durable_bytes

    def begin(self, name: CopyName) -> Kept:
        """Parts follow, from where it says. What was found of another copy is thrown away."""
        found, self._found = self._found, None
        is_same = found is not None and found.name == name
        kept = found.kept if found is not None and is_same else Kept(offset=0, digest=new_digest())
        self._leave()
        writing = _Writing(self.path, self._parts_path, name, offset=kept.offset)
        self._writing = writing
        self._work.put(writing.resume if is_same else writing.begin)
        return kept

    def append(self, data: bytes) -> None:
        writing = self._writing
        assert writing is not None
        writing.taken_bytes += len(data)
        self._work.put(lambda: self._append(writing, data))

    def drop(self) -> None:
        """Nothing of it is needed any more."""
        self._found = None
        self._leave()
        self._work.put(self._remove)

    def close(self) -> None:
        """What is durable stays for the next process. Waits for the thread, which reads no further
        in what an earlier process left."""
        self._is_closing = True
        self._leave()
        self._work.put(None)
        self._thread.join()

    def _leave(self) -> None:
        if self._writing is not None:
            self._work.put(self._writing.close)
            self._writing = None

    # --- on the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _look(self) -> None:
        try:
            self._found = find_parts(
                self.path, self._parts_path, is_given_up=lambda: self._is_closing
            )
        except OSError:  # it is sent again, as if it had never arrived
            self._found = None
        if self._found is None and not self._is_closing:
            self._remove()
        self._is_looking = False
        self._wake()

    def _append(self, writing: _Writing, data: bytes) -> None:
        if writing.append(data):
            self._wake()

    def _remove(self) -> None:
        # A file that stays costs room only: the next copy is written over it.
        with contextlib.suppress(OSError):
            self._parts_path.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)


class _Writing:
    """One copy on its way in. The thread's alone, but for `taken_bytes`, which is the loop's."""

    def __init__(self, path: Path, parts_path: Path, name: CopyName, *, offset: int) -> None:
        self.taken_bytes = offset
        self.durable_bytes = offset
        self.failure: OSError | None = None
        self._path, self._parts_path = path, parts_path
        self._name = name
        self._written_bytes = offset
        self._digest = new_digest()
        """Of what was written since the last part."""
        self._copy: int | None = None
        self._parts: int | None = None

    def begin(self) -> None:
        """The list goes first: without it nobody takes what is left of an older copy for parts."""
        self._guarded(self._begin)

    def resume(self) -> None:
        self._guarded(self._open)

    def append(self, data: bytes) -> bool:
        """True when it ended a part, or failed."""
        if self.failure is None:
            self._guarded(lambda: self._append(data))
        return self.failure is not None or self.durable_bytes == self._written_bytes

    def close(self) -> None:
        for descriptor in (self._copy, self._parts):
            if descriptor is not None:
                os.close(descriptor)
        self._copy = self._parts = None

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:  # raised on the loop by `unsynced_bytes`
            self.failure = error

    def _begin(self) -> None:
        self._parts_path.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self._open()
        assert self._parts is not None
        _write(self._parts, _encode_name(self._name))
        os.fdatasync(self._parts)
        sync_directories(self._path.parent)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._copy = os.open(self._path, flags, 0o600)
        self._parts = os.open(self._parts_path, flags, 0o600)

    def _append(self, data: bytes) -> None:
        assert self._copy is not None
        _write(self._copy, data)
        self._digest.update(data)
        self._written_bytes += len(data)
        is_last = self._written_bytes >= self._name.size_bytes
        if is_last or self._written_bytes - self.durable_bytes >= limits.SNAPSHOT_PART_BYTES:
            self._end_part()

    def _end_part(self) -> None:
        assert self._copy is not None
        assert self._parts is not None
        os.fdatasync(self._copy)
        length = self._written_bytes - self.durable_bytes
        _write(self._parts, _PART.pack(length, self._digest.digest()))
        os.fdatasync(self._parts)
        # What is on disk needs no memory: it is read once more, when all of it has arrived.
        os.posix_fadvise(self._copy, self.durable_bytes, length, os.POSIX_FADV_DONTNEED)
        self._digest = new_digest()
        self.durable_bytes = self._written_bytes


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _encode_name(name: CopyName) -> bytes:
    packed = _NAME.pack(_MAGIC, name.index, name.term, name.chain, name.size_bytes, name.digest)
    return packed + new_digest(packed).digest()


def _decode_name(stored: bytes) -> CopyName | None:
    """None for what is no list of parts, or torn before its first part."""
    packed, checksum = stored[: _NAME.size], stored[_NAME.size : _HEAD_BYTES]
    if len(packed) < _NAME.size or new_digest(packed).digest() != checksum:
        return None
    magic, index, term, chain, size_bytes, digest = _NAME.unpack(packed)
    if magic != _MAGIC:
        return None
    return CopyName(index=index, term=term, chain=chain, size_bytes=size_bytes, digest=digest)


def _listed(stored: bytes) -> list[tuple[int, bytes]]:
    """(length, digest) of each part; a torn last one is left out."""
    rest = stored[_HEAD_BYTES:]
    return [
        (length, digest)
        for length, digest in _PART.iter_unpack(rest[: len(rest) - len(rest) % _PART.size])
        if length
    ]
