"""`events export` and `events verify` as a person uses them; the export also with a kill -9."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from cli_harness import Terminal, api_in_thread

from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import FakePeer

LIMIT_S = 60


@pytest.fixture
def peer():
    peer = FakePeer()
    peer.base_status = replace(peer.base_status, peers=())
    for i in range(5):
        peer.do(kv_put(f"k{i}", i))
    return peer


@pytest.fixture
def terminal(peer, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with api_in_thread(peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        yield Terminal(capsys)


def test_an_export_goes_to_a_file_and_says_how_far_it_came(terminal, tmp_path):
    path = tmp_path / "events.ndjson"
    said = terminal.run("events", "export", str(path))
    assert (said.code, said.out) == (0, "")
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert f"exported 5 events to {path}, up to {events[-1]['id']}" in said.err
    assert "exported 0 events" in terminal.run("events", "export", str(path)).err


def test_an_export_goes_to_stdout_from_an_event_on_and_filtered(terminal):
    lines = terminal.run("events", "export").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5]
    after = json.loads(lines[2])["id"]
    rest = terminal.run("events", "export", "-", "--after", after).out.splitlines()
    assert rest == lines[3:]
    assert terminal.run("events", "export", "--key", "k1").out.splitlines() == [lines[1]]


def test_what_cannot_be_written_or_is_no_export_is_a_failure(terminal, tmp_path):
    said = terminal.run("events", "export", str(tmp_path / "no" / "folder"))
    assert said.code == 1
    assert "cannot be written" in said.err
    (tmp_path / "letter").write_text("dear reader\n")
    assert terminal.run("events", "export", str(tmp_path / "letter")).code == 2
    assert (tmp_path / "letter").read_text() == "dear reader\n"


def test_peers_are_verified_with_an_exit_code_for_each_verdict(terminal, peer, monkeypatch):
    same, other = FakePeer(peer_id="p2"), FakePeer(peer_id="p3")
    for one in (same, other):
        one.base_status = replace(one.base_status, peers=())
    for i in range(5):
        same.do(kv_put(f"k{i}", i))
        other.do(kv_put(f"k{i}", i if i < 3 else "other"))
    first = os.environ["REPLICANTE_ENDPOINTS"]
    with api_in_thread(same) as second, api_in_thread(other) as third:
        well = terminal.run("events", "verify", "--endpoints", f"{first},{second}")
        assert well.code == 0
        assert "2 peers have one event log up to" in well.err
        assert well.out.count(" ok ") == 2
        down = f"{first},{second},http://127.0.0.1:1"
        assert terminal.run("events", "verify", "--endpoints", down, "--timeout", "2s").code == 8
        ill = terminal.run("events", "verify", "--endpoints", f"{first},{second},{third}")
        assert ill.code == 1
        assert "THE LOGS DIFFER" in ill.err
        report = json.loads(
            terminal.run(
                "events", "verify", "--endpoints", f"{first},{second},{third}", "-o", "json"
            ).out
        )
        parted = {it["peer"]: it["parts_after"] for it in report["peers"]}
        assert parted["p1"] is parted["p2"] is None
        assert parted["p3"] is not None
    alone = terminal.run("events", "verify")
    assert alone.code == 1
    assert "nothing to compare" in alone.err


@pytest.mark.processes
def test_an_export_that_is_killed_again_and_again_ends_as_the_whole_log(terminal, peer, tmp_path):
    """kill -9 at moments that nobody chose, while events come; then one run to the end."""
    path = tmp_path / "events.ndjson"
    written = 5
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "replicante", "events", "export", str(path), "--follow"],
            stderr=subprocess.DEVNULL,
        )
        try:
            size = path.stat().st_size if path.exists() else 0
            deadline_s = time.monotonic() + LIMIT_S
            for number in range(100_000):
                terminal.run("kv", "put", "more", str(number))
                written += 1
                if path.exists() and path.stat().st_size > size + 2_000:
                    break
                assert time.monotonic() < deadline_s, "the export writes nothing"
        finally:
            process.kill()
            process.wait(LIMIT_S)
        with path.open("ab") as file:  # half a line, as a write leaves it that was cut short
            file.write(b'{"id":"00')
    assert terminal.run("events", "export", str(path)).code == 0
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, written + 1))
