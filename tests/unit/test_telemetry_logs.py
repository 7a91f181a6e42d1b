from __future__ import annotations

import io
import json
import logging
import re
import threading

import pytest
import structlog

from replicante import limits
from replicante.raft.observations import StateDiffers, StateQuarantined, StatesDisputed
from replicante.raft.status import Quarantine
from replicante.telemetry.diagnostics import Diagnostic
from replicante.telemetry.logs import LogFormat, LogLevel, Logs, silent_logger
from replicante.telemetry.metrics import Metrics
from replicante.telemetry.raft_report import RaftReport


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def logs_into(stream, *, log_format=LogFormat.JSON, level=LogLevel.INFO) -> Logs:
    return Logs(stream=stream, log_format=log_format, level=level, peer_id="p1")


def test_a_line_is_an_event_with_keys_and_the_peer():
    stream = io.StringIO()
    logs = logs_into(stream)
    logs.logger.info(Diagnostic.PEER_READY, url="http://x", role="leader")
    logs.logger.debug(Diagnostic.PEER_STOPPED)
    logs.close()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["level"], line["peer"]) == ("peer_ready", "info", "p1")
    assert (line["url"], line["role"]) == ("http://x", "leader")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["time"])


def test_an_exception_is_part_of_its_line():
    stream = io.StringIO()
    logs = logs_into(stream)
    try:
        raise ValueError("why\nso")
    except ValueError:
        logs.logger.error(Diagnostic.HTTP_UNEXPECTED, exc_info=True)
    logs.close()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert "ValueError: why" in line["exception"]


def test_lines_of_libraries_take_the_same_form():
    stream = io.StringIO()
    logs = logs_into(stream)
    logging.getLogger("aiohttp.server").warning("odd %s", "thing")
    logging.getLogger("aiohttp.server").info("chatter")
    logs.close()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["event"], line["level"], line["peer"]) == ("odd thing", "warning", "p1")


def test_people_read_one_line_an_event():
    stream = io.StringIO()
    logs = logs_into(stream, log_format=LogFormat.CONSOLE, level=LogLevel.DEBUG)
    logs.logger.debug(Diagnostic.PEER_STOPPED, reason="told to")
    logs.close()
    (line,) = stream.getvalue().splitlines()
    assert "peer_stopped" in line
    assert "told to" in line
    assert "\x1b" not in line


class StuckStream(io.StringIO):
    """A pipe that nobody reads until `free` is set."""

    def __init__(self):
        super().__init__()
        self.free = threading.Event()

    def write(self, text):
        assert self.free.wait(20)
        return super().write(text)


def test_a_stuck_stream_costs_lines_and_never_the_caller():
    stream = StuckStream()
    logs = logs_into(stream)
    for _ in range(limits.LOG_LINES_QUEUED_MAX + 100):
        logs.logger.info(Diagnostic.PEER_STOPPED)
    # One line is in the hands of the writer.
    assert 99 <= logs.dropped_count <= 100
    stream.free.set()
    logs.close()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {"event": "log_lines_dropped", "dropped_count": logs.dropped_count} in lines
    assert len(lines) >= limits.LOG_LINES_QUEUED_MAX


def test_a_closed_log_swallows_and_a_second_close_does_nothing():
    stream = io.StringIO()
    logs = logs_into(stream)
    logs.close()
    logs.logger.info(Diagnostic.PEER_STOPPED)
    logs.close()
    assert stream.getvalue() == ""
    assert logs.dropped_count == 1


def test_a_stream_that_is_gone_hurts_nobody():
    stream = io.StringIO()
    logs = logs_into(stream)
    stream.close()
    logs.logger.info(Diagnostic.PEER_STOPPED)
    logs.flush()
    logs.close()
    assert logs.dropped_count >= 1


def test_the_silent_logger_takes_everything():
    log = silent_logger()
    log.debug(Diagnostic.FATAL, x=1)
    log.error(Diagnostic.FATAL, x=1)
    log.critical(Diagnostic.FATAL, x=1)


def test_every_name_is_declared_once_with_its_keys_and_meaning():
    names = [one.value for one in Diagnostic]
    assert len(set(names)) == len(names)
    for one in Diagnostic:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", one.value)
        assert one.meaning.endswith(".")
        assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", key) for key in one.keys)


def test_a_wrong_state_is_told_loudly_and_with_the_way_out():
    stream = io.StringIO()
    logs = logs_into(stream)
    report = RaftReport(metrics=Metrics(peer_id="p1", version="1"), log=logs.logger)
    wrong = Quarantine(index=2048, own_digest="a", digest="b")
    for observation in (
        StateQuarantined(quarantine=wrong),
        StateDiffers(peer_id="p2", incarnation="i", index=2048),
        StatesDisputed(index=4096),
    ):
        report.observed(observation)
    logs.close()
    own, other, disputed = map(json.loads, stream.getvalue().splitlines())
    assert (own["event"], own["level"], own["index"]) == ("state_quarantined", "critical", 2048)
    assert any("learner" in hint for hint in own["hints"])
    assert (other["event"], other["level"], other["peer"]) == ("state_differs", "error", "p2")
    assert (disputed["event"], disputed["index"]) == ("states_disputed", 4096)
