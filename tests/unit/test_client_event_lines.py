"""Only whole lines of an event stream count."""

from __future__ import annotations

import pytest
from scripted_peer import event, heartbeat, stream_end

from replicante import limits
from replicante.client.event_lines import EventLines
from replicante.errors import BadAnswer
from replicante.wire.events import Event, Heartbeat, StreamEnd


def test_lines_come_out_the_same_however_the_stream_is_cut_into_chunks():
    data = event(1) + b"\n" + heartbeat(2) + event(3) + stream_end("stale", 3)
    whole = list(EventLines().feed(data))
    assert [type(line) for line in whole] == [Event, Heartbeat, Event, StreamEnd]
    for size in (1, 2, 7, 100):
        lines = EventLines()
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert [line for chunk in chunks for line in lines.feed(chunk)] == whole


def test_half_an_event_at_the_end_is_not_delivered():
    cut = list(EventLines().feed(event(1) + event(2)[:-1]))
    assert cut == list(EventLines().feed(event(1)))


def test_control_lines_of_a_newer_version_are_ignored():
    assert list(EventLines().feed(b'{"type": "weather", "x": 1}\n')) == []


@pytest.mark.parametrize("line", [b"<html>\n", b"[]\n", b'{"id": 1}\n', b'{"type": "stale"}\n'])
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(BadAnswer):
        list(EventLines().feed(line))


def test_what_stands_before_a_line_that_is_no_event_is_given():
    lines = EventLines().feed(event(1) + heartbeat(2) + b"<html>\n" + event(3))
    assert [type(next(lines)) for _ in range(2)] == [Event, Heartbeat]
    with pytest.raises(BadAnswer):
        next(lines)


def test_an_endless_line_is_refused_before_it_fills_the_memory():
    lines = EventLines()
    with pytest.raises(BadAnswer):
        for _ in range(limits.CLIENT_EVENT_BYTES_MAX // 65_536 + 2):
            assert list(lines.feed(b"x" * 65_536)) == []
