"""Ends this process when the one that started it is gone, however that one ended.

Held by the peers of a local cluster: their standard input is a pipe that the supervisor keeps open
and never writes to. The system closes it also when the supervisor is killed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

STOP_SECONDS_MAX = 15
"""A peer that does not end in this time after it was asked to is ended without being asked."""


def hold(stream_fd: int, *, ended: Callable[[], None] | None = None) -> threading.Thread:
    """Watches the stream on a thread of its own until it ends, then calls `ended`: by default
    SIGTERM to this process, and the hard way out if that does not help."""
    thread = threading.Thread(
        target=_watch, args=(stream_fd, ended or _end_process), name="lifeline", daemon=True
    )
    thread.start()
    return thread


def _watch(stream_fd: int, ended: Callable[[], None]) -> None:
    try:
        while os.read(stream_fd, 4096):
            pass
    except OSError:
        pass  # a stream that cannot be read has ended as well
    ended()


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS_MAX)
    os._exit(1)
