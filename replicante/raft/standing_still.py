"""Why a peer serves nobody, for the moment or for good, and what its callers are told. Pure; owned
by peer."""

from __future__ import annotations

from collections.abc import Callable

from replicante.errors import DiskFull, ReadTimeout, StorageFull
from replicante.raft.observations import DiskFullChanged, LogBoundReached, Observation
from replicante.raft.status import Quarantine

_ELSEWHERE = "Ask another peer, or read the stale copy of this one."


class StandingStill:
    def __init__(self, report: Callable[[Observation], None]) -> None:
        self._report = report
        self._reason: DiskFull | StorageFull | None = None
        self.quarantine: Quarantine | None = None
        """Once set, for good."""

    def __bool__(self) -> bool:
        return self._reason is not None

    @property
    def is_disk_full(self) -> bool:
        return isinstance(self._reason, DiskFull)

    @property
    def is_log_full(self) -> bool:
        return isinstance(self._reason, StorageFull)

    def begin(self, reason: DiskFull | StorageFull) -> None:
        """Again at each attempt; told once."""
        if type(reason) is not type(self._reason):
            self._tell_room()
            if isinstance(reason, DiskFull):
                self._report(DiskFullChanged(is_full=True, detail=reason.message))
            else:
                self._report(LogBoundReached(detail=reason.message))
        self._reason = reason

    def end(self) -> None:
        self._tell_room()
        self._reason = None

    def _tell_room(self) -> None:
        """The disk has it again, whatever else is wanting."""
        if self.is_disk_full:
            self._report(DiskFullChanged(is_full=False, detail=""))

    def refuse_write(self) -> None:
        """Raises DiskFull or StorageFull while it lasts, and Quarantined."""
        self._refuse_quarantined()
        if self._reason is not None:
            kind = type(self._reason)
            raise kind(hints=(self._reason.message, *self._reason.hints))

    def refuse_read(self) -> None:
        """Raises ReadTimeout at once: it could not be confirmed before any deadline; and
        Quarantined."""
        self._refuse_quarantined()
        if self._reason is not None:
            why = "waits for room on its disk" if self.is_disk_full else "has a full log"
            hints = (self._reason.message, *self._reason.hints)
            raise ReadTimeout(f"This peer {why}. {_ELSEWHERE}", hints=hints)

    def _refuse_quarantined(self) -> None:
        if self.quarantine is not None:
            raise self.quarantine.error()
