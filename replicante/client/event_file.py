"""A file of events, one a line, that goes on where it ends. IO; blocks: used on a thread.

Called by `event_export`. The file is the only memory of an export: no second file could disagree
with it. What a crash leaves at its end (half a line, lines that were never synced and came to the
disk in part) is found when it is opened, cut off, and exported again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from replicante import limits
from replicante.client.log_check import fault_between, order_fault
from replicante.errors import Conflict, Invalid
from replicante.wire.events import Event

_BEGINNING = b'{"id":"'
"""Of every line."""
_CUT_BYTES_MAX = limits.EXPORT_UNSYNCED_BYTES_MAX + limits.CLIENT_EVENT_BYTES_MAX
"""No crash leaves more."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


class EventSink(Protocol):
    """Where exported events go. Called on a thread, one call at a time; may block."""

    @property
    def last(self) -> Event | None:
        """The last event that is in it; None when there is none."""
        ...

    def append(self, events: Sequence[Event]) -> None:
        """Raises OSError; then the export is over."""
        ...

    def sync(self) -> None:
        """When it returns, what was appended is where it shall be. Raises OSError."""
        ...


class EventFile:
    """Fits EventSink. Close it; it is locked against a second export until then."""

    def __init__(self, path: Path, *, is_whole: bool) -> None:
        """Opens the file, or makes it, and repairs its end. is_whole: it holds the unfiltered log,
        so that chain and seq of its end are checked too.

        Raises OSError; Conflict while another export writes it; Invalid when it holds something
        else than such events, and then leaves it as it is.
        """
        self.last: Event | None = None
        self.cut_bytes = 0
        """What a crash had left at the end, and was cut off."""
        is_new = not path.exists()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            self._lock(path)
            self._synced_bytes = self._repair(path, is_whole=is_whole)
            if is_new:
                _sync_folder(path.absolute().parent)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._written_bytes = self._synced_bytes

    def append(self, events: Sequence[Event]) -> None:
        """Syncs in between, so that no crash leaves more at the end than a start looks at."""
        for event in events:
            self._write(_encode(event) + b"\n")
            self.last = event
            if self._written_bytes - self._synced_bytes >= limits.EXPORT_UNSYNCED_BYTES_MAX:
                self.sync()

    def sync(self) -> None:
        """After a failed fsync the system may count pages as written that are not on disk, so it is
        not repeated: what it was to make durable is cut off, and exported again by the next run."""
        if self._written_bytes == self._synced_bytes:
            return
        try:
            os.fsync(self._descriptor)
        except OSError:
            self._back()
            raise
        self._synced_bytes = self._written_bytes

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                count = os.pwrite(self._descriptor, data, self._written_bytes)
                self._written_bytes += count
                data = data[count:]
        except OSError:
            self._back()
            raise

    def _back(self) -> None:
        with contextlib.suppress(OSError):  # the next start cuts it off, if this cannot
            os.ftruncate(self._descriptor, self._synced_bytes)
        self._written_bytes = self._synced_bytes

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise Conflict(f"Another export writes {path}.") from exc

    def _repair(self, path: Path, *, is_whole: bool) -> int:
        """The size of the sound part, which is durable when this returns."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - limits.EXPORT_READ_BYTES)
        end = os.pread(self._descriptor, size - start, start)
        if start:
            start += end.find(b"\n") + 1
            end = end[end.find(b"\n") + 1 :]
        self.last, sound = _sound_part(end, is_whole=is_whole)
        self.cut_bytes = len(end) - sound
        is_ours = self.last is not None or _may_be_half_an_event(end, is_whole_file=start == 0)
        if not is_ours or self.cut_bytes > _CUT_BYTES_MAX:
            raise Invalid(
                f"{path} holds something else than events: an export would destroy it.", path="FILE"
            )
        if self.cut_bytes:
            os.ftruncate(self._descriptor, start + sound)
        # The process before may have ended between its write and its fsync.
        os.fsync(self._descriptor)
        return start + sound


def _sound_part(end: bytes, *, is_whole: bool) -> tuple[Event | None, int]:
    """Its last event, and its size: all up to the first line that cannot be read. A crash garbles
    lines; it makes no events that do not fit each other, so such ones raise Invalid."""
    last, sound = None, 0
    fault_of = fault_between if is_whole else order_fault
    for line in end.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            event = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        fault = fault_of(last, event)
        if fault is not None:
            raise Invalid(
                f"The end of the file is not one log: {fault}.",
                path="FILE",
                hints=("go on with the filter that it was begun with", "or begin another file"),
            )
        last, sound = event, sound + len(line)
    return last, sound


def _may_be_half_an_event(end: bytes, *, is_whole_file: bool) -> bool:
    """Whether a first export that was killed may have left this. Zeros stand for data that the file
    system had not written when the power went."""
    beginning = end[: len(_BEGINNING)].rstrip(b"\0")
    return is_whole_file and b"\n" not in end and _BEGINNING.startswith(beginning)


def _sync_folder(folder: Path) -> None:
    """So that the name of a new file is as durable as what is in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
