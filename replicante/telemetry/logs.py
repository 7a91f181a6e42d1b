"""Sets up structlog for one process: JSON or console lines on stderr. Called by `server` and `cli`.

Lines are written by a thread of their own, because a pipe that nobody reads would otherwise stop
the event loop; when it falls LOG_LINES_QUEUED_MAX lines behind, lines are dropped and counted.
Foreign lines (aiohttp, asyncio) take the same form.
"""

from __future__ import annotations

import enum
import logging
import queue
import threading
from typing import TYPE_CHECKING, TextIO

import structlog

from replicante.config import LogFormat as LogFormat
from replicante.config import LogLevel as LogLevel
from replicante.limits import LOG_LINES_QUEUED_MAX
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger


class Logs:
    """The log of one process. `logger` is what the other rooms are given."""

    def __init__(
        self, *, stream: TextIO, log_format: LogFormat, level: LogLevel, peer_id: str
    ) -> None:
        """Configures structlog and the root logger of the standard library: once a process.

        peer_id: bound to every line; empty for a process that is no peer.
        """
        self._writer = _LineWriter(stream)
        shared = _shared_processors(peer_id)
        renderer = _renderer(log_format, is_terminal=stream.isatty())
        structlog.configure(
            processors=[*shared, *renderer],
            wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
            logger_factory=_LoggerFactory(self._writer),
            cache_logger_on_first_use=False,
        )
        self._foreign = _ForeignHandler(self._writer, shared, renderer)
        root = logging.getLogger()
        root.handlers = [self._foreign]
        root.setLevel(max(_number(level), logging.WARNING))
        self.logger: FilteringBoundLogger = structlog.get_logger()

    @property
    def dropped_count(self) -> int:
        return self._writer.dropped_count

    def flush(self, *, timeout_ms: int = 2_000) -> None:
        """Returns when everything logged so far is written, or after the time limit."""
        self._writer.flush(timeout_ms=timeout_ms)

    def close(self) -> None:
        """Flushes; later lines are dropped. A second close does nothing."""
        logging.getLogger().removeHandler(self._foreign)
        self._writer.close()


def silent_logger() -> FilteringBoundLogger:
    """A logger that writes nothing: for a room that runs without a configured log."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.ReturnLogger(),
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
    )
    return logger


class _LineWriter:
    """A bounded queue and the thread that empties it into the stream."""

    def __init__(self, stream: TextIO) -> None:
        self.dropped_count = 0
        self._reported_count = 0
        self._stream = stream
        self._queue: queue.Queue[str | threading.Event] = queue.Queue(LOG_LINES_QUEUED_MAX)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Never blocks. Any thread."""
        if self._is_closed:
            self.dropped_count += 1
            return
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped_count += 1

    def flush(self, *, timeout_ms: int) -> None:
        done = threading.Event()
        try:
            self._queue.put(done, timeout=timeout_ms / 1_000)
        except queue.Full:
            return
        done.wait(timeout_ms / 1_000)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.flush(timeout_ms=2_000)

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            try:
                self._handle(item)
            except (OSError, ValueError):
                # stderr is gone or closed: there is nowhere left to report it.
                self.dropped_count += 1
                if isinstance(item, threading.Event):
                    item.set()

    def _handle(self, item: str | threading.Event) -> None:
        if isinstance(item, threading.Event):
            self._stream.flush()
            item.set()
            return
        self._stream.write(item + "\n")
        missed = self.dropped_count - self._reported_count
        if missed:
            self._reported_count += missed
            name = Diagnostic.LOG_LINES_DROPPED.value
            self._stream.write(f'{{"event": "{name}", "dropped_count": {missed}}}\n')
        if self._queue.empty():
            self._stream.flush()


class _Sink:
    """What structlog hands rendered lines to."""

    def __init__(self, writer: _LineWriter) -> None:
        self._write = writer.write

    def msg(self, message: str) -> None:
        self._write(message)

    log = debug = info = warning = error = critical = exception = fatal = failure = msg


class _LoggerFactory:
    def __init__(self, writer: _LineWriter) -> None:
        self._sink = _Sink(writer)

    def __call__(self, *_args: object) -> _Sink:
        return self._sink


class _ForeignHandler(logging.Handler):
    """Lines of libraries that use the standard library's logging."""

    def __init__(
        self, writer: _LineWriter, shared: list[Processor], renderer: list[Processor]
    ) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write(self.format(record))


def _number(level: LogLevel) -> int:
    """As the standard library counts levels."""
    numbers = {
        LogLevel.DEBUG: logging.DEBUG,
        LogLevel.INFO: logging.INFO,
        LogLevel.WARNING: logging.WARNING,
        LogLevel.ERROR: logging.ERROR,
    }
    return numbers[level]


def _shared_processors(peer_id: str) -> list[Processor]:
    def bind_peer(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        if peer_id:
            event.setdefault("peer", peer_id)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        bind_peer,
        _plain_names,
    ]


def _plain_names(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Enum members become their values, so that every renderer prints the same."""
    for name, value in event.items():
        if isinstance(value, enum.Enum):
            event[name] = value.value
    return event


def _renderer(log_format: LogFormat, *, is_terminal: bool) -> list[Processor]:
    match log_format:
        case LogFormat.JSON:
            return [
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ]
        case LogFormat.CONSOLE:
            return [
                structlog.dev.ConsoleRenderer(
                    colors=is_terminal,
                    timestamp_key="time",
                    exception_formatter=structlog.dev.plain_traceback,
                )
            ]
