"""The only reader of time. Everything else receives a `Clock` or plain milliseconds."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Called from any thread; never blocks, never fails."""

    def monotonic_ms(self) -> int:
        """Milliseconds since an arbitrary origin of this process; never goes back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC by this machine's clock; for people, never for decisions
        (ADR 0013)."""
        ...


class SystemClock:
    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000
